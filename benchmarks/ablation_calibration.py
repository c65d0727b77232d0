"""How often the whole report of an ablation claims something that is not there, and finds what is.

    python benchmarks/ablation_calibration.py [--trials 1000]

About seven minutes of one core for 1000 trials. Writes results/ablation_calibration.{json,md}.

Every trial writes two made-up studies as files (`simulated_study.py`) and reads them by the function that
`whenwhere ablate report` calls; what counts is the verdict in the report, after all of its corrections, and not the
outcome of a test function (`calibration.py` has those).

*Nothing to find*: a baseline, three arms and the baseline once more with eight seeds, and an arm with five; all are
trained alike. Each has two primary metrics of two tasks. *Something to find*: one arm differs by the effect that eight
seeds find in 80 % of studies, and one is worse by exactly the margin of non-inferiority.

*Item noise* is the standard deviation that the items alone give to a difference of one seed, *seed noise* that of what
training adds to all items alike. Rates of false claims outside 3 to 7 % are set in italics.
"""

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from simulated_study import ACCURACY, SimulatedArm, World, make_study, write_cells

from whenwhere.ablate.report import AblationReport, report
from whenwhere.ablate.study import StudyMetric
from whenwhere.stats import minimum_detectable_effect
from whenwhere.store import write_text

HERE = Path(__file__).parent
RATIOS = (0.25, 1.0, 4.0)
ALPHA = 0.05
#: Rates that count as nominal.
NOMINAL = (0.03, 0.07)
VIDEOS, SENTENCES, ITEM_SD = 3, 4, 0.1
#: Standard deviation that the items give to the difference of two cells.
ITEM_NOISE = ITEM_SD * (2 * (0.5 / VIDEOS + 0.5 / (VIDEOS * SENTENCES))) ** 0.5
RETRIEVAL = StudyMetric(id="r1", heading="R@1", key="retrieval/R@1", unit="%", items="retrieval/R@1", primary=True)
#: Claims that must be rare, in the order of the table.
FALSE = {
    "each p": "a comparison with p of the t test at 0.05 or below, before correction",
    "each sign flip": "a comparison with p of the sign-flip test at 0.05 or below (true rate: 4.7)",
    "any verdict": "a study with a verdict `better` or `worse`, of six",
    "any screening": "a study with such a screening, of two",
    "any check": "a study whose repeated baseline `differs`, of two metrics",
    "any interaction": "a study with an arm that `differs between tasks`, of four",
}


def world(ratio: float) -> World:
    """How cells vary where seed noise is `ratio` times item noise."""
    return World(0.4, ratio * ITEM_NOISE / 2**0.5, ITEM_SD, VIDEOS, SENTENCES)


def nothing(rng: np.random.Generator, ratio: float, folder: Path) -> AblationReport:
    """The report of a study in which no arm differs."""
    arms = [SimulatedArm("base"), *(SimulatedArm(f"arm{k}") for k in range(3))]
    arms += [SimulatedArm("again", kind="a-a", seeds=range(100, 108)), SimulatedArm("five", seeds=range(5))]
    study = make_study(arms, [ACCURACY, RETRIEVAL])
    write_cells(folder, study, arms, rng, world(ratio))
    return report(study, folder, resamples=20)


def something(rng: np.random.Generator, ratio: float, folder: Path) -> AblationReport:
    """The report of a study with a planted effect, and a loss of exactly the margin."""
    noise = ITEM_NOISE * (1 + ratio**2) ** 0.5
    effect = minimum_detectable_effect(noise, 8, alpha=ALPHA / 2)
    margin = noise
    arms = [
        SimulatedArm("base"), SimulatedArm("planted", {"accuracy": effect}), SimulatedArm("loss", {"accuracy": -margin})
    ]  # fmt: skip
    study = make_study(arms, [ACCURACY.model_copy(update={"margin": margin})])
    write_cells(folder, study, arms, rng, world(ratio))
    return report(study, folder, resamples=20)


def claims(found: AblationReport) -> Counter[str]:
    """What a report of a study with nothing to find claims."""
    effects = [effect for effect in found.effects if effect.p_value is not None]
    counts: Counter[str] = Counter()
    counts["comparisons"] = len(effects)
    counts["each p"] = sum(effect.p_value <= ALPHA for effect in effects if effect.p_value is not None)
    flipped = [effect.flipped for effect in effects if effect.flipped is not None]
    counts["flipped"] = len(flipped)
    counts["each sign flip"] = sum(p <= ALPHA for p in flipped)
    for name, family in (("any verdict", "primary"), ("any screening", "screening"), ("any check", "check")):
        counts[name] = int(any(effect.verdict in ("better", "worse") for effect in effects if effect.family == family))
    counts["any interaction"] = int(any(one.adjusted <= ALPHA for one in found.interactions))
    return counts


def rates(ratio: float, trials: int) -> dict[str, float]:
    """How often each claim is made.

    Args:
        ratio: Seed noise over item noise.
        trials: Number of studies of each kind.
    """
    rng = np.random.default_rng(round(100 * ratio))
    counts: Counter[str] = Counter()
    # Thousands of small files are written in memory where there is such a folder.
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=memory if os.path.isdir(memory) else None) as folder:
        # Cells are written over those of the trial before.
        for _ in range(trials):
            counts += claims(nothing(rng, ratio, Path(folder, "nothing")))
            found = something(rng, ratio, Path(folder, "something"))
            counts["planted"] += found.effect("planted", "accuracy").verdict == "better"
            counts["loss"] += (found.effect("loss", "accuracy").inferior or 1.0) <= ALPHA / 2
    per = {"each p": counts["comparisons"], "each sign flip": counts["flipped"]}
    made = {name: counts[name] / per.get(name, trials) for name in FALSE}
    return {"ratio": ratio, **made, "loss": counts["loss"] / trials, "planted": counts["planted"] / trials}


def percent(rate: float, mark: bool = True) -> str:
    """A rate in percent, set in italics where it is not nominal."""
    text = f"{100 * rate:.1f}"
    return text if not mark or NOMINAL[0] <= rate <= NOMINAL[1] else f"*{text}*"


def tables(content: dict) -> str:
    """The result file's text."""
    found = {"loss": "not worse at the margin", "planted": "planted effect found"}
    heads = ["seed noise / item noise", *FALSE, *found.values()]
    rows = [
        [f"{r['ratio']:g}", *(percent(r[name]) for name in FALSE), *(percent(r[name], False) for name in found)]
        for r in content["rates"]
    ]
    lines = "".join(f"| {' | '.join(row)} |\n" for row in [heads, ["---"] * len(heads), *rows])
    trials = content["trials"]
    return (
        "# Calibration of the whole ablation report\n\n"
        f"In percent, {trials} simulated studies of each kind, written as files and read by `report` (standard error "
        f"at 5 %: {100 * (0.0475 / trials) ** 0.5:.1f} points for `any`, less for `each`). Nominal: 5; italics: "
        "outside 3 to 7. `Not worse` at a loss of exactly the margin is nominal at 2.5, corrected over the two arms of "
        "its study at 1.25 to 2.5. The planted effect is what eight seeds find in 80 % of studies at 2.5 %, Holm's "
        f"level for the first of two tests.\n\n{lines}\n"
        + "".join(f"- {name}: {what}.\n" for name, what in FALSE.items())
    )


def main() -> None:
    """Run the simulation and write its results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args()
    content: dict = {"trials": options.trials, "rates": []}
    with ProcessPoolExecutor() as pool:
        for found in pool.map(rates, RATIOS, [options.trials] * len(RATIOS)):
            content["rates"].append(found)
            sys.stderr.write(f"{found}\n")
    write_text(options.results / "ablation_calibration.json", json.dumps(content, indent=1) + "\n")
    write_text(options.results / "ablation_calibration.md", tables(content))


if __name__ == "__main__":
    main()

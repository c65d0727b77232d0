"""How often each procedure of `whenwhere.stats` finds a difference where there is none, and one where there is.

    python benchmarks/calibration.py [--trials 4000] [--resampled 400]

Two to three minutes on one core. Writes results/calibration.{json,md}.

Each trial makes up the differences of an experiment (arm minus baseline) for n seeds and 400 items, eight sentences of
each of 50 videos. *Item noise* is the standard deviation that the items alone give to the mean over them, *seed noise*
that of what training adds to all items of a seed alike; the table goes over their ratio. The true mean difference is 0,
so a procedure at 5 % should find a difference in 5 % of the trials.

Two worlds are told apart, because they answer different questions. In the first, items vary independently in each seed:
the claim is about this test set. In the second, half of the item noise is the same in every seed (an item that suits
the arm suits it whatever the seed): the claim is about new items, of which these are a sample.

Expected: `paired_t`, `interaction` and `noninferiority` near 5 % in every cell of the first world; `sign_flip` 4.7 %
with eight seeds and never a finding with five or fewer; `holm` at most 5 % for a family of four correlated metrics. The
bootstrap over items is the bad example: it reads the seeds' noise as an effect, in 24 to 31 % of the trials of an
earlier simulation whose ratio was near 3/2. The crossed bootstrap is descriptive: nothing is promised of it. In the
second world no test of one difference for each seed is expected to hold. Rates outside 3 to 7 % are set in italics.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whenwhere.stats import (
    bootstrap_mean,
    crossed_bootstrap,
    holm,
    interaction,
    minimum_detectable_effect,
    noninferiority,
    paired_t,
    paired_t_power,
    sign_flip,
)
from whenwhere.store import write_text

HERE = Path(__file__).parent
SEEDS = (3, 5, 8)
#: Seed noise over item noise; 3/2 is about that of the earlier simulation.
RATIOS = (0.25, 1.0, 1.5, 4.0)
VIDEOS, SENTENCES = 50, 8
CLUSTERS = np.repeat(np.arange(VIDEOS), SENTENCES).tolist()
#: Standard deviation of a difference on one item; half of its variance belongs to the video.
ITEM_SD = 0.3
#: Standard deviation of the mean over all items that follows.
ITEM_NOISE = ITEM_SD * (0.5 / VIDEOS + 0.5 / (VIDEOS * SENTENCES)) ** 0.5
ALPHA = 0.05
#: Margin of non-inferiority; in the null world the true loss is exactly this.
MARGIN = ITEM_NOISE
#: Metrics of a family, and the correlation of any two of them.
FAMILY, CORRELATION = 4, 0.5
RESAMPLES = 500
#: The procedures by the number of trials that they get.
TESTS = ("paired t", "sign flip", "non-inferiority", "Holm", "family, uncorrected", "interaction")
BOOTSTRAPS = ("crossed", "crossed, percentile", "items only")
#: Rates that count as nominal.
NOMINAL = (0.03, 0.07)


def item_noise(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Noise of n independent draws of all items, shape (n, items)."""
    part = ITEM_SD * 0.5**0.5
    of_video = np.repeat(rng.normal(0, part, (n, VIDEOS)), SENTENCES, axis=1)
    return of_video + rng.normal(0, part, (n, VIDEOS * SENTENCES))


def experiment(
    rng: np.random.Generator, seeds: int, ratio: float, effect: float = 0.0, shared: float = 0.0
) -> NDArray[np.float64]:
    """Differences of one made-up experiment, shape (seeds, items).

    Args:
        rng: Source of the noise.
        seeds: Number of seeds.
        ratio: Seed noise over item noise.
        effect: True mean difference.
        shared: Share of the items' variance that is the same in every seed.
    """
    of_seed = rng.normal(0, ratio * ITEM_NOISE, (seeds, 1))
    items = (1 - shared) ** 0.5 * item_noise(rng, seeds)
    if shared:
        items += shared**0.5 * item_noise(rng, 1)
    return effect + of_seed + items


def excludes_zero(interval: tuple[float, float, float]) -> bool:
    """Whether an interval would be read as a difference."""
    return not interval[1] <= 0 <= interval[2]


def seed_tests(rng: np.random.Generator, deltas: NDArray[np.float64]) -> dict[str, bool]:
    """What the tests of one difference for each seed find in one experiment.

    Args:
        rng: Source of the noise of the family's other metrics.
        deltas: Shape (seeds,).
    """
    # Metrics of the same runs vary together: each is the same noise and as much of its own.
    own = rng.normal(0, 1, (FAMILY, len(deltas)))
    common = rng.normal(0, 1, len(deltas))
    metrics = CORRELATION**0.5 * common + (1 - CORRELATION) ** 0.5 * own
    family = [paired_t(metric).p_value for metric in metrics]
    return {
        "paired t": paired_t(deltas).p_value < ALPHA,
        "sign flip": sign_flip(deltas) <= ALPHA,
        "non-inferiority": noninferiority(deltas - MARGIN, MARGIN, ALPHA).shown,
        "Holm": bool((holm(family) < ALPHA).any()),
        "family, uncorrected": min(family) < ALPHA,
        # it needs as many seeds as tasks
        "interaction": interaction(metrics[: len(deltas)].T).p_value < ALPHA,
    }


def bootstraps(differences: NDArray[np.float64], seed: int) -> dict[str, bool]:
    """What the bootstraps find in one experiment, given its differences of shape (seeds, items)."""
    percentile = crossed_bootstrap(differences, CLUSTERS, RESAMPLES, seed, small_sample=False)
    return {
        "crossed": excludes_zero(crossed_bootstrap(differences, CLUSTERS, RESAMPLES, seed)),
        "crossed, percentile": excludes_zero(percentile),
        "items only": excludes_zero(bootstrap_mean(differences.mean(0), CLUSTERS, RESAMPLES, seed)),
    }


def rates(
    seeds: int, ratio: float, trials: int, resampled: int, effect: float = 0.0, shared: float = 0.0
) -> dict[str, float]:
    """Share of trials in which each procedure finds a difference.

    Args:
        seeds: Number of seeds of an experiment.
        ratio: Seed noise over item noise.
        trials: Experiments for the tests of one difference for each seed.
        resampled: Experiments for the bootstraps, at most `trials`.
        effect: True mean difference.
        shared: Share of the items' variance that is the same in every seed.
    """
    rng = np.random.default_rng([seeds, round(100 * ratio), round(100 * shared), int(effect > 0)])
    hits: dict[str, int] = {}
    for trial in range(trials):
        differences = experiment(rng, seeds, ratio, effect, shared)
        found = seed_tests(rng, differences.mean(1))
        if trial < resampled:
            found |= bootstraps(differences, trial)
        for name, difference in found.items():
            hits[name] = hits.get(name, 0) + int(difference)
    return {name: n / (resampled if name in BOOTSTRAPS else trials) for name, n in hits.items()}


def percent(rate: float, mark: bool = True) -> str:
    """A rate in percent, set in italics where it is not nominal."""
    text = f"{100 * rate:.1f}"
    return text if not mark or NOMINAL[0] <= rate <= NOMINAL[1] else f"*{text}*"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "".join(f"| {' | '.join(row)} |\n" for row in [heads, ["---"] * len(heads), *rows])


def report(content: dict) -> str:
    """The result file's tables."""
    trials, resampled = content["trials"], content["resampled"]
    lo, hi = (f"{100 * x:g}" for x in NOMINAL)
    shown, others = (*TESTS, *BOOTSTRAPS), ("paired t", "sign flip", *BOOTSTRAPS)
    test_set = [
        [str(r["seeds"]), f"{r['ratio']:g}", *(percent(r[name]) for name in shown)] for r in content["test set"]
    ]
    new_items = [
        [str(r["seeds"]), f"{r['ratio']:g}", *(percent(r[name]) for name in others)] for r in content["new items"]
    ]
    found = ("expected", "paired t", "sign flip", "crossed")
    power = [
        [str(r["seeds"]), f"{r['effect']:.2f}", *(percent(r[name], False) for name in found)] for r in content["power"]
    ]
    return f"""# Calibration of the statistics

Share of simulated experiments without any true difference in which each procedure finds one, in percent (nominal: 5).
Italics: outside {lo} to {hi} %. {VIDEOS * SENTENCES} items of {VIDEOS} videos; ratio: seed noise over item noise.
{trials} experiments for each cell of the tests, {resampled} with {RESAMPLES} resamples for each of the bootstraps
(standard error at 5 %: {100 * (0.0475 / trials) ** 0.5:.1f} and {100 * (0.0475 / resampled) ** 0.5:.1f} points).

## Claims about this test set: items vary independently in each seed

Non-inferiority: the true loss is exactly the margin. Holm: any false finding among {FAMILY} metrics with correlation
{CORRELATION:g}, and the same without a correction. The sign-flip test cannot find anything with fewer than six seeds.
Interaction: a difference between the effects on as many of these metrics as there are seeds, {FAMILY} at most.

{table(["seeds", "ratio", *shown], test_set)}
## Claims about new items: half of the items' variance is the same in every seed

{resampled} experiments for each cell. The tests of one difference for each seed do not see what all seeds share: where
item noise is large they claim too much about new items. The crossed bootstrap sees it.

{table(["seeds", "ratio", *others], new_items)}
## Power: the true effect is the minimum detectable effect at 80 %, ratio 1

Effect in standard deviations of one seed's difference; share of {resampled} experiments in which the effect is found.

{table(["seeds", "effect", "paired t, by formula", "paired t", "sign flip", "crossed"], power)}"""


def main() -> int:
    """Simulate, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=4000, help="experiments for the tests")
    parser.add_argument("--resampled", type=int, default=400, help="experiments for the bootstraps")
    chosen = parser.parse_args()
    trials, resampled = chosen.trials, min(chosen.resampled, chosen.trials)
    grid = [(n, ratio) for n in SEEDS for ratio in RATIOS]
    power = []
    for n in SEEDS:
        sd = ITEM_NOISE * 2**0.5  # of one seed's difference at ratio 1
        effect = minimum_detectable_effect(sd, n)
        expected = paired_t_power(effect, sd, n)
        found = rates(n, 1.0, resampled, resampled, effect=effect)
        power.append({"seeds": n, "effect": effect / sd, "expected": expected, **found})
    content = {
        "trials": trials,
        "resampled": resampled,
        "test set": [{"seeds": n, "ratio": r, **rates(n, r, trials, resampled)} for n, r in grid],
        "new items": [{"seeds": n, "ratio": r, **rates(n, r, resampled, resampled, shared=0.5)} for n, r in grid],
        "power": power,
    }
    write_text(HERE / "results" / "calibration.json", json.dumps(content, indent=1) + "\n")
    write_text(HERE / "results" / "calibration.md", report(content))
    print(report(content))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the terms, the masking and the captions of video pre-training do, on held-out clips of shapes, over seeds.

    python benchmarks/pretraining.py [--experiment losses] [--seeds 5] [--updates 300] [--out build/pretraining]

Every arm begins with one image and text encoder (the recipe tiny-stills), as S-ViLM and ViCLIP begin with encoders of
pictures, and is trained on clips for `--updates` updates; arms of one seed see the same clips. What is measured are
clips of the split `heldout`, on which nothing was chosen: worlds, sizes, rates and evaluators below were fixed on the
split `val` before the first cell was run. The pilot that showed that they can be learned measures the encoder that arms
begin with, too:

    python benchmarks/pretraining.py --split val --experiment losses --arm unblended --seeds 1

A cell is one arm with one seed. A cell whose numbers are there already is not run again, so that the script can be
stopped at any time; a run that was cut off is resumed. Two of them at once need a folder of results each; `--seeds 0
--merge OTHER/pretraining.json` adds the cells of another. Each comparison is made by a paired t test on the differences
of seeds and has its smallest family corrected by Holm's method; with fewer than five seeds there is no test.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pretraining_experiments import BLIND, CLIPS, COUNT, EXPERIMENTS, MODEL, SIGHT, Arm, Experiment

from whenwhere.stats import holm, paired_t
from whenwhere.store import write_text

RESULTS = Path(__file__).parent / "results"
#: Fewest seeds that a test is made with.
SEEDS = 5
#: What the row of the encoder before training is called.
BEFORE = "before"


def start_folder(preset: str | None, out: Path, updates: int) -> Path:
    """The image and text encoder that arms begin with, trained if it is not there.

    Args:
        preset: Preset of the recipe tiny-stills.
        out: Folder of all runs.
        updates: Number of updates, 0 for that of the recipe.
    """
    import whenwhere
    from whenwhere.training.recipe import load

    folder = out / f"stills-{preset or 'mean'}"
    if not (folder / "checkpoint").is_dir():
        changes = [f'cache="{out / "cache"}"', *([f"max_steps={updates}"] if updates else [])]
        whenwhere.train(load("tiny-stills", changes, preset), folder, device="cpu")
    return folder


def clips_of(arm: Arm, first_seed: int, cache: Path) -> str:
    """The lines of [data] of an arm.

    Args:
        arm: The arm.
        first_seed: Seed of the first clip of each corpus.
        cache: Folder of cached frames.
    """
    if not arm.mix:
        return CLIPS.format(data=arm.data, count=COUNT, first_seed=first_seed, cache=cache)
    tables = [
        CLIPS.format(
            data=f'corpus = "{corpus}"\n{arm.data}', count=round(share * COUNT), first_seed=first_seed, cache=cache
        )
        for corpus, share in arm.mix.items()
    ]
    return "\n".join(f"[[data.mix]]\n{table}" for table in tables)


def _slug(name: str, arm: str) -> str:
    """Name of the runs of an arm, without the seed."""
    return "".join(c if c.isalnum() else "-" for c in f"{name} {arm}")


def _recipe(arm: Arm, start: Path, seed: int, out: Path) -> str:
    """The recipe of an arm with one seed, without evaluators."""
    clips = clips_of(arm, 10_000_000 + seed * 10_000, out / "cache")
    return MODEL.format(start=start, encoder=arm.encoder, objective=arm.objective, data=clips, train=arm.train)


def measure_again(row: dict[str, Any], stills: int, out: Path) -> bool:
    """Add to a cell what its experiment's evaluators measure and the cell lacks; whether there was anything to add.

    Args:
        row: The cell, whose run must be in `out`.
        stills: Updates of the start, 0 for the recipe's.
        out: Folder of all runs.
    """
    from whenwhere.training.recipe import load
    from whenwhere.training.remeasure import measure_run

    name, arm, seed = row["experiment"], row["arm"], row["seed"]
    one = EXPERIMENTS[name]
    tables = [f"[[evaluators]]{part}" for part in one.evaluators.split("[[evaluators]]")[1:]]
    had = {key.partition("/")[0] for key in row if "/" in key}
    lacking = [table for table in tables if table.split('"')[1] not in had]
    if not lacking or arm not in one.arms:
        return False
    file = out / f"{_slug(name, arm)}-again.toml"
    write_text(file, _recipe(one.arms[arm], start_folder(one.start, out, stills), seed, out) + "\n".join(lacking))
    recipe = load(str(file), [f"max_steps={row['updates']}", f"train.seed={seed}"])
    row |= measure_run(recipe, out / f"{_slug(name, arm)}-{seed}", device="cpu").metrics
    return True


def measure_start(name: str, stills: int, out: Path) -> dict[str, Any]:
    """The numbers of the encoder that the arms of an experiment begin with, on held-out clips.

    Args:
        name: Name of the experiment.
        stills: Updates of the start, 0 for the recipe's.
        out: Folder of all runs.
    """
    found = run_cell(name, next(iter(EXPERIMENTS[name].arms)), 0, 2, stills, "heldout", out, at_start=True)
    before = {key: value for key, value in found.items() if key.startswith("before/")}
    return {"experiment": name, "arm": BEFORE, "seed": 0, **before}


def run_cell(
    name: str, arm: str, seed: int, updates: int, stills: int, split: str, out: Path, at_start: bool = False
) -> dict[str, Any]:
    """Trains one arm with one seed, and returns its numbers.

    Args:
        name: Name of the experiment.
        arm: Name of the arm.
        seed: Seed of the run and of its clips.
        updates: Updates of an arm at equal samples.
        stills: Updates of the start, 0 for the recipe's.
        split: Split of the clips that are measured.
        out: Folder of all runs.
        at_start: Whether the encoder is measured before training, too; on `val` it always is.
    """
    import whenwhere
    from whenwhere.training.recipe import load

    experiment, own = EXPERIMENTS[name], EXPERIMENTS[name].arms[arm]
    start = start_folder(experiment.start, out, stills)
    slug = _slug(name, arm) + ("-val" if split == "val" else "") + (f"-{BEFORE}" if at_start else "")
    file = out / f"{slug}.toml"
    text = _recipe(own, start, seed, out)
    evaluators = experiment.evaluators
    if split == "val":
        evaluators = evaluators.replace('"heldout"', '"val"')
    if split == "val" or at_start:
        evaluators = evaluators.replace("at_start = false", "at_start = true")
    write_text(file, f"# {experiment.title}\n" + text + evaluators)
    steps = max(round(updates * own.factor), 2)
    changes = [f"max_steps={steps}", f"train.seed={seed}"]
    began = time.monotonic()
    lines = whenwhere.train(load(str(file), changes), out / f"{slug}-{seed}", device="cpu").metrics
    row: dict[str, Any] = {
        "experiment": name, "arm": arm, "seed": seed, "updates": steps,
        "minutes": round((time.monotonic() - began) / 60, 2),
    }  # fmt: skip
    for line in lines:
        row |= {key: line[key] for key in ("loss", "step_seconds", "resident_set_gib", "flops") if key in line}
        when = "" if line["step"] else "before/"
        row |= {when + key.removeprefix("eval/"): value for key, value in line.items() if key.startswith("eval/")}
    return row


def table(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of one experiment in Markdown: means over seeds x 100, and the tests.

    Args:
        name: Name of the experiment.
        rows: All cells.
    """
    one = EXPERIMENTS[name]
    own = [dict(row) for row in rows if row["experiment"] == name]
    for row in own:
        if BLIND in row:
            row[SIGHT] = row["qa/accuracy"] - row[BLIND]
    lines = [f"### {one.title}", ""]
    lines.append("| arm | seeds | FLOPs | s an update | " + " | ".join(one.measures) + " |")
    lines.append("| --- " * (4 + len(one.measures)) + "|")
    first = next((row for row in own if f"before/{one.primary}" in row), None)
    if first is not None:
        before = [first.get(f"before/{key}") for key in one.measures.values()]
        values = ["–" if value is None else f"{100 * value:.1f}" for value in before]
        lines.append("| before | | | | " + " | ".join(values) + " |")
    for arm in one.arms:
        cells = [row for row in own if row["arm"] == arm]
        if not cells:
            continue
        seconds = np.median([c.get("step_seconds", np.nan) for c in cells])
        costs = f"{np.mean([c['flops'] for c in cells]):.2g} | {seconds:.2f}"
        values = []
        for key in one.measures.values():
            found = [100 * c[key] for c in cells if key in c]
            spread = f" ± {np.std(found, ddof=1):.1f}" if len(found) > 1 else ""
            values.append(f"{np.mean(found):.1f}{spread}" if found else "–")
        lines.append(f"| {arm} | {len(cells)} | {costs} | " + " | ".join(values) + " |")
    return "\n".join([*lines, "", *_tests(one, own)]) + "\n"


def _tests(one: Experiment, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    by_arm = {arm: {r["seed"]: r[one.primary] for r in rows if r["arm"] == arm} for arm in one.arms}
    tests, missing = [], []
    for arm, base in one.against.items():
        seeds = sorted(by_arm[arm].keys() & by_arm[base].keys())
        if len(seeds) < SEEDS:
            missing.append(f"{arm} against {base} ({len(seeds)} of {SEEDS} seeds)")
        else:
            tests.append((arm, base, paired_t([100 * (by_arm[arm][s] - by_arm[base][s]) for s in seeds])))
    lines = []
    adjusted = holm([test.p_value for _, _, test in tests]) if tests else []
    for (arm, base, test), p in zip(tests, adjusted, strict=True):
        found = test.difference
        values = f"{found.mean:+.1f} ({found.low:+.1f} to {found.high:+.1f}), p {p:.3f} by Holm"
        lines.append(f"- {arm} against {base}, {one.primary}: {values}")
    for arm, key, base, other in one.also:
        both = [{r["seed"]: r[k] for r in rows if r["arm"] == a} for a, k in ((arm, key), (base, other))]
        if len(seeds := sorted(both[0].keys() & both[1].keys())) >= SEEDS:
            found = paired_t([100 * (both[0][s] - both[1][s]) for s in seeds]).difference
            names = key if key == other else f"{key} against {other}"
            values = f"{found.mean:+.1f} ({found.low:+.1f} to {found.high:+.1f})"
            lines.append(f"- {arm} against {base}, {names}, exploratory: {values}")
    for names in one.interactions:
        each = [by_arm[name] for name in names]
        if len(seeds := sorted(set.intersection(*(set(values) for values in each)))) >= SEEDS:
            a, b, c, d = (np.array([values[s] for s in seeds]) for values in each)
            found = paired_t((100 * ((a - b) - (c - d))).tolist())
            values = f"{found.difference.mean:+.1f} ({found.difference.low:+.1f} to {found.difference.high:+.1f})"
            lines.append(
                f"- ({names[0]} against {names[1]}) against ({names[2]} against {names[3]}), {one.primary}, "
                f"exploratory: {values}, p {found.p_value:.3f}"
            )
    if missing:
        lines.append(f"- No test, too few seeds: {'; '.join(missing)}.")
    return lines


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes cells as PATH.json and their tables as PATH.md."""
    write_text(path.with_suffix(".json"), json.dumps(rows, indent=1) + "\n")
    named = [one for one in EXPERIMENTS if any(row["experiment"] == one for row in rows)]
    write_text(path.with_suffix(".md"), "\n".join(table(one, rows) for one in named))


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", choices=EXPERIMENTS, action="append", help="may be given again; default all")
    parser.add_argument("--arm", action="append", help="may be given again; default all of an experiment")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--stills", type=int, default=0, help="updates of the start; 0 for those of its recipe")
    parser.add_argument("--split", choices=("heldout", "val"), default="heldout")
    parser.add_argument("--out", type=Path, default=Path("build/pretraining"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--before", action="store_true", help="measure the encoders that the arms begin with")
    parser.add_argument("--again", action="store_true", help="measure what cells lack of their evaluators")
    parser.add_argument("--merge", type=Path, action="append", default=[], help="file whose cells are added")
    options = parser.parse_args()
    stem = "pretraining" if options.split == "heldout" else "pretraining_pilot"
    file = options.results / f"{stem}.json"
    rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    for other in options.merge:
        there = {(row["experiment"], row["arm"], row["seed"]): row for row in rows}
        for row in json.loads(other.read_text(encoding="utf-8")):
            own = there.get((row["experiment"], row["arm"], row["seed"]))
            if own is None:
                rows.append(row)
            else:  # the same cell, of which more may have been measured there
                own.update({key: value for key, value in row.items() if key not in own})
        _write(options.results / stem, rows)
    done = {(row["experiment"], row["arm"], row["seed"]) for row in rows}
    for name in (options.experiment or EXPERIMENTS) if options.before else ():
        if (name, BEFORE, 0) not in done:
            rows.append(measure_start(name, options.stills, options.out))
            _write(options.results / stem, rows)
    for row in rows if options.again else ():
        wanted = row["experiment"] in (options.experiment or EXPERIMENTS) and row["seed"] < options.seeds
        wanted = wanted and (not options.arm or row["arm"] in options.arm)
        if wanted and measure_again(row, options.stills, options.out):
            _write(options.results / stem, rows)
    for seed in range(options.seeds):
        for name in options.experiment or EXPERIMENTS:
            for arm in EXPERIMENTS[name].arms:
                if (name, arm, seed) in done or (options.arm and arm not in options.arm):
                    continue
                rows.append(run_cell(name, arm, seed, options.updates, options.stills, options.split, options.out))
                sys.stdout.write(f"{json.dumps(rows[-1])}\n")
                sys.stdout.flush()
                _write(options.results / stem, rows)


if __name__ == "__main__":
    main()

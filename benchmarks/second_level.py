"""Second-level grounding in two tables that are never mixed: its ceiling, and its cost.

    python benchmarks/second_level.py ceiling       # oracle boxes, no model; WHENWHERE_DATA adds real tracks
    python benchmarks/second_level.py cost          # the pipeline against framewise and uniform-N, one answering server
    python benchmarks/second_level.py report        # both tables from the rows that are there

Cost: ceiling about two minutes for the real tracks and half a minute a procedural clip, cost about fifteen minutes,
two cores. Both resume. Expected: one box a second with linear fill 91 / 81 / 68 / 38 by motion quartile of real
tracks; smoothing gains nothing on errors with the memory that real models' errors have; at least 10 times fewer
output tokens and calls than framewise at 25 frames a second.

The ceiling says what rate, fill and smoothing would give if every second were answered right but for a drawn error
(`benchmarks/ceiling.py`, `benchmarks/box_noise.py`). The cost table runs the real pipeline against answers that are
computed from procedural clips' truth, restricted to the frames shown (`benchmarks/world_model.py`): its scores say what
the pipeline loses, not how good any model is. What trained models give is neither.

Written: benchmarks/results/second_level.json (aggregates and ids only) and second_level.md. Rows go to
benchmarks/cache/second_level.
"""

import argparse
import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import ceiling
import cost
import second_level_tables as tables
from box_noise import Measured, measure, within_if

from whenwhere import Tube
from whenwhere.boxes import valid_boxes
from whenwhere.datasets import vue_stg
from whenwhere.evaluate.formats import read_predictions
from whenwhere.store import read_lines, write_text

HERE = Path(__file__).resolve().parent
CACHE = HERE / "cache" / "second_level"
#: Models whose answers on VUE-STG are public.
MODELS = ("vidi2", "gpt-5")


def real_errors(data: Path | None) -> dict[str, Measured]:
    """How the boxes of real models are wrong; empty without the data."""
    if data is None:
        return {}
    items = vue_stg.read(data / "annotations" / "vue_stg")
    truths = {i.id: i.tubes[0] for i in items if i.tubes}
    out = {}
    for model in MODELS:
        answers = read_predictions(data / "predictions" / "vue_stg" / f"{model}.tubes.csv", items).by_id
        tubes = {}
        for name, truth in truths.items():
            if name in answers and answers[name].boxes:
                given = answers[name].boxes[0]
                keep = (truth.spans.index(given.times) >= 0) & valid_boxes(given.boxes)
                tubes[name] = Tube(truth.spans, given.times[keep], given.boxes[keep])
        found = measure(truths, tubes)
        fading, constant = within_if(truths, tubes, found)
        out[model] = replace(found, within_if_fading=fading, within_if_constant=constant)
    return out


def errors_of(measured: dict[str, Measured]) -> list[tuple[float, float]]:
    """Size and memory of the errors that boxes are asked with."""
    return ceiling.noises({k: (round(m.robust, 3), round(m.memory, 3)) for k, m in measured.items()})


def rows_of(name: str) -> list[dict]:
    """Rows that were measured, the last of each."""
    path = CACHE / name
    rows = list(read_lines(path)) if path.exists() else []
    return list({(r.get("world"), str(r.get("id", r.get("key")))): r for r in rows}.values())


def report(measured: dict[str, Measured], complete: bool) -> None:
    """Both tables; they are written only where the real data is at hand."""
    result = {
        "errors": {name: asdict(m) for name, m in measured.items()},
        "ceiling": tables.ceiling_report(rows_of("ceiling.jsonl")),
        "cost": tables.cost_report(rows_of("cost.jsonl")),
    }
    lines = [
        "Two tables that are never mixed: what second-level boxes could give at best, and what asking for them costs."
    ]
    lines += tables.goals(result)
    lines += tables.cost_markdown(result["cost"])
    lines += ["", *tables.ceiling_markdown(result["ceiling"], measured, errors_of(measured))]
    text = "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"
    if complete:
        write_text(HERE / "results" / "second_level.json", json.dumps(rounded(result), separators=(",", ":")) + "\n")
        write_text(HERE / "results" / "second_level.md", text)
    print(text)


def rounded(value: Any) -> Any:
    """Numbers to three places; what is not there is null."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    if isinstance(value, float):
        return None if value != value else round(value, 3)
    return value


def main() -> None:
    """Measure what is not measured yet, write the results."""
    options = argparse.ArgumentParser()
    options.add_argument("part", choices=("ceiling", "cost", "report"))
    options.add_argument("--clips", type=int, default=18, help="procedural clips of the ceiling")
    options.add_argument("--stage", type=int, default=6, help="staged clips of the cost table")
    options.add_argument("--longest", type=int, default=10800, help="seconds of the cost table's longest video")
    options.add_argument("--each", type=int, default=15, help="clips of one real track")
    asked = options.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    data = Path(os.environ["WHENWHERE_DATA"]) if os.environ.get("WHENWHERE_DATA") else None
    measured = real_errors(data)
    if asked.part == "ceiling":
        tracks = data / "annotations" / "lasot" / "boxes.zip" if data else None
        ceiling.measure(CACHE / "ceiling.jsonl", errors_of(measured), tracks, asked.each, asked.clips)
    elif asked.part == "cost":
        cost.measure(CACHE / "cost.jsonl", asked.stage, asked.longest)
    else:
        report(measured, data is not None)


if __name__ == "__main__":
    main()

"""What answers that look at nothing score: the whole video, and the best constant span, on released annotation files.

    python benchmarks/constants.py [--data DIR]

About ten seconds on one core. DIR (or WHENWHERE_DATA) holds `annotations/`; sets that are not there are left out and
named. Writes results/constants.{json,md}; only aggregates leave the annotation files.

Counted by `best-truth` (IoU >= m, the best of several truths), in percent. Expected: the whole video has 34.6 mIoU on
ActivityNet Captions' test split, more than published zero-shot models. The columns "noted" are what an earlier count
by other code gave for the same files; a difference is marked and explained.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from whenwhere.datasets import BENCHMARKS, read_items
from whenwhere.evaluate.constants import best_span, span_answers
from whenwhere.evaluate.run import compute_metrics
from whenwhere.store import write_text

HERE = Path(__file__).parent
MEASURES = ("mIoU", "R1@0.3", "R1@0.5", "R1@0.7")
#: Name, benchmark, file, training file, what an earlier count gave: (whole video, best constant), mIoU and R1s.
SETS = [
    (
        "Charades-STA test", "charades-sta", "charades_sta/charades_sta_test.txt",
        "charades_sta/charades_sta_train.txt", ((27.0, 34.3, 0.4, 0.0), (30.5, 48.8, 27.7, 11.9)),
    ),
    ("Charades-CD test iid", "charades-cd", "charades_sta/cd/charades_test_iid.json", None, None),
    ("Charades-CD test ood", "charades-cd", "charades_sta/cd/charades_test_ood.json", None, None),
    (
        "ActivityNet Captions val_2 (“test”)", "activitynet-captions", "activitynet_captions/val_2.json",
        "activitynet_captions/train.json", ((34.6, 48.0, 21.2, 12.4), (34.6, 48.0, 21.2, 12.4)),
    ),
    (
        "ActivityNet Captions val_1", "activitynet-captions", "activitynet_captions/val_1.json",
        "activitynet_captions/train.json", ((32.3, 42.8, 22.7, 11.4), (32.3, 42.8, 22.7, 11.4)),
    ),
    (
        "QVHighlights val", "qvhighlights", "qvhighlights/highlight_val_release.jsonl",
        "qvhighlights/highlight_train_release.jsonl", ((23.9, 20.1, 9.0, 6.1), (23.9, 20.6, 9.4, 6.0)),
    ),
    ("TACoS test", "tacos", "tacos/test.json", "tacos/train.json", None),
    ("TVGBench", "tvgbench", "tvgbench/tvgbench.json", None, ((17.4, 19.9, 4.0, 0.5), (18.8, 23.0, 10.5, 3.1))),
    ("Time-R1 training set", "time-r1", "tvgbench/timer1_train_2k5.json", None, ((17.4, 15.2, 4.0, 0.9), None)),
]  # fmt: skip
#: Why a number may differ from the earlier count.
REMARKS = {
    "ActivityNet Captions val_1": "the earlier count used a list of 15 933 of these 17 505 sentences (TaRO's)",
}
#: Half of the last digit that was noted, and what rounding to even can do to it.
SLACK = 0.0501


def rows(folder: Path) -> tuple[list[dict], list[str]]:
    """One row for each set and constant, and the sets that are not there."""
    found, missing = [], []
    for name, benchmark, file, training, noted in SETS:
        if not (folder / file).exists():
            missing.append(name)
            continue
        bench = BENCHMARKS[benchmark]
        items = read_items(bench, folder / file)
        train = read_items(bench, folder / training) if training and (folder / training).exists() else None
        fits = [("", (0.0, 1.0)), ("itself", best_span(items)), ("train", best_span(train or []))]
        for k, (said, span) in enumerate(fits):
            if span is None:
                continue  # no training file, or one without durations
            summary = compute_metrics(items, span_answers(items, span), "best-truth")
            earlier = noted[k] if noted is not None and k < 2 else None
            values = {m: 100 * summary[m] for m in MEASURES}
            found.append(
                {
                    "set": name, "items": len(items), "answer": "best constant" if said else "whole video",
                    "span": span, "fitted on": said, **values, "noted": earlier,
                    "differs": earlier is not None
                    and any(abs(values[m] - e) > SLACK for m, e in zip(MEASURES, earlier, strict=True)),
                    "remark": REMARKS.get(name, ""),
                }
            )  # fmt: skip
    return found, missing


def table(found: list[dict]) -> str:
    """The rows as Markdown."""
    lines = [
        "| set | n | answer | fitted on | mIoU | R1@0.3 | R1@0.5 | R1@0.7 | noted | equal |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in found:
        a, b = r["span"]
        noted = "" if r["noted"] is None else " ".join(f"{v:.1f}" for v in r["noted"])
        equal = "" if r["noted"] is None else "no" if r["differs"] else "yes"
        cells = [r["set"], r["items"], f"{r['answer']} [{a:g}, {b:g}]", r["fitted on"]]
        cells += [f"{r[m]:.2f}" for m in MEASURES]
        lines.append("| " + " | ".join(map(str, [*cells, noted, equal])) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Count, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("WHENWHERE_DATA"))
    data = parser.parse_args().data
    if not data:
        parser.error("give --data DIR, or set WHENWHERE_DATA, to the folder that holds annotations/")
    found, missing = rows(Path(data) / "annotations")
    remarks = [f"- {name}: {text}." for name, text in REMARKS.items() if any(r["set"] == name for r in found)]
    text = "# Constant answers, in percent\n\n" + table(found) + "\n" + "\n".join(remarks) + "\n"
    if missing:
        text += f"\nNot at hand: {', '.join(missing)}.\n"
    write_text(HERE / "results" / "constants.json", json.dumps({"rows": found, "missing": missing}, indent=1) + "\n")
    write_text(HERE / "results" / "constants.md", text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

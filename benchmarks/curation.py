"""What each curation filter leaves out of released data sets, and an audit of the same sets; counts only.

    python benchmarks/curation.py [--data DIR] [--part curation|audit]

Three minutes on one core. DIR (or WHENWHERE_DATA) holds `annotations/`; sets that are not there are left out and named.
Writes results/curation.{json,md} after each set, and results/audit.{json,md}. Only counts and scores leave the
annotation files: no sentence, no box.

Each set is curated with the defaults of `whenwhere data curate` and, up to 13 000 items, a cap of ten sentences that
are nearly the same. A cell is the number of items that the filter leaves out *alone*; in brackets those that no other
filter finds. Videos are not at hand, so filters of files are not asked. The partial-annotation and agreement filters
are asked where answers of models are at hand (QVHighlights val: Moment-DETR and CG-DETR). `in_another_set` is asked of
training sets, about the test and validation sets here.

Expected, from earlier counts by other code: 29 items of Time-R1's training set end more than a second after their
video, and 509 of its files are, by their names, already cut.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from whenwhere.curate.audit import audit
from whenwhere.curate.curation import Curation, curate
from whenwhere.curate.item_sets import ItemSet, read_set
from whenwhere.curate.names import video_key
from whenwhere.curate.query_types import QUERY_TYPES, query_types
from whenwhere.curate.set_filters import CurationSettings, Evidence
from whenwhere.evaluate.formats import read_predictions
from whenwhere.store import write_text

HERE = Path(__file__).parent
#: Name, benchmark, file, and whether it is a training set.
SETS = [
    ("Charades-STA train", "charades-sta", "charades_sta/charades_sta_train.txt", True),
    ("Charades-STA test", "charades-sta", "charades_sta/charades_sta_test.txt", False),
    ("ActivityNet val_1", "activitynet-captions", "activitynet_captions/val_1.json", False),
    ("ActivityNet val_2", "activitynet-captions", "activitynet_captions/val_2.json", False),
    ("QVHighlights train", "qvhighlights", "qvhighlights/highlight_train_release.jsonl", True),
    ("QVHighlights val", "qvhighlights", "qvhighlights/highlight_val_release.jsonl", False),
    ("DiDeMo val", "didemo", "didemo/val_data.json", False),
    ("DiDeMo test", "didemo", "didemo/test_data.json", False),
    ("VidSTG val", "vidstg", "vidstg/val_annotations.json", False),
    ("VidSTG test", "vidstg", "vidstg/test_annotations.json", False),
    ("TVGBench", "tvgbench", "tvgbench/tvgbench.json", False),
    ("Time-R1 2.5k", "time-r1", "tvgbench/timer1_train_2k5.json", True),
    ("ActivityNet train", "activitynet-captions", "activitynet_captions/train.json", True),
]
#: Answers of models to a set, for the filters that need them.
ANSWERS = {
    "QVHighlights val": (
        "qvhighlights/moment_detr/sample_val_preds.jsonl", "qvhighlights/CGDETR/best_hl_val_preds.jsonl"
    )
}  # fmt: skip
#: Items of a set up to which sentences that are nearly the same are counted over the whole set.
MOST = 13_000
#: Which types of ours a hand-made type of TVGBench should have, to measure the rules.
TYPES = {
    "Object Counting": "counting", "Object Attribute": "colour or size", "Human Pose": "pose",
    "Object Existence (Simple)": "existence", "Object Existence (Complex)": "existence",
    "Object Transition": "change of state", "Environment State": "camera or editing",
    "Environment Change": "camera or editing",
}  # fmt: skip


def load(folder: Path) -> tuple[dict[str, ItemSet], list[str]]:
    """The sets by name, and the names of those that are not there."""
    found, missing = {}, []
    for name, benchmark, file, _ in SETS:
        if (folder / file).exists():
            found[name] = read_set(folder / file, benchmark)
            found[name].name = name
        else:
            missing.append(name)
    return found, missing


def curated(sets: dict[str, ItemSet], predictions: Path) -> dict[str, dict]:
    """The counts of each filter on each set."""
    training = {name for name, _, _, train in SETS if train}
    out = {}
    for name, one in sets.items():
        began = time.perf_counter()
        tests = {n: s for n, s in sets.items() if n not in training} if name in training else {}
        test_videos = {video_key(item.video): n for n, s in tests.items() for item in s.items}
        files = [predictions / file for file in ANSWERS.get(name, ()) if (predictions / file).exists()]
        answers = [read_predictions(file, one.items).by_id for file in files]
        few = len(one.items) <= MOST
        limits = CurationSettings(max_alike=10 if few else None, agreement=0.3 if answers else None)
        result: Curation = curate(one.items, limits, Evidence(answers, {}, test_videos))
        print(f"{name}: {len(result.kept)} of {len(one.items)} kept, {time.perf_counter() - began:.1f} s", flush=True)
        out[name] = {
            "items": len(one.items), "kept": len(result.kept),
            "filters": {c.name: [c.dropped, c.alone, c.only] for c in result.counts}, "notes": result.notes,
        }  # fmt: skip
        keep("curation", out, curation_report(out))
    return out


def keep(name: str, data: object, text: str) -> None:
    """Write a result."""
    write_text(HERE / "results" / f"{name}.json", json.dumps(data, indent=1) + "\n")
    write_text(HERE / "results" / f"{name}.md", text)


def agreement_of_types(items: list) -> dict[str, dict[str, float]]:
    """For hand-made types of TVGBench: how often our rule finds them, and how often it fires on the other items."""
    found = {}
    for hand, ours in TYPES.items():
        own = [item for item in items if item.type == hand]
        rest = [item for item in items if TYPES.get(item.type or "") != ours]
        if own:
            found[hand] = {
                "rule": ours, "items": len(own),
                "found": sum(ours in query_types(i.query) for i in own) / len(own),
                "elsewhere": sum(ours in query_types(i.query) for i in rest) / len(rest),
            }  # fmt: skip
    return found


def table(rows: list[list[object]]) -> str:
    """Rows as Markdown; the first is the head."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def curation_report(sets: dict) -> str:
    """The counts of the filters as Markdown."""
    filters = [f for f in next(iter(sets.values()))["filters"] if any(s["filters"][f][1] for s in sets.values())]
    rows: list[list[object]] = [["filter", *sets], ["items", *(s["items"] for s in sets.values())]]
    for name in filters:
        cells = []
        for one in sets.values():
            _, alone, only = one["filters"][name]
            cells.append(f"{alone} ({only})" if alone else "–")
        rows.append([f"`{name}`", *cells])
    rows.append(["kept", *(s["kept"] for s in sets.values())])
    text = "# Curation of released sets\n\nLeft out by each filter alone, in brackets: by no other filter.\n\n"
    return text + table(rows)


def audit_report(data: dict) -> str:
    """The audit as Markdown."""
    audited = data["audit"]["sets"]
    names = [one["name"] for one in audited]
    rows: list[list[object]] = [["share of sentences, %", *names]]
    for kind in [*(k.name for k in QUERY_TYPES), "none of these"]:
        rows.append([kind, *(f"{100 * one['types'][kind] / one['items']:.1f}" for one in audited)])
    text = "# Audit of released sets\n\n## Types of queries\n\n" + table(rows)
    rows = [["TVGBench's hand-made type", "our rule", "items", "found, %", "on other items, %"]]
    for hand, one in data["types"].items():
        rows.append([hand, one["rule"], one["items"], f"{100 * one['found']:.0f}", f"{100 * one['elsewhere']:.0f}"])
    text += "\n## Types by rules and by hand\n\n" + table(rows)
    models = ["whole video", "best constant", "query only", "video only", "query and video"]
    rows = [["set", *models, "query only − constant"]]
    for one in audited:
        by = {b["name"]: b for b in one["blind"]}
        if by:
            mean, low, high = (100 * value for value in by["query only"]["gain"])
            cells = [f"{100 * b['mIoU'][0]:.1f}" for b in by.values()]
            rows.append([one["name"], *cells, f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"])
    text += "\n## Constants and blind models, mIoU in percent\n\n" + table(rows)
    rows = [["first", "second", "videos in both", "items of second on them", "same sentence on them",
             "different sentences in both", "of second"]]  # fmt: skip
    for o in data["audit"]["overlaps"]:
        if o["videos"]:
            rows.append([o["a"], o["b"], o["videos"], o["items_of_b"], o["same"], o["sentences"], o["sentences_of_b"]])
    text += "\n## Videos that sets have in common\n\nPairs without common videos are left out.\n\n" + table(rows)
    if data["missing"]:
        text += f"\nNot at hand: {', '.join(data['missing'])}.\n"
    return text


def main() -> int:
    """Curate, audit, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("WHENWHERE_DATA"))
    parser.add_argument("--part", choices=("curation", "audit"), help="only this part; the other stays as it was")
    given = parser.parse_args()
    if not given.data:
        parser.error("give --data DIR, or set WHENWHERE_DATA, to the folder that holds annotations/")
    sets, missing = load(Path(given.data) / "annotations")
    if given.part != "audit":
        print(curation_report(curated(sets, Path(given.data) / "predictions")))
    if given.part != "curation":
        found = audit(list(sets.values()), near=False).as_dict()
        types = agreement_of_types(sets["TVGBench"].items) if "TVGBench" in sets else {}
        data = {"audit": found, "types": types, "missing": missing}
        keep("audit", data, audit_report(data))
        print(audit_report(data))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Whether published ablation plans are read and survive being written again.

    python benchmarks/ablation_plans.py FOLDER

FOLDER holds pages of AblationBench's site (github.com/ablation-bench/ablation-bench.github.io, its folder
`trajectories`), in any folders below it. Cost: some five seconds of one core for its 2071 pages. Expected: all are read
and keep every field through JSON Lines and through Markdown; two only leniently, for they add a part without saying
which. Only counts are written: benchmarks/results/ablation_plans.json and .md.
"""

import json
import sys
from collections import Counter
from pathlib import Path

from whenwhere.ablate.markdown import markdown_text, mend_encoding, read_markdown
from whenwhere.ablate.plan import jsonl_text, read_jsonl, read_plan
from whenwhere.errors import RecordError
from whenwhere.store import write_text

RESULTS = Path(__file__).parent / "results"
ROWS = {
    "pages": "pages",
    "read": "read strictly",
    "read leniently": "read leniently alone",
    "unreadable": "not read",
    "jsonl": "equal after JSON Lines",
    "markdown": "equal after Markdown without boxes",
    "identical": "page written again byte for byte",
    "damaged": "equal after their encoding was damaged",
    "ablations": "ablations",
    "REPLACE": "that replace",
    "REMOVE": "that remove",
    "ADD": "that add",
}


def damaged(text: str) -> str:
    """The text as it looks after its UTF-8 was read as Windows-1252, or Latin-1 where that has no sign."""
    return "".join(
        bytes([b]).decode("latin-1" if b in b"\x81\x8d\x8f\x90\x9d" else "cp1252") for b in text.encode("utf-8")
    )


def count(folder: Path) -> Counter[str]:
    """Counts over all pages below a folder."""
    found: Counter[str] = Counter()
    for path in sorted(folder.rglob("*.md")):
        found["pages"] += 1
        try:
            plan = read_plan(path)
            found["read"] += 1
        except RecordError:
            try:
                plan = read_plan(path, strict=False)
                found["read leniently"] += 1
            except RecordError as e:
                print(e)
                found["unreadable"] += 1
                continue
        text = path.read_text(encoding="utf-8")
        ablations = [item.ablation for item in plan.items]
        found["ablations"] += len(ablations)
        found.update(one.action for one in ablations)
        again = read_markdown(markdown_text(plan), path.name, strict=False)
        found["markdown"] += [item.ablation for item in again.items] == ablations and again.trace == plan.trace
        again = read_jsonl(jsonl_text(plan), path.name, strict=False)
        found["jsonl"] += [item.ablation for item in again.items] == ablations
        found["identical"] += markdown_text(plan, boxes=True) == text
        found["damaged"] += mend_encoding(damaged(text)) == text
    return found


def main() -> None:
    """Count, and write the counts."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        raise SystemExit("usage: python benchmarks/ablation_plans.py FOLDER")
    found = count(Path(sys.argv[1]))
    write_text(RESULTS / "ablation_plans.json", json.dumps({key: found[key] for key in ROWS}, indent=1) + "\n")
    rows = "\n".join(f"| {name} | {found[key]} |" for key, name in ROWS.items())
    write_text(RESULTS / "ablation_plans.md", f"| of AblationBench's site | number |\n|---|---|\n{rows}\n")
    print((RESULTS / "ablation_plans.md").read_text())


if __name__ == "__main__":
    main()

"""Which reward terms can be had without finding the event, and what a thousand rewards cost.

    python benchmarks/rewards.py [--data DIR] [--items 200]

Takes about a minute on one core. DIR (or WHENWHERE_DATA) holds `annotations/`; missing sets are left out and named.
Writes results/rewards.{json,md}; only aggregates leave the annotation files.

Each cell shows best constant answer / best answer with t_IoU <= .1 / answers with a t_IoU of one half, as means over a
fixed sample (`whenwhere.verify.gaming`). Expected: for terms that are stated not to be gameable, the third number is
the highest.

Cost: the default reward (t_IoU and v_IoU, strict reading of the form `second-level`) of 1000 completions, 8 per
question, with truth at one box per second and at 25; processor seconds, the best of five runs.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from whenwhere.answers import FORMS
from whenwhere.datasets import BENCHMARKS
from whenwhere.spans import SpanSet
from whenwhere.store import write_text
from whenwhere.tubes import Tube
from whenwhere.verify import TERMS, Truth, Verifier
from whenwhere.verify.gaming import audit

HERE = Path(__file__).parent
SETS = [
    ("Charades-STA test", "charades-sta", "charades_sta/charades_sta_test.txt"),
    ("ActivityNet Captions val_1", "activitynet-captions", "activitynet_captions/val_1.json"),
    ("QVHighlights val", "qvhighlights", "qvhighlights/highlight_val_release.jsonl"),
    ("VUE-STG", "vue-stg", "vue_stg"),
]
GENERATED = "generated events with boxes"


def events(n: int, rate: float = 1.0, seed: int = 0) -> list[Truth]:
    """Events anywhere in videos of 20-90 s, 3-60 % of them long (log-uniform), with a thing that wanders."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(n):
        duration = rng.uniform(20, 90)
        length = duration * np.exp(rng.uniform(np.log(0.03), np.log(0.6)))
        start = rng.uniform(0, duration - length)
        times = start + np.arange(0, length, 1 / rate)
        steps = rng.normal(0, 8 / np.sqrt(rate), (len(times), 2))
        corner = np.cumsum(steps, 0) + rng.uniform([40, 40], [500, 250])
        when = SpanSet([(start, start + length)])
        tube = Tube(when, times, np.c_[corner, corner + rng.uniform(40, 150)], rate=rate)
        found.append(Truth(when, tube, duration, (640.0, 360.0), choice="ABCD"[k % 4], fps=25.0))
    return found


def released(folder: Path, name: str, file: str, n: int) -> list[Truth]:
    """A fixed sample of a set's items that have an event and a duration."""
    items = [i for i in BENCHMARKS[name].read(folder / file) if i.duration and len(i.span_set)]
    chosen = np.random.default_rng(0).choice(len(items), min(n, len(items)), replace=False)
    # VUE-STG's boxes are shares of the frame: width and height are 1
    return [
        Truth(
            i.span_set,
            i.tubes[0] if i.tubes else None,
            i.duration,
            (float(i.width), float(i.height)) if i.width and i.height else None,
            choice="ABCD"[j % 4],
        )
        for j, i in enumerate(items[k] for k in chosen)
    ]


def cost(rate: float) -> float:
    """Processor seconds of 1000 rewards; truths have `rate` boxes per second, answers one."""
    verifier, truths = Verifier(), events(125, rate)
    texts = [FORMS[verifier.form].render(t.answer(), t.size) for t in truths]
    seconds = []
    for _ in range(5):
        start = time.process_time()
        for k in range(1000):
            verifier.score(texts[k // 8], truths[k // 8])
        seconds.append(time.process_time() - start)
    return min(seconds)


def tables(result: dict) -> str:
    """The result as Markdown."""
    names = list(result["sets"])
    heads = [f"{name} ({measured['items']})" for name, measured in result["sets"].items()]
    lines = [
        "Best constant answer / best answer with t_IoU ≤ .1 / answers with t_IoU = .5; bold where finding the event "
        "does not pay. – : the set lacks what the term needs.",
        "",
        f"| term | says | {' | '.join(heads)} |",
        "| --- | --- |" + " --- |" * len(names),
    ]
    for name, term in TERMS.items():
        cells = []
        for s in names:
            a = result["sets"][s]["terms"].get(name)
            cell = "–" if a is None else f"{a['constant']:.2f} / {a['slip']:.2f} / {a['half']:.2f}"
            cells.append(f"**{cell}**" if a and a["gameable"] else cell)
        if any(cell != "–" for cell in cells):
            lines.append(f"| `{name}` | {'gameable' if term.gameable else 'not'} | {' | '.join(cells)} |")
    lines += ["", "| true boxes per second | processor seconds for 1000 rewards |", "| --- | --- |"]
    lines += [f"| {rate} | {seconds:.2f} |" for rate, seconds in result["seconds"].items()]
    if result["missing"]:
        lines += ["", f"Not there: {', '.join(result['missing'])}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures all terms on all sets, and the cost."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--data", type=Path, default=os.environ.get("WHENWHERE_DATA"))
    asked.add_argument("--items", type=int, default=200)
    args = asked.parse_args()
    sets, missing = {GENERATED: events(args.items)}, []
    for name, benchmark, file in SETS:
        folder = Path(args.data or "nowhere") / "annotations"
        if (folder / file).exists():
            sets[name] = released(folder, benchmark, file, args.items)
        else:
            missing.append(name)
    measured = {}
    for name, truths in sets.items():
        # no released set has letters here; ours are made up
        terms = [t for t in TERMS.values() if name == GENERATED or "choice" not in t.needs]
        found = {
            n: {"constant": a.constant, "answer": a.answer, "slip": a.slip, "half": a.half, "gameable": a.gameable}
            for n, a in audit(terms, truths).items()
        }
        measured[name] = {"items": len(truths), "terms": found}
        print(f"{name}: {len(truths)} items", flush=True)
    result = {"missing": missing, "sets": measured, "seconds": {"1": cost(1.0), "25": cost(25.0)}}
    text = tables(result)
    print(text)
    write_text(HERE / "results" / "rewards.json", json.dumps(result, indent=1) + "\n")
    write_text(HERE / "results" / "rewards.md", text)


if __name__ == "__main__":
    main()

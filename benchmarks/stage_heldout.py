"""The motion grounder on Stage scenes whose look, motion and wording were kept out of its development.

    python benchmarks/stage_heldout.py [--clips 64] [--fresh]

A rerun resumes: the rows of every clip are appended to benchmarks/cache/stage_heldout.jsonl and reused. Cost: about
four minutes on two cores. The rules and both thresholds of `grounders.motion.abstention` were frozen on Stage's dev and
val splits and the three development clips before the run; what was seen of this split before is listed at `SEED`.
Expected: at least 15 points of t_IoU above the whole clip with an interval above 0; at 30 % coverage at least 80 % of
the answers with t_IoU >= 0.5.

Sentences to which nothing in the clip answers (kind `absent`) are reported separately: the whole clip and an answer are
both wrong there, only `unsure` or `absent` is right. If `absent` is claimed, it is scored like an answer (empty truth
and empty answer give 1). An unsure answer counts as 0, and in a second column as the whole clip. Intervals are 95 %
bootstraps over clips.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.motion import MotionGrounder
from whenwhere.grounders.motion.abstention import CONFIDENT, THRESHOLD
from whenwhere.overlap import t_iou, v_iou
from whenwhere.spans import SpanSet
from whenwhere.stage import render_clip
from whenwhere.stats import bootstrap_mean, paired_difference
from whenwhere.store import append_line, read_lines, write_text
from whenwhere.tracking import second_level_times
from whenwhere.tubes import Tube
from whenwhere.video import probe

HERE = Path(__file__).parent
ROWS = HERE / "cache" / "stage_heldout.jsonl"
#: First seed. Development used seeds of other splits, whose looks and words differ whatever the seed. The held-out
#: split was looked at twice before, in totals and figures by kind only; no scene was read, and those seeds are not used
#: again: 5000-5063 (first form: t_IoU 48.7, whole clip 37.9, 67 % right at 30 % coverage) and 6000-6063 (second form:
#: 50.6, whole clip 35.8, 74 % at 30 %). After the second look a third split, `val`, was written without reading this
#: one, and the grounder was developed on `dev` and `val`. The developers saw these parts of the held-out split: some of
#: its word lists once (before the first look, after the lexicon was written), the dress of its places in
#: `backgrounds.py`, its paints and colour words in `palette.py`, and the names of its laws of motion (before the third
#: look). The seeds from 9000 on have been run three times, read in totals and by kind only: for the third look
#: (58.5, whole clip 36.8), after rules for denials, counts and absent kinds were added (47.8 with 70 % answered), and
#: after the loss, which the figures by kind had shown, was mended on dev and val alone. So the last figures are not
#: those of a split that had no influence at all.
SEED = 9000


def clip_rows(seed: int, folder: Path) -> list[dict]:
    """The rows of one clip: one per sentence."""
    path = folder / f"{seed}.mp4"
    scene = render_clip(path, seed, "heldout", sound=False)
    info = probe(path)
    grounder = MotionGrounder()
    full = SpanSet([(0.0, info.duration)])
    times = second_level_times(full[0], 1.0, last=info.last_before(info.duration))
    whole = Tube(full, times, np.repeat([[0.0, 0, info.width, info.height]], len(times), 0))
    rows = []
    for number, q in enumerate(scene.sentences):
        found = grounder.ground(info, GroundingRequest(q.text))
        rows.append(
            {
                "clip": seed, "n": number, "kind": q.kind, "status": found.status, "confidence": found.confidence,
                "moving": scene.moving, "cuts": len(scene.cuts),
                "t": t_iou(found.spans, q.spans) if found.status != "unsure" else 0.0,
                "v": v_iou(found.tubes[0], q.tube) if found.tubes and not q.absent else 0.0,
                "whole t": t_iou(full, q.spans), "whole v": 0.0 if q.absent else v_iou(whole, q.tube),
            }
        )  # fmt: skip
    path.unlink()
    return rows


def summary(rows: list[dict]) -> dict:
    """Means, paired differences, results by kind of sentence, and coverage."""
    there = [r for r in rows if r["kind"] != "absent"]
    absent = [r for r in rows if r["kind"] == "absent"]
    clips = [r["clip"] for r in there]
    answered = [r["status"] == "answered" for r in there]
    mine = [r["t"] for r in there]
    kinder = [r["t"] if a else r["whole t"] for r, a in zip(there, answered, strict=True)]
    whole = [r["whole t"] for r in there]
    out: dict = {
        "sentences": len(there), "clips": len(set(clips)), "answered": float(np.mean(answered)),
        "t, unsure 0": bootstrap_mean(mine, clips)._asdict(),
        "t, unsure whole clip": bootstrap_mean(kinder, clips)._asdict(),
        "t, whole clip": bootstrap_mean(whole, clips)._asdict(),
        "v, unsure 0": bootstrap_mean([r["v"] for r in there], clips)._asdict(),
        "v, whole clip": bootstrap_mean([r["whole v"] for r in there], clips)._asdict(),
        "difference t, unsure 0": paired_difference(mine, whole, clips)._asdict(),
        "difference t, unsure whole clip": paired_difference(kinder, whole, clips)._asdict(),
        "absent": {"sentences": len(absent), "answered": float(np.mean([r["status"] == "answered" for r in absent]))},
        "threshold": THRESHOLD, "confident": CONFIDENT,
    }  # fmt: skip
    out["kinds"] = {
        kind: {
            "n": len(k),
            "answered": float(np.mean([r["status"] == "answered" for r in k])),
            **{name: float(np.mean([r[name] for r in k])) for name in ("t", "v", "whole t", "whole v")},
        }
        for kind in sorted({r["kind"] for r in there})
        if (k := [r for r in there if r["kind"] == kind])
    }
    out["camera"] = {
        name: {"n": len(k), **{key: float(np.mean([r[key] for r in k])) for key in ("t", "v", "whole t")}}
        for name, moves in (("static", False), ("moving", True))
        if (k := [r for r in there if r["moving"] == moves])
    }
    out["risk"] = {"with absent": _risk(rows), "without absent": _risk(there)}
    return out


def _risk(rows: list[dict]) -> dict:
    """The share of answers with t_IoU >= 0.5, by coverage and at the threshold that was fixed before."""
    order = sorted(rows, key=lambda r: -r["confidence"])
    right = np.cumsum([r["t"] >= 0.5 for r in order]) / np.arange(1, len(order) + 1)
    curve = {f"{c:.1f}": float(right[max(0, round(c * len(order)) - 1)]) for c in np.arange(0.1, 1.01, 0.1)}
    sure = [r for r in rows if r["confidence"] >= CONFIDENT]
    return {
        "curve": curve,
        "confident": {
            "coverage": len(sure) / len(rows),
            "right": float(np.mean([r["t"] >= 0.5 for r in sure])) if sure else 0.0,
        },
    }


def table(s: dict) -> str:
    """The result as Markdown."""

    def cell(v: dict) -> str:
        return f"{100 * v['mean']:.1f} [{100 * v['low']:.1f}, {100 * v['high']:.1f}]"

    names = [k for k in s if k.startswith(("t, ", "v, ", "difference"))]
    lines = [
        "# The motion grounder on held-out Stage scenes", "",
        f"{s['sentences']} sentences on {s['clips']} clips, {100 * s['answered']:.0f} % answered. x 100, "
        "95 % over clips.", "",
        "| | |", "|---|---|", *(f"| {n} | {cell(s[n])} |" for n in names), "",
        "| kind | n | answered | t_IoU | v_IoU | whole t | whole v |", "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for kind, v in s["kinds"].items():
        values = " | ".join(f"{100 * v[k]:.0f}" for k in ("answered", "t", "v", "whole t", "whole v"))
        lines.append(f"| {kind} | {v['n']} | {values} |")
    for name, v in s["camera"].items():
        lines.append(
            f"| camera {name} | {v['n']} | | {100 * v['t']:.0f} | {100 * v['v']:.0f} | {100 * v['whole t']:.0f} | |"
        )
    lines += [
        "",
        f"Of {s['absent']['sentences']} sentences to which nothing answers "
        f"{100 * s['absent']['answered']:.0f} % were answered.",
        "",
    ]
    lines += [
        "Share of answers with t_IoU >= 0.5, surest first:",
        "",
        "| coverage | " + " | ".join(s["risk"]["with absent"]["curve"]) + " | fixed threshold |",
    ]
    lines += ["|---" * (2 + len(s["risk"]["with absent"]["curve"])) + "|"]
    for name, v in s["risk"].items():
        cells = " | ".join(f"{100 * x:.0f}" for x in v["curve"].values())
        fixed = f"{100 * v['confident']['right']:.0f} at {100 * v['confident']['coverage']:.0f} %"
        lines.append(f"| {name} | {cells} | {fixed} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the missing clips, then print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--fresh", action="store_true", help="forget earlier rows")
    args = parser.parse_args()
    if args.fresh:
        ROWS.unlink(missing_ok=True)
    done = {entry["clip"]: entry["rows"] for entry in read_lines(ROWS)}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(SEED, SEED + args.clips):
            if seed not in done:
                done[seed] = clip_rows(seed, Path(folder))
                append_line(ROWS, json.dumps({"clip": seed, "rows": done[seed]}))
                print(f"clip {seed - SEED + 1} of {args.clips}", file=sys.stderr)
    result = summary([row for seed in range(SEED, SEED + args.clips) for row in done[seed]])
    write_text(HERE / "results" / "stage_heldout.json", json.dumps(result, indent=1) + "\n")
    text = table(result)
    write_text(HERE / "results" / "stage_heldout.md", text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

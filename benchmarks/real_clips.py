"""The motion grounder on real clips: 15 development sentences on three clips, compared with trivial baselines.

    WHENWHERE_DATA=/path/to/data python benchmarks/real_clips.py

These clips and sentences were used in development (rules were written with them on the screen), so the figures guard
against regressions and say little about other clips; `stage_heldout.py` says more. Result files hold ids and numbers,
no sentences. The true boxes of the two static clips were proposed by background subtraction, which favours a method
like this one, and corrected by one annotator. Expected cost: one minute on two busy cores.

The baselines are: the whole clip and frame; the best constant span and box (fitted on these very sentences, so an upper
bound of its kind); and the largest and longest track, whatever the sentence. Intervals resample sentences.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.motion import MotionGrounder
from whenwhere.overlap import t_iou, v_iou
from whenwhere.spans import SpanSet
from whenwhere.stats import bootstrap_mean, paired_difference
from whenwhere.store import Cache, write_text
from whenwhere.tracking import second_level_times
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo, probe

RESULTS = Path(__file__).parent / "results"
#: Smallest allowed means over the sentences of static clips: a regression guard, not the goal.
LEAST = {"t": 0.65, "v": 0.55}


def truth(q: dict, info: VideoInfo) -> Tube:
    """The annotated tube; the box at second s was drawn on the first frame with pts >= s."""
    keys = sorted(q["boxes"], key=float)
    spans = SpanSet(q.get("spans") or [q["span"]])
    at = np.array([info.times[min(len(info.times) - 1, np.searchsorted(info.times, float(k) - 1e-6))] for k in keys])
    step = min(np.diff([float(k) for k in keys])) if len(keys) > 1 else 1.0
    return Tube(spans, at, [q["boxes"][k] for k in keys], rate=1 / step)


def constant(info: VideoInfo, spans: SpanSet, box: np.ndarray) -> Tube:
    """A tube with the same box all the time."""
    times = np.concatenate([second_level_times(s, 1.0, last=info.last_before(s.end)) for s in spans])
    return Tube(spans, times, np.repeat(box[None], len(times), 0))


def best_constant(items: list[tuple[VideoInfo, Tube]]) -> tuple[float, float, np.ndarray]:
    """Start and end in shares of the duration, and box in shares of the frame, that score best over all items."""
    grid = [(a / 10, b / 10) for a in range(10) for b in range(a + 1, 11)]

    def mean_t(span: tuple[float, float]) -> float:
        return float(
            np.mean([t_iou(SpanSet([(span[0] * i.duration, span[1] * i.duration)]), t.spans) for i, t in items])
        )

    span = max(grid, key=mean_t)
    boxes = [np.median(t.boxes, 0) / [i.width, i.height, i.width, i.height] for i, t in items]
    tried = [*boxes, np.median(boxes, 0), np.array([0.0, 0, 1, 1])]

    def mean_v(box: np.ndarray) -> float:
        size = [np.array([i.width, i.height, i.width, i.height]) for i, _ in items]
        spans = [SpanSet([(span[0] * i.duration, span[1] * i.duration)]) for i, _ in items]
        return float(
            np.mean([v_iou(constant(i, s, box * z), t) for (i, t), s, z in zip(items, spans, size, strict=True)])
        )

    return *span, max(tried, key=mean_v)


def speeds(paths: dict[str, Path]) -> dict[str, dict[str, float]]:
    """By clip: speed of the index in times real time, best of two runs per background; ms of a later question."""
    out: dict[str, dict[str, float]] = {}
    for name, path in paths.items():
        row = {}
        for kind in ("median", "recurring"):
            walls = []
            for _ in range(2):
                info = probe(path)
                grounder = MotionGrounder(background=kind)
                start = time.perf_counter()
                grounder.observe(info)
                walls.append(time.perf_counter() - start)
            row[f"{kind}, times real time"] = info.duration / min(walls)
        grounder.ground(info, GroundingRequest("the first person"))
        each = []
        for query in ("a red car drives to the left", "the woman leaves", "the second man in a black jacket") * 3:
            start = time.perf_counter()
            grounder.ground(info, GroundingRequest(query))
            each.append((time.perf_counter() - start) * 1000)
        row["second question, ms"] = statistics.median(each)
        out[name] = row
    return out


def main() -> int:
    """Run, print and write the results; returns 1 if a mean is below its guard and 2 without data."""
    data = os.environ.get("WHENWHERE_DATA")
    if not data:
        print("set WHENWHERE_DATA to the folder with videos/ and queries/", file=sys.stderr)
        return 2
    root = Path(data)
    queries = json.loads((root / "queries/real-clips.json").read_text("utf-8"))["queries"]
    paths = {q["video"]: root / "videos" / q["video"] for q in queries}
    infos = {name: probe(path) for name, path in paths.items()}
    grounder = MotionGrounder(Cache(enabled=False))
    items = [(infos[q["video"]], truth(q, infos[q["video"]])) for q in queries]
    start, end, box = best_constant(items)
    rows = []
    for q, (info, gold) in zip(queries, items, strict=True):
        found = grounder.ground(info, GroundingRequest(q["query"]))
        full = SpanSet([(0.0, info.duration)])
        frame = np.array([0.0, 0, info.width, info.height])
        _, actors, _ = grounder.observe(info)
        blind = max(actors, key=lambda a: a.mass)
        times = np.concatenate([second_level_times(s, 1.0, last=info.last_before(s.end)) for s in blind.spans])
        answers = {
            "motion": (found.spans, found.tubes[0] if found.tubes else None),
            "whole clip": (full, constant(info, full, frame)),
            "constant": (
                SpanSet([(start * info.duration, end * info.duration)]),
                constant(info, SpanSet([(start * info.duration, end * info.duration)]),
                         box * np.array([info.width, info.height, info.width, info.height])),
            ),
            "blind": (blind.spans, Tube(blind.spans, times, blind.at(times))),
        }  # fmt: skip
        row = {"id": q["id"], "clip": q["video"], "status": found.status, "confidence": found.confidence}
        # Whether the camera moves is taken from the clip's own note, not from our estimate.
        row["camera"] = "moving" if q["video"].startswith("sam2") else "static"
        for name, (spans, tube) in answers.items():
            row[name] = {"t": t_iou(spans, gold.spans), "v": v_iou(tube, gold) if tube is not None else 0.0}
        rows.append(row)
    names = ("motion", "whole clip", "constant", "blind")
    means = {}
    for group in ("static", "moving", "all"):
        chosen = [r for r in rows if group in (r["camera"], "all")]
        means[group] = {
            name: {k: bootstrap_mean([r[name][k] for r in chosen])._asdict() for k in ("t", "v")} for name in names
        }
        means[group]["motion - whole clip"] = {
            k: paired_difference([r["motion"][k] for r in chosen], [r["whole clip"][k] for r in chosen])._asdict()
            for k in ("t", "v")
        }
    result = {
        "sentences": len(rows), "clips": len(paths), "resampled": "sentences", "rows": rows, "means": means,
        "speed": speeds(paths),
    }  # fmt: skip
    write_text(RESULTS / "real_clips.json", json.dumps(_rounded(result), indent=1) + "\n")
    text = _table(result)
    write_text(RESULTS / "real_clips.md", text)
    print(text)
    static = means["static"]["motion"]
    broken = [
        f"static m_{k}IoU {static[k]['mean']:.3f} < {least}" for k, least in LEAST.items() if static[k]["mean"] < least
    ]
    for sentence in broken:
        print("REGRESSION:", sentence, file=sys.stderr)
    return 1 if broken else 0


def _rounded(x: object) -> object:
    if isinstance(x, dict):
        return {k: _rounded(v) for k, v in x.items()}
    if isinstance(x, list):
        return [_rounded(v) for v in x]
    return round(float(x), 4) if isinstance(x, (float, np.floating)) else x


def _table(result: dict) -> str:
    names = ("motion", "whole clip", "constant", "blind")
    lines = [
        "# The motion grounder on the real development clips", "",
        "t_IoU / v_IoU x 100. Development clips: a regression guard, not a claim about other clips.", "",
        "| id | camera | status | confidence | " + " | ".join(names) + " |", "|---" * (4 + len(names)) + "|",
    ]  # fmt: skip
    for r in result["rows"]:
        cells = [f"{100 * r[n]['t']:.0f} / {100 * r[n]['v']:.0f}" for n in names]
        lines.append(
            f"| {r['id']} | {r['camera']} | {r['status']} | {r['confidence']:.2f} | " + " | ".join(cells) + " |"
        )
    lines += [
        "",
        "Means with 95 % intervals over sentences (three clips are too few to resample, so they are too narrow):",
        "",
    ]
    lines += ["| camera | answer | t_IoU | v_IoU |", "|---|---|---|---|"]
    for group, table in result["means"].items():
        for name, v in table.items():
            t, b = (f"{100 * v[k]['mean']:.1f} [{100 * v[k]['low']:.1f}, {100 * v[k]['high']:.1f}]" for k in ("t", "v"))
            lines.append(f"| {group} | {name} | {t} | {b} |")
    lines += ["", "Speed, cache off:", "", "| clip | median bg | recurring bg | second question |", "|---|---|---|---|"]
    for name, v in result["speed"].items():
        lines.append(
            f"| {name} | {v['median, times real time']:.1f}x | {v['recurring, times real time']:.1f}x "
            f"| {v['second question, ms']:.1f} ms |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())

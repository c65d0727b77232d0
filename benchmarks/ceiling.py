"""The ceiling of second-level boxes: what rate, fill and smoothing would give if a model answered every second right.

There is no model and no learning: the boxes at the second-level times are those of the truth, with a random error.
Every span is exact, so the numbers are the spatial half of v_IoU, the mean IoU over frames. There are two worlds with
the same settings:

- `tracks`: clips of real per-frame tracks (LaSOT, 30 frames per second) without frames, so without `flow`;
- `clips`: procedural clips with pixels (`hard_clips`), of seeds that the fill benchmark did not use.

A row is one clip with the score of every setting. Rows are stored, so that an interrupted run can be resumed.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import hard_clips
import numpy as np
from box_noise import drawn, shaken, unsteadiness
from numpy.typing import NDArray

from whenwhere import Span, SpanSet, Tube, box_iou
from whenwhere.datasets import lasot
from whenwhere.store import append_line, read_lines
from whenwhere.tracking import fill_tube, fill_tubes, second_level_times, smooth
from whenwhere.video import VideoInfo, probe

RATES = (0.5, 1.0, 2.0, 4.0)
SMOOTHERS = ("none", "gauss", "rts", "hampel")
SIZES = (0.0, 0.02, 0.05, 0.1)
MEMORIES = (0.0, 0.5, 0.9)
#: Quartiles of the motion of real tracks in box sizes per second, fixed beforehand by research on LaSOT.
EDGES = (0.136, 0.301, 0.752)
QUARTILES = ("slowest", "second", "third", "fastest", "all")
#: Errors with which `flow` is run besides the measured ones; they are few because it tracks anew for every setting.
FLOW_ERRORS = ((0.0, 0.0), (0.05, 0.0), (0.1, 0.0), (0.1, 0.9))
LENGTHS = {"< 5 s": (0.0, 5.0), "5-10 s": (5.0, 10.0), "> 10 s": (10.0, np.inf)}
#: First seed of the procedural clips; the fill benchmark used those below 300.
FIRST_SEED = 300


def noises(measured: dict[str, tuple[float, float]]) -> list[tuple[float, float]]:
    """(size, memory) of every error: the grid, then the measured ones; an error of size 0 has no memory.

    >>> len(noises({})), noises({"model": (0.2, 0.8)})[-1]
    (10, (0.2, 0.8))
    """
    grid = [(s, m) for s in SIZES for m in MEMORIES if s or not m]
    return grid + [v for v in measured.values() if v not in grid]


def quartile(speed: float) -> str:
    """The name of the motion quartile of a speed in box sizes per second."""
    return QUARTILES[int(np.searchsorted(EDGES, speed, side="right"))]


def speed(boxes: NDArray[np.float64], step: int) -> float:
    """The median displacement of the centre in a second, in box sizes (square root of the area).

    Args:
        boxes: (n, 4) boxes, one per frame.
        step: Frames in a second; in a shorter clip the longest displacement is scaled.
    """
    step_ = min(step, len(boxes) - 1)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    size = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    way = np.linalg.norm(middle[step_:] - middle[:-step_], axis=1)
    return float(np.median(way / np.sqrt(size[step_:] * size[:-step_])) * step / step_)


def key(rate: float, fill_: str, smoother: str, size: float, memory: float) -> str:
    """The name of a setting's score."""
    return f"{rate:g} {fill_} {smoother} {size:g} {memory:g}"


def score_all(
    times: NDArray[np.float64], truth: NDArray[np.float64], fills: tuple[str, ...], errors: list[tuple[float, float]],
    rng: np.random.Generator, info: VideoInfo | None = None,
) -> tuple[dict[str, float], dict[str, float]]:  # fmt: skip
    """Mean IoU × 100 and unsteadiness of every setting on one clip.

    Args:
        times: (n,) seconds of the frames in which the object is seen without a break.
        truth: (n, 4) its boxes in these frames.
        fills: Names of fills: `linear`, `pchip`, `flow`.
        errors: (size, memory) of the boxes' errors.
        rng: The random generator of the errors.
        info: The probed video, for `flow`.
    """
    frame = float(np.median(np.diff(times)))
    span = Span(float(times[0]), float(times[-1]) + frame)
    score: dict[str, float | str] = {}
    shake: dict[str, float | str] = {}
    slow = {*FLOW_ERRORS, *(e for e in errors if e[0] not in SIZES)}
    flows: list[tuple[str, Tube]] = []
    for rate, (size, memory) in itertools.product(RATES, errors):
        at = second_level_times(span, rate, float(times[-1]))
        index = np.clip(np.searchsorted(times, at + 1e-6, side="right") - 1, 0, None)
        boxes = shaken(truth[index], drawn(at, size, memory, rng)) if size else truth[index]
        answered = Tube(SpanSet([span]), at, boxes, rate)
        # A smoother that changes nothing gives the same score as none.
        known: dict[tuple[str, bytes], str] = {}
        for smoother, how in itertools.product(SMOOTHERS, fills):
            if how == "flow" and (size, memory) not in slow:
                continue
            tube = smooth(answered, smoother)
            name, same = key(rate, how, smoother, size, memory), (how, tube.boxes.tobytes())
            if same in known:
                score[name] = known[same]
                continue
            known[same] = name
            if how == "flow":
                flows.append((name, tube))
                continue
            filled = fill_tube(tube, times, how)
            score[name] = 100 * float(box_iou(filled, truth).mean())
            shake[name] = unsteadiness(filled, frame)
    if flows:
        for (name, _), filled in zip(flows, fill_tubes([t for _, t in flows], times, "flow", info), strict=True):
            score[name] = 100 * float(box_iou(filled, truth).mean())
            shake[name] = unsteadiness(filled, frame)
    for name, same_as in list(score.items()):
        if isinstance(same_as, str):
            score[name], shake[name] = score[same_as], shake[same_as]
    return {k: round(float(v), 3) for k, v in score.items()}, {k: round(float(v), 4) for k, v in shake.items()}


def track_clips(path: Path, each: int = 15) -> Iterator[tuple[str, str, NDArray[np.float64], NDArray[np.float64]]]:
    """(id, sequence, times, boxes) of random clips of 3 to 15 s in which the target is always seen.

    Args:
        path: The folder with LaSOT's boxes.
        each: Clips per sequence.
    """
    for item in lasot.read(path):
        tube = item.tubes[0]
        frames = np.rint(tube.times * lasot.RATE).astype(int)
        runs = np.split(np.arange(len(frames)), np.flatnonzero(np.diff(frames) > 1) + 1)
        rng = np.random.default_rng([7, *item.id.encode()])
        for k in range(each):
            long = [r for r in runs if len(r) >= 3 * lasot.RATE]
            if not long:
                break
            run = long[rng.choice(len(long), p=np.array([len(r) for r in long]) / sum(len(r) for r in long))]
            n = min(int(rng.uniform(3, 15) * lasot.RATE), len(run))
            start = int(rng.integers(0, len(run) - n + 1))
            part = run[start : start + n]
            yield f"{item.id}/{k}", item.id, tube.times[part], tube.boxes[part]


def track_row(name: str, group: str, times: NDArray[np.float64], truth: NDArray[np.float64],
              errors: list[tuple[float, float]], index: int) -> dict:  # fmt: skip
    """The row of one clip of a real track; every seventh clip is measured with errors too."""
    rng = np.random.default_rng([11, index])
    noisy = errors if index % 7 == 0 else [(0.0, 0.0)]
    score, shake = score_all(times, truth, ("linear", "pchip"), noisy, rng)
    row = {"world": "tracks", "id": name, "group": group, "speed": round(speed(truth, int(lasot.RATE)), 4),
           "length": round(len(times) / lasot.RATE, 3), "score": score, "shake": shake}  # fmt: skip
    row["as_published"] = as_published(times, truth, index)
    row["truth_shake"] = round(unsteadiness(truth, 1 / lasot.RATE), 4)
    return row


def as_published(times: NDArray[np.float64], truth: NDArray[np.float64], index: int) -> dict[str, float]:
    """Scores under the settings of the research notes: whole steps without the span's ends, independent errors."""
    out = {}
    rng = np.random.default_rng([12, index])
    span = Span(float(times[0]), float(times[-1]) + 1 / lasot.RATE)
    for rate in RATES:
        at = np.arange(np.ceil(times[0] * rate - 1e-6), np.floor(times[-1] * rate + 1e-6) + 1) / rate
        at = at[(at >= times[0]) & (at <= times[-1])]
        if not len(at):
            at = times[:1]
        boxes = truth[np.searchsorted(times, at + 1e-6, side="right") - 1]

        def say(name: str, boxes: NDArray[np.float64], how: str, smoother: str = "none",
                at: NDArray[np.float64] = at, rate: float = rate) -> None:  # fmt: skip
            tube = smooth(Tube(SpanSet([span]), at, boxes, rate), smoother)
            out[f"{rate:g} {name}"] = round(100 * float(box_iou(fill_tube(tube, times, how), truth).mean()), 3)

        for how in ("hold", "linear", "pchip"):
            say(how, boxes, how)
        say("hampel", boxes, "linear", "hampel")
        if index % 7:
            continue
        for size in SIZES[1:]:
            other = shaken(boxes, rng.normal(0, size, boxes.shape))
            for how in ("linear", "pchip"):
                say(f"{how} noise {size:g}", other, how)
            for smoother in ("gauss", "rts"):
                say(f"{smoother} noise {size:g}", other, "linear", smoother)
        jump = rng.random(len(boxes)) < 0.05
        way = rng.uniform(0, 2 * np.pi, len(boxes))
        width = (boxes[:, 2] - boxes[:, 0]) * 1.5 * jump
        moved = boxes + np.tile(np.stack([np.cos(way), np.sin(way)], 1) * width[:, None], 2)
        moved = shaken(moved, rng.normal(0, 0.02, boxes.shape))
        say("linear jumps", moved, "linear")
        say("hampel jumps", moved, "linear", "hampel")
    return out


def clip_row(seed: int, folder: Path, errors: list[tuple[float, float]]) -> dict:
    """The row of one procedural clip."""
    path = folder / f"{seed}.mp4"
    truth = hard_clips.write(seed, path)
    info = probe(path)
    seen = np.flatnonzero(~np.isnan(truth[:, 0]))
    stay = max(np.split(seen, np.flatnonzero(np.diff(seen) > 1) + 1), key=len)
    times, boxes = info.times[stay], truth[stay]
    score, shake = score_all(times, boxes, ("linear", "pchip", "flow"), errors, np.random.default_rng([13, seed]), info)
    path.unlink()
    return {"world": "clips", "id": seed, "group": seed, "speed": round(speed(boxes, hard_clips.FPS), 4),
            "length": round(len(times) / hard_clips.FPS, 3), "score": score, "shake": shake,
            "truth_shake": round(unsteadiness(boxes, 1 / hard_clips.FPS), 4)}  # fmt: skip


def measure(
    store: Path, errors: list[tuple[float, float]], tracks: Path | None, each: int, clips: int,
    said: Callable[[str], None] = print,
) -> list[dict]:  # fmt: skip
    """All rows; those in `store` are not measured again.

    Args:
        store: The file of rows, to which new ones are appended.
        errors: (size, memory) of the boxes' errors.
        tracks: The folder with LaSOT's boxes; None leaves that world out.
        each: Clips per sequence of LaSOT.
        clips: Number of procedural clips.
        said: Called with a line of progress.
    """
    rows = {(r["world"], str(r["id"])): r for r in read_lines(store)} if store.exists() else {}

    def keep(row: dict) -> None:
        append_line(store, json.dumps(row))
        rows[row["world"], str(row["id"])] = row

    wanted = set()
    if tracks is not None:
        for index, (name, group, times, truth) in enumerate(track_clips(tracks, each)):
            wanted.add(("tracks", name))
            if ("tracks", name) not in rows:
                keep(track_row(name, group, times, truth, errors, index))
                if index % 200 == 0:
                    said(f"tracks: {index} clips")
    for seed in range(FIRST_SEED, FIRST_SEED + clips):
        wanted.add(("clips", str(seed)))
        if ("clips", str(seed)) not in rows:
            keep(clip_row(seed, store.parent, errors))
            said(f"clips: seed {seed}")
    return [r for k, r in rows.items() if k in wanted]

"""What second-level grounding costs beside framewise and uniform-N: same clips, same answering model, same counting.

The answers are computed (`world_model`) from the frames that each way of asking shows, with the error of boxes that was
measured on a real model (vidi2: size 0.046, memory 0.776; `box_noise`) and none, so that the scores say what a way of
asking loses, never how good a model is. Tokens are those of Qwen3-VL's picture grid and pre-tokenizer.

Two sets: staged clips of 9 to 18 s at 25 frames a second, without shot cuts (`stage`, input fps × output rate), and one
procedural video of each length from 10 s to 3 h (`lengths`). Framewise is asked for every frame up to ten minutes;
above, its planner counts what it would ask, and the answers are counted without pictures (`planned`). Seconds are wall
time of decoding, asking and reading the computed answers: a real model's own time comes on top and goes with its
tokens. A row is one sentence asked in one way.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import long_video
import numpy as np
from box_noise import unsteadiness
from numpy.typing import NDArray
from world_model import Asked, Faults, Known, World, WorldBackend, known, tokens

from whenwhere import SpanSet, Tube, box_iou, s_iou, t_iou, v_iou
from whenwhere.answers import FORMS, ParsedAnswer
from whenwhere.answers.dialects import DIALECTS
from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.framewise import Framewise
from whenwhere.grounders.second_level import SecondLevel
from whenwhere.grounders.uniform import Uniform
from whenwhere.stage import render_clip
from whenwhere.store import append_line, read_lines
from whenwhere.tracking import fill_tube
from whenwhere.video import VideoInfo, probe

FPS = 25
INPUTS = (0.5, 1.0, 2.0, 4.0)
RATES = (0.5, 1.0, 2.0, 4.0)
UNIFORM = (8, 16, 32, 64)
#: Seeds of the staged clips.
FIRST_SEED = 700
LENGTHS = {"10 s": 10, "1 min": 60, "10 min": 600, "1 h": 3600, "3 h": 10800}
#: Longest video whose every frame is asked about, seconds.
EVERY_FRAME = 600
#: Errors of boxes: none, and as measured on vidi2 (`second_level.py` prints the measurement).
NOISES = {"exact": Faults(), "as vidi2": Faults(ends=0.2, size=0.046, memory=0.776)}


def ways(seconds: float, exact: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names of the ways to ask about a staged clip, and their settings; exact answers come in the main ones."""
    for fps in (2.0,) if exact else INPUTS:
        for rate in (1.0,) if exact else RATES:
            yield f"second-level {fps:g} fps {rate:g}/s", {"by": SecondLevel, "fps": fps, "rate": rate}
    for fps in () if exact else (1.0, 2.0, 4.0):
        yield f"second-level {fps:g} fps 1/s pairs", {"by": SecondLevel, "fps": fps, "rate": 1.0, "frames": "pairs"}
    for fps in (None,) if exact else (1.0, 5.0, None):
        yield f"framewise {fps or FPS:g} fps", {"by": Framewise, "fps": fps, "rate": fps or FPS}
    for n in UNIFORM[-1:] if exact else UNIFORM:
        yield f"uniform {n}", {"by": Uniform, "fps": n / seconds, "rate": 1.0}


def asked(truth: Known, info: VideoInfo, world: World, by: Any, fps: float | None, rate: float,
          frames: str = "images", flow: bool = False) -> dict[str, Any]:  # fmt: skip
    """One sentence asked in one way."""
    backend = WorldBackend(world, DIALECTS["qwen3-vl"], frames)
    began = time.perf_counter()
    found = by(backend).ground(info, GroundingRequest(truth.text, rate=rate, sample_fps=fps))
    spent = time.perf_counter() - began
    cost = found.costs
    assert cost is not None
    row: dict[str, Any] = {
        "calls": cost.calls, "prompt_tokens": cost.prompt_tokens, "output_tokens": cost.output_tokens,
        "frames_decoded": cost.frames_decoded, "frames_shown": cost.frames_shown, "seconds": round(spent, 4),
        "t": 100 * t_iou(truth.spans, found.spans), "absent": not len(truth.spans),
    }  # fmt: skip
    if not len(truth.spans):
        row["v"] = row["t"]
        return row
    inside = truth.seen.times[truth.spans.index(truth.seen.times + 1e-9) >= 0]
    exact = Tube(truth.spans, inside, truth.seen.boxes_at(inside), rate=truth.seen.rate)
    tube = found.tubes[0] if found.tubes else Tube(SpanSet())
    row["s"], row["v"] = 100 * s_iou(exact, tube), 100 * v_iou(exact, tube)
    if flow and len(tube):
        at = info.times[found.spans.index(info.times) >= 0]
        for how in ("linear", "flow"):
            began = time.perf_counter()
            boxes = fill_tube(tube, at, how, info)
            row[f"{how} seconds"] = round(time.perf_counter() - began, 4)
            true = exact.boxes_at(at)
            both = ~np.isnan(true[:, 0]) & ~np.isnan(boxes[:, 0])
            if both.sum() > 2:
                row[f"{how} s"] = 100 * float(box_iou(boxes[both], true[both]).mean())
                row[f"{how} shake"] = unsteadiness(boxes[both], 1 / info.fps)
                row["truth shake"] = unsteadiness(true[both], 1 / info.fps)
    return row


def framewise_tokens(truth: Known, world: World, times: NDArray[np.float64], size: tuple[int, int]) -> int:
    """Tokens of the answers about every single frame; a plan takes each for a box, where most are empty."""
    dialect = DIALECTS["qwen3-vl"]
    there = world.perceived(truth).index(times + 1e-6) >= 0
    prompts = [(dialect.ask_where(truth.text, "", [float(t)]), np.array([t])) for t in times[there]]
    written = sum(tokens(world.answer(Asked(prompt, at, size), dialect)) for prompt, at in prompts)
    return written + int((~there).sum()) * tokens(FORMS[dialect.boxes_form].render(ParsedAnswer("absent")))


def measure(store: Path, clips: int, longest: int, said: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """All rows; those in `store` are not measured again."""
    rows = {r["key"]: r for r in read_lines(store)} if store.exists() else {}
    wanted: set[str] = set()

    def want(key: str, make: Callable[[], dict[str, Any]], **what: Any) -> None:
        wanted.add(key)
        if key not in rows:
            rows[key] = {"key": key, **what, **make()}
            append_line(
                store, json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in rows[key].items()})
            )

    for seed in range(FIRST_SEED, FIRST_SEED + clips):
        path = store.parent / f"stage-{seed}.mp4"
        if f"done {seed}" in rows:
            wanted |= {k for k, r in rows.items() if r.get("seed") == seed}
            continue
        scene = render_clip(path, seed, fps=FPS, sound=False)
        info = probe(path)
        for truth in known(scene):
            for noise, faults in NOISES.items():
                world = World([truth], faults)
                for name, how in ways(info.duration, noise == "exact"):
                    flow = how["by"] is SecondLevel and how["fps"] == 2 and "frames" not in how

                    def make(truth: Known = truth, info: VideoInfo = info, world: World = world,
                             how: dict[str, Any] = how, flow: bool = flow) -> dict[str, Any]:  # fmt: skip
                        return asked(truth, info, world, **how, flow=flow)

                    want(f"{seed} {truth.text} {noise} {name}", make, set="stage", seed=seed, noise=noise, way=name)
        want(f"done {seed}", dict, set="done", seed=seed)
        path.unlink()
        said(f"cost: clip {seed}")
    for name, seconds in LENGTHS.items():
        if seconds > longest:
            continue
        _length(store.parent / "long.mp4", name, seconds, want, rows)
        said(f"cost: {name}")
    return [r for k, r in rows.items() if k in wanted]


def _length(path: Path, name: str, seconds: int, want: Callable[..., None], rows: dict[str, dict[str, Any]]) -> None:
    truths = long_video.truths(seconds, FPS)
    ways_here: dict[str, dict[str, Any]] = {
        "second-level 2 fps 1/s": {"by": SecondLevel, "fps": 2.0, "rate": 1.0},
        "uniform 64": {"by": Uniform, "fps": 64 / seconds, "rate": 1.0},
        f"framewise {FPS} fps": {"by": Framewise, "fps": None, "rate": FPS},
    }
    info: VideoInfo | None = None
    for truth in truths:
        for way, how in ways_here.items():
            key = f"{name} {truth.text} {way}"
            if key not in rows and info is None:
                long_video.write(path, seconds, FPS)
                info = probe(path)

            def make(truth: Known = truth, how: dict[str, Any] = how, info: VideoInfo | None = info) -> dict[str, Any]:
                assert info is not None
                world = World([truth], NOISES["as vidi2"])
                if how["by"] is Framewise and seconds > EVERY_FRAME:
                    plan = Framewise(WorldBackend(world, DIALECTS["qwen3-vl"])).estimate(
                        info, GroundingRequest(truth.text)
                    )
                    counts = {k: plan[k] for k in ("calls", "prompt_tokens")}
                    written = framewise_tokens(truth, world, info.times, (info.width, info.height))
                    return {"planned": True, "absent": not len(truth.spans), "output_tokens": written} | counts
                return asked(truth, info, world, **how)

            want(key, make, set="lengths", length=name, way=way)
    path.unlink(missing_ok=True)

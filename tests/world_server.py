"""A model behind an address that knows a staged clip's truth: `benchmarks/world_model.py` over `chat_server`.

    with world_server(World(known(scene))) as server:
        run("ground", clip, sentence, "--model", f"{server.url}#qwen3-vl-world")

The model's name says which family's form it answers in. It reads what a real server would: the words, the times that
are written before the pictures (or told for a video), and the size of the pictures; so it can tell no more than what
was shown. Tests that need no protocol use `world_model.WorldBackend`.
"""

import importlib.util
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from chat_server import ChatServer, Fault, Request

from whenwhere.answers.dialects import DIALECTS, dialect_for


def world_model() -> ModuleType:
    """The benchmark's module, by path: it shares its folder with modules of the tests' names."""
    if "world_model" not in sys.modules:
        path = Path(__file__).parent.parent / "benchmarks" / "world_model.py"
        spec = importlib.util.spec_from_file_location("world_model", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["world_model"] = module
        spec.loader.exec_module(module)
    return sys.modules["world_model"]


_model = world_model()
Asked, Faults, Known, World, WorldBackend, known = (
    _model.Asked, _model.Faults, _model.Known, _model.World, _model.WorldBackend, _model.known
)  # fmt: skip

#: What the server is called for each family.
NAMES = {name: f"{name}-world" for name in DIALECTS}


def times_of(request: Request) -> np.ndarray:
    """Seconds of the pictures: written before each, listed in words, or told beside a video."""
    text = request.text()
    if written := re.findall(r"<(\d+(?:\.\d+)?) seconds>", text):
        return np.array([float(t) for t in written])
    if listed := re.search(r"located at ([\d.s,]+?)s\.", text):
        return np.unique([float(t) for t in listed[1].replace("s", "").split(",")])
    told = request.body.get("media_io_kwargs", {}).get("video", {})
    return np.unique(np.array(told.get("frames_indices", ()), float) / told.get("fps", 1.0))


def asked_of(request: Request):
    """A request as the computed model takes it."""
    pictures = request.pictures()
    height, width = pictures[0].shape[:2] if pictures else (0, 0)
    parts = [p["text"] for p in request.parts() if p["type"] == "text"]
    drawn = bool(request.body.get("temperature"))
    seed = int(request.body.get("seed") or 0) + request.index if drawn else 0
    return Asked(parts[-1], times_of(request), (width, height), seed)


def world_server(world, faults: Iterable[Fault] = (), **settings) -> ChatServer:
    """A server whose answers are the world's; other settings as of `ChatServer`."""

    def answer(request: Request) -> str:
        return world.answer(asked_of(request), dialect_for(request.body["model"]))

    return ChatServer(answer, models=list(NAMES.values()), faults=faults, **settings)

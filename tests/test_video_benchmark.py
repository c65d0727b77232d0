"""The parts of the reader benchmark: its clips carry their numbers, its workers return what they promise."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def load(name: str) -> ModuleType:
    # By path and under another name: `clips` is also the tests' own module.
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def worker(*task: object) -> object:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "reader.py"), "--worker", json.dumps(task)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def special(tmp_path_factory: pytest.TempPathFactory) -> list:
    return load("clips").special(tmp_path_factory.mktemp("special"))


def test_ours_is_right_on_every_special_clip(special: list) -> None:
    """The correctness table's first column has no failure: right everywhere, or refused where nothing can be read."""
    reader = load("reader")
    sys.path.insert(0, str(BENCHMARKS))
    own = sys.modules.pop("clips", None)
    try:
        for clip in special:
            answer = reader.examine("whenwhere", str(clip.path), clip.times, clip.numbers, clip.lost)
            expected = "refused (MediaError)" if clip.numbers is None else "/"
            assert expected in answer and "**" not in answer, (clip.name, answer)
            if clip.name.startswith(("damaged", "cut off, index")):
                assert "warns" in answer
    finally:
        sys.path.remove(str(BENCHMARKS))
        sys.modules.pop("clips", None)
        if own is not None:
            sys.modules["clips"] = own


def test_workers_measure(special: list) -> None:
    clip = next(c for c in special if c.name == "constant rate")
    for method in ("whenwhere", "PyAV sequential"):
        result = worker(method, "measure", str(clip.path), 1.0, 10)
        assert isinstance(result, dict)
        assert result["wrong"] == 0
        assert result["frames"] == 10
        assert 0 < result["wall"] < 60
    result = worker("whenwhere", "memory", str(clip.path), 10)
    assert isinstance(result, dict)
    assert result["frames"] == 10


def test_tables_show_every_cell_and_what_went_wrong() -> None:
    reader = load("reader")
    cell = {
        "whenwhere": [{"wall": 1.0, "cpu": 1.5, "wrong": 0, "frames": 10}],
        "decord": [{"wall": 0.5, "cpu": 0.5, "wrong": 3, "frames": 10}],
        "OpenCV grab": [{"wall": w, "cpu": 4.0, "wrong": 0, "frames": 10} for w in (1.9, 2.0, 9.0)],
        "ffmpeg pipe": "ModuleNotFoundError: x",
    }
    # A fast peer with wrong frames is not compared with.
    assert reader.best_peer(cell) == ("OpenCV grab", 2.0)
    assert reader.ratio(cell) == 2.0
    name = reader.cell_name(*reader.cells()[0][:4])
    text = reader.tables({"machine": {}, "cells": {name: cell}, "correct": {}, "memory": {}})
    assert f"| {name} | 2.00 | **1.00 / 1.50** |" in text
    assert "0.50 / 0.50 ✗3" in text
    assert "not installed" in text
    assert text.count("| not run |") == len(reader.cells()) - 1

"""`--pipeline detector:DETECTOR+PROPAGATOR` through the command line.

A served model that knows the staged clip says when, which and which number; detector and trackers are tiny, random
checkpoints of the real classes in folders.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_trackers
from chat_server import ChatServer, Request
from forked import TORCH
from world_server import NAMES, World, asked_of, known

from whenwhere.answers.dialects import dialect_for
from whenwhere.errors import ModelError, SettingError
from whenwhere.grounders.detector.named import load_detector
from whenwhere.records import Grounding
from whenwhere.session import check_model
from whenwhere.settings import GroundingSettings
from whenwhere.stage import Scene, render_clip

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scene]:
    path = tmp_path_factory.mktemp("staged") / "clip.mp4"
    how = {"cuts": False, "camera": "static", "sound": False}
    return path, render_clip(path, 3, width=128, height=72, fps=6, seconds=8, **how)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkpoints")
    for kind in ("grounding_dino", "sam2"):
        tiny_trackers.save(kind, root / kind)
    return root


@pytest.fixture
def served(clip: tuple[Path, Scene]) -> Iterator[ChatServer]:
    world = World(known(clip[1]))

    def answer(request: Request) -> str:
        asked = asked_of(request)
        if "candidates are boxed and numbered" in asked.prompt:
            return "Target ID: 1"
        return str(world.answer(asked, dialect_for(request.body["model"])))

    with ChatServer(answer, models=list(NAMES.values())) as server:
        yield server


@pytest.mark.torch
def test_through_the_command_line(
    cli: Cli, clip: tuple[Path, Scene], folder: Path, served: ChatServer, tmp_path: Path
) -> None:
    query = next(q for q in clip[1].sentences if not q.absent)
    pipeline = f"detector:{folder / 'grounding_dino'}+{folder / 'sam2'}"
    common = ("ground", clip[0], query.text, "--model", f"{served.url}#qwen3-vl-world", "--pipeline", pipeline)
    where = ("--span", "1-2", "--cache", tmp_path / "cache", "--json")
    plan = json.loads(cli(*common, *where, "--dry-run").stdout)
    assert served.answered == 0
    assert {"which", "detect", "choose"} == set(plan["steps"]) and plan["steps"]["detect"]["frames"] == 6
    out = ("--trace", "--out", tmp_path / "out", "--export", "json,mot,html")
    done = cli(*common, *where, *out, imports=TORCH)
    record = Grounding.from_json(done.stdout)
    assert record.status == "answered" and record.settings is not None and record.settings.pipeline == pipeline
    assert [(s.start, s.end) for s in record.spans] == [(1.0, 2.0)]
    (tube,) = record.tubes
    assert {"propagated"} <= {box.source for box in tube.boxes} <= {"model", "propagated"} and len(tube.boxes) > 2
    assert record.raw is not None
    assert [step["step"] for step in record.raw] == ["which", "detect", "choose"]
    assert record.raw[1]["detector"] == str(folder / "grounding_dino")
    assert record.cost.calls == served.answered == 2
    assert record.reading is not None and record.candidates
    assert len(list((tmp_path / "out").rglob("*.*"))) >= 3


@pytest.mark.torch
def test_what_cannot_be_had_is_one_sentence(
    cli: Cli, clip: tuple[Path, Scene], folder: Path, served: ChatServer, tmp_path: Path
) -> None:
    dino, model = folder / "grounding_dino", f"{served.url}#qwen3-vl-world"
    done = cli("ground", clip[0], "a dog", "--model", model, "--pipeline", f"detector:{tmp_path}", status=None)
    assert done.returncode != 0 and "holds no checkpoint" in done.stderr and "Traceback" not in done.stderr
    for pipeline, said in (
        (f"detector:{folder / 'sam2'}", "is of the kind sam2_video, not an object detector"),
        (f"detector:{dino}+{dino}", "is of the kind grounding-dino, not a model that follows things"),
    ):
        with pytest.raises(ModelError, match=said):
            load_detector(pipeline)
    assert served.answered == 0


def test_settings_know_the_pipeline() -> None:
    assert GroundingSettings(pipeline="detector", samples=3).pipeline == "detector"
    with pytest.raises(SettingError, match="there is no pipeline"):
        GroundingSettings(pipeline="second-level:x")
    with pytest.raises(SettingError, match="pipelines and samples are for vision-language models"):
        check_model("motion", GroundingSettings(pipeline="detector:owner/name"))
    for pipeline, said in (
        ("detector:a/b+", "names no model"), ("detector:", "names no model"),
        ("detector:x", "there is no detector 'x'"),
        ("detector:http://localhost:1/v1#dino", "a detector runs in this process"),
    ):  # fmt: skip
        with pytest.raises(SettingError, match=said):
            check_model("http://localhost:8000/v1#m", GroundingSettings(pipeline=pipeline))
    one = GroundingSettings(pipeline="detector:a/b").identity()
    assert one != GroundingSettings(pipeline="detector:a/c").identity()

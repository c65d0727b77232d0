"""Model back ends: what a name means, who owns what is loaded, and several questions in flight at once."""

import re
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from chat_server import ChatServer, Request

import whenwhere
from whenwhere.answers.dialects import DIALECTS
from whenwhere.chat import Budget
from whenwhere.datasets.item import Item
from whenwhere.errors import SettingError
from whenwhere.grounders import GroundingRequest, GroundingResult
from whenwhere.grounders.pipelines import PIPELINES, PipelineKind
from whenwhere.models.backends import ModelBackend, ModelCall, ModelReply, local, resolve
from whenwhere.models.backends.base import BackendKind, BackendOptions
from whenwhere.models.backends.endpoint import EndpointBackend
from whenwhere.models.backends.pool import QuestionPool
from whenwhere.records import Grounding
from whenwhere.settings import GroundingSettings
from whenwhere.spans import SpanSet
from whenwhere.store import Cache
from whenwhere.video import VideoInfo

SENTENCES = [f"event {k / 4:g}" for k in range(1, 16)]
UNIFORM = GroundingSettings(pipeline="uniform")


class Canned(ModelBackend):
    """Says that everything happens from 1 to 2 s."""

    dialect = DIALECTS["qwen3-vl"]

    def __init__(self, name: str = "canned") -> None:
        self.name, self.closed = name, 0

    def ask(self, calls: Sequence[ModelCall]) -> list[ModelReply]:
        return [ModelReply('<answer>[{"span": [1.0, 2.0], "boxes": []}]</answer>') for _ in calls]

    def prompt_tokens(self, frames: int, width: int, height: int, prompt: str) -> int:
        return frames

    def close(self) -> None:
        self.closed += 1


def test_a_kind_of_back_end_is_one_line_in_the_table(moving_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(name: str, options: BackendOptions) -> None:
        if options.device is not None:
            raise SettingError("a canned model has no device")

    kind = BackendKind(
        "canned:NAME", lambda name: name.startswith("canned:"), check, lambda name, options: Canned(name), True
    )
    with pytest.raises(SettingError, match="there is no model 'canned:x'"):
        whenwhere.open(moving_clip, "canned:x")
    monkeypatch.setattr(resolve, "BACKENDS", (*resolve.BACKENDS, kind))
    with whenwhere.open(moving_clip, "canned:x") as video:
        answer = video.ask("it", UNIFORM)
    assert [(s.start, s.end) for s in answer.spans] == [(1.0, 2.0)]
    assert answer.record.settings is not None and answer.record.settings.model == "canned:x"
    with pytest.raises(SettingError, match="no device"):
        whenwhere.load_model("canned:x", device="cuda")
    with pytest.raises(
        SettingError, match=r"choose one of auto, .*motion, encoder:NAME, canned:NAME, tiny, .*, or an address"
    ):
        whenwhere.load_model("nothing")


def test_a_back_end_that_was_passed_in_serves_several_videos(moving_clip: Path) -> None:
    backend = Canned()
    for _ in range(2):
        with whenwhere.open(moving_clip, backend) as video:
            assert video.ask("it", UNIFORM).status == "answered"
    assert backend.closed == 0
    with pytest.raises(SettingError, match="belong to `load_model`"):
        whenwhere.open(moving_clip, backend, device="cpu")
    with backend:
        pass
    assert backend.closed == 1


def test_an_answer_has_one_id_however_its_model_was_opened(moving_clip: Path) -> None:
    with ChatServer() as server:
        name = f"{server.url}/#test-model"
        with whenwhere.load_model(name) as backend, whenwhere.open(moving_clip, backend) as video:
            ids = [video.identity("it", UNIFORM)]
        with whenwhere.open(moving_clip, name) as video:
            ids.append(video.identity("it", UNIFORM))
    assert ids[0] == ids[1]


@pytest.mark.torch
def test_two_models_alive_at_once_are_each_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from whenwhere.models.tiny import build

    loads: list[str] = []
    real = local.Checkpoint

    def counted(name: str, **options: str | None) -> local.Checkpoint:
        loads.append(Path(name).name)
        return real(name, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(local, "Checkpoint", counted)
    for name in "ab":
        build(tmp_path / name, layers=1, vision_layers=1, hidden=32, vision_hidden=32, deepstack=(0,))
    held = [whenwhere.load_model(str(tmp_path / name), device="cpu", cache=False) for name in "abab"]
    assert loads == ["a", "b"]
    assert held[0].checkpoint is held[2].checkpoint is not held[1].checkpoint  # type: ignore[attr-defined]
    # the last one stays loaded, the other is gone with its last back end
    del held
    for name in "ba":
        whenwhere.load_model(str(tmp_path / name), device="cpu", cache=False)
    assert loads == ["a", "b", "a"]
    with pytest.raises(SettingError, match="one question at a time"):
        whenwhere.load_model(str(tmp_path / "a"), concurrency=4)


def event(request: Request) -> str:
    """Answers "event 1.25" with the span from 1.25 to 1.75 s."""
    (start,) = re.findall(r"event ([\d.]+)", request.text())
    return f'<answer>[{{"span": [{float(start)}, {float(start) + 0.5}], "boxes": []}}]</answer>'


def test_as_many_questions_in_flight_as_allowed(moving_clip: Path, tmp_path: Path) -> None:
    with ChatServer(event, seconds=1.5) as server:
        with whenwhere.open(moving_clip, f"{server.url}#test-model", cache=tmp_path, concurrency=6) as video:
            answers = list(video.ground_many(SENTENCES, UNIFORM))
        assert server.most_at_once == 6 and server.answered == len(SENTENCES)
    for sentence, answer in zip(SENTENCES, answers, strict=True):
        start = float(sentence.split()[1])
        assert answer.query == sentence and answer.record.cost.calls == 1
        assert [(s.start, s.end) for s in answer.spans] == [(start, start + 0.5)]


def test_a_batch_asks_as_many_at_a_time(moving_clip: Path, tmp_path: Path) -> None:
    asked = [Item(f"q{n}", str(moving_clip), sentence) for n, sentence in enumerate(SENTENCES)]
    with ChatServer(event, seconds=1.5) as server:
        result = whenwhere.batch(
            asked, tmp_path / "out", model=f"{server.url}#test-model", settings=UNIFORM, cache=tmp_path, concurrency=5
        )
        assert server.most_at_once == 5
    assert [record.id for record in result.records()] == [item.id for item in asked]


def test_eight_at_a_time_unless_asked_otherwise(moving_clip: Path, tmp_path: Path) -> None:
    # an answer takes long enough for eight questions to arrive on a busy machine too
    with ChatServer(event, seconds=2.0) as server:
        with whenwhere.open(moving_clip, f"{server.url}#test-model", cache=tmp_path) as video:
            assert sum(1 for _ in video.ground_many(SENTENCES, UNIFORM)) == len(SENTENCES)
        assert server.most_at_once == 8
    with pytest.raises(SettingError, match="between 1 and 256, not 0"):
        whenwhere.open(moving_clip, "http://localhost:1/v1#m", concurrency=0)
    with pytest.raises(SettingError, match="concurrency is for models behind an address"):
        whenwhere.open(moving_clip, concurrency=2)


def test_a_budget_is_kept_to_with_many_in_flight(moving_clip: Path, tmp_path: Path) -> None:
    with ChatServer(event, seconds=0.1) as server:
        budget = Budget(calls=5)
        backend = EndpointBackend(f"{server.url}#test-model", cache=Cache(tmp_path), budget=budget, concurrency=6)
        with backend, whenwhere.open(moving_clip, backend) as video:
            answers = list(video.ground_many(SENTENCES, UNIFORM))
        assert server.answered == budget.spent_calls == backend.client.usage.calls == 5
    statuses = [answer.status for answer in answers]
    assert statuses.count("answered") == 5 and statuses.count("failed") == 10
    assert all("that were allowed are spent" in str(a.record.error) for a in answers if a.status == "failed")


def test_a_pool_keeps_order_bounds_work_and_hands_on_errors() -> None:
    lock, running, most = threading.Lock(), 0, 0

    def work(k: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02 if k % 3 else 0.06)
        with lock:
            running -= 1
        if k == 30:
            raise ValueError("thirty")
        return k

    with QuestionPool(4) as pool:
        assert list(pool.map(work, range(20))) == list(range(20)) and most == 4
        got = []
        with pytest.raises(ValueError, match="thirty"):
            for k in pool.map(work, range(28, 40)):
                got.append(k)
        assert got == [28, 29]
    # nothing is drawn ahead and nothing runs elsewhere where one item is worked on at a time
    drawn = []
    results = QuestionPool(1).map(lambda k: (k, threading.current_thread()), (drawn.append(k) or k for k in range(9)))
    assert next(results) == (0, threading.main_thread()) and drawn == [0]


def test_a_batch_keeps_questions_of_several_videos_in_flight(moving_clip: Path, tmp_path: Path) -> None:
    videos = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in ("a.mp4", "b.mp4", "c.mp4"):
            videos.append(tmp_path / folder / name)
            videos[-1].write_bytes(moving_clip.read_bytes() + folder.encode())
    items = [
        Item(f"{k} {v.parent.name}", str(v), f"event {(6 * k + i) / 4:g}")
        for k in range(3)
        for i, v in enumerate(videos)
    ]
    with ChatServer(event, seconds=1.5) as server:
        model, out = f"{server.url}#test-model", tmp_path / "out"
        result = whenwhere.batch(items, out, model=model, settings=UNIFORM, cache=tmp_path / "cache", concurrency=6)
        assert server.most_at_once == 6 and server.answered == 18
        assert str(result) == "18 answered"
        again = whenwhere.batch(items, out, model=model, settings=UNIFORM, cache=tmp_path / "cache", concurrency=6)
        assert again.reused == 18 and server.answered == 18
    folders = [path for path in out.iterdir() if path.is_dir()]
    assert len(folders) == len(videos)  # two videos of one name have two folders
    for record in result.records():
        start = float(record.query.split()[1])
        assert [(s.start, s.end) for s in record.spans] == [(start, start + 0.5)]
    for folder in folders:
        lines = [Grounding.from_json(line) for line in (folder / "grounding.jsonl").read_text().splitlines()]
        assert [r.id[0] for r in lines] == ["0", "1", "2"] and len({r.video.path for r in lines if r.video}) == 1


def test_the_command_line_says_how_many_at_a_time(moving_clip: Path, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    with ChatServer(event, seconds=1.5) as server:
        done = cli(
            "ground", moving_clip, *SENTENCES, "--model", f"{server.url}#test-model", "--pipeline", "uniform",
            "--concurrency", 5, "--cache", tmp_path, "--json",
        )  # fmt: skip
        assert server.most_at_once == 5 and server.answered == len(SENTENCES)
    assert [Grounding.from_json(line).query for line in done.stdout.splitlines()] == SENTENCES


def test_a_pipeline_is_one_line_in_the_table(moving_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FirstSecond:
        name = "first-second"

        def ground(self, info: VideoInfo, request: GroundingRequest) -> GroundingResult:
            return GroundingResult("answered", spans=SpanSet([(0, 1)]))

        def estimate(self, info: VideoInfo, request: GroundingRequest) -> dict[str, int]:
            return {"calls": 0}

    with pytest.raises(SettingError, match="there is no pipeline 'first-second'"):
        GroundingSettings(pipeline="first-second")
    monkeypatch.setitem(PIPELINES, "first-second", PipelineKind(lambda parts: FirstSecond()))
    settings = GroundingSettings(pipeline="first-second")
    with whenwhere.open(moving_clip, Canned()) as video:
        assert video.ask("it", settings).spans == SpanSet([(0, 1)]) and video.estimate(settings) == {"calls": 0}
    with pytest.raises(SettingError, match="several samples are for the pipelines second-level and detector"):
        GroundingSettings(pipeline="first-second", samples=2)

"""Models asked through the command line: a server that knows a staged clip's truth, and says only what frames show.

Spans within a tenth of a second, boxes that fit, costs counted to the call, and every way in which a model or an
endpoint can let one down half-way.
"""

import importlib.util
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from chat_server import ChatServer, Fault, Request, Said

import whenwhere
from whenwhere import Tube
from whenwhere.errors import MissingExtraError, SettingError
from whenwhere.models.backends.resolve import find_kind
from whenwhere.overlap import box_iou, t_iou, v_iou
from whenwhere.records import Grounding
from whenwhere.settings import GroundingSettings
from whenwhere.spans import SpanSet
from whenwhere.stage import Scene, render_clip

Cli = Callable[..., subprocess.CompletedProcess[str]]
STAMP = re.compile(r"<([\d.]+) seconds>")


@dataclass
class Truth:
    """What is true of one sentence: when, and where the thing is in every frame, also outside the spans."""

    spans: SpanSet
    seen: Tube


@dataclass
class Oracle:
    """Answers from the truth; what it was asked is kept as (step, times, prompt)."""

    truths: dict[str, Truth]
    size: tuple[int, int]
    asked: list[tuple[str, list[float], str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request) -> str | Said:
        *stamps, prompt = [p["text"] for p in request.parts() if p["type"] == "text"]
        times = [float(STAMP.fullmatch(s)[1]) for s in stamps]  # type: ignore[index]
        assert len(times) == len(request.pictures())
        step, say = next((s, f) for words, s, f in self.steps() if prompt.startswith(words))
        with self.lock:
            self.asked.append((step, times, prompt))
        query = re.findall(r'"([^"]*)"', prompt)[0]
        return say(self.truths[query], np.array(times), prompt)

    def steps(self) -> list[tuple[str, str, Callable[..., str | Said]]]:
        return [
            ("Find when this", "when", self.when),
            ("Which one", "which", lambda *_: "<think>hm</think>The one that is meant."),
            ("Given the query", "where", self.where),
            ("Find when and where", "all", self.all),
        ]

    def when(self, truth: Truth, times: np.ndarray, prompt: str) -> str | Said:
        return json.dumps([{"start": a, "end": b} for a, b in self.shown_spans(truth, times)])

    def shown_spans(self, truth: Truth, times: np.ndarray) -> list[tuple[float, float]]:
        """From the first frame that shows it to the first one after that does not."""
        shows = truth.spans.index(times + 1e-3) >= 0
        step = float(np.diff(times).min()) if len(times) > 1 else 0.1
        after = np.append(times[1:], times[-1] + step)
        merged = SpanSet((a, b) for a, b, s in zip(times, after, shows, strict=True) if s)
        return [(round(s.start, 2), round(s.end, 2)) for s in merged]

    def where(self, truth: Truth, times: np.ndarray, prompt: str) -> str | Said:
        listed = re.search(r"at these seconds: ([\d., ]+)\.", prompt)
        assert listed is not None
        asked = [float(t) for t in listed[1].split(", ")]
        assert min(abs(times[:, None] - np.array(asked)).min(0)) < 0.06, "a time without its frame"
        rows = [
            {"time": t, "bbox_2d": self.thousandths(box), "label": "thing"}
            for t, box in zip(asked, truth.seen.boxes_at(np.array(asked) + 1e-3), strict=True)
            if not np.isnan(box[0]) and abs(truth.seen.times - t).min() < 0.06
        ]
        return json.dumps(rows)

    def all(self, truth: Truth, times: np.ndarray, prompt: str) -> str | Said:
        rows = []
        for a, b in self.shown_spans(truth, times):
            at = np.append(np.arange(np.ceil(a), b), b - 0.1)
            boxes = [
                [round(float(t), 1), *self.thousandths(x)] for t, x in zip(at, truth.seen.boxes_at(at), strict=True)
            ]
            rows.append({"span": [a, b], "boxes": boxes})
        return f"<answer>{json.dumps(rows)}</answer>"

    def thousandths(self, box: np.ndarray) -> list[int]:
        w, h = self.size
        return [round(1000 * float(x) / n) for x, n in zip(box, (w, h, w, h), strict=True)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scene]:
    path = tmp_path_factory.mktemp("staged") / "clip.mp4"
    return path, render_clip(path, 3, width=320, height=180, fps=10, seconds=12, cuts=False, queries=6, sound=False)


@pytest.fixture
def oracle(clip: tuple[Path, Scene]) -> Oracle:
    _, scene = clip
    whole = SpanSet([(0, scene.duration)])
    truths = {
        q.text: Truth(q.spans, scene.tube(q.actor, whole) if q.actor is not None else Tube(SpanSet()))
        for q in scene.sentences
    }
    tubes = [scene.tube(q.actor, whole) for q in scene.sentences if q.actor is not None]
    # one that is there all the time
    there = max(tubes, key=len)
    truths["a zebra"] = Truth(SpanSet(), Tube(SpanSet()))
    truths["twice"] = Truth(SpanSet([(1.3, 3.4), (6.2, 8.9)]), there)
    truths["long"] = Truth(SpanSet([(1.0, 10.4)]), there)
    return Oracle(truths, (scene.width, scene.height))


@pytest.fixture
def served(oracle: Oracle) -> Iterator[ChatServer]:
    with ChatServer(oracle) as server:
        yield server


@pytest.fixture
def ask(cli: Cli, clip: tuple[Path, Scene], served: ChatServer, tmp_path: Path) -> Callable[..., list[Grounding]]:
    """`whenwhere ground` on the clip with the served model; records."""

    def run(*arguments: object, status: int | None = 0) -> list[Grounding]:
        model = f"{served.url}#test-model"
        done = cli(
            "ground", clip[0], *arguments, "--model", model, "--json", "--cache", tmp_path / "cache", status=status
        )
        return [Grounding.from_json(line) for line in done.stdout.splitlines()]

    return run


Ask = Callable[..., list[Grounding]]


def counts(served: ChatServer, record: Grounding) -> None:
    """What the record says it cost is what the server answered."""
    assert record.cost.calls == served.answered
    assert record.cost.prompt_tokens == sum(served.prompt_tokens(r) for r in served.requests)
    assert record.cost.frames_shown == sum(len(r.pictures()) for r in served.requests)
    assert record.cost.output_tokens > 0 and record.cost.frames_decoded > 0


def test_every_sentence_of_a_clip(ask: Ask, oracle: Oracle, clip: tuple[Path, Scene], served: ChatServer) -> None:
    _, scene = clip
    queries = [q for q in scene.sentences if not q.absent]
    records = ask(*[q.text for q in queries])
    assert len(records) == len(queries) >= 3
    for query, record in zip(queries, records, strict=True):
        assert record.status == "answered" and record.confidence is None and record.raw is None
        assert record.settings is not None
        assert (record.settings.pipeline, record.settings.samples) == ("second-level", 1)
        assert record.parse is not None and (record.parse.mode, record.parse.status) == ("lenient", "ok")
        for mine, true in zip(record.span_set, query.spans, strict=True):
            assert abs(mine.start - true.start) <= 0.1 + 1e-6 and abs(mine.end - true.end) <= 0.1 + 1e-6
        tube = record.tube()
        assert tube is not None and v_iou(tube, query.tube) > 0.65
        # where the thing is to be seen it has a box, and the right one; between seconds only a fill can err
        fits = box_iou(tube.boxes, query.tube.boxes_at(tube.times + 1e-3))
        assert np.nanmean(fits) > 0.93 and np.nanmin(fits) > 0.7, query.text
        assert record.reading == {"target": "The one that is meant."}
        assert record.warnings == []
    assert {step for step, *_ in oracle.asked} == {"when", "which", "where"}


def test_several_spans_costs_and_trace(ask: Ask, oracle: Oracle, served: ChatServer) -> None:
    (record,) = ask("twice", "--trace")
    assert t_iou(record.span_set, oracle.truths["twice"].spans) > 0.97 and len(record.spans) == 2
    counts(served, record)
    assert record.raw is not None and len(record.raw) == record.cost.calls
    # at 2 frames a second ends are looked for a second around: each span's two borders meet
    assert [c["step"] for c in record.raw] == ["when", "refine", "refine", "refine", "which", "where"][
        : len(record.raw)
    ]
    assert all(c["text"] and c["prompt_tokens"] and c["prompt"] and c["error"] is None for c in record.raw)
    tube = record.tube()
    assert tube is not None
    # one box a second and both ends of both spans
    assert [round(t, 1) for t in tube.times] == [1.3, 2.0, 3.0, 3.3, 6.2, 7.0, 8.0, 8.8]


def test_not_there(ask: Ask, served: ChatServer) -> None:
    (record,) = ask("a zebra")
    assert (record.status, record.spans, record.parse and record.parse.status) == ("absent", [], "absent")
    assert record.cost.calls == 1


@pytest.fixture
def video(clip: tuple[Path, Scene], served: ChatServer, tmp_path: Path) -> Iterator[whenwhere.Session]:
    with whenwhere.open(clip[0], f"{served.url}#test-model", cache=tmp_path / "cache") as session:
        yield session


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("long", ["--span", "2.5-9"]),
        ("long", ["--span", "2.5-9", "--rate", "8"]),
        ("usual", []),
        ("usual", ["--samples", "3", "--sample-fps", "1"]),
        ("long", ["--pipeline", "framewise", "--sample-fps", "2", "--within", "3-9"]),
        ("long", ["--pipeline", "uniform"]),
    ],
)
def test_what_is_planned_is_what_is_spent(
    ask: Ask, cli: Cli, oracle: Oracle, served: ChatServer, clip: tuple[Path, Scene], query: str, options: list[str]
) -> None:
    """Without a time the plan assumes one answer of usual length, so it is right where that is the answer."""
    oracle.truths["usual"] = Truth(SpanSet([(1.3, 10.7)]), oracle.truths["long"].seen)
    model = f"{served.url}#test-model"
    done = cli("ground", clip[0], query, "--dry-run", "--json", "--model", model, *options)
    planned = json.loads(done.stdout)
    assert served.requests == []
    (record,) = ask(query, *options)
    assert record.status == "answered" and record.warnings == []
    counts(served, record)
    assert planned["calls"] == record.cost.calls == sum(s["calls"] for s in planned["steps"].values())
    # looks at borders near the video's own ends are shorter
    assert planned["frames"] == pytest.approx(record.cost.frames_shown, rel=0.05 if query == "usual" else 0)
    # the backend guesses what the server counts: time stamps, and pictures by their size
    assert planned["prompt_tokens"] == pytest.approx(record.cost.prompt_tokens, rel=0.1)
    # planned for models that need a token for each digit; this server counts four letters as one
    assert record.cost.output_tokens <= planned["output_tokens"] <= 6 * record.cost.output_tokens


def test_a_plan_for_a_person(cli: Cli, clip: tuple[Path, Scene], served: ChatServer) -> None:
    said = cli("ground", clip[0], "a", "b", "--dry-run", "--model", f"{served.url}#test-model").stdout
    assert "2 sentences: calls 10, frames " in said and "  when: calls 2, frames 48, prompt tokens " in said
    assert "assuming that each answer is one span of 9.4 s" in said and served.requests == []


def test_framewise_asks_for_every_frame(video: whenwhere.Session, oracle: Oracle, served: ChatServer) -> None:
    answer = video.ground("long", pipeline="framewise", within=(1.0, 10.4))
    assert answer.record.settings is not None and answer.record.settings.pipeline == "framewise"
    assert answer.record.cost.calls == len(served.requests) == 94
    assert answer.status == "answered" and answer.tube is not None
    seen = oracle.truths["long"].seen
    assert len(answer.tube) == int(((seen.times > 0.95) & (seen.times < 10.35)).sum())
    assert np.nanmean(box_iou(answer.tube.boxes, seen.boxes_at(answer.tube.times + 1e-3))) > 0.93
    counts(served, answer.record)
    assert video.ground("a zebra", pipeline="framewise", sample_fps=1).status == "absent"


def test_uniform_asks_once(video: whenwhere.Session, oracle: Oracle, served: ChatServer) -> None:
    answer = video.ground("twice", pipeline="uniform")
    assert answer.record.cost.calls == 1 == len(served.requests) and len(served.requests[0].pictures()) == 64
    # 64 frames of 12 s: ends are known to a frame's step
    assert t_iou(answer.spans, oracle.truths["twice"].spans) > 0.9 and len(answer.spans) == 2
    assert answer.tube is not None and len(answer.tube) >= 6 and answer.warnings == []
    assert video.ground("a zebra", pipeline="uniform").status == "absent"


def test_samples_give_confidence(oracle: Oracle, video: whenwhere.Session, served: ChatServer) -> None:
    """The answer that agrees best with the others counts; how well all agree is the confidence."""
    drawn: list[tuple[float, int]] = []

    def says(request: Request) -> str | Said:
        drawn.append((request.body["temperature"], request.body["seed"]))
        if "Find when" in request.text() and "You see the part" not in request.text():
            end = {7: 4.0, 8: 8.0, 9: 8.0}[request.body["seed"]]
            return json.dumps([{"start": 2.0, "end": end}])
        return "[]" if "Find when" in request.text() else oracle(request)

    served.answer = says
    answer = video.ground("long", samples=3, seed=7)
    assert sorted(drawn)[-3:] == [(0.0, 7), (0.7, 8), (0.7, 9)] or set(drawn[:3]) == {(0.0, 7), (0.7, 8), (0.7, 9)}
    assert answer.confidence == pytest.approx((1 / 3 + 1 / 3 + 1) / 3, abs=1e-3)
    assert answer.spans == SpanSet([(2, 8)]), "a closer look that sees nothing moves no end"
    assert answer.record.settings is not None and answer.record.settings.samples == 3


def test_an_answer_that_is_cut_off_is_asked_for_again(oracle: Oracle, video: Any, served: ChatServer) -> None:
    def wordy(request: Request) -> str | Said:
        said = oracle(request)
        return "\n" * 2400 + said if isinstance(said, str) and "Find when" in request.text() else said

    served.answer = wordy
    answer = video.ground("long")
    assert t_iou(answer.spans, oracle.truths["long"].spans) > 0.97 and answer.warnings == []
    # one look at the whole and two at the borders, each twice; then which and where
    assert answer.record.cost.calls == 8 == len(served.requests)
    limits = [r.body["max_tokens"] for r in served.requests if "Find when" in r.text()]
    assert sorted(limits) == [512] * 3 + [2048] * 3


def test_what_was_whole_of_an_endless_answer_is_kept(oracle: Oracle, video: Any, served: ChatServer) -> None:
    def endless(request: Request) -> str | Said:
        said = oracle(request)
        if "Given the query" in request.text():
            rows = json.loads(str(said))
            return json.dumps(rows[:4])[:-1] + ', {"time": 5.0, "bbox_2d": [' + "1, " * 20_000
        return said

    served.answer = endless
    answer = video.ground("long", trace=True)
    assert answer.status == "answered" and answer.tube is not None and len(answer.tube) == 4
    assert answer.record.parse is not None and answer.record.parse.status == "truncated"
    assert any("cut off even with 4 times the tokens" in w for w in answer.warnings)
    assert answer.record.raw is not None and [c["finish"] for c in answer.record.raw][-2:] == ["length", "length"]


@pytest.mark.parametrize(
    ("said", "status", "word"),
    [
        ("I am not sure what you mean.", "unsure", "unparsed"),
        (Said(None, refusal="I will not look at people."), "unsure", "refused"),
        ('[{"start": 9.0, "end": 4.0}]', "unsure", "reversed"),
        ('[{"start": 90.0, "end": 95.0}]', "unsure", "ok"),
        ('[{"start": 4.0, "end": 4.0}]', "answered", "instant"),
        ("It does not happen in the video.", "absent", "absent"),
    ],
)
def test_answers_of_little_use(video: Any, served: ChatServer, said: str | Said, status: str, word: str) -> None:
    served.answer = lambda request: said
    answer = video.ground("long")
    assert answer.status == status and answer.record.parse is not None
    assert answer.record.parse.status in (word, "unparsed")
    if status == "unsure":
        assert not answer.spans and (word == "refused") == any("declined" in w for w in answer.warnings)
        if isinstance(said, str):
            assert answer.record.candidates == [{"start": 0.0, "end": 12.0, "said": said}]


def test_boxes_of_little_use(oracle: Oracle, video: Any, served: ChatServer) -> None:
    def odd(request: Request) -> str | Said:
        if "Given the query" not in request.text():
            return oracle(request)
        box = [100, 100, 200, 200]
        rows = [
            {"time": 2.0, "bbox_2d": box, "label": ""},
            {"time": 3.0, "bbox_2d": [200, 100, 100, 200], "label": ""},
            {"time": 40.0, "bbox_2d": box, "label": ""},
        ]
        return json.dumps(rows)

    served.answer = odd
    answer = video.ground("long")
    assert answer.tube is not None and answer.tube.times.tolist() == [2.0]
    assert np.allclose(answer.tube.boxes, [[32, 18, 64, 36]])
    assert answer.warnings == [
        "1 boxes belonged to no second that was asked for and were dropped",
        "1 boxes were reversed or empty and were dropped",
    ]
    served.answer = lambda r: "it is on the left" if "Given the query" in r.text() else oracle(r)
    answer = video.ground("twice")
    assert (
        answer.status == "answered"
        and answer.tubes == []
        and answer.warnings == ["the model gave no box that can be read"]
    )


def test_an_endpoint_that_dies_half_way(
    cli: Cli, clip: tuple[Path, Scene], served: ChatServer, oracle: Oracle, tmp_path: Path
) -> None:
    """What was found before it died is kept with a warning; the rerun asks only what is missing; then nothing."""
    manifest, out = tmp_path / "manifest.jsonl", tmp_path / "out"
    manifest.write_text(json.dumps({"video": str(clip[0]), "query": "long"}))
    arguments = ["batch", manifest, "--model", f"{served.url}#test-model", "--cache", tmp_path / "cache", "--json"]

    def dies(request: Request) -> str | Said:
        if "Which one" in request.text():
            served.always = Fault("status", status=400, message="out of order")
        return oracle(request)

    served.answer = dies
    partial = Grounding.from_json(cli(*arguments, "--out", out).stdout)
    assert partial.status == "answered" and partial.tubes == [] and partial.cost.calls == 4
    assert t_iou(partial.span_set, oracle.truths["long"].spans) > 0.97
    assert partial.parse is not None and partial.parse.status == "incomplete"
    (warning,) = [w for w in partial.warnings if "failed" in w]
    assert "1 of 5 calls failed, so the answer is incomplete" in warning and "out of order" in warning

    served.always, served.answer = None, oracle
    before = served.answered
    whole = Grounding.from_json(cli(*arguments, "--out", out).stdout)
    assert whole.status == "answered" and whole.tubes and whole.cost.calls == 1 == served.answered - before
    assert not [w for w in whole.warnings if "failed" in w]
    cli(*arguments, "--out", out)  # it is done now
    again = Grounding.from_json(cli(*arguments, "--out", tmp_path / "elsewhere", "--export", "html,srt").stdout)
    assert served.answered - before == 1
    assert (again.cost.calls, again.cost.prompt_tokens, again.cost.output_tokens) == (0, 0, 0)
    assert (again.spans, again.tubes, again.id) == (whole.spans, whole.tubes, whole.id)
    # a trace that was not asked for the first time is had for nothing
    traced = Grounding.from_json(cli(*arguments, "--out", out, "--trace").stdout)
    assert traced.raw is not None and all(call["cached"] for call in traced.raw) and traced.cost.calls == 0
    assert served.answered - before == 1
    page = (tmp_path / "elsewhere" / "clip" / "page.html").read_text("utf-8")
    assert "#test-model" in page and "long" in page


def test_an_endpoint_that_is_dead_is_a_failure(
    cli: Cli, clip: tuple[Path, Scene], served: ChatServer, tmp_path: Path
) -> None:
    served.always = Fault("status", status=400, message="out of order")
    done = cli("ground", clip[0], "long", "--model", f"{served.url}#test-model", "--json", status=1)
    record = Grounding.from_json(done.stdout)
    assert record.status == "failed" and record.error is not None and record.error.kind == "endpoint"
    assert "out of order" in record.error.message and "Traceback" not in done.stderr
    assert len(served.requests) == 1


def test_a_person_sees_what_was_asked(cli: Cli, clip: tuple[Path, Scene], served: ChatServer, tmp_path: Path) -> None:
    model = f"{served.url}#test-model"
    said = cli("ground", clip[0], "long", "--trace", "--model", model, "--cache", tmp_path).stdout
    assert re.search(r"cost: 5 calls, \d+ and \d+ tokens; \d+ frames shown", said)
    assert re.search(r"when: 24 frames at 0\.0–11\.5 s, \d+ and \d+ tokens: \[\{", said)
    assert "read as: target The one that is meant." in said
    said = cli("ground", clip[0], "long", "--trace", "--model", model, "--cache", tmp_path).stdout
    assert "cost: nothing, all calls were answered before" in said and "when: 24 frames" in said


@pytest.mark.parametrize(
    ("model", "settings", "sentence"),
    [
        ("psychic", {}, "no model 'psychic'"),
        ("./psychic", {}, "no folder"),
        ("ftp://host/v1#x", {}, "not an address"),
        ("motion", {"pipeline": "uniform"}, "motion answers in one way"),
        ("motion", {"samples": 3}, "motion answers in one way"),
    ],
)
def test_names_and_settings_that_do_not_exist(model: str, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingError, match=re.escape(sentence)):
        whenwhere.session.check_model(model, GroundingSettings(**settings))


def test_settings_are_checked() -> None:
    for wrong in ({"pipeline": "psychic"}, {"samples": 0}, {"samples": 2, "pipeline": "uniform"}):
        with pytest.raises(SettingError):
            GroundingSettings(**wrong)  # type: ignore[arg-type]
    for model, device in (("motion", "cuda"), ("http://localhost:1/v1#x", "cuda")):
        with pytest.raises(SettingError, match="a device is for"):
            whenwhere.session.check_model(model, device=device)
    # what makes no other answer makes no other id
    assert GroundingSettings(trace=True).identity() == GroundingSettings().identity()
    assert (
        GroundingSettings(pipeline="uniform").identity()
        != GroundingSettings().identity()
        != GroundingSettings(samples=2).identity()
    )


def test_a_folder_comes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoint").mkdir()
    monkeypatch.chdir(tmp_path)
    assert all(find_kind(name).in_process for name in ("checkpoint", "./checkpoint", "owner/name"))
    assert not find_kind("https://host/v1").in_process


def test_a_checkpoint_without_torch_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'whenwhere[vlm]'")):
        whenwhere.session.check_model("Qwen/Qwen3-VL-4B-Instruct")


def test_the_video_is_named_before_the_model_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(whenwhere.errors.MediaError):
        whenwhere.open(tmp_path / "missing.mp4", "http://localhost:1/v1")


def test_doctor_says_what_checkpoints_would_run_on(cli: Cli) -> None:
    said = cli("doctor", "--json", status=None, imports=["torch"]).stdout
    checks = {check["name"]: check for check in json.loads(said)["checks"]}
    for package in ("torch", "transformers"):
        there = importlib.util.find_spec(package) is not None
        assert checks[package]["state"] == ("ok" if there else "missing")
        assert there or "pip install 'whenwhere[vlm]'" in checks[package]["mend"]

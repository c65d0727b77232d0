"""Models asked through the command line: a server that knows a staged clip's truth, and says only what frames show.

Spans within a tenth of a second, boxes that fit, costs counted to the call, and every way in which a model or an
endpoint can let one down half-way.
"""

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
from whenwhere.grounders.naming import kind_of
from whenwhere.overlap import box_iou, t_iou, v_iou
from whenwhere.records import Grounding
from whenwhere.settings import Settings
from whenwhere.spans import SpanSet
from whenwhere.stage import Scene, render
from whenwhere.video import probe

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
            if not np.isnan(box[0])
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
    return path, render(path, 3, width=320, height=180, fps=10, seconds=12, cuts=False, queries=6, sound=False)


@pytest.fixture
def oracle(clip: tuple[Path, Scene]) -> Oracle:
    _, scene = clip
    whole = SpanSet([(0, scene.duration)])
    truths = {
        q.text: Truth(q.spans, scene.tube(q.actor, whole) if q.actor is not None else Tube(SpanSet()))
        for q in scene.sentences
    }
    actor = next(q.actor for q in scene.sentences if q.actor is not None)
    truths["a zebra"] = Truth(SpanSet(), Tube(SpanSet()))
    truths["twice"] = Truth(SpanSet([(1.3, 3.4), (6.2, 8.9)]), scene.tube(actor, whole))
    truths["long"] = Truth(SpanSet([(1.0, 10.4)]), scene.tube(actor, whole))
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
    path, scene = clip
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

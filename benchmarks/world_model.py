"""A model that knows a procedural clip's truth, and answers only what the frames it was shown can tell.

So a pipeline is tested for being right, not for the form of its answers: `World.answer` takes what a model gets (the
words, the frames' times and size), finds out which question it is from the dialect's own words, and computes the answer
in the dialect's form. Errors are drawn by `Faults`, each a function of the seed and of video time alone: the same
frame gets the same error in every call, whatever the order and the chunks.

- *when*: a frame shows it or does not; a span begins and ends half-way between two shown frames that differ;
- *where*: the box of the shown frame nearest to each listed time, where the thing is to be seen in it;
- *which*: the thing's name;
- *framewise* (where, without a description): the box where a frame shows that it happens;
- *uniform*: spans and one box a second at once, boxes between the shown frames on the line between them.

`WorldBackend` answers in this process, for benchmarks with thousands of calls; `tests/world_server.py` serves the same
answers over the OpenAI protocol. Left out: errors that depend on how a question is put, and thinking aloud.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from whenwhere import Span, SpanSet, Tube
from whenwhere.answers import FORMS, ParsedAnswer, TimedBox, TimedPoint
from whenwhere.answers.dialects import Dialect
from whenwhere.answers.dialects.words import IN_PIXELS
from whenwhere.grounders import uniform
from whenwhere.models.backends.base import ModelBackend, ModelCall, ModelReply
from whenwhere.stage import Scene
from whenwhere.tracking import second_level_times

#: Errors of boxes are drawn on a grid of so many a second.
_GRID = 10
#: Of texts: what Qwen's tokenizer separates before merging (each digit alone); a lower bound that is close in practice.
_PIECES = re.compile(r"[^\r\n\w]?[^\W\d_]+|\d| ?[^\s\w]+[\r\n]*|_|\s*[\r\n]+|\s+(?!\S)|\s+")
#: Pixels that become one token, on each side: Qwen3-VL's patches of 16, merged by twos.
_SIDE = 32
#: Tokens of one frame's time with its marks.
_STAMP = 10


def tokens(text: str) -> int:
    """An estimate of the number of tokens of a text.

    >>> tokens('{"time": 12.0, "bbox_2d": [100, 200, 300, 400], "label": "car"}')
    41
    """
    return len(_PIECES.findall(text))


@dataclass(frozen=True)
class Faults:
    """Errors of the answers; the defaults make none.

    Attributes:
        ends: Standard deviation of each end of a span in seconds.
        size: Standard deviation of each side of a box, in box widths or heights.
        memory: Correlation of those errors one second apart, 0-1.
        outliers: Share of boxes that are displaced by one and a half widths.
        missed: Share of boxes that are left out.
        blind: Share of answers about time that say the event is not there.
        cut: Share of answers that stop half-way.
        seed: Seed of all draws.
    """

    ends: float = 0.0
    size: float = 0.0
    memory: float = 0.0
    outliers: float = 0.0
    missed: float = 0.0
    blind: float = 0.0
    cut: float = 0.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Known:
    """What is true of one sentence.

    Attributes:
        text: the sentence.
        spans: when it is true.
        seen: per-frame boxes of its thing wherever it is to be seen, inside the spans or not.
        name: what the thing is.
        size: width and height of the displayed frame.
    """

    text: str
    spans: SpanSet
    seen: Tube
    name: str
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Asked:
    """What a model gets.

    Attributes:
        prompt: the words.
        times: (n,) seconds of the frames, as the model is told them.
        size: width and height of the frames as shown, pixels.
        seed: of a drawn answer; 0 for the best guess.
        blur: seconds on each side that one time stands for, where it is that of several frames.
    """

    prompt: str
    times: NDArray[np.float64]
    size: tuple[int, int]
    seed: int = 0
    blur: float = 0.0


def known(scene: Scene) -> list[Known]:
    """The truths of a staged clip's sentences."""
    whole = SpanSet([(0, scene.duration)])
    out = []
    for query in scene.sentences:
        if query.actor is None:
            seen, name = Tube(SpanSet(), rate=scene.fps), "nothing"
        else:
            seen = scene.tube(query.actor, whole)
            name = str(query.tube.label or "thing")
        out.append(Known(query.text, query.spans, seen, name, (scene.width, scene.height)))
    return out


class World:
    """Computes answers about the sentences that it knows.

    Args:
        truths: Truth of each sentence; sentences must differ.
        faults: Errors of the answers.
    """

    def __init__(self, truths: Sequence[Known], faults: Faults | None = None) -> None:
        self.truths = {t.text: t for t in truths}
        self.faults = faults or Faults()
        self._errors: dict[str, NDArray[np.float64]] = {}

    def answer(self, asked: Asked, dialect: Dialect) -> str:
        """The text that the model writes."""
        text = self._answer(asked, dialect)
        if self._chance("cut", asked.prompt, *asked.times[:1]) < self.faults.cut:
            text = text[: len(text) // 2]
        return text

    def _answer(self, asked: Asked, dialect: Dialect) -> str:
        step, query, listed = question(asked.prompt, dialect)
        truth = self.truths.get(query)
        if truth is None:
            return "I do not see that."
        if step == "which":
            return f"The {truth.name}."
        if step == "when":
            return self._when(truth, asked, dialect)
        if step == "uniform":
            return self._all(truth, asked, dialect)
        return self._where(truth, asked, dialect, listed, step)

    def _when(self, truth: Known, asked: Asked, dialect: Dialect) -> str:
        blind = self._chance("blind", truth.text, asked.seed, *asked.times[:1]) < self.faults.blind
        spans = [] if blind else seen_spans(self.perceived(truth, asked.seed), asked.times, 1 / truth.seen.rate)
        return spoken(spans, dialect)

    def _all(self, truth: Known, asked: Asked, dialect: Dialect) -> str:
        blind = self._chance("blind", truth.text, asked.seed, *asked.times[:1]) < self.faults.blind
        spans = [] if blind else seen_spans(self.perceived(truth, asked.seed), asked.times, 1 / truth.seen.rate)
        boxes = truth.seen.boxes_at(asked.times) if len(truth.seen) else np.full((len(asked.times), 4), np.nan)
        boxes = self._shaken(truth, asked.times, boxes)
        shown = ~np.isnan(boxes[:, 0])
        unit = np.array(asked.size if IN_PIXELS in asked.prompt else (1000, 1000)) / truth.size
        moments = []
        for start, end in spans:
            at = second_level_times(Span(start, end))
            rows = []
            for k, t in enumerate(at if shown.any() else []):
                box = [np.interp(t, asked.times[shown], side) for side in boxes[shown].T] * np.tile(unit, 2)
                x1, y1, x2, y2 = (round(float(x)) for x in box)
                rows.append(f"[{t:.1f}, {x1}, {y1}, {max(x2, x1 + 1)}, {max(y2, y1 + 1)}]")
                if k and f"{t:.1f}" == f"{at[k - 1]:.1f}":
                    rows.pop()
            moments.append(f'{{"span": [{start:.1f}, {end:.1f}], "boxes": [{", ".join(rows)}]}}')
        return f"<answer>[{', '.join(moments)}]</answer>"

    def _where(self, truth: Known, asked: Asked, dialect: Dialect, listed: NDArray[np.float64], step: str) -> str:
        at = listed if len(listed) else asked.times
        # the frame that shows a listed time; a time that no frame shows cannot be answered
        near = np.abs(asked.times[None] - at[:, None])
        nearest = near.argmin(1)
        fits = near.min(1) <= _reach(asked.times, dialect) + asked.blur
        shown = asked.times[nearest]
        boxes = truth.seen.boxes_at(shown) if len(truth.seen) else np.full((len(at), 4), np.nan)
        if step == "framewise":
            # asked whether it happens, not where the thing is
            boxes[self.perceived(truth, asked.seed).index(shown + 1e-6) < 0] = np.nan
        boxes = self._shaken(truth, shown, boxes)
        keep = fits & ~np.isnan(boxes[:, 0])
        if not keep.any():
            return (
                FORMS[dialect.boxes_form].render(ParsedAnswer("absent"))
                if FORMS[dialect.boxes_form].empty
                else _NOTHING
            )
        return drawn_boxes(at[keep], boxes[keep], truth.name, truth.size, asked.size, dialect)

    def perceived(self, truth: Known, seed: int = 0) -> SpanSet:
        """The true spans with the model's error at each end; a sample that is drawn has its own."""
        if not self.faults.ends:
            return truth.spans
        rng = self._rng("ends", truth.text, seed)
        out = []
        for span in truth.spans:
            start, end = np.array([span.start, span.end]) + rng.normal(0, self.faults.ends, 2)
            start = max(start, 0.0)
            out.append(Span(start, max(end, start + 0.1)))
        return SpanSet(out)

    def _shaken(self, truth: Known, times: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        f = self.faults
        if not (f.size or f.outliers or f.missed):
            return boxes
        cell = np.rint(times * _GRID).astype(int)
        size = boxes[:, 2:] - boxes[:, :2]
        out = boxes + f.size * self._walk(truth.text, int(cell.max(initial=0)) + 1)[cell] * np.tile(size, 2)
        middle = (out[:, :2] + out[:, 2:]) / 2
        half = np.maximum((out[:, 2:] - out[:, :2]) / 2, size / 40)
        for k, c in enumerate(cell):
            rng = self._rng("box", truth.text, int(c))
            away, left_out, angle = rng.random(3)
            if away < f.outliers:
                direction = np.array([np.cos(2 * np.pi * angle), np.sin(2 * np.pi * angle)])
                middle[k] += 1.5 * size[k, 0] * direction
            if left_out < f.missed:
                middle[k] = np.nan
        width, height = truth.size
        out = np.concatenate([middle - half, middle + half], 1)
        low, high = out[:, :2].clip(0, [width - 2, height - 2]), out[:, 2:].clip(2, [width, height])
        return np.concatenate([np.minimum(low, high - 1), high], 1)

    def _walk(self, text: str, n: int) -> NDArray[np.float64]:
        """Standard errors on the grid, (m, 4) with m >= n, the first n always the same."""
        have = self._errors.get(text)
        if have is None or len(have) < n:
            m = max(1 << (n - 1).bit_length(), 1024)
            fresh = self._rng("walk", text).standard_normal((m, 4))
            a = self.faults.memory ** (1 / _GRID) if self.faults.memory > 0 else 0.0
            fresh[1:] *= np.sqrt(1 - a * a)
            have = self._errors[text] = lfilter([1.0], [1.0, -a], fresh, axis=0)
        return have

    def _rng(self, *key: str | int) -> np.random.Generator:
        numbers = [b for part in key for b in (part.encode() if isinstance(part, str) else (256 + part,))]
        return np.random.default_rng([self.faults.seed, *numbers])

    def _chance(self, kind: str, text: str, *where: float) -> float:
        return float(self._rng(kind, text, *(round(1000 * float(w)) for w in where)).random())


_NOTHING = "There are none."


@cache
def _patterns(dialect: Dialect) -> list[tuple[str, re.Pattern[str]]]:
    """The dialect's questions as patterns, the longest words first."""
    out = []
    asked = (("when", dialect.when), ("where", dialect.where), ("which", dialect.which), ("uniform", uniform.WORDS))
    for step, words in asked:
        if words:
            pattern = re.escape(words.replace("{{", "{").replace("}}", "}"))
            for name in ("query", "duration", "target", "times", "n", "start:\\.1f", "end:\\.1f"):
                value = r"[\d., ]*\d" if name == "times" else ".*?"
                place = rf"\{{{name}\}}"
                if name in ("query", "target", "times"):
                    pattern = pattern.replace(place, f"(?P<{name}>{value})", 1)
                pattern = pattern.replace(place, value)
            out.append((step, re.compile(pattern, re.DOTALL)))
    return out


def question(prompt: str, dialect: Dialect) -> tuple[str, str, NDArray[np.float64]]:
    """Which of the dialect's questions a prompt contains, its sentence, and the times that it lists.

    A question about places without a description of the thing asks about what happens: `framewise`.

    Raises:
        ValueError: The prompt is none of the dialect's questions.

    >>> from whenwhere.answers.dialects import QWEN3_VL
    >>> step, query, times = question(QWEN3_VL.ask_where("a dog runs", "the brown dog", [1, 2.5]) + " More.", QWEN3_VL)
    >>> step, query, times.tolist()
    ('where', 'a dog runs', [1.0, 2.5])
    """
    for step, pattern in _patterns(dialect):
        found = pattern.search(prompt)
        if found:
            groups = found.groupdict()
            listed = np.array([float(t) for t in re.findall(r"\d+(?:\.\d+)?", groups.get("times") or "")])
            if step == "where" and groups["target"] == groups["query"]:
                step = "framewise"
            return step, groups["query"], listed
    raise ValueError(f"no question of the dialect {dialect.name}: {prompt[:200]!r}")


def seen_spans(spans: SpanSet, times: NDArray[np.float64], frame: float) -> list[tuple[float, float]]:
    """Spans as frames tell them: between two shown frames that differ, an end may be at any frame left out.

    Args:
        spans: when it is true.
        times: (n,) seconds of the frames.
        frame: seconds that one frame of the video lasts.

    >>> seen_spans(SpanSet([(1.2, 3.1)]), np.arange(0, 5, 0.5), 0.1)
    [(1.3, 3.3)]
    >>> seen_spans(SpanSet([(1.2, 3.1)]), np.arange(50) / 10, 0.1)
    [(1.2, 3.1)]
    >>> seen_spans(SpanSet([(1, 9)]), np.arange(2, 4.0), 0.1)
    [(2.0, 4.0)]
    """
    shows = spans.index(times + 1e-6) >= 0
    step = float(np.median(np.diff(times))) if len(times) > 1 else frame
    out = []
    for run in np.split(np.arange(len(times)), np.flatnonzero(np.diff(shows)) + 1):
        if len(run) and shows[run[0]]:
            first, last = run[0], run[-1]
            start = (times[first - 1] + times[first] + frame) / 2 if first else times[0]
            end = (times[last] + times[last + 1] + frame) / 2 if last + 1 < len(times) else times[last] + step
            out.append((round(float(start), 6), round(float(end), 6)))
    return out


def spoken(spans: Sequence[tuple[float, float]], dialect: Dialect) -> str:
    """Spans written in the dialect's form."""
    form = FORMS[dialect.spans_form]
    if not spans:
        return form.render(ParsedAnswer("absent")) if form.empty else "It does not happen in the video."
    return form.render(ParsedAnswer("ok", spans=tuple(spans)))


def drawn_boxes(
    times: NDArray[np.float64], boxes: NDArray[np.float64], name: str, size: tuple[int, int],
    shown: tuple[int, int], dialect: Dialect,
) -> str:  # fmt: skip
    """Boxes (or their centres) in the dialect's form and coordinates."""
    if dialect.points:
        points = tuple(
            TimedPoint(float(t), (float(b[0] + b[2]) / 2, float(b[1] + b[3]) / 2), name, "1")
            for t, b in zip(times, boxes, strict=True)
        )
        answer = ParsedAnswer("ok", points=points, coordinates="displayed")
    else:
        timed = tuple(TimedBox(float(t), tuple(map(float, b)), name) for t, b in zip(times, boxes, strict=True))  # type: ignore[arg-type]
        answer = ParsedAnswer("ok", boxes=timed, coordinates="displayed")
    return FORMS[dialect.boxes_form].render(answer, size, shown)


def _reach(times: NDArray[np.float64], dialect: Dialect) -> float:
    """How far a frame may be from a time that it answers for: the rounding of written times, at most half a step."""
    step = float(np.diff(times).min()) / 2 if len(times) > 1 else np.inf
    return max(min(dialect.resolution / 2 + 0.051, step), 0.051)


@dataclass
class WorldBackend(ModelBackend):
    """The world in this process, as a back end.

    Attributes:
        world: who answers.
        dialect: how it is asked.
        frames: as in dialects: `pairs` halves the frames' tokens and tells only the mean time of every two.
        width, height: of the displayed frame.
        name: of the model.
        watch: told every call.
    """

    world: World
    dialect: Dialect
    frames: str = "images"
    name: str = "world"
    watch: Callable[[ModelCall], None] | None = None
    calls: int = field(default=0, init=False)

    def ask(self, calls: Sequence[ModelCall]) -> list[ModelReply]:
        """One reply per call, in order."""
        return [self._one(call) for call in calls]

    def _one(self, call: ModelCall) -> ModelReply:
        self.calls += 1
        if self.watch is not None:
            self.watch(call)
        height, width = call.images.shape[1:3] if len(call.images) else (0, 0)
        times = told(np.asarray(call.times, float), self.dialect, self.frames)
        blur = float(np.diff(call.times).max()) / 2 if len(times) < len(call.times) else 0.0
        asked = Asked(call.prompt, times, (width, height), call.seed if call.temperature else 0, blur)
        text = self.world.answer(asked, self.dialect)
        written, finish = tokens(text), "stop"
        if written > call.max_tokens:
            ends = [m.end() for m in _PIECES.finditer(text)]
            text, written, finish = text[: ends[call.max_tokens - 1]], call.max_tokens, "length"
        return ModelReply(
            text, self.prompt_tokens(len(call.times), width, height, call.prompt), written, 0.0,
            finish, shown=(width, height),  # type: ignore[arg-type]
        )  # fmt: skip

    def prompt_tokens(self, frames: int, width: int, height: int, prompt: str) -> int:
        """Tokens of a call with so many frames."""
        shown = (frames + 1) // 2 if self.frames == "pairs" else frames
        return shown * (-(-width // _SIDE) * -(-height // _SIDE) + _STAMP) + tokens(prompt) + 8


def told(times: NDArray[np.float64], dialect: Dialect, frames: str) -> NDArray[np.float64]:
    """The frames' times as the model gets to know them.

    >>> from whenwhere.answers.dialects import QWEN3_VL
    >>> told(np.array([0.0, 1.0, 2.0]), QWEN3_VL, "pairs").tolist()
    [0.5, 2.0]
    """
    if frames != "pairs" or len(times) < 2:
        return times
    pairs = [times[k : k + 2].mean() for k in range(0, len(times), 2)]
    return np.array(pairs)


def with_faults(world: World, **changes: float) -> World:
    """The same truths, other faults."""
    return World(list(world.truths.values()), replace(world.faults, **changes))  # type: ignore[arg-type]

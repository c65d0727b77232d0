"""Truths and predictions for the tests of rewards: random ones, and samples of real sets."""

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from whenwhere.answers.answer import ParsedAnswer, TimedBox
from whenwhere.datasets import BENCHMARKS
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube
from whenwhere.verify import ParsedPrediction, RewardContext, Semantic, Truth, VideoView, to_prediction

SIZE = (640.0, 360.0)
DURATION = 60.0
#: real sets: name of the reader, file or folder
REAL = {
    "charades-sta": "charades_sta/charades_sta_test.txt",
    "activitynet-captions": "activitynet_captions/val_1.json",
    "qvhighlights": "qvhighlights/highlight_val_release.jsonl",
    "vue-stg": "vue_stg",
}


@st.composite
def spans(draw: st.DrawFn, least: int = 0) -> tuple[tuple[float, float], ...]:
    """Disjoint spans in tenths of a second, at least a tenth apart."""
    cuts = draw(st.lists(st.integers(0, int(DURATION) * 10), min_size=2 * least, max_size=6, unique=True))
    edges = sorted(cuts)[: len(cuts) // 2 * 2]
    return tuple((a / 10, b / 10) for a, b in zip(edges[::2], edges[1::2], strict=True))


@st.composite
def answers(draw: st.DrawFn, least: int = 0) -> ParsedAnswer:
    """An answer in displayed pixels without a fault: boxes of whole pixels at some of the seconds inside its spans."""
    found = draw(spans(least))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    boxes = []
    for s, e in found:
        for t in [s, *range(int(np.floor(s)) + 1, int(np.ceil(e)))]:
            if s <= t < e and rng.random() < 0.9:
                x, y = rng.integers(0, 600), rng.integers(0, 320)
                box = (float(x), float(y), float(x + rng.integers(1, 41)), float(y + rng.integers(1, 41)))
                boxes.append(TimedBox(float(t), box))
    letter = draw(st.sampled_from([None, "A", "B"])) if found else None
    thought = " then ".join(f"{t:.1f} s" for pair in found for t in pair)
    return ParsedAnswer(
        "ok" if found else "absent", found, tuple(boxes), coordinates="displayed" if boxes else None,
        choice=letter, thought=thought, form="second-level",
    )  # fmt: skip


def truth_of(answer: ParsedAnswer) -> Truth:
    """The truth for which an answer is exactly right."""
    when = SpanSet(answer.spans)
    times, boxes = [b.time for b in answer.boxes], np.array([b.box for b in answer.boxes]).reshape(-1, 4)
    tube = Tube(when, times, boxes) if len(when) else None
    return Truth(when, tube, DURATION, SIZE, choice=answer.choice or "C", fps=25.0, query="a dog")


def claim_of(answer: ParsedAnswer) -> ParsedPrediction:
    return to_prediction(answer, form="second-level")


class Oracle:
    """An encoder whose similarity is the share of white in a picture for the meant sentence, and 0 for any other."""

    name = "oracle"

    def __call__(self, pictures, sentences):
        white = [float((p[..., 0] == 255).mean()) for p in pictures]
        return np.array([[w if s == "a dog" else 0.0 for s in sentences] for w in white])


def view(truth: Truth) -> VideoView:
    """Black pictures at half size, white in the true boxes at the true times."""

    def look(times):
        pictures = np.zeros((len(times), 180, 320, 3), np.uint8)
        if truth.tube is None:
            return pictures
        for picture, box, here in zip(
            pictures, truth.tube.boxes_at(times), truth.tube.spans.index(times) >= 0, strict=True
        ):
            if here and not len(truth.tube):
                picture[:] = 255
            elif not np.isnan(box[0]):
                x1, y1 = np.floor(box[:2] / 2).astype(int)
                x2, y2 = np.ceil(box[2:] / 2).astype(int)
                picture[y1:y2, x1:x2] = 255
        return pictures

    return VideoView(look, DURATION, SIZE, "a dog", "a cat")


def beside(truth: Truth, progress: float = 1.0) -> RewardContext:
    """A context with everything that terms may need; the model gives no answer to shuffled frames."""
    nothing = claim_of(ParsedAnswer("ok", choice="A", form="second-level"))
    return RewardContext(progress, nothing, Semantic(Oracle(), judge="another"), view(truth))


def world(n: int = 30, seed: int = 0) -> list[Truth]:
    """Events like those of the procedural world: anywhere, 3-60 % of the video, small things that wander."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(n):
        duration = rng.uniform(20, 90)
        length = duration * np.exp(rng.uniform(np.log(0.03), np.log(0.6)))
        start = rng.uniform(0, duration - length)
        times = np.arange(start, start + length, 1.0)
        corner = np.cumsum(rng.normal(0, 8, (len(times), 2)), 0) + rng.uniform([40, 40], [500, 250])
        when = SpanSet([(start, start + length)])
        tube = Tube(when, times, np.c_[corner, corner + rng.uniform(40, 150)])
        found.append(Truth(when, tube, duration, SIZE, choice="ABCD"[k % 4], fps=25.0))
    return found


def benchmark(data: Path, name: str, n: int = 60) -> list[Truth]:
    """A fixed sample of a real set's items that have an event and a duration, with boxes where the set has them."""
    items = [i for i in BENCHMARKS[name].read(data / "annotations" / REAL[name]) if i.duration and len(i.span_set)]
    chosen = np.random.default_rng(0).choice(len(items), n, replace=False)
    return [
        Truth(
            i.span_set,
            i.tubes[0] if i.tubes else None,
            i.duration,
            (float(i.width), float(i.height)) if i.width and i.height else None,
        )
        for i in (items[k] for k in chosen)
    ]

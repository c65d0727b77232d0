"""Can a term be had without finding the event? Measured over a data set.

`audit` compares what an answer with t_IoU of about ½ gets on average with

- the best constant answer: one pair of fractions of the duration for every video (with a whole-frame and a centre box
  where places are asked), or "it is not there"; its letter is always A;
- slips: answers made from the truth that hardly overlap it, t_IoU ≤ .1, with right boxes and the right letter: a sliver
  of the event, and the event with everything around it.

A term that any of these brings as much as the half-right answers is gameable. The half-right answers lose half of the
event at its start, at its end, at both, or are twice as long towards either side or both where the video has room; the
mean over these counts, so that no single lucky one decides. Their boxes are right in time and overlap by about a half.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from whenwhere.answers.answer import Answer
from whenwhere.spans import Span, SpanSet
from whenwhere.tubes import Tube
from whenwhere.verify.claim import Claim
from whenwhere.verify.term import Beside, Term
from whenwhere.verify.truth import Truth

#: Thought of a made answer: names its ends.
_Made = tuple[Claim, Truth]


@dataclass(frozen=True, slots=True)
class Audit:
    """What a term gives, on average over the questions, to answers of three kinds.

    Attributes:
        constant: the best constant answer's mean.
        answer: that answer in words.
        slip: the best mean of a kind of answer with t_IoU ≤ .1; nan where the set has room for none.
        half: the mean of the half-right answers.
    """

    constant: float
    answer: str
    slip: float
    half: float

    @property
    def gameable(self) -> bool:
        """Whether not finding the event brings as much as half finding it."""
        return self.constant >= self.half or self.slip >= self.half


def made(spans: Sequence[tuple[float, float]], truth: Truth, tube: Tube | None, letter: str | None) -> Claim:
    """A claim in no particular text: its thought names its ends, its form is taken as followed."""
    thought = " ".join(f"{t:.6f} s" for span in spans for t in span)
    answer = Answer(
        "ok" if spans else "absent", tuple(spans), choice=letter, thought=thought, form="second-level"
    )  # fmt: skip
    when = SpanSet(spans)
    return Claim(answer, when, tube if tube is not None else Tube(when), form="second-level")


def constants(truths: Sequence[Truth], step: float = 0.1) -> Iterable[tuple[str, list[_Made]]]:
    """Constant answers with their words: one claim for each truth with a duration."""
    known = [t for t in truths if t.spans is not None and t.duration]
    yield "nothing", [(made([], t, None, "A"), t) for t in known]
    steps = round(1 / step)
    boxed = all(t.size for t in known) and any(t.tube is not None for t in known)
    for a in range(steps):
        for b in range(a + 1, steps + 1):
            for margin in (0.0, 0.25) if boxed else (None,):
                row = []
                for t in known:
                    span = (a / steps * (t.duration or 0), b / steps * (t.duration or 0))
                    tube = None
                    if margin is not None and t.size is not None:
                        w, h = t.size
                        box = [margin * w, margin * h, (1 - margin) * w, (1 - margin) * h]
                        tube = Tube(SpanSet([span]), [span[0]], [box])
                    row.append((made([span], t, tube, "A"), t))
                boxes = {None: "", 0.0: ", the whole frame", 0.25: ", the centre"}[margin]
                yield f"[{a / steps:g}, {b / steps:g}]{boxes}", row


def half_right(truth: Truth) -> list[Claim]:
    """Answers with t_IoU of a half to an event of one span (the hull of several), see the module's list."""
    s = _hull(truth)
    d = s.duration
    ways = [(s.start + d / 2, s.end), (s.start, s.end - d / 2), (s.start + d / 4, s.end - d / 4)]
    length = max(truth.duration or math.inf, s.end)
    ways += [(a, b) for a, b in ((s.start - d, s.end), (s.start, s.end + d), (s.start - d / 2, s.end + d / 2))
             if a >= 0 and b <= length]  # fmt: skip
    return [made([w], truth, _tube(truth, w, 1 / 3), truth.choice) for w in ways]


def slips(truth: Truth) -> dict[str, Claim]:
    """Answers with t_IoU of at most .1, right boxes and letter: a sliver of the event, and far too much around it."""
    s = _hull(truth)
    found = {"a sliver": (s.start, s.start + 0.1 * s.duration)}
    length = max(truth.duration or 0.0, s.end)
    if s.duration <= 0.1 * length:
        start = min(max(0.0, s.start - 9 * s.duration), length - 10 * s.duration)
        found["ten times as long"] = (max(0.0, start), max(0.0, start) + 10 * s.duration)
        found["the whole video"] = (0.0, length)
    return {how: made([w], truth, _tube(truth, w, 0.0), truth.choice) for how, w in found.items()}


def audit(term: Term, truths: Sequence[Truth], step: float = 0.1, beside: Beside | None = None) -> Audit:
    """Measure a term; questions it does not apply to, without an event or without a duration are left out.

    Args:
        term: any.
        truths: of a data set.
        step: of the grid of constant spans, as a share of the duration.
        beside: what the term needs; without it, shuffled frames get the same answer from a constant and nothing from
            the others.
    """
    known = [t for t in truths if t.spans and t.duration]

    def mean(pairs: Iterable[_Made], constant: bool = False) -> float:
        values = []
        for claim, truth in pairs:
            seen = beside or Beside(shuffled=claim if constant else made([], truth, None, None))
            if term.applies(truth, seen):
                values.append(term(claim, truth, seen))
        return float(np.mean(values)) if values else math.nan

    best, words = -math.inf, ""
    for how, row in constants(known, step):
        value = mean(row, constant=True)
        if value > best:
            best, words = value, how
    by_way: dict[str, list[_Made]] = {}
    for truth in known:
        for how, claim in slips(truth).items():
            by_way.setdefault(how, []).append((claim, truth))
    half = float(np.nanmean([mean((c, t) for c in half_right(t)) for t in known]))
    return Audit(best, words, max([mean(row) for row in by_way.values()], default=math.nan), half)


def _hull(truth: Truth) -> Span:
    hull = truth.spans.hull if truth.spans is not None else None
    assert hull is not None  # `audit` keeps events only
    return hull


def _tube(truth: Truth, span: tuple[float, float], shift: float) -> Tube | None:
    """The true boxes in another span, held before the first and after the last, moved by a share of their width."""
    if truth.tube is None or not len(truth.tube):
        return None
    rows = truth.tube.boxes + shift * (truth.tube.boxes[:, 2:3] - truth.tube.boxes[:, :1]) * [1, 0, 1, 0]
    s = truth.tube.spans
    keep = (truth.tube.times >= span[0]) & (truth.tube.times < span[1])
    first = truth.tube.boxes_at([max(span[0], float(s.starts[0]))])[0]
    times, boxes = truth.tube.times[keep], rows[keep]
    if not len(times) or times[0] > span[0]:
        start = first if np.isfinite(first).all() else truth.tube.boxes[0]
        moved = start + shift * (start[2] - start[0]) * np.array([1, 0, 1, 0])
        times, boxes = np.r_[span[0], times], np.r_[moved[None], boxes]
    return Tube(SpanSet([span]), times, boxes, rate=min(truth.tube.rate, 1 / (span[1] - span[0])))

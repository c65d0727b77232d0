"""Can a reward term be had without finding the event? This module measures it over a data set.

`audit` compares the average score of answers with a t_IoU of about ½ with two kinds of answers that did not find the
event:

- the best constant answer: one pair of fractions of the duration for every video (with a whole-frame and a centre box
  where places are asked), or "it is not there"; its chosen letter is always A;
- slips: answers made from the truth that hardly overlap it (t_IoU ≤ .1) but have the right boxes and the right letter:
  a sliver of the event, or the event with far too much around it.

A term is gameable if any of these scores as much as the half-right answers. The half-right answers lose half of the
event at its start, at its end, or at both ends, or are twice as long towards either side or both where the video has
room. Their mean counts, so that no single lucky answer decides. Their boxes are right in time and overlap by about a
half.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from whenwhere.answers.answer import ParsedAnswer
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube
from whenwhere.verify.prediction import ParsedPrediction
from whenwhere.verify.term import RewardContext, Term
from whenwhere.verify.truth import Truth

_Made = tuple[ParsedPrediction, Truth]


@dataclass(frozen=True, slots=True)
class Audit:
    """Average scores that a term gives to three kinds of answers, over all questions.

    Attributes:
        constant: Mean of the best constant answer.
        answer: Description of that constant answer.
        slip: The best mean of any kind of answer with t_IoU ≤ .1; NaN where no question leaves room for one.
        half: Mean of the half-right answers.
    """

    constant: float
    answer: str
    slip: float
    half: float

    @property
    def gameable(self) -> bool:
        """Whether missing the event pays as much as half finding it."""
        return self.constant >= self.half or self.slip >= self.half


def made(spans: Sequence[tuple[float, float]], truth: Truth, tube: Tube | None, letter: str | None) -> ParsedPrediction:
    """An answer as a prediction, without text: its thought names its ends, and its form counts as followed."""
    thought = " ".join(f"{t:.6f} s" for span in spans for t in span)
    answer = ParsedAnswer(
        "ok" if spans else "absent", tuple(spans), choice=letter, thought=thought, form="second-level"
    )  # fmt: skip
    when = SpanSet(spans)
    return ParsedPrediction(answer, when, tube if tube is not None else Tube(when), form="second-level")


def constant_answers(truths: Sequence[Truth], step: float = 0.1) -> Iterable[tuple[str, list[_Made]]]:
    """Constant answers with their descriptions; each has one prediction for every truth with a duration."""
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


def half_right(truth: Truth) -> list[ParsedPrediction]:
    """Answers with a t_IoU of one half. For a truth of several spans, each span loses half of its time."""
    spans = [(s.start, s.end) for s in truth.spans or ()]
    ways = [[(s + a * (e - s), e - b * (e - s)) for s, e in spans] for a, b in ((0.5, 0), (0, 0.5), (0.25, 0.25))]
    if len(spans) == 1:
        (s, e), d, length = spans[0], spans[0][1] - spans[0][0], truth.length
        wide = [(s - d, e), (s, e + d), (s - d / 2, e + d / 2)]
        ways += [[w] for w in wide if w[0] >= 0 and w[1] <= length]
    return [made(w, truth, _tube(truth, w, 1 / 3), truth.choice) for w in ways]


def slips(truth: Truth) -> dict[str, ParsedPrediction]:
    """Answers with t_IoU ≤ .1 and right boxes and letter: a sliver of the event, or far too much around it."""
    spans = [(s.start, s.end) for s in truth.spans or ()]
    found = {"a sliver": [(s, s + 0.1 * (e - s)) for s, e in spans]}
    length = truth.length
    if len(spans) == 1 and (d := spans[0][1] - spans[0][0]) <= 0.1 * length:
        start = max(0.0, min(spans[0][0] - 9 * d, length - 10 * d))
        found |= {"ten times as long": [(start, start + 10 * d)], "the whole video": [(0.0, length)]}
    return {how: made(w, truth, _tube(truth, w, 0.0), truth.choice) for how, w in found.items()}


def audit(
    terms: Iterable[Term], truths: Sequence[Truth], step: float = 0.1, context: RewardContext | None = None
) -> dict[str, Audit]:
    """Measures terms over a data set. Questions without an event or a duration are left out.

    Args:
        terms: Terms to measure. Those that apply to no question are left out of the result.
        truths: Truths of the data set.
        step: Step of the grid of constant spans, as a share of the duration.
        context: What the terms need beyond the truth. Without it, a constant answer is taken to be the same for
            shuffled frames, and all other answers to say nothing about them.
    """
    known = [t for t in truths if t.spans and t.duration]
    used = [
        t for t in terms if any(t.applies(k, context or RewardContext(shuffled=made([], k, None, None))) for k in known)
    ]

    def means(pairs: Iterable[_Made], constant: bool = False) -> dict[str, float]:
        values: dict[str, list[float]] = {t.name: [] for t in used}
        for prediction, truth in pairs:
            seen = context or RewardContext(shuffled=prediction if constant else made([], truth, None, None))
            for term in used:
                if term.applies(truth, seen):
                    values[term.name].append(term(prediction, truth, seen))
        return {name: float(np.mean(v)) if v else math.nan for name, v in values.items()}

    best = {t.name: (-math.inf, "") for t in used}
    for how, row in constant_answers(known, step):
        for name, value in means(row, constant=True).items():
            best[name] = max(best[name], (value, how), key=lambda pair: pair[0])
    by_way: dict[str, list[_Made]] = {}
    for truth in known:
        for how, prediction in slips(truth).items():
            by_way.setdefault(how, []).append((prediction, truth))
    slipped = [means(row) for row in by_way.values()]
    halves = [means((c, t) for c in half_right(t)) for t in known]
    return {
        t.name: Audit(
            *best[t.name],
            max((m[t.name] for m in slipped if not math.isnan(m[t.name])), default=math.nan),
            float(np.nanmean([m[t.name] for m in halves])),
        )
        for t in used
    }


def _tube(truth: Truth, spans: Sequence[tuple[float, float]], shift: float) -> Tube | None:
    """The true boxes in other spans, held where the truth has none, moved by a share of their width."""
    if truth.tube is None or not len(truth.tube):
        return None
    true = truth.tube
    moved = true.boxes + shift * (true.boxes[:, 2:3] - true.boxes[:, :1]) * [1, 0, 1, 0]
    times, boxes = [], []
    for start, end in spans:
        keep = (true.times > start) & (true.times < end)
        first = max(0, int(np.searchsorted(true.times, start, side="right")) - 1)
        # the box at the start: the truth's there, else the last before it, else the first of all
        there = true.boxes_at([start])[0]
        box = moved[first] if np.isnan(there[0]) else there + shift * (there[2] - there[0]) * np.array([1, 0, 1, 0])
        times += [np.r_[start, true.times[keep]]]
        boxes += [np.r_[box[None], moved[keep]]]
    longest = max(e - s for s, e in spans)
    return Tube(SpanSet(spans), np.concatenate(times), np.concatenate(boxes), rate=min(true.rate, 1 / longest))

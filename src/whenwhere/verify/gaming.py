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

from whenwhere.answers.answer import ParsedAnswer
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube
from whenwhere.verify.prediction import ParsedPrediction
from whenwhere.verify.term import RewardContext, Term
from whenwhere.verify.truth import Truth

_Made = tuple[ParsedPrediction, Truth]


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


def made(spans: Sequence[tuple[float, float]], truth: Truth, tube: Tube | None, letter: str | None) -> ParsedPrediction:
    """A claim in no particular text: its thought names its ends, its form is taken as followed."""
    thought = " ".join(f"{t:.6f} s" for span in spans for t in span)
    answer = ParsedAnswer(
        "ok" if spans else "absent", tuple(spans), choice=letter, thought=thought, form="second-level"
    )  # fmt: skip
    when = SpanSet(spans)
    return ParsedPrediction(answer, when, tube if tube is not None else Tube(when), form="second-level")


def constant_answers(truths: Sequence[Truth], step: float = 0.1) -> Iterable[tuple[str, list[_Made]]]:
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


def half_right(truth: Truth) -> list[ParsedPrediction]:
    """Answers with a t_IoU of one half; to several spans each loses a half of its own."""
    spans = [(s.start, s.end) for s in truth.spans or ()]
    ways = [[(s + a * (e - s), e - b * (e - s)) for s, e in spans] for a, b in ((0.5, 0), (0, 0.5), (0.25, 0.25))]
    if len(spans) == 1:
        (s, e), d, length = spans[0], spans[0][1] - spans[0][0], _length(truth)
        wide = [(s - d, e), (s, e + d), (s - d / 2, e + d / 2)]
        ways += [[w] for w in wide if w[0] >= 0 and w[1] <= length]
    return [made(w, truth, _tube(truth, w, 1 / 3), truth.choice) for w in ways]


def slips(truth: Truth) -> dict[str, ParsedPrediction]:
    """Answers with a t_IoU of at most .1, right boxes and letter: a sliver of the event, and far too much around it."""
    spans = [(s.start, s.end) for s in truth.spans or ()]
    found = {"a sliver": [(s, s + 0.1 * (e - s)) for s, e in spans]}
    length = _length(truth)
    if len(spans) == 1 and (d := spans[0][1] - spans[0][0]) <= 0.1 * length:
        start = max(0.0, min(spans[0][0] - 9 * d, length - 10 * d))
        found |= {"ten times as long": [(start, start + 10 * d)], "the whole video": [(0.0, length)]}
    return {how: made(w, truth, _tube(truth, w, 0.0), truth.choice) for how, w in found.items()}


def audit(
    terms: Iterable[Term], truths: Sequence[Truth], step: float = 0.1, context: RewardContext | None = None
) -> dict[str, Audit]:
    """Measure terms; questions without an event or a duration, or that a term does not apply to, are left out.

    Args:
        terms: any; those that apply to no question are left out.
        truths: of a data set.
        step: of the grid of constant spans, as a share of the duration.
        context: what the terms need; without it, a constant says the same to shuffled frames and others say nothing.
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


def _length(truth: Truth) -> float:
    return max(truth.duration or 0.0, float(truth.spans.ends[-1]) if truth.spans else 0.0)


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

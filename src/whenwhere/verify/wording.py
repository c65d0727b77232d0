"""Reward terms about how an answer is written, and about the chosen letter. None of them knows where the event is."""

import itertools

from whenwhere.answers import FORMS, parse
from whenwhere.answers.lexer import normalise_text, tokenise
from whenwhere.verify.prediction import ParsedPrediction
from whenwhere.verify.term import RewardContext, Term
from whenwhere.verify.truth import Truth

#: A time in the thought cites an answered one if they are at most this many seconds apart.
CITED = 0.5
#: A thought with more times than this per answered end is a list, not a citation (MUSEG).
MENTIONS = 10
#: Seconds by which an answer may end after the video: half a step of a time written to a tenth of a second.
END_SLACK = 0.05


def format_strict(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """1 if the form that was asked for was followed to the letter, else 0."""
    return float(prediction.answer.form is not None and prediction.form in (None, prediction.answer.form))


def format_graded(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """1 for the form to the letter; else ¼ for an answer that can be read, and up to ½ for the share of its tags.

    Where the strict reading found nothing, the text is read again; see `graded`.
    """
    return 1.0 if format_strict(prediction, truth, context) else graded(prediction)


def graded(prediction: ParsedPrediction) -> float:
    """Format score in 0-.75 of a text that misses its form; 0 if even the lenient reading has a fault."""
    if prediction.text is None or not parse(prediction.text, "lenient", form=prediction.form).valid:
        return 0.0
    tags = FORMS[prediction.form].tags if prediction.form in FORMS else ()
    text = prediction.text
    once = [text.count(f"<{t}>") == 1 == text.count(f"</{t}>") for t in tags]
    return 0.25 + 0.5 * (sum(once) / len(once) if once else 0.0)


def valid(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """1 if every span lies within the video and no two overlap; an answer with a fault has 0 already."""
    if prediction.spans is None:
        return 0.0
    written = sorted(prediction.answer.spans)
    if any(b[0] < a[1] for a, b in itertools.pairwise(written)):
        return 0.0
    inside = truth.duration is None or all(e <= truth.length + END_SLACK for _, e in written)
    return float(inside and all(s >= 0 for s, _ in written))


def cited(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """Share of the answered ends that the thought names to within half a second; 0 for a thought that lists times.

    An answer without spans has nothing to name and gets 1.
    """
    if prediction.spans is None:
        return 0.0
    ends = [t for span in prediction.answer.spans for t in span] or [
        t for s in prediction.spans for t in (s.start, s.end)
    ]
    if not ends:
        return 1.0
    named = [t.seconds for t in tokenise(normalise_text(prediction.answer.thought or "")) if t.kind == "time"]
    times = [t for t in named if t is not None]
    if not times or len(times) > MENTIONS * len(ends):
        return 0.0
    return sum(min(abs(t - e) for t in times) <= CITED for e in ends) / len(ends)


def accuracy(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """1 for the right letter, else 0."""
    return float(
        prediction.answer.choice is not None and prediction.answer.choice == (truth.choice or "").strip().upper()
    )


_SAME = "it does not depend on the event"

WORDING = (
    Term("format", format_strict, "1[form followed to the letter, no fault]", "Time-R1, TVG-R1", (), _SAME),
    Term(
        "format_graded",
        format_graded,
        "1 as for `format`; else ¼·1[readable] + ½·share of tags that occur exactly once",
        "MUSEG, Open-o3-Video (the steps are ours)",
        (),
        _SAME,
    ),
    Term("valid", valid, "1[spans ordered, disjoint and inside the video]", "TimeLens", ("spans",), _SAME),
    Term(
        "cited",
        cited,
        "share of answered ends that the thought names to within .5 s",
        "MUSEG, phase 1",
        ("spans",),
        _SAME,
    ),
    Term(
        "accuracy",
        accuracy,
        "1[right letter]",
        "TVG-R1, VideoChat-R1 (grounded questions)",
        ("choice",),
        "a right letter says nothing about when",
    ),
)

"""Checks of trajectories: a teacher's reply is used only if it passes all of them.

Each check is a function from a `Trajectory` to what it found wrong, or None. Those of `READING` look at the teacher's
reply before anything is replaced, those of `FINISHED` at the text that a policy would learn. Rejections are counted
under the name of the check; its docstring says why the check is needed. `CHECKS` lists all of them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from whenwhere.answers import FORMS, ParsedAnswer, parse
from whenwhere.answers.answer import scale
from whenwhere.answers.lexer import word_set
from whenwhere.curate.citations import citing_sentences
from whenwhere.curate.replacement import Replacement
from whenwhere.curate.teacher_error import Corners, TeacherError, TrajectoryLimits, true_box
from whenwhere.overlap import box_iou
from whenwhere.verify import Truth, Verifier

#: Words that show that the writer knows the right answer, or that an answer was given to it.
_LEAKS = re.compile(
    r"ground[\s-]?truth|\bannotat(?:ed|ion|ions|or|ors)\b|\bgold(?:en)? (?:answer|label|span|standard)"
    r"|\b(?:given|provided|supplied|known|correct|expected|reference) "
    r"(?:answer|span|timestamps?|interval|label|box(?:es)?)\b"
    r"|\blabell?ed (?:as|span|interval|time)|\baccording to the (?:answer|label|hint)|\bthe hint\b",
    re.IGNORECASE,
)
_REFUSES = re.compile(
    r"\bI(?:'m| am) (?:sorry|unable|not able)|\bI (?:cannot|can't|can not|won't) (?:help|assist|watch|see|view|process|"
    r"analy[sz]e|answer|determine|provide)|\bas an ai\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+")
#: Words that a bare answer consists of, or that mean nothing by themselves.
_EMPTY = word_set("""
    a an the this that it its he she they is are was were be been in on at of to from until till by for with and or so
    then there here as when where which while event events video clip moment starts start begins begin ends end stops
    stop happens happen occurs occur takes place answer span time times second seconds s sec box boxes therefore thus
    about around between query sentence described description visible located found find i see we can
""")


@dataclass
class Trajectory:
    """One reply of a teacher on its way to a trajectory.

    Attributes:
        truth: The truth of the question.
        query: The sentence that was asked about.
        form: Name of the form of the trajectory.
        limits: Limits of what is accepted of a teacher.
        finish: How the reply ended: `stop`, `length` or `refused`.
        reply: The reply as the teacher wrote it.
        thought: The reasoning in it, without tags.
        answer: The answer in it, with boxes in pixels of the displayed frame.
        error: The error of the answer; None if the answer cannot be read.
        replacement: The reasoning with true numbers; None until they are replaced.
        text: The trajectory: reasoning and answer in the form; "" until it is made.
        verifier: The reward of the form, and the most that it can be.
        reason: Name of the first check that the reply did not pass, or None.
        saw: What that check found, or why the form cannot hold the answer.
    """

    truth: Truth
    query: str
    form: str
    limits: TrajectoryLimits
    finish: str = "stop"
    reply: str = ""
    thought: str = ""
    answer: ParsedAnswer = field(default_factory=ParsedAnswer)
    error: TeacherError | None = None
    replacement: Replacement | None = None
    text: str = ""
    verifier: Verifier = field(default_factory=Verifier)
    reason: str | None = None
    saw: str = ""


def refused(t: Trajectory) -> str | None:
    """A refusal would teach the policy to refuse."""
    if t.finish == "refused":
        return "the teacher or a filter declined"
    found = _REFUSES.search(t.reply)
    return found[0] if found and not t.answer.read else None


def truncated(t: Trajectory) -> str | None:
    """A reply that was cut off lacks its answer, or the reason for it."""
    if t.finish == "length" or t.answer.status == "truncated":
        return f"cut off after {len(t.reply)} characters"
    return None


def unread(t: Trajectory) -> str | None:
    """Without a readable answer nobody can tell which event the teacher's reasoning is about."""
    return None if t.answer.valid else f"the answer is {t.answer.status}"


def no_thought(t: Trajectory) -> str | None:
    """A trajectory without reasoning is a bare answer, which needs no teacher."""
    return None if _WORD.search(t.thought) else "there is no reasoning"


def leakage(t: Trajectory) -> str | None:
    """A policy cannot learn from the video what its teacher knew from elsewhere."""
    found = _LEAKS.search(t.thought)
    return found[0] if found else None


def other_language(t: Trajectory) -> str | None:
    """Reasoning in another script than the question's cannot be checked: the claims in it are not recognised."""
    if foreign_share(t.query) > 0.3:
        return None
    return "the reasoning is in another script than the question" if foreign_share(t.thought) > 0.3 else None


def wrong_span(t: Trajectory) -> str | None:
    """The reasoning is about another event, and would be false with the true numbers."""
    return f"t_IoU {t.error.t_iou:.2f}" if t.error is not None and t.error.kind == "wrong span" else None


def wrong_count(t: Trajectory) -> str | None:
    """The reasoning finds a different number of events, so its times cannot be paired with the true ones."""
    if t.error is None or t.error.kind != "wrong count":
        return None
    return f"{len(t.answer.spans)} events, and there are {len(t.truth.spans or ())}"


def no_box(t: Trajectory) -> str | None:
    """Without a box at a true time nobody can tell which object the reasoning is about."""
    return "no box at a true time" if t.error is not None and t.error.kind == "no box" else None


def wrong_target(t: Trajectory) -> str | None:
    """The reasoning is about another object, and would be false with the boxes of the right one."""
    if t.error is None or t.error.kind != "wrong target":
        return None
    return f"boxes overlap the true ones by {t.error.box_iou or 0:.2f}"


def wrong_choice(t: Trajectory) -> str | None:
    """The reasoning is for another option, and would contradict the letter of the right one."""
    if "choice" not in FORMS[t.form].holds or t.answer.choice == t.truth.choice:
        return None
    return f"{t.answer.choice or 'no option'} is chosen, and {t.truth.choice or 'none'} is right"


def nothing_left(t: Trajectory) -> str | None:
    """If all sentences had to be dropped, no reasoning is left to learn."""
    if t.replacement is not None and not _WORD.search(t.replacement.thought):
        return f"all {len(t.replacement.dropped)} sentences were dropped"
    return None


def no_claim(t: Trajectory) -> str | None:
    """Reasoning that names no time where something happens explains nothing about when."""
    if t.truth.spans and not any(s.times for s in citing_sentences(_learned(t))):
        return "no time is named"
    return None


def times_outside(t: Trajectory) -> str | None:
    """A time in the reasoning that lies outside the true time, by more than the tolerance, would be a false claim."""
    for sentence in citing_sentences(_learned(t)):
        if sentence.unreadable:
            return sentence.unreadable
        for time in sentence.times:
            slack = t.limits.tolerance + 1e-6
            inside = any(s.start - slack <= time.seconds <= s.end + slack for s in t.truth.spans or ())
            if not (inside or time.length):
                return f"{time.seconds:g} s"
    return None


def boxes_elsewhere(t: Trajectory) -> str | None:
    """A box in the reasoning that does not overlap the true box at its time would be a false claim."""
    size = t.truth.size
    for sentence in citing_sentences(_learned(t)):
        for cited in sentence.boxes:
            true = None if cited.at is None else true_box(t.truth, sentence.times[cited.at].seconds, t.limits.tolerance)
            if true is None or size is None or float(box_iou([_shown(cited.box, t)], [true])[0]) < 0.5:
                return sentence.text[cited.start : cited.end]
    return None


def not_strict(t: Trajectory) -> str | None:
    """A text that the strict parser of the reward cannot read would never be rewarded."""
    if not t.text:
        return t.saw or "the form cannot hold the answer"
    answer = parse(t.text, "strict", t.form)
    return None if answer.valid else f"the text is {answer.status}"


def below_ceiling(t: Trajectory) -> str | None:
    """A right answer that does not get the highest reward of the form would teach the policy something else."""
    reward, ceiling = t.verifier.score(t.text, t.truth).reward, t.verifier.ceiling(t.truth)
    return f"{reward:.4f} of {ceiling:.4f}" if reward < ceiling - 1e-6 else None


def only_repeats(t: Trajectory) -> str | None:
    """Reasoning that only repeats the answer teaches the policy to write the answer twice."""
    words = meaningful_words(_learned(t), t.query)
    return f"{len(words)} words of its own" if len(words) < t.limits.min_words else None


def meaningful_words(thought: str, query: str) -> set[str]:
    """The different words of a thought that are not in the question and mean something by themselves.

    Args:
        thought: The reasoning.
        query: The sentence that was asked about.

    >>> sorted(meaningful_words("The dog runs in from 2 s to 4 s, past a bench.", "the dog runs in"))
    ['bench', 'past']
    """
    known = _EMPTY | {w.lower() for w in _WORD.findall(query)}
    return {w.lower() for w in _WORD.findall(thought)} - known


def _learned(t: Trajectory) -> str:
    """The reasoning that a policy would learn; "" before the numbers are replaced."""
    return "" if t.replacement is None else t.replacement.thought


def _shown(box: Corners, t: Trajectory) -> Corners:
    """A box of the finished thought in pixels of the displayed frame."""
    sx, sy = scale(FORMS[t.form].coordinates or "thousand", "displayed", t.truth.size, t.truth.shown)
    return box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy


def foreign_share(text: str) -> float:
    """Share of the letters of a text that are not Latin, 0 to 1.

    Args:
        text: Any text.

    >>> foreign_share("ab аб"), foreign_share("12")
    (0.5, 0.0)
    """
    letters = [c for c in text if c.isalpha()]
    return sum(ord(c) > 0x24F for c in letters) / max(1, len(letters))


Check = Callable[[Trajectory], str | None]
#: Checks of the teacher's reply before numbers are replaced, in this order.
READING: tuple[Check, ...] = (
    refused, truncated, unread, no_thought, other_language, leakage, wrong_span, wrong_count, no_box, wrong_target,
    wrong_choice,
)  # fmt: skip
#: Checks of the trajectory after numbers were replaced, in this order.
FINISHED: tuple[Check, ...] = (
    nothing_left, no_claim, times_outside, boxes_elsewhere, not_strict, below_ceiling, only_repeats,
)  # fmt: skip
#: All checks by name.
CHECKS: dict[str, Check] = {check.__name__: check for check in (*READING, *FINISHED)}


def objection(t: Trajectory, checks: tuple[Check, ...]) -> bool:
    """Whether a trajectory fails one of some checks; the first that it fails is noted in `reason` and `saw`.

    Args:
        t: The trajectory.
        checks: The checks, in their order.
    """
    for check in checks:
        if (saw := check(t)) is not None:
            t.reason, t.saw = check.__name__, saw
            return True
    return False

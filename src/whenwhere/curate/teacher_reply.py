"""Turns a teacher's reply into a trajectory: reads it, compares it with the truth, replaces its numbers, checks it.

Nothing here asks a model: `make_trajectory` is a pure function of the reply, the truth and the limits.
"""

import hashlib
from dataclasses import replace

from whenwhere.answers import FORMS, Coordinates, ParsedAnswer, parse
from whenwhere.answers.answer import Size, scale
from whenwhere.answers.forms import Form
from whenwhere.answers.thought import split_thought
from whenwhere.curate.replacement import replace_numbers
from whenwhere.curate.teacher_error import Corners, TrajectoryLimits, teacher_error
from whenwhere.curate.trajectory_checks import FINISHED, READING, Trajectory, objection, only_repeats
from whenwhere.errors import RecordError, SettingError, did_you_mean
from whenwhere.verify import Truth, Verifier


def trajectory_form(name: str, shown: Size | None = None) -> Form:
    """Find a form that trajectories can be written in.

    Args:
        name: Name of the form.
        shown: Width and height in pixels of the picture that the policy is shown, for a form that answers in its
            pixels; None for any other form.

    Raises:
        SettingError: There is no such form, it cannot hold trajectories (the message says why, and lists those that
            can), or the size is missing, not needed or not a size.
    """
    usable = [f.name for f in FORMS.values() if _obstacle(f) is None]
    choose = f"choose from {', '.join(usable)}"
    if name not in FORMS:
        raise SettingError(f"there is no form {name!r}{did_you_mean(name, usable) or ': ' + choose}")
    if (obstacle := _obstacle(FORMS[name])) is not None:
        raise SettingError(f"the form {name} {obstacle}: {choose}")
    pixels = FORMS[name].coordinates == "pixels"
    if pixels and shown is None:
        raise SettingError(
            f"the form {name} writes boxes in pixels of the picture that the policy is shown: say its size with "
            f"--shown, such as --shown 448x252, or choose from {', '.join(f for f in usable if f != name)}"
        )
    if shown is not None and not pixels:
        raise SettingError(f"the form {name} does not depend on the size of the picture: leave --shown out")
    if shown is not None and not all(1 <= side < 1e5 and side == round(side) for side in shown):
        raise SettingError(
            f"a picture is a whole number of pixels wide and high, each 1 to 99999, not {shown[0]:g}x{shown[1]:g}"
        )
    return FORMS[name]


def _obstacle(form: Form) -> str | None:
    """Why a form cannot hold trajectories; None if it can."""
    if form.tags[:1] != ("think",):
        return "has no place for reasoning"
    if "target" in form.holds:
        return "answers with the number drawn on a thing, and no numbers are drawn on the pictures here"
    if form.spans == 0 and not form.timed:
        return "writes boxes without times, so that no answer in it can be checked or rewarded"
    return None


def make_trajectory(
    reply: str,
    truth: Truth,
    query: str,
    form: str = "second-level",
    limits: TrajectoryLimits | None = None,
    *,
    id: str = "",
    finish: str = "stop",
    thought: str = "",
    coordinates: Coordinates = "thousand",
    shown: Size | None = None,
) -> Trajectory:
    """Make a trajectory of a reply; `reason` says which check it fails, if any.

    Args:
        reply: The teacher's text, with an answer in the form `second-level`.
        truth: The truth of the question: its time; where places are asked for, its boxes and the frame's size; for
            forms with a choice, the right letter; for forms in pixels, the size of the policy's picture.
        query: The sentence that was asked about.
        form: Name of the form of the trajectory.
        limits: Limits of what is accepted of a teacher; None takes the defaults.
        id: Id of the item. It decides whether a thought that only repeats the answer is among the share that is kept.
        finish: How the reply ended: `stop`, `length` or `refused`.
        thought: The teacher's reasoning, where its server keeps it apart from the text.
        coordinates: Coordinates of the teacher's boxes: `thousand` for thousandths of the frame, or `pixels` of the
            picture that the teacher saw.
        shown: Width and height of that picture, for `pixels`.

    Raises:
        SettingError: The form cannot hold trajectories.

    >>> from whenwhere.spans import SpanSet
    >>> said = '<think>A dog waits at the gate. It jumps over the low fence at 3 s and lands on grass at 5 s.</think>'
    >>> said += '<answer>[{"span": [3.0, 5.0], "boxes": []}]</answer>'
    >>> print(make_trajectory(said, Truth(SpanSet([(2.4, 5.5)])), "the dog jumps", "time-r1").text)
    <think>A dog waits at the gate. It jumps over the low fence at 2.40 s and lands on grass at 5.50 s.</think>
    <answer>2.40 to 5.50</answer>
    """
    limits = limits or TrajectoryLimits()
    target = trajectory_form(form, truth.shown if form in FORMS and FORMS[form].coordinates == "pixels" else None)
    weights = {"t_iou": 1.0} if truth.tube is None else {"t_iou": 0.5, "v_iou": 0.5}
    if "choice" in target.holds:
        weights["accuracy"] = 1.0
    verifier = Verifier(weights, form=form)
    t = Trajectory(truth, query, form, limits, finish, reply, verifier=verifier)
    t.answer = _read(reply, truth, coordinates, shown)
    t.thought = (thought or split_thought(reply).thought or "").strip()
    if t.answer.valid and truth.spans is not None:
        t.error = teacher_error(t.answer, truth, limits)
    if objection(t, READING):
        return t

    def displayed(box: Corners) -> Corners:
        assert truth.size is not None
        sx, sy = scale(coordinates, "displayed", truth.size, shown)
        return box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy

    t.replacement = replace_numbers(
        t.thought, tuple(sorted(t.answer.spans)), truth, target, displayed if truth.size else None, limits
    )
    t.text = _rendered(t, target, replace(truth.answer(), thought=t.replacement.thought))
    spared = limits.copies > 0 and _share(id) < limits.copies
    objection(t, tuple(c for c in FINISHED if not (spared and c is only_repeats)))
    return t


def teacher_text(t: Trajectory) -> str:
    """The trajectory with the teacher's own numbers, from which a policy learns as from a noisy teacher.

    It consists of the sentences of the trajectory as the teacher wrote them, and of the teacher's answer.

    Args:
        t: The trajectory.

    Returns:
        The text; "" if the form cannot hold the teacher's answer, or no numbers were replaced.
    """
    if t.replacement is None:
        return ""
    return _rendered(t, FORMS[t.form], replace(t.answer, thought=t.replacement.original))


def _rendered(t: Trajectory, form: Form, answer: ParsedAnswer) -> str:
    """An answer in a form; "" if the form cannot hold it, and then `saw` says why."""
    try:
        return form.render(answer, t.truth.size, t.truth.shown)
    except (RecordError, SettingError) as e:
        t.saw = str(e)
        return ""


def _read(reply: str, truth: Truth, coordinates: Coordinates, shown: Size | None) -> ParsedAnswer:
    """The teacher's answer, with boxes in pixels of the displayed frame; without boxes if the item has none."""
    answer = parse(reply, form="second-level", duration=truth.duration)
    if not answer.boxes and not answer.points:
        return answer
    if truth.size is None:
        return replace(answer, boxes=(), points=(), coordinates=None)
    return replace(answer, coordinates=coordinates).displayed(truth.size, shown)


def _share(id: str) -> float:
    """A number in [0, 1) that depends on an id alone, so that a rerun chooses the same items."""
    return int.from_bytes(hashlib.sha256(id.encode("utf-8", "replace")).digest()[:6]) / 2**48

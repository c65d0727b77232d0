"""The prompt with which a teacher is asked for reasoning and an answer: times, boxes and the letter of an option."""

from whenwhere.answers import FORMS
from whenwhere.answers.dialects.words import IN_PIXELS, IN_THOUSANDTHS
from whenwhere.datasets.choices import with_options
from whenwhere.datasets.item import Item

_SEEN = "You see {n} frames of a video from {start} to {end} seconds. "
_FIND = 'Find when this happens: "{query}". '
_CHOOSE = (
    "Choose the right answer to this question, and find when the video shows it:\n{query}\nSay what you see that rules "
    "out the other options. "
)
_WHEN = (
    "First reason inside <think> and </think>, in whole sentences. When: what do you see before it, what changes when "
    "it starts, what shows that it is over? Name the time in seconds of everything that you refer to. "
)
_WHICH = (
    "Which: what could be meant, what tells the right one apart, and where is it? Give its place as [x_min, y_min, "
    "x_max, y_max] together with its time. "
)
_ANSWER = (
    'Then output <answer>[{{"span": [start, end], "boxes": [{row}]}}, ...]</answer>, one entry for each time it '
    "happens, "
)
_BOXES = "with one box per second inside its span, times in seconds with one decimal."
_NO_BOXES = "times in seconds with one decimal, and no boxes."
_LETTER = " After that, write \\boxed{{X}} with the letter of the right option in place of X."
_ABSENT = " If it does not happen, say what you see instead and output <answer>[]</answer>."


def question_of(item: Item, form: str) -> str:
    """The question as it is asked for answers in a form: with its options if the form has a choice.

    Args:
        item: The item.
        form: Name of the form.
    """
    return (with_options(item) if "choice" in FORMS[form].holds else item).query.strip()


def teacher_prompt(
    item: Item, form: str, start: float, end: float, boxes: bool, pixels: bool
) -> tuple[str, dict[str, str]]:
    """The template of the prompt and the values of its fields, except {n}, the number of frames.

    Args:
        item: The item.
        form: Name of the form of the trajectory. The teacher always answers in `second-level`.
        start: Time of the first frame in seconds.
        end: Time at which the shown part ends, in seconds.
        boxes: Whether the teacher is asked for boxes.
        pixels: Whether the teacher writes boxes in pixels of the picture that it sees, rather than in thousandths.
    """
    chooses = "choice" in FORMS[form].holds
    template = _SEEN + (_CHOOSE if chooses else _FIND) + _WHEN + (_WHICH if boxes else "")
    template += _ANSWER + (_BOXES if boxes else _NO_BOXES) + (_LETTER if chooses else _ABSENT)
    if boxes:
        template += IN_PIXELS if pixels else IN_THOUSANDTHS
    return template, {
        "query": question_of(item, form), "start": f"{start:.1f}", "end": f"{end:.1f}",
        "row": "[time, x_min, y_min, x_max, y_max], ..." if boxes else "",
    }  # fmt: skip

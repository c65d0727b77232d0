"""The one parser: from a model's text to what it says about when, where and which.

>>> from whenwhere import answers
>>> answers.parse("<think>2 people, maybe 3 to 5</think><answer>12.54s to 17.83s</answer>").spans
((12.54, 17.83),)
>>> print(answers.FORMS["timelens"].render(answers.ParsedAnswer(spans=((12.54, 17.83),))))
The event happens in 12.5 - 17.8 seconds.
"""

from whenwhere.answers.answer import Coordinates, ParsedAnswer, ParseStatus, TimedBox, TimedPoint
from whenwhere.answers.catalogue import FORMS
from whenwhere.answers.forms import FAMILY_COORDINATES, Form
from whenwhere.answers.parse import parse

__all__ = [
    "FAMILY_COORDINATES", "FORMS", "Coordinates", "Form", "ParseStatus", "ParsedAnswer", "TimedBox", "TimedPoint",
    "parse",
]  # fmt: skip

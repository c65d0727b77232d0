"""The one parser: a model's text → what it says about when, where and which.

>>> from whenwhere import answers
>>> answers.parse("<think>2 people, maybe 3 to 5</think><answer>12.54s to 17.83s</answer>").spans
((12.54, 17.83),)
"""

from whenwhere.answers.answer import Answer, Coordinates, Status, TimedBox, TimedPoint
from whenwhere.answers.parse import parse

__all__ = ["Answer", "Coordinates", "Status", "TimedBox", "TimedPoint", "parse"]

"""Which tokens of a completion state its spans and which its boxes, and a reward for each of the two.

One advantage for a whole answer blames its spans for bad boxes, and its many box tokens for a bad span. With `credit =
"segment"` tokens of the boxes get the advantage of the terms that compare boxes, and all others, thoughts and tags
among them, that of the terms about time; both get the format term.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers.forms import Form
from whenwhere.errors import SettingError
from whenwhere.verify import Reward, Verifier


def check_segments(form: Form, verifier: Verifier) -> None:
    """Refuses a form or a reward that does not have both parts.

    Args:
        form: The form of the answers.
        verifier: The reward.

    Raises:
        SettingError: The form does not state spans and boxes, or the reward has no term about one of them.
    """
    if form.box_text is None:
        raise SettingError(
            f"credit = 'segment' is for forms with spans and boxes (second-level, tokens), not for {form.name}"
        )
    if len({about_boxes(verifier, term.name) for term in verifier.terms}) < 2:
        raise SettingError(
            "credit = 'segment' needs a reward term about time and one that compares boxes, such as t_iou and v_iou"
        )


def about_boxes(verifier: Verifier, name: str) -> bool:
    """Whether a term of a reward compares boxes.

    Args:
        verifier: The reward.
        name: Name of the term.
    """
    return any(term.name == name and "tube" in term.needs for term in verifier.terms)


def segment_totals(verifier: Verifier, reward: Reward) -> tuple[float, float]:
    """The reward of the spans and that of the boxes, each with the format term.

    Where a question has no boxes, both are the whole reward.

    Args:
        verifier: The verifier that gave the reward.
        reward: The reward of an answer.
    """
    totals = []
    for boxes in (False, True):
        terms = {n: v for n, v in reward.terms.items() if about_boxes(verifier, n) == boxes}
        weight = sum(verifier.weights[name] for name in terms)
        part = sum(verifier.weights[name] * value for name, value in terms.items()) / weight if weight else None
        totals.append(reward.total if part is None else part + verifier.format_weight * reward.format)
    return totals[0], totals[1]


def box_tokens(form: Form, pieces: Sequence[str]) -> NDArray[np.bool_]:
    """Which tokens of a completion state its boxes.

    Args:
        form: The form of the answers, with `box_text`.
        pieces: The text of each token.

    Returns:
        bool, shape (n,).

    >>> from whenwhere.answers import FORMS
    >>> box_tokens(FORMS["tokens"], ["<1.0s>", "<2.0s>", "<1.0s>", "<10>", "<20>", "<30>", "<40>", ""]).tolist()
    [False, False, True, True, True, True, True, False]
    """
    assert form.box_text is not None
    ends = np.cumsum([len(piece) for piece in pieces])
    begins = ends - [len(piece) for piece in pieces]
    found = np.zeros(len(pieces), bool)
    for match in re.finditer(form.box_text, "".join(pieces)):
        found |= (begins < match.end()) & (ends > match.start())
    return found

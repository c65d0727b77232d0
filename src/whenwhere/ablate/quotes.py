"""Quotes from reviews: where a review holds the words that a judge copied, and which quotes mean the same request.

The spaces, quotation marks and line ends of what a model copies differ from the original, so only letters and digits
are compared, in lower case.
"""

import re
import unicodedata
from collections.abc import Sequence

from whenwhere.ablate.structured import AnswerError
from whenwhere.readers import quoted

#: Index of a review, and where the quoted words begin and end among its letters and digits.
Span = tuple[int, int, int]
#: Most letters and digits of a quote. Whoever quotes a whole review names no request.
LONGEST_QUOTE = 600
#: Fewest letters and digits of a quote: fewer would be found anywhere.
SHORTEST_QUOTE = 8


class SqueezedText:
    """A text reduced to its letters and digits in lower case, in which quotes are looked for.

    Args:
        text: The text as it was written.

    Attributes:
        text: Its letters and digits.
    """

    def __init__(self, text: str) -> None:
        plain = unicodedata.normalize("NFKC", text).casefold()
        self.text = "".join(c for c in plain if c.isalnum())


def find_quote(quote: str, reviews: Sequence[SqueezedText], place: str) -> Span:
    """Find the place of a quote; of several pieces that are joined by dots of omission, the longest counts.

    Args:
        quote: The words as a judge copied them. Case, spaces and signs need not be those of the review.
        reviews: The reviews.
        place: Position of the quote in the judge's answer, for the message.

    Raises:
        AnswerError: No review holds the words, or they are too few or too many to name a request.
    """
    longest = max(re.split(r"…|\.\.\.|\[|\]", quote), key=len)
    piece = SqueezedText(longest).text
    if not SHORTEST_QUOTE <= len(piece) <= LONGEST_QUOTE:
        raise AnswerError(f"{place}: the quote {quoted(quote)} is not one sentence or a part of one; copy that")
    for number, review in enumerate(reviews):
        begin = review.text.find(piece)
        if begin >= 0:
            return number, begin, begin + len(piece)
    raise AnswerError(f"{place}: no review holds the words {quoted(quote)}; copy them exactly, or write null")


def number_requests(spans: Sequence[Span]) -> dict[Span, int]:
    """Number the requests that quotes belong to, from 0: spans that overlap are one request.

    Args:
        spans: Places of the quotes.

    Returns:
        The number of the request of each different span.

    >>> number_requests([(0, 10, 30), (0, 25, 40), (0, 40, 50), (1, 10, 30)])
    {(0, 10, 30): 0, (0, 25, 40): 0, (0, 40, 50): 1, (1, 10, 30): 2}
    """
    numbers: dict[Span, int] = {}
    count, review, end = -1, -1, -1
    for span in sorted(set(spans)):
        if span[0] != review or span[1] >= end:
            count, review, end = count + 1, span[0], span[2]
        numbers[span] = count
        end = max(end, span[2])
    return numbers

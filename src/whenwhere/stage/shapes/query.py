"""A sentence about a clip of shapes, with its exact truth."""

from dataclasses import dataclass

from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube


@dataclass(frozen=True, eq=False)
class ShapesQuery:
    """A sentence and its truth.

    Attributes:
        text: The sentence, made of `SHAPES_WORDS`.
        spans: The time for which the sentence is true. Both ends of a span are multiples of half a second. Empty where
            the sentence is never true.
        tube: Boxes in every frame in which the referent is seen within the spans. Its `rate` is the frame rate.
        kind: `there`, `texture`, `relation`, `action` or `order`.
        referents: Number of shapes that the sentence fits, 0 where it is never true. If it fits several, they are there
            at different times, and spans and tube cover all of them.
        label: The spans that a careless annotator would have written. None without label noise.
    """

    text: str
    spans: SpanSet
    tube: Tube
    kind: str
    referents: int
    label: SpanSet | None = None

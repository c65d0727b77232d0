"""A sentence about a clip of shapes, with its exact truth."""

from dataclasses import dataclass

from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube


@dataclass(frozen=True, eq=False)
class ShapesQuery:
    """A sentence and its truth.

    Attributes:
        text: The sentence, made of `SHAPES_WORDS`.
        spans: The time for which the sentence holds. Ends are multiples of half a second; the set is empty where the
            sentence never holds.
        tube: Boxes in every frame in which the referent is seen within the spans. Its `rate` is the frame rate.
        kind: `there`, `texture`, `relation` or `action`.
        referents: Number of shapes the sentence fits, 0 where it is absent. With more than one, spans and tube cover
            all of them (they are there at different times).
        label: What a careless annotator would have written; None without label noise. The truth stays clean.
    """

    text: str
    spans: SpanSet
    tube: Tube
    kind: str
    referents: int
    label: SpanSet | None = None

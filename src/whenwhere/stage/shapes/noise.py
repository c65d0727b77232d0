"""Errors that annotators make, kept apart from the truth.

The kinds of errors are those that were counted in released grounding data: boundaries that are off, a sentence that is
annotated twice with different times, an event of which only a part is marked, and a span that belongs to something
else. A noisy label is stored next to the truth (`ShapesQuery.label`), so that an experiment can train on the label and
still know the truth.
"""

from dataclasses import dataclass, replace

import numpy as np

from whenwhere.errors import SettingError
from whenwhere.spans import SpanSet
from whenwhere.stage.shapes.query import ShapesQuery

_MOST = 64


@dataclass(frozen=True)
class Noise:
    """Shares of the sentences with each kind of label error; a sentence has at most one.

    Attributes:
        jitter: Share of sentences whose label has both ends moved.
        duplicate: Share of sentences that occur a second time, with the span of something else.
        partial: Share of sentences whose label marks only a part of the event (one of its spans, if it has several).
        wrong: Share of sentences, absent ones among them, that are labelled with the span of something else.
        spread: Standard deviation of the shift of a moved end, as a share of the event's length.

    Raises:
        SettingError: A share is negative, or the shares sum to more than 1.

    >>> Noise(jitter=0.2, wrong=0.9)
    Traceback (most recent call last):
    ...
    whenwhere.errors.SettingError: shares of label errors must be at least 0 and sum to at most 1, not 1.1
    """

    jitter: float = 0.0
    duplicate: float = 0.0
    partial: float = 0.0
    wrong: float = 0.0
    spread: float = 0.3

    def __post_init__(self) -> None:
        rates = (self.jitter, self.duplicate, self.partial, self.wrong)
        if min(rates) < 0 or sum(rates) > 1 + 1e-9:
            raise SettingError(
                f"shares of label errors must be at least 0 and sum to at most 1, not {sum(rates):g}"
                if min(rates) >= 0
                else f"shares of label errors must be at least 0, not {min(rates):g}"
            )


def mislabel(
    noise: Noise, rng: np.random.Generator, queries: list[ShapesQuery], duration: float, tick: float
) -> list[ShapesQuery]:
    """The sentences with labels, some of them wrong.

    Args:
        noise: Shares of the kinds of errors.
        rng: Random stream of the label errors.
        queries: Sentences with their truth, which stays unchanged.
        duration: Duration of the clip in seconds.
        tick: Length of a tick in seconds. Both ends of every span are multiples of it.

    Returns:
        The sentences in their order, each duplicate after its original.
    """
    u, z = rng.random((_MOST, 5)), rng.standard_normal((_MOST, 2))
    edges = np.cumsum([noise.jitter, noise.duplicate, noise.partial, noise.wrong])
    out: list[ShapesQuery] = []
    for k, query in enumerate(queries):
        kind = int(np.searchsorted(edges, u[k, 0], side="right"))
        label = query.spans
        if kind == 0:
            label = SpanSet(_moved(s.start, s.end, z[k] * noise.spread, duration, tick) for s in query.spans)
        elif kind == 2 and len(query.spans) > 1:
            label = SpanSet([query.spans[int(u[k, 1] * len(query.spans))]])
        elif kind == 2:
            label = SpanSet(_part(s.start, s.end, u[k, 1], u[k, 2], tick) for s in query.spans)
        elif kind == 3:
            label = _other(query, queries, u[k, 1:], duration, tick)
        out.append(replace(query, label=label))
        if kind == 1 and query.referents:
            out.append(replace(query, label=_other(query, queries, u[k, 1:], duration, tick)))
    return out


def _moved(start: float, end: float, by: np.ndarray, duration: float, tick: float) -> tuple[float, float]:
    """A span with both ends moved by shares of its length, at least one tick each, inwards where there is no room."""
    for way in (by, -by):
        step = np.where(way < 0, np.minimum(-tick, way * (end - start)), np.maximum(tick, way * (end - start)))
        a, b = (round((x + d) / tick) * tick for x, d in zip((start, end), step.tolist(), strict=True))
        a = min(max(a, 0.0), duration - tick)
        b = max(min(b, duration), a + tick)
        if (a, b) != (start, end):
            break
    return a, b


def _part(start: float, end: float, share: float, place: float, tick: float) -> tuple[float, float]:
    """Between three and seven tenths of a span; a span of one tick stays as it is."""
    n = round((end - start) / tick)
    keep = max(1, min(n - 1, round((0.3 + 0.4 * share) * n)))
    a = start + int(place * (n - keep + 1)) * tick
    return a, a + keep * tick


def _other(query: ShapesQuery, queries: list[ShapesQuery], u: np.ndarray, duration: float, tick: float) -> SpanSet:
    """The spans of another sentence of the clip, or a random span where all sentences have the same."""
    others = [q.spans for q in queries if q.referents and q.spans != query.spans]
    if others:
        return others[int(u[0] * len(others))]
    n = round(duration / tick)
    a = int(u[1] * n)
    return SpanSet([(a * tick, (a + 1 + int(u[2] * (n - a))) * tick)])

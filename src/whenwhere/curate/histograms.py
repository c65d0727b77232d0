"""Histograms of a set: as text for every terminal, and side by side as a picture where matplotlib is installed.

The quantities are the ones by which sets are biased: how long videos, events and sentences are, what share of its video
an event takes, and where in the video its centre lies.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.datasets.item import Item
from whenwhere.errors import MissingExtraError
from whenwhere.evaluate.constants import length

_BAR = " ▁▂▃▄▅▆▇█"
_BINS = 20


@dataclass(frozen=True, eq=False)
class Quantity:
    """One measured quantity of all items.

    Attributes:
        name: What it is, with its unit.
        values: One number for each item that has it, shape (n,).
        edges: Edges of the bins, shape (bins + 1,).
    """

    name: str
    values: NDArray[np.float64]
    edges: NDArray[np.float64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of values in each bin; what lies outside the edges counts in the first or last bin."""
        return np.histogram(np.clip(self.values, self.edges[0], self.edges[-1]), self.edges)[0]


def quantities(items: Iterable[Item]) -> dict[str, NDArray[np.float64]]:
    """Durations of videos, lengths, shares and centres of events, and words of sentences, by name.

    >>> from whenwhere.datasets.item import span_array
    >>> found = quantities([Item("a", "v", "a dog runs", span_array([(2, 4)]), duration=10.0)])
    >>> found["centre of the event, share of the video"].tolist()
    [0.3]
    """
    rows: dict[str, list[float]] = {
        name: []
        for name in (
            "duration, seconds", "event, seconds", "event, share of the video",
            "centre of the event, share of the video", "words of the sentence",
        )
    }  # fmt: skip
    duration, event, share, centre, words = rows.values()
    for item in items:
        seconds = length(item)
        words.append(len(item.query.split()))
        if seconds:
            duration.append(seconds)
        spans = item.span_set
        if item.status != "valid" or not len(spans):
            continue
        event.append(spans.duration)
        if seconds:
            share.append(spans.duration / seconds)
            centre.append(float((spans.starts[0] + spans.ends[-1]) / 2 / seconds))
    return {name: np.array(values, float) for name, values in rows.items()}


def compared(before: Iterable[Item], after: Iterable[Item]) -> list[tuple[Quantity, Quantity]]:
    """Each quantity of two sets, in the same bins: those of the first set, without the largest hundredth."""
    first, second = quantities(before), quantities(after)
    found = []
    for name, values in first.items():
        edges = bins(values, unit="share" in name)
        found.append((Quantity(name, values, edges), Quantity(name, second[name], edges)))
    return found


def bins(values: ArrayLike, unit: bool = False) -> NDArray[np.float64]:
    """Edges of twenty bins: from 0 to 1, or from 0 to what all but a hundredth of the values do not exceed."""
    found = np.asarray(values, float)
    top = 1.0 if unit or not len(found) else float(np.quantile(found, 0.99))
    return np.linspace(0.0, top if top > 0 else 1.0, _BINS + 1)


def bars(counts: ArrayLike) -> str:
    """Counts as one line of bars, the largest one full.

    >>> bars([0, 1, 4, 8])
    ' ▁▄█'
    """
    found = np.asarray(counts, float)
    top = found.max(initial=0.0)
    steps = np.ceil(found / top * (len(_BAR) - 1)).astype(int) if top > 0 else np.zeros(len(found), int)
    return "".join(_BAR[k] for k in steps)


def text(pairs: Sequence[tuple[Quantity, Quantity]]) -> str:
    """Two lines of bars for each quantity, before and after, with the medians."""
    lines = []
    for before, after in pairs:
        lines.append(f"{before.name} ({before.edges[0]:g} to {before.edges[-1]:.4g})")
        for word, one in (("before", before), ("after", after)):
            middle = f"median {np.median(one.values):.4g}" if len(one.values) else "none"
            lines.append(f"  {word:6} |{bars(one.counts)}| {middle}, n = {len(one.values)}")
    return "\n".join(lines)


def data(pairs: Sequence[tuple[Quantity, Quantity]]) -> list[dict[str, object]]:
    """The histograms as JSON values."""
    return [
        {
            "name": before.name, "edges": before.edges.round(6).tolist(), "before": before.counts.tolist(),
            "after": after.counts.tolist(),
        }
        for before, after in pairs
    ]  # fmt: skip


def draw(panels: Sequence[tuple[str, NDArray[np.float64], Mapping[str, ArrayLike]]]) -> bytes:
    """Step curves of one or more series over the same bins, one panel each, as an SVG picture.

    Args:
        panels: For each panel its title, the edges of the bins, and the heights of each series by name.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as e:
        raise MissingExtraError("matplotlib", "report", "drawing histograms") from e
    # the same numbers give the same bytes
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "whenwhere", "font.size": 9}):
        columns = min(3, max(1, len(panels)))
        figure = Figure(figsize=(3.6 * columns, 2.6 * -(-len(panels) // columns)))
        for number, (title, edges, series) in enumerate(panels, 1):
            axes = figure.add_subplot(-(-len(panels) // columns), columns, number)
            for name, heights in series.items():
                axes.stairs(np.asarray(heights, float), edges, label=name, linewidth=1.4)
            axes.set_title(title, fontsize=9)
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_ylim(bottom=0)
            # series of the same names need only one legend
            if len(series) > 1 and (number == 1 or len(series) != len(panels[0][2])):
                axes.legend(frameon=False, fontsize=7)
        figure.subplots_adjust(0.08, 0.1, 0.97, 0.9, 0.25, 0.35)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def picture(pairs: Sequence[tuple[Quantity, Quantity]]) -> bytes:
    """Each quantity before and after as an SVG picture.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return draw([(a.name, a.edges, {"before": a.counts, "after": b.counts}) for a, b in pairs])

"""Three plots of an evaluation, as SVG inside a page that follows the page's colours.

They are drawn by matplotlib (extra `report`) in placeholder colours, which are then replaced by CSS variables, so that
one plot suits the light and the dark page, and its text stays text. The same numbers give the same bytes.
"""

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import MissingExtraError
from whenwhere.evaluate.diagnostics import Choices

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Placeholder colours of matplotlib; `_PAGE` maps each to the page's variable.
_INK, _SOFT, _FIRST, _SECOND = "#010101", "#020202", "#030303", "#040404"
_PAGE = {_INK: "var(--ink)", _SOFT: "var(--soft)", _FIRST: "var(--first)", _SECOND: "var(--second)"}
_SIZE = (5.2, 3.0)
_BINS = 20


def draw(seen: Choices) -> dict[str, str]:
    """The plots as SVG by title: distribution of the IoU, R1 over the threshold, error over the video's length.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as e:
        raise MissingExtraError("matplotlib", "report", "drawing the plots of report.html") from e
    looks: Any = {
        "svg.fonttype": "none", "svg.hashsalt": "whenwhere", "font.family": "sans-serif", "font.size": 10,
        "text.color": _INK, "axes.labelcolor": _INK, "axes.edgecolor": _SOFT, "xtick.color": _SOFT,
        "ytick.color": _SOFT, "grid.color": _SOFT, "axes.spines.top": False, "axes.spines.right": False,
    }  # fmt: skip
    drawings: dict[str, Callable[[Axes], None]] = {
        "Distribution of temporal IoU": lambda axes: _histogram(axes, seen.iou),
        "R1 over the threshold": lambda axes: _recall(axes, seen.iou),
    }
    error, length = _errors(seen)
    if len(length):
        drawings["Error over the video's length"] = lambda axes: _errors_over_length(axes, error, length)
    pictures = {}
    with matplotlib.rc_context(looks):
        for number, (title, drawing) in enumerate(drawings.items()):
            figure = Figure(figsize=_SIZE, layout="constrained")
            axes = figure.add_subplot()
            axes.grid(alpha=0.25, linewidth=0.6)
            axes.set_axisbelow(True)
            drawing(axes)
            pictures[title] = _svg(figure, f"plot{number}-")
    return pictures


def _histogram(axes: "Axes", iou: NDArray[np.float64]) -> None:
    axes.hist(iou, bins=np.linspace(0, 1, _BINS + 1).tolist(), color=_FIRST, rwidth=0.92)
    axes.set(xlabel="temporal IoU of the first choice", ylabel="items", xlim=(0, 1))


def _recall(axes: "Axes", iou: NDArray[np.float64]) -> None:
    at = np.linspace(0.01, 1, 100)
    axes.plot(at, 1 - np.searchsorted(np.sort(iou), at, side="left") / len(iou), color=_FIRST, linewidth=1.8)
    axes.set(xlabel="threshold (IoU ≥)", ylabel="share of items", xlim=(0, 1), ylim=(0, 1))


def _errors(seen: Choices) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    both = np.isfinite(seen.answer).all(1) & np.isfinite(seen.truth).all(1) & np.isfinite(seen.duration)
    return (seen.answer - seen.truth)[both], seen.duration[both]


def _errors_over_length(axes: "Axes", error: NDArray[np.float64], length: NDArray[np.float64]) -> None:
    order = np.random.default_rng(0).permutation(len(length))[:2000]  # more points would be one blot and a huge page
    for column, colour, name in ((0, _FIRST, "start"), (1, _SECOND, "end")):
        axes.plot(
            length[order],
            error[order, column],
            "o",
            color=colour,
            alpha=0.5,
            markersize=3,
            markeredgewidth=0,
            label=name,
        )
    axes.axhline(0, color=_SOFT, linewidth=0.8)
    limit = float(np.quantile(np.abs(error), 0.99)) or 1.0
    axes.set(xlabel="length of the video (s)", ylabel="answer − truth (s)", ylim=(-limit, limit))
    axes.legend(frameon=False, ncols=2, loc="upper left", markerscale=2)


def _svg(figure: "Figure", prefix: str) -> str:
    out = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(out, format="svg", transparent=True, metadata=metadata)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    for drawn, shown in _PAGE.items():
        text = text.replace(drawn, shown)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # several plots share one page, and so its ids
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}", text)
    # the page's own font, and a width that fits the page
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px; font-family: inherit", text)
    return re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", text, count=1)

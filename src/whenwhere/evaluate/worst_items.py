"""The worst items of a report as HTML: sentence, video, truth and answer side by side, for the page.

Numbers name a weakness, single items show what it looks like. The items with the lowest temporal IoU of the first
choice come first; of equal ones, those with the longest truth. A video is shown if its file is found: at its own path,
or beside the annotations. It plays from the truth's start.
"""

import html
import math
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from whenwhere.datasets.item import Item
from whenwhere.evaluate.evaluation import Report

#: Number of items shown; items.jsonl has all.
SHOWN = 30


def worst_items(report: Report, page: Path) -> str:
    """The section of a page; empty if an answer is not a time.

    Args:
        report: The report.
        page: The file that the section is for: links to videos count from its folder.
    """
    seen = report.choices
    if seen is None or not len(seen):
        return ""
    length = [float((i.spans[:, 1] - i.spans[:, 0]).sum()) for i in report.items]
    order = sorted(range(len(seen)), key=lambda n: (seen.iou[n], -length[n]))[:SHOWN]
    folder = Path(report.files.get("annotations", ".")).parent
    rows = "".join(
        _row(report.items[n], seen.answer[n].tolist(), seen.status[n], float(seen.iou[n]), folder, page) for n in order
    )
    return (
        f'<section class="full worst"><h2>Worst items</h2><p>The {len(order)} of {len(seen)} items with the '
        f"lowest temporal IoU of the first choice.</p><ol>{rows}</ol></section>"
    )


def _row(item: Item, answer: Sequence[float], status: str, iou: float, folder: Path, page: Path) -> str:
    given = [answer] if all(map(math.isfinite, answer)) else []
    truth = item.spans.tolist()
    whole = max([item.duration or 0.0, *(end for _, end in [*truth, *given])]) or 1.0
    bars = (
        f"<dt>truth</dt><dd>{_bar(truth, whole, 'second')}{_times(truth, 'not in the video')}</dd>"
        f"<dt>answer</dt><dd>{_bar(given, whole, 'first')}{_times(given, status)}</dd>"
    )
    start = max(0.0, truth[0][0]) if truth else 0.0
    return (
        f'<li><div><p class="said">{html.escape(item.query) or "(no sentence)"}</p>'
        f"<p>{html.escape(item.id)} · {html.escape(item.video)} · {100 * iou:.2f} % · 0 – {whole:g} s</p>"
        f"<dl>{bars}</dl></div>{_video(item, start, folder, page)}</li>"
    )


def _bar(spans: Sequence[Sequence[float]], whole: float, kind: str) -> str:
    parts = []
    for start, end in spans:
        left, right = (min(max(100 * t / whole, 0.0), 100.0) for t in (start, end))
        parts.append(f'<i class="{kind}" style="left:{left:.2f}%;width:{max(right - left, 0.4):.2f}%"></i>')
    return f'<span class="bar">{"".join(parts)}</span>'


def _times(spans: Sequence[Sequence[float]], otherwise: str) -> str:
    text = ", ".join(f"{start:.2f} – {end:.2f} s" for start, end in spans[:4]) + (", …" if len(spans) > 4 else "")
    return f"<small>{html.escape(text or otherwise)}</small>"


def _video(item: Item, start: float, folder: Path, page: Path) -> str:
    """The video, if its file is there."""
    for path in (Path(item.video), folder / item.video):
        try:
            found = path.is_file()
        except (OSError, ValueError):
            found = False
        if found:
            link = quote(os.path.relpath(path.resolve(), page.resolve().parent))
            return f'<video controls muted preload="metadata" src="{link}#t={start + item.offset:.2f}"></video>'
    return ""

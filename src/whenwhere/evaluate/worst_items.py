"""The worst items of a report as HTML: sentence, video, truth and answer side by side, for the page.

Numbers name a weakness, single items show what it looks like. The items with the lowest temporal IoU of the first
choice come first; of equal ones, those with the longest truth. A video is shown if its file is found: at its own path,
or beside the annotations. It plays from the truth's start.

Radio buttons that a style rule reads show only one kind of mistake: no script is needed. Each kind has as many items of
its own as the whole list, so that a rare kind is not lost behind a frequent one.
"""

import html
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from whenwhere.datasets.item import Item
from whenwhere.evaluate.evaluation import Report

#: Number of items shown, of all and of each kind; items.jsonl has all.
SHOWN = 30
#: The kinds of mistakes, by what is wrong with the first choice.
KINDS = {
    "missed": "Elsewhere in time",
    "partly": "Below 50 %",
    "better": "50 % and more",
    "absent": "Said to be absent",
    "unsure": "Not sure",
    "unparsed": "Not readable",
    "failed": "Failed or missing",
}


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
    order = sorted(range(len(seen)), key=lambda n: (seen.iou[n], -length[n]))
    folder = Path(report.files.get("annotations", ".")).parent
    counts: Counter[str] = Counter()
    rows = []
    for place, n in enumerate(order):
        kind = _kind(seen.status[n], float(seen.iou[n]))
        counts[kind] += 1
        if place < SHOWN or counts[kind] <= SHOWN:
            head = f'<li data-kind="{kind}"{" data-first" if place < SHOWN else ""}>'
            answer = seen.answer[n].tolist()
            rows.append(head + _row(report.items[n], answer, seen.status[n], float(seen.iou[n]), folder, page))
    return (
        f'<section class="full worst"><h2>Worst items</h2><p>The {min(len(seen), SHOWN)} of {len(seen)} items with the '
        f"lowest temporal IoU of the first choice, of all or of one kind.</p>{_filters(counts, len(seen))}"
        f"<ol>{''.join(rows)}</ol></section>"
    )


def _kind(status: str, iou: float) -> str:
    """What is wrong with a first choice: a key of `KINDS`."""
    if iou >= 0.5:
        return "better"
    if status != "answered":
        return status if status in KINDS else "failed"
    return "missed" if iou <= 0 else "partly"


def _filters(counts: Counter[str], total: int) -> str:
    """A button for each kind that there is; none if there is only one."""
    kinds = [("all", "All", total), *((kind, said, counts[kind]) for kind, said in KINDS.items() if counts[kind])]
    buttons = "".join(
        f'<label><input type="radio" name="worst" id="worst-{kind}"{" checked" if kind == "all" else ""}>'
        f"<span>{html.escape(said)} <small>{count:,}</small></span></label>"
        for kind, said, count in kinds
    )
    return f"<fieldset><legend>Show one kind of mistake</legend>{buttons}</fieldset>" if len(kinds) > 2 else ""


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
        f'<div><p class="said">{html.escape(item.query) or "(no sentence)"}</p>'
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

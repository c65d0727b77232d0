"""The page about all videos of a batch: one row per video with its questions, their status and links.

The page is plain HTML and CSS: it has no script, loads only the pictures, and its buttons that show only one status are
radio buttons that a style rule reads. Browsers lay out only the rows in view, so thousands of videos open at once. A
question links to its place on the video's page, if there is one, and a video without a page to its folder. The small
picture of a video is a file beside its page, which browsers load when its row comes into view.
"""

import html
import io
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.export.page import STATUSES, content_hash, href_of, template, video_name
from whenwhere.export.words import clock, single_line
from whenwhere.store import write_bytes, write_text
from whenwhere.version import __version__

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo

#: Greatest width of a video's small picture in pixels: it is shown half as large, on fine screens in full.
THUMBNAIL_WIDTH = 256


def write_thumbnail(path: Path, info: "VideoInfo", records: Sequence["Grounding"]) -> Path:
    """Write a small picture of a video: the middle of the first answered span, or of the video if nothing was found.

    Args:
        path: Where the picture, a JPEG file, goes.
        info: The video.
        records: The answers about it.

    Raises:
        MediaError: The frame cannot be decoded.
        OutputError: The file cannot be written.
    """
    from PIL import Image

    from whenwhere.video import read_frames

    span = next((record.spans[0] for record in records if record.spans), None)
    t = info.duration / 2 if span is None else (span.start + span.end) / 2
    image = read_frames(info, [min(max(t, 0.0), info.duration)], width=min(THUMBNAIL_WIDTH, info.width)).images[0]
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=80)
    return write_bytes(path, buffer.getvalue())


def write_index(path: Path, videos: Iterable[tuple[Path, Sequence["Grounding"]]], thumbnail: str | None = None) -> Path:
    """Write the page, unless it is there already: a call that changes no answer changes no file.

    Args:
        path: Where the page goes.
        videos: The page of each video, or its folder if it has no page, and the answers in the order of its page.
        thumbnail: Name of the picture in the folders of those videos that have one. None shows no pictures.

    Returns:
        The path of the page.

    Raises:
        OutputError: The page cannot be written.
    """
    counts: Counter[str] = Counter()
    rows = []
    for target, records in videos:
        counts.update(record.status for record in records)
        rows.append(_row(path.parent, target, records, thumbnail))
    style = template("index.css")
    policy = (
        f"default-src 'none'; style-src {content_hash(style)}; img-src 'self' file: data:; base-uri 'none'; "
        "form-action 'none'"
    )
    total = counts.total()
    kinds = [("all", "All", total), *((s, name, counts[s]) for s, name in STATUSES.items() if counts[s])]
    text = string.Template(template("index.html")).substitute(
        policy=policy,
        style=style,
        facts=f"{_many(len(rows), 'video')} · {_many(total, 'question')}",
        filters="".join(
            f'<label><input type="radio" name="show" id="show-{kind}"{" checked" if kind == "all" else ""}>'
            f"<span>{name} <small>{count:,}</small></span></label>"
            for kind, name, count in kinds
        ),
        rows="\n".join(rows),
        generator=f"whenwhere {html.escape(__version__)}",
    )
    if path.is_file() and path.read_bytes() == text.encode():
        return path
    return write_text(path, text)


def _row(beside: Path, target: Path, records: Sequence["Grounding"], thumbnail: str | None) -> str:
    folder = target.is_dir()
    picture = None if thumbnail is None else (target if folder else target.parent) / thumbnail
    shown_first = ""
    if picture is not None and picture.is_file():
        source = html.escape(href_of(picture, beside))
        shown_first = f'<img src="{source}" alt="" loading="lazy" decoding="async">'
    link = html.escape(href_of(target, beside) + ("/" if folder else ""))
    video = records[0].video if records else None
    name = html.escape(single_line(video_name(video.path) if video else target.name))
    asked = "".join(_question(number, record, "" if folder else link) for number, record in enumerate(records, 1))
    shown = f"<ol>{asked}</ol>" if asked else "<p>No answer in this folder can be read.</p>"
    statuses = " ".join(sorted({record.status for record in records}))
    return f'<li data-has="{statuses}"><h2><a href="{link}">{shown_first}<bdi>{name}</bdi></a></h2>{shown}</li>'


def _question(number: int, record: "Grounding", page: str) -> str:
    said = f"<bdi>{html.escape(single_line(record.query))}</bdi>"
    if page:
        said = f'<a href="{page}#s={number}">{said}</a>'
    try:
        status = _status(record)
    except (ArithmeticError, ValueError):
        # A record may hold any number; one of them does not cost the page about all videos.
        status = f"{STATUSES[record.status]}, at times that cannot be shown"
    return f'<li data-status="{record.status}">{said} <small>{html.escape(status)}</small></li>'


def _status(record: "Grounding") -> str:
    """What became of a question, in the words of the video's page."""
    if record.error is not None:
        return f"{STATUSES[record.status]}: {single_line(record.error.message)}"
    if not record.spans:
        return STATUSES[record.status]
    times = ", ".join(f"{clock(span.start)} – {clock(span.end)}" for span in record.spans[:3])
    return times + (f" and {len(record.spans) - 3} more" if len(record.spans) > 3 else "")


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

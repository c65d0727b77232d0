"""The page: one HTML file that shows the answers of a video over the video itself, without any network.

Everything is inside the file: its style, its script, the answers as one block of JSON (`#data`, so that a server can
reuse the page with other data), the subtitles and tables that it offers for download, and the video. A content security
policy allows the page's own script and style by their hashes and nothing else. Sentences reach the page as JSON and
then as text nodes, so whatever they contain stays text.

A small video that browsers play (8-bit H.264, VP8, VP9 or AV1 in mp4 or webm, in ordinary colours and not mirrored,
which some browsers do not undo) is embedded as it is. Other videos are embedded as an H.264 copy at most 640 pixels
wide. If even the copy would be huge, the page links to the video's file and says so. Boxes are in pixels of the
displayed frame and are scaled with the picture, so a copy changes nothing. If the media clock does not begin at 0
(`info.start`), the page subtracts its start.

An answer that cannot be drawn keeps its place and its number, where the page says why; the others are shown. The script
does the same for what goes wrong only in the browser.
"""

import base64
import hashlib
import json
import os
import re
import string
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from whenwhere.errors import WhenwhereError
from whenwhere.export import csv, srt, vtt
from whenwhere.export.exporter import Exporter
from whenwhere.readers import printable
from whenwhere.store import write_text
from whenwhere.version import __version__

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo

#: Largest video, in bytes, that is embedded as it is.
MAX_EMBEDDED = 25_000_000
#: Largest copy, in bytes, that is embedded; beyond it the page links to the file.
MAX_COPY = 100_000_000
#: Greatest width of the copy in pixels, and its x264 quality.
COPY_WIDTH, COPY_CRF = 640, 26
#: Bytes that a second of such a copy takes at most in ordinary footage, sound included: the copy's size is foreseen.
COPY_BYTES_PER_SECOND = 130_000

#: Files that make up the one script of the page, in this order.
_SCRIPTS = ("tube.js", "page.js", "player.js", "timeline.js", "thumbnails.js", "sentences.js", "start.js")
#: What became of a sentence, by its status, in the words of the pages.
STATUSES = {"answered": "Found", "absent": "Not there", "unsure": "Not sure", "failed": "Failed"}
_PLAYABLE = {"h264": ("mp4",), "vp8": ("webm",), "vp9": ("webm", "mp4"), "av1": ("mp4", "webm")}
_EIGHT_BIT = {"yuv420p", "yuvj420p"}


@dataclass(frozen=True)
class Media:
    """The video in the form in which the page gets it.

    Attributes:
        kind: `embedded` (the file's own bytes), `copy` or `linked`.
        type: MIME type.
        bytes: The embedded bytes; empty if the video is linked.
        href: Address of a linked video, relative to the page; empty if it is embedded.
        offset: Seconds that the media clock shows at the first displayed frame.
        note: A sentence about it for the foot of the page; may be empty.
        warnings: Sentences that the page shows below the picture, such as about sound that is missing.
    """

    kind: str
    type: str
    bytes: bytes
    href: str
    offset: float
    note: str
    warnings: tuple[str, ...] = ()


def container(path: str | os.PathLike[str]) -> str:
    """The container format by the file's first bytes: `mp4`, `webm`, or "" for anything else.

    QuickTime files give "" although they are built like mp4, because browsers often cannot play their sound.
    """
    with open(path, "rb") as f:
        head = f.read(4096)
    if head[4:8] == b"ftyp" and head[8:12] != b"qt  ":
        return "mp4"
    if head.startswith(b"\x1aE\xdf\xa3") and b"webm" in head[:64]:
        return "webm"
    return ""


def prepare_media(info: "VideoInfo", folder: Path) -> Media:
    """Choose how the page gets the video, and make the copy if it needs one.

    Args:
        info: The video.
        folder: Folder of the page, which links are relative to.

    Raises:
        MediaError: A copy was needed, and the video could not be read to its end.
    """
    box = container(info.path)
    plain = box in _PLAYABLE.get(info.codec, ()) and info.pix_fmt in _EIGHT_BIT and info.start >= 0
    plain &= info.colours.ordinary and not info.mirrored
    if plain and not info.truncated and info.size <= MAX_EMBEDDED:
        return Media("embedded", f"video/{box}", Path(info.path).read_bytes(), "", info.start, "")
    if info.duration * COPY_BYTES_PER_SECOND <= MAX_COPY:
        packed, warnings = _copy(info)
        note = (
            f"The picture is a copy of {Path(info.path).name} made for this page; boxes are in the original's pixels."
        )
        return Media("copy", "video/mp4", packed, "", 0.0, note, tuple(warnings))
    href = href_of(Path(info.path), folder)
    note = f"The video is not inside this page: it is linked as {href} and has to stay there."
    return Media("linked", f"video/{box or 'mp4'}", b"", href, max(0.0, info.start), note)


def _copy(info: "VideoInfo") -> tuple[bytes, list[str]]:
    """The bytes of the copy, and sentences about what is missing of its sound."""
    from whenwhere.video import FrameWriter, stream_frames

    frames = stream_frames(info, width=min(COPY_WIDTH, info.width))
    t, image = next(frames)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "copy.mp4"
        height, width = image.shape[:2]
        with FrameWriter(file, width, height, info.fps_exact, audio=info if info.audio else None, crf=COPY_CRF) as out:
            out.write(image, t)
            for t, image in frames:
                out.write(image, t)
        return file.read_bytes(), out.warnings


def href_of(path: Path, folder: Path) -> str:
    """The address of a file on a page in a folder."""
    # Links are relative, so that page and files can move together, and quoted, since names may hold any character.
    relative = os.path.relpath(os.path.abspath(path), os.path.abspath(folder)).replace(os.sep, "/")
    return quote(os.fsencode(relative))


def undrawable(record: "Grounding", error: Exception) -> "Grounding":
    """What a page shows in the place of an answer that it cannot draw: the sentence, and why."""
    from whenwhere.records import ErrorRecord, Grounding

    said = str(error) if isinstance(error, WhenwhereError) else f"unexpected {type(error).__name__}: {error}"
    message = printable(f"This answer is stored, but it cannot be shown here: {said}")
    return Grounding(
        id=record.id,
        video=record.video,
        query=record.query,
        status="failed",
        error=ErrorRecord(kind="page", message=message),
        identity=record.identity,
    )


def page_data(
    records: Sequence["Grounding"],
    info: "VideoInfo",
    media: Media,
    links: Sequence[tuple[str, str]] = (),
    faults: list[Exception] | None = None,
) -> dict[str, Any]:
    """The JSON object that the page's script reads: the answers, facts about the video, the downloads.

    Args:
        records: The answers, all of them about this video.
        info: The video.
        media: How the page gets it.
        links: Names and addresses of other files that the page links to.
        faults: A list to which each error is added that keeps an answer from being drawn. None raises it.
    """
    steps = np.diff(info.times, append=info.duration)
    drawn = []
    for number, record in enumerate(records, 1):
        try:
            drawn.append(_drawn(record, number, info))
        except Exception as e:
            if faults is None:
                raise
            faults.append(e)
            drawn.append(_drawn(undrawable(record, e), number, info))
    return {
        "made_by": f"whenwhere {__version__}",
        "statuses": STATUSES,
        "video": {
            "name": video_name(records[0].video.path if records and records[0].video else info.path),
            "duration": round(info.duration, 6),
            "width": info.width,
            "height": info.height,
            "fps": float(info.fps_exact),
            "vfr": info.vfr,
            "audio": info.audio,
            "longest": round(float(steps.max()), 6),
            # Frames at a constant rate can be counted; others need a table to step through.
            "times": np.round(info.times, 4).tolist() if info.vfr else None,
        },
        "media": {
            "kind": media.kind,
            "type": media.type,
            "href": media.href,
            "offset": round(media.offset, 6),
            "note": media.note,
            "warnings": [f"{w[:1].upper()}{w[1:]}." for w in media.warnings],
            "trouble": _trouble(info, media),
        },
        "records": [record for record, _ in drawn],
        "files": [files for _, files in drawn],
        "beside": [{"name": name, "href": href} for name, href in links],
    }


def _drawn(record: "Grounding", number: int, info: "VideoInfo") -> tuple[dict[str, Any], dict[str, str]]:
    """An answer as the JSON object that the page reads, and the files that the page offers for download."""
    files = {
        "stem": f"{number:02}-{_slug(record.query)}",
        "csv": csv.render(record),
        "srt": srt.render(record, info.delay),
        "vtt": vtt.render(record, info.delay),
    }
    return record.model_dump(mode="json"), files


def video_name(path: str) -> str:
    """The last part of a video's path or address, in characters that UTF-8 can hold."""
    path = path.encode("utf-8", "replace").decode("utf-8")
    return path.rstrip("/").rsplit("/", 1)[-1] or path


def _trouble(info: "VideoInfo", media: Media) -> str:
    if media.kind == "linked":
        return f"The video is not there, or this browser cannot play it. It is expected at {media.href}."
    return "This browser cannot play the video. Spans and boxes are here all the same."


def _slug(sentence: str) -> str:
    return "-".join(re.findall(r"[^\W_]+", sentence.lower()))[:40].strip("-") or "sentence"


def document(data: dict[str, Any], packed: bytes = b"") -> str:
    """The HTML of the page.

    Args:
        data: What `page_data` returns.
        packed: The bytes of the video, if it is embedded.
    """
    style, page, script = template("page.css"), template("page.html"), "\n".join(map(template, _SCRIPTS))
    # `'self' file:` is allowed only if the video is a file of its own; embedded bytes become a blob.
    source = "blob:" if data["media"]["kind"] != "linked" else "'self' file:"
    policy = (
        f"default-src 'none'; script-src {content_hash(script)}; style-src {content_hash(style)}; media-src {source}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return string.Template(page).substitute(
        policy=policy,
        generator=data["made_by"],
        title=_html(f"{data['video']['name']} – whenwhere"),
        style=style,
        # "<" and ">" are escaped, so that nothing in here can end the script element.
        data=json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e"),
        media=base64.b64encode(packed).decode("ascii"),
        script=script,
    )


def template(name: str) -> str:
    """The text of a file that pages are made of."""
    return resources.files("whenwhere.export").joinpath(name).read_text("utf-8")


def content_hash(content: str) -> str:
    """The name of a script or style in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode('utf-8')).digest()).decode('ascii')}'"


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def write_video_page(
    records: Sequence["Grounding"],
    info: "VideoInfo",
    path: str | os.PathLike[str],
    files: Sequence[Path] = (),
    faults: list[Exception] | None = None,
    warnings: list[str] | None = None,
) -> Path:
    """Write the page of one video.

    Args:
        records: The answers, in the order in which they were asked.
        info: The video.
        path: Where the page goes.
        files: Other files about the same answers, to which the page links.
        faults: A list to which each error is added that keeps an answer from being drawn; the page says so in the
            place of that answer. None raises the error.
        warnings: A list to which sentences about the page's copy of the video are added.

    Returns:
        The path of the page.

    Raises:
        OutputError: The page cannot be written.
        MediaError: A copy of the video was needed, and the video could not be read to its end.
    """
    page = Path(path)
    media = prepare_media(info, page.parent)
    links = [(file.name.encode("utf-8", "replace").decode("utf-8"), href_of(file, page.parent)) for file in files]
    if warnings is not None:
        warnings += media.warnings
    return write_text(page, document(page_data(records, info, media, links, faults), media.bytes))


def write(record: "Grounding", info: "VideoInfo", path: Path) -> list[Path]:
    """Write an HTML page that shows one answer over its video."""
    return [write_video_page([record], info, path)]


EXPORTER = Exporter("html", ".html", write, needs_frames=True, per_video=True)

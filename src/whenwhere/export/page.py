"""The page: one HTML file that shows the answers of a video over the video itself, without any network.

Everything is inside: the looks, the program, the answers as one block of JSON (`#data`, so that a server can reuse
the page with data of its own), the subtitles and tables it offers for download, and the video. A content security
policy allows the page's own script and style by their hashes and nothing else; sentences reach the page as JSON and
then as text nodes, so whatever they contain stays text.

The video is put in as it is where browsers play it (8-bit H.264, VP8, VP9 or AV1 in mp4 or webm) and it is small;
otherwise as an H.264 copy of at most 640 pixels' width; and where even that would be huge the page links to the
file beside it and says so. Boxes are in pixels of the displayed frame and are scaled with the picture, so a copy
changes nothing. A media clock that does not begin at 0 (`info.start`) is subtracted in the page.
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
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from whenwhere.export import csv, srt, vtt
from whenwhere.store import write_text
from whenwhere.version import __version__

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo

#: Bytes of a video that goes into the page as it is.
EMBED = 25_000_000
#: Bytes of a copy that goes into the page; beyond it the page links to the file.
COPY = 100_000_000
#: Width of the copy in pixels, at most; and its x264 quality.
COPY_WIDTH, COPY_CRF = 640, 26
#: What a second of such a copy takes at most in ordinary footage, sound included; decides beforehand.
COPY_RATE = 130_000

#: One script in the page, in this order.
_SCRIPTS = ("tube.js", "page.js", "player.js", "timeline.js", "sentences.js", "start.js")
_PLAYABLE = {"h264": ("mp4",), "vp8": ("webm",), "vp9": ("webm", "mp4"), "av1": ("mp4", "webm")}
_EIGHT_BIT = {"yuv420p", "yuvj420p"}


@dataclass(frozen=True)
class Media:
    """The video as the page gets it.

    Attributes:
        kind: `embedded` (the file's own bytes), `copy` or `linked`.
        type: MIME type.
        bytes: what is embedded; empty when linked.
        href: where the page finds it; empty when embedded.
        offset: the media clock's seconds at our 0.
        note: a sentence about it for the page's foot.
    """

    kind: str
    type: str
    bytes: bytes
    href: str
    offset: float
    note: str


def container(path: str | os.PathLike[str]) -> str:
    """`mp4`, `webm`, or "" for anything else, by the file's first bytes.

    QuickTime files are "" although they are built like mp4: their sound is often none that browsers play.
    """
    with open(path, "rb") as f:
        head = f.read(4096)
    if head[4:8] == b"ftyp" and head[8:12] != b"qt  ":
        return "mp4"
    if head.startswith(b"\x1aE\xdf\xa3") and b"webm" in head[:64]:
        return "webm"
    return ""


def media(info: "VideoInfo", folder: Path) -> Media:
    """How the page gets the video.

    Args:
        info: the video.
        folder: of the page; links are relative to it.

    Raises:
        MediaError: a copy was needed and the video broke.
    """
    box = container(info.path)
    plain = box in _PLAYABLE.get(info.codec, ()) and info.pix_fmt in _EIGHT_BIT and info.start >= 0
    if plain and not info.truncated and info.size <= EMBED:
        return Media("embedded", f"video/{box}", Path(info.path).read_bytes(), "", info.start, "")
    if info.duration * COPY_RATE <= COPY:
        note = (
            f"The picture is a copy of {Path(info.path).name} made for this page; boxes are in the original's pixels."
        )
        return Media("copy", "video/mp4", _copy(info), "", 0.0, note)
    href = _href(Path(info.path), folder)
    note = f"The video is not inside this page: it is linked as {href} and has to stay there."
    return Media("linked", f"video/{box or 'mp4'}", b"", href, max(0.0, info.start), note)


def _copy(info: "VideoInfo") -> bytes:
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
        return file.read_bytes()


def _href(path: Path, folder: Path) -> str:
    # Relative, so that page and files can move together; quoted, since names may hold anything.
    relative = os.path.relpath(os.path.abspath(path), os.path.abspath(folder)).replace(os.sep, "/")
    return quote(os.fsencode(relative))


def page_data(
    records: Sequence["Grounding"], info: "VideoInfo", media: Media, beside: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """What the page's script reads: the answers, the video's facts, the downloads.

    Args:
        records: the answers, all about this video.
        info: the video.
        media: how the page gets it.
        beside: names and addresses of files that lie beside the page.
    """
    steps = np.diff(info.times, append=info.duration)
    return {
        "made_by": f"whenwhere {__version__}",
        "video": {
            "name": _name(records, info),
            "duration": round(info.duration, 6),
            "width": info.width,
            "height": info.height,
            "fps": float(info.fps_exact),
            "vfr": info.vfr,
            "audio": info.audio,
            "longest": round(float(steps.max()), 6),
            # Frames of an even rate can be counted; others need the table to step through.
            "times": np.round(info.times, 4).tolist() if info.vfr else None,
        },
        "media": {
            "kind": media.kind,
            "type": media.type,
            "href": media.href,
            "offset": round(media.offset, 6),
            "note": media.note,
            "trouble": _trouble(info, media),
        },
        "records": [r.model_dump(mode="json") for r in records],
        "files": [
            {"stem": f"{i:02}-{_slug(r.query)}", "csv": csv.text(r), "srt": srt.text(r), "vtt": vtt.text(r)}
            for i, r in enumerate(records, 1)
        ],
        "beside": [{"name": name, "href": href} for name, href in beside],
    }


def _name(records: Sequence["Grounding"], info: "VideoInfo") -> str:
    video = records[0].video if records else None
    path = (video.path if video else info.path).encode("utf-8", "replace").decode("utf-8")
    return path.rstrip("/").rsplit("/", 1)[-1] or path


def _trouble(info: "VideoInfo", media: Media) -> str:
    if media.kind == "linked":
        return f"The video is not there, or this browser cannot play it. It is expected at {media.href}."
    return "This browser cannot play the video. Spans and boxes are here all the same."


def _slug(sentence: str) -> str:
    return "-".join(re.findall(r"[^\W_]+", sentence.lower()))[:40].strip("-") or "sentence"


def document(data: dict[str, Any], packed: bytes = b"") -> str:
    """The page's HTML.

    Args:
        data: as `page_data` makes it.
        packed: the bytes of the video, if it goes into the page.
    """
    style, page, script = _part("page.css"), _part("page.html"), "\n".join(map(_part, _SCRIPTS))
    # `'self' file:` only where the video is a file of its own; a blob is what embedded bytes become.
    source = "blob:" if data["media"]["kind"] != "linked" else "'self' file:"
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; media-src {source}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return string.Template(page).substitute(
        policy=policy,
        generator=data["made_by"],
        title=_html(f"{data['video']['name']} – whenwhere"),
        style=style,
        # "<" and ">" escaped: nothing in here can end the script element.
        data=json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e"),
        media=base64.b64encode(packed).decode("ascii"),
        script=script,
    )


def _part(name: str) -> str:
    return files("whenwhere.export").joinpath(name).read_text("utf-8")


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode('utf-8')).digest()).decode('ascii')}'"


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def write_page(
    records: Sequence["Grounding"], info: "VideoInfo", path: str | os.PathLike[str], beside: Sequence[Path] = ()
) -> Path:
    """Write the page of one video.

    Args:
        records: the answers, in the order in which they were asked.
        info: the video.
        path: the page.
        beside: files written beside it, which it then links to.

    Returns:
        The page.

    Raises:
        OutputError: it cannot be written.
        MediaError: a copy of the video was needed and the video broke.
    """
    page = Path(path)
    shown = media(info, page.parent)
    links = [(p.name.encode("utf-8", "replace").decode("utf-8"), _href(p, page.parent)) for p in beside]
    return write_text(page, document(page_data(records, info, shown, links), shown.bytes))

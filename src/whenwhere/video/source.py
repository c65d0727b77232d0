"""Where a video comes from: a file, a folder of pictures, an address the user typed, or standard input.

Each of them becomes a local file, because exact reading needs to seek. A folder of pictures is packed into a temporary
movie whose frames have exact times, without decoding a picture; pictures that are damaged or too large are left out.
Downloads are limited in size and time, and only http and https addresses typed by the user are opened: a playlist never
fetches anything, and none is taken from an address.
"""

import os
import re
import shutil
import stat
import sys
import tempfile
import time
import warnings
import weakref
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import av

from whenwhere.errors import RATES, MediaError, check_range
from whenwhere.readers import printable
from whenwhere.video.info import exact_rate
from whenwhere.video.media import MOST_PIXELS, check_file, text_name

# Kinds that are packed as they are; other kinds become PNG first.
_PACKED = {".jpg": "jpg", ".jpeg": "jpg", ".png": "png"}
_PICTURES = {*_PACKED, ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
_CHUNK = 1 << 20
# Largest file of one picture, in bytes.
_LARGEST_PICTURE = 256 << 20
# How a playlist begins: it names other files or addresses, which nobody typed if it was downloaded.
_PLAYLIST = b"#EXTM3U"


class VideoSource:
    """A local video file, temporary or not; a context manager that removes a temporary one.

    Attributes:
        path: The local file, for `probe`.
        name: A short name for outputs: the stem of the file, folder or address, or "stdin".
        warnings: Sentences that a user should see.
    """

    def __init__(self, path: str, name: str, folder: str | None = None, warnings: tuple[str, ...] = ()) -> None:
        self.path, self.name, self.warnings = path, name, warnings
        # The finalizer runs when the interpreter ends at the latest.
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True) if folder else None

    def close(self) -> None:
        """Remove the temporary file, if there is one."""
        if self._remove is not None:
            self._remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_source(fps: float, gigabytes: float) -> None:
    """Refuse limits of a source that cannot be meant.

    Args:
        fps: Frame rate of a folder of pictures.
        gigabytes: The most to take from an address or standard input, in gigabytes.

    Raises:
        SettingError: One of them is out of range.
    """
    check_range(fps, *RATES, "the number of pictures per second of a folder")
    check_range(gigabytes, 1e-6, 1e6, "the most gigabytes to download")


def open_video(
    source: str | os.PathLike[str] | bytes,
    fps: float = 25.0,
    max_bytes: int = 4 << 30,
    max_seconds: float = 900.0,
) -> VideoSource:
    """A local file for whatever the user named.

    Args:
        source: A file or its file address, a folder of pictures, an http(s) address, or "-" for standard input.
        fps: Frame rate of a folder of pictures, from 1e-6 to 1000.
        max_bytes: Most bytes taken from an address or standard input.
        max_seconds: Most seconds that a download may take.

    Raises:
        MediaError: The source does not exist, is empty, too large, not reachable, or a folder without pictures.
        SettingError: The frame rate is out of range.
    """
    name = text_name(source)
    if re.match(r"file:/", name, re.IGNORECASE) and not os.path.exists(name):
        name = _local_path(name)
    if name == "-":
        if sys.stdin is None:
            raise MediaError("standard input is closed: write `... < video.mp4`, or name a file")
        if sys.stdin.isatty():
            raise MediaError("standard input is a terminal: write `... < video.mp4`, or name a file")
        return _spooled(sys.stdin.buffer, "stdin", "stdin", ".video", max_bytes)
    if re.match(r"https?://", name, re.IGNORECASE):
        return _downloaded(name, max_bytes, max_seconds)
    if re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE) and not os.path.exists(name):
        raise MediaError(
            f"{printable(name)}: of addresses only http, https and file can be opened; download the video first"
        )
    if os.path.isdir(name):
        return _packed(name, fps)
    check_file(name)
    return VideoSource(name, Path(name).stem)


def _local_path(address: str) -> str:
    """The path that a file address names.

    >>> _local_path("file:///videos/a%20b.mp4"), _local_path("file://localhost/c.mp4")
    ('/videos/a b.mp4', '/c.mp4')
    """
    parts = urlsplit(address)
    if parts.netloc not in ("", "localhost"):
        raise MediaError(f"{printable(address)} names a file of another machine: copy it here and name its path")
    return url2pathname(parts.path)


def _spooled(stream: BinaryIO | Iterator[bytes], origin: str, name: str, ending: str, max_bytes: int) -> VideoSource:
    """The bytes written to a temporary file; `origin` names them in error messages."""
    folder = tempfile.mkdtemp(prefix="whenwhere-")
    source = VideoSource(os.path.join(folder, "video" + ending), name, folder)
    chunks = stream if isinstance(stream, Iterator) and not hasattr(stream, "read") else _chunks(stream)  # type: ignore[arg-type]
    try:
        size = 0
        with open(source.path, "wb") as f:
            for chunk in chunks:
                if not size and chunk.removeprefix(b"\xef\xbb\xbf").startswith(_PLAYLIST):
                    raise MediaError(f"{origin} is a playlist that names other files: give the video itself")
                size += len(chunk)
                if size > max_bytes:
                    raise MediaError(f"{origin} is larger than {max_bytes / 1e9:g} GB: download it and name the file")
                f.write(chunk)
        if not size:
            raise MediaError(f"{origin} is empty: no byte was received")
    except OSError as e:
        source.close()
        raise MediaError(f"{origin} could not be stored ({e.strerror or e}): make room in the temporary folder") from e
    except BaseException:
        source.close()
        raise
    return source


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The stream's bytes in pieces of at most `_CHUNK`."""
    while chunk := stream.read(_CHUNK):
        yield chunk


def _downloaded(address: str, max_bytes: int, max_seconds: float) -> VideoSource:
    """The body of an http(s) address in a temporary file."""
    import httpx2

    try:
        stem = PurePosixPath(unquote(urlsplit(address).path))
    except ValueError as e:
        raise MediaError(f"{address} is not an address ({e}): check it") from e
    ending = stem.suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,5}", stem.suffix) else ".video"
    deadline = time.monotonic() + max_seconds

    def body(response: httpx2.Response) -> Iterator[bytes]:
        for chunk in response.iter_bytes():
            if time.monotonic() > deadline:
                raise MediaError(f"{address} takes longer than {max_seconds:g} s: download it and name the file")
            yield chunk

    try:
        with httpx2.stream("GET", address, follow_redirects=True, timeout=min(30.0, max_seconds)) as response:
            if response.status_code != 200:
                raise MediaError(
                    f"{address} answers {response.status_code} {response.reason_phrase}: check the address"
                )
            kind = response.headers.get("content-type", "").split(";")[0].strip()
            if kind in ("text/html", "application/xhtml+xml"):
                raise MediaError(f"{address} is a web page, not a video: give the address of the video file itself")
            return _spooled(body(response), address, stem.stem or "video", ending, max_bytes)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as e:
        raise MediaError(f"{address} cannot be downloaded ({e or type(e).__name__}): check it and the network") from e


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key with numbers as numbers: frame2 before frame10.

    >>> sorted(["f10.png", "f2.png", "F1.png"], key=_natural)
    ['F1.png', 'f2.png', 'f10.png']
    """
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in re.split(r"([0-9]+)", name.casefold()) if p]


def _packed(folder: str, fps: float) -> VideoSource:
    """A folder's pictures as a movie of key frames at exact times; no picture is decoded."""
    check_source(fps, 1.0)
    shown = printable(folder)
    names = sorted(
        (n for n in os.listdir(folder) if os.path.splitext(n)[1].lower() in _PICTURES and not n.startswith(".")),
        key=_natural,
    )
    if not names:
        raise MediaError(
            f"{shown} is a folder without pictures (jpg, png, bmp, webp, tif): name a video or a folder of pictures"
        )
    kinds = {_PACKED.get(os.path.splitext(n)[1].lower()) for n in names}
    kind = kinds.pop() if len(kinds) == 1 else None
    rate = exact_rate(fps)
    temporary = tempfile.mkdtemp(prefix="whenwhere-")
    source = VideoSource(os.path.join(temporary, "pictures.mov"), Path(folder).resolve().name, temporary)
    skipped: list[str] = []
    try:
        with av.open("file:" + source.path, "w", format="mov") as out:
            stream = None
            count = 0
            for name in names:
                data = _picture(os.path.join(folder, name), kind)
                if data is None:
                    skipped.append(name)
                    continue
                if stream is None:
                    with av.open(BytesIO(data), format="jpeg_pipe" if kind == "jpg" else "png_pipe") as first:
                        stream = out.add_stream_from_template(first.streams.video[0])
                    stream.time_base = 1 / rate
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, 1 / rate
                packet.pts = packet.dts = count
                packet.duration = 1
                packet.is_keyframe = True
                out.mux(packet)
                count += 1
        if not count:
            raise MediaError(f"none of the {len(names)} pictures in {shown} can be read: they are damaged")
    except (av.error.FFmpegError, OSError) as e:
        source.close()
        raise MediaError(f"the pictures in {shown} cannot be read as a video ({e})") from e
    except BaseException:
        source.close()
        raise
    if skipped:
        more = f" and {len(skipped) - 1} more" if len(skipped) > 1 else ""
        source.warnings = (f"unreadable pictures were left out: {printable(skipped[0])}{more}",)
    return source


def _picture(path: str, kind: str | None) -> bytes | None:
    """A picture's bytes, or None if it cannot be used: it is damaged, not a regular file, or too large.

    Args:
        path: The picture.
        kind: `jpg` or `png` if all pictures of the folder are; None converts the picture to PNG.
    """
    from PIL import Image

    magic = {"jpg": b"\xff\xd8", "png": b"\x89PNG"}
    try:
        s = os.stat(path)
        if not stat.S_ISREG(s.st_mode) or s.st_size > _LARGEST_PICTURE:
            return None
        with open(path, "rb") as f:
            data = f.read()
        if kind is not None and not data.startswith(magic[kind]):
            return None
        with warnings.catch_warnings():
            # Pillow warns of large pictures, and refuses very large ones; the limit here is lower.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data)) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    return None
                if kind is not None:
                    return data
                buffer = BytesIO()
                picture.convert("RGB").save(buffer, "PNG", compress_level=1)
                return buffer.getvalue()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None

"""Opening a media file: one place where FFmpeg's errors become one sentence.

FFmpeg opens far more than videos: text files as terminal animations, songs with a cover picture as a video of one
frame, playlists that name other files or addresses. A path here is always a local file (the `file:` protocol, so
that a colon in a name has no meaning), what else it may open is decided by `playlist`, and files without a moving
picture are refused.

Choosing among several video streams is left out: the one that FFmpeg calls best is used, never a cover picture, and
never a track that holds the transparency or depth of another.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from whenwhere.errors import MediaError
from whenwhere.readers import printable
from whenwhere.video.mp4 import auxiliary_tracks
from whenwhere.video.playlist import allowed_formats
from whenwhere.video.refusal import ENCRYPTED, is_encrypted, refusal

# FFmpeg's "video" decoders for text files.
_TEXT_CODECS = {"ansi", "bintext", "xbin", "idf"}
# A demuxer that fails this many times in a row is given up.
_MOST_FAILURES = 16
# Longest time in seconds for opening a file, and for each read from it.
_PATIENCE = 60.0
#: Largest number of pixels of a picture: twice an 8K frame. Decoders hold several pictures in memory.
MOST_PIXELS = 1 << 26


def text_name(path: str | os.PathLike[str] | bytes) -> str:
    """The path as a str; bytes that are not UTF-8 become surrogates, which Python and PyAV turn back into bytes."""
    return os.fsdecode(path)


def check_file(path: str) -> int:
    """The size in bytes of an ordinary file.

    Raises:
        MediaError: The file is missing, a folder, a pipe, not readable or empty.
    """
    name = printable(path)
    try:
        s = os.stat(path)
    except (OSError, ValueError) as e:
        if isinstance(e, FileNotFoundError):
            raise MediaError(f"{name} does not exist: check the path") from e
        raise MediaError(f"{name} cannot be read ({getattr(e, 'strerror', None) or e}): check the path") from e
    if stat.S_ISDIR(s.st_mode):
        raise MediaError(f"{name} is a folder: name one video, or a folder of pictures where one is accepted")
    if not stat.S_ISREG(s.st_mode):
        raise MediaError(
            f"{name} is a pipe or a device, which cannot be read twice: name a file, or write `-` and give the video "
            "to standard input"
        )
    if not os.access(path, os.R_OK):
        raise MediaError(f"{name} cannot be read (no permission): change its mode or copy it")
    if s.st_size == 0:
        raise MediaError(f"{name} is empty: copy or download it again")
    return s.st_size


@contextmanager
def opened(path: str) -> Iterator[InputContainer]:
    """Open the container of a local file, and close it after the block.

    Raises:
        MediaError: FFmpeg cannot open it, it takes longer than `_PATIENCE`, or it names other files that may not be
            read (see `playlist`).
    """
    options = {
        "protocol_whitelist": "file,fd,data",
        "format_whitelist": allowed_formats(path),
        # The name of a picture is no pattern (a%03d.png) for the names of its neighbours.
        "pattern_type": "none",
        "max_pixels": str(MOST_PIXELS),
    }
    try:
        container = av.open(
            "file:" + path,
            format=_certain_format(path),
            metadata_errors="replace",
            options=options,
            timeout=(_PATIENCE, _PATIENCE),
        )
    except av.error.ExitError as e:
        raise MediaError(_slow(path)) from e
    except (av.error.FFmpegError, OSError, ValueError) as e:
        check_file(path)
        raise MediaError(f"{printable(path)} {refusal(path, opened=False)}") from e
    try:
        yield container
    finally:
        container.close()


def _certain_format(path: str) -> str | None:
    """FFmpeg's name of a container that it may take for another one, though its first bytes are certain.

    A short MPEG programme stream of H.264 passes for raw H.263.
    """
    try:
        with open(path, "rb") as f:
            return "mpeg" if f.read(4) == b"\0\0\1\xba" else None
    except OSError:
        return None  # what is wrong is said by whoever opens the file


def _slow(path: str) -> str:
    """The sentence about a file that gives nothing for too long, such as one on a network disk."""
    return f"{printable(path)} gave nothing for {_PATIENCE:g} s: copy it to a local disk first"


def video_stream(container: InputContainer, path: str) -> VideoStream:
    """The stream of the moving picture; demuxing then skips every other stream.

    Raises:
        MediaError: The file holds only sound, a cover picture, text or nothing.
    """
    name = printable(path)
    if container.format.name == "tty":
        raise MediaError(f"{name} is text, not a video")
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if len(moving) > 1 and "mp4" in container.format.name:
        auxiliary = auxiliary_tracks(path)
        moving = [s for s in moving if s.id not in auxiliary] or moving
    best = container.streams.best("video")
    stream = next((s for s in moving if s is best), max(moving, key=lambda s: s.frames, default=None))
    if stream is None:
        if container.streams.audio:
            raise MediaError(f"{name} has sound but no moving picture: name a video")
        raise MediaError(f"{name} has no moving picture: name a video")
    if stream.codec_context is None and is_encrypted(path):
        raise MediaError(f"{name} {ENCRYPTED}")
    if stream.codec_context is None:
        raise MediaError(f"{name} uses a codec that this FFmpeg cannot decode: convert it to H.264 first")
    if stream.codec_context.name in _TEXT_CODECS:
        raise MediaError(f"{name} is text, not a video")
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    return stream


def packets(
    container: InputContainer, stream: VideoStream | None = None, errors: list[str] | None = None
) -> Iterator[Packet]:
    """The packets that have content, of one stream or of all.

    Damaged places of the container are passed over and added to `errors`.
    """
    failed = 0
    while failed < _MOST_FAILURES:
        try:
            for packet in container.demux(*([] if stream is None else [stream])):
                if packet.size:
                    failed = 0
                    yield packet
            return
        except av.error.ExitError as e:
            raise MediaError(_slow(container.name.removeprefix("file:"))) from e
        except IndexError:
            # A stream that first appears in the middle of the file; PyAV knows only those at its beginning.
            continue
        except (av.error.FFmpegError, OSError) as e:
            failed += 1
            if errors is not None:
                errors.append(str(e))

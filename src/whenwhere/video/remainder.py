"""The part of a file after the last packet that FFmpeg reads from it.

Files that were put together byte by byte (`cat a.mp4 b.mp4`) are read up to the end of the first recording, or of the
second (Matroska), without an error. Looking for the beginning of another one after the last packet costs nothing for
ordinary files, which end there.

Some demuxers read on with the first recording's header, which fits the second by chance only: packets at wrong places,
or pictures decoded with the parameters of others. Such packets are left out, and named like all that is not read.
"""

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import av
import numpy as np
from numpy.typing import NDArray

# How files of a container begin, by FFmpeg's names of the container.
_BEGINNINGS = {
    "mov": rb"\0\0[\0-\x01][\x08-\xff]ftyp",
    "matroska": rb"\x1aE\xdf\xa3[\x01\x40-\xff][^\0]{0,1}\0*.{0,8}?\x42\x86\x81",
    "avi": rb"RIFF.{4}AVI LIST",
    "flv": rb"FLV\x01[\0-\x05]\0\0\0\x09",
    "asf": rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",
    "nut": rb"nut/multimedia container\0",
    "ivf": rb"DKIF\0\0\x20\0",
    "ogg": rb"OggS\0\x02",
    "gif": rb"GIF8[79]a",
    # A packet in which a picture of any stream begins.
    "mpegts": rb"\x47[\x40-\x7f].(?:[\x10-\x1f]|[\x30-\x3f].{1,12}?)\0\0\x01[\xe0-\xef]",
    "mpeg": rb"(?!)",
    "mxf": rb"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02",
}
# Containers of which FFmpeg takes the beginning of a second recording for a broken end of the first.
_SINGLE = {"ivf", "nut", "mxf"}
# Containers whose end is filled up to a fixed size, and how large that may be; it may be most of a short file.
_PADDED, _MOST_PADDING = {"asf", "mpeg", "mpegts"}, 1 << 16
# Codecs that are told by the container's header what their packets do not repeat.
_TOLD = {"h264", "hevc", "vvc", "mpeg4", "theora", "vc1", "wmv3", "ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo"}
# Fewest bytes of a recording's header.
_LEAST_HEADER = 200
# A share of a file that does not go unmentioned.
_MUCH = 0.25
# Bytes that are looked at in one go.
_PIECE = 1 << 20


def own_packets(
    path: str, container: str, places: NDArray[np.int64], sizes: NDArray[np.int64], key: NDArray[np.bool_]
) -> int:
    """How many packets belong to the recordings that can be read together; later ones are what FFmpeg makes of others.

    Args:
        path: The file.
        container: FFmpeg's names of its container, separated by commas.
        places: (n,) where the packets lie, in bytes; -1 if that is not known.
        sizes: (n,) their sizes in bytes.
        key: (n,) whether they are key packets.
    """
    kind = container.split(",")[0]
    if kind in _SINGLE:
        with _mapped(path) as data:
            found = _beginning(kind).search(data, 64)
        beyond = places + sizes > found.start() if found else np.zeros(0, bool)
    elif kind == "mov" and (np.diff(places) < 0).any():
        # A joined file's later fragments count their bytes from the beginning of their own file.
        with _mapped(path) as data:
            found = _beginning(kind).search(data, 64)
        beyond = _overlaps(places, sizes) if found else np.zeros(0, bool)
    elif kind in ("matroska", "avi"):
        ends = places + sizes
        later = 1 + np.flatnonzero((places[1:] - ends[:-1] > _LEAST_HEADER) & key[1:] & (places[:-1] >= 0))
        beyond = np.zeros(0, bool)
        if len(later):
            with _mapped(path) as data:
                for row in later.tolist():
                    begin = int(ends[row - 1])
                    found = _beginning(kind).search(data, begin, min(int(places[row]), begin + _PIECE))
                    if found and _settings(data, 0) != _settings(data, found.start()):
                        beyond = np.arange(len(places)) >= row
                        break
    else:
        return len(places)
    return int(beyond.argmax()) if beyond.any() else len(places)


def _overlaps(places: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) whether a packet shares bytes with an earlier one."""
    order = np.argsort(places, kind="stable")
    overlap = np.zeros(len(places), bool)
    inside = (places[order][1:] < (places + sizes)[order][:-1]) & (places[order][:-1] >= 0)
    overlap[np.maximum(order[1:], order[:-1])[inside]] = True
    return overlap


def _settings(data: mmap.mmap, place: int) -> tuple[object, ...] | None:
    """What a recording's header tells the decoder and its packets do not repeat; None if that is nothing.

    Args:
        data: The file.
        place: Where the recording begins, in bytes.
    """
    try:
        with av.open(
            BytesIO(data[place : place + _PIECE]), options={"format_whitelist": "matroska,webm,avi"}
        ) as header:
            context = header.streams.video[0].codec_context
            repeats = header.format.name == "avi" and context.name in ("h264", "hevc")
            if context.codec.canonical_name not in _TOLD or repeats:
                return None
            return context.codec.canonical_name, context.width, context.height, context.extradata
    except (av.error.FFmpegError, OSError, IndexError, AttributeError):
        return None


@contextmanager
def _mapped(path: str) -> Iterator[mmap.mmap]:
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _beginning(kind: str) -> re.Pattern[bytes]:
    return re.compile(_BEGINNINGS[kind], re.DOTALL)


def unread_sentence(path: str, container: str, after: int, seconds: float, audio: bool) -> str | None:
    """A warning about what was not read of a file, or None if that is nothing to speak of.

    Args:
        path: The file.
        container: FFmpeg's names of its container, separated by commas.
        after: Where the last packet that was read ends, in bytes; 0 if that is not known.
        seconds: The length of what was read.
        audio: Whether there is a sound track, which may be longer than the picture.
    """
    kind = container.split(",")[0]
    if kind not in _BEGINNINGS or after <= 0:
        return None
    with _mapped(path) as data:
        found = _beginning(kind).search(data, 64 if kind in _SINGLE else min(after, len(data)))
        rest = 1 - (after + _index_size(data, kind, after)) / len(data)
        padded = kind in _PADDED and len(data) - after < _MOST_PADDING
        rest = _content(data, after) / len(data) if rest > _MUCH and padded else rest
    # A transport stream may hold several videos side by side, whose last pictures lie close together.
    if found and (kind != "mpegts" or rest > _MUCH):
        return f"another video begins after {seconds:.1f} s and is not read: cut the file at byte {found.start()}"
    # An mp4 may keep anything after its pictures; elsewhere it is sound, if anything.
    if rest > _MUCH and kind != "mov" and not audio:
        part = f"the last {rest:.0%} of the file, after {seconds:.1f} s,"
        return f"{part} hold no picture that can be read: convert it first"
    return None


def _content(data: mmap.mmap, after: int) -> int:
    """The number of bytes from a place to the end of a file, apart from the zeros and ones of padding."""
    rest = data[after:]
    return len(rest) - rest.count(b"\0") - rest.count(b"\xff")


def _index_size(data: mmap.mmap, kind: str, after: int) -> int:
    """Bytes of an AVI's index, which is longer than its pictures if the writer listed many empty frames."""
    place = data.find(b"idx1", after) if kind == "avi" else -1
    if place < 0:
        return 0
    return min(8 + int.from_bytes(data[place + 4 : place + 8], "little"), len(data) - place)

"""The part of a file after the last packet that FFmpeg reads from it.

Files that were put together byte by byte (`cat a.mp4 b.mp4`) are read up to the end of the first recording, or of the
second (Matroska), without an error. Looking for the beginning of another one after the last packet costs nothing for
ordinary files, which end there.
"""

import mmap
import re

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
# Containers whose last packet is filled up to a fixed size, which may be most of a short file.
_PADDED = {"asf", "mpeg"}
# A share of a file that does not go unmentioned.
_MUCH = 0.25
# Bytes that are looked at in one go.
_PIECE = 1 << 20


def second_beginning(path: str, container: str) -> int | None:
    """Where another recording begins in a file of a container that is read up to there, in bytes, or None.

    Args:
        path: The file.
        container: FFmpeg's names of its container, separated by commas.
    """
    kind = container.split(",")[0]
    if kind not in _SINGLE:
        return None
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = re.compile(_BEGINNINGS[kind], re.DOTALL).search(data, 64)
    return found.start() if found else None


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
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = re.compile(_BEGINNINGS[kind], re.DOTALL).search(data, 64 if kind in _SINGLE else min(after, len(data)))
        rest = 1 - (after + _index_size(data, kind, after)) / len(data)
        rest = _content(data, after) / len(data) if rest > _MUCH and kind in _PADDED else rest
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
    return sum(
        len(piece) - piece.count(b"\0") - piece.count(b"\xff")
        for piece in (data[at : at + _PIECE] for at in range(after, len(data), _PIECE))
    )


def _index_size(data: mmap.mmap, kind: str, after: int) -> int:
    """Bytes of an AVI's index, which is longer than its pictures if the writer listed many empty frames."""
    place = data.find(b"idx1", after) if kind == "avi" else -1
    if place < 0:
        return 0
    return min(8 + int.from_bytes(data[place + 4 : place + 8], "little"), len(data) - place)

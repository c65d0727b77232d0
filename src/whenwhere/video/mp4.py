"""The boxes of mp4 files, for what FFmpeg does not tell: whether the index is whole, which tracks are no pictures."""

import struct
from collections.abc import Iterator
from pathlib import Path

# Only so much of an index is read; it is longer only in days of video.
_MOST_INDEX = 64 << 20


def index(path: str) -> bytes | None:
    """The content of an mp4's index (`moov`), or None if the file does not hold the whole of it."""
    size = Path(path).stat().st_size
    at = 0
    with open(path, "rb") as f:
        while at + 8 <= size:
            f.seek(at)
            head = f.read(16)
            length, kind = struct.unpack(">I4s", head[:8])
            begin = 8
            if length == 1:
                length, begin = int.from_bytes(head[8:], "big"), 16
            elif length == 0:
                length = size - at
            if length < begin:
                return None
            if kind == b"moov":
                f.seek(at + begin)
                return f.read(min(length - begin, _MOST_INDEX)) if at + length <= size else None
            at += length
    return None


def auxiliary_tracks(path: str) -> set[int]:
    """Ids of the tracks that hold something else than the picture: transparency or depth, as a grey video."""
    found = set()
    for kind, track in _boxes(index(path) or b""):
        if kind != b"trak":
            continue
        inside = dict(_boxes(track))
        head = inside.get(b"tkhd", b"")
        handler = dict(_boxes(inside.get(b"mdia", b""))).get(b"hdlr", b"")
        refers = [name for name, _ in _boxes(inside.get(b"tref", b""))]
        if handler[8:12] == b"auxv" or b"auxl" in refers:
            # Version 1 of the header has times of 64 bits before the id.
            found.add(int.from_bytes(head[20:24] if head[:1] == b"\1" else head[12:16], "big"))
    return found


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, content) of the boxes that lie side by side in some bytes."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if length < 8:
            return
        yield kind, data[at + 8 : at + length]
        at += length

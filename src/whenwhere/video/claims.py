"""Checks how many samples an mp4 or mov file claims before FFmpeg takes memory for them.

The index of such a file may say "thirty million samples of one byte" in 20 bytes, and FFmpeg then makes an index entry
for each. Other containers store something for each frame, so that their size limits what they can claim; here the count
is compared with the file's size. Files that were cut off still pass: their index lists the size of each sample.

The other tables of the index (times, offsets, chunks, key frames, edits) need no check: FFmpeg reads them entry by
entry until the file ends, and gives times to as many samples as there are sizes, whatever their entries claim.
"""

import os
from collections.abc import Iterator
from typing import BinaryIO

from whenwhere.errors import MediaError
from whenwhere.readers import visible

# Samples that any file may claim, beside one for each of its bytes.
_FREE = 100_000
_HOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"}
_HEADS = {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"wide", b"free", b"skip", b"sidx", b"prft", b"emsg", b"pnot"}


def check_claims(path: str) -> None:
    """Refuse an mp4 or mov file whose index claims more samples than the file can hold; other files pass.

    Raises:
        MediaError: It does.
    """
    try:
        with open(path, "rb") as f:
            if f.read(8)[4:] not in _HEADS:
                return
            size = os.fstat(f.fileno()).st_size
            claimed = _claimed(f, 0, size)
    except OSError:
        return  # what is wrong is said by whoever opens the file
    if claimed > _FREE + size:
        raise MediaError(
            f"{visible(path)} claims {claimed} samples in {size} bytes, so its index is damaged: copy or download it "
            "again"
        )


def _claimed(file: BinaryIO, start: int, end: int, depth: int = 0, sound: bool = False) -> int:
    """The number of samples that the boxes between two places claim without storing anything for each."""
    boxes = list(_boxes(file, start, end))
    sound |= any(name == b"smhd" for name, _, _ in boxes)
    claimed = uniform = 0
    plain = False
    for name, at, stop in boxes:
        if name in _HOLDERS and depth < len(_HOLDERS):
            claimed += _claimed(file, at, stop, depth + 1, sound)
        elif name in (b"stsz", b"stz2"):
            file.seek(at + 4)
            each, count = _numbers(file, 2)
            bits = each & 0xFF if name == b"stz2" else 32
            if name == b"stsz" and each:
                uniform += count
            elif count * bits // 8 > stop - at:
                claimed += count
        elif name == b"stts":
            file.seek(at + 4)
            entries, _, step = _numbers(file, 3)
            plain = entries == 1 and step == 1
        elif name == b"trun":
            file.seek(at)
            flags, count = _numbers(file, 2)
            each = 4 * (flags >> 8 & 0xF).bit_count()
            claimed += count if not each or each * count > stop - at else 0
    # A track of plain sound counts each of its values as a sample; FFmpeg indexes those in large pieces.
    return claimed if sound and plain else claimed + uniform


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, start of the content, end) of the boxes between two places of a file."""
    while start + 8 <= end:
        file.seek(start)
        length, name, head = *_numbers(file, 1), file.read(4), 8
        if length == 1:
            high, low = _numbers(file, 2)
            length, head = high << 32 | low, 16
        stop = min(start + length, end) if length else end
        if length and length < head:
            return
        yield name, start + head, stop
        start = stop


def _numbers(file: BinaryIO, count: int) -> list[int]:
    """Big-endian numbers of 32 bits; zeros past the end of the file."""
    data = file.read(4 * count).ljust(4 * count, b"\0")
    return [int.from_bytes(data[i : i + 4], "big") for i in range(0, 4 * count, 4)]

"""Field pictures of H.264: interlaced frames that are stored as two pictures, often in two packets.

Television and camcorders write them (PAFF). The decoder joins the two fields of a frame, so the second packet shows
nothing of its own. Neither the container nor FFmpeg's demuxer says which packets belong together; the headers of the
slices do (ITU-T H.264, section 7.3). Only these first bits are read, and only if the stream may hold fields at all.

HEVC codes fields as frames, and FFmpeg's parser joins those of MPEG-2, so neither needs this.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

# Profiles whose parameters tell the format of colours (7.3.2.1.1).
_HIGH = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
_START = re.compile(rb"\x00\x00\x01")
_SLICES, _PARAMETERS = (1, 5), 7
# Bytes of a slice in which the numbers that are read here lie.
_HEAD = 32


class _Sequence(NamedTuple):
    """What a sequence's parameters say about the headers of its slices.

    Attributes:
        fields: Whether there may be field pictures.
        planes: Whether a slice begins with the number of its colour plane.
        bits: Length of a frame's number.
    """

    fields: bool
    planes: bool
    bits: int


class FieldPairs:
    """Finds the packets that hold the second field of the frame whose first field came before.

    Args:
        extradata: The decoder's configuration, as the container gives it, in either form of H.264.
    """

    def __init__(self, extradata: bytes | None) -> None:
        data = extradata or b""
        # In mp4 and Matroska units have lengths, which begin a configuration of version 1.
        self._length = (data[4] & 3) + 1 if data[:1] == b"\1" and len(data) > 6 else 0
        self._sequence = _Sequence(False, False, 4)
        self._open: tuple[int, int] | None = None
        if self._length and data[5] & 31:
            self._learn(data[8 : 8 + int.from_bytes(data[6:8], "big")])
        elif not self._length:
            self._units(memoryview(data))

    def completes(self, packet: memoryview) -> bool:
        """Whether a packet holds the second field of the frame that the packet before it began."""
        field = self._units(packet)
        before, self._open = self._open, None
        if field is None:
            return False
        if before is not None and before[0] == field[0] and before[1] != field[1]:
            return True
        self._open = field
        return False

    def _units(self, data: memoryview) -> tuple[int, int] | None:
        """(number of the frame, 0 for the top and 1 for the bottom field) of the first slice; None if it is none."""
        for unit in self._split(data):
            kind = unit[0] & 31 if len(unit) else 0
            if kind == _PARAMETERS:
                self._learn(bytes(unit))
            elif kind in _SLICES:
                return self._field(bytes(unit[1:_HEAD])) if self._sequence.fields else None
        return None

    def _split(self, data: memoryview) -> Iterator[memoryview]:
        if not self._length:
            for found in _START.finditer(data):
                yield data[found.end() : found.end() + 256]
            return
        at = 0
        while at + self._length < len(data):
            size = int.from_bytes(data[at : at + self._length], "big")
            at += self._length
            yield data[at : at + size]
            at += size

    def _field(self, head: bytes) -> tuple[int, int] | None:
        bits = _Bits(head)
        bits.ue(3)
        bits.u(2 * self._sequence.planes)
        number = bits.u(self._sequence.bits)
        return (number, bits.u(1)) if bits.u(1) else None

    def _learn(self, unit: bytes) -> None:
        """Read a sequence's parameters, the first byte being the unit's kind (7.3.2.1.1)."""
        bits = _Bits(unit[1:256])
        profile = bits.u(24) >> 16
        bits.ue(1)
        planes = False
        if profile in _HIGH:
            chroma = bits.ue(1)
            if chroma == 3:
                planes = bool(bits.u(1))
            bits.ue(2)
            bits.u(1)
            if bits.u(1):
                for k in range(12 if chroma == 3 else 8):
                    bits.skip_scaling(16 if k < 6 else 64)
        length = bits.ue(1) + 4
        order = bits.ue(1)
        if order == 0:
            bits.ue(1)
        elif order == 1:
            bits.u(1)
            bits.ue(2)
            bits.ue(min(bits.ue(1), 255))
        bits.ue(1)
        bits.u(1)
        bits.ue(2)
        self._sequence = _Sequence(not bits.u(1), planes, min(length, 16))


class _Bits:
    """A reader of the bits of a unit; zeros after its end."""

    def __init__(self, data: bytes) -> None:
        # A 3 after two zeros is no content: it keeps start codes from appearing.
        data = data.replace(b"\0\0\3", b"\0\0")
        self._left = 8 * len(data)
        self._value = int.from_bytes(data, "big")

    def u(self, length: int) -> int:
        """A number of fixed length."""
        self._left -= length
        return (self._value >> self._left if self._left >= 0 else 0) & ((1 << length) - 1)

    def ue(self, count: int) -> int:
        """The last of some numbers in Exp-Golomb code."""
        value = 0
        for _ in range(count):
            zeros = 0
            while not self.u(1) and zeros < 32 and self._left > 0:
                zeros += 1
            value = (1 << zeros) - 1 + self.u(zeros)
        return value

    def skip_scaling(self, size: int) -> None:
        """Pass over a list of scaling factors (7.3.2.1.1.1), if there is one."""
        last = following = 8
        for _ in range(size if self.u(1) else 0):
            if following:
                code = self.ue(1)
                following = (last + (code + 1 >> 1) * (1 if code & 1 else -1)) % 256
            last = following or last

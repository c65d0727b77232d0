"""H.264 whose frames are two field pictures each (PAFF), which no encoder at hand writes: nothing but raw samples."""

from fractions import Fraction
from itertools import count
from pathlib import Path

import av
import numpy as np

_START = b"\0\0\0\1"


class _Bits:
    """The bits of one H.264 unit (ITU-T H.264, section 7.3)."""

    def __init__(self, kind: int, importance: int = 3) -> None:
        self._done = bytearray([importance << 5 | kind])
        self._bits = ""

    def u(self, value: int, length: int = 1) -> "_Bits":
        """A number of fixed length."""
        self._bits += f"{value:0{length}b}"
        return self

    def ue(self, *values: int) -> "_Bits":
        """Numbers in Exp-Golomb code."""
        for value in values:
            self._bits += "0" * ((value + 1).bit_length() - 1) + f"{value + 1:b}"
        return self

    def raw(self, data: bytes) -> "_Bits":
        """Bytes, after zeros up to a whole byte."""
        self._bits += "0" * (-len(self._bits) % 8)
        self._done += int(self._bits or "0", 2).to_bytes(len(self._bits) // 8, "big") + data
        self._bits = ""
        return self

    def unit(self) -> bytes:
        """The unit with its start code, and a 3 after two zeros wherever a start code could appear."""
        self.u(1).raw(b"")
        out, zeros = bytearray(), 0
        for byte in self._done:
            if zeros >= 2 and byte <= 3:
                out.append(3)
                zeros = 0
            out.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return _START + bytes(out)


def _parameters(width: int, height: int) -> bytes:
    """Sequence and picture parameters: main profile, fields, 25 frames a second, no reordering."""
    sequence = _Bits(7).u(77, 8).u(0, 8).u(30, 8).ue(0, 0, 0, 4, 1).u(0).ue(width // 16 - 1, height // 32 - 1)
    sequence.u(0).u(0).u(1).u(0).u(1)
    sequence.u(0, 4).u(1).u(1, 32).u(50, 32).u(1).u(0, 3).u(1).u(1).ue(0, 0, 10, 10, 0, 1)
    picture = _Bits(8).ue(0, 0).u(0).u(0).ue(0, 0, 0).u(0, 3).ue(0, 0, 0).u(1).u(0, 2)
    return sequence.unit() + picture.unit()


def _field(luma: np.ndarray, number: int, group: int, bottom: bool) -> bytes:
    """One field of raw grey macroblocks; `number` counts frames from the last key frame, the `group`-th."""
    first = number == 0 and not bottom
    slice_ = _Bits(5 if first else 1).ue(0, 7, 0).u(number % 16, 4).u(1).u(int(bottom))
    if first:
        slice_.ue(group % 2)
    slice_.u(2 * number + bottom, 8).u(0, 2 if first else 1).ue(0, 1)
    grey = bytes([128]) * 128
    for y in range(0, luma.shape[0], 16):
        for x in range(0, luma.shape[1], 16):
            slice_.ue(25).raw(luma[y : y + 16, x : x + 16].tobytes() + grey)
    return slice_.unit()


def field_coded(pictures: list[np.ndarray], gop: int = 5) -> list[bytes]:
    """The two fields of each of some grey pictures (h, w), h a multiple of 32 and w of 16, one after the other."""
    height, width = pictures[0].shape
    out = []
    for k, picture in enumerate(pictures):
        number = k % gop
        top, bottom = (_field(picture[row::2], number, k // gop, bool(row)) for row in (0, 1))
        out += [_parameters(width, height) * (number == 0) + top, bottom]
    return out


def write(path: Path, pictures: list[np.ndarray], container: str | None = None, together: bool = False) -> Path:
    """A file of field-coded pictures at 25 a second; `together` puts both fields of a frame into one packet."""
    fields = field_coded(pictures)
    if together:
        fields = [a + b for a, b in zip(fields[::2], fields[1::2], strict=True)]
    if path.suffix == ".h264":
        path.write_bytes(b"".join(fields))
        return path
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream("libx264", rate=25 if together else 50)
        stream.height, stream.width = pictures[0].shape
        stream.pix_fmt = "yuv420p"
        tick = Fraction(1, 25 if together else 50)
        stream.time_base = stream.codec_context.time_base = tick
        for number, data in zip(count(), fields):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, tick
            packet.pts = packet.dts = number
            packet.duration = 1
            packet.is_keyframe = number % (5 if together else 10) == 0
            out.mux(packet)
    return path

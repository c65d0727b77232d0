"""Colours of high dynamic range and of wide gamuts, shown as an ordinary screen shows them.

Phones and cameras record HDR as PQ (SMPTE ST 2084, absolute brightness) or HLG (ARIB STD-B67, relative to the screen),
mostly with the primaries of BT.2020. Taken for ordinary video, such pictures are grey and dim, and red looks brown. The
way to BT.709 is that of ITU-R BT.2408: the code values become light, in units of its reference white (203 cd/m²); the
primaries are changed; brightness above 70 % of that white is compressed by one factor for all three channels, so that
hues stay; and the light is encoded for a screen of BT.1886.

Brightness that changes from scene to scene (HDR10+, Dolby Vision) is left out: its base layer is shown. Dolby Vision of
profile 5, and 10 without a base layer, has colours of its own, which are not converted: `is_private` tells.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from whenwhere.video import mp4

Transfer = Literal["sdr", "pq", "hlg"]
Primaries = Literal["bt709", "bt2020", "p3"]

# Numbers of ITU-T H.273, which FFmpeg uses.
_TRANSFERS: dict[int, Transfer] = {16: "pq", 18: "hlg"}
_PRIMARIES: dict[int, Primaries] = {9: "bt2020", 11: "p3", 12: "p3"}
_UNSPECIFIED = 2

#: Brightness of white paper in HDR pictures, in cd/m² (BT.2408).
_WHITE = 203.0
#: Brightness of the screen that HLG is made for, in cd/m², and its system gamma (BT.2100).
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2
#: The gamma of an ordinary screen (BT.1886).
_GAMMA = 2.4
#: Share of white above which brightness is compressed.
_KNEE = 0.7
# Pixels that are converted in one go: few enough for the processor's cache.
_BLOCK = 1 << 15

# Chromaticities (x, y) of red, green and blue, in BT.709, BT.2020 and Display P3; all have the white of D65.
_CHROMATICITIES: dict[Primaries, tuple[tuple[float, float], ...]] = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_D65 = (0.3127, 0.3290)


@dataclass(frozen=True)
class Colours:
    """What a video's code values stand for.

    Attributes:
        transfer: How code values become light: `sdr`, `pq` or `hlg`.
        primaries: The colours of its red, green and blue: `bt709` (any of ordinary video), `bt2020` or `p3`.
    """

    transfer: Transfer = "sdr"
    primaries: Primaries = "bt709"

    @property
    def ordinary(self) -> bool:
        """Whether an ordinary screen shows the code values as they are."""
        return self == Colours()

    def shown(self, coded: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """The picture in ordinary video's RGB.

        Args:
            coded: (h, w, 3) RGB code values in full range, 0-65535.

        >>> white, red = (np.array([[[v, v, v]]], np.uint16) for v in (38_052, 0))
        >>> Colours("pq", "bt2020").shown(white)[0, 0].tolist()      # the reference white
        [238, 238, 238]
        """
        flat = coded.reshape(-1, 3)
        out = np.empty(flat.shape, np.uint8)
        for at in range(0, len(flat), _BLOCK):
            out[at : at + _BLOCK] = self._block(flat[at : at + _BLOCK])
        return out.reshape(coded.shape)

    def _block(self, coded: NDArray[np.uint16]) -> NDArray[np.uint8]:
        light = _light(self.transfer)[coded >> 4]
        if self.transfer == "hlg":
            # The light of the scene becomes that of the screen: its gamma acts on the brightness alone.
            luminance = light @ _to_xyz(self.primaries)[1].astype(np.float32)
            light *= (luminance ** np.float32(_HLG_GAMMA - 1) * np.float32(_HLG_PEAK / _WHITE))[:, None]
        light = light @ _to_bt709(self.primaries).T
        np.maximum(light, 0, out=light)
        if self.transfer != "sdr":
            brightest = np.maximum(np.maximum(light[:, 0], light[:, 1]), light[:, 2])
            over = np.maximum(brightest - _KNEE, 0)
            squeezed = brightest - over + (1 - _KNEE) * over / (over + (1 - _KNEE))
            light *= (squeezed / np.maximum(brightest, 1e-9))[:, None]
        np.minimum(light, 1, out=light)
        # The table is even in the root of the light, which is fine enough in the dark.
        encoded: NDArray[np.uint8] = _encoding()[(np.sqrt(light) * 4095 + 0.5).astype(np.uint16)]
        return encoded


def declared_colours(context: VideoCodecContext) -> Colours:
    """The colours that a file or its stream declares; what is not declared is the usual."""
    transfer = _TRANSFERS.get(int(context.color_trc), "sdr")
    number = int(context.color_primaries)
    if number == _UNSPECIFIED and transfer != "sdr":
        return Colours(transfer, "bt2020")
    return Colours(transfer, _PRIMARIES.get(number, "bt709"))


def is_private(path: str, container: str) -> bool:
    """Whether a file's configuration of Dolby Vision says that its pictures are not to be shown without it.

    Args:
        path: The file.
        container: FFmpeg's names of its container, separated by commas.
    """
    if container.startswith("mov"):
        head = mp4.index(path) or b""
    elif container.startswith("matroska"):
        with open(path, "rb") as f:
            head = f.read(1 << 16)
    else:
        return False
    # In Matroska the number and the length of an element stand between the name and the configuration.
    found = re.search(rb"dv[cvw]C(?:\x41\xed[\x80-\xff])?[\x01-\x03].(.).(.)", head, re.DOTALL)
    if found is None:
        return False
    profile, compatible = found[1][0] >> 1, found[2][0] >> 4
    return profile == 5 or (profile == 10 and not compatible)


@cache
def _light(transfer: Transfer) -> NDArray[np.float32]:
    """(4096,) light of each code value of 12 bits: 1 is white (`sdr`, `pq`) or the scene's peak (`hlg`)."""
    code = np.arange(4096) / 4095
    if transfer == "pq":
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = code ** (1 / m2)
        light = 10_000 / _WHITE * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    elif transfer == "hlg":
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    else:
        light = code**_GAMMA
    return light.astype(np.float32)


@cache
def _encoding() -> NDArray[np.uint8]:
    """(4096,) code values of ordinary video, by the square root of the light."""
    return np.rint(255 * (np.arange(4096) / 4095) ** (2 / _GAMMA)).astype(np.uint8)


def _to_xyz(primaries: Primaries) -> NDArray[np.float64]:
    """(3, 3) matrix from linear RGB to CIE XYZ, with white at Y = 1."""
    red, green, blue = ((x / y, 1.0, (1 - x - y) / y) for x, y in _CHROMATICITIES[primaries])
    columns = np.array([red, green, blue]).T
    x, y = _D65
    share = np.linalg.solve(columns, np.array([x / y, 1.0, (1 - x - y) / y]))
    return np.asarray(columns * share, float)


@cache
def _to_bt709(primaries: Primaries) -> NDArray[np.float32]:
    """(3, 3) matrix from linear RGB of these primaries to linear RGB of BT.709."""
    return np.linalg.solve(_to_xyz("bt709"), _to_xyz(primaries)).astype(np.float32)

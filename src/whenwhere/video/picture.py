"""Converting a decoded frame to an array: scaled, upright, with square pixels, in the colours of an ordinary screen.

Scaling happens in the decoder's own colour format and only for wanted frames. The filter is set explicitly: area
averaging when shrinking (no aliasing), bicubic otherwise; models and optical flow notice the difference.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from whenwhere.errors import SettingError
from whenwhere.video.info import VideoInfo
from whenwhere.video.orientation import Orientation

_UNSPECIFIED = 2
# Shares of red, green and blue in the luma of BT.709.
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


class Displayed(Protocol):
    """Something with a displayed size: a probed video, or what is kept of one."""

    @property
    def width(self) -> int:
        """Displayed width in pixels."""
        ...

    @property
    def height(self) -> int:
        """Displayed height in pixels."""
        ...


def output_size(info: Displayed, width: int | None) -> tuple[int, int]:
    """Width and height of images that are `width` pixels wide; None keeps the displayed size. The aspect is kept.

    Raises:
        SettingError: The width is not between 1 and 16384.
    """
    if width is None:
        return info.width, info.height
    if not 1 <= width <= 16384:
        raise SettingError(f"an image width of {width} pixels is not between 1 and 16384")
    return width, max(round(info.height * width / info.width), 1)


class FrameConverter:
    """Turns frames of one video into arrays of one size; two threads must not share one converter.

    Args:
        info: The probed video.
        width: Width of the images in pixels; None keeps the displayed width.
        gray: Whether images are (h, w) luma in full range instead of (h, w, 3) RGB.
    """

    def __init__(self, info: VideoInfo, width: int | None, gray: bool = False) -> None:
        self.width, self.height = output_size(info, width)
        self._orientation = Orientation(info.rotation, info.mirrored)
        self._stored = (self.height, self.width) if info.rotation % 180 else (self.width, self.height)
        self.gray = gray
        self._colours = info.colours
        self._format = "rgb48le" if not info.colours.ordinary else "gray" if gray else "rgb24"
        self._scaler = VideoReformatter()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image: (h, w) or (h, w, 3)."""
        return (self.height, self.width) if self.gray else (self.height, self.width, 3)

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """The frame as a new uint8 array, C-contiguous unless the video is rotated or mirrored."""
        width, height = self._stored
        # FFmpeg takes what is not declared for BT.601, which no HDR picture uses.
        wide = not self._colours.ordinary and frame.colorspace == _UNSPECIFIED
        shrinks = width < frame.width or height < frame.height
        scaled = self._scaler.reformat(
            frame,
            width,
            height,
            self._format,
            src_colorspace=Colorspace.BT2020 if wide else None,
            interpolation=Interpolation.AREA if shrinks else Interpolation.BICUBIC,
            dst_color_range=ColorRange.JPEG,
            # Frames are already spread over threads.
            threads=1,
        )
        image = scaled.to_ndarray()
        if not self._colours.ordinary:
            image = self._colours.shown(np.asarray(image, np.uint16))
            if self.gray:
                image = np.rint(image @ _LUMA).astype(np.uint8)
        return self._orientation.upright(np.asarray(image, np.uint8))


class FrameViews:
    """Turns frames of one video into arrays of several widths; two threads must not share one of these.

    Args:
        info: The probed video.
        widths: Width of each image in pixels; None keeps the displayed width.
        gray: Whether images are (h, w) luma in full range instead of (h, w, 3) RGB.
    """

    def __init__(self, info: VideoInfo, widths: Sequence[int | None], gray: bool = False) -> None:
        self._converters = [FrameConverter(info, width, gray) for width in widths]

    @property
    def size(self) -> int:
        """Bytes of the images of one frame."""
        return sum(int(np.prod(converter.shape)) for converter in self._converters)

    def __call__(self, frame: VideoFrame) -> tuple[NDArray[np.uint8], ...]:
        """The images of the frame, in the order of the widths."""
        return tuple(converter(frame) for converter in self._converters)

"""Writing mp4 files that browsers play: H.264 yuv420p, index at the front, even dimensions, interleaved sound.

Colours are converted to BT.709 and labelled so, so that a player need not guess. A file appears whole or not at all.
An odd width or height gains one repeated column or row at the right or bottom, so that coordinates stay valid.
"""

import math
from contextlib import AbstractContextManager
from fractions import Fraction
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from whenwhere.errors import OutputError, SettingError
from whenwhere.store import atomic_path
from whenwhere.video.info import VideoInfo, exact_rate
from whenwhere.video.sound import Sound, sound_of_samples, sound_of_video

# Ticks per second of the written streams; the clock of MPEG transport streams.
_CLOCK = 90_000
_BT709 = 1
_SILENT = "the sound track is damaged: the video is written without sound"

#: Samples with their rate, a probed video, or no sound.
Audio = tuple[NDArray[np.float32], int] | VideoInfo | None


class FrameWriter:
    """Writes RGB images to an mp4; a context manager.

    Args:
        path: The file, ending in .mp4; it is replaced only if the block ends without an error.
        width: Width of the images in pixels.
        height: Height of the images in pixels.
        fps: Frames per second; only a hint if every image is written with its own time.
        audio: Samples in -1..1, (n,) or (n, channels), with their rate per second; or a probed video whose sound is
            copied if browsers play it and re-encoded to AAC otherwise.
        part: (start, end) in seconds of that video: only the sound in between is written, with the start as time 0. It
            is cut at the sample; if the end is None, the sound is kept to its end.
        crf: Quality of x264, from 0 (lossless) to 51.

    Attributes:
        warnings: Sentences about what could not be written of the sound, complete when the block has ended.

    Raises:
        OutputError: The file cannot be written.
        SettingError: A size or rate is not positive.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        width: int,
        height: int,
        fps: float | Fraction,
        audio: Audio = None,
        part: tuple[float, float | None] = (0.0, None),
        crf: int = 20,
    ) -> None:
        if width < 1 or height < 1 or not fps > 0 or not math.isfinite(fps):
            raise SettingError(
                f"a video of {width}x{height} pixels at {float(fps):g} frames per second cannot be written"
            )
        self._path = Path(path)
        self.width, self.height = width, height
        self._fps = exact_rate(fps)
        self._audio = audio
        self._crf = crf
        self._part = part
        self.warnings: list[str] = []
        self._sound: Sound | None = None
        self._scaler = VideoReformatter()
        self._last_tick = -1
        self._count = 0
        self._whole: AbstractContextManager[Path] | None = None

    def __enter__(self) -> Self:
        self._whole = atomic_path(self._path)
        temporary = self._whole.__enter__()
        try:
            if not self._begin(temporary, self._audio):
                self._begin(temporary, None)
        except (av.error.FFmpegError, OSError) as e:
            self._whole.__exit__(type(e), e, e.__traceback__)
            raise OutputError(f"cannot write {self._path}: {e}") from e
        return self

    def _begin(self, temporary: Path, audio: Audio) -> bool:
        """Open the file and write its header; False if that has to be done again without the sound."""
        self._out = av.open(f"file:{temporary}", "w", format="mp4", options={"movflags": "+faststart"})
        self._stream = self._out.add_stream("libx264", rate=self._fps)
        self._stream.width, self._stream.height = self.width + self.width % 2, self.height + self.height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = Fraction(1, _CLOCK)
        context = self._stream.codec_context
        context.time_base = Fraction(1, _CLOCK)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = ColorRange.MPEG
        context.options = {"preset": "veryfast", "crf": str(self._crf)}
        self._sound = None
        try:
            if isinstance(audio, VideoInfo):
                self._sound = sound_of_video(self._out, audio, *self._part)
            elif audio is not None:
                self._sound = sound_of_samples(self._out, *audio)
            self._out.start_encoding()
        except (av.error.FFmpegError, ValueError) as e:
            # Sound that cannot even be begun must not keep the picture from being written.
            if isinstance(e, OSError) or not isinstance(audio, VideoInfo):
                raise
            self.warnings.append(_SILENT)
            self._out.close()
            return False
        if self._sound is not None and self._sound.empty:
            self.warnings += [_SILENT] if self._sound.warnings() else []
            self._out.close()
            return False
        return True

    def write(self, rgb: NDArray[np.uint8], time: float | None = None) -> None:
        """Append an image.

        Args:
            rgb: (height, width, 3) uint8 image.
            time: Seconds; None places it one frame after the last. A time at or before that of the last image is
                moved to one tick after it.

        Raises:
            OutputError: The disk is full, or the image has another size.
        """
        if rgb.shape != (self.height, self.width, 3):
            raise OutputError(f"an image of shape {rgb.shape} is not {self.height} rows of {self.width} RGB pixels")
        if self.height % 2 or self.width % 2:
            rgb = np.pad(rgb, ((0, self.height % 2), (0, self.width % 2), (0, 0)), mode="edge")
        seconds = float(self._count / self._fps) if time is None else time
        tick = max(round(seconds * _CLOCK), self._last_tick + 1)
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
        frame = self._scaler.reformat(
            frame, format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1
        )
        frame.pts, frame.time_base = tick, Fraction(1, _CLOCK)
        self._last_tick = tick
        self._count += 1
        try:
            self._out.mux(self._stream.encode(frame))
            if self._sound is not None:
                self._sound.advance(tick / _CLOCK)
        except (av.error.FFmpegError, OSError) as e:
            raise OutputError(f"cannot write {self._path}: {e}") from e

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._whole is not None
        try:
            try:
                if kind is None:
                    if not self._count:
                        raise OutputError(f"no frame was written to {self._path}")
                    self._out.mux(self._stream.encode(None))
                    if self._sound is not None:
                        self._sound.advance(math.inf)
                        self.warnings += self._sound.warnings()
            finally:
                self._out.close()
        except BaseException as e:
            failure: BaseException = e
            if isinstance(e, (av.error.FFmpegError, OSError)):
                failure = OutputError(f"cannot write {self._path}: {e}")
            self._whole.__exit__(type(failure), failure, failure.__traceback__)
            if kind is None:
                raise failure from e
            return
        self._whole.__exit__(kind, error, trace)

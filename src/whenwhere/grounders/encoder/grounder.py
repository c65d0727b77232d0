"""Zero-shot grounding with a video-text encoder, which knows nothing of time spans or boxes.

Frames are embedded once for all sentences of a session. Each sentence gives a curve: how much more a moment looks like
the sentence than like texts that say nothing ("a video"), in the units of the encoder's own logits. Windows that stand
out from the rest of the curve are ranked (`windows`). The best one is the answer if the sentence fits it better than
each of the texts that say nothing; otherwise the answer is unsure and lists the windows. There is no confidence,
because logits only say which of several texts fits better, and for a video unlike those of training all may be wrong.
Each second a box is drawn around the warmest part of a heat map of the object that the sentence is about (`heat`).

A video encoder embeds overlapping clips, and a moment is the mean of the clips that show it. Frames are shown to the
encoder whole, squeezed to its square, so that nothing at the sides is lost.

Left out: absence (an encoder cannot tell "not here" from "described in other words"), several spans for one sentence
(`ranked` has the others), and following an object: boxes of neighbouring seconds are independent.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.detector.phrase import noun_phrase
from whenwhere.grounders.encoder.heat import heat_box, heat_maps
from whenwhere.grounders.encoder.windows import CurveWindow, ranked_windows
from whenwhere.grounders.grounder import GroundingRequest, GroundingResult
from whenwhere.grounders.windows import clip_span
from whenwhere.models.encoders.encoder import Encoder
from whenwhere.records import CurveRecord
from whenwhere.spans import Span, SpanSet
from whenwhere.tracking import second_level_times
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo, read_frames

#: Texts that say nothing about a video, with which a sentence is compared.
GENERIC = ("", "a video", "a photo", "a picture of something", "a scene", "an empty scene", "something else")
#: Frames per second that are looked at unless the request says otherwise.
FPS = 2.0
#: Largest number of frames that are decoded at a time.
_TOGETHER = 128
#: Largest number of videos whose embeddings are kept in memory between questions.
_OPEN = 4


@dataclass(frozen=True, eq=False)
class EmbeddedVideo:
    """Embeddings of a part of a video at even times.

    Attributes:
        start: Second of the first time.
        step: Seconds from one time to the next.
        embeddings: Unit embeddings, shape (n, D).
    """

    start: float
    step: float
    embeddings: NDArray[np.float32]

    def span(self, window: CurveWindow, searched: Span) -> Span:
        """The time of a window: from half a step before its first time to half a step after its last."""
        last = window.stop == len(self.embeddings)
        start = searched.start if not window.first else self.start + (window.first - 0.5) * self.step
        end = searched.end if last else self.start + (window.stop - 0.5) * self.step
        return Span(max(start, searched.start), min(end, searched.end), round(window.rise, 3))


class EncoderGrounder:
    """Grounds sentences by an encoder of frames, clips and texts.

    Args:
        open_encoder: Opens the encoder when it is first needed.
        progress: Called with the share of the video that was looked at, 0-1.
        generic: Texts that say nothing about a video, with which sentences are compared.
        groups: Whether boxes come from the encoder's groups, if it has any, and not from its patches.
    """

    name = "encoder"

    def __init__(
        self,
        open_encoder: Callable[[], Encoder],
        progress: Callable[[float], None] | None = None,
        generic: tuple[str, ...] = GENERIC,
        groups: bool = False,
    ) -> None:
        self._open, self.progress, self.generic, self.groups = open_encoder, progress, generic, groups
        self._videos: OrderedDict[tuple[str, float, float, float], EmbeddedVideo] = OrderedDict()

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, opened on first use."""
        return self._open()

    @cached_property
    def _empty(self) -> NDArray[np.float32]:
        return self.encoder.embed_texts(self.generic)

    def ground(self, info: VideoInfo, request: GroundingRequest) -> GroundingResult:
        """Answer one sentence (see `Grounder.ground`). Nothing is drawn at random, so `seed` has no effect."""
        result = GroundingResult("unsure")
        phrase = noun_phrase(request.query)
        sentence, thing = self.encoder.embed_texts([request.query, phrase])
        result.reading = {"phrase": phrase}
        if request.span is not None:
            result.status, result.spans = "answered", SpanSet([clip_span(info, request.span)])
        else:
            self._find_time(info, request, sentence, result)
        if unknown := self.encoder.unknown_words(request.query):
            words = ", ".join(repr(word) for word in unknown)
            result.warnings.append(f"{self.encoder.name} does not know {words}: use other words, or ask another model")
            if result.status == "answered" and request.span is None:
                result.status, result.spans = "unsure", SpanSet([])
                result.candidates = [
                    {"start": round(s.start, 3), "end": round(s.end, 3), "score": s.score} for s in result.ranked or []
                ]
        if result.spans:
            self._find_boxes(info, request, thing, phrase, result)
        return result

    def estimate(self, info: VideoInfo, request: GroundingRequest) -> dict[str, int]:
        """The frames that a first question decodes for the time; later questions decode only those of boxes."""
        times, _ = _grid(info, request)
        return {"frames": len(np.unique(info.shown(times))), "calls": 0, "tokens": 0}

    def observe(self, info: VideoInfo, request: GroundingRequest) -> tuple[EmbeddedVideo, int]:
        """The embedded video, and the number of frames that had to be decoded for it by this call."""
        times, step = _grid(info, request)
        key = (info.content, step, float(times[0]), len(times) * step)
        if key in self._videos:
            self._videos.move_to_end(key)
            return self._videos[key], 0
        index, place = np.unique(info.shown(times), return_inverse=True)
        embeddings = self._embedded(info, info.times[index])
        self._videos[key] = EmbeddedVideo(float(times[0]), step, embeddings[place])
        while len(self._videos) > _OPEN:
            self._videos.popitem(last=False)
        return self._videos[key], len(index)

    def _find_time(
        self, info: VideoInfo, request: GroundingRequest, sentence: NDArray[np.float32], result: GroundingResult
    ) -> None:
        video, result.frames_decoded = self.observe(info, request)
        result.frames_shown = result.frames_decoded
        searched = clip_span(info, request.within)
        cosines = video.embeddings @ np.concatenate([sentence[None], self._empty]).T
        margins = self.encoder.scale * (cosines[:, 0] - cosines[:, 1:].max(1)).astype(float)
        windows = ranked_windows(margins)
        best = windows[0]
        spans = [video.span(window, searched) for window in windows]
        result.ranked = spans
        result.curve = CurveRecord(start=video.start, step=video.step, values=[round(v, 3) for v in margins.tolist()])
        if best.inside > 0:
            result.status, result.spans = "answered", SpanSet([spans[0]])
        else:
            result.candidates = [
                {"start": round(s.start, 3), "end": round(s.end, 3), "score": round(w.inside, 3)}
                for s, w in zip(spans, windows, strict=True)
            ]

    def _find_boxes(
        self, info: VideoInfo, request: GroundingRequest, thing: NDArray[np.float32], phrase: str,
        result: GroundingResult,
    ) -> None:  # fmt: skip
        spans, encoder = result.spans, self.encoder
        times = np.concatenate([second_level_times(s, request.rate, info.last_before(s.end)) for s in spans])
        boxes = np.full((len(times), 4), np.nan)
        for k in range(0, len(times), _TOGETHER):
            part = times[k : k + _TOGETHER]
            images = read_squeezed(info, part, encoder.image_size)
            clips, steps = _clips(images, encoder.frames, encoder.frames)
            heat = heat_maps(encoder.embed_clips(clips), thing, self._empty, self.groups)
            if heat is None:
                result.warnings.append(
                    f"{encoder.name} embeds neither patches nor groups, so the answer has times but no boxes"
                )
                return
            for i, (clip, step) in enumerate(_places(steps, len(part), heat.shape[1])):
                box = heat_box(heat[clip, step], info.width, info.height)
                if box is not None:
                    boxes[k + i] = box
        result.frames_decoded += len(times)
        result.frames_shown += len(times)
        good = ~np.isnan(boxes[:, 0])
        if not good.all():
            result.warnings.append(
                f"no part of the picture looks more like {phrase!r} than the rest at {int((~good).sum())} of "
                f"{len(times)} times: they have no box"
            )
        if good.any():
            result.tubes = [Tube(spans, times[good], boxes[good], rate=request.rate, label=phrase)]

    def _embedded(self, info: VideoInfo, times: NDArray[np.float64]) -> NDArray[np.float32]:
        """Unit embeddings of the frames at these times."""
        encoder, parts = self.encoder, []
        # clips of neighbouring parts overlap too
        overlap = encoder.frames - 1
        for k in range(0, len(times), _TOGETHER):
            first = max(k - overlap, 0)
            shown = times[first : k + _TOGETHER + overlap]
            images = read_squeezed(info, shown, encoder.image_size)
            made = encoder.embed_frames(images) if encoder.frames == 1 else _embed_moments(encoder, images)
            parts.append(made[k - first : k - first + _TOGETHER])
            if self.progress is not None:
                self.progress(min((k + _TOGETHER) / len(times), 1.0))
        return np.concatenate(parts)


def read_squeezed(info: VideoInfo, times: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The frames at these times, whole and squeezed to a height and width, shape (n, height, width, 3)."""
    import cv2

    height, width = size
    wide = max(width, round(height * info.width / info.height), 1)
    images = read_frames(info, times, width=min(wide, info.width)).images
    if images.shape[1:3] == (height, width):
        return images
    return np.stack([cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in images])


def _grid(info: VideoInfo, request: GroundingRequest) -> tuple[NDArray[np.float64], float]:
    """Even times at which the searched part of a video is looked at, and the seconds between them."""
    searched = clip_span(info, request.within)
    fps = min(request.sample_fps or FPS, info.fps or FPS)
    first, stop = np.ceil(searched.start * fps - 1e-6), np.ceil(searched.end * fps - 1e-6)
    # a part between two times of the grid is looked at where it begins
    return (np.arange(first, stop) / fps if first < stop else np.array([searched.start])), 1 / fps


def _clips(images: NDArray[np.uint8], frames: int, stride: int) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Clips of neighbouring frames, and the indices of the frames in each; the last frame is repeated where needed."""
    starts = np.arange(0, max(len(images) - frames, 0) + stride, stride) if len(images) > frames else np.zeros(1, int)
    index = np.minimum(starts[:, None] + np.arange(frames), len(images) - 1)
    return images[index], index


def _places(index: NDArray[np.intp], count: int, steps: int) -> list[tuple[int, int]]:
    """For each frame the first clip that shows it, and its time step in that clip."""
    found = []
    for frame in range(count):
        clip, position = (int(v[0]) for v in np.nonzero(index == frame))
        found.append((clip, position * steps // index.shape[1]))
    return found


def _embed_moments(encoder: Encoder, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """For each frame the mean over the clips that show it: of the clip's embedding and of that of the frame's step.

    Args:
        encoder: A video encoder.
        images: Frames, shape (n, H, W, 3).

    Returns:
        Embeddings of unit length, shape (n, D).
    """
    clips, index = _clips(images, encoder.frames, max(encoder.frames // 2, 1))
    found = encoder.embed_clips(clips)
    steps = np.repeat(found.frames, encoder.frames // found.frames.shape[1], 1)
    total = np.zeros((len(images), encoder.dimension), np.float32)
    np.add.at(total, index, steps + found.pooled[:, None])
    return total / np.linalg.norm(total, axis=1, keepdims=True).clip(1e-12)


@lru_cache(maxsize=1)
def shared_encoder(name: str, device: str | None) -> Encoder:
    """An encoder that all videos of a process share; the last one stays open."""
    from whenwhere.models.encoders.resolve import open_encoder

    return open_encoder(name, device)

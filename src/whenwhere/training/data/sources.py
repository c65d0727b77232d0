"""Sources of samples: the world of shapes, and real videos with their sentences.

Both make a sample from its number alone, so that a run can be resumed anywhere and each process can read its share.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whenwhere.array_cache import ArrayCache
from whenwhere.curate.trajectory_report import written_for
from whenwhere.datasets.choices import right_letter
from whenwhere.datasets.item import Item, shifted
from whenwhere.errors import RecordError, SettingError, WhenwhereError
from whenwhere.spans import Span
from whenwhere.stage.shapes import ShapesWorld, make_clip
from whenwhere.training.data.samples import DeferredSample, Question, Sample
from whenwhere.training.run_folder import SampleError
from whenwhere.verify import Truth
from whenwhere.video.frame_cache import FrameCache

#: Seconds by which a span may end after its video: annotators' clocks and containers differ by a little.
SLACK = 0.5


class StageSource:
    """Clips of the world of shapes, one for each seed.

    Args:
        world: The world that clips are drawn from.
        first_seed: Seed of the first clip; the others follow seed by seed.
        count: Number of clips.
    """

    def __init__(self, world: ShapesWorld, first_seed: int = 0, count: int = 1_000_000) -> None:
        self.world, self.first_seed, self.count = world, first_seed, count

    def __len__(self) -> int:
        """Number of clips."""
        return self.count

    def __getitem__(self, index: int) -> Sample:
        """One clip with all its sentences. Where the world makes labels noisy, the truth is the noisy label."""
        clip = make_clip(self.world, self.first_seed + index)
        side = float(self.world.side)
        questions = [
            Question(
                f"{clip.id}/{k}",
                query.text,
                Truth(
                    query.spans if query.label is None else query.label,
                    query.tube,
                    duration=clip.duration,
                    size=(side, side),
                    fps=self.world.fps,
                    query=query.text,
                ),
                query.kind,
            )
            for k, query in enumerate(clip.queries)
        ]
        return Sample(clip.id, clip.images, clip.times, tuple(questions))


class GrowingSource(StageSource):
    """Clips of the procedural world that grow harder: short ones with few events first, the full world last.

    An untrained policy learns on clips of two seconds what it would need hours to find on longer ones.

    Args:
        world: The full world, from which clips are drawn in the end.
        chapters: Smaller worlds in order, each with the share of the run's updates up to which clips are drawn from it.
        first_seed: Seed of the first clip; the others follow seed by seed.
        count: Number of clips.
    """

    def __init__(
        self,
        world: ShapesWorld,
        chapters: Sequence[tuple[float, ShapesWorld]],
        first_seed: int = 0,
        count: int = 1_000_000,
    ) -> None:
        super().__init__(world, first_seed, count)
        self._chapters = [(until, StageSource(smaller, first_seed, count)) for until, smaller in chapters]

    def at(self, position: int, progress: float) -> Sample:
        """The clip at a position of a run; see `samples.OrderedSource`."""
        now = next((source for until, source in self._chapters if progress < until), self)
        return now[position % self.count]


class ItemSource:
    """Real videos: one sample per video, with all its sentences.

    Each window of a longer video that items are about (`Item.window`) is a sample of its own, whose times count from
    the window's start.

    Args:
        items: Items of any set; invalid ones are left out, because no answer to them is right.
        sample_fps: Frames per second.
        long_side: Most pixels of a frame's longer side. None: no limit.
        folder: Folder that relative paths count from.
        max_frames: Most frames; a longer video is shown with this many, evenly apart. None: no limit.
        total_pixels: Most pixels of all frames, counted as in Qwen's qwen-vl-utils, whose counts published settings
            use: a frame has at most 2 · total_pixels / frames. None: no limit.
        min_pixels: Fewest pixels of a frame under `total_pixels`.
        frames: Cache of decoded frames. None keeps nothing.
        written: Texts to learn instead of the bare answers, by item id.

    Attributes:
        items: The items of each sample, in order.
        frames: The cache.

    Raises:
        SettingError: There are no items, or the rate is not positive.
    """

    def __init__(
        self,
        items: Iterable[Item],
        sample_fps: float = 1.0,
        long_side: int | None = None,
        folder: str | Path = ".",
        *,
        max_frames: int | None = None,
        total_pixels: int | None = None,
        min_pixels: int = 0,
        frames: FrameCache | None = None,
        written: Mapping[str, str] | None = None,
    ) -> None:
        if not sample_fps > 0:
            raise SettingError(f"frames are shown at a positive rate per second, not {sample_fps}")
        self.sample_fps, self.long_side, self.folder = sample_fps, long_side, Path(folder)
        self.max_frames, self.total_pixels, self.min_pixels = max_frames, total_pixels, min_pixels
        self.frames = frames or FrameCache()
        self._written = dict(written or {})
        videos: dict[tuple[str, Span | None], list[Item]] = {}
        for item in items:
            if item.status == "valid":
                videos.setdefault((item.video, item.window), []).append(item)
        if not videos:
            raise SettingError("there is nothing to learn from: no valid item was given")
        self._videos = list(videos)
        self.items = list(videos.values())

    @property
    def frame_store(self) -> ArrayCache | None:
        """The cache of decoded frames; None if there is none."""
        return self.frames.store

    @property
    def question_count(self) -> int:
        """Number of sentences."""
        return sum(map(len, self.items))

    def __len__(self) -> int:
        """Number of videos, windows counted separately."""
        return len(self._videos)

    def __getitem__(self, index: int) -> Sample:
        """One video with all its sentences.

        Raises:
            SampleError: The video cannot be read, or a span lies outside it.
        """
        sample = self.deferred(index)
        # read now: whoever asks for it expects the error here
        _ = sample.images
        return sample

    def deferred(self, index: int) -> Sample:
        """One video with all its sentences, which is decoded when its frames are first used.

        Raises:
            SampleError: The video cannot be probed, or a span lies outside it.
        """
        name, window = self._videos[index]
        try:
            return self._deferred(name, window, self.items[index])
        except WhenwhereError as e:
            raise SampleError(name, str(e)) from e

    def _deferred(self, name: str, window: Span | None, items: list[Item]) -> Sample:
        video = self.frames.video(self.folder / name)
        start, end = (0.0, video.duration) if window is None else (window.start, min(window.end, video.duration))
        length = end - start
        if length <= 0:
            raise RecordError(f"the window from {start:g} s begins after the end of {name}, {video.duration:.2f} s")
        questions = []
        for item in (shifted(item, item.offset - start) for item in items):
            if len(item.spans) and (item.spans.min() < 0 or item.spans.max() > length + SLACK):
                raise RecordError(
                    f"item {item.id} has a span of {item.spans.min():g} to {item.spans.max():g} s, but {name} lasts "
                    f"{length:.2f} s: mend or leave out that item"
                )
            truth = item_truth(item)
            written = self._written.get(item.id)
            shown_as = None if written is None else written_for(item)
            size = (float(video.width), float(video.height))
            truth = replace(truth, duration=length, size=size, shown=shown_as, fps=video.fps)
            questions.append(Question(item.id, item.query, truth, item.type, written))
        times = np.arange(0.0, length, 1 / self.sample_fps)
        if self.max_frames is not None and len(times) > self.max_frames:
            times = np.arange(self.max_frames) * (length / self.max_frames)
        times, width = start + times, self._width(video.width, video.height, len(times))

        def read() -> NDArray[np.uint8]:
            try:
                return video.frames(times, width).images
            except WhenwhereError as e:
                raise SampleError(name, str(e)) from e

        shown = np.maximum(video.shown(times) - start, 0.0)
        return DeferredSample(
            name, video.shape(times, width), shown, tuple(questions), read, content=video.key(times, width)
        )

    def _width(self, width: int, height: int, frames: int) -> int | None:
        """The width at which frames are read; None for the video's own width."""
        factor = 1.0 if self.long_side is None else self.long_side / max(width, height)
        if self.total_pixels is not None:
            most = max(2 * self.total_pixels / frames, self.min_pixels)
            factor = min(factor, (most / (width * height)) ** 0.5)
        return max(round(width * factor), 2) if factor < 1 else None


def item_truth(item: Item) -> Truth:
    """The ground truth of an item as rewards and targets need it: spans, the right option, and the tube if it has one.

    Args:
        item: A valid item.

    >>> item_truth(Item("a", "v.mp4", "a dog runs", np.array([[1.0, 2.0]]))).spans
    SpanSet([1, 2))
    """
    return Truth(
        item.span_set,
        item.tubes[0] if len(item.tubes) == 1 else None,
        duration=item.duration,
        size=(float(item.width), float(item.height)) if item.width and item.height else None,
        choice=right_letter(item),
        fps=item.fps,
        query=item.query,
    )

"""Training samples: a clip's frames with the questions about it, sources of samples, and the order they are read in.

A sample keeps all sentences of one video together, because they share its prompt (`prefix.shared_prefix`). A source
is finite and read by number. Which sample stands at a position of a run follows from the position and the seed alone,
so that a run can be resumed anywhere. A sample that cannot be used raises; the objective skips it, counts it and names
it (`RunFolder.skip`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from whenwhere.array_cache import ArrayCache
from whenwhere.errors import SettingError, WhenwhereError
from whenwhere.verify import Truth

#: Samples that are looked at where the number of questions is estimated.
LOOKED_AT = 8


@dataclass(frozen=True, eq=False)
class Question:
    """One sentence about a clip.

    Attributes:
        id: Name that is unique in the source; difficulties and completions are kept by it.
        text: The sentence.
        truth: The answer, with duration and size of the displayed frame.
        kind: Kind of sentence, where the source has kinds.
        written: Text to learn instead of the bare answer, such as reasoning that ends in it.
    """

    id: str
    text: str
    truth: Truth
    kind: str | None = None
    written: str | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """A clip as the policy sees it.

    Attributes:
        id: Name of the clip or path of the video.
        images: Upright RGB frames, (n, h, w, 3) uint8.
        times: Seconds at which each frame is shown, (n,).
        questions: Questions about the clip, at least one.
        source: Name of the set that the clip is of, in a mix of several.
        content: Text that is the same only for equal frames, by which what is computed from them can be kept. Empty
            where none is known.
    """

    id: str
    images: NDArray[np.uint8]
    times: NDArray[np.float64]
    questions: tuple[Question, ...]
    source: str = ""
    content: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the frames, (n, h, w, 3); to ask for it reads no frames."""
        return self.images.shape

    @property
    def nbytes(self) -> int:
        """Bytes that the frames take."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def held_bytes(self) -> int:
        """Bytes of the frames that are in memory now."""
        return self.nbytes

    def with_source(self, name: str) -> "Sample":
        """The same sample, of a set of a mix.

        Args:
            name: Name of the set.
        """
        return replace(self, source=name)

    def with_questions(self, questions: tuple[Question, ...]) -> "Sample":
        """The same clip with other questions.

        Args:
            questions: The questions.
        """
        return replace(self, questions=questions)

    def with_images(self, images: NDArray[np.uint8]) -> "Sample":
        """The same questions about other frames.

        Args:
            images: The frames, (n, h, w, 3) uint8.
        """
        return Sample(self.id, images, self.times, self.questions, self.source)

    def without_frames(self) -> "Sample":
        """The same sample without frames in memory where they can be read again; else the sample itself."""
        return self


class DeferredSample(Sample):
    """A sample whose frames are read when they are first used. All else about it is known.

    Args:
        id: As in `Sample`.
        shape: Shape of the frames, (n, h, w, 3).
        times: As in `Sample`.
        questions: As in `Sample`.
        read: Reads the frames.
        source: As in `Sample`.
        content: As in `Sample`.
    """

    def __init__(
        self,
        id: str,
        shape: tuple[int, ...],
        times: NDArray[np.float64],
        questions: tuple[Question, ...],
        read: Callable[[], NDArray[np.uint8]],
        source: str = "",
        content: str = "",
    ) -> None:
        self.__dict__.update(
            id=id, _shape=shape, times=times, questions=questions, _read=read, source=source, content=content
        )

    @cached_property
    def images(self) -> NDArray[np.uint8]:
        """The frames, read at the first use.

        Raises:
            WhenwhereError: They cannot be read.
        """
        found: NDArray[np.uint8] = self.__dict__["_read"]()
        return found

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Sample.shape`."""
        shape: tuple[int, ...] = self.__dict__["_shape"]
        return shape

    @property
    def held_bytes(self) -> int:
        """See `Sample.held_bytes`."""
        return self.nbytes if "images" in self.__dict__ else 0

    def with_source(self, name: str) -> Sample:
        """See `Sample.with_source`; no frames are read."""
        return self._copy(source=name)

    def with_questions(self, questions: tuple[Question, ...]) -> Sample:
        """See `Sample.with_questions`; no frames are read."""
        return self._copy(questions=questions)

    def without_frames(self) -> Sample:
        """See `Sample.without_frames`."""
        other = self._copy()
        other.__dict__.pop("images", None)
        return other

    def _copy(self, **changes: object) -> "DeferredSample":
        other = object.__new__(DeferredSample)
        other.__dict__.update(self.__dict__ | changes)
        return other


class SampleSource(Protocol):
    """Samples that are read by number."""

    def __len__(self) -> int:
        """Number of samples in an epoch."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """One sample.

        Args:
            index: Number of the sample, from 0.

        Raises:
            WhenwhereError: The sample cannot be used (an unreadable video, a wrong truth).
        """
        ...


@runtime_checkable
class DeferredSource(SampleSource, Protocol):
    """A source that tells everything about a sample before it reads the frames."""

    def deferred(self, index: int) -> Sample:
        """One sample, whose frames are read when they are first used.

        Args:
            index: Number of the sample, from 0.

        Raises:
            WhenwhereError: The sample cannot be used. A fault of the frames is raised when they are read.
        """
        ...


@runtime_checkable
class OrderedSource(SampleSource, Protocol):
    """A source that decides the order of its samples by itself, such as a curriculum."""

    def at(self, position: int, progress: float) -> Sample:
        """The sample at a position of the run's order.

        Args:
            position: Index in the run's order, from 0; it grows by one with every sample of the run.
            progress: Share of the run's updates that are done, 0-1.

        Raises:
            WhenwhereError: The sample cannot be used.
        """
        ...


@runtime_checkable
class ReorderedSource(SampleSource, Protocol):
    """A source that decides the order of its samples in advance, such as a mix: samples can be read ahead."""

    def order(self, position: int, seed: int) -> int:
        """Number of the sample at a position of the run's order.

        Args:
            position: Index in the run's order, from 0.
            seed: Seed of the run.
        """
        ...


def order(position: int, size: int, seed: int) -> int:
    """The sample at a position when a source is read epoch by epoch, each time in another random order.

    Args:
        position: Index in the run's order, from 0.
        size: Number of samples in the source.
        seed: Seed of the run.

    Returns:
        The sample's number in the source.

    >>> sorted(order(n, 5, 0) for n in range(5)), sorted(order(n, 5, 0) for n in range(5, 10))
    ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    """
    if size < 1:
        raise SettingError("there is nothing to learn from: the source is empty")
    epoch, index = divmod(position, size)
    return int(_permutation(size, seed, epoch)[index])


def deferred(source: SampleSource, index: int) -> Sample:
    """A sample of a source, whose frames are read when they are first used if the source can do that.

    Args:
        source: The samples.
        index: Number of the sample.

    Raises:
        WhenwhereError: The sample cannot be used.
    """
    return source.deferred(index) if isinstance(source, DeferredSource) else source[index]


def index_at(source: SampleSource, position: int, seed: int) -> int:
    """Number of the sample at a position of a run, for a source that is no `OrderedSource`.

    Args:
        source: The samples.
        position: Index in the run's order, from 0.
        seed: Seed of the run.
    """
    if isinstance(source, ReorderedSource):
        return source.order(position, seed)
    return order(position, len(source), seed)


def sample_at(source: SampleSource, position: int, progress: float, seed: int) -> Sample:
    """The sample at a position of a run: in random order, or where an `OrderedSource` or `ReorderedSource` puts it.

    Args:
        source: The samples.
        position: Index in the run's order, from 0.
        progress: Share of the updates that are done, 0-1.
        seed: Seed of the run.

    Raises:
        WhenwhereError: The sample cannot be used.
    """
    if isinstance(source, OrderedSource):
        return source.at(position, progress)
    return source[index_at(source, position, seed)]


def frame_store(source: SampleSource) -> ArrayCache | None:
    """The cache in which a source keeps decoded frames by `Sample.content`; None if it keeps none.

    Args:
        source: The samples.
    """
    found: ArrayCache | None = getattr(source, "frame_store", None)
    return found


def question_count(source: SampleSource) -> float:
    """Number of questions in a source: what it says, or what its first samples let expect.

    Args:
        source: The samples.
    """
    known = getattr(source, "question_count", None)
    if known is not None:
        return float(known)
    counts = []
    for number in range(min(LOOKED_AT, len(source))):
        try:
            counts.append(len(source[number].questions))
        except WhenwhereError:
            continue
    return len(source) * float(np.mean(counts)) if counts else float(len(source))


@lru_cache(maxsize=16)
def _permutation(size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(size)

"""Training samples: a clip's frames with the questions about it, sources of samples, and the order they are read in.

A sample keeps all sentences of one video together, because they share its prompt (`prefix.shared_prefix`). A source
is finite and read by number. Which sample stands at a position of a run follows from the position and the seed alone,
so that a run can be resumed anywhere. A sample that cannot be used raises; the objective skips it, counts it and names
it (`RunFolder.skip`).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

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
    """

    id: str
    text: str
    truth: Truth
    kind: str | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """A clip as the policy sees it.

    Attributes:
        id: Name of the clip or path of the video.
        images: Upright RGB frames, (n, h, w, 3) uint8.
        times: Seconds at which each frame is shown, (n,).
        questions: Questions about the clip, at least one.
        source: Name of the set that the clip is of, in a mix of several.
    """

    id: str
    images: NDArray[np.uint8]
    times: NDArray[np.float64]
    questions: tuple[Question, ...]
    source: str = ""


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
    if isinstance(source, ReorderedSource):
        return source[source.order(position, seed)]
    return source[order(position, len(source), seed)]


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

"""Several sources mixed by weight: which of them a position of the run reads, and where in it.

A mix is dealt out in blocks of `BLOCK` positions. In each block a source has its share of the positions, spread evenly
with some chance, so that the shares hold in a short run too. The samples of a source are read epoch by epoch, each time
in another random order, like those of a single source. All of it follows from the position and the seed, so that a run
can be resumed anywhere and each process reads its part.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from whenwhere.array_cache import ArrayCache
from whenwhere.errors import SettingError
from whenwhere.training.data.samples import Sample, SampleSource, deferred, frame_store, order, question_count

#: Positions that are dealt out together; shares are exact to one part in so many.
BLOCK = 1000


class MixedSource:
    """Samples of several sources, mixed by weight (`samples.ReorderedSource`).

    Args:
        sources: The sources by name.
        weights: A positive weight for each: its share of the samples of a run, before division by their sum.

    Attributes:
        names: Names of the sources.

    Raises:
        SettingError: There is no source, or more than `BLOCK`, or a weight is not positive.
    """

    def __init__(self, sources: dict[str, SampleSource], weights: Sequence[float]) -> None:
        if not sources or len(sources) > BLOCK or len(weights) != len(sources):
            raise SettingError(f"a mix has 1 to {BLOCK} sets with a weight each, not {len(sources)}")
        if not all(0 < weight < float("inf") for weight in weights):
            raise SettingError("weights of a mix are above 0: leave out a set that is not wanted")
        self.names = tuple(sources)
        self._sources = tuple(sources.values())
        self._quotas = quotas(tuple(weights))
        self._starts = np.cumsum([0, *(len(source) for source in self._sources)]).tolist()

    def __len__(self) -> int:
        """Number of samples of all sources together."""
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Sample:
        """A sample, with the name of its source. Sources follow each other in order."""
        k, own = self._place(index)
        return self._sources[k][own].with_source(self.names[k])

    def deferred(self, index: int) -> Sample:
        """A sample whose frames are read when they are first used; see `samples.DeferredSource`."""
        k, own = self._place(index)
        return deferred(self._sources[k], own).with_source(self.names[k])

    def _place(self, index: int) -> tuple[int, int]:
        """Number of the source that a sample is of, and the sample's number in it."""
        k = int(np.searchsorted(self._starts, index, side="right")) - 1
        return k, index - self._starts[k]

    @property
    def frame_store(self) -> ArrayCache | None:
        """The cache of decoded frames, which all sources share that have one."""
        return next((found for source in self._sources if (found := frame_store(source)) is not None), None)

    @property
    def question_count(self) -> float:
        """Number of questions of all sources together, as far as it is known."""
        return sum(question_count(source) for source in self._sources)

    def order(self, position: int, seed: int) -> int:
        """The sample at a position of a run.

        Args:
            position: Index in the run's order, from 0.
            seed: Seed of the run.
        """
        block, place = divmod(position, BLOCK)
        dealt = _deal(self._quotas, seed, block)
        k = int(dealt[place])
        before = block * self._quotas[k] + int((dealt[:place] == k).sum())
        # each source in an order of its own
        return int(self._starts[k]) + order(before, len(self._sources[k]), seed + k)


def quotas(weights: tuple[float, ...]) -> tuple[int, ...]:
    """How many of the `BLOCK` positions of a block each source has, at least one.

    Args:
        weights: Weights of the sources.

    >>> quotas((2.0, 1.0, 1.0)), quotas((1.0, 1e-9)), quotas((1.0, 1.0, 1.0))
    ((500, 250, 250), (999, 1), (334, 333, 333))
    """
    exact = np.asarray(weights) / max(weights)  # the sum of huge weights would be infinite
    exact = exact / exact.sum() * (BLOCK - len(weights))
    found = np.floor(exact).astype(int)
    rest = BLOCK - len(weights) - int(found.sum())
    # those that lost most by rounding, the first of equals first
    found[np.argsort(found - exact, kind="stable")[:rest]] += 1
    return tuple((found + 1).tolist())


@lru_cache(maxsize=4)
def _deal(quotas: tuple[int, ...], seed: int, block: int) -> NDArray[np.int64]:
    """The source of each position of a block."""
    rng = np.random.default_rng([seed, block, len(quotas)])
    times = np.concatenate([(np.arange(quota) + rng.random(quota)) / quota for quota in quotas])
    return np.repeat(np.arange(len(quotas)), quotas)[np.argsort(times, kind="stable")]


def source_counts(source: SampleSource, used: Iterable[Sample]) -> dict[str, float]:
    """How many samples of each source of a mix were used, as counts `clips/<name>`; empty if the source is no mix.

    Args:
        source: The samples of a run.
        used: Samples that were used.
    """
    if not isinstance(source, MixedSource):
        return {}
    counts = {f"clips/{name}": 0.0 for name in source.names}
    for sample in used:
        counts[f"clips/{sample.source}"] += 1
    return counts

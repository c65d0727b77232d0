"""Samples read ahead in a thread: decoding videos beside the computation.

How many samples an update of RL takes is not known beforehand (they have different numbers of questions, and groups are
drawn anew), so what is read ahead is what stands next, as many as the update before took. A curriculum decides where a
run stands when it is asked, so nothing is read ahead of one.
"""

from concurrent.futures import Future, ThreadPoolExecutor

from whenwhere.training.data.samples import OrderedSource, Sample, SampleSource, sample_at


class Prefetcher:
    """Reads a source by places of a run, some of them ahead.

    Args:
        source: of samples.
        seed: of the run.
        stride: between the places that are asked for: the number of processes.
    """

    def __init__(self, source: SampleSource, seed: int, stride: int) -> None:
        self.source, self.seed, self.stride = source, seed, stride
        self._pool = ThreadPoolExecutor(1, "samples")
        self._futures: dict[int, Future[Sample]] = {}

    def get(self, place: int, progress: float, ahead: int = 0) -> Sample:
        """The sample at a place.

        Args:
            place: of the run.
            progress: share of the updates that are done.
            ahead: places behind it that are read meanwhile.

        Raises:
            WhenwhereError: this one cannot be had.
        """
        if isinstance(self.source, OrderedSource) or not (ahead or place in self._futures):
            return sample_at(self.source, place, progress, self.seed)
        for k in range(ahead + 1):
            at = place + k * self.stride
            if at not in self._futures:
                self._futures[at] = self._pool.submit(sample_at, self.source, at, progress, self.seed)
        return self._futures.pop(place).result()

    def close(self) -> None:
        """What was not begun is not read any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

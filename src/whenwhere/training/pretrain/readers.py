"""Processes that read the clips of a batch side by side, so that videos are decoded on other cores than the run's own.

They are spawned, not forked, since a run has threads and perhaps an accelerator's context, and each is sent the source
once. Clips come in the order of their numbers, whichever process is the fastest.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from whenwhere.errors import ModelError, WhenwhereError
from whenwhere.training.pretrain.data import CaptionedClip, ClipSource
from whenwhere.training.run_folder import SampleError

_source: ClipSource | None = None


class ReaderProcesses:
    """Reads clips of a source.

    Args:
        source: The clips. If there are processes, it must be possible to pickle it.
        count: Number of processes. 0 reads in the caller's thread.
    """

    def __init__(self, source: ClipSource, count: int) -> None:
        self._source = source
        self._pool = None
        if count:
            self._pool = ProcessPoolExecutor(count, get_context("spawn"), _begin, (source,))

    def read(self, numbers: Sequence[int]) -> list[CaptionedClip | WhenwhereError]:
        """Reads clips.

        Args:
            numbers: Numbers of the clips, as the source takes them.

        Returns:
            For each number the clip, or the error that says why it cannot be used.

        Raises:
            ModelError: A process died while it read.
        """
        if self._pool is None:
            return [_read(self._source, number) for number in numbers]
        try:
            found = list(self._pool.map(_read_there, numbers))
        except BrokenProcessPool as e:
            raise ModelError(
                "a process that reads clips has died, perhaps for lack of memory: rerun to resume, with fewer "
                "dataloader_num_workers"
            ) from e
        return [SampleError(*one) if isinstance(one, tuple) else one for one in found]

    def close(self) -> None:
        """Ends the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _read(source: ClipSource, number: int) -> CaptionedClip | WhenwhereError:
    try:
        return source[number]
    except WhenwhereError as e:
        return e


def _begin(source: ClipSource) -> None:
    global _source
    _source = source


def _read_there(number: int) -> CaptionedClip | tuple[str, str]:
    """Reads a clip in a process; errors are sent as texts, since not all can be pickled."""
    assert _source is not None
    found = _read(_source, number)
    if isinstance(found, WhenwhereError):
        return getattr(found, "sample", f"clip {number}"), str(found)
    return found

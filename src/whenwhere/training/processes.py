"""The processes that train one model together, as `accelerate launch` starts them; usually there is one.

Weights are the same on all of them, and gradients are added up after the last backward pass of an update. Wrapping the
model (DistributedDataParallel) would tie each update to one forward pass; here a process may make as many as it needs.

It works on a machine without an accelerator too: `accelerate launch --multi_gpu --num_processes 2 ...` starts the
processes (its `--cpu` starts one), and they talk through gloo.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from whenwhere.training.shards import is_sharded
from whenwhere.training.watchdog import Watchdog

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


class Processes:
    """The processes of this run.

    Attributes:
        rank: Number of this process, from 0.
        count: Number of processes.
        device: Device of this process if there are several processes. None leaves the choice to the checkpoint.
    """

    def __init__(self) -> None:
        import torch
        from accelerate import PartialState

        # without an accelerator it would not look for other processes unless told that there is none
        # the watchdog is to end a run that hangs, since it can say which process does
        state = PartialState(cpu=not torch.accelerator.is_available(), timeout=timedelta(days=1))
        self.rank, self.count = int(state.process_index), int(state.num_processes)
        self.device = state.device if self.count > 1 else None
        self._state = state
        self._watchdog: Watchdog | None = None

    def watch(self, seconds: float) -> None:
        """Ends this process with a sentence when it does not get on for too long; for runs of several processes.

        Args:
            seconds: Seconds without progress.
        """
        if self.count > 1 and self._watchdog is None:
            import torch.distributed as distributed

            # there is no public way to the store that the processes found each other by
            find = getattr(distributed.distributed_c10d, "_get_default_store", None)
            self._watchdog = Watchdog(self.rank, self.count, seconds, find() if find is not None else None)

    def get_on(self, step: int | None = None) -> None:
        """Tells the watchdog that this process has got on.

        Args:
            step: Number of updates done, if that has changed.
        """
        if self._watchdog is not None:
            self._watchdog.progress(step)

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """Context manager in which one process may work for as long as it takes; every process enters it."""
        if self._watchdog is None:
            yield
            return
        self._watchdog.pause(True)
        try:
            yield
        finally:
            self._watchdog.pause(False)

    def end_watch(self) -> None:
        """Ends what `watch` began."""
        if self._watchdog is not None:
            self._watchdog.end()
            self._watchdog = None

    @property
    def first(self) -> bool:
        """Whether this is the first process, the one that writes files."""
        return self.rank == 0

    def wait(self) -> None:
        """Returns when all processes have called it."""
        if self.count > 1:
            self.get_on()
            self._state.wait_for_everyone()
            self.get_on()

    @contextmanager
    def first_process_first(self) -> Iterator[None]:
        """Context manager that runs its block in the first process first, then in the others; for making files."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def sum(self, values: Sequence[float]) -> list[float]:
        """Sums of numbers over all processes.

        Args:
            values: The numbers of this process; every process must give the same count of them.
        """
        if self.count == 1:
            return [float(v) for v in values]
        import torch
        import torch.distributed as distributed

        # gloo adds doubles; accelerators that have none are not asked
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        self.get_on()
        distributed.all_reduce(total)
        self.get_on()
        return [float(v) for v in total.tolist()]

    def add_up(self, weights: "Sequence[torch.nn.Parameter]") -> None:
        """Adds up the gradients of weights over the processes, in place.

        Args:
            weights: The same on each process; a weight without a gradient counts as zero. Gradients of sharded weights
                are means over the processes already, and become sums.
        """
        if self.count == 1:
            return
        import torch
        import torch.distributed as distributed

        for weight in weights:
            if is_sharded(weight) and weight.grad is not None:
                weight.grad.mul_(self.count)
        weights = [w for w in weights if not is_sharded(w)]
        if not weights:
            return

        grads = [w.grad if w.grad is not None else torch.zeros_like(w) for w in weights]
        flat = torch.cat([g.flatten() for g in grads])
        distributed.all_reduce(flat)
        for weight, part in zip(weights, flat.split([g.numel() for g in grads]), strict=True):
            weight.grad = part.view_as(weight)

    def gather(self, value: T) -> list[T]:
        """What each process has, in the order of their ranks, on every process.

        Args:
            value: Tensors on the CPU, numbers, texts, and lists and dicts of them.
        """
        if self.count == 1:
            return [value]
        import torch.distributed as distributed

        found: list[Any] = [None] * self.count
        self.get_on()
        distributed.all_gather_object(found, value)
        self.get_on()
        return found

    def all_gather(self, rows: "torch.Tensor") -> "torch.Tensor":
        """The rows of all processes, in the order of their ranks; gradients flow back to the process of each row.

        This is what a contrastive loss over the batches of all processes needs. Every process computes the whole loss
        from the gathered rows and divides it by the number of processes, because the loop adds gradients up; then the
        gradients are those of one process with all rows.

        Args:
            rows: Shape (n, ...); n may differ between processes, the other sizes and the dtype may not.

        Returns:
            Shape (sum of n, ...).
        """
        if self.count == 1:
            return rows
        gathered: torch.Tensor = _gathering().apply(rows, self.rank, self.gather(len(rows)))
        return gathered


@cache
def _gathering() -> Any:
    import torch
    import torch.distributed as distributed

    class AllGather(torch.autograd.Function):
        """Forward: rows of all processes. Backward: the sum over processes of the gradients of this one's rows."""

        @staticmethod
        def forward(context: Any, rows: torch.Tensor, rank: int, counts: list[int]) -> torch.Tensor:
            context.rank, context.counts = rank, counts
            # all_gather takes tensors of one size: short ones are padded
            padded = rows.new_zeros(max(counts), *rows.shape[1:])
            padded[: len(rows)] = rows
            parts = [torch.empty_like(padded) for _ in counts]
            distributed.all_gather(parts, padded)
            return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

        @staticmethod
        def backward(context: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
            total = grad.contiguous().clone()
            distributed.all_reduce(total)
            return total.split(context.counts)[context.rank], None, None

    return AllGather

"""Several processes that train one policy together, as `accelerate launch` starts them; usually there is one.

Weights are alike on all of them, gradients are added up behind the last backward pass of an update. Wrapping the model
(DistributedDataParallel) would tie each update to one forward pass; a process makes one per group.

On a machine without accelerator too: `accelerate launch --multi_gpu --num_processes 2 ...` starts them (its `--cpu`
starts one), and they talk through gloo.
"""

from collections.abc import Sequence
from typing import Any


class Processes:
    """Those of this run.

    Attributes:
        rank: of this one, from 0.
        count: how many.
        device: of this one where there are several; None = the checkpoint's own choice.
    """

    def __init__(self) -> None:
        import torch
        from accelerate import PartialState

        # without an accelerator it would not look for other processes unless told that there is none
        state = PartialState(cpu=not torch.accelerator.is_available())
        self.rank, self.count = int(state.process_index), int(state.num_processes)
        self.device = state.device if self.count > 1 else None
        self._state = state

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            self._state.wait_for_everyone()

    def sum(self, values: Sequence[float]) -> list[float]:
        """Numbers, each added up over the processes.

        Args:
            values: as many on each.
        """
        if self.count == 1:
            return [float(v) for v in values]
        import torch
        import torch.distributed as together

        # gloo adds doubles; accelerators that have none are not asked
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        together.all_reduce(total)
        return [float(v) for v in total.tolist()]

    def add_up(self, weights: Sequence[Any]) -> None:
        """Adds up the gradients of weights, in place.

        Args:
            weights: the same on each process; one without a gradient counts as zero.
        """
        if self.count == 1:
            return
        import torch
        import torch.distributed as together

        grads = [w.grad if w.grad is not None else torch.zeros_like(w) for w in weights]
        flat = torch.cat([g.flatten() for g in grads])
        together.all_reduce(flat)
        for weight, part in zip(weights, flat.split([g.numel() for g in grads]), strict=True):
            weight.grad = part.view_as(weight)

    def gather(self, value: Any) -> list[Any]:
        """What each process has, in the order of their ranks, on every one.

        Args:
            value: tensors on the CPU, numbers, texts, lists and dicts.
        """
        if self.count == 1:
            return [value]
        import torch.distributed as together

        found: list[Any] = [None] * self.count
        together.all_gather_object(found, value)
        return found

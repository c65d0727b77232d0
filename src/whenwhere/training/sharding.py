"""Weights, gradients and optimiser states in shards, one per process (FSDP2): what a device cannot hold, several can.

A model is divided into blocks, usually its layers. A block's weights are gathered just before it computes and given
back just after, its gradients are added up over the processes and divided again, and each process updates its own
shard. So the processes must make the same number of passes, each through every block: a process with less to do makes
idle passes (`prefix.objective`). What is outside the blocks (embeddings, norms, the head) is one more block, the root,
which stays gathered from the beginning of a forward pass to the end of its backward pass.

Passes that differ between processes, such as sampling completions, run on gathered weights (`ShardedModule.gathered`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar

from whenwhere.errors import SettingError
from whenwhere.training.processes import Processes

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
#: The method of the root through which passes run.
_METHOD = "whenwhere_pass"


class ShardedModule:
    """A module whose weights are divided among the processes; made once, before there is an optimiser.

    Args:
        module: The module, changed in place: its trained weights become `DTensor`s.
        blocks: Modules inside it that are gathered one at a time. Those without trained weights are left whole.
        processes: The processes.
        bf16: Whether weights are gathered in bf16; gradients are added up in fp32.

    Attributes:
        module: As given.

    Raises:
        SettingError: There is only one process.
    """

    def __init__(
        self, module: torch.nn.Module, blocks: Sequence[torch.nn.Module], processes: Processes, bf16: bool = False
    ) -> None:
        import torch
        import torch.distributed as distributed

        if processes.count == 1 and not distributed.is_initialized():
            raise SettingError("sharding needs several processes: start the command with `accelerate launch`")
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

        device = next(module.parameters()).device.type
        mesh = init_device_mesh(device, (processes.count,))
        policy = MixedPrecisionPolicy(
            # a CPU computes some layers in full precision under autocast
            torch.bfloat16 if bf16 and device != "cpu" else None, torch.float32, cast_forward_inputs=False
        )  # fmt: skip
        trained = [block for block in blocks if any(w.requires_grad for w in block.parameters())]
        inside = {id(w) for block in trained for w in block.parameters()}
        rest = [w for w in module.parameters() if id(w) not in inside]
        for block in trained:
            _upcast(block.parameters())
            fully_shard(block, mesh=mesh, mp_policy=policy)
        _upcast(rest)
        # a frozen vision tower runs once per clip, a number that differs between processes
        fully_shard(module, mesh=mesh, mp_policy=policy, ignored_params={w for w in rest if not w.requires_grad})
        setattr(module, _METHOD, MethodType(_call, module))
        register_fsdp_forward_method(module, _METHOD)
        self.module = module
        self._parts: list[Any] = [module, *trained]

    def run(self, compute: Callable[[], T]) -> T:
        """The result of one pass, in which every process takes part.

        Args:
            compute: Computes it: a tensor with gradient, or tensors in tuples, lists and dicts.
        """
        found: T = getattr(self.module, _METHOD)(compute)
        return found

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Context manager in which every process has all weights, so that each may make passes of its own."""
        self.run(lambda: None)  # the first pass through any block would else make it a root of its own
        for part in self._parts:
            part.unshard()
            part.set_reshard_after_forward(False, recurse=False)
        try:
            yield
        finally:
            for k, part in enumerate(self._parts):
                part.set_reshard_after_forward(k > 0, recurse=False)
                part.reshard()


def _call(module: torch.nn.Module, compute: Callable[[], T]) -> T:
    return compute()


def _upcast(weights: Iterable[torch.nn.Parameter]) -> None:
    """Trained weights in full precision, block by block, so that they are never all whole at once."""
    for weight in weights:
        if weight.requires_grad and weight.itemsize < 4:
            weight.data = weight.data.float()


def transformer_blocks(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The layers of a model of transformers, which its class says must stay whole.

    Args:
        model: The model, perhaps wrapped by PEFT.

    Raises:
        SettingError: The model's class does not name its layers.
    """
    names = {name for part in model.modules() for name in getattr(part, "_no_split_modules", None) or ()}
    blocks = [part for part in model.modules() if type(part).__name__ in names]
    if not blocks:
        raise SettingError(f"{type(model).__name__} does not name its layers and cannot be sharded: set sharding=none")
    return blocks

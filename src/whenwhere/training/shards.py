"""Tensors of which each process has a shard (`DTensor`): asked for here without importing torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def is_sharded(weight: Tensor) -> bool:
    """Whether a tensor lies in shards.

    Args:
        weight: The tensor.
    """
    return hasattr(weight, "to_local")


def whole(weight: Tensor) -> Tensor:
    """A tensor with all its shards, on the CPU if it had any; every process must ask for it.

    Args:
        weight: The tensor.
    """
    return weight.full_tensor().cpu() if is_sharded(weight) else weight


def local(value: Any) -> Any:
    """Values with this process's shard in place of every sharded tensor.

    Args:
        value: Tensors, numbers, texts, and lists and dicts of them.
    """
    if isinstance(value, dict):
        return {key: local(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(local(one) for one in value)
    return value.to_local() if is_sharded(value) else value


def shard_state(optimiser: Any) -> None:
    """Makes an optimiser's state, loaded as this process's shards, sharded like the weights.

    Args:
        optimiser: The optimiser, changed in place.
    """
    for weight, own in optimiser.state.items():
        shape = local(weight).shape
        for key, value in own.items():
            if is_sharded(weight) and hasattr(value, "shape") and value.ndim and value.shape == shape:
                own[key] = _like(value, weight)


def _like(shard: Tensor, weight: Any) -> Tensor:
    """A shard as the sharded tensor that it is a part of, divided as a weight is."""
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        shard, weight.device_mesh, weight.placements, run_check=False, shape=weight.shape, stride=weight.stride()
    )

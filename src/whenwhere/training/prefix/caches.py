"""A key-value cache through which gradients flow: states are replaced, never overwritten, and can fork into rows."""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import DynamicCache
    from transformers.cache_utils import LinearAttentionLayer

    from whenwhere.training.prefix.vlm_parts import VLMParts


def cache_inputs(text_model: torch.nn.Module, states: DynamicCache) -> dict[str, Any]:
    """The keyword arguments that hand a text model its cache, under the name that this version of transformers reads.

    From transformers 5.24 on the cache is called `cache`; the older name `past_key_values` warns there and will be
    removed in 5.40.

    Args:
        text_model: The text model, whose `forward` is asked for its parameters.
        states: The cache, which the text model extends.
    """
    name = "cache" if "cache" in inspect.signature(text_model.forward).parameters else "past_key_values"
    return {name: states, "use_cache": True}


def differentiable_cache(parts: VLMParts) -> DynamicCache:
    """An empty cache for the text model, through which gradients flow.

    Args:
        parts: The model that will fill the cache.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import LinearAttentionLayer

    states = DynamicCache(config=parts.text_config)
    layer_class = _differentiable_layer()
    states.layers = [layer_class() if type(layer) is LinearAttentionLayer else layer for layer in states.layers]
    return states


@cache
def _differentiable_layer() -> type[LinearAttentionLayer]:
    from transformers.cache_utils import LinearAttentionLayer

    class DifferentiableLayer(LinearAttentionLayer):
        """Stores the recurrent state that it is given; the base class copies it in place, which autograd refuses."""

        def update_recurrent_state(self, recurrent_states: Tensor, state_idx: int = 0, **_: Any) -> Tensor:
            self.recurrent_states[state_idx] = recurrent_states
            self.is_recurrent_states_initialized[state_idx] = True
            return recurrent_states

    return DifferentiableLayer

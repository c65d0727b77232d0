"""Caches whose states can be differentiated: they are replaced, never overwritten, and fork into rows."""

import inspect
from functools import cache
from typing import Any

from whenwhere.training.prefix.vlm_parts import Tower


def cache_inputs(text: Any, states: Any) -> dict[str, Any]:
    """The keyword arguments that hand a text model its cache, under the name that this version of transformers reads.

    From transformers 5.24 on the cache is called `cache`; the older name `past_key_values` warns there and
    goes in 5.40.

    Args:
        text: The text model, whose `forward` is asked for its parameters.
        states: The cache, which `forward` extends.
    """
    name = "cache" if "cache" in inspect.signature(text.forward).parameters else "past_key_values"
    return {name: states, "use_cache": True}


def kept_states(tower: Tower) -> Any:
    """An empty cache whose states can be differentiated: they are replaced, never overwritten."""
    from transformers import DynamicCache
    from transformers.cache_utils import LinearAttentionLayer

    states = DynamicCache(config=tower.settings)
    states.layers = [_kept_layer()() if type(layer) is LinearAttentionLayer else layer for layer in states.layers]
    return states


@cache
def _kept_layer() -> Any:
    from transformers.cache_utils import LinearAttentionLayer

    class Kept(LinearAttentionLayer):
        def update_recurrent_state(self, recurrent_states: Any, state_idx: int = 0, **_: Any) -> Any:
            self.recurrent_states[state_idx] = recurrent_states
            self.is_recurrent_states_initialized[state_idx] = True
            return recurrent_states

    return Kept

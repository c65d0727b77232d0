"""Ways to ask a vision-language model: one interface (`ModelBackend`), a file for each place where a model can run."""

from whenwhere.models.backends.base import CallCosts, ModelBackend, ModelCall, ModelReply
from whenwhere.models.backends.resolve import load_model

__all__ = ["CallCosts", "ModelBackend", "ModelCall", "ModelReply", "load_model"]

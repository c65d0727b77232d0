"""From a name to an encoder: `open_encoder`, the only place where a name decides what kind of encoder is opened."""

from whenwhere.errors import ModelError
from whenwhere.models.encoders.encoder import Encoder


def open_encoder(name: str, device: str | None = None) -> Encoder:
    """Open an encoder by name.

    Args:
        name: Folder or hub id of a checkpoint.
        device: Where the encoder runs, such as `cuda:1` or `cpu`. None takes an accelerator if there is one.

    Raises:
        ModelError: There is no encoder of this name, or it cannot be loaded.
    """
    raise ModelError(f"{name} is not an encoder")

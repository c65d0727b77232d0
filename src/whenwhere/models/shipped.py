"""The weights that come with the package: the small policy `tiny`, a few megabytes in bf16.

`pack` makes the folder from a trained checkpoint. It refuses a checkpoint that is too large, untrained, of another
dialect, or without the hash of its recipe. The files are part of the package's data and go into its wheel.
"""

import shutil
from pathlib import Path

from whenwhere.errors import ModelError
from whenwhere.models.trained import FILE, read
from whenwhere.store import atomic_folder

#: The name of the policy for `--model`.
TINY = "tiny"
#: The folder of the weights in the package.
FOLDER = Path(__file__).parent.parent / "weights" / TINY
#: Largest number of bytes in the folder.
MOST = 8_000_000
_WEIGHTS = "model.safetensors"


def shipped_weights() -> Path:
    """The folder with the weights of the policy `tiny`.

    Raises:
        ModelError: this copy of the package has no weights.
    """
    if not (FOLDER / _WEIGHTS).is_file():
        raise ModelError(
            "this copy of whenwhere comes without the weights of its policy tiny: train one by `whenwhere train` and "
            "name the folder of its checkpoint"
        )
    return FOLDER


def pack(checkpoint: str | Path, folder: str | Path = FOLDER) -> Path:
    """Make the package's weights from a trained checkpoint of a tiny policy.

    Args:
        checkpoint: Folder of the checkpoint, in fp32.
        folder: Folder to write; it is replaced if it exists.

    Returns:
        The folder.

    Raises:
        ModelError: the checkpoint is not a trained tiny policy, or larger than 8 MB.
        MissingExtraError: torch, torchvision or transformers is not installed.
        OutputError: the folder cannot be written.
    """
    import torch

    from whenwhere.models.vlm import Checkpoint

    known = read(checkpoint)
    if known is None or known.dialect != TINY or not known.recipe_hash:
        raise ModelError(f"{checkpoint} is not a tiny policy that `whenwhere train` made: it names no recipe")
    loaded = Checkpoint(str(checkpoint), dtype="fp32", device="cpu", offline=True)
    with atomic_folder(folder) as temporary:
        loaded.model.to(torch.bfloat16).save_pretrained(temporary)
        loaded.processor.save_pretrained(temporary)
        shutil.copyfile(Path(checkpoint) / FILE, temporary / FILE)
        size = sum(file.stat().st_size for file in temporary.iterdir())
        if size > MOST:
            raise ModelError(
                f"the weights are {size / 1e6:.1f} MB and the package takes {MOST / 1e6:g}: train a smaller policy"
            )
    return Path(folder)

"""The weights that come with the package: the small policy `tiny`, a few megabytes in bf16.

`pack` makes the folder out of a trained checkpoint and refuses what must not be there: too large, untrained, of another
dialect, or without the hash of its recipe. The files are data of the package and go into the wheel with it.
"""

import shutil
from pathlib import Path

from whenwhere.errors import ModelError
from whenwhere.models.trained import FILE, read
from whenwhere.store import atomic_folder

#: Its name for `--model`.
TINY = "tiny"
#: Where the weights lie in the package.
FOLDER = Path(__file__).parent.parent / "weights" / TINY
#: Most bytes of the folder.
MOST = 8_000_000
_WEIGHTS = "model.safetensors"


def shipped() -> Path:
    """The folder with the policy `tiny`.

    Raises:
        ModelError: this package has none.
    """
    if not (FOLDER / _WEIGHTS).is_file():
        raise ModelError(
            "this copy of whenwhere comes without the weights of its policy tiny: train one by `whenwhere train` and "
            "name the folder of its checkpoint"
        )
    return FOLDER


def pack(checkpoint: str | Path, folder: str | Path = FOLDER) -> Path:
    """Make the package's weights out of a trained checkpoint of a tiny policy.

    Args:
        checkpoint: folder of the checkpoint, in fp32.
        folder: to write, replaced if it exists.

    Returns:
        The folder.

    Raises:
        ModelError: not a trained tiny policy, or more than 8 MB.
        MissingExtraError: torch, torchvision or transformers is not installed.
        OutputError: the folder cannot be written.
    """
    import torch

    from whenwhere.models.vlm import Checkpoint

    known = read(checkpoint)
    if known is None or known.dialect != TINY or not known.recipe_hash:
        raise ModelError(f"{checkpoint} is no tiny policy that `whenwhere train` made: it names no recipe")
    loaded = Checkpoint(str(checkpoint), dtype="fp32", device="cpu", offline=True)
    with atomic_folder(folder) as temporary:
        loaded.model.to(torch.bfloat16).save_pretrained(temporary)
        loaded.processor.save_pretrained(temporary)
        shutil.copyfile(Path(checkpoint) / FILE, temporary / FILE)
        size = sum(file.stat().st_size for file in temporary.iterdir())
        if size > MOST:
            raise ModelError(f"the weights are {size / 1e6:.1f} MB and the package takes {MOST / 1e6:g}: train fewer")
    return Path(folder)

"""Checkpoints that are LoRA adapters alone: a folder with `adapter_config.json` in place of `config.json`.

`whenwhere train` writes such folders with `lora_merge = false`, and PEFT does. The adapter names its base checkpoint,
which is loaded first; then the adapter's matrices are added to its weights, so that nothing else knows of adapters.
"""

from pathlib import Path
from typing import Any

from whenwhere.errors import MissingExtraError, ModelError
from whenwhere.readers import read_json

#: The file that makes a folder an adapter.
CONFIG = "adapter_config.json"


def adapter_base(name: str) -> tuple[str, str | None] | None:
    """Hub id or folder, and revision, of the checkpoint that an adapter is for; None if a name is not of an adapter.

    Args:
        name: Name of a checkpoint; only folders are looked into.

    Raises:
        ModelError: The adapter's configuration cannot be read or names no base, or the base is an adapter too.
    """
    folder = Path(name)
    if not _is_adapter(folder):
        return None
    said = read_json(folder / CONFIG, ModelError, "write the adapter again")
    base = said.get("base_model_name_or_path") if isinstance(said, dict) else None
    revision = said.get("revision") if isinstance(said, dict) else None
    if not isinstance(base, str) or not base:
        raise ModelError(f"{folder / CONFIG} names no base_model_name_or_path: write the checkpoint there")
    if _is_adapter(Path(base)):
        raise ModelError(
            f"the adapter {name} is for {base}, which is an adapter too: train with lora_merge = true first"
        )
    return base, revision if isinstance(revision, str) else None


def _is_adapter(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and not (folder / "config.json").exists()


def with_adapter(model: Any, folder: str) -> Any:
    """A model with the matrices of an adapter added to its weights.

    Args:
        model: The base model.
        folder: Folder of the adapter.

    Raises:
        MissingExtraError: PEFT is not installed.
    """
    try:
        from peft import PeftModel
    except ImportError as e:
        raise MissingExtraError("peft", "train", "a LoRA adapter") from e
    return PeftModel.from_pretrained(model, folder).merge_and_unload()

"""Pushes a run's model to the Hugging Face hub, when a recipe asks for it (`push_to_hub`) and the run is finished.

Nothing else here ever sends a file. The repository is made private if it does not exist. What goes wrong costs nothing:
the model is on the disk, and the same command pushes it again.
"""

import re
from pathlib import Path

from whenwhere.errors import MissingExtraError, OutputError

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)


def is_hub_name(name: str) -> bool:
    """Whether a name is that of a repository on the hub.

    >>> is_hub_name("owner/name"), is_hub_name("name"), is_hub_name("a/b/c")
    (True, False, False)
    """
    return _NAME.fullmatch(name) is not None


def push_to_hub(folder: Path, name: str) -> str:
    """Uploads the files of a folder into a repository of models, which is made, private, if it does not exist.

    Args:
        folder: Folder of a checkpoint.
        name: Name of the repository, owner/name.

    Returns:
        The address of the repository.

    Raises:
        MissingExtraError: The hub's client is not installed.
        OutputError: The upload failed.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as e:
        raise MissingExtraError("huggingface_hub", "train", "push_to_hub") from e
    api = HfApi()
    try:
        made = api.create_repo(name, private=True, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=str(folder), commit_message="Trained with whenwhere")
    except Exception as e:  # the client's errors share no base class, and none of them may cost the run
        said = " ".join(str(e).split())[:200] or type(e).__name__
        raise OutputError(
            f"{folder} is written, but was not pushed to {name} ({said}): check the name and `hf auth login`, and run "
            "the same command again"
        ) from e
    return str(made)

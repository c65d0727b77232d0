"""What a model's name means, and the talker behind it.

In this order:

- `http://` or `https://`: an address that speaks the OpenAI protocol, `http://host:8000/v1#model-name`. Frames leave
  this machine then, to that address and nowhere else; no other name ever sends any.
- `tiny`: the small policy whose weights come with the package (`whenwhere.models.tiny`).
- a folder that exists: a checkpoint in it, by relative or absolute path.
- `owner/name` otherwise: a checkpoint on the Hugging Face hub, fetched by transformers where it is not there yet. A
  folder of that name beside you is therefore taken before the hub; `./owner/name` is never looked for on the hub.

Anything else is a `SettingError`. The built-in models (`motion`) are the session's and looked up before all of this.
"""

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from whenwhere.chat.address import Address
from whenwhere.errors import MissingExtraError, SettingError
from whenwhere.grounders.talk import Talker
from whenwhere.models.shipped import TINY, shipped
from whenwhere.store import Cache

_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)


def kind_of(name: str) -> Literal["endpoint", "local"]:
    """Where a model of this name runs.

    Raises:
        SettingError: the name is of no known form.

    >>> kind_of("http://localhost:8000/v1#Qwen3-VL-8B"), kind_of("Qwen/Qwen3-VL-8B-Instruct")
    ('endpoint', 'local')
    """
    if "://" in name:
        Address.parse(name)
        return "endpoint"
    if name == TINY:
        return "local"
    path = Path(name).expanduser()
    if path.is_dir() or _HUB.fullmatch(name):
        return "local"
    if name.startswith((".", "/", "~")):
        raise SettingError(f"there is no folder {name!r} with a model in it")
    raise SettingError(
        f"there is no model {name!r}: name motion, tiny, a folder with a checkpoint, a hub id as owner/name, "
        "or an address as http://host:8000/v1#model-name"
    )


def check(name: str, device: str | None = None) -> None:
    """Say now what would only be found after the video was opened.

    Raises:
        SettingError: no such model, or a device for a model that runs elsewhere.
        MissingExtraError: a checkpoint without the packages to run it.
        ModelError: weights that should come with the package do not.
    """
    if kind_of(name) == "endpoint":
        if device is not None:
            raise SettingError("a device is for models in this process; what runs behind an address chooses its own")
        return
    for package in ("torch", "torchvision", "transformers"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "vlm", f"the model {name}")
    if name == TINY:
        shipped()


def connect(name: str, cache: Cache, device: str | None = None) -> Talker:
    """The talker of a model.

    Args:
        name: see the module.
        cache: where answers are kept.
        device: where a checkpoint runs; None = an accelerator where there is one.

    Raises:
        SettingError, MissingExtraError: see `check`.
        ChatError, ModelError: the model cannot be had.
    """
    check(name, device)
    if kind_of(name) == "endpoint":
        from whenwhere.grounders.endpoint import Endpoint

        return Endpoint(name, cache=cache)
    path = shipped() if name == TINY else Path(name).expanduser()
    return _local(str(path.resolve()) if path.is_dir() else name, device, str(cache.folder), cache.enabled)


@lru_cache(maxsize=1)
def _local(name: str, device: str | None, folder: str, enabled: bool) -> Talker:
    """A checkpoint; the last one stays loaded, as a batch opens one video after the other."""
    from whenwhere.grounders.vlm import LocalTalker

    return LocalTalker(name, device=device, cache=Cache(folder, enabled=enabled))


def context_of(talker: Talker) -> int | None:
    """Tokens that a checkpoint was made for, prompt and answer together; None where it does not say."""
    from whenwhere.grounders.vlm import LocalTalker

    if not isinstance(talker, LocalTalker):
        return None
    words = talker.checkpoint.config.get_text_config().to_dict()
    return int(words.get("max_position_embeddings") or 0) or None


def warnings_of(talker: Talker) -> list[str]:
    """Sentences on what a model turned out to be unable to do."""
    from whenwhere.grounders.endpoint import Endpoint

    return talker.warnings() if isinstance(talker, Endpoint) else []


def close(talker: Talker) -> None:
    """Close connections; a checkpoint stays loaded."""
    from whenwhere.grounders.endpoint import Endpoint

    if isinstance(talker, Endpoint):
        talker.close()

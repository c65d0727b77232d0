"""From a model's name to its back end.

`BACKENDS` is the only place where a name decides what happens. The first kind that owns a name takes it:

- `http://` or `https://` (`endpoint`): an address that speaks the OpenAI protocol, `http://host:8000/v1#model-name`.
  Frames leave this machine then, to that address and nowhere else; no other name ever sends any.
- `tiny`, a folder, a model of a training run (`RUN@STEP`, `models.runs`), or `owner/name` (`local`): a checkpoint that
  runs in this process.

A name that no kind owns is a `SettingError`. The grounders `motion`, `objects` and `encoder:NAME` are not asked in
words: the session looks them up before it comes here.

Left out: a way for other packages to add kinds from outside. Whoever has a back end of another kind passes the object
itself: `whenwhere.open(path, model=backend)`.
"""

import os
from typing import Literal

from whenwhere.chat import Budget
from whenwhere.errors import SettingError
from whenwhere.models.backends.base import BackendKind, BackendOptions, ModelBackend
from whenwhere.models.backends.endpoint import ENDPOINT
from whenwhere.models.backends.local import LOCAL
from whenwhere.store import Cache

#: The kinds of models, in the order in which they are asked whether a name is theirs.
BACKENDS: tuple[BackendKind, ...] = (ENDPOINT, LOCAL)


def find_kind(name: str) -> BackendKind:
    """The kind of back end that a model's name belongs to.

    Raises:
        SettingError: no kind owns the name.

    >>> find_kind("http://localhost:8000/v1#Qwen3-VL-8B").in_process, find_kind("Qwen/Qwen3-VL-8B-Instruct").in_process
    (False, True)
    """
    for kind in BACKENDS:
        if kind.owns(name):
            return kind
    if name.startswith((".", "/", "~")):
        raise SettingError(f"there is no folder {name!r} with a model in it")
    forms = [kind.form for kind in reversed(BACKENDS)]
    known = ", ".join(("auto", "objects", "motion", "encoder:NAME", *forms[:-1]))
    raise SettingError(f"there is no model {name!r}: choose one of {known}, or {forms[-1]}")


def check_model_name(name: str, device: str | None = None, concurrency: int | None = None) -> None:
    """Raise now what would otherwise be found only after a video was opened. Nothing is loaded.

    Raises:
        SettingError: there is no such model, or an option does not fit this kind of model.
        MissingExtraError: the packages that run a checkpoint are not installed.
        ModelError: the weights that should come with the package are not there.
    """
    find_kind(name).check(name, BackendOptions(Cache(enabled=False), device, concurrency))


def load_model(
    name: str,
    *,
    device: str | None = None,
    concurrency: int | None = None,
    cache: str | os.PathLike[str] | Literal[False] | None = None,
    budget: Budget | None = None,
) -> ModelBackend:
    """Load a vision-language model to ask about several videos: `whenwhere.open(path, model=backend)`.

    The caller owns the back end. A checkpoint's weights are freed when the last reference to it is gone; an endpoint's
    connections are closed by `close()` or at the end of a `with` block. Back ends of the same checkpoint and device
    share its weights for as long as one of them is alive.

    Args:
        name: A hub id or folder of a checkpoint, a training run's model (`RUN@50`, `RUN@best`), `tiny`, or the address
            of an endpoint (`http://host:8000/v1#name`).
        device: Where a checkpoint runs, such as `cuda:1` or `cpu`. None takes an accelerator if there is one.
        concurrency: How many requests an endpoint is sent at a time; None is 8. A checkpoint answers one at a time.
        cache: Folder in which answers are kept. None is the user's cache folder, False keeps none.
        budget: What may be spent at an endpoint. None sets no limit.

    Raises:
        SettingError: there is no such model, or an option does not fit this kind of model.
        MissingExtraError: the packages that run a checkpoint are not installed.
        ChatError, ModelError: the model cannot be loaded or reached.
    """
    folder = Cache(None if cache is False else cache, enabled=cache is not False)
    return build_backend(name, BackendOptions(folder, device, concurrency, budget))


def build_backend(name: str, options: BackendOptions) -> ModelBackend:
    """`load_model` with the options as one value."""
    kind = find_kind(name)
    kind.check(name, options)
    return kind.build(name, options)

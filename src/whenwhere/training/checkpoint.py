"""A run's last good state: one file, whole or absent, from which the run resumes as if it had never stopped.

It holds what an update depends on: the weights that are trained, the optimiser's moments, the state of every random
number generator, the number of updates done, and what the objective keeps. It does not hold frozen weights (they are in
the checkpoint that training begins with) or the position in the data, which follows from the number of updates.

A state ends with a checksum, and the state before it is kept too, so that a damaged one is noticed and costs only the
updates since. Nothing is unpickled but tensors, numbers, texts, lists and dicts.

Lines of a run's JSON Lines files carry the update in which they were written (`step`). Those after the state are cut
off before the run resumes, so that no line is written twice.
"""

import hashlib
import os
import random
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whenwhere.errors import OutputError, RecordError
from whenwhere.store import atomic_path, json_object, write_bytes

if TYPE_CHECKING:
    import torch

#: The state's file in a run's folder.
STATE = Path("state") / "last.pt"
#: The state that it replaced, in case the last one is damaged.
BEFORE = Path("state") / "previous.pt"
#: The JSON Lines files of a run.
LINES = ("metrics.jsonl", "skipped.jsonl", "events.jsonl", "completions/*.jsonl")
#: Version of the state; raise it when older states cannot be read any more. Since version 2 a state ends with a
#: checksum, because torch reads weights with a flipped bit without a word.
VERSION = 2
_MARK = b"whenwhere state, blake2b:"
_DIGEST = 20


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Replaces a run's state; the one that it replaces stays beside it until the next.

    Args:
        folder: Folder of the run.
        state: The new state: tensors, numbers, texts, and lists and dicts of them.

    Raises:
        OutputError: The state cannot be written; the previous one is still there.
    """
    target, before = folder / STATE, folder / BEFORE
    # There is never room needed for more than two states.
    before.unlink(missing_ok=True)
    with atomic_path(target) as temporary:
        _write_state(target, temporary, state)
        # Not every file system gives a file two names.
        with suppress(OSError):
            os.link(target, before)


def _write_state(target: Path, temporary: Path, state: dict[str, Any]) -> None:
    """Writes a state with its checksum into a temporary file that will become `target`."""
    import torch

    try:
        torch.save({"version": VERSION, **state}, temporary)
        digest = _digest(temporary, temporary.stat().st_size)
        with open(temporary, "ab") as f:
            f.write(_MARK + digest)
    except RuntimeError as e:  # torch's writer reports a full disk so
        raise OutputError(
            f"cannot write {target}: {str(e).splitlines()[0][:120]}; make room there; the previous state is kept"
        ) from e


def _shard_path(folder: Path, step: int, rank: int) -> Path:
    return folder / "state" / f"shard-{step:06d}-{rank}.pt"


def save_shard(folder: Path, step: int, rank: int, state: dict[str, Any]) -> None:
    """Writes what one process of a sharded run keeps of a state, before the state itself is replaced.

    Args:
        folder: Folder of the run.
        step: Number of updates done.
        rank: Number of the process.
        state: Tensors, numbers, texts, and lists and dicts of them.

    Raises:
        OutputError: The shard cannot be written; the previous state is still whole.
    """
    target = _shard_path(folder, step, rank)
    with atomic_path(target) as temporary:
        _write_state(target, temporary, state)


def load_shard(folder: Path, step: int, rank: int) -> dict[str, Any]:
    """What `save_shard` wrote for a process.

    Args:
        folder: Folder of the run.
        step: Number of updates of the state.
        rank: Number of the process.

    Raises:
        RecordError: The shard is missing or damaged.
    """
    path = _shard_path(folder, step, rank)
    try:
        return _read_state(path)
    except Exception as e:  # torn bytes raise whatever the unpickler meets in them
        raise RecordError(
            f"{path} cannot be read, and the state of update {step} needs it: delete {folder / STATE} to begin anew"
        ) from e


def drop_shards(folder: Path, rank: int, kept: Collection[int]) -> None:
    """Removes a process's shards of states that are gone.

    Args:
        folder: Folder of the run.
        rank: Number of the process.
        kept: Number of updates of the states that are still there.
    """
    for path in (folder / "state").glob(f"shard-*-{rank}.pt"):
        if path.name not in {_shard_path(folder, step, rank).name for step in kept}:
            path.unlink(missing_ok=True)


def load_state(folder: Path) -> dict[str, Any] | None:
    """A run's last good state, or None if no state was saved.

    Args:
        folder: Folder of the run.

    Raises:
        RecordError: The state is damaged, or another version of whenwhere wrote it. The message offers the state before
            it, if that one is whole.
    """
    target, before = folder / STATE, folder / BEFORE
    if not target.exists():
        return None
    try:
        state = _read_state(target)
    except Exception as e:  # torn bytes raise whatever the unpickler meets in them
        kept = None
        with suppress(Exception):
            kept = _read_state(before)["step"]
        if kept is None:
            raise RecordError(f"{target} cannot be read: delete it to begin the run anew") from e
        raise RecordError(
            f"{target} cannot be read, but the state before it can: `mv {before} {target}` resumes from update {kept}"
        ) from e
    if state["version"] not in (1, VERSION):
        raise RecordError(f"{target} was written by another version of whenwhere: finish the run with that one")
    return state


def _read_state(file: Path) -> dict[str, Any]:
    """The state in a file, whatever its version. Raises any error if a bit of it is not as it was written."""
    import torch

    size = file.stat().st_size - len(_MARK) - _DIGEST
    with open(file, "rb") as f:
        f.seek(max(size, 0))
        end = f.read()
    marked = end.startswith(_MARK)
    if marked and end != _MARK + _digest(file, size):
        raise ValueError("its checksum is another")
    state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(state["version"], int) or (state["version"] > 1 and not marked):
        raise ValueError("it has no checksum")
    return state


def _digest(file: Path, size: int) -> bytes:
    """A hash of the first bytes of a file."""
    h = hashlib.blake2b(digest_size=_DIGEST)
    with open(file, "rb") as f:
        while size > 0 and (chunk := f.read(min(size, 1 << 20))):
            h.update(chunk)
            size -= len(chunk)
    return h.digest()


def random_state(device: "torch.device") -> dict[str, Any]:
    """The state of every random number generator that training may draw from.

    Args:
        device: Device that is computed on.
    """
    import numpy as np
    import torch

    drawn: Any = np.random.get_state()  # noqa: NPY002 (libraries draw from it)
    state = {
        "python": random.getstate(),
        "torch": torch.get_rng_state(),
        "numpy": [drawn[0], drawn[1].tolist(), *drawn[2:]],
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Any], device: "torch.device") -> None:
    """Puts back a state of the random number generators.

    Args:
        state: As `random_state` gave it.
        device: Device that is computed on.
    """
    import numpy as np
    import torch

    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.asarray(keys, np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def cut_back(folder: Path, step: int) -> None:
    """Removes lines that were written after an update from a run's JSON Lines files, and lines that are cut off.

    Args:
        folder: Folder of the run.
        step: The last update whose lines stay.
    """
    # other files in the folder, perhaps other runs, are not touched
    for file in sorted(file for name in LINES for file in folder.glob(name) if file.is_file()):
        data = file.read_bytes()
        whole, _, torn = data.rpartition(b"\n")
        lines = [*(line for line in whole.split(b"\n")), *([torn] if json_object(torn) is not None else [])]
        kept = b"".join(line + b"\n" for line in lines if line.strip() and not _is_after(line, step))
        if kept != data:
            write_bytes(file, kept)


def _is_after(line: bytes, step: int) -> bool:
    """Whether a line was written after an update; a line that cannot be read is not known to be."""
    written = (json_object(line) or {}).get("step", 0)
    return isinstance(written, int | float) and written > step

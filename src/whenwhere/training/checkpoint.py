"""A run's last good state: one file, whole or absent, from which the run resumes as if it had never stopped.

It holds what an update depends on: the weights that are trained, the optimiser's moments, the state of every random
number generator, the number of updates done, and what the objective keeps. It does not hold frozen weights (they are in
the checkpoint that training begins with) or the position in the data, which follows from the number of updates.

Lines of a run's JSON Lines files carry the update in which they were written (`step`). Those after the state are cut
off before the run resumes, so that no line is written twice.
"""

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whenwhere.errors import OutputError, RecordError
from whenwhere.store import atomic_path, read_lines, write_text

if TYPE_CHECKING:
    import torch

#: The state's file in a run's folder.
STATE = Path("state") / "last.pt"
#: The JSON Lines files of a run.
LINES = ("metrics.jsonl", "skipped.jsonl", "events.jsonl", "completions/*.jsonl")
#: Version of the state; raise it when older states cannot be read any more.
VERSION = 1


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Replaces a run's state.

    Args:
        folder: Folder of the run.
        state: The new state: tensors, numbers, texts, and lists and dicts of them.

    Raises:
        OutputError: The state cannot be written; the previous one is still there.
    """
    import torch

    target = folder / STATE
    with atomic_path(target) as temporary:
        try:
            torch.save({"version": VERSION, **state}, temporary)
        except RuntimeError as e:  # torch's writer reports a full disk so
            raise OutputError(
                f"cannot write {target}: {str(e).splitlines()[0][:120]}; make room there; the previous state is kept"
            ) from e


def load_state(folder: Path) -> dict[str, Any] | None:
    """A run's last good state, or None if no state was saved.

    Args:
        folder: Folder of the run.

    Raises:
        RecordError: The state cannot be read, or another version of whenwhere wrote it.
    """
    import torch

    target = folder / STATE
    if not target.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(target, map_location="cpu", weights_only=True)
    except Exception as e:  # torn bytes raise whatever the unpickler meets in them
        raise RecordError(f"{target} cannot be read: delete it to begin the run anew") from e
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise RecordError(f"{target} was written by another version of whenwhere: finish the run with that one")
    return state


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
    for file in sorted(file for name in LINES for file in folder.glob(name)):
        lines = [json.dumps(line, ensure_ascii=False) for line in read_lines(file) if line.get("step", 0) <= step]
        text = "".join(f"{line}\n" for line in lines)
        if text != file.read_text(encoding="utf-8", errors="replace"):
            write_text(file, text)

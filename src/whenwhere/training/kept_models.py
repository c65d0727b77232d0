"""The models that a run keeps of its earlier updates, in RUN/checkpoints/ (`whenwhere.models.runs` finds them by name).

A folder appears whole or not at all, and loses its name before it is deleted, so that kill -9 leaves no half model.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from whenwhere.models.runs import CHECKPOINTS, kept_steps, step_folder
from whenwhere.store import atomic_folder

_REMOVED = ".removed-"


class KeptModels:
    """The models of earlier updates in a run's folder.

    Args:
        run: Folder of the run.
        limit: Largest number of models that are kept, the newest ones. None keeps all, 0 none.
    """

    def __init__(self, run: Path, limit: int | None) -> None:
        self.run, self.limit = run, limit

    def keep(self, step: int, save: Callable[[Path], None]) -> None:
        """Keeps the model as it is now.

        Args:
            step: Number of updates done.
            save: Writes the model into a folder, whole or not at all.

        Raises:
            OutputError: The disk is full.
        """
        if self.limit != 0:
            save(step_folder(self.run, step))

    def keep_result(self, step: int, result: Path) -> None:
        """Keeps the result of the run too, without writing it twice where the file system allows it.

        Args:
            step: Number of updates done.
            result: Folder of the result.

        Raises:
            OutputError: The disk is full.
        """
        target = step_folder(self.run, step)
        if self.limit == 0 or target.exists():
            return
        with atomic_folder(target) as temporary:
            shutil.copytree(result, temporary, copy_function=_link, dirs_exist_ok=True)
        self.prune()

    def prune(self) -> None:
        """Deletes the oldest models that are more than the limit, and what a killed process left of others."""
        folders = list(kept_steps(self.run).values())
        if self.limit is not None:
            for folder in folders[: max(len(folders) - self.limit, 0)]:
                _remove(folder)
        for left in (self.run / CHECKPOINTS).glob(f"{_REMOVED}*"):
            shutil.rmtree(left, ignore_errors=True)

    def cut_back(self, step: int) -> None:
        """Deletes models of updates after the last good state: a resumed run writes them again.

        Args:
            step: Number of updates in the last good state.
        """
        for number, folder in kept_steps(self.run).items():
            if number > step:
                _remove(folder)


def _remove(folder: Path) -> None:
    nameless = folder.with_name(f"{_REMOVED}{folder.name}-{os.getpid()}")
    os.replace(folder, nameless)
    shutil.rmtree(nameless, ignore_errors=True)


def _link(source: str, target: str) -> str:
    """Gives a file a second name; copies it where the file system has no second names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target

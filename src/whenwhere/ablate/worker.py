"""The process that runs cells, one after the other: `python -m whenwhere.ablate.worker OUT CELL...`.

It writes what becomes of each cell into the cell's folder and nothing anywhere else, so that it may run on any machine
that sees the folder. A cell is done when its status says so, which is written last. While a cell runs, a heartbeat is
written every few seconds. If the process that started this one is gone, this one ends itself and its children, because
nobody else would stop it.
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.ablate.cells import CellSpec, CellStatus, read_metrics, read_spec, read_status, write_document
from whenwhere.ablate.environment import CODE, describe_environment
from whenwhere.ablate.machine import boot_id, hold
from whenwhere.ablate.stages import fill_command, load_recipe, trained_recipe
from whenwhere.errors import RecordError, WhenwhereError
from whenwhere.evaluate.item_values import ItemValue, read_item_values, write_item_values
from whenwhere.readers import visible
from whenwhere.store import DiskFullError, write_text

if TYPE_CHECKING:
    from whenwhere.training.stages import Recipe

#: Seconds between two heartbeats, and between two checks of whether the starting process still runs.
HEARTBEAT, LOOK = 10.0, 0.5
#: Exit statuses besides 0: a cell failed; the disk is full; another process runs the cell.
FAILED, DISK_FULL, TAKEN = 1, 28, 75
#: Environment variable with the fingerprints of code and data that cells may be run with, joined by commas.
EXPECTED = "WHENWHERE_CELL_FINGERPRINT"


def main(arguments: list[str]) -> int:
    """Run the cells that the command line names, and return the exit status: that of the first cell that failed.

    Args:
        arguments: Folder of the study's runs, then cells as `hash/seed`.
    """
    out, *cells = arguments
    parent = os.getppid()
    worst = 0
    for cell in cells:
        code = run_cell(Path(out), cell, parent)
        if code in (DISK_FULL, TAKEN):
            return code
        worst = worst or code
    return worst


def run_cell(out: Path, cell: str, parent: int) -> int:
    """Run one cell, and return 0 or the exit status of the process.

    Args:
        out: Folder of the study's runs.
        cell: The cell, `hash/seed`.
        parent: Id of the process whose end ends this one.
    """
    folder = out / "cells" / cell
    try:
        spec = read_spec(folder)
        with hold(folder / "lock") as held:
            if not held:
                return TAKEN
            if read_status(folder).state == "done":  # a scheduler that was killed may have asked for the same
                return 0
            if any(read_status(out / "cells" / need).state != "done" for need in spec.needs):
                return FAILED
            _log_to(folder / "log.txt")
            return run_in(spec, out, folder, parent)
    except DiskFullError as e:
        print(f"error: {e}", file=sys.stderr)  # noqa: T201
        return DISK_FULL


def run_in(spec: CellSpec, out: Path, folder: Path, parent: int) -> int:
    """Run a cell whose lock this process holds, and return 0 or the exit status of a failure.

    Args:
        spec: The cell.
        out: Folder of the study's runs.
        folder: Folder of the cell.
        parent: Id of the process whose end ends this one.

    Raises:
        DiskFullError: The disk is full.
    """
    status = CellStatus(
        state="running", pid=os.getpid(), boot_id=boot_id(), host=os.uname().nodename, started=time.time(),
        heartbeat=time.time(),
    )  # fmt: skip
    write_document(status, folder / "status.json")
    began = time.monotonic()
    try:
        with _alive(status, folder, parent):
            env = describe_environment(spec, out / CODE)
            write_document(env, folder / "env.json")
            expected = os.environ.get(EXPECTED)
            if expected and env.fingerprint not in expected.split(","):
                raise RecordError(
                    "code or data were changed while the study was running: undo the change, or run the rest with "
                    "--allow-mixed"
                )
            work = folder / "work"
            work.mkdir(exist_ok=True)
            metrics, items = KINDS[spec.kind](spec, out, work)
        metrics = metrics | {"seconds": time.monotonic() - began}
        if items:
            write_item_values(folder / "items.jsonl", items)
        write_text(folder / "metrics.json", _json(metrics))
        status.state, status.exit = "done", 0
    except DiskFullError:
        raise
    except Exception as e:
        traceback.print_exc()
        status.state, status.exit = "failed", FAILED
        status.reason = visible(str(e)) if isinstance(e, WhenwhereError) else f"{type(e).__name__}: {visible(str(e))}"
    status.ended = status.heartbeat = time.time()
    write_document(status, folder / "status.json")
    return 0 if status.state == "done" else FAILED


def _json(metrics: dict[str, float]) -> str:
    import json

    return json.dumps(metrics, indent=1, sort_keys=True) + "\n"


def _log_to(file: Path) -> None:
    """Send all output of this process and its children to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


@contextlib.contextmanager
def _alive(status: CellStatus, folder: Path, parent: int) -> Iterator[None]:
    """Write a heartbeat every few seconds, and end this process if the one that started it is gone."""
    ended = threading.Event()

    def watch() -> None:
        last = time.monotonic()
        while not ended.wait(LOOK):
            if os.getppid() != parent:
                os.killpg(os.getpgrp(), signal.SIGKILL)
            if time.monotonic() - last > HEARTBEAT:
                last = time.monotonic()
                status.heartbeat = time.time()
                with contextlib.suppress(WhenwhereError):
                    write_document(status, folder / "status.json")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _train(spec: CellSpec, out: Path, work: Path) -> tuple[dict[str, float], list[ItemValue]]:
    """Train a recipe, and return its last metrics and what it cost."""
    from whenwhere.training.run import train

    recipe = trained_recipe(_recipe(spec, out))
    result = train(recipe, work / "run", device=spec.device)
    metrics: dict[str, float] = {}
    for line in result.metrics:
        metrics |= {key: float(value) for key, value in line.items() if isinstance(value, int | float)}
    found = {key: value for key, value in metrics.items() if not key.startswith("eval/") and key != "seconds"}
    memory = [found[key] for key in ("gpu_memory_gib", "resident_set_gib") if key in found]
    found |= {"train_seconds": result.seconds, "steps": float(result.steps)}
    found |= {"peak_memory_gib": max(memory) if memory else _peak_memory(resource.RUSAGE_SELF)}
    found |= {"parameters": float(_parameters(work / "run"))}
    if result.steps and "step_seconds" not in found:
        found["step_seconds"] = result.seconds / result.steps
    return found, []


def _parameters(run: Path) -> int:
    """Number of trained parameters, from the last saved state of a run."""
    from whenwhere.training.checkpoint import load_state

    state = load_state(run)
    return sum(weight.numel() for weight in state["weights"].values()) if state and "weights" in state else 0


def _peak_memory(whose: int) -> float:
    """Peak memory of this process or its children in GiB: of the accelerator if one is used, else resident."""
    torch = sys.modules.get("torch")
    if whose == resource.RUSAGE_SELF and torch is not None and torch.cuda.is_initialized():
        return float(torch.cuda.max_memory_allocated() / 2**30)
    return resource.getrusage(whose).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30


def _evaluate(spec: CellSpec, out: Path, work: Path) -> tuple[dict[str, float], list[ItemValue]]:
    """Measure the model that an earlier cell trained."""
    from whenwhere.training.remeasure import measure_run

    assert spec.run is not None
    found = measure_run(_recipe(spec, out), out / "cells" / spec.run / "work" / "run", device=spec.device)
    return found.metrics, found.items


def _recipe(spec: CellSpec, out: Path) -> "Recipe":
    """The recipe of a cell, with the checkpoint of the cell before it."""
    changes = dict(spec.settings)
    if spec.into is not None and spec.checkpoint is not None:
        changes[spec.into] = str((out / "cells" / spec.checkpoint / "work" / "run").absolute())
    assert spec.recipe is not None
    return load_recipe(spec.recipe, changes, spec.preset)


def _command(spec: CellSpec, out: Path, work: Path) -> tuple[dict[str, float], list[ItemValue]]:
    """Run a user's command in the cell's folder, and read the metrics and values of items that it wrote."""
    here = str(work.absolute())
    words = fill_command(spec.command, spec.override, spec.settings, spec.seed, here, spec.name)
    began = time.monotonic()
    try:
        with open(work.parent / "log.txt", "ab") as log:
            done = subprocess.run(words, cwd=work, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    except OSError as e:
        raise RecordError(f"the command {words[0]!r} cannot be started: {e.strerror or e}; mend the command") from e
    seconds = time.monotonic() - began
    if done.returncode:
        raise RecordError(_why(done.returncode, work.parent / "log.txt"))
    file = work / spec.metrics_file.replace("{out}", here)
    if not file.is_file():
        raise RecordError(f"the command wrote no {file.name}: write the metrics there, or set metrics_file")
    memory = _peak_memory(resource.RUSAGE_CHILDREN)
    metrics = {"train_seconds": seconds, "peak_memory_gib": memory, **read_metrics(file)}
    if spec.items_file is None:
        return metrics, []
    items = work / spec.items_file.replace("{out}", here)
    if not items.is_file():
        raise RecordError(f"the command wrote no {items.name}: write values of items there, or remove items_file")
    return metrics, list(read_item_values(items))


def _why(code: int, log: Path) -> str:
    """Why a command ended with a status other than 0, with the last line that it printed if there is one."""
    last = last_line(log)
    how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
    return f"the command {how}" + (f": {last}" if last else "; it printed nothing")


def last_line(log: Path, longest: int = 300) -> str:
    """The last line of a log that is not blank, as messages show it; "" if there is none.

    Args:
        log: The file.
        longest: Largest number of characters.
    """
    try:
        with open(log, "rb") as f:
            f.seek(max(0, os.fstat(f.fileno()).st_size - 65536))
            lines = [line.strip() for line in f.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return visible(lines[-1][:longest]) if lines else ""


#: The function that runs each kind of stage, from the cell, the folder of all runs and the cell's own folder for files,
#: to its metrics and the values of single items.
KINDS: dict[str, Callable[[CellSpec, Path, Path], tuple[dict[str, float], list[ItemValue]]]] = {
    "train": _train,
    "evaluate": _evaluate,
    "command": _command,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

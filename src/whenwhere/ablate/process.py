"""Runs cells in a process of its own, with a time limit, in a process group that can be ended as a whole.

Every executor calls `run_cells`, on whichever machine it chose. Whatever becomes of the process, the cell that ended it
has a status with a reason afterwards.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from whenwhere.ablate.cells import CellStatus, read_status, write_document
from whenwhere.ablate.worker import DISK_FULL, EXPECTED, FAILED, TAKEN, last_line
from whenwhere.errors import WhenwhereError
from whenwhere.store import DiskFullError

#: Seconds between two checks of whether the process has ended.
LOOK = 0.1
#: A disk with less room than this counts as full.
_ROOM = 1 << 20


def run_cells(
    out: str,
    cells: Sequence[str],
    timeout: float | None = None,
    fingerprint: str | None = None,
    environment: dict[str, str] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Run cells one after the other in a process of its own, and wait for it.

    A cell that fails does not stop those that do not need its result. If the process is killed or takes too long, the
    cell that was running has failed, and the cells after it stay as they are.

    Args:
        out: Folder of the study's runs.
        cells: The cells, `hash/seed` each.
        timeout: Most seconds that the process may take; None for no limit.
        fingerprint: Fingerprints of code and data that the cells may be run with, joined by commas; None lets them be
            run with any.
        environment: Variables in which the environment of the process differs from that of this one.
        stopped: Called ten times a second; the process is ended once it returns True.

    Raises:
        DiskFullError: The disk is full.
    """
    folder = Path(out)
    command = [sys.executable, "-m", "whenwhere.ablate.worker", out, *cells]
    # one thread, so that neither numbers nor seconds depend on how many processes there are at a time
    env = {"OMP_NUM_THREADS": "1", **os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"}
    env |= {EXPECTED: fingerprint} if fingerprint else {}
    began = time.monotonic()
    reason = ""
    with open(folder / "cells" / cells[0] / "log.txt", "ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=env
        )
        try:
            while process.poll() is None:
                time.sleep(LOOK)
                if stopped():
                    return
                if timeout is not None and time.monotonic() - began > timeout:
                    reason = f"it took longer than {timeout:g} s: allow more with --timeout"
                    break
        finally:
            end_group(process)
    code = process.returncode
    if code == DISK_FULL or (code and shutil.disk_usage(folder).free < _ROOM):
        raise DiskFullError(f"the disk of {out} is full: make room there, and run the same command again")
    if code not in (0, TAKEN):
        _settle(folder, cells, code, reason)


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and all that it started, and wait for it.

    Args:
        process: The process, which is the leader of its group.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _settle(out: Path, cells: Sequence[str], code: int, reason: str) -> None:
    """Give a failed status to the cell that was running when the process ended, or that it could not begin."""
    for cell in cells:
        folder = out / "cells" / cell
        try:
            status = read_status(folder)
        except WhenwhereError:
            status = CellStatus()
        if status.state == "failed":
            return
        if status.state == "done":
            continue
        if not reason and code < 0:
            known = {-signal.SIGKILL: "it was killed, perhaps because memory ran out: run fewer jobs at a time"}
            reason = known.get(code, f"it was ended by signal {-code}")
        elif not reason:
            reason = last_line(folder / "log.txt") or f"its process ended with status {code} and printed nothing"
        status.state, status.reason, status.exit = "failed", reason, code or FAILED
        status.ended = status.heartbeat = time.time()
        write_document(status, folder / "status.json")
        return

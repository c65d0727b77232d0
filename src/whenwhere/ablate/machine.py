"""Which machine this is, and locks by which one process at a time works in a folder."""

import contextlib
import functools
import os
import platform
from collections.abc import Iterator
from pathlib import Path


@functools.cache
def boot_id() -> str:
    """An id of this machine since its last start; a process id means nothing on another machine or after a restart."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return platform.node()


@contextlib.contextmanager
def hold(file: Path) -> Iterator[bool]:
    """Hold a lock while the block runs, and yield whether this process got it.

    The system releases the lock however the process ends. Where it has no such locks, every process gets it.

    Args:
        file: The file that is locked; it is made if it does not exist.
    """
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _locked(lock)
    finally:
        os.close(lock)


def _locked(lock: int) -> bool:
    """Lock an open file; whether this process has the lock now."""
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # this system has no such locks
        return True
    return True

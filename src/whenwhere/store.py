"""Files that are whole or absent, and a cache keyed by content.

Everything whenwhere writes goes through here: to a temporary name beside the target, flushed to the disk, then
renamed over it, so that a crash, a full disk or kill -9 leaves either the old file or the new one. JSON Lines files
that grow (batch results) are appended a line at a time and flushed; a torn last line is recognised and dropped
when the file is read again.

The cache maps a key made of *content* (a hash of the video's bytes, the settings, the code's version) to a file.
Names and modification times never enter a key. A damaged or unwritable cache costs time, never an answer.
"""

import glob
import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.errors import OutputError

_CHUNK = 1 << 20


def _refusal(path: Path, e: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {e.strerror or e}; choose another --out or make room there")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`, with the same ending, renamed over it when the block succeeds.

    Raises:
        OutputError: the folder cannot be made or written, or the disk is full.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{target.stem[:40]}."
        _sweep(target, prefix)
        fd, name = tempfile.mkstemp(prefix=f"{prefix}{os.getpid()}.", suffix=target.suffix, dir=target.parent)
        os.close(fd)
    except OSError as e:
        raise _refusal(target, e) from e
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as f:
            os.fsync(f.fileno())
        # mkstemp makes private files; the result is an ordinary one.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as e:
        raise _refusal(target, e) from e
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block succeeds; what was there is removed.

    A folder cannot be put over another in one step: a crash between the two renames leaves none, never half of one.

    Raises:
        OutputError: the folder cannot be made or written, or the disk is full.
    """
    target = Path(path)
    prefix = f".{target.name[:40]}."
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob(f"{glob.escape(prefix)}*"):
            pid = left.name[len(prefix) :].split(".")[0]
            if pid.isdigit() and not _alive(int(pid)):
                shutil.rmtree(left, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}.", dir=target.parent))
    except OSError as e:
        raise _refusal(target, e) from e
    try:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            if file.is_file():
                os.chmod(file, 0o666 & ~_umask())
                with open(file, "rb+") as f:
                    os.fsync(f.fileno())
        os.chmod(temporary, 0o777 & ~_umask())
        if target.exists():
            old = temporary.with_name(f"{temporary.name}.old")
            os.replace(target, old)
            os.replace(temporary, target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(temporary, target)
    except OSError as e:
        raise _refusal(target, e) from e
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sweep(target: Path, prefix: str) -> None:
    """Remove what a process that was killed while it wrote here left behind."""
    for left in target.parent.glob(f"{glob.escape(prefix)}*{glob.escape(target.suffix)}"):
        pid = left.name[len(prefix) :].split(".")[0]
        if pid.isdigit() and not _alive(int(pid)):
            with suppress(OSError):
                left.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write a whole file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a whole UTF-8 file atomically, with the newlines as given."""
    return write_bytes(path, text.encode("utf-8"))


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Append one line and flush it to the disk; a torn last line before it is closed off first.

    Raises:
        OutputError: the file cannot be written or the disk is full.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "ab+") as f:
            if f.tell():
                f.seek(-1, os.SEEK_END)
                if f.read(1) != b"\n":
                    f.write(b"\n")
            f.write(line.encode("utf-8") + b"\n")
            f.flush()
            os.fsync(f.fileno())
    except OSError as e:
        raise _refusal(target, e) from e


def read_lines(path: str | os.PathLike[str]) -> Iterator[Any]:
    """The JSON values of a JSON Lines file; lines that are not whole (a crash tore them) are skipped."""
    with suppress(FileNotFoundError), open(path, "rb") as f:
        for line in f:
            with suppress(ValueError):
                if line.strip():
                    yield json.loads(line)


def sha256_1mb(path: str | os.PathLike[str]) -> str:
    """SHA-256 of the first MiB: names a video in a record without reading all of it."""
    with open(path, "rb") as f:
        return hashlib.sha256(f.read(_CHUNK)).hexdigest()


def content_hash(path: str | os.PathLike[str]) -> str:
    """Hash of the whole file: for cache keys, where two files that differ only in the middle must differ."""
    h = hashlib.blake2b(digest_size=20)
    with open(path, "rb", buffering=0) as f:
        while chunk := f.read(_CHUNK):
            h.update(chunk)
    return h.hexdigest()


def cache_folder() -> Path:
    """`$WHENWHERE_CACHE`, or `whenwhere` under the user's cache folder."""
    if explicit := os.environ.get("WHENWHERE_CACHE"):
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whenwhere"


class Cache:
    """Arrays and JSON keyed by content.

    Args:
        folder: where it lives; None means `cache_folder()`.
        enabled: False never reads or writes.

    >>> import tempfile
    >>> cache = Cache(tempfile.mkdtemp())
    >>> key = cache.key("demo", 1, {"fps": 6})
    >>> cache.arrays(key, lambda: {"x": np.arange(3)})["x"].tolist()
    [0, 1, 2]
    >>> cache.arrays(key, lambda: 1 / 0)["x"].tolist()     # the second time it is not computed
    [0, 1, 2]
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, enabled: bool = True) -> None:
        self.folder = Path(folder) if folder is not None else cache_folder()
        self.enabled = enabled

    def key(self, kind: str, *parts: Any) -> str:
        """A file name from a kind and whatever the result depends on (JSON values)."""
        text = json.dumps(parts, sort_keys=True, default=str)
        return f"{kind}/{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"

    def arrays(self, key: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The stored arrays of `key`, or those `make()` gives, stored for the next time."""
        path = self.folder / f"{key}.npz"
        if self.enabled:
            # A damaged entry is made anew: np.load raises one of these for anything that is not a whole npz.
            with (
                suppress(OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile),
                np.load(path, allow_pickle=False) as stored,
            ):
                return dict(stored)
        made = make()
        if self.enabled:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **made)  # type: ignore[arg-type]
            with suppress(OutputError):
                write_bytes(path, buffer.getvalue())
        return made

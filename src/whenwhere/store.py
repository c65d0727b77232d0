"""Files that are either whole or absent, and a cache keyed by content.

Everything that whenwhere writes goes through this module: to a temporary name beside the target, flushed to the disk,
then renamed over the target, so that a crash, a full disk or kill -9 leaves either the old file or the new one. JSON
Lines files that grow (the results of a batch) are appended one line at a time and flushed; a torn last line is
recognised and dropped when the file is read again.

The cache maps a key made of *content* (a hash of the video's bytes, the settings, the version of the code) to a file.
File names and modification times are never part of a key. A cache that is damaged or cannot be written costs time,
never an answer.
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
    """Give a temporary path beside `path`, with the same ending, and rename it over `path` if the block succeeds.

    Raises:
        OutputError: The folder cannot be made or written, or the disk is full.
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
        # mkstemp makes files that only their owner can read; the result has ordinary permissions.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as e:
        raise _refusal(target, e) from e
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary folder beside `path`, which replaces the folder at `path` if the block succeeds.

    A folder cannot be renamed over another in one step: a crash between the two renames leaves no folder, but never
    half of one.

    Raises:
        OutputError: The folder cannot be made or written, or the disk is full.
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
    """Remove temporary files that killed processes left beside the target."""
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


def make_folder(folder: str | os.PathLike[str]) -> None:
    """Make an output folder before the work begins, so that an error comes before the work and not after it.

    Raises:
        OutputError: The folder cannot be made, or nothing can be written into it.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as e:
        raise OutputError(f"cannot write to {folder}: {e.strerror or e}; choose another --out") from e


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write a whole file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a whole UTF-8 file atomically, without changing its newlines."""
    return write_bytes(path, text.encode("utf-8"))


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Append one line and flush it to the disk. If the last line is torn, a newline is put after it first.

    Raises:
        OutputError: The file cannot be written, or the disk is full.
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
    """The JSON values of a JSON Lines file; lines that a crash tore are skipped, and a missing file has none."""
    with suppress(FileNotFoundError), open(path, "rb") as f:
        for line in f:
            with suppress(ValueError):
                if line.strip():
                    yield json.loads(line)


def sha256_1mb(path: str | os.PathLike[str]) -> str:
    """SHA-256 of the first MiB of a file, which identifies a video in a record without reading all of it."""
    with open(path, "rb") as f:
        return hashlib.sha256(f.read(_CHUNK)).hexdigest()


def content_hash(path: str | os.PathLike[str]) -> str:
    """Hash of a whole file, for cache keys: files that differ only in their middle must have different keys."""
    h = hashlib.blake2b(digest_size=20)
    with open(path, "rb", buffering=0) as f:
        while chunk := f.read(_CHUNK):
            h.update(chunk)
    return h.hexdigest()


def cache_folder() -> Path:
    """The folder named by `$WHENWHERE_CACHE`, or else `whenwhere` in the user's cache folder."""
    if explicit := os.environ.get("WHENWHERE_CACHE"):
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whenwhere"


class Cache:
    """A cache of arrays, keyed by content.

    Args:
        folder: Folder of the cache; None means `cache_folder()`.
        enabled: Whether the cache is read and written at all.

    >>> import tempfile
    >>> cache = Cache(tempfile.mkdtemp())
    >>> key = cache.key("demo", 1, {"fps": 6})
    >>> cache.arrays(key, lambda: {"x": np.arange(3)})["x"].tolist()
    [0, 1, 2]
    >>> cache.arrays(key, lambda: 1 / 0)["x"].tolist()     # found in the cache, so the function is not called
    [0, 1, 2]
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, enabled: bool = True) -> None:
        self.folder = Path(folder) if folder is not None else cache_folder()
        self.enabled = enabled

    def key(self, kind: str, *parts: Any) -> str:
        """The key of a result: a file name made from its kind and everything it depends on, as JSON values."""
        text = json.dumps(parts, sort_keys=True, default=str)
        return f"{kind}/{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"

    def arrays(self, key: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The stored arrays of `key`; if there are none, `make()` is called and its arrays are stored."""
        path = self.folder / f"{key}.npz"
        if self.enabled:
            # A damaged entry is computed again: np.load raises one of these errors for a file that is not a whole npz.
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

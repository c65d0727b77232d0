"""Files that are either whole or absent, and a cache keyed by content.

Everything that whenwhere writes goes through this module: to a temporary name beside the target, flushed to the disk,
then renamed over the target, so that a crash, a full disk or kill -9 leaves either the old file or the new one. JSON
Lines files that grow (the results of a batch) are appended one line at a time and flushed; a torn last line is
recognised and dropped when the file is read again.

The cache maps a key made of *content* (a hash of the video's bytes, the settings, the version of the code) to a file.
File names and modification times are never part of a key. A cache that is damaged or cannot be written costs time,
never an answer.
"""

import errno
import glob
import hashlib
import io
import json
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.errors import OutputError

_CHUNK = 1 << 20
#: Errors that every further file on the same disk would meet too.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
#: Most temporary files beside one target: as many processes may write it at the same time.
_WRITERS = 1000
_DIGEST = 20


class DiskFullError(OutputError):
    """Nothing can be written to a disk: it is full, read-only or broken. To go on computing would be of no use."""


def _refusal(path: Path, e: OSError | ValueError) -> OutputError:
    number = getattr(e, "errno", None)
    reason = "it is a symbolic link" if number == errno.ELOOP else getattr(e, "strerror", None) or str(e)
    kind = DiskFullError if number in _FULL else OutputError
    return kind(f"cannot write {path}: {reason}; choose another --out or make room there")


@contextmanager
def atomic_path(path: str | os.PathLike[str], private: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`, with the same ending, and rename it over `path` if the block succeeds.

    A symbolic link at `path` is replaced; the file that it names is left alone.

    Args:
        path: The file to write.
        private: Whether only the user may read the file.

    Raises:
        OutputError: The folder cannot be made or written, or the disk is full.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary, lock = _claim(target, 0o600 if private else 0o666)
    except (OSError, ValueError) as e:
        raise _refusal(target, e) from e
    written = False
    try:
        yield temporary
        with open(temporary, "rb+") as f:
            os.fsync(f.fileno())
        os.replace(temporary, target)
        written = True
    except OSError as e:
        raise _refusal(target, e) from e
    finally:
        if not written:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        os.close(lock)


def _claim(target: Path, mode: int) -> tuple[Path, int]:
    """A temporary file beside the target that no other writer has, and its lock.

    What a killed process left is taken over by the next writer of the same target. Names are counted instead of drawn,
    so that nobody has to look through the folder for such leftovers: it may hold a hundred thousand files.
    """
    for number in range(1, _WRITERS):
        temporary = target.with_name(f".{target.stem[:40]}.whenwhere-{number}{target.suffix}")
        flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            lock = os.open(temporary, flags | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            try:
                lock = os.open(temporary, flags)
            except OSError:
                continue
            # Whoever had it may still be writing, or may have made it the target just now.
            if not (_lock(lock) and _is_at(lock, temporary)):
                os.close(lock)
                continue
            os.ftruncate(lock, 0)
        else:
            if _lock(lock) is False or not _is_at(lock, temporary):
                # Another writer took the file for a leftover before it was locked, and may be done with it already.
                os.close(lock)
                continue
        return temporary, lock
    raise FileExistsError(errno.EEXIST, "too many unfinished files are there")


def _lock(file: int) -> bool | None:
    """Lock an open file until it is closed; False if another writer has it, None if this system has no such locks."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is the regular file at a path, which has no other name."""
    with suppress(OSError):
        here, there = os.fstat(file), os.stat(path, follow_symlinks=False)
        return stat.S_ISREG(here.st_mode) and here.st_nlink == 1 and os.path.samestat(here, there)
    return False


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


#: Outputs that the present thread has to itself.
_taken = threading.local()


@contextmanager
def sole_run(out: str | os.PathLike[str], folder: bool = False) -> Iterator[None]:
    """Context manager that keeps other runs from writing to the same output at the same time.

    The system takes the lock back when the process ends, however it ends. On file systems without locks nothing is
    kept from anybody. Blocks of one thread may be nested.

    Args:
        out: The file or folder to write.
        folder: Whether it is a folder. It is made, and folders that were made are removed again if they stay empty.

    Raises:
        OutputError: Another run writes to it, or nothing can be written there.

    >>> path = tempfile.mkdtemp() + "/a.jsonl"
    >>> with sole_run(path), sole_run(path):
    ...     os.listdir(os.path.dirname(path))
    ['.a.jsonl.lock']
    >>> os.listdir(os.path.dirname(path))
    []
    """
    target = Path(out)
    mark = target / ".lock" if folder else target.with_name(f".{target.name}.lock")
    key = os.path.abspath(mark)
    mine: set[str] = _taken.__dict__.setdefault("outputs", set())
    if key in mine:
        yield
        return
    new = [there for there in (mark.parent, *mark.parent.parents) if not there.exists()]
    lock = _sole_lock(target, mark)
    mine.add(key)
    try:
        yield
    finally:
        mine.discard(key)
        with suppress(OSError):
            mark.unlink(missing_ok=True)
        os.close(lock)
        with suppress(OSError):
            for there in new:
                there.rmdir()


def _sole_lock(target: Path, mark: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        while True:
            lock = os.open(mark, flags, 0o666)
            if _lock(lock) is False:
                os.close(lock)
                raise OutputError(
                    f"another run is writing to {target}: wait until it has ended, or choose another --out"
                )
            if _is_at(lock, mark):
                return lock
            # the run that had it removed it at its end
            os.close(lock)
    except (OSError, ValueError) as e:
        raise _refusal(target, e) from e


def make_folder(folder: str | os.PathLike[str]) -> None:
    """Make an output folder before the work begins, so that an error comes before the work and not after it.

    Raises:
        OutputError: The folder cannot be made, or nothing can be written into it.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as e:
        raise OutputError(f"cannot write to {folder}: {getattr(e, 'strerror', None) or e}; choose another --out") from e


def write_bytes(path: str | os.PathLike[str], data: bytes, private: bool = False) -> Path:
    """Write a whole file atomically; a private file can be read by its owner only."""
    with atomic_path(path, private) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def write_new(path: str | os.PathLike[str], data: bytes) -> bool:
    """Write a whole file unless something is there. Of several processes that try at once, one succeeds.

    Returns:
        Whether the file was written.

    Raises:
        OutputError: The folder cannot be made or written, or the disk is full.

    >>> path = tempfile.mkdtemp() + "/a"
    >>> write_new(path, b"1"), write_new(path, b"2"), open(path).read()
    (True, False, '1')
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary, lock = _claim(target, 0o666)
        try:
            os.write(lock, data)
            os.fsync(lock)
            try:
                # A second name of the file appears with the whole content, and only if nothing has that name.
                os.link(temporary, target)
            except FileExistsError:
                raise
            except OSError:
                # This file system has no second names.
                with open(target, "xb") as f:
                    f.write(data)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(lock)
    except FileExistsError:
        return False
    except (OSError, ValueError) as e:
        raise _refusal(target, e) from e
    return True


def write_text(path: str | os.PathLike[str], text: str, private: bool = False) -> Path:
    """Write a whole UTF-8 file atomically, without changing its newlines."""
    return write_bytes(path, text.encode("utf-8"), private)


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Append one line and flush it to the disk. If the last line is torn, a newline is put after it first.

    A line that could not be written whole is taken back.

    Raises:
        OutputError: The file cannot be written, is a symbolic link or not a regular file, or the disk is full.
    """
    target = Path(path)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(target, flags, 0o666), "r+b", buffering=0) as f:
            if not stat.S_ISREG(os.fstat(f.fileno()).st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            before = f.seek(0, os.SEEK_END)
            data = line.encode("utf-8") + b"\n"
            if before:
                f.seek(-1, os.SEEK_END)
                data = data if f.read(1) == b"\n" else b"\n" + data
            done = 0
            try:
                while done < len(data):
                    done += f.write(data[done:])
                os.fsync(f.fileno())
            except OSError:
                # only if nobody else has written since
                if f.seek(0, os.SEEK_END) == before + done:
                    f.truncate(before)
                raise
    except (OSError, ValueError) as e:
        raise _refusal(target, e) from e


def read_lines(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    r"""The objects of a JSON Lines file. Torn lines and lines of anything else are skipped; a missing file has none.

    >>> import tempfile
    >>> path = write_text(tempfile.mkdtemp() + "/a.jsonl", '{"a": 1}\n5\n' + "[" * 100_000 + '\n{"a": 2}\n{"a"')
    >>> list(read_lines(path))
    [{'a': 1}, {'a': 2}]
    """
    with suppress(FileNotFoundError), open(path, "rb") as f:
        for line in f:
            found = json_object(line)
            if found is not None:
                yield found


def json_object(line: bytes) -> dict[str, Any] | None:
    """The JSON object that a line holds; None if it holds anything else, or nests too deep to be read.

    >>> json_object(b'{"a": 1}'), json_object(b'[1]'), json_object(b'{"a": ')
    ({'a': 1}, None, None)
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


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


def cache_folder() -> Path | None:
    """The folder named by `$WHENWHERE_CACHE`, or else `whenwhere` in the user's cache folder; None without a home."""
    if explicit := os.environ.get("WHENWHERE_CACHE"):
        return Path(explicit)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whenwhere"
    except RuntimeError:
        return None


def checksum(*parts: bytes) -> bytes:
    """A hash of 20 bytes, by which damage to stored bytes is recognised."""
    h = hashlib.blake2b(digest_size=_DIGEST)
    for part in parts:
        h.update(len(part).to_bytes(8, "big"))
        h.update(part)
    return h.digest()


class Cache:
    """A cache of arrays, keyed by content.

    An entry is an npz file and the checksum of its key and bytes. An entry that is damaged in any way, or that was
    stored under another key, counts as missing and is written anew.

    Args:
        folder: Folder of the cache; None means `cache_folder()`. Without a home there is none, and nothing is kept.
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
        found = Path(folder) if folder is not None else cache_folder()
        self.folder = found or Path(os.devnull)
        self.enabled = enabled and found is not None

    def key(self, kind: str, *parts: Any) -> str:
        """The key of a result: a file name made from its kind and everything it depends on, as JSON values."""
        text = json.dumps(parts, sort_keys=True, default=str)
        return f"{kind}/{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"

    def arrays(self, key: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The stored arrays of `key`; if there are none, `make()` is called and its arrays are stored."""
        path = self.folder / f"{key}.npz"
        if self.enabled and (stored := _load_entry(path, key)) is not None:
            return stored
        made = make()
        if self.enabled:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **made)  # type: ignore[arg-type]
            data = buffer.getvalue()
            with suppress(OutputError):
                write_bytes(path, data + checksum(key.encode(), data))
        return made


def _load_entry(path: Path, key: str) -> dict[str, np.ndarray] | None:
    """The arrays of a cache entry, or None if it is missing or damaged."""
    # Whatever a damaged file, or another version of numpy or zlib, raises: the entry is only there to save time.
    with suppress(Exception):
        # A pipe of this name would never end.
        if path.is_file():
            whole = path.read_bytes()
            data, digest = whole[:-_DIGEST], whole[-_DIGEST:]
            if digest == checksum(key.encode(), data):
                with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                    return dict(stored)
    return None

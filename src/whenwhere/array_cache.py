"""A cache of large arrays on disk: memory-mapped when they are read, and limited in size.

    cache = ArrayCache(folder, limit=50 << 30)
    key = cache.key("frames", content, times, width)
    entry = cache.read(key)             # None if it is not there, or not whole
    if entry is None:
        cache.write(key, {"images": images}, {"warnings": []})

An entry is one file: a header with the key, the shapes and a checksum, then the arrays' bytes. A file that is cut off,
damaged, or was stored under another key counts as missing and is written anew. Any number of processes may use one
folder: an entry is written beside its place and renamed, so that a reader sees all of it or nothing, and of two writers
of one entry the last one stays. Before an entry would exceed the limit, those that were not used for longest are
removed; arrays that a process has mapped stay readable for it.

A disk that cannot be written to costs time and never an answer: nothing more is written, what is there is still read,
and `problem` says what is wrong, once for each object. Small results are kept by `store.Cache` instead, which
compresses them.
"""

import json
import os
import struct
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.errors import OutputError
from whenwhere.store import Cache, atomic_path

_MAGIC = b"whenwhere-arrays-1\n"
_ENDING = ".arrays"
#: Arrays begin at multiples of this many bytes.
_ALIGNED = 64
#: Largest header in bytes; a longer one belongs to something else.
_LONGEST_HEADER = 1 << 24
#: Share of the limit that is written before the folder is looked through again.
_LOOK_AGAIN = 0.02
#: Share of the limit that is kept when entries are removed, so that this is not done for each new entry.
_KEPT = 0.95
#: Seconds after which an unfinished file was left by a process that was killed.
_ABANDONED = 3600.0


@dataclass(frozen=True, eq=False)
class ArrayEntry:
    """An entry of the cache.

    Attributes:
        arrays: The arrays by name. They are memory-mapped: a change stays in this process and is not stored.
        about: What was stored beside them; JSON values.
    """

    arrays: dict[str, np.ndarray]
    about: dict[str, Any]


class ArrayCache:
    """A cache of arrays in a folder, keyed by content.

    Args:
        folder: Folder of the cache; it is made when something is written.
        limit: Largest size of all entries together, in bytes. An entry that is larger than it is not kept.

    Attributes:
        folder: As given.
        limit: As given.
        problem: A sentence about why nothing more is written. None while all is well.

    >>> import tempfile
    >>> cache = ArrayCache(tempfile.mkdtemp(), 1000)
    >>> key = cache.key("demo", 1)
    >>> cache.read(key), cache.write(key, {"x": np.arange(3)}, {"unit": "s"})
    (None, True)
    >>> cache.read(key).arrays["x"].tolist(), cache.read(key).about
    ([0, 1, 2], {'unit': 's'})
    >>> cache.write(cache.key("demo", 2), {"x": np.zeros(1000)})      # larger than the cache
    False
    """

    def __init__(self, folder: str | os.PathLike[str], limit: int) -> None:
        self.folder, self.limit = Path(folder), limit
        self.problem: str | None = None
        # of all entries together, as far as this process knows; None before it has looked
        self._size: int | None = None
        self._written = 0

    def key(self, kind: str, *parts: Any) -> str:
        """The key of an entry, from its kind and everything that it depends on, as JSON values.

        Args:
            kind: A word for what is stored, a part of the file's name.
            parts: What the entry depends on, the version of the code that makes it included.
        """
        return Cache(enabled=False).key(kind, *parts).replace("/", "-")

    def read(self, key: str) -> ArrayEntry | None:
        """The entry of a key; None if there is none, or it is damaged.

        Args:
            key: The key, from `key`.
        """
        path = self.folder / f"{key}{_ENDING}"
        # whatever a damaged file raises: the entry is only there to save time
        with suppress(Exception):
            entry = _read(path, key)
            # by this time it is seen which entries were not used for longest
            os.utime(path)
            return entry
        return None

    def size(self, key: str) -> int | None:
        """Bytes of the entry of a key, which may be damaged; None if there is none.

        Args:
            key: The key, from `key`.
        """
        path = self.folder / f"{key}{_ENDING}"
        with suppress(OSError):
            return path.stat().st_size if path.is_file() else None
        return None

    def write(self, key: str, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any] | None = None) -> bool:
        """Stores an entry if the disk and the limit allow it.

        Args:
            key: The key, from `key`.
            arrays: Arrays of numbers by name.
            about: What is stored beside them; JSON values.

        Returns:
            Whether it was stored.
        """
        if self.problem is not None:
            return False
        parts = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        header = _header(key, parts, about or {})
        size = _padded(len(_MAGIC) + 8 + len(header)) + sum(_padded(part.nbytes) for part in parts.values())
        if size > self.limit:
            return False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(size)
            with atomic_path(self.folder / f"{key}{_ENDING}") as temporary, open(temporary, "wb") as f:
                f.write(_MAGIC + struct.pack("<Q", len(header)) + header)
                f.write(bytes(_padded(f.tell()) - f.tell()))
                for part in parts.values():
                    f.write(_bytes(part))
                    f.write(bytes(_padded(part.nbytes) - part.nbytes))
        except (OutputError, OSError, ValueError) as e:
            reason = getattr(e.__cause__ if isinstance(e, OutputError) else e, "strerror", None) or e
            self.problem = (
                f"the cache {self.folder} cannot be written ({reason}): nothing more is kept in it, and what it lacks "
                "is computed each time; make room there, or name another folder"
            )
            return False
        self._size = (self._size or 0) + size
        self._written += size
        return True

    def _make_room(self, size: int) -> None:
        """Removes the entries that were not used for longest until there is room for a new one."""
        known = self._size
        if known is not None and known + size <= self.limit and self._written < _LOOK_AGAIN * self.limit:
            return
        found: list[tuple[float, int, Path]] = []
        now = time.time()
        with os.scandir(self.folder) as there:
            for one in there:
                if one.name.endswith(_ENDING):
                    with suppress(OSError):
                        state = one.stat(follow_symlinks=False)
                        # what a killed process left is nobody's, what another one is writing is not touched
                        if not one.name.startswith(".") or now - state.st_mtime > _ABANDONED:
                            found.append((state.st_mtime, state.st_size, Path(one.path)))
        total, self._written = sum(one[1] for one in found), 0
        if total + size > self.limit:
            for _, bytes_, path in sorted(found):
                if total + size <= _KEPT * self.limit or not total:
                    break
                with suppress(OSError):
                    path.unlink()
                    total -= bytes_
        self._size = total


def _padded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _bytes(array: np.ndarray) -> memoryview:
    """The bytes of a contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def _header(key: str, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> bytes:
    check = 0
    described = []
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{name} is an array of objects, which are not stored")
        check = zlib.crc32(_bytes(array), check)
        described.append([name, array.dtype.str, list(array.shape)])
    text = json.dumps({"key": key, "arrays": described, "about": dict(about)})
    return json.dumps({"entry": text, "check": zlib.crc32(text.encode(), check)}).encode()


def _read(path: Path, key: str) -> ArrayEntry:
    """An entry whose file is whole; anything else raises some exception."""
    # a pipe of this name would never end
    if not path.is_file():
        raise FileNotFoundError(path)
    with open(path, "rb") as f:
        start = f.read(len(_MAGIC) + 8)
        (length,) = struct.unpack("<Q", start[len(_MAGIC) :])
        if not start.startswith(_MAGIC) or length > _LONGEST_HEADER:
            raise ValueError("it is not an entry")
        header = json.loads(f.read(length))
        described = json.loads(header["entry"])
        if described["key"] != key:
            raise ValueError("it is an entry of another key")
        place, size = _padded(len(start) + length), os.fstat(f.fileno()).st_size
        arrays: dict[str, np.ndarray] = {}
        check = 0
        for name, dtype, shape in described["arrays"]:
            kind = np.dtype(dtype)
            if kind.hasobject or any(n < 0 for n in shape):
                raise ValueError("it is not an entry")
            nbytes = kind.itemsize * int(np.prod(shape, dtype=object))
            if place + nbytes > size:
                raise ValueError("it is cut off")
            # copied when it is changed: tensors are made of it, which are writable
            mapped = np.memmap(f, kind, "c", place, tuple(shape)) if nbytes else np.empty(shape, kind)
            arrays[name] = np.asarray(mapped).reshape(shape)
            check = zlib.crc32(_bytes(arrays[name]), check)
            place += _padded(nbytes)
    if zlib.crc32(header["entry"].encode(), check) != header["check"]:
        raise ValueError("it is damaged")
    return ArrayEntry(arrays, described["about"])

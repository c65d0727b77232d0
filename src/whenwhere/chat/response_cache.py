"""Model answers on the disk, one file each, written the moment they arrive.

Endpoints and checkpoints in this process keep their answers here. The key is a hash of everything that an answer
depends on: the model, the messages with their pictures by hash, the sampling. So a rerun costs nothing, and a killed
process loses at most the calls under way. The address of a server is part of its keys, because a model's name means
something only there: two checkpoints served as "policy" on two ports are two models. Whoever puts other weights behind
the same address and name takes another folder.

Each file holds the checksum of its entry. A damaged file counts as missing and is asked for again; a folder that cannot
be written costs money, not answers. Only the user can read the files: answers may hold what others should not see.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from whenwhere.errors import OutputError
from whenwhere.store import Cache, checksum, write_text

T = TypeVar("T")


class ResponseCache:
    """Stored answers of one kind of model.

    Args:
        cache: The folder that holds them, or a disabled cache that holds none.
        kind: Name of the subfolder: `chat` for models behind an address, `vlm` for checkpoints in this process.

    >>> import tempfile
    >>> responses = ResponseCache(Cache(tempfile.mkdtemp()), "chat")
    >>> key = responses.key("http://localhost:8000/v1", "When does it happen?")
    >>> responses.read(key, str) is None
    True
    >>> responses.write(key, "from 2 to 4 s")
    >>> responses.read(key, str)
    'from 2 to 4 s'
    """

    def __init__(self, cache: Cache, kind: Literal["chat", "vlm"]) -> None:
        self.cache, self.kind = cache, kind

    @staticmethod
    def key(*parts: Any) -> str:
        """The key of an answer that depends on these JSON values."""
        return hashlib.blake2b(json.dumps(list(parts), sort_keys=True).encode(), digest_size=20).hexdigest()

    def path(self, key: str) -> Path:
        """The file of a key. Files are spread over thousands of folders, so that none becomes slow."""
        return self.cache.folder / self.kind / key[:3] / f"{key}.json"

    def read(self, key: str, parse: Callable[[Any], T]) -> T | None:
        """A stored answer, or None where there is none or its file is damaged.

        Args:
            key: The key of the answer.
            parse: Makes the answer from the JSON value that `write` was given; whatever it raises counts as damage.
        """
        if self.cache.enabled:
            # Whatever is wrong with a file, its answer is only missing.
            with suppress(Exception):
                stored: Any = json.loads(self.path(key).read_bytes())
                if "checksum" in stored:
                    if stored["checksum"] != _checksum(stored["entry"]):
                        return None
                    stored = stored["entry"]
                # Until version 0.1 there was no checksum, and checkpoints' answers were kept under "reply".
                if stored["key"] == key:
                    return parse(stored["completion"] if "completion" in stored else stored["reply"])
        return None

    def write(self, key: str, completion: Any, **facts: Any) -> None:
        """Keep an answer.

        Args:
            key: The key of the answer.
            completion: The answer as a JSON value.
            facts: Further JSON values for a person who reads the file, such as the model's name.
        """
        if self.cache.enabled:
            entry = {"key": key, **facts, "completion": completion}
            with suppress(OutputError):
                text = json.dumps({"checksum": _checksum(entry), "entry": entry})
                write_text(self.path(key), text + "\n", private=True)


def _checksum(entry: Any) -> str:
    return checksum(json.dumps(entry, sort_keys=True).encode()).hex()

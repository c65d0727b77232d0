"""Answers that were paid for, one file each, written the moment they arrive.

The key is the whole question — server, model, messages with pictures by their hash, sampling — so that a rerun costs
nothing and kill -9 loses at most the calls under way. The server is part of it because a model's name means something
only there: two checkpoints served as "policy" on two ports are two models. Whoever puts other weights behind the same
address and name takes another folder. A damaged file is asked for anew; an unwritable folder costs money, not answers.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from whenwhere.chat.address import Address
from whenwhere.chat.completion import Completion
from whenwhere.chat.question import Question
from whenwhere.errors import OutputError
from whenwhere.store import Cache, write_text

#: Raise when what is stored or what its key is made of changes.
VERSION = 1


class Memory:
    """Answers by question.

    Args:
        cache: where they are kept.
        address: server and model that they come from.
    """

    def __init__(self, cache: Cache, address: Address) -> None:
        self.cache, self.address = cache, address

    def key(self, question: Question) -> str:
        """Hash of the whole question."""
        parts = [VERSION, self.address.base, self.address.model, question.identity()]
        return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=20).hexdigest()

    def path(self, key: str) -> Path:
        """Its file; a thousand folders, so that none gets slow."""
        return self.cache.folder / "chat" / key[:3] / f"{key}.json"

    def get(self, key: str) -> Completion | None:
        """The stored answer, None where there is none or it is damaged."""
        if not self.cache.enabled:
            return None
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            stored: Any = json.loads(self.path(key).read_bytes())
            if stored["key"] == key:
                return replace(Completion.from_json(stored["completion"]), stored=True)
        return None

    def put(self, key: str, completion: Completion) -> None:
        """Keep an answer."""
        if self.cache.enabled:
            text = json.dumps({"key": key, "model": self.address.model, "completion": completion.to_json()})
            with suppress(OutputError):
                write_text(self.path(key), text + "\n")

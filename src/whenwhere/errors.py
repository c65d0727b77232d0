"""Errors a user can meet, each one sentence: what, where, how to mend.

One class per kind of cause, so that a batch can store the failure as data (`kind` and `message` go into the
record's `error` field) and go on with the next input. Anything that is not a `WhenwhereError` is a bug of ours
and keeps its traceback. `kind` is a stable word that scripts may compare with.
"""

import difflib
from collections.abc import Iterable


class WhenwhereError(Exception):
    """Base of all errors that are explained to a user in one sentence."""

    kind = "error"


class MediaError(WhenwhereError):
    """The video cannot be read: missing, empty, not a video, no picture in it, broken."""

    kind = "media"


class QueryError(WhenwhereError):
    """The sentence, the span or the time window asked for makes no sense."""

    kind = "query"


class OutputError(WhenwhereError):
    """An answer cannot be written: no permission, disk full, unknown format."""

    kind = "output"


class RecordError(WhenwhereError):
    """A stored record, manifest or annotation does not follow its schema."""

    kind = "record"


class SettingError(WhenwhereError):
    """An option or a model name is unknown or out of range."""

    kind = "setting"


class ModelError(WhenwhereError):
    """A checkpoint in this process cannot be had, loaded or run, or is not what it should be."""

    kind = "model"


class ChatError(WhenwhereError):
    """A model behind an address gives no usable answer: not reachable, refuses, hangs, or answers nonsense."""

    kind = "endpoint"


class BudgetError(ChatError):
    """Asking on would cost more calls or tokens than were allowed."""

    kind = "budget"


class MissingExtraError(WhenwhereError):
    """A feature needs a package that only an extra installs.

    >>> str(MissingExtraError("pyarrow", "data", "reading Parquet manifests"))
    "reading Parquet manifests needs pyarrow, which is not installed: pip install 'whenwhere[data]'"
    """

    kind = "missing-extra"

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}, which is not installed: pip install 'whenwhere[{extra}]'")


def did_you_mean(name: str, known: Iterable[str], most: int = 5) -> str:
    """The end of a sentence about a misspelt name: the known names that were probably meant.

    A name that only differs in case, `_` or spaces is proposed alone; otherwise names that begin alike, then names that
    look alike. If there is none of these, all names are listed where they are few, and nothing is said where they are
    many.

    Args:
        name: What was typed.
        known: All names that would have been right.
        most: The largest number of names to propose.

    >>> names = ["charades-cd", "charades-sta", "tacos"]
    >>> did_you_mean("Charades_STA", names), did_you_mean("charades", names)
    (' (did you mean charades-sta?)', ' (did you mean charades-cd or charades-sta?)')
    >>> did_you_mean("taco", names), did_you_mean("x", names)
    (' (did you mean tacos?)', ' (the names are charades-cd, charades-sta, tacos)')
    """
    names = list(known)
    plain = {"-".join(k.casefold().replace("_", " ").split()): k for k in names}
    asked = "-".join(name.casefold().replace("_", " ").split())
    if asked in plain:
        near = [plain[asked]]
    else:
        near = [k for key, k in plain.items() if asked and key.startswith(asked)]
        near = near or [plain[key] for key in difflib.get_close_matches(asked, list(plain), most)]
    if near:
        return f" (did you mean {' or '.join(near[:most])}?)"
    return f" (the names are {', '.join(names)})" if len(names) <= most else ""

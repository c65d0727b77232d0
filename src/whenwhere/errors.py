"""Errors that a user can meet. Each is one sentence: what is wrong, where, and how to mend it.

There is one class for each kind of cause, so that a batch can store a failure as data (`kind` and the message go into
the record's `error` field) and continue with the next input. An exception that is not a `WhenwhereError` is a bug in
whenwhere and keeps its traceback. `kind` is a stable word with which scripts may compare.
"""

import difflib
from collections.abc import Iterable


class WhenwhereError(Exception):
    """Base class of all errors that are explained to a user in one sentence."""

    kind = "error"

    def __reduce__(self) -> tuple[object, ...]:
        # pickling calls the class with `args` otherwise, which a class with other arguments does not take
        return _restored, (type(self), str(self)), self.__dict__


def _restored(error: type[WhenwhereError], sentence: str) -> WhenwhereError:
    """An error that was sent by another process."""
    found = error.__new__(error)
    found.args = (sentence,)
    return found


class MediaError(WhenwhereError):
    """The video cannot be read: it is missing, empty, not a video, without a picture, or broken."""

    kind = "media"


class QueryError(WhenwhereError):
    """The sentence, the span or the time window that was asked for makes no sense."""

    kind = "query"


class OutputError(WhenwhereError):
    """An answer cannot be written: permission is missing, the disk is full, or the format is unknown."""

    kind = "output"


class RecordError(WhenwhereError):
    """A stored record, manifest or annotation does not follow its schema."""

    kind = "record"


class SettingError(WhenwhereError):
    """An option or a model name is unknown or out of range."""

    kind = "setting"


class ModelError(WhenwhereError):
    """A checkpoint cannot be found, loaded or run in this process, or is not what it should be."""

    kind = "model"


class ChatError(WhenwhereError):
    """A model endpoint gives no usable answer: it cannot be reached, refuses, hangs, or answers nonsense."""

    kind = "endpoint"


class BudgetError(ChatError):
    """The next question would cost more calls or tokens than were allowed."""

    kind = "budget"


class MissingExtraError(WhenwhereError):
    """A feature needs a package that is installed only with an extra of whenwhere.

    >>> str(MissingExtraError("pyarrow", "data", "reading Parquet manifests"))
    "reading Parquet manifests needs pyarrow, which is not installed: pip install 'whenwhere[data]'"
    """

    kind = "missing-extra"

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}, which is not installed: pip install 'whenwhere[{extra}]'")


#: Slowest and fastest rate of boxes, frames and pictures, per second: one in eleven days, and one each millisecond.
RATES = (1e-6, 1000.0)


def check_range(value: float, low: float, high: float, what: str) -> None:
    """Refuse a number that is not finite or lies outside a range, whose ends are allowed.

    Args:
        value: The number.
        low: Smallest allowed number.
        high: Largest allowed number.
        what: What the number is, as the beginning of the sentence.

    Raises:
        SettingError: The number is outside the range.

    >>> check_range(1e9, 1e-6, 1000, "the number of boxes per second")
    Traceback (most recent call last):
    ...
    whenwhere.errors.SettingError: the number of boxes per second is between 1e-06 and 1000, not 1e+09
    """
    if not low <= value <= high:
        raise SettingError(f"{what} is between {low:g} and {high:g}, not {value:g}")


def squeeze(name: str) -> str:
    """The letters and digits of a name in lower case, as names are compared that people type.

    >>> squeeze("HC-STVG v1"), squeeze("vue_stg")
    ('hcstvgv1', 'vuestg')
    """
    return "".join(c for c in name.casefold() if c.isalnum())


#: Longest list of names, in characters, that a sentence about a misspelt name ends with.
_LISTED = 100


def did_you_mean(name: str, known: Iterable[str], most: int = 5) -> str:
    """The end of a sentence about a misspelt name: the known names that were probably meant.

    A name that differs only in case, hyphens, `_` or spaces is proposed alone; otherwise names that begin alike, then
    names that look alike. If there is none of these, all names are listed where they are few or short, and nothing is
    said where they are many.

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
    plain = {squeeze(k): k for k in names}
    asked = squeeze(name)
    if asked in plain:
        near = [plain[asked]]
    else:
        near = [k for key, k in plain.items() if asked and key.startswith(asked)]
        near = near or [plain[key] for key in difflib.get_close_matches(asked, list(plain), most, cutoff=0.75)]
    if near:
        return f" (did you mean {' or '.join(near[:most])}?)"
    listed = ", ".join(names)
    return f" (the names are {listed})" if len(names) <= most or len(listed) <= _LISTED else ""

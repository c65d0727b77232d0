"""Errors a user can meet, each one sentence: what, where, how to mend.

One class per kind of cause, so that a batch can store the failure as data (`kind` and `message` go into the
record's `error` field) and go on with the next input. Anything that is not a `WhenwhereError` is a bug of ours
and keeps its traceback. `kind` is a stable word that scripts may compare with.
"""


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

"""Where the answers about a video are kept: `OUT/<video stem>/`, with `grounding.jsonl` and `<nn>-<slug>.<ext>` files.

`grounding.jsonl` is the only memory: a question counts as done when a whole line for it is there. Lines are appended
and flushed one by one, so that kill -9 loses at most the answer that was being computed. The latest line of a question
counts; the file is rewritten (atomically) only to drop lines that were replaced or torn. A question's number `nn` is
its position in the file and never changes.

A question that has an id of its own (`Item.id`) is known by it, any other by its sentence.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from whenwhere.errors import OutputError
from whenwhere.records import Grounding
from whenwhere.settings import printable, slug
from whenwhere.store import append_line, read_lines, write_text

#: Names of the file of records and of the page in a video's folder.
LOG, PAGE = "grounding.jsonl", "page.html"


class ResultStore:
    """The folder of one video's answers.

    Args:
        out: The folder of all videos.
        source: The video, as it was named.
        sha256_1mb: Hash of the video's first MiB, or None if the video could not be opened.

    Attributes:
        folder: The video's own folder. It is named after the video, unless another video of that name is there already.
    """

    def __init__(self, out: Path, source: str, sha256_1mb: str | None) -> None:
        name, path = folder_name(source), printable(source)
        digest = hashlib.blake2b(path.encode(), digest_size=3).hexdigest()
        self._records: dict[tuple[str, str], Grounding] = {}
        for folder in (out / name, out / f"{name}-{digest}"):
            self.folder = folder
            stored, whole = _read_log(folder / LOG)
            owners = [r.video for r in stored if r.video is not None]
            if not owners or any(o.path == path or o.sha256_1mb == sha256_1mb for o in owners):
                break
        for record in stored:
            # A file that was replaced under its old name leaves answers about what it was.
            if sha256_1mb is None or record.video is None or record.video.sha256_1mb == sha256_1mb:
                self._records[_key(record)] = record
        self._compact = whole and len(self._records) == len(stored)

    @property
    def records(self) -> list[Grounding]:
        """The answer to each question, in the order in which the questions were first asked."""
        return list(self._records.values())

    @property
    def page(self) -> Path:
        """Path of the page that shows all answers."""
        return self.folder / PAGE

    def files(self) -> list[Path]:
        """The files beside the page."""
        return sorted(p for p in self.folder.iterdir() if p.name != PAGE and not p.name.startswith("."))

    def find(self, query: str, identity: str, id: str = "") -> Grounding | None:
        """The stored answer to a question, or None if there is none, it failed, or one of its calls failed.

        An answer that is stored under another id is stored again under this one.

        Args:
            query: The sentence.
            identity: Hash of everything that the answer depends on (`Session.identity`).
            id: The question's own id, or "" if it has none.

        Raises:
            OutputError: The answer cannot be stored under this id.
        """
        own = self._records.get(("id", id) if id else ("query", " ".join(printable(query).split())))
        for record in ([] if own is None else [own]) + self.records:
            if (record.identity or record.id) == identity and _is_final(record):
                if record is own:
                    return record
                copy = record.model_copy(update={"id": id or identity, "identity": identity})
                self.add(copy)
                return copy
        return None

    def add(self, record: Grounding) -> None:
        """Store an answer; the same failure is not stored twice.

        Raises:
            OutputError: The answer cannot be written.
        """
        old = self._records.get(_key(record))
        if old is not None and record.error is not None and old.error == record.error and old.id == record.id:
            return
        self._compact &= old is None
        append_line(self.folder / LOG, record.to_json())
        self._records[_key(record)] = record

    def path(self, record: Grounding) -> Path:
        """Path of the files of an answer, without the ending."""
        number = list(self._records).index(_key(record)) + 1
        return self.folder / f"{number:02d}-{slug(record.query)}"

    def compact(self) -> None:
        """Drop lines that were replaced or torn."""
        if not self._compact:
            write_text(self.folder / LOG, "".join(f"{r.to_json()}\n" for r in self.records))
            self._compact = True


def read_results(out: Path) -> Iterator[Grounding]:
    """The records of all videos in a folder that a batch wrote, video by video.

    Raises:
        OutputError: A file of records cannot be read.
    """
    for log in sorted(out.glob(f"*/{LOG}")):
        yield from _read_log(log)[0]


def folder_name(source: str) -> str:
    """The name of the folder for a video.

    >>> folder_name("a/clip.one.mp4"), folder_name("https://host/films/x.mp4?key=1")
    ('clip.one', 'x')
    >>> folder_name("-"), folder_name("frames/")
    ('stdin', 'frames')
    """
    if source == "-":
        return "stdin"
    path = urlsplit(source).path if source.startswith(("http://", "https://")) else source
    return printable(Path(path).stem).replace("?", "_").lstrip(".") or "video"


def _key(record: Grounding) -> tuple[str, str]:
    """What a question is known by: its own id if it has one, else its sentence."""
    own = record.identity is not None and record.id != record.identity
    return ("id", record.id) if own else ("query", record.query)


def _is_final(record: Grounding) -> bool:
    """Whether an answer need not be computed again."""
    return record.status != "failed" and (record.parse is None or record.parse.status != "incomplete")


def _read_log(log: Path) -> tuple[list[Grounding], bool]:
    """The records of a file, and whether every line of it is one."""
    records, whole = [], True
    try:
        for value in read_lines(log):
            try:
                records.append(Grounding.model_validate(value))
            except ValidationError:
                whole = False
        lines = sum(1 for line in log.read_bytes().splitlines() if line.strip()) if log.exists() else 0
    except OSError as e:
        raise OutputError(f"cannot read {log}: {e.strerror or e}; choose another --out") from e
    return records, whole and lines == len(records)

"""Where a video's answers are kept: `OUT/<video stem>/`, with one `grounding.jsonl` and `<nn>-<slug>.<ext>` files.

`grounding.jsonl` is the only memory: an answer counts as done when its line is there, whole. Lines are appended and
flushed one by one, so kill -9 loses at most the answer being computed. The latest line of a sentence counts; the
file is rewritten (atomically) only to drop lines that were replaced or torn. A sentence's number `nn` is its place in
the file and never changes.
"""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from whenwhere.errors import OutputError
from whenwhere.records import Grounding
from whenwhere.settings import printable, slug
from whenwhere.store import append_line, read_lines, write_text

LOG = "grounding.jsonl"
PAGE = "page.html"


class Shelf:
    """The folder of one video's answers.

    Attributes:
        folder: where it is.
        records: the answer to each sentence, in the order in which they were first asked.
    """

    def __init__(self, out: Path, source: str, sha256_1mb: str | None) -> None:
        """Find the video's folder: named after it, unless another video of that name is there already.

        Args:
            out: folder of all videos.
            source: the video, as it was named.
            sha256_1mb: of the video; None where it could not be opened.
        """
        name, path = stem(source), printable(source)
        digest = hashlib.blake2b(path.encode(), digest_size=3).hexdigest()
        self.records: dict[str, Grounding] = {}
        for folder in (out / name, out / f"{name}-{digest}"):
            self.folder = folder
            stored, whole = _stored(folder / LOG)
            owners = [r.video for r in stored if r.video is not None]
            if not owners or any(o.path == path or o.sha256_1mb == sha256_1mb for o in owners):
                break
        for record in stored:
            # A file that was replaced under its old name leaves answers about what it was.
            if sha256_1mb is None or record.video is None or record.video.sha256_1mb == sha256_1mb:
                self.records[record.query] = record
        self._tidy = whole and len(self.records) == len(stored)

    @property
    def page(self) -> Path:
        """The page with all answers."""
        return self.folder / PAGE

    def files(self) -> list[Path]:
        """What lies beside the page."""
        return sorted(p for p in self.folder.iterdir() if p.name != PAGE and not p.name.startswith("."))

    def done(self, query: str, id: str) -> Grounding | None:
        """The stored answer to this very question, None where there is none, it failed, or a call for it failed."""
        record = self.records.get(_key(query))
        if record is None or record.id != id or record.status == "failed":
            return None
        return None if record.parse is not None and record.parse.status == "incomplete" else record

    def add(self, record: Grounding) -> None:
        """Store an answer; the same failure again is not stored twice.

        Raises:
            OutputError: it cannot be written.
        """
        old = self.records.get(record.query)
        if old is not None and record.error is not None and old.error == record.error and old.id == record.id:
            return
        self._tidy &= old is None
        append_line(self.folder / LOG, record.to_json())
        self.records[record.query] = record

    def name(self, record: Grounding) -> Path:
        """Path of a sentence's files, without the ending."""
        number = list(self.records).index(record.query) + 1
        return self.folder / f"{number:02d}-{slug(record.query)}"

    def tidy(self) -> None:
        """Drop lines that were replaced or torn."""
        if not self._tidy:
            write_text(self.folder / LOG, "".join(f"{r.to_json()}\n" for r in self.records.values()))
            self._tidy = True


def stem(source: str) -> str:
    """The folder name of a video.

    >>> stem("a/clip.one.mp4"), stem("https://host/films/x.mp4?key=1"), stem("-"), stem("frames/")
    ('clip.one', 'x', 'stdin', 'frames')
    """
    if source == "-":
        return "stdin"
    path = urlsplit(source).path if source.startswith(("http://", "https://")) else source
    return printable(Path(path).stem).replace("?", "_").lstrip(".") or "video"


def _key(query: str) -> str:
    return " ".join(printable(query).split())


def _stored(log: Path) -> tuple[list[Grounding], bool]:
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

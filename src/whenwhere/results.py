"""Where the answers about a video are kept: `OUT/<video stem>/`, with `grounding.jsonl` and `<nn>-<slug>.<ext>` files.

`grounding.jsonl` is the only memory: a question counts as done when a whole line for it is there. Lines are appended
and flushed one by one, so that kill -9 loses at most the answer that was being computed. The latest line of a question
counts; the file is rewritten (atomically) only to drop lines that were replaced or torn. A question's number `nn` is
its position in the file and never changes.

An answer may have been paid for, so nothing takes its place but another answer to the same question:

- A video is known by its whole content and its path. Videos of one name get folders of their own, also if several
  processes begin with them at once (`CLAIM`), and a copy or a moved video takes over what is known about its content.
- A failure never replaces an answer: the network disk may be back tomorrow.
- When another video stands under an old name, the answers about the old one move to `earlier.jsonl`, and come back with
  it.
- A line that this version cannot read, perhaps because a newer one wrote it, stays where it is and keeps its number.

A question that has an id of its own (`Item.id`) is known by it, any other by its sentence.
"""

import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from whenwhere.datasets.videos import is_address
from whenwhere.errors import OutputError, RecordError
from whenwhere.readers import printable
from whenwhere.records import Grounding, VideoRecord
from whenwhere.settings import slug
from whenwhere.store import append_line, json_object, write_bytes, write_new

#: Names of the file of records, of the answers about videos that are not there any more, and of the page.
LOG, EARLIER, PAGE = "grounding.jsonl", "earlier.jsonl", "page.html"
#: Name of the small picture of the video that the page about all videos shows.
THUMBNAIL = "thumbnail.jpg"
#: Name of the file that says whose a folder is until a record says so.
CLAIM = ".video.json"
#: Name of the page about all videos, which lies beside their folders.
INDEX = "index.html"
#: Longest name of a video's folder, in bytes; file systems allow 255, and a digest may follow.
LONGEST_NAME = 230


@dataclass(frozen=True)
class _Line:
    """A line of a file of records.

    Attributes:
        text: Its bytes, without the line break.
        record: The record that it holds, or None if this version cannot read it.
        torn: Whether its end is missing.
    """

    text: bytes
    record: Grounding | None
    torn: bool

    @property
    def owner(self) -> dict[str, Any] | None:
        """What the line says of its video, also if it cannot be read as a record; None if it says nothing."""
        if self.record is not None:
            return None if self.record.video is None else self.record.video.model_dump()
        video = (json_object(self.text) or {}).get("video")
        return video if isinstance(video, dict) and isinstance(video.get("path"), str) else None


class ResultStore:
    """The folder of one video's answers.

    Args:
        out: The folder of all videos.
        source: The video, as it was named.
        sha256_1mb: Hash of the video's first MiB, or None if the video could not be opened.
        content: Hash of the whole video, or None if the video could not be opened.

    Attributes:
        folder: The video's own folder. It is named after the video, unless that name is taken.
        unreadable: Number of lines that this version cannot read.

    Raises:
        OutputError: The folder cannot be read or written, or its file of records is not a regular file.
    """

    def __init__(self, out: Path, source: str, sha256_1mb: str | None, content: str | None = None) -> None:
        self._path, self._sha256_1mb, self._content = printable(source), sha256_1mb, content
        # Questions are looked up by several threads.
        self._lock = threading.RLock()
        # Answers about the same content that lie elsewhere, by identity.
        self._known: dict[str, Grounding] = {}
        # A path that UTF-8 cannot hold stands for several files, and "-" for any: only the content tells them apart.
        exact = self._path == source and source != "-"
        for place, folder in enumerate(_places(out, source, content)):
            self.folder = folder
            # In this order: another process may make the folder between the two looks.
            if not os.path.lexists(folder) or folder.is_dir():
                lines = self._take(source, exact or place > 0, place > 0 or exact or content is not None)
                if lines is not None:
                    break
        else:
            raise OutputError(f"{out} has a thousand folders named {folder_name(source)}; choose another --out")
        self._claimed = True
        earlier = _read_log(folder / EARLIER)
        self._remember(earlier)
        self._records: dict[tuple[str, str], Grounding] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._identities: dict[str, Grounding] = {}
        self._count = len(earlier)
        # Every line in the order of the file, and for each number the place of its latest line; -1 is another video's.
        self._lines = [line.text for line in lines]
        self._slots: dict[int, int] = {}
        self._moved: list[int] = []
        self.unreadable = 0
        for i, line in enumerate(lines):
            if line.torn:
                continue
            if line.record is None or not self._is_about(line.record):
                self._count += 1
                if line.record is None:
                    self.unreadable += 1
                    self._slots[self._count] = i
                else:
                    self._moved.append(i)
                    self._remember([line])
            else:
                self._keep(line.record, i)

    def _take(self, source: str, by_path: bool, if_empty: bool) -> list[_Line] | None:
        """The lines of the folder if it is this video's, else None. A folder that is nobody's is claimed.

        Args:
            source: The video, as it was named.
            by_path: Whether the path of the folder's video says which video it is.
            if_empty: Whether the folder may be taken if it says nothing of its video.

        Raises:
            OutputError: The folder cannot be read or written.
        """
        lines = _read_log(self.log)
        owners = _owners(lines)
        if owners or not if_empty:
            owned = self._owns(owners, source, by_path)
        else:
            _check_writable(self.folder)
            claim = self.folder / CLAIM
            own = VideoRecord(path=self._path, sha256_1mb=self._sha256_1mb, content=self._content)
            first = write_new(claim, own.model_dump_json().encode())
            claimed = [] if first else _claimants(claim)
            # Another process may have claimed the folder, stored its first answer and taken its claim back meanwhile,
            # so the file of records is read again, and after the claim.
            lines = _read_log(self.log)
            owners = _owners(lines) or claimed
            owned = not owners or self._owns(owners, source, by_path)
            if first and not owned:
                claim.unlink(missing_ok=True)
        if owned:
            _check_writable(self.folder)
            return lines
        self._remember(lines)
        return None

    def _owns(self, owners: list[dict[str, Any]], source: str, by_path: bool) -> bool:
        """Whether a folder about these videos is this video's."""
        if by_path and any(owner["path"] == self._path for owner in owners):
            return True
        name, known = ("sha256_1mb", self._sha256_1mb) if self._content is None else ("content", self._content)
        same = [owner for owner in owners if known is not None and owner.get(name) == known]
        return any(_may_be(owner["path"], source) for owner in same)

    def _is_about(self, record: Grounding) -> bool:
        """Whether a record of the folder is about what the video holds now."""
        video = record.video
        if video is None or self._sha256_1mb is None or video.sha256_1mb is None:
            return True
        if self._content is not None and video.content is not None:
            return video.content == self._content
        return video.sha256_1mb == self._sha256_1mb

    def _remember(self, lines: list[_Line]) -> None:
        """Keep in mind answers that lie elsewhere; their identity says which video content they are about."""
        for line in lines:
            if line.record is not None and is_final(line.record):
                self._known[line.record.identity or line.record.id] = line.record

    def _keep(self, record: Grounding, place: int) -> None:
        """A record of the file is the latest of its question."""
        key = _key(record)
        if key not in self._numbers:
            self._count += 1
            self._numbers[key] = self._count
        self._slots[self._numbers[key]] = place
        self._records[key] = record
        if is_final(record):
            self._identities[record.identity or record.id] = record

    @property
    def records(self) -> list[Grounding]:
        """The answer to each question, in the order in which the questions were first asked."""
        return list(self._records.values())

    @property
    def log(self) -> Path:
        """Path of the file of records."""
        return self.folder / LOG

    @property
    def page(self) -> Path:
        """Path of the page that shows all answers."""
        return self.folder / PAGE

    def files(self) -> list[Path]:
        """The files beside the page."""
        there = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(
            p for p in there if p.name not in (PAGE, EARLIER, THUMBNAIL) and not p.name.startswith(".") and p.is_file()
        )

    def find(self, query: str, identity: str, id: str = "") -> Grounding | None:
        """The stored answer to a question, or None if there is none, it failed, or one of its calls failed.

        An answer that is stored under another id, or in the folder of another video of the same content, is stored
        again under this one.

        Args:
            query: The sentence.
            identity: Hash of everything that the answer depends on (`Session.identity`).
            id: The question's own id, or "" if it has none.

        Raises:
            OutputError: The answer cannot be stored under this id.
        """
        with self._lock:
            own = self._records.get(("id", id) if id else ("query", " ".join(printable(query).split())))
            if own is not None and (own.identity or own.id) == identity and is_final(own):
                return own
            found = self._identities.get(identity)
            video = None if found is None else found.video
            if found is None:
                found = self._known.get(identity)
                if found is None:
                    return None
                if found.video is not None:
                    video = found.video.model_copy(update={"path": self._path, "content": self._content})
            copy = found.model_copy(update={"id": id or identity, "identity": identity, "video": video})
            self.add(copy)
            return copy

    def add(self, record: Grounding) -> None:
        """Store an answer. A failure is stored only where there is no answer, and the same failure only once.

        Raises:
            OutputError: The answer cannot be written.
        """
        with self._lock:
            old = self._records.get(_key(record))
            if old is not None and old.status != "failed":
                # Also an answer of which a part failed does not replace a complete one of the same settings.
                worse = is_final(old) and not is_final(record) and old.identity == record.identity
                if record.status == "failed" or worse:
                    return
            if old is not None and record.error is not None and old.error == record.error and old.id == record.id:
                return
            text = record.to_json()
            append_line(self.log, text)
            if self._claimed:
                # The line says whose the folder is.
                self._claimed = False
                with suppress(OSError):
                    (self.folder / CLAIM).unlink(missing_ok=True)
            self._lines.append(text.encode())
            self._keep(record, len(self._lines) - 1)

    def path(self, record: Grounding) -> Path:
        """Path of the files of an answer, without the ending."""
        return self.folder / f"{self._numbers[_key(record)]:02d}-{slug(record.query)}"

    def compact(self) -> None:
        """Drop lines that were replaced or torn, and put lines about another video aside.

        Nothing is done if another program has changed the file meanwhile.

        Raises:
            OutputError: A file cannot be written.
        """
        kept = [self._lines[place] for _, place in sorted(self._slots.items())]
        if kept == self._lines or [line.text for line in _read_log(self.log)] != self._lines:
            return
        for place in self._moved:
            append_line(self.folder / EARLIER, self._lines[place].decode())
        write_bytes(self.log, b"".join(line + b"\n" for line in kept))
        self._lines, self._moved = kept, []
        self._slots = {number: place for place, number in enumerate(sorted(self._slots))}


def read_results(out: Path) -> Iterator[Grounding]:
    """The records of all videos in a folder that a batch wrote, video by video; lines that cannot be read are skipped.

    Raises:
        OutputError: A file of records cannot be read.
    """
    for log in sorted(out.glob(f"*/{LOG}")):
        yield from (line.record for line in _read_log(log) if line.record is not None)


def result_folders(out: Path) -> list[Path]:
    """The folders of all videos in a folder that a batch wrote, by name."""
    return sorted(log.parent for log in out.glob(f"*/{LOG}"))


def latest_records(folder: Path) -> list[Grounding]:
    """The latest record of each question of a video's folder, in the order in which the page shows them.

    There is none if the file of records cannot be read; whoever answers questions about that video says so.
    """
    latest: dict[tuple[str, str], Grounding] = {}
    with suppress(OutputError):
        for line in _read_log(folder / LOG):
            if line.record is not None:
                latest[_key(line.record)] = line.record
    return list(latest.values())


def folder_name(source: str) -> str:
    r"""The name of the folder for a video.

    >>> folder_name("a/clip.one.mp4"), folder_name("https://host/films/x.mp4?key=1")
    ('clip.one', 'x')
    >>> folder_name("-"), folder_name("frames/"), folder_name("a\0b.mp4")
    ('stdin', 'frames', 'a_b')
    >>> folder_name("http://[/x.mp4"), len(folder_name("x" * 300))
    ('x', 237)
    """
    if source == "-":
        return "stdin"
    path = source
    if is_address(source):
        # an address may be none
        with suppress(ValueError):
            path = urlsplit(source).path
    name = printable(Path(path).stem).replace("?", "_").lstrip(".")
    name = "".join("_" if ord(c) < 32 or 127 <= ord(c) < 160 else c for c in name) or "video"
    if name.casefold() == INDEX:
        name = f"_{name}"
    data = name.encode()
    if len(data) > LONGEST_NAME:
        name = f"{data[:LONGEST_NAME].decode(errors='ignore')}-{_digest(name)}"
    return name


def _owners(lines: list[_Line]) -> list[dict[str, Any]]:
    """What lines say of their videos."""
    return [owner for line in lines if (owner := line.owner) is not None]


def _claimants(claim: Path) -> list[dict[str, Any]]:
    """The video whose process claimed a folder; none if the claim is gone or damaged."""
    with suppress(OSError):
        if claim.is_file():
            video = json_object(claim.read_bytes()) or {}
            return [video] if isinstance(video.get("path"), str) else []
    return []


def _places(out: Path, source: str, content: str | None) -> Iterator[Path]:
    """Folders in which the answers about a video may be, in the order in which they are tried."""
    name = folder_name(source)
    yield out / name
    name = f"{name}-{_digest(content or source if source == '-' else source)}"
    yield out / name
    for number in range(2, 1000):
        yield out / f"{name}-{number}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=3).hexdigest()


def _may_be(path: str, source: str) -> bool:
    """Whether a video that had this path may be the one named now, which has the same content.

    Paths of one file and a path that is gone may be it, and so may addresses that differ only in what follows `?`.
    Another file that is still there is a copy, whose answers are its own.
    """
    if is_address(path) or is_address(source):
        return path.partition("?")[0] == source.partition("?")[0]
    try:
        return os.path.samefile(path, source)
    except (OSError, ValueError):
        return not os.path.exists(path)


def _check_writable(folder: Path) -> None:
    """Refuse a folder in which no answer can be stored, before the answer is computed and perhaps paid for.

    Raises:
        OutputError: It cannot be written, or its file of records is a link.
    """
    if (folder / LOG).is_symlink():
        raise OutputError(f"cannot write {folder / LOG}: it is a symbolic link; remove it or choose another --out")
    if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to {folder}: permission is missing; choose another --out")


def _key(record: Grounding) -> tuple[str, str]:
    """What a question is known by: its own id if it has one, else its sentence."""
    own = record.identity is not None and record.id != record.identity
    return ("id", record.id) if own else ("query", record.query)


def is_final(record: Grounding) -> bool:
    """Whether an answer need not be computed again."""
    return record.status != "failed" and (record.parse is None or record.parse.status != "incomplete")


def _read_log(log: Path) -> list[_Line]:
    """The lines of a file of records; none if there is no file.

    Raises:
        OutputError: The file cannot be read.
    """
    try:
        # A pipe of this name would never end.
        with open(os.open(log, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as f:
            if not stat.S_ISREG(os.fstat(f.fileno()).st_mode):
                raise OSError("it is not a regular file")
            texts = f.read().split(b"\n")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as e:
        raise OutputError(f"cannot read {log}: {getattr(e, 'strerror', None) or e}; choose another --out") from e
    last = len(texts) - 1
    return [_read_line(text, i < last) for i, text in enumerate(texts) if text.strip()]


def _read_line(text: bytes, ended: bool) -> _Line:
    """A line of a file of records.

    Args:
        text: Its bytes.
        ended: Whether a line break follows.
    """
    try:
        return _Line(text, Grounding.from_json(text), False)
    except (RecordError, RecursionError):
        pass
    begin = b'{"version":'
    ours = text.startswith(begin) or begin.startswith(text)
    # A whole line ends with a brace; one that does and is damaged is kept for whoever can mend it.
    return _Line(text, None, ours and json_object(text) is None and not (ended and text.rstrip().endswith(b"}")))

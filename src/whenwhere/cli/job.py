"""One video's questions, answered and put on its shelf: what `ground` does once and `batch` for each video.

The order on disk is: the answer's line, then its files, then the page. So what is stored is never computed again, and
files that an interruption left out are made from the stored line the next time.
"""

import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import whenwhere.session
from whenwhere.cli.console import BUG, note
from whenwhere.cli.shelf import Shelf
from whenwhere.errors import SettingError, WhenwhereError
from whenwhere.records import Grounding
from whenwhere.session import Answer, Session
from whenwhere.settings import GroundingSettings, failure, identity


@dataclass(frozen=True)
class Job:
    """What is the same for every video of a command.

    Attributes:
        settings: how to answer.
        model: who answers.
        cache: folder for what was computed about videos, None = the user's.
        frame_rate: pictures per second of folders of pictures.
        max_download: most gigabytes to take from an address or standard input.
        out: where files go; None writes none.
        exports: names of files to write for each answer; `html` is one page per video.
        progress: told the share of a video that was looked at.
        resume: take stored answers for what they are, instead of answering anew.
        device: where a checkpoint runs; None = an accelerator where there is one.
    """

    settings: GroundingSettings
    model: str = "motion"
    cache: Path | None = None
    frame_rate: float = 25.0
    max_download: float = 4.0
    out: Path | None = None
    exports: tuple[str, ...] = ()
    progress: Callable[[float], None] | None = None
    resume: bool = False
    device: str | None = None

    def open(self, source: str) -> Session:
        """The video as a session of this job."""
        return whenwhere.session.open(
            source, self.model, self.cache, self.frame_rate, self.max_download, self.progress, self.device
        )


@dataclass
class Tally:
    """What became of the questions: how many per status, how many were there already, files that failed."""

    statuses: Counter[str] = field(default_factory=Counter)
    reused: int = 0
    unwritten: int = 0

    @property
    def questions(self) -> int:
        """All that were asked."""
        return sum(self.statuses.values())

    @property
    def failed(self) -> int:
        """Questions without an answer, and files that could not be written."""
        return self.statuses["failed"] + self.unwritten

    def __str__(self) -> str:
        parts = [f"{self.statuses[s]} {s}" for s in ("answered", "absent", "unsure", "failed") if self.statuses[s]]
        parts += [f"{self.unwritten} files could not be written"] if self.unwritten else []
        parts += [f"{self.reused} were there already"] if self.reused else []
        return ", ".join(parts) or "nothing asked"


#: Called with the video, each record of it, and the files written for it.
Tell = Callable[[str, Grounding, list[Path]], None]


def run(job: Job, source: str, queries: Sequence[str], tally: Tally, tell: Tell) -> Path | None:
    """Answer all questions about one video.

    Args:
        job: settings, model, output.
        source: the video.
        queries: sentences.
        tally: counts, added to.
        tell: told of each record as soon as it is stored.

    Returns:
        The page, where there is one.

    Raises:
        SettingError: the options do not fit the source; nothing else about a video is raised.
        OutputError: answers cannot be stored.
    """
    try:
        session = job.open(source)
    except SettingError:
        raise
    except Exception as e:
        _unopened(job, source, queries, tally, tell, e)
        return None
    with session:
        shelf = Shelf(job.out, source, session.info.sha256_1mb) if job.out is not None else None
        fresh = False
        try:
            for query in queries:
                stored = shelf.done(query, session.identity(query, job.settings)) if shelf and job.resume else None
                if stored is not None and job.settings.trace and stored.raw is None:
                    stored = None
                answer = Answer(stored, session) if stored else _ask(session, query, job)
                fresh |= stored is None
                tally.statuses[answer.status] += 1
                tally.reused += stored is not None
                if shelf and not stored:
                    shelf.add(answer.record)
                files = _write(job, shelf, answer, tally, anew=stored is None) if shelf else []
                tell(source, answer.record, files)
        finally:
            if shelf is not None:
                shelf.tidy()
        if shelf is None or "html" not in job.exports:
            return None
        if fresh or not shelf.page.exists():
            _write_page(shelf, session, tally)
        return shelf.page if shelf.page.exists() else None


def _unopened(job: Job, source: str, queries: Sequence[str], tally: Tally, tell: Tell, error: Exception) -> None:
    """Every question about a video that could not be opened failed, for the same reason."""
    _show_bug(error)
    shelf = Shelf(job.out, source, None) if job.out is not None else None
    for query in queries:
        record = failure(identity(source, query, job.model, job.settings), query, job.model, job.settings, error)
        tally.statuses["failed"] += 1
        if shelf:
            shelf.add(record)
        tell(source, record, [])
    if shelf:
        shelf.tidy()


def _ask(session: Session, query: str, job: Job) -> Answer:
    try:
        answer = session.ask(query, job.settings)
        if _need_frames(job):
            answer.fill()
        return answer
    except Exception as e:
        _show_bug(e)
        return session.failed(query, job.settings, e)


def _need_frames(job: Job) -> bool:
    from whenwhere.export import EXPORTERS

    return any(EXPORTERS[name].needs_frames for name in job.exports)


def _write(job: Job, shelf: Shelf, answer: Answer, tally: Tally, anew: bool) -> list[Path]:
    """The answer's files; of a stored answer only those that are missing."""
    from whenwhere.export import EXPORTERS

    files: list[Path] = []
    for name in job.exports:
        base = shelf.name(answer.record)
        path = base.with_name(base.name + EXPORTERS[name].ending)
        if EXPORTERS[name].per_video or answer.status == "failed" or (path.exists() and not anew):
            continue
        try:
            files += answer.save(path, name)
        except Exception as e:
            tally.unwritten += 1
            _show_bug(e)
            note(f"{path.name}: {e}")
    return files


def _write_page(shelf: Shelf, session: Session, tally: Tally) -> None:
    from whenwhere.export.page import write_video_page

    try:
        answers = [Answer(record, session) for record in shelf.records.values()]
        for answer in answers:
            answer.fill()
        write_video_page([answer.record for answer in answers], session.info, shelf.page, shelf.files())
    except WhenwhereError as e:
        tally.unwritten += 1
        note(f"{shelf.page.name}: {e}")


def _show_bug(error: Exception) -> None:
    """A bug becomes a record like any failure, so that the rest goes on; its traceback is still shown."""
    if not isinstance(error, WhenwhereError):
        traceback.print_exception(error)
        note(BUG)

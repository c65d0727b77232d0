"""The questions about one video, answered and stored, told as a sequence of events.

Nothing here prints or counts: whoever carries out a batch, in this process or in several, tells its callback what the
events say. Events can be sent from one process to another.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from whenwhere.datasets.item import Item
from whenwhere.errors import WhenwhereError
from whenwhere.jobs import BatchJob
from whenwhere.models.backends.pool import QuestionPool
from whenwhere.readers import printable
from whenwhere.records import Grounding, VideoRecord
from whenwhere.results import THUMBNAIL, ResultStore, folder_name
from whenwhere.session import Answer, Session
from whenwhere.settings import failure, identity
from whenwhere.store import DiskFullError


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question has its record. `error` says why it has no answer; a stored record does not know the error."""

    record: Grounding
    reused: bool = False
    files: list[Path] = field(default_factory=list)
    error: Exception | None = None


@dataclass(frozen=True)
class UnwrittenFile:
    """A file could not be written."""

    path: Path
    error: Exception


@dataclass(frozen=True)
class WarnedUser:
    """Something that a user should know, in a sentence."""

    sentence: str
    error: None = None


@dataclass(frozen=True)
class WrittenPage:
    """The page is there."""

    path: Path
    error: None = None


VideoEvent = AnsweredQuestion | UnwrittenFile | WarnedUser | WrittenPage


def video_events(
    job: BatchJob, source: str, items: Sequence[Item], pool: QuestionPool | None = None
) -> Iterator[VideoEvent]:
    """Answer all questions about one video and store the answers; this is the one boundary around everything about it.

    Args:
        job: Settings, model and output.
        source: The video.
        items: The questions; only their id, sentence and window are read.
        pool: The pool that asks the questions, which videos may share. None makes one for this video.

    Yields:
        What happens, in the order of the questions. Every question gets a record, whatever is wrong with the video, its
        folder or the page.

    Raises:
        DiskFullError: No answer can be stored any more.
    """
    waiting = deque(items)
    try:
        for event in _events_of_open(job, source, items, pool):
            if isinstance(event, AnsweredQuestion):
                waiting.popleft()
            yield event
    except (DiskFullError, CancelledError):
        raise
    except Exception as error:
        yield from failed_events(job, source, waiting, error)


def _events_of_open(
    job: BatchJob, source: str, items: Sequence[Item], pool: QuestionPool | None
) -> Iterator[VideoEvent]:
    with job.open(source) as session, ExitStack() as stack:
        if pool is None:
            pool = stack.enter_context(QuestionPool(_concurrency(job, session)))
        store = None
        if job.out is not None:
            store = ResultStore(job.out, source, session.info.sha256_1mb, session.content)
            if store.unreadable:
                yield WarnedUser(
                    f"this version cannot read {store.unreadable} of the lines in {store.log}; they stay there"
                )
        fresh = False
        try:
            for answer, error, reused in pool.map(lambda item: _answer(job, session, store, item), items):
                fresh |= not reused
                files: list[Path] = []
                if store is not None:
                    for done in _store_answer(job, store, answer, reused):
                        if isinstance(done, UnwrittenFile):
                            yield done
                        else:
                            files.append(done)
                yield AnsweredQuestion(answer.record, reused, files, error)
        finally:
            unwritten = _compact(store)
        if unwritten is not None:
            yield unwritten
        if store is not None and job.thumbnails:
            yield from _write_thumbnail(store, session)
        if store is not None and "html" in job.exports:
            if fresh or not store.page.exists():
                yield from _write_page(store, session)
            if store.page.exists():
                yield WrittenPage(store.page)


def _answer(
    job: BatchJob, session: Session, store: ResultStore | None, item: Item
) -> tuple[Answer, Exception | None, bool]:
    """The answer to a question, the error if there is none, and whether it was stored already."""
    from whenwhere.export import EXPORTERS

    settings = job.settings
    try:
        settings = job.settings_for(item)
        if store is not None and job.resume:
            stored = store.find(item.query, session.identity(item.query, settings), item.id)
            if stored is not None and not (settings.trace and stored.raw is None):
                return Answer(stored, session), None, True
        answer, error = session.ask(item.query, settings), None
        if any(EXPORTERS[name].needs_frames for name in job.exports):
            answer.fill()
    except DiskFullError:
        raise
    except Exception as e:
        answer, error = session.failed(item.query, settings, e), e
    if item.id:
        answer.record.id = printable(item.id)
    return answer, error, False


def _store_answer(job: BatchJob, store: ResultStore, answer: Answer, reused: bool) -> Iterator[Path | UnwrittenFile]:
    """Store an answer and write its files; of a stored answer only those that are missing.

    Yields:
        The files that were written, and those that could not be.
    """
    from whenwhere.export import EXPORTERS

    try:
        if not reused:
            store.add(answer.record)
    except DiskFullError:
        raise
    except Exception as e:
        yield UnwrittenFile(store.log, e)
        return
    if answer.status == "failed":
        return
    base = store.path(answer.record)
    for name in job.exports:
        path = base.with_name(base.name + EXPORTERS[name].ending)
        if EXPORTERS[name].per_video or (reused and path.exists()):
            continue
        try:
            yield from answer.save(path, name)
        except Exception as e:
            yield UnwrittenFile(path, e)


def failed_events(job: BatchJob, source: str, items: Iterable[Item], error: Exception) -> Iterator[VideoEvent]:
    """The questions about a video that have no answer yet fail, all for the same reason."""
    store = None
    if job.out is not None:
        # What is wrong may be the folder itself.
        with suppress(Exception):
            store = ResultStore(job.out, source, None)
    video = VideoRecord(path=printable(source))
    shown: Exception | None = error
    for item in items:
        same = identity(source, item.query, job.model_name, job.settings)
        record = failure(same, item.query, job.model_name, job.settings, error, video)
        if item.id:
            record.id = printable(item.id)
        if store is not None:
            try:
                store.add(record)
            except DiskFullError:
                raise
            except Exception as e:
                yield UnwrittenFile(store.log, e)
        yield AnsweredQuestion(record, error=shown)
        shown = None
    if shown is not None:
        # All questions had been answered, so that what failed came after them.
        yield UnwrittenFile(Path(folder_name(source)) if store is None else store.folder, error)
    if (unwritten := _compact(store)) is not None:
        yield unwritten


def _compact(store: ResultStore | None) -> UnwrittenFile | None:
    """Tidy up the file of records; lines that stay there do no harm."""
    if store is not None:
        try:
            store.compact()
        except Exception as e:
            return UnwrittenFile(store.log, e)
    return None


def _concurrency(job: BatchJob, session: Session) -> int:
    """How many questions are asked at a time; if the settings do not fit the model, each question will say so."""
    try:
        return session.concurrency(job.settings)
    except WhenwhereError:
        return 1


def _write_thumbnail(store: ResultStore, session: Session) -> Iterator[WarnedUser]:
    """Store a small picture of the video, unless there is one; a video of which none can be made is only warned of."""
    from whenwhere.export.index import write_thumbnail

    path = store.folder / THUMBNAIL
    if path.exists() or not store.folder.is_dir():
        return
    try:
        write_thumbnail(path, session.info, store.records)
    except DiskFullError:
        raise
    except Exception as e:
        yield WarnedUser(f"{path}: the video has no picture on the page about all videos ({e})")


def _write_page(store: ResultStore, session: Session) -> Iterator[UnwrittenFile | WarnedUser]:
    """Write the page of a video; an answer that cannot be drawn is missing from it, and the others are not."""
    from whenwhere.export.page import undrawable, write_video_page

    records, faults, warnings = [], list[Exception](), list[str]()
    for record in store.records:
        try:
            Answer(record, session).fill()
            records.append(record)
        except Exception as e:
            faults.append(e)
            records.append(undrawable(record, e))
    try:
        write_video_page(records, session.info, store.page, store.files(), faults, warnings)
    except Exception as e:
        faults.append(e)
    yield from (WarnedUser(f"{store.page}: {warning}") for warning in warnings)
    yield from (UnwrittenFile(store.page, e) for e in faults)

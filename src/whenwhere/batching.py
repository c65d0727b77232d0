"""Many questions about many videos, answered and stored: `whenwhere.batch`.

    result = whenwhere.batch("questions.jsonl", "answers", model="tiny")
    print(result)                                       # 12 answered, 1 absent
    for record in result.records(): ...

Questions are grouped by video, so that each video is opened and indexed once, whatever the order of the manifest. When
the same call is made again, it resumes: a question is done if an answer about this very video content, sentence, model
and settings is stored; failed questions are tried again. One bad video or line never stops the others: whatever
goes wrong with a video, its folder or its page, its questions get records that say so. Only a full disk ends a batch.

For each answer the order on the disk is: its line, then its files, then the video's page. So what is stored is never
computed again, and files that are missing after an interruption are made from the stored line the next time. At the
end, also of a batch that is interrupted, `index.html` lists all videos of the output folder with their questions, those
of earlier calls too.

Left out: several processes (start one for each part of the manifest; they share the cache, and may share the output
folder as long as no video is in two parts).
"""

import os
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from whenwhere.datasets.item import Item
from whenwhere.datasets.questions import QuestionList, read_folder, read_questions
from whenwhere.errors import OutputError, SettingError, WhenwhereError
from whenwhere.grounders.named import find_grounder
from whenwhere.grounders.pipelines import pipeline_concurrency
from whenwhere.jobs import BatchCallback as BatchCallback
from whenwhere.jobs import BatchJob as BatchJob
from whenwhere.jobs import BatchResult as BatchResult
from whenwhere.models.backends.base import ModelBackend
from whenwhere.models.backends.pool import QuestionPool
from whenwhere.models.backends.resolve import load_model
from whenwhere.readers import printable
from whenwhere.records import Grounding, VideoRecord
from whenwhere.results import INDEX, PAGE, THUMBNAIL, ResultStore, folder_name, latest_records, result_folders
from whenwhere.session import MAX_DOWNLOAD, Answer, Session, check_model
from whenwhere.settings import GroundingSettings, failure, identity, slug
from whenwhere.store import DiskFullError, make_folder


def batch(
    manifest: str | os.PathLike[str] | Iterable[Item],
    out: str | os.PathLike[str],
    *,
    model: str | ModelBackend = "motion",
    settings: GroundingSettings | None = None,
    sentences: Sequence[str] = (),
    exports: Sequence[str] = (),
    cache: str | os.PathLike[str] | None = None,
    frame_rate: float = 25.0,
    max_download: float = MAX_DOWNLOAD,
    device: str | None = None,
    concurrency: int | None = None,
    callback: BatchCallback | None = None,
) -> BatchResult:
    """Answer many questions about many videos; the same call again resumes.

    A question is searched for in its window (`Item.window`), if it has one, and its record has the question's own id.

    Args:
        manifest: A file of questions (`whenwhere.datasets.questions`), a folder of videos, or items.
        out: Folder for answers: `OUT/<video>/grounding.jsonl` and files, and `OUT/index.html` about all videos.
        model: The model that answers, as for `whenwhere.open`. It is loaded once for all videos.
        settings: How questions are answered. None takes the defaults of `GroundingSettings`.
        sentences: What to look for in each video, if the manifest is a folder.
        exports: Names of the files to write for each answer, such as `srt` or `html`.
        cache: Folder for what is computed about videos, or None for the user's cache folder.
        frame_rate: Pictures per second of a folder of pictures.
        max_download: The most gigabytes to take from an address.
        device: Where a checkpoint runs, or None for an accelerator if there is one.
        concurrency: How many questions an endpoint is sent at a time; None is 8.
        callback: Told of each answer as soon as it is stored.

    Returns:
        The counts of what became of the questions; `records()` gives the answers.

    Raises:
        SettingError: A setting, model or export is unknown, or does not fit the manifest.
        RecordError: The manifest cannot be read.
        MediaError: The folder holds no video.
        OutputError: Answers cannot be stored.
    """
    job = BatchJob(
        settings or GroundingSettings(),
        model,
        Path(out),
        tuple(exports),
        resume=True,
        cache=None if cache is None else Path(cache),
        frame_rate=frame_rate,
        max_download=max_download,
        device=device,
        concurrency=concurrency,
        callback=callback or BatchCallback(),
        thumbnails=True,
    )
    if isinstance(model, str):
        check_model(model, job.settings, device, concurrency)
    from whenwhere.video import check_source

    check_source(frame_rate, max_download)
    asked = _read(manifest, sentences)
    make_folder(out)
    by_video: dict[str, list[Item]] = {}
    for item in _distinct(asked.items):
        by_video.setdefault(item.video, []).append(item)
    result = BatchResult(job.out, sum(map(len, by_video.values())), len(by_video), asked.faults)
    job.callback.on_begin(result)
    try:
        with ExitStack() as stack:
            backend = None if isinstance(model, str) else model
            if isinstance(model, str) and find_grounder(model) is None:
                # One back end serves all sessions. If it cannot be loaded, every question gets a record that says so.
                with suppress(WhenwhereError):
                    loaded = load_model(model, device=device, concurrency=concurrency, cache=cache)
                    backend = stack.enter_context(loaded)
                    if device is None:
                        job = replace(job, model=backend, concurrency=None)
            _answer_videos(job, by_video, result, backend)
    except OutputError:
        # Where an answer could not be stored, the files about all videos could not either.
        raise
    except BaseException:
        _write_overview(job, result)
        raise
    _write_overview(job, result)
    return result


def _answer_videos(
    job: BatchJob, by_video: dict[str, list[Item]], result: BatchResult, backend: ModelBackend | None
) -> None:
    """Answer the questions about all videos, several at a time if the model answers several.

    Videos of one name are answered one after the other, since the first of them takes the folder of that name. Some
    file systems also take names for one that differ in case, or in how an accent is written.
    """
    by_folder: dict[str, list[str]] = {}
    for video in by_video:
        name = unicodedata.normalize("NFC", folder_name(video)).casefold()
        by_folder.setdefault(name, []).append(video)
    at_once = 1 if backend is None else pipeline_concurrency(job.settings.pipeline, backend)
    with QuestionPool(at_once) as questions, QuestionPool(at_once) as folders:

        def answer_folder(videos: list[str]) -> None:
            for video in videos:
                answer_video(job, video, by_video[video], result, questions)

        for _ in folders.map(answer_folder, by_folder.values()):
            pass


def answer_video(
    job: BatchJob, source: str, items: Sequence[Item], result: BatchResult, pool: QuestionPool | None = None
) -> None:
    """Answer all questions about one video and store the answers, in the order of the questions.

    Every question gets a status, whatever is wrong with the video, its folder or the page.

    Args:
        job: Settings, model and output.
        source: The video.
        items: The questions; only their id, sentence and window are read.
        result: The counts, which are added to.
        pool: The pool that asks the questions, which videos may share. None makes one for this video.

    Raises:
        DiskFullError: No answer can be stored any more.
    """
    # The callback is told outside of the boundary around the video: what it raises ends the batch.
    for event in _answers(job, source, items, pool):
        if event.error is not None and not isinstance(event.error, WhenwhereError):
            job.callback.on_bug(event.error)
        with result.lock:
            if isinstance(event, _Warned):
                job.callback.on_warning(event.sentence)
            elif isinstance(event, _Page):
                result.pages.append(event.path)
            elif isinstance(event, _Unwritten):
                result.unwritten += 1
                job.callback.on_unwritten(event.path, event.error)
            else:
                result.statuses[event.record.status] += 1
                result.reused += event.reused
                job.callback.on_answer(source, event.record, event.files)


@dataclass(frozen=True)
class _Answered:
    """A question has its record. `error` says why it has no answer; a stored record does not know the error."""

    record: Grounding
    reused: bool = False
    files: list[Path] = field(default_factory=list)
    error: Exception | None = None


@dataclass(frozen=True)
class _Unwritten:
    """A file could not be written."""

    path: Path
    error: Exception


@dataclass(frozen=True)
class _Warned:
    """Something that a user should know, in a sentence."""

    sentence: str
    error: None = None


@dataclass(frozen=True)
class _Page:
    """The page is there."""

    path: Path
    error: None = None


_Event = _Answered | _Unwritten | _Warned | _Page


def _answers(job: BatchJob, source: str, items: Sequence[Item], pool: QuestionPool | None) -> Iterator[_Event]:
    """What happens to the questions about one video. This is the one boundary around everything about it."""
    waiting = deque(items)
    try:
        for event in _answers_of_open(job, source, items, pool):
            if isinstance(event, _Answered):
                waiting.popleft()
            yield event
    except (DiskFullError, CancelledError):
        raise
    except Exception as error:
        yield from _failures(job, source, waiting, error)


def _answers_of_open(job: BatchJob, source: str, items: Sequence[Item], pool: QuestionPool | None) -> Iterator[_Event]:
    with job.open(source) as session, ExitStack() as stack:
        if pool is None:
            pool = stack.enter_context(QuestionPool(_concurrency(job, session)))
        store = None
        if job.out is not None:
            store = ResultStore(job.out, source, session.info.sha256_1mb, session.content)
            if store.unreadable:
                yield _Warned(
                    f"this version cannot read {store.unreadable} of the lines in {store.log}; they stay there"
                )
        fresh = False
        try:
            for answer, error, reused in pool.map(lambda item: _answer(job, session, store, item), items):
                fresh |= not reused
                files: list[Path] = []
                if store is not None:
                    for done in _store_answer(job, store, answer, reused):
                        if isinstance(done, _Unwritten):
                            yield done
                        else:
                            files.append(done)
                yield _Answered(answer.record, reused, files, error)
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
                yield _Page(store.page)


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


def _store_answer(job: BatchJob, store: ResultStore, answer: Answer, reused: bool) -> Iterator[Path | _Unwritten]:
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
        yield _Unwritten(store.log, e)
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
            yield _Unwritten(path, e)


def _failures(job: BatchJob, source: str, items: Iterable[Item], error: Exception) -> Iterator[_Event]:
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
                yield _Unwritten(store.log, e)
        yield _Answered(record, error=shown)
        shown = None
    if shown is not None:
        # All questions had been answered, so that what failed came after them.
        yield _Unwritten(Path(folder_name(source)) if store is None else store.folder, error)
    if (unwritten := _compact(store)) is not None:
        yield unwritten


def _compact(store: ResultStore | None) -> _Unwritten | None:
    """Tidy up the file of records; lines that stay there do no harm."""
    if store is not None:
        try:
            store.compact()
        except Exception as e:
            return _Unwritten(store.log, e)
    return None


def _read(manifest: str | os.PathLike[str] | Iterable[Item], sentences: Sequence[str]) -> QuestionList:
    if not isinstance(manifest, str | os.PathLike):
        return QuestionList(list(manifest))
    path = Path(manifest)
    if path.is_dir():
        return read_folder(path, sentences)
    if sentences:
        raise SettingError("--sentence and --sentences go with a folder of videos; a manifest has its own")
    return read_questions(path)


def _distinct(items: Iterable[Item]) -> Iterator[Item]:
    """The questions without repeats. One that has a window but no id gets an id made of both."""
    seen = set()
    for item in items:
        if item.window is not None and not item.id:
            item = replace(item, id=f"{slug(item.query)}-{item.window.start:g}-{item.window.end:g}")
        key = (item.video, item.id, item.query, item.window)
        if key not in seen:
            seen.add(key)
            yield item


def _concurrency(job: BatchJob, session: Session) -> int:
    """How many questions are asked at a time; if the settings do not fit the model, each question will say so."""
    try:
        return session.concurrency(job.settings)
    except WhenwhereError:
        return 1


def _write_overview(job: BatchJob, result: BatchResult) -> None:
    """Write the files about all videos of the output folder; that one cannot be written fails no question."""
    from whenwhere.export.coco import ALL, write_all
    from whenwhere.export.index import write_index

    if job.out is None:
        return
    out = job.out
    pages = ((f / PAGE if (f / PAGE).is_file() else f, latest_records(f)) for f in result_folders(out))

    def write_page() -> None:
        result.index = write_index(out / INDEX, pages, THUMBNAIL)

    files: dict[Path, Callable[[], object]] = {out / INDEX: write_page}
    if "coco" in job.exports:
        files[out / ALL] = lambda: write_all(out)
    for path, write in files.items():
        try:
            write()
        except Exception as e:
            if not isinstance(e, WhenwhereError):
                job.callback.on_bug(e)
            result.unwritten += 1
            job.callback.on_unwritten(path, e)


def _write_thumbnail(store: ResultStore, session: Session) -> Iterator[_Warned]:
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
        yield _Warned(f"{path}: the video has no picture on the page about all videos ({e})")


def _write_page(store: ResultStore, session: Session) -> Iterator[_Unwritten | _Warned]:
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
    yield from (_Warned(f"{store.page}: {warning}") for warning in warnings)
    yield from (_Unwritten(store.page, e) for e in faults)

"""Many questions about many videos, answered and stored: `whenwhere.batch`.

    result = whenwhere.batch("questions.jsonl", "answers", model="tiny")
    print(result)                                       # 12 answered, 1 absent
    for record in result.records(): ...

Questions are grouped by video, so that each video is opened and indexed once, whatever the order of the manifest. When
the same call is made again, it resumes: a question is done if an answer about this very video content, sentence, model
and settings is stored; failed questions are tried again. One bad video or line never stops the others.

For each answer the order on the disk is: its line, then its files, then the video's page. So what is stored is never
computed again, and files that are missing after an interruption are made from the stored line the next time.

Left out: several processes (start one for each part of the manifest; they share the cache, and may share the output
folder as long as no video is in two parts).
"""

import logging
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import whenwhere.session
from whenwhere.datasets.item import Item
from whenwhere.datasets.questions import QuestionList, read_folder, read_questions
from whenwhere.errors import SettingError, WhenwhereError
from whenwhere.grounders.pipelines import pipeline_concurrency
from whenwhere.models.backends.base import ModelBackend
from whenwhere.models.backends.pool import QuestionPool
from whenwhere.models.backends.resolve import load_model
from whenwhere.records import Grounding
from whenwhere.results import ResultStore, folder_name, read_results
from whenwhere.session import GROUNDERS, MAX_DOWNLOAD, Answer, Session, check_model
from whenwhere.settings import GroundingSettings, failure, identity, slug
from whenwhere.store import make_folder


@dataclass
class BatchResult:
    """What became of the questions of a batch.

    Attributes:
        out: Folder of the answers, or None if nothing is written.
        questions: Number of questions that were asked for.
        videos: Number of videos that they are about.
        faults: One sentence for each line of the manifest that could not be used.
        statuses: Number of questions that got each status so far.
        reused: Number of questions that were answered already.
        unwritten: Number of files that could not be written.
        pages: The pages of the videos, if pages were asked for.
        lock: Held while the counts change and while a callback is told of an answer: videos may be answered at a time.
    """

    out: Path | None = None
    questions: int = 0
    videos: int = 0
    faults: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    reused: int = 0
    unwritten: int = 0
    pages: list[Path] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def done(self) -> int:
        """Number of questions that have a status."""
        return sum(self.statuses.values())

    @property
    def failed(self) -> int:
        """Number of questions without an answer and of files that could not be written."""
        return self.statuses["failed"] + self.unwritten

    def records(self) -> Iterator[Grounding]:
        """All records in the output folder, video by video."""
        return iter(()) if self.out is None else read_results(self.out)

    def __str__(self) -> str:
        parts = [f"{self.statuses[s]} {s}" for s in ("answered", "absent", "unsure", "failed") if self.statuses[s]]
        parts += [f"{self.unwritten} files could not be written"] if self.unwritten else []
        parts += [f"{self.reused} were there already"] if self.reused else []
        return ", ".join(parts) or "nothing asked"


class BatchCallback:
    """Told of what happens in a batch while it runs; override the methods that you need."""

    def on_begin(self, result: BatchResult) -> None:
        """The manifest is read. `result` has the counts of questions and changes as the batch goes on."""

    def on_progress(self, share: float) -> None:
        """A built-in model has looked at this share, 0-1, of the present video."""

    def on_answer(self, source: str, record: Grounding, files: list[Path]) -> None:
        """A question about the video `source` has its record, which is stored, and its files are written."""

    def on_unwritten(self, path: Path, error: Exception) -> None:
        """A file could not be written."""

    def on_bug(self, error: Exception) -> None:
        """An error that is not explained to users was turned into a failed record, so that the rest goes on."""
        logging.getLogger(__name__).error("a fault of whenwhere was stored as a failed record", exc_info=error)


@dataclass(frozen=True)
class BatchJob:
    """What is the same for every video of a batch.

    Attributes:
        settings: How questions are answered.
        model: The model that answers: a name, or a back end from `whenwhere.load_model`.
        out: Folder of the answers, or None to write nothing.
        exports: Names of the files to write for each answer; `html` is one page per video.
        resume: Whether a stored answer is taken instead of asking again.
        cache: Folder for what is computed about videos, or None for the user's cache folder.
        frame_rate: Pictures per second of a folder of pictures.
        max_download: The most gigabytes to take from an address or standard input.
        device: Where a checkpoint runs, or None for an accelerator if there is one.
        concurrency: How many questions an endpoint is sent at a time; None is 8.
        callback: Told of what happens.

    Raises:
        SettingError: An export is unknown.
    """

    settings: GroundingSettings = field(default_factory=GroundingSettings)
    model: str | ModelBackend = "motion"
    out: Path | None = None
    exports: tuple[str, ...] = ()
    resume: bool = False
    cache: Path | None = None
    frame_rate: float = 25.0
    max_download: float = MAX_DOWNLOAD
    device: str | None = None
    concurrency: int | None = None
    callback: BatchCallback = field(default_factory=BatchCallback)

    def __post_init__(self) -> None:
        from whenwhere.export import EXPORTERS

        for name in self.exports:
            if name not in EXPORTERS:
                raise SettingError(f"there is no export {name!r}; choose from {', '.join(EXPORTERS)}")

    @property
    def model_name(self) -> str:
        """The name of the model."""
        return self.model if isinstance(self.model, str) else self.model.name

    def open(self, source: str) -> Session:
        """The video as a session of this job."""
        return whenwhere.session.open(
            source,
            self.model,
            self.cache,
            self.frame_rate,
            self.max_download,
            self.callback.on_progress,
            self.device,
            self.concurrency,
        )

    def settings_for(self, item: Item) -> GroundingSettings:
        """How one question is answered: its window says where to search.

        Raises:
            QueryError: It has a window although the settings say that the time is known.
        """
        return self.settings if item.window is None else replace(self.settings, within=item.window)


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
        out: Folder for answers: `OUT/<video>/grounding.jsonl` and files.
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
    )
    if isinstance(model, str):
        check_model(model, job.settings, device, concurrency)
    asked = _read(manifest, sentences)
    make_folder(out)
    by_video: dict[str, list[Item]] = {}
    for item in _distinct(asked.items):
        by_video.setdefault(item.video, []).append(item)
    result = BatchResult(job.out, sum(map(len, by_video.values())), len(by_video), asked.faults)
    job.callback.on_begin(result)
    with ExitStack() as stack:
        backend = None if isinstance(model, str) else model
        if isinstance(model, str) and model not in GROUNDERS:
            # One back end serves all sessions. If it cannot be loaded, every question gets a record that says so.
            with suppress(WhenwhereError):
                backend = stack.enter_context(load_model(model, device=device, concurrency=concurrency, cache=cache))
                if device is None:
                    job = replace(job, model=backend, concurrency=None)
        _answer_videos(job, by_video, result, backend)
    return result


def _answer_videos(
    job: BatchJob, by_video: dict[str, list[Item]], result: BatchResult, backend: ModelBackend | None
) -> None:
    """Answer the questions about all videos, several at a time if the model answers several.

    Videos of one name are answered one after the other, since the first of them takes the folder of that name.
    """
    by_folder: dict[str, list[str]] = {}
    for video in by_video:
        by_folder.setdefault(folder_name(video), []).append(video)
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

    Args:
        job: Settings, model and output.
        source: The video.
        items: The questions; only their id, sentence and window are read.
        result: The counts, which are added to.
        pool: The pool that asks the questions, which videos may share. None makes one for this video.

    Raises:
        SettingError: The options do not fit the source; no other error about a video is raised.
        OutputError: Answers cannot be stored.
    """
    try:
        session = job.open(source)
    except SettingError:
        raise
    except Exception as e:
        _store_failures(job, source, items, result, e)
        return
    with session, ExitStack() as stack:
        if pool is None:
            pool = stack.enter_context(QuestionPool(_concurrency(job, session)))
        store = None if job.out is None else ResultStore(job.out, source, session.info.sha256_1mb)
        fresh = False

        def answer_one(item: Item) -> tuple[Answer, bool]:
            """The answer to a question, and whether it was stored already."""
            stored = _stored(job, session, store, item)
            return (_ask(job, session, item), False) if stored is None else (Answer(stored, session), True)

        try:
            for answer, reused in pool.map(answer_one, items):
                fresh |= not reused
                files: list[Path] = []
                if store is not None:
                    if not reused:
                        store.add(answer.record)
                    files = _write_files(job, store, answer, result, anew=not reused)
                with result.lock:
                    result.statuses[answer.status] += 1
                    result.reused += reused
                    job.callback.on_answer(source, answer.record, files)
        finally:
            if store is not None:
                store.compact()
        if store is not None and "html" in job.exports:
            if fresh or not store.page.exists():
                _write_page(job, store, session, result)
            if store.page.exists():
                result.pages.append(store.page)


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


def _stored(job: BatchJob, session: Session, store: ResultStore | None, item: Item) -> Grounding | None:
    """The stored answer to a question, if it may be taken."""
    if store is None or not job.resume:
        return None
    try:
        settings = job.settings_for(item)
    except WhenwhereError:
        return None
    record = store.find(item.query, session.identity(item.query, settings), item.id)
    return None if record is not None and job.settings.trace and record.raw is None else record


def _concurrency(job: BatchJob, session: Session) -> int:
    """How many questions are asked at a time; if the settings do not fit the model, each question will say so."""
    try:
        return session.concurrency(job.settings)
    except WhenwhereError:
        return 1


def _ask(job: BatchJob, session: Session, item: Item) -> Answer:
    from whenwhere.export import EXPORTERS

    settings = job.settings
    try:
        settings = job.settings_for(item)
        answer = session.ask(item.query, settings)
        if any(EXPORTERS[name].needs_frames for name in job.exports):
            answer.fill()
    except Exception as e:
        _report_bug(job, e)
        answer = session.failed(item.query, settings, e)
    if item.id:
        answer.record.id = item.id
    return answer


def _store_failures(job: BatchJob, source: str, items: Sequence[Item], result: BatchResult, error: Exception) -> None:
    """Every question about a video that could not be opened fails, for the same reason."""
    _report_bug(job, error)
    store = None if job.out is None else ResultStore(job.out, source, None)
    for item in items:
        same = identity(source, item.query, job.model_name, job.settings)
        record = failure(same, item.query, job.model_name, job.settings, error)
        if item.id:
            record.id = item.id
        if store is not None:
            store.add(record)
        with result.lock:
            result.statuses["failed"] += 1
            job.callback.on_answer(source, record, [])
    if store is not None:
        store.compact()


def _write_files(job: BatchJob, store: ResultStore, answer: Answer, result: BatchResult, anew: bool) -> list[Path]:
    """Write the files of an answer; of a stored answer only those that are missing."""
    from whenwhere.export import EXPORTERS

    files: list[Path] = []
    for name in job.exports:
        base = store.path(answer.record)
        path = base.with_name(base.name + EXPORTERS[name].ending)
        if EXPORTERS[name].per_video or answer.status == "failed" or (path.exists() and not anew):
            continue
        try:
            files += answer.save(path, name)
        except Exception as e:
            result.unwritten += 1
            _report_bug(job, e)
            job.callback.on_unwritten(path, e)
    return files


def _write_page(job: BatchJob, store: ResultStore, session: Session, result: BatchResult) -> None:
    from whenwhere.export.page import write_video_page

    try:
        answers = [Answer(record, session) for record in store.records]
        for answer in answers:
            answer.fill()
        write_video_page([answer.record for answer in answers], session.info, store.page, store.files())
    except WhenwhereError as e:
        result.unwritten += 1
        job.callback.on_unwritten(store.page, e)


def _report_bug(job: BatchJob, error: Exception) -> None:
    if not isinstance(error, WhenwhereError):
        job.callback.on_bug(error)

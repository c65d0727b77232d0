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

With an engine (`whenwhere.engine`), videos are answered by several processes, on the cores of this machine or on a Ray
cluster, with the same results. Each worker loads the model once and stores its answers itself; this process gives out
the videos, the costliest first, and tells the callback.
"""

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from whenwhere.answering import (
    UnwrittenFile,
    VideoEvent,
    WarnedUser,
    WrittenPage,
    failed_events,
    video_events,
)
from whenwhere.datasets.item import Item
from whenwhere.datasets.manifest import parts as manifest_parts
from whenwhere.datasets.questions import QuestionList, read_folder, read_questions
from whenwhere.engine import Engine, by_cost, open_engine, portable
from whenwhere.errors import OutputError, SettingError, WhenwhereError
from whenwhere.grounders.named import AUTO, find_grounder, resolve_auto
from whenwhere.grounders.pipelines import pipeline_concurrency
from whenwhere.jobs import BatchCallback as BatchCallback
from whenwhere.jobs import BatchJob as BatchJob
from whenwhere.jobs import BatchResult as BatchResult
from whenwhere.models.backends.base import ModelBackend
from whenwhere.models.backends.endpoint import CONCURRENCY
from whenwhere.models.backends.pool import QuestionPool
from whenwhere.models.backends.resolve import find_kind, load_model
from whenwhere.results import INDEX, PAGE, THUMBNAIL, folder_name, latest_records, result_folders
from whenwhere.session import MAX_DOWNLOAD, check_model
from whenwhere.settings import GroundingSettings, slug
from whenwhere.store import make_folder, sole_run


def batch(
    manifest: str | os.PathLike[str] | Iterable[Item],
    out: str | os.PathLike[str],
    *,
    model: str | ModelBackend = AUTO,
    settings: GroundingSettings | None = None,
    sentences: Sequence[str] = (),
    exports: Sequence[str] = (),
    cache: str | os.PathLike[str] | None = None,
    frame_rate: float = 25.0,
    max_download: float = MAX_DOWNLOAD,
    device: str | None = None,
    concurrency: int | None = None,
    callback: BatchCallback | None = None,
    engine: str | Engine | None = None,
    workers: int | None = None,
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
        callback: Told of each answer as soon as it is stored; with an engine, of each video as soon as it is done.
        engine: Where videos are answered: None in this process, `local` in processes on all cores, `ray` on a Ray
            cluster (`whenwhere.engine`), or an engine that is open. Results are the same; their order is not.
        workers: Number of an engine's workers. None decides by cores and model.

    Returns:
        The counts of what became of the questions; `records()` gives the answers.

    Raises:
        SettingError: A setting, model or export is unknown, or does not fit the manifest.
        RecordError: The manifest cannot be read.
        MediaError: The folder holds no video.
        OutputError: Answers cannot be stored, or another run writes to the same folder.
        MissingExtraError: The engine is `ray`, which is not installed.
    """
    model = resolve_auto(model) if isinstance(model, str) else model
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
    if workers is not None and not isinstance(engine, str):
        raise SettingError("a number of workers goes with the name of an engine: local or ray")
    if isinstance(model, str):
        check_model(model, job.settings, device, concurrency)
    from whenwhere.video import check_source

    check_source(frame_rate, max_download)
    asked = _read(manifest, sentences)
    by_video: dict[str, list[Item]] = {}
    for item in _distinct(asked.items):
        by_video.setdefault(item.video, []).append(item)
    result = BatchResult(job.out, sum(map(len, by_video.values())), len(by_video), asked.faults)
    make_folder(out)
    with ExitStack() as stack:
        stack.enter_context(sole_run(out, folder=True))
        if isinstance(engine, str):
            engine = stack.enter_context(_open_engine(engine, workers, job, by_video))
        job.callback.on_begin(result)
        try:
            if engine is None:
                _answer_here(job, by_video, result)
            else:
                _answer_by_engine(job, by_video, result, engine)
        except OutputError:
            # Where an answer could not be stored, the files about all videos could not either.
            raise
        except BaseException:
            _write_overview(job, result)
            raise
        _write_overview(job, result)
    return result


def batch_draws(
    manifest: str | os.PathLike[str],
    out: str | os.PathLike[str],
    draws: int,
    *,
    model: str = AUTO,
    device: str | None = None,
    engine: str | None = None,
    workers: int | None = None,
) -> list[Path]:
    """Answer all questions several times with different seeds, for difficulties; the same call again resumes.

    Args:
        manifest: A file of questions, as for `batch`.
        out: Folder for the draws: `OUT/0`, `OUT/1`, ... are folders of batches whose seeds are their names.
        draws: Number of answers to each question, at least 1.
        model: The model that answers, as for `batch`; so are `device`, `engine` and `workers`.
        device: Where a checkpoint runs.
        engine: Where videos are answered.
        workers: Number of the engine's workers.

    Returns:
        The folders of the draws.

    Raises:
        SettingError: There are no draws, or what `batch` refuses.
        RecordError: The manifest cannot be read.
        OutputError: Answers cannot be stored, or another run writes to the same folder.
        MissingExtraError: The engine is `ray`, which is not installed.
    """
    if draws < 1:
        raise SettingError(f"a question is answered at least once, not {draws} times")
    folders = [Path(out) / str(seed) for seed in range(draws)]
    for seed, folder in enumerate(folders):
        batch(
            manifest, folder, settings=GroundingSettings(seed=seed), model=model, device=device, engine=engine,
            workers=workers,
        )  # fmt: skip
    return folders


def _open_engine(name: str, workers: int | None, job: BatchJob, by_video: Iterable[str]) -> Engine:
    """The engine of a batch, with a useful number of workers.

    Models without weights get a worker for each core, and addresses as many as they answer questions at a time. Of a
    model with weights there is one worker, or on Ray one for each accelerator: more of them are the user's decision.
    """
    if not isinstance(job.model, str):
        raise SettingError("an engine loads the model in each worker: give the model's name instead of a back end")
    if "-" in by_video:
        raise SettingError("standard input cannot be read by several processes: leave out the engine, or name a file")
    kind = find_grounder(job.model)
    weights = find_kind(job.model).in_process if kind is None else kind.check is not None
    if workers is None and kind is None and not weights:
        workers = job.concurrency or CONCURRENCY
    if workers is None and weights and name == "local":
        workers = 1
    return open_engine(name, workers, gpu=weights)


def _with_model(job: BatchJob, stack: ExitStack) -> tuple[BatchJob, ModelBackend | None]:
    """The job with its model loaded, and the back end if it has one, which lives as long as the stack is open.

    One back end serves all sessions. If it cannot be loaded, every question gets a record that says so.
    """
    if not isinstance(job.model, str):
        return job, job.model
    if find_grounder(job.model) is None:
        with suppress(WhenwhereError):
            loaded = load_model(job.model, device=job.device, concurrency=job.concurrency, cache=job.cache)
            backend = stack.enter_context(loaded)
            return job if job.device is not None else replace(job, model=backend, concurrency=None), backend
    return job, None


def _by_folder(by_video: Mapping[str, list[Item]]) -> list[list[tuple[str, list[Item]]]]:
    """Videos with their questions, those of one name together: the first of them takes the folder of that name.

    Some file systems also take names for one that differ in case, or in how an accent is written.
    """
    groups: dict[str, list[tuple[str, list[Item]]]] = {}
    for video, items in by_video.items():
        name = unicodedata.normalize("NFC", folder_name(video)).casefold()
        groups.setdefault(name, []).append((video, items))
    return list(groups.values())


def _answer_here(job: BatchJob, by_video: Mapping[str, list[Item]], result: BatchResult) -> None:
    """Answer the questions about all videos in this process, several at a time if the model answers several."""
    with ExitStack() as stack:
        job, backend = _with_model(job, stack)
        at_once = 1 if backend is None else pipeline_concurrency(job.settings.pipeline, backend)
        questions, folders = (stack.enter_context(QuestionPool(at_once)) for _ in range(2))

        def answer_folder(group: list[tuple[str, list[Item]]]) -> None:
            for video, items in group:
                answer_video(job, video, items, result, questions)

        for _ in folders.map(answer_folder, _by_folder(by_video)):
            pass


class FolderAnswerer:
    """Answers the questions about videos in a worker of an engine, which has one of these.

    Args:
        job: What the batch is told to do; its model is loaded here.
    """

    def __init__(self, job: BatchJob) -> None:
        self._job, self._backend = _with_model(job, ExitStack())

    def __call__(self, group: Sequence[tuple[str, list[Item]]]) -> list[tuple[str, VideoEvent]]:
        """What happened to the questions about some videos, each with the name of its video."""
        return [
            (video, event if event.error is None else replace(event, error=portable(event.error)))
            for video, items in group
            for event in video_events(self._job, video, items)
        ]


def _answer_by_engine(job: BatchJob, by_video: Mapping[str, list[Item]], result: BatchResult, engine: Engine) -> None:
    groups = _by_folder(by_video)
    order = by_cost([[video for video, _ in group] for group in groups], engine)
    theirs = replace(job, callback=BatchCallback())
    if isinstance(job.model, str) and find_grounder(job.model) is None and not find_kind(job.model).in_process:
        theirs = replace(theirs, concurrency=max(1, (job.concurrency or CONCURRENCY) // engine.workers))
    for done in engine.run(partial(FolderAnswerer, theirs), (groups[k] for k in order)):
        if isinstance(done.error, OutputError):
            raise done.error
        events = done.result
        if events is None:
            assert done.error is not None
            events = [(v, event) for v, items in done.task for event in failed_events(job, v, items, done.error)]
        for video, event in events:
            _tell(job, video, event, result)


def answer_video(
    job: BatchJob, source: str, items: Sequence[Item], result: BatchResult, pool: QuestionPool | None = None
) -> None:
    """Answer all questions about one video (`answering.video_events`), and count and tell what happens.

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
    for event in video_events(job, source, items, pool):
        _tell(job, source, event, result)


def _tell(job: BatchJob, source: str, event: VideoEvent, result: BatchResult) -> None:
    if event.error is not None and not isinstance(event.error, WhenwhereError):
        job.callback.on_bug(event.error)
    with result.lock:
        if isinstance(event, WarnedUser):
            job.callback.on_warning(event.sentence)
        elif isinstance(event, WrittenPage):
            result.pages.append(event.path)
        elif isinstance(event, UnwrittenFile):
            result.unwritten += 1
            job.callback.on_unwritten(event.path, event.error)
        else:
            result.statuses[event.record.status] += 1
            result.reused += event.reused
            job.callback.on_answer(source, event.record, event.files)


def _read(manifest: str | os.PathLike[str] | Iterable[Item], sentences: Sequence[str]) -> QuestionList:
    if not isinstance(manifest, str | os.PathLike):
        return QuestionList(list(manifest))
    path = Path(manifest)
    parts = manifest_parts(path) if path.is_dir() else [path]
    if not parts:
        return read_folder(path, sentences)
    if sentences:
        raise SettingError("--sentence and --sentences go with a folder of videos; a manifest has its own")
    read = [read_questions(part) for part in parts]
    return QuestionList([item for one in read for item in one.items], [fault for one in read for fault in one.faults])


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

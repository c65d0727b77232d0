"""Captions a corpus: finds the clips of its videos, captions those that are not done, and sums up.

`OUT` is a manifest that grows by one line for each clip. A rerun continues where the last run stopped, even if it was
killed: clips in `OUT` are not captioned again, and cuts and answers are taken from the cache. A clip whose call failed
is not in `OUT`, and is tried again. A video that cannot be read is named and passed over. Two runs cannot write the
same `OUT`.

Clips are cut from one video after the other while earlier ones are captioned, so that memory does not grow with the
corpus.
"""

import contextlib
import json
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.chat import Budget, Client
from whenwhere.curate.caption_sources import CaptionedVideo, clips_of, find_videos
from whenwhere.curate.captions import (
    MADE,
    SCALES,
    CaptionJob,
    CaptionModels,
    ChatSummariser,
    FunctionSummariser,
    caption_clip,
    clip_of,
    frame_times,
)
from whenwhere.curate.claims import summed_claims
from whenwhere.curate.clip_tracks import DetectedTracks, TruthTracks
from whenwhere.datasets.item import Item
from whenwhere.datasets.schema import to_json
from whenwhere.engine import Engine, by_cost
from whenwhere.errors import ChatError, ModelError, SettingError, WhenwhereError
from whenwhere.grounders.call_runner import plan_costs
from whenwhere.models.backends.base import BackendOptions
from whenwhere.models.captioners import is_function_name, load_function, open_captioner
from whenwhere.models.detectors.resolve import open_detector
from whenwhere.models.encoders.resolve import open_encoder
from whenwhere.store import Cache, DiskFullError, append_line, read_lines, sole_run
from whenwhere.video import probe
from whenwhere.video.picture import output_size

#: Tokens of a usual caption of one frame, for estimates of cost.
USUAL = 16


@dataclass
class CaptionReport:
    """What became of the clips, in this run and those before it.

    Attributes:
        videos: Number of videos.
        clips: Number of clips of the videos that could be read.
        written: Number of clips with captions.
        resumed: Number of clips that were done before this run.
        empty: Number of captions that could not be used, by scale and reason.
        words: Mean number of words of the captions of each scale.
        similarity: Mean similarity of clip and caption of each scale.
        claims: For each scale, the precision and recall of the objects and directions that it names, over all clips.
        copied: Number of clip files that were cut without encoding them again.
        encoded: Number of clip files that had to be encoded again, by reason.
        faults: One sentence for each video or clip that could not be captioned.
    """

    videos: int = 0
    clips: int = 0
    written: int = 0
    resumed: int = 0
    empty: Counter[str] = field(default_factory=Counter)
    words: dict[str, float] = field(default_factory=dict)
    similarity: dict[str, float] = field(default_factory=dict)
    claims: dict[str, dict[str, dict[str, float | None]]] = field(default_factory=dict)
    copied: int = 0
    encoded: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return vars(self) | {"empty": dict(self.empty), "encoded": dict(self.encoded)}


def open_models(
    job: CaptionJob, options: BackendOptions, tracks: Path | None = None, stack: contextlib.ExitStack | None = None
) -> CaptionModels:
    """Open the models that a job names.

    Args:
        job: The job.
        options: Where models run, where answers are kept, and what may be spent.
        tracks: A manifest with the true tracks that the claims of captions are compared with. None compares them with
            what the job's detector finds, or not at all.
        stack: Closes the connections when it ends. None leaves that to the caller.

    Raises:
        SettingError: There is no such model or function, or both a detector and tracks are given.
        ChatError, MissingExtraError, ModelError: A model cannot be opened.
        RecordError: The manifest of tracks cannot be read.
    """
    if tracks is not None and job.detector:
        raise SettingError("claims are checked by given tracks or by a detector: leave one of them out")
    out = CaptionModels()
    if tracks is not None:
        out.tracks = TruthTracks(tracks)
    if job.coarse:
        out.coarse = open_captioner(job.coarse, options, job.coarse_prompt)
    if job.fine:
        same = job.fine == job.coarse and job.fine_prompt == job.coarse_prompt
        out.fine = out.coarse if same else open_captioner(job.fine, options, job.fine_prompt)
    if job.fused:
        out.summariser = _summariser(job.fused, options)
    if job.encoder:
        out.encoder = open_encoder(job.encoder, options.device)
    if job.aesthetics:
        out.aesthetics = load_function(job.aesthetics, "a function of aesthetics")
    if job.detector:
        out.tracks = DetectedTracks(open_detector(job.detector, device=options.device), job.vocabulary)
    if stack is not None:
        for one in (out.coarse, out.fine):
            if one is not None:
                stack.callback(one.close)
        if isinstance(out.summariser, ChatSummariser):
            stack.callback(out.summariser.client.close)
    return out


def _summariser(name: str, options: BackendOptions) -> ChatSummariser | FunctionSummariser:
    """The summariser of a name: a function, or a model at an address."""
    if is_function_name(name):
        return FunctionSummariser(name)
    concurrency = options.concurrency or 8
    client = Client(name, cache=options.cache, budget=options.budget or Budget(), concurrency=concurrency)
    return ChatSummariser(client, concurrency)


@dataclass(frozen=True)
class _Outcome:
    """What became of a clip, or of a video whose clips cannot be found.

    Attributes:
        id: Id of the clip, or name of the video.
        item: The clip with its captions; None if it has none.
        error: Why it has none; "" if it has, or if the clip was done before.
        gone: Whether a model failed, rather than the clip.
        clip: Whether this is about a clip, not a whole video.
    """

    id: str
    item: Item | None = None
    error: str = ""
    gone: bool = False
    clip: bool = True


def caption_videos(
    sources: Sequence[Path],
    out: Path,
    models: CaptionModels,
    job: CaptionJob,
    clips: Path | None = None,
    cache: Cache | None = None,
    tell: Callable[[int, int], None] | None = None,
    engine: Engine | None = None,
    make: Callable[[], CaptionModels] | None = None,
) -> CaptionReport:
    """Caption all clips of some videos that are not done yet.

    Args:
        sources: Folders, videos and manifests.
        out: Manifest to which clips with captions are added (.jsonl).
        models: The models that are asked (`open_models`).
        job: Which captions are made, and from which frames.
        clips: Folder into which each clip is written as a file of its own. None writes none.
        cache: Where cuts are kept. None keeps none.
        tell: Called with the number of videos whose clips have been begun, and of all videos.
        engine: Workers that each take one video at a time. None works in threads of this process.
        make: Opens the models in each worker, in place of `models`; needed with an engine.

    Returns:
        What became of the clips, those of earlier runs included.

    Raises:
        RecordError: A source cannot be read.
        SettingError: There is no video, or `out` is not JSON Lines, or holds captions that were made otherwise.
        OutputError: A file cannot be written, or another run writes it.
    """
    report = CaptionReport()
    videos = find_videos(sources, job.shots == "items", report.faults)
    report.videos = len(videos)
    with sole_run(out):
        done = _done(out, job)
        if engine is None:
            outcomes = _outcomes(videos, models, job, out, done, clips, cache, tell)
            at_once = models.concurrency
        else:
            assert make is not None, "an engine opens the models in its workers"
            outcomes = _engine_outcomes(videos, engine, make, job, out, done, clips, cache, tell)
            at_once = engine.workers
        # a model that has gone away fails every clip, so a few failures in a row end the run
        in_vain, most = 0, max(8, 2 * at_once)
        written: set[str] = set()
        with contextlib.closing(outcomes):
            for one in outcomes:
                report.clips += one.clip
                if one.error:
                    report.faults.append(f"{one.id}: {one.error}")
                elif one.item is None:
                    report.resumed += 1
                elif one.id in written:
                    report.faults.append(f"{one.id}: ids must be unique; this clip is left out")
                else:
                    append_line(out, to_json(_placed(one.item, clips, out)))
                    written.add(one.id)
                in_vain = in_vain + 1 if one.gone else 0 if one.item is not None else in_vain
                if in_vain >= most:
                    report.faults.append(
                        f"stopped, because {in_vain} clips in a row failed: run the same command again to go on"
                    )
                    break
        return _summed(report, out)


def _outcomes(
    videos: Sequence[CaptionedVideo], models: CaptionModels, job: CaptionJob, out: Path, done: AbstractSet[str],
    clips: Path | None, cache: Cache | None, tell: Callable[[int, int], None] | None = None,
) -> Generator[_Outcome, None, None]:  # fmt: skip
    """Yield what becomes of each clip, in threads: while clips are captioned, the next ones are cut."""
    pool = ThreadPoolExecutor(models.concurrency, thread_name_prefix="whenwhere-captions")
    running: dict[Future[Item], str] = {}
    seen: set[str] = set()

    def finished(until: int) -> Iterator[_Outcome]:
        while len(running) > until:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield _result(running.pop(future), future)

    try:
        for number, video in enumerate(videos):
            if tell is not None:
                tell(number, len(videos))
            try:
                info = probe(video.path)
                found = clips_of(video, info, job, out, cache)
            except WhenwhereError as e:
                yield _Outcome(video.name, None, str(e), clip=False)
                continue
            for item in found:
                if item.id in done or item.id in seen:
                    error = "ids must be unique; this clip is left out" if item.id in seen else ""
                    yield _Outcome(item.id, None, error)
                    continue
                seen.add(item.id)
                yield from finished(2 * models.concurrency)
                running[pool.submit(caption_clip, item, out.parent, models, job, info, clips)] = item.id
        yield from finished(0)
    finally:
        # an interrupt does not wait for replies that may take minutes
        pool.shutdown(wait=False, cancel_futures=True)


class VideoCaptioner:
    """Captions the clips of a video, in a worker of an engine.

    Args:
        make: Opens the models.
        job: How clips are captioned.
        out: The manifest that will hold them.
        clips: Folder for the clips' files, or None.
        cache: Where cuts are kept, or None.
    """

    def __init__(
        self, make: Callable[[], CaptionModels], job: CaptionJob, out: Path, clips: Path | None, cache: Cache | None
    ) -> None:
        self._models, self._job, self._out, self._clips, self._cache = make(), job, out, clips, cache

    def __call__(self, task: tuple[CaptionedVideo, frozenset[str]]) -> list[_Outcome]:
        """Caption the clips of a video.

        Args:
            task: The video, and the ids of those of its clips that are done.

        Returns:
            What became of each clip.
        """
        video, done = task
        return list(_outcomes([video], self._models, self._job, self._out, done, self._clips, self._cache))


def _engine_outcomes(
    videos: Sequence[CaptionedVideo], engine: Engine, make: Callable[[], CaptionModels], job: CaptionJob, out: Path,
    done: AbstractSet[str], clips: Path | None, cache: Cache | None, tell: Callable[[int, int], None] | None,
) -> Generator[_Outcome, None, None]:  # fmt: skip
    """Yield what becomes of each clip, by an engine, with the most costly videos first."""
    costly = by_cost([[str(video.path)] for video in videos], engine)
    ids = sorted(done)
    tasks = ((videos[k], frozenset(_of_video(videos[k], ids, done))) for k in costly)
    start = partial(VideoCaptioner, make, job, out, clips, cache)
    for number, one in enumerate(engine.run(start, tasks), 1):
        if tell is not None:
            tell(number, len(videos))
        if isinstance(one.error, DiskFullError) or (one.error and not isinstance(one.error, WhenwhereError)):
            raise one.error
        if one.error is not None:
            yield _Outcome(one.task[0].name, None, str(one.error), isinstance(one.error, ChatError | ModelError), False)
        yield from one.result or ()


def _of_video(video: CaptionedVideo, ids: Sequence[str], done: AbstractSet[str]) -> Iterator[str]:
    """The ids of finished clips that may belong to a video."""
    if video.items:
        yield from (item.id for item in video.items if item.id in done)
        return
    prefix = f"{video.name}_"
    for k in range(bisect_left(ids, prefix), len(ids)):
        if not ids[k].startswith(prefix):
            return
        yield ids[k]


def _result(name: str, future: "Future[Item]") -> _Outcome:
    """What became of a clip whose thread has ended.

    Raises:
        DiskFullError: The disk is full, which ends the run.
    """
    try:
        return _Outcome(name, future.result())
    except DiskFullError:
        raise
    except (ChatError, ModelError) as e:
        return _Outcome(name, None, str(e), gone=True)
    except WhenwhereError as e:
        return _Outcome(name, None, str(e))


def _placed(item: Item, clips: Path | None, out: Path) -> Item:
    """The item with the path of its clip's file from the manifest's folder, by which training finds it."""
    if clips is None or "clip" not in item.extra:
        return item
    cut = os.path.relpath(clips / item.extra["clip"]["file"], out.parent)
    return replace(item, extra=item.extra | {"cut": Path(cut).as_posix()})


def _done(out: Path, job: CaptionJob) -> set[str]:
    """The ids of the clips that a manifest holds already.

    Raises:
        SettingError: The file is not JSON Lines, or its clips were captioned with other settings.
    """
    if out.suffix.lower() not in (".jsonl", ".ndjson"):
        raise SettingError(f"captions are added line by line: give --out a name that ends in .jsonl, not {out.name}")
    done, made = set(), json.loads(json.dumps(job.made()))
    for line in read_lines(out):
        if line.get("extra", {}).get(MADE) != made:
            raise SettingError(
                f"{out} holds lines that were made otherwise (another model, rate or prompt): choose another --out, or "
                "remove that file"
            )
        done.add(str(line.get("id")))
    return done


def estimate(
    sources: Sequence[Path], out: Path, models: CaptionModels, job: CaptionJob, cache: Cache | None = None
) -> dict[str, Any]:
    """Estimate what captions of all clips that are not done yet would cost, without asking any model.

    Cuts have to be found for that, and are kept in the cache.

    Args:
        sources: Folders, videos and manifests.
        out: Manifest to which clips with captions would be added (.jsonl).
        models: The models that would be asked.
        job: Which captions are made, and from which frames.
        cache: Where cuts are kept. None keeps none.

    Returns:
        Numbers of calls, frames and tokens, all together and by scale, and the faults (`plan_costs`).

    Raises:
        RecordError: A source cannot be read.
        SettingError: There is no video, or `out` holds captions that were made with other settings.
    """
    report = CaptionReport()
    videos = find_videos(sources, job.shots == "items", report.faults)
    done = _done(out, job)
    steps = {scale: Counter({"calls": 0, "frames": 0, "prompt_tokens": 0, "output_tokens": 0}) for scale in SCALES}
    for video in videos:
        try:
            info = probe(video.path)
            found = clips_of(video, info, job, out, cache)
        except WhenwhereError as e:
            report.faults.append(f"{video.name}: {e}")
            continue
        width, height = output_size(info, min(job.width, info.width))
        for item in found:
            if item.id in done:
                continue
            try:
                span = clip_of(item, info)
            except WhenwhereError as e:
                report.faults.append(f"{item.id}: {e}")
                continue
            n = len(frame_times(span, job.fps, job.frames))
            for scale, captioner, count in (("coarse", models.coarse, 1), ("fine", models.fine, n)):
                if captioner is not None:
                    prompt = count * captioner.prompt_tokens(width, height)
                    most = count * USUAL if captioner.priced else 0
                    steps[scale].update(calls=count, frames=count, prompt_tokens=prompt, output_tokens=most)
            if isinstance(models.summariser, ChatSummariser):
                usual = "x" * 4 * USUAL
                heard = [(0.0, usual)] * n if models.fine is not None else []
                request = models.summariser.request(usual, heard, span.duration, job.words)
                steps["fused"].update(calls=1, prompt_tokens=request.prompt_tokens(), output_tokens=2 * job.words)
    wanted = {scale: dict(step) for scale, step in steps.items() if step["calls"]}
    return plan_costs(wanted, faults=report.faults)


def _summed(report: CaptionReport, out: Path) -> CaptionReport:
    """The report with what the manifest holds added to it."""
    words: dict[str, list[int]] = {}
    cosines: dict[str, list[float]] = {}
    counts: dict[str, list[dict[str, Any]]] = {}
    for line in read_lines(out):
        extra = line["extra"]
        report.written += 1
        for scale in SCALES:
            if text := extra.get(f"caption_{scale}"):
                words.setdefault(scale, []).append(len(text.split()))
        report.empty.update(f"{scale}: {reason}" for scale, reason in extra.get("caption_faults", {}).items())
        for scale, value in extra.get("similarity", {}).items():
            cosines.setdefault(scale, []).append(value)
        for scale, check in extra.get("claims", {}).items():
            counts.setdefault(scale, []).append(check)
        if "clip" in extra:
            report.copied += extra["clip"]["copied"]
            report.encoded.update([extra["clip"]["because"]] if "because" in extra["clip"] else [])
    report.words = {scale: round(float(np.mean(some)), 2) for scale, some in words.items()}
    report.similarity = {scale: round(float(np.mean(some)), 4) for scale, some in cosines.items()}
    report.claims = {scale: kinds for scale in counts if (kinds := summed_claims(counts[scale]))}
    return report

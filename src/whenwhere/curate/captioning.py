"""Captions of a corpus: finds the clips of its videos, captions those that are not done, and sums up.

`OUT` is a manifest that grows by one line for each clip. A rerun goes on where the last run stopped, also after it was
killed: what `OUT` holds is not asked again, cuts and answers are taken from the cache. A clip whose call failed is not
in `OUT`, and is tried again. A video that cannot be read is named and passed over. Two runs cannot write one `OUT`.

Clips are cut from one video after the other while earlier ones are captioned, so that memory does not grow with the
corpus.
"""

import contextlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.chat import Budget, Client
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
from whenwhere.curate.item_sets import read_set
from whenwhere.curate.shots import shot_spans
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.schema import to_json
from whenwhere.datasets.videos import VIDEOS, VideoFolder, find_clip
from whenwhere.errors import ChatError, ModelError, RecordError, SettingError, WhenwhereError
from whenwhere.grounders.call_runner import plan_costs
from whenwhere.grounders.detector.named import load_detector
from whenwhere.models.backends.base import BackendOptions
from whenwhere.models.captioners import is_function_name, load_function, open_captioner
from whenwhere.models.encoders.resolve import open_encoder
from whenwhere.store import Cache, DiskFullError, append_line, read_lines, sole_run
from whenwhere.video import VideoInfo, probe
from whenwhere.video.picture import output_size

#: Tokens of a usual caption of one frame, for estimates.
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
        copied: Number of clip files that were copied without encoding.
        encoded: Number of those that were encoded again, by reason.
        faults: One sentence for each video or clip that could not be used.
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


@dataclass(frozen=True)
class CaptionedVideo:
    """A video whose clips are captioned.

    Attributes:
        path: The file.
        name: Its name in the ids of clips, without its ending.
        items: The items of a manifest about it; empty where its shots are its clips.
    """

    path: Path
    name: str
    items: tuple[Item, ...] = ()


def open_models(
    job: CaptionJob, options: BackendOptions, tracks: Path | None = None, stack: contextlib.ExitStack | None = None
) -> CaptionModels:
    """Open what a job names.

    Args:
        job: The job.
        options: Where models run, where answers are kept, and what may be spent.
        tracks: A manifest with the true tracks, for the check of claims.
        stack: Closes the connections when it ends. None leaves them to the caller.

    Raises:
        SettingError: There is no such model or function, or both a detector and tracks are given.
        ChatError, MissingExtraError, ModelError, RecordError: Something cannot be opened.
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
        detector, _ = load_detector(f"detector:{job.detector}", options.device)
        out.tracks = DetectedTracks(detector, job.vocabulary)
    if stack is not None:
        for one in (out.coarse, out.fine):
            if one is not None:
                stack.callback(one.close)
        if isinstance(out.summariser, ChatSummariser):
            stack.callback(out.summariser.client.close)
    return out


def _summariser(name: str, options: BackendOptions) -> ChatSummariser | FunctionSummariser:
    if is_function_name(name):
        return FunctionSummariser(name)
    concurrency = options.concurrency or 8
    client = Client(name, cache=options.cache, budget=options.budget or Budget(), concurrency=concurrency)
    return ChatSummariser(client, concurrency)


def find_videos(sources: Sequence[Path], items: bool, faults: list[str]) -> list[CaptionedVideo]:
    """The videos of folders, files and manifests, in a fixed order.

    Args:
        sources: Folders (all videos below them), videos, and manifests (.jsonl, .parquet).
        items: Whether the items of manifests are the clips.
        faults: Lines that cannot be read and videos that are missing are added to it.

    Raises:
        RecordError: A source does not exist, or a manifest cannot be read.
        SettingError: There is no video, or a folder has no items.
    """
    found: dict[Path, tuple[str, list[Item]]] = {}
    for source in sources:
        if source.is_dir():
            paths = sorted(p for p in source.rglob("*") if p.suffix.lower() in VIDEOS and p.is_file())
            found |= {path: (path.relative_to(source).with_suffix("").as_posix(), []) for path in paths}
        elif source.suffix.lower() in (".jsonl", ".ndjson", ".parquet"):
            _of_manifest(source, found, faults)
        elif source.exists():
            found[source] = source.stem, []
        else:
            raise RecordError(f"{source} does not exist: give a folder, a video or a manifest")
    if items and (bare := [path for path, (_, own) in found.items() if not own]):
        raise SettingError(
            f"shots = items takes the clips of a manifest, and {bare[0]} is not of one: take other shots"
        )
    if not found:
        raise SettingError(
            f"there is no video in {', '.join(map(str, sources))}"
            + (f": {faults[0]}" if faults else ": give a folder of videos, or a manifest")
        )
    taken = Counter(name for name, _ in found.values())
    return [
        CaptionedVideo(path, name if taken[name] == 1 else f"{name}{path.suffix}", tuple(own) if items else ())
        for path, (name, own) in found.items()
    ]


def _of_manifest(source: Path, found: dict[Path, tuple[str, list[Item]]], faults: list[str]) -> None:
    own = read_set(source)
    faults += own.faults
    folder = VideoFolder(source.parent, source)
    missing: Counter[str] = Counter()
    for item in own.items:
        place = find_clip(folder, item)
        if place is None:
            missing[item.video] += 1
        elif item.status != "valid":
            faults.append(f"{item.id}: {item.fault or 'the release marks it as invalid'}; it is left out")
        else:
            path, part = place
            # a file that holds the clip alone has no window
            kept = replace(item, window=None, spans=span_array()) if part is None else item
            found.setdefault(path, (Path(item.video).with_suffix("").name, []))[1].append(kept)
    faults += [f"{name} is not there, and its items are left out: put it beside {source}" for name in missing]


def clips_of(video: CaptionedVideo, info: VideoInfo, job: CaptionJob, out: Path, cache: Cache | None) -> list[Item]:
    """The clips of a video, each an item whose span is the clip.

    Args:
        video: The video.
        info: The probed video.
        job: How clips are found.
        out: The manifest that will hold them, from whose folder their path counts.
        cache: Where cuts are kept.

    Raises:
        MediaError, ModelError: Its cuts cannot be found.
    """
    place = os.path.relpath(video.path, out.parent)
    if video.items:
        return [replace(item, video=place) for item in video.items]
    made = {"video": video.name, "shots": job.shots}
    return [
        Item(
            f"{video.name}_{s.start:.3f}_{s.end:.3f}", place, spans=span_array([(s.start, s.end)]), source="captions",
            provenance=made,
        )
        for s in shot_spans(info, job.shots, job.shortest, job.longest, cache)
    ]  # fmt: skip


def caption_videos(
    sources: Sequence[Path],
    out: Path,
    models: CaptionModels,
    job: CaptionJob,
    clips: Path | None = None,
    cache: Cache | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> CaptionReport:
    """Caption all clips that are not done yet.

    Args:
        sources: Folders, videos and manifests.
        out: Manifest to which clips with captions are added (.jsonl).
        models: What is asked (`open_models`).
        job: How.
        clips: Folder into which each clip is written as a file of its own. None writes none.
        cache: Where cuts are kept. None keeps none.
        tell: Called with the number of videos whose clips are under way, and of all.

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
        pool = ThreadPoolExecutor(models.concurrency, thread_name_prefix="whenwhere-captions")
        running: dict[Future[Item], str] = {}
        # models that are gone fail every clip: a few in a row end the run
        in_vain, most = 0, max(8, 2 * models.concurrency)

        def take(until: int) -> None:
            nonlocal in_vain
            while len(running) > until:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    item, error, gone = _result(future)
                    in_vain = in_vain + 1 if gone else 0 if item is not None else in_vain
                    if item is not None:
                        append_line(out, to_json(_placed(item, clips, out)))
                    else:
                        report.faults.append(f"{name}: {error}")

        try:
            seen: set[str] = set()
            for number, (video, info, found) in enumerate(_clips(videos, job, out, cache, report)):
                if tell is not None:
                    tell(number, len(videos))
                for item in found:
                    if not item.id or item.id in seen:
                        report.faults.append(
                            f"{item.id or video.name}: ids must be unique and not empty; it is left out"
                        )
                        continue
                    seen.add(item.id)
                    report.clips += 1
                    if item.id in done:
                        report.resumed += 1
                        continue
                    take(2 * models.concurrency)
                    if in_vain >= most:
                        break
                    task = pool.submit(caption_clip, item, out.parent, models, job, info, clips)
                    running[task] = item.id
                if in_vain >= most:
                    report.faults.append(
                        f"stopped at {video.name}, because {in_vain} clips in a row failed: run the same command again "
                        "to go on"
                    )
                    break
            take(0)
        finally:
            # an interrupt does not wait for replies that may take minutes
            pool.shutdown(wait=False, cancel_futures=True)
        return _summed(report, out)


def _clips(
    videos: Sequence[CaptionedVideo], job: CaptionJob, out: Path, cache: Cache | None, report: CaptionReport
) -> Iterator[tuple[CaptionedVideo, VideoInfo, list[Item]]]:
    """The clips of each video that can be read."""
    for video in videos:
        try:
            info = probe(video.path)
            yield video, info, clips_of(video, info, job, out, cache)
        except WhenwhereError as e:
            report.faults.append(f"{video.name}: {e}")


def _result(future: "Future[Item]") -> tuple[Item | None, str, bool]:
    """An item or why there is none, and whether that is the fault of a model and not of a clip."""
    try:
        return future.result(), "", False
    except DiskFullError:
        raise
    except (ChatError, ModelError) as e:
        return None, str(e), True
    except WhenwhereError as e:
        return None, str(e), False


def _placed(item: Item, clips: Path | None, out: Path) -> Item:
    """The item with the path of its clip's file, by which training finds it."""
    if clips is None or "clip" not in item.extra:
        return item
    cut = os.path.relpath(clips / item.extra["clip"]["file"], out.parent)
    return replace(item, extra=item.extra | {"cut": Path(cut).as_posix()})


def _done(out: Path, job: CaptionJob) -> set[str]:
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
    """What captions of all clips that are not done yet would cost; nothing is asked. Arguments as of `caption_videos`.

    Cuts have to be found for it, and are kept in the cache.
    """
    report = CaptionReport()
    videos = find_videos(sources, job.shots == "items", report.faults)
    done = _done(out, job)
    steps = {scale: Counter({"calls": 0, "frames": 0, "prompt_tokens": 0, "output_tokens": 0}) for scale in SCALES}
    for _, info, found in _clips(videos, job, out, cache, report):
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
    """The report with what the file holds."""
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

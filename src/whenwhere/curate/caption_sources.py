"""Finds the videos and clips that are captioned, in folders, single files and manifests."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from whenwhere.curate.captions import CaptionJob
from whenwhere.curate.item_sets import read_set
from whenwhere.curate.shots import shot_spans
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.videos import VIDEOS, VideoFolder, find_clip
from whenwhere.errors import RecordError, SettingError
from whenwhere.store import Cache
from whenwhere.video import VideoInfo


@dataclass(frozen=True)
class CaptionedVideo:
    """A video whose clips are captioned.

    Attributes:
        path: The file.
        name: Name of the video in the ids of its clips, without its ending.
        items: Items of a manifest, which are its clips; empty if its clips are its shots.
    """

    path: Path
    name: str
    items: tuple[Item, ...] = ()


def find_videos(sources: Sequence[Path], items: bool, faults: list[str]) -> list[CaptionedVideo]:
    """Find the videos of folders, files and manifests, in a fixed order.

    Args:
        sources: Folders (all videos below them), videos, and manifests (.jsonl, .parquet).
        items: Whether the items of manifests are the clips.
        faults: List to which a sentence is added for each line that cannot be read and each video that is missing.

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
        raise SettingError(f"shots = items takes the clips of a manifest, and {bare[0]} is in none: take other shots")
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
    """Add the videos of a manifest, each with its items, to those that were found."""
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
    faults += [f"{name} does not exist, and its items are left out: put it beside {source}" for name in missing]


def clips_of(video: CaptionedVideo, info: VideoInfo, job: CaptionJob, out: Path, cache: Cache | None) -> list[Item]:
    """Find the clips of a video, each an item whose span is the clip.

    Args:
        video: The video.
        info: The probed video.
        job: How clips are found.
        out: The manifest that will hold them; their paths are relative to its folder.
        cache: Where cuts are kept. None keeps none.

    Raises:
        MediaError, ModelError: The cuts of the video cannot be found.
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

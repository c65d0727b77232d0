"""Staged clips on disk: the videos, their truth, and a manifest.

`truth.jsonl` holds one `Grounding` record per sentence, so that whatever reads answers reads the truth. `status` is
`answered` or `absent`; `spans` are the exact times; `tubes` have one box per second and one at both ends (of the frame
shown then, none while the referent is hidden); `filled` holds the boxes of every frame, with `fill` = `truth`.
`settings.model` is `truth`, and `reading` says what kind of sentence it is, about which actor, and how the clip was
made. `manifest.jsonl` holds the same truth in the schema of all manifests (`whenwhere.datasets.manifest`), which
`batch`, `eval`, `train` and `data` read; its paths count from the folder.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from whenwhere.datasets.staged import manifest_line
from whenwhere.records import Grounding, SettingsRecord, filled_record, span_records, tube_record
from whenwhere.stage.scene import Query, Scene, render
from whenwhere.stage.streams import STAGE_VERSION
from whenwhere.store import write_text
from whenwhere.tracking import second_level_times
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo, probe


def second_level(query: Query, scene: Scene, info: VideoInfo, rate: float = 1.0) -> Tube:
    """The query's boxes at the second-level times of its spans, each the box of the frame shown at that time."""
    times: list[float] = []
    boxes = []
    dense = dict(zip(info.shown(query.tube.times + 0.25 / scene.fps).tolist(), query.tube.boxes, strict=True))
    for span in query.spans:
        for t in second_level_times(span, rate, info.last_before(span.end)):
            i = int(info.shown(t))
            if i in dense:
                times.append(float(t))
                boxes.append(dense[i])
    return Tube(query.spans, times, boxes, rate=rate, label=query.tube.label)


def truth_record(query: Query, scene: Scene, info: VideoInfo, id: str) -> Grounding:
    """The line of `truth.jsonl` for one sentence of a scene."""
    world = scene.world
    return Grounding(
        id=id,
        video=info.record(),
        query=query.text,
        status="absent" if query.absent else "answered",
        confidence=1.0,
        spans=span_records(query.spans),
        tubes=[] if query.absent else [tube_record(second_level(query, scene, info))],
        filled=None if query.absent else filled_record("truth", "0", query.tube.times, query.tube.boxes),
        settings=SettingsRecord(model="truth", pipeline="stage", rate=1.0, fill="truth", seed=world.seed % (1 << 32)),
        reading={
            "kind": query.kind,
            "actor": query.actor,
            "split": world.split,
            "domain": world.domain,
            "camera": [v.camera for v in world.views],
            "cuts": [round(c, 3) for c in scene.cuts],
            "version": STAGE_VERSION,
        },
    )


def write_stage(
    out: str | os.PathLike[str], clips: int, seed: int = 0, split: str = "dev", *, domain: str | None = None,
    width: int = 640, height: int = 360, fps: float = 15.0, seconds: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:  # fmt: skip
    """Render clips into a folder, with their truth and a manifest.

    Clip k has the seed `seed + k` and the name `<split>-<seed>.mp4`. If the work is stopped early, the files name the
    clips that are finished.

    Args:
        out: The folder; it is made if it is missing.
        clips: Number of clips.
        seed: Seed of the first clip.
        split: Split that the clips belong to; see `render`.
        domain: Kind of place, or None for any; see `render`.
        width: Width of a frame in pixels.
        height: Height of a frame in pixels.
        fps: Frames per second.
        seconds: Length of each clip, or None for lengths that vary; see `render`.
        progress: Called with (finished clips, all clips) after every clip.

    Returns:
        Paths of the clips.

    Raises:
        SettingError: See `render`.
        OutputError: The folder cannot be written.
    """
    folder = Path(out)
    paths: list[Path] = []
    truth: list[str] = []
    manifest: list[str] = []
    try:
        for k in range(clips):
            path = folder / f"{split}-{seed + k:06d}.mp4"
            scene = render(path, seed + k, split, domain=domain, width=width, height=height, fps=fps, seconds=seconds)
            # the record names the clip as the manifest does: the folder may move
            info = replace(probe(path), path=path.name)
            for j, query in enumerate(scene.sentences):
                truth.append(truth_record(query, scene, info, f"{path.stem}-{j:02d}").to_json())
                manifest.append(manifest_line(truth[-1], len(truth)))
            paths.append(path)
            if progress is not None:
                progress(k + 1, clips)
    finally:
        write_text(folder / "truth.jsonl", "".join(line + "\n" for line in truth))
        write_text(folder / "manifest.jsonl", "".join(line + "\n" for line in manifest))
    return paths

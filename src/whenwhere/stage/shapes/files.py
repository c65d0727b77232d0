"""Clips of shapes on disk: videos, their truth, and a manifest, as `whenwhere.stage.write_stage` writes its own.

`truth.jsonl` holds one `Grounding` record per sentence (spans, second-level tubes, the boxes of every frame; `reading`
says the kind, the referents, the cuts and, if there is one, the noisy label). `manifest.jsonl` holds the same truth in
the schema of all manifests. `captions.jsonl`, `questions.jsonl` and `actions.jsonl` are written beside them, one line
for each, with the name of the video.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from whenwhere.datasets.staged import manifest_line
from whenwhere.records import Grounding, SettingsRecord, filled_record, span_records, tube_record
from whenwhere.stage.shapes.clip import ShapesClip, make_clip
from whenwhere.stage.shapes.query import ShapesQuery
from whenwhere.stage.shapes.world import ShapesWorld
from whenwhere.stage.streams import STAGE_VERSION
from whenwhere.store import write_text
from whenwhere.tracking import second_level_times
from whenwhere.tubes import Tube
from whenwhere.video import FrameWriter, VideoInfo, probe

#: Names of the JSON Lines files of a folder.
_FILES = ("truth", "manifest", "captions", "questions", "actions")


def second_level(query: ShapesQuery, info: VideoInfo, rate: float = 1.0) -> Tube:
    """The query's boxes at the second-level times of its spans, without the times at which the referent is hidden.

    Args:
        query: A sentence of a clip, with the boxes of every frame.
        info: The file of the clip.
        rate: Boxes per second.

    Returns:
        The sparse tube.
    """
    fps = query.tube.rate
    dense = dict(zip(np.rint(query.tube.times * fps).astype(int).tolist(), query.tube.boxes, strict=True))
    times = [float(t) for s in query.spans for t in second_level_times(s, rate, info.last_before(s.end))]
    shown = [(t, int(info.shown(t))) for t in times]
    kept = [(t, dense[k]) for t, k in shown if k in dense]
    return Tube(query.spans, [t for t, _ in kept], [b for _, b in kept], rate=rate, label=query.text)


def truth_record(
    clip: ShapesClip, query: ShapesQuery, world: ShapesWorld, seed: int, info: VideoInfo, id: str
) -> Grounding:
    """The line of `truth.jsonl` for one sentence of a clip."""
    there = query.referents > 0
    label = query.label
    return Grounding(
        id=id,
        video=info.record(),
        query=query.text,
        status="answered" if there else "absent",
        confidence=1.0,
        spans=span_records(query.spans),
        tubes=[tube_record(second_level(query, info))] if there else [],
        filled=filled_record("truth", "0", query.tube.times, query.tube.boxes) if there else None,
        settings=SettingsRecord(model="truth", pipeline="stage", rate=1.0, fill="truth", seed=seed % (1 << 32)),
        reading={
            "kind": query.kind if there else "absent",
            "asked": query.kind,
            "referents": query.referents,
            "label": None if label is None else [[s.start, s.end] for s in label],
            "world": "shapes",
            "split": world.split,
            "domain": world.domain,
            "cuts": clip.cuts,
            "version": STAGE_VERSION,
        },
    )


def write_shapes(
    out: str | os.PathLike[str], clips: int, seed: int = 0, world: ShapesWorld | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:  # fmt: skip
    """Render clips into a folder, with their truth and a manifest.

    Clip k has the seed `seed + k`. If the work is stopped early, the files name the clips that are finished.

    Args:
        out: The folder; it is made if it is missing.
        clips: Number of clips.
        seed: Seed of the first clip.
        world: The world that the clips are drawn from. None draws clips of 128 pixels and 8 frames per second.
        progress: Called with (finished clips, all clips) after every clip.

    Returns:
        Paths of the clips.

    Raises:
        OutputError: The folder cannot be written.
    """
    world = world or ShapesWorld(side=128, fps=8)
    folder = Path(out)
    paths: list[Path] = []
    lines: dict[str, list[str]] = {name: [] for name in _FILES}
    try:
        for k in range(clips):
            clip = make_clip(world, seed + k)
            path = folder / f"{clip.id}.mp4"
            with FrameWriter(path, world.side, world.side, world.fps, crf=12) as video:
                for image in clip.images:
                    video.write(image)
            # the record names the clip as the manifest does: the folder may move
            info = replace(probe(path), path=path.name)
            for j, query in enumerate(clip.queries):
                record = truth_record(clip, query, world, seed + k, info, f"{clip.id}-{j:02d}")
                lines["truth"].append(record.to_json())
                lines["manifest"].append(manifest_line(lines["truth"][-1], len(lines["truth"])))
            for name, items in (
                ("captions", clip.captions),
                ("questions", clip.questions),
                ("actions", clip.actions),
            ):
                lines[name] += [json.dumps({"video": path.name, **asdict(item)}) for item in items]
            paths.append(path)
            if progress is not None:
                progress(k + 1, clips)
    finally:
        for name, some in lines.items():
            write_text(folder / f"{name}.jsonl", "".join(line + "\n" for line in some))
    return paths

"""Clips of shapes on disk: videos, their truth and a manifest, in the form in which `whenwhere.stage` writes its clips.

`truth.jsonl` holds one `Grounding` record per sentence: spans, second-level tubes and the boxes of every frame;
`reading` says the kind of sentence, the number of referents, the cuts and, if there is one, the noisy label.
`manifest.jsonl` holds the same truth in the schema of all manifests. `captions.jsonl`, `questions.jsonl` and
`actions.jsonl` hold one caption, question or action per line, with the name of its video.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from whenwhere.datasets.staged import manifest_line
from whenwhere.stage.shapes.clip import ShapesClip, make_clip
from whenwhere.stage.shapes.query import ShapesQuery
from whenwhere.stage.shapes.world import ShapesWorld
from whenwhere.stage.truth_records import truth_record
from whenwhere.store import write_text
from whenwhere.video import FrameWriter, probe

#: Names of the JSON Lines files of a folder.
_FILES = ("truth", "manifest", "captions", "questions", "actions")


def _reading(query: ShapesQuery, clip: ShapesClip, world: ShapesWorld) -> dict[str, object]:
    """What is known of a sentence and its clip besides the truth."""
    return {
        "kind": query.kind if query.referents else "absent",
        "asked": query.kind,
        "referents": query.referents,
        "label": None if query.label is None else [[s.start, s.end] for s in query.label],
        "world": "shapes",
        "split": world.split,
        "domain": world.domain,
        "cuts": clip.cuts,
    }


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
        world: The distribution from which the clips are drawn. None draws clips of 128 pixels and 8 frames per second.
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
            # The record and the manifest name the clip relative to the folder, which may move.
            info = replace(probe(path), path=path.name)
            for j, query in enumerate(clip.queries):
                id = f"{clip.id}-{j:02d}"
                record = truth_record(id, query.text, query.tube, info, seed + k, _reading(query, clip, world))
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

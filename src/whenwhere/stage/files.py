"""Staged clips on disk: the videos, their truth, and a manifest.

`truth.jsonl` holds one `Grounding` record per sentence, so that everything that reads answers can read the truth:
`status` is `answered` or `absent`; `spans` are the exact times; `tubes` have one box per second and one at both ends of
a span, each taken from the frame shown at that time and left out while the referent is hidden; `filled` holds the boxes
of every frame, with `fill` = `truth`. `settings.model` is `truth`, and `reading` says what kind of sentence it is,
about which actor, and how the clip was made. `manifest.jsonl` holds the same truth in the schema of all manifests
(`whenwhere.datasets.manifest`), which `batch`, `eval`, `train` and `data` read; its paths are relative to the folder.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from whenwhere.datasets.staged import manifest_line
from whenwhere.stage.scene import Query, Scene, render_clip
from whenwhere.stage.truth_records import truth_record
from whenwhere.store import write_text
from whenwhere.video import probe


def _reading(query: Query, scene: Scene) -> dict[str, object]:
    """What is known of a sentence and its clip besides the truth."""
    return {
        "kind": query.kind,
        "actor": query.actor,
        "split": scene.world.split,
        "domain": scene.world.domain,
        "camera": [v.camera for v in scene.world.views],
        "cuts": [round(c, 3) for c in scene.cuts],
    }


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
        split: `dev`, `val` or `heldout`; see `render_clip`.
        domain: Name of a place of the split. None draws one for each clip.
        width: Width of a frame in pixels.
        height: Height of a frame in pixels.
        fps: Frames per second.
        seconds: Duration of each clip in seconds. None draws one for each clip; see `render_clip`.
        progress: Called with (finished clips, all clips) after every clip.

    Returns:
        Paths of the clips.

    Raises:
        SettingError: The split or domain is unknown, the size cannot be made, or the seed is negative.
        OutputError: The folder cannot be written.
    """
    folder = Path(out)
    paths: list[Path] = []
    truth: list[str] = []
    manifest: list[str] = []
    try:
        for k in range(clips):
            path = folder / f"{split}-{seed + k:06d}.mp4"
            scene = render_clip(
                path, seed + k, split, domain=domain, width=width, height=height, fps=fps, seconds=seconds
            )
            # The record and the manifest name the clip relative to the folder, which may move.
            info = replace(probe(path), path=path.name)
            for j, query in enumerate(scene.sentences):
                id = f"{path.stem}-{j:02d}"
                record = truth_record(id, query.text, query.tube, info, scene.world.seed, _reading(query, scene))
                truth.append(record.to_json())
                manifest.append(manifest_line(truth[-1], len(truth)))
            paths.append(path)
            if progress is not None:
                progress(k + 1, clips)
    finally:
        write_text(folder / "truth.jsonl", "".join(line + "\n" for line in truth))
        write_text(folder / "manifest.jsonl", "".join(line + "\n" for line in manifest))
    return paths

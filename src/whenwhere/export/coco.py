"""COCO for video, with the keys of TAO: `videos`, `images`, `tracks`, `annotations`, `categories`.

The images are the frames that have a box. `frame_index` counts from 0 and `id` from 1; `file_name` is what a dump of
the frames is usually called (`<video>/000001.jpg`). Every annotation has `image_id`, `video_id`, `track_id`, and `bbox`
as left, top, width, height in pixels of the displayed frame. The sentence is the caption of each track and of the
video; the category is the tube's label, or `object`. `pycocotools` loads the file without changes.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whenwhere.export.exporter import Exporter
from whenwhere.export.frames import frame_boxes
from whenwhere.store import write_text

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo


def build(record: "Grounding", info: "VideoInfo") -> dict[str, Any]:
    """The COCO file of an answer as a JSON object."""
    tubes = frame_boxes(record, info)
    names = list(dict.fromkeys(on.tube.label or "object" for on in tubes)) or ["object"]
    stem = Path(record.video.path if record.video else info.path).stem
    tracks: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for n, on in enumerate(tubes, 1):
        category = names.index(on.tube.label or "object") + 1
        tracks.append(
            {"id": n, "video_id": 1, "category_id": category, "name": on.tube.id, "caption": record.query}
            | ({} if on.tube.score is None else {"score": on.tube.score})
        )
        for frame in on.present.tolist():
            x1, y1, x2, y2 = on.boxes[frame].tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": frame + 1,
                    "video_id": 1,
                    "track_id": n,
                    "category_id": category,
                    "bbox": [round(v, 3) for v in (x1, y1, x2 - x1, y2 - y1)],
                    "area": round((x2 - x1) * (y2 - y1), 3),
                    "iscrowd": 0,
                }
                | ({} if on.tube.score is None else {"score": on.tube.score})
            )
    images = [
        {
            "id": i,
            "video_id": 1,
            "frame_index": i - 1,
            "timestamp": round(float(info.times[i - 1]), 6),
            "width": info.width,
            "height": info.height,
            "file_name": f"{stem}/{i:06d}.jpg",
        }
        for i in sorted({a["image_id"] for a in annotations})
    ]
    video = {
        "id": 1,
        "name": stem,
        "file_name": record.video.path if record.video else info.path,
        "width": info.width,
        "height": info.height,
        "length": len(info.times),
        "fps": round(info.fps, 6),
        "caption": record.query,
    }
    return {
        "info": {"description": f"whenwhere: {record.status}", "version": "1", "id": record.id},
        "licenses": [],
        "videos": [video],
        "images": images,
        "tracks": tracks,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
    }


def write(record: "Grounding", info: "VideoInfo", path: Path) -> list[Path]:
    """Write an answer as a COCO file."""
    return [write_text(path, json.dumps(build(record, info), ensure_ascii=False) + "\n")]


EXPORTER = Exporter("coco", ".coco.json", write, needs_frames=True)

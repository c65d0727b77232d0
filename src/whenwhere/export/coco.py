"""COCO for video, with the keys of TAO: `videos`, `images`, `tracks`, `annotations`, `categories`.

The images are the frames that have a box. They are written too, as JPEG files in a folder beside the COCO file, and
`file_name` counts from there (`<video>-<hash>/000001.jpg`; the hash tells videos of one name apart). `frame_index`
counts from 0 and `id` from 1. Every annotation has `image_id`, `video_id`, `track_id`, `bbox` as left, top, width,
height in pixels of the displayed frame, and the box as the polygon of `segmentation`. The sentence is the caption of
each track and of the video; the category is the tube's label, or `object`. `pycocotools` loads the file without
changes.

A batch also writes one file about all of its videos (`merge`), whose `file_name`s count from its own folder.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from whenwhere.export.exporter import Exporter
from whenwhere.export.frames import frame_boxes
from whenwhere.readers import read_json
from whenwhere.store import atomic_path, write_text

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo

#: Name of the file about all videos of a batch.
ALL = "all.coco.json"
_ENDING = ".coco.json"
_QUALITY = 95


def build(record: "Grounding", info: "VideoInfo") -> dict[str, Any]:
    """The COCO file of an answer as a JSON object."""
    tubes = frame_boxes(record, info)
    names = list(dict.fromkeys(on.tube.label or "object" for on in tubes)) or ["object"]
    stem = _stem(record, info)
    folder = _frames_folder(record, info)
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
                    "segmentation": [[round(v, 3) for v in (x1, y1, x2, y1, x2, y2, x1, y2)]],
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
            "file_name": f"{folder}/{i:06d}.jpg",
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


def _stem(record: "Grounding", info: "VideoInfo") -> str:
    return Path(record.video.path if record.video else info.path).stem


def _frames_folder(record: "Grounding", info: "VideoInfo") -> str:
    return f"{_stem(record, info)}-{info.sha256_1mb[:8]}"


def write(record: "Grounding", info: "VideoInfo", path: Path) -> list[Path]:
    """Write an answer as a COCO file, and those of its frames that are not there yet."""
    built = build(record, info)
    wanted = np.array([image["frame_index"] for image in built["images"]], np.intp)
    _write_frames(info, path.parent / _frames_folder(record, info), wanted)
    return [write_text(path, json.dumps(built, ensure_ascii=False) + "\n")]


def _write_frames(info: "VideoInfo", folder: Path, frames: "np.ndarray[Any, np.dtype[np.intp]]") -> None:
    from PIL import Image

    from whenwhere.video import stream_frames

    names = {int(frame): folder / f"{frame + 1:06d}.jpg" for frame in frames}
    missing = np.array([frame for frame, name in names.items() if not name.exists()], np.intp)
    for run in np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1) if len(missing) else ():
        last = info.times[run[-1] + 1] if run[-1] + 1 < len(info.times) else None
        for frame, (_, image) in zip(
            run.tolist(), stream_frames(info, start=info.times[run[0]], end=last), strict=False
        ):
            with atomic_path(names[frame]) as temporary:
                Image.fromarray(image).save(temporary, "JPEG", quality=_QUALITY, subsampling=0)


def merge(files: Iterable[Path]) -> dict[str, Any]:
    """One COCO object of the files about single answers, which lie in one folder for each video.

    Args:
        files: The files; paths of images count from the folder above theirs.

    Raises:
        RecordError: A file cannot be read.
    """
    videos: dict[str, dict[str, Any]] = {}
    images: dict[str, dict[str, Any]] = {}
    categories: dict[str, int] = {}
    tracks: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for file in files:
        found, folder = read_json(file), file.parent.name
        of_image, of_track = {}, {}
        of_category = {c["id"]: categories.setdefault(c["name"], len(categories) + 1) for c in found["categories"]}
        (named,) = found["videos"]
        caption = named.pop("caption")
        video = videos.setdefault(folder, named | {"id": len(videos) + 1, "captions": []})
        video["captions"].append(caption)
        for image in found["images"]:
            name = f"{folder}/{image['file_name']}"
            new = image | {"id": len(images) + 1, "video_id": video["id"], "file_name": name}
            of_image[image["id"]] = images.setdefault(name, new)["id"]
        for track in found["tracks"]:
            of_track[track["id"]] = len(tracks) + 1
            changed = {"id": len(tracks) + 1, "video_id": video["id"], "category_id": of_category[track["category_id"]]}
            tracks.append(track | changed)
        for one in found["annotations"]:
            annotations.append(
                one
                | {
                    "id": len(annotations) + 1,
                    "image_id": of_image[one["image_id"]],
                    "video_id": video["id"],
                    "track_id": of_track[one["track_id"]],
                    "category_id": of_category[one["category_id"]],
                }
            )
    return {
        "info": {"description": f"whenwhere: {len(videos)} videos", "version": "1"},
        "licenses": [],
        "videos": list(videos.values()),
        "images": list(images.values()),
        "tracks": tracks,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for name, i in categories.items()],
    }


def write_all(out: Path) -> Path | None:
    """Write one COCO file about all answers of a batch's folder, or nothing if there is none with a COCO file.

    Raises:
        RecordError: A file about an answer cannot be read.
        OutputError: The file cannot be written.
    """
    files = sorted(out.glob(f"*/*{_ENDING}"))
    return write_text(out / ALL, json.dumps(merge(files), ensure_ascii=False) + "\n") if files else None


EXPORTER = Exporter("coco", _ENDING, write, needs_frames=True)

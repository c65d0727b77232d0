"""CVAT 1.1 XML for video: one `<track>` for each tube, one `<box>` for each frame.

Frames count from 0. A run of boxes ends with one more box, marked `outside="1"`, on the frame after it. When CVAT reads
a file it keeps only the key frames and interpolates linearly between them. So the key frames are the second-level
boxes, the two ends of each run, and as many frames in between as keep the interpolation within a pixel of the boxes
written here. `occluded` is always 0, since an answer says nothing about it.

The label is the tube's, cut to the 64 characters that CVAT allows, or `object`; the sentence is the task's name.
Characters that XML 1.0 cannot hold are left out.
"""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whenwhere.export.exporter import Exporter
from whenwhere.export.frames import FrameTube, frame_boxes
from whenwhere.export.words import single_line
from whenwhere.store import write_text

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo

#: How far CVAT's interpolation may be from the boxes written here, in pixels.
TOLERANCE = 1.0


def keyframes(boxes: NDArray[np.float64], keys: NDArray[np.bool_], tolerance: float = TOLERANCE) -> NDArray[np.bool_]:
    """Which frames of a run are key frames: the given ones, both ends, and those that interpolation would miss.

    Args:
        boxes: One box for each frame of the run, shape (n, 4).
        keys: Whether a frame is a key frame in any case, shape (n,).
        tolerance: Greatest distance in pixels of a box's edge from the line between two key frames.

    Returns:
        Whether each frame is a key frame, shape (n,).

    >>> boxes = np.array([[0, 0, 9, 9], [5, 0, 14, 9], [10, 0, 19, 9], [10, 0, 19, 9], [10, 0, 19, 9]], float)
    >>> keyframes(boxes, np.zeros(5, bool)).tolist()
    [True, False, True, False, True]
    """
    out = keys.copy()
    out[[0, -1]] = True
    todo = [(int(a), int(b)) for a, b in zip(np.flatnonzero(out)[:-1], np.flatnonzero(out)[1:], strict=True)]
    while todo:
        a, b = todo.pop()
        w = np.linspace(0, 1, b - a + 1)[:, None]
        off = np.abs((1 - w) * boxes[a] + w * boxes[b] - boxes[a : b + 1]).max(1)
        worst = a + int(off.argmax())
        if off.max() > tolerance:
            out[worst] = True
            todo += [(a, worst), (worst, b)]
    return out


def build(record: "Grounding", info: "VideoInfo") -> ET.Element:
    """The root element of an answer's CVAT document."""
    tubes = frame_boxes(record, info)
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    for name, value in (
        ("name", _xml(record.query)),
        ("size", len(info.times)),
        ("mode", "interpolation"),
        ("overlap", 0),
        ("start_frame", 0),
        ("stop_frame", len(info.times) - 1),
        ("frame_filter", ""),
        ("z_order", "False"),
    ):
        ET.SubElement(task, name).text = str(value)
    labels = ET.SubElement(task, "labels")
    for name in dict.fromkeys(map(_label, tubes)) or ["object"]:
        label = ET.SubElement(labels, "label")
        ET.SubElement(label, "name").text = name
        ET.SubElement(label, "attributes")
    size = ET.SubElement(task, "original_size")
    ET.SubElement(size, "width").text = str(info.width)
    ET.SubElement(size, "height").text = str(info.height)
    ET.SubElement(task, "source").text = _xml(Path(record.video.path if record.video else info.path).name)
    for n, on in enumerate(tubes):
        track = ET.SubElement(root, "track", id=str(n), label=_label(on), source="auto")
        for run in on.runs():
            boxes = on.boxes[run]
            for frame, box, key in zip(run.tolist(), boxes, keyframes(boxes, on.anchors[run]), strict=True):
                _box(track, frame, box, key=bool(key))
            if run[-1] + 1 < len(info.times):
                _box(track, int(run[-1]) + 1, boxes[-1], key=True, outside=True)
    return root


def _box(track: ET.Element, frame: int, box: NDArray[np.float64], *, key: bool, outside: bool = False) -> None:
    edges = {k: f"{v:.3f}" for k, v in zip(("xtl", "ytl", "xbr", "ybr"), box.tolist(), strict=True)}
    flags = {"outside": str(int(outside)), "occluded": "0", "keyframe": str(int(key))}
    ET.SubElement(track, "box", {"frame": str(frame)} | flags | edges | {"z_order": "0"})


def _label(on: FrameTube) -> str:
    return _xml(on.tube.label)[:64] if on.tube.label else "object"


def _xml(text: str) -> str:
    return "".join(c for c in single_line(text) if ord(c) not in (0xFFFE, 0xFFFF))


def write(record: "Grounding", info: "VideoInfo", path: Path) -> list[Path]:
    """Write an answer as CVAT XML."""
    root = build(record, info)
    ET.indent(root)
    return [write_text(path, '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, "unicode") + "\n")]


EXPORTER = Exporter("cvat", ".cvat.xml", write, needs_frames=True)

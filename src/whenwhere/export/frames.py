"""A box for every frame, for the formats that count frames.

Stored records keep milliseconds, while frames have exact times: a span that begins at 2.334 began with the frame at
2.33367. So frames are matched to a record by their times rounded to milliseconds.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whenwhere.tubes import Tube

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo

#: Decimals of a stored record's times, and the slack that they leave in seconds.
_DECIMALS = 3
_SLACK = 0.6e-3


@dataclass(frozen=True, eq=False)
class FrameTube:
    """One tube on the frames of its video.

    Attributes:
        tube: The second-level boxes.
        boxes: Boxes as xyxy pixels of the displayed frame, shape (n_frames, 4); NaN where there is no box.
        anchors: Whether a frame is shown at the time of a second-level box, shape (n_frames,).
        fill: Name of the fill that made the boxes in between.
    """

    tube: Tube
    boxes: NDArray[np.float64]
    anchors: NDArray[np.bool_]
    fill: str

    @property
    def present(self) -> NDArray[np.intp]:
        """Indices of the frames that have a box."""
        return np.flatnonzero(~np.isnan(self.boxes[:, 0]))

    def runs(self) -> list[NDArray[np.intp]]:
        """Indices of the frames that have a box, split into runs of consecutive frames."""
        frames = self.present
        return np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1) if len(frames) else []


def frame_boxes(record: "Grounding", info: "VideoInfo") -> list[FrameTube]:
    """Every tube of an answer on every frame of the video.

    Args:
        record: The answer. Its `filled` boxes are used for the tube they belong to; other tubes are filled linearly.
        info: The video, for the times of its frames.

    Raises:
        RecordError: The stored boxes do not make a tube inside the stored spans.
    """
    times = np.round(info.times, _DECIMALS)
    out = []
    for i in range(len(record.tubes)):
        tube = record.tube(i)
        assert tube is not None
        boxes, fill = tube.boxes_at(times), "linear"
        if tube.filled is not None and record.filled is not None:
            at = np.clip(np.searchsorted(times, tube.filled[0] - _SLACK), 0, len(times) - 1)
            known = np.abs(times[at] - tube.filled[0]) <= _SLACK
            boxes = np.full((len(times), 4), np.nan)
            boxes[at[known]] = tube.filled[1][known]
            fill = record.filled.fill
        anchors = np.zeros(len(times), bool)
        anchors[info.shown(tube.times + _SLACK)] = True
        out.append(FrameTube(tube, boxes, anchors, fill))
    return out

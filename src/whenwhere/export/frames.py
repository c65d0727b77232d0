"""A box for every frame: what the formats that count frames have in common.

Records keep milliseconds, frames have exact times; a span that begins "at 2.334" began with the frame at 2.33367.
So frames are matched to the record by their time rounded the same way, here and nowhere else.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whenwhere.tubes import Tube

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo

#: Decimals of a record's times, and the slack that they leave.
_DECIMALS = 3
_SLACK = 0.6e-3


@dataclass(frozen=True, eq=False)
class FrameTube:
    """One tube on the frames of its video.

    Attributes:
        tube: the second-level boxes.
        boxes: (n_frames, 4) xyxy pixels of the displayed frame; NaN where there is no box.
        anchors: (n_frames,) frames shown at the time of a second-level box.
        fill: how the boxes between were made.
    """

    tube: Tube
    boxes: NDArray[np.float64]
    anchors: NDArray[np.bool_]
    fill: str

    @property
    def present(self) -> NDArray[np.intp]:
        """Numbers of the frames with a box, from 0."""
        return np.flatnonzero(~np.isnan(self.boxes[:, 0]))

    def runs(self) -> list[NDArray[np.intp]]:
        """The frames with a box in runs of consecutive frames."""
        frames = self.present
        return np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1) if len(frames) else []


def frame_boxes(record: "Grounding", info: "VideoInfo") -> list[FrameTube]:
    """Every tube of an answer on every frame of the video.

    Args:
        record: the answer; its `filled` boxes are used for the tube they belong to, other tubes are filled linearly.
        info: the video, for the times of its frames.

    Raises:
        RecordError: the stored boxes do not make a tube inside the stored spans.
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

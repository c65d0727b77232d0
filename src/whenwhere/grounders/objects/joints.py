"""The joints of the people of a video, looked for when a sentence first names a posture or a gesture.

Only people that the detector found are looked at, the largest few of a frame, at the times of their sightings. What was
found is kept in the cache beside the object index and handed to the actors by time and place.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.grounders.objects import index as indexing
from whenwhere.grounders.objects.index import ObjectIndex
from whenwhere.models.joints import JOINTS, JointEstimator
from whenwhere.overlap import box_iou
from whenwhere.video import VideoInfo, stream_frames

#: Version of the stored arrays; raise it if their meaning changes.
VERSION = 1
#: Least probability that a track is a person, and least score of a sighting.
PERSON, SEEN = 0.3, 0.15
#: Most people of a frame that are looked at.
MOST = 4
#: Largest distance in seconds, and least IoU, at which a sighting of a person is one of an actor.
NEAR, SAME = 0.15, 0.4


def build_joints(
    info: VideoInfo,
    index: ObjectIndex,
    person: int,
    estimator: JointEstimator,
    fps: float = indexing.FPS,
    progress: Callable[[float], None] | None = None,
) -> dict[str, NDArray]:
    """Look for the joints of all people of an object index.

    Args:
        info: The probed video.
        index: Its object index.
        person: Column of the class of people.
        estimator: Finds the joints.
        fps: Frames per second of the index.
        progress: Called with the share of the video that is done, in 0-1, now and then.

    Returns:
        `rows`, shape (m,): the sightings of the index that were looked at. `joints`, shape (m, 17, 3): see
        `TrackedActor.joints`.
    """
    people = index.classes[:, person][index.track] >= PERSON if len(index.classes) else np.zeros(0, bool)
    wanted = np.flatnonzero(people & (index.scores >= SEEN))
    wanted = wanted[np.argsort(index.times[wanted], kind="stable")]
    times = index.times[wanted]
    rows: list[NDArray[np.intp]] = []
    found: list[NDArray[np.float32]] = []
    width = min(indexing.WIDTH, info.width)
    for t, picture in stream_frames(info, fps=fps, width=width) if len(wanted) else ():
        first, last = np.searchsorted(times, [t - 1e-3, t + 1e-3])
        now = wanted[first:last]
        if not len(now):
            continue
        size = index.boxes[now][:, 2:] - index.boxes[now][:, :2]
        now = now[np.argsort(-size.prod(1), kind="stable")[:MOST]]
        scale = picture.shape[1] / info.width
        joints = estimator.joints(picture, index.boxes[now] * scale)
        joints[..., :2] /= scale
        rows.append(now)
        found.append(joints)
        if progress is not None:
            progress(min(1.0, t / info.duration))
    return {
        "rows": np.concatenate(rows).astype(np.int32) if rows else np.zeros(0, np.int32),
        "joints": np.concatenate(found) if found else np.zeros((0, len(JOINTS), 3), np.float32),
    }


def with_joints(actors: list[TrackedActor], index: ObjectIndex, found: dict[str, NDArray]) -> list[TrackedActor]:
    """The actors, those that are people with their joints.

    Args:
        actors: The actors of the video.
        index: Its object index.
        found: What `build_joints` returned for it.
    """
    rows, joints = found["rows"], found["joints"]
    times, boxes = index.times[rows], index.boxes[rows]
    out = []
    for actor in actors:
        there = np.flatnonzero((times >= actor.span.start - NEAR) & (times <= actor.span.end + NEAR))
        there = there[box_iou(boxes[there], actor.at(times[there])) >= SAME]
        own = np.full((len(actor.times), len(JOINTS), 3), np.nan, np.float32)
        if len(there):
            best = np.abs(actor.times[:, None] - times[there]).argmin(1)
            near = np.abs(actor.times - times[there][best]) <= NEAR
            own[near] = joints[there[best[near]]]
        out.append(replace(actor, joints=own) if np.isfinite(own).any() else actor)
    return out

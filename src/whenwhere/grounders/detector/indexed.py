"""The tracks of `--model objects` as candidates: what a detector recognised in the whole video, followed through gaps.

They are made once for a video and kept in the cache, so that later sentences cost no pass of a detector. They are
linked four times a second with the camera's motion taken out; whether that is better than boxes linked second by second
was not measured.
"""

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.detector.finding import LEAST
from whenwhere.grounders.detector.tracks import Track
from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.grounders.motion.reading import read_query
from whenwhere.grounders.objects import ObjectGrounder
from whenwhere.grounders.objects.index import FPS
from whenwhere.grounders.objects.labels import wanted_classes
from whenwhere.video import VideoInfo, stream_index

#: Its name as the detector of a pipeline.
OBJECTS = "objects"


class IndexedTracks:
    """Finds candidates among the tracks of an object grounder.

    Args:
        objects: The grounder whose index is used.
    """

    name = OBJECTS

    def __init__(self, objects: ObjectGrounder) -> None:
        self.objects = objects
        self._looking = Lock()

    def recognised(self, info: VideoInfo) -> tuple[list[TrackedActor], int, int]:
        """All things of a video that the detector recognised and followed.

        Returns:
            The tracks; how many pictures the detector was asked about for this call, and how many frames were decoded.
        """
        with (
            self._looking
        ):  # several questions to a model may be under way, and one pass over the video serves them all
            index, _, actors, decoded = self.objects.observe(info)
        return [actor for actor in actors if len(actor.classes)], index.asked if decoded else 0, decoded

    def tracks(self, info: VideoInfo, times: NDArray[np.float64], phrase: str) -> tuple[list[Track], int, int]:
        """The tracks at some times of all things that a noun phrase may mean; all things if it names no class.

        Args:
            info: The probed video.
            times: Times of frames, increasing, shape (n,).
            phrase: The noun phrase.

        Returns:
            The tracks, with boxes in pixels of the displayed frame; how many pictures the detector was asked about
            for this answer, and how many frames were decoded.
        """
        actors, asked, decoded = self.recognised(info)
        reading = read_query(phrase)
        wanted = wanted_classes(reading.noun, reading.kind, tuple(self.objects.detector().labels), reading.modifier)
        found: list[Track] = []
        for actor in actors:
            if wanted.known and float((wanted.weights * actor.classes).max()) < LEAST:
                continue
            there = times[actor.spans.index(times) >= 0]
            if len(there):
                track = Track(len(found) + 1)
                for t, box in zip(there.tolist(), actor.at(there), strict=True):
                    track.add(t, box, "model", actor.strong)
                found.append(track)
        return found, asked, decoded

    @staticmethod
    def frames(info: VideoInfo) -> int:
        """How many frames a first sentence decodes."""
        return len(stream_index(info, FPS))

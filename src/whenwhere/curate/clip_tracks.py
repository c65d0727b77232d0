"""Sources of the tracks of a clip, with which the claims of its captions are compared.

`TruthTracks` reads them from a manifest whose items hold labelled tubes: the truth of a staged world, or a data set of
tracks. `DetectedTracks` asks a detector for everything that the captions name, and for a vocabulary, and links what it
finds.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from whenwhere.curate.claims import SceneTrack, read_claims
from whenwhere.datasets import manifest
from whenwhere.datasets.nouns import noun_phrases, singular
from whenwhere.errors import RecordError
from whenwhere.grounders.detector.finding import can_find, finder
from whenwhere.grounders.detector.tracks import Linker
from whenwhere.models.captioners import ClipFrames
from whenwhere.models.detectors.detector import ClassDetections, Detector
from whenwhere.overlap import box_iou
from whenwhere.spans import Span
from whenwhere.video import VideoInfo

#: Two tracks of one label whose boxes overlap by more than this at a time are one.
_SAME = 0.9


@dataclass(frozen=True, eq=False)
class SceneTracks:
    """The tracks of a clip.

    Attributes:
        tracks: The tracks.
        width: Width in pixels of the frame that their boxes refer to.
        height: Height of that frame in pixels.
        complete: Whether the tracks are everything that a caption could name, so that recall has a meaning.
        labels: Labels of the whole set.
    """

    tracks: list[SceneTrack]
    width: float
    height: float
    complete: bool = True
    labels: Sequence[str] = ()


class TrackSource(Protocol):
    """A source of the tracks of clips."""

    def of_clip(self, frames: ClipFrames, span: Span, info: VideoInfo, captions: Sequence[str]) -> SceneTracks | None:
        """The tracks of a clip; None if nothing is known of it.

        Args:
            frames: Frames of the clip.
            span: The clip.
            info: The probed video of the clip.
            captions: Captions of the clip.
        """


class TruthTracks:
    """Tracks of a manifest whose items hold tubes. Videos are matched by their file's name.

    Args:
        path: The manifest. A tube's label says what it is; without one, the first noun of the item's sentence does.

    Raises:
        RecordError: The file is not a manifest, or holds no tubes.
    """

    def __init__(self, path: Path) -> None:
        self._tracks: dict[str, list[SceneTrack]] = {}
        self._sizes: dict[str, tuple[float, float]] = {}
        for item in manifest.read(path):
            name = Path(item.video).stem
            if item.width and item.height:
                self._sizes[name] = float(item.width), float(item.height)
            for tube in item.tubes:
                label = tube.label or next(iter(noun_phrases(item.query)), "")
                if label and len(tube):
                    self._add(name, SceneTrack(label, tube.times, tube.boxes))
        if not self._tracks:
            raise RecordError(f"{path} holds no tubes with labels: give a manifest with the tracks of the videos")
        self.labels = tuple(dict.fromkeys(track.label for tracks in self._tracks.values() for track in tracks))

    def of_clip(self, frames: ClipFrames, span: Span, info: VideoInfo, captions: Sequence[str]) -> SceneTracks | None:
        """See `TrackSource`; tracks are cut to the clip."""
        name = Path(info.path).stem
        if name not in self._tracks:
            return None
        inside = []
        for track in self._tracks[name]:
            rows = (track.times >= span.start - 1e-6) & (track.times < span.end - 1e-6)
            rows &= np.isfinite(track.boxes).all(axis=1)
            if rows.any():
                inside.append(SceneTrack(track.label, track.times[rows], track.boxes[rows]))
        width, height = self._sizes.get(name, (float(info.width), float(info.height)))
        return SceneTracks(inside, width, height, True, self.labels)

    def _add(self, name: str, track: SceneTrack) -> None:
        """Adds a track unless an earlier sentence was about the same object."""
        there = self._tracks.setdefault(name, [])
        for other in there:
            if other.label == track.label:
                _, one, two = np.intersect1d(other.times, track.times, return_indices=True)
                if len(one) and float(box_iou(other.boxes[one], track.boxes[two]).max()) > _SAME:
                    return
        there.append(track)


class DetectedTracks:
    """Tracks of what a detector finds.

    Args:
        detector: The detector. One with fixed classes is asked only for these.
        vocabulary: What is looked for in each clip besides what captions name. Without it recall is not known.
    """

    def __init__(self, detector: Detector, vocabulary: Sequence[str] = ()) -> None:
        self._detector = detector
        self._vocabulary = tuple(dict.fromkeys(word.strip().lower() for word in vocabulary if word.strip()))
        self._lock = threading.Lock()

    def of_clip(self, frames: ClipFrames, span: Span, info: VideoInfo, captions: Sequence[str]) -> SceneTracks | None:
        """See `TrackSource`."""
        claimed = {claim.phrase for caption in captions for claim in read_claims(caption)}
        kinds = set(self._vocabulary)
        named = [*self._vocabulary, *sorted(singular(p) for p in claimed if singular(p) not in kinds)]
        phrases = [phrase for phrase in named if can_find(self._detector, phrase)]
        tracks: list[SceneTrack] = []
        for phrase in dict.fromkeys(phrases):
            with self._lock:
                found = finder(self._detector, phrase)(frames.images)
            tracks += _linked(phrase, frames.times, found, asked=phrase not in kinds)
        height, width = frames.images.shape[1:3]
        return SceneTracks(tracks, width, height, bool(self._vocabulary), phrases)


def _linked(phrase: str, times: NDArray[np.float64], found: Sequence[ClassDetections], asked: bool) -> list[SceneTrack]:
    """The tracks that the detections of one phrase in successive frames give."""
    linker = Linker()
    last = -np.inf
    for t, one in zip(times.tolist(), found, strict=True):
        if t > last:  # a short clip shows a frame twice
            linker.add(t, one)
            last = t
    return [SceneTrack(phrase, np.array(track.times), np.stack(track.boxes), asked) for track in linker.tracks.values()]

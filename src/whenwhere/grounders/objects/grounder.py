"""The object grounder: it answers by what a detector recognises, by motion and by colour, without a network.

One pass over a video feeds the detector (`index`) and, while the camera stands still, background subtraction
(`motion.index`); both indices are cached by the video's content, the first by the detector's fingerprint too. A
sentence is read by the motion grounder's reader, its noun becomes classes of the detector (`labels`), and candidates
are ranked (`ranking`) and judged (`confidence`). Of what the detector has no class for or never saw, a classifier tells
when pictures show it (`contents`).
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import ModelError
from whenwhere.grounders.grounder import GroundingRequest, GroundingResult
from whenwhere.grounders.motion import index as motion_indexing
from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.grounders.motion.grounder import MORE, MotionGrounder, ground_among
from whenwhere.grounders.motion.object_changes import COLUMNS as CHANGE_COLUMNS
from whenwhere.grounders.motion.query_reading import QueryReading
from whenwhere.grounders.motion.reading import read_query
from whenwhere.grounders.motion.selection import Selector
from whenwhere.grounders.objects import coloured
from whenwhere.grounders.objects import index as indexing
from whenwhere.grounders.objects.actors import STILL, merged_actors, object_actors
from whenwhere.grounders.objects.coloured import region_actors
from whenwhere.grounders.objects.confidence import DOUBTFUL, ClassEvidence, grade_by_class
from whenwhere.grounders.objects.contents import DOUBLY_SURE, build_contents, pictured_actors
from whenwhere.grounders.objects.contents import VERSION as CONTENTS_VERSION
from whenwhere.grounders.objects.joints import VERSION as JOINTS_VERSION
from whenwhere.grounders.objects.joints import build_joints, with_joints
from whenwhere.grounders.objects.labels import agents_among
from whenwhere.grounders.objects.pictured_nouns import classes_of, with_pictured_nouns
from whenwhere.grounders.objects.postures import all_postures
from whenwhere.grounders.objects.ranking import ObjectScorer
from whenwhere.models.classifier import classifier_is_whole, open_classifier, picture_classes
from whenwhere.models.detectors.detector import Detector
from whenwhere.models.detectors.resolve import open_detector
from whenwhere.models.joints import open_joints
from whenwhere.store import Cache
from whenwhere.video import VideoInfo, stream_index

#: What helps where classes and motion are not enough.
_MORE = "a vision-language model understands more than a detector: --model OWNER/NAME, or the address of a server"
#: The label of those whose joints can be found.
PEOPLE = "person"
#: Most videos whose actors are kept in memory between questions.
_OPEN = 4
#: A detector, and what finds joints, is used by one thread at a time, and sessions share it.
_ASKING = Lock()


@lru_cache(maxsize=2)
def shared_detector(name: str, device: str | None = None) -> Detector:
    """The detector of a name, opened once for all sessions of this process."""
    return open_detector(name, device=device)


class ObjectGrounder:
    """Grounds sentences by recognised things.

    Args:
        detector: Opens the detector; it is called when a video is looked through for the first time, or labels needed.
        cache: Where indices are stored; None keeps them in memory only.
        progress: Called with the share of the video that has been analysed, in 0-1.
    """

    name = "objects"

    def __init__(
        self,
        detector: Callable[[], Detector],
        cache: Cache | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.detector = detector
        self.cache = cache or Cache(enabled=False)
        self.progress = progress
        self._motion = MotionGrounder(self.cache)
        self._scenes: OrderedDict[tuple[str, float], tuple[indexing.ObjectIndex, motion_indexing.Index, list]] = (
            OrderedDict()
        )
        self._posed: set[tuple[str, float]] = set()
        self._coloured: OrderedDict[tuple[str, float], list[TrackedActor]] = OrderedDict()
        self._contents: OrderedDict[tuple[str, float], tuple[dict[str, np.ndarray], list[TrackedActor]]] = OrderedDict()

    def observe(
        self, info: VideoInfo, sample_fps: float | None = None
    ) -> tuple[indexing.ObjectIndex, motion_indexing.Index, list[TrackedActor], int]:
        """Look through a video, or take its indices from the cache.

        Returns:
            The object index, the motion index, all actors, and the number of frames that this call had to decode.
        """
        fps = sample_fps or indexing.FPS
        key = (info.content, fps)
        if key in self._scenes:
            self._scenes.move_to_end(key)
            return (*self._scenes[key], 0)
        detector = self.detector()
        made: list[indexing.ObjectIndex] = []
        feed = indexing.BlobFeed(self._motion.indexer(info), STILL)

        def make() -> dict[str, np.ndarray]:
            with _ASKING:
                made.append(indexing.build_object_index(info, detector, fps, self.progress, feed))
            return made[0].arrays()

        # The first time too, the index passes through its stored form: a fresh answer and a cached one must be equal.
        index = indexing.ObjectIndex.from_arrays(
            self.cache.arrays(indexing.index_key(self.cache, info, detector, fps), make)
        )
        everyone, decoded = object_actors(index), made[0].frames + feed.frames if made else 0
        if index.moving > STILL:
            # Blobs and changed places of a moving camera are mostly parallax.
            moved = _without_blobs(index)
        else:
            moved, blobs, more = self._motion.observe(info, ready=feed.finish(index.warnings) if made else None)
            decoded += more
            everyone = merged_actors(everyone, blobs, agents_among(tuple(detector.labels)))
        self._scenes[key] = index, moved, everyone
        while len(self._scenes) > _OPEN:
            self._posed.discard(self._scenes.popitem(last=False)[0])
        return (*self._scenes[key], decoded)

    def estimate(self, info: VideoInfo, request: GroundingRequest) -> dict[str, int]:
        """The frames that a first question decodes; later ones decode none.

        The first sentence about a thing without a class, or about a posture or gesture, is an exception: it looks at
        the video once more.
        """
        seen = [stream_index(info, fps) for fps in (request.sample_fps or indexing.FPS, motion_indexing.FPS)]
        return {"frames": len(np.union1d(*seen)), "calls": 0, "tokens": 0}

    def ground(self, info: VideoInfo, request: GroundingRequest) -> GroundingResult:
        """Answer one sentence (see `Grounder.ground`). Nothing is drawn at random, so `seed` has no effect."""
        index, moved, everyone, decoded = self.observe(info, request.sample_fps)
        labels = tuple(self.detector().labels)
        warnings = list(index.warnings)
        names = _class_names(warnings)
        reading = with_pictured_nouns(read_query(request.query), names)
        postures = all_postures(reading) if PEOPLE in labels else ()
        if postures:
            scene = index, moved, everyone
            everyone, more = self._with_joints(info, request.sample_fps, labels.index(PEOPLE), scene)
            decoded += more
        scorer = ObjectScorer(labels, index.moving <= STILL)
        evidence = ClassEvidence(index, scorer)
        scorer.pictured, more = self._pictured(info, request.sample_fps, reading, evidence, names)
        decoded += more
        main = {one.noun for one in reading.clauses()}
        everyone = [*everyone, *(actor for noun, some in scorer.pictured.items() if noun in main for actor in some)]
        moved_alone = None
        if scorer.still and reading.noun and not scorer.wanted(reading).known:
            # Before a still camera, what the detector has no class for is found by its motion or colour.
            found = self._motion.ground(info, replace(request, sample_fps=None))
            found.frames_decoded = found.frames_shown = decoded
            found.warnings = [w for w in found.warnings if not w.startswith(MORE)]
            moved_alone = self._with_help(found)
        colour = scorer.region_colour(reading, everyone)
        if reading.noun in scorer.pictured and not reading.events:
            # Changed or static places could belong to any object, so they are left out.
            moved_alone, moved = None, _without_places(moved)
        if colour is None and moved_alone is not None:
            return moved_alone
        if colour is not None:
            regions, more = self._regions(info, request.sample_fps)
            decoded += more
            everyone = [*everyone, *region_actors(regions, colour, scorer.with_surfaces(everyone))]
        if scorer.wanted(reading).named:
            # Of what never moves, the background tells place and colour alone; the detector tells what it is.
            moved = replace(moved, static=moved.static[:0], static_colours=moved.static_colours[:0])
        if postures or scorer.stays_named(reading, everyone):
            # "Raises a hand" lifts nothing from its place; and what was recognised is not a place where something is.
            moved = replace(moved, changes=moved.changes[:0], change_colours=moved.change_colours[:0])
        select = partial(
            Selector,
            decide=evidence.decide,
            grade=partial(grade_by_class, scorer),
            untold=evidence.untold,
            doubtful=DOUBTFUL,
        )
        found = ground_among(
            info, request, everyone, moved, scorer, select, decoded, warnings, "was recognised", reading
        )
        if postures and found.reading is not None:
            found.reading["postures"] = list(postures)
        if not found.candidates and request.span is None and evidence.denies(reading):
            found.status, found.confidence, found.warnings = "absent", round(evidence.absence, 3), list(index.warnings)
        if moved_alone is not None and (moved_alone.status == "answered", moved_alone.confidence) >= (
            found.status == "answered",
            found.confidence,
        ):
            moved_alone.frames_decoded = moved_alone.frames_shown = decoded
            return moved_alone
        return self._with_help(found)

    def _with_joints(
        self,
        info: VideoInfo,
        sample_fps: float | None,
        person: int,
        scene: tuple[indexing.ObjectIndex, motion_indexing.Index, list[TrackedActor]],
    ) -> tuple[list[TrackedActor], int]:
        """All actors, the people with their joints, and the number of frames that this call had to decode for them.

        They are looked for when a sentence first names a posture. Without the network for them nothing is added.

        Args:
            info: The probed video.
            sample_fps: Frames per second that are looked at; None for the usual number.
            person: Column of the class of people.
            scene: What `observe` returned for the video, without the number of frames.
        """
        fps = sample_fps or indexing.FPS
        key = (info.content, fps)
        index, moved, everyone = scene
        estimator = open_joints()
        if estimator is None or key in self._posed:
            return everyone, 0
        made = []

        def make() -> dict[str, np.ndarray]:
            with _ASKING:
                made.append(build_joints(info, index, person, estimator, fps, self.progress))
            return made[0]

        own = indexing.index_key(self.cache, info, self.detector(), fps)
        found = self.cache.arrays(self.cache.key("joints", JOINTS_VERSION, own, estimator.fingerprint), make)
        everyone = with_joints(everyone, index, found)
        self._scenes[key] = index, moved, everyone
        self._posed.add(key)
        return everyone, index.frames if made else 0

    def _pictured(
        self,
        info: VideoInfo,
        sample_fps: float | None,
        reading: QueryReading,
        evidence: ClassEvidence,
        names: tuple[tuple[str, ...], ...],
    ) -> tuple[dict[str, list[TrackedActor]], int]:
        """What the classifier of pictures saw of the things of a sentence of which the detector saw nothing.

        It is asked when a sentence first names such a thing.

        Args:
            info: The probed video.
            sample_fps: Frames per second that the object index looks at; None for the usual number.
            reading: The reading of the sentence.
            evidence: What the detector saw.
            names: The names of each class of the classifier; none where it cannot be used.

        Returns:
            What it saw, by the noun, and the number of frames that this call had to decode for it.
        """
        meant: dict[str, tuple[NDArray[np.intp], bool]] = {}
        for one in reading.clauses():
            nouns: dict[str, tuple[str | None, str]] = {one.noun: (one.kind, one.modifier)} if one.noun else {}
            for before, noun, kind in one.companions:
                if before not in ("in", "wearing"):
                    nouns.setdefault(noun, (kind, ""))
            for noun, seldom_missed in evidence.missed(one).items():
                sort, modifier = nouns.get(noun, ("person", ""))
                if sort not in ("person", "child", "hand", "face"):
                    meant[noun] = classes_of(noun, modifier, names), seldom_missed
        meant = {noun: wanted for noun, wanted in meant.items() if len(wanted[0])}
        classifier = open_classifier() if meant else None
        if classifier is None:
            return {}, 0
        fps = sample_fps or indexing.FPS
        key = (info.content, fps)
        index, agents = self._scenes[key][0], agents_among(evidence.scorer.labels)
        made = []

        def make() -> dict[str, np.ndarray]:
            with _ASKING:
                made.append(build_contents(info, index, agents, classifier, self.progress))
            return made[0]

        if key in self._contents:
            self._contents.move_to_end(key)
        else:
            own = indexing.index_key(self.cache, info, self.detector(), fps)
            name = self.cache.key("contents", CONTENTS_VERSION, own, classifier.fingerprint)
            self._contents[key] = self.cache.arrays(name, make), object_actors(index)
            while len(self._contents) > _OPEN:
                self._contents.popitem(last=False)
        contents, tracks = self._contents[key]
        found = {}
        for noun, (classes, seldom_missed) in meant.items():
            # Of what the detector seldom misses and never saw, only a sure classifier is believed.
            least = DOUBLY_SURE if seldom_missed else 0.0
            some = pictured_actors(contents, classes, index, tracks)
            if kept := [actor for actor in some if actor.strong >= least]:
                found[noun] = kept
        return found, len(made[0]["times"]) if made else 0

    def _regions(self, info: VideoInfo, sample_fps: float | None) -> tuple[list[TrackedActor], int]:
        """The regions of one colour of a video, and the number of frames that this call had to decode for them.

        They are looked for when a sentence first needs them.
        """
        fps = sample_fps or indexing.FPS
        key = (info.content, fps)
        if key in self._coloured:
            self._coloured.move_to_end(key)
            return self._coloured[key], 0
        made: list[indexing.ObjectIndex] = []

        def make() -> dict[str, np.ndarray]:
            made.append(coloured.build_colour_index(info, fps, self.progress))
            return made[0].arrays()

        name = self.cache.key("coloured", coloured.VERSION, info.content, fps, indexing.WIDTH)
        self._coloured[key] = object_actors(indexing.ObjectIndex.from_arrays(self.cache.arrays(name, make)))
        while len(self._coloured) > _OPEN:
            self._coloured.popitem(last=False)
        return self._coloured[key], made[0].frames if made else 0

    @staticmethod
    def _with_help(found: GroundingResult) -> GroundingResult:
        """The result; if it is unsure, it says what would help."""
        if found.status == "unsure":
            found.warnings.append(_MORE)
        return found


def _class_names(warnings: list[str]) -> tuple[tuple[str, ...], ...]:
    """The names of each class of the classifier of pictures; none, and a warning, if it is damaged."""
    try:
        return picture_classes() if classifier_is_whole() else ()
    except ModelError as e:
        warnings.append(str(e))
        return ()


def _without_places(moved: motion_indexing.Index) -> motion_indexing.Index:
    """The motion index without the places of things at rest."""
    return replace(
        moved, static=moved.static[:0], static_colours=moved.static_colours[:0],
        changes=moved.changes[:0], change_colours=moved.change_colours[:0],
    )  # fmt: skip


def _without_blobs(index: indexing.ObjectIndex) -> motion_indexing.Index:
    """The motion index of a moving camera, in which nothing was looked for."""
    none, colours = np.zeros(0), np.zeros((0, 13), np.float32)
    return motion_indexing.Index(
        duration=index.duration, step=index.step, width=index.width, height=index.height,
        track=np.zeros(0, np.int32), times=none, boxes=np.zeros((0, 4)), areas=none, strong=np.zeros(0, np.float32),
        shared=np.zeros(0, bool), colours=np.zeros((0, 5, 13), np.float32),
        changes=np.zeros((0, len(CHANGE_COLUMNS))), change_colours=colours, static=np.zeros((0, 6)),
        static_colours=colours, cuts=index.cuts,
        jumps=index.jumps, moving=index.moving, unsteady=0.0, flood=0.0, frames=0, recurring=0.0,
        warnings=(),
    )  # fmt: skip

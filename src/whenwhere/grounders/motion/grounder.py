"""The built-in grounder: it answers from motion, shape and colour, without weights or a network.

The video is analysed once; the resulting index (`index`) is cached by the video's content. Every sentence is then
answered from it in about a millisecond: the sentence is read (`reading`), candidates are ranked (`ranking`), and the
confidence decides whether the best one is answered (`abstention`). Doubts are listed with the answer.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.grounder import GroundingRequest, GroundingResult
from whenwhere.grounders.motion import index as indexing
from whenwhere.grounders.motion.attributes import TrackedActor, tracked_actors
from whenwhere.grounders.motion.candidates import Candidate, ObservedScene
from whenwhere.grounders.motion.colours import COLOURS
from whenwhere.grounders.motion.confidence_features import ClipConditions
from whenwhere.grounders.motion.object_candidates import object_rows
from whenwhere.grounders.motion.query_reading import QueryReading
from whenwhere.grounders.motion.ranking import MotionScorer, Scorer, rank_candidates, runner_up
from whenwhere.grounders.motion.reading import read_query
from whenwhere.grounders.motion.selection import Selector
from whenwhere.grounders.motion.track_scoring import actor_groups
from whenwhere.models.detectors.package import is_installed
from whenwhere.spans import Span, SpanSet
from whenwhere.store import Cache
from whenwhere.tracking import second_level_times
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo

#: Most candidates listed in an answer.
LISTED = 8
#: What helps where motion is not enough.
MORE = "--model objects recognises people, animals and everyday things by a detector"
#: Most videos whose actors are kept in memory between questions.
_OPEN = 4


class MotionGrounder:
    """Grounds sentences in videos of fixed cameras by what moves.

    Args:
        cache: Where indices are stored; None keeps them in memory only.
        background: Kind of background model: `auto`, `median` or `recurring`.
        progress: Called with the share of the video that has been analysed, in 0-1.
    """

    name = "motion"

    def __init__(
        self,
        cache: Cache | None = None,
        background: str = "auto",
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.cache = cache or Cache(enabled=False)
        self.background = background
        self.progress = progress
        self._scenes: OrderedDict[tuple[str, float], tuple[indexing.Index, list[TrackedActor]]] = OrderedDict()

    def indexer(self, info: VideoInfo) -> indexing.Indexer:
        """What makes the index of a video from frames of another pass; see `observe`."""
        return indexing.Indexer(info, kind=self.background)

    def index_key(self, info: VideoInfo, fps: float = indexing.FPS) -> str:
        """The key under which the index of a video is kept in the cache."""
        return self.cache.key("motion", indexing.VERSION, info.content, fps, indexing.WIDTH, self.background)

    def observe(
        self, info: VideoInfo, sample_fps: float | None = None, ready: indexing.Index | None = None
    ) -> tuple[indexing.Index, list[TrackedActor], int]:
        """Analyse a video, or take its index from the cache.

        Args:
            info: The probed video.
            sample_fps: Frames per second that are analysed; None means `index.FPS`.
            ready: The index, if it was made by `indexer` already; it is stored.

        Returns:
            The index, all tracked actors, and the number of frames that had to be decoded by this call.
        """
        fps = sample_fps or indexing.FPS
        key = (info.content, fps)
        if key in self._scenes:
            self._scenes.move_to_end(key)
            return (*self._scenes[key], 0)
        made: list[indexing.Index] = []

        def make() -> dict[str, np.ndarray]:
            if ready is not None:
                return ready.arrays()
            made.append(indexing.build_index(info, fps, kind=self.background, progress=self.progress))
            return made[0].arrays()

        # The first time too, the index passes through its stored form: a fresh answer and a cached one must be equal.
        index = indexing.Index.from_arrays(self.cache.arrays(self.index_key(info, fps), make))
        everyone = tracked_actors(index)
        keep = object_rows(everyone, index.changes)
        index.changes, index.change_colours = index.changes[keep], index.change_colours[keep]
        self._scenes[key] = index, everyone
        while len(self._scenes) > _OPEN:
            self._scenes.popitem(last=False)
        return (*self._scenes[key], made[0].frames if made else 0)

    def estimate(
        self,
        info: VideoInfo,
        request: GroundingRequest,
    ) -> dict[str, int]:
        """The frames that a first question decodes, whatever it asks; later questions decode none."""
        fps = min(request.sample_fps or indexing.FPS, info.fps or indexing.FPS)
        return {"frames": int(np.ceil(info.duration * fps)), "calls": 0, "tokens": 0}

    def ground(
        self,
        info: VideoInfo,
        request: GroundingRequest,
    ) -> GroundingResult:
        """Answer one sentence (see `Grounder.ground`). Nothing is drawn at random, so `seed` has no effect."""
        index, everyone, decoded = self.observe(info, request.sample_fps)
        warnings = list(index.warnings)
        if index.moving > 0.3:
            warnings.append(
                "the camera moves: positions are less certain"
                if index.unsteady < 0.3
                else "the camera moves too far to learn the background: answers are guesses"
            )
        found = ground_among(info, request, everyone, index, MotionScorer(), Selector, decoded, warnings)
        if found.status == "unsure":
            found.warnings.append(MORE if is_installed() else f"{MORE}: pip install 'whenwhere[objects]'")
        return found


def ground_among(
    info: VideoInfo,
    request: GroundingRequest,
    everyone: list[TrackedActor],
    index: indexing.Index,
    scorer: Scorer,
    select: Callable[..., Selector],
    decoded: int,
    warnings: list[str],
    seen: str = "moves",
    reading: QueryReading | None = None,
) -> GroundingResult:
    """Answer one sentence by the actors of a video.

    Args:
        info: The probed video.
        request: The sentence, and where to look.
        everyone: All actors.
        index: The motion index, for what changed in the background and the conditions of the clip.
        scorer: Compares actors with a reading.
        select: Makes the selector from the sentence, the conditions, the ranking and the test for groups.
        decoded: Number of frames that were decoded for this answer.
        warnings: Warnings so far; more are added.
        seen: What the actors do that makes them actors, for the warning that there is none.
        reading: The reading of the sentence; None reads it.
    """
    query, within, span = request.query, request.within, request.span
    reading = read_query(query) if reading is None else reading
    window = span or within
    actors = [a for a in everyone if window is None or _overlap(a.span, window) > 0.15]
    scene = ObservedScene.of(index, actors)

    def rank(reading: QueryReading) -> list[Candidate]:
        made = rank_candidates(reading, scene, scorer)
        if span is not None:
            return _best_in_span(made, span)
        return made if within is None else _cut_to_window(made, within)

    around = ClipConditions(index.unsteady, index.moving, index.flood, scene.actors, index.duration)
    answer = select(query, around, rank, lambda r: bool(actor_groups(scene.actors, r.count))).answer(reading)
    made = answer.made
    found = GroundingResult(
        "unsure", 0.0, reading=reading.record(), frames_decoded=decoded, frames_shown=decoded, warnings=warnings,
        jumps=SpanSet(map(tuple, index.jumps.tolist())),
    )  # fmt: skip
    if not made:
        found.candidates = []
        warnings.append(f"nothing {seen} in this video" if not everyone else f"nothing {seen} during that time")
        return found
    best = made[0]
    other = runner_up(made)
    assert found.reading is not None
    if answer.margin is not None:
        found.reading["margin"] = round(answer.margin, 2)
    if answer.reasons:
        found.reading["doubts"] = answer.reasons
    warnings += answer.warnings
    found.confidence = round(answer.confidence, 3)
    found.ranked = [Span(c.hull.start, c.hull.end, round(_share(c, made), 4)) for c in _distinct(made)[:10]]
    found.candidates = [_listed(c, info) for c in _distinct(made)[:LISTED]]
    if other is not None:
        found.reading["runner_up"] = [round(other.hull.start, 2), round(other.hull.end, 2)]
    found.status = answer.status
    chosen, spans = answer.chosen, answer.spans.clip(info.duration)
    if span is not None:  # a time that is given is always answered
        found.status, chosen, spans = "answered", [best], SpanSet([span])
    elif within is not None and answer.status == "answered":
        spans = spans & SpanSet([within])
        if not spans:
            found.status = "unsure"
            warnings.append("none of the described time lies in the time that was searched")
    if found.status == "answered":
        found.spans = spans if span is not None else _scored(spans, answer.confidence)
        tubes = tubes_of(chosen, found.spans, info, request.rate)
        found.tubes = [t.replace(label=reading.noun or None, score=round(answer.confidence, 3)) for t in tubes]
    return found


def _overlap(a: Span, b: Span) -> float:
    """Seconds that two spans share."""
    return max(0.0, min(a.end, b.end) - max(a.start, b.start)) if a and b else 0.0


def _scored(spans: SpanSet, score: float) -> SpanSet:
    return SpanSet(Span(s.start, s.end, round(score, 3)) for s in spans)


def _cut_to_window(made: list[Candidate], window: Span) -> list[Candidate]:
    """The candidates cut to a window, best first; those outside it are left out."""
    out = []
    for c in made:
        cut = c.spans & SpanSet([window])
        if cut.duration > 0.1:
            # A candidate that lies mostly outside the window is less likely to be meant.
            c.score += float(np.log(max(0.05, cut.duration / c.spans.duration)))
            c.spans = cut
            out.append(c)
    return sorted(out, key=lambda c: -c.score)


def _best_in_span(made: list[Candidate], span: Span) -> list[Candidate]:
    """Each actor's best candidate for a given span, best first."""
    out: dict[int, Candidate] = {}
    for c in made:
        overlap = _overlap(c.actor.span, span) / span.duration
        if overlap <= 0:
            continue
        c.score += 1.5 * float(np.log(max(0.05, overlap)))
        if id(c.actor) not in out or c.score > out[id(c.actor)].score:
            out[id(c.actor)] = c
    return sorted(out.values(), key=lambda c: -c.score)


def _share(c: Candidate, made: list[Candidate]) -> float:
    """The candidate's softmax weight among all candidates, in 0-1."""
    scores = np.array([x.score for x in made])
    return float(np.exp(c.score - scores.max()) / np.exp(scores - scores.max()).sum())


def _distinct(made: list[Candidate]) -> list[Candidate]:
    """The candidates without repetitions of one actor at one time (to 0.1 s)."""
    seen: set[tuple[int, float, float]] = set()
    out = []
    for c in made:
        key = (id(c.actor), round(c.hull.start, 1), round(c.hull.end, 1))
        if key not in seen:
            seen.add(key)
            out.append(c)
    return out


def _listed(c: Candidate, info: VideoInfo) -> dict[str, Any]:
    """A candidate as JSON values, for people and programs to inspect."""
    middle = (c.hull.start + c.hull.end) / 2
    box = c.place if c.place is not None else c.actor.at(np.array([middle]))[0]
    names = np.array(COLOURS)[np.argsort(-c.actor.colour[:, : len(COLOURS)].mean(0))[:2]]
    return {
        "start": round(c.hull.start, 3),
        "end": round(c.hull.end, 3),
        "score": round(c.score, 3),
        "t": round(middle, 3),
        "box": [round(float(x), 1) for x in box],
        "colours": names.tolist(),
        "enters": c.actor.entry[0] if c.actor.entry else None,
        "leaves": c.actor.exit[0] if c.actor.exit else None,
        "why": {k: round(float(v), 2) for k, v in c.terms.items()},
    }


def tubes_of(chosen: list[Candidate], spans: SpanSet, info: VideoInfo, rate: float) -> list[Tube]:
    """The candidates' boxes at the second-level times of the spans, clipped to the frame; those without a box left out.

    Candidates that share no time make one tube together; the first tube begins with the first candidate.
    """
    rows: list[list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = []
    for c in chosen:
        own = spans if len(chosen) == 1 else c.spans & spans
        times = np.concatenate([second_level_times(s, rate, last=info.last_before(s.end)) for s in own])
        boxes = np.repeat(c.place[None], len(times), 0) if c.place is not None else c.actor.at(times)
        boxes = boxes.copy()
        boxes[:, 0::2] = boxes[:, 0::2].clip(0, info.width)
        boxes[:, 1::2] = boxes[:, 1::2].clip(0, info.height)
        keep = (boxes[:, 2] - boxes[:, 0] > 0.5) & (boxes[:, 3] - boxes[:, 1] > 0.5)
        if not keep.any():
            continue
        piece = times[keep], boxes[keep]
        free = (row for row in rows if all(piece[0][0] > t[-1] or piece[0][-1] < t[0] for t, _ in row))
        row = next(free, None)
        if row is None:
            rows.append([piece])
        else:
            row.append(piece)
    tubes = []
    for row in rows:
        row.sort(key=lambda piece: float(piece[0][0]))
        tubes.append(Tube(spans, np.concatenate([t for t, _ in row]), np.concatenate([b for _, b in row]), rate=rate))
    return tubes

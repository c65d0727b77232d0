"""Detector-assisted grounding: a detector finds objects, a tracker follows them, a vision-language model chooses one.

This is the strongest pipeline that can be built from published models. One box per second from a vision-language model
alone is compared with it, in quality and in cost. Its steps, each a method of `DetectorGrounder`:

1. The time span and a description of the target, as in `second_level`: the vision-language model gives both, unless the
   time is known.
2. `candidates`: the detector looks for a noun phrase of the description in one frame per second of each span. Boxes of
   different seconds are linked to tracks: by a tracker that runs through all frames in between (SAM 2), or by distance
   if there is no tracker. SAM 3 finds and follows objects by itself, and the index of `--model objects` has tracks.
3. `choose`: the candidates are drawn as numbered boxes, and the vision-language model answers with a number. A single
   candidate is taken without asking.
4. `tube`: one box per second, and one at every frame if a tracker was used. The source of a box is `model` if it was
   detected and `propagated` if it was followed.

The trace lists each step with its frames, detector and tracker passes and seconds, next to the model's calls. Decoded
frames are part of the cost.

Left out: shot cuts are not detected (a tracker may lose its target there), and an object that comes back under another
number after it was out of sight is not joined: one number is chosen per span.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers import parse
from whenwhere.errors import SettingError
from whenwhere.grounders.call_runner import CallRunner, plan_costs
from whenwhere.grounders.detector.choice import (
    CANDIDATES,
    FRAMES,
    MOST_TOKENS,
    TOKENS,
    choice_question,
    choice_schema,
    chosen_number,
    draw_candidates,
    strongest_tracks,
    telling_times,
)
from whenwhere.grounders.detector.finding import finder
from whenwhere.grounders.detector.indexed import IndexedTracks
from whenwhere.grounders.detector.phrase import noun_phrase
from whenwhere.grounders.detector.tracks import Linker, Track
from whenwhere.grounders.grounder import GroundingRequest, GroundingResult
from whenwhere.grounders.second_level import DESCRIBED, WORDS_TOKENS, SecondLevel
from whenwhere.grounders.windows import SamplingConfig, frames_per_call, shown_width
from whenwhere.models.backends.base import ModelBackend, ModelCall
from whenwhere.models.detectors.detector import ClassDetections, Detector
from whenwhere.models.propagation import BoxTracking, ConceptTracker, Propagator
from whenwhere.spans import Span, SpanSet
from whenwhere.tracking import second_level_times
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo, read_frames, stream_frames
from whenwhere.video.picture import output_size

#: Largest width in pixels of the frames given to detectors and trackers, which scale them down further.
WIDTH = 1333
#: Number of images in a detector's batch.
TOGETHER = 4
#: Largest number of objects that are followed at a time; the cost grows in proportion to it.
FOLLOWED = 12


class DetectorGrounder:
    """Grounds sentences with the boxes of a detector, among which a vision-language model chooses.

    Args:
        backend: The vision-language model.
        detector: Finds objects by a noun phrase in single frames; or SAM 3, or the tracks of an object index, which are
            followed already.
        propagator: Tracker that follows objects between seconds. None links boxes by their distance.
        sampling: How many frames the vision-language model is shown per call, and at what size.
        progress: Called with the share of the video that has been searched for the time span, 0-1.

    Raises:
        SettingError: A propagator is given together with SAM 3 or an object index, which need none.
    """

    name = "detector"

    def __init__(
        self,
        backend: ModelBackend,
        detector: Detector | ConceptTracker | IndexedTracks,
        propagator: Propagator | None = None,
        *,
        sampling: SamplingConfig | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        if isinstance(detector, ConceptTracker | IndexedTracks) and propagator is not None:
            raise SettingError(f"{detector.name} follows what it finds by itself: name no propagator beside it")
        self.backend, self.detector, self.propagator = backend, detector, propagator
        self.steps = SecondLevel(backend, sampling, progress)

    def ground(self, info: VideoInfo, request: GroundingRequest) -> GroundingResult:
        """Answer one sentence (see `Grounder.ground`).

        Raises:
            ChatError, ModelError: The vision-language model gave no answer at all, or a model does not fit into memory.
        """
        runner = CallRunner(self.backend, info, request, self.steps.progress)
        if spans := runner.resolve_time(self.steps.find_time):
            result = runner.result
            target = self.steps.which(runner, spans)
            phrase = noun_phrase(target or request.query)
            result.reading = {"target": target, "phrase": phrase} if target else {"phrase": phrase}
            groups = [self.candidates(runner, span, phrase) for span in spans]
            result.candidates = [_described(track, phrase) for group in groups for track in group]
            numbers = self.choose(runner, target, spans, groups)
            result.tubes = self.tube(runner, spans, groups, numbers, phrase)
        return runner.finish()

    def candidates(self, runner: CallRunner, span: Span, phrase: str) -> list[Track]:
        """Tracks of all objects in a span that the noun phrase may mean, numbered from 1.

        Boxes are in pixels of the displayed frame. This is step 2 of the pipeline.
        """
        shown = _frames(runner.info, span, runner.request.rate)
        if isinstance(self.detector, ConceptTracker):
            tracks = self._named(runner, self.detector, span, phrase)
        elif isinstance(self.detector, IndexedTracks):
            tracks = self._indexed(runner, self.detector, shown, phrase)
        elif self.propagator is not None:
            tracks = self._followed(runner, self.detector, self.propagator, span, shown, phrase)
        else:
            tracks = self._linked(runner, self.detector, shown, phrase)
        if not tracks:
            runner.warnings.append(f"nothing was found between {span.start:.1f} and {span.end:.1f} s for {phrase!r}")
        return strongest_tracks(tracks)

    def choose(
        self, runner: CallRunner, target: str, spans: SpanSet, groups: Sequence[list[Track]]
    ) -> list[int | None]:
        """The number of the candidate that the model chose for each span; None if it chose none or did not answer.

        This is step 3 of the pipeline.
        """
        numbers: list[int | None] = [1 if len(group) == 1 else None for group in groups]
        asked = [k for k, group in enumerate(groups) if len(group) > 1]
        calls = [self._question(runner, target, spans[k], groups[k]) for k in asked]
        replies = self.backend.ask(calls) if calls else []
        for k, call, reply in zip(asked, calls, replies, strict=True):
            runner.costs.add(call, reply)
            where = f"between {spans[k].start:.1f} and {spans[k].end:.1f} s"
            if reply.error is not None or reply.finish == "refused":
                runner.note(reply, None)
                said = reply.error or "the model declined to answer"
                runner.warnings.append(f"no candidate was chosen {where}: {said}")
                continue
            answer = parse(reply.text)
            runner.note(reply, answer)
            numbers[k] = chosen_number(answer, len(groups[k])) or None
            if numbers[k] is None:
                which = (
                    "says that it is none of them"
                    if chosen_number(answer, len(groups[k])) == 0
                    else "named none of them"
                )
                runner.warnings.append(f"of {len(groups[k])} candidates {where} the model {which}")
        return numbers

    def tube(
        self, runner: CallRunner, spans: SpanSet, groups: Sequence[list[Track]], numbers: Sequence[int | None],
        label: str,
    ) -> list[Tube]:  # fmt: skip
        """The chosen candidates of all spans as one tube; an empty list if none was chosen.

        This is step 4 of the pipeline.
        """
        info, rate = runner.info, runner.request.rate
        times: list[float] = []
        boxes: list[NDArray[np.float64]] = []
        sources: list[str] = []
        scores: list[float] = []
        for span, group, number in zip(spans, groups, numbers, strict=True):
            if number is None:
                continue
            track = group[number - 1]
            scores += track.scores
            at = dict(zip(track.times, range(len(track.times)), strict=True))
            wanted = second_level_times(span, rate, info.last_before(span.end))
            if self.propagator is not None or isinstance(self.detector, ConceptTracker):
                # every frame: the first may have been shown since before the span began
                times += [max(t, span.start) for t in track.times]
                picked = list(at.values())
            else:
                frames = info.times[info.shown(wanted)].tolist()
                times += [t for t, frame in zip(wanted.tolist(), frames, strict=True) if frame in at]
                picked = [at[frame] for frame in frames if frame in at]
            boxes += [track.boxes[k] for k in picked]
            sources += [track.sources[k] for k in picked]
        if not times:
            return []
        score = float(np.mean(scores)) if scores else None
        return [Tube(spans, times, np.array(boxes), rate=rate, sources=sources, label=label, score=score)]

    def estimate(self, info: VideoInfo, request: GroundingRequest) -> dict[str, Any]:
        """What `ground` would cost, by step; `detect` is the number of frames for the detector or tracker."""
        plan = self.steps.estimate(info, request)
        steps = {name: cost for name, cost in plan["steps"].items() if name in ("when", "refine")}
        steps["which"] = self._price(info, DESCRIBED, self.backend.dialect.ask_which(request.query), WORDS_TOKENS)
        seconds = float(plan["assumed_seconds"])
        if isinstance(self.detector, IndexedTracks):
            frames = self.detector.frames(info)
        elif self.propagator is not None or isinstance(self.detector, ConceptTracker):
            frames = round(seconds * info.fps)
        else:
            frames = round(seconds * request.rate) + 1
        steps["detect"] = {"calls": 0, "frames": frames, "prompt_tokens": 0, "output_tokens": 0}
        steps["choose"] = self._price(info, FRAMES, choice_question(request.query, "", CANDIDATES), TOKENS)
        return plan_costs(steps, assumed_seconds=plan["assumed_seconds"])

    def _price(self, info: VideoInfo, frames: int, words: str, output: int) -> dict[str, int]:
        width, height = output_size(info, shown_width(info, self.steps.sampling.close_side))
        tokens = self.backend.prompt_tokens(frames, width, height, words)
        return {"calls": 1, "frames": frames, "prompt_tokens": tokens, "output_tokens": output}

    def _indexed(
        self, runner: CallRunner, found: IndexedTracks, shown: NDArray[np.float64], phrase: str
    ) -> list[Track]:
        """The tracks of the object index at the second-level frames of a span."""
        began = time.perf_counter()
        tracks, asked, frames = found.tracks(runner.info, shown, phrase)
        runner.costs.frames_decoded += frames
        boxes = sum(len(track.times) for track in tracks)
        _log(runner, began, detector=found.name, passes=asked, frames=asked, boxes=boxes)
        return tracks

    def _linked(self, runner: CallRunner, detector: Detector, shown: NDArray[np.float64], phrase: str) -> list[Track]:
        """Detections in one frame per second, linked to tracks by their distance."""
        info, linker, began = runner.info, Linker(), time.perf_counter()
        detect = finder(detector, phrase)
        width = min(info.width, WIDTH)
        count = 0
        for first in range(0, len(shown), TOGETHER):
            pictures = read_frames(info, shown[first : first + TOGETHER], width=width)
            runner.warnings += [w for w in pictures.warnings if w not in info.warnings]
            for t, found in zip(pictures.times.tolist(), detect(pictures.images), strict=True):
                count += len(found)
                linker.add(t, found.scaled(info.width / width))
        runner.costs.frames_decoded += len(shown)
        _log(runner, began, detector=detector.name, passes=len(shown), frames=len(shown), boxes=count)
        return list(linker.tracks.values())

    def _followed(
        self, runner: CallRunner, detector: Detector, propagator: Propagator, span: Span,
        shown: NDArray[np.float64], phrase: str,
    ) -> list[Track]:  # fmt: skip
        """Detections in one frame per second, linked to tracks by a tracker that runs through the frames in between."""
        began = time.perf_counter()
        counted = {"frames": 0, "boxes": 0}
        find = finder(detector, phrase)

        def detect(image: NDArray[np.uint8]) -> ClassDetections:
            found = find(image[None])[0]
            counted["boxes"] += len(found)
            return found

        def frames() -> Iterator[tuple[float, NDArray[np.uint8]]]:
            for t, image in _stream(runner, span):
                counted["frames"] += 1
                yield t, image

        factor = runner.info.width / min(runner.info.width, WIDTH)
        tracks = follow(frames(), set(shown.tolist()), detect, propagator.follow, factor)
        _log(runner, began, detector=detector.name, propagator=propagator.name, passes=len(shown), **counted)
        return tracks

    def _named(self, runner: CallRunner, concept: ConceptTracker, span: Span, phrase: str) -> list[Track]:
        """The tracks of all objects that SAM 3 finds and follows."""
        began, frames = time.perf_counter(), 0
        following, tracks = concept.follow(phrase), dict[int, Track]()
        factor = runner.info.width / min(runner.info.width, WIDTH)
        for t, image in _stream(runner, span):
            frames += 1
            for number, box in following.step(image).items():
                track = tracks.setdefault(number, Track(number))
                track.add(t, box * factor, "propagated" if track.times else "model", following.scores[number])
        boxes = sum(len(t.times) for t in tracks.values())
        _log(runner, began, detector=concept.name, passes=frames, frames=frames, boxes=boxes)
        return list(tracks.values())

    def _question(self, runner: CallRunner, target: str, span: Span, group: list[Track]) -> ModelCall:
        """The call that shows the numbered candidates of one span and asks which of them is meant."""
        info, request = runner.info, runner.request
        words = choice_question(request.query, target, len(group))
        width = shown_width(info, self.steps.sampling.close_side)
        most = frames_per_call(self.backend, *output_size(info, width), words, self.steps.sampling.tokens)
        times = telling_times(group, _frames(info, span, request.rate), min(most, FRAMES))
        pictures = read_frames(info, times, width=width)
        runner.costs.frames_decoded += len(times)
        images = []
        for t, image in zip(times.tolist(), pictures.images, strict=True):
            there = {track.number: box for track in group if (box := track.at(t)) is not None}
            images.append(draw_candidates(image, {n: box * (width / info.width) for n, box in there.items()}))
        return ModelCall(
            np.stack(images), pictures.times, words, choice_schema(len(group)), MOST_TOKENS, seed=request.seed,
            step="choose",
        )  # fmt: skip


def follow(
    frames: Iterable[tuple[float, NDArray[np.uint8]]],
    shown: Set[float],
    detect: Callable[[NDArray[np.uint8]], ClassDetections],
    begin: Callable[[], BoxTracking],
    factor: float = 1.0,
) -> list[Track]:
    """Tracks of objects that are detected in some frames and followed through all of them.

    Whenever the detector runs, its boxes are linked to the tracked ones, and the tracker is corrected to the detected
    boxes and told of new objects. So a tracking error lasts only until the next detection.

    Args:
        frames: Pairs of time in seconds and RGB image, in order of time.
        shown: Times of the frames in which the detector runs.
        detect: Detector: takes an image and returns boxes in pixels of that image.
        begin: Returns a new tracker that follows nothing yet. Called again when a tracker has no room for new objects
            and some of those that it follows are gone.
        factor: Width of the displayed frame divided by the width of the images.

    Returns:
        Tracks with a box at every frame in which the object was seen, in pixels of the displayed frame.
    """
    linker, following, known = Linker(), begin(), set[int]()
    for t, image in frames:
        carried = following.step(image)
        for number, box in carried.items():
            linker.tracks[number].add(t, box * factor, "propagated")
        if t in shown:
            carried = {number: box * factor for number, box in carried.items()}
            linked = linker.add(t, detect(image).scaled(factor), carried)
            new = [n for n in linked if n not in known]
            there = carried | linked
            if len(known) + len(new) > FOLLOWED and known - there.keys():
                # a tracker cannot be told to let go of something
                following, known = begin(), known & there.keys()
                following.step(image)
            else:
                there = linked
            known |= set(new[: FOLLOWED - len(known)])
            following.show({n: box / factor for n, box in there.items() if n in known})
    return list(linker.tracks.values())


def _frames(info: VideoInfo, span: Span, rate: float) -> NDArray[np.float64]:
    """Times of the frames that are on screen at the whole-second (or `rate`) times of a span."""
    times = second_level_times(span, rate, info.last_before(span.end))
    return info.times[np.unique(info.shown(times))]


def _stream(runner: CallRunner, span: Span) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Every frame of a span, beginning with the one on screen at its start."""
    info = runner.info
    start = float(info.times[info.shown([span.start])[0]])
    warnings: list[str] = []
    for t, image in stream_frames(info, width=min(info.width, WIDTH), start=start, end=span.end, warnings=warnings):
        runner.costs.frames_decoded += 1
        yield t, image
    runner.warnings += warnings


def _log(runner: CallRunner, began: float, *, frames: int, **said: Any) -> None:
    """Adds a step without a model call to the trace."""
    runner.costs.frames_shown += frames
    seconds = round(time.perf_counter() - began, 3)
    runner.costs.trace.append({"step": "detect", "frames": frames, **said, "seconds": seconds, "error": None})


def _described(track: Track, phrase: str) -> dict[str, Any]:
    """A candidate as a JSON value."""
    return {
        "id": str(track.number),
        "label": phrase,
        "score": round(float(np.mean(track.scores)), 3) if track.scores else None,
        "start": round(track.times[0], 3),
        "end": round(track.times[-1], 3),
        "box": [round(float(x), 1) for x in track.boxes[0]],
    }

"""Detector-assisted grounding: a detector says what is there, a tracker follows it, a language model chooses.

The strongest pipeline that can be put together from parts that others trained, and so what second-level boxes are
measured against, in quality and in cost. Steps, each a method of `DetectorGrounder`:

1. *when* and *which thing*: as in `second_level`, by the vision-language model, or the time is given.
2. `candidates`: a noun phrase of the description is looked for at the second-level times of each span. Boxes of
   different seconds are linked: by what was followed through all frames in between (SAM 2, SAM 3), or by nearness where
   no propagation model is given. SAM 3's own detector looks at every frame and needs neither.
3. `choose`: candidates are drawn as numbered boxes; the language model says which number is meant. A single candidate
   needs no question.
4. `tube`: one box at each second-level time; where something followed it, one at every frame as well. Those are
   `propagated`, what the detector gave is `model`.

Frames, passes of the detector and of the tracker, and seconds are in the trace, step by step, beside the calls to the
language model; decoded frames are in the cost.

Left out: shot cuts (a tracker copes or loses its target, linking by nearness does not cross them knowingly), and one
thing under two numbers after it was lost from sight: one number is chosen per span.
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
from whenwhere.grounders.detector.phrase import noun_phrase
from whenwhere.grounders.detector.tracks import Linker, Track
from whenwhere.grounders.grounder import GroundingRequest, GroundingResult
from whenwhere.grounders.second_level import DESCRIBED, WORDS_TOKENS, SecondLevel
from whenwhere.grounders.windows import SamplingConfig, frames_per_call, shown_width
from whenwhere.models.backends.base import ModelBackend, ModelCall
from whenwhere.models.detection import Detections, Detector
from whenwhere.models.propagation import BoxTracking, ConceptTracker, Propagator
from whenwhere.spans import Span, SpanSet
from whenwhere.tracking import second_level_times
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo, read_frames, stream_frames
from whenwhere.video.picture import output_size

#: Frames are given to detectors and trackers at this width at most; they make them smaller still.
WIDTH = 1333
#: Pictures that a detector looks at together.
TOGETHER = 4
#: Things that are followed at a time; each costs as much as the first.
FOLLOWED = 12


class DetectorGrounder:
    """Grounds sentences by a detector's boxes, of which a vision-language model chooses.

    Args:
        backend: The language model.
        detector: Finds things by a noun phrase in single frames; or SAM 3, which follows them as well.
        propagator: Follows things between seconds. None links boxes by nearness.
        sampling: How many frames the language model is shown at a time.
        progress: Called with the share of the video that was looked at for the time.

    Raises:
        SettingError: a propagator beside SAM 3.
    """

    name = "detector"

    def __init__(
        self,
        backend: ModelBackend,
        detector: Detector | ConceptTracker,
        propagator: Propagator | None = None,
        *,
        sampling: SamplingConfig | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        if isinstance(detector, ConceptTracker) and propagator is not None:
            raise SettingError(f"{detector.name} follows what it finds by itself: name no propagator beside it")
        self.backend, self.detector, self.propagator = backend, detector, propagator
        self.steps = SecondLevel(backend, sampling, progress)

    def ground(self, info: VideoInfo, request: GroundingRequest) -> GroundingResult:
        """Answer one sentence (see `Grounder.ground`).

        Raises:
            ChatError, ModelError: the language model gave no answer at all, or a model does not fit into memory.
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
        """Step 2: all that the phrase may name inside a span, numbered from 1; pixels of the displayed frame."""
        shown = _frames(runner.info, span, runner.request.rate)
        if isinstance(self.detector, ConceptTracker):
            tracks = self._named(runner, self.detector, span, phrase)
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
        """Step 3: the number that is meant, for each span; None where none is, or nothing can be said."""
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
        """Step 4: the chosen candidates as one tube; no tube where none was chosen."""
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
        """What `ground` would cost; `detect` counts the frames that the detector or the tracker sees."""
        plan = self.steps.estimate(info, request)
        steps = {name: cost for name, cost in plan["steps"].items() if name in ("when", "refine")}
        steps["which"] = self._price(info, DESCRIBED, self.backend.dialect.ask_which(request.query), WORDS_TOKENS)
        seconds = float(plan["assumed_seconds"])
        every = self.propagator is not None or isinstance(self.detector, ConceptTracker)
        frames = round(seconds * info.fps) if every else round(seconds * request.rate) + 1
        steps["detect"] = {"calls": 0, "frames": frames, "prompt_tokens": 0, "output_tokens": 0}
        steps["choose"] = self._price(info, FRAMES, choice_question(request.query, "", CANDIDATES), TOKENS)
        return plan_costs(steps, assumed_seconds=plan["assumed_seconds"])

    def _price(self, info: VideoInfo, frames: int, words: str, output: int) -> dict[str, int]:
        width, height = output_size(info, shown_width(info, self.steps.sampling.close_side))
        tokens = self.backend.prompt_tokens(frames, width, height, words)
        return {"calls": 1, "frames": frames, "prompt_tokens": tokens, "output_tokens": output}

    def _linked(self, runner: CallRunner, detector: Detector, shown: NDArray[np.float64], phrase: str) -> list[Track]:
        """Detections of single seconds, linked by nearness."""
        info, linker, began = runner.info, Linker(), time.perf_counter()
        width = min(info.width, WIDTH)
        count = 0
        for first in range(0, len(shown), TOGETHER):
            pictures = read_frames(info, shown[first : first + TOGETHER], width=width)
            runner.warnings += [w for w in pictures.warnings if w not in info.warnings]
            for t, found in zip(pictures.times.tolist(), detector.detect(pictures.images, phrase), strict=True):
                count += len(found)
                linker.add(t, found.scaled(info.width / width))
        runner.costs.frames_decoded += len(shown)
        _log(runner, began, detector=detector.name, passes=len(shown), frames=len(shown), boxes=count)
        return list(linker.tracks.values())

    def _followed(
        self, runner: CallRunner, detector: Detector, propagator: Propagator, span: Span, shown: NDArray[np.float64],
        phrase: str,
    ) -> list[Track]:  # fmt: skip
        """Detections of single seconds, linked by what was followed through the frames in between."""
        began = time.perf_counter()
        counted = {"frames": 0, "boxes": 0}

        def detect(image: NDArray[np.uint8]) -> Detections:
            found = detector.detect(image[None], phrase)[0]
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
        """All that SAM 3 finds and follows."""
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
        """The drawn frames of one span and the question which number is meant."""
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
    detect: Callable[[NDArray[np.uint8]], Detections],
    begin: Callable[[], BoxTracking],
    factor: float = 1.0,
) -> list[Track]:
    """Things detected at some frames and followed through all.

    At each frame of a second the detections are linked to what was followed there, and the tracker is shown where its
    things really are, and what is new: an error lasts a second at most.

    Args:
        frames: times and RGB images, in order.
        shown: times of the frames at which to detect.
        detect: boxes in pixels of the image.
        begin: gives a tracker that follows nothing yet; asked again when it is full of things that are gone.
        factor: how many times larger the displayed frame is than the images.

    Returns:
        Things with a box at every frame at which they were seen, pixels of the displayed frame.
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
    """Times of the frames that are shown at a span's second-level times."""
    times = second_level_times(span, rate, info.last_before(span.end))
    return info.times[np.unique(info.shown(times))]


def _stream(runner: CallRunner, span: Span) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Every frame of a span, from the one that is shown at its start."""
    info = runner.info
    start = float(info.times[info.shown([span.start])[0]])
    warnings: list[str] = []
    for t, image in stream_frames(info, width=min(info.width, WIDTH), start=start, end=span.end, warnings=warnings):
        runner.costs.frames_decoded += 1
        yield t, image
    runner.warnings += warnings


def _log(runner: CallRunner, began: float, *, frames: int, **said: Any) -> None:
    """Put a step that asked no language model into the trace."""
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

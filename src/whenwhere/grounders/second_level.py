"""Second-level grounding: one box per second instead of one per frame, asked of a vision-language model.

Four steps, each a method of `SecondLevel`, in the order in which they are made:

1. `when`: the whole video at a few frames a second, in overlapping windows as long as a call's tokens allow; what the
   windows say is united. With several samples the answer that agrees best with the others counts, and how well they
   agree is the confidence.
2. `refine`: ten frames a second around each border; ends become as fine as 0.1 s.
3. `which`: a description of the one thing meant, from a few frames inside the spans; every later call repeats it.
4. `where`: boxes at the second-level times (`tracking.second_level_times`), as many at once as a call's tokens allow;
   the last frame and box of a call are shown to the next, so that it follows the same thing.

Repair, smoothing and filling are the session's, as for every grounder. Where a family is not known to answer with
places, only time is asked. Calls that fail leave a partial answer with a warning.

Left out: sentences about the video as a whole ("the last time that ...") when it needs more than one window: no window
sees all of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers import parse
from whenwhere.answers.thought import split_thought
from whenwhere.grounders.asking import Asking, Look, price, summed
from whenwhere.grounders.grounder import Found
from whenwhere.grounders.places import boxes_said, matched, tolerance, written
from whenwhere.grounders.windows import (
    Sight,
    agreement,
    border_windows,
    covered,
    fitting,
    frame_times,
    merged,
    part_of,
    sharpened,
    shown_width,
    spans_said,
    windows,
)
from whenwhere.models.backends.base import ModelBackend, ModelReply
from whenwhere.spans import Span, SpanSet
from whenwhere.tracking import second_level_times
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo
from whenwhere.video.picture import output_size

#: Of the drawn samples; the first one is the model's best guess (0).
TEMPERATURE = 0.7
#: Frames that the description of the target is made from.
DESCRIBED = 4
#: Tokens of a usual span, box, and description as JSON or words, for plans.
SPAN_TOKENS, BOX_TOKENS, WORDS_TOKENS = 24, 40, 40
#: Most tokens of an answer about time; of one about places: the second, and the first for each box.
MAX_SPANS, MAX_BOX, MAX_START = 512, 64, 128
#: Seconds of the one answer that a plan assumes where the time is not given: the mean of VidSTG's.
ASSUMED = 9.4
#: Letters of a description that later calls repeat, and of a text listed as a candidate.
_DESCRIPTION, LISTED = 300, 200

PART = " You see the part from {start:.1f} to {end:.1f} seconds of it. If it does not happen in this part, output []."
HANDED = " In the first frame, at {time:.1f} seconds, it is at {box}; follow the same one."


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Times of boxes that are asked for at once."""

    times: NDArray[np.float64]
    before: float | None


class SecondLevel:
    """Grounds sentences by a vision-language model, one box per second.

    Args:
        backend: the model.
        samples: how often the question about time is asked; 1 gives no confidence.
        sight: how much is shown at a time.
        progress: told the share of the video that was looked at.

    Raises:
        SettingError: less than one sample.
    """

    name = "second-level"

    def __init__(
        self,
        backend: ModelBackend,
        samples: int = 1,
        sight: Sight | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.backend, self.samples, self.sight, self.progress = backend, samples, sight or Sight(), progress

    def ground(
        self,
        info: VideoInfo,
        query: str,
        *,
        rate: float = 1.0,
        sample_fps: float | None = None,
        within: Span | None = None,
        span: Span | None = None,
        seed: int = 0,
    ) -> Found:
        """Answer one sentence; see `Grounder.ground`.

        Raises:
            ChatError, ModelError: the model gave no answer at all.
        """
        asking = Asking(self.backend, info, self.progress)
        found = Found("unsure")
        searched = part_of(info, within)
        if span is not None:
            spans: SpanSet | None = SpanSet([part_of(info, span)])
        else:
            spans = self.when(asking, found, query, searched, sample_fps, seed)
            if spans:
                spans = self.refine(asking, query, spans, searched, sample_fps)
        if spans is None:
            found.status = "unsure"
        elif not spans:
            found.status = "absent"
        else:
            found.status = "answered"
            found.spans = SpanSet(Span(s.start, s.end, found.confidence) for s in spans)
            if self.backend.dialect.coordinates is None:
                asking.warnings.append(
                    f"nothing is known of how {self.backend.dialect.name} models answer with places: only time was "
                    "asked"
                )
            else:
                target = self.which(asking, query, found.spans)
                found.reading = {"target": target} if target else None
                found.tubes = self.where(asking, query, target, found.spans, rate)
        return asking.into(found)

    def when(
        self, asking: Asking, found: Found, query: str, searched: Span, sample_fps: float | None, seed: int
    ) -> SpanSet | None:
        """Step 1: the spans, empty where it does not happen, None where nothing can be said.

        Puts confidence and, where nothing was found, candidates into `found`.
        """
        step = 1 / (sample_fps or self.sight.fps)
        looks = self._coarse(asking.info, query, searched, 1 / step)
        replies = asking.ask([drawn(look, k, seed) for look in looks for k in range(self.samples)])
        covers = [covered(look.times, step, searched) for look in looks]
        said = [self._said(asking, r, covers[k // self.samples], step) for k, r in enumerate(replies)]
        samples = [merged(said[k :: self.samples], step) for k in range(self.samples)]
        best, found.confidence = agreement(samples)
        spans = None if best is None else samples[best]
        if spans is None:
            found.candidates = [
                {"start": round(c.start, 3), "end": round(c.end, 3), "said": r.text.strip()[:LISTED]}
                for c, r in zip(covers, replies[:: self.samples], strict=True)
                if r.text.strip()
            ]
        return spans

    def refine(self, asking: Asking, query: str, spans: SpanSet, searched: Span, sample_fps: float | None) -> SpanSet:
        """Step 2: the same spans with finer ends; an end about which nothing could be read stays."""
        looks, reach, step = self._fine(asking.info, query, spans, searched, sample_fps)
        replies = asking.ask(looks)
        covers = [covered(look.times, step, searched) for look in looks]
        said = [self._said(asking, r, c, step) for r, c in zip(replies, covers, strict=True)]
        closer = [(c, s) for c, s in zip(covers, said, strict=True) if s]
        return SpanSet(sharpened(span, closer, reach, step) for span in spans)

    def which(self, asking: Asking, query: str, spans: SpanSet) -> str:
        """Step 3: what the thing looks like, in a sentence; empty where the model does not say."""
        (reply,) = asking.ask([self._description(asking.info, query, spans)])
        asking.note(reply, None)
        words = " ".join(split_thought(reply.text).answer.split()) if reply.finish in ("stop", "length") else ""
        return words[:_DESCRIPTION]

    def where(self, asking: Asking, query: str, target: str, spans: SpanSet, rate: float) -> list[Tube]:
        """Step 4: the tube, none where no box could be read."""
        info, dialect = asking.info, self.backend.dialect
        times = np.concatenate([second_level_times(s, rate, info.last_before(s.end)) for s in spans])
        shown, back = np.unique(info.times[info.shown(times)], return_inverse=True)
        boxes = np.full((len(shown), 4), np.nan)
        left, size, reach = 0, (0, 0), tolerance(shown, dialect.resolution)
        for chunk in self._chunks(info, query, target, shown):
            handed = None
            if chunk.before is not None and not dialect.points:
                box = boxes[np.searchsorted(shown, chunk.before)]
                handed = None if np.isnan(box[0]) else (chunk.before, written(box, dialect, info, size))
            (reply,) = asking.ask([self._places(info, query, target, chunk.times, handed)])
            size = reply.shown
            answer = boxes_said(reply, dialect, info) if reply.text else None
            asking.note(reply, answer)
            if answer is not None:
                # a box of the frame that was handed over is matched to it, and is no new one
                listed = chunk.times if handed is None else np.concatenate([[handed[0]], chunk.times])
                untimed = all(b.time is None for b in answer.boxes) and len(answer.boxes) == len(chunk.times)
                got, over = matched(answer.boxes, chunk.times if untimed else listed, reach)
                boxes[np.searchsorted(shown, chunk.times)] = got[-len(chunk.times) :]
                left += over
        if left:
            asking.warnings.append(f"{left} boxes belonged to no second that was asked for and were dropped")
        if dialect.points:
            asking.warnings.append(f"{dialect.name} models answer with points: boxes are small squares around them")
        boxes = boxes[back]
        keep = ~np.isnan(boxes[:, 0])
        if not keep.any():
            asking.warnings.append("the model gave no box that can be read")
            return []
        # reversed and empty boxes are counted and dropped like those outside the frame, before they are a tube
        good = keep & (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
        if (keep & ~good).any():
            asking.warnings.append(f"{int((keep & ~good).sum())} boxes were reversed or empty and were dropped")
        return [Tube(spans, times[good], boxes[good], rate=rate)] if good.any() else []

    def estimate(
        self,
        info: VideoInfo,
        *,
        query: str = "",
        rate: float = 1.0,
        sample_fps: float | None = None,
        within: Span | None = None,
        span: Span | None = None,
    ) -> dict[str, Any]:
        """What `ground` would cost, step by step, if one answer of `assumed_seconds` is found; nothing is asked."""
        steps: dict[str, dict[str, int]] = {}
        searched = part_of(info, within)
        if span is not None:
            spans = SpanSet([part_of(info, span)])
        else:
            looks = self._coarse(info, query, searched, sample_fps or self.sight.fps)
            steps["when"] = price(self.backend, info, [look for look in looks for _ in range(self.samples)])
            middle = (searched.start + searched.end) / 2
            half = min(ASSUMED, searched.duration) / 2
            spans = SpanSet([(middle - half, middle + half)])
            steps["refine"] = price(self.backend, info, self._fine(info, query, spans, searched, sample_fps)[0])
        if self.backend.dialect.coordinates is not None:
            steps["which"] = price(self.backend, info, [self._description(info, query, spans)])
            times = np.concatenate([second_level_times(s, rate, info.last_before(s.end)) for s in spans])
            shown = np.unique(info.times[info.shown(times)])
            target = "x" * 4 * WORDS_TOKENS
            box = None if self.backend.dialect.points else "[100, 100, 200, 200]"
            places = [
                self._places(info, query, target, c.times, None if c.before is None or box is None else (c.before, box))
                for c in self._chunks(info, query, target, shown)
            ]
            steps["where"] = price(self.backend, info, places)
        return summed(steps, assumed_seconds=round(spans.duration, 3))

    def _said(self, asking: Asking, reply: ModelReply, window: Span, step: float) -> SpanSet | None:
        """What a reply says of time; None where it says nothing."""
        if reply.error is not None or reply.finish == "refused":
            asking.note(reply, None)
            return None
        answer = parse(reply.text, form=self.backend.dialect.spans_form, duration=asking.info.duration)
        asking.note(reply, answer)
        spans, useless = spans_said(answer, window, step)
        if useless:
            asking.warn("some spans ended before they began, or lay outside what was shown, and were dropped")
        return spans

    def _coarse(self, info: VideoInfo, query: str, searched: Span, fps: float) -> list[Look]:
        return self._about_time("when", info, query, searched, searched, fps)

    def _fine(
        self, info: VideoInfo, query: str, spans: SpanSet, searched: Span, sample_fps: float | None
    ) -> tuple[list[Look], float, float]:
        """Looks around the borders, how far an end may move, and the seconds between frames."""
        reach = 2 / (sample_fps or self.sight.fps)
        fps = max(min(self.sight.fine_fps, info.fps or self.sight.fine_fps), 1e-3)
        around = border_windows(spans, reach, searched)
        looks = [look for w in around for look in self._about_time("refine", info, query, w, searched, fps)]
        return looks, reach, 1 / fps

    def _about_time(self, step: str, info: VideoInfo, query: str, part: Span, searched: Span, fps: float) -> list[Look]:
        """Windows over a part of the video, each with the question about time."""
        dialect, width = self.backend.dialect, shown_width(info, self.sight.side)
        question = dialect.ask_when(query, info.duration)
        longest = question + PART.format(start=info.duration, end=info.duration)
        most = fitting(self.backend, *output_size(info, width), longest, self.sight.tokens)
        looks = []
        for times in windows(frame_times(info, part, fps), most):
            seen = covered(times, 1 / fps, searched)
            whole = seen.start <= 0 and seen.end >= info.duration - 1 / fps
            prompt = question if whole else question + PART.format(start=seen.start, end=seen.end)
            looks.append(Look(step, times, width, prompt, dialect.when_schema(), MAX_SPANS, SPAN_TOKENS))
        return looks

    def _description(self, info: VideoInfo, query: str, spans: SpanSet) -> Look:
        """A few frames spread over the longest span."""
        longest = max(spans, key=lambda s: s.duration)
        grid = longest.start + longest.duration * (np.arange(DESCRIBED) + 0.5) / DESCRIBED
        times = info.times[np.unique(info.shown(grid))]
        width = shown_width(info, self.sight.close_side)
        return Look("which", times, width, self.backend.dialect.ask_which(query), None, MAX_START, WORDS_TOKENS)

    def _chunks(self, info: VideoInfo, query: str, target: str, times: NDArray[np.float64]) -> list[_Chunk]:
        """Times in calls of about one size; each but the first knows the last time of the one before."""
        width = shown_width(info, self.sight.close_side)
        longest = self.backend.dialect.ask_where(query, target, times[: self.sight.boxes].tolist()) + HANDED
        # one frame is kept free for the one that is handed over
        fits = fitting(self.backend, *output_size(info, width), longest, self.sight.tokens) - 1
        most = max(min(fits, self.sight.boxes), 1)
        parts = np.array_split(times, -(-len(times) // most))
        befores = [None, *(float(part[-1]) for part in parts)]
        return [_Chunk(part, before) for part, before in zip(parts, befores, strict=False)]

    def _places(
        self, info: VideoInfo, query: str, target: str, times: NDArray[np.float64], handed: tuple[float, str] | None
    ) -> Look:
        dialect = self.backend.dialect
        prompt = dialect.ask_where(query, target, times.tolist())
        shown = times
        if handed is not None:
            prompt += HANDED.format(time=handed[0], box=handed[1])
            shown = np.concatenate([[handed[0]], times])
        return Look(
            "where", shown, shown_width(info, self.sight.close_side), prompt, dialect.where_schema(times.tolist()),
            MAX_START + MAX_BOX * len(times), BOX_TOKENS * len(times),
        )  # fmt: skip


def drawn(look: Look, k: int, seed: int) -> Look:
    """The k-th sample of a look; the times stay the same object, which tells that frames are shared.

    Args:
        look: what is shown and asked.
        k: 0 = the model's best guess, not drawn.
        seed: of the first sample.
    """
    return replace(look, temperature=TEMPERATURE if k else 0.0, seed=seed + k)

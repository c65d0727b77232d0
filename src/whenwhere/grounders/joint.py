"""Policies that answer with time and places at once: one call instead of `second_level`'s four steps.

A policy that was trained here writes spans and their boxes in one answer, and is asked as it was trained: as many
frames a second, of that size, at k / fps from the beginning of what it is shown. A video longer than the clips that it
was trained with is shown in overlapping parts, each as a clip with a clock of its own; times are put back onto the
video's clock, what the parts say of the time is united, and where two parts have a box at one time the one whose middle
is nearer counts. There is no closer look at the ends, which the policy never learned.

Where the time is given the policy is asked as ever, and its boxes inside that time are kept.

Left out: boxes at other times than the policy's own; the fill makes the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from whenwhere.answers import ParsedAnswer
from whenwhere.errors import SettingError
from whenwhere.grounders.asking import Asking, Look, price, summed
from whenwhere.grounders.grounder import Found
from whenwhere.grounders.places import boxes_said, held
from whenwhere.grounders.second_level import LISTED, drawn
from whenwhere.grounders.windows import (
    Sight,
    agreement,
    covered,
    fitting,
    merged,
    part_of,
    shown_width,
    spans_said,
    windows,
)
from whenwhere.models.backends.base import ModelBackend, ModelReply
from whenwhere.spans import Span, SpanSet
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo
from whenwhere.video.picture import output_size

#: Boxes per second of a policy trained here.
RATE = 1.0
#: Seconds with a box of the answer that a plan assumes, as for `second_level`.
ASSUMED = 9.4


@dataclass(frozen=True, eq=False)
class _Part:
    """What is shown at once, and the time that it stands for."""

    look: Look
    seen: Span


class Joint:
    """Grounds sentences by a policy that answers with spans and boxes in one text.

    Args:
        backend: the policy; its dialect is `joint`.
        samples: how often the question is asked; 1 gives no confidence.
        sight: how much is shown at a time, where the dialect does not say.
        progress: told the share of the video that was looked at.
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
        """Answer one sentence; see `Grounder.ground`. Boxes come once a second, whatever the rate.

        Raises:
            ChatError, ModelError: the model gave no answer at all.
            SettingError: other frames per second than the policy was trained with.
        """
        asking = Asking(self.backend, info, self.progress)
        found = Found("unsure")
        parts, step = self._parts(info, query, sample_fps, within, span)
        replies = asking.ask([drawn(part.look, k, seed) for part in parts for k in range(self.samples)])
        answers = [
            _on_the_video(asking, reply, parts[k // self.samples], self.backend) for k, reply in enumerate(replies)
        ]
        best: int | None = 0
        spans: SpanSet | None
        if span is not None:
            spans = SpanSet([part_of(info, span)])
        else:
            said = [
                None if a is None else _spans(asking, a, parts[k // self.samples].seen, step)
                for k, a in enumerate(answers)
            ]
            samples = [merged(said[k :: self.samples], step) for k in range(self.samples)]
            best, found.confidence = agreement(samples)
            spans = None if best is None else samples[best]
        if spans is None or best is None:
            found.candidates = [
                {"start": round(p.seen.start, 3), "end": round(p.seen.end, 3), "said": r.text.strip()[:LISTED]}
                for p, r in zip(parts, replies[:: self.samples], strict=True)
                if r.text.strip()
            ]
        elif not spans:
            found.status = "absent"
        else:
            found.status = "answered"
            found.spans = SpanSet(Span(s.start, s.end, found.confidence) for s in spans)
            mine = list(zip(parts, answers[best :: self.samples], strict=True))
            found.tubes = _tubes(asking, mine, found.spans)
            if rate != RATE:
                asking.warnings.append(
                    f"{self.backend.dialect.name} answers with {RATE:g} box a second, whatever the rate"
                )
        return asking.into(found)

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
        """What `ground` would cost; nothing is asked."""
        parts, _ = self._parts(info, query, sample_fps, within, span)
        looks = [part.look for part in parts for _ in range(self.samples)]
        return summed({"answer": price(self.backend, info, looks)})

    def _parts(
        self, info: VideoInfo, query: str, sample_fps: float | None, within: Span | None, span: Span | None
    ) -> tuple[list[_Part], float]:
        """What is shown, and the seconds between two frames."""
        dialect = self.backend.dialect
        if dialect.fps is not None and sample_fps is not None and sample_fps != dialect.fps:
            raise SettingError(
                f"{dialect.name} was trained with {dialect.fps:g} frames per second and sees as many: leave the "
                "sampling out"
            )
        step = 1 / (dialect.fps or sample_fps or self.sight.fps)
        searched = part_of(info, within)
        width = shown_width(info, dialect.side or self.sight.side)
        longest = dialect.ask_when(query, info.duration)
        if dialect.seconds is None:
            most = fitting(self.backend, *output_size(info, width), longest, self.sight.tokens)
        else:
            most = max(int(dialect.seconds / step + 1e-6), 1)
        first, last = (int(np.ceil(t / step - 1e-6)) for t in (searched.start, searched.end))
        # on a grid: a policy saw stamps of frames on one, and a video's own frames lie next to it at best
        grid = np.arange(first, last, dtype=np.float64) * step if first < last else np.array([searched.start])
        parts = []
        for times in windows(grid, most):
            seen = covered(times, step, searched)
            if span is not None and len(grid) > most and (seen.end <= span.start or span.end <= seen.start):
                continue
            tokens = round(dialect.box_tokens * (seen.duration + 4))
            usual = round(dialect.box_tokens * (min(ASSUMED, seen.duration) + 2))
            prompt = dialect.ask_when(query, seen.duration)
            look = Look(
                "answer", times, width, prompt, dialect.when_schema(), tokens, usual, clock=float(times[0])
            )  # fmt: skip
            parts.append(_Part(look, seen))
        return parts, step


def _on_the_video(asking: Asking, reply: ModelReply, part: _Part, backend: ModelBackend) -> ParsedAnswer | None:
    """What a reply says, in seconds of the video and pixels of the displayed frame; None where it says nothing."""
    if reply.error is not None or reply.finish == "refused":
        asking.note(reply, None)
        return None
    answer = boxes_said(reply, backend.dialect, asking.info)
    asking.note(reply, answer)
    zero = part.look.clock
    return replace(
        answer,
        spans=tuple((s + zero, e + zero) for s, e in answer.spans),
        boxes=tuple(b if b.time is None else b._replace(time=b.time + zero) for b in answer.boxes),
    )


def _spans(asking: Asking, answer: ParsedAnswer, seen: Span, step: float) -> SpanSet | None:
    spans, useless = spans_said(answer, seen, step)
    if useless:
        asking.warn("some spans ended before they began, or lay outside what was shown, and were dropped")
    return spans


def _tubes(asking: Asking, said: list[tuple[_Part, ParsedAnswer | None]], spans: SpanSet) -> list[Tube]:
    """The boxes inside the spans, in order of time; none where no box is of use."""
    chosen: dict[float, tuple[float, tuple[float, float, float, float]]] = {}
    outside = bad = 0
    for part, answer in said:
        middle = (part.seen.start + part.seen.end) / 2
        for b in answer.boxes if answer is not None else ():
            t = None if b.time is None else held(b.time, spans, asking.info)
            if t is None or b.time is None:
                outside += 1
            elif not (b.box[0] < b.box[2] and b.box[1] < b.box[3]):
                bad += 1
            elif t not in chosen or abs(t - middle) < chosen[t][0]:
                chosen[t] = (abs(t - middle), b.box)
    if outside:
        asking.warn(f"{outside} boxes lay at no time of the answer and were dropped")
    if bad:
        asking.warn(f"{bad} boxes were reversed or empty and were dropped")
    if not chosen:
        asking.warn("the model gave no box that can be read")
        return []
    times = sorted(chosen)
    return [Tube(spans, times, [chosen[t][1] for t in times], rate=RATE)]

"""The baseline that most papers are: N frames at once, spread evenly, spans and boxes in one answer.

One call, whatever the length of the video: of a long one little is seen. The answer is asked for in this project's own
form (`second-level` in `whenwhere.answers.FORMS`): spans with one box a second inside each.

N is 64, or as many as `sample_fps` gives, and never more than a call's tokens allow.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from whenwhere.answers import Coordinates, parse
from whenwhere.answers.dialects.words import IN_PIXELS, IN_THOUSANDTHS
from whenwhere.grounders.asking import Asking, Look, price, summed
from whenwhere.grounders.grounder import Found
from whenwhere.grounders.places import held, needs_places
from whenwhere.grounders.second_level import ASSUMED, BOX_TOKENS, MAX_BOX, MAX_START, SPAN_TOKENS
from whenwhere.grounders.windows import Sight, fitting, part_of, shown_width, spans_said
from whenwhere.models.backends.base import ModelBackend
from whenwhere.spans import Span, SpanSet
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo
from whenwhere.video.picture import output_size

#: Frames, where nothing else is said.
FRAMES = 64

WORDS = (
    'Find when and where this happens in the video: "{query}". You see {n} frames from {start:.1f} to {end:.1f} '
    'seconds of it. Output Format: <answer>[{{"span": [start, end], "boxes": [[time, x_min, y_min, x_max, y_max], '
    "...]}}, ...]</answer>, one entry for each time it happens, with one box per second inside its span, times in "
    "seconds with one decimal. If it does not happen, output <answer>[]</answer>."
)


class Uniform:
    """Grounds sentences from N evenly spread frames.

    Args:
        backend: the model.
        sight: how much is shown at a time.
        progress: told the share of the video that was looked at.

    Raises:
        SettingError: the model's family is not known to answer with places.
    """

    name = "uniform"

    def __init__(
        self, backend: ModelBackend, sight: Sight | None = None, progress: Callable[[float], None] | None = None
    ) -> None:
        self.backend, self.sight, self.progress = backend, sight or Sight(), progress
        needs_places(backend, self.name)

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
        """Answer one sentence; see `Grounder.ground`. Boxes come where the model puts them, whatever the rate.

        Raises:
            ChatError, ModelError: the model gave no answer at all.
        """
        asking = Asking(self.backend, info, self.progress)
        look = self._look(info, query, sample_fps, span or within)
        (reply,) = asking.ask([look])
        found = Found("unsure")
        if reply.error is None and reply.finish != "refused":
            self._read(asking, found, reply.text, reply.shown, look, span, rate)
        else:
            asking.note(reply, None)
        if span is not None and not found.spans:
            found.status, found.spans = "answered", SpanSet([span]).clip(info.duration)
        return asking.into(found)

    def _read(
        self, asking: Asking, found: Found, text: str, shown: tuple[int, int], look: Look, span: Span | None,
        rate: float,
    ) -> None:  # fmt: skip
        info, dialect = asking.info, self.backend.dialect
        answer = parse(text, form="second-level", duration=info.duration)
        asking.statuses.append(answer.status)
        step = float(np.diff(look.times).mean()) if len(look.times) > 1 else info.duration
        end = min(float(look.times[-1]) + step, info.duration)
        if span is not None:
            spans: SpanSet | None = SpanSet([span]).clip(info.duration)
        elif not answer.spans and answer.boxes and answer.valid:
            spans = SpanSet(answer.spans_of_boxes(rate)).clip(info.duration)
        else:
            spans, useless = spans_said(answer, Span(float(look.times[0]), max(end, float(look.times[0]) + 1e-3)), step)
            if useless:
                asking.warnings.append("some spans ended before they began, or lay outside what was shown")
        if spans is None:
            found.candidates = [{"said": text.strip()[:200]}] if text.strip() else None
            return
        found.status, found.spans = ("answered" if spans else "absent"), spans
        if not spans or not answer.boxes:
            return
        # what the words asked for, not what the form's owner writes
        kind: Coordinates = "pixels" if dialect.coordinates == "pixels" else "thousand"
        size = (info.width, info.height)
        answer = replace(answer, coordinates=kind).displayed(size, shown if min(shown) > 0 else size)
        chosen: dict[float, tuple[float, float, float, float]] = {}
        for b in answer.boxes:
            # the last box of a span is written at its end, which the span no longer holds
            t = None if b.time is None else held(b.time, spans, info)
            if t is not None and b.box[0] < b.box[2] and b.box[1] < b.box[3]:
                chosen.setdefault(t, b.box)
        if len(chosen) < len(answer.boxes):
            asking.warnings.append(
                f"{len(answer.boxes) - len(chosen)} boxes fitted no time or were empty, and were dropped"
            )
        if chosen:
            times = sorted(chosen)
            found.tubes = [Tube(spans, times, [chosen[t] for t in times], rate=rate)]

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
        return summed({"all": price(self.backend, info, [self._look(info, query, sample_fps, span or within)])})

    def _look(self, info: VideoInfo, query: str, sample_fps: float | None, part: Span | None) -> Look:
        part = part_of(info, part)
        width = shown_width(info, self.sight.side)
        words = IN_PIXELS if self.backend.dialect.coordinates == "pixels" else IN_THOUSANDTHS
        longest = WORDS.format(query=query, n=FRAMES, start=part.start, end=part.end) + words
        wanted = FRAMES if sample_fps is None else max(round(part.duration * sample_fps), 1)
        n = min(wanted, fitting(self.backend, *output_size(info, width), longest, self.sight.tokens))
        # the middle of n equal parts, as most papers take them
        grid = part.start + part.duration * (np.arange(n) + 0.5) / n
        times = info.times[np.unique(info.shown(grid))]
        prompt = WORDS.format(query=query, n=len(times), start=part.start, end=part.end) + words
        seconds = min(ASSUMED, part.duration)
        most = MAX_START + MAX_BOX * int(min(part.duration, 64) + 2)
        return Look("all", times, width, prompt, None, most, SPAN_TOKENS + round(BOX_TOKENS * (seconds + 1)))

"""What one family of models needs to see, how it is asked, and what its answers mean.

A dialect is data and words, without code that runs a model: the same dialect serves a checkpoint in this process and
the same checkpoint behind an endpoint. What it states comes from the family's own documentation, code or training
recipe, which `source` names. Nothing was tried with real weights unless `verified` says so.

A dialect states the three things that most often go wrong:

- How *time* is given. `stamps`: the family's processor writes the time of each (merged) frame as text. `positions`:
  time is in the rotary positions only (Qwen2.5-VL), so the words must name the unit. `ours`: the processor tells the
  model nothing, so the prompt interleaves times that we write.
- How many frames share one stamp (`merge`), and what to do about it at one frame a second (`frames`). `pairs` passes
  frames on as they are, and two of them get the mean of their times. `repeat` shows each frame twice, so that a stamp
  is a frame's own time. `images` shows single pictures with the time written before each.
- Which *coordinates* its boxes are in; see `whenwhere.answers.Coordinates`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from whenwhere.answers.answer import Coordinates, TimedBox, TimedPoint
from whenwhere.answers.dialects.prompt import fill_prompt
from whenwhere.answers.dialects.schemas import boxes_schema, spans_schema

FrameMode = Literal["pairs", "repeat", "images"]


@dataclass(frozen=True)
class Dialect:
    """How one family is asked and answers.

    Attributes:
        name: Name of the family, as a user types it.
        model_types: The `model_type` of configurations of this family (transformers), in lower case.
        names: Parts of a model's name that identify the family where there is no configuration (endpoints), in lower
            case.
        time: How time is given; see the module.
        merge: Number of frames that share one stamp; for a family without stamps, the number of frames that become one
            step in time.
        frames: How frames are passed on by default; see the module.
        resolution: Seconds that a stamp is rounded to; 1.0 means whole seconds only.
        coordinates: Kind of the coordinates of its boxes or points. None where nothing says that the family can answer
            with places; it is then asked about time alone.
        points: Whether it answers with points. Boxes are then small squares around them, and the record says so.
        spans_form: Name of the form (`whenwhere.answers.FORMS`) in which answers about time are asked for.
        boxes_form: Name of the form in which boxes are asked for; empty where the family is not asked for any.
        when: Prompt that asks for spans, with the fields {query} and {duration}.
        where: Prompt that asks for one box at each listed time, with the fields {query}, {target} and {times}.
        which: Prompt that asks for a description of the target, with the field {query}.
        source: Where prompt and coordinates are stated.
        verified: The weights with which the dialect was tried; empty where it was not.
        stamp: Regular expression of one stamp in the finished prompt of a video, with its time as the only group;
            {video} and {image} stand for the family's tokens. Empty where its processor writes none.
        joint: Whether one answer holds spans and boxes. The family is then asked once, by `when`; `where` and `which`
            are not used.
        fps: Frames per second of its training clips; None means any.
        side: Pixels of the longer side of its training frames; None means any.
        seconds: Length of its longest training clip. A longer video is shown in parts, each as a clip of its own. None
            means as long as the context allows.
        box_tokens: Most tokens of a box in an answer, including its time.
    """

    name: str
    model_types: tuple[str, ...]
    names: tuple[str, ...]
    time: Literal["stamps", "positions", "ours"]
    merge: int
    frames: FrameMode
    resolution: float
    coordinates: Coordinates | None
    points: bool
    spans_form: str
    boxes_form: str
    when: str
    where: str
    which: str
    source: str
    verified: str = ""
    stamp: str = ""
    joint: bool = False
    fps: float | None = None
    side: int | None = None
    seconds: float | None = None
    box_tokens: int = 64

    def ask_when(self, query: str, duration: float) -> str:
        """The prompt that asks for spans."""
        return fill_prompt(self.when, query=query, duration=f"{duration:.1f}")

    def ask_where(self, query: str, target: str, times: Sequence[float]) -> str:
        """The prompt that asks for places, one box per listed second."""
        return fill_prompt(self.where, query=query, target=target or query, times=", ".join(written_times(times)))

    def ask_which(self, query: str) -> str:
        """The prompt that asks what the target of the sentence looks like."""
        return fill_prompt(self.which, query=query)

    def when_schema(self) -> dict[str, Any] | None:
        """JSON schema of the answer about time; None where it is asked for in a form of its own."""
        return spans_schema() if self.spans_form == "spans" else None

    def where_schema(self, times: Sequence[float]) -> dict[str, Any] | None:
        """JSON schema of the answer about places at these times; None where the family's form is not JSON."""
        if self.boxes_form not in ("qwen3-vl", "qwen2.5-vl"):
            return None
        return boxes_schema(self.coordinates, len(times))


def written_times(times: Sequence[float]) -> list[str]:
    """Times with one decimal, or with more where two of them would read the same.

    >>> written_times([1.0, 2.5]), written_times([1.0, 1.04])
    (['1.0', '2.5'], ['1.00', '1.04'])
    """
    written: list[str] = []
    for decimals in (1, 2, 3):
        written = [f"{t:.{decimals}f}" for t in times]
        if len(set(written)) == len(written):
            break
    return written


def point_boxes(points: Sequence[TimedPoint], side: float = 40.0) -> tuple[TimedBox, ...]:
    """Small squares around points, for families without boxes. Whoever records them must say so.

    Args:
        points: Points as answered.
        side: Side of the square in the points' own coordinates; 40 thousandths by default.

    >>> point_boxes([TimedPoint(0.5, (380.0, 822.0), "dog", "1")])[0].box
    (360.0, 802.0, 400.0, 842.0)
    """
    half = side / 2
    return tuple(
        TimedBox(p.time, (p.point[0] - half, p.point[1] - half, p.point[0] + half, p.point[1] + half), p.label, p.id)
        for p in points
    )

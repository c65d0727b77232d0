"""What a model family (such as Qwen3-VL) needs to see, how it is asked, and what its answers mean.

A dialect consists of prompts and facts about a model family and runs no model, so it serves a checkpoint in this
process and the same checkpoint on a server alike. What it states comes from the family's own documentation, code or
training recipe, which `source` names. Nothing was tried with real weights unless `verified` says so.

A dialect settles the three things that most often go wrong:

- How the model learns the *time* of a frame. `stamps`: the family's processor writes the time of each (merged) frame
  into the prompt as text. `positions`: time is in the rotary positions only (Qwen2.5-VL), so the prompt must name the
  unit. `ours`: the processor tells the model nothing, so we write the times into the prompt.
- How many frames share one such time stamp (`merge`), and what to do if each frame needs its own (`frames`). `pairs`
  passes the frames on as they are, and two of them share the mean of their times. `repeat` shows each frame twice, so
  that a stamp is that frame's own time. `images` shows single pictures with the time written before each.
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
    """How one model family is asked for times and boxes, and how it answers.

    Attributes:
        name: Name of the family, as a user types it.
        model_types: The `model_type` of configurations of this family (transformers), in lower case.
        names: Parts of a model's name that identify the family where there is no configuration (endpoints), in lower
            case.
        time: How the model learns the time of a frame: from `stamps` in the prompt, from rotary `positions`, or from
            times that we write (`ours`).
        merge: Number of frames that share one time stamp; for a family without stamps, the number of frames that become
            one step in time.
        frames: How frames are passed on by default: in `pairs`, each of them twice (`repeat`), or as single `images`.
        resolution: Seconds that a stamp is rounded to; 1.0 means whole seconds only.
        coordinates: Kind of the coordinates of its boxes or points. None if nothing is known of how the family answers
            with places; it is then asked about time alone.
        points: Whether it answers with points. Boxes are then small squares around them, and a warning says so.
        spans_form: Answer form for times, a key of `whenwhere.answers.FORMS`.
        boxes_form: Answer form for boxes, a key of `whenwhere.answers.FORMS`; empty if the family is not asked for any.
        when: Prompt that asks for spans, with the fields {query} and {duration}.
        where: Prompt that asks for one box at each listed time, with the fields {query}, {target} and {times}.
        which: Prompt that asks for a description of the target, with the field {query}.
        source: Where prompt and coordinates are stated.
        verified: The weights with which the dialect was tried; empty if it was not tried.
        stamp: Regular expression of one time stamp in the finished prompt, with its time as the only group; {video} and
            {image} stand for the family's placeholder tokens. Empty if its processor writes no stamps.
        joint: Whether one answer holds both spans and boxes. The family is then asked once, with the prompt `when`;
            `where` and `which` are not used.
        fps: Frames per second of its training clips; None means any.
        side: Pixels of the longer side of its training frames; None means any.
        seconds: Length of its longest training clip. A longer video is shown in parts, each as a clip of its own. None
            means as long as the context allows.
        box_tokens: Largest number of tokens that a box with its time takes in an answer.
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
        """The prompt that asks when the event of a sentence happens in a video of this duration in seconds."""
        return fill_prompt(self.when, query=query, duration=f"{duration:.1f}")

    def ask_where(self, query: str, target: str, times: Sequence[float]) -> str:
        """The prompt that asks for one box at each listed time.

        Args:
            query: The sentence.
            target: A description of the thing to find. If it is empty, the sentence takes its place.
            times: Times in seconds.
        """
        return fill_prompt(self.where, query=query, target=target or query, times=", ".join(written_times(times)))

    def ask_which(self, query: str) -> str:
        """The prompt that asks what the thing that the sentence is about looks like."""
        return fill_prompt(self.which, query=query)

    def when_schema(self) -> dict[str, Any] | None:
        """JSON schema of the answer about time, for constrained decoding; None if its form is not the list `spans`."""
        return spans_schema() if self.spans_form == "spans" else None

    def where_schema(self, times: Sequence[float]) -> dict[str, Any] | None:
        """JSON schema of the answer with boxes at these times, for constrained decoding; None if its form has none."""
        if self.boxes_form not in ("qwen3-vl", "qwen2.5-vl"):
            return None
        return boxes_schema(self.coordinates, len(times))


def written_times(times: Sequence[float]) -> list[str]:
    """Write times with one decimal, or with up to three if two of them would otherwise read the same.

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
    """Square boxes centred on points, for model families that answer with points instead of boxes.

    The model says nothing about the size of a thing, so the size of the squares is made up. Callers must warn the user.

    Args:
        points: The points of an answer, as a rule in thousandths of the frame.
        side: Side of each square in the unit of the points. The default is 4 % of the frame if that is thousandths.

    >>> point_boxes([TimedPoint(0.5, (380.0, 822.0), "dog", "1")])[0].box
    (360.0, 802.0, 400.0, 842.0)
    """
    half = side / 2
    return tuple(
        TimedBox(p.time, (p.point[0] - half, p.point[1] - half, p.point[0] + half, p.point[1] + half), p.label, p.id)
        for p in points
    )

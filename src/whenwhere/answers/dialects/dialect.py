"""What one family of models wants to see, how it is asked, and what its answers mean.

A dialect is data and words, no code that runs a model: the same dialect serves a checkpoint in this process and the
same checkpoint behind an endpoint. What it states comes from the family's own documentation, code or training recipe;
`source` says which, and nothing here was tried with real weights unless `verified` says so.

A family states three things that go wrong most often:

- how *time* goes in. `stamps`: the family's processor writes the time of each (merged) frame as text; `positions`: time
  is in the rotary positions only (Qwen2.5-VL), the words must name the unit; `ours`: the processor tells the model
  nothing, so the prompt interleaves the times we write;
- how many frames share one stamp (`merge`), and what to do about it at one frame a second (`frames`): `pairs` hands
  frames over as they are and two of them get the mean of their times; `repeat` shows each frame twice, so that a stamp
  is a frame's own time; `images` shows single pictures with the time written before each;
- which *coordinates* its boxes are in: see `whenwhere.answers.Coordinates`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from whenwhere.answers.answer import Coordinates, TimedBox, TimedPoint
from whenwhere.answers.dialects.schemas import boxes_schema, spans_schema

FrameMode = Literal["pairs", "repeat", "images"]


@dataclass(frozen=True)
class Dialect:
    """How to talk to one family.

    Attributes:
        name: the family, as typed by a user.
        model_types: `model_type` of the configurations that speak it (transformers), lower case.
        names: parts of a model's name that tell the family where there is no configuration (endpoints), lower case.
        time: how time goes in (see the module).
        merge: frames that share one stamp (a family without stamps: frames that become one step in time).
        frames: how frames are handed over unless asked otherwise.
        resolution: seconds that a stamp is rounded to; 1.0 = whole seconds only.
        coordinates: of its boxes or points; None where nothing says that the family answers with places: it is asked
            about time alone.
        points: it answers with points; boxes are small squares around them, and the record says so.
        spans_form: name of the form (`whenwhere.answers.FORMS`) that an answer about time is asked in.
        boxes_form: name of the form that boxes are asked in; empty where it is not asked for any.
        when: words that ask for spans; {query} and {duration} are put in.
        where: words that ask for one box at each listed time; {query}, {target}, {times} are put in.
        which: words that ask for a description of the target; {query} is put in.
        source: where prompt and coordinates are stated.
        verified: with which weights it was tried; empty = with none.
        stamp: regular expression of one stamp in the finished prompt of a video, its time as the only group; {video}
            and {image} stand for the family's tokens. Empty where its processor writes none.
        joint: one answer holds spans and boxes; it is asked once, by `when`, and `where` and `which` are not used.
        fps: frames per second that it was trained with; None = any.
        side: pixels of the longer side of a frame that it was trained with; None = any.
        seconds: longest clip that it was trained with; a longer video is shown in parts, each as a clip of its own.
            None = as long as fits.
        box_tokens: most tokens of a box, its time included, in an answer.
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
        """The question about time."""
        return self.when.format(query=query, duration=f"{duration:.1f}")

    def ask_where(self, query: str, target: str, times: Sequence[float]) -> str:
        """The question about places, one box per listed second."""
        return self.where.format(query=query, target=target or query, times=", ".join(written_times(times)))

    def ask_which(self, query: str) -> str:
        """The question what the sentence's thing looks like."""
        return self.which.format(query=query)

    def when_schema(self) -> dict[str, Any] | None:
        """JSON schema of the answer about time; None where it is asked for in a form of its own."""
        return spans_schema() if self.spans_form == "spans" else None

    def where_schema(self, times: Sequence[float]) -> dict[str, Any] | None:
        """JSON schema of the answer about places at these times; None where the family's form is not JSON."""
        if self.boxes_form not in ("qwen3-vl", "qwen2.5-vl"):
            return None
        return boxes_schema(self.coordinates, len(times))


def written_times(times: Sequence[float]) -> list[str]:
    """Times with one decimal, with more where two would read the same.

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
    """Small squares around points, where a family has no boxes; whoever records them must say so.

    Args:
        points: as answered.
        side: of the square in the points' own coordinates; 40 thousandths by default.

    >>> point_boxes([TimedPoint(0.5, (380.0, 822.0), "dog", "1")])[0].box
    (360.0, 802.0, 400.0, 842.0)
    """
    half = side / 2
    return tuple(
        TimedBox(p.time, (p.point[0] - half, p.point[1] - half, p.point[0] + half, p.point[1] + half), p.label, p.id)
        for p in points
    )

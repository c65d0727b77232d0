"""The interface of all grounders: what they are asked and what they return.

A grounder looks at a video and answers a `GroundingRequest` with a `GroundingResult`. The session turns that result
into the record of the answer: it adds the video and the settings, and fills in boxes between those of the grounder. So
a grounder knows nothing of files, exports or batches, and a session knows nothing of how an answer was found.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from whenwhere.records import CurveRecord, Status
from whenwhere.spans import Span, SpanSet
from whenwhere.tubes import Tube

if TYPE_CHECKING:
    from whenwhere.models.backends.base import CallCosts
    from whenwhere.video import VideoInfo


@dataclass(frozen=True)
class GroundingRequest:
    """One sentence to find in a video, and how to look for it.

    Attributes:
        query: The sentence without leading and trailing whitespace. It is empty only if just the cost is estimated.
        rate: Boxes per second in the answer.
        sample_fps: Frames per second to look at. None leaves it to the grounder.
        within: The time in which to search, in seconds; None is the whole video.
        span: The time of the answer if it is already known and only boxes are wanted. None if it has to be found.
        samples: How often the question about time is asked. The agreement of the answers is the confidence, so a single
            answer gives none.
        seed: Seed for grounders that draw at random.
    """

    query: str = ""
    rate: float = 1.0
    sample_fps: float | None = None
    within: Span | None = None
    span: Span | None = None
    samples: int = 1
    seed: int = 0


@dataclass
class GroundingResult:
    """What a grounder found for one sentence.

    Attributes:
        status: `answered`, `absent` or `unsure`. An unsure result has neither spans nor tubes.
        confidence: Confidence from 0 to 1, or None if the grounder does not estimate it.
        spans: When the event happens; all spans lie inside the video.
        tubes: Boxes inside the spans, as a rule `GroundingRequest.rate` per second. The first tube follows the thing
            that the sentence is about.
        ranked: Alternative spans with scores, best first; they may overlap. None if the grounder ranks none.
        curve: A score over time, or None if the grounder computes none.
        reading: How the sentence was understood, as JSON values. None if the grounder does not say.
        candidates: The things that were seen in the video, best match first, as JSON values; they help a person most
            when the status is unsure. None if the grounder does not list them.
        frames_decoded: Number of frames decoded for this answer; 0 if a cached index of the video was reused.
        frames_shown: Number of frames that were given to a model or analysed.
        warnings: Warnings for the user, each a sentence.
        costs: The cost of the model calls, and their trace. None if no model was asked.
        parse: The worst parse status among the model's replies. None if there was no reply.
        jumps: Parts of the video outside of which no shot is cut. None if the grounder does not know of any.
    """

    status: Status
    confidence: float | None = None
    spans: SpanSet = field(default_factory=SpanSet)
    tubes: list[Tube] = field(default_factory=list)
    ranked: list[Span] | None = None
    curve: CurveRecord | None = None
    reading: dict[str, Any] | None = None
    candidates: list[dict[str, Any]] | None = None
    frames_decoded: int = 0
    frames_shown: int = 0
    warnings: list[str] = field(default_factory=list)
    costs: "CallCosts | None" = None
    parse: str | None = None
    jumps: SpanSet | None = None


class Grounder(Protocol):
    """Finds when and where a video shows what a sentence describes.

    Attributes:
        name: Name of the grounder, for records and messages.
    """

    name: str

    def ground(self, info: "VideoInfo", request: GroundingRequest) -> GroundingResult:
        """Answer one sentence about the video that `info` describes."""
        ...

    def estimate(self, info: "VideoInfo", request: GroundingRequest) -> dict[str, Any]:
        """Estimate what `ground` would cost, without calling a model.

        Returns:
            The numbers of frames, model calls and tokens by name (`frames`, `calls`, ...), and under `steps`, if there
            are several steps, the same numbers for each.
        """
        ...

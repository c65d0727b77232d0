"""What every grounder takes and gives.

A grounder looks at a video and answers a `GroundingRequest` with a `GroundingResult`. The session turns the result into
the record: it adds the video and the settings and fills in boxes between the second-level ones. So a grounder knows
nothing of files, exports or batches, and a session knows nothing of how an answer was found.
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
    """One sentence to find in a video, and how it is to be looked for.

    Attributes:
        query: The sentence, stripped. It is empty only where nothing but the cost is estimated.
        rate: Boxes per second in the answer.
        sample_fps: Frames per second to look at. None leaves it to the grounder.
        within: The time in which to search, in seconds; None is the whole video.
        span: The time of the answer where it is known and only boxes are wanted; None where it has to be found.
        samples: How often the question about time is asked; the agreement of the answers is the confidence. One answer
            alone gives none.
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
        confidence: Confidence from 0 to 1, or None where the grounder has no notion of it.
        spans: When it happens, inside the video.
        tubes: Second-level boxes inside the spans. The first tube is the thing that the sentence is about.
        ranked: Alternatives with scores, best first; they may overlap.
        curve: A score over time, if there is one.
        reading: How the sentence was understood, in plain words.
        candidates: What was seen, best first, as JSON values; of use to a person above all when the status is unsure.
        frames_decoded: Number of frames decoded for this answer; 0 when an index was reused.
        frames_shown: Number of frames given to a model, or analysed.
        warnings: Sentences for the user.
        costs: What the calls to a model cost, and their trace. None where no model was asked.
        parse: Status of the worst of the model's texts; None where there was no text.
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


class Grounder(Protocol):
    """Finds what a sentence describes."""

    name: str

    def ground(self, info: "VideoInfo", request: GroundingRequest) -> GroundingResult:
        """Answer one sentence about a probed video."""
        ...

    def estimate(self, info: "VideoInfo", request: GroundingRequest) -> dict[str, Any]:
        """What `ground` would cost, without doing it: `frames`, `calls` and tokens, and `steps`, the same for each."""
        ...

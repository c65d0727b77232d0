"""What every grounder gives and takes.

A grounder looks at a video and a sentence and returns a `Found`; the session turns that into the record (adds the
video, the settings, fills boxes between the second-level ones). So grounders know nothing of files, exports or
batches, and a session knows nothing of how an answer was found.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from whenwhere.records import CurveRecord, Status
from whenwhere.spans import Span, SpanSet
from whenwhere.tubes import Tube

if TYPE_CHECKING:
    from whenwhere.models.backends.base import CallCosts
    from whenwhere.video import VideoInfo


@dataclass
class Found:
    """What a grounder found for one sentence.

    Attributes:
        status: `answered`, `absent` or `unsure`; an unsure answer has neither spans nor tubes.
        confidence: 0-1, or None where the grounder has no notion of it.
        spans: the answered time, inside the video.
        tubes: second-level boxes inside the spans; the first is the one the sentence is about.
        ranked: alternatives, best first, with scores; they may overlap.
        curve: a score over time, if there is one.
        reading: how the sentence was understood, in plain words.
        candidates: what was seen, best first, as JSON values; of use to a person above all when unsure.
        frames_decoded: decoded for this answer (0 when an index was reused).
        frames_shown: given to a model, or analysed.
        warnings: sentences for the user.
        spent: what calls to a model cost, and their trace; None where no model was asked.
        parse: how well the model's texts could be read, the worst of them; None where there was none.
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
    spent: "CallCosts | None" = None
    parse: str | None = None


class Grounder(Protocol):
    """Finds what a sentence describes."""

    name: str

    def ground(
        self,
        info: "VideoInfo",
        query: str,
        *,
        rate: float = 1.0,
        sample_fps: float | None = None,
        within: Span | None = None,
        span: Span | None = None,
        seed: int = 0,
    ) -> Found:
        """Answer one sentence.

        Args:
            info: the probed video.
            query: the sentence, stripped and not empty.
            rate: boxes per second in the answer.
            sample_fps: frames per second to look at; None = the grounder's own choice.
            within: search only inside this time.
            span: the time is given, only boxes are wanted; the answer's spans are this span.
            seed: for grounders that draw at random.
        """
        ...

    def estimate(
        self,
        info: "VideoInfo",
        *,
        query: str = "",
        rate: float = 1.0,
        sample_fps: float | None = None,
        within: Span | None = None,
        span: Span | None = None,
    ) -> dict[str, Any]:
        """What `ground` would cost, without doing it: `frames`, `calls`, tokens; and `steps`, the same for each.

        Arguments as in `ground`.
        """
        ...

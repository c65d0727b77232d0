"""How a question is asked, and what identifies its answer.

`GroundingSettings` is everything a user may choose, checked once, before any video is opened. An answer is identified
by a hash of the video's *content*, the sentence, the model and the settings. When a batch is rerun, it finds by that
hash what is already done, whatever the files are called by then.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from whenwhere.errors import RATES, QueryError, SettingError, WhenwhereError, check_range
from whenwhere.grounders.grounder import GroundingRequest
from whenwhere.readers import printable
from whenwhere.records import ErrorRecord, Grounding, SettingsRecord, VideoRecord
from whenwhere.spans import Span
from whenwhere.tracking.fill import FILLS
from whenwhere.tracking.smooth import SMOOTHERS

if TYPE_CHECKING:
    from whenwhere.video import VideoInfo


@dataclass(frozen=True)
class GroundingSettings:
    """How questions are answered; the same for every sentence of a call.

    Attributes:
        rate: Boxes per second in the answer, within `errors.RATES`.
        sample_fps: Frames per second to look at, within `errors.RATES`. None lets the model choose.
        fill: How boxes between seconds are made when frames are needed: `flow`, `linear`, `pchip` or `hold`.
        smooth: How second-level boxes are smoothed: `none`, `gauss`, `rts` or `hampel`.
        within: The time in which to search. None is the whole video.
        span: The time, if it is known and only boxes are wanted.
        frames: Whether the record gets a box for every frame.
        seed: Seed of models that draw at random, below 2**32.
        pipeline: How a model is asked: `second-level`, `framewise`, `uniform`, or `detector`, which may name its
            models: `detector:DETECTOR` or `detector:DETECTOR+PROPAGATOR`.
        samples: Samples of the time per question; their agreement is the confidence.
        trace: Whether the record keeps each question to a model and its answer.
        snap: Whether boxes of a vision-language model are moved onto the tracks of the extra `[objects]`, where they
            agree.

    Raises:
        SettingError: A number is out of range, a name is unknown, or the pipeline takes one sample only.
        QueryError: Both `within` and `span` are given.

    >>> GroundingSettings(rate=0)
    Traceback (most recent call last):
    ...
    whenwhere.errors.SettingError: the rate in boxes per second is between 1e-06 and 1000, not 0
    """

    rate: float = 1.0
    sample_fps: float | None = None
    fill: str = "flow"
    smooth: str = "none"
    within: Span | None = None
    span: Span | None = None
    frames: bool = False
    seed: int = 0
    pipeline: str = "second-level"
    samples: int = 1
    trace: bool = False
    snap: bool = False

    def __post_init__(self) -> None:
        from whenwhere.grounders.pipelines import PIPELINES, find_pipeline

        check_range(self.rate, *RATES, "the rate in boxes per second")
        if self.sample_fps is not None:
            check_range(self.sample_fps, *RATES, "the sampling in frames per second")
        check_range(self.seed, 0, 2**32 - 1, "the seed")
        if self.fill not in FILLS:
            raise SettingError(f"there is no fill {self.fill!r}; choose one of {', '.join(FILLS)}")
        if self.smooth not in SMOOTHERS:
            raise SettingError(f"there is no smoother {self.smooth!r}; choose one of {', '.join(SMOOTHERS)}")
        pipeline = find_pipeline(self.pipeline)
        if not 1 <= self.samples <= 64:
            raise SettingError(f"a model is asked between 1 and 64 times, not {self.samples}")
        if self.samples > 1 and not pipeline.takes_samples:
            several = " and ".join(name for name, kind in PIPELINES.items() if kind.takes_samples)
            raise SettingError(f"several samples are for the pipelines {several}; {self.pipeline} asks once")
        if self.within is not None and self.span is not None:
            raise QueryError(
                "`within` says where to search and `span` says that the time is known: give one of the two"
            )

    def request(self, query: str) -> GroundingRequest:
        """The question that these settings make of one sentence, for a grounder."""
        return GroundingRequest(
            query, self.rate, self.sample_fps, self.within, self.span, samples=self.samples, seed=self.seed
        )

    def check_video(self, info: "VideoInfo") -> None:
        """Refuse a time that lies outside the video.

        Raises:
            QueryError: It does.
        """
        for name, asked in (("span", self.span), ("within", self.within)):
            if asked is not None and (asked.start >= info.duration or asked.end <= 0):
                raise QueryError(
                    f"the {name} {asked.start:g}-{asked.end:g} s lies outside the video, "
                    f"which is {info.duration:.3f} s long"
                )

    def identity(self) -> dict[str, object]:
        """The settings that change an answer, as JSON values; `frames` and `trace` only add to it.

        `snap` is listed only if it is on, so that answers of earlier versions are found again.
        """
        left_out = ("frames", "trace") if self.snap else ("frames", "trace", "snap")
        return {k: v for k, v in asdict(self).items() if k not in left_out}


def identity(content: str, query: str, model: str, settings: GroundingSettings) -> str:
    """A readable slug of the sentence and a hash of everything that the answer depends on."""
    parts = json.dumps([content, " ".join(query.split()), model, settings.identity()], sort_keys=True)
    return f"{slug(query)}-{hashlib.blake2b(parts.encode('utf-8', 'surrogatepass'), digest_size=5).hexdigest()}"


def failure(
    id: str, query: str, model: str, settings: GroundingSettings, error: Exception, video: VideoRecord
) -> Grounding:
    """The record of a sentence without an answer. An error that is not a `WhenwhereError` is recorded as a bug."""
    kind, message = "bug", f"unexpected {type(error).__name__}: {error}"
    if isinstance(error, WhenwhereError):
        kind, message = error.kind, str(error)
    return Grounding(
        id=id,
        video=video,
        query=printable(" ".join(query.split())),
        status="failed",
        settings=settings_record(model, settings),
        error=ErrorRecord(kind=kind, message=printable(message)),
        identity=id,
    )


def slug(text: str, longest: int = 40) -> str:
    """Words of a sentence as a part of a file name; letters of any script are kept.

    >>> slug("The red car, driving up!"), slug("???")
    ('the-red-car-driving-up', 'sentence')
    """
    words = re.sub(r"[\W_]+", "-", text.casefold()).strip("-")
    return words[:longest].rstrip("-") or "sentence"


def settings_record(model: str, settings: GroundingSettings) -> SettingsRecord:
    """The settings in the record's form."""
    return SettingsRecord(
        model=model,
        pipeline=settings.pipeline,
        rate=settings.rate,
        sample_fps=settings.sample_fps,
        smooth=settings.smooth,
        fill=settings.fill,
        seed=settings.seed,
        samples=settings.samples,
        snap=settings.snap,
    )

"""A session: one video that is opened and indexed once, and can be asked any number of questions.

    with whenwhere.open("clip.mp4") as video:
        answer = video.ground("the red car drives up")
        answer.spans, answer.tube.at(15.5)
        answer.save("answer.srt")

`Session.ask` is the whole way from a sentence to a record, from top to bottom: ask the grounder, drop impossible boxes,
snap and smooth them, clip to the video, hold boxes at shot cuts, make the record, and fill frames if they are wanted.
Nothing else in the project takes these steps, so that the command line, a batch and a notebook give the same answer.

Boxes of every frame are made late: only when they are asked for, or when something that shows frames is saved.

Left out: several videos in one session (open several), and changing the model of an open session.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

from whenwhere.errors import MediaError, OutputError, SettingError, WhenwhereError
from whenwhere.grounders import Grounder, GroundingResult
from whenwhere.grounders.detector.named import indexed_tracks
from whenwhere.grounders.detector.snapping import snap
from whenwhere.grounders.named import AUTO, build_grounder, check_grounder, find_grounder, resolve_auto
from whenwhere.grounders.pipelines import build_pipeline, check_pipeline, pipeline_concurrency
from whenwhere.grounders.postprocess import clip_result, drop_outside_boxes
from whenwhere.models.backends.base import BackendOptions, CallCosts, ModelBackend
from whenwhere.models.backends.pool import QuestionPool
from whenwhere.models.backends.resolve import build_backend, check_model_name
from whenwhere.models.detectors.package import SSD
from whenwhere.models.detectors.resolve import check_detector_name
from whenwhere.readers import printable
from whenwhere.records import (
    CostRecord,
    Grounding,
    ParseRecord,
    Status,
    VideoRecord,
    check_query,
    filled_record,
    span_records,
    tube_record,
)
from whenwhere.settings import GroundingSettings, failure, identity, settings_record
from whenwhere.spans import Span, SpanSet
from whenwhere.store import Cache
from whenwhere.tracking import anchor_cuts, fill_tube, find_cuts, smooth
from whenwhere.tubes import Tube

#: Called with the share of a video, 0-1, that was looked at.
Progress = Callable[[float], None]


#: The most gigabytes to take from an address or standard input by default.
MAX_DOWNLOAD = 4.0


def check_model(
    name: str, settings: GroundingSettings | None = None, device: str | None = None, concurrency: int | None = None
) -> None:
    """Check a model's name, and the settings for this model, before a video is opened.

    Raises:
        SettingError: There is no such model, or it has no such pipeline, samples, tracks or device.
        MissingExtraError: The model needs packages that are not installed.
    """
    name = resolve_auto(name)
    if find_grounder(name) is None:
        check_model_name(name, device, concurrency)
        if settings is not None:
            check_pipeline(settings.pipeline)
            if settings.snap:
                check_detector_name(SSD)
        return
    check_grounder(name, device, concurrency)
    if settings is None:
        return
    if settings.pipeline != "second-level" or settings.samples != 1:
        raise SettingError(f"pipelines and samples are for vision-language models; {name} answers in one way, once")
    if settings.snap:
        raise SettingError(f"snap moves the boxes of a vision-language model onto tracks; {name} is none: leave it out")


def open(
    source: str | os.PathLike[str],
    model: str | ModelBackend = AUTO,
    cache: str | os.PathLike[str] | Literal[False] | None = None,
    frame_rate: float = 25.0,
    max_download: float = MAX_DOWNLOAD,
    progress: Progress | None = None,
    device: str | None = None,
    concurrency: int | None = None,
) -> "Session":
    """Open a video for questions.

    Args:
        source: A file, a folder of pictures, an http(s) address, or `-` for standard input.
        model: The model that answers: `objects`, which recognises things by the detector of the extra `[objects]`, or
            by another one (`objects:net.pb`); `motion`, which needs no weights; `auto`, the first of these if its
            detector is installed, else the second; `encoder:` and the folder or hub id of a video-text
            or image-text encoder; a folder or hub id of a vision-language model; an address that serves one,
            `http://host:8000/v1#name`; or a back end from `whenwhere.load_model`, which stays open after this session
            so that several videos can share it. Frames leave this machine only for an address.
        cache: Folder for what is computed about a video. None is the user's cache folder, False keeps nothing.
        frame_rate: Pictures per second of a folder of pictures.
        max_download: The most gigabytes to take from an address or standard input.
        progress: Called with the share of the video, 0-1, that was looked at.
        device: Where a checkpoint runs, such as `cuda:1` or `cpu`. None takes an accelerator if there is one.
        concurrency: How many questions an endpoint is sent at a time; None is 8.

    Raises:
        MediaError: The video is missing or cannot be read.
        SettingError: The model is unknown.
        MissingExtraError: The model needs packages that are not installed.
        ChatError, ModelError: The model cannot be reached or loaded.
    """
    return Session(source, model, cache, frame_rate, max_download, progress, device, concurrency)


class Session:
    """An open video. It is a context manager, because a video from an address or standard input is a temporary file.

    Attributes:
        source: The video as it was named.
        info: The probed video (`whenwhere.video.VideoInfo`).
        content: Hash of the whole video, by which answers and everything computed about it are found again.
        model: Name of the model.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        model: str | ModelBackend = AUTO,
        cache: str | os.PathLike[str] | Literal[False] | None = None,
        frame_rate: float = 25.0,
        max_download: float = MAX_DOWNLOAD,
        progress: Progress | None = None,
        device: str | None = None,
        concurrency: int | None = None,
    ) -> None:
        from whenwhere.video import check_source, open_video, probe

        check_source(frame_rate, max_download)

        given = model if isinstance(model, ModelBackend) else None
        name = model.name if isinstance(model, ModelBackend) else resolve_auto(model)
        if given is None:
            check_model(name, device=device, concurrency=concurrency)
        elif device is not None or concurrency is not None:
            raise SettingError("device and concurrency belong to `load_model`; the model was loaded already")
        self.source = os.fsdecode(source)
        self.model = name
        self._cache = Cache(None if cache is False else cache, enabled=cache is not False)
        self._progress, self._device = progress, device
        self._built_in = None
        if given is None and find_grounder(name) is not None:
            self._built_in = build_grounder(name, self._cache, progress, device)
        self._backend, self._owns_backend = given, given is None
        self._local = open_video(self.source, fps=frame_rate, max_bytes=int(max_download * 1e9))
        try:
            self.info = probe(self._local.path)
            self.content = self.info.content
            if self._built_in is None and given is None:
                self._backend = build_backend(name, BackendOptions(self._cache, device, concurrency))
        except MediaError as e:
            self._local.close()
            # The user knows an address or a folder, not the temporary file that was made of it.
            raise MediaError(str(e).replace(printable(self._local.path), printable(self.source))) from e
        except BaseException:
            self._local.close()
            raise
        self._cuts: dict[str, list[float]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was fetched for this session. The video cannot be asked after that.

        A back end that the caller passed in stays open.
        """
        if self._backend is not None and self._owns_backend:
            self._backend.close()
        self._local.close()

    def __repr__(self) -> str:
        i = self.info
        return f"Session({self.source!r}, {i.duration:.1f} s, {i.width}×{i.height}, {i.fps:.4g} fps, {self.model})"

    def cuts(self, spans: SpanSet, jumps: SpanSet | None = None) -> list[float]:
        """Times of the first frame of each new shot inside the spans. Each span of a video is looked at once.

        Args:
            spans: Where to look.
            jumps: Parts of the video outside of which there is no cut, if that is known.
        """
        if jumps is not None:
            parts = spans & jumps
            # Looking at many small parts takes longer than looking at all.
            spans = parts if parts.duration < spans.duration / 3 else spans
        return [t for span in spans for t in self._cuts_in(span)]

    def _cuts_in(self, span: Span) -> list[float]:
        key = self._cache.key("cuts", 3, self.content, round(span.start, 3), round(span.end, 3))
        if key not in self._cuts:
            found = self._cache.arrays(key, lambda: {"cuts": np.array(find_cuts(self.info, span), float)})
            self._cuts[key] = found["cuts"].tolist()
        return self._cuts[key]

    def ground(
        self,
        query: str,
        rate: float = 1.0,
        sample_fps: float | None = None,
        fill: str = "flow",
        smooth: str = "none",
        within: Span | tuple[float, float] | None = None,
        span: Span | tuple[float, float] | None = None,
        frames: bool = False,
        seed: int = 0,
        pipeline: str = "second-level",
        samples: int = 1,
        trace: bool = False,
        snap: bool = False,
    ) -> "Answer":
        """Find when and where the video shows what a sentence says.

        Args:
            query: The sentence.
            rate: Boxes per second in the answer.
            sample_fps: Frames per second to look at. None lets the model choose.
            fill: How boxes between seconds are made when frames are needed.
            smooth: How second-level boxes are smoothed.
            within: The time in which to search, in seconds. None is the whole video.
            span: The time, if it is known and only boxes are wanted.
            frames: Whether the record gets a box for every frame.
            seed: Seed of models that draw at random.
            pipeline: How a vision-language model is asked: `second-level`, `framewise`, `uniform` or `detector`.
            samples: Samples of the time per question; their agreement is the confidence.
            trace: Whether the record keeps each question to a model and its answer.
            snap: Whether boxes of a vision-language model are moved onto the tracks of the extra `[objects]`, where
                they agree.

        Returns:
            The answer; its status may be `absent` or `unsure`.

        Raises:
            QueryError: The sentence is empty or too long, or a time lies outside the video.
            SettingError: A setting is out of range.
            MediaError: The video broke while it was read.
            ChatError, ModelError: The model gave no answer at all.
        """
        settings = GroundingSettings(
            rate, sample_fps, fill, smooth, _span(within), _span(span), frames, seed, pipeline, samples, trace, snap
        )
        return self.ask(query, settings)

    def ask(self, query: str, settings: GroundingSettings) -> "Answer":
        """`ground` with the settings as one value."""
        began = time.perf_counter()
        query = check_query(query)
        settings.check_video(self.info)
        found = self._grounder(settings).ground(self.info, settings.request(query))
        found = drop_outside_boxes(found, self.info)
        if settings.snap and found.tubes:
            tracks, _, decoded = indexed_tracks(self._cache).recognised(self.info)
            found.tubes = [snap(tube, tracks) for tube in found.tubes]
            found.frames_decoded += decoded
        found.tubes = [smooth(tube, settings.smooth) for tube in found.tubes]
        found = clip_result(found, self.info, settings.within)
        if any(len(tube) > 1 for tube in found.tubes):
            found.tubes = [anchor_cuts(tube, self.cuts(tube.spans, found.jumps), self.info) for tube in found.tubes]
        answer = Answer(self._record(query, settings, found), self)
        if settings.frames:
            answer.fill()
        answer.record.cost.seconds = time.perf_counter() - began
        return answer

    def _grounder(self, settings: GroundingSettings) -> Grounder:
        """The grounder that these settings ask for."""
        if self._backend is None:
            assert self._built_in is not None
            check_model(self.model, settings)
            return self._built_in
        check_pipeline(settings.pipeline)
        return build_pipeline(settings.pipeline, self._backend, self._progress, self._device, self._cache)

    def ground_many(self, queries: Iterable[str], settings: GroundingSettings | None = None) -> Iterator["Answer"]:
        """Answer several sentences, in their order; each answer comes as soon as it and those before it are ready.

        A model behind an address is asked several sentences at a time (`concurrency`). A sentence that cannot be
        answered gives a record with status `failed` instead of an error, whatever went wrong: one bad sentence never
        stops the others. The traceback of an error that is not explained to users is logged.
        """
        chosen = settings or GroundingSettings()

        def answer(query: str) -> Answer:
            try:
                return self.ask(query, chosen)
            except CancelledError:
                raise
            except Exception as e:
                if not isinstance(e, WhenwhereError):
                    logging.getLogger(__name__).error("a fault of whenwhere", exc_info=e)
                return self.failed(query, chosen, e)

        with QuestionPool(self.concurrency(chosen)) as pool:
            yield from pool.map(answer, queries)

    def concurrency(self, settings: GroundingSettings) -> int:
        """How many sentences can be asked at a time, each from its own thread."""
        return 1 if self._backend is None else pipeline_concurrency(settings.pipeline, self._backend)

    def failed(self, query: str, settings: GroundingSettings, error: Exception) -> "Answer":
        """The answer of a sentence that could not be answered: its record says why."""
        same = self.identity(query, settings)
        return Answer(failure(same, query, self.model, settings, error, self._video_record()), self)

    def identity(self, query: str, settings: GroundingSettings) -> str:
        """Hash of everything that an answer depends on: video content, sentence, model and settings."""
        return identity(self.content, query, self.model, settings)

    def estimate(self, settings: GroundingSettings, query: str = "") -> dict[str, Any]:
        """What one sentence would cost in frames, calls and tokens; for vision-language models also step by step.

        Nothing is asked. If the time is not given, an answer of usual length is assumed (`assumed_seconds`).
        """
        return self._grounder(settings).estimate(self.info, settings.request(query))

    def _video_record(self) -> VideoRecord:
        record = self.info.record()
        record.path, record.content = printable(self.source), self.content
        return record

    def _record(self, query: str, settings: GroundingSettings, found: GroundingResult) -> Grounding:
        spent = found.costs or CallCosts()
        said = [] if self._backend is None else self._backend.warnings()
        same = self.identity(query, settings)
        return Grounding(
            id=same,
            identity=same,
            video=self._video_record(),
            query=query,
            status=found.status,
            confidence=found.confidence,
            spans=span_records(found.spans),
            ranked=None if found.ranked is None else span_records(found.ranked),
            curve=found.curve,
            tubes=[tube_record(tube) for tube in found.tubes],
            settings=settings_record(self.model, settings),
            reading=found.reading,
            candidates=found.candidates,
            raw=spent.trace if settings.trace else None,
            parse=None if found.parse is None else ParseRecord(mode="lenient", status=found.parse),
            cost=CostRecord(
                frames_decoded=found.frames_decoded,
                frames_shown=found.frames_shown,
                calls=spent.calls,
                prompt_tokens=spent.prompt_tokens,
                output_tokens=spent.output_tokens,
                peak_memory=spent.memory,
            ),
            warnings=list(dict.fromkeys([*self._local.warnings, *self.info.warnings, *found.warnings, *said])),
        )


class Answer:
    """The answer to one sentence: its record, and what can be done with it.

    Attributes:
        record: The whole answer in the form that is stored (`whenwhere.records.Grounding`).
        session: The open video, for whatever needs its frames.
    """

    def __init__(self, record: Grounding, session: Session) -> None:
        self.record = record
        self.session = session
        self._tubes: list[Tube] | None = None

    @property
    def query(self) -> str:
        """The sentence."""
        return self.record.query

    @property
    def status(self) -> Status:
        """`answered`, `absent` (a claim: it is not there), `unsure` (no claim) or `failed`."""
        return self.record.status

    @property
    def confidence(self) -> float | None:
        """Confidence in 0-1, or None if the model gives none."""
        return self.record.confidence

    @property
    def spans(self) -> SpanSet:
        """The time at which the sentence is true; empty if the answer is not `answered`."""
        return self.record.span_set

    @property
    def tubes(self) -> list[Tube]:
        """The boxes over time, usually one tube of one object."""
        if self._tubes is None:
            found = (self.record.tube(i) for i in range(len(self.record.tubes)))
            self._tubes = [tube for tube in found if tube is not None]
        return self._tubes

    @property
    def tube(self) -> Tube | None:
        """The first tube, or None if there is none."""
        return self.tubes[0] if self.tubes else None

    @property
    def warnings(self) -> list[str]:
        """Warnings for the user, one sentence each."""
        return self.record.warnings

    def fill(self) -> None:
        """Put a box for every frame of the first tube into the record, made by the settings' fill."""
        if self.record.filled is not None or not self.record.tubes or not self.record.tubes[0].boxes:
            return
        info = self.session.info
        tube = self.record.tube(frame_times=info.times)
        assert tube is not None
        times = info.times[tube.spans.index(info.times) >= 0]
        method = self.record.settings.fill if self.record.settings else "linear"
        boxes = fill_tube(tube, times, method, info, self.session.cuts(tube.spans))
        self.record.filled = filled_record(method, tube.id, times, boxes)
        self._tubes = None

    def save(self, path: str | os.PathLike[str], format: str | None = None) -> list[Path]:
        """Write the answer in the format of the name's ending, for example `out.srt`, `out.coco.json`, `out.html`.

        Args:
            path: Path of the file.
            format: Name of the format, if the ending of the path does not tell it.

        Returns:
            The files written.

        Raises:
            OutputError: There is no such format, or the file cannot be written.
        """
        from whenwhere.export import EXPORTERS, format_of

        name = format or format_of(path)
        if name not in EXPORTERS:
            raise OutputError(f"there is no export {name!r}; choose from {', '.join(EXPORTERS)}")
        exporter = EXPORTERS[name]
        if exporter.needs_frames:
            self.fill()
        return exporter.write(self.record, self.session.info, Path(path))

    def __str__(self) -> str:
        said = {"failed": self.record.error.message if self.record.error else "", "absent": "it is not there"}
        spans = ", ".join(f"{s.start:.1f}-{s.end:.1f} s" for s in self.spans)
        sure = "" if self.confidence is None else f" (confidence {self.confidence:.2f})"
        return f"{self.query}: {spans or said.get(self.status, self.status)}{sure}"

    def __repr__(self) -> str:
        return f"Answer({self.query!r}, {self.status}, {self.spans!r}, {len(self.tubes)} tubes)"

    def _repr_html_(self) -> str:
        from whenwhere.notebook import notebook_html

        return notebook_html(self.record, self.session.info)


def _span(value: Span | tuple[float, float] | None) -> Span | None:
    return value if value is None or isinstance(value, Span) else Span(*value)

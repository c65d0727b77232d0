"""What a batch is told to do, what became of it, and who is told while it runs.

`BatchJob` is everything that is the same for all videos; `whenwhere.batching` carries it out, counts in a `BatchResult`
and calls the methods of a `BatchCallback`.
"""

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import whenwhere.session
from whenwhere.datasets.item import Item
from whenwhere.errors import SettingError
from whenwhere.models.backends.base import ModelBackend
from whenwhere.records import Grounding
from whenwhere.results import read_results
from whenwhere.session import MAX_DOWNLOAD, Session
from whenwhere.settings import GroundingSettings


@dataclass
class BatchResult:
    """What became of the questions of a batch.

    Attributes:
        out: Folder of the answers, or None if nothing is written.
        questions: Number of questions that were asked for.
        videos: Number of videos that they are about.
        faults: One sentence for each line of the manifest that could not be used.
        statuses: Number of questions that got each status so far.
        reused: Number of questions that were answered already.
        unwritten: Number of files that could not be written.
        pages: The pages of the videos, if pages were asked for.
        index: The page about all videos of the output folder, or None if it is not written.
        lock: Held while the counts change and while a callback is told of an answer: videos may be answered at a time.
    """

    out: Path | None = None
    questions: int = 0
    videos: int = 0
    faults: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    reused: int = 0
    unwritten: int = 0
    pages: list[Path] = field(default_factory=list)
    index: Path | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def done(self) -> int:
        """Number of questions that have a status."""
        return sum(self.statuses.values())

    @property
    def failed(self) -> int:
        """Number of questions without an answer and of files that could not be written."""
        return self.statuses["failed"] + self.unwritten

    def records(self) -> Iterator[Grounding]:
        """All records in the output folder, video by video."""
        return iter(()) if self.out is None else read_results(self.out)

    def __str__(self) -> str:
        parts = [f"{self.statuses[s]} {s}" for s in ("answered", "absent", "unsure", "failed") if self.statuses[s]]
        parts += [f"{self.unwritten} files could not be written"] if self.unwritten else []
        parts += [f"{self.reused} were there already"] if self.reused else []
        return ", ".join(parts) or "nothing asked"


class BatchCallback:
    """Told of what happens in a batch while it runs; override the methods that you need."""

    def on_begin(self, result: BatchResult) -> None:
        """The manifest is read. `result` has the counts of questions and changes as the batch goes on."""

    def on_progress(self, share: float) -> None:
        """A built-in model has looked at this share, 0-1, of the present video."""

    def on_answer(self, source: str, record: Grounding, files: list[Path]) -> None:
        """A question about the video `source` has its record, which is stored, and its files are written."""

    def on_unwritten(self, path: Path, error: Exception) -> None:
        """A file could not be written."""

    def on_warning(self, sentence: str) -> None:
        """Something that a user should know, such as stored lines that cannot be read."""
        logging.getLogger(__name__).warning(sentence)

    def on_bug(self, error: Exception) -> None:
        """An error that is not explained to users failed a question or a file, and the rest goes on."""
        logging.getLogger(__name__).error("a fault of whenwhere", exc_info=error)


@dataclass(frozen=True)
class BatchJob:
    """What is the same for every video of a batch.

    Attributes:
        settings: How questions are answered.
        model: The model that answers: a name, or a back end from `whenwhere.load_model`.
        out: Folder of the answers, or None to write nothing.
        exports: Names of the files to write for each answer; `html` is one page per video.
        resume: Whether a stored answer is taken instead of asking again.
        cache: Folder for what is computed about videos, or None for the user's cache folder.
        frame_rate: Pictures per second of a folder of pictures.
        max_download: The most gigabytes to take from an address or standard input.
        device: Where a checkpoint runs, or None for an accelerator if there is one.
        concurrency: How many questions an endpoint is sent at a time; None is 8.
        callback: Told of what happens.
        thumbnails: Whether a small picture of each video is stored beside its answers.

    Raises:
        SettingError: An export is unknown.
    """

    settings: GroundingSettings = field(default_factory=GroundingSettings)
    model: str | ModelBackend = "motion"
    out: Path | None = None
    exports: tuple[str, ...] = ()
    resume: bool = False
    cache: Path | None = None
    frame_rate: float = 25.0
    max_download: float = MAX_DOWNLOAD
    device: str | None = None
    concurrency: int | None = None
    callback: BatchCallback = field(default_factory=BatchCallback)
    thumbnails: bool = False

    def __post_init__(self) -> None:
        from whenwhere.export import EXPORTERS

        for name in self.exports:
            if name not in EXPORTERS:
                raise SettingError(f"there is no export {name!r}; choose from {', '.join(EXPORTERS)}")

    @property
    def model_name(self) -> str:
        """What the records call the model: the name that was given, or the back end's own."""
        return self.model if isinstance(self.model, str) else self.model.name

    def open(self, source: str) -> Session:
        """The video as a session of this job."""
        return whenwhere.session.open(
            source,
            self.model,
            self.cache,
            self.frame_rate,
            self.max_download,
            self.callback.on_progress,
            self.device,
            self.concurrency,
        )

    def settings_for(self, item: Item) -> GroundingSettings:
        """How one question is answered: its window says where to search.

        Raises:
            QueryError: It has a window although the settings say that the time is known.
        """
        return self.settings if item.window is None else replace(self.settings, within=item.window)

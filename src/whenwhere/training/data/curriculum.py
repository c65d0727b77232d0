"""Curricula: which questions a run sees and in which order, chosen by difficulty, with parts of videos masked.

A `Curriculum` is a source with an order of its own (`training.data.samples.OrderedSource`). Which questions are chosen,
and in which order, follows from the difficulties, the position and the seed alone, so a resumed run sees the same. Four
schedules:

- `static`: questions are chosen once, and read in another random order in every epoch;
- `rescored`: after each epoch, difficulties are measured with the current policy and questions are chosen anew
  (Time-R1's `train_rl_SF.sh`); the difficulties of every epoch stay in the run's folder;
- `easy-to-hard`: questions are drawn from the easiest share, which grows: at progress p it is √(p·(1 - b²) + b²) with
  b = `begin` (the root schedule of competence in arXiv 1903.09848);
- `masked`: as `static`, but in hard clips a share of the frames outside all true spans is painted over; the share falls
  to 0 towards the end (after VideoTG-R1, arXiv 2510.23397, of which only the abstract could be read: shares and
  threshold are ours).

Groups whose answers all get the same reward are handled by [train] (`zero_variance`).

Left out: several processes re-scoring together.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from whenwhere.array_cache import ArrayCache
from whenwhere.curate.difficulty import Difficulty
from whenwhere.curate.selection import SELECTORS, select, strata
from whenwhere.errors import SettingError, did_you_mean
from whenwhere.training.data.samples import Sample, SampleSource, deferred, frame_store, order

Schedule = Literal["static", "rescored", "easy-to-hard", "masked"]
#: Measures the difficulties of an epoch with the policy as it is then.
Measure = Callable[[int], Mapping[str, Difficulty]]


@dataclass(frozen=True, slots=True)
class CurriculumSettings:
    """The table [curriculum]. At its defaults there is no curriculum.

    Attributes:
        schedule: `static`; `rescored`, which measures and chooses anew after each epoch; `easy-to-hard`; or `masked`,
            which paints over fewer and fewer frames outside the true spans.
        difficulty: File of difficulties (`whenwhere data difficulty`), or `data` for those in the manifest. Empty: if
            difficulties are needed, they are measured with the policy that training starts from.
        draws: Sampled answers per question when difficulty is measured. 0 means one greedy answer.
        answer_tokens: Largest number of tokens of such an answer before SFT; in RL it is `max_completion_length`.
        selector: How questions are chosen among the candidates: `all`, `random`, `spread`, `gaussian`, `variance`.
        count: Number of questions that are chosen. None: all candidates.
        low: Lowest difficulty of a candidate.
        high: Difficulty below which a candidate lies. 1 leaves out questions without any reward; above 1 keeps them.
        mu: Difficulty at the centre of `gaussian`.
        sigma: Width of `gaussian`.
        corrected: Divide `gaussian` by the density of difficulties.
        duration_edges: Seconds that separate strata of videos; the same number is chosen from each stratum.
        fraction_edges: Shares of the video that separate strata of events.
        begin: Share of the questions, the easiest ones, that `easy-to-hard` begins with.
        hard: Mean difficulty of a clip's questions at and above which `masked` masks the clip.
        masked: Share of the frames outside all true spans that `masked` paints over at the start.
    """

    schedule: Schedule = "static"
    difficulty: str = ""
    draws: int = 0
    answer_tokens: int = 512
    selector: str = "all"
    count: int | None = None
    low: float = 0.0
    high: float = 2.0
    mu: float = 0.5
    sigma: float = 0.2
    corrected: bool = False
    duration_edges: tuple[float, ...] = ()
    fraction_edges: tuple[float, ...] = ()
    begin: float = 0.25
    hard: float = 0.7
    masked: float = 0.5

    def __post_init__(self) -> None:
        if self.selector not in SELECTORS:
            raise SettingError(f"there is no selector {self.selector!r}{did_you_mean(self.selector, SELECTORS)}")
        if not self.answer_tokens:
            raise SettingError("answer_tokens = 0 leaves no room for an answer")
        if self.count == 0:
            raise SettingError("count = 0 chooses nothing")
        if not self.low < self.high:
            raise SettingError(f"low = {self.low:g} must lie below high = {self.high:g}")
        if not self.sigma:
            raise SettingError("sigma must be above 0")
        if not 0 < self.begin <= 1 or self.masked > 1:
            raise SettingError("begin and masked are shares: begin above 0, neither above 1")

    @property
    def needed(self) -> bool:
        """Whether these settings ask for a curriculum."""
        chosen = self.selector != "all" or self.count is not None or self.low > 0 or self.high <= 1
        return chosen or self.schedule != "static"


@dataclass(frozen=True)
class _Epoch:
    """The questions that were chosen for an epoch.

    Attributes:
        numbers: Numbers of the samples, the easiest first.
        chosen: Names of the chosen questions by the number of their sample.
        difficulty: Mean difficulty of a sample's chosen questions by its number.
    """

    numbers: list[int]
    chosen: dict[int, frozenset[str]]
    difficulty: dict[int, float]


class ChosenSource:
    """The chosen questions of a source, sample by sample: an ordinary source, which is read in random order.

    Args:
        source: The samples.
        numbers: Numbers of the samples.
        chosen: Names of the chosen questions by the number of their sample.
    """

    def __init__(self, source: SampleSource, numbers: Sequence[int], chosen: Mapping[int, frozenset[str]]) -> None:
        self.source, self._numbers, self._chosen = source, numbers, chosen

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._numbers)

    def __getitem__(self, index: int) -> Sample:
        """A sample with its chosen questions."""
        return chosen_questions(self.source[self._numbers[index]], self._chosen[self._numbers[index]])

    def deferred(self, index: int) -> Sample:
        """A sample whose frames are read when they are first used; see `samples.DeferredSource`."""
        return chosen_questions(deferred(self.source, self._numbers[index]), self._chosen[self._numbers[index]])

    @property
    def question_count(self) -> int:
        """Number of chosen questions."""
        return sum(map(len, self._chosen.values()))

    @property
    def frame_store(self) -> ArrayCache | None:
        """The cache of decoded frames of the samples' source."""
        return frame_store(self.source)


def chosen_questions(sample: Sample, names: Collection[str]) -> Sample:
    """A sample with some of its questions.

    Args:
        sample: The sample.
        names: Names of the questions.

    Raises:
        SettingError: It has none of them.
    """
    kept = tuple(q for q in sample.questions if q.id in names)
    if not kept:
        raise SettingError(
            f"the sample {sample.id!r} has none of the questions that its difficulties are of: they were measured on "
            "other data"
        )
    return sample.with_questions(kept)


class Curriculum:
    """A source in the order of a curriculum (`samples.OrderedSource`).

    Args:
        source: The samples to choose from.
        settings: The table [curriculum].
        measured: Difficulties of the first epoch by question; each knows its sample's number.
        seed: Seed of draws and orders.
        measure: Measures the difficulties of a later epoch, for `rescored`.

    Raises:
        SettingError: Nothing is left, or a stratum needs what is not known.
    """

    def __init__(
        self,
        source: SampleSource,
        settings: CurriculumSettings,
        measured: Mapping[str, Difficulty],
        seed: int,
        measure: Measure | None = None,
    ) -> None:
        self.source, self.settings, self.seed, self._measure = source, settings, seed, measure
        self._epochs = [self._choose(measured, 0)]

    def __len__(self) -> int:
        """Number of samples of the first epoch."""
        return len(self._epochs[0].numbers)

    def __getitem__(self, index: int) -> Sample:
        """A sample of the first epoch with its chosen questions, the easiest first."""
        return self._chosen(self._epochs[0], self._epochs[0].numbers[index])

    @property
    def frame_store(self) -> ArrayCache | None:
        """The cache of decoded frames of the samples' source."""
        return frame_store(self.source)

    @property
    def question_count(self) -> int:
        """Number of questions of the first epoch."""
        return len(self.questions)

    @property
    def questions(self) -> list[str]:
        """Names of the questions of the first epoch, sorted."""
        return sorted(q for ids in self._epochs[0].chosen.values() for q in ids)

    @property
    def static(self) -> ChosenSource:
        """The samples of the first epoch as a source that can be read ahead, for a `static` schedule."""
        return ChosenSource(self.source, self._epochs[0].numbers, self._epochs[0].chosen)

    def at(self, position: int, progress: float) -> Sample:
        """The sample at a position of a run; see `samples.OrderedSource`."""
        schedule = self.settings.schedule
        if schedule == "easy-to-hard":
            epoch, begin = self._epochs[0], self.settings.begin
            share = math.sqrt(min(progress, 1.0) * (1 - begin**2) + begin**2)
            pool = max(1, round(share * len(epoch.numbers)))
            return self._chosen(epoch, epoch.numbers[int(np.random.default_rng([self.seed, position]).integers(pool))])
        if schedule == "rescored":
            number = 0
            while position >= len(self._epoch(number).numbers):
                position -= len(self._epoch(number).numbers)
                number += 1
            epoch = self._epoch(number)
            return self._chosen(epoch, epoch.numbers[order(position, len(epoch.numbers), self.seed + number)])
        epoch = self._epochs[0]
        number = epoch.numbers[order(position, len(epoch.numbers), self.seed)]
        sample = self._chosen(epoch, number)
        if schedule == "masked" and epoch.difficulty[number] >= self.settings.hard:
            return masked(sample, self.settings.masked * (1 - min(progress, 1.0)), self.seed)
        return sample

    def _epoch(self, number: int) -> _Epoch:
        assert self._measure is not None  # `rescored` is built with one
        while number >= len(self._epochs):
            self._epochs.append(self._choose(self._measure(len(self._epochs)), len(self._epochs)))
        return self._epochs[number]

    def _choose(self, measured: Mapping[str, Difficulty], epoch: int) -> _Epoch:
        own, all_ = self.settings, list(measured.values())
        found = select(
            np.array([d.difficulty for d in all_]),
            np.array([d.std for d in all_]),
            self.seed + epoch,
            selector=own.selector, count=own.count, low=own.low, high=own.high, mu=own.mu, sigma=own.sigma,
            corrected=own.corrected, labels=self._labels(all_),
        )  # fmt: skip
        chosen: dict[int, list[Difficulty]] = {}
        for k in found.tolist():
            number = all_[k].number
            if number is None:
                raise SettingError(
                    f"the difficulty of {all_[k].id!r} belongs to no sample of these data: was it measured on others?"
                )
            chosen.setdefault(number, []).append(all_[k])
        mean = {n: float(np.mean([d.difficulty for d in questions])) for n, questions in chosen.items()}
        return _Epoch(
            sorted(chosen, key=lambda n: (mean[n], n)),
            {n: frozenset(d.id for d in questions) for n, questions in chosen.items()},
            mean,
        )

    def _labels(self, all_: list[Difficulty]) -> np.ndarray | None:
        labels = None
        for edges, name in ((self.settings.duration_edges, "duration"), (self.settings.fraction_edges, "fraction")):
            if not edges:
                continue
            values = [getattr(d, name) for d in all_]
            if None in values:
                raise SettingError(
                    f"{name}_edges need the {name} of every question, and {all_[values.index(None)].id!r} has none"
                )
            own = strata(np.array(values), edges)
            labels = own if labels is None else labels * (len(edges) + 1) + own
        return labels

    def _chosen(self, epoch: _Epoch, number: int) -> Sample:
        return chosen_questions(deferred(self.source, number), epoch.chosen[number])


def masked(sample: Sample, share: float, seed: int) -> Sample:
    """A sample with a share of the frames outside all true spans painted in the clip's mean colour.

    Frames are masked in an order that is drawn once per sample, so a smaller share masks some of the frames that a
    larger one masks.

    Args:
        sample: The sample; a question whose answer is absence has no true span.
        share: Share of the frames outside all true spans, 0-1.
        seed: Seed of the order.
    """
    inside = np.zeros(len(sample.times), bool)
    for question in sample.questions:
        for span in question.truth.spans or ():
            inside |= (sample.times >= span.start) & (sample.times < span.end)
    outside = np.flatnonzero(~inside)
    drawn = np.random.default_rng([seed, *sample.id.encode()]).permutation(outside)
    hidden = drawn[: round(share * len(outside))]
    if not len(hidden):
        return sample
    images = sample.images.copy()
    images[hidden] = sample.images.mean((0, 1, 2)).round().astype(np.uint8)
    return sample.with_images(images)

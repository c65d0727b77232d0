"""Which questions stand where in a run: chosen by difficulty, in an order, with parts of videos masked.

A `Curriculum` is a source with an order of its own (`training.data.samples.OrderedSource`). What is chosen and where
it stands follows from the difficulties, the position and the seed alone, so a resumed run sees the same. Four
schedules:

- `static`: chosen once, read again and again, each time in another order;
- `rescored`: measured and chosen anew with the policy of the day whenever all that was chosen has been seen (Time-R1's
  `train_rl_SF.sh`); every epoch's difficulties stay in the run's folder;
- `easy-to-hard`: drawn from the easiest, and from more and more of them: at progress p from the share
  √(p·(1 - b²) + b²), b = `begin` (competence of arXiv 1903.09848, its root schedule);
- `masked`: as `static`, but of hard clips a share of the frames outside all true spans is painted over, less and less
  until nothing is at the end (after VideoTG-R1, arXiv 2510.23397, of which the abstract alone could be read: shares
  and threshold are ours).

Groups whose answers all get the same reward are the trainer's matter (`zero_variance = "resample"` in [train]).

Left out: several processes re-scoring together.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from whenwhere.curate.difficulty import Difficulty
from whenwhere.curate.selection import Selector, select, strata
from whenwhere.errors import SettingError
from whenwhere.training.data.samples import Sample, SampleSource, order

Schedule = Literal["static", "rescored", "easy-to-hard", "masked"]
#: Difficulties of an epoch, measured with the policy as it is then.
Measure = Callable[[int], Mapping[str, Difficulty]]


@dataclass(frozen=True, slots=True)
class CurriculumSettings:
    """The table [curriculum]; as it stands, there is none.

    Attributes:
        schedule: `static`; `rescored`, measured and chosen anew whenever all that was chosen has been seen;
            `easy-to-hard`; or `masked`, frames of hard clips outside the true spans painted over, less and less.
        difficulty: file of difficulties (`whenwhere data difficulty`); `data` = what the manifest carries; empty = the
            policy that training begins with is measured, where they are needed.
        draws: answers per question where it is measured; 0 = one greedy answer.
        answer_tokens: most tokens of such an answer before SFT; RL has `max_completion_length`.
        selector: how questions are chosen among the candidates: `all`, `random`, `spread`, `gaussian`, `variance`.
        count: how many are chosen; None = all candidates.
        low: candidates have at least this difficulty.
        high: and less than this; 1 leaves out what is wholly wrong, above 1 takes it too.
        mu: difficulty at the centre of `gaussian`.
        sigma: its width.
        corrected: `gaussian` is divided by the density of difficulties.
        duration_edges: seconds that part strata of videos; the same number is chosen from each.
        fraction_edges: shares of the video that part strata of events.
        begin: share of the easiest that `easy-to-hard` begins with.
        hard: mean difficulty of a clip's questions from which `masked` masks it.
        masked: share of the frames outside all true spans that are masked at the start.
    """

    schedule: Schedule = "static"
    difficulty: str = ""
    draws: int = 0
    answer_tokens: int = 512
    selector: Selector = "all"
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
        """Whether there is a curriculum at all."""
        chosen = self.selector != "all" or self.count is not None or self.low > 0 or self.high <= 1
        return chosen or self.schedule != "static"


@dataclass(frozen=True)
class _Epoch:
    """What was chosen.

    Attributes:
        numbers: of the samples, the easiest first.
        chosen: of each sample the questions.
        difficulty: of each sample, the mean over its chosen questions.
    """

    numbers: list[int]
    chosen: dict[int, frozenset[str]]
    difficulty: dict[int, float]


class Curriculum:
    """A source in the order of a curriculum.

    Args:
        source: that is chosen from.
        settings: how.
        measured: difficulties of the first epoch, by question; each knows its sample's number.
        seed: of draws and orders.
        measure: difficulties of a later epoch, for `rescored`.

    Raises:
        SettingError: nothing is left, or strata of what is not known.
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
        """Samples of the first epoch."""
        return len(self._epochs[0].numbers)

    def __getitem__(self, index: int) -> Sample:
        """A sample of the first epoch with its chosen questions, the easiest first."""
        return self._chosen(self._epochs[0], self._epochs[0].numbers[index])

    @property
    def questions(self) -> list[str]:
        """Ids of what was chosen first, sorted."""
        return sorted(q for ids in self._epochs[0].chosen.values() for q in ids)

    def at(self, place: int, progress: float) -> Sample:
        """The sample that stands at a place; see `training.data.samples.OrderedSource`."""
        schedule = self.settings.schedule
        if schedule == "easy-to-hard":
            epoch, begin = self._epochs[0], self.settings.begin
            share = math.sqrt(min(progress, 1.0) * (1 - begin**2) + begin**2)
            pool = max(1, round(share * len(epoch.numbers)))
            return self._chosen(epoch, epoch.numbers[int(np.random.default_rng([self.seed, place]).integers(pool))])
        if schedule == "rescored":
            number = 0
            while place >= len(self._epoch(number).numbers):
                place -= len(self._epoch(number).numbers)
                number += 1
            epoch = self._epoch(number)
            return self._chosen(epoch, epoch.numbers[order(place, len(epoch.numbers), self.seed + number)])
        epoch = self._epochs[0]
        number = epoch.numbers[order(place, len(epoch.numbers), self.seed)]
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
        sample = self.source[number]
        kept = tuple(q for q in sample.questions if q.id in epoch.chosen[number])
        if not kept:
            raise SettingError(
                f"the sample {sample.id!r} has none of the questions that its difficulties are of: they were measured "
                "on other data"
            )
        return replace(sample, questions=kept)


def masked(sample: Sample, share: float, seed: int) -> Sample:
    """A sample with a share of the frames outside all true spans painted in the clip's mean colour.

    The frames stand in an order that is drawn once per sample, and the first of them are masked: a smaller share masks
    some of the frames that a larger one did.

    Args:
        sample: with the truth of each question; one whose answer is absence rules no frame out.
        share: of the frames outside, 0-1.
        seed: of the order.
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
    return replace(sample, images=images)

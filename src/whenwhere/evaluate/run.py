"""Evaluation as one call: everything that `whenwhere eval` does, also from a notebook and from a training run.

    import whenwhere

    result = whenwhere.evaluate("charades-sta", "charades_sta_test.txt", "answers.jsonl", out="report")
    result.metrics["mIoU"], result.intervals["mIoU"]
    print(result)

Annotations and predictions are files, or objects in memory: a list of `Item`, and answers by id (`Prediction`,
grounding records, or the text of a model). `compute_metrics` gives the protocol's numbers alone, without baselines and
intervals, as often as a training run wants them.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whenwhere.datasets.benchmark import Benchmark, check_claims, read_items
from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError, SettingError
from whenwhere.evaluate.compare import Comparison, compare
from whenwhere.evaluate.evaluation import Report, assess
from whenwhere.evaluate.formats import read_predictions
from whenwhere.evaluate.formats.intake import Intake
from whenwhere.evaluate.formats.text import take_text
from whenwhere.evaluate.formats.whenwhere import prediction_of
from whenwhere.evaluate.names import find_benchmark, find_protocol
from whenwhere.evaluate.output import chosen_files, write_reports
from whenwhere.evaluate.prediction import Prediction, Predictions
from whenwhere.evaluate.report import comparison_tables, tables
from whenwhere.evaluate.table import Table, markdown
from whenwhere.evaluate.tasks import TASKS
from whenwhere.records import Grounding
from whenwhere.stats import Interval

#: A file or folder.
PathLike = str | os.PathLike[str]
#: An answer to one item in memory: as a protocol takes it, as a grounding record, or as the text of a model.
AnswerValue = Prediction | Grounding | str
#: Answers in memory: by item id, or grounding records with their ids.
AnswerSet = Predictions | Mapping[str, AnswerValue] | Iterable[Grounding]
#: Stands for objects in memory where a report names a file.
IN_MEMORY = "in memory"


@dataclass(slots=True)
class EvaluationResult:
    """The result of `evaluate`, for one file of answers or for several that are compared.

    Attributes:
        reports: Everything about each file of answers.
        comparisons: The difference between the first file and each other one.
        files: The files that were written.
    """

    reports: list[Report]
    comparisons: list[Comparison] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    @property
    def report(self) -> Report:
        """Everything about the (first) file of answers."""
        return self.reports[0]

    @property
    def comparison(self) -> Comparison | None:
        """The difference between the first two files; None of one file."""
        return self.comparisons[0] if self.comparisons else None

    @property
    def metrics(self) -> dict[str, float]:
        """Measure → value of the (first) file, fractions in 0-1."""
        return self.report.scores.summary

    @property
    def intervals(self) -> dict[str, Interval]:
        """Measure → 95 % interval of the (first) file."""
        return self.report.intervals

    def tables(self, brief: bool = True) -> list[Table]:
        """The tables of the reports; of several, first one table with a row for each, and the differences.

        Args:
            brief: Whether to show headline measures only.
        """
        compared = comparison_tables(self.reports, self.comparisons, brief) if self.comparisons else []
        return compared + [table for report in self.reports for table in tables(report, brief)]

    def data(self) -> list[dict[str, Any]]:
        """One JSON object for each report, and one for each comparison: what `whenwhere eval --json` prints."""
        found = [report.data() for report in self.reports]
        return found + [{"version": 1, "comparison": comparison.data()} for comparison in self.comparisons]

    def refuse_faults(self) -> None:
        """Raise if a file of answers has a fault or lacks an answer.

        Raises:
            RecordError: It does; the message counts the faults of each kind.
        """
        for report in self.reports:
            kinds = Counter(fault.kind for fault in report.faults)
            if not kinds:
                continue
            if "missing" in kinds:
                # one fault names all missing answers
                kinds["missing"] = report.status.get("missing", kinds["missing"])
            said = ", ".join(f"{count} × {kind}" for kind, count in kinds.items())
            raise RecordError(
                f"{report.files['predictions']} is refused by --strict: {said}; mend the file, or leave --strict out "
                "to count them as wrong"
            )

    def write(self, out: PathLike, export: str | Sequence[str] | None = None) -> list[Path]:
        """Write one report into a folder, or several into folders of their own inside it with their comparison beside.

        Args:
            out: The folder.
            export: Names of the files, see `whenwhere.evaluate.output.FILES`; None takes the usual ones.
        """
        self.files = write_reports(self.reports, self.comparisons, Path(out), chosen_files(export))
        return self.files

    def __str__(self) -> str:
        return markdown(self.tables())

    def _repr_markdown_(self) -> str:
        return markdown(self.tables())


def evaluate(
    benchmark: str | Benchmark,
    annotations: PathLike | Sequence[Item] | None,
    predictions: PathLike | AnswerSet,
    *others: PathLike | AnswerSet | None,
    protocol: str | None = None,
    strict: bool = False,
    out: PathLike | None = None,
    export: str | Sequence[str] | None = None,
    format: str | None = None,
    train: PathLike | Sequence[Item] | None = None,
    blind: PathLike | AnswerSet | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> EvaluationResult:
    """Score answers to a benchmark under a named protocol, with baselines, controls and intervals beside them.

    Args:
        benchmark: The benchmark or its name (`whenwhere eval --list`).
        annotations: Its released file or folder, or its items. None if the predictions also hold the truth
            (retrieval, recognition).
        predictions: The answers: a file in any format of `whenwhere.evaluate.formats`, the folder that
            `whenwhere batch --out` wrote, or answers in memory.
        others: Further answers to the same items, each of which is compared with the first.
        protocol: How to count; None counts as the benchmark's papers do.
        strict: Whether to refuse answers with any fault instead of counting them as wrong.
        out: Folder for the report and the score of every item; None writes nothing.
        export: Names of the files to write, see `whenwhere.evaluate.output.FILES`; None takes the usual ones.
        format: Format of the answers; None recognises it by the content.
        train: The benchmark's training items or file, on which the best constant is fitted.
        blind: Answers that were made without showing the model any picture.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap and of the swaps.

    Raises:
        SettingError: A name does not exist, or options do not fit together.
        RecordError: A file does not exist or cannot be used as a whole (a bad entry is a fault instead), the two files
            cannot be compared, or `strict` refuses one.

    >>> import numpy as np
    >>> items = [Item("a", "v.mp4", spans=np.array([[2.0, 6.0]]), duration=10.0)]
    >>> result = evaluate("manifest", items, {"a": "From 2 to 4 seconds."}, resamples=100)
    >>> result.metrics["mIoU"]
    0.5
    """
    bench = find_benchmark(benchmark) if isinstance(benchmark, str) else benchmark
    counted, task = find_protocol(protocol, bench), TASKS[bench.task]
    names = () if out is None else chosen_files(export)
    if out is None and export is not None:
        raise SettingError("--export needs a folder to write to: add --out DIR")
    if task.truth_in_predictions:
        for option, value in (("--train", train), ("--blind", blind)):
            if value is not None:
                raise SettingError(
                    f"{option} does not go with {bench.name}, whose predictions also hold the truth: leave it out"
                )
    elif annotations is None:
        raise SettingError(f"whenwhere eval needs --annotations FILE: give {bench.files}")
    items = None if annotations is None else _items(bench, annotations)
    trained = None if train is None else _items(bench, train)
    unseen = None if blind is None or items is None else _predictions(blind, items, bench, format)
    reports = []
    for given in (predictions, *others):
        if given is None:
            continue
        asked = items if items is not None else _items(bench, given)
        found = _predictions(given, asked, bench, format)
        roles = {"annotations": annotations, "predictions": given, "train": train, "blind": blind}
        files = {role: _named(path) for role, path in roles.items() if path is not None}
        reports.append(
            assess(
                bench, counted, asked, found, train=trained, blind=unseen, files=files, resamples=resamples, seed=seed
            )
        )
    result = EvaluationResult(reports)
    if strict:
        result.refuse_faults()
    result.comparisons = [compare(result.report, other) for other in reports[1:]]
    if out is not None:
        result.write(out, names)
    return result


def compute_metrics(items: Sequence[Item], answers: AnswerSet, protocol: str | None = None) -> dict[str, float]:
    """The numbers of one protocol, without baselines, controls and intervals: cheap enough for a training loop.

    Args:
        items: The questions with their truth; an item without an answer counts as the protocol says.
        answers: The answers by item id: `Prediction`, grounding record, or text of a model.
        protocol: Name of the protocol; None takes `default`.

    Raises:
        SettingError: There is no such protocol.

    >>> import numpy as np
    >>> items = [Item("a", "v", spans=np.array([[2.0, 6.0]])), Item("b", "v", spans=np.array([[0.0, 4.0]]))]
    >>> found = compute_metrics(items, {"a": Prediction("a", spans=np.array([[2.0, 6.0]])), "b": "0.0 to 2.0"})
    >>> found["R1@0.7"], found["mIoU"]
    (0.5, 0.75)
    """
    return find_protocol(protocol).score(items, as_predictions(answers, items).by_id).summary


def as_predictions(answers: AnswerSet, items: Sequence[Item], task: str | None = None) -> Predictions:
    """Answers in memory as `Predictions`, with a fault for whatever is wrong with them.

    Args:
        answers: By item id, or grounding records, which also find their items by video and sentence.
        items: The questions.
        task: Name of the task; in detection answers belong to videos.

    Raises:
        RecordError: There are answers, and none of them belongs to an item.
    """
    if isinstance(answers, Predictions):
        return answers
    intake = Intake(Path(IN_MEMORY), items)
    key = TASKS[task].answered if task else None
    if key is not None:
        intake.asked = list(dict.fromkeys(map(key, items)))
    pairs = answers.items() if isinstance(answers, Mapping) else ((record.id, record) for record in answers)
    for id, given in pairs:
        if isinstance(given, Prediction):
            # answers that belong to videos stay, also those to videos without truth: a protocol may count them
            if key is not None or intake.find(id, id):
                intake.keep(id, given)
            continue
        video, query = None, None
        if isinstance(given, Grounding):
            video, query = given.video.path if given.video else None, given.query
        for item in intake.find(str(id), id, video, query):
            if isinstance(given, Grounding):
                intake.keep(item.id, prediction_of(given, item))
            else:
                take_text(intake, item.id, item, given, {})
    strangers = intake.finish()
    return Predictions(intake.by_id, intake.faults, IN_MEMORY, IN_MEMORY, strangers)


def _items(benchmark: Benchmark, given: object) -> list[Item]:
    if isinstance(given, str | os.PathLike):
        return read_items(benchmark, os.fspath(given))
    if isinstance(given, Sequence) and all(isinstance(item, Item) for item in given):
        check_claims(given)
        return list(given)
    raise SettingError(f"annotations of {benchmark.name} must be a file or a list of items")


def _predictions(
    given: PathLike | AnswerSet, items: Sequence[Item], benchmark: Benchmark, format: str | None
) -> Predictions:
    if isinstance(given, str | os.PathLike):
        return read_predictions(given, items, benchmark, format)
    return as_predictions(given, items, benchmark.task)


def _named(given: object) -> str:
    return os.fspath(given) if isinstance(given, str | os.PathLike) else IN_MEMORY

"""A benchmark of planners: a planner plans for each paper of AblationBench, judges judge, scores are averaged.

    papers = read_bench("reviewer/dev.jsonl")
    report = run_bench(papers, "runs/bench", ["http://localhost:8001/v1#judge"], planner="http://localhost:8000/v1#m",
                       root="ablation-bench/data/papers/full")

The folder holds `calls.jsonl` (every call with prompt and reply), `plans/<paper>.jsonl` (the five fields, as the
original's judges read them), `judgements/<paper>.json` and `report.json` with `report.md`. To go on after an
interruption, run the same call again: a call whose reply was used is not made a second time, and papers that failed
are tried again.

A paper whose planner or judge failed has no score. It is listed with the reason, and the report gives F1 twice: over
the papers with scores, and with a planner's failures counted as 0.
"""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from whenwhere.ablate.ablation import Ablation
from whenwhere.ablate.bench_data import BenchPaper
from whenwhere.ablate.documents import Document
from whenwhere.ablate.judge import judge_plan, judge_reviews, numbered_judges
from whenwhere.ablate.judgement import JudgeAgreement, Judgement, agreement, write_judgement
from whenwhere.ablate.paper import read_paper
from whenwhere.ablate.plan import Plan, read_plan, write_plan
from whenwhere.ablate.planner import plan_paper
from whenwhere.ablate.scores import PlanScores, mean_scores
from whenwhere.ablate.structured import CallLog, Sampling
from whenwhere.errors import ChatError, ModelError, RecordError, SettingError
from whenwhere.models.backends import ModelBackend
from whenwhere.models.language import language_models
from whenwhere.store import make_folder, write_text

#: Ablations that a planner is asked for, as the benchmark does: for authors, and for reviewers.
ITEMS = {"author": 5, "reviewer": 2}
#: Papers that are worked on at the same time if all models are servers.
CONCURRENCY = 8


class BenchFailure(Document):
    """A paper without a score.

    Attributes:
        paper: Id of the paper.
        step: The step that failed: `plan`, which includes reading the paper, or `judgement`.
        error: Why it failed, as a sentence.
    """

    paper: str
    step: Literal["plan", "judgement"]
    error: str


class BenchScore(Document):
    """The scores of one paper's plan.

    Attributes:
        paper: Id of the paper.
        wanted: Number of ablations that were wanted.
        items: Number of items in the plan.
        strict: Precision, recall, F1 and nDCG of the whole plan, strict.
        first: Precision, recall, F1 and nDCG of the plan's first item alone, strict.
        compat: Precision, recall, F1 and, for authors' ablations, nDCG as AblationBench counts.
    """

    paper: str
    wanted: int
    items: int
    strict: dict[str, float | None]
    first: dict[str, float | None]
    compat: dict[str, float | None]


class BenchReport(Document):
    """What a benchmark found.

    Attributes:
        version: Version of the file's form.
        mode: Whether authors' ablations or reviewers' requests were wanted.
        planner: Name of the planner's model, or of the folder of its plans.
        judges: Names of the judges.
        k: Largest number of items in a plan.
        seed: Seed of the judges' orders.
        papers: Number of papers.
        means: Mean, low and high end of the 95 % interval over the papers with scores, by way of counting and name of
            the score; None where no paper has that score.
        f1_with_failures: Mean F1 by way of counting (`strict`, `compat`), with a planner's failures counted as 0.
        agreement: How far the judges agree; None with one judge or without a judgement.
        scores: The scores of each paper.
        failures: The papers without a score.
    """

    version: int = 1
    mode: Literal["author", "reviewer"]
    planner: str
    judges: list[str]
    k: int
    seed: int
    papers: int
    means: dict[str, dict[str, tuple[float, float, float] | None]]
    f1_with_failures: dict[str, float]
    agreement: JudgeAgreement | None
    scores: list[BenchScore]
    failures: list[BenchFailure]


def run_bench(
    papers: Sequence[BenchPaper],
    out: str | os.PathLike[str],
    judges: Sequence[str | ModelBackend],
    *,
    planner: str | ModelBackend | None = None,
    plans: str | os.PathLike[str] | None = None,
    root: str | os.PathLike[str] = ".",
    k: int | None = None,
    seed: int = 0,
    sampling: Sampling | None = None,
    context: int | None = None,
    on_paper: Callable[[str, str], None] | None = None,
) -> BenchReport:
    """Plan for each paper, let judges judge, and score.

    Args:
        papers: The papers, all of authors' ablations or all of reviews (`read_bench`).
        out: Folder of the results.
        judges: The judges, by name or loaded; one that is listed twice votes twice.
        planner: The planner's model, by name or loaded. Either this or `plans` is given.
        plans: Folder of finished plans, `<paper>.jsonl`, `.json` or `.md`.
        root: Folder that the papers' own paths start from.
        k: Largest number of items in a plan, and how many of a finished plan's items count. None is 5 for authors'
            ablations and 2 for reviews.
        seed: Seed of the judges' orders.
        sampling: How answers are sampled.
        context: Tokens that the planner can hold; see `plan_paper`.
        on_paper: Called with a paper's id and what became of it, from several threads.

    Raises:
        SettingError: there are no papers or no judges, or neither or both of `planner` and `plans` are given.
        OutputError: the folder cannot be written.
        ChatError, ModelError: a model cannot be loaded. What fails for a single paper is in the report.
    """
    if not papers or not judges or (planner is None) == (plans is None):
        raise SettingError("a benchmark needs papers, at least one judge, and either a planner or a folder of plans")
    mode: Literal["author", "reviewer"] = "reviewer" if papers[0].reviews else "author"
    k = k or ITEMS[mode]
    folder = Path(out)
    make_folder(folder)
    log = CallLog(folder / "calls.jsonl")
    with language_models([*judges, *([] if planner is None else [planner])]) as models:
        bench = models[: len(judges)]
        loaded = None if planner is None else models[-1]

        def plan_of(paper: BenchPaper) -> list[Ablation]:
            if loaded is None:
                return [item.ablation for item in _finished_plan(Path(plans or "."), paper.id).items[:k]]
            plan = plan_paper(
                read_paper(paper.find_source(root)), mode, loaded, k,
                sampling=sampling, context=context, log=log,
            )  # fmt: skip
            for file in _plan_files(paper):
                write_plan(plan, folder / file)
            return [item.ablation for item in plan.items]

        def judgement_of(paper: BenchPaper, plan: list[Ablation]) -> Judgement:
            told: dict[str, Any] = {
                "paper": paper.title or paper.id, "abstract": paper.abstract, "seed": seed, "sampling": sampling,
                "log": log,
            }  # fmt: skip
            if paper.reviews:
                found = judge_reviews(paper.reviews, plan, bench, paper.wanted, **told)
            else:
                found = judge_plan(paper.gold, plan, bench, **told)
            write_judgement(found, folder / "judgements" / f"{paper.id}.json")
            return found

        def one(paper: BenchPaper) -> Judgement | BenchFailure:
            step: Literal["plan", "judgement"] = "plan"
            # A result of an earlier run must not remain beside a failure of this one.
            for left in [f"judgements/{paper.id}.json", *([] if loaded is None else _plan_files(paper))]:
                (folder / left).unlink(missing_ok=True)
            try:
                plan = plan_of(paper)
                step = "judgement"
                found: Judgement | BenchFailure = judgement_of(paper, plan)
            except (ChatError, ModelError, RecordError) as e:
                # A full disk or a missing package would fail every paper: such errors end the run.
                found = BenchFailure(paper=paper.id, step=step, error=str(e))
            if on_paper is not None:
                on_paper(paper.id, found.error if isinstance(found, BenchFailure) else "")
            return found

        concurrency = min([CONCURRENCY, *(model.concurrency for model in models)])
        pool = ThreadPoolExecutor(concurrency, thread_name_prefix="whenwhere-bench")
        try:
            results = list(pool.map(one, papers))
        finally:
            # After an interrupt, papers that have not begun are left for the next run.
            pool.shutdown(wait=False, cancel_futures=True)
        names = [name for name, _, _ in numbered_judges(bench)]
    report = _report(papers, results, mode, str(plans) if loaded is None else loaded.name, names, k, seed)
    write_text(folder / "report.json", report.model_dump_json(indent=1) + "\n")
    write_text(folder / "report.md", report_text(report))
    return report


def _plan_files(paper: BenchPaper) -> list[str]:
    """The files of a paper's plan in the folder of the results: the whole plan, and AblationBench's five fields."""
    return [f"plans/{paper.id}.json", f"plans/{paper.id}.jsonl"]


def _finished_plan(folder: Path, paper: str) -> Plan:
    """The plan of a paper in a folder of finished plans.

    Raises:
        RecordError: There is none, it is empty, or it cannot be read.
    """
    for ending in (".json", ".jsonl", ".md"):
        path = folder / f"{paper}{ending}"
        if path.exists():
            plan = read_plan(path, strict=False)
            if not plan.items:
                raise RecordError(f"{path} is an empty plan, which is a failure of its planner: plan again")
            return plan
    raise RecordError(f"there is no plan {folder / paper}.jsonl: plan for this paper, or leave it out of the data")


def _report(
    papers: Sequence[BenchPaper],
    results: Sequence[Judgement | BenchFailure],
    mode: Literal["author", "reviewer"],
    planner: str,
    judges: list[str],
    k: int,
    seed: int,
) -> BenchReport:
    """The report of what became of each paper."""
    judged = [(p, r) for p, r in zip(papers, results, strict=True) if isinstance(r, Judgement)]
    failures = [r for r in results if isinstance(r, BenchFailure)]
    ways = {
        "strict": [j.strict(k) for _, j in judged],
        "strict, first item": [j.strict(1) for _, j in judged],
        "compat": [j.compat(k) for _, j in judged],
    }
    means: dict[str, dict[str, tuple[float, float, float] | None]] = {}
    for way, scores in ways.items():
        found = mean_scores(scores, seed)
        means[way] = {
            name: None if math.isnan(value.mean) else (value.mean, value.low, value.high)
            for name, value in found.items()
        }
    lost = sum(failure.step == "plan" for failure in failures)
    return BenchReport(
        mode=mode, planner=planner, judges=judges, k=k, seed=seed, papers=len(papers), means=means,
        f1_with_failures={
            way: math.fsum(s.f1 for s in ways[way]) / max(len(judged) + lost, 1) for way in ("strict", "compat")
        },
        agreement=agreement([j for _, j in judged]) if judged and len(judges) > 1 else None,
        scores=[
            BenchScore(
                paper=p.id, wanted=j.wanted, items=len(j.items), strict=_numbers(j.strict(k)),
                first=_numbers(j.strict(1)), compat=_numbers(j.compat(k)),
            )
            for p, j in judged
        ],
        failures=failures,
    )  # fmt: skip


def _numbers(scores: PlanScores) -> dict[str, float | None]:
    """Scores by name as JSON can hold them: None in place of NaN."""
    values = {name: getattr(scores, name) for name in ("precision", "recall", "f1", "ndcg")}
    return {name: None if math.isnan(value) else round(value, 6) for name, value in values.items()}


def report_text(report: BenchReport) -> str:
    """A report in Markdown: the scores with their intervals, the judges' agreement, and the papers that failed.

    Args:
        report: The report, as `run_bench` returns it.
    """
    scored = len(report.scores)
    lines = [
        f"# {report.planner}: {report.mode}, at most {report.k} items",
        "",
        f"{scored} of {report.papers} papers have scores; means over them with 95 % bootstrap intervals. Judges: "
        f"{', '.join(report.judges)} (order seed {report.seed}).",
        "",
        "| way of counting | precision | recall | F1 | nDCG |",
        "|---|---|---|---|---|",
    ]
    for way, row in report.means.items():
        cells = ["–" if value is None else f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]" for value in row.values()]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    if report.failures:
        lost = report.f1_with_failures
        lines += [
            "",
            f"With plans that failed counted as 0, F1 is {lost['strict']:.3f} strict, {lost['compat']:.3f} compat.",
        ]
    if report.agreement is not None:
        pairs = [f"{name} {_kappa(value)}" for name, value in report.agreement.pairs.items()]
        lines += ["", f"Agreement of the judges on {report.agreement.votes} pairs: Fleiss' κ "
                  f"{_kappa(report.agreement.fleiss)}; Cohen's κ {', '.join(pairs)}."]  # fmt: skip
    if report.failures:
        lines += ["", f"## {len(report.failures)} papers without scores", ""]
        lines += [f"- {failure.paper} ({failure.step}): {failure.error}" for failure in report.failures]
    return "\n".join(lines) + "\n"


def _kappa(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"

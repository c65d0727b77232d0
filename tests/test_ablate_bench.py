"""The benchmark of planners: AblationBench's files, a whole run against local servers, failures, and going on."""

import json
from pathlib import Path
from typing import Any

import pytest
from ablation_judges import Judges, ablation, backend_of, everything, lists, nothing, quoting, same_name
from chat_server import ChatServer, Request

from whenwhere.ablate.ablation import Ablation
from whenwhere.ablate.bench import BenchReport, report_text, run_bench
from whenwhere.ablate.bench_data import BenchPaper, read_bench, write_bench
from whenwhere.ablate.plan import read_plan
from whenwhere.errors import OutputError, RecordError, SettingError

GOLD = (
    ablation("grouping"),
    ablation("tokens", "tokens, “M”", "REPLACE", "8", "16"),
    Ablation(name="λ", ablated_part="loss", action="REPLACE", replacement={"λ1": [0.1, 1]}, metrics=["R@1, all"]),
)
AUTHOR = [
    BenchPaper("Groups", "Grouping", "We group.", "data/papers/Groups", GOLD, wanted=3),
    BenchPaper("Naïve_Schrödinger", "Bridges", "", "data/papers/Naïve_Schrödinger", GOLD[:1], wanted=1),
]
REVIEWER = [
    BenchPaper("Groups", "Grouping", "We group.", "Groups", reviews=("Ablate the grouping, please.", "ok"), wanted=2)
]


@pytest.mark.parametrize("papers", [AUTHOR, REVIEWER], ids=["author", "reviewer"])
@pytest.mark.parametrize("name", ["dev.jsonl", "dev.parquet", "data/dev-00000-of-00001.parquet", "dev/data.jsonl"])
def test_files_are_written_and_read_back(tmp_path: Path, papers: list[BenchPaper], name: str) -> None:
    path = write_bench(papers, tmp_path / name)
    assert read_bench(path) == read_bench(tmp_path) == papers
    with pytest.raises(RecordError, match="has no split 'test'"):
        read_bench(tmp_path, "test")


def test_the_form_is_that_of_the_released_sets(tmp_path: Path) -> None:
    row = json.loads(write_bench(AUTHOR, tmp_path / "a.jsonl").read_text().splitlines()[0])
    assert list(row) == ["id", "paper_title", "paper_abstract", "paper_path", "ablations_in_paper"]
    gold = json.loads(row["ablations_in_paper"])
    assert list(gold[0]) == ["name", "ablated_part", "action", "replacement", "metrics"]
    row = json.loads(write_bench(REVIEWER, tmp_path / "r.jsonl").read_text())
    assert json.loads(row["review_text"])[1] == "ok" and row["num_ablation_suggestions"] == 2


def row(**changes: Any) -> str:
    value = {
        "id": "P", "paper_title": "t", "paper_abstract": "a", "paper_path": "P", "docker_image": "image",
        "ablations_in_paper": json.dumps([{**GOLD[0].model_dump(), "section": "4.3"}]),
    } | changes  # fmt: skip
    return json.dumps({k: v for k, v in value.items() if v is not ...})


def test_fields_that_do_not_matter_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(row() + "\n\n" + row(id="Q", ablations_in_paper=[GOLD[0].model_dump()], paper_title=None))
    assert [paper.gold for paper in read_bench(path)] == [GOLD[:1], GOLD[:1]]


REVIEW: dict[str, Any] = {"ablations_in_paper": ..., "review_text": '["r"]', "num_ablation_suggestions": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no papers"),
        ("[1]", "line 1 is .* and not an object"),
        ('{"id": ', "line 1 is not JSON"),
        (row(id=...), "line 1: id is None"),
        (row(id=7), "line 1: id is 7"),
        (row(id="../P"), "without slashes"),
        (row(id=""), "without slashes"),
        (row() + "\n" + row(), "line 2 has the id 'P' of an earlier row"),
        (row(ablations_in_paper=...), "neither ablations_in_paper nor review_text"),
        (row(ablations_in_paper="[{]"), "line 1: ablations_in_paper is not JSON"),
        (row(ablations_in_paper="[]"), "must be a list with at least one entry"),
        (row(ablations_in_paper="{}"), "must be a list with at least one entry"),
        (row(ablations_in_paper='["remove it"]'), "ablation 1 is 'remove it' and must be an object"),
        (row(ablations_in_paper='[{"name": "n", "action": "REMOVE"}]'), "ablation 1: ablated_part"),
        (row(ablations_in_paper=json.dumps([GOLD[0].model_dump() | {"action": "DROP"}])), "action is 'DROP'"),
        (row(**REVIEW | {"review_text": '["r", 5]'}), "not a list of texts"),
        (row(**REVIEW | {"num_ablation_suggestions": 0}), "num_ablation_suggestions is 0"),
        (row(**REVIEW | {"num_ablation_suggestions": True}), "num_ablation_suggestions is True"),
        (row() + "\n" + row(**REVIEW, id="Q"), "mixes authors' ablations and reviews"),
    ],
)
def test_a_row_that_does_not_follow_the_form_is_an_error_that_names_it(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(RecordError, match=said):
        read_bench(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id")
    with pytest.raises(SettingError, match=r"neither \.jsonl nor \.parquet"):
        read_bench(tmp_path / "a.csv")
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(RecordError, match="is not Parquet"):
        read_bench(tmp_path / "a.parquet")
    with pytest.raises(RecordError, match="there is no data"):
        read_bench(tmp_path / "absent")
    with pytest.raises(OutputError, match="choose one of these endings"):
        write_bench(AUTHOR, tmp_path / "a.csv")
    with pytest.raises(RecordError, match="cannot be fetched from the hub"):
        read_bench("hf:not a name")


def test_papers_are_found_below_a_folder(tmp_path: Path) -> None:
    paper = AUTHOR[0]
    with pytest.raises(RecordError, match="--papers"):
        paper.find_source(tmp_path)
    (tmp_path / "Groups.md").write_text("# A")
    assert paper.find_source(tmp_path) == tmp_path / "Groups.md"
    (tmp_path / "data/papers/Groups").mkdir(parents=True)
    assert paper.find_source(tmp_path) == tmp_path / "data/papers/Groups"
    (tmp_path.parent / "secret").write_text("x")
    with pytest.raises(RecordError):
        BenchPaper("P", "", "", "../secret").find_source(tmp_path)


def planned(request: Request) -> str:
    """A planner that takes the words of the paper as names of ablations, and fails on papers that say so."""
    words = request.text().split("<paper>\n")[1].split("\n</paper>")[0].split()
    items = [{**ablation(word).model_dump(), "replacement": []} for word in words if word != "EMPTY"]
    return json.dumps({"discussion": "", "ablations": items})


def papers_below(folder: Path, **texts: str) -> list[BenchPaper]:
    gold = tuple(ablation(name) for name in ("one", "two", "three"))
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return [BenchPaper(name, name, "", f"{name}.txt", gold, wanted=3) for name in texts]


def test_a_whole_run(tmp_path: Path) -> None:
    papers = papers_below(tmp_path, good="one two", half="one nine", bad="seven eight", empty="EMPTY")
    papers.append(BenchPaper("absent", "absent", "", "absent.txt", GOLD[:1], wanted=1))
    seen: list[tuple[str, str]] = []
    with Judges(planned, same_name, everything) as (plans, first, second):

        def run() -> BenchReport:
            return run_bench(
                papers, tmp_path / "out", [first, first, second], planner=plans, root=tmp_path,
                on_paper=lambda paper, error: seen.append((paper, error)),
            )  # fmt: skip

        report = run()
        calls = [model.client.usage.calls for model in (plans, first, second)]
        # the one planner call that failed, with its repair, is made again and nothing else is
        assert run() == report
        assert [model.client.usage.calls for model in (plans, first, second)] == [calls[0] + 2, *calls[1:]]
    assert {s.paper: s.strict["f1"] for s in report.scores} == {
        "good": pytest.approx(0.8), "half": pytest.approx(0.4), "bad": 0.0,
    }  # fmt: skip
    assert {f.paper: f.step for f in report.failures} == {"empty": "plan", "absent": "plan"}
    assert "the list of ablations is empty" in next(f.error for f in report.failures if f.paper == "empty")
    means = report.means["strict"]["f1"]
    assert means is not None and means[0] == pytest.approx(0.4) and means[1] <= 0.4 <= means[2]
    assert report.f1_with_failures["strict"] == pytest.approx(0.4 * 3 / 5)
    assert report.agreement is not None and report.agreement.votes == 3 * 2 * 3
    assert next(iter(report.agreement.pairs.values())) == 1 and (report.agreement.fleiss or 0) < 0.5
    assert len(seen) == 10
    text = (tmp_path / "out/report.md").read_text()
    assert text == report_text(report)
    for words in ("3 of 5 papers", "- empty (plan): ", "Fleiss", "| strict |", "with plans that failed counted as 0"):
        assert words.lower() in text.lower()
    assert BenchReport.model_validate_json((tmp_path / "out/report.json").read_text()) == report
    # plans are as the original's judges read them
    rows = [json.loads(line) for line in (tmp_path / "out/plans/good.jsonl").read_text().splitlines()]
    assert [list(one) for one in rows] == [["name", "ablated_part", "action", "replacement", "metrics"]] * 2
    assert not (tmp_path / "out/plans/empty.jsonl").exists()


def test_finished_plans_are_judged_and_empty_ones_are_failures(tmp_path: Path) -> None:
    papers = papers_below(tmp_path, good="", long="", empty="", absent="")
    for name, names in {"good": ["one"], "long": ["nine", "one", "two"], "empty": []}.items():
        text = "".join(ablation(one).model_dump_json() + "\n" for one in names)
        (tmp_path / f"{name}.jsonl").write_text(text)
    with ChatServer(same_name) as server, backend_of(server) as judge:
        report = run_bench(papers, tmp_path / "out", [judge], plans=tmp_path, k=2)
    assert {s.paper: s.strict["precision"] for s in report.scores} == {"good": 1.0, "long": 0.5}
    assert [s.first["precision"] for s in report.scores] == [1.0, 0.0]
    assert {f.paper for f in report.failures} == {"empty", "absent"} and report.agreement is None


def test_planners_of_known_quality_are_ranked(tmp_path: Path) -> None:
    """A judge that finds everything in a vague item makes it the best by AblationBench's counting, and not by ours."""

    def say(request: Request) -> str:
        shown = lists(request)
        pairs = [
            {"a": a, "b": b, "why": ""}
            for a, first in shown["A"]
            for b, second in shown["B"]
            if first == second or "vague" in (first, second)
        ]
        return json.dumps({"discussion": "", "matches": pairs})

    papers = papers_below(tmp_path, p="", q="")
    planners = {
        "perfect": ["one", "two", "three"], "late": ["x", "one", "two"], "early": ["one", "two", "x"],
        "vague": ["vague"], "wrong": ["x", "y"],
    }  # fmt: skip
    found: dict[str, BenchReport] = {}
    with Judges(say) as (judge,):
        for name, items in planners.items():
            for paper in papers:
                text = "".join(ablation(one).model_dump_json() + "\n" for one in items)
                (tmp_path / name).mkdir(exist_ok=True)
                (tmp_path / name / f"{paper.id}.jsonl").write_text(text)
            found[name] = run_bench(papers, tmp_path / f"{name}-out", [judge], plans=tmp_path / name)

    def mean(name: str, way: str, score: str) -> float:
        value = found[name].means[way][score]
        assert value is not None
        return value[0]

    ranked = sorted(planners, key=lambda name: (mean(name, "strict", "f1"), mean(name, "strict", "ndcg")), reverse=True)
    assert ranked == ["perfect", "early", "late", "vague", "wrong"]
    assert mean("early", "compat", "ndcg") == mean("late", "compat", "ndcg")
    assert mean("vague", "compat", "f1") == 1 and mean("vague", "strict", "f1") == 0.5
    assert mean("wrong", "strict", "f1") == mean("wrong", "compat", "f1") == 0


def test_a_judge_that_fails_leaves_the_paper_without_a_score(tmp_path: Path) -> None:
    papers = papers_below(tmp_path, first="one", second="two")

    def say(request: Request) -> str:
        return "no" if "Paper: second" in request.text() else same_name(request)

    with Judges(planned, say) as (plans, judge):
        report = run_bench(papers, tmp_path / "out", [judge], planner=plans, root=tmp_path)
    assert [s.paper for s in report.scores] == ["first"]
    assert [(f.paper, f.step) for f in report.failures] == [("second", "judgement")]
    # a judge's failure is not the planner's
    assert report.f1_with_failures["strict"] == report.scores[0].strict["f1"]


def test_a_failure_leaves_no_plan_of_an_earlier_run(tmp_path: Path) -> None:
    papers = papers_below(tmp_path, good="one two")
    out = tmp_path / "out"
    with Judges(planned, same_name, lambda request: "no") as (plans, judge, broken):
        assert run_bench(papers, out, [judge], planner=plans, root=tmp_path).scores
        assert (out / "plans/good.jsonl").exists() and (out / "judgements/good.json").exists()
        report = run_bench(papers, out, [judge, judge], planner=broken, root=tmp_path)
    assert report.failures and len(set(report.judges)) == 2
    assert not list((out / "plans").iterdir()) and not list((out / "judgements").iterdir())


def test_reviews_are_a_benchmark_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "Groups").mkdir()
    (tmp_path / "Groups/paper.md").write_text("grouping optimiser third")
    quotes: dict[str, str | None] = {"grouping": "Ablate the grouping"}
    judged = Judges(planned, lambda request: quoting(request, quotes))
    with judged as (plans, judge):
        report = run_bench(REVIEWER, tmp_path / "out", [judge], planner=plans, root=tmp_path)
    asked = judged.servers[0].requests[0].text()
    assert "are missing" in asked and "at most 2" in asked
    assert report.mode == "reviewer" and report.k == 2
    assert report.scores[0].strict["f1"] == report.scores[0].compat["f1"] == 0.5
    assert report.scores[0].compat["ndcg"] is None and report.means["compat"]["ndcg"] is None


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with ChatServer(nothing) as server, backend_of(server) as model:
        for papers, judges, options in (
            ([], [model], {"planner": model}),
            (AUTHOR, [], {"planner": model}),
            (AUTHOR, [model], {}),
            (AUTHOR, [model], {"planner": model, "plans": tmp_path}),
        ):
            with pytest.raises(SettingError, match="a benchmark needs"):
                run_bench(papers, tmp_path / "out", judges, **options)  # type: ignore[arg-type]
        assert not server.requests and not (tmp_path / "out").exists()


def test_a_plan_that_was_written_is_read_again(tmp_path: Path) -> None:
    papers = papers_below(tmp_path, good="one two")
    with Judges(planned, same_name) as (plans, judge):
        first = run_bench(papers, tmp_path / "a", [judge], planner=plans, root=tmp_path)
        second = run_bench(papers, tmp_path / "b", [judge], plans=tmp_path / "a/plans", k=5)
    assert first.scores == second.scores
    plan = read_plan(tmp_path / "a/plans/good.json")
    assert plan.source.mode == "author" and plan.source.paper == "one two"

"""`ablate plan --model`, `judge` and `bench` as commands, in this process."""

import json
from pathlib import Path

import pytest
from ablation_judges import ablation, same_name
from chat_server import ChatServer, Request
from typer.testing import CliRunner

from whenwhere.ablate.bench_data import BenchPaper, write_bench
from whenwhere.ablate.judgement import read_judgement
from whenwhere.ablate.plan import read_plan
from whenwhere.cli import app
from whenwhere.errors import SettingError


def planned(request: Request) -> str:
    items = [{**ablation(name).model_dump(), "replacement": []} for name in ("one", "two")]
    return json.dumps({"discussion": "Both matter.", "ablations": items})


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["ablate", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def write_gold(path: Path, *names: str) -> Path:
    path.write_text("".join(ablation(name).model_dump_json() + "\n" for name in names))
    return path


def test_a_paper_is_planned_judged_and_both_are_files(tmp_path: Path) -> None:
    paper = tmp_path / "paper.md"
    paper.write_text("# Groups\n\nWe group.\n")
    plan = tmp_path / "plan.json"
    with ChatServer(planned) as planner, ChatServer(same_name) as judge:
        for more in ((), ("--overwrite",)):
            status, said, notes = run("plan", paper, "--model", planner.url, "--out", plan, *more)
            assert status == 0 and f"wrote {plan}: 2 ablations" in said and not notes
        assert len(planner.requests) == 1 and (tmp_path / "plan.calls.jsonl").exists()
        assert [item.ablation.name for item in read_plan(plan).items] == ["one", "two"]
        gold = write_gold(tmp_path / "gold.jsonl", "two", "three")
        status, said, _ = run("judge", plan, "--gold", gold, "--judge", judge.url, "--out", tmp_path / "votes.json")
        assert "1. one: not wanted" in said and "2. two: two (1 of 1)" in said and "F1 0.500" in said
        assert read_judgement(tmp_path / "votes.json").pairs() == {(0, 1)}
        status, said, _ = run("plan", paper, "--model", planner.url, "--mode", "reviewer", "--items", 1)
        assert status == 0 and "1. one: REMOVE the one" in said and "two" not in said


def test_a_benchmark_ends_with_a_table_and_a_status(tmp_path: Path) -> None:
    gold = (ablation("one"),)
    papers = [BenchPaper(name, name, "", f"{name}.txt", gold, wanted=1) for name in ("a", "b")]
    data = write_bench(papers, tmp_path / "dev.jsonl")
    (tmp_path / "a.txt").write_text("Text.")
    out = tmp_path / "out"
    with ChatServer(planned) as planner, ChatServer(same_name) as judge:
        call = ("bench", "--data", data, "--planner", planner.url, "--judge", judge.url, "--papers", tmp_path)
        status, said, notes = run(*call, "--out", out)
        assert status == 1 and "1 of 2 papers have scores" in said and "| strict | 0.500" in said
        assert "a: judged" in notes and "b: the paper b.txt is not in" in notes
        status, said, _ = run(*call, "--out", out, "--limit", 1)
        assert status == 0 and "1 of 1 papers" in said
        # the plans that it wrote can be judged on their own
        finished = ("bench", "--data", data, "--plans", out / "plans", "--judge", judge.url, "--limit", 1)
        assert run(*finished, "--out", tmp_path / "again")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan", "--model", "http://localhost:1/v1#m"), "needs a PLAN"),
        (("plan", "a.md", "b.md", "--model", "http://localhost:1/v1#m"), "a model plans from one paper"),
        (("plan", "a.md", "--model", "http://localhost:1/v1#m", "--mode", "critic"), "not 'critic'"),
        (("judge", "a.json", "--judge", "http://localhost:1/v1#m"), "--gold"),
        (("judge", "a.json", "--gold", "b.json"), "at least one judge"),
    ],
)
def test_commands_that_make_no_sense(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        run(*arguments)

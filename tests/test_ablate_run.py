"""Running studies: cells, resuming, failures, locks and fingerprints, on a program that needs no torch."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from ablation_studies import InlineExecutor, numbers, study

from whenwhere.ablate import executors, process
from whenwhere.ablate.cells import CellSpec, CellStatus, read_cells, read_status, write_document
from whenwhere.ablate.environment import describe_environment, named_files
from whenwhere.ablate.executors import FutureUnit
from whenwhere.ablate.machine import boot_id, hold
from whenwhere.ablate.progress import RunCallback, RunProgress
from whenwhere.ablate.run import STALE, PlannedCells, Scheduler, is_abandoned, plan_cells, run
from whenwhere.ablate.stages import command_words
from whenwhere.ablate.study import Study
from whenwhere.errors import RecordError, SettingError
from whenwhere.store import DiskFullError, write_text


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(executors.EXECUTORS, "local", InlineExecutor)


class Heard(RunCallback):
    def __init__(self) -> None:
        self.failures: list[tuple[str, int, str]] = []
        self.progress: list[RunProgress] = []
        self.messages: list[str] = []

    def on_progress(self, progress: RunProgress) -> None:
        self.progress.append(progress)

    def on_failure(self, arm: str, seed: int, reason: str) -> None:
        self.failures.append((arm, seed, reason))

    def on_message(self, sentence: str) -> None:
        self.messages.append(sentence)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.usefixtures("inline")
def test_every_arm_is_run_with_every_seed_and_nothing_twice(tmp_path: Path) -> None:
    made = study(tmp_path, {"no-signal": {"signal": False}, "again:a-a": {}, "nothing:null": {"unused": 2}})
    heard = Heard()
    result = run(made, tmp_path / "out", callback=heard)
    assert (result.total, result.done, result.failures) == (8, 8, []) and str(result) == "all cells are done"
    found = numbers(tmp_path / "out", made)
    for seed in (0, 1):
        base, without = found[f"base {seed}"], found[f"no-signal {seed}"]
        assert base[1]["accuracy"] - without[1]["accuracy"] == pytest.approx(0.3)
        assert base[2] and [item for item, _ in base[2]] == [item for item, _ in without[2]]
        assert sum(value for _, value in base[2]) / 20 == pytest.approx(base[1]["right"])
        assert found[f"nothing {seed}"][1] == base[1]  # run on its own: another cell
        assert found[f"again 10{seed}"][1] != base[1]
    assert len(list((tmp_path / "out" / "cells").glob("*/*"))) == 8
    assert heard.progress[-1].counts == {"done": 8} and heard.progress[-1].left == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("cells/*/*/*")}
    assert run(made, tmp_path / "out").done == 8
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("cells/*/*/*")}


def test_seeds_come_first_and_equal_arms_share_their_cells(tmp_path: Path) -> None:
    made = study(tmp_path, {"no": {"signal": False}, "same": {"size": 8}}, seeds=3)
    planned = plan_cells(made)
    assert [spec.seed for spec in planned.specs.values()] == [0, 0, 1, 1, 2, 2]
    assert planned.of_arm["same", 1] == planned.of_arm["base", 1] != planned.of_arm["no", 1]


@pytest.mark.usefixtures("inline")
def test_a_crashed_arm_has_a_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    arms = {kind: {"crash": kind} for kind in ("exit", "nan", "nothing")} | {"fine": {"size": 4}}
    made = study(tmp_path, arms, seeds=1)
    heard = Heard()
    result = run(made, tmp_path / "out", callback=heard)
    reasons = {arm: reason for arm, _, reason in result.failures}
    assert heard.failures == result.failures and result.done == 2 and str(result).startswith("partial (2 of 5")
    assert reasons["exit"] == "the command ended with status 1: it broke on purpose"
    assert "accuracy" in reasons["nan"] and "finite" in reasons["nan"]
    assert reasons["nothing"].startswith("the command wrote no metrics.json")
    cells = {cell.arm: cell for cell in read_cells(tmp_path / "out", made)}
    assert cells["fine"].state == "done" and cells["exit"].reason == reasons["exit"]
    assert "it broke on purpose" in (cells["exit"].folders[0] / "log.txt").read_text()
    again = run(made, tmp_path / "out", callback=heard)  # failed cells are tried again
    assert again.failures == result.failures and len(heard.failures) == 6


@pytest.mark.usefixtures("inline")
def test_commands_that_cannot_start(tmp_path: Path) -> None:
    made = study(tmp_path, {}, seeds=1, command="no-such-program-here {overrides}")
    (failure,) = run(made, tmp_path / "out").failures
    assert "'no-such-program-here' cannot be started" in failure[2]
    for command, reason in (
        ("python train.py", "no {overrides}"),
        ("python 'train.py {overrides}", "close its quotes"),
    ):
        with pytest.raises(SettingError, match=reason):
            study(tmp_path, {}, command=command)


@pytest.mark.usefixtures("inline")
def test_changed_code_or_data_is_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("1\n")
    made = study(tmp_path, {}, seeds=1, files=[str(tmp_path / "data.csv")])
    more = study(tmp_path, {"no": {"signal": False}}, seeds=1, files=[str(tmp_path / "data.csv")])
    run(made, tmp_path / "out")
    program = tmp_path / "train.py"
    text = program.read_text()
    program.write_text("# a comment\n" + text)  # is no other code
    assert run(more, tmp_path / "out").complete
    program.write_text(text.replace("0.3 *", "0.4 *"))
    with pytest.raises(SettingError, match=r"2 cells .* other code .*--allow-mixed"):
        run(more, tmp_path / "out")
    program.write_text(text)
    (tmp_path / "helper.py").write_text("x = 1\n")  # beside the program, which may import it
    with pytest.raises(SettingError, match="other code"):
        run(more, tmp_path / "out")
    (tmp_path / "helper.py").unlink()
    (tmp_path / "data.csv").write_text("2\n")
    with pytest.raises(SettingError, match=r"2 cells .* other data"):
        run(more, tmp_path / "out")
    third = study(tmp_path, {"small": {"size": 2}}, seeds=1, files=[str(tmp_path / "data.csv")])
    assert run(third, tmp_path / "out", allow_mixed=True).complete
    assert len({cell.fingerprints for cell in read_cells(tmp_path / "out", third)}) == 2


@pytest.mark.usefixtures("inline")
def test_a_study_that_was_edited_is_refused(tmp_path: Path) -> None:
    made = study(tmp_path, {"no": {"signal": False}})
    arms = [made.arms[0], made.arms[1].model_copy(update={"overrides": {"signal": True, "size": 1}})]
    with pytest.raises(SettingError, match="'no' no longer give"):
        run(made.model_copy(update={"arms": arms}), tmp_path / "out")
    fewer = [arm.model_copy(update={"seeds": [1]}) for arm in made.arms]  # seeds and arms may be taken away
    assert run(made.model_copy(update={"arms": fewer}), tmp_path / "out").total == 2
    with pytest.raises(SettingError, match="did you mean slurm"):
        run(made, tmp_path / "out", "slrum")
    none = [arm.model_copy(update={"seeds": []}) for arm in made.arms]
    with pytest.raises(SettingError, match="nothing to run"):
        run(made.model_copy(update={"arms": none}), tmp_path / "out")
    for wrong in ({"jobs": 0}, {"timeout": 0.0}, {"timeout": float("nan")}):
        with pytest.raises(SettingError, match="must be"):
            run(made, tmp_path / "out", **wrong)  # type: ignore[arg-type]


def test_the_local_executor_takes_only_its_own_options(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no option 'gpus'"):
        run(study(tmp_path, {}), tmp_path / "out", options={"gpus": 1})
    with pytest.raises(SettingError, match="for each of 2 jobs"):
        run(study(tmp_path, {}), tmp_path / "out", jobs=2, options={"devices": "0"})


def test_each_job_has_a_device_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Units run at a time never get the same device; a single number, as the command line reads `devices=0`, is one."""
    both, seen = threading.Barrier(2, timeout=30), []

    def run_cells(_out: str, cells: Sequence[str], *rest: Any) -> None:
        both.wait()  # two units are in here at the same time
        seen.append((cells[0], rest[2]["CUDA_VISIBLE_DEVICES"]))
        both.wait()

    monkeypatch.setattr(executors, "run_cells", run_cells)
    two = executors.make_executor("local", tmp_path, 2, None, None, {"devices": "3, 5"})
    units = [two.submit([str(k)]) for k in range(4)]
    wait_for(lambda: all(unit.done() for unit in units))
    two.close()
    assert sorted(device for _, device in seen) == ["3", "3", "5", "5"]
    assert all({seen[k][1], seen[k + 1][1]} == {"3", "5"} for k in (0, 2))
    both = threading.Barrier(1)
    one = executors.make_executor("local", tmp_path, 1, None, None, {"devices": 0})
    assert one.submit(["x"]).outcome() is None and seen[-1] == ("x", "0")
    one.close()


def test_a_cell_that_ends_its_process_does_not_keep_the_next_from_running(tmp_path: Path) -> None:
    """Two evaluations of one training are one unit: the first kills the process, the second is begun alone."""
    made = study(tmp_path, {"other": {"size": 4}}, seeds=1)
    cells = tmp_path / "cells"
    specs = [
        CellSpec(stage="train", kind="train", hash="1" * 8, seed=0),
        CellSpec(stage="evaluate", kind="evaluate", hash="2" * 8, seed=0, run="11111111/0"),
        CellSpec(stage="evaluate", kind="evaluate", hash="3" * 8, seed=0, run="11111111/0"),
    ]
    train, deadly, good = (spec.name for spec in specs)
    planned = PlannedCells(
        {spec.name: spec for spec in specs}, {train: [train, deadly, good]},
        {("base", 0): [train, deadly], ("other", 0): [train, good]},
    )  # fmt: skip
    begun: list[list[str]] = []

    class Deadly:
        def submit(self, names: Sequence[str]) -> FutureUnit:
            begun.append(list(names))
            for name in names:
                failed = CellStatus(state="failed", reason="it was killed", exit=-9)
                write_document(failed if name == deadly else CellStatus(state="done"), cells / name / "status.json")
                if name == deadly:
                    break
            done: Future[None] = Future()
            done.set_result(None)
            return FutureUnit(done)

        def close(self) -> None: ...

    result = Scheduler(made, tmp_path, planned, Deadly(), 1, RunCallback()).run()
    assert begun == [[train, deadly, good], [good]]
    assert result.done == 1 and result.failures == [("base", 0, "it was killed")]


def test_words_and_settings_longer_than_the_name_of_a_file(tmp_path: Path) -> None:
    """A program in a word of the command, and a prompt in a configuration, are no files and raise nothing."""
    program = "print(1);" * 60
    assert command_words(f"python -c '{program}' {{overrides}}", tmp_path)[2] == program
    prompt = f"{tmp_path}/" + "Answer. " * 60
    assert named_files({"prompt": prompt, "data": [str(tmp_path)]}) == [str(tmp_path)]


def test_programs_of_one_name_in_two_folders_both_count(tmp_path: Path) -> None:
    words = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        words.append(str(tmp_path / name / "run.py"))
        Path(words[-1]).write_text(f"print({name!r})\n")
    spec = CellSpec(stage="command", kind="command", hash="1" * 8, seed=0, command=words)
    before = describe_environment(spec).code
    Path(words[0]).write_text("print('changed')\n")
    assert describe_environment(spec).code != before


@pytest.mark.usefixtures("inline")
def test_two_schedulers_in_one_folder_are_refused(tmp_path: Path) -> None:
    made, out = study(tmp_path, {}, seeds=1), tmp_path / "out"
    out.mkdir()
    with hold(out / "scheduler.lock") as held:
        assert held
        with pytest.raises(SettingError, match=r"runs a study in .* already"):
            run(made, out)
    other = {"pid": 5, "host": "other", "boot_id": "another", "heartbeat": time.time()}
    write_text(out / "scheduler.json", json.dumps(other))
    with pytest.raises(SettingError, match="process 5 on other"):
        run(made, out)
    write_text(out / "scheduler.json", json.dumps(other | {"heartbeat": time.time() - STALE - 1}))
    assert run(made, out).complete and not (out / "scheduler.json").exists()
    write_text(out / "scheduler.json", "torn")
    assert run(made, out).complete


def test_a_cell_is_abandoned_only_if_nobody_runs_it(tmp_path: Path) -> None:
    here = CellStatus(state="running", pid=1, boot_id=boot_id(), heartbeat=0.0)
    assert is_abandoned(tmp_path, here)
    with hold(tmp_path / "lock"):
        assert not is_abandoned(tmp_path, here)
    elsewhere = CellStatus(state="running", pid=1, boot_id="another", heartbeat=time.time())
    assert not is_abandoned(tmp_path, elsewhere)
    assert is_abandoned(tmp_path, elsewhere.model_copy(update={"heartbeat": time.time() - STALE - 1}))


@pytest.mark.usefixtures("inline")
def test_cells_that_another_process_runs_are_waited_for_and_damaged_ones_run_again(tmp_path: Path) -> None:
    made, out = study(tmp_path, {}, seeds=2), tmp_path / "out"
    busy, damaged = (out / "cells" / name for name in plan_cells(made).specs)
    for folder in (busy, damaged):
        write_document(CellStatus(state="running", boot_id=boot_id(), pid=1), folder / "status.json")
    (damaged / "status.json").write_text("{")
    heard, result = Heard(), []
    with hold(busy / "lock"):
        thread = threading.Thread(target=lambda: result.append(run(made, out, callback=heard)))
        thread.start()
        wait_for(lambda: (damaged / "metrics.json").exists())
        assert read_status(busy).state == "running" and not result
    thread.join(60)
    assert result[0].complete and any("is run again" in message for message in heard.messages)


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("damage", ["", "[1]", '{"accuracy": NaN}', '{"accuracy": "much"}'])
def test_a_finished_cell_with_damaged_metrics_is_run_again(tmp_path: Path, damage: str) -> None:
    made, out, heard = study(tmp_path, {}, seeds=1), tmp_path / "out", Heard()
    run(made, out)
    before = numbers(out, made)
    (file,) = out.glob("cells/*/*/metrics.json")
    file.write_text(damage)
    with pytest.raises(RecordError, match="run the study again, which makes the cell anew"):
        read_cells(out, made)
    assert run(made, out, callback=heard).complete and heard.messages[0].endswith("it is run again")
    assert numbers(out, made)["base 0"][1]["accuracy"] == before["base 0"][1]["accuracy"]


def test_here_is_the_folder_of_the_knobs(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    words = command_words("python train.py --data {here}/data dir={here} {overrides}", tmp_path)
    assert words == ["python", f"{tmp_path}/train.py", "--data", f"{tmp_path}/data", f"dir={tmp_path}", "{overrides}"]


def test_a_run_that_is_killed_goes_on_and_ends_with_the_same_numbers(tmp_path: Path) -> None:
    made = study(tmp_path, {"no": {"signal": False}}, seeds=1, fixed={"sleep": 0.4})
    out = tmp_path / "out"
    write_text(tmp_path / "study.json", made.model_dump_json())
    code = (
        "import sys; from whenwhere.ablate.run import run; from whenwhere.ablate.study import read_study\n"
        "run(read_study(sys.argv[1]), sys.argv[2], jobs=2)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "study.json"), str(out)]
    begun = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
    wait_for(lambda: len(list(out.glob("cells/*/0/work/state.json"))) == 2)
    pids = [read_status(folder).pid for folder in out.glob("cells/*/0")]
    os.killpg(begun.pid, signal.SIGKILL)
    begun.communicate()

    def gone(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    wait_for(lambda: all(gone(pid) for pid in pids if pid))  # what nobody waits for any more ends itself
    assert {cell.state for cell in read_cells(out, made)} == {"running"}
    assert run(made, out, jobs=2).complete
    whole = study(tmp_path, {"no": {"signal": False}}, seeds=1)
    assert {name: cell[1:] for name, cell in numbers(out, made).items()} == {
        name: cell[1:] for name, cell in _inline_numbers(whole, tmp_path / "whole").items()
    }


def _inline_numbers(made: Study, out: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(executors.EXECUTORS, "local", InlineExecutor)
        run(made, out)
    return numbers(out, made)


def test_a_cell_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    marker = tmp_path / "there"
    made = study(tmp_path, {}, seeds=1, fixed={"wait": str(marker)})
    began = time.monotonic()
    (failure,) = run(made, tmp_path / "out", timeout=4.0).failures
    assert failure[2] == "it took longer than 4 s: allow more with --timeout" and time.monotonic() - began < 30
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(marker) not in listed


def test_a_full_disk_ends_the_run_with_one_sentence_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, out = study(tmp_path, {"no": {"signal": False}}, seeds=1), tmp_path / "out"
    real = subprocess.Popen

    def limited(*arguments: Any, **how: Any) -> Any:  # the worker's env.json does not fit
        return real(*arguments, **how, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300)))

    with monkeypatch.context() as patch:
        patch.setattr(process.subprocess, "Popen", limited)
        with pytest.raises(DiskFullError, match=r"disk of .* is full: make room .*0 of 2 cells") as caught:
            run(made, out)
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(executors.EXECUTORS, "local", InlineExecutor)
    assert run(made, out).complete


def test_a_process_that_is_killed_has_a_reason(tmp_path: Path) -> None:
    made = study(tmp_path, {}, seeds=1, fixed={"wait": str(tmp_path / "there")})
    out, result = tmp_path / "out", []
    thread = threading.Thread(target=lambda: result.append(run(made, out)))
    thread.start()
    wait_for((tmp_path / "there").exists)
    (folder,) = out.glob("cells/*/0")
    wait_for(lambda: read_status(folder).pid is not None)
    os.killpg(read_status(folder).pid or 0, signal.SIGKILL)
    thread.join(200)
    assert not thread.is_alive(), read_status(folder)
    assert result[0].failures[0][2] == ("it was killed, perhaps because memory ran out: run fewer jobs at a time")

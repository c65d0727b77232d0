"""Work by many processes, here and on a Ray cluster of this machine: the same results, and nothing lost.

One cluster of two workers serves all tests of this file, because Ray takes seconds to start.
"""

import contextlib
import importlib.util
import inspect
import json
import os
import resource
import signal
import socket
import sys
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from commands import run

import whenwhere
from whenwhere.curate.measurement import measure
from whenwhere.curate.shards import VideoRows, run_shards
from whenwhere.curate.video_files import look_up
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item, span_array
from whenwhere.engine import Engine, WorkerDiedError, by_cost, open_engine, video_cost
from whenwhere.engine.scheduler import TaskRunner, portable
from whenwhere.errors import MissingExtraError, OutputError, RecordError, SettingError
from whenwhere.results import ResultStore
from whenwhere.store import DiskFullError, sole_run
from whenwhere.video import FrameWriter

pytestmark = pytest.mark.xdist_group("engine")
CLIPS = 50


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 50 small clips, two videos that are missing, and one that is text; row 20 has the longest clip."""
    folder = tmp_path_factory.mktemp("corpus")
    items = []
    for k in range(CLIPS):
        with FrameWriter(folder / f"clip{k:02d}.mp4", 32, 24, 8) as writer:
            for i in range(60 if k == 20 else 6 + k % 5):
                frame = np.full((24, 32, 3), 90, np.uint8)
                frame[8:16, (k + 2 * i) % 24 : (k + 2 * i) % 24 + 8] = (220, 30, 30)
                writer.write(frame)
        items.append(Item(f"q{k}", f"clip{k:02d}.mp4", f"the red thing number {k} moves right", span_array([(0, 0.5)])))
    (folder / "text.mp4").write_text("not a video")
    items[7].video, items[30].video = "gone.mp4", "text.mp4"
    items.append(Item("last", "also-gone.mp4", "a blue thing moves", span_array([(0, 1)])))
    manifest.write(items, folder / "corpus.jsonl")
    return folder / "corpus.jsonl"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Engine]:
    # not imported here: Ray reads where to listen when it is imported
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed")
    with open_engine("ray", 2) as engine:
        yield engine


@pytest.fixture(scope="module")
def local() -> Iterator[Engine]:
    with open_engine("local", 2) as engine:
        yield engine


@pytest.fixture(params=["local", "ray"])
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.getfixturevalue({"local": "local", "ray": "cluster"}[request.param])
    return found


class Here:
    """An engine's worker that is this process."""

    def __init__(self) -> None:
        self.runner = TaskRunner()

    def call(self, made: bytes, task: Any) -> tuple[Any, Exception | None]:
        return self.runner(made, task)

    def close(self) -> None:
        pass


def here(workers: int = 1) -> Engine:
    return Engine(workers, Here)


class Killed:
    """Ends its own process in the middle of a task: the first time, or each time."""

    def __init__(self, folder: Path, always: bool) -> None:
        self.folder, self.always = folder, always

    def __call__(self, task: int) -> int:
        with open(self.folder / "begun", "a") as f:
            f.write(f"{task}\n")
        mark = self.folder / "killed"
        if task == 3 and (self.always or not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return task * task


@pytest.mark.parametrize("always", [False, True], ids=["once", "always"])
def test_a_killed_worker_loses_nothing(engine: Engine, tmp_path: Path, always: bool) -> None:
    done = {one.task: one for one in engine.run(partial(Killed, tmp_path, always), range(12))}
    assert sorted(done) == list(range(12))
    assert [done[k].result for k in done if k != 3] == [k * k for k in done if k != 3]
    begun = Counter((tmp_path / "begun").read_text().split())
    assert begun["3"] == 2 and all(begun[str(k)] == 1 for k in range(12) if k != 3)
    if always:
        assert isinstance(done[3].error, WorkerDiedError) and "fewer workers" in str(done[3].error)
    else:
        assert done[3].result == 9


def test_relative_paths_count_from_the_callers_folder(engine: Engine) -> None:
    assert [one.result for one in engine.run(_folder_of_worker, [0])] == [os.getcwd()]


def _folder(task: int) -> str:
    return os.getcwd()


def _folder_of_worker() -> Any:
    return _folder


def _faulty(task: int) -> int:
    if task == 1:
        raise MissingExtraError("pyarrow", "data", "this")
    if task == 2:
        raise KeyError("a fault of the program")
    if task == 3:
        return lambda: None  # type: ignore[return-value]  # cannot be sent
    return task


def faulty() -> Any:
    return _faulty


def test_errors_are_data(engine: Engine) -> None:
    done = {one.task: one for one in engine.run(faulty, range(5))}
    assert (done[0].result, done[4].result) == (0, 4)
    assert isinstance(done[1].error, MissingExtraError) and "pip install 'whenwhere[data]'" in str(done[1].error)
    assert isinstance(done[2].error, KeyError) and "_faulty" in done[2].error.__notes__[0]
    # Ray can send what pickle cannot
    assert done[3].error is not None or callable(done[3].result)


def test_a_ray_cluster_of_this_machine_is_private(cluster: Engine) -> None:
    """It listens on this machine alone, has no dashboard, and reports nothing."""
    import ray

    addresses = {node["NodeManagerAddress"] for node in ray.nodes()}
    assert addresses == {"127.0.0.1"}
    context = ray.get_runtime_context()
    assert context.gcs_address.startswith("127.0.0.1:")
    assert not ray._private.worker.global_worker.node.address_info["webui_url"]
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    # nobody answers on this machine's address in the network
    port = int(context.gcs_address.rpartition(":")[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            outside = probe.getsockname()[0]
        except OSError:
            outside = "127.0.0.1"
    if not outside.startswith("127."):
        with pytest.raises(OSError), socket.create_connection((outside, port), timeout=2):
            pass


def test_tasks_begin_in_their_order_and_are_not_drawn_far_ahead() -> None:
    drawn = []

    def tasks() -> Iterator[int]:
        for k in range(1000):
            drawn.append(k)
            yield k

    with here(2) as engine:
        for count, done in enumerate(engine.run(faulty, (k + 10 for k in tasks()))):
            assert done.error is None
            assert len(drawn) <= count + 4
    assert drawn == list(range(1000))


def test_the_costliest_video_begins_first(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "a.jpg").write_bytes(bytes(1000))
    (tmp_path / "text.mp4").write_bytes(b"x" * 10)
    paths = [
        str(corpus.parent / "clip00.mp4"), str(corpus.parent / "clip20.mp4"), "https://host/a.mp4", "gone.mp4",
        str(tmp_path / "text.mp4"), str(tmp_path / "frames"), str(corpus.parent / "clip01.mp4"),
    ]  # fmt: skip
    with here() as engine:
        assert by_cost([[path] for path in paths], engine) == [2, 1, 5, 6, 0, 4, 3]
        # videos that are worked on together count together
        assert by_cost([[paths[0], paths[6]], [paths[6]], []], engine) == [0, 1, 2]
    assert video_cost(paths[1]) == pytest.approx(60 / 8 * 32 * 24, rel=0.01)


def _records(out: Path) -> dict[str, dict[str, Any]]:
    """The stored answers, without what differs from run to run: seconds."""
    found = {}
    for log in out.glob("*/grounding.jsonl"):
        for line in log.read_text().splitlines():
            record = json.loads(line)
            record["cost"].pop("seconds")
            found[f"{log.parent.name} {record['id']}"] = record
    return found


@pytest.fixture(scope="module")
def answered(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a batch in this process stores."""
    out = tmp_path_factory.mktemp("answered")
    whenwhere.batch(corpus, out, exports=["srt"], cache=out / "cache")
    return out


def test_a_batch_stores_the_same_on_every_engine(engine: Engine, corpus: Path, answered: Path, tmp_path: Path) -> None:
    told = []

    class Log(whenwhere.BatchCallback):
        def on_answer(self, source: str, record: Any, files: list[Path]) -> None:
            told.append(record.id)

    out = tmp_path / "out"
    result = whenwhere.batch(corpus, out, exports=["srt"], cache=tmp_path / "cache", engine=engine, callback=Log())
    assert (result.questions, result.done, result.statuses["failed"]) == (51, 51, 3)
    assert sorted(told) == sorted([*(f"q{k}" for k in range(CLIPS)), "last"])
    assert _records(out) == _records(answered)
    names = [sorted(str(p.relative_to(top)) for p in top.glob("clip*/*")) for top in (out, answered)]
    assert names[0] == names[1] and len(names[0]) == 3 * 48
    again = whenwhere.batch(corpus, out, exports=["srt"], cache=tmp_path / "cache", engine=engine)
    assert again.reused == 48 and again.statuses == result.statuses


def test_measuring_gives_the_same_shards_on_every_engine(engine: Engine, corpus: Path, tmp_path: Path) -> None:
    out, one = tmp_path / "many", tmp_path / "one"
    report = measure(corpus, out, engine, rows=8)
    assert (report.shards, report.resumed, report.rows, report.failed) == (7, 0, 51, 3)
    assert sorted(fault.split("'")[1] for fault in report.faults if "no file" in fault) == ["also-gone.mp4", "gone.mp4"]
    with here() as alone:
        measure(corpus, one, alone, rows=8)
    assert [p.name for p in manifest.parts(out)] == [f"part-{k:05d}.parquet" for k in range(7)]
    assert [p.read_bytes() for p in manifest.parts(out)] == [p.read_bytes() for p in manifest.parts(one)]
    items = list(manifest.read(out))
    assert [i.id for i in items] == [i.id for i in manifest.read(corpus)]
    assert {i.id for i in items if i.status == "invalid"} == {"q7", "q30", "last"}
    assert items[20].duration == 7.5 and items[20].extra["measured"]["frames"] == 60
    assert (out / items[20].video).resolve() == corpus.parent / "clip20.mp4"


def test_files_of_videos_are_the_same_by_an_engine(local: Engine, corpus: Path, tmp_path: Path) -> None:
    names = [*(item.video for item in manifest.read(corpus)), "clip01", "https://host/a.mp4"]
    names = names[:12] + names[-2:]
    told: list[int] = []
    alone = look_up(names, corpus.parent, cache=tmp_path)
    many = look_up(names, corpus.parent, None, lambda: told.append(1), tmp_path, local)
    assert list(alone) == list(many) and len(told) == 14
    for name, one in alone.items():
        other = many[name]
        for key in ("path", "fault", "duration", "content"):
            assert getattr(one, key) == getattr(other, key)
        assert (one.look is None) == (other.look is None) and np.array_equal(one.look, other.look)  # type: ignore[arg-type]


class Stopped:
    """Works on rows until a file is there, then is interrupted: as a run that is killed in the middle."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, rows: VideoRows) -> list[Item]:
        with open(self.folder / "worked", "a") as f:
            f.write(f"{rows.shard}\n")
        return rows.items


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_shards_resume(tmp_path: Path, form: Any) -> None:
    """What is whole stays, what is missing is made, whatever was there when it stopped."""
    items = [Item(f"i{k}", f"v{k // 3}.mp4", "a dog", span_array([(0, 1)])) for k in range(20)]
    manifest.write(items, tmp_path / "m.jsonl")
    with open(tmp_path / "m.jsonl", "a") as f:
        f.write("not JSON\n")
    out = tmp_path / "out"
    make = partial(Stopped, tmp_path)

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with here() as engine:
        with pytest.raises(KeyboardInterrupt):
            run_shards(tmp_path / "m.jsonl", out, make, engine, form=form, rows=4, tell=stop)
        # which two is a matter of which worker was quicker
        whole = {int(part.stem[-5:]) for part in manifest.parts(out)}
        assert len(whole) == 2
        (tmp_path / "worked").write_text("")
        report = run_shards(tmp_path / "m.jsonl", out, make, engine, form=form, rows=4)
        assert (report.shards, report.resumed, report.rows, report.unreadable) == (5, 2, 12, 1)
        assert sorted({int(k) for k in (tmp_path / "worked").read_text().split()}) == sorted(set(range(5)) - whole)
        assert [i.id for i in manifest.read(out)] == [i.id for i in items]
        assert sorted(p.name for p in out.iterdir()) == [".made-of", *(f"part-0000{k}.{form}" for k in range(5))]
        manifest.parts(out)[1].unlink()
        report = run_shards(tmp_path / "m.jsonl", out, make, engine, form=form, rows=4)
        assert (report.resumed, report.rows) == (4, 4)
        with pytest.raises(SettingError, match="results of another run"):
            run_shards(tmp_path / "m.jsonl", out, make, engine, form=form, rows=5)


def test_what_shards_refuse(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text("not JSON\n")
    with here() as engine:
        with pytest.raises(RecordError, match=r"no line of .*m.jsonl can be read; the first: .*line 1"):
            run_shards(tmp_path / "m.jsonl", tmp_path / "out", faulty, engine)
        with pytest.raises(SettingError, match="parquet or jsonl"):
            run_shards(tmp_path / "m.jsonl", tmp_path / "out", faulty, engine, form="csv")  # type: ignore[arg-type]
        with pytest.raises(SettingError, match="1 row or more"):
            run_shards(tmp_path / "m.jsonl", tmp_path / "out", faulty, engine, rows=0)
    assert not (tmp_path / "out").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match=r"folder without parts .* part-00000.parquet"):
        list(manifest.scan(tmp_path / "empty"))


class Unlucky:
    """Cannot work on one video."""

    def __call__(self, rows: VideoRows) -> list[Item]:
        if rows.items[0].video == "v1.mp4":
            raise ZeroDivisionError("a fault of the program")
        return rows.items


def test_one_bad_video_never_stops_a_shard(tmp_path: Path) -> None:
    manifest.write((Item(f"i{k}", f"v{k % 3}.mp4", "a dog") for k in range(9)), tmp_path / "m.jsonl")
    with here() as engine:
        report = run_shards(tmp_path / "m.jsonl", tmp_path / "out", Unlucky, engine, rows=5)
    assert report.rows == 9 and report.failed == 2 and "ZeroDivisionError" in report.faults[0]
    assert [i.status == "invalid" for i in manifest.read(tmp_path / "out")] == [k % 3 == 1 for k in range(9)]


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    items = [Item(f"i{k}", f"v{k}.mp4", f"a dog {'x' * (40 if k < 20 else 400)}") for k in range(30)]
    manifest.write(items, tmp_path / "m.jsonl")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with here() as engine:

        def full(done: int, of: int) -> None:
            if done == 2:
                resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))

        try:
            with pytest.raises(DiskFullError, match=r"cannot write .*part-0000\d.jsonl.*make room"):
                run_shards(tmp_path / "m.jsonl", tmp_path / "out", Unlucky, engine, form="jsonl", rows=10, tell=full)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert len(manifest.parts(tmp_path / "out")) == 2
        assert run_shards(tmp_path / "m.jsonl", tmp_path / "out", Unlucky, engine, form="jsonl", rows=10).resumed == 2
    assert [i.id for i in manifest.read(tmp_path / "out")] == [i.id for i in items]


def test_a_full_disk_ends_a_batch_of_an_engine(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's error is the batch's, and what was stored is taken up."""
    items = [Item(f"q{k}", str(corpus.parent / f"clip0{k}.mp4"), "the red thing moves right") for k in range(5)]
    add, stored = ResultStore.add, list[str]()

    def full(self: ResultStore, record: Any) -> None:
        if len(stored) == 3:
            raise DiskFullError(f"cannot write {self.log}: No space left on device; make room there")
        stored.append(record.id)
        add(self, record)

    with here() as engine:
        with monkeypatch.context() as patch:
            patch.setattr(ResultStore, "add", full)
            with pytest.raises(DiskFullError, match="make room there"):
                whenwhere.batch(items, tmp_path / "out", engine=engine)
        assert len(stored) == 3
        result = whenwhere.batch(items, tmp_path / "out", engine=engine)
        assert result.reused >= 3 and result.done == 5


@contextlib.contextmanager
def another_run(out: Path, folder: bool) -> Iterator[None]:
    """Something else writes to an output meanwhile."""
    there, end = threading.Event(), threading.Event()

    def write() -> None:
        with sole_run(out, folder):
            there.set()
            end.wait(60)

    thread = threading.Thread(target=write)
    thread.start()
    assert there.wait(60)
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize("folder", [False, True])
def test_two_runs_on_one_output(tmp_path: Path, folder: bool) -> None:
    out = tmp_path / "a" / ("out" if folder else "out.jsonl")
    refused = pytest.raises(OutputError, match=r"another run is writing to .* --out")
    with another_run(out, folder), refused, sole_run(out, folder):
        pass
    # afterwards it is free, also for a function that is called by one that has it, and nothing stays
    with sole_run(out, folder), sole_run(out, folder):
        pass
    assert list(tmp_path.iterdir()) == []


def test_every_command_that_writes_data_keeps_other_runs_away(corpus: Path, tmp_path: Path) -> None:
    """Also commands to come: what they write is an option whose metavar says whether it is a file."""
    from whenwhere.cli.data import OUTPUTS, data

    writing = set()
    for command in data.registered_commands:
        assert command.callback is not None
        for name, parameter in inspect.signature(command.callback).parameters.items():
            if name in OUTPUTS:
                assert parameter.annotation.__metadata__[0].metavar in ("FILE", "DIR"), (command.name, name)
                writing.add(command.name)
    assert {"convert", "curate", "mix", "audit", "difficulty", "trajectories", "export", "measure"} <= writing
    out, folder = tmp_path / "mixed.jsonl", tmp_path / "folder"
    with another_run(out, False), another_run(folder, True):
        for arguments in (("data", "mix", corpus, "--out", out), ("batch", corpus, "--out", folder)):
            assert "another run is writing to" in run(*arguments, status=1).stderr
        assert "another run is writing to" in run("data", "curate", corpus, "--out", folder, status=1).stderr
    assert list(tmp_path.iterdir()) == [] or list(folder.iterdir()) == []


def test_names_of_engines(monkeypatch: pytest.MonkeyPatch, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"no engine 'rey' \(the names are local, ray\)"):
        open_engine("rey")
    with pytest.raises(SettingError, match="workers is 0 and must be at least 1"):
        open_engine("local", 0)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'whenwhere\[ray\]'"):
        open_engine("ray")
    with pytest.raises(SettingError, match="name of an engine"):
        whenwhere.batch(corpus, tmp_path / "out", workers=2)
    with pytest.raises(SettingError, match="standard input cannot be read by several"):
        whenwhere.batch([Item("a", "-", "a dog")], tmp_path / "out", engine="local")
    with here() as engine, pytest.raises(SettingError, match="cannot be sent to other processes"):
        list(engine.run(lambda: None, [1]))  # type: ignore[arg-type, return-value]


def test_errors_that_cannot_be_sent() -> None:
    class OddError(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__("odd")

    found = portable(OddError(1, 2))
    assert isinstance(found, RuntimeError) and "OddError: odd" in str(found)
    assert isinstance(portable(OutputError("x")), OutputError)


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    """The videos are not there: what is measured is the manifest, the shards and the scheduler."""
    peaks: dict[int, int] = {}
    # on a busy machine more shards are open at a time, so that the better of two runs counts
    for attempt, rows in enumerate((400, 1600, 400, 1600)):
        if attempt == 2 and peaks[1600] < 1.5 * peaks[400]:
            break
        source = tmp_path / f"{rows}.jsonl"
        manifest.write((Item(f"i{k}", f"v{k}.mp4", "a dog runs over the lawn " * 120) for k in range(rows)), source)
        with here() as engine:
            tracemalloc.start()
            report = measure(source, tmp_path / f"out{attempt}", engine, form="jsonl", rows=50)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert report.rows == report.failed == rows and len(report.faults) == 100
        peaks[rows] = min(peak, peaks.get(rows, peak))
    # four times the rows; both files are longer than the pieces of which their hash is made
    assert peaks[1600] < 1.5 * peaks[400], peaks

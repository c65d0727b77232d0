"""How a run gets its samples: workers, memory and caches change when a sample is ready, and nothing else."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

import clips
import feeding_child
from mixed_source import Mixed
from tiny_policies import Told, Two, blank_policy, lines, opened

from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import SettingError, WhenwhereError
from whenwhere.training.budget import MemoryBudget, parse_size
from whenwhere.training.data.samples import DeferredSample, Sample, deferred
from whenwhere.training.data.workers import WorkerPool, no_substitute
from whenwhere.training.settings import TrainingSettings

torch_only = pytest.mark.torch
VIDEOS = 3


def admit_all(nbytes: int) -> None:
    """Room for everything."""


# sizes and the budget


@pytest.mark.parametrize("text", ["", "0", "4 apples", "-1 GB", "1e9", "GiB", "0.1", "4 GiB 2", "1" * 30])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"dataloader_memory is .* not a size such as 4 GiB or 500 MB"):
        parse_size(text, "dataloader_memory")
    if text:
        with pytest.raises(SettingError, match="frame_cache"):
            TrainingSettings(frame_cache=text)


def test_sizes() -> None:
    said = {"1": 1, "2k": 2000, "2 KiB": 2048, "1.5 GB": 1_500_000_000, "3TiB": 3 << 40, "7b": 7, "1 mib": 1 << 20}
    assert {text: parse_size(text, "x") for text in said} == said


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 150), min_size=1, max_size=25), factor=st.sampled_from([1.0, 0.5, 3.0]),
    ahead=st.integers(1, 6), threads=st.integers(1, 3),
)  # fmt: skip
def test_no_more_than_the_limit_waits(sizes: list[int], factor: float, ahead: int, threads: int) -> None:
    """Whatever the sizes, all items come, in order; what is held is within the limit, or the run waits for it."""
    from whenwhere.training.data.prefetch import Prefetcher

    budget, prefetcher = MemoryBudget(100), Prefetcher[int](threads)
    seen: list[float] = []

    def prepare(number: int) -> int:
        budget.admit(number, sizes[number])
        with budget._changed:
            held = [v for v in budget._held.values() if v]
            seen.append(sum(held) if len(held) > 1 else 0)
        budget.settle(number, int(sizes[number] * factor))
        return number

    for number in range(len(sizes)):
        budget.want(number)
        following = range(number + 1, min(number + 1 + ahead, len(sizes)))
        assert prefetcher.get(number, prepare, following, budget.expect) == number
        budget.release(number)
        budget.want(None)
    prefetcher.close()
    assert max(seen) <= 100 and budget.held == 0


class Long(Two):
    """Clips of 4 MB each, of which `big` is larger than any limit; all that is said of them is said before."""

    def __init__(self, count: int = 24, big: int | None = None) -> None:
        super().__init__()
        self.count, self.big = count, big

    def __len__(self) -> int:
        return self.count

    def deferred(self, index: int) -> Sample:
        frames = 1500 if index == self.big else 40
        return DeferredSample(
            f"clip{index}", (frames, 100, 1000, 1), np.arange(frames) / 2, self.samples[0].questions,
            lambda: np.full((frames, 100, 1000, 1), index, np.uint8),
        )  # fmt: skip

    def __getitem__(self, index: int) -> Sample:
        sample = self.deferred(index)
        _ = sample.images
        return sample


@pytest.mark.parametrize("big", [None, 5])
def test_memory_stays_within_the_setting(big: int | None) -> None:
    """Many long clips are asked for ahead: no more wait than the setting allows, and a huge one passes alone."""
    from whenwhere.training.data.reader import SampleReader

    how = TrainingSettings(dataloader_memory="10 MB")
    reader = SampleReader(Long(big=big), how, lambda sample: sample, lambda sample: sample.held_bytes)
    tracemalloc.start()
    try:
        for position in range(24):
            sample = reader.get(position, 0.0, range(position + 1, min(position + 12, 24)))
            time.sleep(0.005)
            assert reader.budget.held <= 10e6
            del sample
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        reader.close()
    # what waits and the one that is looked at
    assert peak < (150e6 + 12e6 if big else 16e6)
    assert reader.budget.most <= (150e6 if big else 10e6)  # the huge one while the run waits for it


def test_a_closed_reader_keeps_no_thread() -> None:
    from whenwhere.training.data.reader import SampleReader

    how = TrainingSettings(dataloader_memory="1 MB")
    reader = SampleReader(Long(), how, lambda sample: sample, lambda sample: sample.held_bytes)
    reader.get(0, 0.0, range(1, 20))
    reader.close()
    deadline = time.monotonic() + 10
    while any(t.name.startswith("samples") for t in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(t.name.startswith("samples") for t in threading.enumerate())


# workers


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WorkerPool, Mixed]]:
    source = Mixed(tmp_path_factory.mktemp("marks"))
    made = WorkerPool(source, 1, None, no_substitute)
    yield made, source
    made.close()


def test_workers_give_the_same_samples_and_the_same_errors(pool: tuple[WorkerPool, Mixed]) -> None:
    made, source = pool
    for index in (0, 1, 7):
        asked: list[int] = []
        found, wanted = made.read(index, asked.append), source[index]
        assert (found.id, found.shape, asked) == (wanted.id, wanted.shape, [wanted.nbytes])
        assert (found.images == wanted.images).all() and (found.times == wanted.times).all()
        assert found.held_bytes == wanted.nbytes
        assert [q.id for q in found.questions] == [q.id for q in wanted.questions]
        assert found.questions[0].truth.spans == wanted.questions[0].truth.spans
        again = found.without_frames()
        assert again.held_bytes == 0 and (again.images == wanted.images).all()
    for index in (2, 3):
        with pytest.raises(WhenwhereError) as ours:
            source[index]
        with pytest.raises(WhenwhereError) as theirs:
            made.read(index, admit_all)
        assert (type(ours.value), str(ours.value)) == (type(theirs.value), str(theirs.value))
        assert getattr(ours.value, "sample", "") == getattr(theirs.value, "sample", "")
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        made.read(6, admit_all)
    assert made.read(0, admit_all).id == "s0"


def test_a_worker_that_dies_is_replaced(pool: tuple[WorkerPool, Mixed]) -> None:
    made, _ = pool
    (worker,) = made._all
    worker.process.kill()
    worker.process.join()
    assert made.read(5, admit_all).id == "s5"  # this one killed its reader, the first time
    with pytest.raises(WhenwhereError, match="the process that read it died twice"):
        made.read(4, admit_all)
    assert made.read(1, admit_all).id == "s1"


def test_closing_ends_the_processes_while_they_read(tmp_path: Path) -> None:
    made = WorkerPool(Mixed(tmp_path), 1, None, no_substitute)
    started, release = threading.Event(), threading.Event()

    def admit(nbytes: int) -> None:
        started.set()
        release.wait(20)

    failed: list[BaseException] = []

    def read() -> None:
        try:
            made.read(0, admit)
        except BaseException as e:
            failed.append(e)

    thread = threading.Thread(target=read)
    thread.start()
    assert started.wait(60)
    processes = [worker.process for worker in made._all]
    made.close()
    release.set()
    thread.join(20)
    assert not thread.is_alive() and failed and not any(p.is_alive() for p in processes)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_run(tmp_path: Path, by: signal.Signals) -> None:
    """However the run ends, also while a worker hangs in a read; the interrupt key, which all of them get, is quiet."""
    child = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", feeding_child.__file__, str(tmp_path)], stderr=subprocess.PIPE,
        start_new_session=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        wait_for(lambda: (tmp_path / "reading").exists(), 90)
        worker = int((tmp_path / "reading").read_text())
        os.killpg(child.pid, by) if by == signal.SIGINT else child.kill()
        try:
            said = child.communicate(timeout=60)[1].decode()
        except subprocess.TimeoutExpired:  # once in a long run of tests on a busy machine: say where it hangs
            os.killpg(child.pid, signal.SIGABRT)
            pytest.fail(f"it did not end:\n{child.communicate(timeout=60)[1].decode()}")
        wait_for(lambda: not running(worker), 20)
    finally:
        child.kill()
    if by == signal.SIGINT:
        assert said.count("KeyboardInterrupt") == 1 and "Process whenwhere-samples" not in said


def running(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(what: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_source_that_cannot_be_handed_over_is_refused() -> None:
    class Local(Two):
        pass

    with pytest.raises(SettingError, match="set dataloader_num_workers=0"):
        WorkerPool(Local(), 1, None, no_substitute)


# whole runs


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for k in range(VIDEOS):
        clips.write(folder / f"{k}.mp4", n=20 + 20 * k, fps=10, first=10 * k, size=(64, 48))
    return folder


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blank_policy(tmp_path_factory.mktemp("blank") / "policy", side=64)


Train = Callable[..., tuple[list[float], dict[str, Any]]]


@pytest.fixture
def train(videos: Path, blank: Path, tmp_path: Path) -> Train:
    """Trains for three epochs; returns the losses and what was counted."""

    def go(folder: str = "run", stage: str = "sft", **changes: Any) -> tuple[list[float], dict[str, Any]]:
        from whenwhere.training.builders import frame_cache
        from whenwhere.training.data.sources import ItemSource
        from whenwhere.training.loop import TrainingRun
        from whenwhere.training.rl.objective import RLObjective
        from whenwhere.training.rl.settings import RLSettings
        from whenwhere.training.sft.objective import SFTObjective
        from whenwhere.training.sft.settings import SFTSettings
        from whenwhere.verify import Verifier

        common: dict[str, Any] = {
            "max_steps": 6, "learning_rate": 1e-3, "logging_steps": 1, "save_steps": 100,
            "lr_scheduler_type": "constant", "freeze_vision_tower": True, "cache_dir": str(tmp_path / "cache"),
        }  # fmt: skip
        how: Any = (
            SFTSettings(samples_per_step=2, **common) if stage == "sft" else
            RLSettings(prompts_per_step=4, num_generations=2, max_completion_length=4, zero_variance="keep", **common)
        )  # fmt: skip
        how = replace(how, **changes)
        items = [
            Item(f"{k}/{q}", f"{k}.mp4", f"the thing {q}", span_array([(0.5 * q, 1.5)]))
            for k in range(VIDEOS) for q in range(2)
        ]  # fmt: skip
        items.append(Item("bad", "none.mp4", "a dog", span_array([(0, 1)])))
        policy = opened(blank)
        source = ItemSource(items, 2, 64, videos, frames=frame_cache(how))
        counted: dict[str, Any] = {"tower": 0, "said": []}

        def count(*_: Any) -> None:
            counted["tower"] += 1

        policy.parts.backbone.visual.register_forward_hook(count)
        objective: Any = (
            SFTObjective(policy, source, how) if stage == "sft"
            else RLObjective(policy, source, Verifier({"t_iou": 1}, form="tokens"), how)
        )  # fmt: skip
        run = TrainingRun(tmp_path / folder, callbacks=[Told(warning=counted["said"].append)])
        run.train(objective)
        return [line["loss"] for line in lines(tmp_path / folder)], counted | {"decodes": source.frames.decodes}

    return go


@torch_only
def test_an_epoch_after_the_first_decodes_nothing(train: Train, tmp_path: Path) -> None:
    plain, without = train("plain")
    kept, cached = train("kept", frame_cache="1 GB")
    assert plain == kept and len(plain) == 6 and plain[0] != plain[-1]
    assert (without["decodes"], cached["decodes"]) == (9, VIDEOS)
    again, later = train("again", frame_cache="1 GB")
    assert again == plain and later["decodes"] == 0


@torch_only
def test_workers_change_nothing(train: Train, tmp_path: Path) -> None:
    """With two workers and frames on disk, and resumed by one without either: the same losses."""
    plain, _ = train("plain")
    first, counted = train("run", max_steps=3, dataloader_num_workers=2, frame_cache="1 GB")
    assert counted["decodes"] == 0 and len(list((tmp_path / "cache" / "frames").glob("frames-*"))) == VIDEOS
    assert first == plain[:3]
    resumed, counted = train("run", max_steps=6, dataloader_memory="1 kB")
    assert resumed == plain and counted["decodes"] > 0


@torch_only
@pytest.mark.parametrize("stage", ["sft", "rl"])
def test_features_of_a_frozen_tower_are_computed_once(train: Train, stage: str) -> None:
    plain, without = train("plain", stage)
    # a sample that is read ahead of the end of its first epoch would be decoded twice
    kept, cached = train("kept", stage, feature_cache="1 GB", dataloader_prefetch=0)
    assert kept == plain
    assert without["tower"] > cached["tower"] == VIDEOS
    assert cached["decodes"] == VIDEOS < without["decodes"]
    again, later = train("again", stage, feature_cache="1 GB")
    assert again == plain and (later["tower"], later["decodes"]) == (0, 0)


@torch_only
def test_another_tower_has_features_of_its_own(train: Train, blank: Path, tmp_path: Path) -> None:
    """Precision and weights are part of the key; those of the text model are not."""
    from whenwhere.training.prefix.feature_cache import identity

    def named(change: str = "", bf16: bool = False) -> str:
        import torch

        policy = opened(blank)
        if change:
            with torch.no_grad():
                next(p for n, p in policy.model.named_parameters() if change in n).add_(0.1)
        return identity(policy.parts.backbone.visual, policy.backend, bf16)

    assert len({named(), named("visual"), named(bf16=True)}) == 3 and named("language_model") == named()
    train("half", bf16=True, feature_cache="1 GB")
    half, later = train("again", bf16=True, feature_cache="1 GB", max_steps=2)
    plain, _ = train("plain", bf16=True, max_steps=2)
    assert later["tower"] == 0 and half == plain


def test_a_trained_tower_keeps_no_features() -> None:
    from whenwhere.training.sft.settings import SFTSettings

    with pytest.raises(SettingError, match="set freeze_vision_tower=true, or leave it out"):
        SFTSettings(feature_cache="1 GB")


@torch_only
def test_a_full_disk_is_said_once_and_the_run_goes_on(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, _ = train("plain", max_steps=4)
    whole = os.fsync

    def full(file: int) -> None:
        import stat

        if stat.S_ISREG(os.fstat(file).st_mode) and "/cache/" in os.readlink(f"/proc/self/fd/{file}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(file)

    monkeypatch.setattr(os, "fsync", full)
    found, counted = train("full", max_steps=4, frame_cache="1 GB", feature_cache="1 GB")
    assert found == plain
    told = [text for text in counted["said"] if "cannot be written" in text]
    assert len(told) == len(set(told)) == 2 and all("No space left on device" in text for text in told)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 130), max_size=14))
def test_packing_by_length_takes_no_more_rows(sizes: list[int]) -> None:
    from whenwhere.training.prefix.group import pack_by_length, pack_in_order

    packs = pack_by_length(range(len(sizes)), sizes, 100)
    assert sorted(k for pack in packs for k in pack) == list(range(len(sizes)))
    assert all(len(pack) == 1 or sum(sizes[k] for k in pack) <= 100 for pack in packs)
    assert all(pack == sorted(pack) for pack in packs) and [pack[0] for pack in packs] == sorted(p[0] for p in packs)
    assert len(packs) <= len(pack_in_order(sizes, sizes, 100))


def test_a_static_curriculum_is_read_ahead() -> None:
    """The samples stand where they stood before, and may be read before they are asked for."""
    from whenwhere.curate.difficulty import Difficulty
    from whenwhere.training.data.curriculum import Curriculum, CurriculumSettings
    from whenwhere.training.data.prefetch import can_prefetch
    from whenwhere.training.data.samples import sample_at

    source = Long(10)
    name = source.samples[0].questions[0].id
    found = {f"{n}": Difficulty(name, f"clip{n}", n, 1, n / 10, 0.0) for n in range(10)}
    course = Curriculum(source, CurriculumSettings(low=0.2, high=0.75), found, 5)
    ahead = course.static
    assert can_prefetch(ahead) and not can_prefetch(course) and len(ahead) == len(course) == 6
    assert [sample_at(ahead, k, 0, 5).id for k in range(18)] == [course.at(k, 0).id for k in range(18)]
    assert deferred(ahead, 0).held_bytes == 0 and ahead.question_count == course.question_count


@torch_only
def test_a_dry_run_says_how_much_the_caches_take(videos: Path, tmp_path: Path) -> None:
    from whenwhere.datasets import manifest
    from whenwhere.training.machine import Machine
    from whenwhere.training.recipe import load
    from whenwhere.training.stages import find_stage

    items = [Item(f"{k}", str(videos / f"{k}.mp4"), "a thing", span_array([(0, 1)]), duration=2.0) for k in (0, 2)]
    manifest.write(items, tmp_path / "m.jsonl")
    how = [
        "kind=manifest", f"annotations={tmp_path / 'm.jsonl'}", "grow=[]", "data.count=0", "sample_fps=2",
        "freeze_vision_tower=true", "frame_cache=1 kB",
    ]  # fmt: skip
    recipe = load("tiny-sft", how)
    said: list[str] = []
    found = find_stage("sft").estimate(recipe, said.append, Machine("cpu"))  # type: ignore[misc]
    frames = [4, 12]
    assert found["frame_cache_gib"] == pytest.approx(sum(frames) * 64 * 48 * 3 / 2**30)
    # two frames are one step of 4 x 3 tokens, with features of 160 numbers, and two levels of DeepStack
    assert found["feature_cache_gib"] == pytest.approx(sum(frames) // 2 * 12 * 160 * 4 * 3 / 2**30)
    assert any("frame_cache = 1 kB is less than the" in text for text in said)


def test_a_deferred_sample_says_everything_before_it_is_read() -> None:
    read: list[int] = []
    whole = Two().samples[0]

    def images() -> np.ndarray:
        read.append(1)
        return whole.images

    sample = DeferredSample(whole.id, whole.shape, whole.times, whole.questions, images, content="c")
    other = sample.with_source("set").with_questions(whole.questions[:1])
    assert (other.shape, other.nbytes, other.held_bytes, other.source, other.content) == (
        whole.shape, whole.images.nbytes, 0, "set", "c"
    )  # fmt: skip
    assert not read and other.images is whole.images and other.images is whole.images and read == [1]
    assert other.held_bytes == whole.images.nbytes and sample.held_bytes == 0
    changed = other.with_images(whole.images[::-1])
    assert changed.content == "" and (changed.images[0] == whole.images[-1]).all()
    assert deferred(Two(), 1).id == "clip1"

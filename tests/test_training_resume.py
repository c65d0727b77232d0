"""A run that was killed resumes as if it had not been: the same weights to the last bit, and no line twice."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_policies
import training_child
from training_child import SETTINGS

from whenwhere.errors import OutputError, RecordError
from whenwhere.training.checkpoint import STATE

pytestmark = [
    pytest.mark.torch, pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("error::whenwhere.training.prefix.scorer.FallbackWarning"),
]  # fmt: skip


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_policies.blank_policy(tmp_path_factory.mktemp("blank") / "policy")


@pytest.fixture(scope="module")
def whole(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    training_child.main(str(blank), str(folder))
    return folder


def lines(folder: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """Without the clock."""
    return [{k: v for k, v in line.items() if k != "seconds"} for line in tiny_policies.lines(folder, name)]


def weights(folder: Path) -> bytes:
    return (folder / "checkpoint" / "model.safetensors").read_bytes()


def test_the_whole_run(whole: Path) -> None:
    assert [line["step"] for line in lines(whole)] == [2, 4, 6, 8, 10]
    skipped = lines(whole, "skipped.jsonl")
    assert {line["sample"] for line in skipped} == {"torn.mp4"} and "cannot be read" in skipped[0]["reason"]
    assert lines(whole)[-1]["skipped"] == len(skipped) >= 1
    assert lines(whole)[-1]["clips"] == 20 - len(skipped)


@pytest.mark.parametrize("when", ["step=8", "read=11", "sync=8"])
def test_kill_9_and_resume(blank: Path, whole: Path, tmp_path: Path, when: str) -> None:
    """Killed after an update that no state holds, during an update, and while a file is written."""
    folder = tmp_path / "run"
    child = subprocess.run(
        [sys.executable, training_child.__file__, str(blank), str(folder), when], capture_output=True, timeout=120
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert not (folder / "checkpoint").exists()
    before = lines(folder)
    training_child.main(str(blank), str(folder))
    assert weights(folder) == weights(whole)
    assert lines(folder) == lines(whole) and lines(folder, "skipped.jsonl") == lines(whole, "skipped.jsonl")
    assert 0 < len(before) < 5
    # nothing is left over of what was being written
    assert not list(folder.rglob(".*"))


def test_a_finished_run_is_not_run_again(blank: Path, whole: Path) -> None:
    before = weights(whole), (whole / STATE).stat().st_mtime_ns, lines(whole)
    training_child.main(str(blank), str(whole))
    assert (weights(whole), (whole / STATE).stat().st_mtime_ns, lines(whole)) == before


def test_other_settings_are_refused(blank: Path, whole: Path) -> None:
    with pytest.raises(RecordError, match=r"learning_rate = 0.003, not 1.0"):
        training_child.main(str(blank), str(whole), settings=replace(SETTINGS, learning_rate=1.0))
    with pytest.raises(RecordError, match="lora_r = 2, not 0"):
        training_child.main(str(blank), str(whole), settings=replace(SETTINGS, lora_r=0))


@pytest.mark.parametrize("optim", ["adamw", "muon"])
def test_a_run_goes_on_to_a_later_end(blank: Path, tmp_path: Path, optim: Any) -> None:
    """At a constant rate, ten updates are seven and then three more: the optimiser's state is all there."""
    settings = replace(SETTINGS, optim=optim, lr_scheduler_type="constant", lora_r=0, save_steps=7)
    training_child.main(str(blank), str(tmp_path / "ten"), settings=settings)
    for steps in (7, 10):
        training_child.main(str(blank), str(tmp_path / "both"), settings=replace(settings, max_steps=steps))
    assert weights(tmp_path / "both") == weights(tmp_path / "ten")


def test_a_torn_state_is_a_sentence(blank: Path, whole: Path, tmp_path: Path) -> None:
    (tmp_path / STATE).parent.mkdir()
    (tmp_path / STATE).write_bytes((whole / STATE).read_bytes()[:5000])
    with pytest.raises(RecordError, match="cannot be read: delete it"):
        training_child.main(str(blank), str(tmp_path))


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """A limit on the size of files, in bytes; it stands for a full disk."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_keeps_the_last_state(blank: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, max_steps=3)
    training_child.main(str(blank), str(tmp_path), settings=settings)
    before = (tmp_path / STATE).read_bytes()
    with small_files(len(before) // 2), pytest.raises(OutputError, match=r"cannot write .*last\.pt"):
        training_child.main(str(blank), str(tmp_path), settings=replace(settings, max_steps=6))
    assert (tmp_path / STATE).read_bytes() == before
    assert not list((tmp_path / STATE).parent.glob(".*"))


def test_a_full_disk_at_the_end_keeps_the_checkpoint_before(blank: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, max_steps=3)
    training_child.main(str(blank), str(tmp_path), settings=settings)
    before = weights(tmp_path)
    with small_files(len(before) // 2), pytest.raises(OutputError, match=r"cannot write .*checkpoint"):
        training_child.main(str(blank), str(tmp_path), settings=settings)
    assert weights(tmp_path) == before
    assert not list(tmp_path.glob(".*"))

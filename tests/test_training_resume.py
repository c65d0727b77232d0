"""A run that was killed resumes as if it had not been: the same weights to the last bit, and no line twice."""

import signal
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
from forked import TORCH, Forker
from training_child import SETTINGS

from whenwhere.errors import OutputError, RecordError
from whenwhere.training.checkpoint import BEFORE, STATE, cut_back, load_state, save_state

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
def test_kill_9_and_resume(forker: Forker, blank: Path, whole: Path, tmp_path: Path, when: str) -> None:
    """Killed after an update that no state holds, during an update, and while a file is written."""
    folder = tmp_path / "run"
    child = forker.run([training_child.__file__, str(blank), str(folder), when], imports=[*TORCH, "peft"])
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
    compiles, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # Python would leave half a compiled module
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = compiles
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


def damaged(good: bytes) -> list[bytes]:
    """A flipped bit in each of sixteen places, eight bytes overwritten, cut short, without its checksum, and longer."""
    n = len(good)
    places = [*range(0, n, n // 12), n - 1, n - 30, n - 45]
    flipped = [good[:i] + bytes([good[i] ^ 0x40]) + good[i + 1 :] for i in places]
    return [*flipped, good[: n // 2] + b"eight by" + good[n // 2 + 8 :], good[:-1], good[:-45], good + b"x", b""]


def test_a_damaged_state_is_refused_and_the_one_before_it_offered(blank: Path, tmp_path: Path) -> None:
    """A flipped bit resumed silently to other weights."""
    settings = replace(SETTINGS, max_steps=6)
    training_child.main(str(blank), str(tmp_path), settings=settings)
    last, before = tmp_path / STATE, tmp_path / BEFORE
    good = last.read_bytes()
    load_state(tmp_path)
    for data in damaged(good):
        last.write_bytes(data)
        with pytest.raises(RecordError, match=r"last\.pt cannot be read, but .*previous\.pt .* from update 3"):
            load_state(tmp_path)
    # the sentence says what to do, and the run ends as it would have ended
    before.replace(last)
    training_child.main(str(blank), str(tmp_path), settings=settings)
    training_child.main(str(blank), str(tmp_path / "other"), settings=settings)
    assert weights(tmp_path) == weights(tmp_path / "other") and lines(tmp_path) == lines(tmp_path / "other")
    # where both are damaged there is only the beginning
    last.write_bytes(good[:-1])
    before.write_bytes(good[:-1])
    with pytest.raises(RecordError, match="cannot be read: delete it"):
        load_state(tmp_path)


@pytest.mark.parametrize(
    "change", [{"step": None}, {"weights": 5}, {"processes": [{}]}, {"settings": "[]"}, {"named": 1}]
)
def test_a_state_of_something_else_is_a_sentence(
    blank: Path, whole: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    state = load_state(whole)
    assert state is not None
    state |= change
    for key, value in change.items():
        if value is None:
            del state[key]
    (tmp_path / STATE).parent.mkdir()
    save_state(tmp_path, {key: value for key, value in state.items() if key != "version"})
    with pytest.raises(RecordError, match="does not hold the state of this run"):
        training_child.main(str(blank), str(tmp_path))


def test_a_state_of_an_earlier_version_has_no_checksum(whole: Path, tmp_path: Path) -> None:
    import torch

    state = load_state(whole)
    assert state is not None
    (tmp_path / STATE).parent.mkdir()
    torch.save(state | {"version": 1}, tmp_path / STATE)
    assert load_state(tmp_path)["step"] == 10  # type: ignore[index]
    # a newer one without it is damaged
    torch.save(state, tmp_path / STATE)
    with pytest.raises(RecordError, match="cannot be read"):
        load_state(tmp_path)


def test_lines_that_cannot_be_read_stay(tmp_path: Path) -> None:
    """Lines after the state and a torn end go; whatever else is in the files is not ours to delete."""
    odd = [b"5", b"[" * 100_000, b'{"step": "x"}', b'{"step": 1, "loss": ', b"\xff"]
    good = [b'{"step":  1}', b'{"sample": "a"}']
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\n".join([*odd, *good, b'{"step": 3}', b'{"step": 1, "torn']))
    cut_back(tmp_path, 2)
    assert path.read_bytes() == b"".join(line + b"\n" for line in [*odd, *good])


@pytest.mark.parametrize("text", ['{"recipe": 5}', "[" * 100_000, '{"recipe": {"stage": []}}', "5"])
def test_a_recipe_that_cannot_be_read_is_a_sentence(whole: Path, tmp_path: Path, text: str) -> None:
    from whenwhere.training.recipe import load
    from whenwhere.training.run import check_run_folder

    (tmp_path / STATE).parent.mkdir()
    (tmp_path / STATE).write_bytes(b"")
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(RecordError, match=r"recipe\.json cannot be read"):
        check_run_folder(load("tiny-sft"), tmp_path)


def test_a_full_disk_at_the_start_is_a_sentence(tmp_path: Path) -> None:
    from whenwhere.models import tiny

    with small_files(300), pytest.raises(OutputError, match=r"cannot write .*start.*make room"):
        tiny.build(tmp_path / "start", hidden=32, layers=1, vision_layers=1)


def test_weights_in_pickles_are_refused_in_a_sentence(blank: Path, tmp_path: Path) -> None:
    """And nothing in them runs."""
    import shutil

    import torch

    from whenwhere.errors import ModelError
    from whenwhere.models.vlm import Checkpoint

    class Runs:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "it ran",))

    folder = tmp_path / "policy"
    shutil.copytree(blank, folder)
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Runs()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickles"):
        _ = Checkpoint(str(folder), device="cpu", offline=True).model
    assert not (tmp_path / "it ran").exists()

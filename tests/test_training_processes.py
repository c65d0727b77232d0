"""Several processes as one: the differentiable all_gather, with as many rows on each process as it has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import all_gather_child

pytestmark = pytest.mark.torch


def test_gradients_through_all_gather_are_those_of_one_process(tmp_path: Path) -> None:
    """Three rows here and two there: the loss over all five, and the gradient of a weight, as in one process.

    Then one of the two processes hangs, and the other names it.
    """
    import torch

    out = tmp_path / "two.pt"
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
         "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
         all_gather_child.__file__, str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}, timeout=240,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 1
    said = [line for line in done.stderr.decode().splitlines() if "has hung" in line]
    assert said == [
        "process 1 of 2 has hung in update 7 for 2 s, says process 0: look at what it waits for (its disk, its "
        "machine), and rerun to resume from the last state; ddp_timeout sets the patience"
    ], done.stderr.decode()[-2000:]
    two = torch.load(out, weights_only=True)
    rows, start = all_gather_child.rows_and_weight()
    weight = torch.nn.Parameter(start)
    loss = all_gather_child.loss_of(rows @ weight)
    loss.backward()
    assert two["loss"] == pytest.approx(loss.item(), rel=1e-6)
    assert torch.allclose(two["grad"], weight.grad, rtol=1e-5, atol=1e-5)
    # rows of other processes without their gradient would give another one
    apart = torch.nn.Parameter(start.clone())
    sum(all_gather_child.loss_of(part @ apart) for part in rows.split(all_gather_child.ROWS)).backward()
    assert not torch.allclose(two["grad"], apart.grad, rtol=1e-2)


def test_alone_all_gather_gives_the_rows_themselves() -> None:
    import torch

    from whenwhere.training.processes import Processes

    rows = torch.randn(3, 2, requires_grad=True)
    assert Processes().all_gather(rows) is rows


def test_the_clock_of_the_watchdog_stands_still_while_one_process_works() -> None:
    """An evaluation may take longer than any update."""
    import time

    from whenwhere.training.watchdog import Watchdog

    ended: list[str] = []

    class Told(Watchdog):
        def _give_up(self) -> None:
            ended.append(self.message())

    dog = Told(0, 2, 0.2)
    dog.pause(True)
    time.sleep(0.5)
    assert not ended
    dog.pause(False)
    deadline = time.monotonic() + 20
    while not ended and time.monotonic() < deadline:
        time.sleep(0.02)
    dog.end()
    assert ended[0].startswith("no process has got on in update 1 for 0.2 s, says process 0")

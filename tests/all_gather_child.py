"""One of two processes that compute a loss over all their rows, until the second hangs: `all_gather_child.py OUT`."""

import sys
import time
from pathlib import Path

ROWS = (3, 2)


def rows_and_weight() -> tuple:
    import torch

    torch.manual_seed(0)
    return torch.randn(sum(ROWS), 4), torch.randn(4, 4)


def loss_of(features):
    """Every row against every other: a row's gradient depends on the rows of all processes."""
    import torch

    return torch.logsumexp(features @ features.T, 1).sum() - features.diagonal().sum()


def main(out: str) -> None:
    import torch

    from whenwhere.training.processes import Processes

    torch.set_num_threads(1)
    processes = Processes()
    assert processes.count == len(ROWS)
    rows, start = rows_and_weight()
    weight = torch.nn.Parameter(start)
    own = rows.split(ROWS)[processes.rank] @ weight
    features = processes.all_gather(own)
    loss = loss_of(features)
    (loss / processes.count).backward()
    processes.add_up([weight])
    if processes.first:
        torch.save({"loss": loss.item(), "grad": weight.grad}, Path(out))
    processes.wait()
    # the second process hangs: the first must end the run and say so
    processes.watch(2)
    processes.get_on(6)
    if not processes.first:
        processes.end_watch()
        time.sleep(120)
    processes.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])

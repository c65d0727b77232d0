"""Sends metrics to a dashboard, TensorBoard or trackio, beside `metrics.jsonl`, which holds all of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from whenwhere.errors import MissingExtraError

Tracker = Literal["none", "tensorboard", "trackio"]


def tracker(kind: Tracker, folder: Path, step: int, about: dict[str, Any]) -> Callable[[int, dict[str, float]], None]:
    """A function that sends the metrics of an update to a dashboard.

    Args:
        kind: Name of the dashboard.
        folder: Folder of the run; its name is the run's.
        step: Number of updates from which the run resumes. Metrics of later updates were sent before the run was
            killed, and are dropped.
        about: The run's settings.

    Raises:
        MissingExtraError: The dashboard's package is not installed.
    """
    if kind == "tensorboard":
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as e:
            raise MissingExtraError("tensorboard", "track", "report_to = tensorboard") from e
        writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

        def note(number: int, metrics: dict[str, float]) -> None:
            for name, value in metrics.items():
                writer.add_scalar(name, value, number)
            writer.flush()

        return note
    if kind == "trackio":
        try:
            import trackio
        except ImportError as e:
            raise MissingExtraError("trackio", "track", "report_to = trackio") from e
        run = trackio.init(project="whenwhere", name=folder.resolve().name, config=about, resume="allow")
        return lambda number, metrics: run.log(metrics, step=number)
    return lambda number, metrics: None

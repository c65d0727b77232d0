"""Sends metrics to a dashboard (TensorBoard, trackio, Weights & Biases) beside `metrics.jsonl`, which holds all."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from whenwhere.errors import MissingExtraError, SettingError
from whenwhere.store import write_text

Tracker = Literal["none", "tensorboard", "trackio", "wandb"]


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
    if kind == "wandb":
        return _wandb(folder, about)
    return lambda number, metrics: None


def _wandb(folder: Path, about: dict[str, Any]) -> Callable[[int, dict[str, float]], None]:
    try:
        import wandb
    except ImportError as e:
        raise MissingExtraError("wandb", "track", "report_to = wandb") from e
    # wandb writes into a folder wandb/ of this one; a run that is resumed goes on under its id
    name = folder.resolve().name
    known = folder / "wandb" / "id.txt"
    id = known.read_text(encoding="utf-8").strip() if known.is_file() else uuid.uuid4().hex[:8]
    write_text(known, id)
    try:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "whenwhere"), name=name, id=id, resume="allow", dir=str(folder),
            config=about,
        )  # fmt: skip
    except Exception as e:  # its errors share no base class with ours, and a dashboard is not worth a run's data
        said = " ".join(str(e).split())[:200]
        raise SettingError(
            f"report_to = wandb does not work ({said}): run `wandb login`, set WANDB_MODE=offline, or leave it out"
        ) from e
    # evaluations are logged after the line of their update, with a step of their own
    run.define_metric("*", step_metric="update")
    return lambda number, metrics: run.log({**metrics, "update": number})

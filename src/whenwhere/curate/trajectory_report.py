"""Report on trajectories, from their two files: the manifest, and the items without a trajectory."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.curate.training_formats import TRAJECTORY
from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError
from whenwhere.store import read_lines

#: Keys of an item's `extra` for how its trajectory was made, and for what the teacher said.
MADE, TEACHER = "trajectory_of", "teacher"


@dataclass
class TrajectoryReport:
    """What became of the items, in this run and those before it.

    Attributes:
        items: Number of items of the manifest that can be asked about.
        kept: Number of items with a trajectory.
        rejected: Number of items without one, by the name of the check that rejected the last reply.
        replies: Number of rejected replies, by the name of the check.
        kinds: Number of first answers, by the kind of their error.
        resumed: Number of items that were done before this run.
        t_iou: Mean t_IoU, 0 to 1, of the teacher's first answers that could be read; None if there are none.
        v_iou: Mean v_IoU, 0 to 1, of these answers; None if no item has boxes.
        shift: Mean signed error of their starts and of their ends in seconds: a constant error of the teacher's clock.
        faults: One sentence for each line or item that could not be used or asked about.
    """

    items: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    replies: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    t_iou: float | None = None
    v_iou: float | None = None
    shift: tuple[float, float] | None = None
    faults: list[str] = field(default_factory=list)

    @property
    def copy_rate(self) -> float:
        """Share of the otherwise usable replies whose reasoning only repeats the answer, 0 to 1."""
        copies = self.replies["only_repeats"]
        return copies / max(1, copies + self.kept)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        counts = {key: dict(getattr(self, key)) for key in ("rejected", "replies", "kinds")}
        return vars(self) | counts | {"copy_rate": round(self.copy_rate, 4)}


def learned_text(item: Item, numbers: str, form: str) -> str:
    """The trajectory of an item that a policy learns to write.

    Args:
        item: An item of the manifest of trajectories.
        numbers: Whose numbers the text holds: `truth`, or `teacher` for the teacher's own in the same sentences.
        form: Form of the policy's answers.

    Raises:
        RecordError: The item has no such trajectory, or one in another form.

    >>> extra = {"trajectory": "At 3 s", "trajectory_of": {"form": "second-level"}, "teacher": {"text": "At 4 s"}}
    >>> learned_text(Item("a", "v", extra=extra), "teacher", "second-level")
    'At 4 s'
    """
    made, teacher = item.extra.get(MADE), item.extra.get(TEACHER)
    text = (
        item.extra.get(TRAJECTORY) if numbers == "truth" else teacher.get("text") if isinstance(teacher, dict) else ""
    )
    if not isinstance(text, str) or not text:
        raise RecordError(
            f"item {item.id} has no trajectory with the numbers of the {numbers}: make one with "
            "`whenwhere data trajectories`"
        )
    if isinstance(made, dict) and made.get("form", form) != form:
        raise RecordError(
            f"the trajectory of item {item.id} is in the form {made['form']}, and the policy answers in {form}: set "
            f"form={made['form']}"
        )
    return text


def written_for(item: Item) -> tuple[float, float] | None:
    """Width and height of the picture in whose pixels a trajectory is written; None if it is not in pixels.

    Args:
        item: An item of the manifest of trajectories.

    >>> written_for(Item("a", "v", extra={"trajectory_of": {"shown": [448, 252]}}))
    (448.0, 252.0)
    """
    made = item.extra.get(MADE)
    size = made.get("shown") if isinstance(made, dict) else None
    return (float(size[0]), float(size[1])) if isinstance(size, list) and len(size) == 2 else None


def rejected_file(out: Path) -> Path:
    """The file of the items without a trajectory, beside the manifest of the others.

    Args:
        out: The manifest of trajectories.
    """
    return out.with_name(f"{out.stem}-rejected.jsonl")


def stored_lines(out: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Iterate over the lines of both files, each with its file.

    Args:
        out: The manifest of trajectories.
    """
    for file in (out, rejected_file(out)):
        for line in read_lines(file):
            yield file, line


def summed(report: TrajectoryReport, out: Path) -> TrajectoryReport:
    """The report with what both files hold added to it.

    Args:
        report: The report, which is changed.
        out: The manifest of trajectories.
    """
    firsts: list[dict[str, Any]] = []
    seen = set()
    for file, line in stored_lines(out):
        if line.get("id") in seen:
            continue
        seen.add(line.get("id"))
        replies = line["replies"] if file != out else line["extra"][TEACHER]["replies"]
        firsts += replies[:1]  # none where the form cannot hold the right answer
        report.replies.update(reply["reason"] for reply in replies if "reason" in reply)
        if file == out:
            report.kept += 1
        else:
            report.rejected[line["reason"]] += 1
    report.kinds.update(first["kind"] for first in firsts if "kind" in first)
    report.t_iou = _mean([first["t_iou"] for first in firsts if "t_iou" in first])
    report.v_iou = _mean([first["v_iou"] for first in firsts if "v_iou" in first])
    start, end = (_mean([first[key] for first in firsts if key in first]) for key in ("start", "end"))
    report.shift = None if start is None or end is None else (start, end)
    return report


def _mean(values: list[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None

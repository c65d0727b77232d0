"""Values of single items: what each question contributed to a metric, as a JSON Lines file.

A mean alone cannot be checked, nor can two models be compared on the questions that both were asked. An evaluator that
can say how each item did returns these values, and a training run keeps them.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from whenwhere.errors import RecordError
from whenwhere.evaluate.ragged import Floats
from whenwhere.readers import parse_json, quoted, read_lines
from whenwhere.store import write_text


@dataclass(frozen=True)
class ItemValue:
    """The value of a metric for one item.

    Attributes:
        metric: Name of the metric whose mean over items is, or belongs to, what an evaluator reports.
        item: Id of the item, the same for every model that is asked.
        video: Id of the video that the item is about, by which items are clustered.
        value: The value, a finite number.
    """

    metric: str
    item: str
    video: str
    value: float


def item_values(ids: Sequence[str], videos: Sequence[str], columns: Mapping[str, Floats]) -> Iterator[ItemValue]:
    """Columns of a score as values of single items; values that are not finite are left out.

    Args:
        ids: Id of each item.
        videos: Id of the video of each item.
        columns: The values of all items by the name of their metric.

    >>> import numpy as np
    >>> list(item_values(["a", "b"], ["v", "v"], {"IoU": np.array([0.5, np.nan])}))
    [ItemValue(metric='IoU', item='a', video='v', value=0.5)]
    """
    for metric, column in columns.items():
        for item, video, value in zip(ids, videos, column, strict=True):
            if math.isfinite(value):
                yield ItemValue(metric, item, video, float(value))


def write_item_values(path: str | os.PathLike[str], values: Iterable[ItemValue]) -> Path:
    """Writes values of single items, one line each.

    Args:
        path: The file.
        values: The values.

    Raises:
        OutputError: The file cannot be written.
    """
    return write_text(path, "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in values))


def read_item_values(path: str | os.PathLike[str]) -> Iterator[ItemValue]:
    """The values of single items in a file; a missing file has none.

    Args:
        path: The file.

    Raises:
        RecordError: A line is not such a value; the message names the file and the line.
    """
    if not Path(path).exists():
        return
    for number, line in read_lines(path):
        place = f"{os.fspath(path)}, line {number}"
        found = parse_json(line, place)
        if not isinstance(found, dict) or set(found) != {"metric", "item", "video", "value"}:
            raise RecordError(f"{place} is not an object with metric, item, video and value; write it again")
        value = found["value"]
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise RecordError(f"{place} has the value {quoted(value)}, which is not a finite number; write it again")
        for key in ("metric", "item", "video"):
            if not isinstance(found[key], str):
                raise RecordError(f"{place} has {quoted(found[key])} as its {key}, which is not text; write it again")
        yield ItemValue(found["metric"], found["item"], found["video"], float(value))

"""Samples of captioned clips as InternVid draws them, and the table of its release.

InternVid's DIV weighs each clip by one over the number of clips of its video, so that videos with many clips do not
outweigh the others, and draws without replacement (seed 42). FLT draws in the same way among the clips whose similarity
of video and caption is in the top 30 percent. (arXiv 2307.06942, section 3; Data/InternVid/div_sampling.py.)

The table has the columns of the release. Its `UMT_Score` holds the similarity that was measured here, by whichever
encoder the captions were made with, and is comparable only with itself.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.curate.captions import SCALES
from whenwhere.curate.item_sets import ItemSet, moved, read_set
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item
from whenwhere.datasets.videos import VIDEOS
from whenwhere.errors import MissingExtraError, RecordError, SettingError, did_you_mean
from whenwhere.store import atomic_path, write_text

#: The ways to sample.
SAMPLES = ("all", "random", "div", "flt")
#: Share of the clips with the highest similarities, among which FLT draws.
TOP = 0.3


def div_sample(videos: Sequence[str], count: int, seed: int = 42) -> NDArray[np.intp]:
    """Draw clips without replacement, each weighted by one over the number of clips of its video.

    Args:
        videos: The video of each clip.
        count: Number of clips to draw; all are taken if there are fewer.
        seed: Seed of the draw. With 42 and InternVid's order of clips, the draw is InternVid's.

    Returns:
        Increasing indices of the clips, shape (count,).

    >>> div_sample(["a", "a", "a", "a", "b"], 2).tolist()
    [2, 4]
    """
    if count >= len(videos):
        return np.arange(len(videos))
    clips = Counter(videos)
    weights = np.array([1.0 / clips[video] for video in videos])
    rng = np.random.RandomState(seed)
    return np.sort(rng.choice(len(videos), count, replace=False, p=weights / weights.sum()))


def flt_sample(
    videos: Sequence[str], similarity: Sequence[float], count: int, seed: int = 42, top: float = TOP
) -> NDArray[np.intp]:
    """Draw as `div_sample` does, among the clips with the highest similarities.

    Args:
        videos: The video of each clip.
        similarity: Similarity of each clip and its caption.
        count: Number of clips to draw.
        seed: Seed of the draw.
        top: Share of the clips to draw from, above 0 and at most 1.

    Returns:
        Increasing indices of the clips, shape (n,), n at most `count`.

    >>> flt_sample(["a", "a", "b", "b"], [0.1, 0.4, 0.3, 0.2], 5, top=0.5).tolist()
    [1, 2]
    """
    values = np.asarray(similarity, float)
    keep = max(1, round(top * len(values)))
    best = np.sort(np.argsort(-values, kind="stable")[:keep])
    return best[div_sample([videos[k] for k in best], count, seed)]


def sample(items: Sequence[Item], how: str, count: int | None = None, seed: int = 42, captions: str = "fused"
           ) -> list[Item]:  # fmt: skip
    """Draw some of the items, and return them in their order.

    Args:
        items: Captioned clips.
        how: `all`, `random`, `div` or `flt`.
        count: Most items to draw. None takes all that `how` leaves.
        seed: Seed of the draw.
        captions: Scale of the captions whose similarity is compared, for `flt`.

    Raises:
        SettingError: There is no such way to draw, or `how` is `flt` and an item has no similarity.
    """
    if how not in SAMPLES:
        raise SettingError(f"there is no sample {how!r}{did_you_mean(how, SAMPLES)}")
    most = len(items) if count is None else count
    if how == "all":
        return list(items[:most])
    videos = [item.video for item in items]
    if how == "random":
        chosen = np.sort(np.random.RandomState(seed).choice(len(items), min(most, len(items)), replace=False))
    elif how == "div":
        chosen = div_sample(videos, most, seed)
    else:
        scores = [item.extra.get("similarity", {}).get(captions) for item in items]
        if None in scores:
            lacking = items[scores.index(None)].id
            raise SettingError(
                f"flt takes the clips that resemble their {captions} caption most, and {lacking} has no such "
                "similarity: make captions with an encoder, or take div"
            )
        chosen = flt_sample(videos, scores, most, seed)
    return [items[k] for k in chosen]


def internvid_row(item: Item, captions: str = "fused") -> dict[str, Any] | None:
    """The row of InternVid's table for a captioned clip; None if the clip has no such caption.

    Args:
        item: The clip.
        captions: Scale of the caption: `coarse`, `fine` or `fused`.
    """
    caption = item.extra.get(f"caption_{captions}")
    span = item.window or next((s for s in item.span_set), None)
    if not caption:
        return None
    start, end = (0.0, item.duration or 0.0) if span is None else (span.start, span.end)
    name = Path(item.video)
    row: dict[str, Any] = {
        "YoutubeID": name.stem if name.suffix.lower() in VIDEOS else name.name,
        "Start_timestamp": clock(start), "End_timestamp": clock(end), "Caption": caption,
    }  # fmt: skip
    similarity = item.extra.get("similarity", {}).get(captions)
    if similarity is not None:
        row["UMT_Score"] = similarity
    if item.extra.get("aesthetic") is not None:
        row["Aesthetic_Score"] = item.extra["aesthetic"]
    return row


def clock(seconds: float) -> str:
    """Write seconds as InternVid does.

    >>> clock(3725.5), clock(0.0004)
    ('01:02:05.500', '00:00:00.000')
    """
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


def write_sample(
    file: Path, out: Path, how: str = "all", count: int | None = None, seed: int = 42, captions: str = "fused",
    table: bool = False,
) -> tuple[int, ItemSet]:  # fmt: skip
    """Write a sample of a manifest of captioned clips.

    Args:
        file: The manifest.
        out: File to write: .jsonl or .parquet.
        how: How clips are drawn: `all`, `random`, `div` or `flt` (`sample`).
        count: Most clips to draw. None takes all that `how` leaves.
        seed: Seed of the draw.
        captions: Scale of the captions: `coarse`, `fine` or `fused`. Clips without such a caption are left out.
        table: Whether to write InternVid's table instead of a manifest.

    Returns:
        The number of clips written, and the set that was read.

    Raises:
        RecordError: The file cannot be read, or no clip has such a caption.
        SettingError: There is no such way to draw or scale, `count` is below 1, or `out` has another ending.
        OutputError: The file cannot be written.
    """
    if captions not in SCALES:
        raise SettingError(f"there are no captions {captions!r}{did_you_mean(captions, SCALES)}")
    if out.suffix.lower() not in (".jsonl", ".ndjson", ".parquet"):
        raise SettingError(f"{out} is neither .jsonl nor .parquet: give --out one of these endings")
    if count is not None and count < 1:
        raise SettingError(f"count is {count} and must be at least 1")
    own = read_set(file)
    items = [item for item in own.items if item.extra.get(f"caption_{captions}")]
    if not items:
        raise RecordError(
            f"no item of {file} has a {captions} caption: give a file that `whenwhere data caption` wrote"
        )
    chosen = sample(items, how, count, seed, captions)
    if table:
        _write_table([row for item in chosen if (row := internvid_row(item, captions))], out)
    else:
        manifest.write((moved(item, own.path_of(item), out.parent) for item in chosen), out)
    return len(chosen), own


def _write_table(rows: Sequence[dict[str, Any]], out: Path) -> None:
    """Write InternVid's table as JSON Lines or Parquet, by the file's ending."""
    if out.suffix.lower() != ".parquet":
        write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as e:
        raise MissingExtraError("pyarrow", "data", "writing Parquet") from e
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = pyarrow.table({key: [row.get(key) for row in rows] for key in columns})
    with atomic_path(out) as temporary:
        pyarrow.parquet.write_table(table, temporary)

"""Retrieval and recognition on any set: the file of a model's scores also carries the truth.

- `retrieval`: an .npz with `similarity` (sentences × videos) and, where sentence i does not describe video i,
  `video_of` (for each sentence the number of its video); optional `ids` of the sentences. A bare .npy matrix is taken
  as `similarity`.
- `recognition`: an .npz with `scores` (items × classes) and `labels` (for each item the number of its class, counted
  from 0); optional `ids` and `videos`.

The readers here take the questions and their truth from such a file; the scores themselves are read as predictions
(`whenwhere.evaluate.formats.arrays`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere import readers
from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError


def read_arrays(path: Path, needed: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name; the single array of an .npy file gets the first name in `needed`.

    Raises:
        RecordError: The file does not exist, is not .npz or .npy, or lacks a needed array of numbers.
    """
    found = readers.read_arrays(path, name=needed[0])
    for name in needed:
        if name not in found:
            raise RecordError(
                f"{path} holds {', '.join(found) or 'nothing'} but no {name!r}: write {', '.join(needed)}"
            )
        if found[name].dtype.kind not in "fiub":
            raise RecordError(f"{path}: {name} holds {found[name].dtype} instead of numbers: write an array of numbers")
    return found


def read_retrieval(path: Path) -> list[Item]:
    """Items of a text-video retrieval file, one per sentence.

    `Item.extra` holds the index of the sentence's video, and the number of videos.

    Raises:
        RecordError: The file is not an .npz or .npy of this kind.
    """
    held = read_arrays(path, ("similarity",))
    shape = held["similarity"].shape
    texts, videos = shape if len(shape) == 2 else (0, 0)
    owner = np.asarray(held["video_of"]) if "video_of" in held else np.arange(texts)
    fits = owner.shape == (texts,) and owner.dtype.kind in "iu"
    if len(shape) != 2 or not fits or (texts and not 0 <= owner.min() <= owner.max() < videos):
        raise RecordError(
            f"{path}: similarities of shape {shape} do not fit {owner.size} sentences: give texts × videos, and for "
            "each sentence the number of its video"
        )
    ids = _names(path, held, "ids", texts)
    return [
        Item(ids[i], str(video), source="retrieval", extra={"video": video, "videos": videos})
        for i, video in enumerate(owner.tolist())
    ]


def read_recognition(path: Path) -> list[Item]:
    """Items of a recognition file, one per row of `scores`.

    `Item.extra` holds the true class, and the number of classes.

    Raises:
        RecordError: The file is not an .npz of this kind.
    """
    held = read_arrays(path, ("scores", "labels"))
    shape, labels = held["scores"].shape, held["labels"]
    if len(shape) != 2 or labels.shape != shape[:1] or labels.dtype.kind not in "iu" or not len(labels):
        raise RecordError(
            f"{path}: scores of shape {shape} and labels of shape {labels.shape} do not fit: give items × classes, and "
            "the number of each item's class"
        )
    if not 0 <= labels.min() <= labels.max() < shape[1]:
        raise RecordError(f"{path}: a label lies outside 0 to {shape[1] - 1}: count classes from 0")
    ids = _names(path, held, "ids", len(labels))
    videos = [str(video) for video in held["videos"].tolist()] if "videos" in held else ids
    if len(videos) != len(labels):
        raise RecordError(f"{path}: videos names {len(videos)} videos for {len(labels)} items: write one for each item")
    return [
        Item(ids[i], videos[i], source="recognition", extra={"label": label, "classes": shape[1]})
        for i, label in enumerate(labels.tolist())
    ]


def _names(path: Path, held: dict[str, NDArray[Any]], key: str, count: int) -> list[str]:
    """The names in the array `key` of a file, or 0, 1, 2, ... if it has no such array."""
    names = [str(name) for name in held.get(key, np.arange(count)).tolist()]
    if len(set(names)) != count or len(names) != count:
        raise RecordError(f"{path}: {key} must hold {count} different names: write one name for each row")
    return names


RETRIEVAL = Benchmark(
    name="retrieval",
    title="Text-video retrieval",
    task="retrieval",
    read=read_retrieval,
    protocol="retrieval",
    files="--predictions sims.npz, which holds similarity and video_of, and no --annotations",
    source="ours",
    licence="of the set",
    standing="from public code",
)
RECOGNITION = Benchmark(
    name="recognition",
    title="Recognition",
    task="recognition",
    read=read_recognition,
    protocol="recognition",
    files="--predictions scores.npz, which holds scores and labels, and no --annotations",
    source="ours",
    licence="of the set",
    standing="from public code",
)

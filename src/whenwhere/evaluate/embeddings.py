"""Scores made of embeddings: similarities of sentences and videos, and of videos and classes described by prompts.

Embeddings are compared by their cosine. The results are what `retrieval.score` and `recognition.score` take. Rows
that are not finite, or of length zero and so without a direction, are refused: sorted among others they would take some
rank, and the score would say nothing.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from whenwhere.errors import SettingError
from whenwhere.evaluate.ragged import Floats

#: How the prompts of a class are combined: mean of their similarities, or similarity to their mean embedding.
Ensemble = Literal["similarity", "embedding"]


def unit_rows(rows: ArrayLike, what: str) -> Floats:
    """Embeddings scaled to length 1, shape (..., D).

    Args:
        rows: Embeddings, shape (..., D), at least one of them.
        what: What is embedded, in the plural, for errors: `videos`.

    Raises:
        SettingError: There are no embeddings, or one of them is not finite or zero.

    >>> unit_rows([[3.0, 4.0]], "videos").tolist()
    [[0.6, 0.8]]
    """
    found = np.asarray(rows, np.float64)
    if found.ndim < 2 or not found.size:
        raise SettingError(f"there are no embeddings of {what} (shape {found.shape}): give at least one")
    length = np.linalg.norm(found, axis=-1, keepdims=True)
    bad = ~(np.isfinite(length) & (length > 0)).reshape(-1)
    if bad.any():
        raise SettingError(
            f"{int(bad.sum())} of {bad.size} embeddings of {what} are not finite or zero (the first is number "
            f"{int(bad.argmax())}): the encoder has diverged, or was given no picture"
        )
    return found / length


def cosine_similarities(texts: ArrayLike, videos: ArrayLike) -> Floats:
    """Cosine of every sentence with every video, shape (texts, videos).

    Args:
        texts: Embeddings of sentences, shape (texts, D).
        videos: Embeddings of videos, shape (videos, D).

    Raises:
        SettingError: One of them is empty, not finite or zero, or they differ in D.

    >>> cosine_similarities([[2.0, 0.0]], [[1.0, 0.0], [0.0, 5.0]]).tolist()
    [[1.0, 0.0]]
    """
    left, right = unit_rows(texts, "sentences"), unit_rows(videos, "videos")
    if left.shape[1:] != right.shape[1:]:
        raise SettingError(
            f"embeddings of sentences have {left.shape[-1]} numbers and those of videos {right.shape[-1]}: take both "
            "from one encoder"
        )
    return left @ right.T


def class_similarities(videos: ArrayLike, prompts: ArrayLike, ensemble: Ensemble = "similarity") -> Floats:
    """Similarity of every video with every class, for zero-shot recognition, shape (videos, classes).

    By default each prompt's embedding is normalised and the similarities are averaged over prompts, as ViCLIP's
    evaluation does. `embedding` compares with the mean of a class's prompt embeddings, normalised again, as CLIP's
    notebooks do. Several clips of a video are averaged as similarities.

    Args:
        videos: Embeddings of videos, shape (videos, D), or of several clips of each, shape (videos, clips, D).
        prompts: Embeddings of the prompts of each class, shape (classes, templates, D).
        ensemble: How the prompts of a class are combined.

    Raises:
        SettingError: Something is empty, not finite or zero, or the two differ in D.

    >>> prompts = np.array([[[1.0, 0.0], [0.6, 0.8]], [[0.0, 1.0], [0.0, 1.0]]])
    >>> class_similarities([[1.0, 0.0]], prompts).tolist()
    [[0.8, 0.0]]
    >>> class_similarities([[1.0, 0.0]], prompts, "embedding").round(3).tolist()
    [[0.894, 0.0]]
    """
    clips, words = unit_rows(videos, "videos"), unit_rows(prompts, "prompts")
    clips = clips[:, None] if clips.ndim == 2 else clips
    if words.ndim != 3 or clips.ndim != 3 or words.shape[-1] != clips.shape[-1]:
        raise SettingError(
            f"embeddings of videos of shape {clips.shape} and of prompts of shape {words.shape} do not fit: give "
            "(videos, clips, D) and (classes, templates, D) from one encoder"
        )
    if ensemble == "embedding":
        words = unit_rows(words.mean(1, keepdims=True), "classes")
    # A mean of cosines is the cosine-like product of the means, so that no table of all pairs is needed.
    return clips.mean(1) @ words.mean(1).T


def class_prompts(classes: Sequence[str], templates: Sequence[str]) -> list[str]:
    """The prompts of all classes, those of one class after each other.

    Args:
        classes: Names of the classes, all different.
        templates: Sentences with `{}` in the place of the name.

    Raises:
        SettingError: There are no classes or templates, a class is named twice, or a template has no `{}`.

    >>> class_prompts(["jump", "run"], ["a video of {}.", "{}"])
    ['a video of jump.', 'jump', 'a video of run.', 'run']
    """
    if not classes or not templates:
        raise SettingError("zero-shot recognition needs at least one class and one template: give both lists")
    if twice := sorted({name for name in classes if classes.count(name) > 1}):
        raise SettingError(f"the class {twice[0]!r} is listed twice: name each class once")
    for template in templates:
        if "{}" not in template:
            raise SettingError(f"the template {template!r} has no place for the name of a class: write {{}} there")
    return [template.replace("{}", name) for name in classes for template in templates]


def class_numbers(labels: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The number of each label in the list of classes.

    Args:
        labels: Label of each video.
        classes: Names of the classes.

    Raises:
        SettingError: A label is not in the list.

    >>> class_numbers(["run", "jump"], ["jump", "run"])
    [1, 0]
    """
    number = {name: k for k, name in enumerate(classes)}
    if strange := sorted(set(labels) - number.keys()):
        raise SettingError(
            f"{len(strange)} labels are not in the list of {len(classes)} classes, such as {strange[0]!r}: give the "
            "list that belongs to this set"
        )
    return [number[label] for label in labels]

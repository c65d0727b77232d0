"""Pointing by an encoder: where in the frames is what a noun names.

Two maps are scored. The *patch* map holds the cosine of the noun with each patch; every encoder that embeds patches in
the joint space has one, and contrastive encoders without groups are judged by it. The *group* map is the assignment of
the patches to the group whose embedding is closest to the noun. Its baseline is the expected score of a group that is
drawn at random from those that hold patches of the clip.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError
from whenwhere.evaluate.embeddings import unit_rows
from whenwhere.evaluate.item_values import ItemValue, item_values
from whenwhere.evaluate.pointing import pointed, pointing_baselines, pointing_measures
from whenwhere.evaluate.ragged import Floats
from whenwhere.models.encoders.encoder import ClipEmbeddings, Encoder
from whenwhere.models.encoders.evaluation.examples import NamedBoxes
from whenwhere.models.encoders.evaluation.features import batches

#: Texts in which a noun phrase is embedded.
PROMPTS = ("{}", "the {}")


def score_pointing(
    encoder: Encoder,
    examples: Sequence[NamedBoxes],
    prompts: Sequence[str] = PROMPTS,
    level: float = 0.5,
    items: list[ItemValue] | None = None,
) -> dict[str, float]:
    """Pointing and box IoU of the patch map and of the group map, over all time steps in which the noun is visible.

    Args:
        encoder: The encoder.
        examples: Clips with nouns and boxes.
        prompts: Texts with `{}` in the place of a noun. Its embedding is the mean over them, so that neither an encoder
            that has read nouns in captions nor one that has read them alone is at an advantage.
        level: See `evaluate.pointing.peak_box`.
        items: List to which the values of single items are added. None keeps none.

    Returns:
        `patch-pointing` and `patch-box-IoU` if the encoder embeds patches; `group-pointing`, `group-box-IoU` and
        `group-pointing-random` if it has groups; and `pointing-centre`, `pointing-random`, `pointing-largest`.

    Raises:
        SettingError: There are no examples, nothing named is visible, or the encoder has neither patches nor groups.
    """
    if not examples or not prompts:
        raise SettingError("there is nothing to point at: give one example and one prompt at least")
    texts = encoder.embed_texts([p.replace("{}", one.noun) for one in examples for p in prompts])
    nouns = unit_rows(unit_rows(texts, "nouns").reshape(len(examples), len(prompts), -1).mean(1), "nouns")
    maps: dict[str, list[Floats]] = {"patch": [], "group": []}
    chance: list[Floats] = []
    boxes, largest, names, clips = [], [], [], []
    clip_of: dict[int, int] = {}  # several nouns of one clip share the array of its frames
    for part in batches([one.frames.shape for one in examples]):
        start = part.start
        found = encoder.embed_clips(np.stack([one.frames for one in examples[part]]))
        for k, one in enumerate(examples[part]):
            steps = found.frames.shape[1]
            own, big = step_boxes(one.boxes, steps), step_boxes(one.largest, steps)
            seen = np.isfinite(own).all(1) & np.isfinite(big).all(1)
            boxes.append(own[seen])
            clip = clip_of.setdefault(id(one.frames), len(clip_of))
            names += [f"{start + k}-{step}" for step in np.flatnonzero(seen)]
            clips += [str(clip)] * int(seen.sum())
            largest.append(big[seen])
            if found.patches is not None:
                maps["patch"].append(patch_heat(found, k, nouns[start + k])[seen])
            if found.groups is not None and found.assignments is not None:
                maps["group"].append(group_heat(found, k, nouns[start + k])[seen])
                held = found.assignments[k][holding(found, k)][:, seen].astype(float)
                if seen.any() and len(
                    held
                ):  # the mean over groups at each step, so that clips with many groups count no more
                    chance.append(np.mean([pointed(one_group, own[seen]) for one_group in held], axis=0))
    truth = np.concatenate(boxes)
    if not len(truth):
        raise SettingError(f"none of what the {len(examples)} examples name is visible: give frames that show it")
    result: dict[str, float] = {}
    for name, heat in maps.items():
        if heat:
            whole = np.concatenate(heat)
            result |= {f"{name}-{key}": value for key, value in pointing_measures(whole, truth, level).items()}
            if items is not None:
                items.extend(item_values(names, clips, {f"{name}-pointing": pointed(whole, truth)}))
    if not result:
        raise SettingError(
            f"{encoder.name} embeds neither patches nor groups, so it cannot point at anything: choose another encoder"
        )
    if chance:
        result["group-pointing-random"] = float(np.concatenate(chance).mean())
    return result | pointing_baselines(truth, np.concatenate(largest), whole.shape[1:])


def patch_heat(found: ClipEmbeddings, clip: int, noun: Floats) -> Floats:
    """Cosine of a noun with each patch of a clip, shape (T', h, w).

    Args:
        found: Embeddings with patches.
        clip: Index of the clip.
        noun: Embedding of the noun, unit length, shape (D,).
    """
    assert found.patches is not None
    return np.asarray(found.patches[clip] @ noun, np.float64)


def group_heat(found: ClipEmbeddings, clip: int, noun: Floats) -> Floats:
    """Assignment of each patch of a clip to the group that is closest to a noun, shape (T', h, w), in 0-1.

    Only groups that hold some patch of the clip are considered, as in grounding.

    Args:
        found: Embeddings with groups.
        clip: Index of the clip.
        noun: Embedding of the noun, unit length, shape (D,).
    """
    assert found.groups is not None and found.assignments is not None
    like = np.where(holding(found, clip), found.groups[clip] @ noun, -np.inf)
    return np.asarray(found.assignments[clip, int(like.argmax())], np.float64)


def holding(found: ClipEmbeddings, clip: int) -> NDArray[np.bool_]:
    """Which groups hold some patch of a clip, shape (M,).

    Args:
        found: Embeddings with groups.
        clip: Index of the clip.
    """
    assert found.assignments is not None
    return np.asarray(found.assignments[clip].sum((1, 2, 3)) > 0)


def step_boxes(boxes: Floats, steps: int) -> Floats:
    """The mean box of the frames of each time step, without those in which it is hidden, shape (steps, 4).

    Args:
        boxes: Box in each frame, shape (T, 4); NaN where it is hidden.
        steps: Number of time steps.

    >>> step_boxes(np.array([[0, 0, 1, 1.0], [np.nan] * 4, [np.nan] * 4, [np.nan] * 4]), 2)[:, 2].tolist()
    [1.0, nan]
    """
    found = np.full((steps, 4), np.nan)
    for step, part in enumerate(np.array_split(boxes, steps)):
        seen = part[np.isfinite(part).all(1)]
        if len(seen):
            found[step] = seen.mean(0)
    return found

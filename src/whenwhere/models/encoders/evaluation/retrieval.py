"""Text-video retrieval by an encoder's embeddings."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError
from whenwhere.evaluate.embeddings import cosine_similarities
from whenwhere.evaluate.item_values import ItemValue, item_values
from whenwhere.evaluate.ragged import Floats
from whenwhere.evaluate.retrieval import pair_hits, pair_measures, recall_ceiling, retrieval_measures, score
from whenwhere.models.encoders.encoder import Encoder
from whenwhere.models.encoders.evaluation.examples import CaptionedFrames, FramesPair
from whenwhere.models.encoders.evaluation.features import embed_videos


def retrieval_similarities(encoder: Encoder, pool: Sequence[CaptionedFrames]) -> tuple[Floats, NDArray[np.intp]]:
    """The cosine of every sentence of a pool with every clip, and which clip each sentence describes.

    Args:
        encoder: The encoder.
        pool: Clips with their sentences.

    Returns:
        Cosines, shape (sentences, clips), and the column of the clip of each sentence, shape (sentences,).

    Raises:
        SettingError: The pool is empty, or an embedding is not finite.
    """
    if not pool:
        raise SettingError("the pool of retrieval is empty: give at least one clip with its sentence")
    names = [one.clip if one.clip is not None else k for k, one in enumerate(pool)]
    first = {name: k for k, name in reversed(list(enumerate(names)))}
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    videos = embed_videos(encoder, [pool[first[name]].frames for name in number])
    table = cosine_similarities(encoder.embed_texts([one.caption for one in pool]), videos)
    return table, np.array([number[name] for name in names])


def score_retrieval(
    encoder: Encoder, pool: Sequence[CaptionedFrames], items: list[ItemValue] | None = None
) -> dict[str, float]:
    """R@1, R@5, R@10, MdR and MnR in both directions, raw and with dual softmax, in 0-1.

    Args:
        encoder: The encoder.
        pool: Clips with their sentences.
        items: List to which the values of single items are added. None keeps none.

    Returns:
        The measures of `evaluate.retrieval.retrieval_measures`, and `ceiling-R@1`, the highest text-to-video R@1 that
        the sentences of the pool allow (1 if no two clips share one).

    Raises:
        SettingError: The pool is empty, or an embedding is not finite.
    """
    table, owner = retrieval_similarities(encoder, pool)
    ceiling = recall_ceiling([one.caption for one in pool], owner.tolist())
    if items is not None:
        for before, temperature in (("", None), ("dual-softmax-", 1.0)):
            found = score(table, owner, temperature=temperature)
            columns = {before + name: column for name, column in found.items.items()}
            items.extend(item_values(found.ids, found.videos, columns))
    return retrieval_measures(table, owner) | {"ceiling-R@1": ceiling}


def score_pairs(
    encoder: Encoder, pairs: Sequence[FramesPair], items: list[ItemValue] | None = None
) -> dict[str, float]:
    """How often clips and sentences of a pair are told apart, over all pairs and over those of each kind.

    Args:
        encoder: The encoder.
        pairs: Pairs that differ in one thing.
        items: List to which the values of single items are added. None keeps none.

    Returns:
        `pair-t2v`, `pair-v2t` and `pair-both` of `evaluate.retrieval.pair_measures`; the same with `/<kind>`.

    Raises:
        SettingError: There are no pairs, or an embedding is not finite.
    """
    if not pairs:
        raise SettingError("the hard pool is empty: give at least one pair")
    both = [one for pair in pairs for one in (pair.first, pair.second)]
    videos = embed_videos(encoder, [one.frames for one in both]).reshape(len(pairs), 2, -1)
    texts = encoder.embed_texts([one.caption for one in both]).reshape(len(pairs), 2, -1)
    table = np.stack([cosine_similarities(t, v) for t, v in zip(texts, videos, strict=True)])
    found = pair_measures(table)
    if items is not None:
        names = [f"pair-{k}" for k in range(len(pairs))]
        items.extend(item_values(names, names, pair_hits(table)))
    for kind in sorted({pair.kind for pair in pairs}):
        own = pair_measures(table[[pair.kind == kind for pair in pairs]])
        found |= {f"{name}/{kind}": value for name, value in own.items()}
    return found

"""Text-video retrieval by an encoder's embeddings."""

from collections.abc import Sequence

import numpy as np

from whenwhere.errors import SettingError
from whenwhere.evaluate.embeddings import cosine_similarities
from whenwhere.evaluate.ragged import Floats
from whenwhere.evaluate.retrieval import pair_measures, recall_ceiling, retrieval_measures
from whenwhere.models.encoders.encoder import Encoder
from whenwhere.models.encoders.evaluation.examples import CaptionedFrames, FramesPair
from whenwhere.models.encoders.evaluation.features import embed_videos


def retrieval_similarities(encoder: Encoder, pool: Sequence[CaptionedFrames]) -> Floats:
    """Cosine of every sentence of a pool with every clip, shape (n, n).

    Args:
        encoder: The encoder.
        pool: Clips with their sentences.

    Raises:
        SettingError: The pool is empty, or an embedding is not finite.
    """
    if not pool:
        raise SettingError("the pool of retrieval is empty: give it one clip at least")
    videos = embed_videos(encoder, [one.frames for one in pool])
    return cosine_similarities(encoder.embed_texts([one.caption for one in pool]), videos)


def score_retrieval(encoder: Encoder, pool: Sequence[CaptionedFrames]) -> dict[str, float]:
    """R@1, R@5, R@10, MdR and MnR in both directions, raw and with dual softmax, in 0-1.

    Args:
        encoder: The encoder.
        pool: Clips with their sentences.

    Returns:
        The measures of `evaluate.retrieval.retrieval_measures`, and `ceiling-R@1`, the highest R@1 that the sentences
        of the pool allow (1 if all differ).

    Raises:
        SettingError: The pool is empty, or an embedding is not finite.
    """
    found = retrieval_measures(retrieval_similarities(encoder, pool))
    return found | {"ceiling-R@1": recall_ceiling([one.caption for one in pool], range(len(pool)))}


def score_pairs(encoder: Encoder, pairs: Sequence[FramesPair]) -> dict[str, float]:
    """How often clips and sentences of a pair are told apart, over all pairs and over those of each kind.

    Args:
        encoder: The encoder.
        pairs: Pairs that differ in one thing.

    Returns:
        `pair-t2v`, `pair-v2t` and `pair-both` of `evaluate.retrieval.pair_measures`; the same with `/<kind>`.

    Raises:
        SettingError: There are no pairs, or an embedding is not finite.
    """
    if not pairs:
        raise SettingError("the hard pool is empty: give it one pair at least")
    both = [one for pair in pairs for one in (pair.first, pair.second)]
    videos = embed_videos(encoder, [one.frames for one in both]).reshape(len(pairs), 2, -1)
    texts = encoder.embed_texts([one.caption for one in both]).reshape(len(pairs), 2, -1)
    table = np.stack([cosine_similarities(t, v) for t, v in zip(texts, videos, strict=True)])
    found = pair_measures(table)
    for kind in sorted({pair.kind for pair in pairs}):
        own = pair_measures(table[[pair.kind == kind for pair in pairs]])
        found |= {f"{name}/{kind}": value for name, value in own.items()}
    return found

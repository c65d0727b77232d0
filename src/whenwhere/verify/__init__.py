"""Verifiable rewards: terms over answers and truth, their weighted sum, and adapters for trainers.

>>> from whenwhere.spans import SpanSet
>>> from whenwhere.verify import TERMS, Truth, Verifier
>>> verifier = Verifier({"t_iou": 0.5, "v_iou": 0.5})
>>> text = '<think></think><answer>[{"span": [2.0, 6.0], "boxes": []}]</answer>'
>>> verifier.score(text, Truth(SpanSet([(2, 4)]))).log()
{'total': 0.6, 'reward': 0.5, 'format': 1.0, 't_iou': 0.5}
>>> [name for name, term in TERMS.items() if "recall" in name and term.gameable]
['recall']

This package needs neither torch nor, unless the semantic term looks at a video, a video library. Group statistics,
advantages and losses belong to `training`; published metrics over frame grids belong to `evaluate`.
"""

from whenwhere.verify.minimum_risk import least_risk
from whenwhere.verify.prediction import ParsedPrediction, to_prediction
from whenwhere.verify.semantic import ImageTextSimilarity, Semantic, VideoView
from whenwhere.verify.term import RewardContext, Term
from whenwhere.verify.terms import TERMS
from whenwhere.verify.truth import Truth
from whenwhere.verify.verifier import Reward, Verifier

__all__ = [
    "TERMS", "ImageTextSimilarity", "ParsedPrediction", "Reward", "RewardContext", "Semantic", "Term", "Truth",
    "Verifier", "VideoView", "least_risk", "to_prediction",
]  # fmt: skip

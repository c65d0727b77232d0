"""All reward terms by name: one line per file of terms, and the semantic term."""

from whenwhere.verify.prediction import ParsedPrediction
from whenwhere.verify.spatial import SPATIAL
from whenwhere.verify.temporal import TEMPORAL
from whenwhere.verify.term import RewardContext, Term
from whenwhere.verify.truth import Truth
from whenwhere.verify.wording import WORDING


def semantic(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """The encoder's score; see `whenwhere.verify.semantic.Semantic.score`."""
    assert context.semantic is not None and context.view is not None  # what `Term.needs` has checked
    return context.semantic.score(prediction, context.view)


SEMANTIC = Term(
    "semantic",
    semantic,
    "min(1, max(0, (a − max(b, c, d)) / margin)) of a frozen encoder's similarities",
    "arXiv 2507.18100 asks for semantic alignment; the formula is ours",
    ("view",),
    "like every learned score, by pictures that please the encoder",
)

#: Term by name. A new term is added to the tuple at the end of its file.
TERMS: dict[str, Term] = {term.name: term for term in (*TEMPORAL, *SPATIAL, *WORDING, SEMANTIC)}

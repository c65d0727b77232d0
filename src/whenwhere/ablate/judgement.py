"""Judgements: the votes of judges on one plan, the scores that follow from them, and how far the judges agree."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from whenwhere.ablate.documents import Document, read_document
from whenwhere.ablate.scores import (
    Pair,
    PlanScores,
    cohen_kappa,
    compat_review_scores,
    compat_scores,
    fleiss_kappa,
    majority,
    strict_scores,
)
from whenwhere.readers import parse_json, read_text, visible
from whenwhere.store import write_text


class MatchVote(Document):
    """One vote: this item of the plan is that wanted ablation.

    Attributes:
        gold: Index of the wanted ablation or request, from 0.
        item: Index of the plan's item, from 0.
        why: The judge's words, or the quote from the review.
    """

    gold: int
    item: int
    why: str = ""


class JudgeVotes(Document):
    """The votes of one judge.

    Attributes:
        judge: Name of the model.
        seed: Seed of the order in which the judge saw the lists.
        matches: The pairs that it matched.
        repaired: The error of its first answer if a second one was needed, else None.
    """

    judge: str
    seed: int
    matches: list[MatchVote]
    repaired: str | None = None


class Judgement(Document):
    """All votes on one plan.

    Attributes:
        version: Version of the file's form.
        mode: Whether the wanted ablations are those of the authors, or requests in reviews.
        paper: Name of the paper.
        gold: The wanted ablations by name, or the requests as they were quoted.
        wanted: Number of ablations that were wanted. In reviews it is counted beforehand, and may differ from the
            number of requests that the judges found.
        items: Names of the plan's items, in the plan's order.
        judges: The votes of each judge.
    """

    version: int = 1
    mode: Literal["author", "reviewer"]
    paper: str = ""
    gold: list[str]
    wanted: int
    items: list[str]
    judges: list[JudgeVotes]

    def votes(self) -> list[set[Pair]]:
        """The pairs that each judge matched."""
        return [{(m.gold, m.item) for m in one.matches} for one in self.judges]

    def pairs(self) -> frozenset[Pair]:
        """The pairs that more than half of the judges matched."""
        return majority(self.votes())

    def appears(self) -> list[bool]:
        """For each item of the plan whether more than half of the judges matched it with anything."""
        hits = [sum(any(item == i for _, item in pairs) for pairs in self.votes()) for i in range(len(self.items))]
        return [2 * hit > len(self.judges) for hit in hits]

    def strict(self, k: int | None = None) -> PlanScores:
        """Strict scores of the plan's first k items (`scores.strict_scores`); None counts all."""
        return strict_scores(self.pairs(), self.wanted, len(self.items), k)

    def compat(self, k: int | None = None) -> PlanScores:
        """The scores of AblationBench for the plan's first k items; None counts all."""
        if self.mode == "reviewer":
            return compat_review_scores(self.appears(), self.wanted, k)
        return compat_scores(self.pairs(), self.wanted, len(self.items), k)

    def ballots(self) -> list[list[bool]]:
        """For each judge its vote on each pair, in one order, for measures of agreement."""
        pairs = [(gold, item) for gold in range(len(self.gold)) for item in range(len(self.items))]
        return [[pair in votes for pair in pairs] for votes in self.votes()]


class JudgeAgreement(Document):
    """How far judges agree beyond chance, over all pairs of all plans.

    Attributes:
        fleiss: Fleiss' kappa of all judges, at most 1; None where it is not defined.
        pairs: Cohen's kappa of every two judges, by "first / second"; None where it is not defined.
        votes: Number of pairs that each judge voted on.
    """

    fleiss: float | None
    pairs: dict[str, float | None]
    votes: int


def agreement(judgements: Sequence[Judgement]) -> JudgeAgreement:
    """The agreement of judges who all judged the same plans.

    Args:
        judgements: One judgement for each plan, with the judges in the same order.

    Raises:
        ValueError: The judgements are not of the same judges.
    """
    names = [[one.judge for one in j.judges] for j in judgements]
    if any(other != names[0] for other in names):
        raise ValueError("agreement is measured between the same judges on all plans")
    ballots = [[vote for j in judgements for vote in j.ballots()[k]] for k in range(len(names[0]) if names else 0)]
    found = {
        f"{names[0][a]} / {names[0][b]}": _defined(cohen_kappa(ballots[a], ballots[b]))
        for a in range(len(ballots))
        for b in range(a + 1, len(ballots))
    }
    return JudgeAgreement(fleiss=_defined(fleiss_kappa(ballots)), pairs=found, votes=len(ballots[0]) if ballots else 0)


def _defined(value: float) -> float | None:
    """A number as JSON can hold it: None in place of NaN."""
    return None if math.isnan(value) else value


def read_judgement(path: str | os.PathLike[str]) -> Judgement:
    """Read a judgement.

    Args:
        path: The JSON file.

    Raises:
        RecordError: The file cannot be read or holds no judgement; the message names file and key.
    """
    place = visible(os.fspath(path))
    return read_document(Judgement, parse_json(read_text(path), place, remedy="let the plan be judged again"), place)


def write_judgement(judgement: Judgement, path: str | os.PathLike[str]) -> Path:
    """Write a judgement as JSON, and return the path.

    Args:
        judgement: The judgement.
        path: The file.

    Raises:
        OutputError: The file cannot be written.
    """
    return write_text(path, judgement.model_dump_json(indent=1) + "\n")


def judgement_text(judgement: Judgement) -> str:
    """A judgement in words: what each item of the plan matched and with how many votes, and the scores.

    Args:
        judgement: The judgement.

    >>> votes = JudgeVotes(judge="m", seed=0, matches=[MatchVote(gold=0, item=1)])
    >>> found = Judgement(mode="author", gold=["No mask"], wanted=1, items=["Depth", "Mask"], judges=[votes])
    >>> print(judgement_text(found).splitlines()[1])
    2. Mask: No mask (1 of 1)
    """
    votes, accepted = judgement.votes(), judgement.pairs()
    lines = []
    for item, name in enumerate(judgement.items):
        found = [
            f"{judgement.gold[gold]} ({sum((gold, item) in pairs for pairs in votes)} of {len(votes)})"
            for gold in range(len(judgement.gold))
            if (gold, item) in accepted
        ]
        lines.append(f"{item + 1}. {name}: {'; '.join(found) or 'not wanted'}")
    lines.append(f"wanted: {judgement.wanted}; judges: {', '.join(one.judge for one in judgement.judges)}")
    for way, scores in (("strict", judgement.strict()), ("compat", judgement.compat())):
        ranked = "" if math.isnan(scores.ndcg) else f", nDCG {scores.ndcg:.3f}"
        lines.append(f"{way}: precision {scores.precision:.3f}, recall {scores.recall:.3f}, F1 {scores.f1:.3f}{ranked}")
    return "\n".join(lines)

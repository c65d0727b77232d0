"""Judges: language models that vote on which ablations of a plan were wanted, and what follows from their votes.

Wanted is what a paper's authors reported (`judge_plan`: a list of ablations), or what its reviewers asked for
(`judge_reviews`: the reviews as text). Each judge votes on every pair of a wanted ablation and an item of the plan; a
pair counts if more than half of the judges matched it (`scores.majority`).

Judges see two anonymous lists, A and B, in an order drawn from a seed that is recorded, so that neither side nor rank
tells which list is the plan. They answer with labels and never with names, and a label that was not shown is an error
that is sent back once. If a judge gives no usable answer, the judgement fails: fewer votes than announced would look
like a result.

A review is not a list. A judge therefore quotes the words with which a review asks for an item; the review must hold
these words, and items for which overlapping words are quoted answer the same request. So two items that answer one
request count once in the strict scores.
"""

import os
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

from whenwhere.ablate.ablation import Ablation
from whenwhere.ablate.judgement import Judgement, JudgeVotes, MatchVote
from whenwhere.ablate.paper import read_paper
from whenwhere.ablate.plan import read_plan
from whenwhere.ablate.quotes import Span, SqueezedText, find_quote, number_requests
from whenwhere.ablate.scores import Pair
from whenwhere.ablate.structured import AnswerError, CallLog, RawAnswer, Sampling, StructuredQuestion, ask
from whenwhere.errors import RecordError, SettingError
from whenwhere.models.backends import ModelBackend
from whenwhere.models.language import language_models
from whenwhere.readers import quoted

#: A label that is followed by the title.
_LABEL = re.compile(r"([ABP]\d+)[.:;)]\s")
#: Items of a plan with the span in the reviews that asks for each, and the words.
Quotes = list[tuple[int, Span, str]]


def judge_plan(
    gold: Sequence[Ablation],
    plan: Sequence[Ablation],
    judges: Sequence[ModelBackend],
    *,
    paper: str = "",
    abstract: str = "",
    seed: int = 0,
    sampling: Sampling | None = None,
    log: CallLog | None = None,
) -> Judgement:
    """Let judges match the items of a plan with the ablations that a paper reports.

    Args:
        gold: The paper's ablations.
        plan: The plan's items, in its order.
        judges: The models. One that is listed twice votes twice, on lists in another order.
        paper: Title of the paper.
        abstract: Its abstract, so that the judges know what the parts are.
        seed: Seed of the orders in which the judges see the lists.
        sampling: How answers are sampled.
        log: The record of calls. None keeps it in memory only.

    Returns:
        The votes of each judge on each pair.

    Raises:
        SettingError: There is no judge.
        RecordError: `gold` or `plan` is empty.
        ChatError, ModelError: A judge gave no usable answer.
    """
    _check_lists(judges, len(gold), len(plan))
    ballots = []
    for name, number, judge in numbered_judges(judges):
        drawn = random.Random(f"{seed}/{number}/{paper}")
        sides = [(drawn.sample(range(len(gold)), len(gold)), gold), (drawn.sample(range(len(plan)), len(plan)), plan)]
        swapped = drawn.random() < 0.5
        (order_a, side_a), (order_b, side_b) = sides[::-1] if swapped else sides
        labels_a = {f"A{k}": (index, side_a[index].name) for k, index in enumerate(order_a, 1)}
        labels_b = {f"B{k}": (index, side_b[index].name) for k, index in enumerate(order_b, 1)}
        lists = [
            "\n".join(_shown(label, side[index]) for label, (index, _) in labels.items())
            for labels, side in ((labels_a, side_a), (labels_b, side_b))
        ]
        task = _PAIRS.format(paper=paper or "not named", abstract=abstract or "not given", a=lists[0], b=lists[1])
        schema = {"a": _choice(labels_a), "b": _choice(labels_b), "why": {"type": "string"}}
        question = StructuredQuestion(
            "judgement", task, _PAIR_FIELDS, "matches", _object(schema), _pair_reader(labels_a, labels_b, swapped)
        )  # fmt: skip
        answered = ask(judge, question, sampling or Sampling(), log or CallLog())
        ballots.append(JudgeVotes(judge=name, seed=seed, matches=answered.value, repaired=answered.repaired))
    return Judgement(
        mode="author", paper=paper, gold=[g.name for g in gold], wanted=len(gold), items=[p.name for p in plan],
        judges=ballots,
    )  # fmt: skip


def judge_reviews(
    reviews: Sequence[str],
    plan: Sequence[Ablation],
    judges: Sequence[ModelBackend],
    wanted: int | None = None,
    *,
    paper: str = "",
    abstract: str = "",
    seed: int = 0,
    sampling: Sampling | None = None,
    log: CallLog | None = None,
) -> Judgement:
    """Let judges look for a plan's items in the reviews of a paper.

    Args:
        reviews: The reviews.
        plan: The plan's items, in its order.
        judges: The models. One that is listed twice votes twice, on lists in another order.
        wanted: Number of ablations that the reviews ask for. None is the number of requests that the judges found.
        paper: Title of the paper.
        abstract: Its abstract.
        seed: Seed of the orders in which the judges see the lists.
        sampling: How answers are sampled.
        log: The record of calls. None keeps it in memory only.

    Returns:
        The votes of each judge; the wanted ablations are the requests that the judges quoted.

    Raises:
        SettingError: There is no judge, or `wanted` is below 1.
        RecordError: `reviews` or `plan` is empty.
        ChatError, ModelError: A judge gave no usable answer.
    """
    _check_lists(judges, len(reviews), len(plan))
    if wanted is not None and wanted < 1:
        raise SettingError(f"reviews that ask for {wanted} ablations cannot be judged: leave the paper out")
    texts = [SqueezedText(review) for review in reviews]
    found: list[tuple[str, str | None, Quotes]] = []
    for name, number, judge in numbered_judges(judges):
        drawn = random.Random(f"{seed}/{number}/{paper}")
        order = drawn.sample(range(len(plan)), len(plan))
        labels = {f"P{k}": (index, plan[index].name) for k, index in enumerate(order, 1)}
        shown = "\n\n".join(
            f"<review>\n{reviews[k]}\n</review>" for k in drawn.sample(range(len(reviews)), len(reviews))
        )
        items = "\n".join(_shown(label, plan[index]) for label, (index, _) in labels.items())
        task = _REVIEWS.format(paper=paper or "not named", abstract=abstract or "not given", reviews=shown, items=items)
        schema = {"item": _choice(labels), "quote": {"anyOf": [{"type": "string"}, {"type": "null", "enum": [None]}]}}
        question = StructuredQuestion(
            "judgement", task, _REVIEW_FIELDS, "items", _object(schema), _review_reader(labels, texts)
        )  # fmt: skip
        answered = ask(judge, question, sampling or Sampling(), log or CallLog())
        found.append((name, answered.repaired, answered.value))
    requests = number_requests([span for _, _, quotes in found for _, span, _ in quotes])
    ballots = [
        JudgeVotes(
            judge=name, seed=seed, repaired=repaired,
            matches=[MatchVote(gold=requests[span], item=item, why=quote) for item, span, quote in quotes],
        )
        for name, repaired, quotes in found
    ]  # fmt: skip
    named: dict[int, str] = {}
    for vote in (vote for ballot in ballots for vote in ballot.matches):
        named.setdefault(vote.gold, vote.why)
    return Judgement(
        mode="reviewer", paper=paper, gold=[named[k] for k in sorted(named)], wanted=wanted or max(len(named), 1),
        items=[p.name for p in plan], judges=ballots,
    )  # fmt: skip


def judge_files(
    plan: str | os.PathLike[str],
    judges: Sequence[str | ModelBackend],
    *,
    gold: str | os.PathLike[str] | None = None,
    reviews: Sequence[str | os.PathLike[str]] = (),
    wanted: int | None = None,
    seed: int = 0,
    sampling: Sampling | None = None,
    log: CallLog | None = None,
) -> Judgement:
    """Let judges that are given by name judge the plan in a file.

    Args:
        plan: The plan: .md, .jsonl or .json.
        judges: The judges: addresses, checkpoints, or loaded models.
        gold: The wanted ablations, as a plan. Either this or `reviews` is given.
        reviews: Files of reviews, as text or Markdown.
        wanted: Number of ablations that the reviews ask for. None is the number of requests that the judges found.
        seed: Seed of the orders in which the judges see the lists.
        sampling: How answers are sampled.
        log: The record of calls. None keeps it in memory only.

    Raises:
        SettingError: There is no judge, or neither or both of `gold` and `reviews` are given.
        RecordError: A file cannot be read, or holds no plan.
        ChatError, ModelError: A judge cannot be loaded or gave no usable answer.
    """
    if (gold is None) == (not reviews):
        raise SettingError("a plan is judged against wanted ablations (--gold) or reviews (--review): give one of them")
    if not judges:
        raise SettingError("a plan is judged by at least one judge: name one (--judge)")
    proposed = read_plan(plan, strict=False)
    items = [item.ablation for item in proposed.items]
    texts = [read_paper(review).text for review in reviews]
    reported = [] if gold is None else [item.ablation for item in read_plan(gold, strict=False).items]
    told: dict[str, Any] = {"paper": proposed.source.paper, "seed": seed, "sampling": sampling, "log": log}
    with language_models(judges) as loaded:
        if texts:
            return judge_reviews(texts, items, loaded, wanted, **told)
        return judge_plan(reported, items, loaded, **told)


_PAIRS = """\
Two people each wrote a list of ablations of the same paper: list A and list B. Decide which ablations of A and B are \
the same experiment.

Two ablations are the same experiment if both change the same part of the method, and they change it in a compatible \
way: both remove it, or both replace it (or add to it) and at least one alternative of one occurs in the other. \
Replacing a part by nothing, or switching it off, is removing it. If one of them names no concrete alternative, the \
part and the kind of change decide. Titles and metrics do not count. An ablation may be the same as several of the \
other list. If you are not sure, it is not the same.

Paper: {paper}
Abstract: {abstract}

List A:
{a}

List B:
{b}"""
_PAIR_FIELDS = """\
Each object is one pair that is the same experiment: "a", the label in list A; "b", the label in list B; "why", the \
common part and change in a few words. Where nothing is the same, the list is empty."""
_REVIEWS = """\
Reviewers of a paper ask for ablations. Below are the reviews, and a list of proposed ablations. Decide for each \
proposed ablation whether a review asks for it.

A review asks for an ablation if it wants, or misses, an experiment that changes the same part of the method; if the \
review says in which way, the proposal has to change it in that way. General wishes (more experiments, more data sets, \
a comparison with other methods) ask for no ablation. If you are not sure, the review does not ask for it.

Paper: {paper}
Abstract: {abstract}

{reviews}

Proposed ablations:
{items}"""
_REVIEW_FIELDS = """\
Write one object for every proposed ablation: "item", its label; "quote", the words with which a review asks for it, \
copied from the review exactly (one sentence or a part of one), or null if no review asks for it."""


def numbered_judges(judges: Sequence[ModelBackend]) -> list[tuple[str, int, ModelBackend]]:
    """The judges, each with a name that no other has and its number from 0.

    Args:
        judges: The judges; one that is listed twice gets two names, such as `m` and `m (2)`.
    """
    seen: dict[str, int] = {}
    listed = []
    for number, judge in enumerate(judges):
        seen[judge.name] = seen.get(judge.name, 0) + 1
        again = seen[judge.name]
        listed.append((judge.name if again == 1 else f"{judge.name} ({again})", number, judge))
    return listed


def _check_lists(judges: Sequence[ModelBackend], n_gold: int, n_plan: int) -> None:
    if not judges:
        raise SettingError("a plan is judged by at least one judge: name one (--judge)")
    if not n_gold:
        raise RecordError("there is nothing to judge a plan against: give the wanted ablations or the reviews")
    if not n_plan:
        raise RecordError("an empty plan is a failure of its planner and is not judged: plan again")


def _shown(label: str, ablation: Ablation) -> str:
    """An ablation as judges see it: one line, without its rank."""
    new = "" if not ablation.options else "; new: " + ", ".join(
        f"{key}={value}" if key else str(value) for key, value in ablation.options
    )  # fmt: skip
    line = f"{label}. {ablation.name}; part: {ablation.ablated_part}; action: {ablation.action}{new}"
    return " ".join(line.split())


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object with exactly these fields."""
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _choice(labels: dict[str, tuple[int, str]]) -> dict[str, Any]:
    """The JSON schema of one of the labels."""
    return {"type": "string", "enum": list(labels)}


def _indices(value: Any, labels: dict[str, tuple[int, str]], place: str, field: str) -> list[int]:
    """The indices that a field names: a label or title, several of them, or nothing."""
    if value is None:
        return []
    found = []
    for one in value if isinstance(value, list) else [value]:
        said = " ".join(str(one).split()).strip("\"'()[]. ")
        parts = [part.strip("\"' ") for part in said.split(",")]
        titled = [index for index, name in labels.values() if name.casefold() == said.casefold()]
        begins = _LABEL.match(said)
        if isinstance(one, str) and all(part.upper() in labels for part in parts):
            found += [labels[part.upper()][0] for part in parts]
        elif isinstance(one, str) and begins and begins.group(1).upper() in labels:
            found.append(labels[begins.group(1).upper()][0])
        elif isinstance(one, str) and len(titled) == 1:
            found += titled
        else:
            raise AnswerError(f'{place}: "{field}" is {quoted(one)}; it is one of {", ".join(labels)}')
    return found


def _pair_reader(
    labels_a: dict[str, tuple[int, str]], labels_b: dict[str, tuple[int, str]], swapped: bool
) -> Callable[[RawAnswer], list[MatchVote]]:
    def read(raw: RawAnswer) -> list[MatchVote]:
        votes: dict[Pair, MatchVote] = {}
        for place, fields in raw.objects:
            for needed in ("a", "b"):
                if needed not in fields:
                    raise AnswerError(f'{place}: the field "{needed}" is missing; name a label of each list')
            for a in _indices(fields["a"], labels_a, place, "a"):
                for b in _indices(fields["b"], labels_b, place, "b"):
                    gold, item = (b, a) if swapped else (a, b)
                    votes[gold, item] = MatchVote(gold=gold, item=item, why=str(fields.get("why") or ""))
        return [votes[pair] for pair in sorted(votes)]

    return read


def _review_reader(
    labels: dict[str, tuple[int, str]], reviews: Sequence[SqueezedText]
) -> Callable[[RawAnswer], Quotes]:
    def read(raw: RawAnswer) -> Quotes:
        found: Quotes = []
        seen: set[int] = set()
        for place, fields in raw.objects:
            quote = fields.get("quote")
            for item in _indices(fields.get("item"), labels, place, "item"):
                if item in seen:
                    raise AnswerError(f"{place} names an ablation for the second time; write one object for each")
                seen.add(item)
                if quote is None or (isinstance(quote, str) and quote.strip().lower() in ("", "null", "none")):
                    continue
                if not isinstance(quote, str):
                    raise AnswerError(f'{place}: "quote" is {quoted(quote)}; copy words of a review, or write null')
                found.append((item, find_quote(quote, reviews, place), " ".join(quote.split())))
        missing = [label for label, (item, _) in labels.items() if item not in seen]
        if missing:
            raise AnswerError(f"there is no object for {', '.join(missing)}; write one for every proposed ablation")
        return sorted(found)

    return read

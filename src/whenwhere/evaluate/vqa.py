"""Visual question answering: the soft accuracy over several annotators, and the exact match.

As a task, an item holds what its annotators said (`Item.extra["answers"]`) and an answer is a short text.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from whenwhere.datasets.item import Item
from whenwhere.errors import SettingError
from whenwhere.evaluate.constants import OPTIMISTIC, Constant
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores
from whenwhere.evaluate.temporal import look_up

_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_NUMBER = {"none": "0", **{word: str(value) for value, word in enumerate(_NUMBERS)}}
_ARTICLES = {"a", "an", "the"}


def plain_answer(answer: str) -> str:
    """The answer without case, articles, punctuation and apostrophes, and with number words as digits.

    The VQA challenge's script does the same in most cases, with three differences: it restores apostrophes from a list
    of contractions instead of leaving them out, joins words at a sign next to a space, and compares the bare
    strings where all annotators agree.

    >>> [plain_answer(text) for text in ("The Two dogs!", "don't", "1,000", "3.5", "U.S.")]
    ['2 dogs', 'dont', '1000', '3.5', 'us']
    """
    text = re.sub(r"(?<=\d),(?=\d)|['’]|\.(?!\d)", "", answer.strip().lower())
    text = re.sub(r"[;/\[\]\"{}()=+\\_\-><@`,?!]", " ", text)
    return " ".join(_NUMBER.get(word, word) for word in text.split() if word not in _ARTICLES)


def exact_match(answer: str, truths: Sequence[str]) -> float:
    """1.0 if the answer is one of the true ones after `plain_answer`, else 0.0."""
    return float(plain_answer(answer) in {plain_answer(t) for t in truths})


def vqa_accuracy(answer: str, truths: Sequence[str]) -> float:
    """Soft accuracy: full if at least three other annotators of ten say so, averaged over leaving each one out.

    The formula is the VQA challenge's (GT-Vision-Lab/VQA a013f0043c); run beside it on thousands of random answers with
    articles, number words and punctuation every value agreed. Where texts are compared otherwise, `plain_answer` says.

    >>> round(vqa_accuracy("red", ["red"] * 3 + ["blue"] * 7), 3)
    0.9
    >>> vqa_accuracy("Red.", ["red"] * 4 + ["blue"] * 6)
    1.0
    """
    said = [plain_answer(t) for t in truths]
    same = Counter(said)[plain_answer(answer)]
    if not said:
        return 0.0
    # Leaving out one of `same` equal annotators leaves same - 1 of them; leaving out another leaves all.
    left_out, kept = min(1.0, (same - 1) / 3), min(1.0, same / 3)
    return (same * left_out + (len(said) - same) * kept) / len(said)


def score(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """VQA accuracy and exact match, also by type of question; a question without an answer counts 0.

    >>> items = [Item("a", "a", extra={"answers": ["red"] * 10})]
    >>> score(items, {"a": Prediction("a", answer="Red.")}).summary
    {'VQA-accuracy': 1.0, 'exact-match': 1.0}
    """
    kept, predictions, notes = look_up(items, by_id)
    said = [None if p is None else p.answer for p in predictions]
    columns = {
        name: np.array([0.0 if a is None else measure(a, i.extra["answers"]) for i, a in zip(kept, said, strict=True)])
        for name, measure in (("VQA-accuracy", vqa_accuracy), ("exact-match", exact_match))
    }
    summary = {name: float(column.mean()) if len(column) else float("nan") for name, column in columns.items()}
    groups: dict[str, dict[str, float]] = {}
    for kind in sorted({i.type for i in kept if i.type}):
        own = np.array([i.type == kind for i in kept])
        groups[kind] = {"n": float(own.sum()), **{name: float(column[own].mean()) for name, column in columns.items()}}
    return Scores(summary, [i.id for i in kept], [i.video for i in kept], columns, groups, notes)


def accuracy_by_kind(right: Sequence[bool], kinds: Sequence[str]) -> dict[str, float]:
    """Accuracy over all questions and over those of each kind.

    Args:
        right: Whether each answer is right.
        kinds: Kind of each question.

    Returns:
        `accuracy`, and `accuracy/<kind>` for each kind in the order of the alphabet.

    Raises:
        SettingError: There are no questions.

    >>> accuracy_by_kind([True, False, True], ["what", "what", "who"])
    {'accuracy': 0.6666666666666666, 'accuracy/what': 0.5, 'accuracy/who': 1.0}
    """
    if not len(right):
        raise SettingError("there are no questions to answer: give at least one")
    hit = np.asarray(right, float)
    found = {"accuracy": float(hit.mean())}
    for kind in sorted(set(kinds)):
        found[f"accuracy/{kind}"] = float(hit[np.array([one == kind for one in kinds])].mean())
    return found


def most_frequent_answer(items: Sequence[Item], train: Sequence[Item] | None = None) -> list[Constant]:
    """The most frequent true answer for every question; without `train` it is fitted on the items themselves."""
    counts = Counter(plain_answer(a) for item in train or items for a in item.extra["answers"])
    if not counts:
        return []
    common = counts.most_common(1)[0][0]
    fitted = "the training items" if train else f"this set {OPTIMISTIC}"
    how = f"{common!r} for every question, the most frequent true answer of {fitted}"
    return [Constant("most frequent answer", how, {i.id: Prediction(i.id, answer=common) for i in items})]


def gold_texts(items: Sequence[Item]) -> dict[str, Prediction]:
    """The answer of most annotators to each question."""
    found = {item.id: Counter(map(plain_answer, item.extra["answers"])).most_common(1) for item in items}
    return {id: Prediction(id, answer=common[0][0]) for id, common in found.items() if common}


PROTOCOLS = (
    Protocol(
        "vqa",
        ("vqa",),
        score,
        "ours",
        "vqa.py, after the VQA challenge's measure",
        {"answer": "without case, articles, punctuation", "hit": "min(1, agreeing annotators / 3), leave-one-out"},
        ("VQA-accuracy", "exact-match"),
    ),
)

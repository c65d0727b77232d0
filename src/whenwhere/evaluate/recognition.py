"""Recognition: is the right class among the first k, on average over items and over classes; and VQA accuracy.

Equal scores are counted against the answer: a model that gives every class the same score has recognised nothing.
(Sorting, as most code does, would reward the classes that happen to stand first.)
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whenwhere.evaluate.ragged import Floats
from whenwhere.evaluate.scores import Scores

_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_NUMBER = {"none": "0", **{word: str(value) for value, word in enumerate(_NUMBERS)}}
_ARTICLES = {"a", "an", "the"}


def true_rank(scores: Floats, labels: NDArray[np.integer]) -> NDArray[np.intp]:
    """(n,) rank of the true class, 1 = best; classes with an equal score rank before it.

    Args:
        scores: (n, c), higher is better; nan ranks last, and a nan of the true class behind everything.
        labels: (n,) true class.

    >>> true_rank(np.array([[.2, .5, .5], [.9, .1, 0]]), np.array([1, 0])).tolist()
    [2, 1]
    """
    own = np.take_along_axis(scores, labels[:, None], 1)
    rank = (scores >= own).sum(1)
    return np.where(np.isnan(own[:, 0]), scores.shape[1], rank)


def mean_class_accuracy(hit: Floats, labels: NDArray[np.integer]) -> float:
    """Mean over the classes that occur of the mean over their items.

    >>> mean_class_accuracy(np.array([1., 1, 1, 0]), np.array([0, 0, 0, 1]))
    0.5
    """
    _, number = np.unique(labels, return_inverse=True)
    return float((np.bincount(number, hit) / np.bincount(number)).mean()) if len(hit) else float("nan")


def score(
    scores: Floats, labels: NDArray[np.integer], ids: Sequence[str], videos: Sequence[str] | None = None
) -> Scores:
    """Top-1 and top-5 accuracy and mean class accuracy of (n, c) class scores.

    >>> score(np.eye(3), np.array([0, 1, 0]), ["a", "b", "c"]).summary["top-1"].__round__(3)
    0.667
    """
    rank = true_rank(scores, labels)
    columns = {f"top-{k}": (rank <= k).astype(float) for k in (1, 5)}
    summary = {name: float(column.mean()) if len(rank) else float("nan") for name, column in columns.items()}
    summary["mean-class-accuracy"] = mean_class_accuracy(columns["top-1"], labels)
    return Scores(summary, list(ids), list(videos or ids), columns)


def plain(answer: str) -> str:
    """An answer without case, articles, punctuation and apostrophes, with number words as digits.

    The VQA challenge's script does the same in most cases, with three differences: it restores apostrophes from a list
    of contractions instead of leaving them out, joins words where a sign stands beside a space, and compares the bare
    strings where all annotators agree.

    >>> plain("The Two dogs!"), plain("don't"), plain("1,000"), plain("3.5"), plain("U.S.")
    ('2 dogs', 'dont', '1000', '3.5', 'us')
    """
    text = re.sub(r"(?<=\d),(?=\d)|['’]|\.(?!\d)", "", answer.strip().lower())
    text = re.sub(r"[;/\[\]\"{}()=+\\_\-><@`,?!]", " ", text)
    return " ".join(_NUMBER.get(word, word) for word in text.split() if word not in _ARTICLES)


def exact_match(answer: str, truths: Sequence[str]) -> float:
    """1.0 if the answer is one of the true ones after `plain`, else 0.0."""
    return float(plain(answer) in {plain(t) for t in truths})


def vqa_accuracy(answer: str, truths: Sequence[str]) -> float:
    """Soft accuracy: full if at least three other annotators of ten say so, averaged over leaving each one out.

    The formula is the VQA challenge's (GT-Vision-Lab/VQA a013f0043c); run beside it on thousands of random answers with
    articles, number words and punctuation every value agreed. Where texts are compared otherwise, `plain` says.

    >>> round(vqa_accuracy("red", ["red"] * 3 + ["blue"] * 7), 3)
    0.9
    >>> vqa_accuracy("Red.", ["red"] * 4 + ["blue"] * 6)
    1.0
    """
    said = [plain(t) for t in truths]
    same = Counter(said)[plain(answer)]
    if not said:
        return 0.0
    # Leaving out one of `same` equal annotators leaves same - 1 of them; leaving out another leaves all.
    left_out, kept = min(1.0, (same - 1) / 3), min(1.0, same / 3)
    return (same * left_out + (len(said) - same) * kept) / len(said)

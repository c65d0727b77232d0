"""How alike two sentences are, and all pairs of a large set that are alike, found without comparing every pair.

The measure is the Jaccard similarity of the sets of character trigrams of both sentences: of the trigrams that occur in
either, the share that occurs in both. Case, punctuation, articles and repeated spaces do not count. So "A person opens
the door." and "person opens a door" are equal, and "a person opens the doors" is nearly so.

`similar_pairs` is exact: it finds every pair at or above the threshold, and each with its own similarity. Two sets can
only reach the threshold if they share a few of their rarest trigrams (prefix filtering; Chaudhuri et al., ICDE 2006),
so only pairs that do are compared.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Pairs that are compared at a time.
_BLOCK = 200_000
#: Sentences of which every pair is compared, because that is quicker than sorting their trigrams.
_FEW = 40
#: Rows whose partners are looked up at a time.
_ROWS = 1000
#: Rare trigrams that a pair must share before it is compared.
_SHARED = 4
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NOT_WORDS = re.compile(r"[\W_]+")


def normalised(sentence: str) -> str:
    """The sentence in lower case without punctuation and articles, its words separated by single spaces.

    Args:
        sentence: Any text.

    >>> normalised("The person's dog  runs away."), normalised("The")
    ('person s dog runs away', '')
    """
    words = _NOT_WORDS.sub(" ", sentence.casefold())
    return " ".join(_ARTICLES.sub(" ", words).split())


def similarity(a: str, b: str) -> float:
    """Jaccard similarity of the trigrams of two sentences, in 0-1; 1 for sentences that are normalised alike.

    >>> similarity("A person opens the door.", "person opens door"), round(similarity("open door", "open doors"), 3)
    (1.0, 0.75)
    """
    one, other = _trigrams(normalised(a)), _trigrams(normalised(b))
    return len(one & other) / len(one | other)


def similar_pairs(sentences: Sequence[str], threshold: float) -> list[tuple[int, int, float]]:
    """All pairs i < j of different sentences whose similarity is at least the threshold, with the similarity.

    Args:
        sentences: Sentences that are normalised and all different.
        threshold: Lowest similarity, above 0 and at most 1.

    >>> similar_pairs(["open door", "close window", "open doors"], 0.7)
    [(0, 2, 0.75)]
    """
    sets = [_trigrams(sentence) for sentence in sentences]
    if len(sets) <= _FEW:
        pairs = (
            (i, j, len(a & sets[j]) / len(a | sets[j])) for i, a in enumerate(sets) for j in range(i + 1, len(sets))
        )
        return [(i, j, round(alike, 6)) for i, j, alike in pairs if alike >= threshold - 1e-9]
    from scipy.sparse import csr_array

    sizes = np.array([len(found) for found in sets])
    names = sorted(set().union(*sets))
    number = {name: k for k, name in enumerate(names)}
    columns = np.fromiter((number[name] for found in sets for name in found), np.int32, sizes.sum())
    rows = np.repeat(np.arange(len(sets), dtype=np.int32), sizes)
    # columns are renumbered from the rarest trigram to the most frequent one
    rank = np.empty(len(names), np.int32)
    rank[np.argsort(np.bincount(columns, minlength=len(names)), kind="stable")] = np.arange(len(names))
    columns = rank[columns]
    order = np.lexsort((columns, rows))
    columns = columns[order]
    starts = np.r_[0, np.cumsum(sizes)]
    shape = (len(sets), len(names))
    whole = csr_array((np.ones(len(columns), np.float32), columns, starts), shape=shape)
    # of n trigrams, a partner lacks at most n - ceil(t * n): it holds k of the first n - ceil(t * n) + k
    needed = np.ceil(threshold * sizes - 1e-9).astype(np.int64)
    kept = sizes - needed + np.minimum(needed, _SHARED)
    first = np.arange(len(columns)) - np.repeat(starts[:-1], sizes) < np.repeat(kept, sizes)
    prefix = csr_array((np.ones(int(first.sum()), np.float32), columns[first], np.r_[0, np.cumsum(kept)]), shape=shape)
    found: list[tuple[int, int, float]] = []
    turned = prefix.T.tocsr()
    for begin in range(0, len(sets), _ROWS):
        meets = (prefix[begin : begin + _ROWS] @ turned).tocoo()
        i, j = meets.coords[0] + begin, meets.coords[1]
        smaller, larger = np.minimum(sizes[i], sizes[j]), np.maximum(sizes[i], sizes[j])
        possible = (i < j) & (smaller >= threshold * larger - 1e-9)
        possible &= meets.data >= np.minimum(_SHARED, np.maximum(needed[i], needed[j])) - 0.5
        i, j = i[possible], j[possible]
        for at in range(0, len(i), _BLOCK):
            one, other = i[at : at + _BLOCK], j[at : at + _BLOCK]
            found += _compared(whole, sizes, one, other, threshold)
    return sorted(found)


def groups(sentences: Sequence[str], threshold: float) -> NDArray[np.intp]:
    """For each sentence the index of the first sentence of its group, shape (n,).

    A sentence joins the earliest group whose first sentence is at least so similar to it, and else begins one. So every
    member of a group is compared with its first sentence, and groups do not grow into chains.

    Args:
        sentences: Sentences in any spelling; they are normalised here.
        threshold: Lowest similarity, above 0 and at most 1.

    >>> groups(["A dog runs.", "the dog runs", "a cat sits", "dog run"], 0.6).tolist()
    [0, 0, 2, 0]
    """
    texts = [normalised(sentence) for sentence in sentences]
    first: dict[str, int] = {}
    for k, text in enumerate(texts):
        first.setdefault(text, k)
    unique = list(first)
    near: dict[int, list[int]] = {}
    for i, j in _pairs_among(unique, threshold) if threshold < 1 else []:
        near.setdefault(j, []).append(i)
    leader = list(range(len(unique)))
    for k in range(len(unique)):
        leader[k] = next((i for i in near.get(k, ()) if leader[i] == i), k)
    place = {text: first[unique[leader[k]]] for k, text in enumerate(unique)}
    return np.array([place[text] for text in texts], np.intp)


#: The last sentences of a large set, with their pairs: a filter asks about a set, and again about a part of it.
_last: list[tuple[float, frozenset[str], list[tuple[str, str]]]] = []


def _pairs_among(texts: list[str], threshold: float) -> list[tuple[int, int]]:
    """The pairs of `similar_pairs` without the similarity, from the last larger set where that has all of the texts."""
    if _last and _last[0][0] == threshold and _last[0][1].issuperset(texts):
        place = {text: k for k, text in enumerate(texts)}
        both = ((place[a], place[b]) for a, b in _last[0][2] if a in place and b in place)
        return sorted((min(i, j), max(i, j)) for i, j in both)
    pairs = [(i, j) for i, j, _ in similar_pairs(texts, threshold)]
    if len(texts) > _FEW:
        _last[:] = [(threshold, frozenset(texts), [(texts[i], texts[j]) for i, j in pairs])]
    return pairs


def _compared(
    whole: "object", sizes: NDArray[np.int64], i: NDArray[np.int64], j: NDArray[np.int64], threshold: float
) -> list[tuple[int, int, float]]:
    shared = np.asarray(whole[i].multiply(whole[j]).sum(axis=1)).ravel()  # type: ignore[index]
    alike = shared / (sizes[i] + sizes[j] - shared)
    enough = alike >= threshold - 1e-7
    return list(zip(i[enough].tolist(), j[enough].tolist(), alike[enough].round(6).tolist(), strict=True))


def _trigrams(text: str) -> set[str]:
    padded = f"  {text} "
    return {padded[k : k + 3] for k in range(len(padded) - 2)}

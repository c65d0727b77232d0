"""Checks what a caption claims: the objects and directions that it names are compared with tracks.

`read_claims` finds noun phrases, and the direction in which each is said to move. `check_claims` looks for a track that
confirms each claim. Precision is the share of the claims that are confirmed, recall the share of what the tracks show
that is claimed; both are None where there is nothing to count.

Tracks are the truth of a staged world, or what a detector finds of the phrases that a caption names and of a
vocabulary; without a vocabulary recall cannot be known and is None. A detector with false detections makes precision
too high, one that misses objects makes it too low: the check is only as good as its tracks.

The head of a noun phrase is compared with that of a track's label, and so are those words before it that occur in some
label (with labels such as `striped red circle` these are textures and colours). Other adjectives, counts, actions
without a direction and relations are ignored. A track moves in a direction if it once moves steadily that way by a
tenth of the frame, and less in the other dimension.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers.lexer import word_set
from whenwhere.datasets.noun_words import DETERMINERS
from whenwhere.datasets.nouns import noun_phrases, singular
from whenwhere.grounders.motion.event_lexicon import MOVING

Direction = Literal["left", "right", "up", "down"]
_ORDER: tuple[Direction, ...] = ("left", "right", "up", "down")
#: Smallest movement that counts, as a share of the frame's width or height.
FAR = 0.1
#: How far a track may move back while it moves steadily, as the same share.
_BACK = 0.02
_WAYS: dict[str, Direction] = {
    "left": "left", "leftward": "left", "leftwards": "left", "right": "right", "rightward": "right",
    "rightwards": "right", "up": "up", "upward": "up", "upwards": "up", "down": "down", "downward": "down",
    "downwards": "down",
}  # fmt: skip
_FORMS = "|".join(
    {
        form
        for verb in (*MOVING.split("|"), "drift", "float")
        for stem in (verb[:-1] if verb[-1] in "ey" else verb,)
        for form in (verb, f"{verb}s", f"{verb}es", f"{stem}ies", f"{verb}ing", f"{stem}ing", f"{stem}{verb[-1]}ing",
                     f"{stem}ed")
    }
    | {"went", "ran", "drove", "rode", "flew", "came", "swam", "slid", "swept"}
)  # fmt: skip
_FRAME = "(?:frame|picture|image|screen|scene|video|shot|view)"
_FROM_TO = re.compile(r"\bfrom (?:the )?(?:left|right|top|bottom)(?: side)? to (?:the )?(left|right|top|bottom)\b")
_TO = {"left": "left", "right": "right", "top": "upwards", "bottom": "downwards"}
_ALONG = "(?:street|road|path|hall|hallway|corridor|aisle|sidewalk|track|river|lane|runway|beach)"
#: "to the left", but neither "to the left of a tree", nor "right up to the door", nor "down the street".
_MOVES = re.compile(
    rf"\b(?:{_FORMS})\b(?: \w+){{0,3}}? (?:(?:to|towards?) the )?({'|'.join(_WAYS)})\b"
    rf"(?! (?:side )?of (?!the {_FRAME}\b)| from\b| (?:up|in|into|past|behind|next|at|on|by|to)\b| the {_ALONG}\b)"
)
#: Words between two noun phrases after which the second one only says more about the first.
_MORE = re.compile(
    r"\b(?:of|on|in|with|behind|near|beside|above|below|holding|wearing|carrying)"
    r"(?: (?:an?|the|his|her|its|their))?\s*$"
)
_WORD = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*")
_NO_THINGS = frozenset(_WAYS) | word_set("""
    close closeup top bottom side sides middle center centre front back background foreground frame picture image video
    scene view clip camera shot screen way direction time moment second seconds end beginning lot pair group couple
    number
""")
#: Words for the same thing, by the word that stands for all of them.
_SAME = {
    "bike": "bicycle", "cycle": "bicycle", "automobile": "car", "tv": "television", "couch": "sofa",
    "airplane": "plane", "aeroplane": "plane", "aircraft": "plane", "motorbike": "motorcycle", "gray": "grey",
    "cellphone": "phone", "smartphone": "phone", "telephone": "phone", "kid": "child", "guy": "man", "lady": "woman",
    "people": "person", "human": "person", "someone": "person", "somebody": "person",
}  # fmt: skip
#: Wider words: a woman is a person, and whoever sees a person may say "woman"; but a woman is not a man.
_KINDS = {
    **dict.fromkeys(("man", "woman", "boy", "girl", "child", "adult", "gentleman", "player"), "person"),
    "puppy": "dog", "kitten": "cat", "sedan": "car", "van": "vehicle", "car": "vehicle", "truck": "vehicle",
    "bus": "vehicle",
}  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """Something that a caption says of an object.

    Attributes:
        phrase: The noun phrase, in lower case and without articles.
        direction: Direction in which it is said to move; None if the claim is only that it is visible.
    """

    phrase: str
    direction: Direction | None = None

    def __str__(self) -> str:
        return self.phrase if self.direction is None else f"{self.phrase} moves {self.direction}"


@dataclass(frozen=True, eq=False)
class SceneTrack:
    """An object of a clip with its boxes.

    Attributes:
        label: Words for the object, such as `striped red circle`.
        times: Increasing seconds, shape (n,).
        boxes: Box at each time in xyxy pixels, shape (n, 4).
        asked: Whether it was looked for only because a caption names it. It then counts for precision, not for recall.
    """

    label: str
    times: NDArray[np.float64]
    boxes: NDArray[np.float64]
    asked: bool = False


@dataclass(frozen=True)
class ClaimsCheck:
    """The claims of a caption, compared with tracks.

    Attributes:
        right: Claims that a track confirms.
        wrong: Claims that no track confirms.
        named: What tracks show and the caption says: one entry for each track and for each direction of a track.
        missed: What tracks show and the caption does not say.
    """

    right: tuple[Claim, ...] = ()
    wrong: tuple[Claim, ...] = ()
    named: tuple[Claim, ...] = ()
    missed: tuple[Claim, ...] = ()

    def as_dict(self, complete: bool = True) -> dict[str, Any]:
        """Counts, precision and recall of objects and of directions, and the claims that are wrong or missed.

        Args:
            complete: Whether the tracks are everything that could be named. If not, recall is None.
        """
        out: dict[str, Any] = {}
        for kind, moving in (("objects", False), ("directions", True)):
            right, wrong, named, missed = (
                sum((claim.direction is not None) == moving for claim in claims)
                for claims in (self.right, self.wrong, self.named, self.missed)
            )
            shown = {"named": named, "shown": named + missed} if complete else {}
            out[kind] = _shares({"right": right, "claims": right + wrong, **shown})
        out["wrong"] = [str(claim) for claim in self.wrong]
        if complete:
            out["missed"] = [str(claim) for claim in self.missed]
        return out


def _shares(n: dict[str, int]) -> dict[str, Any]:
    """Counts, with the precision and recall that follow from them."""
    precision = round(n["right"] / n["claims"], 4) if n["claims"] else None
    recall = round(n["named"] / n["shown"], 4) if n.get("shown") else None
    return {**n, "precision": precision, "recall": recall}


def summed_claims(checks: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Precision and recall of objects and of directions over many captions; every claim counts the same.

    Args:
        checks: The result of `ClaimsCheck.as_dict` for each caption.

    >>> check = ClaimsCheck(right=(Claim("dog"),), wrong=(Claim("cat"),), named=(Claim("dog"),)).as_dict()
    >>> summed_claims([check, check])["objects"]
    {'right': 2, 'claims': 4, 'named': 2, 'shown': 2, 'precision': 0.5, 'recall': 1.0}
    """
    checks = list(checks)
    return {
        kind: _shares({
            key: sum(check[kind].get(key, 0) for check in checks) for key in ("right", "claims", "named", "shown")
        })
        for kind in ("objects", "directions")
    }  # fmt: skip


def read_claims(caption: str) -> list[Claim]:
    """Read the objects that a caption names, and the directions in which it says that they move; each claim once.

    Args:
        caption: The caption.

    >>> [str(c) for c in read_claims("A red car drives to the left, and two dogs stand to the right of a tree.")]
    ['red car', 'red car moves left', 'dogs', 'tree']
    """
    text = " ".join(caption.lower().replace("’", "'").split())
    places: list[tuple[int, int, str]] = []
    for phrase in sorted(noun_phrases(text), key=len, reverse=True):
        words = [w for w in phrase.split() if w not in DETERMINERS]
        if words and words[-1] not in _NO_THINGS:
            for m in re.finditer(rf"\b{re.escape(phrase)}\b", text):
                # "car" is no phrase of its own where "red car" stands
                if not any(first <= m.start() < last for first, last, _ in places):
                    places.append((m.start(), m.end(), " ".join(words)))
    places.sort()
    found = [(start, Claim(name)) for start, _, name in places]
    for m in _MOVES.finditer(_FROM_TO.sub(lambda m: f"{_TO[m[1]]:<{len(m[0])}}", text)):
        # who moves stands before the verb: in its clause, or else in the one before it
        before = [(first, last, name) for first, last, name in places if last <= m.start()]
        if before:
            found.append((m.start(1), Claim(_subject(before, text), _WAYS[m[1]])))
    return list(dict.fromkeys(claim for _, claim in sorted(found, key=lambda one: one[0])))


def _subject(before: list[tuple[int, int, str]], text: str) -> str:
    """The subject of the next verb: the last noun phrase before it, or the one about which that only says more."""
    k = len(before) - 1
    while k > 0 and _MORE.search(text[before[k - 1][1] : before[k][0]]):
        k -= 1
    return before[k][2]


def directions(track: SceneTrack, width: float, height: float) -> list[Direction]:
    """The directions in which a track once moves steadily by a tenth of the frame, and less across it.

    Args:
        track: The track.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.

    >>> boxes = np.array([[10 * k, 5, 10 * k + 4, 9] for k in range(6)], float)
    >>> directions(SceneTrack("dog", np.arange(6.0), boxes), 100, 100)
    ['right']
    """
    good = np.isfinite(track.boxes).all(axis=1)
    centres = (track.boxes[good][:, :2] + track.boxes[good][:, 2:]) / 2 / (width, height)
    found: set[Direction] = set()
    for axis in (0, 1):
        for start, stop in _steady(centres[:, axis]):
            along, across = (abs(centres[stop, a] - centres[start, a]) for a in (axis, 1 - axis))
            if along >= FAR and along > across:
                rises = centres[stop, axis] > centres[start, axis]
                found.add(_ORDER[2 * axis + int(rises)])
    return [way for way in _ORDER if way in found]


def _steady(values: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs of indices between which values only rise or only fall, apart from small steps back."""
    out: list[tuple[int, int]] = []
    if len(values) < 2:
        return out
    start, turn = 0, 0
    for k in range(1, len(values)):
        sign = np.sign(values[turn] - values[start]) or np.sign(values[k] - values[start])
        if sign * (values[k] - values[turn]) >= 0:
            turn = k
        elif sign * (values[turn] - values[k]) > _BACK:
            out.append((start, turn))
            start, turn = turn, k
    return [*out, (start, turn)]


def check_claims(
    caption: str, tracks: Sequence[SceneTrack], width: float, height: float, labels: Iterable[str] = ()
) -> ClaimsCheck:
    """Compare what a caption claims with tracks.

    Args:
        caption: The caption.
        tracks: The objects of the clip.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        labels: Labels of the whole set, whose words show which attributes labels name (textures, colours). Those of the
            tracks always count.
    """
    known = {word for label in (*labels, *(t.label for t in tracks)) for word in _attributes(label)}
    ways = [directions(track, width, height) for track in tracks]
    right: list[Claim] = []
    wrong: list[Claim] = []
    named: set[int] = set()
    moved: set[tuple[int, Direction]] = set()
    for claim in read_claims(caption):
        fitting = [k for k, track in enumerate(tracks) if _fits(claim.phrase, track.label, known)]
        if claim.direction is not None:
            fitting = [k for k in fitting if claim.direction in ways[k]]
            moved |= {(k, claim.direction) for k in fitting}
        else:
            named |= set(fitting)
        (right if fitting else wrong).append(claim)
    said: list[Claim] = []
    missed: list[Claim] = []
    for k, track in enumerate(tracks):
        if not track.asked:
            (said if k in named else missed).append(Claim(track.label))
            for way in ways[k]:
                (said if (k, way) in moved else missed).append(Claim(track.label, way))
    return ClaimsCheck(tuple(right), tuple(wrong), tuple(said), tuple(missed))


def _fits(phrase: str, label: str, known: set[str]) -> bool:
    """Whether a noun phrase may mean the object with this label."""
    said, has = _words(phrase), _words(label)
    if not said or not has:
        return False
    if said[-1] != has[-1] and _KINDS.get(said[-1]) != has[-1] and said[-1] != _KINDS.get(has[-1]):
        return False
    return all(word in has for word in said[:-1] if word in known)


def _attributes(label: str) -> list[str]:
    return _words(label)[:-1]


def _words(phrase: str) -> list[str]:
    words = [w for w in _WORD.findall(phrase.lower()) if w not in DETERMINERS]
    if not words:
        return []
    words[-1] = singular(words[-1])
    return [_SAME.get(word, word) for word in words]

"""Which of several ranges in a text is its answer, and whether the text denies the event instead.

Other projects take the first range (TimeLens) or the last (Time-R1), and both are often wrong. These rules are applied
in order:

1. Ranges after the last word of correction ("actually", "no, wait") replace those before it.
2. Ranges that the text denies ("does not happen between 3 and 5 s", `whenwhere.answers.denial`), gives as an example,
   or gives as the length of the video ("the video lasts from 0 to 30 s") are not answers.
3. Ranges named by keys (`{"start": …, "end": …}`) take precedence over ranges in prose.
4. Ranges whose sentence says that something happens there, or calls them the answer, take precedence over others.
5. Ranges written with a unit or as clock times take precedence over bare numbers.
6. Several remaining ranges are one answer of several spans if they form a list: separated only by commas, "and", line
   ends or list numbers, or each claimed by its own sentence as in rule 4. Otherwise the text is ambiguous: all ranges
   are given in written order and the status says so.
"""

import itertools
import re
from collections.abc import Sequence

from whenwhere.answers.denial import doubts
from whenwhere.answers.ranges import Range
from whenwhere.answers.thought import last_match

_CORRECTION = re.compile(
    r"\b(?:actually|correction|no,? wait|no, (?:it is|it's|from|between|the (?:event|correct|right|answer))|wait,|"
    r"on second thought|let me correct|more precisely|i mean|rather,|instead,|"
    r"scratch that|i was wrong|sorry,)",
    re.IGNORECASE,
)
_CLAIM = re.compile(
    r"\b(?:happen(?:s|ed|ing)?|occur(?:s|red|ring)?|tak(?:es|ing) place|took place|answer|corresponds?|relevant|"
    r"matches|time (?:range|span|interval|period|window|segment)|timestamps?|therefore|thus|hence|so the|"
    r"(?:the|this|target|described|relevant|queried) (?:event|moment|action|segment|query)|"
    r"event[^.\n]{0,80}\b(?:is|are|from|starts?))\b",
    re.IGNORECASE,
)
_EXAMPLE = re.compile(
    r"\b(?:for example|e\.g\.?|example|for instance|such as|in the format|format should)", re.IGNORECASE
)
_LIST_WORDS = re.compile(
    r"\b(?:(?:second|third|fourth|next|other|another|last|2nd|3rd) \w+|s|secs?|seconds?|and|"
    r"then|also|plus|again|from|between|at|in|to|as well as|both|once|twice|more|finally|lastly|"
    r"next|later|another|other|first|second|third|fourth|fifth|last|one|(?:1st|2nd|3rd|[4-9]th)|the|a|is|are|was|it|"
    r"(?:occurrence|instance|segment|event|interval|moment|span|time|clip|part)s?(?:\W{0,2}\d{1,2})?|"
    r"runs?|occurs?|happens?|starts?|begins?|lasts?|goes|seen|appears?)\b|和|(?<!\w)\(?(?:\d{1,2}|[a-h])[.)](?=\s)",
    re.IGNORECASE,
)
_VIDEO = r"(?:videos?|clips?|footage|recording|film|movie)(?:'s)?"
#: What stands before a range from 0 that is the length of the video.
_LENGTH_BEFORE = re.compile(
    rf"\b(?:{_VIDEO}(?:,? (?:which|that|itself))? (?:lasts|runs|is|spans|goes|ranges|covers|plays|"
    r"starts|begins|has a (?:length|duration) of)"
    rf"|(?:total|whole|full|entire|{_VIDEO}) (?:length|duration|time)(?: is| of| spans)?"
    rf"|{_VIDEO}(?=\W*[(\[:]\W*$)|out of|(?:length|duration) of the {_VIDEO}(?: is)?)"
    r"(?:\W|\b(?:from|about|approximately|between|exactly|at)\b)*$",
    re.IGNORECASE,
)
#: What stands after it in "in this 0-30 s video", "is 0:00 - 0:30 long".
_LENGTH_AFTER = re.compile(rf"^\W*(?:s|secs?|seconds?)?\W*\b(?:{_VIDEO}|long)\b", re.IGNORECASE)
_WHOLE_VIDEO = re.compile(r"\b(?:throughout|entire|whole|full|all)\b", re.IGNORECASE)
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?;](?=\s)|\n")
#: More ranges than this in prose come from a model that repeats itself without end.
_MOST = 200


def select_ranges(text: str, found: Sequence[Range], *, denied: bool = False) -> tuple[list[Range], bool, list[str]]:
    """The ranges that are the answer, whether the choice is ambiguous, and what was noticed.

    Args:
        text: The text.
        found: All ranges in it, in written order.
        denied: Whether a key of a structure says that the event is not there (`"found": false`).
    """
    reasons: list[str] = []
    kept = list(found)
    if len(kept) > _MOST:
        return [], True, [f"{len(kept)} ranges in prose: the model repeats itself"]
    correction = last_match(_CORRECTION, text) if len(kept) > 1 else None
    if correction is not None:
        later = [r for r in kept if r.start >= correction.start()]
        if later and len(later) < len(kept):
            reasons.append("the text corrects itself; ranges before the correction are left out")
            kept = later
    before = {id(r): _before(text, r) for r in kept}
    doubt = doubts(text, kept, correction.start() if correction is not None else 0)
    examples = {id(r) for r in kept if _EXAMPLE.search(before[id(r)])}
    lengths = {id(r) for r in kept if _is_video_length(text, r)}
    if doubt.denied:
        reasons.append("the text denies a range")
    if doubt.doubted:
        reasons.append("the text says that something is not there, and gives a range without claiming it")
    if lengths:
        reasons.append("a range is the length of the video")
    out = doubt.denied | doubt.doubted | examples | lengths
    if denied and not any(r.strength == 3 for r in kept):
        out |= {id(r) for r in kept if not _CLAIM.search(before[id(r)])}
    rest = [r for r in kept if id(r) not in out]
    if not rest:
        if kept and out == examples:
            reasons.append("the only range is an example")
        return [], bool(doubt.denied | doubt.doubted) and not doubt.absent, reasons
    reasons += [r.problem for r in rest if r.problem]
    kept = [r for r in rest if not r.problem]
    if not kept:
        return [], True, reasons
    named = [r for r in kept if r.strength == 3]
    if named:
        either = any(_OR.search(text, a.end, b.start) for a, b in itertools.pairwise(named))
        return named, either, [*reasons, *(["the text offers one range or another"] if either else [])]
    kept = _once(text, kept)
    claimed = {id(r) for r in kept if _CLAIM.search(before[id(r)])}
    if _is_list(text, kept) and (id(kept[0]) in claimed or not any(_CLAIM.search(g) for g in _gaps(text, kept))):
        return kept, False, reasons
    if claimed:
        return _with_neighbours(text, kept, claimed), False, reasons
    kept = [r for r, united in zip(kept, _united(text, kept), strict=True) if united] or kept
    kept = [r for r in kept if all(s < e for s, e in r.spans)] or kept  # no score such as "2-1"
    if len({tuple(r.spans) for r in kept}) == 1:
        return kept[:1], False, reasons
    if _is_list(text, kept):
        return kept, False, reasons
    reasons.append(f"{len(kept)} ranges, and nothing says which one is the answer")
    return kept, True, reasons


def _is_video_length(text: str, r: Range) -> bool:
    """Whether a range that begins at 0 is named as the length of the video rather than as an answer."""
    if any(start != 0 for start, _ in r.spans) or not r.spans or r.strength == 3:
        return False
    before, after = _before(text, r), text[r.end : r.end + 30]
    if _CLAIM.search(before) or (_WHOLE_VIDEO.search(before) and not re.search("length|duration", before)):
        return False
    said = _LENGTH_BEFORE.search(before)
    return said is not None or _LENGTH_AFTER.search(after) is not None


def _once(text: str, kept: Sequence[Range]) -> list[Range]:
    """The ranges without those that only repeat the one before in brackets: "8.5s - 12.4s (0:08 - 0:12)"."""
    out = list(kept[:1])
    for a, b in itertools.pairwise(kept):
        again = text[a.end : b.start].strip() == "(" and len(a.spans) == len(b.spans) == 1
        near = again and max(abs(x - y) for x, y in zip(a.spans[0], b.spans[0], strict=True)) <= 1
        if not near:
            out.append(b)
    return out


def _united(text: str, kept: Sequence[Range]) -> list[bool]:
    """Which ranges have a unit, their own or the next one's in the same phrase: "12 to 17 or 20 to 25 seconds"."""
    out = [r.strength == 2 for r in kept]
    for i in reversed(range(len(kept) - 1)):
        gap = text[kept[i].end : kept[i + 1].start]
        out[i] |= out[i + 1] and len(gap) < 20 and re.fullmatch(r"\W*(?:or|and)?\W*(?:from)?\W*", gap) is not None
    return out


def _sentence_start(text: str, at: int) -> int:
    start = max(0, at - 400)
    for m in _SENTENCE.finditer(text, start, at):
        start = m.end()
    return start


def _before(text: str, r: Range) -> str:
    """The part of the range's sentence that precedes it."""
    return text[_sentence_start(text, r.start) : r.start]


def _gaps(text: str, kept: Sequence[Range]) -> list[str]:
    return [text[a.end : b.start] for a, b in itertools.pairwise(kept)]


def _is_list(text: str, kept: Sequence[Range]) -> bool:
    return all(_listed(text, a, b) for a, b in itertools.pairwise(kept))


def _listed(text: str, a: Range, b: Range) -> bool:
    """Whether only words and marks of a list stand between two ranges."""
    gap = text[a.end : b.start]
    if len(gap) > 300:
        return False
    words = _LIST_WORDS.sub(" ", gap)
    return not re.search(r"\w", words)


def _with_neighbours(text: str, kept: Sequence[Range], claimed: set[int]) -> list[Range]:
    """The claimed ranges and those that form a list with them."""
    out: list[Range] = []
    last: Range | None = None
    for r in kept:
        if id(r) in claimed or (last is not None and out and out[-1] is last and _listed(text, last, r)):
            out.append(r)
        last = r
    return out

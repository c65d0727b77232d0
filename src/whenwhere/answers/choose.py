"""Which of several ranges in a text is its answer, and whether the text denies the event instead.

Other projects take the first range (TimeLens) or the last (Time-R1), and both are often wrong. These rules are applied
in order:

1. Ranges after the last word of correction ("actually", "no, wait") replace those before it.
2. Ranges that the sentence denies ("does not happen between 3 and 5 s") or gives as an example are not answers.
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

from whenwhere.answers.ranges import Range
from whenwhere.answers.thought import last_match

_CORRECTION = re.compile(
    r"\b(?:actually|correction|no,? wait|wait,|on second thought|let me correct|more precisely|i mean|rather,|instead,|"
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
_DENIAL = re.compile(
    r"\b(?:(?:does|do|did|is|are|was) not|(?:does|do|did|is|are|was|ca)n't|never|cannot|no)\b[^.!?\n]{0,60}?"
    r"\b(?:happen|occur|appear|take place|exist|seen|shown?|visible|present|found|event|moment|evidence|such|"
    r"match(?:ing)?|relevant|there)",
    re.IGNORECASE,
)
_ABSENCE = re.compile(
    r"""
    ^\W*(?:none|null|nil|n/?a|nothing|never|absent|there\ (?:is|are)\ none|no\ answer
        |not\ (?:present|found|applicable|there|in\ the\ video)
        |no\ (?:(?:such|relevant|matching)\ )?(?:event|moment|segment|clip|match(?:es)?)s?
        |there\ (?:is|are)\ no\ [\w\ '-]{1,60}\ in\ (?:the|this)\ (?:video|clip))\W*$
    |\bno\ (?:such|matching|relevant|corresponding)\ [\w\ ]{0,40}
        \b(?:event|moment|segment|clip|action|scene|interval|content|object|person|thing|span)
    |\bthere\ (?:is|are|was|were)\ no
        \ (?:such|matching|relevant|corresponding|moment|event|segment|clip|time|instance|occurrence)
    |\b(?:does|do|did|is|was|are|were)(?:\ not|n't)\ (?:actually\ |ever\ )?
        (?:happen|occur|appear|take\ place|exist|present|shown|depicted|found|contained|in\ the\ video|match\ any)\b
    |\bnever\ (?:happens?|occurs?|appears?|takes?\ place|shown|seen)\b
    |\b(?:video|clip|footage)\ (?:does|do|did)(?:\ not|n't)\ (?:contain|show|include|depict|have|feature)\b
    |\b(?:could|can|did)(?:\ not|not|n't)\ find\ (?:the|this|that|any|such|it)\b
    |\bis\ (?:absent|missing)\ from\ (?:the|this)\ (?:video|clip)\b
    |\b(?:cannot|can't|could\ not|couldn't)\ be\ found\b|\bnot\ (?:found|present)\ in\ the\ (?:video|clip)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
#: Words that turn "does not appear" into a claim about a part of the video.
_PARTLY = re.compile(
    r"\b(?:until|till|before|after|first|initially|beginning|half|yet|again|anymore|any longer|clear|clearly|sure|only|"
    r"but|however|although|though|while)\b|\d",
    re.IGNORECASE,
)
_LIST_WORDS = re.compile(
    r"\b(?:s|secs?|seconds?|and|then|also|plus|again|from|between|at|in|to)\b|和|(?<!\w)\(?\d{1,2}[.)](?=\s)",
    re.IGNORECASE,
)
_LIST_LABEL = re.compile(
    r"\W*(?:segment|event|clip|part|span|moment|interval|occurrence|time)\W*\d{0,2}\W*", re.IGNORECASE
)
_EXCLUDED = re.compile(r"\b(?:not|rather than|instead of)\W+(?:from |between |in |at |during )?\W*$", re.IGNORECASE)
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_TURN = re.compile(r"\b(?:but|instead|rather)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?;](?=\s)|\n")
#: More ranges than this in prose come from a model that repeats itself without end.
_MOST = 200


def select_ranges(text: str, found: Sequence[Range]) -> tuple[list[Range], bool, list[str]]:
    """The ranges that are the answer, whether the choice is ambiguous, and what was noticed."""
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
    excluded = [r for r in kept if _EXCLUDED.search(before[id(r)])]
    denied = [r for r in kept if r not in excluded and _denied(before[id(r)])]
    examples = [r for r in kept if _EXAMPLE.search(before[id(r)])]
    if denied or excluded:
        reasons.append("the text denies a range")
    out = {id(r) for r in (*denied, *excluded, *examples)}
    rest = [r for r in kept if id(r) not in out]
    if not rest:
        if kept and not denied:
            reasons.append("the only range is an example")
        return [], bool(denied or excluded), reasons
    reasons += [r.problem for r in rest if r.problem]
    kept = [r for r in rest if not r.problem]
    if not kept:
        return [], True, reasons
    named = [r for r in kept if r.strength == 3]
    if named:
        either = any(_OR.search(text, a.end, b.start) for a, b in itertools.pairwise(named))
        return named, either, [*reasons, *(["the text offers one range or another"] if either else [])]
    kept = _once(text, kept)
    if _is_list(text, kept):
        return kept, False, reasons
    claimed = {id(r) for r in kept if _CLAIM.search(before[id(r)])}
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


def _denied(before: str) -> bool:
    denial = last_match(_DENIAL, before)
    return denial is not None and not _TURN.search(before, denial.start())


def denies(text: str) -> bool:
    """Whether a text without any range says that the event is not there.

    >>> denies("The event does not occur in the video."), denies("He does not appear until the end.")
    (True, False)
    >>> denies("None"), denies("None of the people sit.")
    (True, False)
    """
    for m in _ABSENCE.finditer(text[:4000]):
        end = _SENTENCE.search(text, m.end())
        start = _sentence_start(text, m.start())
        if not _PARTLY.search(text[start : end.start() if end else len(text)]):
            return True
    return False


def _sentence_start(text: str, at: int) -> int:
    start = max(0, at - 400)
    for m in _SENTENCE.finditer(text, start, at):
        start = m.end()
    return start


def _before(text: str, r: Range) -> str:
    """The part of the range's sentence that precedes it."""
    return text[_sentence_start(text, r.start) : r.start]


def _is_list(text: str, kept: Sequence[Range]) -> bool:
    return all(_listed(text, a, b) for a, b in itertools.pairwise(kept))


def _listed(text: str, a: Range, b: Range) -> bool:
    """Whether only list marks, or one label per line, stand between two ranges."""
    gap = text[a.end : b.start]
    if len(gap) > 300:
        return False
    words = _LIST_WORDS.sub(" ", gap)
    return not re.search(r"\w", words) or _LIST_LABEL.fullmatch(words) is not None


def _with_neighbours(text: str, kept: Sequence[Range], claimed: set[int]) -> list[Range]:
    """The claimed ranges and those that form a list with them."""
    out: list[Range] = []
    last: Range | None = None
    for r in kept:
        if id(r) in claimed or (last is not None and out and out[-1] is last and _listed(text, last, r)):
            out.append(r)
        last = r
    return out

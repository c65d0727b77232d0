"""Which of several ranges in a text is its answer, and whether the text denies instead.

Peers take the first range (TimeLens) or the last (Time-R1); both are wrong half of the time. The rules here, in order:

1. Ranges after the last word of correction ("actually", "no, wait") replace those before it.
2. Ranges that the sentence denies ("does not happen between 3 and 5 s") or gives as an example are no answer.
3. Ranges named by keys (`{"start": …, "end": …}`) beat ranges in prose.
4. Ranges whose sentence says that something happens there, or names it the answer, beat those that stand about.
5. Ranges written with a unit or clock beat bare numbers.
6. Ranges that are still several are one answer of several spans if they form a list: parted only by commas, "and",
   line ends, list numbers, or each claimed by its own sentence of rule 4. Else the text is ambiguous: all are
   given in written order and the status says so.
"""

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
    r"\b(?:happen(?:s|ed|ing)?|occur(?:s|red|ring)?|tak(?:es|ing) place|took place|answer|time (?:range|span|interval|"
    r"period|window|segment)|(?:the|this|target|described|relevant|queried) (?:event|moment|action|segment|query)|timestamps?|"
    r"event[^.\n]{0,80}\b(?:is|are|from|starts?)|corresponds?|relevant|matches|therefore|thus|hence|so the)\b",
    re.IGNORECASE,
)
_EXAMPLE = re.compile(
    r"\b(?:for example|e\.g\.?|example|for instance|such as|in the format|format should)", re.IGNORECASE
)
_DENIAL = re.compile(
    r"\b(?:does not|doesn't|do not|don't|did not|didn't|never|isn't|is not|are not|aren't|was not|wasn't|cannot|can't|no)"
    r"\b[^.!?\n]{0,60}?\b(?:happen|occur|appear|take place|exist|seen|shown?|visible|present|found|event|moment|evidence|"
    r"such|match(?:ing)?|relevant|there)",
    re.IGNORECASE,
)
_ABSENCE = re.compile(
    r"""
    ^\W*(?:none|null|nil|n/?a|nothing|never|not\ (?:present|found|applicable|there|in\ the\ video)|no\ (?:answer|match(?:es)?|such
        \ (?:event|moment|segment)|relevant\ (?:moment|segment|clip|event)s?|event|moment|segment)s?|absent)\W*$
    |\bno\ (?:such|matching|relevant|corresponding)\ [\w\ ]{0,40}\b(?:event|moment|segment|clip|action|scene|interval|content|object|person|thing|span)
    |\bthere\ (?:is|are|was|were)\ no\ (?:such|matching|relevant|corresponding|moment|event|segment|clip|time|instance|occurrence)
    |\b(?:does|do|did|is|was|are|were)(?:\ not|n't)\ (?:actually\ |ever\ )?(?:happen|occur|appear|take\ place|exist|present|shown|depicted|
        found|contained|in\ the\ video)\b
    |\bnever\ (?:happens?|occurs?|appears?|takes?\ place|shown|seen)\b
    |\b(?:video|clip|footage)\ (?:does|do|did)(?:\ not|n't)\ (?:contain|show|include|depict|have|feature)\b
    |\b(?:cannot|can't|could\ not|couldn't)\ be\ found\b|\bnot\ found\ in\ the\ (?:video|clip)\b
    |\bnot\ present\ in\ the\ (?:video|clip)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
#: words that turn "does not appear" into a claim about a part of the video
_PARTLY = re.compile(
    r"\b(?:until|till|before|after|first|initially|beginning|half|at\ \d|yet|again|anymore|any\ longer|clear|clearly|sure|only|"
    r"but|however|although|though|while)\b|\d",
    re.IGNORECASE,
)
_LIST_GAP = re.compile(
    r"[\s,;&/|+*•·–-]*(?:and|then|also|plus|or|和|、|\d{1,2}[.)]|\(\d{1,2}\)|[\s,;&/|+*•·–-])*", re.IGNORECASE
)
_LINE_LABEL = re.compile(r"[^\n]{0,200}\n[^\n]{0,80}")
_SENTENCE = re.compile(r"[.!?](?=\s)|\n")


def chosen(text: str, found: Sequence[Range]) -> tuple[list[Range], bool, list[str]]:
    """The ranges that are the answer, whether that is ambiguous, and what was noticed."""
    reasons: list[str] = []
    kept = list(found)
    correction = last_match(_CORRECTION, text)
    if correction is not None:
        later = [r for r in kept if r.start >= correction.start()]
        if later and len(later) < len(kept):
            reasons.append("corrected: what stands before the correction is left out")
            kept = later
    context = {id(r): _before(text, r) for r in kept}
    denied = [r for r in kept if _DENIAL.search(context[id(r)]) and not re.search(r"\bbut\b", context[id(r)])]
    examples = [r for r in kept if _EXAMPLE.search(context[id(r)])]
    if denied:
        reasons.append("a range that the text denies")
    rest = [r for r in kept if r not in denied and r not in examples]
    if not rest:
        if kept and not denied:
            reasons.append("only an example")
        return [], bool(denied), reasons
    kept = rest
    for r in kept:
        if r.problem:
            reasons.append(r.problem)
    readable = [r for r in kept if not r.problem]
    if not readable:
        return [], True, reasons
    kept = readable
    if any(r.strength == 3 for r in kept):
        return [r for r in kept if r.strength == 3], False, reasons
    if _is_list(text, kept):
        return kept, False, reasons
    claims = [r for r in kept if _CLAIM.search(context[id(r)])]
    if claims:
        listed = _with_neighbours(text, kept, claims)
        return listed, False, reasons
    united = [r for r in kept if r.strength == 2]
    if united and len(united) < len(kept):
        kept = united
    if len(kept) == 1 or _is_list(text, kept) or len({tuple(r.spans) for r in kept}) == 1:
        return kept if len({tuple(r.spans) for r in kept}) > 1 else kept[:1], False, reasons
    reasons.append(f"{len(kept)} ranges, and nothing says which is the answer")
    return kept, True, reasons


def denies(text: str) -> bool:
    """Whether a text without any range says that it is not there.

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
    """What the range's sentence says before it."""
    return text[_sentence_start(text, r.start) : r.start]


def _is_list(text: str, kept: Sequence[Range]) -> bool:
    return all(_listed(text, a, b) for a, b in zip(kept, kept[1:], strict=False))


def _listed(text: str, a: Range, b: Range) -> bool:
    """Whether nothing but list signs, or one label a line, stands between two ranges."""
    gap = text[a.end : b.start]
    if len(gap) > 300:
        return False
    if _LIST_GAP.fullmatch(gap) or re.fullmatch(r"\W*", gap):
        return True
    words = re.sub(r"\b(?:s|secs?|seconds?|and|then|also|again|from|between|at|in|to)\b", " ", gap, flags=re.IGNORECASE)
    if re.fullmatch(r"\W*", words):
        return True
    # "Segment 1: 3 to 5\nSegment 2: 9 to 12"
    labelled = re.fullmatch(
        r"\W*\n?\W*(?:segment|event|clip|part|span|moment|interval|occurrence|time)\W*\d{0,2}\W*", words, re.IGNORECASE
    )
    return labelled is not None


def _with_neighbours(text: str, kept: Sequence[Range], claims: Sequence[Range]) -> list[Range]:
    """The claimed ranges and those that form a list with them."""
    out: list[Range] = []
    for r in kept:
        if r in claims or (out and out[-1] is kept[kept.index(r) - 1] and _listed(text, out[-1], r)):
            out.append(r)
    return out

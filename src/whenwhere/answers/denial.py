"""What a text says is not there: whether it denies the whole event, and whether it denies a range of time.

A denial that is read as an answer is a parser's worst fault: a right "it is not there" becomes a claim, and a wrong
claim is paid for. So a denial near a range counts against the range, unless the text limits the denial ("not until
12 s", "no other moment") or claims the range in its own words ("the event happens from"). There are three strengths:

- `EVENT`: the event is denied ("no such event", "the query does not match the video");
- `THING`: something is said not to be there ("no dog is visible", "nobody opens the door");
- `NEGATED`: a sentence is negated ("the man does not open the door"), which makes ranges after it doubtful and is
  never absence by itself.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from whenwhere.answers.ranges import Range
from whenwhere.answers.thought import last_match

_SEEN = (
    r"(?:visible|seen|shown|present|found|detected|depicted|observed|featured|identified|spotted|appear(?:s|ed|ing)?|"
    r"occur(?:s|red|ring)?|happen(?:s|ed|ing)?|exist(?:s|ed)?|takes?\ place|shows?\ up|match(?:es|ing)?|"
    r"correspond(?:s|ing)?|fits?|relevant|there|evidence)"
)
_VERB = r"(?:do|does|did|is|are|was|were|has|have|had|can|could|will|would)(?:\ not|n't|not)"
#: An answer, or its first sentence, that consists of a denial.
WHOLE = re.compile(
    r"""
    \W*(?:none|null|nil|n/?a|nothing|never|absent|there\ (?:is|are)\ none|no\ answer
        |not\ (?:present|found|applicable|there|visible|shown|seen|in\ the\ video)
        |no\ (?:(?:such|relevant|matching)\ )?(?:event|moment|segment|clip|match(?:es)?)s?
        |there\ (?:is|are)\ no\ [\w\ '-]{1,60}\ in\ (?:the|this)\ (?:video|clip))\W*
    """,
    re.IGNORECASE | re.VERBOSE,
)
EVENT = re.compile(
    r"""
    \bno\ (?:such|matching|relevant|corresponding)\ [\w\ ]{0,40}
        \b(?:event|moment|segment|clip|action|scene|interval|content|object|person|thing|span)
    |\bthere\ (?:is|are|was|were)\ no
        \ (?:such|matching|relevant|corresponding|moment|event|segment|clip|time|instance|occurrence)
    |\b(?:does|do|did|is|was|are|were)(?:\ not|n't)\ (?:actually\ |ever\ )?
        (?:happen|occur|appear|take\ place|exist|present|shown|depicted|found|contained|in\ the\ video|match\ any)\b
    |\bnever\ (?:happens?|occurs?|appears?|takes?\ place|shown|seen)\b
    |\b(?:video|clip|footage)\ (?:does|do|did)(?:\ not|n't)\ (?:contain|show|include|depict|have|feature)\b
    |\b(?:video|clip|footage)\ (?:contains|shows|has|includes|features|depicts)\ no\ [a-z]
    |\A\W*(?:not\ (?:found|present|visible|shown|there)|none|absent|n/a)\s?[,:(]|\bnot\ happening\b
    |\b(?:query|description|sentence|request)\ (?:does|do|did|is)(?:\ not|n't)\ (?:match|correspond|relevant)
    |\b(?:could|can|did)(?:\ not|not|n't|'t)\ (?:find|see|locate|identify|detect|spot)
        \ (?:the|this|that|any|such|it|an?)\b
    |\b(?:unable|failed)\ to\ (?:find|see|locate|identify|detect|spot)\b
    |\bis\ (?:absent|missing)\ from\ (?:the|this)\ (?:video|clip)\b
    |\b(?:event|action|query|moment)\ is\ (?:absent|missing)\b
    |\b(?:cannot|can't|could\ not|couldn't)\ be\ found\b|\bnot\ (?:found|present)\ in\ the\ (?:video|clip)\b
    |\bnothing\ (?:in\ (?:the|this)\ (?:video|clip)\ )?(?:matches|corresponds|fits)\b
    |\banswer\ is\W{1,3}(?:none|null|nothing|n/a)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
THING = re.compile(
    rf"""
    \b(?:no|neither|none\ of)\ [^.!?;:,\n]{{1,60}}?\b{_SEEN}\b
    |\bnone\ of\ [^.!?;:,\n]{{1,60}}\b(?:shows?|contains?|includes?|depicts?)\b
    |\A\W*no\ (?:[\w-]+\ ){{0,2}}[\w-]+[.;]?\s*\Z|\bat\ no\ (?:time|point)\b|\bnowhere\b|\blacks?\ [a-z]
    |\bthere(?:'s\ no|\ (?:is|are|was|were)\ (?:no|not\ an?y?)|\ (?:isn't|aren't|wasn't|weren't)(?:\ an?y?)?)\ [a-z]
    |\b{_VERB}\ (?:actually\ |ever\ |at\ all\ )?{_SEEN}\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
NEGATED = re.compile(
    rf"(?<!who\ )(?<!which\ )(?<!that\ )\b(?:{_VERB}|cannot|can't|never)\b"
    r"|\A\W*no(?:,\ (?!it\b|that\b|from\b|between\b|at\b|\d|the\ (?:event|correct|right|answer))|[.;]?\Z)"
    r"|\b(?:nobody|nothing|no\ one|no-one)\ [a-z]|\b(?:is|are|was|were)\ (?:absent|missing)\b"
    r"|\bwithout\ any\ [a-z]|\bfail(?:s|ed)?\ to\ [a-z]|\b(?:instead\ of|rather\ than)\ [a-z]+ing\b|'s\ not\b",
    re.IGNORECASE | re.VERBOSE,
)
_STRENGTHS: tuple[tuple[Literal["event", "thing", "negated"], re.Pattern[str]], ...] = (
    ("event", EVENT),
    ("thing", THING),
    ("negated", NEGATED),
)
_EVENT_HINT = re.compile(r"\b(?:no|not|never|none|nothing|cannot|unable|failed|absent|missing)\b|n't\b", re.IGNORECASE)
#: Phrases that look like a denial and deny nothing about the event.
_HARMLESS = re.compile(
    r"\bno,? wait\b|\bno (?:doubt|longer|later|earlier|sooner|more than|less than|fewer than|matter|problem|need|exact|"
    r"precise|explicit|specific|clear)\b|\bnot only\b|\b(?:not|n't|cannot) "
    r"(?:be |been |entirely |completely |very |quite )?(?:sure|certain|clear|explicitly|exactly|precisely|directly|"
    r"clearly|necessarily|specified|stated)\b|"
    r"\bwithout (?:a |any )?(?:doubt|question)\b|\bnever ?mind\b",
    re.IGNORECASE,
)
#: Words that limit a denial to a part of the video, or to everything but the answer.
_LIMITS = (
    r"until|till|before|after|first|initially|beginning|half|yet|again|anymore|any longer|other|others|else|elsewhere|"
    r"another|further|additional|rest|outside|otherwise|afterwards?|later|earlier|previously"
)
_LIMITED = re.compile(rf"\b(?:{_LIMITS})\b", re.IGNORECASE)
#: Words with which a sentence is not a denial of the whole event.
_PARTLY = re.compile(rf"\b(?:{_LIMITS}|clear|clearly|sure|only)\b|\d", re.IGNORECASE)
_GOES_ON = re.compile(r"\b(?:but|however|although|though|while)\b", re.IGNORECASE)
_TURN = re.compile(r"\b(?:but|instead|rather|however|actually)\b", re.IGNORECASE)
_BREAK = re.compile(r"[,;:]|\b(?:but|instead|rather|however|actually|and|so|until|till|before)\b", re.IGNORECASE)
_CLAUSE_END = re.compile(r"[,;:]\s|\b(?:and|but|who|which|that|while|because|since|as|then)\b", re.IGNORECASE)
_UNIT = re.compile(r"\A\W*(?:s|secs?|seconds?|minutes?)?\b(?: marks?)?(?: of the (?:video|clip))?\W*", re.IGNORECASE)
_LABEL = re.compile(
    r"\b(?:final|answer|time|range|span|stamps?|timestamps?|start|from|between|segment|interval|event)\b", re.IGNORECASE
)
#: A claim that holds even beside a denial.
_CLAIM = re.compile(
    r"\b(?:(?<!what )(?:happen(?:s|ed|ing)?|occur(?:s|red|ring)?)|takes? place|took place|answer is|answer:|"
    r"(?:the|this|described|relevant|queried|target) (?:event|moment|action|segment|query) (?:is|was|starts?|begins?|"
    r"runs?|lasts?|corresponds?|can be))",
    re.IGNORECASE,
)
#: A sentence that is quoted inside another: "The event 'no dog is visible' happens in 12 - 17 seconds."
_QUOTED = re.compile(r"(?<=\w )(?:'[^'\n]{1,200}'(?!\w)|\"[^\"\n]{1,200}\")")
_RELATIVE = re.compile(r"\b(?:where|when|who|which|that|while)\ (?:there\ )?$", re.IGNORECASE)
_EXCLUDED = re.compile(r"\b(?:not|rather than|instead of)\W+(?:from |between |in |at |during )?\W*$", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?;](?=[\s\"'*<)\]}]|$)|\n")
_REACH = 400  # characters of a sentence, on each side of a range, that are weighed


@dataclass(frozen=True, slots=True)
class Doubts:
    """What a text's denials do to its ranges.

    Attributes:
        denied: Ids of ranges that their own sentence denies or excludes.
        doubted: Ids of ranges that the sentences around them make doubtful.
        absent: Whether the text denies the event as a whole, and nothing in it speaks for a range.
    """

    denied: frozenset[int] = frozenset()
    doubted: frozenset[int] = frozenset()
    absent: bool = False


class _Sentences:
    """The sentences of a text, and which of them deny something."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.ends = [m.end() for m in _SENTENCE_END.finditer(text)]
        if not self.ends or self.ends[-1] < len(text):
            self.ends.append(len(text))

    def number(self, at: int) -> int:
        """Number of the sentence at a character."""
        return min(bisect_right(self.ends, at), len(self.ends) - 1)

    def bounds(self, number: int) -> tuple[int, int]:
        """First character of a sentence, and the one after its last."""
        return (self.ends[number - 1] if number else 0), self.ends[number]

    def around(self, r: Range) -> tuple[str, str]:
        """What stands in the same sentence before and after a range."""
        start, end = self.bounds(self.number(r.start))[0], self.bounds(self.number(max(r.start, r.end - 1)))[1]
        return self.text[max(start, r.start - _REACH) : r.start], self.text[r.end : min(end, r.end + _REACH)]

    def denials(self) -> dict[int, str]:
        """Strength of the denial of each sentence that denies something without a limit, by its number."""
        out: dict[int, str] = {}
        first = True
        for number in range(len(self.ends)):
            start, end = self.bounds(number)
            said = self.text[start : min(end, start + 2 * _REACH)]
            if not said.strip():
                continue
            if first and WHOLE.fullmatch(said):
                out[number] = "event"
            first = False
            for strength, pattern in _STRENGTHS if number not in out else ():
                denial = _last_denial(pattern, said)
                if denial is not None:
                    if not _PARTLY.search(said) and not _GOES_ON.search(said, denial.end()):
                        out[number] = strength
                    break
        return out


def doubts(text: str, found: Sequence[Range], since: int = 0) -> Doubts:
    """Which ranges of a text its denials speak against.

    Args:
        text: The text.
        found: Ranges in it.
        since: Index of the character before which denials were taken back.
    """
    text = " " * since + text[since:]
    if found:
        text = _QUOTED.sub(lambda m: " " * len(m[0]), text)
    sentences = _Sentences(text)
    denials = sentences.denials()
    denied: set[int] = set()
    doubted: set[int] = set()
    stands = False
    for r in found:
        before, after = sentences.around(r)
        if _EXCLUDED.search(before) or _denied(before, after):
            denied.add(id(r))
        elif not _CLAIM.search(before + " " + after):
            at = sentences.number(r.start)
            against = {s for n, s in denials.items() if n != at and (n < at or s != "negated")}
            leads = not re.search(r"\w", _LABEL.sub(" ", text[: r.start])) if r.start < _REACH else False
            named = r.strength == 3
            if "event" in against or ("thing" in against and not named):
                doubted.add(id(r))
                stands |= leads or named
            elif "negated" in against and not named:
                doubted.add(id(r))
                stands = True
        else:
            stands = True
    absent = not stands and any(s in ("event", "thing") for s in denials.values())
    return Doubts(frozenset(denied), frozenset(doubted), absent)


def _last_denial(pattern: re.Pattern[str], said: str) -> re.Match[str] | None:
    """The last denial of this strength that is not a harmless phrase."""
    found = last_match(pattern, said)
    if found is None or not _HARMLESS.search(said):
        return found
    return last_match(pattern, _HARMLESS.sub(lambda m: " " * len(m[0]), said))


def _denied(before: str, after: str) -> bool:
    """Whether the words around a range, in its own sentence, deny it."""
    for _, pattern in _STRENGTHS:
        denial = _last_denial(pattern, before)
        if denial is not None and not _taken_up(before, denial):
            return True
    if _CLAIM.search(before):
        return False
    rest = _UNIT.sub("", after)
    turned = _CLAUSE_END.search(rest)
    clause = rest[: turned.start()] if turned else rest
    if any(_last_denial(pattern, clause) is not None for _, pattern in _STRENGTHS) and not _LIMITED.search(clause):
        return True
    general = any(_last_denial(pattern, rest) is not None for pattern in (EVENT, THING))
    return general and not _LIMITED.search(rest)


def _taken_up(before: str, denial: re.Match[str]) -> bool:
    """Whether the sentence turns from its denial to a claim: "not before 12 s, but the event happens from"."""
    tail = before[denial.end() :]
    if _CLAIM.search(before, denial.start()) and _RELATIVE.search(before[max(0, denial.start() - 20) : denial.start()]):
        return True
    breaks = last_match(_BREAK, tail)
    if breaks is None:
        return False
    if re.search(r"\d[^,;:]{0,80}(?:,|\bbut\b)(?!\s(?:or|nor|and)\b)", tail):
        return True  # the denial is about an earlier range
    turn = _TURN.search(tail)
    limited = turn is not None and re.search(rf"\b(?:{_LIMITS})\b|\d", tail[: turn.start()], re.IGNORECASE)
    return bool(_CLAIM.search(tail, breaks.end()) or limited or breaks[0].lower() in ("until", "till", "before"))


def denies(text: str) -> bool:
    """Whether a text without any range says that the event is not there.

    >>> denies("The event does not occur in the video."), denies("He does not appear until the end.")
    (True, False)
    >>> denies("None"), denies("None of the people sit.")
    (True, False)
    """
    return doubts(text, ()).absent


def denies_event(text: str, answer: bool = False) -> bool:
    """Whether a value of a dictionary says that the event is not there; in an `answer`, a denied thing is the event."""
    if not _EVENT_HINT.search(text):
        return False
    said = _Sentences(text[:_REACH]).denials().values()
    return "event" in said or (answer and "thing" in said)

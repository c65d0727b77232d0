"""Which written text a sentence asks for, if it asks for any.

A sentence about text says it in one of a few ways: it quotes it (`the sign "EXIT"`), it names a thing that carries text
and a verb of saying (`the sign says exit`), it calls it a word or a title (`the word goal appears`), or it asks for any
text at all (`subtitles appear`). What people say aloud is no text: `the man says "hello"` is left alone.
"""

import re
from dataclasses import dataclass

#: Things that carry text, or are text.
_CARRIERS = (
    "text|texts|words?|letters?|letterings?|captions?|subtitles?|titles?|title cards?|headings?|headlines?|signs?|"
    "signboards?|labels?|banners?|posters?|billboards?|plates?|messages?|slogans?|slides?|writings?|inscriptions?|"
    "credits|watermarks?|tickers?|screens?|monitors?|displays?|boards?|blackboards?|whiteboards?|scoreboards?|logos?|"
    "t-shirts?|shirts?|jerseys?|hats?|caps?|notices?|placards?|notes?|pages?|papers?|books?|covers?|doors?|walls?|"
    "buttons?|stickers?|packages?|packets?|boxes|box|bottles?|trucks?|vans?|buses|bus|phrases?|names?"
)
#: Text itself, which may be asked for without saying what it is.
_TEXTS = (
    "(?:on-?screen )?(?:text|texts|words|letters|lettering|writing)|captions?|subtitles?|(?:the )?titles?|title cards?|"
    "(?:the )?(?:end |opening |closing )?credits|a headline|headlines|an inscription|a watermark|a slogan"
)
_SAYS = "says?|saying|reads?|reading|spells?|spelling|labell?ed|titled|marked|inscribed"
_SHOWN = (
    "appears?|appearing|shows? up|comes? up|comes? on|pops? up|flash(?:es)?|fades? in|rolls?|scrolls?|runs? across|"
    "(?:is|are|being|gets?) (?:shown|visible|displayed|written|printed|painted|on|seen|readable|legible)|"
    "can be (?:seen|read)|(?:shown|displayed|written|printed|painted|visible)"
)
_GONE = "disappears?|vanish(?:es)?|fades? (?:out|away)|goes away|is gone|changes?|leaves?"
_WHERE = r"(?:\s+(?:up|there|clearly|briefly|again))*(?:\s+(?:on|in|at|across|over)\b.*)?"
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|„([^“”]+)[“”]|«([^»]+)»|‘([^’]+)’(?!\w)|(?<!\w)'([^']+)'(?!\w)")
_VOICE = re.compile(r"\b(?:say|shout|whisper|ask|yell|sing|scream|mention|tell|call|cr(?:y|ie)|repl(?:y|ie)|speak)"
                    r"(?:s|es|ing|ed)?\b|\bsaid\b|\bsang\b|\btold\b|\bvoice\b|\bnarrator\b", re.I)  # fmt: skip
_CARRIED = re.compile(rf"\b({_CARRIERS})(?: (?:that|which|on which|with))?\s+(?:{_SAYS})\s*:?\s+(.+)$", re.I)
_CALLED = re.compile(
    rf"\bthe (?:words?|text|title|caption|letters|phrase|headline|subtitle|slogan|inscription)\s+"
    rf"(?!(?:{_SHOWN}|{_GONE}|is|are|on|in|at|of|from|that|which|says?|reads?|can|for|and|or|to|with|about|over|all|"
    rf"behind|loads?|shows?|introducing|first|last|screens?|sequences?|pages?|cards?|splash|slides?|shots?|bars?|"
    r"box(?:es)?|overlays?)\b)"
    rf"(.+?)(?=\s+(?:{_SHOWN}|{_GONE}|is|are|and|then|flash(?:es|ing)?|over|all over|behind)\b|"
    r"\s+(?:on|in|at|across) (?:the|an?|it|his|her|their)\b|[.,;]|$)",
    re.I,
)
_WRITTEN = re.compile(
    r"^(?!(?:an?|the|some|something|text|words?|letters?|it|there)\b)((?:\S+ ){0,4}\S+)\s+(?:is|are)\s+"
    r"(?:written|inscribed)\s+(?:on|in|at|across)\b",
    re.I,
)
_CAPITALS = re.compile(r"(?<!\w)[A-Z][A-Z0-9'&!]+(?:[ -][A-Z0-9][A-Z0-9'&!]*)*(?!\w)")
_IN_CAPITALS = re.compile(
    rf"({_CAPITALS.pattern})\s+(?:logos?|signs?|text|letters|lettering|banners?|labels?|captions?)\b"
)
_ANY = re.compile(
    r"^(?:(?:the )?(?:first |last )?time (?:when |that )?|when |the moment |a |an |the |some |any |all |"
    rf"there (?:is|are) )*(?:[a-z-]+ )?(?:{_TEXTS})(?:\s+(?:{_SHOWN}))?{_WHERE}[.!?]?$",
    re.I,
)
_ON_SCREEN = re.compile(rf"\b(?:{_CARRIERS})\b|\b(?:written|displayed|printed)\b|\bon[- ]screen\b", re.I)
_NEGATED = re.compile(r"\b(?:no|not|without|never|nothing)\b|n't\b", re.I)
_ENDING = re.compile(rf"\b(?:{_GONE})\b", re.I)
#: Where a text stands, which is not looked at.
_PLACE = re.compile(r"\b(?:on|in|at|across|over) (?:the|an?|his|her|their) \w+|^\s*(?:the|an?) \w+[.!?]?$", re.I)
_TAIL = re.compile(rf"\s+(?:(?:{_SHOWN}){_WHERE}|(?:on|in|at|across|over) (?:the|a|an|his|her|their)\b.*)$", re.I)
#: Words that add nothing to "the sign says X".
_EMPTY = frozenset(
    re.findall(
        r"[\w-]+",
        "a an the is are be of on in at with that which when where there this these it its and to appears appear shown "
        "show shows visible displayed written printed painted seen can screen sign text word words title caption says "
        "say saying reads read reading time moment someone picture video letters on-screen up comes come big large "
        "small does do",
    )
)
#: A word or number of a text.
WORD = re.compile(r"[^\W_]+")
#: Most words of text that are looked for, and most words that may be left over: a story is not about its text.
_LONGEST, _LEFT = 16, 6
#: Most words besides a quotation that need not name anything that carries text.
_FEW = 5


@dataclass(frozen=True)
class TextQuery:
    """Which text is asked for.

    Attributes:
        words: Its words in lower case; empty for any text.
        extra: Words of the sentence that say more than that the text is there, and were not understood.
        which: 1 for the first time, -1 for the last, 0 for every time.
    """

    words: tuple[str, ...]
    extra: tuple[str, ...] = ()
    which: int = 0


def text_words(text: str) -> tuple[str, ...]:
    """The words and numbers of a text, in lower case.

    >>> text_words("Chapter 2: the Harbour!")
    ('chapter', '2', 'the', 'harbour')
    """
    return tuple(word.casefold() for word in WORD.findall(text))


def read_text_query(query: str) -> TextQuery | None:
    """The text that a sentence asks for; None if it asks for something else.

    Args:
        query: The sentence.

    >>> read_text_query('the sign "EXIT"').words, read_text_query("the sign says no entry").words
    (('exit',), ('no', 'entry'))
    >>> read_text_query("the word goal appears on the screen").words, read_text_query("subtitles appear").words
    (('goal',), ())
    >>> read_text_query('the man says "hello"'), read_text_query("a man reads a book")
    (None, None)
    """
    text = " ".join(query.split())
    found = _wanted(text)
    if found is None:
        return None
    wanted, rest = found
    words = text_words(wanted)[:_LONGEST]
    if wanted and not words:
        return None
    which = 1 if re.search(r"\bfirst time\b", text) else -1 if re.search(r"\blast time\b", text) else 0
    told = {*_EMPTY, *(("first", "last") if which else ())}
    extra = [w for w in text_words(_PLACE.sub(" ", rest)) if w not in told and not re.fullmatch(_CARRIERS, w)]
    return TextQuery(words, tuple(extra) if words else (), which) if len(extra) <= _LEFT else None


def _wanted(text: str) -> tuple[str, str] | None:
    """The text that is asked for, empty for any, and the rest of the sentence."""
    quoted = [(next(g for g in m.groups() if g), m) for m in _QUOTED.finditer(text)]
    if quoted:
        rest = _QUOTED.sub(" ", text)
        spoken = _VOICE.search(rest)
        if spoken and not _ON_SCREEN.search(rest[: spoken.start()]):
            return None
        if _NEGATED.search(rest) or not (
            _ON_SCREEN.search(rest) or (len(text_words(rest)) <= _FEW and len(quoted[0][0]) > 1)
        ):
            return None
        return " ".join(q for q, _ in quoted), rest
    if _NEGATED.search(_CARRIED.sub(" ", text)):
        return None
    if m := _CARRIED.search(text):
        said = _capitals(m[2]) or _TAIL.sub("", m[2])
        return said, f"{text[: m.start()]} {_TAIL.sub('', m[2]).removeprefix(said)}"
    if _ANY.match(text) and not _ENDING.search(text):
        return "", ""
    if (m := _CALLED.search(text)) and len(m[1].split()) <= 8:
        return _capitals(m[1]) or m[1], text[: m.start()] + text[m.end() :]
    if m := _WRITTEN.match(text):
        return m[1], text[m.end() :]
    if not text.isupper() and (m := _IN_CAPITALS.search(text)) and len(m[1]) > 2:
        return m[1], text[: m.start()] + text[m.end() :]
    return None


def _capitals(rest: str) -> str:
    """The capitals or number with which a text begins, so that what follows is not taken for a part of it."""
    m = _CAPITALS.match(rest) or re.match(r"\d[\d:.,]*\b", rest)
    return m[0] if m and m.end() < len(rest) and not rest.isupper() else ""

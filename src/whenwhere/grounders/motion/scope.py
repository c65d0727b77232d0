"""The scope of a sentence: what it denies, counts, repeats or offers as alternatives, found before anything is ranked.

The other rules read properties of one thing, and a word such as "no", "or" or "every" changes which answer is right
without adding a property. What can be answered is put into a form that can: "there is no red car" is the time outside
that of the red car, "a dog or a cat" is two sentences. What cannot be answered is reported word for word
(`unapplied_parts`), and then no answer is given: a sentence must never be answered as if such a word were not there.
"""

import re

from whenwhere.grounders.motion import lexicon as lex


def _words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


_PICTURE = r"(?:the |this )?(?:screen|shot|frame|picture|video|view|clip|footage|scene|sight|image|camera)"
_SEEN = (
    r"(?:there|here|around|visible|present|in sight|(?:to be |being |be )?(?:seen|shown)|"
    rf"(?:in|on) {_PICTURE})"
)
_BE = r"(?:is|are|was|were|be)"
#: (relation, pattern): the thing `x` is denied to be there. "not": outside its time; "after": once it is gone.
_DENIED_PRESENCE: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (relation, re.compile(pattern))
    for relation, pattern in (
        ("after", rf"^(?P<x>.+?) (?:{_BE}|can|has) no longer (?:be )?{_SEEN}$"),
        ("after", rf"^(?P<x>.+?) {_BE} not (?:be )?{_SEEN} any ?more$"),
        ("after", rf"^(?P<x>.+?) {_BE} gone$"),
        ("before", rf"^(?P<x>.+?) {_BE} not {_SEEN} yet$|^(?P<y>.+?) {_BE} not yet {_SEEN}$"),
        ("not", rf"^(?P<x>.+?) (?:{_BE}|can|could) ?not (?:be )?{_SEEN}(?: at all)?$"),
        ("not", rf"^(?P<x>.+?) {_BE} (?:absent|invisible|unseen|missing|away|elsewhere|off[- ]?(?:screen|camera)|"
                rf"nowhere(?: {_SEEN})?|out of {_PICTURE})$"),
    )
)  # fmt: skip
_NONE = re.compile(
    r"^(?:(?:there )?(?:is|are|was|were) (?:there )?|(?:we|you) (?:can )?see |with )?(?:"
    r"(?P<who>no one|no-one|nobody|not (?:any|a single) (?:one|body|person))|"
    r"(?:no|not any|not a single|not a|not an|without (?:any|a|an)|without(?= the )|without)) (?P<x>.+)$"
)
#: Words that deny, where no rule has turned them into something that can be seen ("isn't moving": stands still).
_DENIALS = _words(
    "no not never nor neither none nobody nothing nowhere without except excluding cannot hardly barely scarcely lacks "
    "lacking missing absent unlike no-one nope non sans"
)
_DENYING_PHRASES = (
    r"(?:any|every|all|no)(?:one|body|thing)?(?: \S+)? but", r"apart from", r"aside from", r"other than",
    r"instead of", r"rather than", r"fail(?:s|ed|ing)? to", r"refus(?:es?|ed|ing) to", r"free of", r"devoid of",
    r"(?:absence|lack) of", r"yet to",
    r"(?:is|are|was|were|stays?) (?:empty|deserted)", r"^(?:(?:the|an?) )?(?:empty|deserted) \S+$",
)  # fmt: skip
#: Not after these words: "the left half of the picture" is a place, "half of the cars" are a number.
_SHARE = "".join(f"(?<!{side} )" for side in ("left", "right", "hand", "top", "upper", "bottom", "lower"))
#: Phrases that count, compare or choose in a way that no rule can apply.
_UNSUPPORTED = (
    r"second[- ]to[- ]last", r"next[- ]to[- ]last", r"penultimate", r"last(?: \S+)? but (?:one|two)",
    r"(?:first|last|next) (?:two|three|four|five|few|several|couple)(?: \S+)?",
    r"(?:twice|thrice|repeatedly|over and over|again and again)", r"every other \S+",
    r"(?:two|three|four|five|six|several|many|a few|a couple of|some) times",
    r"the others?(?: (?!side|end|way|direction|hand|edge|corner|half|lane)\S+|$)",
    rf"(?:most|{_SHARE}half|many|few|some) of(?: the)? \S+", r"(?:most|many|fewer) (?!second|minute|moment|time)\S+s",
    rf"{_SHARE}half the \S+", r"(?:at least|at most|exactly|more than|fewer than|less than) \S+(?: \S+)?",
    r"(?<!the )only (?!after|before|once|when|while|until)\S+", r"by the time",
    r"one (?:after|by) (?:one|another|the other)",
    r"(?:^|(?<=as )|(?<=while )|(?<=when )|(?<=and ))(?:the )?camera (?:\S+ly |then |first )?"
    r"(?:zoom|pan|move|tilt|turn|shake|focus|follow|shift|swing|cut|track)"
    r"(?:e?s|ed|ing)?",
    r"(?:^|(?<=time )|(?<=moment )|(?<=part )|(?<=happens ))between \S+(?: \S+){0,2}",
)  # fmt: skip
_NEAR = re.compile(
    r"\b(?:right|just|shortly|immediately|directly|soon|long|well|briefly|moments?|a (?:bit|little|moment|while|"
    r"second|minute)|(?:\S+ )?(?:seconds?|minutes?|moments?)) (?:before|after)\b"
)
_IRREGULAR = _words("men women children people persons folk folks mice geese traffic")


def plain(sentence: str) -> str:
    """The sentence in lower case with straight apostrophes, single spaces and "n't" as "not"."""
    text = " ".join(sentence.lower().replace("’", "'").split())
    text = re.sub(r"\b(ca|wo)n't\b", lambda m: {"ca": "can", "wo": "will"}[m[1]] + " not", text)
    text = re.sub(r"\b(is|are|was|were|do|does|did|has|have|had|could|would|should)n(?:'t|t)\b", r"\1 not", text)
    return re.sub(r"[?!.]+$", "", text.replace("cannot", "can not"))


def denied_presence(text: str) -> tuple[str, str] | None:
    """The relation of the answer to what is denied to be there, and that in words; None if nothing plain is denied.

    >>> denied_presence("the red car is not visible"), denied_presence("no red car drives up")
    (('not', 'the red car'), ('not', 'every red car drives up'))
    >>> denied_presence("the red car is no longer there"), denied_presence("the man is not in a black jacket")
    (('after', 'the red car'), None)
    """
    for relation, pattern in _DENIED_PRESENCE:
        m = pattern.match(text)
        if m is not None:
            named = m.groupdict()
            # "The box stands there until it is gone" tells an event and denies nothing.
            return _plain_thing(relation, named["x"] or named.get("y") or "", _CLAUSES)
    if re.sub(r"^(?:there )?(?:is|was) (?:there )?", "", text) in ("nobody", "no one", "no-one"):
        return "not", "every person"
    m = _NONE.match(text)
    if m is None or re.match(r"(?:longer|more|one of|sooner|matter)\b", m["x"]):
        return None
    if m["who"]:
        return _plain_thing("not", f"every person {m['x']}")
    return _plain_thing("not", m["x"] if text.startswith("without the ") else f"every {m['x']}")


#: Words that make more of a phrase than the name of a thing.
_CLAUSES = frozenset(lex.RELATIONS) | _words("and it he she they")


def _plain_thing(relation: str, words: str, but: frozenset[str] = frozenset()) -> tuple[str, str] | None:
    """The relation and the words, if these deny nothing themselves and contain none of some words; else None."""
    return None if (_DENIALS | but) & set(words.replace(",", " , ").split()) or "," in words else (relation, words)


def alternatives(text: str) -> list[str]:
    """The sentences that "or" offers, each whole; empty if there is no "or" or it cannot be divided.

    >>> alternatives("the red car or the white car drives up")
    ['the red car drives up', 'the white car drives up']
    >>> alternatives("a red or white car"), alternatives("a car drives up or down")
    (['a red car', 'a white car'], ['a car drives up', 'a car drives down'])
    >>> alternatives("a man sits or waits for somebody")
    []
    """
    words = re.sub(r"\b(?:either|whether) ", "", text).split()
    if words.count("or") != 1:
        return []
    at = words.index("or")
    first, second = words[:at], words[at + 1 :]
    if not first or not second:
        return []
    one, other = first[-1], second[0]
    if _adjective(one) and _adjective(other):
        return [" ".join([*first, *second[1:]]), " ".join([*first[:-1], *second])]
    if lex.noun_kind(one) is None and lex.body_part(one) is None:
        return []
    head = next((i for i, w in enumerate(second) if lex.noun_kind(w) and not lex.colour_of(w)), None)
    if head is None or (head > 1 and other not in ("the", "a", "an", "another", "his", "her", "some", "any")):
        return []
    if lex.body_part(one) and not lex.body_part(second[head]):
        return [" ".join(first), " ".join(second)]  # "the man in the jacket or the woman": each as it stands
    return [" ".join([*first, *second[head + 1 :]]), " ".join(second)]


def _adjective(word: str) -> bool:
    """Whether a word may stand for another of its kind beside "or": a colour, a size, a side or a direction."""
    return bool(lex.colour_of(word)) or any(word in t for t in (lex.SIZES, lex.SIDES, lex.DIRECTIONS, lex.ORDINALS))


def unapplied_parts(text: str, reworded: str) -> list[str]:
    """The parts of a sentence that change its meaning and that no rule can apply, word for word.

    Args:
        text: The sentence in plain form (`plain`).
        reworded: The sentence as `query_rewriting.rewrite_query` leaves it.

    >>> unapplied_parts("a non-red car", "a non-red car"), unapplied_parts("a man isn't moving", "a man stands still")
    (['non-red car'], [])
    >>> unapplied_parts("any car but the red one", "car but the red one")
    ['any car but']
    """
    words = reworded.replace(",", " ,").split()
    for i, word in enumerate(words):
        if word in _DENIALS or word.startswith(("non-", "un-")) or word == "or":
            stop = next((k for k in range(i + 1, len(words)) if words[k] == ","), len(words))
            return [" ".join(words[i : min(stop, i + 4)])]
    found = [
        m.group() for p in (*_DENYING_PHRASES, *_UNSUPPORTED) if (m := re.search(rf"(?<![\w-])(?:{p})(?!\w)", text))
    ]
    beyond = re.search(r"\b(\w+(?:th|st|nd|rd)) (?:time|occasion)\b", text)
    if beyond and beyond[1] not in lex.ORDINALS:
        found.append(beyond.group())
    return list(dict.fromkeys(found))


def loosely_timed(text: str) -> bool:
    """Whether a sentence asks for a time shortly before or after something, whose length it does not tell.

    >>> loosely_timed("just before the red car comes"), loosely_timed("before the red car comes")
    (True, False)
    """
    return bool(_NEAR.search(text))


def is_plural(noun: str) -> bool:
    """Whether a noun of the lexicon names several things.

    >>> is_plural("cars"), is_plural("men"), is_plural("bus"), is_plural("lorries")
    (True, True, False, True)
    """
    if noun in _IRREGULAR:
        return True
    if not noun.endswith("s") or noun.endswith("'s"):
        return False
    return any(form != noun and form in nouns for nouns in lex.NOUNS.values() for form in lex.lemmas(noun))


#: Words that leave the main clause empty: "the time before the car comes", "what happens on the road before ..."
FILLERS = _words(
    "the a an on in at of and , this that what which who is are was were happens happening goes there all it rest "
    "time part moment period interval everything only just right shortly immediately directly soon long well briefly "
    "moments seconds second minutes minute road street lane room table floor place picture scene video clip one two "
    "three four five ten few some little bit while"
)

#: Words after which every thing or time that fits is meant.
_EVERY = _words("every each both all")
_EVERY_TIME = _words("whenever wherever always anytime")
_TIMES = re.compile(r"(?:times?|moments?|occasions?|parts?|bits?|points?|sections?|segments?|clips?|scenes?|places?)")


def asks_for_every(text: str, noun: str, event: bool) -> bool:
    """Whether the sentence asks for every thing or time that fits, not for one.

    "All the parts with the car" are the times of one car, "every time the car stops" are several of its stops.

    Args:
        text: The sentence as it was asked, in plain form (`plain`).
        noun: The word for the thing that is asked for.
        event: Whether the sentence names something that happens.

    >>> asks_for_every("every time a white car drives past", "car", False), asks_for_every("white cars", "cars", False)
    (True, True)
    >>> asks_for_every("the woman dressed all in black", "woman", False), asks_for_every("the car", "car", True)
    (False, False)
    """
    words = text.split()
    before = words[: words.index(noun)] if noun in words else words
    if is_plural(noun) or noun in ("everyone", "everybody"):
        return True
    article = next((w for w in reversed(before) if w in ("the", "a", "an", "any", "some", "this", "that")), "")
    for i, word in enumerate(before):
        if word == "both" and any(lex.noun_kind(w) == "hand" for w in words[i + 1 : i + 3]):
            continue  # "both arms" are those of one person
        if word == "any" and before[i + 1 : i + 2] == ["time"]:
            return True
        of_times = word in _EVERY_TIME or any(_TIMES.fullmatch(w) for w in before[i + 1 : i + 4])
        if word in _EVERY_TIME or (word in _EVERY and of_times):
            return event or article in ("a", "an", "any", "some")
        if word in _EVERY and word != "all":
            return True
    return False

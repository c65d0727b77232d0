"""Noun phrases of captions: a small chunker by rules, or a function of the user's, run once and kept in a file.

    >>> noun_phrases("A man in a red shirt is riding two brown horses near the swimming pool.")
    ['man', 'red shirt', 'brown horses', 'swimming pool']

The chunker knows closed classes (articles, prepositions, pronouns, auxiliaries), and the verbs and adjectives that are
common in captions (`noun_words`). Every other word is taken for a noun. A phrase is a run of adjectives and nouns that
ends in a noun; articles, numbers and possessives before it are left out. It needs no model: where a tagger is at hand,
`cached_nouns` takes any function from a caption to phrases, given as `module:function`.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from whenwhere.datasets import noun_words as known
from whenwhere.errors import SettingError
from whenwhere.readers import quoted
from whenwhere.store import read_lines, write_text

#: Raised when `noun_phrases` gives other phrases for the same caption.
NOUNS_VERSION = 1
RULES = "rules"
#: From a caption to its noun phrases.
NounExtractor = Callable[[str], Iterable[str]]
_TOKEN = re.compile(r"[A-Za-z0-9]+(?:['’.-][A-Za-z0-9]+)*|'s|[^\sA-Za-z0-9]")
_VOWELS = "aeiou"
_ADJECTIVE_ENDINGS = ("ful", "ous", "ish", "less", "ible")
_CLOSED = (
    ("relative", known.RELATIVES),
    ("determiner", known.DETERMINERS),
    ("pronoun", known.PRONOUNS),
    ("auxiliary", known.AUXILIARIES),
    ("conjunction", known.CONJUNCTIONS),
    ("preposition", known.PREPOSITIONS),
    ("adverb", known.ADVERBS),
    ("adjective", known.ADJECTIVES),
)


@lru_cache(maxsize=1)
def _verb_forms() -> dict[str, str]:
    """Every form of the known verbs, and which it is: `base`, `s`, `ing` or `ed`."""
    out: dict[str, str] = {}
    for verb in known.VERBS:
        stem = verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else verb
        double = (
            len(verb) > 2
            and verb[-1] not in "wxyaeiou"
            and verb[-2] in _VOWELS
            and verb[-3] not in _VOWELS
            and (len(verb) < 6 or verb in ("unplug", "unwrap", "snorkel"))
        )
        ending = verb[-1] if double else ""
        soft = verb.endswith(("s", "sh", "ch", "x", "z", "o"))
        consonant_y = verb.endswith("y") and verb[-2] not in _VOWELS
        third = f"{verb[:-1]}ies" if consonant_y else f"{verb}es" if soft else f"{verb}s"
        past = f"{verb[:-1]}ied" if consonant_y else f"{stem}{ending}ed"
        ing = f"{verb[:-2]}ying" if verb.endswith("ie") else f"{stem}{ending}ing"
        for form, kind in ((verb, "base"), (third, "s"), (ing, "ing"), (past, "ed"), (f"{stem}ing", "ing")):
            out.setdefault(form, kind)
    for form in known.IRREGULAR:
        out[form] = "ed"
    return out


def _kind(word: str) -> str:
    """Class of a word by itself; those of verbs are `verb-base`, `verb-s`, `verb-ing` and `verb-ed`."""
    for kind, words in _CLOSED:
        if word in words:
            return kind
    if word.isdigit():
        return "determiner"
    if word in known.FIRM_NOUNS:
        return "noun"
    form = _verb_forms().get(word)
    if form is not None:
        return f"verb-{form}"
    if word in known.PLURALS or word in known.NOUNS:
        return "noun"
    if word.endswith("ing") and len(word) > 5:
        return "verb-ing"
    if word.endswith("ed") and len(word) > 4:
        return "verb-ed"
    if word.endswith("ly") and len(word) > 4:
        return "break"
    if word.endswith(_ADJECTIVE_ENDINGS) and len(word) > 5:
        return "adjective"
    return "noun" if word[0].isalnum() else "stop"


def _is_plural(word: str) -> bool:
    return word in known.PLURALS or (word.endswith("s") and word not in known.UNCHANGED and not word.endswith("ss"))


def _resolved(words: Sequence[str]) -> list[str]:
    """What each word is in its sentence: `open` (begins a phrase), `adjective`, `noun` or `end`."""
    kinds = [_kind(word) for word in words]
    out: list[str] = []
    finite = ""  # the verb of this clause: `s`, `base`, `auxiliary`, or none yet
    earlier = ""  # that of the clause before, which "and" may continue
    for i, (word, kind) in enumerate(zip(words, kinds, strict=True)):
        before, last = (out[-1], kinds[i - 1]) if i else ("start", "start")
        previous = words[i - 1] if i else ""
        after = kinds[i + 1] if i + 1 < len(words) else "stop"
        if kind in ("stop", "conjunction"):
            finite, earlier = "", finite or earlier
        if kind in ("determiner", "relative"):
            found = "open"
        elif kind == "adjective":
            found = kind
        elif kind == "noun":
            verb = _unknown_verb(words, kinds, out, i, finite)
            finite = verb or finite
            # "men are fishing"
            fishing = last == "auxiliary" and previous != "'s" and word in known.FIRM_NOUNS
            found = "end" if verb or fishing else kind
        elif word == "'s":
            found = "open" if before == "noun" else "end"
        elif not kind.startswith("verb"):
            found = "end"
            finite = "auxiliary" if kind == "auxiliary" else finite
        elif kind in ("verb-ing", "verb-ed"):
            found = _participle(word, kind, before, last, after, i > 0 and previous in known.PREPOSITIONS)
        else:
            found = _noun_or_verb(kind, previous, before, last, after, finite, earlier)
            if last == "adjective" and i > 1 and words[i - 2] == "in" and kind == "verb-s":
                found = "end"  # "the lady in black dances"
            if found == "end" and (before in ("noun", "adjective", "start") or last == "pronoun" or kind == "verb-s"):
                finite = kind.removeprefix("verb-")
        out.append(found)
    return out


def _unknown_verb(words: Sequence[str], kinds: Sequence[str], out: Sequence[str], i: int, finite: str) -> str:
    """The form (`s` or `base`) of a word that only its place shows to be a verb; empty text if it is a noun."""
    after = kinds[i + 1] if i + 1 < len(words) else "stop"
    before = out[-1] if out else "start"
    if finite or words[i] in known.FIRM_NOUNS or words[i] in known.NOUNS or words[i] in known.PLURALS:
        return ""
    if before == "start":  # "Transfer the mixture"
        return "base" if after == "determiner" else ""
    if before != "noun":
        return ""
    first = max((k for k, found in enumerate(out) if found in ("open", "end")), default=-1)
    single = first >= 0 and out[first] == "open" and words[first] in ("a", "an")
    if single and _is_plural(words[i]):  # "a baker kneads dough": the head of such a phrase is no plural
        return "s"
    # "the judges applaud the singer"
    return ("s" if words[i].endswith("s") else "base") if after in ("determiner", "pronoun") else ""


def _participle(word: str, kind: str, before: str, last: str, after: str, after_preposition: bool) -> str:
    """What a word in -ing or -ed is: part of a phrase before a noun, a noun, or a verb."""
    if word in known.INTRANSITIVE and after == "noun" and last in ("start", "preposition", "conjunction"):
        return "adjective"  # "falling snow"
    goes_on = after in ("noun", "adjective", "verb-base", "verb-ed") or (after == "verb-ing" and kind == "verb-ed")
    if before in ("open", "adjective") and last != "relative":
        # "a running man", "the chopped onions"; "the meeting"
        return "adjective" if goes_on else "noun" if kind == "verb-ing" and before == "open" else "end"
    if (
        kind == "verb-ed"
        and after == "noun"
        and (after_preposition or last.startswith("verb") or last in ("start", "conjunction"))
    ):
        return "adjective"
    return "end"


def _noun_or_verb(kind: str, previous: str, before: str, last: str, after: str, finite: str,
                  earlier: str) -> str:  # fmt: skip
    """What a word is that is the base form or the -s form of a verb, and may be a noun of the same spelling."""
    verb_follows = after in ("verb-s", "auxiliary", "verb-ing")
    if previous == "'s" and before == "open":
        return "noun"
    if last == "relative" or previous == "to" or last in ("pronoun", "auxiliary", "adverb"):
        return "end"
    if before in ("open", "adjective"):
        return "noun"
    if before == "noun":
        if kind == "verb-s":  # "a dog runs", but "he rides past ski lifts"
            return "noun" if finite else "end"
        return "end" if _is_plural(previous) and not finite else "noun"
    if last == "preposition":
        return "noun"
    if last.startswith("verb"):
        return "noun"
    if last == "conjunction" and previous in ("and", "or"):
        return "noun" if kind == "verb-base" and earlier != "base" and not after.startswith("determiner") else "end"
    return "noun" if verb_follows or (kind == "verb-base" and after == "verb-base") else "end"


def _tokens(caption: str) -> list[str]:
    out = []
    for token in _TOKEN.findall(caption.replace("’", "'").lower()):
        stem, mark, rest = token.partition("'")
        if mark and rest in ("s", "") and stem:
            out += [stem, "'s"]
        else:
            out.append(token)
    return out


def noun_phrases(caption: str) -> list[str]:
    """The noun phrases of a caption in its order, in lower case, each once, without articles, numbers and possessives.

    Args:
        caption: A caption in English.

    >>> noun_phrases("Someone's dog runs after a man who carries the shopping bags")
    ['dog', 'man', 'shopping bags']
    """
    words = _tokens(caption)
    out: list[str] = []
    run: list[tuple[str, str]] = []

    def close() -> None:
        while run and run[-1][1] == "adjective" and not (len(run) == 1 and run[0][0] in known.ADJECTIVE_NOUNS):
            run.pop()
        if run:
            out.append(" ".join(word for word, _ in run))
        run.clear()

    for word, kind in zip(words, _resolved(words), strict=True):
        if kind in ("open", "end") or (kind == "adjective" and run and run[-1][1] == "noun"):
            close()
        if kind in ("adjective", "noun"):
            run.append((word, kind))
    close()
    return list(dict.fromkeys(out))


def singular(noun: str) -> str:
    """A noun phrase with its last word in the singular, so that `dogs` and `dog` count as one noun.

    Args:
        noun: A noun phrase in lower case.

    >>> [singular(n) for n in ("two women", "brown boxes", "tennis", "puppies", "glass", "knives", "horses")]
    ['two woman', 'brown box', 'tennis', 'puppy', 'glass', 'knife', 'horse']
    """
    start, _, word = noun.rpartition(" ")
    if word in known.PLURALS:
        word = known.PLURALS[word]
    elif _is_plural(word) and len(word) > 3:
        if word.endswith("ies") and len(word) > 4:
            word = f"{word[:-3]}y"
        elif word.endswith(("shes", "ches", "xes", "sses", "zes")):
            word = word[:-2]
        else:
            word = word[:-1]
    return f"{start} {word}".lstrip()


def open_extractor(name: str) -> NounExtractor:
    """The function that a name means: `rules`, or `module:function` of the user's.

    Args:
        name: The name.

    Raises:
        SettingError: There is no such function.
    """
    if name == RULES:
        return noun_phrases
    module, colon, function = name.partition(":")
    if not (colon and module and function):
        raise SettingError(f"nouns is {quoted(name)}: give 'rules', 'none', or module:function of a function of yours")
    try:
        found = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as e:
        raise SettingError(f"nouns is {quoted(name)}, which cannot be imported ({e}): give module:function") from e
    if not callable(found):
        raise SettingError(f"nouns is {quoted(name)}, which is not a function from a caption to its nouns")
    extractor: NounExtractor = found
    return extractor


def cached_nouns(captions: Iterable[str], name: str = RULES, file: Path | None = None) -> dict[str, tuple[str, ...]]:
    """The noun phrases of captions. Those that a file holds are read from it, the others are extracted and added to it.

    Args:
        captions: The captions; each is extracted once.
        name: `rules`, or `module:function` of a function from a caption to its noun phrases.
        file: JSON Lines file of captions and nouns. What another function extracted is left in it and not used. None
            keeps nothing.

    Raises:
        SettingError: There is no such function, or it returns something that is not a list of texts.
        RecordError: The file cannot be read.
        OutputError: The file cannot be written.
    """
    extract = open_extractor(name)
    by = f"{name}-{NOUNS_VERSION}" if name == RULES else name
    wanted = dict.fromkeys(captions)
    found: dict[str, tuple[str, ...]] = {}
    lines: list[str] = []
    if file is not None and file.is_file():
        for entry in read_lines(file):
            lines.append(json.dumps(entry, ensure_ascii=False))
            if entry.get("by") == by and isinstance(entry.get("nouns"), list) and entry.get("caption") in wanted:
                found[entry["caption"]] = tuple(map(str, entry["nouns"]))
    fresh = [caption for caption in wanted if caption not in found]
    for caption in fresh:
        given = extract(caption)
        nouns = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [None]
        if not all(isinstance(noun, str) for noun in nouns):
            raise SettingError(f"{name} did not return a list of texts for {quoted(caption)}: mend that function")
        found[caption] = tuple(map(str, nouns))
    if file is not None and fresh:
        lines += [json.dumps({"by": by, "caption": c, "nouns": found[c]}, ensure_ascii=False) for c in fresh]
        write_text(file, "".join(f"{line}\n" for line in lines))
    return found

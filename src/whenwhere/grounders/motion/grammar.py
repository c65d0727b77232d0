"""A small grammar of English for reading a query: tokens, clauses, base forms, events, nouns, subject and object.

Every position is an index into the list of words of one clause.
"""

import itertools
import re
from functools import cache

from whenwhere.grounders.motion import event_lexicon
from whenwhere.grounders.motion import lexicon as lex
from whenwhere.grounders.motion.query_rewriting import rewrite_query

_TOKEN = re.compile(r"[a-z0-9]+(?:[-'’][a-z0-9]+)*|,")


@cache
def _event_patterns() -> tuple[tuple[str, tuple[re.Pattern[str], ...]], ...]:
    """The compiled patterns of each event of `event_lexicon.EVENTS`, in its order."""
    gap = r"(?:\\S+ ){0,4}?"
    return tuple(
        (name, tuple(re.compile(r"(?<!\S)" + re.sub(r"_ ", gap, p) + r"(?!\S)") for p in patterns))
        for name, patterns in event_lexicon.EVENTS.items()
    )


#: Words that occur in the patterns of events, in base form.
VERBS = frozenset(re.findall(r"[a-z]+", " ".join(" ".join(p) for p in event_lexicon.EVENTS.values())))

#: Forms of verbs that are nouns after an article, also where a sentence ends.
_NOUNS_TOO = frozenset({"bend", "bike", "cycle", "head", "park", "race", "slide", "stop", "swing"})
_NOT_VERB_AFTER = frozenset({"the", "a", "an", "his", "her", "its", "their", "this", "my", "your"})

PREPOSITIONS = frozenset({
    "in", "with", "on", "at", "near", "to", "towards", "toward", "from", "behind", "beside", "by", "under", "over",
    "past", "into", "onto", "of", "around", "through", "between", "wearing", "holding", "carrying", "against", "using",
})  # fmt: skip


def query_tokens(sentence: str) -> list[str]:
    """The words and commas of a sentence, in lower case and in the plain wording that the grammar expects.

    Requests, fronted phrases and idioms are first put into plain words (`query_rewriting.rewrite_query`), apostrophes
    become straight, spellings of "T-shirt" become one word, and a shade is joined to its colour ("dark-blue").

    >>> query_tokens("A man's T-shirt, red")
    ['a', "man's", 'tshirt', ',', 'red']
    """
    text = (
        sentence.lower()
        .replace("’", "'")
        .replace("t-shirt", "tshirt")
        .replace("tee shirt", "tshirt")
        .replace("t shirt", "tshirt")
    )
    text = rewrite_query(text)
    # "can" is a container only after an article or "tin"
    words = _TOKEN.findall(re.sub(r"(?<!\ba)(?<!\bthe)(?<!\btin) can (be seen|be|you)?", " ", text))
    return _shades_joined(words)


def _shades_joined(words: list[str]) -> list[str]:
    """The words, with each shade joined to its colour: "jet black" is then no jet, and "lemon yellow" no fruit."""
    out: list[str] = []
    for word in words:
        # "dark blue", "jet black", "blue green", "sandy brown"; in "a light van", "light" stays alone
        if out and lex.colour_of(word) and (out[-1] in lex.SHADES or lex.colour_of(out[-1])) and out[-1] != "and":
            out[-1] += "-" + word
        else:
            out.append(word)
    return out


_DETERMINERS = frozenset({"a", "an", "the", "another", "his", "her", "its", "their", "some", "this", "that"})
#: Words with which a clause begins, after a comma that ends another one.
_OPENERS = frozenset({
    "a", "an", "the", "this", "that", "these", "those", "another", "some", "somebody", "someone", "he", "she", "it",
    "they", "there", "his", "her", "its", "their", "one", "two", "three", "on", "in", "from", "off", "out", "up",
    "down",
})  # fmt: skip


def clauses(words: list[str]) -> list[tuple[str | None, list[str]]]:
    """The clauses of a sentence as (relation, words): the main clause first, with relation None, then the others.

    The relation of another clause is "before", "after" or "while", whichever its conjunction means ("until" means
    "before"). The main clause has no words if the sentence consists of a time clause only.

    >>> clauses("before the red car comes".split())
    [(None, []), ('before', ['the', 'red', 'car', 'comes'])]
    >>> clauses("shortly before the bus comes , the dog runs".split())
    [(None, ['shortly', 'the', 'dog', 'runs']), ('before', ['the', 'bus', 'comes'])]
    """
    out: list[tuple[str | None, list[str]]] = [(None, [])]
    for i, word in enumerate(words):
        relation = lex.RELATIONS.get(word)
        if relation and _has_thing(word, words[i + 1 :]) and not (word == "as" and words[i + 1 : i + 2] == ["well"]):
            out.append((relation, []))
        else:
            out[-1][1].append(word)
    if len(out) > 1 and not any(is_noun(w) for w in out[0][1]):
        # "When the red car comes, a dog runs", "shortly before the bus comes, ...": the main clause follows the comma
        relation, body = out[1]
        cut = _end_of_clause(body)
        if cut is not None:
            out = [(None, out[0][1] + body[cut + 1 :]), (relation, body[:cut]), *out[2:]]
        elif relation == "while" and not out[0][1]:
            out = [(None, body), *out[2:]]  # "while the car is there" is the time of the car
    return out


def _has_thing(relation: str, words: list[str]) -> bool:
    """Whether words after a word of `lexicon.RELATIONS` are a clause with a thing of its own, known or not.

    "As" and "before" also occur in phrases that are not clauses. A thing that is not known has an article, and a colour
    or an event: "before the wombat comes", but not "before it comes" and not "after a while".
    """
    if any(lex.noun_kind(w) for w in words):
        return True
    if relation == "as" or len(words) < 3 or words[0] not in _DETERMINERS or "one" in words[1:3]:
        return False
    return bool(set(base_text(words).split()) & VERBS) or any(lex.colour_of(w) for w in words)


def _end_of_clause(words: list[str]) -> int | None:
    """The comma after which another clause begins; None if there is none.

    >>> _end_of_clause("the van passes by , going left , the car stops".split())
    7
    """
    commas = [i for i, w in enumerate(words) if w == "," and i + 1 < len(words)]
    for i in commas:
        if words[i + 1] in _OPENERS or lex.colour_of(words[i + 1]) or lex.noun_kind(words[i + 1]):
            return i
    return commas[0] if commas else None


def base_text(words: list[str]) -> str:
    """The words joined by spaces, with every verb that can name an event (`VERBS`) in its base form."""
    out = []
    for i, w in enumerate(words):
        forms = lex.lemmas(w)
        previous = words[i - 1] if i else ""
        if w == "left":
            # "left" is a verb only after something that can leave, or after "has", "who", "then"
            verb = previous in ("has", "have", "had", "who", "that", "then", "just") or (
                lex.noun_kind(previous) is not None
                and not previous.endswith("'s")
                and i + 1 < len(words)
                and words[i - 2 : i - 1] != ["from"]
            )
            out.append("leave" if verb else "left")
            continue
        out.append(next((f for f in forms if f in VERBS), w))
    return " ".join(out)


def events_of(text: str, words: list[str]) -> list[str]:
    """The events that a clause names, as keys of `event_lexicon.EVENTS`, in the order in which it names them.

    Args:
        text: The clause with its verbs in base form, from `base_text`.
        words: The words of the clause as they were written.
    """
    found: list[tuple[int, int, str]] = []
    for rank, (name, patterns) in enumerate(_event_patterns()):
        for pattern in patterns:
            for match in pattern.finditer(text):
                index = text[: match.start()].count(" ")
                # In "a parking lot", "the walking stick", "fixes the bike" and "a bowl in front of" the form after an
                # article is not a verb.
                if (
                    index
                    and words[index - 1] in _NOT_VERB_AFTER
                    and (index + 1 < len(words) or words[index] in _NOUNS_TOO or words[index].endswith("ing"))
                    and (" " not in match.group().strip() or is_noun(words[index]))
                ):
                    continue
                found.append((match.start(), rank, name))
    taken: dict[int, tuple[int, str]] = {}
    for start, rank, name in found:
        if start not in taken or rank < taken[start][0]:
            taken[start] = (rank, name)
    order = [taken[s][1] for s in sorted(taken)]
    return _settled(list(dict.fromkeys(order)), text)


def _settled(told: list[str], text: str) -> list[str]:
    """The events, with those merged that together mean one: "turns round and walks back" is `turn_back`."""
    out = list(told)
    if "stand" in out and "stop" in out:
        out.remove("stop")
    if "return" in out and "enter" in out:
        out.remove("enter")
    if "turn" in out and re.search(r"turn .*\band (\S+ )?(\S+ )?(back|again|return|leave|away|off|out)\b", text):
        rest = {"turn", "return", "leave", "move", "walk", "run", "drive", "ride"}
        out = ["turn_back", *(e for e in out if e not in rest)]
    if "turn_back" in out:
        out = [e for e in out if e not in {"turn", "return", "leave", "move", "walk", "run", "drive", "ride"}]
    if "vanish" in out:
        out = [e for e in out if e not in ("move", "leave", "pick_up", "return")]
    return list(dict.fromkeys(out))


def nouns_of(words: list[str]) -> list[tuple[int, str]]:
    """The (index, kind) of every noun in `words` that names a thing; most garments and body parts are left out.

    >>> nouns_of("a car passes a dog in a coat".split())
    [(1, 'vehicle'), (4, 'animal')]
    """
    out = []
    for i, w in enumerate(words):
        if lex.colour_of(w):
            continue  # "orange", "rose"
        if is_verb_form(words, i):
            continue
        if lex.body_part(w) and lex.noun_kind(w) != "object":
            continue
        kind = lex.noun_kind(w)
        if kind:
            out.append((i, kind))
    return out


#: Kinds of things that act; a form in -s after one of them is its verb if it can be one.
_AGENTS = ("person", "child", "animal", "vehicle", "cyclist")


def is_verb_form(words: list[str], i: int) -> bool:
    """Whether the word at a position is a verb although it has the form of a noun.

    >>> is_verb_form("the lorry motors past".split(), 2), is_verb_form("two red motors".split(), 2)
    (True, False)
    """
    word, before = words[i], words[i - 1] if i else ""
    if word.endswith(("ing", "ed")) and not any(word in nouns for nouns in lex.NOUNS.values()):
        return True  # "drinking", "parked"
    if word in ("heading", "headed"):
        return True
    if word == "heads":
        return before not in ("", "the", "their", "two")
    if not word.endswith("s") or not i or not lex.NOUN_VERBS & set(lex.lemmas(word)):
        return False
    return (
        lex.noun_kind(before) in _AGENTS
        or lex.body_part(before) is not None
        or before in ("and", "then", "who", "that", "which")
    )


def subject_of(words: list[str], nouns: list[tuple[int, str]]) -> tuple[int, str] | None:
    """The (index, kind) of the noun that names the thing asked for, or None if there are no nouns.

    It is the first noun that no preposition governs, or the first noun if all are governed.

    Args:
        words: The words of a clause.
        nouns: Its nouns, from `nouns_of`.
    """
    if words[:1] == ["who"]:
        return 0, "person"  # "who leaves the bag?"
    for i, kind in nouns:
        j = i - 1
        while j >= 0 and words[j] not in PREPOSITIONS and words[j] != "," and not is_noun(words[j]):
            j -= 1
        governed = j >= 0 and words[j] in PREPOSITIONS
        # "one of the men", "a group of people", "the pair of dogs"
        if governed and words[j] == "of":
            governed = False
        if words[i].endswith("'s") and _owned(words, i):
            continue
        # "the car driver", "the delivery van": the last of adjoining nouns is the head
        if any(k == i + 1 for k, _ in nouns) and words[i] not in ("he", "she", "they", "her", "him"):
            continue
        if not governed:
            return i, kind
    return nouns[0] if nouns else None


def _owned(words: list[str], owner: int) -> bool:
    """Whether a thing is named after its owner, so that the thing is asked for: "the woman's red bag".

    A garment with a colour ("the woman's red coat") tells who is asked for, and is no thing of its own.
    """
    rest = words[owner + 1 :]
    after = [w for w in rest if not (lex.colour_of(w) or w in lex.SIZES)]
    if rest and is_noun(rest[0]):
        return True
    return bool(after) and len(rest) - len(after) <= 2 and lex.noun_kind(after[0]) is not None


#: Words that stand for a thing that was named before, or for any thing.
_STAND_INS = frozenset({"one", "ones", "thing", "things", "something", "anything", "object", "item", "part", "rest"})


def unknown_head(words: list[str], nouns: list[tuple[int, str]]) -> int | None:
    """The index of the head of the first noun phrase if it is a word that the lexicon lacks; None if there is none.

    The phrase begins with an article and ends before the first preposition, and the known nouns come after that.

    >>> unknown_head("the orange feathers on the bird's head".split(), [(5, "animal"), (6, "face")])
    2
    >>> unknown_head("the red one on the table".split(), [(5, "object")])
    """
    end = next((i for i, w in enumerate(words) if w in PREPOSITIONS), 0)
    if end < 2 or words[0] not in ("a", "an", "the") or not nouns or nouns[0][0] < end:
        return None
    head = words[end - 1]
    known = head in _STAND_INS or lex.colour_of(head) or lex.body_part(head) or VERBS & set(lex.lemmas(head))
    return None if known or not head.isalpha() or head.endswith(("ing", "ed", "ly", "est")) else end - 1


#: Words after a noun that are no verbs that tell what is done.
_NO_ACTION = frozenset({
    "across", "towards", "always", "sometimes", "this", "its", "has", "was", "does", "besides", "is", "without",
    "above", "below", "beneath", "along", "inside", "outside", "underneath", "opposite", "like", "that", "than",
    "whose",
})  # fmt: skip
#: Verbs that tell how somebody looks or what is with them, and not what is done.
_STATES = frozenset({"wear", "hold", "carry", "have", "dress", "stand", "sit", "lie", "wait", "stay"})


_ARTICLES = frozenset({"the", "a", "an", "his", "her", "its", "their"})


#: Verbs of what people and animals do in one place, which need no object: "the dog on the sofa barks".
_DOINGS = frozenset({
    "look", "sing", "bark", "laugh", "talk", "speak", "smile", "cry", "eat", "drink", "sleep", "read", "write", "cook",
    "paint", "dance", "nod", "yawn", "stretch", "sneeze", "cough", "shout", "scream", "whisper", "stare", "listen",
    "think", "work", "type", "knit", "dig", "clean", "mix", "stir", "sweep", "sniff", "lick", "fall", "explode", "burn",
})  # fmt: skip


def _end_of_description(words: list[str]) -> int:
    """Where words that describe a noun end and a verb begins: "is" and a form in -ing, or one in -s.

    A form in -s is taken for a verb before an article, or if it is one of `_DOINGS`.
    """
    for i, (word, following) in enumerate(itertools.pairwise([*words, ""])):
        being = word in ("is", "are", "was", "were") and following.endswith("ing")
        form = len(word) > 3 and word.endswith("s") and not word.endswith(("'s", "ss"))
        acting = form and (following in _ARTICLES or bool(_DOINGS & set(lex.lemmas(word))))
        if being or (acting and word not in _NO_ACTION and not lex.colour_of(word)):
            return i
    return len(words)


def unread_verb(words: list[str], noun: str) -> str:
    """The verb after a noun, whatever it means; "" if there is none, or none that tells an action.

    Words between that describe the noun ("in a black coat") are left out.

    >>> unread_verb("the cat licks its nose".split(), "cat"), unread_verb("a cat on the bed".split(), "cat")
    ('licks', '')
    >>> [unread_verb(f"a man {s}".split(), "man") for s in ("in red watches a cat", "in shorts", "in red is cooking")]
    ['watches', '', 'cooking']
    >>> unread_verb("the dog on the sofa barks".split(), "dog"), unread_verb("the man in green shorts".split(), "man")
    ('barks', '')
    >>> [unread_verb(s.split(), "man") for s in ("a man is cooking", "the man opened the door", "a man is in the room")]
    ['cooking', 'opened', '']
    """
    after = words[words.index(noun) + 1 :] if noun in words else []
    after = [w for w in after if not w.endswith("ly")]
    if after and after[0] in PREPOSITIONS:
        after = after[_end_of_description(after) :]
    verb, rest = (after[0], after[1:]) if after else ("", [])
    if verb in ("is", "are", "was", "were"):
        verb = next((w for w in rest if w not in ("seen", "shown", "being")), "")
        action = len(verb) > 5 and verb.endswith("ing") and not set(lex.lemmas(verb)) & _STATES
    elif rest[:1] and rest[0] in _ARTICLES:
        # "the man opened the door", "person open the door"
        action = len(verb) > 3 and verb.isalpha() and verb not in _OPENERS and not set(lex.lemmas(verb)) & _STATES
    else:
        action = len(verb) > 3 and verb.endswith("s") and not verb.endswith(("'s", "ss"))
    return verb if action and verb not in PREPOSITIONS | _NO_ACTION | lex.RELATIONS.keys() else ""


def gesture(words: list[str]) -> str:
    """The first word that tells what is done with the body or with a thing; "" if there is none.

    That somebody moves does not show when this is done.

    >>> gesture("the man is waving at us".split()), gesture("the boat sails".split())
    ('waving', '')
    """
    return next((w for w in words if event_lexicon.GESTURES & set(lex.lemmas(w))), "")


def is_modifier(word: str) -> bool:
    """Whether a word before a noun may tell its sort: neither an article, a preposition, a colour nor a size.

    >>> [is_modifier(w) for w in ("teddy", "the", "red", "big", "with")]
    [True, False, False, False, False]
    """
    return word.isalpha() and not (
        word in _DETERMINERS | _OPENERS | PREPOSITIONS or lex.colour_of(word) or word in lex.SIZES
    )


def is_noun(word: str) -> bool:
    """Whether a word names a thing or a garment."""
    return lex.noun_kind(word) is not None or lex.body_part(word) is not None


def object_of(
    words: list[str], others: list[tuple[int, str]], subject: tuple[int, str] | None
) -> tuple[str, str] | None:
    """The (noun, kind) of the grammatical object: what the event is done to, or None if the clause names nothing.

    It is the first noun after the subject that is neither a face nor part of a phrase of place ("near the car").

    Args:
        words: The words of a clause.
        others: The (index, kind) of its nouns other than the subject.
        subject: The (index, kind) of its subject, or None if it has none.
    """
    start = subject[0] if subject else -1
    for i, kind in others:
        if i < start or kind == "face":
            continue
        before = words[max(0, i - 3) : i]
        if any(
            w in ("at", "near", "behind", "beside", "by", "on", "onto", "in", "into", "from", "to", "towards", "of")
            for w in before
        ):
            continue
        return words[i], kind
    return None


def preposition_of(words: list[str], noun: int) -> str:
    """The preposition that governs a noun: the nearest one before it, with no other noun between; "" without one.

    "In front of" counts as "beside".

    Args:
        words: The words of a clause.
        noun: The index of the noun.

    >>> preposition_of("a cup on the small table".split(), 5), preposition_of("a man lifts the cup".split(), 4)
    ('on', '')
    """
    for i in range(noun - 1, max(-1, noun - 6), -1):
        if words[max(0, i - 1) : i + 1] == ["front", "of"]:
            return "beside"
        if words[i] in PREPOSITIONS and words[i] != "of":
            return words[i]
        if is_noun(words[i]) and not lex.colour_of(words[i]) and i + 1 != noun:
            return ""
    return ""


def coordinated(words: list[str], subject: int) -> str | None:
    """The words from "and" to the second noun of a coordinated subject; None if the subject is a single noun.

    Args:
        words: The words of a clause.
        subject: The index of its subject.

    >>> coordinated("the red car and the white van".split(), 2)
    'and the white van'
    >>> coordinated("a woman in a red coat and a white hat".split(), 1)
    """
    if "and" not in words[subject + 1 : subject + 7]:
        return None
    at = words.index("and", subject + 1)
    for i in range(at + 1, min(at + 6, len(words))):
        word = words[i]
        if is_verb_form(words, i):
            return None
        if lex.noun_kind(word) and not lex.colour_of(word) and not lex.body_part(word):
            return " ".join(words[at : i + 1])
        if not (word in _DETERMINERS or word in lex.SIZES or word in lex.ORDINALS or lex.colour_of(word)):
            return None
    return None

"""The grammar that reading needs: tokens, clauses, base forms, events, nouns, subject and object.

Positions are indices into a clause's list of words.
"""

import re
from functools import cache

from whenwhere.grounders.motion import lexicon as lex
from whenwhere.grounders.motion.query_rewriting import rewrite_query

_TOKEN = re.compile(r"[a-z0-9]+(?:[-'’][a-z0-9]+)*|,")


@cache
def _event_patterns() -> tuple[tuple[str, tuple[re.Pattern[str], ...]], ...]:
    """The compiled patterns of each event of `lexicon.EVENTS`, in its order."""
    gap = r"(?:\\S+ ){0,4}?"
    return tuple(
        (name, tuple(re.compile(r"(?<!\S)" + re.sub(r"_ ", gap, p) + r"(?!\S)") for p in patterns))
        for name, patterns in lex.EVENTS.items()
    )


#: Words that occur in the patterns of events, in base form.
VERBS = frozenset(re.findall(r"[a-z]+", " ".join(" ".join(p) for p in lex.EVENTS.values())))

_NOT_VERB_AFTER = frozenset({"the", "a", "an", "his", "her", "its", "their", "this", "my", "your"})

PREPOSITIONS = frozenset({
    "in", "with", "on", "at", "near", "to", "towards", "toward", "from", "behind", "beside", "by", "under", "over",
    "past", "into", "onto", "of", "around", "through", "between", "wearing", "holding", "carrying", "against", "using",
})  # fmt: skip


def query_tokens(sentence: str) -> list[str]:
    """The lower-case words and commas of a sentence, reworded by `rewrite_query`, with straight apostrophes.

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
    """The words with shades joined to their colour, so that "jet black" is not a jet and "lemon yellow" not a fruit."""
    out: list[str] = []
    for word in words:
        # "dark blue", "jet black", "blue green", "sandy brown"; in "a light van", "light" stays alone
        if out and lex.colour_of(word) and (out[-1] in lex.SHADES or lex.colour_of(out[-1])) and out[-1] != "and":
            out[-1] += "-" + word
        else:
            out.append(word)
    return out


def clauses(words: list[str]) -> list[tuple[str | None, list[str]]]:
    """(relation, words) of each clause: the main clause first, with relation None, then the sub-clauses.

    The main clause is empty if the sentence is a time clause alone.

    >>> clauses("before the red car comes".split())
    [(None, []), ('before', ['the', 'red', 'car', 'comes'])]
    """
    out: list[tuple[str | None, list[str]]] = [(None, [])]
    for i, word in enumerate(words):
        relation = lex.RELATIONS.get(word)
        # "as" and "before" also occur in phrases that are not clauses; a clause needs a noun of its own.
        if (
            relation
            and any(lex.noun_kind(w) for w in words[i + 1 :])
            and not (word == "as" and words[i + 1 : i + 2] == ["well"])
        ):
            out.append((relation, []))
        else:
            out[-1][1].append(word)
    if not out[0][1] and len(out) > 1:
        # "When the red car comes, a dog runs": the main clause follows the comma
        relation, body = out[1]
        if "," in body:
            cut = body.index(",")
            out = [(None, body[cut + 1 :]), (relation, body[:cut]), *out[2:]]
        elif relation == "while":
            out = [(None, body), *out[2:]]  # "while the car is there" is the time of the car
    return out


def base_text(words: list[str]) -> str:
    """The words in base form if that is a verb of an event, else unchanged, with one space between."""
    out = []
    for i, w in enumerate(words):
        forms = lex.lemmas(w)
        previous = words[i - 1] if i else ""
        if w == "left":
            # "left" is a verb only after something that can leave, or after "has", "who", "then"
            verb = previous in ("has", "have", "had", "who", "that", "then", "just") or (
                lex.noun_kind(previous) is not None and i + 1 < len(words) and words[i - 2 : i - 1] != ["from"]
            )
            out.append("leave" if verb else "left")
            continue
        out.append(next((f for f in forms if f in VERBS), w))
    return " ".join(out)


def events_of(text: str, words: list[str]) -> list[str]:
    """The events of a clause in the order told.

    Args:
        text: The words in base form (`base_text`).
        words: The words.
    """
    found: list[tuple[int, int, str]] = []
    for rank, (name, patterns) in enumerate(_event_patterns()):
        for pattern in patterns:
            for match in pattern.finditer(text):
                index = text[: match.start()].count(" ")
                # In "a parking lot" and "the walking stick" the form between article and noun is not a verb.
                if (
                    index
                    and words[index - 1] in _NOT_VERB_AFTER
                    and index + 1 < len(words)
                    and " " not in match.group().strip()
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
    """The events, with those that mean one together merged: "turns round and walks back" is `turn_back`."""
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
    return out


def nouns_of(words: list[str]) -> list[tuple[int, str]]:
    """The index in `words` and the kind of every noun that names a thing; most garments and body parts are left out.

    >>> nouns_of("a car passes a dog in a coat".split())
    [(1, 'vehicle'), (4, 'animal')]
    """
    out = []
    for i, w in enumerate(words):
        if lex.colour_of(w):
            continue  # "orange", "rose"
        if w in ("heading", "headed") or (w == "heads" and words[i - 1 : i] not in (["the"], ["their"], ["two"])):
            continue
        if lex.body_part(w) and lex.noun_kind(w) != "object":
            continue
        kind = lex.noun_kind(w)
        if kind:
            out.append((i, kind))
    return out


def subject_of(words: list[str], nouns: list[tuple[int, str]]) -> tuple[int, str] | None:
    """(position, kind) of the thing asked for: the first noun without a preposition, else the first noun."""
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
        if i + 1 < len(words) and words[i].endswith("'s") and is_noun(words[i + 1]):
            continue
        # "the car driver", "the delivery van": the last of adjoining nouns is the head
        if any(k == i + 1 for k, _ in nouns) and words[i] not in ("he", "she", "they", "her", "him"):
            continue
        if not governed:
            return i, kind
    return nouns[0] if nouns else None


def is_noun(word: str) -> bool:
    """Whether a word names a thing or a garment."""
    return lex.noun_kind(word) is not None or lex.body_part(word) is not None


def object_of(
    words: list[str], others: list[tuple[int, str]], subject: tuple[int, str] | None
) -> tuple[str, str] | None:
    """(noun, kind) of what the event happens to: the first other noun after the subject that is not merely a place."""
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


_DETERMINERS = frozenset({"a", "an", "the", "another", "his", "her", "its", "their", "some"})


def coordinated(words: list[str], subject: int) -> str | None:
    """The second thing that "and" puts beside the subject, with the words before it; None if there is none.

    >>> coordinated("the red car and the white van".split(), 2)
    'and the white van'
    >>> coordinated("a woman in a red coat and a white hat".split(), 1)
    """
    if "and" not in words[subject + 1 : subject + 7]:
        return None
    at = words.index("and", subject + 1)
    for i in range(at + 1, min(at + 6, len(words))):
        word = words[i]
        if lex.noun_kind(word) and not lex.colour_of(word) and not lex.body_part(word):
            return " ".join(words[at : i + 1])
        if not (word in _DETERMINERS or word in lex.SIZES or word in lex.ORDINALS or lex.colour_of(word)):
            return None
    return None

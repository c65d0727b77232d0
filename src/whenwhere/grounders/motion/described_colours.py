"""Which thing or garment each colour of a clause describes."""

from whenwhere.grounders.motion import lexicon as lex
from whenwhere.grounders.motion.grammar import PREPOSITIONS, is_noun
from whenwhere.grounders.motion.query_reading import QueryReading
from whenwhere.grounders.motion.wearers import is_a_place, names_garment, on_another


def attach_colours(
    r: QueryReading, words: list[str], subject: tuple[int, str] | None, others: list[tuple[int, str]]
) -> None:
    """Add each colour of a clause to the thing or garment that it describes.

    Args:
        r: The reading, which is changed.
        words: The words of the clause.
        subject: (position, kind) of the subject.
        others: (position, kind) of the other nouns.
    """
    other = {i for i, _ in others}
    target = r.colours
    for i, word in enumerate(words):
        colour = lex.colour_of(word) or next((c for part in word.split("-")[:-1] if (c := lex.colour_of(part))), None)
        if colour is None and word in ("dark", "light"):
            colour = word
        if colour is None:
            continue
        if i and words[i - 1] == "in" and not names_garment(words, i + 1):
            # "an adult in white feeds a penguin": worn by the nearest thing before it
            wearer = max((k for k in (*other, *([subject[0]] if subject else ())) if k < i), default=None)
            if wearer is None or subject is None or wearer == subject[0]:
                target.append((colour, "whole"))
            elif r.object is not None and r.object.noun == words[wearer]:
                r.object.colours.append((colour, "whole"))
            continue
        if word in ("fair", "tan", "cream", "rose", "mint", "lime", "gold", "wine") and not any(
            is_noun(w) for w in words[i + 1 : i + 3]
        ):
            continue
        if word in ("light", "dark") and (i + 1 >= len(words) or not any(is_noun(w) for w in words[i + 1 : i + 4])):
            continue
        place: str | None = None
        if "hair" in word:
            place = "hair"
        host_other = None
        for j in range(i + 1, min(i + 6, len(words))):
            w = words[j]
            if place or w in (",",) or (w in PREPOSITIONS and w not in ("of",)):
                break
            if subject is not None and j == subject[0] and not is_noun(w):
                place = "whole"  # of a noun that the lexicon lacks
                break
            part = lex.body_part(w)
            if part == "carried" and (subject is not None and j == subject[0]):
                part = None
            if part == "carried" and r.object is not None and r.object.noun == w and "move" not in r.events:
                part = None
            if part:
                place = part
                break
            if lex.noun_kind(w) and not lex.colour_of(w):
                place = "whole"
                # "coffee cup", "motor vehicle": the last of adjoining nouns is the head
                head = j
                while head + 1 < len(words) and is_noun(words[head + 1]) and not lex.colour_of(words[head + 1]):
                    head += 1
                host_other = head if head in other else None
                break
        if place and place != "whole" and subject is not None and on_another(words, i, subject[0], others):
            continue  # "an adult in a black hat is next to another adult in a red hat"
        if words[i + 1 : i + 2] == ["one"] and subject is not None and i > subject[0]:
            continue  # "the white car overtakes the black one"
        verb = _verb_before(words, i, subject[0]) if place is None and subject is not None else None
        if verb is not None and colour != "blonde":
            # Of a noun that the lexicon lacks: "holds up a white device", but not "enters the red palace".
            if not _HOLDS & set(lex.lemmas(verb)):
                continue
            place = "carried"
        if place is None:
            place = "hair" if colour == "blonde" else "whole"
        if colour == "blonde" and r.kind == "person":
            place = "hair"
        if host_other is not None:
            if r.object is not None and r.object.noun == words[host_other]:
                r.object.colours.append((colour, "whole"))
            elif r.kind == "cyclist" and lex.noun_kind(words[host_other]) == "cyclist":
                target.append((colour, "lower"))
            continue
        if (colour, place) not in target and not (place == "carried" and is_a_place(words, i)):
            target.append((colour, place))
    if any(form in lex.DENIM for w in words for form in lex.lemmas(w)) and not any(p == "lower" for _, p in target):
        target.append(("denim", "lower"))


#: Verbs after which an unknown thing is one that somebody has in the hand.
_HOLDS = frozenset({
    "hold", "carry", "show", "throw", "take", "give", "hand", "pick", "lift", "raise", "drop", "push", "pull", "bring",
    "catch", "wave", "swing", "toss", "put", "grab", "use",
})  # fmt: skip


def _verb_before(words: list[str], i: int, subject: int) -> str | None:
    """The verb of whose object a colour is, as in "holds up a white device"; None if it may describe the subject.

    Args:
        words: The words of a clause.
        i: Position of the colour.
        subject: Position of the subject.
    """
    if i < subject + 3 or i + 1 >= len(words) or words[i - 1] not in ("a", "an", "the", "his", "her", "some"):
        return None
    at = i - 3 if words[i - 2] in ("up", "down", "out", "away") else i - 2
    if at <= subject or words[at] in PREPOSITIONS or words[at] in ("wearing", "wears", "is", "are", "was", "and", ","):
        return None
    return words[at]

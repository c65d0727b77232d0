"""The vocabulary from which sentences about rendered clips are made.

`Words` holds the vocabulary of one split; `DEV` is that of the development split. A template has these slots: `{np}` is
the noun phrase (with article), `{moves}` the verb for the actor and its pace (`{moving}` and `{move}` are its other
forms), `{side}` the direction, `{other}` the opposite one, and `{place}` what a thing stands on. A leading `~` marks a
template that cannot be a clause of a longer sentence. `val` and `heldout` hold the vocabularies of the other two
splits; none of their nouns, verbs, colours or templates is among the words below.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Words:
    """The vocabulary of one split.

    Attributes:
        nouns: Words for each kind or group (`person`, `vehicle`, `animal`).
        moves: For each family, verbs for its usual pace and for a hurry, in the third person singular. Things, such as
            a ball, have verbs of their own.
        templates: Patterns for each event. `up` and `down` are crossings without sides. An event with a family, such as
            `stand vehicle`, takes precedence over the event alone.
        clothes: Patterns for what a person wears: `top`, `coat`, `bottom`, `skirt`, `shorts`, `hair`, where `{c}` is
            the colour; `both` for two pieces; `body`, if present, for a colour after the noun.
        texture: Words for each texture, put before the noun or the piece of clothing.
        size: Words for `big` and `small`.
        order: Words for first, second, third and last.
        sides: Phrases for `left` and `right`, put after a noun phrase.
        links: Patterns of a main and a subordinate clause, `{main}` and `{sub}`, for `while`, `after` and `before`.
        places: Words for each place.
        articles: Pairs of an article and the share up to which it is drawn, in rising order; the last share exceeds 1.
        pronouns: Words that stand for a person, without an article.
        forms: Present participle and infinitive of each verb in `moves`, where a template asks for them.
        frames: Patterns around a whole clause `{s}`, such as questions.
    """

    nouns: dict[str, tuple[str, ...]]
    moves: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
    templates: dict[str, tuple[str, ...]]
    clothes: dict[str, tuple[str, ...]]
    texture: dict[str, tuple[str, ...]]
    size: dict[str, tuple[str, ...]]
    order: tuple[tuple[str, ...], ...]
    sides: dict[str, tuple[str, ...]]
    links: dict[str, tuple[str, ...]]
    places: dict[str, tuple[str, ...]]
    articles: tuple[tuple[str, float], ...] = (("the", 0.6), ("a", 1.1))
    pronouns: tuple[str, ...] = ()
    forms: dict[str, tuple[str, str]] = field(default_factory=dict)
    frames: tuple[str, ...] = ()


DEV = Words(
    nouns={
        "car": ("car",), "van": ("van",), "truck": ("truck",), "bus": ("bus",), "vehicle": ("vehicle",),
        "man": ("man",), "woman": ("woman",), "child": ("child",), "person": ("person",),
        "dog": ("dog",), "cat": ("cat",), "horse": ("horse",), "animal": ("animal",), "ball": ("ball",),
        "box": ("box",), "bottle": ("bottle",), "cup": ("cup",), "bag": ("bag",), "book": ("book",), "vase": ("vase",),
        "suitcase": ("suitcase",),
    },
    moves={
        "vehicle": (("drives",), ("drives",)),
        "person": (("walks", "goes"), ("runs",)),
        "animal": (("walks",), ("runs",)),
        "thing": (("rolls",), ("rolls",)),
    },
    templates={
        "there": ("{np}", "{np} is in the picture", "{np} can be seen"),
        "cross": ("{np} {moves} from {other} to {side}", "{np} {moves} to the {side}",
                  "{np} {moves} through the picture from {other} to {side}"),
        "up": ("{np} {moves} from the bottom to the top of the picture", "{np} {moves} upwards", "{np} {moves} up"),
        "down": ("{np} {moves} from the top to the bottom of the picture", "{np} {moves} downwards",
                 "{np} comes from the top and leaves at the bottom"),
        "enter": ("{np} comes in from the {other}", "{np} enters from the {other}",
                  "{np} {moves} into the picture from the {other}"),
        "leave": ("{np} leaves to the {side}", "{np} {moves} out of the picture to the {side}",
                  "{np} leaves the picture on the {side}"),
        "back": ("{np} comes back into the picture", "{np} returns", "{np} comes back"),
        "stand": ("{np} stands still", "{np} stands there", "{np} stands and waits"),
        "stand vehicle": ("{np} stands still", "{np} stops and waits", "{np} has stopped"),
        "turn": ("{np} turns round and {moves} back", "{np} turns around and {moves} back",
                 "{np} turns round and leaves again"),
        "put": ("{np} is put on the {place}", "a person puts {np} on the {place}", "{np} is put down"),
        "taken": ("{np} is taken away", "a person takes {np} away", "{np} is taken from the {place}"),
        "rest": ("{np} stands on the {place}", "{np} is on the {place}"),
        "appear": ("{np} appears on the {place} and stays there",),
        "vanish": ("{np} stands on the {place} until it is gone",),
    },
    clothes={
        "top": ("in a {c} shirt", "in a {c} top", "in {c}"),
        "coat": ("in a {c} coat", "in a long {c} coat"),
        "bottom": ("in {c} trousers", "with {c} trousers"),
        "skirt": ("in a {c} skirt",),
        "hair": ("with {c} hair",),
        "both": ("in a {c} top and {d} trousers",),
    },
    texture={"striped": ("striped",), "checked": ("checked",), "spotted": ("spotted",)},
    size={"big": ("big", "large"), "small": ("small", "little")},
    order=(("first",), ("second",), ("third",), ("last",)),
    sides={"left": ("on the left", "on the left side"), "right": ("on the right", "on the right side")},
    links={
        "while": ("{main} while {sub}",),
        "after": ("{main} after {sub}", "after {sub}, {main}"),
        "before": ("{main} before {sub}", "before {sub}, {main}"),
    },
    places={"table": ("table",), "counter": ("counter",), "floor": ("floor",), "ground": ("ground",)},
)  # fmt: skip

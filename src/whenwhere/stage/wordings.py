"""Words of the development split, and the form that words take.

A template's slots: `{np}` the noun phrase (with article), `{moves}` the verb for the actor and its pace (`{moving}` and
`{move}`: its other forms), `{side}` left or right, `{other}` the opposite, `{place}` what a thing stands on. A leading
`~` marks a template that cannot be a clause of a longer sentence. `val` and `heldout` hold the words that were kept out
of development; no noun, verb, colour or template of theirs is in the words below.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Words:
    """One split's vocabulary.

    Attributes:
        nouns: kind or group (`person`, `vehicle`, `animal`) → words.
        moves: family → (verbs at a walk, verbs in a hurry), third person singular; `ball` has its own.
        templates: event → patterns; `up` and `down` are crossings that have no sides; an event and a family, such as
            `stand vehicle`, goes before the event alone.
        clothes: `top`, `coat`, `bottom`, `skirt`, `shorts`, `hair` → patterns for what a person wears; `{c}` is the
            colour; `both` for two pieces; `body`, where there, for a colour said after the noun.
        texture: texture → words before the noun or the piece of clothing.
        size: `big`, `small` → words.
        order: first, second, third, last.
        sides: `left`, `right` → phrases after a noun phrase.
        links: `while`, `after`, `before` → patterns of a main and a subordinate clause, `{main}` and `{sub}`.
        places: place → word.
        articles: (article, share up to which it is taken) in rising order, the last above 1.
        pronouns: stand for a person, without an article.
        forms: verb of `moves` → (present participle, infinitive), where a template asks for them.
        frames: patterns around a whole clause `{s}`, such as questions.
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

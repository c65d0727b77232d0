"""From the nouns of a sentence to the classes of a detector.

A detector knows its own classes by name, 80 everyday ones as a rule, and people use other words for them: a puppy is a
"dog", a bloke a "person", a jug perhaps a "bottle". `SYNONYMS` lists such words for each class by how well they fit.
Words that cover several classes ("animal", "vehicle", "furniture") stand for all of them. A detector of another label
space is read by the same table as far as its labels have these names, and beyond it by the labels' own words.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion import lexicon as lex

#: Weight of a class that a word only resembles: a jug may be called a bottle or a vase.
LIKE = 0.6
#: The same of a class that it does not resemble, of a thing for whose kind there is no class of its own.
UNLIKELY = 0.4
#: Weight of a class of the same group as the one that is meant: a dog may be taken for a cat.
GROUP = 0.25


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Label -> words that mean it, besides the label itself.
SYNONYMS: dict[str, frozenset[str]] = {
    "bicycle": _words("bike cycle pushbike tandem unicycle"),
    "car": _words(
        "automobile auto sedan hatchback saloon suv jeep taxi cab convertible coupe estate roadster limousine limo "
        "minivan motor motorcar beetle buggy racecar hearse wagon van pickup"
    ),
    "motorcycle": _words("motorbike scooter moped motor-scooter motorcyclist motorbiker"),
    "airplane": _words("plane aeroplane aircraft jet airliner"),
    "bus": _words("coach minibus trolleybus"),
    "train": _words("tram locomotive streetcar subway"),
    "truck": _words("lorry van pickup firetruck ambulance tanker dumper hgv semi rig juggernaut motorhome rv caravan"),
    "boat": _words("ship canoe kayak yacht sailboat ferry raft dinghy watercraft vessel rowboat"),
    "traffic light": _words("stoplight"),
    "bench": _words("seat"),
    "bird": _words(
        "parrot cockatoo cockatiel budgie pigeon duck goose geese swan chicken hen rooster crow gull seagull penguin "
        "owl eagle hawk ostrich peacock turkey sparrow dove robin duckling chick macaw canary flamingo stork heron"
    ),
    "cat": _words("kitten kitty pussycat puss pussy moggy tabby tomcat feline"),
    "dog": _words(
        "puppy pup doggy doggie doggo pooch mutt hound whelp canine retriever labrador spaniel terrier poodle shepherd "
        "collie husky beagle bulldog dachshund corgi greyhound sheepdog mongrel pug chihuahua dalmatian rottweiler"
    ),
    "horse": _words("pony foal stallion mare steed colt filly gelding donkey mule nag"),
    "sheep": _words("lamb goat ram ewe"),
    "cow": _words("bull calf cattle ox oxen heifer buffalo bison"),
    "bear": _words("panda"),
    "backpack": _words("rucksack knapsack"),
    "umbrella": _words("parasol"),
    "handbag": _words("purse bag tote"),
    "suitcase": _words("luggage trunk briefcase case baggage"),
    "sports ball": _words("ball football basketball volleyball soccerball baseball beachball puck"),
    "skis": _words("ski"),
    "baseball bat": _words("bat"),
    "baseball glove": _words("mitt"),
    "tennis racket": _words("racket racquet"),
    "bottle": _words("flask thermos canteen"),
    "wine glass": _words("glass goblet"),
    "cup": _words("mug teacup beaker tumbler glass"),
    "bowl": _words("basin dish"),
    "hot dog": _words("sausage"),
    "donut": _words("doughnut"),
    "chair": _words("armchair stool seat highchair wheelchair recliner"),
    "couch": _words("sofa settee loveseat"),
    "potted plant": _words("plant flowerpot planter houseplant"),
    "bed": _words("mattress cot crib bunk"),
    "dining table": _words("table desk counter worktop"),
    "toilet": _words("loo"),
    "tv": _words("television monitor screen telly"),
    "laptop": _words("computer notebook macbook"),
    "remote": _words("controller"),
    "cell phone": _words("phone smartphone mobile telephone cellphone iphone"),
    "oven": _words("stove cooker"),
    "sink": _words("washbasin basin"),
    "refrigerator": _words("fridge freezer"),
    "book": _words("novel textbook paperback hardback magazine notebook"),
    "vase": _words("urn amphora"),
    "teddy bear": _words("teddy teddybear plush"),
    "hair drier": _words("hairdryer hairdrier"),
}

#: Label -> words that only resemble it.
RESEMBLES: dict[str, frozenset[str]] = {
    "bottle": _words("jug pitcher jar can tin vial shampoo ketchup medicine beer wine water milk juice spray canister"),
    "cup": _words("pot jar can drink coffee tea bucket container tin"),
    "vase": _words("jug pitcher jar pot"),
    "bowl": _words("pan pot plate container saucepan cereal salad soup"),
    "sports ball": _words("toy balloon orb globe"),
    "frisbee": _words("disc plate toy"),
    "teddy bear": _words("toy doll"),
    "kite": _words("toy parachute"),
    "handbag": _words("pouch satchel sack luggage handbag"),
    "backpack": _words("bag satchel schoolbag"),
    "suitcase": _words("box chest crate parcel package bag"),
    "book": _words("paper newspaper document notepad box folder card"),
    "cell phone": _words("tablet camera device remote"),
    "tv": _words("computer display"),
    "laptop": _words("keyboard tablet"),
    "skateboard": _words("board"),
    "surfboard": _words("board paddle"),
    "snowboard": _words("board"),
    "boat": _words("oar surfboard"),
    "truck": _words("trailer tractor bulldozer excavator digger forklift cart vehicle"),
    "car": _words("truck trailer cart"),
    "motorcycle": _words("cyclist biker rider"),
    "bicycle": _words("cyclist biker rider bicyclist"),
    "dog": _words("fox wolf animal"),
    "cat": _words("rabbit bunny squirrel fox animal"),
    "bird": _words("animal"),
    "bear": _words("gorilla ape animal"),
    "cow": _words("pig deer antelope camel hippo rhino"),
    "sheep": _words("pig llama alpaca"),
    "horse": _words("deer camel zebra moose elk"),
    "couch": _words("bench bed armchair"),
    "chair": _words("pram pushchair stroller bench"),
    "bed": _words("sofa cushion blanket"),
    "dining table": _words("table-top bench"),
    "knife": _words("blade"),
    "cake": _words("pie food muffin pastry"),
    "pizza": _words("food"),
    "sandwich": _words("burger hamburger food bread toast"),
    "orange": _words("fruit peach tangerine lemon"),
    "apple": _words("fruit tomato"),
    "banana": _words("fruit"),
    "broccoli": _words("vegetable salad"),
    "carrot": _words("vegetable"),
    "baseball bat": _words("stick club"),
    "tennis racket": _words("stick"),
    "refrigerator": _words("cabinet wardrobe closet"),
    "microwave": _words("oven"),
    "clock": _words("watch timer"),
    "person": _words("doll statue mannequin robot"),
}

#: Groups of labels: words that name a whole group, and the labels that are taken for each other.
GROUPS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "vehicle": (
        _words("vehicle traffic wheels"),
        frozenset(("car", "truck", "bus", "motorcycle", "train", "boat", "bicycle", "airplane")),
    ),
    "animal": (
        _words("animal pet creature beast critter livestock wildlife"),
        frozenset(("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe")),
    ),
    "fruit": (_words("fruit"), frozenset(("banana", "apple", "orange"))),
    "bag": (_words("bag luggage"), frozenset(("backpack", "handbag", "suitcase"))),
    "drink": (_words("drink"), frozenset(("bottle", "cup", "wine glass"))),
    "cutlery": (_words("cutlery utensil"), frozenset(("fork", "knife", "spoon"))),
    "furniture": (_words("furniture"), frozenset(("chair", "couch", "bed", "dining table", "bench"))),
    "food": (
        _words("food meal snack"),
        frozenset(("banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake")),
    ),
}
#: Labels of what acts by itself.
AGENTS = GROUPS["vehicle"][1] | GROUPS["animal"][1] | {"person"}
#: Labels that a detector seldom misses if the thing is there. Small and rare things it misses often: that it never saw
#: a cake says little, that it never saw a person says much.
SELDOM_MISSED = AGENTS
#: Words for people who may ride anything.
_RIDERS = frozenset(("rider",))
#: Groups whose members a detector takes for each other.
_CONFUSED = ("vehicle", "animal", "bag", "drink")


@dataclass(frozen=True, eq=False)
class WantedClasses:
    """The classes that a noun stands for.

    Attributes:
        weights: (labels,) how well each class fits the noun, in 0-1; all 0 if the detector knows nothing like it.
        named: Whether the detector has a class, or a group of classes, that the noun names.
        finer: Whether the noun says more than the class, as "poodle" says more than "dog".
    """

    weights: NDArray[np.float64]
    named: bool
    finer: bool

    @property
    def known(self) -> bool:
        """Whether the detector knows anything like it."""
        return bool(self.weights.any())


@cache
def wanted_classes(noun: str, kind: str | None, labels: tuple[str, ...], modifier: str = "") -> WantedClasses:
    """The classes that a noun stands for.

    Args:
        noun: The noun as it stands in the sentence.
        kind: Its kind, a key of `lexicon.NOUNS`; None if it is unknown.
        labels: The labels of the detector.
        modifier: The word before the noun that tells its sort; "" if there is none.

    >>> labels = ("person", "dog", "cat", "bottle")
    >>> wanted_classes("puppies", "animal", labels).weights.tolist()
    [0.0, 1.0, 0.25, 0.0]
    >>> wanted_classes("woman", "person", labels).weights.tolist(), wanted_classes("jug", "object", labels).named
    ([1.0, 0.0, 0.0, 0.0], False)
    >>> wanted_classes("wombat", None, labels).known
    False
    >>> wanted_classes("bear", "animal", ("bear", "teddy bear"), "teddy").weights.tolist()
    [0.0, 1.0]
    """
    forms = set(lex.lemmas(noun)) if noun else set()
    compounds = {f"{modifier} {form}" for form in forms}
    if modifier and compounds & set(labels):
        return WantedClasses(np.array([float(label in compounds) for label in labels]), True, False)
    if modifier in lex.IMITATIONS:
        return WantedClasses(LIKE * wanted_classes(noun, kind, labels).weights, False, True)
    weights = np.zeros(len(labels))
    named = finer = False
    for i, label in enumerate(labels):
        own = {label, label.split()[-1]} if label in ("sports ball", "wine glass") else {label}
        if forms & own:
            weights[i], named = 1.0, True
        elif forms & SYNONYMS.get(label, frozenset()):
            weights[i], named, finer = 1.0, True, True
        elif forms & RESEMBLES.get(label, frozenset()):
            weights[i] = max(weights[i], LIKE)
    for words, members in GROUPS.values():
        if forms & words:
            for i, label in enumerate(labels):
                if label in members:
                    weights[i], named = 1.0, True
    if not weights.any() or kind in ("person", "child") or forms & _RIDERS:
        for i, label in enumerate(labels):
            if kind in ("person", "child", "cyclist") and label == "person":
                weights[i], named = 1.0, True
            elif kind in ("hand", "face") and label == "person":
                weights[i] = LIKE
    if kind in ("vehicle", "animal") and not named:
        # An animal that the detector has no name for is called by the name of another one, of a likely one or not.
        other = LIKE if not weights.any() else UNLIKELY
        for i, label in enumerate(labels):
            if label in GROUPS[kind][1]:
                weights[i] = max(weights[i], other)
    for group in _CONFUSED:
        members = GROUPS[group][1]
        if any(labels[i] in members for i in np.flatnonzero(weights >= 1.0)):
            for i, label in enumerate(labels):
                if label in members:
                    weights[i] = max(weights[i], GROUP)
    return WantedClasses(weights, named, finer)


def agents_among(labels: tuple[str, ...]) -> NDArray[np.bool_]:
    """(labels,) which of some labels name what acts by itself: people, animals and vehicles."""
    return np.array([label in AGENTS for label in labels], bool)

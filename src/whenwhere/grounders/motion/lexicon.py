"""The words that the built-in grounder understands, as data.

Nouns map to *kinds* of things that differ in shape and motion, garments to the zone of a body that they cover, colour
words to mixtures of the columns of the colour table; verbs are in `event_lexicon`. Other words are ignored.
Inflections are undone by rules (`lemmas`), so the lists hold base forms and irregular ones.

Names, on-screen text, feelings and speech are left out on purpose, because motion, shape and colour do not show them.
"""

from functools import cache

import numpy as np

from whenwhere.grounders.motion import colours


def _words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


#: Kind -> nouns. Kinds are as fine as `attributes` can tell apart by shape and motion.
NOUNS: dict[str, frozenset[str]] = {
    "person": _words(
        "person people man men woman women guy gentleman lady ladies adult human somebody someone anybody anyone "
        "everyone everybody pedestrian walker passer-by passerby passersby bystander visitor customer shopper client "
        "worker employee clerk cashier waiter waitress staff member guard officer policeman policewoman cop soldier "
        "student teacher tourist commuter stranger figure individual male female grandfather grandmother grandpa "
        "grandma mother father mum mom dad parent wife husband couple friend colleague runner jogger dancer player "
        "goalkeeper footballer athlete skater skateboarder performer presenter speaker chef cook driver passenger "
        "engineer technician builder mechanic nurse doctor patient barista he she they him her pedestrians folk bloke "
        "chap dude owner host character actor actress singer musician guitarist drummer pianist artist hiker climber "
        "swimmer diver surfer skier snowboarder gymnast boxer wrestler referee fighter sailor farmer gardener "
        "fisherman hunter reporter journalist cameraman photographer interviewer guest king queen prince princess "
        "human fellow fella geezer gal gals lass lassie lad chick mate senior elder pensioner granny gran businessman "
        "businesswoman salesman saleswoman shopkeeper assistant attendant janitor cleaner courier postman mailman "
        "firefighter fireman paramedic soldier sergeant captain monk priest nun beggar tramp tourist spectator "
        "participant opponent teammate acrobat juggler contestant newcomer latecomer folks persons pilot astronaut "
        "clown magician bride groom neighbour neighbor thief burglar batter pitcher goalie keeper jumper vaulter racer "
        "umpire rower golfer cowboy cheerleader sister brother trainer weightlifter lifter archer fencer bowler "
        "sprinter bodybuilder potter welder carpenter plumber electrician lumberjack barber hairdresser dj rapper "
        "violinist cellist saxophonist bassist flutist percussionist conductor lifeguard policewoman bodyguard"
    ),
    "child": _words(
        "child children kid kids kiddo boy girl toddler tot baby infant preschooler adolescent minor pupil teenager "
        "teen youngster son daughter schoolboy schoolgirl newborn"
    ),
    "cyclist": _words(
        "cyclist biker bicyclist rider motorcyclist motorbiker bike bicycle cycle motorcycle motorbike scooter moped"
    ),
    "vehicle": _words(
        "car vehicle van truck lorry bus minibus taxi cab suv jeep sedan hatchback saloon pickup limousine coupe "
        "convertible wagon minivan ambulance tram train trailer tractor bulldozer forklift automobile auto limo "
        "firetruck caravan camper machine watercraft canoe kayak yacht sailboat ferry raft dinghy aircraft jet tank "
        "motorcar motor roadster estate hearse lorries semi rig coach trolleybus streetcar dumper digger excavator "
        "tanker roadroller motorhome rv hgv wheels beetle buggy juggernaut racecar boat ship plane airplane aeroplane "
        "helicopter drone cart carriage hatchbacks traffic"
    ),
    "animal": _words(
        "animal dog puppy cat kitten bird pigeon duck goose geese swan chicken hen rooster horse pony cow bull sheep "
        "lamb goat pig rabbit bunny squirrel fox deer bear elephant lion tiger monkey fish hamster mouse rat pet "
        "donkey zebra giraffe retriever labrador spaniel terrier poodle shepherd hound crow gull seagull parrot camel "
        "kangaroo panda turtle penguin leopard cheetah cattle calf snake crab crocodile alligator lizard frog snail "
        "butterfly bee doggy doggie doggo pooch mutt hound pup whelp canine feline puss pussycat moggy tabby tomcat "
        "steed stallion mare nag colt filly gelding ewe ram calf heifer ox oxen creature beast critter mongrel collie "
        "husky beagle bulldog dachshund corgi greyhound sheepdog mule llama alpaca elk moose boar hare badger ferret "
        "weasel spider insect dolphin whale shark seal owl eagle hawk ostrich peacock turkey sparrow stingray antelope "
        "buffalo bison wolf ape gorilla chimpanzee hippo rhino hedgehog otter raccoon piglet foal kid-goat kitty "
        "cockatoo cockatiel budgie canary macaw robin dove duckling flamingo stork heron chihuahua dalmatian "
        "rottweiler pug chick"
    ),
    "hand": _words("hand arm finger fist palm wrist glove"),
    "face": _words("face head"),
    "ball": _words("ball beachball balls football basketball volleyball puck frisbee balloon soccerball baseball"),
    "object": _words(
        "object thing item bottle cup mug glass can box parcel package carton bag backpack rucksack suitcase handbag "
        "luggage purse briefcase book phone smartphone mobile telephone laptop computer tablet keyboard remote toy "
        "plate bowl fork knife spoon pan pot kettle jar vase lamp chair stool table bench sofa umbrella hat helmet "
        "apple orange banana fruit vegetable cucumber tomato carrot lemon melon pear peach potato pepper onion bread "
        "cake sandwich pizza food drink newspaper paper document letter card pen pencil brush bucket basket trolley "
        "pram stroller pushchair wheelchair cone sign door gate window screen monitor stick rope leash lead pillow "
        "blanket towel cloth scissors tool hammer block brick stone tin container crate tray product pack key wallet "
        "coin watch camera flower plant bolt nut part cellphone guitar piano violin bat racket racquet snowboard "
        "skateboard surfboard oar sled faucet sink dish microwave oven stove refrigerator fridge cabinet closet "
        "cupboard drawer shelf wardrobe television tv mirror bed mattress cushion rug carpet curtain vacuum broom mop "
        "duster mat doorknob doorway snack candy chocolate egg cheese meat noodle rice soup coffee tea juice water "
        "wine beer medicine laundry homework notebook magazine picture-frame painting poster kite ladder hose wheel "
        "tyre tire engine teacup beaker goblet tumbler flask thermos canteen canister jerrycan pail barrel drum vat "
        "tub basin bin chest trunk casket case holdall tote duffel sack pouch knapsack urn pitcher pot flowerpot "
        "planter amphora decanter hardback paperback novel textbook diary journal manual tome dictionary volume stool "
        "seat armchair ottoman cardboard-box packet hamper punnet bundle vessel ewer microphone speaker headset "
        "charger cable notepad wrapper napkin jug pitcher container shelf crib couch settee loveseat desk worktop "
        "toilet teddy doll plush robot statue mannequin donut doughnut muffin pie pastry burger hamburger sausage "
        "salad cereal toast broccoli toaster freezer cooker clock timer toothbrush hairdryer hairdrier highchair "
        "recliner cot bunk skis ski paddle parachute parasol satchel schoolbag houseplant mitt saucepan iphone "
        "macbook telly hydrant"
    ),
}

#: Vehicles that are clearly bigger than a car, which is all that tells them from one.
BIG_VEHICLES = _words(
    "bus minibus truck lorry coach trolleybus tram train juggernaut hgv tanker firetruck tractor bulldozer excavator "
    "digger dumper roadroller forklift semi streetcar motorhome rv"
)
#: Vehicles and animals that nothing but their looks tells from a car or a dog, so that they are never found for sure.
UNTELLABLE = _words(
    "watercraft canoe kayak yacht sailboat ferry raft dinghy boat ship aircraft jet plane airplane aeroplane "
    "helicopter drone elephant lion tiger monkey zebra giraffe hamster fish camel kangaroo panda turtle penguin "
    "leopard cheetah snake crab crocodile alligator lizard frog snail butterfly bee spider insect dolphin whale shark "
    "seal owl eagle hawk ostrich peacock stingray antelope buffalo bison wolf ape gorilla chimpanzee hippo rhino "
    "hedgehog otter raccoon"
)

#: Nouns that are verbs as well, in -s after another noun: "the lorry motors past", "the man hands it over".
NOUN_VERBS = _words(
    "motor wheel truck coach cycle bike ride cup hand box tank nose head guard pilot dog duck ram fish hound wolf hare "
    "shepherd coast ferry raft canoe taxi skate stick drink watch phone water plant brush paper part hose clock cook "
    "hammer mop vacuum broom dish pack train skateboard ski paddle snack book tie parachute pedal toast pet bowl bear"
)

#: Words that mean several things at once -> the least number of them.
GROUPS: dict[str, int] = {
    "people": 2, "couple": 2, "pair": 2, "group": 3, "crowd": 3, "both": 2, "several": 3, "two": 2, "three": 3,
    "four": 4, "five": 5, "trio": 3, "duo": 2, "twins": 2,
}  # fmt: skip

#: Ordinal words -> the number, -1 for the last.
ORDINALS: dict[str, int] = {
    "first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4, "fifth": 5, "5th": 5,
    "sixth": 6, "6th": 6, "seventh": 7, "7th": 7, "eighth": 8, "8th": 8, "ninth": 9, "9th": 9, "tenth": 10, "10th": 10,
    "last": -1, "earliest": 1, "initial": 1, "opening": 1,
    "latest": -1, "closing": -1,
    "ultimate": -1, "hindmost": -1, "final": -1, "next": 2, "another": 2,
}  # fmt: skip

#: Colour word -> weights in 0-1 of the columns of the colour table that it describes.
COLOURS: dict[str, dict[str, float]] = {
    "black": {"black": 1.0},
    "white": {"white": 1.0, "grey": 0.15},
    "grey": {"grey": 1.0, "white": 0.15, "black": 0.1},
    "silver": {"grey": 1.0, "white": 0.6, "blue": 0.15},
    "red": {"red": 1.0, "pink": 0.2, "orange": 0.25},
    "orange": {"orange": 1.0, "red": 0.35, "yellow": 0.25, "brown": 0.15},
    "yellow": {"yellow": 1.0, "orange": 0.35, "green": 0.1},
    "green": {"green": 1.0, "yellow": 0.15, "blue": 0.05},
    "blue": {"blue": 1.0, "purple": 0.2, "black": 0.05},
    "purple": {"purple": 1.0, "pink": 0.35, "blue": 0.25},
    "pink": {"pink": 1.0, "red": 0.3, "purple": 0.3},
    "brown": {"brown": 1.0, "orange": 0.5, "red": 0.1, "black": 0.05},
    "beige": {"brown": 0.7, "white": 0.5, "yellow": 0.5, "orange": 0.5, "grey": 0.2},
    "turquoise": {"blue": 0.9, "green": 0.7},
    "maroon": {"red": 0.8, "brown": 0.7},
    "dark": {"black": 1.0, "grey": 0.2, "blue": 0.15, "brown": 0.2},
    "light": {"white": 1.0, "grey": 0.6, "yellow": 0.2, "pink": 0.2},
    "colourful": {
        "red": 0.8, "orange": 0.8, "yellow": 0.9, "green": 0.9, "blue": 0.8, "purple": 1.0, "pink": 1.0,
    },
    "denim": {"blue": 1.0, "black": 0.2, "grey": 0.2},
    "blonde": {"blonde": 1.0, "brown": 0.4, "orange": 0.4, "yellow": 0.5},
    "golden": {"yellow": 0.8, "orange": 0.8, "brown": 0.7, "blonde": 0.5},
    "skin": {"skin": 1.0},
}  # fmt: skip

#: RGB values of the basic colours, from which lighter and darker shades are computed.
PROTOTYPES: dict[str, tuple[int, int, int]] = {
    "black": (25, 25, 25), "white": (240, 240, 240), "grey": (128, 128, 128), "red": (200, 30, 35),
    "orange": (240, 130, 30), "yellow": (240, 210, 40), "green": (40, 140, 60), "blue": (40, 80, 190),
    "purple": (120, 50, 150), "pink": (240, 140, 180), "brown": (115, 70, 40), "turquoise": (40, 170, 170),
}  # fmt: skip

COLOUR_WORDS: dict[str, str] = {
    **{c: c for c in COLOURS if c not in ("skin", "light", "dark", "denim")},
    "gray": "grey", "silvery": "silver", "scarlet": "red", "crimson": "red", "reddish": "red", "burgundy": "maroon",
    "violet": "purple", "lilac": "purple", "lavender": "purple", "magenta": "pink", "rose": "pink", "navy": "blue",
    "azure": "blue", "bluish": "blue", "cyan": "turquoise", "teal": "turquoise", "aqua": "turquoise",
    "khaki": "beige",
    "cream": "beige", "tan": "beige", "sandy": "beige", "ivory": "white", "olive": "green", "lime": "green",
    "mint": "green",
    "greenish": "green", "chestnut": "brown", "auburn": "brown", "off-white": "white", "offwhite": "white",
    "wine": "maroon", "claret": "maroon",
    "rusty": "brown", "chocolate": "brown", "emerald": "green", "ebony": "black", "inky": "black",
    "ruby": "red", "vermilion": "red", "fuchsia": "pink", "indigo": "purple", "mauve": "purple", "plum": "purple",
    "cobalt": "blue", "sapphire": "blue", "jade": "green", "slate": "grey", "ash": "grey",
    "brunette": "brown", "ginger": "orange",
    "gold": "golden",
    "blond": "blonde", "fair": "blonde", "fair-haired": "blonde", "charcoal": "grey", "mustard": "yellow",
    "amber": "orange",
    "coloured": "colourful", "colorful": "colourful", "bright-coloured": "colourful", "yellowish": "yellow",
    "whitish": "white", "greyish": "grey", "brownish": "brown", "pinkish": "pink", "blackish": "black",
    "snowy": "white",
    "dark-coloured": "dark", "light-coloured": "light", "high-vis": "yellow", "fluorescent": "yellow",
    "neon": "yellow",
}  # fmt: skip

#: Part of a body -> words for what is worn or carried there, whose colours are those of the part.
PARTS: dict[str, frozenset[str]] = {
    "upper": _words(
        "shirt tshirt t-shirt jacket coat sweater jumper hoodie cardigan blouse top vest pullover sweatshirt blazer "
        "polo waistcoat overcoat trench trenchcoat topcoat cloak cape tee tees tank camisole kaftan turtleneck "
        "rollneck dungaree gilet bomber blazer puffer cagoule duffel smock bodice shirtsleeves anorak parka raincoat "
        "windbreaker tunic jersey fleece sleeve sleeves tank-top singlet scarf shawl poncho bib"
    ),
    "lower": _words(
        "trousers trouser pants pant jeans jean shorts skirt leggings legging tights chinos slacks joggers tracksuit- "
        "bottoms sweatpants bottoms breeches culottes dungarees kilt miniskirt sweats khakis slacks hotpants capris "
        "cords corduroys jodhpurs stockings legs leg"
    ),
    "whole": _words(
        "gear garb getup frock gown sundress dungaree romper onesie pyjamas pajamas dress suit clothes clothing outfit "
        "uniform overalls overall robe gown costume tracksuit jumpsuit garment attire kit abaya burqa sari kimono fur "
        "coat-dress clothed"
    ),
    "hair": _words(
        "hair haired hairdo locks mane curls fringe ponytails pigtails haired ponytail plait braid braids bun curls "
        "beard moustache wig"
    ),
    "head": _words("hat cap helmet beanie hood headscarf hijab turban bandana mask glasses sunglasses headphones"),
    "feet": _words("shoes shoe boots boot trainers trainer sneakers sneaker sandals sandal socks sock heels"),
    "carried": _words(
        "bag backpack rucksack handbag suitcase umbrella briefcase purse luggage satchel tote box parcel basket "
        "trolley stick"
    ),
}

DENIM = _words("jean jeans denim")
SLEEVES = {
    "short-sleeved": "short",
    "short-sleeve": "short",
    "sleeveless": "short",
    "long-sleeved": "long",
    "long-sleeve": "long",
}

SIDES: dict[str, str] = {
    "left": "left", "left-hand": "left", "lefthand": "left", "right": "right", "right-hand": "right",
    "righthand": "right",
    "top": "top", "bottom": "bottom", "upper": "top", "lower": "bottom", "middle": "middle", "centre": "middle",
    "center": "middle", "above": "top", "below": "bottom", "background": "far", "distance": "far",
    "foreground": "near",
    "front": "near", "back": "far",
}  # fmt: skip

#: Words that are a direction by themselves.
DIRECTIONS: dict[str, str] = {
    "leftwards": "left", "leftward": "left", "rightwards": "right", "rightward": "right", "upwards": "up",
    "upward": "up",
    "up": "up", "downwards": "down", "downward": "down", "down": "down",
}  # fmt: skip

SIZES: dict[str, str] = {
    "big": "big", "large": "big", "huge": "big", "tall": "big", "biggest": "big", "largest": "big", "tallest": "big",
    "giant": "big", "bigger": "big", "larger": "big", "taller": "big", "fat": "big", "small": "small",
    "little": "small",
    "tiny": "small", "short": "small", "smallest": "small", "shortest": "small", "smaller": "small",
    "mini": "small", "miniature": "small", "oversized": "big", "massive": "big", "enormous": "big",
    "gigantic": "big", "sizeable": "big", "bulky": "big", "compact": "small", "minuscule": "small", "wee": "small",
    "diminutive": "small", "teeny": "small", "great": "big", "petite": "small", "undersized": "small",
    "closest": "big", "nearest": "big", "farthest": "small", "furthest": "small", "far": "small",
}  # fmt: skip

SPEEDS: dict[str, str] = {
    "fast": "fast", "quick": "fast", "quickly": "fast", "rapidly": "fast", "fastest": "fast", "hurriedly": "fast",
    "swiftly": "fast",
    "slow": "slow", "slowly": "slow", "slowest": "slow", "leisurely": "slow", "speeding": "fast",
}  # fmt: skip

#: Irregular forms that the rules cannot undo.
IRREGULAR: dict[str, str] = {
    "ran": "run", "went": "go", "gone": "go", "goes": "go", "going": "go", "came": "come", "left": "left",
    "leaves": "leave", "leaving": "leave",
    "stood": "stand", "sat": "sit", "took": "take", "taken": "take", "puts": "put", "putting": "put",
    "drove": "drive",
    "driven": "drive", "rode": "ride", "ridden": "ride", "threw": "throw", "thrown": "throw", "caught": "catch",
    "held": "hold",
    "fell": "fall", "fallen": "fall", "flew": "fly", "flown": "fly", "swam": "swim", "began": "begin",
    "begun": "begin",
    "met": "meet", "bent": "bend", "leapt": "leap", "knelt": "kneel", "lay": "lie", "laid": "lay", "lying": "lie",
    "got": "get", "gotten": "get", "set": "set", "is": "be", "are": "be", "was": "be", "were": "be", "been": "be",
    "being": "be", "'s": "be", "brought": "bring", "carried": "carry", "sets": "set", "setting": "set", "gets": "get",
    "passes": "pass", "crosses": "cross", "passing": "pass", "passed": "pass", "crossing": "cross",
    "crossed": "cross",
    "stopped": "stop", "stopping": "stop", "stops": "stop", "does": "do", "has": "have", "had": "have",
    "places": "place", "dropped": "drop", "dropping": "drop", "grabbed": "grab", "grabbing": "grab", "jogging": "jog",
    "wolves": "wolf", "knives": "knife", "shelves": "shelf", "men": "men", "women": "women", "gives": "give",
    "gave": "give",
    "hid": "hide", "hidden": "hide", "slid": "slide", "spun": "spin", "swung": "swing", "rose": "rose",
    "risen": "rise", "sitting": "sit", "sits": "sit", "shut": "shut", "strode": "stride", "crept": "creep",
    "sped": "speed",
    "swept": "sweep", "stole": "steal", "stolen": "steal", "fled": "flee", "broke": "break", "shown": "show",
}  # fmt: skip


@cache
def lemmas(word: str) -> tuple[str, ...]:
    """The word and the base forms of which it may be an inflection, the likeliest first.

    >>> lemmas("parked")[:3], lemmas("ran"), "walk" in lemmas("walking"), "lorry" in lemmas("lorries")
    (('parked', 'park', 'parke'), ('run',), True, True)
    >>> "stop" in lemmas("stopping"), "drive" in lemmas("driving"), "bus" in lemmas("buses")
    (True, True, True)
    """
    if word in IRREGULAR:
        return (IRREGULAR[word],)
    out = [word]
    if word.endswith("'s"):
        out += [word[:-2]]
    elif word.endswith("ies") and len(word) > 4:
        out += [word[:-3] + "y"]
    elif word.endswith("es") and len(word) > 4:
        out += [word[:-1], word[:-2]]
    elif word.endswith("s") and not word.endswith("ss") and len(word) > 3:
        out += [word[:-1]]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            stem = word[: -len(ending)]
            out += [stem, stem + "e"]
            if len(stem) > 2 and stem[-1] == stem[-2]:
                out += [stem[:-1]]
            if ending == "ed" and stem.endswith("i"):
                out += [stem[:-1] + "y"]
    return tuple(dict.fromkeys(out))


_LIGHT = _words("light pale soft pastel powder baby sky sandy faded washed-out ice icy whitish fair lighter")
_DARK = _words("dark deep midnight wine bottle forest navy charcoal blackish darker racing oxblood")
_PLAIN = _words(
    "bright vivid hot jet pitch lemon lime rose brick blood cherry tomato snow coal raven ink canary banana apple "
    "grass emerald olive mint ocean sea royal electric chocolate coffee chestnut slate steel ash shocking neon acid "
    "all pure solid plain rich strong mid medium dusty fire candy bubblegum salmon grape poppy mustard milk bone snowy "
    "coffee ruby cobalt cornflower duck-egg"
)
#: Words that name a shade of the colour after them: "jet black", "sky blue".
SHADES = _LIGHT | _DARK | _PLAIN


@cache
def colour_of(word: str) -> str | None:
    """The colour that a word names: a key of `COLOURS`, or "light" or "dark" before one; None if it names none.

    >>> [colour_of(w) for w in ("reddish", "orangey", "wine-red", "lime-coloured", "pale-blue", "blue-green", "tall")]
    ['red', 'orange', 'dark red', 'green', 'light blue', 'turquoise', None]
    """
    if word in COLOUR_WORDS:
        return COLOUR_WORDS[word]
    for ending in ("-coloured", "-colored", "coloured", "colored", "-tinted", "-toned", "-ish"):
        if word.endswith(ending) and len(word) > len(ending):
            return colour_of(word.removesuffix(ending))
    if "-" in word:
        first, last = word.rsplit("-", 1)
        end = colour_of(last)
        if end is None:
            return None
        if {colour_of(first), end} == {"blue", "green"}:
            return "turquoise"
        if colour_of(first) in ("silver", "grey") and end in PROTOTYPES:
            return f"{colour_of(first)} {end}"
        shade = "light" if first in _LIGHT else "dark" if first in _DARK else None
        return f"{shade} {end}" if shade and end in PROTOTYPES and end not in ("black", "white") else end
    for ending, instead in (("ish", ""), ("ish", "e"), ("y", ""), ("y", "e"), ("ey", "")):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            stem = word[: -len(ending)]
            for base in (stem + instead, stem[:-1] if stem[-1] == stem[-2] else stem + instead):
                if base in PROTOTYPES:
                    return base
    return None


@cache
def mix_of(colour: str) -> dict[str, float]:
    """The weight of each column of the colour table for a colour: that of `COLOURS`, or of a shade or mixture.

    >>> sorted(mix_of("dark red")), sorted(mix_of(colour_of("silver-blue")))
    (['brown', 'orange', 'pink', 'red'], ['black', 'blue', 'grey', 'purple', 'white'])
    """
    if colour in COLOURS:
        return COLOURS[colour]
    shade, name = colour.split()
    if shade in COLOURS and shade not in ("light", "dark"):
        return {
            c: max(COLOURS[shade].get(c, 0.0), COLOURS[name].get(c, 0.0)) for c in {**COLOURS[shade], **COLOURS[name]}
        }
    rgb = np.array(PROTOTYPES[name], float)
    rgb = 0.55 * rgb + 0.45 * 255 if shade == "light" else 0.5 * rgb
    around = np.array([[r, g, b] for r in (-18, 0, 18) for g in (-18, 0, 18) for b in (-18, 0, 18)])
    pixels = np.clip(rgb + around, 0, 255).astype(np.uint8)
    share = colours.colour_table()[colours.colour_cells(pixels)][:, : len(colours.COLOURS)].mean(0)
    made = {c: float(v / share.max()) for c, v in zip(colours.COLOURS, share, strict=True) if v > 0.15 * share.max()}
    return {**made, **{c: max(made.get(c, 0.0), 0.8 * w) for c, w in COLOURS[name].items()}}


@cache
def noun_kind(word: str) -> str | None:
    """The kind of thing that a noun names; None if it names none.

    >>> noun_kind("lorries"), noun_kind("puppies"), noun_kind("happiness")
    ('vehicle', 'animal', None)
    """
    for form in lemmas(word):
        for kind, nouns in NOUNS.items():
            if form in nouns:
                return kind
    return None


@cache
def body_part(word: str) -> str | None:
    """The part of a body that a word for a garment or for hair stands for; None if it stands for none."""
    for form in lemmas(word):
        for part, nouns in PARTS.items():
            if form in nouns:
                return part
    return None


#: Words before a noun that make it an imitation, which a detector may or may not take for the thing itself.
IMITATIONS = frozenset(
    ("toy", "model", "stuffed", "plush", "teddy", "plastic", "wooden", "inflatable", "cardboard", "paper", "rubber",
     "miniature", "fake", "drawn", "cartoon")
)  # fmt: skip

#: Words that begin a sub-clause -> its relation to the main clause.
RELATIONS: dict[str, str] = {
    "while": "while", "as": "while", "when": "while", "whilst": "while", "during": "while", "after": "after",
    "before": "before",
    "until": "before", "once": "after", "since": "after",
}  # fmt: skip

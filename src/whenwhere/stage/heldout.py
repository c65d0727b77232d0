"""Words kept out of development: ordinary English that somebody who has never seen the other words would use.

Nothing in this file may be used to fit rules or thresholds, because grounders are evaluated on it. `wordings` explains
the structure.
"""

from whenwhere.stage.wordings import Words

HELDOUT = Words(
    nouns={
        "car": ("automobile", "hatchback", "sedan"), "van": ("minivan", "delivery van", "people carrier"),
        "truck": ("lorry", "cargo truck"), "bus": ("coach", "city bus"), "vehicle": ("motor vehicle",),
        "man": ("guy", "gentleman", "fellow"), "woman": ("lady", "young lady"), "child": ("kid", "youngster"),
        "person": ("pedestrian", "passer-by", "individual"), "dog": ("hound", "puppy", "pooch"),
        "cat": ("kitty", "kitten"), "horse": ("pony", "stallion"), "animal": ("pet", "creature"),
        "ball": ("football", "beach ball"), "box": ("carton", "crate", "parcel"), "bottle": ("flask", "carafe"),
        "cup": ("mug", "beaker"), "bag": ("handbag", "purse"), "book": ("notebook", "hardback"),
        "vase": ("flower vase", "clay pot"), "suitcase": ("travel case", "trolley case"),
    },
    moves={
        "vehicle": (("cruises", "travels", "motors"), ("speeds", "zooms")),
        "person": (("strolls", "strides", "wanders"), ("jogs", "dashes", "hurries")),
        "animal": (("trots", "ambles", "pads"), ("races", "bolts", "gallops")),
        "thing": (("trundles", "tumbles"), ("shoots",)),
    },
    templates={
        "there": ("every moment in which we see {np}", "find {np} for me", "{np} showing up in the video",
                  "when is {np} visible?", "{np} that we get to see"),
        "cross": ("{np} {moves} towards the {side}-hand side",
                  "~{np}, passing from the {other} edge over to the {side} edge",
                  "~{np} which {moves} across the scene, {side}wards bound", "~{np} heading {side}",
                  "{np} makes its way {side}wards through the shot"),
        "up": ("{np} {moves} towards the upper edge of the frame", "~{np} heading away from us, up the screen",
               "~{np} which enters below and exits above"),
        "down": ("{np} {moves} towards the lower edge of the frame", "~{np} heading down the screen",
                 "~{np} which enters above and exits below"),
        "enter": ("{np} shows up from the {other}-hand edge", "{np} {moves} into view on the {other}",
                  "~{np} arriving from the {other}-hand side", "into the frame from the {other} {moves} {np}"),
        "leave": ("{np} disappears off the {side}-hand edge", "{np} exits on the {side}",
                  "~{np} departing towards the {side}",
                  "{np} {moves} off and vanishes past the {side} border"),
        "back": ("{np} re-enters the frame", "{np} {moves} into view once more",
                 "{np} makes its way back into the shot",
                 "{np}, gone for a moment, is coming in again"),
        "stand": ("{np} pauses", "{np} remains motionless", "{np} is lingering on the spot",
                  "{np} stays put for a few seconds"),
        "stand vehicle": ("{np} is parked", "{np} remains stationary", "{np} halts for a bit", "{np} is not moving"),
        "turn": ("{np} does an about-turn and retreats", "{np} reverses direction and heads off again",
                 "{np} changes its mind and {moves} the way it came"),
        "put": ("{np} gets placed on the {place}", "somebody sets {np} down on the {place}",
                "~{np} being deposited by someone"),
        "taken": ("{np} gets picked up", "somebody grabs {np}", "{np} is removed by someone"),
        "rest": ("~{np} resting on the {place}", "~{np} that sits on the {place} untouched"),
        "appear": ("out of nowhere there is {np} on the {place}, which then remains",),
        "vanish": ("{np} sits on the {place} up to the moment it vanishes",),
    },
    clothes={
        "top": ("wearing a {c} sweater", "dressed in a {c} pullover", "who has a {c} jersey on"),
        "coat": ("wearing a {c} overcoat", "in a {c} trench coat"),
        "bottom": ("wearing {c} pants", "who has {c} jeans on"),
        "skirt": ("wearing a {c} miniskirt", "who has a {c} skirt on"),
        "hair": ("whose hair is {c}", "with a {c} hairdo"),
        "both": ("wearing a {c} pullover together with {d} pants",),
    },
    texture={"striped": ("stripy",), "checked": ("chequered", "plaid"), "spotted": ("polka-dot", "dotted")},
    size={"big": ("huge", "sizeable"), "small": ("tiny", "compact")},
    order=(("very first", "earliest"), ("2nd",), ("3rd",), ("final", "very last")),
    sides={"left": ("in the left half of the image", "at the left-hand side"),
           "right": ("in the right half of the image", "at the right-hand side")},
    links={
        "while": ("{main}, and at the same time {sub}", "as {sub}, {main}", "{main} during the time that {sub}"),
        "after": ("once {sub}, {main}", "{main}, following the moment when {sub}"),
        "before": ("{main}, prior to the moment when {sub}", "{main}, and only later {sub}"),
    },
    places={"table": ("tabletop", "kitchen table"), "counter": ("worktop", "sales desk"),
            "floor": ("tiles", "flooring"),
            "ground": ("pavement", "terrain")},
)  # fmt: skip

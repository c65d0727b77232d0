"""Words of the validation split: how people type when they look for something in a video.

Written without sight of what the built-in grounder's lexicon knows, to measure it on wordings that it was not
developed on. Where the development split keeps to one plain clause, here are questions, fragments, relative clauses,
participles, passives, other word orders, pronouns and dropped articles. The fields are explained in `wordings`.

Left out on purpose: wordings whose time is open to debate, such as "as soon as", "and then", "meanwhile" or "until".
"""

from whenwhere.stage.wordings import Words

_CROSS = (
    "{np} {moves} across the frame from {other} to {side}", "{np} crosses the screen heading {side}",
    "{np} passes by, going from the {other} to the {side}", "{np} makes it all the way across to the {side}",
    "{np} {moves} past from the {other} to the {side}", "{np} comes past going {side}",
    "{np} travels {other} to {side}", "{np} moves {side}wards across the shot", "{np} {moves} {side} right through the shot",
    "~{np} {moving} {other} to {side}", "~{np} that {moves} across towards the {side}",
    "~when does {np} {move} across to the {side}?", "~{np} passing through, headed {side}",
    "~from {other} to {side} {np} {moves} across", "~{np} on the way from the {other} to the {side}",
)  # fmt: skip
_UP = (
    "{np} {moves} up the screen", "{np} moves from the lower edge to the upper edge", "{np} crosses the frame going up",
    "{np} travels bottom to top", "{np} comes past going upward", "{np} passes by on the way up",
    "~{np} {moving} up the frame", "~{np} headed for the top edge", "~{np} that {moves} up the screen",
    "~when does {np} {move} up the screen?",
)  # fmt: skip
_DOWN = (
    "{np} {moves} down the screen", "{np} moves from the upper edge to the lower edge",
    "{np} crosses the frame going down", "{np} travels top to bottom", "{np} comes past going downward",
    "{np} passes by on the way down", "~{np} {moving} down the frame", "~{np} headed for the bottom edge",
    "~{np} that {moves} down the screen", "~when does {np} {move} down the screen?",
)  # fmt: skip
_ENTER = (
    "{np} shows up from the {other}", "{np} comes into view from the {other}", "{np} arrives from the {other}",
    "{np} appears from the {other}-hand side", "{np} {moves} in from the {other}", "{np} {moves} into shot from the {other}",
    "{np} turns up on the {other}", "{np} pops into frame from the {other}", "~{np} coming in from the {other}",
    "~{np} entering on the {other}", "~{np} {moving} into view from the {other}", "~in from the {other} comes {np}",
    "~when does {np} show up from the {other}?",
)  # fmt: skip
_LEAVE = (
    "{np} heads off to the {side}", "{np} exits on the {side}", "{np} {moves} off to the {side}",
    "{np} {moves} out of shot on the {side}", "{np} disappears off the {side} edge", "{np} goes out of view to the {side}",
    "{np} makes off to the {side}", "{np} takes off to the {side}", "{np} drops out of view on the {side}",
    "~{np} leaving on the {side}", "~{np} {moving} out of the frame to the {side}", "~{np} heading off {side}",
    "~when does {np} head off to the {side}?", "~off to the {side} goes {np}",
)  # fmt: skip
_BACK = (
    "{np} shows up again", "{np} reappears", "{np} comes into view once more", "{np} is back in the frame again",
    "{np} turns up again", "{np} comes in a second time", "{np} {moves} back into shot", "{np} makes a comeback",
    "~{np} coming back in again", "~{np} returning to the frame", "~when does {np} show up again?", "~{np} that comes in again",
)  # fmt: skip
_STAND = (
    "{np} stays put", "{np} stops for a while", "{np} isn't moving", "{np} stays in one place", "{np} holds still",
    "{np} doesn't move", "{np} remains in the same spot", "{np} pauses for a bit", "~{np} not moving at all",
    "~{np} staying in one spot", "~{np} that isn't moving", "~when does {np} stay put?",
)  # fmt: skip
_TURN = (
    "{np} doubles back", "{np} does a U-turn", "{np} reverses direction and {moves} off",
    "{np} spins around and heads back the same way", "{np} changes direction and {moves} away again",
    "{np} flips round and heads the other way", "{np} {moves} back the same way", "{np} heads back out the way in",
    "~{np} doubling back", "~{np} turning around to head back", "~{np} that makes a U-turn", "~when does {np} double back?",
)  # fmt: skip

VAL = Words(
    nouns={
        "car": ("automobile", "auto", "motorcar"), "van": ("minivan", "delivery van", "minibus"),
        "truck": ("lorry", "cargo truck", "big rig"), "bus": ("coach", "passenger bus", "city bus"),
        "vehicle": ("motor vehicle", "ride"),
        "man": ("guy", "bloke", "gentleman", "fella", "dude"), "woman": ("lady", "gal", "young lady"),
        "child": ("kid", "youngster", "little kid"), "person": ("individual", "figure", "human being"),
        "dog": ("pooch", "hound", "doggy", "mutt"), "cat": ("kitty", "feline", "moggy"),
        "horse": ("pony", "steed", "mare"), "sheep": ("sheep", "ewe"), "animal": ("creature", "critter", "beast"),
        "ball": ("beach ball", "football", "rubber ball"), "box": ("carton", "crate", "parcel"),
        "bottle": ("flask", "water bottle", "drinks bottle"), "cup": ("mug", "teacup", "coffee cup"),
        "bag": ("tote", "handbag", "shopping bag"), "book": ("paperback", "notebook", "hardback"),
        "vase": ("flower vase", "urn"), "suitcase": ("trolley case", "travel case", "piece of luggage"),
        "bucket": ("bucket", "pail"), "chair": ("chair", "seat"),
    },
    moves={
        "vehicle": (("cruises", "motors", "trundles"), ("speeds", "races", "zooms", "whizzes")),
        "person": (("strolls", "wanders", "ambles", "strides", "steps"), ("sprints", "dashes", "rushes", "jogs", "hurries")),
        "animal": (("trots", "wanders", "plods", "ambles"), ("dashes", "gallops", "bounds", "races")),
        "thing": (("trundles", "tumbles", "bowls"), ("shoots", "whizzes", "zips")),
    },
    templates={
        "there": (
            "{np} is in shot", "{np} is on screen", "{np} is visible", "{np} is in the frame", "you can see {np}",
            "{np} is around", "~where is {np}?", "~find {np}", "~show me {np}", "~spot {np}", "~{np} anywhere in the video",
            "~all the parts with {np} in them", "~can we see {np} in this?", "~every time we see {np}", "~looking for {np}",
        ),
        "cross": _CROSS,
        "cross vehicle": (*_CROSS, "{np} goes by heading {side}", "~{np} driving {side}wards",
                          "~{np} being driven from {other} to {side}"),
        "cross person": (*_CROSS, "~{np} who {moves} from the {other} side over to the {side}",
                         "~{np} walking by from {other} to {side}"),
        "up": _UP,
        "down": _DOWN,
        "enter": _ENTER,
        "enter vehicle": (*_ENTER, "{np} pulls in from the {other}", "{np} drives up from the {other}",
                          "~{np} pulling in from the {other}"),
        "enter person": (*_ENTER, "{np} walks in on the {other}", "{np} makes an entrance from the {other}",
                         "~{np} who comes along from the {other}"),
        "leave": _LEAVE,
        "leave vehicle": (*_LEAVE, "{np} pulls away to the {side}", "{np} drives off {side}", "~{np} pulling out to the {side}"),
        "leave person": (*_LEAVE, "{np} walks off {side}", "{np} clears off to the {side}", "~{np} who heads out on the {side}"),
        "back": _BACK,
        "back person": (*_BACK, "{np} walks back in", "~{np} who comes in again after going away"),
        "stand": (*_STAND, "{np} rests without moving"),
        "stand vehicle": (*_STAND, "{np} is parked up", "{np} is stationary", "{np} sits motionless", "{np} is at a standstill",
                          "~{np} parked", "~{np} sitting there with nobody moving it"),
        "stand person": (*_STAND, "{np} hangs around", "{np} lingers", "{np} waits around", "{np} is just standing around",
                         "~{np} standing about", "~{np} who just stands around"),
        "turn": _TURN,
        "turn person": (*_TURN, "{np} has second thoughts and heads back", "~{np} who turns on the spot and heads back"),
        "put": (
            "{np} is placed on the {place}", "{np} gets set down on the {place}", "someone sets {np} down on the {place}",
            "someone leaves {np} on the {place}", "{np} gets left on the {place}", "somebody places {np} on the {place}",
            "{np} is being set down", "{np} is laid on the {place}", "{np} gets dropped off on the {place}",
            "on the {place} someone sets {np}", "~{np} being placed on the {place}", "~someone setting down {np}",
            "~when does {np} get put on the {place}?",
        ),
        "taken": (
            "{np} gets picked up", "someone picks {np} up off the {place}", "someone grabs {np} from the {place}",
            "{np} is picked up and carried off", "{np} is removed from the {place}", "someone walks off with {np}",
            "{np} gets taken off the {place}", "somebody lifts {np} off the {place}", "{np} is collected",
            "{np} gets snatched from the {place}", "~{np} being picked up", "~someone grabbing {np}",
            "~when does {np} get picked up?",
        ),
        "rest": (
            "{np} sits on the {place}", "{np} is sitting on the {place}", "{np} rests on the {place}",
            "{np} has been left on the {place}", "{np} stays on the {place}", "{np} is just sitting there on the {place}",
            "on the {place} sits {np}", "{np} can be found on the {place}", "there's {np} on the {place}",
            "~{np} lying around on the {place}", "~{np} that sits on the {place}", "~how long is {np} on the {place}?",
        ),
        "appear": (
            "{np} pops up on the {place} and never goes away", "{np} is suddenly on the {place} and stays put",
            "out of nowhere {np} is on the {place} and stays", "{np} shows up on the {place} and remains there",
            "{np} materialises on the {place} and stays put", "{np} turns up on the {place} and is there to the end",
            "{np} comes out of nowhere and remains on the {place}", "all of a sudden {np} is on the {place} for good",
            "~{np} on the {place} from when it pops up", "~{np} that pops up on the {place} and stays put",
        ),
        "vanish": (
            "{np} sits on the {place} until it vanishes", "{np} is on the {place} up to when it disappears",
            "{np} stays on the {place} till it is suddenly not there", "{np} rests on the {place} before vanishing",
            "{np} sits there on the {place} and then suddenly disappears", "{np} remains on the {place} till it vanishes",
            "until it disappears {np} sits on the {place}", "~{np} on the {place} until it disappears",
            "~{np} that sits on the {place} till it vanishes", "~how long does {np} sit on the {place} before it vanishes?",
        ),
    },
    clothes={
        "top": ("wearing a {c} top", "in a {c} sweater", "with a {c} jersey on", "in a {c} tee", "dressed in {c}",
                "clad in {c}", "who has a {c} top on", "who's wearing a {c} sweater", "whose top is {c}",
                "with the {c} pullover", "who is in {c}"),
        "coat": ("in a {c} overcoat", "wearing a {c} raincoat", "with a {c} coat on", "in a {c} parka", "in the {c} jacket",
                 "who's wearing a {c} jacket", "whose coat is {c}", "who has a long {c} jacket on", "wrapped in a {c} coat",
                 "with the {c} trench coat"),
        "bottom": ("in {c} pants", "wearing {c} jeans", "with {c} pants on", "who's got {c} pants on", "whose pants are {c}",
                   "in {c} slacks", "who wears {c} pants", "in the {c} jeans", "wearing {c} bottoms", "with the {c} slacks"),
        "skirt": ("wearing a {c} skirt", "with a {c} skirt on", "whose skirt is {c}", "in the {c} skirt",
                  "who's wearing a {c} skirt", "who has a {c} skirt on"),
        "shorts": ("in {c} shorts", "wearing {c} shorts", "with {c} shorts on", "whose shorts are {c}", "in the {c} shorts",
                   "who's got {c} shorts on"),
        "hair": ("who has {c} hair", "whose hair is {c}", "with the {c} hair", "sporting {c} hair", "having {c} hair",
                 "with that {c} hair"),
        "both": ("wearing a {c} top and {d} pants", "in {d} pants and a {c} sweater", "with a {c} top on and {d} jeans",
                 "who's in a {c} jersey and {d} pants", "whose top is {c} and whose pants are {d}",
                 "dressed in a {c} sweater with {d} slacks"),
        "both shorts": ("wearing a {c} top and {d} shorts", "in {d} shorts and a {c} tee", "with a {c} top on and {d} shorts",
                        "whose top is {c} and whose shorts are {d}"),
        "body": ("that is {c}", "that's {c}", "which is {c}", "in {c}", "of a {c} colour"),
    },
    texture={"zigzag": ("zigzag", "zigzag-patterned", "zig-zaggy"), "diamonds": ("diamond-patterned", "argyle", "harlequin")},
    size={"big": ("huge", "bigger", "oversized", "massive"), "small": ("tiny", "smaller", "mini", "undersized")},
    order=(("very first", "1st"), ("2nd",), ("3rd",), ("final", "very last")),
    sides={
        "left": ("over on the left", "on the left-hand side", "in the left half", "to the left of centre", "left of the middle",
                 "on the far left side", "over to the left", "in the left part of the frame", "at the left",
                 "on the left of the shot"),
        "right": ("over on the right", "on the right-hand side", "in the right half", "to the right of centre",
                  "right of the middle", "on the far right side", "over to the right", "in the right part of the frame",
                  "at the right", "on the right of the shot"),
    },
    links={
        "while": ("{main} as {sub}", "as {sub}, {main}", "{main} at the same time as {sub}", "{main} whilst {sub}",
                  "whilst {sub}, {main}", "{main} during the time that {sub}", "during the bit where {sub}, {main}",
                  "{main} when {sub}", "when {sub}, {main}", "{main} over the same time that {sub}"),
        "after": ("{main} once {sub}", "once {sub}, {main}", "{main} some time after {sub}", "{main} at some point after {sub}",
                  "{main} after the bit where {sub}", "after the part where {sub}, {main}", "{main} later, after {sub}",
                  "later on, after {sub}, {main}", "{main} only after {sub}", "{main} following the moment when {sub}"),
        "before": ("{main} prior to when {sub}", "{main} some time before {sub}", "{main} earlier than when {sub}",
                   "{main} before the bit where {sub}", "before the part where {sub}, {main}", "{main} earlier, before {sub}",
                   "some time before {sub}, {main}", "{main} ahead of the moment when {sub}", "{main} at some point before {sub}",
                   "early on, before {sub}, {main}"),
    },
    places={"worktop": ("worktop", "kitchen counter"), "bench": ("bench", "platform bench"),
            "tiles": ("tiles", "tiled floor"), "platform": ("platform", "station platform"), "sand": ("sand", "beach"),
            "grass": ("grass", "meadow"), "tarmac": ("tarmac", "asphalt")},
    articles=(("the", 0.5), ("a", 0.8), ("this", 0.88), ("", 1.1)),
    pronouns=("somebody", "someone"),
    forms={
        "cruises": ("cruising", "cruise"), "motors": ("motoring", "motor"), "trundles": ("trundling", "trundle"),
        "speeds": ("speeding", "speed"), "races": ("racing", "race"), "zooms": ("zooming", "zoom"),
        "whizzes": ("whizzing", "whizz"), "strolls": ("strolling", "stroll"), "wanders": ("wandering", "wander"),
        "ambles": ("ambling", "amble"), "strides": ("striding", "stride"), "steps": ("stepping", "step"),
        "sprints": ("sprinting", "sprint"), "dashes": ("dashing", "dash"), "rushes": ("rushing", "rush"),
        "jogs": ("jogging", "jog"), "hurries": ("hurrying", "hurry"), "trots": ("trotting", "trot"),
        "plods": ("plodding", "plod"), "gallops": ("galloping", "gallop"), "bounds": ("bounding", "bound"),
        "tumbles": ("tumbling", "tumble"), "bowls": ("bowling", "bowl"), "shoots": ("shooting", "shoot"), "zips": ("zipping", "zip"),
    },
    frames=("{s}", "{s}", "{s}", "{s}", "when {s}", "the part where {s}", "find the moment when {s}", "show me when {s}",
            "the bit where {s}", "I'm looking for when {s}", "can you find where {s}?", "moments where {s}"),
)  # fmt: skip

"""What the motion grounder understands of a sentence."""

import pytest

from whenwhere.grounders.motion import grammar, lexicon
from whenwhere.grounders.motion.reading import read_query


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("the red car drives from the bottom to the top of the picture",
         {"kind": "vehicle", "colours": [("red", "whole")], "direction": "up", "origin": "bottom",
          "events": ["drive"]}),
        ("a white lorry turns left", {"kind": "vehicle", "direction": "left", "events": ["turn"]}),
        ("the second man who walks by from right to left", {"kind": "person", "order": 2, "direction": "left"}),
        ("a person in a red jacket rides a bicycle", {"kind": "cyclist", "colours": [("red", "upper")]}),
        ("the hand puts the bottle back", {"kind": "hand", "events": ["put_down"]}),
        ("the woman leaves the picture", {"kind": "person", "events": ["leave"], "direction": None}),
        ("the van has left", {"kind": "vehicle", "events": ["leave"]}),
        ("the person on the left", {"side": "left", "events": [], "direction": None}),
        ("two people walk past together", {"kind": "person", "count": 2, "events": ["pass"]}),
        ("the black dog runs away", {"kind": "animal", "colours": [("black", "whole")], "events": ["leave"]}),
        ("the white van parks", {"kind": "vehicle", "events": ["stop"]}),
        ("a woman with black hair and a grey knitted sweater",
         {"colours": [("black", "hair"), ("grey", "upper")], "count": 1}),
        ("the woman with long blonde hair dressed all in black",
         {"colours": [("blonde", "hair"), ("black", "whole")]}),
        ("a man in a light grey shirt and blue jeans", {"colours": [("light grey", "upper"), ("blue", "lower")]}),
        ("the man in a grey top", {"colours": [("grey", "upper")], "side": None}),
        ("the brown and white dog is in the picture", {"colours": [("brown", "whole"), ("white", "whole")]}),
        ("the man in jeans", {"colours": [("denim", "lower")]}),
        ("an orange car", {"kind": "vehicle", "colours": [("orange", "whole")]}),
        ("the pink bag is on the ground", {"kind": "object", "colours": [("pink", "whole")], "events": ["stand"]}),
        ("a bottle is lifted off the table", {"kind": "object", "events": ["pick_up"]}),
        ("a green can", {"kind": "object", "colours": [("green", "whole")]}),
        ("the purple van can be seen", {"kind": "vehicle", "colours": [("purple", "whole")], "events": []}),
        ("the last person to enter the room", {"order": -1, "events": ["enter"]}),
        ("the dog returns for the first time", {"occurrence": 1, "order": None, "events": ["return"]}),
        ("a man stands with his back to the camera", {"direction": None, "events": ["stand"]}),
        ("a white car drives away from us", {"direction": "away", "events": ["drive"]}),
        ("the lady walks towards the camera", {"direction": "towards"}),
        ("the white car overtakes the black one", {"colours": [("white", "whole")]}),
        ("can you find where the fellow whose top is dark red isn't moving?",
         {"kind": "person", "colours": [("dark red", "upper")], "events": ["stand"]}),
        ("off to the left goes the jet black puppy",
         {"kind": "animal", "direction": "left", "colours": [("black", "whole")]}),
        ("show me when a lemon yellow mug is on screen",
         {"kind": "object", "colours": [("yellow", "whole")], "events": []}),
        ("the crate over to the right", {"kind": "object", "side": "right", "direction": None}),
        ("somebody turns up on the left", {"origin": "left", "side": None, "direction": None, "events": ["enter"]}),
        ("the part where a boy doubles back", {"kind": "person", "noun": "boy", "events": ["turn_back"]}),
        ("the basket sits there and then suddenly disappears", {"events": ["stand", "vanish"]}),
        ("an adult in white feeds a penguin", {"noun": "adult", "colours": [("white", "whole")], "events": []}),
        ("a child in red watches a ball", {"noun": "child", "colours": [("red", "whole")]}),
        ("a baby in yellow holds the hand of an adult in blue", {"noun": "baby", "colours": [("yellow", "whole")]}),
        ("there is a silver bottle behind a man in grey", {"noun": "bottle", "colours": [("silver", "whole")]}),
        ("the man in red and the woman in blue", {"noun": "man", "colours": [("red", "whole")]}),
        ("a man in black leather shoes", {"colours": [("black", "feet")]}),
        ("a parked red car", {"noun": "car", "colours": [("red", "whole")], "events": ["stand"]}),
        ("the parked car drives off", {"events": ["leave"]}), ("the walking stick", {"noun": "stick", "events": []}),
        ("the baby's left hand", {"events": []}), ("the man left the room", {"events": ["leave"]}),
        ("a person is opening the door", {"noun": "person", "order": None}), ("the opening scene", {"order": 1}),
        ("she puts the box on top of the cupboard", {"side": None, "events": ["put_down"]}),
        ("the man at the top of the picture", {"side": "top"}),
        ("a person turns the light on", {"events": []}), ("the man turns around", {"events": ["turn"]}),
        ("a child in yellow carries a white bag", {"colours": [("yellow", "whole"), ("white", "carried")]}),
        ("a cup above a brown table", {"noun": "cup", "colours": []}),
        ("an adult wearing a black hat is next to another adult wearing a red hat", {"colours": [("black", "head")]}),
        ("a person is drinking a glass of wine", {"colours": []}),
        ("a person takes some clothes out of a bin", {"events": ["pick_up"]}),
        ("she takes off her shoes", {"events": []}), ("he puts on a black jacket", {"events": []}),
        ("the woman is putting on shoes", {"events": []}), ("he puts the shoes on the table", {"events": ["put_down"]}),
        ("parked cars behind the fence", {"events": ["stand"]}), ("a car parks", {"events": ["stop"]}),
        ("a car drives around a bend", {"events": ["drive"]}), ("a man bends over", {"events": ["bend"]}),
        ("a girl shakes her head back and forth", {"events": ["move"]}),
        ("a woman in black is above a chair", {"colours": [("black", "whole")], "side": None}),
        ("two men drive in a car", {"events": ["drive"]}), ("the dog runs in the room", {"events": ["enter"]}),
        ("a woman walking in the park", {"events": ["walk"]}),
        ("the man with the camera turns around", {"noun": "man", "events": ["turn"], "unapplied": []}),
        ("the camera slowly zooms in on the man", {"unapplied": ["the camera slowly zooms"]}),
        ("nobody", {"alone": True}), ("when is nobody at the table?", {"alone": True}),
        ("it was the best of times", {"kind": None, "colours": [], "events": []}),
    ],
)  # fmt: skip
def test_reading(sentence, expected):
    reading = read_query(sentence)
    assert {k: getattr(reading, k) for k in expected} == expected


def test_object_of_an_event_has_its_own_colours():
    reading = read_query("a person takes the red bag away")
    assert (reading.kind, reading.colours) == ("person", [])
    assert (reading.object.noun, reading.object.colours) == ("bag", [("red", "whole")])


def test_what_is_carried_tells_the_person():
    assert read_query("a woman with a red bag walks past").colours == [("red", "carried")]


@pytest.mark.parametrize("sentence", [
    "the blue car stops while a red van drives off", "while a red van drives off, the blue car stops",
])  # fmt: skip
def test_clauses(sentence):
    reading = read_query(sentence)
    relation, other = reading.relation
    assert (reading.kind, reading.colours, reading.events) == ("vehicle", [("blue", "whole")], ["stop"])
    assert (relation, other.noun, other.colours, other.events[0]) == ("while", "van", [("red", "whole")], "leave")


def test_nothing_usable_is_said():
    assert not read_query("Barack gives his thoughts on inflation").usable
    assert read_query("the dog").usable
    assert read_query("the dog").telling == 0


def test_every_colour_word_has_a_mixture():
    assert set(lexicon.COLOUR_WORDS.values()) <= set(lexicon.COLOURS)


@pytest.mark.parametrize("word", ["men", "lorries", "buses", "puppies", "women", "cyclists", "children", "bottles"])
def test_plurals_have_a_kind(word):
    assert lexicon.noun_kind(word)


def test_any_text_is_read_without_error():
    for text in (
        "",
        ",",
        "left right left",
        "the",
        "x" * 1900,
        "while while",
        "before after",
        "können Sie das lesen",
        "9 3/4",
    ):
        read_query(text).record()


def test_a_word_is_added_by_one_entry(monkeypatch):
    assert read_query("a hovercraft leaves").kind is None
    monkeypatch.setitem(lexicon.NOUNS, "vehicle", lexicon.NOUNS["vehicle"] | {"hovercraft"})
    lexicon.noun_kind.cache_clear()
    try:
        assert read_query("two hovercrafts leave").kind == "vehicle"
    finally:
        lexicon.noun_kind.cache_clear()


@pytest.mark.parametrize(("sentence", "occurrence"), [
    ("he sits down at the end", -1), ("the bus stops at the end of the video", -1), ("she waves at the beginning", 1),
    ("at the end of the video the man waves", -1), ("at the beginning, a dog comes in", 1),
    ("a man stands at the end of the street", None), ("the man at the end of the table sits down", None),
])  # fmt: skip
def test_at_the_end_is_the_last_time(sentence, occurrence):
    assert read_query(sentence).occurrence == occurrence


@pytest.mark.parametrize(("sentence", "colours"), [
    ("the man holds up a white device", [("white", "carried")]), ("a girl throws the blue frob", [("blue", "carried")]),
    ("a man enters the red palace", []), ("a person in a white robe", [("white", "whole")]),
])  # fmt: skip
def test_a_colour_of_an_unknown_thing_is_not_that_of_whoever_holds_it(sentence, colours):
    assert read_query(sentence).colours == colours


@pytest.mark.parametrize(("sentence", "leaves"), [
    ("the man pulls something out of his pocket", False), ("he pulls out a knife", False),
    ("the car pulls out of the drive", True), ("a truck pulls away", True), ("he walks the dog out of the house", True),
    ("a truck pulls the car away", True),
])  # fmt: skip
def test_pulling_something_out_is_not_leaving(sentence, leaves):
    assert ("leave" in read_query(sentence).events) == leaves


@pytest.mark.parametrize("sentence", ["a close-up of a bowl", "the bowl in close-up", "close up on the bowl"])
def test_a_close_up_is_near_the_camera(sentence):
    reading = read_query(sentence)
    assert (reading.noun, reading.side, reading.events, reading.companions) == ("bowl", "near", [], [])


def test_a_material_is_not_another_thing():
    assert read_query("a glass bowl").companions == []


def test_a_whisk_takes_nothing_away():
    assert "pick_up" not in read_query("someone stirs with a whisk").events
    assert "pick_up" in read_query("the waiter whisks the plate away").events


def test_shooting_at_a_basket_is_a_gesture():
    assert grammar.gesture(["a", "player", "shoots", "at", "the", "basket"]) == "shoots"

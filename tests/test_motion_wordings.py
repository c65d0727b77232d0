"""Wordings that were once misread, each with its right reading."""

import pytest

from whenwhere.grounders.motion import read_query


@pytest.mark.parametrize(("sentence", "events"), [
    # leaving the picture is not leaving something behind
    ("the woman leaves the picture on the left", ["leave"]),
    ("he leaves the bag on the table", ["put_down"]),
    # a state, not the braking
    ("the van has stopped", ["stand"]),
    ("the red car stops and waits", ["stand"]),
    ("the red car stops", ["stop"]),
    # one event told in several words
    ("a man turns round and walks back", ["turn_back"]),
    ("the dog turns around and leaves again", ["turn_back"]),
    ("the man turns to the left", ["turn"]),
    ("the child comes back into the picture", ["return"]),
    ("the box stands on the floor until it is gone", ["stand", "vanish"]),
])  # fmt: skip
def test_events(sentence, events):
    assert read_query(sentence).events == events


def test_leaving_the_picture_on_a_side_is_a_direction():
    reading = read_query("the red dog leaves the picture on the right")
    assert (reading.direction, reading.side) == ("right", None)
    assert read_query("a man stands on the left").side == "left"


def test_leaving_again_is_not_a_second_time():
    assert read_query("the dog turns round and leaves again").occurrence is None


def test_who_asks_for_a_person():
    reading = read_query("who picks up the guitar?")
    assert (reading.kind, reading.events) == ("person", ["pick_up"])


@pytest.mark.parametrize(("sentence", "expected"), [
    # a clause of time before or after the main one, however it is joined
    ("shortly before the bus arrives, the woman leaves", ("woman", "before", "bus")),
    ("later, after the van has gone, the car drives off", ("car", "after", "van")),
    ("when the car drives off later, after the van has gone", ("car", "after", "van")),
    ("before the van passes by, going left, the red car stops", ("car", "before", "van")),
    ("the child runs to the right only after the dog has left", ("child", "after", "dog")),
    ("the man stops only when the dog runs by", ("man", "while", "dog")),
    ("the woman stands still prior to when the dog enters", ("woman", "before", "dog")),
    ("the car stops ahead of the moment the van appears", ("car", "before", "van")),
    ("the car drives off earlier than the van", ("car", "before", "van")),
    ("the car drives off later than when the van arrives", ("car", "after", "van")),
    # a thing without a known name still has a time
    ("the man walks to the left before the wombat enters", ("man", "before", "")),
    ("before the wombat enters, the man walks to the left", ("man", "before", "")),
    ("the man stands still after the red contraption has left", ("man", "after", "")),
])  # fmt: skip
def test_a_time_clause_beside_a_main_clause(sentence, expected):
    reading = read_query(sentence)
    relation, other = reading.relation
    assert (reading.noun, relation, other.noun) == expected
    assert not reading.alone and not reading.unapplied and other.usable


@pytest.mark.parametrize("sentence", [
    "until it disappears the bag sits on the table", "before it vanishes, the bag stands on the table",
    "until it is gone, a bag is on the table", "the bag rests on the table before vanishing",
])  # fmt: skip
def test_the_end_of_a_thing_may_come_first(sentence):
    reading = read_query(sentence)
    assert reading.noun == "bag" and "vanish" in reading.events
    assert reading.relation is None and not reading.unapplied


@pytest.mark.parametrize(("sentence", "noun"), [
    ("the lorry motors past to the left", "lorry"), ("a white coach motors in from the right", "coach"),
    ("the boy cycles past", "boy"), ("the man hands over the bag", "man"), ("the dog wheels round", "dog"),
    ("the van changes direction and motors away again", "van"), ("the man turns on the spot and heads back", "man"),
])  # fmt: skip
def test_a_verb_in_s_is_not_several_things(sentence, noun):
    reading = read_query(sentence)
    assert (reading.noun, reading.every, reading.unapplied) == (noun, False, [])


@pytest.mark.parametrize(
    "sentence", ["two red motors", "the cups on the table", "the trucks", "tool boxes on the floor"]
)
def test_several_things_stay_several(sentence):
    assert read_query(sentence).noun.endswith("s") and read_query(sentence).every


@pytest.mark.parametrize(("sentence", "side"), [
    ("the man in the left half of the picture", "left"), ("the right-hand dog", "right"),
    ("a man left of centre", "left"), ("the dog by the right edge", "right"), ("the car closer to the left", "left"),
    ("the woman nearer the right side", "right"), ("all the parts with the man on the left in them", "left"),
])  # fmt: skip
def test_sides(sentence, side):
    reading = read_query(sentence)
    assert (reading.side, reading.unapplied) == (side, [])


@pytest.mark.parametrize("sentence", ["half of the cars", "half the cars on the left", "only red cars", "the red ride"])
def test_shares_and_limits_are_not_sides(sentence):
    reading = read_query(sentence)
    assert reading.kind != "cyclist" and (reading.unapplied or sentence == "the red ride")

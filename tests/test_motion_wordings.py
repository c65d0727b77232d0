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

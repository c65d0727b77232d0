"""Wordings that were once misread, each with what it should have been read as."""

import pytest

from whenwhere.grounders.motion import read


@pytest.mark.parametrize(("sentence", "events"), [
    # leaving the picture is no leaving behind
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
    assert read(sentence).events == events

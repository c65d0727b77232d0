"""Sentences that deny, count, repeat, compare or offer alternatives, and things that are not there.

The house rule is that nothing is answered confidently that was not understood: a sentence of these kinds gets its right
answer or none, and never the answer to the sentence without the word that matters.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.motion import MotionGrounder, read_query
from whenwhere.grounders.motion.abstention import THRESHOLD
from whenwhere.grounders.motion.selection import Selection, Selector, time_outside
from whenwhere.overlap import t_iou
from whenwhere.spans import Span, SpanSet
from whenwhere.video import FrameWriter, probe

W, H, FPS, SECONDS = 192, 108, 12, 16.0
RED, BLUE, GREEN = (200, 30, 40), (40, 70, 190), (40, 150, 60)
#: (colour, start, whether to the right); each box takes about 2.6 s to cross.
CARS = ((RED, 1.0, True), (BLUE, 4.2, False), (RED, 7.4, False), (GREEN, 10.6, True))
CROSSING = (W + 44) / 90


def times(*which: int) -> SpanSet:
    """When some of the cars are seen."""
    return SpanSet((CARS[i][1], CARS[i][1] + CROSSING) for i in which)


def outside(*which: int) -> SpanSet:
    """When none of some cars is seen."""
    return time_outside(times(*which), SECONDS)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Asks about a road on which two red cars, a blue and a green one cross one after the other."""
    path = tmp_path_factory.mktemp("sentences") / "road.mp4"
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.uniform(90, 150, (H // 12, W // 12)), np.ones((12, 12)))
    road = np.repeat(coarse[..., None], 3, 2)
    with FrameWriter(path, W, H, FPS) as writer:
        for k in range(round(SECONDS * FPS)):
            image = road + rng.normal(0, 1.5, road.shape)
            for colour, start, rightwards in CARS:
                x = (k / FPS - start) * 90 - 44
                if -44 < x < W:
                    x = x if rightwards else W - 44 - x
                    image[48:72, max(0, round(x)) : max(0, round(x) + 44)] = colour
            writer.write(image.clip(0, 255).astype(np.uint8))
    info, grounder = probe(path), MotionGrounder()
    return lambda query, **more: grounder.ground(info, GroundingRequest(query, **more))


def right_or_unsure(found, right: SpanSet | None) -> None:
    """Fails if an answer is given that is not the right one."""
    if found.status == "unsure":
        assert not found.spans and found.warnings + (found.reading or {}).get("doubts", [])
    else:
        assert right is not None and found.status == "answered", (found.status, found.spans)
        assert t_iou(found.spans, right) > 0.8, found.spans


@pytest.mark.parametrize(("query", "right"), [
    ("the blue car is not visible", outside(1)), ("there is no blue car", outside(1)),
    ("no blue car drives past", outside(1)), ("the blue car isn't in the picture", outside(1)),
    ("when can't the blue car be seen?", outside(1)), ("without the blue car", outside(1)),
    ("the blue car is out of sight", outside(1)), ("there are no cars", outside(0, 1, 2, 3)),
    ("the blue car is no longer there", SpanSet([(4.2 + CROSSING, SECONDS)])), ("a non-blue car", None),
    ("a car without blue colour", None), ("a car which does not drive to the left", None),
    ("a car that isn't blue", None), ("any car but the blue one", None), ("cars other than the blue one", None),
    ("the car is neither blue nor green", None), ("not the blue car", None), ("the blue car never stops", None),
    ("nobody drives past", SpanSet([(0, SECONDS)])), ("everything except the blue car", None),
    ("the road is empty", None), ("there is no car that is not red", None), ("the blue car does not leave", None),
    ("the blue car is yet to come", None), ("an un-blue car", None), ("an absence of blue cars", None),
    ("the car fails to stop", None), ("the blue car drives left, not right", None), ("nothing moves", None),
])  # fmt: skip
def test_what_is_denied_is_never_the_answer(asked, query, right):
    right_or_unsure(asked(query), right)


@pytest.mark.parametrize("query", ["the blue car is not visible", "there is no blue car"])
def test_a_plain_denial_is_answered_with_the_other_times(asked, query):
    found = asked(query)
    assert found.status == "answered" and not found.tubes
    assert t_iou(found.spans, outside(1)) > 0.9


@pytest.mark.parametrize(("query", "right"), [
    ("before the blue car comes", SpanSet([(0, 4.2)])), ("until the blue car appears", SpanSet([(0, 4.2)])),
    ("after the blue car has left", SpanSet([(4.2 + CROSSING, SECONDS)])),
    ("the time before the blue car", SpanSet([(0, 4.2)])),
    ("what happens after the last car", SpanSet([(10.6 + CROSSING, SECONDS)])),
    ("while the blue car is there", times(1)), ("prior to the blue car", SpanSet([(0, 4.2)])),
    ("from the moment the blue car has left", SpanSet([(4.2 + CROSSING, SECONDS)])),
])  # fmt: skip
def test_a_time_clause_alone_is_a_time(asked, query, right):
    found = asked(query)
    assert found.status == "answered"
    assert t_iou(found.spans, right) > 0.9, found.spans
    assert bool(found.tubes) == query.startswith("while")


@pytest.mark.parametrize("query", [
    "just before the blue car comes", "three seconds after the blue car left", "the moment before the blue car comes",
    "between the blue and the green car", "by the time the blue car comes", "before a car comes",
    "after the blue car left, before the green car comes", "the red car before it leaves",
    "the last car before the green one",
])  # fmt: skip
def test_a_time_of_unknown_length_is_unsure(asked, query):
    right_or_unsure(asked(query), SpanSet([(0, 1)]) if query == "before a car comes" else None)


@pytest.mark.parametrize(("query", "car"), [
    ("the first time a red car drives past", 0), ("the second time a red car drives past", 2),
    ("a red car passes for the last time", 2), ("the third time a car drives past", 2),
    ("the last time a car drives to the left", 2), ("a car crosses for the first time", 0),
])  # fmt: skip
def test_occurrences_are_counted_over_all_that_fit(asked, query, car):
    found = asked(query)
    assert found.status == "answered"
    assert t_iou(found.spans, times(car)) > 0.8, found.spans


@pytest.mark.parametrize("query", [
    "the third time a red car drives past", "the blue car drives past for the second time", "the penultimate car",
    "the last car but one", "the third red car", "the ninth time a car drives past", "the fifth car",
    "a red car drives past three times", "the blue car passes again", "the first two cars", "most of the cars",
])  # fmt: skip
def test_more_occurrences_than_there_are_is_unsure(asked, query):
    found = asked(query)
    assert found.status == "unsure" and found.warnings


@pytest.mark.parametrize(("query", "cars"), [
    ("every time a red car drives past", (0, 2)), ("the red cars", (0, 2)), ("all cars", (0, 1, 2, 3)),
    ("both red cars", (0, 2)), ("whenever a car drives to the left", (1, 2)), ("each red car", (0, 2)),
    ("find all the moments when a red car drives past", (0, 2)), ("the blue car or the green car", (1, 3)),
    ("a blue or green car", (1, 3)), ("either the blue car or the green car", (1, 3)),
])  # fmt: skip
def test_every_and_or_give_all_that_fit(asked, query, cars):
    found = asked(query)
    assert found.status == "answered"
    assert t_iou(found.spans, times(*cars)) > 0.8, found.spans
    assert sum(len(t.times) for t in found.tubes) >= 2 * len(cars)


@pytest.mark.parametrize("query", [
    "three red cars", "the blue car and the green car", "a blue car or a dog", "every bus", "two blue cars",
    "the other car", "every other car", "only red cars",
])  # fmt: skip
def test_sets_that_cannot_be_told_are_unsure(asked, query):
    found = asked(query)
    assert found.status == "unsure" and found.warnings


@pytest.mark.parametrize("query", [
    "a dog", "a cat runs past", "a blue bus", "a red lorry", "a person", "a woman in red", "a red bicycle", "a child",
    "a red boat", "a red unicorn", "a red ball", "a red suitcase", "a yellow car", "a white van", "a blue dog",
    "a red car drives up", "an elephant", "a hand", "a train", "a purple car", "a man in a blue jacket walks left",
])  # fmt: skip
def test_kinds_that_are_not_there_are_not_answered(asked, query):
    found = asked(query)
    assert found.status in ("unsure", "absent"), (found.confidence, found.spans)
    assert found.reading["doubts"]


def test_what_may_count_lowers_the_confidence_and_is_said():
    sure = Selection("answered", 0.8, [], spans=SpanSet([(1, 2)]))
    doubted = sure.doubted("one more may fit", 1)
    assert (doubted.status, doubted.spans, doubted.warnings) == ("answered", sure.spans, ["one more may fit"])
    assert THRESHOLD < doubted.confidence < sure.confidence
    assert sure.doubted("nine more may fit", 9).status == "unsure" and not sure.doubted("nine", 9).spans


@pytest.mark.parametrize(("query", "cars"), [("the red cars", (0, 2)), ("the second red car", (2,))])
def test_one_that_may_count_is_no_refusal(asked, monkeypatch, query, cars):
    plain = Selector.members

    def unclear(self, reading, made):
        """The members, of which a car of another colour is now a doubtful one."""
        fits, doubtful = plain(self, reading, made)
        other = next(c for c in made if all(c.actor is not f.actor for f in fits))
        return fits, [*doubtful, other]

    clear = asked(query)
    monkeypatch.setattr(Selector, "members", unclear)
    found = asked(query)
    assert found.status == "answered" and t_iou(found.spans, times(*cars)) > 0.8
    assert found.warnings and found.confidence < clear.confidence


def test_a_given_time_is_answered_with_a_warning(asked):
    found = asked("a non-blue car", span=Span(4.5, 6.0))
    assert found.status == "answered" and any("non-blue car" in w for w in found.warnings)


def test_a_window_holds_what_is_counted(asked):
    found = asked("the first time a red car drives past", within=Span(6.0, SECONDS))
    assert t_iou(found.spans, times(2)) > 0.8
    assert asked("there is no blue car", within=Span(0.0, 5.0)).spans.hull.end < 4.5


@pytest.mark.parametrize(("sentence", "events"), [
    ("the man isn't moving", ["stand"]), ("the bag stands there until it is gone", ["stand", "vanish"]),
    ("a box appears and never goes away", ["enter", "stand"]), ("a person stands without moving", ["stand"]),
])  # fmt: skip
def test_denials_that_can_be_seen_are_applied(sentence, events):
    reading = read_query(sentence)
    assert (reading.events, reading.unapplied, reading.relation) == (events, [], None)


NOUNS = st.sampled_from(["car", "man", "dog", "woman", "van", "cat", "person", "ball"])
COLOURS = st.sampled_from(["red", "blue", "white", "black", "green"])
VERBS = st.sampled_from(["drives past", "enters from the left", "stops", "turns left", "runs", "goes to the right"])
DENIALS = st.sampled_from([
    "no {c} {n} {v}", "there is no {c} {n}", "the {c} {n} is not there", "a {n} that is not {c} {v}", "a non-{c} {n}",
    "the {n} without {c} {v}", "nobody {v} beside the {c} {n}", "the {c} {n} never {v}", "a {n} but not the {c} one",
    "every {n} except the {c} one {v}", "the {n} is neither {c} nor big", "the {c} {n} cannot be seen",
    "the {c} {n} doesn't stop", "a {n} other than the {c} one {v}", "a {c} {n} isn't visible",
])  # fmt: skip


@given(DENIALS, COLOURS, NOUNS, VERBS)
def test_no_denial_is_read_over(pattern, colour, noun, verb):
    reading = read_query(pattern.format(c=colour, n=noun, v=verb))
    denied = reading.relation is not None and reading.relation[0] in ("not", "after", "before") and reading.alone
    assert denied or reading.unapplied


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0.5, 9)), max_size=5))
def test_the_other_times_complete_the_video(rows):
    spans = SpanSet((a, a + d) for a, d in rows).clip(60.0)
    rest = time_outside(spans, 60.0)
    assert (rest & spans).duration == 0
    assert abs(rest.duration + spans.duration - 60.0) <= 0.1 * (len(spans) + 1)

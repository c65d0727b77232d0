"""Several things at once: parts of a thing, visits of one thing, who is smaller, who goes up to whom, what is held."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.test_objects_grounder import LABELS, PaintedDetector, clip
from tests.test_objects_presence import actor
from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.motion.abstention import StatusDecision
from whenwhere.grounders.motion.candidates import Candidate
from whenwhere.grounders.motion.colours import COLOURS
from whenwhere.grounders.motion.confidence_features import ClipConditions
from whenwhere.grounders.motion.events import EventSpan, event_spans
from whenwhere.grounders.motion.reading import read_query
from whenwhere.grounders.motion.reappearance import joined_visits
from whenwhere.grounders.motion.selection import Selector
from whenwhere.grounders.motion.stretches import depth_changes
from whenwhere.grounders.motion.track_scoring import group_actor
from whenwhere.grounders.objects import ObjectGrounder, confidence, ranking
from whenwhere.grounders.objects.actors import merged_actors
from whenwhere.grounders.objects.confidence import DOUBTFUL, POSED, ClassEvidence, grade_by_class
from whenwhere.grounders.objects.index import ObjectIndex
from whenwhere.grounders.objects.labels import agents_among, wanted_classes
from whenwhere.grounders.objects.presence import stay, without_doubles
from whenwhere.grounders.objects.ranking import ObjectScorer
from whenwhere.grounders.objects.relations import relative_size, time_together, ways_between
from whenwhere.grounders.objects.together import ALONE, Companion, candidates_beside, without_others
from whenwhere.models.joints import JOINTS
from whenwhere.spans import SpanSet
from whenwhere.store import Cache

AGENTS = agents_among(tuple(LABELS))


def blob(box, start, end, speed=0.0):
    """What moves, unrecognised."""
    moving = actor(box, start, end, speed=speed)
    moving.classes = np.zeros(0, np.float32)
    return moving


def is_kept(moving, recognised):
    """Whether a blob is an actor beside recognised things."""
    return any(one is moving for one in merged_actors(recognised, [moving], AGENTS))


def test_moving_parts_of_somebody_who_stays_are_no_actors():
    boy = actor((80, 20, 120, 90), 0, 9, label="person")
    parts = [blob((80, 20, 100, 40), 1, 4), blob((95, 60, 120, 90), 3, 8), blob((104, 30, 120, 50), 5, 6)]
    assert merged_actors([boy], parts, AGENTS) == [boy]


def test_what_a_blob_follows_as_a_whole_is_that_blob_with_the_class():
    boy = actor((20, 20, 60, 90), 1, 8, label="person", speed=10)
    whole = blob((20, 22, 60, 90), 0.5, 8.5, speed=10)
    (found,) = merged_actors([boy], [whole], AGENTS)
    assert found is whole and LABELS[int(found.classes.argmax())] == "person"


def test_a_shadow_that_began_as_legs_is_nobody():
    boy, shadow = actor((80, 20, 120, 90), 0, 9, label="person"), blob((80, 40, 120, 90), 2, 9)
    shadow.boxes[6:] = (20, 80, 60, 95)
    found = merged_actors([boy], [shadow], AGENTS)
    assert len(found) == 2 and not len(shadow.classes)


def test_what_somebody_holds_and_what_lies_in_a_large_thing_are_no_parts():
    boy, bottle = actor((80, 20, 120, 90), 0, 9, label="person"), actor((85, 40, 100, 60), 0, 9, label="bottle")
    held = blob((85, 40, 100, 60), 2, 6)
    assert is_kept(held, [boy, bottle])
    # a bottle may be large in the picture: it does nothing by itself, so that what moves before it is something else
    assert is_kept(held, [actor((60, 10, 160, 95), 0, 9, label="bottle")])
    # and a poor detection has no parts
    assert is_kept(held, [actor((80, 20, 120, 90), 0, 9, label="person", score=0.4)])


def test_a_brief_weak_box_inside_another_one_is_left_out():
    woman, dress = actor((80, 10, 130, 95), 0, 9, score=0.66), actor((88, 50, 126, 94), 4, 6, score=0.46)
    assert without_doubles([woman, dress]) == [woman]
    kept = without_doubles([woman, actor((88, 50, 126, 94), 2, 8, score=0.46)])
    assert len(kept) == 2


def test_sizes_are_compared_while_both_are_seen():
    # The camera comes nearer: the small one ends larger than the large one began.
    large, small = actor((20, 30, 60, 90), 0, 5), actor((100, 50, 130, 90), 0, 5)
    near = actor((100, 10, 160, 98), 6, 9)
    assert relative_size(small, [large, small, near]) < -0.4 < 0.4 < relative_size(large, [large, small, near])
    assert relative_size(near, [large, small, near]) == 0
    doubtful = actor((100, 50, 130, 90), 0, 5, score=0.2)
    assert 0 < relative_size(large, [large, doubtful]) < relative_size(large, [large, small])


def test_who_walks_up_to_whom():
    post = actor((150, 30, 180, 90), 0, 9, label="person")
    walker = actor((0, 30, 30, 90), 0, 7, label="person", speed=20)
    (way,) = ways_between(walker, [post, walker], away=False)
    assert way[1] == pytest.approx(5.7, abs=0.4) and way[0] < 1.5
    assert not ways_between(post, [walker], away=False)  # the post does not move


def test_small_things_are_held_while_they_are_missed():
    boy = actor((80, 20, 120, 90), 0, 9, label="person")
    cups = [actor((100, 50, 108, 58), start, start + 1.5, label="bottle") for start in (1.0, 5.0)]
    for cup in cups:
        cup.area = 0.005
    (run,) = time_together(boy, cups, "holding").runs
    assert run == (pytest.approx(0.6, abs=0.3), pytest.approx(6.9, abs=0.3))
    for cup in cups:
        cup.area = 0.1
    assert len(time_together(boy, cups, "holding").runs) == 2


def test_visits_may_overlap_while_their_boxes_are_the_same():
    scorer, reading = ObjectScorer(tuple(LABELS)), read_query("the dog")
    scene = SimpleNamespace(cuts=np.zeros(0))
    first, same = actor((80, 40, 120, 70), 0, 4), actor((80, 41, 120, 71), 3, 9)
    (joined,) = scorer.visitors(reading, [first, same], scene)
    assert joined.members == [first, same]
    assert not scorer.visitors(reading, [first, actor((20, 40, 60, 70), 3, 9)], scene)
    assert not scorer.visitors(reading, [actor((80, 40, 120, 70), 0, 9), actor((80, 40, 120, 70), 3, 6)], scene)


def test_before_a_still_camera_visits_of_things_are_joined_and_of_people_not():
    scorer = ObjectScorer(tuple(LABELS), still=True)
    scene = SimpleNamespace(cuts=np.zeros(0))
    for label, count in (("bottle", 1), ("person", 0)):
        visits = [actor((80, 40, 120, 70), 0, 3, label=label), actor((80, 40, 120, 70), 5, 9, label=label)]
        assert len(scorer.visitors(read_query(f"the {label}"), visits, scene)) == count


def test_joined_visits_keep_the_joints_of_both_and_groups_have_none():
    first, second = actor((80, 40, 120, 70), 0, 2, label="person"), actor((80, 40, 120, 70), 4, 6, label="person")
    first.joints = np.ones((len(first.times), len(JOINTS), 3), np.float32)
    joined = joined_visits(first, second)
    assert joined.joints.shape == (len(joined.times), len(JOINTS), 3)
    assert np.isfinite(joined.joints[: len(first.times)]).all() and np.isnan(joined.joints[len(first.times) :]).all()
    beside = actor((125, 40, 165, 70), 0, 2, label="person")
    group = group_actor([first, beside])
    assert group is not None and not len(group.joints)


def test_weak_sightings_lose_to_sure_ones():
    scorer, reading = ObjectScorer(tuple(LABELS)), read_query("the dog")
    sure, weak = actor((20, 40, 60, 70), 0, 5), actor((120, 40, 160, 70), 0, 5, score=0.3)
    terms = scorer.actor_terms(reading, [sure, weak])
    assert terms[id(sure)]["sure"] == 0 and terms[id(weak)]["sure"] < -0.3


@pytest.mark.parametrize(("sentence", "size", "counts"), [
    ("the second boy", 0.05, False), ("the second boy", 0.005, True), ("the second lid", 0.05, True),
])  # fmt: skip
def test_a_large_thing_that_was_not_recognised_is_no_person(monkeypatch, sentence, size, counts):
    monkeypatch.setattr(confidence, "grade", lambda c, reading, around, biggest: 1)  # by its motion it may be anything
    unknown = blob((80, 20, 110, 90), 0, 9)
    unknown.area = size
    c = Candidate(unknown, unknown.spans, 0.0, {})
    around = ClipConditions(0.0, 0.0, 0.0, [unknown], 10.0)
    scorer = ObjectScorer(tuple(LABELS), still=True)
    assert grade_by_class(scorer, c, read_query(sentence), around, unknown.mass) == counts


@pytest.mark.parametrize(("sentence", "given"), [
    ("the man hands the bottle to the dog", True), ("the man takes the bottle from the dog", True),
    ("the man walks to the dog", False), ("the man hands the dog to the bottle", False),
])  # fmt: skip
def test_what_passes_from_one_to_another_does_so_shortly_before_they_part(sentence, given):
    man, dog = actor((80, 20, 120, 90), 0, 9, label="person"), actor((122, 60, 150, 90), 1, 6)
    dog.boxes[dog.times > 5] += [40, 0, 40, 0]
    scene = SimpleNamespace(actors=[man, dog], duration=9.0, cuts=np.zeros(0))
    made = ObjectScorer(tuple(LABELS)).time_candidates(man, read_query(sentence), {}, scene)
    ends = [c.hull for c in made if c.hull.end == pytest.approx(5.1, abs=0.3) and c.hull.duration < 2.5]
    assert bool(ends) == given


def test_what_is_at_the_mouth_is_hidden_by_the_hand(monkeypatch):
    baby, bottle = actor((80, 20, 120, 90), 0, 9, label="person"), actor((118, 60, 126, 70), 5, 7, label="bottle")
    drinks = [EventSpan(1, 3, 0.3), EventSpan(5, 6, 0.2)]
    monkeypatch.setattr(ranking, "tells_time", lambda actor, name: True)
    monkeypatch.setattr(ranking, "posture_spans", lambda actor, name: drinks)
    scene = SimpleNamespace(actors=[baby, bottle], duration=9.0, cuts=np.zeros(0))
    made = ObjectScorer(tuple(LABELS)).time_candidates(baby, read_query("the baby drinks from the bottle"), {}, scene)
    best = max(made, key=lambda c: sum(c.terms.values()))
    assert (best.hull.start, best.hull.end) == (1, 3)


def test_what_was_not_recognised_gives_way_where_something_clearly_is_what_is_asked_for():
    scorer, reading = ObjectScorer(tuple(LABELS), still=True), read_query("the bottle")
    moving, bottle = blob((20, 40, 60, 70), 0, 9), actor((120, 40, 160, 70), 0, 9, label="bottle")
    alone, beside = scorer.class_terms(reading, [moving])[0], scorer.class_terms(reading, [moving, bottle])[0]
    assert beside == pytest.approx(alone - 0.6)
    unclear = actor((120, 40, 160, 70), 0, 9, label="person")
    assert scorer.class_terms(reading, [moving, unclear])[0] == pytest.approx(alone)


def test_no_large_thing_is_a_second_person_where_one_was_recognised():
    scorer, man = ObjectScorer(tuple(LABELS), still=True), actor((120, 10, 160, 90), 0, 9, label="person")
    fan, speck = blob((20, 40, 60, 70), 0, 9), blob((20, 40, 24, 43), 0, 9)
    fan.area, speck.area = 0.05, 0.001
    terms = scorer.class_terms(read_query("a second man"), [fan, speck, man])
    assert terms[0] == -3 < terms[1] < terms[2]


def test_colours_of_things_of_a_wrong_class_do_not_count_for_them():
    grey, red = (actor(box, 0, 9, label="person") for box in ((20, 10, 60, 90), (120, 10, 160, 90)))
    other = actor((80, 10, 110, 40), 0, 9, label="bottle")
    for one, share in ((grey, 0.1), (red, 0.6), (other, 0.9)):
        one.colour[:] = 0
        one.colour[:, COLOURS.index("red")], one.colour[:, COLOURS.index("grey")] = share, 1 - share
    terms = ObjectScorer(tuple(LABELS)).actor_terms(read_query("a person in red"), [grey, red, other])
    values = [next(v for k, v in terms[id(one)].items() if k.startswith("red")) for one in (grey, red, other)]
    assert values[1] > 0 >= values[2] and values[1] > values[0]


def test_nobody_is_beside_herself():
    girl, other = (actor(box, 0, 9, label="person") for box in ((20, 10, 60, 90), (62, 10, 100, 90)))
    scene = SimpleNamespace(actors=[girl, other], duration=9.0, cuts=np.zeros(0))
    made = ObjectScorer(tuple(LABELS)).time_candidates(girl, read_query("the girl's pink helmet"), {}, scene)
    assert all("beside" not in c.terms for c in made)


def test_a_child_alone_is_hardly_told_by_size():
    scorer = ObjectScorer(tuple(LABELS))
    large, small = (actor(box, 0, 5, label="person") for box in ((20, 10, 70, 95), (120, 60, 140, 95)))
    size = lambda words, who: scorer.actor_terms(read_query(words), [large, small])[id(who)]["size"]  # noqa: E731
    assert size("the little girl", small) > size("the girl", small) > 0 > size("the little girl", large)


@pytest.mark.parametrize(("sentence", "absent"), [
    ("someone holding a bottle", False), ("a woman opens the bottle", False), ("a man with a bottle", False),
    ("a man sits at the table", True), ("a man beside a bottle", True), ("a man with a dog", True), ("a man", True),
])  # fmt: skip
def test_hands_that_hold_something_show_that_somebody_is_there(sentence, absent):
    index = _index(labels=["bottle"] * 12)
    evidence = ClassEvidence(index, ObjectScorer(tuple(LABELS)))
    assert evidence.never_seen(read_query(sentence)) == absent


@pytest.mark.parametrize(
    "words", ["the girl hugs a teddy bear", "a boy plays with a toy car", "a woman on a plastic horse"]
)
def test_an_imitation_is_not_missed(words):
    index = _index(labels=["person"] * 12)
    labels = (*LABELS, "bear", "horse")
    index.classes = np.pad(index.classes, ((0, 0), (0, 2)))
    assert ClassEvidence(index, ObjectScorer(labels)).missing_companion(read_query(words)) == ""


def test_a_coloured_thing_of_a_class_that_was_missed_is_looked_for_by_its_colour():
    scorer = ObjectScorer(tuple(LABELS))
    wanted, other = actor((80, 40, 90, 50), 0, 5, label="bottle"), actor((20, 40, 60, 70), 0, 5, label="person")
    assert scorer.region_colour(read_query("a yellow bottle"), [other]) == "yellow"
    assert scorer.region_colour(read_query("a yellow bottle"), [other, wanted]) is None
    assert scorer.region_colour(read_query("a yellow dog"), [other]) is None  # seldom missed
    assert scorer.region_colour(read_query("the yellow lid"), [wanted, other]) == "yellow"


def test_an_animal_without_a_class_may_be_called_any_other_one_and_hardly_surely():
    labels = tuple(LABELS)
    weights = wanted_classes("rabbit", "animal", labels).weights
    assert weights[labels.index("cat")] > weights[labels.index("dog")] > 0 == weights[labels.index("person")]
    dog = actor((80, 40, 120, 70), 0, 9)
    evidence = ClassEvidence(_index(["dog"] * 12), ObjectScorer(labels))
    around = ClipConditions(0.0, 0.5, 0.0, [dog], 10.0)
    for words, least, most in (("the rabbit", 0.12, 0.4), ("the dog", 0.6, 1.0)):
        made = [Candidate(dog, dog.spans, 0.0, evidence.scorer.actor_terms(read_query(words), [dog])[id(dog)])]
        made[0].terms["kind"] = float(evidence.scorer.class_terms(read_query(words), [dog])[0])
        assert least <= evidence.decide(words, read_query(words), made, around).confidence <= most


def test_what_was_recognised_for_a_moment_before_a_moving_camera_is_hardly_sure():
    evidence = ClassEvidence(_index(["dog"] * 12), ObjectScorer(tuple(LABELS)))
    for end, moving, sure in ((3.5, 0.9, False), (3.5, 0.0, True), (6, 0.9, True)):
        dog = actor((80, 40, 120, 70), 3, end)
        made = [Candidate(dog, dog.spans, 0.0, {"kind": 0.1, "seen": 0.0})]
        decided = evidence.decide("the dog", read_query("the dog"), made, ClipConditions(0.0, moving, 0.0, [dog], 10.0))
        assert (decided.confidence > 0.3) == sure


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A dog that is there for six seconds and moves aside after three."""
    path = tmp_path_factory.mktemp("bench") / "bench.mp4"
    return clip(path, 6, [("dog", lambda t: (60, 40, 100, 80) if t < 3 else (90, 40, 130, 80))])


def test_what_postures_tell_is_sure_enough_for_the_time_before():
    sentence = "before the man stands up"
    man = actor((80, 20, 120, 90), 4, 6, label="person")
    around = ClipConditions(0.0, 0.0, 0.0, [man], 10.0)
    rank = lambda reading: [Candidate(man, SpanSet([(4, 6)]), 0.0, {})]  # noqa: E731
    for least, answered in ((DOUBTFUL, True), (0.5, False)):
        decide = lambda *a: StatusDecision("answered", POSED, None, [])  # noqa: E731
        select = Selector(sentence, around, rank, lambda reading: False, decide=decide, doubtful=least)
        assert (select.answer(read_query(sentence)).status == "answered") == answered


def test_an_event_that_was_not_seen_is_hardly_sure(bench):
    detector = PaintedDetector()
    found = ObjectGrounder(lambda: detector, Cache(enabled=False)).ground(bench, GroundingRequest("a dog comes in"))
    assert found.status == "answered" and found.confidence <= 0.25


def test_who_sits_need_not_keep_still(bench):
    detector = PaintedDetector()
    grounder = ObjectGrounder(lambda: detector, Cache(enabled=False))
    for sentence in ("a dog sitting on the grass", "the dog lies on the floor"):
        (span,) = grounder.ground(bench, GroundingRequest(sentence)).spans
        assert span.duration > 5.5


def _index(labels=("dog",)) -> ObjectIndex:
    """An index in which each label was seen once a second."""
    n = len(labels)
    classes = np.zeros((1, len(LABELS)), np.float32)
    classes[0, LABELS.index(labels[0])] = 1
    return ObjectIndex(
        duration=10.0, step=0.25, width=200, height=100, classes=classes, track=np.zeros(n, np.int32),
        times=np.arange(n, dtype=float), boxes=np.tile([80.0, 40, 120, 70], (n, 1)), scores=np.full(n, 0.8, np.float32),
        colours=np.full((n, 5, 13), 1 / 11, np.float32), drift=np.zeros((n, 2), np.float32), cuts=np.zeros(0),
        shots=np.zeros(1, np.int32), jumps=np.zeros((0, 2)), moving=0.0, frames=40, asked=40, warnings=(),
    )  # fmt: skip


def sized(sides, end=None, at=(100, 50)):
    """Somebody whose box has these sides, four times a second, in a video of ten seconds."""
    n = len(sides)
    made = actor((80, 40, 120, 60), 0, (n - 1) / 4, label="person")
    half = np.array(sides, float)[:, None] / 2
    made.boxes = np.hstack([np.array(at) - half, np.array(at) + half])
    made.size = np.repeat(2 * half, 2, 1) / [200, 100]
    return made


def test_who_gets_larger_comes_nearer_and_who_gets_smaller_goes_away():
    still, nearer = [10.0] * 8, np.geomspace(10, 30, 12).tolist()
    ((start, end, gain),) = depth_changes(sized(still + nearer + [30.0] * 8), nearer=True)
    assert (start, end) == (pytest.approx(1.9, abs=0.5), pytest.approx(5, abs=0.5)) and gain > 0.9
    assert not depth_changes(sized(still + nearer), nearer=False)
    ((start, end, _),) = depth_changes(sized(nearer[::-1] + still), nearer=False)
    assert start < 0.5 and end == pytest.approx(2.9, abs=0.5)
    # a pause on the way does not end it
    assert len(depth_changes(sized(nearer[:6] + [nearer[5]] * 5 + nearer[6:]), nearer=True)) == 1
    assert not depth_changes(sized(np.linspace(10, 12, 30).tolist()), nearer=True)


def test_who_is_near_the_camera_when_the_video_ends_does_not_leave():
    seated = actor((60, 30, 140, 100), 0, 9.9, label="person")  # touches the lower border all the time
    assert max(one.quality for one in event_spans(seated, "leave")) < 0
    going = actor((20, 40, 40, 80), 7, 9.9, label="person", speed=59)  # reaches the right border as it ends
    assert max(one.quality for one in event_spans(going, "leave")) > 0


def test_who_goes_away_through_a_door_leaves_and_comes_back_through_it():
    away, back = np.geomspace(60, 15, 12).tolist(), np.geomspace(15, 60, 12).tolist()
    someone = sized([*away, *[15.0] * 6, *back, *[60.0] * 6])
    leaves = max(event_spans(someone, "leave"), key=lambda one: one.quality)
    assert leaves.start < 0.6 and leaves.end == pytest.approx(2.8, abs=0.5)
    (returns,) = [one for one in event_spans(someone, "return") if one.quality == pytest.approx(0.2)]
    assert returns.start == pytest.approx(2.8, abs=0.5) and returns.end < 6


def test_who_comes_back_only_to_cross_the_picture_is_coming_back_for_the_first_part_of_it():
    gone, again = actor((100, 30, 130, 90), 0, 3, speed=25), actor((0, 30, 30, 90), 5, 9.5, speed=35)
    both = joined_visits(gone, again)
    (returns, *_) = event_spans(both, "return")
    assert returns.start == pytest.approx(5, abs=0.3) and 6 < returns.end < 8


def test_who_runs_away_from_somebody_and_who_does_not():
    man = actor((20, 30, 50, 90), 0, 9, label="person")
    dog = actor((50, 70, 80, 90), 0, 2, speed=0.0)
    dog.times = np.arange(0, 6.01, 0.25)
    shift = np.clip(dog.times - 2, 0, None) * 25
    dog.boxes = np.array([50.0, 70, 80, 90]) + np.outer(shift, [1, 0, 1, 0])
    dog.way = (dog.boxes[:, :2] + dog.boxes[:, 2:]) / 2 / [200, 100]
    ((start, end),) = ways_between(dog, [man, dog], away=True)
    assert start == pytest.approx(2, abs=0.6) and end == pytest.approx(6, abs=0.3)
    assert not ways_between(dog, [man], away=False) and not ways_between(man, [dog], away=True)


def test_alone_is_the_time_without_others():
    girl, man = actor((20, 30, 50, 90), 0, 9, label="person"), actor((120, 30, 150, 90), 3, 6, label="person")
    (alone,) = without_others(girl, [Candidate(girl, girl.spans, 0.0, {})], [girl, man])
    assert [(round(s.start, 1), round(s.end, 1)) for s in alone.spans] == [(0.0, 2.9), (6.1, 9.1)]
    assert alone.terms["beside"] > 0
    (never,) = without_others(man, [Candidate(man, man.spans, 0.0, {})], [girl, man])
    assert never.spans == man.spans and never.terms["beside"] < 0


def test_cuts_that_are_close_to_each_other_give_no_empty_stay():
    brief = actor((80, 40, 120, 70), 0.3, 0.8)
    assert stay(brief, 10.0, np.array([0.5, 0.6]), still=True).duration > 0


def test_what_is_held_is_missed_at_the_beginning_and_the_end_of_a_stay_too():
    girl = actor((20, 10, 60, 95), 0, 9, label="person")

    def held(cup, preposition, sentence="a girl holding a cup"):
        companion = Companion(preposition, [cup], acts=False, furniture=False, held=True)
        (found,) = candidates_beside(girl, read_query(sentence), [Candidate(girl, girl.spans, 0.0, {})], companion)
        return [(round(float(s.start), 1), round(float(s.end), 1)) for s in found.spans]

    cup, late = actor((40, 60, 50, 75), 3, 6, label="bottle"), actor((40, 60, 50, 75), 6, 7, label="bottle")
    assert held(cup, "holding") == [(0.0, 9.1)]
    assert held(late, "holding") == [(5.6, 9.1)]
    assert held(cup, "behind") == [(2.6, 6.4)]


def test_a_thing_that_is_there_twice_is_not_there_in_between():
    girl, guitar = actor((20, 10, 60, 95), 0, 9, label="person"), actor((40, 60, 50, 75), 0, 9, label="bottle")
    guitar.spans = SpanSet([(0, 2), (7, 9)])
    runs = time_together(girl, [guitar], "with").runs
    assert [(round(a, 1), round(b, 1)) for a, b in runs] == [(0.0, 2.4), (6.6, 9.1)]


@pytest.mark.parametrize(("sentence", "alone"), [
    ("the girl is alone in the picture", True), ("he stands by himself", True), ("a man on his own", True),
    ("she puts on her own jacket", False), ("a dog on its own leash", False),
])  # fmt: skip
def test_phrases_for_somebody_who_is_alone(sentence, alone):
    assert bool(ALONE.search(sentence)) == alone

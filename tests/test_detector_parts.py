"""Linking, choosing and naming, without any model."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from whenwhere.answers import parse
from whenwhere.answers.dialects import DIALECTS
from whenwhere.grounders.detector import named
from whenwhere.grounders.detector.choice import (
    CHOOSE,
    choice_question,
    choice_schema,
    chosen_number,
    draw_candidates,
    strongest_tracks,
    telling_times,
)
from whenwhere.grounders.detector.grounder import FOLLOWED, follow
from whenwhere.grounders.detector.named import load_detector
from whenwhere.grounders.detector.phrase import LONGEST, noun_phrase
from whenwhere.grounders.detector.tracks import PATIENCE, Linker, Track
from whenwhere.models.detectors import resolve
from whenwhere.models.detectors.detector import ClassDetections, distinct
from whenwhere.models.detectors.resolve import OPEN_VOCABULARY
from whenwhere.models.grammar import Grammar
from whenwhere.video.draw import COLOURS


def found(*boxes: tuple[float, float, float, float], score: float = 0.8) -> ClassDetections:
    n = len(boxes)
    return ClassDetections(np.array(boxes, float).reshape(-1, 4), np.full(n, score), np.ones((n, 1)))


def at(x: float, y: float = 50.0, size: float = 20.0) -> tuple[float, float, float, float]:
    return (x - size / 2, y - size / 2, x + size / 2, y + size / 2)


def lines(linker: Linker) -> list[list[tuple[float, float]]]:
    """Times and middles of what was linked."""
    return [
        [(t, float(b[0] + b[2]) / 2) for t, b in zip(track.times, track.boxes, strict=True)]
        for track in linker.tracks.values()
    ]


@pytest.mark.parametrize("speed", [0.0, 0.3, 0.75, 1.2])
def test_things_keep_their_numbers_at_any_usual_speed(speed: float) -> None:
    """Speeds in box sizes a second; the fastest quarter of real targets begins at .752."""
    linker = Linker()
    for t in range(8):
        linker.add(float(t), found(at(20 * speed * t), at(300 - 20 * speed * t, 120)))
    assert [len(line) for line in lines(linker)] == [8, 8]
    assert [x for _, x in lines(linker)[0]] == pytest.approx([20 * speed * t for t in range(8)])


def test_what_meets_parts_again_with_its_own_number() -> None:
    linker = Linker()
    for t in np.arange(9.0):
        # towards each other, both at x = 100 at t = 4.5
        linker.add(t, found(at(10 + 20 * t), at(190 - 20 * t)))
    first, second = lines(linker)
    assert [x for _, x in first] == pytest.approx([10 + 20 * t for t in range(9)])
    assert [x for _, x in second] == pytest.approx([190 - 20 * t for t in range(9)])


def test_what_is_overlooked_for_a_second_is_the_same_thing() -> None:
    linker = Linker()
    for t in range(8):
        linker.add(float(t), found(at(15.0 * t)) if t not in (3, 6) else found())
    assert [len(line) for line in lines(linker)] == [6]


def test_what_comes_back_after_long_is_something_new() -> None:
    linker = Linker(first=5)
    linker.add(0.0, found(at(50)))
    linker.add(PATIENCE - 0.1, found(at(50)))
    linker.add(2 * PATIENCE, found(at(50)))
    assert list(linker.tracks) == [5, 6]


def test_far_away_is_something_else() -> None:
    linker = Linker()
    linker.add(0.0, found(at(50)))
    linker.add(1.0, found(at(200)))
    assert len(linker.tracks) == 2
    # nor is what is four times as high and wide, close by
    linker.add(2.0, found(at(200 + 120, size=80)))
    assert len(linker.tracks) == 3


def test_what_was_followed_counts_more_than_what_is_near() -> None:
    """Two things change places between two seconds; only whoever followed them can know."""
    linker = Linker()
    linker.add(0.0, found(at(50), at(90)))
    blind = Linker()
    blind.add(0.0, found(at(50), at(90)))
    linked = linker.add(1.0, found(at(51), at(89)), {1: np.array(at(90)), 2: np.array(at(50))})
    assert {n: box[0] for n, box in linked.items()} == {1: at(89)[0], 2: at(51)[0]}
    assert {n: box[0] for n, box in blind.add(1.0, found(at(51), at(89))).items()} == {1: at(51)[0], 2: at(89)[0]}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(st.floats(0, 500), st.floats(5, 80)), max_size=5), min_size=1, max_size=8))
def test_every_box_gets_one_number_and_no_number_two_boxes_at_a_time(seconds: list[list[tuple[float, float]]]) -> None:
    linker, count = Linker(), 0
    for t, boxes in enumerate(seconds):
        count += len(boxes)
        linked = linker.add(float(t), found(*(at(x, size=size) for x, size in boxes)))
        assert len(linked) == len(boxes)
    assert sum(len(t.times) for t in linker.tracks.values()) == count
    for track in linker.tracks.values():
        assert (np.diff(track.times) > 0).all()


def test_a_walker_is_narrow_and_leaves_its_width_behind() -> None:
    """40 wide, 160 high, two and a half widths a second: no overlap at all from one second to the next."""
    linker = Linker()
    for t in range(6):
        linker.add(float(t), found((100.0 * t, 0, 100 * t + 40, 160), (620 - 100.0 * t, 5, 660 - 100 * t, 155)))
    assert [len(line) for line in lines(linker)] == [6, 6]
    assert (np.diff([x for _, x in lines(linker)[0]]) > 0).all()


class Shifted:
    """Follows boxes to where a list of frames says that each is; forgets what it is told not to see."""

    def __init__(self, places: list[dict[str, tuple[float, float, float, float]]]) -> None:
        self.places, self.frame, self.names = places, -1, dict[int, str]()
        self.shown: list[set[int]] = []

    def step(self, image: np.ndarray) -> dict[int, np.ndarray]:
        self.frame += 1
        here = self.places[self.frame]
        return {n: np.array(here[name]) for n, name in self.names.items() if name in here}

    def show(self, boxes: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        self.shown.append(set(boxes))
        for n, box in boxes.items():
            here = self.places[self.frame]
            self.names[n] = min(here, key=lambda name: float(np.abs(np.array(here[name]) - box).sum()))
        return {}


def test_following_gives_a_box_per_frame_and_new_things_are_taken_up() -> None:
    # a and b change places within the first second; c appears in the third; b is hidden for half a second
    places = []
    for k in range(31):
        t = k / 10
        here = {"a": at(50 + 40 * min(t, 1)), "b": at(90 - 40 * min(t, 1)), "c": at(200)}
        if t < 1.5:
            del here["c"]
        if 1.2 <= t < 1.7:
            del here["b"]
        places.append(here)
    frames = [(k / 10, np.full((4, 4, 3), k, np.uint8)) for k in range(31)]
    following = Shifted(places)
    tracks = follow(
        frames, {0.0, 1.0, 2.0, 3.0}, lambda image: found(*places[int(image[0, 0, 0])].values()), lambda: following, 2.0
    )
    a, b, c = tracks
    assert [len(t.times) for t in tracks] == [31, 26, 11]
    assert following.shown == [{1, 2}, {1, 2}, {1, 2, 3}, {1, 2, 3}]
    for track, name in ((a, "a"), (b, "b"), (c, "c")):
        for t, box, source in zip(track.times, track.boxes, track.sources, strict=True):
            # pixels of the displayed frame, twice as large
            np.testing.assert_allclose(box, 2 * np.array(places[round(10 * t)][name]))
            assert source == ("model" if t in (0.0, 1.0, 2.0, 3.0) else "propagated")
    assert len(a.scores) == 4 and len(c.scores) == 2


def test_only_so_many_are_followed() -> None:
    boxes = {f"{k}": at(40 * k) for k in range(FOLLOWED + 3)}
    following = Shifted([boxes] * 11)
    frames = [(k / 10, np.zeros((4, 4, 3), np.uint8)) for k in range(11)]
    tracks = follow(frames, {0.0, 1.0}, lambda image: found(*boxes.values()), lambda: following)
    assert len(tracks) == FOLLOWED + 3
    assert [len(shown) for shown in following.shown] == [FOLLOWED, FOLLOWED]
    assert sorted(len(t.times) for t in tracks) == [2] * 3 + [11] * FOLLOWED


def test_passers_by_do_not_fill_the_tracker() -> None:
    """Four new things every two seconds, gone after two: far more than are followed at a time."""
    count, began = 10, list[Shifted]()
    places = [
        {f"{k // 20}.{n}": at(100.0 * n + k % 20, 50 + 200 * (k // 20 % 3)) for n in range(4)}
        for k in range(20 * count)
    ]
    frames = [(k / 10, np.full((4, 4, 3), k, np.uint8)) for k in range(20 * count)]

    def begin() -> Shifted:
        following = Shifted(places)
        following.frame = began[-1].frame - 1 if began else -1  # the frame is shown to it once more
        began.append(following)
        return following

    tracks = follow(frames, {float(k) for k in range(2 * count)}, lambda i: found(*places[i[0, 0, 0]].values()), begin)
    assert [len(t.times) for t in tracks] == [20] * 4 * count
    assert 2 <= len(began) <= count
    assert all(len(following.names) <= FOLLOWED for following in began)


def test_long_videos_are_linked_in_time() -> None:
    import time

    linker, began = Linker(), time.process_time()
    for t in range(6000):
        linker.add(float(t), found(*(at(500.0 * ((t // 3) % 50) + 100 * n, 50 + 90 * n) for n in range(3))))
    group = strongest_tracks(list(linker.tracks.values()))
    assert len(linker.tracks) > 1000 and len(telling_times(group, np.arange(6000.0))) == 8
    assert time.process_time() - began < 15


def tracks(*lives: tuple[int, int]) -> list[Track]:
    out = []
    for n, (first, last) in enumerate(lives, start=1):
        track = Track(n)
        for t in range(first, last):
            track.add(float(t), np.array(at(40 * n)), "model", 0.5 + 0.01 * n)
        out.append(track)
    return out


def test_candidates_are_those_that_most_speaks_for() -> None:
    best = strongest_tracks(tracks((0, 2), (3, 9), (1, 9), (0, 1)), most=3)
    assert [(t.number, t.times[0], len(t.times)) for t in best] == [(1, 0.0, 2), (2, 1.0, 8), (3, 3.0, 6)]


def test_every_candidate_is_shown() -> None:
    times = np.arange(30.0)
    group = tracks((0, 30), (0, 3), (28, 30), (10, 12))
    got = telling_times(group, times, 8)
    assert len(got) == 8 and (np.diff(got) > 0).all()
    assert all(any(track.at(t) is not None for t in got) for track in group)
    assert np.diff(got).max() <= 8  # spread over the span
    assert telling_times(group[1:], times, 8).tolist() == [0.0, 1.0, 2.0, 10.0, 11.0, 28.0, 29.0]
    assert len(telling_times([], times)) == 0


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Target ID: 2", 2), ('"Target ID: 3"', 3), ("<think>1 or 2?</think><answer>Target ID: 1</answer>", 1),
        ('{"target_id": 2}', 2), ("Target ID: 0", 0), ("Target ID: 4", None), ("the second", None), ("", None),
        ("Target ID: 2, Time range: 12.54 to 17.83", 2), ("None", 0), ("either", None),
    ],
)  # fmt: skip
def test_reading_the_number(text: str, number: int | None) -> None:
    assert chosen_number(parse(text), 3) == number


def test_held_answers_are_those_that_can_be_read() -> None:
    grammar = Grammar(choice_schema(3))
    for n in range(4):
        assert grammar.accepts(f'"Target ID: {n}"')
        assert chosen_number(parse(f'"Target ID: {n}"'), 3) == n
    assert not grammar.accepts('"Target ID: 4"') and not grammar.accepts("Target ID: 1")


def test_the_question_cannot_be_taken_for_one_of_the_dialects() -> None:
    from world_server import world_model

    said = choice_question("the dog runs", "The brown dog.", 3)
    assert "3 candidates" in said and '"the dog runs"' in said and "The brown dog." in said
    assert "described" not in choice_question("the dog runs", "", 3)
    asked = [d for d in DIALECTS.values() if d.when != "{query}"]  # one that asks in the sentence alone takes any text
    assert len(asked) == len(DIALECTS) - 1
    for dialect in asked:
        with pytest.raises(ValueError, match="no question"):
            world_model().question(said, dialect)
    assert "{" not in said and CHOOSE.count("Target ID") == 2


def test_numbered_boxes() -> None:
    image = np.full((180, 320, 3), 90, np.uint8)
    boxes = {1: np.array([10.0, 10, 100, 120]), 2: np.array([40.0, 30, 90, 80]), 3: np.array([200.0, 100, 330, 190])}
    out = draw_candidates(image, boxes)
    assert (image == 90).all()  # a copy
    for n, box in boxes.items():
        own = (out == np.array(COLOURS[n - 1])).all(-1)
        x1, y1, x2, y2 = (int(v) for v in (*box[:2], min(box[2], 320), min(box[3], 180)))
        edges = [own[y1 + 20 : y2, x1], own[y1 + 20 : y2, x2 - 1], own[y2 - 1, x1:x2]]
        assert all(edge.all() for edge in edges)
        assert own.sum() > 250  # the tag is filled
    # dark digits, none on another and none on what is small: the second stands above its box
    for x, y in ((10, 10), (40, 10), (200, 100)):
        assert (out[y : y + 20, x : x + 14].sum(-1) < 120).any()


def test_same_boxes_are_one() -> None:
    boxes = np.array([at(50), at(51), at(80), at(50, size=60)])
    order = [1, 0, 3, 2]  # most certain first
    assert [order[k] for k in distinct(boxes[order], np.zeros(4, int))] == [1, 3, 2]


@pytest.mark.parametrize(
    ("sentence", "phrase"),
    [
        ("The red car drives up", "red car"),
        ("the adult in black jacket walks to the table", "adult in black jacket"),
        ("The target is the woman wearing a white hat near the door", "woman wearing white hat"),
        ("a black and white cat jumps over it", "black and white cat"),
        ("The man in front of the camera", "man"),
        ("A young girl in pink holding an umbrella", "young girl in pink"),
        ("a police car with flashing lights turns left", "police car with flashing lights"),
        ("In the left corner a dog barks", "dog"),
        ("What is the man holding?", "man"),
        ("drone flies over", "drone"),
        ("zebra chases a car", "zebra"),
        ("He sits down.", "person"),
        ("", "object"),
        ("?!", "object"),
    ],
)
def test_noun_phrases(sentence: str, phrase: str) -> None:
    assert noun_phrase(sentence) == phrase


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_any_text_gives_a_short_phrase(text: str) -> None:
    got = noun_phrase(text)
    assert got.strip() and len(got.split()) <= LONGEST and "." not in got


def test_a_detector_is_one_line_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    class Corner:
        """Finds everything in the upper left corner."""

        def __init__(self, name: str, labels: Sequence[str], device: str | None = None) -> None:
            self.name = name

        def detect(self, images: np.ndarray, threshold: float) -> list[ClassDetections]:
            return [found((0, 0, 9, 9)) for _ in images]

    for module in (named, resolve):
        monkeypatch.setattr(module, "load_config", lambda name: SimpleNamespace(model_type="corner"))
    monkeypatch.setitem(OPEN_VOCABULARY, "corner", Corner)
    detector, propagator = load_detector("detector:me/corner", "cpu")
    assert isinstance(detector, Corner) and detector.name == "me/corner" and propagator is None
    named._models.cache_clear()

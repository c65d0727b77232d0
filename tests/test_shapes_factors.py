"""The world of shapes: factors are independent, splits differ as they state, and no shortcut answers the questions."""

import dataclasses
import time
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from whenwhere.errors import SettingError
from whenwhere.spans import SpanSet
from whenwhere.stage.shapes import SHAPES_DOMAINS, SHAPES_SPLITS, Noise, ShapesClip, ShapesWorld, make_clip
from whenwhere.stage.shapes.clip import view_of
from whenwhere.stage.shapes.motion import place_shapes
from whenwhere.stage.shapes.plan import held_out_act, held_out_noun, held_out_texture, make_plan
from whenwhere.stage.shapes.words import SHAPE_COLOURS
from whenwhere.stage.shapes.world import SPEED_QUARTILES
from whenwhere.training.recipe import load

BASE = ShapesWorld(bars=0.0)
BINS = 64


@pytest.fixture(scope="module")
def clips() -> list[ShapesClip]:
    return [make_clip(ShapesWorld(), seed) for seed in range(300)]


def spans_of(world: ShapesWorld, seed: int) -> list[tuple[int, int]]:
    """Times of everything asked about, in ticks."""
    what = make_plan(world, seed)
    times = [(a.start, a.end) for t in what.things for a in t.acts]
    return sorted(times + [(what.things[i].start, what.things[i].end) for q in what.asks if q.verb is None
                           for i in q.things])  # fmt: skip


def length(world: ShapesWorld, seed: int) -> Any:
    return make_plan(world, seed).ticks


def looks(world: ShapesWorld, seed: int) -> Any:
    return [(t.colour, t.shape, t.texture) for t in make_plan(world, seed).things[: world.events[0]]]


def camera(world: ShapesWorld, seed: int) -> Any:
    view, _ = view_of(world, seed, 20)
    return view.knots.tolist(), view.shots


def ground(world: ShapesWorld, seed: int) -> Any:
    return view_of(world, seed, 20)[0].grounds[0]


def sizes(world: ShapesWorld, seed: int) -> Any:
    where = place_shapes(world, seed, make_plan(world, seed), 0.0)
    return where.knots[2, :3, 0].tolist()


def order(world: ShapesWorld, seed: int) -> Any:
    return [(q.kind, q.things, q.noun, q.verb) for q in make_plan(world, seed).asks if q.things]


READINGS = {f.__name__: f for f in (length, spans_of, looks, camera, ground, sizes, order)}


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ({"sizes": (0.31, 0.4)}, {"sizes"}),
        ({"cameras": (0, 1, 0)}, {"camera"}),
        ({"cuts": (0, 1)}, {"camera", "ground"}),
        ({"backgrounds": 1000}, {"ground"}),
        ({"speeds": (0, 0, 0, 1), "laws": (0, 1, 0, 0, 0)}, set()),
        ({"objects": (15, 20)}, set()),
        ({"overlap": 1.0}, set()),
        ({"cotemporal": 1.0}, set()),
        ({"fraction": (0.02, 0.05)}, {"spans_of", "order", "looks"}),
        ({"seconds": (30, 40)}, {"length", "spans_of", "order", "looks"}),
        ({"noise": Noise(jitter=0.5)}, set()),
        ({"fps": 5.0, "side": 100}, set()),
    ],
)
def test_a_factor_leaves_the_others_alone(change: dict[str, Any], moves: set[str]) -> None:
    world = dataclasses.replace(BASE, absent=0.0)
    other = dataclasses.replace(world, **change)
    for seed in range(8):
        for name, read in READINGS.items():
            if name not in moves:
                assert read(world, seed) == read(other, seed), (name, seed)
    for name in moves - {"order", "looks"}:
        assert any(READINGS[name](world, seed) != READINGS[name](other, seed) for seed in range(8)), name


def test_no_two_factors_draw_from_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    real = ShapesWorld.stream

    def spied(self: ShapesWorld, seed: int, factor: str) -> np.random.Generator:
        drawn.append(factor)
        return real(self, seed, factor)

    monkeypatch.setattr(ShapesWorld, "stream", spied)
    make_clip(ShapesWorld(noise=Noise(jitter=0.1)), 1)
    assert len(drawn) == len(set(drawn)) >= 20


def test_absent_sentences_leave_the_others_alone() -> None:
    for seed in range(20):
        few, many = ShapesWorld(absent=0.0), ShapesWorld(absent=0.25)
        assert {q.things for q in make_plan(few, seed).asks} == {
            q.things for q in make_plan(many, seed).asks if q.things
        }


def test_shares_that_are_promised(clips: list[ShapesClip]) -> None:
    plans = [make_plan(ShapesWorld(), seed) for seed in range(400)]
    same = [any(a.number < b.number and (a.start, a.end) == (b.start, b.end) != (0, p.ticks)
                for a in p.things for b in p.things) for p in plans]  # fmt: skip
    assert np.mean(same) >= 0.4
    assert np.mean([any(len(t.acts) > 1 for t in p.things) for p in plans]) >= 0.4
    asked = [q for c in clips for q in c.queries]
    absent = np.mean([q.referents == 0 for q in asked])
    assert 0.06 <= absent <= 0.14
    assert np.mean([q.referents > 1 for q in asked]) < 0.05
    assert {q.kind for q in asked} == {"there", "texture", "relation", "action"}
    grounds = {view_of(ShapesWorld(), seed, 20)[0].grounds[0] for seed in range(400)}
    assert len(grounds) == ShapesWorld().backgrounds  # shared: far fewer than clips
    assert np.mean([bool(c.cuts) for c in clips]) < 0.25


def masks(clip: ShapesClip) -> NDArray[np.float64]:
    t = (np.arange(BINS) + 0.5) / BINS * clip.duration
    return np.array([q.spans.index(t) >= 0 for q in clip.queries if q.referents], float)


def test_no_shortcut_answers_the_default_world(clips: list[ShapesClip]) -> None:
    """t_IoU of three shortcuts: the best constant span, the whole video, and the best single span of each video."""
    windows = np.array([(a, b) for a in range(0, BINS, 2) for b in range(a + 2, BINS + 1, 2)])
    spans = ((np.arange(BINS) >= windows[:, :1]) & (np.arange(BINS) < windows[:, 1:])).astype(float)
    scores, oracle = [], []
    for clip in clips:
        truth = masks(clip)
        both = spans @ truth.T
        iou = both / (spans.sum(1)[:, None] + truth.sum(1) - both)
        scores.append(iou)
        oracle += [iou.mean(axis=1).max()] * len(truth)
    mean = np.concatenate(scores, axis=1).mean(axis=1)
    whole = mean[(windows[:, 0] == 0) & (windows[:, 1] == BINS)]
    assert mean.max() <= 0.225
    assert whole[0] <= 0.25
    assert np.mean(oracle) <= mean.max() + 0.1


def test_words_do_not_tell_when(clips: list[ShapesClip]) -> None:
    share, middle = defaultdict(list), defaultdict(list)
    for clip in clips:
        for q in clip.queries:
            if q.referents == 1:
                hull = q.spans.hull
                assert hull is not None
                for key in (f"kind {q.kind}", *q.text.split()):
                    share[key].append(q.spans.duration / clip.duration)
                    middle[key].append((hull.start + hull.end) / 2 / clip.duration)
    everything = np.mean(share["the"])
    for key, values in share.items():
        if len(values) >= 60:
            error = np.std(values) / np.sqrt(len(values))
            assert everything / 1.3 - 2 * error < np.mean(values) < everything * 1.3 + 2 * error, key
            assert abs(np.mean(middle[key]) - 0.5) < 0.04 + 3 * np.std(middle[key]) / np.sqrt(len(values)), key


def test_speeds_fall_into_the_quartiles_evenly() -> None:
    world = ShapesWorld(
        laws=(0, 1, 0, 0, 0), sizes=(0.1, 0.12), cameras=(1, 0, 0), twofold=0, acts=0, bars=0, seconds=(8, 8)
    )
    speeds = []
    for seed in range(60):
        what = make_plan(world, seed)
        where = place_shapes(world, seed, what, 0.0)
        for t in what.things:
            if t.free and t.end - t.start > 1:
                step = np.diff(where.knots[:2, t.number, t.start : t.end], axis=1)
                speeds.append(float(np.hypot(*step).mean() * 2 / (2 * where.knots[2, t.number, 0])))
    counts = np.histogram(speeds, SPEED_QUARTILES)[0] / len(speeds)
    assert (counts > 0.15).all() and (counts < 0.35).all()


def test_events_can_be_long_and_short_and_clips_a_minute() -> None:
    world = ShapesWorld(seconds=(64, 64), events=(2, 8), fraction=(0.03, 0.6), objects=(2, 20))
    share = [(b - a) / 128 for seed in range(60) for a, b in spans_of(world, seed)]
    assert min(share) < 0.04 and max(share) > 0.5
    logs = np.log(share)
    assert abs(np.mean(logs) - np.log(0.03 * 0.6) / 2) < 0.25  # log-uniform
    counts = {len(make_plan(world, seed).things) for seed in range(60)}
    assert min(counts) <= 4 and max(counts) == 20
    assert len(make_clip(world, 1).images) == 128


def test_splits_are_apart_and_differ_in_what_they_say() -> None:
    first = {split: make_clip(ShapesWorld(split=split), 7) for split in SHAPES_SPLITS}
    assert len({c.images.tobytes() for c in first.values()}) == len(SHAPES_SPLITS)
    assert len({c.id for c in first.values()}) == len(SHAPES_SPLITS)
    for seed in range(40):
        assert 34 <= make_plan(ShapesWorld(split="ood-longer"), seed).ticks <= 64
        assert 8 <= make_plan(ShapesWorld(split="heldout"), seed).ticks <= 32
        ticks = make_plan(ShapesWorld(split="ood-later"), seed).ticks
        assert all(a >= 2 * ticks / 3 for a, _ in spans_of(ShapesWorld(split="ood-later"), seed))
    assert ShapesWorld(split="ood-faster").speeds == (0, 0, 0, 1)


def compositions(split: str, count: int) -> tuple[int, int, int, int]:
    """The number of shapes, and how many of their nouns, textures and acts are held out."""
    things = [t for seed in range(count) for t in make_plan(ShapesWorld(split=split), seed).things]
    return (len(things), sum(held_out_noun(t.colour, t.shape) for t in things),
            sum(held_out_texture(t.texture, t.shape) for t in things),
            sum(held_out_act(a.verb, t.shape) for t in things for a in t.acts))  # fmt: skip


def test_held_out_compositions_are_seen_in_their_split_alone() -> None:
    for split in SHAPES_SPLITS:
        total, *held = compositions(split, 80)
        if split == "ood-look":
            assert held[0] > 0.5 * total and held[1] > 0.05 * total and held[2] > 10
        else:
            assert held == [0, 0, 0]
    # nor are they said of what is absent, and every word is learned in other company
    said = {q.text for seed in range(200) for q in make_clip(ShapesWorld(seconds=(4, 5)), seed).queries}
    for colour, shape in zip(SHAPE_COLOURS, ("square", "circle", "triangle", "diamond", "cross", "ring"), strict=False):
        assert not any(f"{colour} {shape}" in text for text in said)
        assert any(colour in text for text in said) and any(shape in text for text in said)
    assert not any("triangle grows" in text or "circle moves down" in text for text in said)


def test_domains_look_like_themselves() -> None:
    assert all(ShapesWorld(domain=d).name == f"train-{d}" for d in SHAPES_DOMAINS)
    street, lecture, sport = (ShapesWorld(domain=d) for d in ("street", "lecture", "sport"))
    assert min(len(make_plan(sport, seed).things) for seed in range(20)) >= 12
    assert np.mean([bool(make_clip(lecture, seed).cuts) for seed in range(10)]) > 0.6
    assert make_clip(lecture, 0).images.mean() > make_clip(street, 0).images.mean() + 60
    assert make_clip(street, 1).cuts == [] and np.ptp(view_of(street, 1, 20)[0].knots, axis=1).max() == 0
    # what is given counts more than what the domain would have
    assert ShapesWorld(domain="sport", objects=(3, 4)).objects == (3, 4)


def test_the_still_domain_is_what_the_tiny_policy_is_trained_on() -> None:
    trained = load("tiny-sft").data.world
    still = ShapesWorld(domain="still")
    assert dataclasses.replace(still, domain=None) == trained
    one, other = make_clip(still, 5), make_clip(trained, 5)
    assert np.array_equal(one.images, other.images) and [q.text for q in one.queries] == [q.text for q in other.queries]


def test_labels_err_as_often_as_asked_and_truth_stays() -> None:
    noise = Noise(jitter=0.2, duplicate=0.15, partial=0.15, wrong=0.1)
    world, clean = ShapesWorld(noise=noise), ShapesWorld()
    wrong = total = extra = 0
    for seed in range(150):
        noisy, right = make_clip(world, seed).queries, make_clip(clean, seed).queries
        assert all(q.label is None for q in right)
        texts = [q.text for q in noisy]
        firsts = [q for k, q in enumerate(noisy) if q.text not in texts[:k]]
        assert [(q.text, q.spans) for q in firsts] == [(q.text, q.spans) for q in right]
        extra += len(noisy) - len(firsts)
        asked = [q for q in firsts if q.referents]
        total += len(asked)
        wrong += sum(q.label != q.spans for q in asked)
        for q in noisy:
            assert q.label is not None
            for s in q.label:
                assert 0 <= s.start < s.end <= 16 and s.start % 0.5 == 0 == s.end % 0.5
    assert abs(extra / total - 0.15) < 0.03
    # a part of half a second is all of it
    assert 0.35 < wrong / total < 0.48
    assert all(q.label is None for q in make_clip(dataclasses.replace(world, split="val"), 1).queries)


def test_kinds_of_label_errors() -> None:
    def labels(noise: Noise) -> list[tuple[SpanSet, SpanSet]]:
        out = [
            (q.spans, q.label)
            for seed in range(30)
            for q in make_clip(ShapesWorld(noise=noise), seed).queries
            if q.referents
        ]
        return [(a, b) for a, b in out if b is not None]

    for truth, label in labels(Noise(partial=1)):
        assert (truth & label) == label and (label.duration < truth.duration or truth.duration == 0.5 * len(truth))
    assert all(a != b for a, b in labels(Noise(jitter=1)))
    assert np.mean([bool(a & b) for a, b in labels(Noise(jitter=1))]) > 0.7
    assert all(a != b for a, b in labels(Noise(wrong=1)))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"split": "test"}, "no split 'test': choose from train"),
        ({"domain": "sea"}, "no domain 'sea': choose from street"),
        ({"seconds": (4, 100)}, "clips must last from 2 to 64"),
        ({"absent": 0.5}, "at most a quarter"),
        ({"side": 4}, "frames of 4 pixels"),
        ({"events": (0, 3)}, "events"),
        ({"objects": (2, 40)}, "objects"),
        ({"cuts": (1, 1, 1, 1, 1, 1)}, "at most four cuts"),
    ],
)
def test_impossible_worlds_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        ShapesWorld(**settings)


def test_generation_does_not_starve_training() -> None:
    world = ShapesWorld(seconds=(8, 8))
    make_clip(world, 0)
    best = 9.0
    for attempt in range(3):
        began = time.process_time()
        for seed in range(20):
            make_clip(world, 20 * attempt + seed)
        best = min(best, (time.process_time() - began) / 20)
    assert best < 1 / 60  # several times that on a quiet core

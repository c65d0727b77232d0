"""Corpora of captioned shapes: captions are true, pools have one right answer, and nothing leaks it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from whenwhere.errors import SettingError
from whenwhere.stage.shapes import (
    CORPORA,
    CORPUS_WORDS,
    ScaleSettings,
    actions_of,
    answer_vocabulary,
    boundaries_of,
    frame_labels,
    hard_pool,
    make_captioned,
    open_questions,
    recognition_pool,
    scale_caption,
    shapes_corpus,
    unique_pool,
)
from whenwhere.stage.shapes.captioned import plan_captioned
from whenwhere.stage.shapes.corpus import held_out_composition
from whenwhere.stage.shapes.open_questions import answer_priors
from whenwhere.stage.shapes.words import SHAPE_COLOURS, SHAPE_TEXTURES, SHAPE_VERBS, SHAPES


@pytest.mark.parametrize("name", CORPORA)
def test_a_caption_is_true_of_what_was_painted(name: str) -> None:
    corpus = shapes_corpus(name, split="val")
    for seed in range(12):
        clip = make_captioned(corpus, seed)
        assert clip.images.shape == (corpus.frames, 48, 48, 3) and len(clip.boxes) == len(clip.plan.things)
        assert set(clip.caption.split()) <= set(CORPUS_WORDS)
        at = [clip.caption.find(noun) for noun in clip.nouns]
        assert min(at) >= 0 and at == sorted(at) and len(set(clip.nouns)) == corpus.named
        looks = [(t.colour, t.shape) for t in clip.plan.things]
        assert len(set(looks)) == len(looks)
        for i in clip.named:
            acts = clip.plan.things[i].acts
            start, end = (acts[0].start, acts[0].end) if acts else (0, corpus.frames)
            assert clip.seen[i, start] >= 0.5 and clip.seen[i, end - 1] >= 0.5
            if acts:
                assert SHAPE_VERBS[acts[0].verb] in clip.caption
                assert not held_out_composition(acts[0].verb, clip.plan.things[i].shape)
            # its colour can be seen in some frame
            grey = [a for a in acts if SHAPE_VERBS[a.verb] == "turns grey"]
            assert not grey or clip.seen[i, : grey[0].start].any() or clip.seen[i, grey[0].end :].any()
        if corpus.still:
            assert (clip.images == clip.images[:1]).all()


def test_a_still_can_have_one_frame() -> None:
    one, four = (make_captioned(shapes_corpus("stills", frames=frames), 3) for frames in (1, 4))
    assert one.images.shape == (1, 48, 48, 3) and np.array_equal(one.images, four.images[:1])
    assert one.caption == four.caption and np.array_equal(one.boxes, four.boxes[:, :1], equal_nan=True)
    with pytest.raises(SettingError, match="only a still can have 1"):
        shapes_corpus("pairs", frames=1)


def test_factors_have_streams_of_their_own() -> None:
    first = make_captioned(shapes_corpus("pairs"), 5)
    other = make_captioned(shapes_corpus("pairs", backgrounds=40, cameras=(1, 0, 0)), 5)
    assert first.caption == other.caption and not np.array_equal(first.images, other.images)
    assert make_captioned(shapes_corpus("pairs", split="val"), 5).caption != first.caption
    assert np.array_equal(first.images, make_captioned(shapes_corpus("pairs"), 5).images)


def test_a_noun_says_nothing_of_the_place() -> None:
    """Named shapes of each colour are spread as those of any other: no place is typical of a colour."""
    corpus, at = shapes_corpus("pairs", cameras=(1, 0, 0)), []
    for seed in range(120):
        clip = make_captioned(corpus, seed)
        for i in clip.named:
            box = clip.boxes[i, ~np.isnan(clip.boxes[i, :, 0])].mean(axis=0)
            at.append((clip.plan.things[i].colour, (box[0] + box[2]) / 96, (box[1] + box[3]) / 96))
    rows = np.array(at)
    rng, spread = np.random.default_rng(0), []

    def between(colours: np.ndarray) -> float:
        means = np.array([rows[colours == c, 1:].mean(axis=0) for c in range(len(SHAPE_COLOURS))])
        return float(means.var(axis=0).sum())

    spread = [between(rng.permutation(rows[:, 0])) for _ in range(300)]
    assert between(rows[:, 0]) < np.quantile(spread, 0.995)


def test_no_caption_of_a_pool_is_true_of_two_clips() -> None:
    pool = unique_pool(shapes_corpus("pairs", split="val"), 40)
    assert len({clip.caption for clip in pool}) == 40
    for a in pool:
        facts = {(a.plan.things[i].colour, a.plan.things[i].shape, a.plan.things[i].acts[0].verb) for i in a.named}
        fits = 0
        for b in pool:
            does = {(t.colour, t.shape, x.verb): t.texture for t in b.plan.things for x in t.acts}
            worn = {(t.colour, t.shape): t.texture for t in a.plan.things}
            fits += all(f in does and worn[f[:2]] in (0, does[f]) for f in facts)
        assert fits == 1
    with pytest.raises(SettingError, match="larger named"):
        unique_pool(shapes_corpus("stills", named=1, textures=False, objects=(1, 1)), 60)


def test_a_hard_pair_differs_in_one_exchange_only() -> None:
    pairs = hard_pool(shapes_corpus("pairs", split="val"), 9)
    assert [p.what for p in pairs] == ["colour", "texture", "action"] * 3
    for pair in pairs:
        a, b = pair.first, pair.second
        # a bag of words, and so of colours or verbs, cannot tell the captions apart
        assert a.caption != b.caption and sorted(a.caption.split()) == sorted(b.caption.split())
        assert a.id != b.id and not np.array_equal(a.images, b.images)
        if pair.what != "action":  # nor does anything move differently
            assert np.array_equal(a.seen, b.seen)
    with pytest.raises(SettingError, match="named = 2"):
        hard_pool(shapes_corpus("homogeneous"), 2)


def test_recognition_is_asked_on_compositions_that_no_caption_contains() -> None:
    pool = recognition_pool(shapes_corpus("pairs", split="val", compositions="held out"), 16)
    assert sorted(x.label for x in pool) == sorted(list(range(8)) * 2)
    for x in pool:
        (i,) = x.clip.named
        assert held_out_composition(x.label, x.clip.plan.things[i].shape)
    trained = recognition_pool(shapes_corpus("pairs"), 16)
    with pytest.raises(SettingError, match="a corpus in which shapes act"):
        recognition_pool(shapes_corpus("stills"), 16)
    assert not any(held_out_composition(x.label, x.clip.plan.things[x.clip.named[0]].shape) for x in trained)


def test_each_scale_owns_what_the_other_lacks_and_all_are_of_one_length() -> None:
    corpus = shapes_corpus("scales")
    looks, verbs = {*SHAPE_COLOURS, *SHAPE_TEXTURES}, {"moves", "grows", "shrinks", "blinks", "turns"}
    bound = 0
    for seed in range(40):
        clip = make_captioned(corpus, seed)
        said = {
            scale: scale_caption(clip, seed, ScaleSettings(scale=scale))  # type: ignore[arg-type]
            for scale in ("truth", "coarse", "fine", "fused", "concat", "random_choice")
        }
        assert {len(text.split()) for scale, text in said.items() if scale != "truth"} == {20}
        assert not verbs & set(said["coarse"].split()) and looks & set(said["coarse"].split())
        assert verbs & set(said["fine"].split()) and not looks & set(said["fine"].split())
        assert said["random_choice"] in (said["coarse"], said["fine"])
        assert said["truth"].startswith(clip.caption) and set(" ".join(said.values()).split()) <= set(CORPUS_WORDS)
        for noun, i in zip(clip.nouns, clip.named, strict=True):
            act = clip.plan.things[i].acts[0]
            crosses = clip.seen[i, 4] >= 0.5
            event = f"the {noun} {SHAPE_VERBS[act.verb]}"
            grey = act.start <= 4 and SHAPE_VERBS[act.verb] == "turns grey"
            # colour and event come together in `fused` if the middle frame shows the shape, and else nowhere
            assert (event in said["fused"]) == crosses or grey
            bound += crosses
    assert 0.5 * 40 < bound < 0.85 * 40


def test_errors_of_a_scale_are_as_frequent_as_asked() -> None:
    corpus = shapes_corpus("scales")
    wrong = {"fine": 0.0, "coarse": 0.0}
    total = 0
    for seed in range(60):
        clip = make_captioned(corpus, seed)
        for scale in wrong:
            right = scale_caption(clip, seed, ScaleSettings(scale=scale)).split()  # type: ignore[arg-type]
            settings = ScaleSettings(scale=scale, tag_error=0.3, attribute_error=0.3, words=20)  # type: ignore[arg-type]
            made = scale_caption(clip, seed, settings).split()
            wrong[scale] += right[:3] != made[:3]
            assert made == scale_caption(clip, seed, settings).split()
        total += 1
    # the first shape and its verb, or texture and colour: 1 - 0.7² where both can be wrong
    assert 0.2 < wrong["fine"] / total < 0.75 and 0.2 < wrong["coarse"] / total < 0.75


def test_the_share_of_events_that_cross_the_middle_is_as_asked() -> None:
    for share in (0.3, 0.7):
        corpus = shapes_corpus("scales", middle=share)
        crosses = 0
        for seed in range(200):
            plan, named = plan_captioned(corpus, seed)
            crosses += any(plan.things[i].start <= 4 < plan.things[i].end for i in named)
        assert abs(crosses / 200 - share) < 0.1


def test_boundaries_are_where_the_picture_changes() -> None:
    for seed in range(8):
        assert boundaries_of(make_captioned(shapes_corpus("homogeneous"), seed)) == []
        clip = make_captioned(shapes_corpus("varied"), seed)
        acts = actions_of(clip)
        assert len(boundaries_of(clip)) == 1 and [a.end for a in acts[:1]] == boundaries_of(clip)
        assert acts[0].start == 0 and acts[-1].end == 4 and frame_labels(clip).sum(axis=1).tolist() == [1] * 8
        # one background throughout
        long = make_captioned(shapes_corpus("actions", cameras=(1, 0, 0)), seed)
        hidden = (long.images == long.images[:1]).all(axis=(0, 3)).mean()
        assert hidden > 0.4 and len(actions_of(long)) == 4
        ends = actions_of(long)
        assert all(a.end <= b.start for a, b in itertools.pairwise(ends))


def test_parts_of_a_clip_are_of_any_length() -> None:
    """No boundary is known beforehand: of all ways to cut a clip, each is as likely as any other."""
    found: dict[tuple[int, ...], int] = {}
    corpus = shapes_corpus("varied", named=3)
    for seed in range(300):
        plan, named = plan_captioned(corpus, seed)
        acts = sorted((plan.things[i].acts[0].start, plan.things[i].acts[0].end) for i in named)
        lengths = tuple(end - start for start, end in acts)
        assert acts[0][0] == 0 and acts[-1][1] == 8 and all(a[1] == b[0] for a, b in itertools.pairwise(acts))
        found[lengths] = found.get(lengths, 0) + 1
    busy = np.zeros(32)
    for seed in range(100):
        plan, named = plan_captioned(shapes_corpus("actions"), seed)
        times = sorted((plan.things[i].acts[0].start, plan.things[i].acts[0].end) for i in named)
        assert times[0][0] >= 0 and times[-1][1] <= 32 and all(a[1] < b[0] for a, b in itertools.pairwise(times))
        for start, end in times:
            busy[start:end] += 1
    # nor is there a frame at which nothing ever happens, or always something
    assert busy.min() > 10 and busy.max() < 90
    assert len(found) == 6 and min(map(min, found)) == 2 and 25 < min(found.values()) <= max(found.values()) < 80


def test_questions_have_visible_answers_of_a_closed_vocabulary() -> None:
    corpus, found = shapes_corpus("scales"), []
    for seed in range(110):
        clip = make_captioned(corpus, seed)
        asked = open_questions(clip, seed)
        found += asked
        for q in asked:
            assert q.answer in answer_vocabulary() and set(q.text.split()) <= set(CORPUS_WORDS)
            if q.kind == "colour of the actor":
                (i,) = [t.number for t in clip.plan.things if any(SHAPE_VERBS[a.verb] in q.text for a in t.acts)]
                assert tuple(SHAPE_COLOURS)[clip.plan.things[i].colour] == q.answer
            if q.kind == "colour":
                (t,) = [t for t in clip.plan.things if q.text.endswith(SHAPES[t.shape])]
                assert tuple(SHAPE_COLOURS)[t.colour] == q.answer
    assert {q.scale for q in found} == {"middle", "event", "both"}
    priors = answer_priors(found)
    assert max(priors[k] for k in ("colour", "colour of the actor", "what", "first")) < 0.25
    # objects (4 to 10) are not counted where shapes come and go
    assert (
        "how many" not in priors
        and answer_priors(
            [q for seed in range(20) for q in open_questions(make_captioned(CORPORA["varied"], seed), seed)]
        )["how many"]
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 7}, "even number"),
        ({"named": 5}, "1 to 4"),
        ({"timing": "sequence", "named": 4, "frames": 6}, "at least 8 frames"),
        ({"middle": 0.5, "frames": 4}, "at least 8 frames"),
        ({"transient": True, "timing": "whole"}, "times of their own"),
        ({"drift": 1.5}, "shares"),
        ({"colour": 1}, "no factor"),
    ],
)
def test_factors_that_contradict_each_other_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        shapes_corpus("pairs", **changes)
    with pytest.raises(SettingError, match="did you mean pairs"):
        shapes_corpus("pair")
    assert replace(CORPORA["pairs"], side=64).world.side == 64
    crowded = shapes_corpus("pairs", named=4, sizes=(0.5, 0.5), timing="whole", cameras=(0, 0, 1))
    with pytest.raises(SettingError, match="no room in which all 4 named shapes"):
        for seed in range(20):
            make_captioned(crowded, seed)

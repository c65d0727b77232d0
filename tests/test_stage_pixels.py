"""The boxes of the stage agree with its pixels."""

import hashlib

import cv2
import numpy as np
import pytest

from whenwhere.errors import SettingError
from whenwhere.stage import DEV_DOMAINS, Stage, build_world
from whenwhere.stage.build import make_view
from whenwhere.stage.compose import HIDDEN, MIN_BOX_PIXELS, SLIVER, Compositor
from whenwhere.stage.paint import Brush
from whenwhere.stage.palette import PAINTS
from whenwhere.stage.script import LAWS, Leg, progress, walk
from whenwhere.stage.things import ThingLook
from whenwhere.stage.world import Actor, Prop, World

SMALL = {"width": 160, "height": 90, "fps": 6.0, "seconds": 8.0}


def painted(world: World) -> tuple[np.ndarray, np.ndarray]:
    frames, boxes = zip(*Compositor(world).frames(), strict=True)
    return np.stack(frames), np.stack(boxes, 1)


def fingerprint(world: World) -> str:
    return hashlib.sha256(b"".join(f.tobytes() for f, _ in Compositor(world).frames())).hexdigest()


def ball(legs: list[Leg], y: float, id: int = 0, colour: tuple[float, float, float] = (200.0, 30.0, 30.0)) -> Actor:
    paint = PAINTS["dev"][0]._replace(rgb=colour)
    return Actor(id, "ball", "thing", ThingLook("ball", colour), {"body": paint}, 0.2, legs, depth=y)


def bare_world(actors: list[Actor], frames: int = 20, domain: str = "yard") -> World:
    view = make_view(0, 0, domain, "dev", 160 / 90, 90, frames, 10.0, "static")
    view.props.clear()
    return World(160, 90, 10.0, frames, [view], np.zeros(frames, np.intp), actors, np.ones((frames, 3)), 0.5, 20, 0,
                 "dev", domain)  # fmt: skip


@pytest.mark.parametrize("domain", list(DEV_DOMAINS))
@pytest.mark.parametrize("split", ["dev", "heldout"])
def test_a_box_is_the_tight_box_of_the_actor_rendered_alone(domain: str, split: str) -> None:
    world = build_world(3, split, domain, cuts=False, **SMALL)
    compositor = Compositor(world)
    boxes = np.stack([b for _, b in compositor.frames()], 1)
    assert np.isfinite(boxes).any()
    for i in range(0, world.frames, 5):
        for actor in world.actors:
            mask = compositor.silhouette(actor, i)
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            if np.isfinite(boxes[actor.id, i, 0]):
                expected = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
                assert boxes[actor.id, i].tolist() == list(map(float, expected))
            elif mask.sum() >= MIN_BOX_PIXELS and not world.views[0].props:
                # absent all the same: a sliver of it, or hidden behind others
                draw = compositor.draw(actor, i)
                assert draw is not None
                others = [compositor.silhouette(a, i) for a in world.actors if a.id != actor.id]
                covered = (mask & np.logical_or.reduce(others)).sum() / mask.sum()
                assert mask.sum() < SLIVER * draw.sprite.area * draw.k**2 or covered > HIDDEN


def test_pixels_change_inside_the_box_and_its_shadow_only() -> None:
    legs = [Leg("stand", 0, 20, (0.9, 0.6), (0.9, 0.6), facing="front")]
    world = bare_world([ball(legs, 0.6)])
    world.noise, world.views[0].sun = 0.0, world.views[0].sun.__class__(0.0, 0.0, 0.0)
    (with_ball, boxes), (without, _) = painted(world), painted(bare_world([]))
    empty = bare_world([])
    empty.noise = 0.0
    without, _ = painted(empty)
    changed = np.abs(with_ball[0].astype(int) - without[0]).max(-1) > 40
    x, y, w, h = cv2.boundingRect(changed.astype(np.uint8))
    assert np.allclose(boxes[0, 0], (x, y, x + w, y + h), atol=1)


def test_hidden_actors_keep_their_box_until_nine_tenths_are_hidden() -> None:
    wall = Brush(0.3, 0.3, 0.6, 0.02, 90)
    wall.rect(-0.3, 0, 0.3, 0.6, (120, 120, 120))
    legs = [Leg("go", 0, 20, (0.2, 0.5), (1.6, 0.5))]
    world = bare_world([ball(legs, 0.5)])
    alone = Compositor(world)
    _, free = painted(world)
    world.views[0].props.append(Prop(wall.sprite(np.random.default_rng(0)), 0.9, 0.9, 1.0))
    _, boxes = painted(world)
    gone = np.isnan(boxes[0, :, 0]) & np.isfinite(free[0, :, 0])
    assert gone.any() and not gone.all()
    # un-occluded box while partly hidden
    assert np.array_equal(boxes[0, ~gone], free[0, ~gone])
    edges = np.array([0.6, 1.2]) * 90
    for i in range(20):
        columns = np.flatnonzero(alone.silhouette(world.actors[0], i).any(0))
        covered = ((columns >= edges[0] - 2) & (columns < edges[1] + 2)).mean()
        assert gone[i] == (covered >= HIDDEN) or 0.8 < covered < 1, (i, covered)


def test_the_nearer_actor_hides_the_farther_one() -> None:
    far = ball([Leg("stand", 0, 5, (0.9, 0.6), (0.9, 0.6))], 0.5, 0, (20.0, 20.0, 220.0))
    near = ball([Leg("stand", 0, 5, (0.9, 0.6), (0.9, 0.6))], 0.6, 1)
    _, boxes = painted(bare_world([far, near], 5))
    assert np.isnan(boxes[0]).all() and np.isfinite(boxes[1]).all()


def test_same_seed_same_pixels_and_truth() -> None:
    one, two = build_world(11, **SMALL), build_world(11, **SMALL)
    assert fingerprint(one) == fingerprint(two)
    scenes = []
    for world in (one, two):
        stage = Stage(world)
        assert sum(1 for _ in stage.frames()) == world.frames
        scenes.append(stage.scene())
    a, b = scenes
    assert np.array_equal(a.boxes, b.boxes, equal_nan=True)
    assert [(q.text, q.spans, q.kind, q.actor) for q in a.sentences] == [
        (q.text, q.spans, q.kind, q.actor) for q in b.sentences
    ]


def test_other_seeds_and_the_other_split_give_other_pixels() -> None:
    prints = {fingerprint(build_world(s, p, "yard", **SMALL)) for s in (0, 1) for p in ("dev", "heldout")}
    assert len(prints) == 4


def test_one_factor_leaves_the_others_alone() -> None:
    still, panned = (build_world(5, domain="park", camera=c, cuts=False, **SMALL) for c in ("static", "pan"))
    longer = build_world(5, domain="park", camera="static", cuts=False, **{**SMALL, "seconds": 9.0})
    assert [a.look for a in still.actors] == [a.look for a in panned.actors]
    assert [a.kind for a in still.actors][:2] == [a.kind for a in longer.actors][:2]
    assert np.array_equal(still.gain, panned.gain)
    assert still.views[0].zoom.tolist() == panned.views[0].zoom.tolist()
    assert np.ptp(panned.views[0].ox) > 0.05 > np.ptp(still.views[0].ox)


def test_a_moving_camera_moves_the_picture_and_boxes_follow() -> None:
    world = build_world(5, domain="park", camera="pan", cuts=False, **SMALL)
    thing = ball([Leg("stand", 0, world.frames, (0.9, 0.7), (0.9, 0.7))], 0.7, 0)
    world.actors = [thing]
    world.__dict__.pop("paths", None)
    _, boxes = painted(world)
    centre = (boxes[0, :, 0] + boxes[0, :, 2]) / 2
    expected = (0.9 - world.views[0].ox) * world.height
    assert np.abs(centre - expected).max() <= 1.0


def test_cuts_change_the_picture_and_nothing_else_does_as_much() -> None:
    world = build_world(8, domain="street", cuts=True, **SMALL)
    assert world.cuts
    frames, boxes = painted(world)
    step = np.abs(np.diff(frames.astype(np.int16), axis=0)).mean((1, 2, 3))
    at = [c - 1 for c in world.cuts]
    assert step[at].min() > 2 * np.delete(step, at).max()
    for actor in world.actors:
        assert np.isnan(boxes[actor.id][world.view_of != actor.view]).all()


def test_light_drifts_and_noise_is_there() -> None:
    world = build_world(2, domain="shop", cuts=False, **SMALL)
    world.actors = []
    world.__dict__.pop("paths", None)
    world.gain = np.linspace(0.8, 1.0, world.frames)[:, None] * np.ones((1, 3))
    world.views[0].props.clear()
    frames, _ = painted(world)
    level = frames.mean((1, 2, 3))
    assert np.all(np.diff(level) > 0)
    assert level[0] / level[-1] == pytest.approx(0.8, abs=0.02)
    world.gain[:] = 1
    frames, _ = painted(world)
    assert np.diff(frames.astype(float), axis=0).std() == pytest.approx(world.noise * 2**0.5, rel=0.25)


@pytest.mark.parametrize("law", [law for laws in LAWS.values() for law in laws])
def test_laws_of_motion_go_forward_from_start_to_end(law: str) -> None:
    way = progress(law, np.linspace(0, 1, 40), True, True)
    assert way[0] == 0 and way[-1] == pytest.approx(1) and (np.diff(way) >= 0).all()


def test_a_script_that_runs_on_after_the_clip_is_cut_off() -> None:
    path = walk([Leg("away", 0, 3, (0, 0), (0, 0)), Leg("go", 3, 13, (0, 0), (1, 0))], 8)
    assert np.isnan(path.x[:3]).all() and path.x[3:].tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    ("wrong", "word"),
    [({"split": "test"}, "split"), ({"domain": "moon"}, "domain"), ({"camera": "dolly"}, "camera"),
     ({"width": 161}, "even"), ({"height": 20}, "64 pixels"), ({"seed": -1}, "negative"),
     ({"fps": 0}, "above 0"), ({"fps": float("nan")}, "above 0"), ({"seconds": -1.0}, "above 0")],
)  # fmt: skip
def test_settings_that_make_no_clip_are_refused(wrong: dict, word: str) -> None:
    with pytest.raises(SettingError, match=word):
        build_world(**{"seed": 0, **wrong})

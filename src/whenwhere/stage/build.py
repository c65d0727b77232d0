"""Makes the plan of a clip from a seed. Every factor is drawn from its own random stream (see `streams`)."""

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError
from whenwhere.stage.backgrounds import BACKGROUNDS, Plate
from whenwhere.stage.casting import Cast, cast, pick
from whenwhere.stage.domains import Domain
from whenwhere.stage.paint import Brush, Colour, Sprite, shade
from whenwhere.stage.plots import driver, handler, mover, rester
from whenwhere.stage.script import Leg, walk
from whenwhere.stage.splits import EVERY_PLACE, PLACES, SPLIT_SEEDS
from whenwhere.stage.streams import random_stream
from whenwhere.stage.valplaces import VAL_BACKGROUNDS
from whenwhere.stage.world import Actor, Prop, View, World

#: Things that are small enough for a table, and things for the floor.
_ON_TABLE = ("bottle", "cup", "book", "vase")
_ON_FLOOR = ("bag", "box", "suitcase", "bucket", "chair")
#: Colour families of the ground in some places. What is on it has other colours if possible, to stand out from it.
_FLOORS = {
    "park": ("green",), "road": ("black", "grey"), "motorway": ("grey",), "beach": ("brown", "white", "yellow"),
    "farm": ("green",),
}  # fmt: skip


def build_world(
    seed: int, split: str = "dev", domain: str | None = None, width: int = 640, height: int = 360, fps: float = 15.0,
    seconds: float | None = None, cuts: bool | None = None, camera: str | None = None,
) -> World:  # fmt: skip
    """The world of one clip.

    Args:
        seed: Any non-negative integer; the same seed gives the same world.
        split: `dev`, `val` or `heldout`; the last two have other paints, textures, shapes, places, laws of motion and
            words.
        domain: Name of a place of the split (`splits.PLACES`). None draws one.
        width: Width of the frame in pixels, even.
        height: Height of the frame in pixels, even.
        fps: Frames per second.
        seconds: Duration in seconds. None draws 9 to 18 (`val`: 10 to 20).
        cuts: Whether the clip has shots from two cameras. None gives them to one clip in seven (`val`: one in five).
        camera: `static`, `shake`, `pan` or `zoom`. None draws one of the kinds that the place has.

    Raises:
        SettingError: There is no such split, domain or camera, the size is odd or too small, the seed is negative, or
            `fps` or `seconds` is not above 0.
    """
    places = PLACES.get(split, {})
    for value, known, name in ((split, tuple(SPLIT_SEEDS), "split"), (domain, (None, *places), "domain"),
                               (camera, (None, "static", "shake", "pan", "zoom"), "camera")):  # fmt: skip
        if value not in known:
            raise SettingError(
                f"the stage has no {name} {value!r}: choose from {', '.join(str(k) for k in known if k)}"
            )
    if width % 2 or height % 2 or min(width, height) < 64:
        raise SettingError(
            f"a stage clip of {width}x{height} cannot be made: sides must be even and at least 64 pixels"
        )
    if seed < 0:
        raise SettingError(f"a seed must not be negative: {seed}")
    if not fps > 0 or (seconds is not None and not seconds > 0):
        raise SettingError(f"a stage clip needs a duration and frames per second above 0, not {seconds} s at {fps:g}")
    seed += SPLIT_SEEDS[split]
    val = split == "val"
    name = domain or pick(random_stream(seed, "domain"), dict.fromkeys(places, 1.0))
    length = (
        seconds
        if seconds is not None
        else float(random_stream(seed, "length").uniform(*((10, 20) if val else (9, 18))))
    )
    frames = max(2, round(length * fps))
    two = cuts if cuts is not None else bool(random_stream(seed, "cuts").random() < 1 / (5 if val else 7))
    aspect = width / height
    view_of, views = _shots(seed, frames, fps, two), []
    for k in range(int(view_of.max()) + 1):
        others = dict.fromkeys((d for d in places if d != name), 1.0)
        place = name if k == 0 else pick(random_stream(seed, "second domain"), others)
        views.append(make_view(seed, k, place, split, aspect, height, frames, fps, camera))
    gain = _light(seed, frames, fps)
    if val:
        gain *= _cloud(seed, frames)
    world = World(
        width, height, fps, frames, views, view_of, [], gain,
        noise=float(random_stream(seed, "noise level").uniform(1.2, 4.0)),
        crf=int(random_stream(seed, "compression").integers(19, 31)),
        seed=seed, split=split, domain=name,
    )  # fmt: skip
    for k in range(len(views)):
        _people(world, k, len(views))
    return world


def _shots(seed: int, frames: int, fps: float, two: bool) -> NDArray[np.intp]:
    view_of = np.zeros(frames, np.intp)
    if two:
        rng = random_stream(seed, "shots")
        a = round(float(rng.uniform(0.3, 0.45)) * frames)
        b = round(float(rng.uniform(0.65, 0.8)) * frames)
        view_of[a : (b if rng.random() < 0.5 else frames)] = 1
    return view_of


def _light(seed: int, frames: int, fps: float) -> NDArray[np.float64]:
    """Gain of each frame and channel, shape (frames, 3).

    Brightness and tint drift slowly in three clips of five, and the automatic exposure jumps in one clip of four.
    """
    rng = random_stream(seed, "light")
    t = np.arange(frames) / fps
    gain = np.ones((frames, 3)) * rng.uniform(0.86, 1.06)
    if rng.random() < 0.6:
        depth, period, phase = rng.uniform(0.01, 0.06), rng.uniform(6, 25), rng.uniform(0, 6.28)
        gain *= (1 + depth * np.sin(2 * np.pi * t / period + phase))[:, None]
        gain *= 1 + rng.normal(0, 0.012, 3) * np.sin(2 * np.pi * t / 31 + phase)[:, None]
    rng = random_stream(seed, "exposure")
    if rng.random() < 0.25:
        for _ in range(int(rng.integers(1, 4))):
            when, jump = rng.uniform(0, t[-1]), rng.uniform(-0.16, 0.16)
            gain *= 1 + np.where(t >= when, jump * np.exp(-(t - when) / 0.9), 0)[:, None]
    return gain


def _cloud(seed: int, frames: int) -> NDArray[np.float64]:
    """Brightness of each frame, shape (frames, 1). A cloud comes or goes in two clips of five."""
    rng = random_stream(seed, "cloud")
    if rng.random() > 0.4:
        return np.ones((frames, 1))
    middle, dark = float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.72, 0.9))
    share = 1 / (1 + np.exp(-(np.linspace(0, 1, frames) - middle) * float(rng.choice([-14, 14]))))
    return (1 - (1 - dark) * share)[:, None]


def make_view(
    seed: int, k: int, name: str, split: str, aspect: float, height: int, frames: int, fps: float, camera: str | None
) -> View:  # fmt: skip
    """Camera k of a clip: its background, its motion and the props in its view.

    Args:
        seed: Seed of the clip, with the offset of its split added (`splits.SPLIT_SEEDS`).
        k: Index of the camera.
        name: Name of the place.
        split: `dev`, `val` or `heldout`.
        aspect: Width of the frame divided by its height.
        height: Height of the frame in pixels.
        frames: Number of frames of the clip.
        fps: Frames per second.
        camera: `static`, `shake`, `pan` or `zoom`. None draws one of the kinds that the place has.
    """
    domain = EVERY_PLACE[name]
    rng = random_stream(seed, "camera", k)
    kind = camera or pick(rng, domain.cameras)
    t = np.arange(frames) / fps
    ox, oy, zoom = np.zeros(frames), np.zeros(frames), np.ones(frames)
    if kind in ("shake", "pan", "zoom"):
        strength = rng.uniform(0.004, 0.014) * (0.5 if kind == "zoom" else 1.0)
        waves = (0.35, 0.9, 1.7, 2.6) if split != "val" else (0.22, 0.6, 1.3, 3.4)
        for o in (ox, oy):
            for f in waves:
                o += strength / (1 + f) * np.sin(2 * np.pi * (f * rng.uniform(0.8, 1.2) * t + rng.random()))
    if kind == "pan":
        reach, period = rng.uniform(0.12, 0.26), rng.uniform(9, 20)
        if split == "val":  # one sweep instead of a swing to and fro
            ox += reach * float(rng.choice([-1, 1])) * np.tanh((t / t[-1] - rng.uniform(0.3, 0.7)) * 4)
        else:
            ox += reach * np.sin(2 * np.pi * (t / period + rng.random()))
    if kind == "zoom" and split == "val":  # from a close view to a wide one
        zoom += rng.uniform(0.2, 0.45) * 0.5 * (1 - np.tanh((t / t[-1] - rng.uniform(0.3, 0.6)) * 5))
    elif kind == "zoom":
        zoom += rng.uniform(0.15, 0.4) * (0.5 - 0.5 * np.cos(2 * np.pi * t / rng.uniform(10, 22)))
    margin = float(max(np.abs(ox).max(), np.abs(oy).max())) + 0.03
    plate = Plate(aspect, float(height), margin)
    if split == "val":
        VAL_BACKGROUNDS[domain.background](plate, random_stream(seed, "background", k))
    else:
        BACKGROUNDS[domain.background](plate, random_stream(seed, "background", k), split)
    view = View(plate.picture(), margin, domain.scale, domain.above, ox, oy, zoom, domain.sun, [], kind, name)
    _props(view, domain, random_stream(seed, "props", k), split, aspect, height)
    return view


def _props(view: View, domain: Domain, rng: np.random.Generator, split: str, aspect: float, height: int) -> None:
    if rng.random() < domain.poles:
        x, y = (
            float(rng.uniform(0.2, 0.8)) * aspect,
            max(domain.ground[1], max((c for c, _ in domain.lanes), default=0)),
        )
        view.props.append(Prop(_pole(height, split), x, y + 0.06, 1.0))
    if rng.random() < domain.bushes:
        y = domain.ground[0] - 0.02
        for _ in range(int(rng.integers(1, 3))):
            prop = Prop(_bush(height, split, rng), float(rng.uniform(0.05, 0.95)) * aspect, y, 0.9 * view.at(y), "bush")
            prop.sway = float(rng.uniform(0.01, 0.04))
            view.props.append(prop)
    if domain.table:
        y = domain.ground[0] + 0.04
        x = float(rng.uniform(0.35, 0.65)) * aspect
        view.props.append(Prop(_table(height, split, domain.table), x, y, view.at(y), domain.table))


def _bush(per_unit: float, split: str, rng: np.random.Generator) -> Sprite:
    """A bush. It sways, so that pixels change although nobody is there."""
    b = Brush(0.2, 0.2, 0.3, 0.01, per_unit)
    leaf: Colour = {"dev": (64, 102, 48), "val": (104, 112, 40), "heldout": (116, 88, 58)}[split]
    for _ in range(26):
        r = float(rng.uniform(0.025, 0.05))
        b.ellipse(float(rng.normal(0, 0.06)), float(abs(rng.normal(0.08, 0.06))) + r, r, r * 0.8,
                  shade(leaf, float(rng.uniform(0.7, 1.3))))  # fmt: skip
    return b.sprite(rng)


def _pole(per_unit: float, split: str) -> Sprite:
    b = Brush(0.1, 0.1, 1.3, 0.02, per_unit)
    c: Colour = {"dev": (78, 82, 86), "val": (146, 142, 134), "heldout": (70, 96, 78)}[split]
    b.rect(-0.016, 0, 0.016, 1.3, c)
    b.rect(-0.03, 0, 0.03, 0.06, shade(c, 0.8))
    if split == "heldout":
        b.rect(-0.09, 0.62, 0.09, 0.76, (210, 206, 196), 0.01)
    return b.sprite(np.random.default_rng(5))


def _table(per_unit: float, split: str, name: str) -> Sprite:
    b = Brush(0.32, 0.32, 0.36, 0.04, per_unit)
    top: Colour = {"dev": (226, 224, 218), "val": (78, 74, 72), "heldout": (176, 132, 88)}[split]
    if name == "bench":
        for x in (-0.24, 0.24):
            b.rect(x - 0.02, 0, x + 0.02, 0.29, shade(top, 0.7))
        b.poly([(-0.31, 0.28), (0.31, 0.28), (0.27, 0.33), (-0.27, 0.33)], shade((150, 108, 70), 1.0))
        b.rect(-0.31, 0.255, 0.31, 0.285, (118, 82, 52))
    elif name == "table":
        for x in (-0.2, 0.2):
            b.limb([(x, 0.28), (x * 1.15, 0.0)], 0.02, shade(top, 0.5))
        b.ellipse(0, 0.285, 0.3, 0.055, shade(top, 0.62))
        b.ellipse(0, 0.3, 0.3, 0.055, top)
    else:
        b.rect(-0.3, 0, 0.3, 0.29, shade(top, 0.66))
        b.poly([(-0.3, 0.27), (0.3, 0.27), (0.27, 0.35), (-0.27, 0.35)], top)
    return b.sprite(np.random.default_rng(6))


def _half(actor: Actor, scale: float) -> float:
    """Half of the actor's width on the ground."""
    return actor.size * scale * {"vehicle": 0.5, "person": 0.14, "animal": 0.9, "thing": 0.5}[actor.family]


def _collides(world: World, new: Actor) -> bool:
    """Whether an actor would stand where another one stands or drive through one, which no truth could describe."""
    view = world.views[new.view]
    path = walk(new.legs, world.frames)
    for other in world.actors:
        if other.view != new.view or other.place or new.place:
            continue
        o = walk(other.legs, world.frames)
        gap_x, gap_y = np.abs(path.x - o.x), np.abs(path.y - o.y)
        near = _half(new, view.at(float(np.nanmean(path.y)))) + _half(other, view.at(float(np.nanmean(o.y))))
        with np.errstate(invalid="ignore"):
            if new.family == other.family == "vehicle":
                upright = any(leg.facing in ("up", "down") for leg in new.legs)
                long, wide = (gap_y, gap_x) if upright else (gap_x, gap_y)
                hit = (long < near * 1.12) & (wide < 0.12)
            else:
                still = (np.hypot(path.vx, path.vy) < 1e-9) & (np.hypot(o.vx, o.vy) < 1e-9)
                hit = still & (gap_x < near * 0.8) & (gap_y < 0.08)
        if hit.any():
            return True
    return False


def _people(world: World, k: int, views: int) -> None:
    """Adds the actors of one view, and then the things at rest in it."""
    view = world.views[k]
    name = view.domain
    domain = EVERY_PLACE[name]
    rng = random_stream(world.seed, "actors", k)
    lo, hi = domain.actors
    count = int(rng.integers(lo, hi + 1)) if views == 1 else int(rng.integers(2, lo + 2))
    shown = np.flatnonzero(world.view_of == k)
    first, last = shown[0] / world.fps, (shown[-1] + 1) / world.fps
    lag = 0.33 * (last - first)
    slots = first - 0.3 + (last - first - lag) * (np.arange(count) + rng.uniform(0.0, 1.0, count)) / count
    casts: list[Cast] = []
    floor = _FLOORS.get(name, ())
    for j in range(count):
        order = f"{k}.{j}"
        who = random_stream(world.seed, "kind", order)
        kind = casts[int(who.integers(len(casts)))].kind if casts and who.random() < 0.4 else pick(who, domain.cast)
        looks = random_stream(world.seed, "look", order)
        c = cast(looks, world.split, kind, casts, floor)
        motion = random_stream(world.seed, "motion", order)
        for _ in range(12):
            role = pick(motion, domain.roles[c.family])
            if _enter(world, k, domain, c, role, max(0.0, float(slots[j])), motion, looks, casts):
                casts.append(c)
                break
    _rests(world, k, domain, casts)


def _enter(
    world: World, k: int, domain: Domain, c: Cast, role: str, start: float, motion: np.random.Generator,
    looks: np.random.Generator, casts: list[Cast],
) -> bool:  # fmt: skip
    """Adds one actor, and the thing in its hand, unless it would collide; returns whether it did."""
    view = world.views[k]
    size = domain.sizes[c.kind] * c.factor
    legs: list[Leg]
    thing: Actor | None = None
    if role in ("put", "take"):
        # Handling a thing takes time, so the person must come in early enough.
        start = min(start, 0.35 * world.frames / world.fps)
        thing, legs = _handled(world, k, domain, size, role, start, motion, looks, casts)
        if thing is None:
            return False
    elif c.family == "vehicle":
        legs = driver(motion, role, size, view, domain, world.aspect, world.fps, world.frames, world.split, start)
    else:
        legs = mover(
            motion, role, c.family, size, view, domain, world.aspect, world.fps, world.frames, world.split, start
        )
    actor = Actor(len(world.actors), c.kind, c.family, c.look, c.paints, size, legs, k,
                  int(looks.integers(1 << 30)), c.big, c.texture)  # fmt: skip
    if _collides(world, actor):
        return False
    world.actors.append(actor)
    if thing is not None:
        thing.id, thing.hand = len(world.actors), actor.id
        world.actors.append(thing)
    return True


def _spot(world: World, k: int, domain: Domain, rng: np.random.Generator) -> tuple[tuple[float, float], float, str]:
    """A place for a thing: its ground position, its height above the ground, and the name of what it stands on."""
    view = world.views[k]
    tables = [p for p in view.props if p.name == domain.table]
    if tables and rng.random() < 0.7:
        p = tables[0]
        return (p.x + float(rng.uniform(-0.17, 0.17)) * p.size, p.y + 0.004), 0.3 * p.size, domain.table
    y = float(rng.uniform(domain.ground[0] + 0.06, domain.ground[1] - 0.04))
    below = domain.floor or ("floor" if domain.table else "ground")
    return (float(rng.uniform(0.25, 0.75)) * world.aspect, y), 0.0, below


def _thing_kind(domain: Domain, place: str, split: str, rng: np.random.Generator) -> str:
    pool = [n for n in (_ON_TABLE if place == domain.table and place else _ON_FLOOR) if n in domain.sizes]
    if split == "dev":
        pool = [n for n in pool if n not in ("vase", "suitcase")]
    return pool[int(rng.integers(len(pool)))]


def _thing(
    world: World, k: int, domain: Domain, place: str, ground: float, rng: np.random.Generator, casts: list[Cast]
) -> Actor:
    c = cast(rng, world.split, _thing_kind(domain, place, world.split, rng), casts, _FLOORS.get(world.domain, ()))
    return Actor(len(world.actors), c.kind, "thing", c.look, c.paints, domain.sizes[c.kind] * min(c.factor, 1.2), [], k,
                 int(rng.integers(1 << 30)), c.big, c.texture, ground + 0.02, place)  # fmt: skip


def _clear(world: World, thing: Actor, x: float, y: float) -> bool:
    """Whether no other thing rests near (x, y)."""
    for other in world.actors:
        if other.place and other.view == thing.view:
            ox, oy = next((leg.b if leg.act == "put" else leg.a) for leg in other.legs if leg.act != "away")
            if abs(ox - x) < 0.6 * (thing.size + other.size) and abs(oy - y) < 0.15:
                return False
    return True


def _handled(
    world: World, k: int, domain: Domain, size: float, role: str, start: float, motion: np.random.Generator,
    looks: np.random.Generator, casts: list[Cast],
) -> tuple[Actor | None, list[Leg]]:  # fmt: skip
    place, lift, where = _spot(world, k, domain, motion)
    thing = _thing(world, k, domain, where, place[1], looks, casts)
    person, thing.legs = handler(motion, role, size, place, lift, world.views[k], world.aspect, world.fps, world.frames,
                                 world.split, start)  # fmt: skip
    reach = next((leg for leg in person if leg.facing.startswith("reach")), None)
    if reach is None or reach.end > world.frames or not _clear(world, thing, place[0], place[1] - lift):
        return None, []
    return thing, person


def _rests(world: World, k: int, domain: Domain, casts: list[Cast]) -> None:
    """Adds up to two things at rest: half of them stay, the others appear or vanish without being handled."""
    if not any(n in domain.sizes for n in _ON_FLOOR):
        return
    rng = random_stream(world.seed, "rests", k)
    for j in range(int(rng.integers(0, 3))):
        own = random_stream(world.seed, "rest", k, j)
        place, lift, where = _spot(world, k, domain, own)
        thing = _thing(world, k, domain, where, place[1], own, casts)
        role = pick(own, {"rest": 2.0, "appear": 1.0, "vanish": 1.0})
        thing.legs = rester(own, role, (place[0], place[1] - lift), world.fps, world.frames)
        if _clear(world, thing, place[0], place[1] - lift):
            world.actors.append(thing)

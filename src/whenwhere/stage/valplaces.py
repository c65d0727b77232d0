"""Places of the validation split, and their backgrounds.

These six places do not occur in the development split; `domains` explains the fields. Their geometry differs too: a
motorway from above that runs from side to side, traffic that is farther away than the people, a beach on which people
are small, a platform on which they are large.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from whenwhere.stage.backgrounds import Plate
from whenwhere.stage.domains import Domain
from whenwhere.stage.paint import Colour, mix, shade
from whenwhere.stage.world import Sun

_FOLK = {"cross": 2.5, "visit": 3.0, "turnback": 2.0, "return": 2.0, "parked": 1.5}
_BEASTS = {"cross": 2.0, "visit": 1.5, "turnback": 1.5, "return": 1.5}
_ROLLING = {"cross": 1.0}
_TRAFFIC = {"cross": 4.0, "halt": 2.0, "park": 1.0, "parked": 1.0}

VAL_DOMAINS: dict[str, Domain] = {
    "motorway": Domain(
        "motorway", (1.0, 0.0), {"car": 0.33, "van": 0.4, "truck": 0.56, "bus": 0.6},
        {"car": 5.0, "van": 3.0, "truck": 2.0, "bus": 1.0}, {"vehicle": _TRAFFIC},
        (0.0, 1.0), Sun(-0.2, 0.3, 0.4),
        lanes=((0.16, "left"), (0.38, "left"), (0.64, "right"), (0.86, "right")), actors=(3, 6), above=True,
        cameras={"static": 3.0, "shake": 1.0},
    ),
    "forecourt": Domain(
        "forecourt", (0.35, 0.65), {"car": 0.4, "van": 0.48, "truck": 0.62, "bus": 0.74, "man": 0.36, "woman": 0.34,
                                    "child": 0.24, "dog": 0.12, "bucket": 0.09},
        {"car": 4.0, "van": 2.0, "truck": 1.2, "bus": 0.5, "man": 2.5, "woman": 2.5, "child": 0.5, "dog": 0.6},
        {"vehicle": _TRAFFIC, "person": _FOLK, "animal": _BEASTS},
        (0.86, 0.99), Sun(-0.35, 0.2, 0.4), lanes=((0.63, "right"), (0.78, "left")), actors=(3, 6), poles=0.4,
        floor="tarmac",
    ),
    "beach": Domain(
        "beach", (-0.75, 2.2), {"man": 0.25, "woman": 0.24, "child": 0.17, "dog": 0.085, "horse": 0.22, "ball": 0.06,
                                "bag": 0.075, "bucket": 0.08, "chair": 0.13},
        {"man": 2.0, "woman": 2.0, "child": 1.5, "dog": 2.0, "horse": 0.6, "ball": 1.0},
        {"person": {**_FOLK, "put": 1.0, "take": 1.0}, "animal": _BEASTS, "thing": _ROLLING},
        (0.58, 0.94), Sun(0.9, 0.15, 0.4), actors=(3, 6), cameras={"static": 3.0, "pan": 1.0, "shake": 1.0},
        floor="sand",
    ),
    "station": Domain(
        "station", (-0.15, 1.15), {"man": 0.5, "woman": 0.48, "child": 0.34, "dog": 0.16, "bottle": 0.1, "cup": 0.07,
                                   "book": 0.09, "bag": 0.14, "suitcase": 0.22, "box": 0.12},
        {"man": 3.0, "woman": 3.0, "child": 1.0, "dog": 0.5},
        {"person": {**_FOLK, "put": 2.0, "take": 2.0}, "animal": _BEASTS},
        (0.7, 0.96), Sun(0.05, 0.06, 0.3), actors=(2, 5), poles=0.5, table="bench", floor="platform",
    ),
    "kitchen": Domain(
        "kitchen", (0.2, 0.85), {"man": 0.6, "woman": 0.57, "child": 0.4, "cat": 0.14, "dog": 0.19, "bottle": 0.13,
                                 "cup": 0.085, "vase": 0.13, "book": 0.11, "bucket": 0.14, "bag": 0.13, "chair": 0.3},
        {"man": 2.0, "woman": 2.0, "child": 1.2, "cat": 0.7, "dog": 0.5},
        {"person": {**_FOLK, "put": 2.5, "take": 2.5}, "animal": _BEASTS},
        (0.66, 0.95), Sun(-0.15, 0.1, 0.25), actors=(2, 4), table="worktop", floor="tiles",
    ),
    "farm": Domain(
        "farm", (-0.1, 1.3), {"man": 0.36, "woman": 0.34, "child": 0.24, "dog": 0.13, "cat": 0.1, "horse": 0.3,
                              "sheep": 0.18, "box": 0.1, "bucket": 0.1},
        {"man": 1.2, "woman": 1.2, "child": 0.5, "dog": 1.5, "cat": 0.5, "horse": 1.5, "sheep": 2.5},
        {"person": {**_FOLK, "put": 0.7, "take": 0.7}, "animal": _BEASTS},
        (0.5, 0.94), Sun(0.45, 0.25, 0.45), actors=(3, 6), bushes=0.5, cameras={"static": 3.0, "zoom": 1.0},
        floor="grass",
    ),
}  # fmt: skip


def _any(rng: np.random.Generator, low: float, high: float) -> Colour:
    """A random colour with channels between two levels."""
    r, g, b = rng.uniform(low, high, 3).tolist()
    return r, g, b


def _down_to(x: NDArray[np.float64], y: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """The outline between a curve and a level, shape (n + 2, 2)."""
    return np.concatenate([np.stack([x, y], 1), [(x[-1], level), (x[0], level)]])


def _motorway(p: Plate, rng: np.random.Generator) -> None:
    """Four lanes from side to side, seen from a bridge's height, with a green strip in the middle."""
    c: Colour = shade((112, 110, 112), rng.uniform(0.85, 1.15))
    p.band(p.top, p.bottom, c, shade(c, 1.05))
    for y in (p.top, 0.98):
        p.band(y, y + (0.06 - p.top if y < 0 else p.bottom - 0.98), (118, 128, 70), (104, 116, 62))
    p.grain(rng, p.top, p.bottom, 0.06, 1.2)
    p.band(0.48, 0.54, (96, 118, 60), (86, 108, 56))
    for y in (0.465, 0.555):
        p.line([(p.left, y), (p.right, y)], 0.01, (226, 222, 206))
    p.line([(p.left, 0.51), (p.right, 0.51)], 0.016, (176, 180, 184))
    for x in np.arange(p.left, p.right, 0.2):
        p.rect(x, 0.5, x + 0.012, 0.52, (120, 122, 126))
    for y in (0.27, 0.75):
        for x in np.arange(p.left + rng.uniform(0, 0.2), p.right, 0.26):
            p.line([(x, y), (x + 0.1, y)], 0.009, (230, 228, 216))
    for _ in range(9):
        x, y = rng.uniform(p.left, p.right), rng.choice([0.16, 0.38, 0.64, 0.86]) + rng.uniform(-0.05, 0.05)
        p.line([(x, y), (x + rng.uniform(0.2, 0.7), y + rng.uniform(-0.01, 0.01))], 0.012, shade(c, 0.86))
    p.grain(rng, p.top, p.bottom, 0.06, 0.3)


def _forecourt(p: Plate, rng: np.random.Generator) -> None:
    """A filling station at dusk: a shop window, a roof on columns, pumps; drives from y = 0.5 on."""
    p.band(p.top, 0.5, (70, 84, 120), (206, 160, 130))
    roof = shade((196, 70, 52) if rng.random() < 0.5 else (62, 120, 130), rng.uniform(0.85, 1.1))
    x0 = rng.uniform(0.0, 0.3)
    p.rect(x0 + 0.1, 0.14, x0 + 1.2, 0.47, (208, 204, 194))
    for k in range(4):
        x = x0 + 0.16 + 0.26 * k
        p.rect(x, 0.2, x + 0.22, 0.44, mix((236, 226, 180), (120, 150, 160), rng.uniform(0, 0.7)))
        for _ in range(6):
            a, h = x + rng.uniform(0.01, 0.17), rng.uniform(0.03, 0.1)
            p.rect(a, 0.44 - h, a + 0.035, 0.44, _any(rng, 70, 190))
    for k in range(3):
        x = x0 + 0.05 + 0.62 * k
        p.rect(x, 0.1, x + 0.035, 0.53, (168, 170, 172))
        p.rect(x - 0.05, 0.4, x + 0.085, 0.55, shade(roof, 0.8))
        p.rect(x - 0.035, 0.42, x + 0.07, 0.46, (40, 46, 50))
    p.rect(x0 - 0.15, 0.02, x0 + 1.6, 0.1, roof)
    p.rect(x0 - 0.15, 0.085, x0 + 1.6, 0.1, (238, 236, 226))
    tar = shade((140, 134, 126), rng.uniform(0.9, 1.1))
    p.band(0.5, p.bottom, shade(tar, 0.84), tar)
    p.band(0.545, 0.57, (206, 200, 188), (170, 166, 156))
    for x in np.arange(p.left, p.right, 0.45):
        p.line([(x + 0.1, 0.58), (x - 0.12, p.bottom)], 0.005, shade(tar, 0.8))
    for y in (0.7, 0.85):
        p.line([(p.left, y), (p.right, y)], 0.004, shade(tar, 0.8))
    for _ in range(5):
        x, y = rng.uniform(p.left, p.right), rng.uniform(0.6, 0.95)
        p.disc(x, y, rng.uniform(0.03, 0.09), 0.014, shade(tar, 0.78))
    p.grain(rng, p.top, p.bottom, 0.04, 1.0)
    p.grain(rng, 0.5, p.bottom, 0.05, 0.3)


def _beach(p: Plate, rng: np.random.Generator) -> None:
    """Sky, sea with foam, and sand from y = 0.5 on, with towels and parasols at the back."""
    p.band(p.top, 0.28, (110, 168, 214), (196, 220, 228))
    sea: Colour = shade((44, 112, 140), rng.uniform(0.9, 1.15))
    p.band(0.28, 0.5, shade(sea, 0.85), mix(sea, (170, 200, 190), 0.5))
    for _ in range(60):
        y = 0.29 + 0.2 * float(rng.random()) ** 1.3
        left, w = rng.uniform(p.left, p.right), 0.02 + 0.3 * (y - 0.28)
        p.line([(left, y), (left + w, y + 0.002)], 0.003, shade(sea, rng.uniform(1.1, 1.6)))
    sand = shade((214, 190, 148), rng.uniform(0.9, 1.06))
    p.band(0.5, p.bottom, shade(sand, 0.82), sand)
    x = np.linspace(p.left, p.right, 80)
    edge = 0.5 + 0.012 * np.sin(4 * x + rng.uniform(0, 6)) + 0.006 * np.sin(11 * x)
    p.poly(_down_to(x, edge + 0.02, 0.48), shade(sand, 0.68))
    p.poly(_down_to(x, edge, 0.48), (232, 238, 236))
    p.poly(_down_to(x, edge - 0.012, 0.48), mix(sea, (170, 200, 190), 0.6))
    for _ in range(int(rng.integers(2, 5))):
        x0, y0 = rng.uniform(p.left, p.right), rng.uniform(0.53, 0.57)
        cloth = _any(rng, 110, 200)
        p.poly([(x0, y0), (x0 + 0.12, y0), (x0 + 0.1, y0 + 0.03), (x0 - 0.03, y0 + 0.03)], cloth)
        p.line([(x0 + 0.05, y0), (x0 + 0.06, y0 - 0.14)], 0.006, (120, 104, 88))
        p.poly([(x0 - 0.04, y0 - 0.12), (x0 + 0.06, y0 - 0.17), (x0 + 0.16, y0 - 0.12)], shade(cloth, 0.85))
    for _ in range(70):
        px, py = rng.uniform(p.left, p.right), rng.uniform(0.56, p.bottom)
        p.disc(px, py, 0.012 * py, 0.004 * py, shade(sand, rng.uniform(0.78, 0.95)))
    p.grain(rng, 0.28, p.bottom, 0.05, 1.0)
    p.grain(rng, 0.5, p.bottom, 0.06, 0.15)


def _station(p: Plate, rng: np.random.Generator) -> None:
    """A platform: a waiting train or the other side's wall behind the track, slabs from y = 0.6 on."""
    p.band(p.top, 0.56, (84, 90, 92), (112, 114, 112))
    for y in np.arange(p.top, 0.4, 0.05):
        p.line([(p.left, y), (p.right, y)], 0.003, (72, 78, 80))
    if rng.random() < 0.6:
        c = shade((214, 214, 208), rng.uniform(0.85, 1.05))
        p.rect(p.left, 0.04, p.right, 0.5, c)
        p.rect(p.left, 0.36, p.right, 0.4, shade((52, 104, 120), rng.uniform(0.8, 1.3)))
        for x in np.arange(p.left + rng.uniform(0, 0.3), p.right, 0.3):
            p.rect(x, 0.12, x + 0.2, 0.29, (52, 62, 70))
            p.line([(x + 0.03, 0.27), (x + 0.12, 0.14)], 0.008, (84, 98, 106))
            p.line([(x + 0.25, 0.06), (x + 0.25, 0.48)], 0.005, shade(c, 0.7))
    else:
        for x in np.arange(p.left + rng.uniform(0, 0.4), p.right, 0.8):
            p.rect(x, 0.08, x + 0.5, 0.34, _any(rng, 90, 210))
            p.rect(x + 0.04, 0.12, x + 0.3, 0.15, (236, 234, 226))
            p.rect(x + 0.04, 0.18, x + 0.4, 0.2, (236, 234, 226))
    p.band(0.5, 0.585, (58, 52, 48), (42, 40, 40))
    p.line([(p.left, 0.545), (p.right, 0.545)], 0.008, (150, 146, 140))
    slab = shade((158, 160, 166), rng.uniform(0.9, 1.1))
    p.band(0.585, p.bottom, shade(slab, 0.86), slab)
    p.band(0.585, 0.605, (226, 226, 220), (210, 210, 204))
    p.band(0.635, 0.65, (216, 180, 62), (206, 170, 56))
    mid = (p.left + p.right) / 2
    for k in np.arange(-3, 3.1, 0.3):
        p.line([(mid + k * 0.8, 0.655), (mid + k * 1.5, p.bottom)], 0.004, shade(slab, 0.82))
    for y in 0.72 + 0.1 * np.arange(5):
        p.line([(p.left, y), (p.right, y)], 0.004, shade(slab, 0.82))
    p.grain(rng, p.top, p.bottom, 0.04, 1.0)
    p.grain(rng, 0.6, p.bottom, 0.04, 0.2)


def _kitchen(p: Plate, rng: np.random.Generator) -> None:
    """Units, a cooker, a window and a fridge along the wall; large light tiles from y = 0.56 on."""
    wall = shade((222, 210, 176), rng.uniform(0.88, 1.05))
    p.band(p.top, 0.56, wall, shade(wall, 0.94))
    front = shade(((96, 116, 104), (150, 84, 70), (92, 100, 128))[int(rng.integers(3))], rng.uniform(0.9, 1.15))
    p.rect(p.left, 0.3, p.right, 0.335, (70, 66, 64))
    for x in np.arange(p.left, p.right, 0.24):
        p.rect(x, 0.335, x + 0.232, 0.55, shade(front, rng.uniform(0.95, 1.05)))
        p.rect(x + 0.09, 0.365, x + 0.14, 0.373, (206, 204, 196))
        if abs(x % 0.96) < 0.6:
            p.rect(x, p.top, x + 0.232, 0.12, shade(front, rng.uniform(0.95, 1.05)))
    x = rng.uniform(0.1, 0.5)
    p.rect(x, 0.29, x + 0.26, 0.55, (58, 58, 62))
    p.rect(x + 0.03, 0.37, x + 0.23, 0.5, (28, 28, 32))
    x = rng.uniform(0.75, 1.0)
    p.rect(x, 0.0, x + 0.32, 0.22, (176, 204, 220))
    p.line([(x + 0.16, 0.0), (x + 0.16, 0.22)], 0.014, (236, 234, 226))
    p.rect(x - 0.015, 0.215, x + 0.335, 0.235, (236, 234, 226))
    x = rng.uniform(1.35, 1.5)
    p.rect(x, 0.0, x + 0.24, 0.56, (196, 200, 204))
    p.line([(x, 0.2), (x + 0.24, 0.2)], 0.006, (140, 144, 148))
    tile = shade((198, 190, 180), rng.uniform(0.85, 1.05))
    p.band(0.56, p.bottom, shade(tile, 0.86), tile)
    mid = (p.left + p.right) / 2
    for k in np.arange(-4, 4.1, 0.34):
        p.line([(mid + k * 0.7, 0.56), (mid + k * 1.25, p.bottom)], 0.007, shade(tile, 0.74))
    for y in 0.56 + 0.075 * (1.3 ** np.arange(7) - 1) / 0.3:
        p.line([(p.left, y), (p.right, y)], 0.007, shade(tile, 0.74))
    p.grain(rng, p.top, p.bottom, 0.025, 1.1)
    p.grain(rng, 0.56, p.bottom, 0.03, 0.3)


def _farm(p: Plate, rng: np.random.Generator) -> None:
    """A meadow with a barn, a dry wall and tufts; the ground begins at y = 0.4."""
    p.band(p.top, 0.36, (168, 178, 186), (214, 214, 206))
    hill = [(x, 0.27 + 0.04 * np.sin(1.7 * x + 2) + 0.012 * np.sin(9 * x)) for x in np.linspace(p.left, p.right, 60)]
    p.poly([*hill, (p.right, 0.42), (p.left, 0.42)], (128, 138, 96))
    x = rng.uniform(0.1, 1.0)
    wood = shade((134, 62, 50), rng.uniform(0.85, 1.15))
    p.rect(x, 0.14, x + 0.46, 0.4, wood)
    p.poly([(x - 0.04, 0.15), (x + 0.23, -0.02), (x + 0.5, 0.15)], (92, 88, 90))
    for a in np.arange(x, x + 0.46, 0.03):
        p.line([(a, 0.15), (a, 0.4)], 0.003, shade(wood, 0.8))
    p.rect(x + 0.15, 0.24, x + 0.31, 0.4, shade(wood, 0.55))
    grass = shade((140, 146, 74), rng.uniform(0.88, 1.1))
    p.band(0.39, p.bottom, shade(grass, 0.84), grass)
    for y in (0.37, 0.39, 0.41):
        a = p.left
        while a < p.right:
            w = rng.uniform(0.03, 0.07)
            p.rect(a, y, a + w, y + 0.018, shade((140, 136, 126), rng.uniform(0.75, 1.15)))
            a += w + 0.003
    for _ in range(140):
        a, y = rng.uniform(p.left, p.right), rng.uniform(0.45, p.bottom)
        tone = shade(grass, rng.uniform(0.7, 1.2))
        for d in (-0.008, 0.0, 0.008):
            p.line([(a + d, y), (a + 2 * d, y - 0.02 * (0.4 + y))], 0.003, tone)
    p.grain(rng, 0.39, p.bottom, 0.1, 1.2)
    p.grain(rng, p.top, p.bottom, 0.03, 0.4)


VAL_BACKGROUNDS: dict[str, Callable[[Plate, np.random.Generator], None]] = {
    "motorway": _motorway, "forecourt": _forecourt, "beach": _beach, "station": _station, "kitchen": _kitchen,
    "farm": _farm,
}  # fmt: skip

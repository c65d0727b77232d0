"""Places as data: what each looks like, who is there, what they do, and how the camera behaves.

Weights need not sum to one. Lengths are in frame heights where the view's scale is 1. A new place is one entry of
`DEV_DOMAINS`.
"""

from dataclasses import dataclass, field

from whenwhere.stage.world import Sun


@dataclass(frozen=True)
class Domain:
    """One kind of place.

    Attributes:
        background: Name in `backgrounds.BACKGROUNDS`.
        scale: Coefficients (a, b): things at ground height y are drawn a + b y times their size.
        sizes: Length of a vehicle, or height of anything else, for each kind that can occur.
        cast: Weight of each kind among the actors that move.
        roles: Weight of each role for each family; roles are defined in `plots`.
        ground: Ground heights (far, near) between which people, animals and things move.
        sun: Direction and strength of shadows.
        lanes: Position and direction of each lane for vehicles. The position of a lane that leads up or down is its
            distance to the right of the middle of the frame; that of any other lane is its ground height.
        cameras: Weight of each kind of camera.
        actors: Smallest and largest number of actors.
        poles: Probability of a pole in front of everybody.
        bushes: Probability of swaying bushes behind everybody.
        table: Name of the table or counter on which small things stand. Empty if the place has none.
        floor: Name of what large things stand on. Empty means `floor` where there is a table and `ground` elsewhere.
        above: Whether the place is seen from straight above.
    """

    background: str
    scale: tuple[float, float]
    sizes: dict[str, float]
    cast: dict[str, float]
    roles: dict[str, dict[str, float]]
    ground: tuple[float, float]
    sun: Sun
    lanes: tuple[tuple[float, str], ...] = ()
    cameras: dict[str, float] = field(default_factory=lambda: {"static": 1.0})
    actors: tuple[int, int] = (2, 5)
    poles: float = 0.0
    bushes: float = 0.0
    table: str = ""
    floor: str = ""
    above: bool = False


_SMALL = {"bottle": 0.13, "cup": 0.085, "bag": 0.13, "box": 0.12, "book": 0.11, "vase": 0.13, "suitcase": 0.2}
_PEOPLE = {"man": 3.0, "woman": 3.0, "child": 1.0}
_FOLK = {"cross": 2.0, "visit": 3.0, "turnback": 1.5, "return": 1.5, "parked": 1.0}

DEV_DOMAINS: dict[str, Domain] = {
    "road": Domain(
        "road", (1.0, 0.0), {"car": 0.44, "van": 0.5, "truck": 0.62, "bus": 0.74},
        {"car": 6.0, "van": 2.0, "truck": 1.0, "bus": 0.6},
        {"vehicle": {"cross": 4.0, "halt": 1.6, "park": 0.8, "parked": 0.8}},
        (0.0, 1.0), Sun(0.28, 0.22, 0.45),
        lanes=((-0.63, "down"), (-0.21, "down"), (0.21, "up"), (0.63, "up")), actors=(3, 6), above=True,
    ),
    "street": Domain(
        "street", (0.55, 0.5), {"car": 0.46, "van": 0.52, "truck": 0.66, "bus": 0.86, "man": 0.27, "woman": 0.255,
                                "child": 0.17, "dog": 0.085, "ball": 0.05},
        {"car": 5.0, "van": 1.5, "truck": 0.8, "bus": 0.6, "man": 1.5, "woman": 1.5, "child": 0.5, "dog": 0.8},
        {"vehicle": {"cross": 4.0, "halt": 1.6, "park": 0.8, "parked": 0.8}, "person": _FOLK,
         "animal": {"cross": 2.0, "turnback": 1.0, "return": 1.0}, "thing": {"cross": 1.0}},
        (0.5, 0.55), Sun(0.5, 0.16, 0.45), lanes=((0.71, "left"), (0.88, "right")), actors=(3, 6), poles=0.6,
        bushes=0.4,
    ),
    "room": Domain(
        "room", (-0.2, 1.4), {"man": 0.64, "woman": 0.6, "child": 0.4, "cat": 0.13, "dog": 0.2, "ball": 0.1, **_SMALL},
        {**_PEOPLE, "cat": 0.4, "dog": 0.3, "ball": 0.3},
        {"person": {**_FOLK, "put": 2.0, "take": 2.0}, "animal": {"cross": 2.0, "turnback": 1.0, "return": 1.0},
         "thing": {"cross": 1.0}},
        (0.7, 0.96), Sun(0.12, 0.1, 0.3), actors=(2, 4), table="table",
    ),
    "shop": Domain(
        "shop", (-0.1, 1.2), {"man": 0.58, "woman": 0.55, "child": 0.38, **_SMALL}, dict(_PEOPLE),
        {"person": {**_FOLK, "put": 2.0, "take": 2.0}},
        (0.68, 0.96), Sun(-0.1, 0.08, 0.25), actors=(2, 5), poles=0.25, table="counter",
    ),
    "park": Domain(
        "park", (-0.5, 2.0), {"man": 0.4, "woman": 0.385, "child": 0.27, "dog": 0.12, "horse": 0.3, "ball": 0.08,
                              "bag": 0.1, "box": 0.1},
        {"man": 2.0, "woman": 2.0, "child": 1.0, "dog": 3.0, "ball": 1.0},
        {"person": _FOLK, "animal": {"cross": 2.0, "visit": 1.0, "turnback": 2.0, "return": 2.0},
         "thing": {"cross": 1.0}},
        (0.56, 0.92), Sun(-0.6, 0.18, 0.4), actors=(2, 4), bushes=0.7,
        cameras={"static": 1.0, "shake": 2.0, "pan": 2.0, "zoom": 1.0},
    ),
    "yard": Domain(
        "yard", (0.75, 0.4), {"man": 0.31, "woman": 0.295, "child": 0.2, "dog": 0.1, "cat": 0.07, "ball": 0.06,
                              "box": 0.08, "bag": 0.08},
        {**_PEOPLE, "dog": 1.2, "cat": 0.4, "ball": 0.8},
        {"person": {**_FOLK, "put": 1.0, "take": 1.0}, "animal": {"cross": 2.0, "turnback": 1.5, "return": 1.5},
         "thing": {"cross": 1.0}},
        (0.34, 0.95), Sun(0.7, 0.2, 0.45), actors=(3, 7), poles=0.5, bushes=0.4,
    ),
}  # fmt: skip

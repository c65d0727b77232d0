"""Person, vehicle or animal: the probability of each for an actor by itself, independent of the clip's others.

People are tall, wear other colours above than below and show skin at the top; vehicles keep their shape and have one
colour; animals are neither. A softmax model of such features, with weights fitted on Stage's two development worlds
(`benchmarks/fit_confidence.py`), contributes to the ranking (`track_scoring`) and to the decision that none of the
actors of a clip is of the kind that was asked for (`absence`).
"""

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.grounders.motion.colours import COLOURS, COLUMNS

FAMILIES = ("person", "vehicle", "animal")
#: Kinds of `lexicon.NOUNS` that belong to a family; hands, balls and objects belong to none.
FAMILY_OF = {"person": 0, "cyclist": 0, "vehicle": 1, "animal": 2}
#: Feature -> weight for each family; found by `benchmarks/fit_confidence.py`.
WEIGHTS: dict[str, tuple[float, float, float]] = {
    "constant": (-1.51, -2.06, 3.56),
    "aspect": (1.63, -0.28, -1.35),
    "aspect squared": (1.56, 1.94, -3.50),
    "wobble": (1.59, -1.31, -0.28),
    "pace": (0.06, -0.27, 0.20),
    "skin on top": (0.88, -0.92, 0.04),
    "skin": (0.47, -1.41, 0.95),
    "top unlike bottom": (0.92, 0.94, -1.86),
    "upper unlike bottom": (2.51, -1.89, -0.62),
    "fill": (-2.56, 4.47, -1.90),
    "sideways": (0.63, -1.05, 0.43),
    "aspect sideways": (1.78, -1.60, -0.18),
}
#: Smallest probability of a family: painted clips are not the real world.
FLOOR = 0.07


def kind_features(actor: TrackedActor) -> dict[str, float]:
    """The features of the model by name: aspect and its square, wobble, pace, skin, colours by height."""
    aspect = float(np.clip(actor.aspect, -1.5, 1.8))
    zones = actor.colour[:, : len(COLOURS)].astype(float)
    skin = actor.colour[:, COLUMNS.index("skin")].astype(float)
    sideways = float(abs(actor.shift[0]) / (np.abs(actor.shift).sum() + 0.02))
    return {
        "constant": 1.0,
        "aspect": aspect,
        "aspect squared": aspect**2,
        "wobble": min(actor.wobble, 0.4),
        "pace": float(np.log(max(actor.brisk, 0.05))),
        "skin on top": float(skin[0]),
        "skin": float(skin.mean()),
        "top unlike bottom": float(np.abs(zones[0] - zones[4]).sum() / 2),
        "upper unlike bottom": float(np.abs(zones[1] - zones[4]).sum() / 2),
        "fill": actor.fill,
        "sideways": sideways,
        "aspect sideways": aspect * sideways,
    }


def family_probabilities(actor: TrackedActor) -> NDArray[np.float64]:
    """(3,) probabilities of `FAMILIES`, at least `FLOOR` each, with sum 1."""
    if actor.memo.families is None:
        features = kind_features(actor)
        z = np.sum([np.multiply(WEIGHTS[name], value) for name, value in features.items()], axis=0)
        p = np.exp(z - z.max())
        actor.memo.families = FLOOR + (1 - 3 * FLOOR) * p / p.sum()
    return actor.memo.families


def kind_probability(actor: TrackedActor, kind: str | None) -> float | None:
    """The probability in 0-1 that an actor is of a kind's family; None if the kind belongs to none."""
    family = FAMILY_OF.get(kind or "")
    return None if family is None else float(family_probabilities(actor)[family])


def usual_families(some: list[TrackedActor]) -> NDArray[np.float64]:
    """(3,) mean probabilities of `FAMILIES` over some actors, one or more, weighted by how noticeable they are."""
    weights = np.sqrt([a.mass for a in some])
    usual: NDArray[np.float64] = np.average([family_probabilities(a) for a in some], axis=0, weights=weights)
    return usual


def family_beside(actor: TrackedActor, usual: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3,) probabilities of `FAMILIES` for an actor, given that clips mostly show one or two families.

    One car among cars may be shaped like an animal; that the others are cars makes an animal less likely.

    Args:
        actor: The actor to judge.
        usual: Mean probabilities over the actors of the clip that are clearly seen, shape (3,).
    """
    p = family_probabilities(actor)
    together: NDArray[np.float64] = p * (0.15 + usual)
    return together / together.sum()

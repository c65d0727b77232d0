"""Actions with their spans, and the times at which something changes, for temporal localisation without cuts.

All changes are natural: the background, the layout and the camera stay, and a shape begins or stops doing something.
Times are in seconds. In the corpus `homogeneous` nothing changes in a clip; in `varied` the clip falls into parts with
known boundaries; `actions` has longer clips with pauses between the actions.
"""

import numpy as np
from numpy.typing import NDArray

from whenwhere.stage.shapes.captioned import CaptionedShapes
from whenwhere.stage.shapes.language import Action
from whenwhere.stage.shapes.words import SHAPE_VERBS
from whenwhere.stage.shapes.world import TICKS


def actions_of(clip: CaptionedShapes) -> list[Action]:
    """What the named shapes do, in order of time; every action is visible.

    Args:
        clip: The clip.
    """
    out = []
    for i, noun in zip(clip.named, clip.nouns, strict=True):
        for act in clip.plan.things[i].acts:
            out.append(Action(SHAPE_VERBS[act.verb], f"the {noun}", act.start / TICKS, act.end / TICKS))
    return sorted(out, key=lambda a: (a.start, a.end))


def boundaries_of(clip: CaptionedShapes) -> list[float]:
    """Times inside the clip at which some shape begins or stops doing something, appears or disappears.

    Args:
        clip: The clip.
    """
    n = clip.plan.ticks
    ticks = {t for thing in clip.plan.things for t in (thing.start, thing.end)}
    ticks |= {t for thing in clip.plan.things for act in thing.acts for t in (act.start, act.end)}
    return [t / TICKS for t in sorted(ticks) if 0 < t < n]


def frame_labels(clip: CaptionedShapes) -> NDArray[np.bool_]:
    """Which verbs the named shapes do in each frame, shape (frames, verbs).

    Args:
        clip: The clip.
    """
    out = np.zeros((clip.plan.ticks, len(SHAPE_VERBS)), bool)
    for i in clip.named:
        for act in clip.plan.things[i].acts:
            out[act.start : act.end, act.verb] = True
    return out

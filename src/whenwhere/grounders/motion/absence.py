"""Whether what was asked for is not there at all.

That nothing fits well is no proof: most sentences fail on a word that pixels do not answer to. Absence is claimed
only for a specific subject (a person, vehicle or animal, or a named colour), in a clip where several things are
clearly seen, and when every one of them is clearly something else. A thing that was never tracked stays possible,
which is why the bar is high; below it the answer is `unsure`.
"""

import numpy as np

from whenwhere.grounders.motion import kind_model
from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.grounders.motion.confidence_features import ClipConditions, colour_fit
from whenwhere.grounders.motion.reading import QueryReading

#: Fewest things that must be clearly seen.
FEWEST = 3
#: Shorter tracks (seconds), with fewer sightings, are no witnesses.
_LEAST = (0.8, 5)


def likeness(reading: QueryReading, around: ClipConditions) -> float | None:
    """How much the likeliest of all things seen is like the subject, as a log likelihood ratio; low: it is not there.

    None where nothing can be said: a subject that is not specific, too few clear things, a restless picture.
    """
    coloured = any(part in ("whole", "upper", "lower") for _, part in reading.colours)
    if reading.count > 1 or reading.kind not in kind_model.FAMILY_OF or around.unsteady > 0.3 or around.flood > 0.3:
        return None
    clear = [a for a in around.everyone if _clear(a)]
    if len(clear) < FEWEST:
        return None
    fits = []
    for actor in clear:
        p = kind_model.kind_probability(actor, reading.kind)
        assert p is not None
        fit = float(np.log(3 * p))
        share = colour_fit(reading, actor) if coloured else None
        if share is not None:
            fit += float(np.clip(np.log((share + 0.03) / 0.25), -2.5, 0.5))
        fits.append(fit)
    return max(fits)


def _clear(actor: TrackedActor) -> bool:
    """Whether a track is a witness: long enough, and of something that comes, goes or gets about."""
    goes = bool(actor.entry or actor.exit or actor.path > 0.15)
    return goes and actor.span.duration >= _LEAST[0] and len(actor.times) >= _LEAST[1]

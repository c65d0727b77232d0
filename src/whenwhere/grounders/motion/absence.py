"""Deciding whether the thing that was asked for is absent.

That nothing fits well is no proof of absence: most sentences fail because of a word that cannot be checked against
pixels. Absence is claimed only for a specific subject (a person, vehicle or animal, or a named colour), only in a clip
where several things are clearly seen, and only if every one of them is clearly something else. A thing that was never
tracked remains possible, which is why the bar is high; below it the answer is `unsure`.
"""

import numpy as np

from whenwhere.grounders.motion import kind_model
from whenwhere.grounders.motion.confidence_features import ClipConditions, clearly_seen, colour_fit
from whenwhere.grounders.motion.query_reading import QueryReading

#: Fewest actors that must be clearly seen.
FEWEST = 3


def likeness(reading: QueryReading, around: ClipConditions) -> float | None:
    """How well the best of all clearly seen actors fits the subject, as a log-likelihood ratio.

    A low value means that the subject is absent. None means that nothing can be said: the subject is not specific, too
    few actors are clearly seen, or too much of the picture changes.
    """
    coloured = any(part in ("whole", "upper", "lower") for _, part in reading.colours)
    if reading.count > 1 or reading.kind not in kind_model.FAMILY_OF or around.unsteady > 0.3 or around.flood > 0.3:
        return None
    clear = [a for a in around.everyone if clearly_seen(a)]
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

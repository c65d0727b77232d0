"""Seeds: every factor of the stage draws from its own random stream.

A clip is determined by (seed, split, version). Each factor (the camera, the light, the actors' colours, ...) hashes its
own name into its generator, so that a new factor, or one more draw inside a factor, leaves all others as they were.
`STAGE_VERSION` changes whenever the same seed would give other pixels or another truth.
"""

import zlib

import numpy as np

#: Increased with every change that gives other pixels or another truth for the same seed.
STAGE_VERSION = 1


def random_stream(seed: int, *names: str | int) -> np.random.Generator:
    """The random generator of one factor.

    Args:
        seed: Seed of the clip.
        names: Name of the factor, in one or several parts.

    >>> random_stream(1, "camera").random() == random_stream(1, "camera").random() != random_stream(1, "light").random()
    True
    """
    key = "/".join(map(str, names)).encode()
    return np.random.default_rng([STAGE_VERSION, seed, zlib.crc32(key)])

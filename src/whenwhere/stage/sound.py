"""The sound track: quiet hum and noise, a beep when an actor begins to move, and a lower beep at every cut.

No sentence asks about sound yet, but what writes clips and overlays needs a track whose beeps can be found again.
"""

import numpy as np
from numpy.typing import NDArray

from whenwhere.stage.streams import random_stream
from whenwhere.stage.world import World

#: Samples per second.
SAMPLE_RATE = 16_000
#: Length of a beep in seconds.
BEEP = 0.12
#: Pitch of an actor's beep and of a cut's, in Hz.
PITCH, CUT_PITCH = 880.0, 440.0


def beeps(world: World) -> list[tuple[float, float]]:
    """Every beep as its time in seconds and its pitch in Hz, in order of time."""
    starts = {leg.start for a in world.actors for leg in a.legs if leg.act in ("go", "put", "taken")}
    out = [(i / world.fps, PITCH) for i in starts if i < world.frames]
    return sorted([*out, *((i / world.fps, CUT_PITCH) for i in world.cuts)])


def track(world: World) -> tuple[NDArray[np.float32], int]:
    """Mono samples from -1 to 1, exactly as long as the clip, and their number per second."""
    rng = random_stream(world.seed, "sound")
    n = round(world.frames / world.fps * SAMPLE_RATE)
    t = np.arange(n) / SAMPLE_RATE
    wave = 0.01 * rng.standard_normal(n) + 0.015 * np.sin(2 * np.pi * float(rng.uniform(90, 140)) * t)
    shape = np.hanning(round(BEEP * SAMPLE_RATE))
    for when, pitch in beeps(world):
        i = round(when * SAMPLE_RATE)
        part = shape[: n - i]
        wave[i : i + len(part)] += 0.35 * part * np.sin(2 * np.pi * pitch * np.arange(len(part)) / SAMPLE_RATE)
    return np.clip(wave, -1, 1).astype(np.float32), SAMPLE_RATE

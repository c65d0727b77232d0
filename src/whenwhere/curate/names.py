"""Names of videos: which video a file name means in any data set, and which part of it a name says was cut out.

Data sets share videos under different names: ActivityNet's `v_8wB0BOjuyes`, QVHighlights' `8wB0BOjuyes_60.0_210.0` and
Kinetics' `8wB0BOjuyes_000060_000070.mp4` are all made from one video. `video_key` gives the same key for all of them,
so that overlaps between sets can be found without the videos. Names can only be compared as far as sets keep them: sets
that renumber their videos (Charades, TACoS) share no keys with others.
"""

import re

from whenwhere.datasets.videos import VIDEOS

#: Times in a name that are longer ago than this are numbers of something else (photo ids, for example).
LONGEST = 100_000.0
_ID = r"[A-Za-z0-9_-]{11}"
_CLOCK = r"(\d\d):(\d\d):(\d\d)[:.,](\d{1,3})"
_BY_CLOCK = re.compile(rf"(.+)_{_CLOCK}[_-]{_CLOCK}")
_BY_DECIMALS = re.compile(r"(.+)_(\d+\.\d+)[_-](\d+\.\d+)")
_BY_PADDED = re.compile(r"(.+)_(\d{6})[_-](\d{6})")
_BY_WHOLE = re.compile(rf"({_ID})_(\d+)[_-](\d+)")
_ACTIVITYNET = re.compile(rf"v_({_ID})")


def named_window(name: str) -> tuple[float, float] | None:
    """The part of a longer video that a file's name says it holds, in seconds of that video; None if it says nothing.

    Understood are decimals (`xyz_12.0_34.0.mp4`), clock times (`xyz_00:00:12:000_00:00:34:000`), numbers of six digits
    (`xyz_000012_000034`, Kinetics) and whole numbers after an id of YouTube.

    Args:
        name: Name or path of the video.

    >>> named_window("clips/xyz_12.0_34.0.mp4"), named_window("4jujhM5qhEc_00:00:39:000_00:01:24:700.mp4")
    ((12.0, 34.0), (39.0, 84.7))
    >>> named_window("clip_3_7.mp4"), named_window("49503078599@N01_6734957203_3924402809.mp4")
    (None, None)
    """
    found = _cut(_stem(name))
    return None if found is None else found[1]


def video_key(name: str) -> str:
    """The name of the video without folder, ending, ActivityNet's `v_` and a window that was cut out of it.

    Args:
        name: Name or path of the video in any data set.

    >>> {video_key(n) for n in ("v_8wB0BOjuyes", "a/8wB0BOjuyes.mp4", "8wB0BOjuyes_60.0_210.0")}
    {'8wB0BOjuyes'}
    """
    stem = _stem(name)
    found = _cut(stem)
    stem = stem if found is None else found[0]
    whole = _ACTIVITYNET.fullmatch(stem)
    return whole[1] if whole else stem


def _stem(name: str) -> str:
    stem = re.split(r"[/\\]", name)[-1]
    while (dot := stem.rfind(".")) > 0 and stem[dot:].lower() in VIDEOS:
        stem = stem[:dot]
    return stem


def _cut(stem: str) -> tuple[str, tuple[float, float]] | None:
    """What stands before the window in a name, and the window."""
    if found := _BY_CLOCK.fullmatch(stem):
        times = [found.group(k, k + 1, k + 2, k + 3) for k in (2, 6)]
        start, end = (3600 * int(h) + 60 * int(m) + int(s) + float(f"0.{part}") for h, m, s, part in times)
    elif found := _BY_DECIMALS.fullmatch(stem) or _BY_PADDED.fullmatch(stem) or _BY_WHOLE.fullmatch(stem):
        start, end = float(found[2]), float(found[3])
    else:
        return None
    return (found[1], (start, end)) if start < end <= LONGEST else None

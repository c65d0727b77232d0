"""Sentences as they may stand in a line-based file, and numbers as people write them."""

import unicodedata


def one_line(text: str) -> str:
    r"""The text on one line without control characters and halves of surrogate pairs; "–" where nothing is left.

    >>> one_line("a\n\n  dog\x00 --> \u2028runs")
    'a dog --> runs'
    >>> one_line("\n")
    '–'
    """
    return " ".join("".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in text).split()) or "–"


def number(x: float) -> str:
    """At most 3 decimals and no trailing zeros.

    >>> number(3.0), number(-0.12345), number(-0.0001)
    ('3', '-0.123', '0')
    """
    text = f"{x:.3f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def clock(seconds: float, point: str = ".") -> str:
    """Hours, minutes, seconds and milliseconds, as subtitles count them.

    >>> clock(3661.0405), clock(-1), clock(59.9996, ",")
    ('01:01:01.040', '00:00:00.000', '00:01:00,000')
    """
    ms = max(0, round(seconds * 1000))
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"

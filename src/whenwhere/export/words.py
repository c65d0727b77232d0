"""Sentences, numbers and times in the form in which text files hold them."""

import math
import unicodedata


def single_line(text: str) -> str:
    r"""The text on one line, without control characters and lone surrogates; "–" if nothing is left.

    >>> single_line("a\n\n  dog\x00 --> \u2028runs")
    'a dog --> runs'
    >>> single_line("\n")
    '–'
    """
    return " ".join("".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in text).split()) or "–"


def format_number(x: float) -> str:
    """The number with at most 3 decimals and without trailing zeros.

    >>> format_number(3.0), format_number(-0.12345), format_number(-0.0001)
    ('3', '-0.123', '0')
    """
    text = f"{x:.3f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def subtitle_time(seconds: float, point: str = ".") -> str:
    """A time as hours, minutes, seconds and milliseconds, as subtitles write it; negative times become 0.

    >>> subtitle_time(3661.0405), subtitle_time(-1), subtitle_time(59.9996, ",")
    ('01:01:01.040', '00:00:00.000', '00:01:00,000')
    """
    ms = max(0, round(seconds * 1000))
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"


def clock(seconds: float) -> str:
    """A time in the one form in which pages show times, as the page's own script writes it; negative times become 0.

    >>> clock(83.2), clock(3661.996), clock(-1)
    ('1:23.20', '1:01:02.00', '0:00.00')
    """
    n = max(0, math.floor(seconds * 100 + 0.5))
    minutes, hours = n // 6000 % 60, n // 360_000
    head = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{head}:{n // 100 % 60:02}.{n % 100:02}"

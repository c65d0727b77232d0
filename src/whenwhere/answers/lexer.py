r"""From text to tokens: times with their units, words, brackets, separators.

One regular expression reads the text once. None of its alternatives nests one repetition in another, so reading takes
time in proportion to the text's length, whatever it contains (tests/test_answers_linear.py). Numbers that are not times
are made harmless here: list numbers at the start of a line ("1. "), ratios and impossible clock times ("16:9", "0:75"),
versions ("1.2.3"), ordinals ("the 2nd man"), and numbers attached to letters ("1080p").

>>> [t.seconds for t in tokenise("from 12.54s to 1:05.5, or 1m 5s") if t.kind == "time"]
[12.54, 65.5, 65.0]
"""

import re
import unicodedata
from typing import NamedTuple

#: Seconds in one of each unit. `frame` and `%` are missing because they are not times by themselves.
UNITS = {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}
_SECONDS_OF = UNITS | {"m": 60.0}
#: Units in which a time may go on after each unit.
_SMALLER = {"h": ("min", "m", "s", "ms"), "min": ("s", "ms"), "m": ("s", "ms"), "s": ("ms",)}


class Token(NamedTuple):
    """A piece of text.

    Attributes:
        kind: `time`, `string`, `word`, `sep`, `open`, `close`, `comma`, `colon`, `stop` (end of a sentence), `line`,
            `ordinal`, or `junk` (anything else, such as a number that is not a time).
        text: The text as written; lower case for words.
        start: Index of its first character.
        end: Index after its last character.
        value: The number of a `time`, in its own unit.
        unit: `s`, `ms`, `min`, `h`, `clock`, `frame`, `%` or "" (a bare number); `m` for the `junk` of a lone "5m".
        decimals: Digits after the decimal point.
    """

    kind: str
    text: str
    start: int
    end: int
    value: float = 0.0
    unit: str = ""
    decimals: int = 0

    @property
    def seconds(self) -> float | None:
        """The time in seconds. A bare number counts as seconds; frames and per cent give None."""
        if self.unit in ("", "clock"):
            return self.value
        factor = UNITS.get(self.unit)
        return None if factor is None else self.value * factor


_SECOND = r"(?:seconde?s?|secs?\.?|s|秒)"
_MINUTE = r"(?:minutes?|mins?\.?|分钟|分)"
_UNIT = (
    rf"(?:[ \t]{{0,2}}-?(?:(?P<ms>milliseconds?|msecs?|ms)|(?P<s>{_SECOND})|(?P<min>{_MINUTE})|(?P<m>m)"
    r"|(?P<h>hours?|hrs?|h)|(?P<frame>frames?|帧)|(?P<percent>%|percent))(?![A-Za-z_]))"
)
_TOKEN = re.compile(
    rf"""
    (?P<bullet>(?m:^)[ \t]*\(?\d{{1,2}}[.)](?=[ \t]))
    |(?P<iso>PT(?=\d)(?:\d{{1,3}}H)?(?:\d{{1,4}}M)?(?:\d{{1,6}}(?:\.\d{{1,6}})?S)?(?!\w))
    |(?P<prime>\d{{1,3}}['′]\d{{1,2}}(?:\.\d{{1,6}})?(?:["″]|''))
    |(?P<clock>\d{{1,3}}(?::[0-5]\d){{1,2}}(?:[.,]\d{{1,6}})?(?!\d|:\d))
    |(?P<dotted>\d+(?:\.\d+){{2,}}|\d+(?::\d+)+)
    |(?P<number>(?:\d+(?:\.\d+)?|(?<![\w.])\.\d+)(?:[eE][+-]?\d{{1,3}}(?!\w))?){_UNIT}?(?P<glued>(?:st|nd|rd|th)(?!\w)|[A-Za-z_][A-Za-z0-9_]*)?
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*|[^\W\d_])
    |(?P<string>(?<!\\)"(?:[^"\\\n]|\\.)*"|(?<=[\[{{(,:])'[^'\n]*'|(?<=[\[{{(,:][ ])'[^'\n]*')
    |(?P<sep>\.{{2,}}|…|--+>?|->|=>|[-–—~→➜➔⇒⟶➡])
    |(?P<line>\n)
    |(?P<stop>[.!?;](?=\s|$|["'*)\]]))
    |(?P<open>[\[({{])|(?P<close>[\])}}])|(?P<comma>,)|(?P<colon>:|=)
    |(?P<skip>[\s*`$"'#>|])
    |(?P<junk>.)
    """,
    re.VERBOSE,
)
_ISO_PART = re.compile(r"[\d.]+[HMS]")
_DIGITS = re.compile(r"\d+(?:\.\d+)?")
_ORDINALS = {"st", "nd", "rd", "th"}
_LONGEST = 15  # digits; no time in any video has more

# Each character becomes exactly one character, so positions in the text stay valid.
_PLAIN = str.maketrans({
    "\u00a0": " ", "\u2007": " ", "\u2009": " ", "\u202f": " ", "\u3000": " ", "\u2212": "-", "\u2010": "-",
    "\u2011": "-", "\uff0d": "-", "\uff5e": "~", "\u301c": "~", "\u2013": "–", "\u2015": "—", "\uff1a": ":",
    "\uff0c": ",", "\u3001": ",", "\uff08": "(", "\uff09": ")", "\uff3b": "[", "\uff3d": "]", "\u3010": "[",
    "\u3011": "]", "\u3002": ".", "\uff0e": ".", "\u066b": ".", "\u060c": ",", "\u201c": '"', "\u201d": '"',
    "\u201e": '"', "\u00ab": '"', "\u00bb": '"', "\u27e8": "<", "\u27e9": ">", "\u300c": '"',
    "\u300d": '"', "\u2018": "'", "\u2019": "'", "\u2033": '"', "\u2032": "'", "\r": "\n",
})  # fmt: skip


def word_set(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


def normalise_text(text: str) -> str:
    """The text with digits of any script, typographic signs and full-width forms as ASCII, character by character.

    >>> normalise_text("１２．５ – ٣٫٥")
    '12.5 – 3.5'
    """
    if text.isascii():
        return text.translate({13: 10}) if "\r" in text else text
    text = text.translate(_PLAIN)
    odd = {c for c in set(text) if not c.isascii() and c.isdecimal()}
    return text.translate({ord(c): str(unicodedata.decimal(c)) for c in odd}) if odd else text


def tokenise(text: str) -> list[Token]:
    """All tokens of a text that `normalise_text` has processed."""
    out: list[Token] = []
    for m in _TOKEN.finditer(text):
        kind = m.lastgroup or "junk"
        if kind == "skip":
            continue
        token = _token(m)
        if token.kind == "time" and out and _negates(out, token, text):
            sign = out.pop()
            token = token._replace(value=-token.value, start=sign.start, text=sign.text + token.text)
        if token.kind == "word" and token.text in ("second", "seconds") and out and out[-1].kind == "ordinal":
            nth = out.pop()  # "the 12th second"
            token = nth._replace(kind="time", unit="s", end=token.end)
        out.append(token)
    return _with_parts_added(out, text) if any(t.unit in _SMALLER for t in out) else out


def _with_parts_added(tokens: list[Token], text: str) -> list[Token]:
    """The tokens with each time of several units as one: "12 s 500 ms", "1 hour, 2 minutes and 3 seconds".

    A lone "5m" may be five metres; it is five minutes in a text that also writes "1m 20s".
    """
    out: list[Token] = []
    i = 0
    metres = minutes = False
    while i < len(tokens):
        whole = tokens[i]
        i += 1
        unit, seconds = whole.unit, whole.value * _SECONDS_OF.get(whole.unit, 0.0)
        while unit in _SMALLER and not whole.decimals:
            j = i
            while j < len(tokens) and j < i + 2 and (tokens[j].kind == "comma" or tokens[j].text == "and"):
                j += 1
            part = tokens[j] if j < len(tokens) else whole
            fits = part.unit in _SMALLER[unit] and part.value < (1000 if part.unit == "ms" else 60)
            if not fits or text[whole.end : part.start].strip(" \t,") not in ("", "and"):
                break
            minutes |= "m" in (unit, part.unit)
            seconds = round(seconds + part.value * _SECONDS_OF[part.unit], 9)
            unit, i = part.unit, j + 1
            kind = "s" if whole.unit == "s" else "clock"
            whole = Token("time", text[whole.start : part.end], whole.start, part.end, seconds, kind, part.decimals)
        metres |= whole.unit == "m"
        out.append(whole)
    if metres and minutes:
        out = [t._replace(kind="time", unit="min") if t.unit == "m" else t for t in out]
    return out


def _token(m: re.Match[str]) -> Token:
    text, start, end = m.group(), m.start(), m.end()
    if m["number"] is not None:
        return _number(m)
    if m["clock"] is not None:
        parts = text.replace(",", ".").split(":")
        value = 0.0
        for part in parts:
            value = value * 60 + float(part)
        if len(parts) == 3:  # h:mm:ss: computed directly, so that the decimals stay exact
            value = int(parts[0]) * 3600 + int(parts[1]) * 60 + float(parts[2])
        return Token("time", text, start, end, value, "clock", len(parts[-1].partition(".")[2]))
    if m["iso"] is not None:
        amounts = {part[-1]: float(part[:-1]) for part in _ISO_PART.findall(text)}
        value = amounts.get("H", 0.0) * 3600 + amounts.get("M", 0.0) * 60 + amounts.get("S", 0.0)
        return Token("time", text, start, end, value, "clock" if len(amounts) > 1 else "s")
    if m["prime"] is not None:
        minutes, seconds = _DIGITS.findall(text)
        return Token("time", text, start, end, int(minutes) * 60 + float(seconds), "clock")
    if m["bullet"] is not None or m["dotted"] is not None:
        return Token("junk", text, start, end)
    if m["word"] is not None:
        return Token("word", text.lower(), start, end)
    kind = next(k for k in ("string", "sep", "line", "stop", "open", "close", "comma", "colon", "junk") if m[k])
    return Token(kind, text, start, end)


def _number(m: re.Match[str]) -> Token:
    number, glued, text = m["number"], m["glued"], m.group()
    unit = next((u for u in ("ms", "s", "min", "h", "frame") if m[u]), "%" if m["percent"] else "")
    if glued or m["m"] or len(number) > _LONGEST or float(number) > 1e9:
        # "12th", "1080p", "5m" (minutes or metres), and endless numbers
        kind = "ordinal" if glued in _ORDINALS and not unit else "junk"
        short = kind == "ordinal" or (m["m"] and not glued)
        value = float(number[:_LONGEST]) if short else 0.0
        return Token(kind, text, m.start(), m.end(), value, "m" if m["m"] and not glued else "")
    return Token("time", text, m.start(), m.end(), float(number), unit, len(number.partition(".")[2]))


def _negates(before: list[Token], token: Token, text: str) -> bool:
    """Whether the separator just before a number is its minus sign."""
    sign = before[-1]
    if sign.kind != "sep" or sign.text != "-" or sign.end != token.start:
        return False
    if sign.start and (text[sign.start - 1].isalnum() or text[sign.start - 1] in "])}%"):
        return False
    return len(before) < 2 or before[-2].kind != "time" or "\n" in text[before[-2].end : sign.start]

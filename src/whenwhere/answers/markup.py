r"""Marks around times that say nothing about time: links, tags, LaTeX, quotes, and a bracket of its own for each end.

What is taken away here would otherwise hide a time from the grammar, or put numbers of an address among the times.

>>> plain_text("[00:12](https://x.org/v?t=12) - <b>00:15</b>").split()
['[00:12]', '-', '00:15']
>>> plain_text("from <0.5 seconds> to $3.2$ \\text{s}").split()
['from', '0.5', 'seconds', 'to', '$3.2$', 's']
"""

import re
from collections.abc import Sequence

from whenwhere.answers.keys import key_of
from whenwhere.answers.lexer import Token

_SECOND_MARKS = re.compile(r"(\d)\"(\s?[-–—~]\s?)(\d{1,6}(?:\.\d{1,6})?)\"")
_LATEX = re.compile(r"\\(?:text|mathrm|mathbf)\s?\{([^{}]*)\}")
_LATEX_SPACE = re.compile(r"\\[,;:! ()\[\]]|\\quad")
_BOXED = re.compile(r"\\boxed\s?\{([^{}]*)\}")
_LINK = re.compile(r"\]\((?=[a-z#/?])[^()\s]{0,1000}[.#?=/:][^()\s]{0,1000}\)", re.IGNORECASE)
_ADDRESS = re.compile(r"\b(?:https?|ftp|file)://[^\s()<>\[\]\"']{1,2000}", re.IGNORECASE)
_SPECIAL = re.compile(r"<\|/?(?:[A-Za-z_]{1,30}|(\d[^<>|]{0,30}))\|>")
#: A time or a range in angle brackets.
_ANGLE = re.compile(r"<\s?([\d\[(][^<>\n]{0,60})>")
_TAG = re.compile(
    r"</?(?:a|abbr|b|big|br|code|div|em|font|h[1-6]|hr|i|kbd|li|mark|ol|p|pre|s|small|span|strong|sub|sup|table|tbody|"
    r"td|th|thead|tr|tt|u|ul|time|timestamp)(?:\s[^<>]{0,500})?/?>",
    re.IGNORECASE,
)
#: Any other tag without attributes; pictures in a prompt are not between the ends of a span.
_WORD_TAG = re.compile(r"<(/?)(?!im(?:g|age)|video|vision|none|null|absent)([A-Za-z][A-Za-z_]{0,20})>")
_ABOUT = re.compile(r"(?<![\w)\]}%.\"'] )(?<![\w)\]}%.\"'])~(?=\s?\d)|[≈@](?=\s?\d)")
_UNDERLINE = re.compile(r"(?<!\w)__(?=\d)|(?<=[\ds])__(?!\w)")
_TIME_LABELS = frozenset(["time", "t", "timestamp", "at", "from", "to", "second"])
_PAIRS = {"]": "[", ")": "(", "}": "{"}


def _sides(names: str) -> re.Pattern[str]:
    """Four named numbers after one another, outside of dictionaries: `x1=10, y1=20, x2=30, y2=40`."""
    number, between = r"\s?[:=]\s?(-?\d{1,6}(?:\.\d{1,6})?)(?:\s?px)?", r"\s?[,;]?\s?(?:and\s)?"
    four = between.join(f"(?:{name}){number}" for name in names.split())
    return re.compile(rf"(?<![\w\"'])[\[(]?\s?{four}\s?[\])]?(?![\w%])", re.IGNORECASE)


_CORNERS = [
    _sides("x_?(?:1|0|min) y_?(?:1|0|min) x_?(?:2|1|max) y_?(?:2|1|max)"),
    _sides("left top right bottom"),
]
_SIZED = _sides("x|left y|top w|width h|height")


def _box_of_sides(m: re.Match[str]) -> str:
    return f" [{', '.join(m.groups())}]"


def _box_of_size(m: re.Match[str]) -> str:
    x, y, w, h = map(float, m.groups())
    return f" [{x:g}, {y:g}, {x + w:.12g}, {y + h:.12g}]"


def plain_text(text: str) -> str:
    """The text without marks that stand around times."""
    text = _SECOND_MARKS.sub(r"\1s\2\3s", text)
    if "\\" in text:
        text = _LATEX.sub(r"\1", text)
        text = _LATEX_SPACE.sub(" ", text)
        text = _BOXED.sub(r" \1 ", text)
    if "](" in text:
        text = _LINK.sub("]", text)
    if "://" in text:
        text = _ADDRESS.sub(" ", text)
    if "<" in text:
        text = _SPECIAL.sub(lambda m: f" {m[1] or ''} ", text)
        text = _TAG.sub(" ", text)
        text = _WORD_TAG.sub(_tag_word, text)
        text = _ANGLE.sub(r" \1 ", text)
    if ("=" in text or ":" in text) and "{" not in text:
        for corners in _CORNERS:
            text = corners.sub(_box_of_sides, text)
        text = _SIZED.sub(_box_of_size, text)
    if not text.isascii() or "~" in text or "@" in text:
        text = _ABOUT.sub(" ", text)
    return _UNDERLINE.sub(" ", text) if "__" in text else text


def _tag_word(m: re.Match[str]) -> str:
    """The word of a tag that names a start, an end or a length; nothing of any other."""
    return f" {m[2]} " if not m[1] and key_of(m[2]).side is not None else " "


def without_own_brackets(tokens: Sequence[Token]) -> list[Token]:
    """The tokens, with each time that has an outermost bracket to itself freed from it: "[00:12] - [00:15]".

    A label in the bracket ("[time: 12.5]") goes with it, and one in a bracket after a time ("12.5 s (start)") is put
    before the time.
    """
    out: list[Token] = []
    depth = 0
    for i, token in enumerate(tokens):
        if token.kind == "open":
            depth += 1
        elif token.kind == "close":
            alone = len(out) > 1 and out[-1].kind == "time" and out[-2].kind == "open"
            if alone and out[-2].text == _PAIRS[token.text]:
                nested = len(out) > 2 and out[-3].kind == "open" and i + 1 < len(tokens)
                if depth == 1 or (nested and tokens[i + 1].kind == "close"):
                    out[-2:] = [out[-1]._replace(start=out[-2].start, end=token.end)]
                    depth -= 1
                    continue
            if depth == 1:
                _free_label(out, token)
                if out[-1].kind == "time" and out[-1].end == token.end:
                    depth = 0
                    continue
            depth = max(0, depth - 1)
        out.append(token)
    return out


def _free_label(out: list[Token], close: Token) -> None:
    """Frees a time and its label from the bracket that is closed, if it holds nothing else."""
    last = out[-4:]
    kinds = [t.kind for t in last]
    if kinds == ["open", "word", "colon", "time"] or kinds[-3:] == ["open", "word", "time"]:
        inside = last if kinds[-3] == "word" else last[-3:]
        opened, word, time = inside[0], inside[1], inside[-1]
        side = key_of(word.text).side
        if side is None and word.text not in _TIME_LABELS:
            return
        freed = time._replace(start=opened.start, end=close.end)
        out[-len(inside) :] = [word, freed] if side else [freed]
    elif kinds[-3:] == ["time", "open", "word"] and key_of(last[-1].text).side is not None:
        time, word = last[-3], last[-1]
        out[-3:] = [word, time._replace(end=close.end)]

r"""Answers in Chinese, Japanese, Korean, German, Spanish and French.

The small vocabulary with which an answer is given ("from", "until", "second", "starts", "not found") is put into
English, word by word, and the readers of English do the rest; there is no second grammar. Other words stay as they
are. A text is translated only if it has more words of such a language than of English, so that no English answer is
read otherwise, and quoted words without a digit (a label, the query) are never touched.

>>> in_english("从第12秒到第15秒").split(), in_english("von 12,5 bis 15 Sekunden")
(['from', '12', 's', 'to', '15', 's'], 'from 12.5 to 15 seconds')
>>> in_english("未找到").strip(), in_english("The man dies at 12 s.")
('no such event', 'The man dies at 12 s.')
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache

from whenwhere.answers.language_numbers import number_rules
from whenwhere.answers.language_words import (
    ENGLISH,
    FINISH,
    HAN,
    HAN_DIGITS,
    KANA,
    KEY_WORDS,
    KOREAN,
    KOREAN_DIGITS,
    LATIN,
    MARKS,
    VERB_LAST,
)

_Rule = tuple[re.Pattern[str], "str | Callable[[re.Match[str]], str]"]
_WORD = re.compile(r"[^\W\d_]+")
_HAN_OR_KANA = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_HANGUL = re.compile(r"[\uac00-\ud7a3]")
#: Quoted words without a digit.
_QUOTED = re.compile(r"(\"[^\"\d\n]{1,400}\"|「[^」\d\n]{1,400}」|『[^』\d\n]{1,400}』)")
_NO_EVENT = re.compile(r"[\W_]*no such event[\W_]*")
_SAMPLE = 4000  # characters from which the language is told


def in_english(text: str) -> str:
    """The text with the words of an answer in English, if it is in another of the languages known here."""
    rules = _rules_of(text)
    if not rules:
        return text
    pieces = _QUOTED.split(text)
    braces = "{" in text  # keys and values of a dictionary are put into English where their meaning is read
    out: list[str] = []
    for i, piece in enumerate(pieces):
        said = _applied(rules, piece)
        label = i % 2 == 1 and (braces or not (_NO_EVENT.fullmatch(said) or pieces[i + 1].lstrip()[:1] == ":"))
        out.append(piece if label else said)
    return "".join(out)


def key_in_english(key: str) -> str:
    """The text of a dictionary's key in English, as far as its words are known.

    >>> key_in_english("开始时间").strip(), key_in_english("tiempo_inicio"), key_in_english("Début")
    ('start', 'time_start', 'start')
    """
    if not key.isascii():
        if _HAN_OR_KANA.search(key) or _HANGUL.search(key):
            return _applied([*_KOREAN_RULES, *_KANA_RULES, *_HAN_RULES, *_KEY_RULES], key)
        key = _without_accents(key)
    return _KEY_PART.sub(lambda m: KEY_WORDS.get(m[0].lower(), m[0]), key)


def _rules_of(text: str) -> list[_Rule]:
    sample = text if len(text) <= _SAMPLE else text[: _SAMPLE // 2] + " " + text[-_SAMPLE // 2 :]
    words = [w.lower() for w in _WORD.findall(sample)]
    english = sum(w in ENGLISH for w in words)
    if not text.isascii():
        if _HANGUL.search(sample):
            return _KOREAN_RULES if len(_HANGUL.findall(sample)) > english else []
        if _HAN_OR_KANA.search(sample):
            if len(_HAN_OR_KANA.findall(sample)) <= english:
                return []
            return [*_KANA_RULES, *_HAN_RULES] if _KANA.search(sample) else _HAN_RULES
    scores = {language: sum(w in marks for w in words) for language, marks in MARKS.items()}
    best = max(scores, key=lambda language: scores[language])
    return _latin_rules(best) if scores[best] > english else []


@cache
def _latin_rules(language: str) -> list[_Rule]:
    return [*number_rules(language), *_compiled(LATIN[language]), *_FINISHING]


def _applied(rules: Iterable[_Rule], text: str) -> str:
    for pattern, said in rules:
        text = pattern.sub(said, text)
    return text


def _without_accents(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def _number(digits: dict[str, int], tens: dict[str, int], point: str) -> Callable[[re.Match[str]], str]:
    """Writes a numeral of words ("二十五", "十二点五") in digits."""

    def digit_text(m: re.Match[str]) -> str:
        whole, _, decimals = m[0].partition(point)
        value, last = 0, 0
        for c in whole:
            if c in tens:
                value += (last or 1) * tens[c]
                last = 0
            else:
                last = last * 10 + digits[c] if whole.isalpha() and not set(whole) & set(tens) else digits[c]
        return str(value + last) + ("." + "".join(str(digits[c]) for c in decimals) if decimals else "")

    return digit_text


def _compiled(rules: Iterable[tuple[str, str]]) -> list[_Rule]:
    return [(re.compile(pattern, re.IGNORECASE), said) for pattern, said in rules]


_KEY_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_LAST_RULES = _compiled(VERB_LAST)
_FINISHING = _compiled(FINISH)
_HAN_RULES: list[_Rule] = [
    (
        re.compile(
            r"[零〇一二三四五六七八九十百两兩]{1,7}(?:点[零〇一二三四五六七八九]{1,3})?"
            r"(?=\s?(?:秒|分[钟鐘間]|分[\d零〇一二三四五六七八九十到至]|小时|小時))"
        ),
        _number(HAN_DIGITS, {"十": 10, "百": 100}, "点"),
    ),
    *_compiled(HAN),
    *_LAST_RULES,
    *_FINISHING,
]
_KANA_RULES = _compiled(KANA)
_KOREAN_RULES: list[_Rule] = [
    (
        re.compile(r"[영일이삼사오육칠팔구십백]{1,7}(?=초|분\s?[\d영일이삼사오육칠팔구십]{1,3}\s?초)"),
        _number(KOREAN_DIGITS, {"십": 10, "백": 100}, "점"),
    ),
    *_compiled(KOREAN),
    *_LAST_RULES,
    *_FINISHING,
]
_KEY_RULES = _compiled(
    [("毫秒|ミリ秒|밀리초", " ms "), ("秒|초", " seconds "), ("帧|フレーム|프레임", " frame "), ("分钟|分|분", " min ")]
)

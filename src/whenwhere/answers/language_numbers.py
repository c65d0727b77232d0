"""Numbers in words in German, Spanish and French: "drei bis fünf Sekunden", "trois secondes et demie".

A word is a number only where a time is given: before a unit ("drei Sekunden"), after one ("segundo tres"), and where it
is joined to such a number ("von drei bis ..."). So "zwei Männer von 3 bis 5 Sekunden" keeps its men. Numbers up to 199
are known, ordinals up to 20, and decimals and halves.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from whenwhere.answers.lexer import word_set


def _split(words: str) -> list[str]:
    return words.split()


_DE = _split("""
    null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn
    achtzehn neunzehn
""")
_DE_TENS = _split("zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig")
_ES = _split("""
    cero un dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete
    dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete
    veintiocho veintinueve
""")
_ES_TENS = _split("treinta cuarenta cincuenta sesenta setenta ochenta noventa")
_FR = _split("""
    zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit
    dix-neuf
""")
_FR_TENS = _split("vingt trente quarante cinquante soixante")


def _german() -> dict[str, str]:
    words = {word: n for n, word in enumerate(_DE)}
    for n, ten in enumerate(_DE_TENS, 2):
        words[ten] = 10 * n
        words |= {f"{_DE[unit]}und{ten}": 10 * n + unit for unit in range(1, 10)}
    words |= {f"{one}hundert{word}": 100 + n for one in ("", "ein") for word, n in words.items() if n}
    words |= {"hundert": 100, "einhundert": 100, **dict.fromkeys(["eins", "eine", "einer", "einem", "einen"], 1)}
    ordinals = {word + ending: n for word, n in words.items() if 3 < n <= 20 for ending in ("te", "ten", "ste", "sten")}
    odd = {1: "erste", 3: "dritte", 7: "siebte", 8: "achte", 2: "zweite"}
    ordinals |= {word + ending: n for n, word in odd.items() for ending in ("", "n")}
    halves = {f"{word}einhalb": f"{n}.5" for n, word in enumerate(_DE[:13])} | {"anderthalb": "1.5"}
    whole = {word: str(n) for word, n in (ordinals | words).items()} | halves
    plain = str.maketrans({"ü": "ue", "ö": "oe", "ß": "ss"})
    return {word.translate(plain): n for word, n in whole.items()} | whole


def _spanish() -> dict[str, str]:
    words = {word: n for n, word in enumerate(_ES)}
    for n, ten in enumerate(_ES_TENS, 3):
        words[ten] = 10 * n
        words |= {f"{ten} y {_ES[unit]}": 10 * n + unit for unit in range(1, 10)}
    words |= {"veintiún": 21, "veintiuna": 21, "uno": 1, "una": 1}
    words |= {f"ciento {word}": 100 + n for word, n in words.items() if n} | {"cien": 100}
    # "segundo" is the unit.
    roots = ["primer", "tercer", "cuart", "quint", "sext", "séptim", "octav", "noven", "décim"]
    ordinals = {root + ending: n for n, root in zip([1, *range(3, 11)], roots, strict=True) for ending in ("o", "a")}
    return {word: str(n) for word, n in (ordinals | words).items()} | {"primer": "1", "tercer": "3"}


def _french() -> dict[str, str]:
    words = {word: n for n, word in enumerate(_FR)}
    for n, ten in enumerate(_FR_TENS, 2):
        words[ten] = 10 * n
        rest = range(1, 20) if ten == "soixante" else range(1, 10)
        words |= {f"{ten} {'et ' if unit in (1, 11) else ''}{_FR[unit]}": 10 * n + unit for unit in rest}
    words |= {f"quatre-vingt {_FR[unit]}": 80 + unit for unit in range(1, 20)} | {"quatre-vingts": 80, "une": 1}
    words |= {f"cent {word}": 100 + n for word, n in words.items() if n} | {"cent": 100}
    ordinals = {f"{_FR[n].removesuffix('e')}ième": n for n in range(2, 17)} | {"première": 1, "premier": 1}
    ordinals |= {"cinquième": 5, "neuvième": 9, "vingtième": 20}
    return {word.replace("-", " "): str(n) for word, n in (ordinals | words).items()}


@dataclass(frozen=True)
class NumberWords:
    """How a language says numbers.

    Attributes:
        words: Number words, with single spaces instead of hyphens, and their digits.
        units: Expression of the units of time.
        links: Words that may stand between the two numbers of a range.
        point: Words for the decimal point.
        half: What follows a unit to say "and a half", or "" if a half is a word of its own.
    """

    words: dict[str, str]
    units: str
    links: frozenset[str]
    point: str
    half: str = ""


NUMBERS = {
    "german": NumberWords(
        _german(),
        r"(?:sek(?:unden?|\.)?|minuten?|stunden?|s)\b",
        word_set("bis zu zum zur der die und etwa ungefähr circa ca auf"),
        "komma|punkt",
    ),
    "spanish": NumberWords(
        _spanish(),
        r"(?:segundos?|minutos?|horas?|seg|s)\b",
        word_set("a al hasta y e el la los las unos aproximadamente"),
        "coma|punto",
        r"y\smedi[oa]",
    ),
    "french": NumberWords(
        _french(),
        r"(?:secondes?|minutes?|heures?|s)\b",
        word_set("à a au aux et jusqu'à jusqu la le les environ"),
        "virgule|point",
        r"et\sdemie?",
    ),
}


def number_rules(language: str) -> list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]]:
    """The rules that write a language's number words in digits, where they are times."""
    said = NUMBERS.get(language)
    if said is None:
        return []
    digits = {_without_accents(word): value for word, value in said.words.items()} | said.words
    number = rf"\b{_one_of(digits)}\b"
    found, unit = re.compile(number, re.IGNORECASE), said.units
    links = "|".join(re.escape(link) for link in sorted(said.links, key=len, reverse=True))

    def digit(m: re.Match[str]) -> str:
        return digits[m[0].lower().replace("-", " ")]

    def all_digits(m: re.Match[str]) -> str:
        return found.sub(digit, m[0])

    def decimal(m: re.Match[str]) -> str:
        return ".".join(digit(n) for n in found.finditer(m[0]))

    def with_half(m: re.Match[str]) -> str:
        return f"{m[1]}.5 {m[2]}"

    link = rf"(?:[\s,](?:{links})){{1,4}}\s"
    rules = [
        (rf"{number}\s(?:{said.point})\s{number}", decimal),
        (rf"{number}(?=\s?{unit})", digit),
        (rf"{number}(?={link}(?:{number}|\d[\d.,]{{0,8}})\s?{unit})", digit),
        (rf"{unit}\s(?:{number})(?:{link}{number})?", all_digits),
    ]
    if said.half:
        rules.append((rf"\b(\d{{1,5}})\s({unit})\s{said.half}\b", with_half))
    return [(re.compile(pattern, re.IGNORECASE), replace) for pattern, replace in rules]


def _one_of(words: Iterable[str]) -> str:
    """An expression of the longest of many words, which tries each letter once and not each word."""
    by_letter: dict[str, list[str]] = {}
    for word in words:
        by_letter.setdefault(word[:1], []).append(word[1:])
    ended = by_letter.pop("", None)
    parts = [("[ -]" if c == " " else re.escape(c)) + _one_of(rest) for c, rest in by_letter.items()]
    return f"(?:{'|'.join(parts)}){'?' if ended else ''}" if parts else ""


def _without_accents(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))

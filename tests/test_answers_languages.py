"""Answers in Chinese, Japanese, Korean, German, Spanish and French read as the same answer in English."""

import time

import pytest

from whenwhere.answers import languages, parse
from whenwhere.answers.language_numbers import NUMBERS, NumberWords
from whenwhere.answers.language_words import LATIN, MARKS
from whenwhere.answers.languages import in_english

RANGES = [
    "视频的第{s}秒到第{e}秒之间",
    "开始时间：{s}秒，结束时间：{e}秒",
    "从{s}秒开始，到{e}秒结束。",
    "在{s}秒和{e}秒之间",
    "{s}秒から{e}秒まで",
    "開始時刻：{s}秒、終了時刻：{e}秒",
    "{s}秒に始まり、{e}秒に終わります。",
    "{s}秒と{e}秒の間",
    "{s}초부터 {e}초까지",
    "{s}초에서 {e}초 사이에 발생합니다.",
    "{s}초에 시작하여 {e}초에 끝납니다.",
    "von Sekunde {s} bis Sekunde {e}",
    "zwischen {s} und {e} Sekunden",
    "Beginnt bei {s} s und endet bei {e} s.",
    "desde el segundo {s} hasta el segundo {e}",
    "entre {s} y {e} segundos",
    "El evento ocurre de {s} a {e} segundos.",
    "de {s} s à {e} s",
    "entre {s} et {e} secondes",
    "Commence à {s} s et se termine à {e} s.",
    '{{"开始时间": {s}, "结束时间": {e}}}',
    '{{"開始": {s}, "終了": {e}}}',
    '{{"시작 시간": "{s}초", "종료 시간": "{e}초"}}',
    '{{"Startzeit": {s}, "Endzeit": {e}}}',
    '{{"tiempo_inicio": {s}, "tiempo_fin": {e}}}',
    '{{"début": {s}, "fin": {e}}}',
]
ABSENCES = [
    "未找到。",
    "视频中没有出现该事件。",
    "该事件在视频中没有发生。",
    "无",
    '{"存在": false, "时间": [0, 5]}',
    "見つかりませんでした。",
    "該当する場面はありません。",
    "찾을 수 없습니다.",
    "이 사건은 비디오에서 발생하지 않습니다.",
    "Nicht gefunden.",
    "Das Ereignis kommt im Video nicht vor.",
    '{"gefunden": false, "zeitraum": null}',
    "No se encontró.",
    "El evento no ocurre en el video.",
    "Introuvable.",
    "L'événement n'apparaît pas dans la vidéo.",
]
DENIED = [
    "该事件没有发生在12秒到15秒之间。",
    "12秒から15秒の間には発生しません。",
    "12초에서 15초 사이에는 발생하지 않습니다.",
    "Das Ereignis tritt nicht zwischen 12 und 15 Sekunden auf.",
    "El evento no ocurre entre 12 y 15 segundos.",
    "L'événement ne se produit pas entre 12 et 15 secondes.",
]
REPLACED = [
    "不是12秒到15秒，而是20秒到25秒。",
    "12秒から15秒ではなく、20秒から25秒です。",
    "12초부터 15초까지가 아니라 20초부터 25초까지입니다.",
    "Nicht von 12 bis 15 s, sondern von 20 bis 25 s.",
    "No de 12 a 15 s, sino de 20 a 25 s.",
    "Pas de 12 à 15 s, mais de 20 à 25 s.",
]


@pytest.mark.parametrize("template", RANGES)
@pytest.mark.parametrize(("start", "end"), [(3, 8), (12.5, 17.8)])
def test_a_range(template: str, start: float, end: float) -> None:
    read = parse(template.format(s=start, e=end))
    assert (read.status, read.spans) == ("ok", ((start, end),))


@pytest.mark.parametrize("text", ABSENCES)
def test_an_absence(text: str) -> None:
    assert (parse(text).status, parse(text).spans) == ("absent", ())


@pytest.mark.parametrize("text", DENIED)
def test_a_denied_range_is_no_answer(text: str) -> None:
    assert parse(text).spans == () and parse(text).status in ("absent", "ambiguous")


@pytest.mark.parametrize("text", REPLACED)
def test_a_range_that_replaces_another(text: str) -> None:
    assert (parse(text).status, parse(text).spans) == ("ok", ((20, 25),))


@pytest.mark.parametrize(
    ("text", "span"),
    [("三秒到十二点五秒", (3, 12.5)), ("二十五秒到一分二十秒", (25, 80)), ("1분 20초 ~ 1분 35초", (80, 95)),
     ("zwischen 12,5 und 17,8 Sekunden", (12.5, 17.8)), ("de 1 minute 20 secondes à 1 minute 35 secondes", (80, 95)),
     ("von der 12. bis zur 15. Sekunde", (12, 15))],
)  # fmt: skip
def test_numbers_as_the_language_writes_them(text: str, span: tuple[float, float]) -> None:
    assert parse(text).spans == (span,)


def test_labels_and_english_stay_as_written() -> None:
    assert parse('{"时间": 3.0, "label": "无人机", "bbox": [10, 20, 30, 40]}').boxes[0].label == "无人机"
    english = "The man in a van dies at 12 s, no one is in the den; the en fin is at 15 s."
    assert in_english(english) == english
    assert parse('The event "男人没有开门" happens from 12 to 15 seconds.').spans == ((12, 15),)


def test_translating_takes_linear_time() -> None:
    pieces = [
        "没有",
        "第1秒",
        "十",
        "1秒到2秒和",
        "から",
        "1초부터 ",
        "nicht ",
        "von 1,2 bis ",
        "de 1 a ",
        "n'a pas ",
        "の",
    ]
    began = time.process_time()
    for piece in pieces:
        parse(piece * (6_000 // len(piece)))
    assert time.process_time() - began < 5


IN_WORDS = {
    "german": (
        "von {} bis {} Sekunden",
        "zwischen Sekunde {} und Sekunde {}",
        "Beginn bei {} Sekunden und Ende bei {} s",
    ),
    "spanish": ("de {} a {} segundos", "desde el segundo {} hasta el segundo {}", "entre {} y {} segundos del vídeo"),
    "french": (
        "de {} à {} secondes",
        "entre la seconde {} et la seconde {}",
        "début à {} secondes et fin à {} secondes",
    ),
}


@pytest.mark.parametrize("language", IN_WORDS)
def test_numbers_in_words(language: str) -> None:
    """Every number up to 199 and every half, in each form; words and digits may be mixed."""
    words = {float(value): word for word, value in NUMBERS[language].words.items()}
    assert set(range(200)) <= words.keys()
    wrong = []
    for k, (n, word) in enumerate(sorted(words.items())):
        form = IN_WORDS[language][k % 3]
        for first in (words[max(0, int(n) - 2)], str(max(0, int(n) - 2))):
            text = form.format(first, word)
            if n >= 2 and parse(text).spans != ((float(int(n) - 2), n),):
                wrong.append((text, parse(text).spans))
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("Von der dritten bis zur fünften Sekunde", (3, 5)), ("von drei Komma fünf bis sechs Sekunden", (3.5, 6)),
        ("Von einer Minute und drei Sekunden bis zwei Minuten", (63, 120)), ("von fuenf bis zwoelf Sekunden", (5, 12)),
        ("Zwei Männer und drei Frauen sind von 3 bis 5 Sekunden zu sehen.", (3, 5)),
        ("Dos hombres y tres mujeres aparecen de 3 a 5 segundos", (3, 5)),
        ("de dos segundos y medio a cuatro segundos", (2.5, 4)),
        ("de deux secondes et demie à quatre secondes", (2.5, 4)), ("du troisième à la cinquième seconde", (3, 5)),
        ("5秒頃から9秒頃まで", (5, 9)), ("5秒ごろから9秒くらいまで", (5, 9)), ("5초쯤부터 9초 정도까지", (5, 9)),
    ],
)  # fmt: skip
def test_other_ways_to_say_a_number(text: str, span: tuple[float, float]) -> None:
    assert parse(text).spans == (span,)


def test_a_language_is_added_by_its_entries_in_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MARKS, "italian", frozenset(["dal", "al", "secondo", "secondi", "trovato", "evento"]))
    rules = [
        (r"\bnon\strovato\b", "nosuchevent"),
        (r"\bdal\b", "from"),
        (r"\bal\b", "to"),
        (r"\bsecond[oi]\b", "second"),
    ]
    monkeypatch.setitem(LATIN, "italian", rules)
    monkeypatch.setitem(
        NUMBERS, "italian", NumberWords({"tre": "3", "sette": "7"}, r"second[oi]\b", frozenset(["al"]), "virgola")
    )
    languages._latin_rules.cache_clear()
    assert parse("dal secondo tre al secondo sette").spans == ((3, 7),)
    assert parse("evento non trovato").status == "absent"
    languages._latin_rules.cache_clear()

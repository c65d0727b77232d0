"""Lenient reading: thoughts, containers, texts that mislead other parsers, statuses, coordinates."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whenwhere.answers import ParsedAnswer, TimedBox, parse
from whenwhere.errors import SettingError


def corpus() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "answer_corpus.py"
    spec = importlib.util.spec_from_file_location("answer_corpus", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["answer_corpus"] = module
    spec.loader.exec_module(module)
    return module


def test_whole_corpus_is_read_rightly() -> None:
    wrong = []
    n = 0
    for case in corpus().cases():
        found = parse(case.text)
        n += 1
        if found.spans != case.spans or (case.status and found.status != case.status):
            wrong.append((case.text, case.spans, case.status, found))
    assert n > 5000
    assert wrong == []


# --- thoughts never leak ------------------------------

THOUGHTS = st.text("abc 0123456789.-to<>/[]{}\"'\n,:", max_size=60).map(lambda t: "3.0 to 5.0 " + t + " [4, 6]")


@given(THOUGHTS)
def test_a_closed_thought_never_leaks(thought: str) -> None:
    if any(tag in thought for tag in ("<a", "<b", "<c", "</")):
        return
    assert parse(f"<think>{thought}</think>\n<answer>12.54 to 17.83</answer>").spans == ((12.54, 17.83),)
    assert parse(f"{thought}</think>12.54 to 17.83").spans == ((12.54, 17.83),)
    assert parse(f"<think>{thought}").spans == ()
    assert parse(f"<think>{thought}</think>").spans == ()


@pytest.mark.parametrize(
    ("text", "spans", "status"),
    [
        ("<think>3 to 5<think>4 to 6</think>5 to 7</think>12 to 17", ((12, 17),), "ok"),
        ("<think>3 to 5</think></think>12 to 17", ((12, 17),), "ok"),
        ("<THINK>3 to 5</THINK >12 to 17", ((12, 17),), "ok"),
        ("<think>3 to 5 <answer>12 to 17</answer>", ((12, 17),), "ok"),
        ("<think>3 to 5 <answer>4 to 6</answer> hm", (), "truncated"),
        ("<think>3 to 5 <answer>4 to 6", (), "truncated"),
        ("<answer><think>3 to 5</think>12 to 17</answer>", ((12, 17),), "ok"),
        ("<answer>12 to 17</answer></think>", ((12, 17),), "ok"),
        ("<answer>3 to 5</answer><answer>12 to 17</answer>", ((12, 17),), "ok"),
        ("<answer>12 to 17</answer><answer></answer>", ((12, 17),), "ok"),
        ('<tool_call>{"start": 3, "end": 5}</tool_call>12 to 17', ((12, 17),), "ok"),
        ("<timestep>3 to 5</timestep><answer>12 to 17</answer>", ((12, 17),), "ok"),
        ("◁think▷3 to 5◁/think▷12 to 17", ((12, 17),), "ok"),
        ("[THINK]3 to 5[/THINK]12 to 17", ((12, 17),), "ok"),
        ("<|begin_of_thought|>3 to 5<|end_of_thought|>12 to 17", ((12, 17),), "ok"),
        ("<|channel|>analysis<|message|>3 to 5<|end|><|channel|>final<|message|>12 to 17", ((12, 17),), "ok"),
    ],
)  # fmt: skip
def test_cutting(text: str, spans: tuple[tuple[float, float], ...], status: str) -> None:
    found = parse(text)
    assert (found.spans, found.status) == (spans, status)
    if found.thought is not None and spans:
        assert "12 to 17" not in found.thought


def test_a_thought_that_is_closed_twice_or_repeated() -> None:
    assert parse("<think>a</think>12 to 17</think>").spans == ((12, 17),)
    assert parse("<think>3 to 5</think>x<think>4 to 6</think>12 to 17").spans == ((12, 17),)


# --- the strings on which other parsers disagree ------------------------------


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("<answer>12.54s to 17.83s</answer>", ((12.54, 17.83),)),
        ("<answer>12.54 - 17.83</answer>", ((12.54, 17.83),)),
        ("<think>2 people</think> <time>[12, 17]</time>", ((12, 17),)),
        ("2 people ... [12, 17]", ((12, 17),)),
        ("[00:12, 00:17]", ((12, 17),)),
        ("In the video (0 - 30 seconds), the event happens in 12 - 17 seconds.", ((12, 17),)),
        ("The event happens in 12 - 17 seconds. Before that, from 0 to 12 seconds she sits.", ((12, 17),)),
        ("She sits (0-5 seconds). From 5 to 10 s she stands. The event happens in 12.0 - 17.0 seconds.", ((12, 17),)),
        ("The score was 2-1, and the goal is between 12.5 and 17.8.", ((12.5, 17.8),)),
        ("It starts at 12.5 seconds and lasts for 5.25 seconds.", ((12.5, 17.75),)),
        ("The event lasts 5.3 seconds, from 12.5 to 17.8 seconds.", ((12.5, 17.8),)),
        ("from the 12th second to the 17th second", ((12, 17),)),
        ("No such event occurs before 12; it happens from 12 to 17 s.", ((12, 17),)),
        ("12.5 to 17.8, not 20 to 25", ((12.5, 17.8),)),
        ("Yes, it happens from 12.0s to 17.0s. So the answer is yes.", ((12, 17),)),
        ("12,54 to 17,83", ((12.54, 17.83),)),
        ("12-15,20-25,30-35", ((12, 15), (20, 25), (30, 35))),
        ("5-10 minutes", ((300, 600),)),
        ("[-0.17, 5.43]", ((-0.17, 5.43),)),
        ("1h 2m 3s to 1h 2m 10s", ((3723, 3730),)),
        ("12 -17", ((12, 17),)),
        ("１２．５ － １７．８", ((12.5, 17.8),)),
        ("00:12 - 00:17: She opens the door.", ((12, 17),)),
        ("from t = 12.5 s to t = 17.8 s", ((12.5, 17.8),)),
        ("<time>12.5</time> to <time>17.8</time>", ((12.5, 17.8),)),
        ('12"-17"', ((12, 17),)),
        ("12 to 17. No wait, actually 20 to 25", ((20, 25),)),
        ("1 to 2 of the 5 men, 12s to 17s", ((12, 17),)),
        ("The query 'from 3 to 5' happens in 12.0 - 17.0 seconds.", ((12, 17),)),
        ('{"size": [640, 360], "span": [12, 17], "video": [0, 30]}', ((12, 17),)),
        ('{"pred_relevant_windows": [[12, 17, 0.9]], "pred_saliency_scores": [0.1, 0.2]}', ((12, 17),)),
        ("12.2s-17.4s (0:12-0:17)", ((12.2, 17.4),)),
        ("From: 12s\nTo: 17s", ((12, 17),)),
        ("12 sec. to 17 sec.", ((12, 17),)),
        ('{"start_ms": 12500, "end_ms": 17800}', ((12.5, 17.8),)),
        ('{"event": "he enters at 3 to 5", "start": 12.5, "end": 17.8}', ((12.5, 17.8),)),
        ("[[12.5, 17.8, 0.93], [20, 25, 0.5]]", ((12.5, 17.8), (20, 25))),
    ],
)
def test_traps(text: str, spans: tuple[tuple[float, float], ...]) -> None:
    found = parse(text)
    assert found.spans == spans
    assert found.status == "ok"


def test_per_cent_needs_a_duration() -> None:
    assert parse("from 10% to 20%", duration=50).spans == ((5, 10),)
    assert parse("from 10% to 20%").status == "ambiguous"


def test_several_ranges_without_a_claim_are_ambiguous_and_all_given() -> None:
    found = parse("0:00-0:05 she sits. 0:05-0:10 she stands.")
    assert found.status == "ambiguous"
    assert found.spans == ((0, 5), (5, 10))
    assert parse('{"start": 1, "end": 2} or {"start": 3, "end": 4}').status == "ambiguous"
    assert parse("either 12 to 17 or 20 to 25 seconds").status == "ambiguous"


def test_reversed_and_empty_spans_are_reported_as_written() -> None:
    assert parse("17.8 to 12.5") == ParsedAnswer("reversed", ((17.8, 12.5),))
    assert parse("<answer>12-15 25-20</answer>") == ParsedAnswer("reversed", ((12, 15), (25, 20)))
    assert parse("12 - 12").status == "instant"


@pytest.mark.parametrize("text", [None, 3, b"12 to 17", ["12", "17"], float("nan"), object()])
def test_what_is_no_text_is_unparsed(text: object) -> None:
    assert parse(text).status == "unparsed"


@pytest.mark.parametrize(
    ("text", "spans", "n"),
    [
        ('[{"start": 1, "end": 2}, {"start": 3, "end": 4', ((1, 2),), 0),
        ('[{"start": 1, "end": 2}, {"start": 3, "end": 4}', ((1, 2), (3, 4)), 0),
        ("[[1, 2], [3, 4], [5, 6", ((1, 2), (3, 4)), 0),
        ('{"spans": [[1, 2], [3, 4', ((1, 2),), 0),
        ('[{"time": 1.0, "bbox_2d": [1, 2, 3, 4]}, {"time": 2.0, "bbox_2d": [1, 2, 3', (), 1),
        ('[{"time": 1.0, "bbox_2d": [1, 2, 3, 4]}, {"time": 2.0, "bbox_2d": [1, 2, 3, 4]', (), 1),
        ("<answer>12.54 to 17", (), 0),
        ("<answer>12.54 to 17.", (), 0),
        ("<answer>12.54 to 17.83", ((12.54, 17.83),), 0),
    ],
)
def test_of_a_cut_text_only_what_is_whole_is_kept(text: str, spans: tuple[tuple[float, float], ...], n: int) -> None:
    found = parse(text)
    assert (found.spans, len(found.boxes), found.status) == (spans, n, "truncated")


# --- boxes ------------------------------

QWEN = """[{"time": 1.0, "bbox_2d": [100, 200, 300, 400], "label": "dog"},
{"time": 2.0, "bbox_2d": [1, 2, 3, 4], "label": "dog"}]"""


def test_coordinates_stay_as_written_until_their_kind_and_sizes_are_known() -> None:
    raw = parse(QWEN)
    assert raw.coordinates == "unknown"
    assert parse(QWEN, size=(640, 360)) == raw  # nothing to convert with
    with pytest.raises(SettingError, match="name the model's form"):
        raw.displayed((640, 360))
    assert parse(QWEN, form="qwen3-vl", size=(500, 1000)).boxes[0].box == (50, 200, 150, 400)
    pixels = parse(QWEN, form="qwen2.5-vl", size=(640, 360))
    assert pixels.coordinates == "pixels"
    assert pixels.boxes[0].box == (100, 200, 300, 400)
    assert parse(QWEN, form="qwen2.5-vl", size=(640, 360), shown=(320, 180)).boxes[0].box == (200, 400, 600, 800)
    with pytest.raises(SettingError, match="shown"):
        pixels.displayed((640, 360))


@pytest.mark.parametrize(
    ("text", "box", "time", "kind"),
    [
        ("<obj>dog</obj><box>[1, 2, 30, 40]</box>at<t>3.5</t>s", (1, 2, 30, 40), 3.5, "unknown"),
        ("<ref>dog</ref><box>[[1, 2, 30, 40]]</box>", (1, 2, 30, 40), None, "thousand"),
        ("<|box_start|>(1,2),(30,40)<|box_end|>", (1, 2, 30, 40), None, "thousand"),
        ('{"3.0": [0.1, 0.2, 0.3, 0.4]}', (0.1, 0.2, 0.3, 0.4), 3.0, "unit"),
        ('{"boxes": {"3": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}}}', (1, 2, 30, 40), 3.0, "unknown"),
        ('[{"time": "00:03.50", "bbox_2d": [1, 2, 1900, 1000]}]', (1, 2, 1900, 1000), 3.5, "pixels"),
        ("<time>3 to 5</time><pred_bbox>[[1, 2, 30, 40]]</pred_bbox>", (1, 2, 30, 40), None, "unknown"),
    ],
)
def test_boxes(text: str, box: tuple[float, ...], time: float | None, kind: str) -> None:
    found = parse(text)
    assert found.boxes[0].box == box
    assert found.boxes[0].time == time
    assert found.coordinates == kind
    assert found.status == "ok"


def test_box_2d_is_read_only_where_its_order_is_known() -> None:
    text = '[{"timestamp": "00:03", "box_2d": [200, 100, 400, 300], "label": "dog"}]'
    assert parse(text).status == "ambiguous"
    assert parse(text).boxes == ()
    assert parse(text, form="gemini").boxes == (TimedBox(3.0, (100, 200, 300, 400), "dog"),)


def test_two_boxes_of_one_thing_at_one_time_are_reported() -> None:
    twice = '[{"time": 1, "bbox_2d": [1, 2, 3, 4]}, {"time": "1.0", "bbox_2d": [1, 2, 3, 5]}]'
    assert parse(twice).status == "duplicate-time"
    assert parse('{"1": [1, 2, 3, 4], "1": [1, 2, 3, 5]}').status == "duplicate-time"
    two = '[{"time": 1, "bbox_2d": [1, 2, 3, 4], "label": "a"}, {"time": 1, "bbox_2d": [1, 2, 3, 5], "label": "b"}]'
    assert parse(two).status == "ok"
    strict = '[{"time": 1, "bbox_2d": [1, 2, 3, 4], "label": "a"}, {"time": 1, "bbox_2d": [1, 2, 3, 5], "label": "b"}]'
    assert parse(strict, "strict", "qwen3-vl").status == "duplicate-time"


def test_tracks() -> None:
    found = parse('<tracks coords="0.0 1 380 822 2 873 871;0.5 1 376 822">dog</tracks>', size=(1000, 2000))
    assert [(p.time, p.id, p.point) for p in found.points] == [
        (0.0, "1", (380, 1644)), (0.0, "2", (873, 1742)), (0.5, "1", (376, 1644)),
    ]  # fmt: skip
    assert found.points[0].label == "dog"
    assert parse('<tracks coords="0.0 1 380 822\t0.5 1 37').points[-1].time == 0.0


# --- choices ------------------------------


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A", "A"), ("(B)", "B"), ("C. the dog", "C"), ("<answer>D</answer>", "D"), ("\\boxed{\\text{B}}", "B"),
        ("The correct option is C.", "C"), ("Correct Option: D", "D"), ("Answer: (A) the man", "A"),
        ("<think>B or C</think><answer>A</answer><glue>[(1, 2)]</glue>", "A"), ('{"answer": "B"}', "B"),
        ("A man opens the door", None), ("I think the answer is a dog", None), ("<answer>A man</answer>", None),
        ("Bring it", None),
    ],
)  # fmt: skip
def test_choices(text: str, letter: str | None) -> None:
    assert parse(text).choice == letter


# --- settings ------------------------------


def test_settings_are_checked() -> None:
    with pytest.raises(SettingError, match="strict or lenient"):
        parse("", "loose")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="needs the name of a form"):
        parse("", "strict")
    with pytest.raises(SettingError, match="unknown form"):
        parse("", form="nobody")
    with pytest.raises(SettingError, match="fixed notation"):
        parse("", "strict", "gemini")


def test_spans_of_boxes_claim_the_seconds_that_begin_at_them() -> None:
    found = parse('{"3": [1,2,3,4], "4": [1,2,3,4], "9": [1,2,3,4]}')
    assert found.spans == ()
    assert found.spans_of_boxes() == ((3, 5), (9, 10))
    assert found.spans_of_boxes(rate=0.5) == ((3, 6), (9, 11))


@given(st.text(max_size=300))
def test_any_text_gets_an_answer(text: str) -> None:
    found = parse(text)
    assert all(abs(x) < 1e12 for span in found.spans for x in span)
    assert found.read == (found.status not in ("unparsed",)) or found.status in ("truncated", "ambiguous")


@pytest.mark.parametrize(
    "text",
    ["The person sits down from 3 to 7 secondes.", "It hapens betwen 3 and 7 sec.", "from 3 secondes to 7 secondes"],
)
def test_typing_faults_in_units_and_between(text):
    assert parse(text).spans == ((3.0, 7.0),)


@pytest.mark.parametrize(
    "text", ["I could not find this event anywhere in the video.", "This event is absent from the video."]
)
def test_further_words_for_absence(text):
    assert parse(text).status == "absent"

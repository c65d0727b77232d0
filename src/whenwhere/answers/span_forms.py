r"""Forms that answer with times: Time-R1, VideoChat-R1, TaRO, TimeLens, TVG-R1, Temporal-R1, MUSEG, STVG-R1, Open-o3.

Each form is one pattern with two numbers (`_one`), or a reader and a writer where it holds more.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace

from whenwhere.answers.answer import ParsedAnswer
from whenwhere.answers.forms import NUMBER, Form

_Read = Callable[[list[str], str], ParsedAnswer | None]
_Write = Callable[[ParsedAnswer], tuple[list[str], str]]


def _one(pattern: str, line: str, decimals: int = 2, *, bare: bool = False) -> tuple[_Read, _Write]:
    """Reader and writer of one span, from a `pattern` with two numbers N and a `line` with {s} and {e}."""
    compiled = re.compile(pattern.replace("N", NUMBER), re.ASCII)

    def read(contents: list[str], tail: str) -> ParsedAnswer | None:
        body = tail if bare else contents[0].strip()
        if not bare and tail:
            return None
        m = compiled.fullmatch(body)
        return ParsedAnswer(spans=((float(m[1]), float(m[2])),)) if m else None

    def write(answer: ParsedAnswer) -> tuple[list[str], str]:
        s, e = answer.spans[0]
        text = line.replace("{s}", f"{s:.{decimals}f}").replace("{e}", f"{e:.{decimals}f}")
        return ([], text) if bare else ([text], "")

    return read, write


def _read_several(contents: list[str], tail: str) -> ParsedAnswer | None:
    spans = [re.fullmatch(f"{NUMBER}-{NUMBER}", part) for part in contents[0].split()]
    if tail or not spans or not all(spans):
        return None
    return ParsedAnswer(spans=tuple((float(m[1]), float(m[2])) for m in spans if m))


def _write_several(answer: ParsedAnswer) -> tuple[list[str], str]:
    return [" ".join(f"{s:.2f}-{e:.2f}" for s, e in answer.spans)], ""


def _read_boxed(contents: list[str], tail: str) -> ParsedAnswer | None:
    span = re.fullmatch(rf"\[{NUMBER}, ?{NUMBER}\]", contents[0].strip())
    letter = re.fullmatch(r"\\boxed\{([A-H])\}", tail)
    if not span or not letter:
        return None
    return ParsedAnswer(spans=((float(span[1]), float(span[2])),), choice=letter[1])


def _write_boxed(answer: ParsedAnswer) -> tuple[list[str], str]:
    s, e = answer.spans[0]
    return [f"[{s:.1f}, {e:.1f}]"], f"\\boxed{{{answer.choice}}}"


def _read_glue(contents: list[str], tail: str) -> ParsedAnswer | None:
    letter, glue = contents[0].strip(), contents[1].strip()
    if tail or not re.fullmatch("[A-H]", letter) or not (glue.startswith("[") and glue.endswith("]")):
        return None
    inner = glue[1:-1].strip()
    parts = re.split(r"(?<=\)), ?", inner)
    spans = [re.fullmatch(rf"\({NUMBER}, ?{NUMBER}\)", part) for part in parts]
    if not all(spans):
        return None
    return ParsedAnswer(spans=tuple((float(m[1]), float(m[2])) for m in spans if m), choice=letter)


def _write_glue(answer: ParsedAnswer) -> tuple[list[str], str]:
    spans = ", ".join(f"({s:.1f}, {e:.1f})" for s, e in answer.spans)
    return [answer.choice or "", f"[{spans}]"], ""


def _read_target(contents: list[str], tail: str) -> ParsedAnswer | None:
    m = re.fullmatch(rf"Target ID: ([0-9]{{1,6}}), Time range: {NUMBER} to {NUMBER}", contents[0].strip())
    if tail or not m:
        return None
    return ParsedAnswer(spans=((float(m[2]), float(m[3])),), target=m[1])


def _write_target(answer: ParsedAnswer) -> tuple[list[str], str]:
    s, e = answer.spans[0]
    return [f"Target ID: {answer.target}, Time range: {s:.2f} to {e:.2f}"], ""


def _read_json(contents: list[str], tail: str) -> ParsedAnswer | None:
    fenced = re.fullmatch(r"```json\n([^`]*)\n```", tail)
    try:
        rows = json.loads(fenced[1] if fenced else tail)
    except (ValueError, RecursionError):
        return None
    if not isinstance(rows, list):
        return None
    spans: list[tuple[float, float]] = []
    for row in rows:
        if not isinstance(row, dict) or row.keys() != {"start", "end"}:
            return None
        # numbers as they are written in the text: no booleans, no exponents, only finite values
        if not all(isinstance(v, (int, float)) and re.fullmatch(NUMBER, str(v)) for v in row.values()):
            return None
        spans.append((float(row["start"]), float(row["end"])))
    return ParsedAnswer(spans=tuple(spans))


def _write_json(answer: ParsedAnswer) -> tuple[list[str], str]:
    return [], "[" + ", ".join(f'{{"start": {s:.1f}, "end": {e:.1f}}}' for s, e in answer.spans) + "]"


_to = _one("N to N", "{s} to {e}")
_TIME_R1 = Form(
    "time-r1",
    "xiaomi-research/time-r1, prompt and format reward; VideoChat-R1 and others took it over",
    "<think>She opens the door at 12.5 s.</think>\n<answer>12.54 to 17.83</answer>",
    *_to,
)

SPAN_FORMS = (
    _TIME_R1,
    replace(
        _TIME_R1,
        name="videochat-r1",
        source="OpenGVLab/VideoChat-R1, temporal grounding",
    ),
    replace(
        _TIME_R1,
        name="answer",
        source="OpenGVLab/VideoChat-R1, the variant without thinking",
        example="<answer>12.54 to 17.83</answer>",
        tags=("answer",),
    ),
    Form(
        "taro",
        "oceanflowlab/TaRO, src/rewards.py",
        "<think>The door opens at 8.5 s.</think>\n<answer>8.50s to 12.40s</answer>",
        *_one("Ns to Ns", "{s}s to {e}s"),
    ),
    Form(
        "timelens",
        "TencentARC/TimeLens, SFT target and prompt",
        "The event happens in 12.3 - 45.6 seconds.",
        *_one(r"The event happens in N - N seconds\.", "The event happens in {s} - {e} seconds.", 1, bare=True),
        tags=(),
        decimals=1,
    ),
    Form(
        "tvg-r1",
        "zjuruizhechen/TVG-R1, system prompt of the temporal task",
        "<think>The man sits down at 5 s.</think>\n<time>[5.2, 10.4]</time>",
        *_one(r"\[N, ?N\]", "[{s}, {e}]", 1),
        tags=("think", "time"),
        decimals=1,
    ),
    Form(
        "tvg-r1-qa",
        "zjuruizhechen/TVG-R1, grounded question answering",
        "<think>He sits at 5 s, so A.</think>\n<time>[5.2, 10.4]</time>\n\\boxed{A}",
        _read_boxed,
        _write_boxed,
        tags=("think", "time"),
        decimals=1,
        holds=("choice",),
    ),
    Form(
        "temporal-r1",
        "appletea233/Temporal-R1, verl/utils/reward_score/tvg.py: numbers as strings",
        '<think>It starts at 12.5 s.</think>\n<answer>{"start_time": "12.50", "end_time": "17.80"}</answer>',
        *_one(
            r'\{\s*"start_time"\s*:\s*"N"\s*,\s*"end_time"\s*:\s*"N"\s*\}',
            '{"start_time": "{s}", "end_time": "{e}"}',
        ),
    ),
    Form(
        "museg",
        "THUNLP-MT/MUSEG, src/train.py: several spans, separated by spaces",
        "<think>Twice.</think>\n<answer>12.54-17.83 20.00-25.50</answer>",
        _read_several,
        _write_several,
        spans=None,
    ),
    Form(
        "videochat-r1-qa",
        "OpenGVLab/VideoChat-R1, grounded question answering: clues as a list of pairs",
        "<think>The clue is at 5 s.</think>\n<answer>A</answer>\n<glue>[(5.2, 10.4)]</glue>",
        _read_glue,
        _write_glue,
        tags=("think", "answer", "glue"),
        spans=None,
        decimals=1,
        holds=("choice",),
    ),
    Form(
        "stvg-r1",
        "XiaowZhang00/stvg-r1, prompt: the number drawn on the object and its time",
        "<think>Number 1 sits.</think>\n<answer>Target ID: 1, Time range: 12.54 to 17.83</answer>",
        _read_target,
        _write_target,
        holds=("target",),
    ),
    Form(
        "open-o3",
        "marinero4972/Open-o3-Video, temporal questions",
        "<think>The dog runs.</think>\n<answer>From <t>12.3</t>s to <t>15.6</t>s.</answer>",
        *_one("From <t>N</t>s to <t>N</t>s\\.", "From <t>{s}</t>s to <t>{e}</t>s.", 1),
        decimals=1,
    ),
    Form(
        "spans",
        "this project, asked of families without a form of their own: a list, empty where it does not happen",
        '[{"start": 12.5, "end": 17.8}]',
        _read_json,
        _write_json,
        tags=(),
        spans=None,
        decimals=1,
        empty=True,
    ),
)

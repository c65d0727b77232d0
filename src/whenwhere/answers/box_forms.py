"""Forms that answer with boxes or points: Qwen, InternVL, Open-o3, VideoChat-R1 tracking, Molmo2, and our own.

Our own form, `second-level`, holds everything a grounding answer consists of: spans to a tenth of a second, one box per
second in thousandths inside each span, and an empty list for "it is not there". A box costs five numbers and no keys,
which makes one box per second affordable.
"""

import json
import math
import re

from whenwhere.answers.answer import ParsedAnswer, TimedBox, TimedPoint
from whenwhere.answers.forms import NUMBER, Form, boxes_in_span

_BOX = rf"\[{NUMBER}, ?{NUMBER}, ?{NUMBER}, ?{NUMBER}\]"


def _loaded(text: str) -> object:
    """The JSON value of a text, or None; infinite constants become NaN."""
    try:
        return json.loads(text, parse_constant=lambda name: math.nan)
    except (ValueError, RecursionError):
        return None


def _numbers(values: object, n: int) -> tuple[float, ...] | None:
    """`n` finite numbers of a JSON list, or None."""
    if not isinstance(values, list) or len(values) != n:
        return None
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e9 for v in values):
        return None
    return tuple(map(float, values))


def _whole(x: float) -> int | float:
    return int(x) if x == int(x) else x


def _read_second_level(contents: list[str], tail: str) -> ParsedAnswer | None:
    moments = None if tail else _loaded(contents[0])
    if not isinstance(moments, list):
        return None
    spans: list[tuple[float, float]] = []
    boxes: list[TimedBox] = []
    for moment in moments:
        if not isinstance(moment, dict) or moment.keys() != {"span", "boxes"} or not isinstance(moment["boxes"], list):
            return None
        span = _numbers(moment["span"], 2)
        rows = [_numbers(row, 5) for row in moment["boxes"]]
        if span is None or any(row is None for row in rows):
            return None
        spans.append((span[0], span[1]))
        boxes += [TimedBox(row[0], (row[1], row[2], row[3], row[4])) for row in rows if row is not None]
    return ParsedAnswer(spans=tuple(spans), boxes=tuple(boxes))


def _write_second_level(answer: ParsedAnswer) -> tuple[list[str], str]:
    left = list(answer.boxes)
    parts = []
    for s, e in answer.spans:
        here = boxes_in_span(left, (s, e))
        left = [b for b in left if b not in here]
        rows = ", ".join(f"[{b.time:.1f}, {', '.join(str(_whole(x)) for x in b.box)}]" for b in here)
        parts.append(f'{{"span": [{s:.1f}, {e:.1f}], "boxes": [{rows}]}}')
    return [f"[{', '.join(parts)}]"], ""


def _read_qwen(contents: list[str], tail: str) -> ParsedAnswer | None:
    fenced = re.fullmatch(r"```json\n([^`]*)\n```", tail)
    rows = _loaded(fenced[1] if fenced else tail)
    if not isinstance(rows, list):
        return None
    boxes: list[TimedBox] = []
    for row in rows:
        if not isinstance(row, dict) or row.keys() != {"time", "bbox_2d", "label"}:
            return None
        box, time = _numbers(row["bbox_2d"], 4), _numbers([row["time"]], 1)
        if box is None or time is None or not isinstance(row["label"], str):
            return None
        boxes.append(TimedBox(time[0], (box[0], box[1], box[2], box[3]), row["label"] or None))
    return ParsedAnswer(boxes=tuple(boxes))


def _write_qwen(answer: ParsedAnswer) -> tuple[list[str], str]:
    rows = ",\n".join(
        f'\t{{"time": {b.time:.1f}, "bbox_2d": [{", ".join(str(_whole(x)) for x in b.box)}], '
        f'"label": {json.dumps(b.label or "", ensure_ascii=False)}}}'
        for b in answer.boxes
    )
    return [], f"```json\n[\n{rows}\n]\n```" if rows else "```json\n[]\n```"


def _read_internvl(contents: list[str], tail: str) -> ParsedAnswer | None:
    boxes: list[TimedBox] = []
    at = 0
    one = re.compile(rf"\s*<ref>([^<]*)</ref><box>\[{_BOX}\]</box>")
    while at < len(tail):
        m = one.match(tail, at)
        if not m:
            return None
        box = (float(m[2]), float(m[3]), float(m[4]), float(m[5]))
        boxes.append(TimedBox(None, box, m[1].strip() or None))
        at = m.end()
    return ParsedAnswer(boxes=tuple(boxes)) if boxes else None


def _write_internvl(answer: ParsedAnswer) -> tuple[list[str], str]:
    lines = [
        f"<ref>{b.label or ''}</ref><box>[[{', '.join(str(_whole(x)) for x in b.box)}]]</box>" for b in answer.boxes
    ]
    return [], "\n".join(lines)


_CLAIM = re.compile(rf"\s*<obj>([^<]*)</obj><box>{_BOX}</box>at<t>{NUMBER}</t>s")


def _read_claims(contents: list[str], tail: str) -> ParsedAnswer | None:
    boxes: list[TimedBox] = []
    body, at = contents[0].rstrip(), 0
    while not tail and at < len(body):
        m = _CLAIM.match(body, at)
        if not m:
            return None
        box = (float(m[2]), float(m[3]), float(m[4]), float(m[5]))
        boxes.append(TimedBox(float(m[6]), box, m[1].strip() or None))
        at = m.end()
    return ParsedAnswer(boxes=tuple(boxes)) if boxes else None


def _write_claims(answer: ParsedAnswer) -> tuple[list[str], str]:
    claims = [
        f"<obj>{b.label or ''}</obj><box>[{', '.join(str(_whole(x)) for x in b.box)}]</box>at<t>{b.time:.1f}</t>s"
        for b in answer.boxes
    ]
    return [" ".join(claims)], ""


def _read_list(contents: list[str], tail: str) -> ParsedAnswer | None:
    rows = None if tail else _loaded(contents[0])
    boxes = [_numbers(row, 4) for row in rows] if isinstance(rows, list) else []
    if not boxes or any(b is None for b in boxes):
        return None
    return ParsedAnswer(boxes=tuple(TimedBox(None, (b[0], b[1], b[2], b[3])) for b in boxes if b is not None))


def _write_list(answer: ParsedAnswer) -> tuple[list[str], str]:
    rows = ", ".join(f"[{', '.join(f'{x:.3f}' for x in b.box)}]" for b in answer.boxes)
    return [f"[{rows}]"], ""


_TRACKS = re.compile(r'<tracks coords="([^"<>]*)">([^<]*)</tracks>')
_FRAME = re.compile(rf"{NUMBER}((?: [0-9]{{1,6}} [0-9]{{1,4}} [0-9]{{1,4}})+)")


def _read_tracks(contents: list[str], tail: str) -> ParsedAnswer | None:
    m = _TRACKS.fullmatch(tail)
    if not m:
        return None
    points: list[TimedPoint] = []
    label = m[2].strip() or None
    for frame in re.split("[;\t]", m[1]):
        f = _FRAME.fullmatch(frame)
        if not f:
            return None
        flat = f[2].split()
        points += [
            TimedPoint(float(f[1]), (float(flat[k + 1]), float(flat[k + 2])), label, flat[k])
            for k in range(0, len(flat), 3)
        ]
    return ParsedAnswer(points=tuple(points))


def _write_tracks(answer: ParsedAnswer) -> tuple[list[str], str]:
    frames: dict[float, list[TimedPoint]] = {}
    for p in answer.points:
        frames.setdefault(p.time or 0.0, []).append(p)
    coords = ";".join(
        f"{t:.1f} " + " ".join(f"{p.id} {p.point[0]:03.0f} {p.point[1]:03.0f}" for p in ps) for t, ps in frames.items()
    )
    return [], f'<tracks coords="{coords}">{answer.points[0].label or ""}</tracks>'


_QWEN_EXAMPLE = '```json\n[\n\t{"time": 1.0, "bbox_2d": [10, 20, 300, 400], "label": "dog"}\n]\n```'

BOX_FORMS = (
    Form(
        "second-level",
        "this project: spans, one box a second in thousandths, an empty list for absence",
        '<think>The dog runs in at 3 s.</think>\n<answer>[{"span": [3.2, 5.9], "boxes": '
        "[[3.2, 100, 200, 300, 400], [4.0, 120, 200, 320, 400], [5.0, 150, 200, 350, 400]]}]</answer>",
        _read_second_level,
        _write_second_level,
        spans=None,
        decimals=1,
        coordinates="thousand",
        holds=("boxes",),
        empty=True,
        # up to its last bracket, or to the end of a text that was cut off
        box_text=r'"boxes"\s*:\s*\[(?:[^\[\]]|\[[^\[\]]*\]?)*\]?',
    ),
    Form(
        "qwen2.5-vl",
        "QwenLM, spatio-temporal prompt; boxes in pixels of the resized frame",
        _QWEN_EXAMPLE,
        _read_qwen,
        _write_qwen,
        tags=(),
        spans=0,
        decimals=1,
        coordinates="pixels",
        holds=("boxes",),
        empty=True,
        labelled=True,
    ),
    Form(
        "qwen3-vl",
        "QwenLM/Qwen3-VL, cookbooks/video_understanding: one box per frame shown, thousandths",
        _QWEN_EXAMPLE,
        _read_qwen,
        _write_qwen,
        tags=(),
        spans=0,
        decimals=1,
        coordinates="thousand",
        holds=("boxes",),
        empty=True,
        labelled=True,
    ),
    Form(
        "internvl",
        "InternVL 2 and later: grounding template; no times",
        "<ref>dog</ref><box>[[100, 200, 300, 400]]</box>",
        _read_internvl,
        _write_internvl,
        tags=(),
        spans=0,
        coordinates="thousand",
        holds=("boxes",),
        timed=False,
        labelled=True,
    ),
    Form(
        "open-o3-boxes",
        "marinero4972/Open-o3-Video: claims of object, box and time; pixels of the picture shown",
        "<think>A dog.</think>\n<answer><obj>dog</obj><box>[10, 20, 300, 400]</box>at<t>3.5</t>s</answer>",
        _read_claims,
        _write_claims,
        spans=0,
        decimals=1,
        coordinates="pixels",
        holds=("boxes",),
        labelled=True,
    ),
    Form(
        "videochat-r1-track",
        "OpenGVLab/VideoChat-R1, tracking: one list of shares per frame shown; no times",
        "<think>It moves right.</think>\n<answer>[[0.100, 0.200, 0.300, 0.400], [0.120, 0.200, 0.320, 0.400]]</answer>",
        _read_list,
        _write_list,
        spans=0,
        coordinates="unit",
        steps=3,
        holds=("boxes",),
        timed=False,
    ),
    Form(
        "molmo2",
        "allenai/molmo2, point_formatter: time, then object, x, y; thousandths; html-v2 separates frames by semicolons",
        '<tracks coords="0.0 1 380 822;0.5 1 376 822 2 873 871">dog</tracks>',
        _read_tracks,
        _write_tracks,
        tags=(),
        spans=0,
        decimals=1,
        coordinates="thousand",
        holds=("points",),
        labelled=True,
    ),
)

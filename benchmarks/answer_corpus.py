"""Answers as models write them, with the right reading: the corpus of `benchmarks/parsers.py` and of the tests.

All texts are written for this project, in the shapes that model families use. A template names its numbers by how they
are written, and the right reading follows from that: `{s}` two decimals, `{s.1}` one, `{s.0}` whole seconds, `{s.c}`
m:ss, `{s.cf}` mm:ss.ff, `{s.h}` h:mm:ss, `{s.hf}` hh:mm:ss.mmm, `{s.m}` "1m 5s", `{s.w}` "1 minute 5 seconds"; `s`
and `e` are the first span, `u` and `v` the second. Decorations put around a template what must not change its reading.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

Spans = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One text and its right reading.

    Attributes:
        group: Row of the table.
        family: Family that writes this way.
        text: The answer.
        spans: The right spans, in written order; empty where nothing may be read.
        status: The right status, or None where the spans alone decide.
        decoration: Name of the text around it.
    """

    group: str
    family: str
    text: str
    spans: Spans
    status: str | None = None
    decoration: str = "plain"


#: (first span, second span); whole seconds, sub-second, beyond a minute, beyond an hour
VALUES: tuple[tuple[tuple[float, float], tuple[float, float]], ...] = (
    ((12.54, 17.83), (20.10, 25.55)),
    ((0.0, 8.0), (9.0, 31.0)),
    ((3.2, 7.5), (65.5, 80.25)),
    ((75.5, 130.25), (200.75, 201.5)),
    ((3661.25, 3675.5), (4000.0, 4001.75)),
)

ONE: tuple[tuple[str, str], ...] = (
    ("Time-R1", "<answer>{s} to {e}</answer>"),
    ("Time-R1", "<answer>\n{s} to {e}\n</answer>"),
    ("Time-R1", "<answer>{s} and {e}</answer>"),
    ("Time-R1", "<answer>{s} - {e}</answer>"),
    ("Time-R1", "<answer>from {s} to {e} seconds</answer>"),
    ("Time-R1", "<answer>The event happens from {s}s to {e}s.</answer>"),
    ("TaRO", "<answer>{s}s to {e}s</answer>"),
    ("TaRO", "<answer>{s} s to {e} s</answer>"),
    ("TimeLens", "The event happens in {s.1} - {e.1} seconds."),
    ("TimeLens", "The event happens in {s.1} - {e.1} seconds"),
    ("TimeLens", "The event happens in {s.1}s - {e.1}s."),
    ("TimeLens", "The event happens in {s.1} – {e.1} seconds."),
    ("TimeLens", "The event happens in the {s.1} - {e.1} seconds."),
    ("TimeLens", "The event happens in {s.c} - {e.c}."),
    ("TVG-R1", "<time>[{s.1}, {e.1}]</time>"),
    ("TVG-R1", "<time>[{s}, {e}]</time> The answer is \\boxed{{A}}"),
    ("TVG-R1", "<time>[{s}s, {e}s]</time>"),
    ("TVG-R1", "<time>{s} to {e}</time>"),
    ("Temporal-R1", '<answer>{{"start_time": "{s}", "end_time": "{e}"}}</answer>'),
    ("Temporal-R1", '<answer>{{"start_time": {s}, "end_time": {e}}}</answer>'),
    ("Temporal-R1", '<answer>```json\n{{"start_time": "{s}s", "end_time": "{e}s"}}\n```</answer>'),
    ("VideoChat-R1", "<answer>A</answer><glue>[({s.1}, {e.1})]</glue>"),
    ("VideoChat-R1", "<answer>B</answer> <glue>[[{s.1}, {e.1}]]</glue>"),
    ("STVG-R1", "<answer>Target ID: 1, Time range: {s} to {e}</answer>"),
    ("STVG-R1", "<answer>Target ID: 12, Time range: [{s} to {e}]</answer>"),
    (
        "STVG-o1",
        "<time>{s.1} to {e.1}</time><think_bbox>[[1, 2, 3, 4]]</think_bbox><pred_bbox>[[1, 2, 3, 5]]</pred_bbox>",
    ),
    ("Open-o3-Video", "<answer>From <t>{s.1}</t>s to <t>{e.1}</t>s.</answer>"),
    ("LongVT", '<tool_call>{{"start_time": 1, "end_time": 2}}</tool_call><answer>[{s}, {e}]</answer>'),
    ("GLM", "<|begin_of_box|>{s.0} to {e.0} seconds<|end_of_box|>"),
    ("GLM", "The moment is <|begin_of_box|>[{s.0}, {e.0}]<|end_of_box|>."),
    (
        "Qwen",
        '```json\n[\n\t{{"start_time": "{s.cf}", "end_time": "{e.cf}", "description": "he sits at table 4"}}\n]\n```',
    ),
    ("Qwen", '{{"start": "{s.cf}", "end": "{e.cf}"}}'),
    ("Qwen", "{s.cf} - {e.cf}"),
    ("Qwen", "The described moment occurs from {s.1} seconds to {e.1} seconds in the video."),
    ("Gemini", '{{"start": "{s.c}", "end": "{e.c}"}}'),
    ("Gemini", "From {s.c} to {e.c}, the man opens the door."),
    ("Gemini", '```json\n{{\n  "timestamps": ["{s.h}", "{e.h}"]\n}}\n```'),
    ("prose", "{s} to {e}"),
    ("prose", "{s}-{e}"),
    ("prose", "{s}—{e}"),
    ("prose", "{s} ~ {e} s"),
    ("prose", "{s} until {e}"),
    ("prose", "{s}, {e}"),
    ("prose", "({s}, {e})"),
    ("prose", "[{s}, {e}]"),
    ("prose", "[{s}s - {e}s]"),
    ("prose", "[{s.c}, {e.c}]"),
    ("prose", "[{s.h}, {e.h}]"),
    ("prose", "{s.hf} --> {e.hf}"),
    ("prose", "between {s} and {e} seconds"),
    ("prose", "Between the {s.0}s mark and the {e.0}s mark."),
    ("prose", "It starts at {s}s and ends at {e}s."),
    ("prose", "It ends at {e} seconds and starts at {s} seconds."),
    ("prose", "start time: {s}\nend time: {e}"),
    ("prose", "Start: {s} s, End: {e} s"),
    ("prose", "**Start time:** {s.c}\n**End time:** {e.c}"),
    ("prose", "Starting time: {s} seconds. Ending time: {e} seconds"),
    ("prose", "The start time for this event is {s} seconds, and the end time is {e} seconds."),
    ("prose", "The event 'person flipped the light switch near the door' starts at {s.h} and ends at {e.h}."),
    ("prose", "The moment begins at {s.m} and lasts until {e.m}."),
    ("prose", "from {s.m} to {e.m}"),
    ("prose", "from {s.w} to {e.w}"),
    ("prose", "It takes place approximately from {s} sec to about {e} sec."),
    ("prose", "The 2 people shake hands from {s} to {e} seconds."),
    ("prose", "2 to 3 people are seen; the event happens from {s}s to {e}s."),
    ("prose", "Camera 1 shows it. The event happens in {s.1} - {e.1} seconds, with 3 people."),
    ("prose", "The video is 9999 seconds long. The event occurs between {s} and {e}."),
    ("prose", '"{s} to {e}"'),
    ("prose", "**{s}** - **{e}** seconds"),
    ("prose", "$\\boxed{{{s} \\text{{ to }} {e}}}$"),
    ("prose", "<start>{s}</start><end>{e}</end>"),
    ("prose", "Segment 1: {s} - {e}"),
    ("prose", "1. {s} - {e}"),
    ("prose", "Final answer: {s} to {e}"),
    ("prose", "I first thought 1.0 to 2.0. Final answer: {s} to {e}"),
    ("prose", "1.0 to 2.0. No, wait, actually it is {s} to {e}."),
    ("prose", "从{s}秒到{e}秒"),
    ("JSON", '{{"start": {s}, "end": {e}}}'),
    ("JSON", "{{'start': {s}, 'end': {e}}}"),
    ("JSON", '[{{"start": {s}, "end": {e}, "label": "2 people"}}]'),
    ("JSON", '{{"answer": "{s} to {e}"}}'),
    ("JSON", '{{"spans": [[{s}, {e}]]}}'),
    ("JSON", '{{"relevant_windows": [[{s}, {e}]], "reason": "it takes 2 to 3 s"}}'),
    ("JSON", '{{"segment": {{"begin": {s}, "stop": {e}}}}}'),
    ("JSON", 'Sure! Here it is: {{"start_time": "{s}", "end_time": "{e}"}} I hope this helps 100%.'),
    ("second-level", '<answer>[{{"span": [{s.1}, {e.1}], "boxes": [[{s.1}, 1, 2, 30, 40]]}}]</answer>'),
)  # fmt: skip

SEVERAL: tuple[tuple[str, str], ...] = (
    ("MUSEG", "<answer>{s}-{e} {u}-{v}</answer>"),
    ("MUSEG", "<answer>{s}-{e}, {u}-{v}</answer>"),
    ("MUSEG", "<answer>{s} - {e} and {u} - {v}</answer>"),
    ("MUSEG", "<answer>{s.0}-{e.0},{u.0}-{v.0}</answer>"),
    ("VideoChat-R1", "<answer>A</answer><glue>[({s.1}, {e.1}), ({u.1}, {v.1})]</glue>"),
    ("VideoChat-R1", "<answer>C</answer><glue>[[{s.1}, {e.1}], [{u.1}, {v.1}]]</glue>"),
    ("Vidi", "[[{s}, {e}], [{u}, {v}]]"),
    ("Vidi", "{s.h}-{e.h}, {u.h}-{v.h}"),
    ("JSON", '[{{"start": {s}, "end": {e}}}, {{"start": {u}, "end": {v}}}]'),
    (
        "JSON",
        '{{"segments": [{{"start_time": "{s.c}", "end_time": "{e.c}"}}, '
        '{{"start_time": "{u.c}", "end_time": "{v.c}"}}]}}',
    ),
    ("JSON", '{{"spans": ["{s} - {e}", "{u} - {v}"]}}'),
    ("prose", "{s} to {e}, {u} to {v}"),
    ("prose", "{s}s - {e}s; {u}s - {v}s"),
    ("prose", "1. {s} - {e}\n2. {u} - {v}"),
    ("prose", "- {s.c} - {e.c}\n- {u.c} - {v.c}"),
    ("prose", "Segment 1: {s} to {e}\nSegment 2: {u} to {v}"),
    ("prose", "From {s} to {e} seconds and from {u} to {v} seconds."),
    ("prose", "The event happens in {s.1} - {e.1} and {u.1} - {v.1} seconds."),
    ("prose", "The event happens in {s.1} - {e.1} seconds. It happens again in {u.1} - {v.1} seconds."),
    ("prose", "[{s} - {e}, {u} - {v}]"),
    ("prose", "({s}, {e}), ({u}, {v})"),
)  # fmt: skip

ABSENT: tuple[tuple[str, str], ...] = (
    ("second-level", "<answer>[]</answer>"),
    ("JSON", '{"spans": []}'),
    ("JSON", '{"start": null, "end": null}'),
    ("JSON", '{"found": false}'),
    ("JSON", "```json\n[]\n```"),
    ("prose", "None"),
    ("prose", "<answer>none</answer>"),
    ("prose", "<answer>N/A</answer>"),
    ("prose", "The event does not occur in the video."),
    ("prose", "There is no such event in this video."),
    ("prose", "<answer>No relevant moment.</answer>"),
    ("prose", "The described event never happens."),
    ("prose", "The video doesn't show a red car."),
    ("prose", "No matching segment can be found in the video."),
    ("Qwen", "The query content is not present in the video."),
)

#: nothing may be read from these: (family, text, right status)
NOTHING: tuple[tuple[str, str, str], ...] = (
    ("prompt echo", "<answer>start time to end time</answer>", "unparsed"),
    ("prompt echo", 'The format is for example: "12.54 to 17.83".', "unparsed"),
    ("thought only", "<think>The event is from 12.54 to 17.83, so", "truncated"),
    ("thought only", "<think>The event is from 12.54 to 17.83.</think>", "unparsed"),
    ("thought only", "<think>maybe <answer>12.54 to 17.83</answer> but let me check the 3", "truncated"),
    ("thought only", "<think>a <think>12.54 to 17.83</think> 3 to 4 s </think>", "unparsed"),
    ("cut", "<answer>12.54 to 17.", "truncated"),
    ("cut", "<answer>12.54 to", "truncated"),
    ("cut", '[{"start": 12.54, "end": 17.8', "truncated"),
    ("one time", "The event starts at 12 seconds.", "unparsed"),
    ("one time", "At 00:12 the man sits.", "unparsed"),
    ("counts", "2 to 3 people are walking.", "unparsed"),
    ("counts", "The 2nd man and 3 of 5 dogs.", "unparsed"),
    ("frames", "frame 12 to frame 30", "ambiguous"),
    ("frames", '{"start_frame": 12, "end_frame": 30}', "ambiguous"),
    ("frames", "from frame 12 to 30", "ambiguous"),
    ("per cent", "from 10% to 20% of the video", "ambiguous"),
    ("denied", "The event does not happen between 3 and 5 seconds.", "ambiguous"),
    ("not absent", "The man does not appear until the end.", "unparsed"),
    ("not absent", "I cannot clearly see it.", "unparsed"),
    ("clock", "16:9 to 4:3", "unparsed"),
    ("clock", "0:75 to 0:95", "unparsed"),
    ("chain", "12 - 15 - 20", "unparsed"),
    ("date", "2024-05-06", "unparsed"),
    ("version", "1.2.3 to 1.2.5", "unparsed"),
    ("thousands", "1,234 to 5,678", "ambiguous"),
    ("NaN", "NaN to Infinity", "unparsed"),
    ("NaN", '{"start": NaN, "end": 5}', "unparsed"),
    ("NaN", "<answer>1e999 to 2e999</answer>", "unparsed"),
    ("endless", "9" * 400 + " to " + "9" * 401, "unparsed"),
    ("empty", "", "unparsed"),
    ("empty", "<answer></answer>", "unparsed"),
    ("box", "<box>(12,30),(45,60)</box>", "ok"),
    ("box", "<|begin_of_box|>[816, 162, 838, 172]<|end_of_box|>", "ok"),
    ("box", '[{"time": 1.0, "bbox_2d": [10, 20, 300, 400], "label": "dog"}]', "ok"),
    ("box", "<obj>dog</obj><box>[1, 2, 30, 40]</box>at<t>3.5</t>s", "ok"),
    ("points", '<tracks coords="0.0 1 380 822;0.5 1 376 822">dog</tracks>', "ok"),
    ("choice", "<answer>A</answer>", "ok"),
)

#: reported, never mended
REVERSED: tuple[tuple[str, str], ...] = (
    ("Time-R1", "<answer>{e} to {s}</answer>"),
    ("TimeLens", "The event happens in {e.1} - {s.1} seconds."),
    ("JSON", '{{"start": {e}, "end": {s}}}'),
    ("TVG-R1", "<time>[{e}, {s}]</time>"),
)

#: name → text with {} for the answer; readings must not change
DECORATIONS: dict[str, str] = {
    "plain": "{}",
    "thought": "<think>There are 2 people, maybe 3.0 to 5.0 s, or 1:10 - 1:20.</think>\n{}",
    "thought, opened in the prompt": "There are 2 people, maybe 3.0 to 5.0 s.\n</think>\n\n{}",
    "nested thought": "<think>a <think>3.0 to 5.0</think> 4.0 - 6.0 </think> {}",
    "draft in the thought": "<think>I could say <answer>3.0 to 5.0</answer> or [4, 6].</think>{}",
    "thinking": "<thinking>\n1. 3.0 - 5.0\n2. 7.0 - 9.0\n</thinking>\n{}",
    "space": "  \n\n{}\n\n  ",
    "CRLF": "\r\n{}\r\n",
    "end token": "{}<|im_end|>",
}

_PLACE = re.compile(r"\{([seuv])(?:\.([a-z0-9]+))?\}")


def written(x: float, style: str) -> tuple[str, float]:
    """A time in a style, and the value that this text has.

    >>> written(65.5, "cf"), written(65.5, "m"), written(3661.25, "h")
    (('01:05.50', 65.5), ('1m 6s', 66.0), ('1:01:01', 3661.0))
    """
    if style in ("", "1", "0"):
        text = f"{x:.{style or 2}f}"
        return text, float(text)
    if style in ("cf", "hf"):
        digits = 2 if style == "cf" else 3
        units = round(x * 10**digits)
        whole, part = divmod(units, 10**digits)
        clock = f"{whole // 60:02}:{whole % 60:02}"
        if style == "hf":
            clock = f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
        return f"{clock}.{part:0{digits}}", units / 10**digits
    whole = int(x + 0.5)
    text = {
        "c": f"{whole // 60}:{whole % 60:02}",
        "h": f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}",
        "m": f"{whole // 60}m {whole % 60}s",
        "w": f"{whole // 60} minutes {whole % 60} seconds" if whole // 60 != 1 else f"1 minute {whole % 60} seconds",
    }[style]
    return text, float(whole)


def filled(template: str, first: tuple[float, float], second: tuple[float, float]) -> tuple[str, dict[str, float]]:
    """A template with its numbers filled in, and the value of each of them."""
    values = dict(zip("seuv", (*first, *second), strict=True))
    said: dict[str, float] = {}

    def put(m: re.Match[str]) -> str:
        text, said[m[1]] = written(values[m[1]], m[2] or "")
        return text

    text = _PLACE.sub(put, template)
    return text.replace("{{", "{").replace("}}", "}"), said


def cases() -> Iterator[Case]:
    """The whole corpus."""
    for decoration, around in DECORATIONS.items():
        for first, second in VALUES:
            for group, templates in (("one span", ONE), ("several spans", SEVERAL), ("reversed", REVERSED)):
                for family, template in templates:
                    text, said = filled(template, first, second)
                    spans: Spans = ((said["s"], said["e"]),)
                    if group == "several spans":
                        spans += ((said["u"], said["v"]),)
                    if group == "reversed":
                        spans = ((said["e"], said["s"]),)
                    if any(a == b for a, b in spans):
                        continue  # too short for this style
                    status = "reversed" if group == "reversed" else "ok"
                    yield Case(group, family, around.replace("{}", text), spans, status, decoration)
        for family, text in ABSENT:
            yield Case("absent", family, around.replace("{}", text), (), "absent", decoration)
    for family, text, status in NOTHING:
        yield Case("nothing to read", family, text, (), status)

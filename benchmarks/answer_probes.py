"""Answers for testing a parser that was not developed on them, with the readings that a careful reader takes.

They were written without looking at the parser or at `answer_corpus.py`, after how families of models are instructed
and seen to answer: bare, in words, in tags, JSON with and without fences, clock times, lists, typing errors, thoughts
full of other numbers, absences, and truncated answers. `benchmarks/parsers.py` measures on them; the first result,
taken before anything was corrected, is kept in `FIRST`.
"""

from collections.abc import Iterator

from answer_corpus import Case

#: What our parser read rightly and wrongly of these texts before any was used to mend it.
FIRST = {"texts": 214, "right": 206, "wrong": 2, "nothing": 5, "part": 1}

#: Texts with {a}, {b} for the numbers of one span.
ONE = (
    "{a} - {b}", "{a}-{b}", "{a} to {b}", "{a}s - {b}s", "{a} s to {b} s", "From {a} to {b} seconds.",
    "from {a}s to {b}s", "The event happens in {a} - {b} seconds.", "The event happens in the {a} - {b} seconds.",
    "It starts at {a} and ends at {b}.", "Start: {a}, End: {b}", "start={a} end={b}",
    "Start time: {a}s\nEnd time: {b}s",
    "**Start:** {a} s  \n**End:** {b} s", "[{a}, {b}]", "[{a},{b}]", "({a}, {b})", "[[{a}, {b}]]", "<{a}> to <{b}>",
    "<time>{a}</time> <time>{b}</time>", "<answer>{a} to {b}</answer>", "<answer>{a} - {b}</answer>",
    "<answer>[{a}, {b}]</answer>", "<answer>From {a} to {b}.</answer>", '{{"start": {a}, "end": {b}}}',
    '{{"start_time": "{a}", "end_time": "{b}"}}', '```json\n{{"start": {a}, "end": {b}}}\n```',
    '```json\n[{{"start_time": {a}, "end_time": {b}, "label": "a man waves"}}]\n```', '{{"time": [{a}, {b}]}}',
    '{{"timestamps": [[{a}, {b}]]}}', "{{'start': {a}, 'end': {b}}}", "between {a} and {b} seconds",
    "The man opens the door between {a}s and {b}s of the video.",
    "The clip in question runs from {a} until {b} seconds.",
    "Sure! The moment you describe occurs from {a} seconds to {b} seconds.", "Answer: {a}-{b}s", "Answer: [{a}s, {b}s]",
    "Time range: {a}–{b} seconds", "The relevant segment is **{a}s – {b}s**.", "{a} seconds to {b} seconds",
    "approximately {a} to {b} seconds", "around {a}s-{b}s", "It begins at about {a} s and finishes at about {b} s.",
    "start at {a} sec, end at {b} sec", "{a}sec - {b}sec", "The query is relevant to {a} – {b} secs.",
    "<think>Let me see.</think>\n<answer>{a} to {b}</answer>", "  {a} -  {b}\n", "{a} ~ {b}", "{a}~{b}s",
    "The event occurs from second {a} to second {b}.", "`[{a}, {b}]`", "Final answer: {a} to {b}", "{a}, {b}",
    "during {a} - {b} second", "The given query happens in {a} - {b} seconds.", "t={a} to t={b}",
    "<think>The girl enters at 2s, and a dog passes at 3 to 4 seconds.</think><answer>{a} to {b}</answer>",
    "<think>It could be 1.0 - 3.0 but no, later.</think>\nThe event happens in {a} - {b} seconds.",
    "<think>There are 3 people and 2 cars; frames 12 to 40.</think>{a} - {b}", "start_time: {a}\nend_time: {b}",
    "The person sits down from {a} to {b} secondes.", "Form {a} to {b} seconds.", "It hapens betwen {a} and {b} sec.",
    "- {a} to {b}", "1. {a}s - {b}s", "Timestamp: {a} --> {b}", "[{a}s-{b}s]: a man waves",
    "{a} s – {b} s: a man waves",
)  # fmt: skip
NUMBERS = (("12.5", "18.0"), ("3", "7"))

#: Texts with their spans.
MANY = (
    ("[[1.0, 4.5], [10.0, 12.0]]", ((1.0, 4.5), (10.0, 12.0))),
    ("1.0 - 4.5, 10 - 12", ((1.0, 4.5), (10.0, 12.0))),
    ("The event happens from 1.0 to 4.5 seconds and from 10.0 to 12.0 seconds.", ((1.0, 4.5), (10.0, 12.0))),
    ("1. 2s - 5s\n2. 8s - 9s\n3. 20s - 31s", ((2.0, 5.0), (8.0, 9.0), (20.0, 31.0))),
    ("- 2.0 to 5.0\n- 8.0 to 9.0", ((2.0, 5.0), (8.0, 9.0))),
    ('```json\n[{"start": 2, "end": 5}, {"start": 8, "end": 9}]\n```', ((2.0, 5.0), (8.0, 9.0))),
    ('{"spans": [[2, 5], [8, 9]]}', ((2.0, 5.0), (8.0, 9.0))),
    ("<answer>2 to 5, 8 to 9</answer>", ((2.0, 5.0), (8.0, 9.0))),
    ("It occurs twice: 2s-5s and again 8s-9s.", ((2.0, 5.0), (8.0, 9.0))),
    ("2-5 s; 8-9 s; 20-31 s", ((2.0, 5.0), (8.0, 9.0), (20.0, 31.0))),
    ("(2.0, 5.0) and (8.0, 9.0)", ((2.0, 5.0), (8.0, 9.0))),
    ("First from 2 to 5 seconds, then between 8 and 9 seconds.", ((2.0, 5.0), (8.0, 9.0))),
    ("00:02 - 00:05, 01:08 - 01:09", ((2.0, 5.0), (68.0, 69.0))),
    ("<think>maybe 1 to 2</think>[[2, 5], [8, 9]]", ((2.0, 5.0), (8.0, 9.0))),
)
CLOCK = (
    ("00:12 - 00:18", ((12.0, 18.0),)),
    ("0:12-0:18", ((12.0, 18.0),)),
    ("00:01:12 to 00:01:18", ((72.0, 78.0),)),
    ("From 01:05 to 01:20.", ((65.0, 80.0),)),
    ("Start: 00:12, End: 00:18", ((12.0, 18.0),)),
    ('{"start_time": "00:12", "end_time": "01:18"}', ((12.0, 78.0),)),
    ("[00:12, 00:18]", ((12.0, 18.0),)),
    ("00:12.500 --> 00:18.250", ((12.5, 18.25),)),
    ("00:00:12,500 --> 00:00:18,250", ((12.5, 18.25),)),
    ("The event starts at 00:00:18 and ends at 00:00:23.", ((18.0, 23.0),)),
    ("It occurs between 1:02:03 and 1:02:10.", ((3723.0, 3730.0),)),
    ("1m 12s to 1m 18s", ((72.0, 78.0),)),
    ("1 minute 5 seconds to 1 minute 20 seconds", ((65.0, 80.0),)),
    ("1min05s - 1min20s", ((65.0, 80.0),)),
    ("<answer>01:12-01:18</answer>", ((72.0, 78.0),)),
    ("1200ms - 4500 ms", ((1.2, 4.5),)),
)
ABSENT = (
    "The event does not occur in the video.", "No such event happens in this video.", "not present", "None",
    "The described action is not shown in the video.", "<answer>No relevant segment</answer>", "[]", '{"spans": []}',
    "There is no moment in the video where a dog jumps.", "The query does not match any part of the video.",
    "I could not find this event anywhere in the video.", "<think>At 3 s a cat passes.</think>It never happens.",
    "This event is absent from the video.", "N/A", "The video does not contain the described event.",
)  # fmt: skip
NOTHING = (
    "", "   ", "I'm sorry, I cannot help with that.", "The man walks across the room.", "<think>It starts at 3 s",
    "The event happens in", '```json\n{"start": ', "There are 3 people in the video.",
    "<think>From 3 to 5 seconds the man sits.</think>", "Yes.", "A man opens the door at the beginning of the video.",
)  # fmt: skip
TRAPS = (
    ("The video is 120 seconds long. The event happens from 30 to 45 seconds.", ((30.0, 45.0),)),
    ("In the 2-minute video, the man waves from 30s to 45s.", ((30.0, 45.0),)),
    ("Two people enter. The 3 dogs run from 30 to 45 s.", ((30.0, 45.0),)),
    ("The event lasts 15 seconds, from 30 to 45 seconds.", ((30.0, 45.0),)),
    ("The event happens from 30 to 45 seconds, lasting 15 seconds.", ((30.0, 45.0),)),
    ("Video 3, query 7: 30.0 - 45.0", ((30.0, 45.0),)),
    ("30.0 - 45.0 (confidence: 0.87)", ((30.0, 45.0),)),
    ('{"start": 30.0, "end": 45.0, "confidence": 0.87}', ((30.0, 45.0),)),
    ('{"answer": {"start": 30, "end": 45}, "reason": "2 men at 3 to 4 s talk first"}', ((30.0, 45.0),)),
    ("The event happens from 30 to 45 seconds out of 120 seconds.", ((30.0, 45.0),)),
    ("At 30 s he lifts the cup; at 45 s he puts it down. So the answer is 30 to 45.", ((30.0, 45.0),)),
    ("<think>30 to 45? No: 50 to 60.</think><answer>50 to 60</answer>", ((50.0, 60.0),)),
    ("<think>First 1-2 s.</think>\n\n<answer>\n30.0 to 45.0\n</answer>\n", ((30.0, 45.0),)),
    ("<answer>30.0 to 45.0", ((30.0, 45.0),)),
    ("30.0 to 45.0</answer>", ((30.0, 45.0),)),
    ('```json\n[{"start": 30, "end": 45}, {"start": 50, "e', ((30.0, 45.0),)),
    ("The event happens from 30 to 45 seconds. Let me know if you need anything else!", ((30.0, 45.0),)),
    ("The event happens from 30 to 45 seconds. The event happens from 30 to 45 seconds.", ((30.0, 45.0),)),
    ("**Answer:** 30s to 45s\n\n**Explanation:** the man in shirt number 10 scores.", ((30.0, 45.0),)),
    ("30 to 45 seconds (frames 900 to 1350)", ((30.0, 45.0),)),
)


def probes() -> Iterator[Case]:
    """All texts with their readings."""
    for text in ONE:
        for a, b in NUMBERS:
            yield Case("one span", "", text.format(a=a, b=b), ((float(a), float(b)),))
    for group, rows in (("several spans", MANY), ("clock times", CLOCK), ("traps", TRAPS)):
        for said, spans in rows:
            yield Case(group, "", said, spans)
    for said in ABSENT:
        yield Case("absent", "", said, (), "absent")
    for said in NOTHING:
        yield Case("nothing to read", "", said, ())

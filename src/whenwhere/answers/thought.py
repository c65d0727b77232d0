r"""What is thinking and what is answer: the one place where a text is divided.

Thinking never leaks into an answer. These rules are applied in order:

1. A thought runs from an opening tag to the closing tag that balances it; nested tags count.
2. A closing tag without an opening one ends a thought that began with the text (chat templates put `<think>` into the
   prompt). After an answer tag it is stray and ignored.
3. A thought that is never closed runs to the end of the text: there is no answer, and the text is `truncated`. The
   exception is a text that ends with a complete answer tag: the model only forgot to close the thought, and that tag is
   the answer.
4. Tool calls, their results and draft boxes (`<think_bbox>`) are thinking too.
5. In the rest, the *last* complete container counts, because models correct themselves by writing again: `<answer>`,
   GLM's `<|begin_of_box|>`, else the text after the last "final answer:" (or "answer:"), else everything.

Spans may have a container of their own inside or next to that one: `<glue>`, `<time>`.

>>> split_thought("<think>2 people, 3 to 5</think> <answer>12 to 17</answer>").answer
'12 to 17'
>>> split_thought("first 3 to 5, no </think>12 to 17").answer
'12 to 17'
>>> split_thought("<think>I guess <answer>3 to 5</answer> but").truncated
True
"""

import re
from dataclasses import dataclass, field

_THOUGHT = (
    r"think|thinking|thought|thoughts|reason|reasoning|analysis|reflection|scratchpad|timestep|think_bbox|"
    r"tool_call|tool_calls|tool_response|tool_result"
)
_TAG = re.compile(
    rf"<\s?(?P<close>/)?\s?(?:{_THOUGHT})\s?>|◁(?P<close2>/)?think▷|\[(?P<close3>/)?THINK\]"
    r"|<\|(?:begin_of|end_of)_thought\|>",
    re.IGNORECASE,
)
_ANSWER = re.compile(r"<\s?(/?)\s?(?:answer|final_answer|final)\s?>", re.IGNORECASE)
_BOXED_TEXT = re.compile(r"<\|(begin|end)_of_box\|>")
_CHANNEL = re.compile(r"<\|channel\|>\s?final\s?(?:<\|[a-z_]{1,20}\|>[^<]{0,40}){0,3}<\|message\|>")
_MARKER = re.compile(
    r"(?:final\s+answer|(?<![\w<])answer)\s?(?:is\s?)?(?:\*\*|__)?\s?[:：](?:\*\*|__)?|\bthe\s(?:final\s)?answer\sis\b",
    re.IGNORECASE,
)
_SPECIAL = re.compile(r"<\|(?:im_end|im_start|endoftext|eot_id|end|return|assistant|user)\|>|</s>")


@dataclass(slots=True)
class ThoughtSplit:
    """A text divided into thinking and answer.

    Attributes:
        answer: The part that counts as the answer, empty where there is none.
        thought: The thinking without its tags; None where there was none.
        rest: Everything that is not thinking. A choice or a span may stand outside the answer's container.
        truncated: Whether the text stops inside a thought or a container.
        reasons: What was noticed.
    """

    answer: str
    thought: str | None
    rest: str
    truncated: bool = False
    reasons: list[str] = field(default_factory=list)


def split_thought(text: str) -> ThoughtSplit:
    """Divides a text into thinking and answer by the module's rules."""
    reasons: list[str] = []
    channel = last_match(_CHANNEL, text)
    before = ""
    if channel is not None:
        before, text = text[: channel.start()], text[channel.end() :]
    text = _SPECIAL.sub(" ", text)
    rest, thought, unclosed = _without_thoughts(text, reasons)
    if before:
        thought = (before + "\n" + (thought or "")).strip()
    answer, cut_short = _container(rest, reasons)
    return ThoughtSplit(answer, thought, rest, unclosed or cut_short, reasons)


def closes_thought(text: str) -> bool:
    """Whether a text contains the end of a thought.

    >>> closes_thought("so it is 3 to 5.</think>3 to 5"), closes_thought("<think>3 to 5")
    (True, False)
    """
    return any(t["close"] or t["close2"] or t["close3"] or "end_of" in t.group().lower() for t in _TAG.finditer(text))


def last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The last match in a text, or None."""
    found = None
    for m in pattern.finditer(text):
        found = m
    return found


def _without_thoughts(text: str, reasons: list[str]) -> tuple[str, str | None, bool]:
    """The text outside its thoughts, the thoughts, and whether the last one was never closed."""
    outside: list[str] = []
    inside: list[str] = []
    depth = at = 0
    opened_at = 0
    for tag in _TAG.finditer(text):
        piece = text[at : tag.start()]
        closes = bool(tag["close"] or tag["close2"] or tag["close3"]) or tag.group().lower() == "<|end_of_thought|>"
        at = tag.end()
        if depth:
            inside.append(piece)
        elif closes and inside and not text[at:].strip():
            outside.append(piece)  # closed twice
        elif closes and not _ANSWER.search(piece) and not any(_ANSWER.search(p) for p in outside[-1:]):
            # The opening tag of this thought is in the prompt.
            inside.extend([*outside, piece])
            outside.clear()
        else:
            outside.append(piece)
        if closes:
            depth = max(0, depth - 1)
        else:
            if not depth:
                opened_at = tag.end()
            depth += 1
    tail = text[at:]
    unclosed = depth > 0
    if unclosed:
        whole = _last_whole_answer(text, opened_at)
        if whole is not None:
            reasons.append("the thought is not closed; the answer tag at the end is used")
            inside.append(text[opened_at : whole[0]])
            outside.append(text[whole[0] :])
            unclosed = False
        else:
            reasons.append("the thought is not closed")
            inside.append(tail)
    else:
        outside.append(tail)
    thought = "\n".join(p.strip() for p in inside if p.strip()) if inside else None
    return " ".join(outside), thought, unclosed


def _last_whole_answer(text: str, start: int) -> tuple[int, int] | None:
    """Start and end of a complete answer tag after `start` with which the text ends, else None."""
    opened = None
    found = None
    for tag in _ANSWER.finditer(text, start):
        if not tag[1]:
            opened = tag.start()
        elif opened is not None:
            found, opened = (opened, tag.end()), None
    if found is None or text[found[1] :].strip() or _TAG.search(text, found[0]):
        return None
    return found


def _container(rest: str, reasons: list[str]) -> tuple[str, bool]:
    """The content of the container that counts, and whether it was cut short."""
    for pattern, opens in ((_ANSWER, ("",)), (_BOXED_TEXT, ("begin",))):
        whole: list[str] = []
        opened = None
        for tag in pattern.finditer(rest):
            if tag[1] in opens:
                opened = tag.end()
            elif opened is not None:
                whole.append(rest[opened : tag.start()])
                opened = None
        whole = [w for w in whole if w.strip()] or whole[-1:]
        if len({w.strip() for w in whole}) > 1:
            reasons.append(f"{len(whole)} answers; the last one is used")
        if opened is not None and rest[opened:].strip():
            reasons.append("the answer is not closed")
            return _unboxed(rest[opened:]), True
        if whole:
            return _unboxed(whole[-1]), False
    last = last_match(_MARKER, rest)
    if last is not None and re.search(r"\w", rest[last.end() :]):
        return rest[last.end() :], False
    return rest, False


def _unboxed(text: str) -> str:
    """Content without GLM's marks around it."""
    parts = _BOXED_TEXT.split(text)
    if len(parts) < 3:
        return _BOXED_TEXT.sub(" ", text)
    return parts[2]

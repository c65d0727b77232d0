"""Structured answers of a language model: a list of objects, checked, with one repair turn and a record of every call.

The planner and the judges ask through this module. A model is held to a JSON schema if it can be: a checkpoint in
this process always, a server if it knows `json_schema`. A server that turns out not to know it is asked for JSON Lines
between tags from then on. Whatever comes, all forms are read: JSON with or without words or fences around it, JSON
Lines between tags, bare JSON Lines.

An answer that cannot be used is sent back once with the error that its check found. If the second one cannot be used
either, that is an error and never an empty list.

Every call is appended to a file (`CallLog`) with its prompt and its reply. The file also makes a run resumable: a call
whose reply was used is not made again.
"""

import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from whenwhere.chat.response_cache import ResponseCache
from whenwhere.errors import RecordError, WhenwhereError
from whenwhere.models.backends import ModelBackend, ModelCall, ModelReply
from whenwhere.models.backends.endpoint import EndpointBackend
from whenwhere.readers import parse_json, quoted, read_lines
from whenwhere.store import append_line

T = TypeVar("T")

#: Context assumed of a server that does not tell its own, in tokens.
CONTEXT = 65_536
#: Most characters of an unusable answer that are shown to the model again.
_SHOWN_AGAIN = 12_000
_THOUGHT = re.compile(r"^.*?</think(?:ing)?>", re.S)
_FENCE = re.compile(r"```(?:json[lc5]?)?[ \t]*\n(.*?)```", re.S | re.I)
_TAGGED = re.compile(r"<predictions>((?:(?!<predictions>).)*?)</predictions>", re.S | re.I)
_OPENED = re.compile(r"<predictions>\s*[{`\[]", re.I)
_DISCUSSION = re.compile(r"<discussion>(.*?)</discussion>", re.S | re.I)


class AnswerError(RecordError):
    """An answer does not have the form that was asked for; the message says what is wrong, and is sent to the model."""


@dataclass(frozen=True)
class RawAnswer:
    """An answer as it was read, before its objects are checked.

    Attributes:
        discussion: What the model wrote as its reasons; may be empty.
        objects: For each object of the list, where it stands in the answer ("item 2", "line 5") and its fields.
    """

    discussion: str
    objects: list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class StructuredQuestion(Generic[T]):
    """What a model is asked, the form of its answer, and the check of it.

    Attributes:
        step: What the call is for (`plan`, `judgement`), for the record of calls.
        task: The prompt without the description of the answer's form.
        fields: The description of an object's fields in words.
        key: Name of the list in the JSON form.
        schema: JSON schema of one object of the list.
        read: Makes the wanted value from a raw answer; raises `AnswerError` if the answer cannot be used.
    """

    step: str
    task: str
    fields: str
    key: str
    schema: dict[str, Any]
    read: Callable[[RawAnswer], T]

    def answer_schema(self) -> dict[str, Any]:
        """JSON schema of the whole answer. Only keywords that servers and the local grammar have in common are used."""
        return {
            "type": "object",
            "properties": {"discussion": {"type": "string"}, self.key: {"type": "array", "items": self.schema}},
            "required": ["discussion", self.key],
            "additionalProperties": False,
        }

    def prompt(self, as_json: bool) -> str:
        """The whole prompt, with the answer's form: one JSON object, or JSON Lines between tags."""
        if as_json:
            form = (
                f'Answer with one JSON object and nothing else. It has two fields: "discussion", your reasons in a few '
                f'sentences, and "{self.key}", a list of objects. {self.fields}'
            )
        else:
            form = (
                "Answer in two parts. First your reasons in a few sentences, between <discussion> and </discussion>. "
                "Then, between <predictions> and </predictions>, one JSON object per line and no other text. "
                f"{self.fields}"
            )
        return f"{self.task}\n\n{form}"


@dataclass(frozen=True)
class Answered(Generic[T]):
    """A checked answer.

    Attributes:
        value: The checked value.
        discussion: The model's reasons.
        prompt: The first prompt that was sent.
        repaired: The error of the first answer if a second one was needed, else None.
    """

    value: T
    discussion: str
    prompt: str
    repaired: str | None = None


@dataclass
class CallLog:
    """The record of a run's calls, one line for each; several threads may write it at the same time.

    Attributes:
        path: The JSON Lines file, which is read first if it exists. None keeps the calls in memory only.
    """

    path: Path | None = None
    _replies: dict[str, ModelReply] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if self.path is None or not self.path.exists():
            return
        for _, line in read_lines(self.path):
            try:
                value = json.loads(line)
                reply, error, key = ModelReply(**{**value["reply"], "cached": True}), value["error"], str(value["key"])
            except (ValueError, TypeError, KeyError, RecursionError):
                continue  # a line that a killed run left torn: its call is made again
            if error is None and isinstance(reply.text, str) and reply.finish == "stop":
                self._replies[key] = reply

    @staticmethod
    def key(model: str, call: ModelCall) -> str:
        """The key of a call: a hash of all that its reply depends on."""
        return ResponseCache.key(model, call.prompt, call.schema, call.max_tokens, call.temperature, call.seed)

    def find(self, key: str) -> ModelReply | None:
        """The reply of an earlier call that was used, or None."""
        return self._replies.get(key)

    def write(self, model: str, call: ModelCall, reply: ModelReply, error: str | None) -> None:
        """Append a call.

        Args:
            model: The model's name.
            call: The call.
            reply: The reply.
            error: Why the reply could not be used; None if it was.
        """
        key = self.key(model, call)
        kept = {k: v for k, v in asdict(reply).items() if k in _KEPT}
        row = {
            "key": key, "model": model, "step": call.step, "max_tokens": call.max_tokens, "seed": call.seed,
            "temperature": call.temperature, "error": error, "reply": kept, "prompt": call.prompt,
            "schema": call.schema,
        }  # fmt: skip
        with self._lock:
            if error is None:
                self._replies[key] = reply
            if self.path is not None:
                append_line(self.path, json.dumps(row, ensure_ascii=False).encode("utf-8", "replace").decode())


#: Fields of a reply that the record keeps.
_KEPT = ("text", "prompt_tokens", "output_tokens", "seconds", "finish", "error", "thought")


@dataclass(frozen=True)
class Sampling:
    """How answers are sampled.

    Attributes:
        max_tokens: Largest number of tokens in an answer, with its reasoning.
        temperature: Sampling temperature; 0 takes the likeliest tokens.
        seed: Seed of the sampling.
    """

    max_tokens: int = 8192
    temperature: float = 0.0
    seed: int = 0


def ask(backend: ModelBackend, question: StructuredQuestion[T], sampling: Sampling, log: CallLog) -> Answered[T]:
    """Ask a question, check the answer, and let the model repair it once.

    Args:
        backend: The model.
        question: The question with the check of its answer.
        sampling: How the answer is sampled.
        log: The record of calls.

    Raises:
        ChatError, ModelError: The model gave no answer, declined, or gave two answers that cannot be used.
    """
    as_json = not lacks_schemas(backend)
    prompt = first = question.prompt(as_json)
    faults: list[str] = []
    for _ in range(2):
        call = ModelCall(
            np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0), prompt, question.answer_schema() if as_json else None,
            sampling.max_tokens, sampling.temperature, sampling.seed, question.step,
        )  # fmt: skip
        reply = log.find(log.key(backend.name, call)) or backend.ask([call])[0]
        try:
            raw = read_reply(reply, question.key, sampling.max_tokens, backend.error_type)
            value = question.read(raw)
        except WhenwhereError as e:
            if not reply.cached:
                log.write(backend.name, call, reply, str(e))
            if not isinstance(e, AnswerError):
                # A server's error names its address already.
                named = backend.name.split("#")[0] in str(e)
                raise backend.error_type(str(e) if named else f"{backend.name}: {e}") from e
            faults.append(str(e))
            as_json = as_json and not lacks_schemas(backend)
            prompt = _repair(question.prompt(as_json), reply.text, str(e))
            continue
        if not reply.cached:
            log.write(backend.name, call, reply, None)
        return Answered(value, raw.discussion, first, faults[0] if faults else None)
    raise backend.error_type(
        f"{backend.name} gave no {question.step} that can be used: {faults[1]} (its first answer: {faults[0]}); try "
        "another model, another seed, or a larger --max-tokens"
    )


def lacks_schemas(backend: ModelBackend) -> bool:
    """Whether a server turned out not to hold its answers to a schema."""
    return isinstance(backend, EndpointBackend) and "json_schema" in backend.client.conceded


def context_tokens(backend: ModelBackend) -> int | None:
    """Tokens that a model can hold, prompt and answer together; None if neither the model nor its server says.

    Of the servers, vLLM and OpenRouter name the number in their list of models.

    Args:
        backend: The model.
    """
    if not isinstance(backend, EndpointBackend):
        return backend.context_length
    address = backend.client.address
    try:
        listed = backend.client.call(f"{address.base.removeprefix(address.root)}/models").value["data"]
        entry = next(m for m in listed if m["id"] == address.model)
        found = entry.get("max_model_len") or entry.get("context_length")
    except (WhenwhereError, LookupError, TypeError, AttributeError, StopIteration):
        return None
    return found if isinstance(found, int) and found > 0 else None


def read_reply(reply: ModelReply, key: str, max_tokens: int, error_type: type[WhenwhereError]) -> RawAnswer:
    """Read the list of objects that a reply holds, in whichever form it was written.

    Args:
        reply: The reply.
        key: Name of the list in the JSON form.
        max_tokens: Largest number of tokens that the answer could have, for the message about one that was cut off.
        error_type: The error to raise if there is no answer at all or the model declined.

    Raises:
        AnswerError: The answer is cut off, empty, or holds no list of objects.
    """
    if reply.error is not None:
        raise error_type(reply.error)
    if reply.finish == "refused":
        raise error_type(f"the model declined to answer: {quoted(reply.text, 160)}; try another model")
    if reply.finish == "length":
        raise AnswerError(f"the answer was cut off after {reply.output_tokens or max_tokens} tokens; write less")
    return read_answer(reply.text, key)


def read_answer(text: str, key: str) -> RawAnswer:
    r"""Read the list of objects in a text that a model wrote.

    Args:
        text: JSON, JSON with words or fences around it, JSON Lines between `<predictions>` tags, or bare JSON Lines.
        key: Name of the list in the JSON form.

    Raises:
        AnswerError: There is no list of objects, or a line of it cannot be read; the message names the line.

    >>> read_answer('Sure!\n```json\n{"discussion": "d", "items": [{"a": 1}]}\n```', "items").objects
    [('item 1', {'a': 1})]
    >>> read_answer('<discussion>d</discussion><predictions>\n{"a": 1}\n{"a": 2}\n</predictions>', "items").objects
    [('line 1', {'a': 1}), ('line 2', {'a': 2})]
    """
    body = _THOUGHT.sub("", text, count=1).strip().removeprefix("\ufeff").strip()
    if not body:
        raise AnswerError("the answer is empty; answer in the form that was asked for")
    discussion = " ".join(found.group(1).strip() for found in [_DISCUSSION.search(body)] if found)
    if (whole := _list_in(body, key, discussion)) is not None:
        return whole
    # What is said last counts: models name the tags, or write a draft, before they answer.
    if tagged := _TAGGED.findall(body):
        return RawAnswer(discussion, _lines(tagged[-1], key))
    if _OPENED.search(body):
        raise AnswerError("the closing tag </predictions> is missing; write the whole list")
    for candidate in [*reversed(_FENCE.findall(body)), body[body.find("{") : body.rfind("}") + 1]]:
        if (found := _list_in(candidate, key, discussion)) is not None:
            return found
    fenced = _FENCE.findall(body)
    lines = (fenced[-1] if fenced else body).strip().split("\n")
    objects = [number for number, line in enumerate(lines) if line.lstrip().startswith("{")]
    if objects:
        return RawAnswer(discussion, _lines("\n".join(lines[objects[0] : objects[-1] + 1]), key))
    if body.startswith("["):
        parse_json(body, "the answer", AnswerError, "write it as valid JSON")
    raise AnswerError(f'the answer holds no list "{key}", it begins {quoted(body, 60)}; answer in the form asked for')


def _list_in(text: str, key: str, discussion: str) -> RawAnswer | None:
    """The objects of a JSON text that is a list, or an object with the list; None if it is anything else."""
    value = _json_or_none(text)
    if isinstance(value, dict) and key in value:
        if not isinstance(value[key], list):
            raise AnswerError(f'"{key}" is {quoted(value[key])} and not a list; write a list of objects')
        said = value.get("discussion")
        return RawAnswer(said if isinstance(said, str) else discussion, _objects(value[key], "item"))
    return RawAnswer(discussion, _objects(value, "item")) if isinstance(value, list) and value else None


def _lines(block: str, key: str) -> list[tuple[str, dict[str, Any]]]:
    """The objects of JSON Lines; a JSON list, or an object that holds the list, is read too."""
    fenced = _FENCE.search(block)
    if (whole := _list_in(fenced.group(1) if fenced else block, key, "")) is not None:
        return whole.objects
    remedy = "write one object per line"
    # Only line feeds end a line: JSON may hold other separators in its texts.
    return [
        _object(f"line {number}", parse_json(line.strip().rstrip(","), f"line {number}", AnswerError, remedy))
        for number, line in enumerate(block.strip().split("\n"), 1)
        if line.strip() and not line.strip().startswith("```")
    ]


def _objects(values: Sequence[Any], unit: str) -> list[tuple[str, dict[str, Any]]]:
    """The values, which must be objects, each with its place such as "item 2"."""
    return [_object(f"{unit} {number}", value) for number, value in enumerate(values, 1)]


def _object(place: str, value: Any) -> tuple[str, dict[str, Any]]:
    """A value, which must be an object, with its place.

    Raises:
        AnswerError: It is not an object.
    """
    if not isinstance(value, dict):
        raise AnswerError(f"{place} is {quoted(value)} and not an object; write an object with the fields asked for")
    return place, value


def _json_or_none(text: str) -> Any:
    """The value of a JSON text; None if it is not JSON."""
    try:
        return parse_json(text, "it")
    except RecordError:
        return None


def _repair(prompt: str, answer: str, fault: str) -> str:
    """The second prompt: the first one, the answer that cannot be used, and the fault of that answer."""
    shown = answer if len(answer) <= _SHOWN_AGAIN else answer[:_SHOWN_AGAIN] + " …"
    return (
        f"{prompt}\n\nYou answered this before:\n\n<previous_answer>\n{shown}\n</previous_answer>\n\n"
        f"It cannot be used: {fault}\n\nAnswer again, whole, with this mended."
    )

"""The OpenAI protocol: writes request bodies, reads completions and errors.

Servers that call themselves compatible differ in what they know. If one declines a field by name, the request is sent
again without it, and the completion says so (`conceded`): `json_schema` (then any JSON is asked for, with the schema in
words), `json_object` (the schema in words alone), `max_tokens` (the newer name `max_completion_tokens` is used),
`temperature`, `seed`, `stream_options`. Nothing else is ever left out.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from whenwhere.chat.completion import Completion, CompletionChoice, Finish
from whenwhere.chat.connection import RequestFailure
from whenwhere.chat.request import ChatRequest, Message, TextPart
from whenwhere.errors import RecordError
from whenwhere.readers import parse_json

#: Most characters of one answer with its thinking, if they are more than eight for each token that it may have. The
#: rest is dropped, and the answer counts as cut off.
LONGEST = 1 << 18
# Most answers to one question.
_MOST_CHOICES = 1024

#: HTTP statuses with which a server declines a request as it stands.
_DECLINED = {400, 404, 415, 422, 501}
_UNKNOWN = re.compile(
    r"support|unknown|unrecogni|unexpected|invalid|extra|permitted|allowed|unavailable|cannot|does not|enable", re.I
)
_TOO_LONG = re.compile(r"context.?(length|window)|maximum.{0,20}(context|length)|too (long|many tokens)", re.I)


def _is_object(request: ChatRequest) -> bool:
    """Whether the schema is an object: asked for "any JSON", servers give only objects and would wrap a list."""
    return request.schema is not None and request.schema.get("type") == "object"


# (feature, whether a request uses it, words of a server that declines it), tried in this order
_CONCESSIONS: tuple[tuple[str, Callable[[ChatRequest], bool], str], ...] = (
    ("max_tokens", lambda q: True, r"max_completion_tokens"),
    ("json_schema", lambda q: q.schema is not None, r"response_format|json_schema|structured|guided|grammar|schema"),
    ("json_object", _is_object, r"response_format|json_object|structured|guided|json"),
    ("stream_options", lambda q: True, r"stream_options|include_usage"),
    ("temperature", lambda q: True, r"\btemperature\b"),
    ("seed", lambda q: q.seed is not None, r"\bseed\b"),
)


def is_too_long(said: "ServerError") -> bool:
    """Whether a server says that the request does not fit into the model's context."""
    return said.code == "context_length_exceeded" or _TOO_LONG.search(said.message) is not None


@dataclass(frozen=True)
class ServerError:
    """An error as a server reports it.

    Attributes:
        message: The server's words, in one line of at most 300 characters.
        code: The server's name or number for the error, as text; may be empty.
        parameter: The field that the error is about; may be empty.
    """

    message: str
    code: str = ""
    parameter: str = ""


def request_body(request: ChatRequest, model: str, conceded: frozenset[str], stream: bool) -> bytes:
    """The body of the request, as JSON."""
    messages = list(request.messages)
    body: dict[str, Any] = {"model": model}
    if request.schema is not None:
        if "json_schema" not in conceded:
            form = {"name": "answer", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        else:
            last = messages[-1]
            words = f"Answer with JSON only, following this JSON schema: {json.dumps(request.schema)}"
            messages[-1] = Message(last.role, [*last.content(), TextPart(words)])
            if "json_object" not in conceded and _is_object(request):
                body["response_format"] = {"type": "json_object"}
    body["messages"] = [m.payload() for m in messages]
    body["max_completion_tokens" if "max_tokens" in conceded else "max_tokens"] = request.max_tokens
    if "temperature" not in conceded:
        body["temperature"] = request.temperature
    if request.seed is not None and "seed" not in conceded:
        body["seed"] = request.seed
    if request.n > 1:
        body["n"] = request.n
    if stream:
        body["stream"] = True
        if "stream_options" not in conceded:
            body["stream_options"] = {"include_usage": True}
    return json.dumps(body | request.extra, ensure_ascii=False).encode("utf-8", "replace")


def find_concession(
    request: ChatRequest, conceded: frozenset[str], stream: bool, status: int, said: ServerError
) -> str | None:
    """The feature that a server declined to have in a request; None if that is not what its error is about."""
    text = f"{said.parameter} {said.code} {said.message}"
    if status not in _DECLINED or not _UNKNOWN.search(text) or is_too_long(said):
        return None
    for name, used, words in _CONCESSIONS:
        if name in conceded or not used(request) or not re.search(words, text, re.I):
            continue
        if name == "json_object" and "json_schema" not in conceded:
            continue
        if name == "stream_options" and not stream:
            continue
        return name
    return None


def read_error(data: bytes | Any, hide: Callable[[str], str] = str) -> ServerError:
    """The error in a response, in whatever form the server writes it.

    Args:
        data: The body, or the JSON value that it holds.
        hide: Hides the key in a text; called before the text is cut to a length.

    >>> read_error(b'{"error": {"message": "no such model", "code": "model_not_found"}}')
    ServerError(message='no such model', code='model_not_found', parameter='')
    >>> read_error(b'{"detail": [{"loc": ["body", "n"], "msg": "too large"}]}').message
    'body n: too large'
    >>> read_error(b"<html>Bad gateway").message
    '<html>Bad gateway'
    """
    value = data
    if isinstance(data, bytes):
        try:
            value = parse_json(data, "it")
        except RecordError:
            value = data.decode("utf-8", "replace")
    error = value.get("error", value) if isinstance(value, dict) else value
    if not isinstance(error, dict):
        return ServerError(one_line(hide(error) if isinstance(error, str) else ""))
    message = error.get("message") or error.get("detail") or error.get("msg") or ""
    if isinstance(message, list):
        parts = [m for m in message if isinstance(m, dict)]
        message = "; ".join(f"{' '.join(map(str, _list(m.get('loc'))))}: {m.get('msg', '')}" for m in parts)
    message, code, param = (hide(str(said or "")) for said in (message, error.get("code"), error.get("param")))
    return ServerError(one_line(message), one_line(code, 80), one_line(param, 80))


def one_line(text: str, longest: int = 300) -> str:
    r"""A server's words in one line, without control characters and cut to a length.

    >>> one_line("bad\x1b[31m\nthing")
    'bad [31m thing'
    """
    text = text[: 8 * longest]  # a longer one is cut below in any case
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def join_surrogates(text: str) -> str:
    r"""The text with halves of characters joined where they belong together, and replaced where they stand alone.

    >>> join_surrogates("\ud83d\ude00 \ud83d")
    '😀 �'
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass
class _Draft:
    """One answer while it is being read, of at most `longest` characters."""

    longest: int
    # Pieces, joined at the end: adding to one text would copy it for each piece.
    text: list[str] = field(default_factory=list)
    thought: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    length: int = 0
    finish: str | None = None
    tokens: list[int] = field(default_factory=list)
    logps: list[float] = field(default_factory=list)

    def add(self, pieces: list[str], piece: str) -> None:
        """Add a piece to one of the texts, as far as there is room."""
        pieces.append(piece[: max(self.longest - self.length, 0)])
        self.length += len(piece)

    def choice(self) -> CompletionChoice:
        text, thought, refusal = (join_surrogates("".join(p)) for p in (self.text, self.thought, self.refusal))
        finish: Finish = "stop"
        if refusal or self.finish == "content_filter":
            finish = "refused"
        elif self.finish in ("length", "max_tokens") or self.length > self.longest:
            finish = "length"
        return CompletionChoice(text or refusal, finish, thought, tuple(self.tokens), tuple(self.logps))


@dataclass
class CompletionReader:
    """Reads one completion, plain or streamed.

    Args:
        request: The request, for estimates where the server does not count tokens.
        on_text: Called with each piece of the first answer.
        hide: Hides the key in a text.
    """

    request: ChatRequest
    on_text: Callable[[str], None] | None = None
    hide: Callable[[str], str] = str
    _drafts: dict[int, _Draft] = field(default_factory=dict)
    _usage: dict[str, Any] = field(default_factory=dict)
    _model: str = ""

    def plain(self, data: bytes) -> Completion:
        """The completion of a JSON body.

        Raises:
            RequestFailure: the body is not a completion of the protocol.
        """
        try:
            value = parse_json(data, "it", remedy="ask again")
        except RecordError as e:
            raise RequestFailure(f"answers with broken JSON ({one_line(str(e), 100)})") from None
        self._take(value, "message")
        return self._completion()

    def streamed(self, chunks: Iterator[bytes]) -> Completion:
        """The completion of a stream of events.

        Raises:
            RequestFailure: the stream is not one of the protocol, or it ends before the answer does.
        """
        for data in server_sent_events(chunks):
            if data == b"[DONE]":
                break
            try:
                value = parse_json(data, "it", remedy="ask again")
            except RecordError as e:
                raise RequestFailure(f"streams broken JSON ({one_line(str(e), 100)})") from None
            self._take(value, "delta")
        else:
            # some servers never say [DONE]; an answer is whole when each choice gave its reason to end
            if not self._drafts or any(d.finish is None for d in self._drafts.values()):
                raise RequestFailure("ended the stream in the middle of the answer", again=True, connection=True)
        return self._completion()

    def _take(self, value: Any, part: str) -> None:
        if not isinstance(value, dict):
            raise RequestFailure("answers with JSON that is no chat completion")
        if value.get("error"):
            said = read_error(value, self.hide)
            again = re.fullmatch("429|5[0-9][0-9]", said.code) is not None
            raise RequestFailure(f"reports an error: {said.message or said.code or 'unnamed'}", again=again)
        if isinstance(value.get("usage"), dict):
            self._usage = value["usage"]
        if isinstance(value.get("model"), str):
            self._model = one_line(self.hide(value["model"]), 200)
        choices = value.get("choices")
        if not isinstance(choices, list):
            if part == "delta" and choices is None:
                return
            raise RequestFailure("answers with JSON that is no chat completion: it has no choices")
        for place, choice in enumerate(choices):
            if not isinstance(choice, dict) or not isinstance(choice.get(part) or {}, dict):
                raise RequestFailure("answers with JSON that is no chat completion: a choice has no message")
            index = choice.get("index")
            self._add(index if isinstance(index, int) else place, choice.get(part) or {}, choice)

    def _add(self, index: int, said: dict[str, Any], choice: dict[str, Any]) -> None:
        if index not in self._drafts and len(self._drafts) >= _MOST_CHOICES:
            raise RequestFailure(f"sends more than {_MOST_CHOICES} answers to one question: this is not a chat server")
        draft = self._drafts.setdefault(index, _Draft(max(LONGEST, 8 * self.request.max_tokens)))
        finish = choice.get("finish_reason")
        draft.tokens += [t for t in _list(choice.get("token_ids")) if isinstance(t, int) and 0 <= t < 1 << 31]
        draft.logps += [_logp(entry) for entry in _list(_dict(choice.get("logprobs")).get("content"))]
        piece = _words(said.get("content"))
        draft.add(draft.text, piece)
        draft.add(draft.thought, _words(said.get("reasoning_content") or said.get("reasoning")))
        draft.add(draft.refusal, _words(said.get("refusal")))
        if isinstance(finish, str):
            draft.finish = finish
        if piece and index == 0 and self.on_text is not None:
            self.on_text(piece)

    def _completion(self) -> Completion:
        if not self._drafts:
            raise RequestFailure("answers without an answer: the list of choices is empty")
        choices = tuple(self._drafts[i].choice() for i in sorted(self._drafts))
        prompt, output = _count(self._usage.get("prompt_tokens")), _count(self._usage.get("completion_tokens"))
        details = self._usage.get("prompt_tokens_details")
        cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
        return Completion(
            choices=choices,
            prompt_tokens=self.request.prompt_tokens() if prompt is None else prompt,
            output_tokens=sum(TextPart(c.thought + c.text).tokens() for c in choices) if output is None else output,
            cached_tokens=cached or 0,
            counted=prompt is not None and output is not None,
            model=self._model,
        )


def _words(content: Any) -> str:
    """The text of a message: a string, or the text parts of a list. Nothing that is named there is fetched."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str))
    return ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _logp(entry: Any) -> float:
    value = _dict(entry).get("logprob")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return math.nan
    return float(value)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12 else None


def server_sent_events(chunks: Iterator[bytes]) -> Iterator[bytes]:
    r"""The data of server-sent events. Only line feeds split lines, as JSON may hold other line separators.

    >>> list(server_sent_events(iter([b"data: a\r\n\r\n: hm\ndata:", b" b\ndata: c\n\ndata: d"])))
    [b'a', b'b\nc', b'd']
    """
    rest, data = list[bytes](), list[bytes]()
    for chunk in chunks:
        # The pieces of an unfinished line are joined once, when it ends: a line may be as long as the whole stream.
        first, *lines = chunk.split(b"\n")
        rest.append(first)
        if not lines:
            continue
        lines.insert(0, b"".join(rest))
        rest = [lines.pop()]
        for line in lines:
            line = line.removesuffix(b"\r")
            if not line and data:
                yield b"\n".join(data)
                data = []
            elif line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
    last = b"".join(rest)
    if last.startswith(b"data:"):
        data.append(last.removesuffix(b"\r")[5:].removeprefix(b" "))
    if data:
        yield b"\n".join(data)

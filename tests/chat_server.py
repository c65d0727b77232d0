"""A local server that speaks the OpenAI protocol, and breaks it on request.

It serves `/v1/models` and `/v1/chat/completions`, plain and streamed, and is as strict as real servers are: an unknown
role, a picture that is no JPEG or PNG, a limit out of range is a 400 in OpenAI's form. What it says comes from a
function of the request:

    with ChatServer(lambda request: f"{len(request.pictures())} pictures") as server:
        client = Client(f"{server.url}#test-model")

`Fault`s, each used for one request, make it misbehave; `server.requests` keeps what came in. Tokens are counted by a
rule that a test can compute: four characters each, and one for 28 x 28 pixels of a picture. That the server itself is
right is shown by the official client (`test_chat_server.py`).
"""

import base64
import io
import json
import math
import re
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from PIL import Image

Kind = Literal[
    "status",  # answers `status` with an error in OpenAI's form
    "reset",  # closes the connection without a word
    "truncate",  # sends the first half of the answer and closes
    "malformed",  # JSON that is none, or a broken event
    "html",  # a web page
    "empty",  # no choices
    "wrong",  # JSON of another kind
    "hang",  # takes the request and is silent for `seconds`
    "drip",  # one byte now and then, for `seconds`
    "drip-headers",  # the same from the status line on
    "error-in-200",  # status 200 with an error inside
    "no-usage",  # does not count tokens
    "no-done",  # a stream without [DONE]
    "redirect",  # 307 to `message`
    "endless",  # sends and sends
    "zip",  # says that the answer is packed, which it is not
    "garbage",  # another protocol
]


@dataclass
class Fault:
    """One misbehaviour.

    Attributes:
        kind: see `Kind`.
        status, message, code, parameter: of the error; `message` may name {key}, which is the key that was sent.
        headers: sent in addition.
        seconds: how long it hangs or drips.
    """

    kind: Kind
    status: int = 500
    message: str = "made to fail"
    code: str | None = None
    parameter: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 30.0


@dataclass
class Said:
    """An answer with more than text in it.

    Attributes:
        text: the answer; None = the model says nothing.
        finish: reason that it ended; None = found from the text's length.
        refusal: words of a refusal.
        thought: thinking kept apart.
        token_ids: of its tokens, told where the request wants `return_token_ids`.
        logprobs: of its tokens, told where the request wants them.
    """

    text: str | None
    finish: str | None = None
    refusal: str | None = None
    thought: str | None = None
    token_ids: list[int] | None = None
    logprobs: list[float] | None = None


class Declined(Exception):
    """The request is not one of the protocol."""

    def __init__(self, message: str, parameter: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message, self.parameter, self.code, self.status = message, parameter, code, status


@dataclass
class Request:
    """What came in.

    Attributes:
        path: of the address.
        headers: names in lower case.
        body: the JSON.
        time: when, `time.monotonic()`.
        index: number of the answer, where several are wanted.
    """

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    time: float
    index: int = 0

    def parts(self) -> Iterator[dict[str, Any]]:
        """All parts of all messages, in order; plain words as a text part."""
        for message in self.body["messages"]:
            content = message["content"]
            yield from [{"type": "text", "text": content}] if isinstance(content, str) else content

    def text(self) -> str:
        """All words."""
        return "\n".join(p["text"] for p in self.parts() if p["type"] == "text")

    def pictures(self) -> list[np.ndarray]:
        """All pictures, those of clips too: (h, w, 3) uint8."""
        return [
            picture
            for p in self.parts()
            if p["type"] in ("image_url", "video_url")
            for picture in decoded(p[p["type"]]["url"])
        ]


def decoded(url: str) -> list[np.ndarray]:
    """Pictures of a data URL; a video's frames may be joined by commas."""
    kind, _, data = url.partition(";base64,")
    if kind not in ("data:image/jpeg", "data:image/png", "data:video/jpeg", "data:video/mp4"):
        raise Declined(f"Invalid media URL: {url[:30]}", "messages")
    if kind == "data:video/mp4":
        if b"ftyp" not in base64.b64decode(data, validate=True)[:64]:
            raise Declined("not an MP4 file", "messages")
        return []
    try:
        return [
            np.asarray(Image.open(io.BytesIO(base64.b64decode(one, validate=True))).convert("RGB"))
            for one in data.split(",")
        ]
    except (ValueError, OSError) as e:
        raise Declined(f"Failed to load image: {e}", "messages") from e


def tokens(text: str) -> int:
    """As this server counts them."""
    return math.ceil(len(text) / 4)


Answer = Callable[[Request], "str | Said"]
#: Status and JSON value that are answered to a request outside of the OpenAI protocol.
Route = Callable[[Request], tuple[int, Any]]


class ChatServer:
    """The server; a context manager, or `start` and `stop`.

    Args:
        answer: what is said to a request.
        models: names of the models.
        faults: misbehaviours of the first chat requests, one each; more can be put into `faults` later.
        key: requests without this key are refused.
        lacks: names of fields that the server does not know: it declines requests with them.
        seconds: that each answer takes.
        always: misbehaviour of every request.
        tls: speak https, with a certificate made on the spot, which nobody trusts unless told to (`trust`).
        owner: program that the list of models names.
        routes: what is answered at addresses of its own, which are not under /v1.
        tells: further fields of each model in the list of models, such as vLLM's `max_model_len`.
    """

    def __init__(
        self,
        answer: Answer = lambda request: "hello",
        models: Iterable[str] = ("test-model",),
        faults: Iterable[Fault] = (),
        key: str | None = None,
        lacks: Iterable[str] = (),
        seconds: float = 0.0,
        always: Fault | None = None,
        tls: bool = False,
        owner: str = "test",
        routes: Mapping[str, Route] | None = None,
        tells: Mapping[str, Any] | None = None,
    ) -> None:
        self.answer, self.models, self.key, self.seconds, self.always = answer, list(models), key, seconds, always
        self.faults: deque[Fault | None] = deque(faults)
        self.lacks, self.tls = set(lacks), tls
        self.owner, self.routes, self.tells = owner, routes or {}, tells or {}
        self.requests: list[Request] = []
        self.answered = self.under_way = self.most_at_once = 0
        self.lock = threading.Lock()
        self.stopping = threading.Event()

    def start(self) -> Self:
        owner = self

        class Handler(_Handler):
            server_: ChatServer = owner

        self._http = _Server(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        if self.tls:
            import trustme

            self._authority = trustme.CA()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def trust(self, path: Path) -> Path:
        """Writes the certificate of whoever signed the server's, for `SSL_CERT_FILE`."""
        self._authority.cert_pem.write_to_path(str(path))
        return path

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self._http.server_address[1]}/v1"

    def prompt_tokens(self, request: Request) -> int:
        sizes = [p.shape for p in request.pictures()]
        return tokens(request.text()) + sum(math.ceil(h / 28) * math.ceil(w / 28) for h, w, _ in sizes)


class _Server(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that hang up are part of the tests


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_: ChatServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        s = self.server_
        try:
            self.authorise()
            if self.path != "/v1/models":
                raise Declined(f"Invalid URL (GET {self.path})", status=404)
            data = [{"id": m, "object": "model", "created": 0, "owned_by": s.owner, **s.tells} for m in s.models]
            self.send_json({"object": "list", "data": data})
        except Declined as e:
            self.send_error_json(e)

    def do_POST(self) -> None:
        s = self.server_
        with s.lock:
            s.under_way += 1
            s.most_at_once = max(s.most_at_once, s.under_way)
        try:
            self.talk()
        except Declined as e:
            self.send_error_json(e)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with s.lock:
                s.under_way -= 1

    def talk(self) -> None:
        s = self.server_
        data = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            body = json.loads(data)
        except ValueError as e:
            raise Declined(f"We could not parse the JSON body of your request: {e}") from e
        request = Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body, time.monotonic())
        with s.lock:
            s.requests.append(request)
            fault = s.always or (s.faults.popleft() if s.faults else None)
        self.authorise()
        route = s.routes.get(self.path)
        if route is None and self.path != "/v1/chat/completions":
            raise Declined(f"Invalid URL (POST {self.path})", status=404)
        if fault is not None and fault.kind not in ("truncate", "malformed", "no-usage", "no-done", "empty", "drip"):
            return self.misbehave(fault)
        if route is not None:
            status, value = route(request)
            return self.send_json(value, status)
        self.check(body)
        if s.seconds:
            s.stopping.wait(s.seconds)
        completion = self.completion(request)
        if fault is not None and fault.kind == "no-usage":
            del completion["usage"]
        if fault is not None and fault.kind == "empty":
            completion["choices"] = []
        # counted before its last bytes are sent, so that a client that has its answer sees it counted
        with s.lock:
            s.answered += 1
        try:
            if body.get("stream"):
                self.send_stream(completion, bool((body.get("stream_options") or {}).get("include_usage")), fault)
            else:
                self.send_body(json.dumps(completion).encode(), "application/json", fault)
        except BaseException:
            with s.lock:
                s.answered -= 1
            raise

    def authorise(self) -> None:
        sent = self.headers.get("authorization", "").removeprefix("Bearer ")
        if self.server_.key is not None and sent != self.server_.key:
            said = f"Incorrect API key provided: {sent}." if sent else "You didn't provide an API key."
            raise Declined(said, code="invalid_api_key", status=401)

    def check(self, body: dict[str, Any]) -> None:
        """Decline what the protocol does not know."""
        lacks = self.server_.lacks
        known = {
            "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "seed", "n", "stream",
            "stream_options", "response_format", "top_p", "stop", "user", "media_io_kwargs", "logprobs", "top_k",
            "return_token_ids", "logit_bias",
        }  # fmt: skip
        for name in sorted(body):
            form = (body.get("response_format") or {}).get("type") if name == "response_format" else None
            if name == "max_tokens" and name in lacks:
                raise Declined(
                    "Unsupported parameter: 'max_tokens' is not supported with this model. "
                    "Use 'max_completion_tokens' instead.",
                    name,
                    "unsupported_parameter",
                )
            if name in lacks or (form and form in lacks):
                raise Declined(f"Unsupported value: {form or name!r} is not supported with this model.", name)
            if name not in known:
                raise Declined(f"Unrecognized request argument supplied: {name}", name)
        if body.get("model") not in self.server_.models:
            said = f"The model `{body.get('model')}` does not exist."
            raise Declined(said, "model", "model_not_found", 404)
        for name, low, high in (("temperature", 0, 2), ("n", 1, 128), ("max_tokens", 1, 1 << 20)):
            if name in body and not low <= body[name] <= high:
                raise Declined(f"{name} must be between {low} and {high}", name)
        if body.get("stream_options") and not body.get("stream"):
            raise Declined("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            raise Declined("[] is too short - 'messages'", "messages")
        form = body.get("response_format") or {"type": "text"}
        if form["type"] == "json_schema" and not re.fullmatch(r"[\w-]{1,64}", form["json_schema"]["name"]):
            raise Declined("Invalid 'response_format.json_schema.name'", "response_format")
        if form["type"] == "json_object" and "json" not in json.dumps(body["messages"]).lower():
            raise Declined("'messages' must contain the word 'json' in some form", "messages")
        for message in body["messages"]:
            if message.get("role") not in ("system", "developer", "user", "assistant"):
                raise Declined(f"Invalid value: '{message.get('role')}'", "messages")
            if isinstance(message.get("content"), str):
                continue
            for part in message["content"]:
                kind = part.get("type")
                if kind == "text" and isinstance(part.get("text"), str):
                    continue
                if kind in ("image_url", "video_url") and kind not in lacks and isinstance(part.get(kind), dict):
                    decoded(part[kind]["url"])
                    continue
                raise Declined(f"Invalid value: '{kind}'", "messages")

    def completion(self, request: Request) -> dict[str, Any]:
        body, s = request.body, self.server_
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or 1 << 20
        choices, written = [], 0
        for i in range(body.get("n") or 1):
            request.index = i
            said = s.answer(request)
            said = said if isinstance(said, Said) else Said(said)
            text, finish = said.text, said.finish or "stop"
            if text is not None and tokens(text) > limit:
                text, finish = text[: 4 * limit], "length"
            written += tokens(text or "") + tokens(said.thought or "")
            message = {"role": "assistant", "content": text, "refusal": said.refusal}
            if said.thought is not None:
                message["reasoning_content"] = said.thought
            logprobs = None
            if body.get("logprobs") and said.logprobs is not None:
                logprobs = {"content": [{"token": "?", "logprob": p, "top_logprobs": []} for p in said.logprobs]}
            choice = {"index": i, "message": message, "finish_reason": finish, "logprobs": logprobs}
            if body.get("return_token_ids") and said.token_ids is not None:
                choice["token_ids"] = said.token_ids
            choices.append(choice)
        prompt = s.prompt_tokens(request)
        usage = {
            "prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written,
            "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
        }  # fmt: skip
        return {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": choices,
            "usage": usage,
        }  # fmt: skip

    def send_stream(self, completion: dict[str, Any], usage: bool, fault: Fault | None) -> None:
        def event(value: dict[str, Any]) -> bytes:
            return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"

        shared = {k: completion[k] for k in ("id", "created", "model")} | {"object": "chat.completion.chunk"}

        def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
            return event(shared | {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]})

        pieces = [b": a comment, as proxies send to keep a connection open\n\n"]
        for choice in completion["choices"]:
            i, message = choice["index"], choice["message"]
            pieces.append(chunk(i, {"role": "assistant", "content": ""}))
            for name in ("reasoning_content", "content", "refusal"):
                text = message.get(name) or ""
                step = max(7, len(text) // 200)
                pieces += [chunk(i, {name: text[k : k + step]}) for k in range(0, len(text), step)]
            pieces.append(chunk(i, {}, choice["finish_reason"]))
        if usage and "usage" in completion:
            pieces.append(event(shared | {"choices": [], "usage": completion["usage"]}))
        if fault is not None and fault.kind == "malformed":
            pieces.insert(2, b'data: {"choices": [{"index": 0, "delta\n\n')
        if fault is None or fault.kind != "no-done":
            pieces.append(b"data: [DONE]\n\n")
        self.start("text/event-stream; charset=utf-8", {"Transfer-Encoding": "chunked"}, 200)
        if fault is not None and fault.kind == "truncate":
            pieces = pieces[: len(pieces) // 2]
        for piece in pieces:
            if fault is not None and fault.kind == "drip":
                self.drip(fault.seconds)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if fault is not None and fault.kind == "truncate":
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def send_body(self, data: bytes, kind: str, fault: Fault | None) -> None:
        if fault is not None and fault.kind == "malformed":
            data = data[: len(data) // 2]
        self.start(kind, {"Content-Length": str(len(data))}, 200)
        if fault is not None and fault.kind == "truncate":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return
        if fault is not None and fault.kind == "drip":
            return self.drip(fault.seconds)
        self.wfile.write(data)

    def drip(self, seconds: float) -> None:
        for _ in range(int(seconds / 0.05)):
            if self.server_.stopping.wait(0.05):
                break
            self.wfile.write(b" ")
            self.wfile.flush()
        self.close_connection = True

    def misbehave(self, fault: Fault) -> None:
        if fault.kind == "status":
            key = self.headers.get("authorization", "").removeprefix("Bearer ")
            said = fault.message.replace("{key}", key)
            return self.send_error_json(Declined(said, fault.parameter, fault.code, fault.status), fault.headers)
        if fault.kind == "redirect":
            self.start("text/plain", {"Location": fault.message, "Content-Length": "0"}, 307)
        elif fault.kind == "html":
            page = b"<html><body>It works!</body></html>"
            self.start("text/html; charset=utf-8", {"Content-Length": str(len(page))}, 200)
            self.wfile.write(page)
        elif fault.kind == "wrong":
            self.send_json({"hello": ["world"]})
        elif fault.kind == "error-in-200":
            self.send_json({"error": {"message": fault.message, "code": fault.status}})
        elif fault.kind == "zip":
            self.start("application/json", {"Content-Encoding": "gzip", "Content-Length": "2"}, 200)
            self.wfile.write(b"{}")
        elif fault.kind == "garbage":
            self.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
            self.close_connection = True
        elif fault.kind == "hang":
            self.server_.stopping.wait(fault.seconds)
            self.close_connection = True
        elif fault.kind == "drip-headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            self.drip(fault.seconds)
        elif fault.kind == "endless":
            self.start("application/json", {"Connection": "close"}, 200)
            while not self.server_.stopping.is_set():
                self.wfile.write(b" " * 65536)
        elif fault.kind == "reset":
            # an RST, not a polite end
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

    def send_error_json(self, e: Declined, headers: dict[str, str] | None = None) -> None:
        error = {"message": e.message, "type": "invalid_request_error", "param": e.parameter, "code": e.code}
        self.send_json({"error": error}, e.status, headers)

    def send_json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.start("application/json", {"Content-Length": str(len(data)), **(headers or {})}, status)
        self.wfile.write(data)

    def start(self, kind: str, headers: dict[str, str], status: int) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

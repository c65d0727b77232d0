"""The client: sends requests to one model, repeats them after failures, counts what they cost, stores the answers.

Requests may come from any number of threads; no more than `concurrency` of them are with the server at a time. A
request is answered from the response cache if it was ever answered. Otherwise the budget is asked, then the server, and
the answer is on the disk before the caller sees it.
"""

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, TypeVar

from whenwhere.chat import protocol
from whenwhere.chat.address import Address
from whenwhere.chat.api_key import ApiKey
from whenwhere.chat.budget import Budget, Usage
from whenwhere.chat.completion import Completion, CompletionChoice
from whenwhere.chat.connection import Connection, IncomingResponse, RequestFailure
from whenwhere.chat.request import ChatRequest
from whenwhere.chat.response_cache import ResponseCache
from whenwhere.chat.retry import RetryPolicy, retry_after
from whenwhere.errors import ChatError, RecordError, SettingError
from whenwhere.readers import parse_json
from whenwhere.store import Cache

T = TypeVar("T")
Q = TypeVar("Q")

#: Part of every cache key: raised when what a stored answer depends on changes.
_KEY_VERSION = 1


@dataclass(frozen=True)
class ServerReply:
    """What a server answers outside of the OpenAI protocol.

    Attributes:
        status: The HTTP status.
        value: The JSON value of the body; None where it holds none.
        message: The server's words, if it reports an error; in one line.
    """

    status: int
    value: Any
    message: str


class Client:
    """Sends requests to one model behind one address.

    Args:
        model: `https://host/v1#model-name`; without a model's name the server's only model is taken.
        key_variable: Environment variable that holds the key. It is read once, here, and shown nowhere.
        cache: Where answers are kept. None is the user's cache folder.
        budget: What may be spent. None sets no limit.
        retry: Time-outs and further attempts. None takes the defaults of `RetryPolicy`.
        concurrency: Largest number of requests that are with the server at a time.
        stream: Whether answers are sent word by word; a server that is stuck shows sooner.

    Attributes:
        usage: What was spent so far.

    Raises:
        SettingError: the address or the key is not valid, or plain http leads to a public host.
        ChatError: the host is not known, or the server has several models and none was named.
    """

    def __init__(
        self,
        model: str,
        *,
        key_variable: str = "OPENAI_API_KEY",
        cache: Cache | None = None,
        budget: Budget | None = None,
        retry: RetryPolicy | None = None,
        concurrency: int = 8,
        stream: bool = False,
    ) -> None:
        if concurrency < 1:
            raise SettingError(f"at least one question is asked at once, not {concurrency}")
        self.address = Address.parse(model)
        with suppress(ChatError):
            self.address.check()
        self.budget = budget or Budget()
        self.retry = retry or RetryPolicy()
        self.stream = stream
        self.usage = Usage()
        self._key = ApiKey(key_variable)
        self._connections = [Connection(self.address, self._key, self.retry) for _ in range(concurrency)]
        # The connection that was used last is the first to be used again, since it is still open.
        self._free: queue.LifoQueue[Connection] = queue.LifoQueue()
        for connection in reversed(self._connections):
            self._free.put(connection)
        self._lock = threading.Lock()
        self._conceded: frozenset[str] = frozenset()
        self._down = self._closed = False
        # Set to end all waits and attempts; then replaced, since a notebook's user may ask again after an interrupt.
        self._stop = threading.Event()
        if not self.address.model:
            self.address = replace(self.address, model=self._only_model())
        self.responses = ResponseCache(cache or Cache(), "chat")

    def __repr__(self) -> str:
        return f"Client({self.address.base}#{self.address.model})"

    @property
    def conceded(self) -> frozenset[str]:
        """Features that the server turned out not to have (`protocol` lists them)."""
        return self._conceded

    def cache_key(self, request: ChatRequest) -> str:
        """The key under which the answer is stored; it depends on the server, the model and the whole request."""
        return ResponseCache.key(_KEY_VERSION, self.address.base, self.address.model, request.identity())

    def complete(self, request: ChatRequest, on_text: Callable[[str], None] | None = None) -> Completion:
        """Answer one request, from the cache or from the server.

        Args:
            request: The request.
            on_text: Called with the pieces of the first answer as they arrive. It is called only when streaming, and
                again from the start if the connection broke.

        Raises:
            ChatError: there is no answer; a `BudgetError` if the budget did not allow the request.
        """
        key = self.cache_key(request)
        if (stored := self.responses.read(key, Completion.from_json)) is not None:
            with self._lock:
                self.usage.stored += 1
            return replace(stored, stored=True)
        try:
            with self.budget.reserve(request.most_tokens()) as reservation, self._free_connection() as connection:
                completion = self._asked(connection, request, on_text)
                reservation.spent = completion.prompt_tokens + completion.output_tokens
                if reservation.spent:
                    # what a filter declined was not paid for, and it may pass another day
                    self.responses.write(key, completion.to_json(), model=self.address.model)
        except ChatError:
            with self._lock:
                self.usage.failures += 1
            raise
        with self._lock:
            self.usage.calls += 1
            self.usage.prompt_tokens += completion.prompt_tokens
            self.usage.cached_tokens += completion.cached_tokens
            self.usage.output_tokens += completion.output_tokens
            self.usage.seconds += completion.seconds
        return completion

    def complete_all(self, requests: Sequence[ChatRequest]) -> list[Completion | ChatError]:
        """Answer many requests at once. If one fails, its error takes the place of its completion."""
        return self._each(self.complete, requests)

    def call(self, path: str, body: dict[str, Any] | None = None) -> ServerReply:
        """Ask an address of the server that is not one of the OpenAI protocol; nothing is stored or counted.

        Args:
            path: The path, with a slash before it, after the address without `/v1`.
            body: The JSON value that is posted. None sends a GET request.

        Raises:
            ChatError: the server cannot be reached, is overloaded, or asks for another key.
        """
        content = None if body is None else json.dumps(body).encode()
        with self._free_connection() as connection:
            return self._tried(lambda: self._called(connection, path, content))[0]

    def call_all(self, path: str, bodies: Sequence[dict[str, Any]]) -> list[ServerReply | ChatError]:
        """Ask an address of the server many things at once (`call`); an error takes the place of its answer."""
        return self._each(lambda body: self.call(path, body), bodies)

    def models(self) -> list[str]:
        """Names of the models that the server has.

        Raises:
            ChatError: the server does not list them.
        """
        with self._free_connection() as connection:
            data = self._tried(lambda: self._listed(connection))[0]
        try:
            return [self._key.hide(str(m["id"])) for m in parse_json(data, "it")["data"]]
        except (RecordError, KeyError, TypeError) as e:
            raise ChatError(f"{self.address.base} does not list its models: does the address end in /v1?") from e

    def close(self) -> None:
        """End the requests that are under way and close the connections."""
        self._closed = True
        self._end()
        idle = []
        with suppress(queue.Empty):
            while True:
                idle.append(self._free.get_nowait())
        for connection in idle:
            connection.close()
            self._free.put(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _each(self, ask: Callable[[Q], T], requests: Sequence[Q]) -> list[T | ChatError]:
        """What a function gives for each request, several at once; a request's error takes the place of its answer."""

        def one(request: Q) -> T | ChatError:
            try:
                return ask(request)
            except ChatError as e:
                return e

        if len(requests) < 2:
            return [one(request) for request in requests]
        pool = ThreadPoolExecutor(min(len(self._connections), len(requests)), thread_name_prefix="whenwhere-chat")
        try:
            return list(pool.map(one, requests))
        except BaseException:
            # an interrupt does not wait for answers that may take minutes
            pool.shutdown(wait=False, cancel_futures=True)
            self._end()
            raise
        finally:
            pool.shutdown(wait=False)

    def _end(self) -> None:
        """End the requests that are under way."""
        self._stop.set()
        self._stop = threading.Event()
        for connection in self._connections:
            connection.cut()

    @contextmanager
    def _free_connection(self) -> Iterator[Connection]:
        """A connection for one request; waits while all of them are taken."""
        connection = self._free.get()
        try:
            if self._closed:
                raise ChatError(f"the connection to {self.address.base} was closed")
            yield connection
        finally:
            if self._closed:
                connection.close()
            # even a closed one, since another thread may be waiting for it
            self._free.put(connection)

    def _only_model(self) -> str:
        names = self.models()
        if len(names) != 1:
            listed = ", ".join(protocol.one_line(n, 80) for n in names[:8]) or "none"
            raise ChatError(
                f"{self.address.base} has {len(names)} models ({listed}): name one as {self.address.base}#name"
            )
        return names[0]

    def _called(self, connection: Connection, path: str, content: bytes | None) -> ServerReply:
        method = "GET" if content is None else "POST"
        with connection.request(method, self.address.root + path, content) as incoming:
            status = incoming.status
            if 300 <= status < 400 or status in (401, 403, 429, 502, 503, 504):
                raise self._declined(incoming, self._error(incoming))
            data = incoming.body()
        try:
            value = self._key.hide_in(parse_json(data, "it"))
        except RecordError:
            value = None
        said = protocol.read_error(data if value is None else value, self._key.hide)
        return ServerReply(status, value, said.message)

    def _listed(self, connection: Connection) -> bytes:
        with connection.request("GET", f"{self.address.base}/models") as incoming:
            if incoming.status != 200:
                raise self._declined(incoming, self._error(incoming))
            return incoming.body()

    def _asked(self, connection: Connection, request: ChatRequest, on_text: Callable[[str], None] | None) -> Completion:
        began = time.monotonic()
        completion, tries = self._tried(lambda: self._attempt(connection, request, on_text))
        used = self._conceded & {"json_schema", "json_object", "temperature", "seed"}
        if request.schema is None:
            used -= {"json_schema", "json_object"}
        if request.seed is None:
            used -= {"seed"}
        completion = replace(completion, seconds=time.monotonic() - began, attempts=tries, conceded=tuple(sorted(used)))
        # Servers repeat the key in any field, and all of them are stored.
        return Completion.from_json(self._key.hide_in(completion.to_json())) if self._key else completion

    def _tried(self, attempt: Callable[[], T]) -> tuple[T, int]:
        """The result of an attempt that may be repeated, and the number of attempts that it took."""
        tries, stop = 0, self._stop
        while True:
            tries += 1
            try:
                result = attempt()
                self._down = False
                return result, tries
            except RequestFailure as failure:
                # After the server was given up on, each waiting request is tried once and does not wait through all
                # attempts again.
                last = tries > self.retry.retries or stop.is_set() or (failure.connection and self._down)
                too_long = failure.wait is not None and failure.wait > self.retry.longest
                if failure.again and not last and not too_long:
                    (self.retry.sleep or stop.wait)(self.retry.wait(tries, failure.wait))
                    if not stop.is_set():
                        with self._lock:
                            self.usage.retries += 1
                        continue
                self._down = failure.connection
                sentence = f"{self.address.base} {failure.sentence}"
                if too_long:
                    asked = f"{failure.wait:.0f} s" if failure.wait and failure.wait < 86_400 else "more than a day"
                    sentence += f"; it asks to wait {asked}"
                elif tries > 1:
                    sentence += f" ({tries} tries)"
                raise ChatError(self._key.hide(sentence)) from None

    def _attempt(
        self, connection: Connection, request: ChatRequest, on_text: Callable[[str], None] | None
    ) -> Completion:
        """Send a request, and again without each feature that the server turns out not to have."""
        while True:
            conceded = self._conceded
            content = protocol.request_body(request, self.address.model, conceded, self.stream)
            with connection.request("POST", f"{self.address.base}/chat/completions", content) as incoming:
                if incoming.status == 200:
                    return self._read(incoming, protocol.CompletionReader(request, on_text, self._key.hide))
                said = self._error(incoming)
                if said.code == "content_filter":
                    return Completion((CompletionChoice(said.message, "refused"),), counted=False)
                given_up = protocol.find_concession(request, conceded, self.stream, incoming.status, said)
                if given_up is None:
                    raise self._declined(incoming, said)
            with self._lock:
                self._conceded |= {given_up}

    def _read(self, incoming: IncomingResponse, reader: protocol.CompletionReader) -> Completion:
        kind = incoming.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind == "text/event-stream":
            return reader.streamed(incoming.chunks)
        if kind in ("application/json", "") or kind.endswith("+json"):
            return reader.plain(incoming.body())
        raise RequestFailure(
            f"answers with {protocol.one_line(kind, 60)} and not JSON: is this the address of a chat server (…/v1)?"
        )

    def _error(self, incoming: IncomingResponse) -> protocol.ServerError:
        """The error that a response with another status than 200 reports."""
        return protocol.read_error(incoming.beginning(), self._key.hide)

    def _declined(self, incoming: IncomingResponse, said: protocol.ServerError) -> RequestFailure:
        """The failure that a status other than 200 stands for."""
        status, words = incoming.status, f": {said.message}" if said.message else ""
        wait = retry_after(incoming.headers, time.time())
        variable = self._key.variable
        if status == 429:
            spent = said.code == "insufficient_quota"
            return RequestFailure(f"asks to slow down (429){words}", again=not spent, wait=wait)
        if status >= 500:
            return RequestFailure(f"has a failure of its own ({status}){words}", again=True, wait=wait)
        if 300 <= status < 400:
            to = protocol.one_line(incoming.headers.get("location", "nowhere"), 200)
            return RequestFailure(f"redirects to {to} ({status}), which is not followed: give the final address")
        if status in (401, 403) and not self._key:
            return RequestFailure(f"asks for a key ({status}): put it into the environment variable {variable}{words}")
        if status in (401, 403):
            return RequestFailure(f"does not accept the key in {variable} ({status}){words}")
        if status == 404:
            model = self.address.model
            return RequestFailure(
                f"knows no such address or model ({status}; model {model!r}; addresses end in /v1){words}"
            )
        if status == 413:
            return RequestFailure(
                f"finds the question too large ({status}): show fewer or smaller frames, or less text{words}"
            )
        if protocol.is_too_long(said):
            return RequestFailure(
                "finds the question longer than the model can read: show fewer or smaller frames, or less text "
                f"({status}){words}"
            )
        return RequestFailure(f"declines the question ({status}){words}")

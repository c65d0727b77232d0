"""The client: asks, waits, tries again, counts, remembers.

Questions may come from any number of threads; no more than `concurrency` are with the server at a time. A question is
answered from the memory if it was ever answered; otherwise the budget is asked, then the server, and the answer is on
the disk before anyone sees it.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar

from whenwhere.chat import wire
from whenwhere.chat.address import Address
from whenwhere.chat.budget import Budget, Usage
from whenwhere.chat.completion import Choice, Completion
from whenwhere.chat.key import Key
from whenwhere.chat.line import Fault, Incoming, Line
from whenwhere.chat.patience import Patience, retry_after
from whenwhere.chat.question import Question
from whenwhere.chat.response_cache import ResponseCache
from whenwhere.errors import ChatError, SettingError
from whenwhere.store import Cache

T = TypeVar("T")

#: Part of every cache key: raised when what a stored answer depends on changes.
_KEY_VERSION = 1


class Client:
    """Talks to one model behind one address.

    Args:
        model: `https://host/v1#model-name`; without a name the server's only model is taken.
        key_variable: environment variable with the key; it is read once, here, and shown nowhere.
        cache: where answers are kept.
        budget: what may be spent; None = no limit.
        patience: time-outs and further tries.
        concurrency: most questions with the server at a time.
        stream: have answers sent word by word; a stuck server shows sooner.

    Raises:
        SettingError: the address or the key is no such thing, or plain http leads to a public host.
        ChatError: the host is not known, or the server has several models and none was named.
    """

    def __init__(
        self,
        model: str,
        *,
        key_variable: str = "OPENAI_API_KEY",
        cache: Cache | None = None,
        budget: Budget | None = None,
        patience: Patience | None = None,
        concurrency: int = 8,
        stream: bool = False,
    ) -> None:
        if concurrency < 1:
            raise SettingError(f"at least one question is asked at once, not {concurrency}")
        self.address = Address.parse(model)
        with suppress(ChatError):
            self.address.check()
        self.budget = budget or Budget()
        self.patience = patience or Patience()
        self.stream = stream
        self.usage = Usage()
        self._key = Key(key_variable)
        self._lines = [Line(self.address, self._key, self.patience) for _ in range(concurrency)]
        # The last line used is the first one used again: its connection is still open.
        self._free: queue.LifoQueue[Line] = queue.LifoQueue()
        for line in reversed(self._lines):
            self._free.put(line)
        self._lock = threading.Lock()
        self._conceded: frozenset[str] = frozenset()
        self._down = self._closed = False
        # set where waiting and trying again is to end; renewed, as a notebook's user asks again after an interrupt
        self._stop = threading.Event()
        if not self.address.model:
            self.address = replace(self.address, model=self._only_model())
        self.responses = ResponseCache(cache or Cache(), "chat")

    def __repr__(self) -> str:
        return f"Client({self.address.base}#{self.address.model})"

    @property
    def conceded(self) -> frozenset[str]:
        """What the server turned out not to know (see `wire`)."""
        return self._conceded

    def cache_key(self, question: Question) -> str:
        """The key under which the answer to a question is stored: server, model and the whole question."""
        return ResponseCache.key(_KEY_VERSION, self.address.base, self.address.model, question.identity())

    def complete(self, question: Question, on_text: Callable[[str], None] | None = None) -> Completion:
        """Ask one question.

        Args:
            question: what to ask.
            on_text: called with the pieces of the first answer as they arrive (only when streaming, and anew from
                the start where a connection broke).

        Raises:
            ChatError: there is no answer; `BudgetError` where it was not asked because of the budget.
        """
        key = self.cache_key(question)
        if (stored := self.responses.read(key, Completion.from_json)) is not None:
            with self._lock:
                self.usage.stored += 1
            return replace(stored, stored=True)
        try:
            with self.budget.hold(question.most_tokens()) as hold, self._line() as line:
                completion = self._asked(line, question, on_text)
                hold.spent = completion.prompt_tokens + completion.output_tokens
                if hold.spent:
                    # what a filter declined was not paid for, and may pass another day
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

    def complete_all(self, questions: Sequence[Question]) -> list[Completion | ChatError]:
        """Ask many questions at once; where one fails its error stands in its place and the others go on."""

        def one(question: Question) -> Completion | ChatError:
            try:
                return self.complete(question)
            except ChatError as e:
                return e

        if len(questions) < 2:
            return [one(q) for q in questions]
        pool = ThreadPoolExecutor(min(len(self._lines), len(questions)), thread_name_prefix="whenwhere-chat")
        try:
            return list(pool.map(one, questions))
        except BaseException:
            # an interrupt does not wait for answers that may take minutes
            pool.shutdown(wait=False, cancel_futures=True)
            self._end()
            raise
        finally:
            pool.shutdown(wait=False)

    def models(self) -> list[str]:
        """Names of the models that the server has.

        Raises:
            ChatError: it does not say.
        """
        import json

        with self._line() as line:
            data = self._tried(lambda: self._listed(line))[0]
        try:
            return [str(m["id"]) for m in json.loads(data)["data"]]
        except (ValueError, KeyError, TypeError, RecursionError) as e:
            raise ChatError(f"{self.address.base} does not list its models: does the address end in /v1?") from e

    def close(self) -> None:
        """End what is under way and close the connections."""
        self._closed = True
        self._end()
        idle = []
        with suppress(queue.Empty):
            while True:
                idle.append(self._free.get_nowait())
        for line in idle:
            line.close()
            self._free.put(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _end(self) -> None:
        """End what is under way."""
        self._stop.set()
        self._stop = threading.Event()
        for line in self._lines:
            line.cut()

    @contextmanager
    def _line(self) -> Iterator[Line]:
        """A line of our own for one question, waited for while all are taken."""
        line = self._free.get()
        try:
            if self._closed:
                raise ChatError(f"the connection to {self.address.base} was closed")
            yield line
        finally:
            if self._closed:
                line.close()
            # even a closed one: somebody may be waiting for it
            self._free.put(line)

    def _only_model(self) -> str:
        names = self.models()
        if len(names) != 1:
            listed = ", ".join(wire.one_line(n, 80) for n in names[:8]) or "none"
            raise ChatError(
                f"{self.address.base} has {len(names)} models ({listed}): name one as {self.address.base}#name"
            )
        return names[0]

    def _listed(self, line: Line) -> bytes:
        with line.request("GET", "/models") as incoming:
            if incoming.status != 200:
                raise self._declined(incoming, wire.complaint(incoming.body()))
            return incoming.body()

    def _asked(self, line: Line, question: Question, on_text: Callable[[str], None] | None) -> Completion:
        began = time.monotonic()
        completion, tries = self._tried(lambda: self._attempt(line, question, on_text))
        used = self._conceded & {"json_schema", "json_object", "temperature", "seed"}
        if question.schema is None:
            used -= {"json_schema", "json_object"}
        if question.seed is None:
            used -= {"seed"}
        return replace(
            completion,
            choices=tuple(
                replace(c, text=self._key.hide(c.text), thought=self._key.hide(c.thought)) for c in completion.choices
            ),
            seconds=time.monotonic() - began,
            attempts=tries,
            conceded=tuple(sorted(used)),
        )

    def _tried(self, attempt: Callable[[], T]) -> tuple[T, int]:
        """The result of an attempt that may be repeated, and how many it took."""
        tries, stop = 0, self._stop
        while True:
            tries += 1
            try:
                result = attempt()
                self._down = False
                return result, tries
            except Fault as fault:
                # Once the server was given up on, the questions that wait for it are tried once each, not all anew
                # with the whole patience.
                last = tries > self.patience.retries or stop.is_set() or (fault.line and self._down)
                too_long = fault.wait is not None and fault.wait > self.patience.longest
                if fault.again and not last and not too_long:
                    (self.patience.sleep or stop.wait)(self.patience.wait(tries, fault.wait))
                    if not stop.is_set():
                        with self._lock:
                            self.usage.retries += 1
                        continue
                self._down = fault.line
                sentence = f"{self.address.base} {fault.sentence}"
                if too_long:
                    sentence += f"; it asks to wait {fault.wait:.0f} s"
                elif tries > 1:
                    sentence += f" ({tries} tries)"
                raise ChatError(self._key.hide(sentence)) from None

    def _attempt(self, line: Line, question: Question, on_text: Callable[[str], None] | None) -> Completion:
        """Send one request, and again for each concession that it takes."""
        while True:
            conceded = self._conceded
            content = wire.body(question, self.address.model, conceded, self.stream)
            with line.request("POST", "/chat/completions", content) as incoming:
                if incoming.status == 200:
                    return self._read(incoming, wire.Reader(question, on_text))
                said = wire.complaint(incoming.body())
                if said.code == "content_filter":
                    return Completion((Choice(said.message, "refused"),), counted=False)
                given_up = wire.concession(question, conceded, self.stream, incoming.status, said)
                if given_up is None:
                    raise self._declined(incoming, said)
            with self._lock:
                self._conceded |= {given_up}

    def _read(self, incoming: Incoming, reader: wire.Reader) -> Completion:
        kind = incoming.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind == "text/event-stream":
            return reader.streamed(incoming.chunks)
        if kind in ("application/json", "") or kind.endswith("+json"):
            return reader.plain(incoming.body())
        raise Fault(
            f"answers with {wire.one_line(kind, 60)} and not JSON: is this the address of a chat server (…/v1)?"
        )

    def _declined(self, incoming: Incoming, said: wire.Complaint) -> Fault:
        """The fault that an answer other than 200 stands for."""
        status, words = incoming.status, f": {said.message}" if said.message else ""
        wait = retry_after(incoming.headers, time.time())
        variable = self._key.variable
        if status == 429:
            spent = said.code == "insufficient_quota"
            return Fault(f"asks to slow down (429){words}", again=not spent, wait=wait)
        if status >= 500:
            return Fault(f"has a failure of its own ({status}){words}", again=True, wait=wait)
        if 300 <= status < 400:
            to = wire.one_line(incoming.headers.get("location", "nowhere"), 200)
            return Fault(f"redirects to {to} ({status}), which is not followed: give the final address")
        if status in (401, 403) and not self._key:
            return Fault(f"asks for a key ({status}): put it into the environment variable {variable}{words}")
        if status in (401, 403):
            return Fault(f"does not accept the key in {variable} ({status}){words}")
        if status == 404:
            model = self.address.model
            return Fault(f"knows no such address or model ({status}; model {model!r}; addresses end in /v1){words}")
        if status == 413:
            return Fault(f"finds the question too large ({status}): show fewer or smaller frames{words}")
        if wire.too_long(said):
            return Fault(
                f"finds the question longer than the model can read: show fewer or smaller frames ({status}){words}"
            )
        return Fault(f"declines the question ({status}){words}")

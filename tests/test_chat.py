"""The client: what it sends, how it reads answers, and every way in which a server can fail it."""

import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from chat_server import ChatServer, Fault, Request, Said, tokens

from whenwhere.chat import (
    Address,
    ChatRequest,
    Client,
    Completion,
    FramesPart,
    Message,
    Part,
    PicturePart,
    RetryPolicy,
    TextPart,
    VideoPart,
    protocol,
)
from whenwhere.chat.connection import RequestFailure
from whenwhere.chat.retry import retry_after
from whenwhere.errors import ChatError, SettingError
from whenwhere.store import Cache

NO_CACHE = Cache("/nowhere", enabled=False)
Make = Callable[..., Client]


class Clock:
    """A sleep that does not sleep but writes down."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connect(clock: Clock) -> Iterator[Make]:
    """Makes clients that do not really wait between tries and keep nothing."""
    made: list[Client] = []

    def make(server: ChatServer | str, **how: Any) -> Client:
        times = {"connect": 2.0, "read": 2.0, "total": 5.0, "draw": lambda: 0.5, "sleep": clock} | how.pop("times", {})
        name = server if isinstance(server, str) else f"{server.url}#{server.models[0]}"
        made.append(Client(name, retry=RetryPolicy(**times), **{"cache": NO_CACHE} | how))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture(params=[False, True], ids=["plain", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return request.param


def picture(seed: int = 0, width: int = 40, height: int = 30) -> np.ndarray:
    smooth = np.random.default_rng(seed).integers(0, 255, (3, 4, 3))
    return np.kron(smooth, np.ones((height // 3, width // 4, 1))).astype(np.uint8)


# --- what is sent and read


def test_answer_and_usage(connect: Make, stream: bool) -> None:
    with ChatServer(lambda r: "It is a dog.") as server:
        client = connect(server, stream=stream)
        got = client.complete(ChatRequest.of("What is it?", max_tokens=20, temperature=0.5, seed=7))
        sent = server.requests[0]
    assert got.text == "It is a dog." and got.finish == "stop" and got.counted and not got.stored
    assert (got.prompt_tokens, got.output_tokens, got.cached_tokens) == (tokens("What is it?"), 3, 3)
    assert got.attempts == 1 and 0 < got.seconds < 5 and got.model == "test-model" and got.conceded == ()
    assert sent.body["max_tokens"] == 20 and sent.body["temperature"] == 0.5 and sent.body["seed"] == 7
    assert "n" not in sent.body and "response_format" not in sent.body and "authorization" not in sent.headers
    assert client.usage.calls == 1 and client.usage.prompt_tokens == got.prompt_tokens
    assert client.usage.output_tokens == 3 and client.usage.cached_tokens == 3 and client.usage.seconds == got.seconds


def test_pictures_arrive_as_they_are(connect: Make) -> None:
    images = [picture(i) for i in range(3)]
    with ChatServer() as server:
        parts: list[Part] = [
            TextPart("one"),
            PicturePart(images[0]),
            TextPart("two"),
            PicturePart(images[1], 50),
            FramesPart([PicturePart(x) for x in images]),
        ]
        connect(server).complete(ChatRequest.of(*parts))
        request = server.requests[0]
    seen = request.pictures()
    assert [p["type"] for p in request.parts()] == ["text", "image_url", "text", "image_url", "video_url"]
    assert all(s.shape == (30, 40, 3) for s in seen) and len(seen) == 5
    for i, image in ((0, images[0]), (2, images[0]), (3, images[1]), (4, images[2])):
        assert np.abs(seen[i].astype(int) - image).mean() < 10
    assert not np.array_equal(seen[1], seen[3])  # the other quality


def test_messages_and_video_file(connect: Make) -> None:
    video = b"\0\0\0\x18ftypisom" + b"\0" * 64
    with ChatServer() as server:
        talk = [
            Message("system", "Be brief."),
            Message("user", [TextPart("Look."), VideoPart(video)]),
            Message("assistant", "A dog."),
            Message("user", "Where?"),
        ]
        connect(server).complete(ChatRequest(talk))
        sent = server.requests[0].body["messages"]
    assert [m["role"] for m in sent] == ["system", "user", "assistant", "user"] and sent[3]["content"] == "Where?"
    assert sent[1]["content"][1]["video_url"]["url"].startswith("data:video/mp4;base64,AAAAGGZ0eXBpc29t")


def test_a_picture_is_encoded_once(connect: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    count, save = [], Image.Image.save
    monkeypatch.setattr(Image.Image, "save", lambda *a, **k: (count.append(1), save(*a, **k))[1])
    with ChatServer(faults=[Fault("status", 503), Fault("reset")], lacks=["seed"]) as server:
        connect(server).complete(ChatRequest.of(PicturePart(picture()), "x", seed=1))
        assert len(server.requests) == 4
    assert len(count) == 1


def test_several_answers(connect: Make, stream: bool) -> None:
    with ChatServer(lambda r: f"answer {r.index}") as server:
        got = connect(server, stream=stream).complete(ChatRequest.of("x", n=3))
    assert [c.text for c in got.choices] == ["answer 0", "answer 1", "answer 2"]


STRANGE = 'Grüße, 東京, עברית, 👩‍👩‍👧, line\u2028separator\u0085next\r\nline, \\ " nul\0 data: [DONE]\n\ndata: x'


def test_unicode(connect: Make, stream: bool) -> None:
    with ChatServer(lambda r: r.text()) as server:
        assert connect(server, stream=stream).complete(ChatRequest.of(STRANGE)).text == STRANGE
        # bytes of a file name that were not UTF-8
        assert connect(server, stream=stream).complete(ChatRequest.of("caf\udce9")).text == "caf?"


def test_huge_answer(connect: Make, stream: bool) -> None:
    with ChatServer(lambda r: "word " * 400_000) as server:
        got = connect(server, stream=stream).complete(ChatRequest.of("x", max_tokens=1 << 20))
    assert got.text == "word " * 400_000 and got.output_tokens == 500_000


def test_pieces_arrive_while_it_streams(connect: Make) -> None:
    pieces: list[str] = []
    with ChatServer(lambda r: "a long enough answer to come in pieces") as server:
        got = connect(server, stream=True).complete(ChatRequest.of("x"), on_text=pieces.append)
    assert "".join(pieces) == got.text and len(pieces) > 3


def test_ends_as_data(connect: Make, stream: bool) -> None:
    said = {
        "refuse": Said(None, refusal="I cannot help."),
        "filter": Said("so far", finish="content_filter"),
        "think": Said("42", thought="let me see"),
        "silent": Said(None),
        "tool": Said(None, finish="tool_calls"),
    }
    with ChatServer(lambda r: said.get(r.text(), "0123456789")) as server:
        client = connect(server, stream=stream)
        ends = {w: client.complete(ChatRequest.of(w)).choices[0] for w in said}
        cut = client.complete(ChatRequest.of("x", max_tokens=2))
    assert (ends["refuse"].text, ends["refuse"].finish) == ("I cannot help.", "refused")
    assert (ends["filter"].text, ends["filter"].finish) == ("so far", "refused")
    assert (ends["think"].text, ends["think"].thought) == ("42", "let me see")
    assert ends["silent"] == ends["tool"] and ends["silent"].text == "" and ends["silent"].finish == "stop"
    assert (cut.text, cut.finish, cut.output_tokens) == ("01234567", "length", 2)


def test_a_filter_that_declines_is_a_refusal_and_costs_nothing(connect: Make, tmp_path: Path) -> None:
    fault = Fault("status", 400, "The prompt was filtered.", code="content_filter")
    with ChatServer(faults=[fault]) as server:
        client = connect(server, cache=Cache(tmp_path))
        got = client.complete(ChatRequest.of("x"))
        assert (got.text, got.finish, got.prompt_tokens) == ("The prompt was filtered.", "refused", 0)
        # not paid for, so not kept: another day it may pass
        assert client.complete(ChatRequest.of("x")).text == "hello"


def test_no_usage_is_estimated(connect: Make, stream: bool) -> None:
    with ChatServer(lambda r: "x" * 40, faults=[Fault("no-usage")]) as server:
        got = connect(server, stream=stream).complete(
            ChatRequest.of("y" * 80, PicturePart(picture(0, 56, 56 * 3 // 3)))
        )
    assert not got.counted and got.output_tokens == 10 and got.prompt_tokens == 4 + 20 + (2 * 2 + 2)


def test_stream_without_done(connect: Make) -> None:
    with ChatServer(lambda r: "all of it", faults=[Fault("no-done")]) as server:
        got = connect(server, stream=True).complete(ChatRequest.of("x"))
    assert got.text == "all of it" and got.attempts == 1


# --- what servers do not know


SCHEMA = {"type": "object", "properties": {"spans": {"type": "array"}}}
LIST = {"type": "array", "items": {"type": "number"}}


def test_schema_is_held(connect: Make) -> None:
    with ChatServer() as server:
        got = connect(server).complete(ChatRequest.of("x", schema=SCHEMA))
        form = server.requests[0].body["response_format"]
    assert form["type"] == "json_schema" and form["json_schema"]["schema"] == SCHEMA and got.conceded == ()


@pytest.mark.parametrize(
    ("lacks", "conceded", "requests"),
    [
        (["json_schema"], ("json_schema",), 2),
        (["response_format"], ("json_object", "json_schema"), 3),
    ],
)
def test_schema_falls_back(connect: Make, lacks: list[str], conceded: tuple[str, ...], requests: int) -> None:
    with ChatServer(lacks=lacks) as server:
        client = connect(server)
        got = client.complete(ChatRequest.of("x", schema=SCHEMA))
        assert got.conceded == conceded and len(server.requests) == requests and got.attempts == 1
        last = server.requests[-1]
        assert json.dumps(SCHEMA) in last.text() and "JSON" in last.text()
        assert (last.body.get("response_format") == {"type": "json_object"}) == (requests == 2)
        # remembered: the next question is put right at once, and one without a schema is as it was
        client.complete(ChatRequest.of("y", schema=SCHEMA))
        plain = client.complete(ChatRequest.of("z"))
        assert len(server.requests) == requests + 2 and plain.conceded == ()
        assert server.requests[-1].text() == "z" and "response_format" not in server.requests[-1].body


@pytest.mark.parametrize("lacks", ["json_schema", "response_format"])
def test_a_list_is_never_asked_for_as_any_json(connect: Make, lacks: str) -> None:
    """That form of answer is always an object: servers that cannot hold a list are told in words alone."""
    with ChatServer(lacks=[lacks]) as server:
        assert connect(server).complete(ChatRequest.of("x", schema=LIST)).conceded == ("json_schema",)
        assert len(server.requests) == 2 and "response_format" not in server.requests[1].body
        assert json.dumps(LIST) in server.requests[1].text()


@pytest.mark.parametrize("lacks", ["max_tokens", "temperature", "seed", "stream_options"])
def test_fields_that_a_server_does_not_know(connect: Make, lacks: str) -> None:
    with ChatServer(lambda r: "0123456789", lacks=[lacks]) as server:
        client = connect(server, stream=True)
        got = client.complete(ChatRequest.of("x", seed=3, max_tokens=1))
        again = client.complete(ChatRequest.of("y", seed=3, max_tokens=1))
        sent = server.requests[-1].body
    assert len(server.requests) == 3 and lacks not in sent and (got.text, got.finish) == ("0123", "length")
    assert sent.get("max_completion_tokens") == (1 if lacks == "max_tokens" else None)
    assert got.conceded == again.conceded == ((lacks,) if lacks in ("temperature", "seed") else ())
    assert got.counted == (lacks != "stream_options") and client.conceded == {lacks}


@pytest.mark.parametrize(
    "message",
    [
        "'max_tokens' or 'max_completion_tokens' is too large: 512. This model's maximum context length is 400 tokens.",
        "Invalid request: 'max_tokens' or 'max_completion_tokens' exceeds the maximum context length of 400 tokens.",
        "Invalid image",
        "Unknown error",
    ],
)
def test_other_complaints_are_not_taken_for_missing_fields(connect: Make, message: str, clock: Clock) -> None:
    with ChatServer(always=Fault("status", 400, message)) as server:
        with pytest.raises(ChatError, match=r"\(400\)") as caught:
            connect(server).complete(ChatRequest.of("x", schema=SCHEMA, seed=1))
        assert message[:40] in str(caught.value) and len(server.requests) == 1 and clock.waits == []


def test_extra_fields(connect: Make) -> None:
    extra = {"media_io_kwargs": {"video": {"fps": 1000}}}
    with ChatServer() as server:
        connect(server).complete(ChatRequest.of("x", extra=extra))
        assert server.requests[0].body["media_io_kwargs"] == extra["media_io_kwargs"]


# --- failures


def test_retries_wait_longer_each_time(connect: Make, clock: Clock, stream: bool) -> None:
    faults = [Fault("status", 500), Fault("reset"), Fault("truncate"), Fault("status", 503)]
    with ChatServer(lambda r: "at last", faults=faults) as server:
        client = connect(server, stream=stream)
        got = client.complete(ChatRequest.of("x"))
        assert got.text == "at last" and got.attempts == 5 and len(server.requests) == 5
    assert clock.waits == [0.375, 0.75, 1.5, 3.0]  # ¾ of 0.5, 1, 2, 4: the draw is fixed
    assert client.usage.retries == 4 and client.usage.calls == 1 and client.usage.failures == 0


def test_retries_end(connect: Make, clock: Clock) -> None:
    with ChatServer(always=Fault("status", 502, "Bad gateway")) as server:
        client = connect(server)
        with pytest.raises(ChatError, match=r"failure of its own \(502\): Bad gateway \(5 tries\)") as caught:
            client.complete(ChatRequest.of("x"))
        assert len(server.requests) == 5 and len(clock.waits) == 4 and caught.value.kind == "endpoint"
        assert client.usage.failures == 1 and client.usage.calls == 0


def test_retry_after_is_obeyed(connect: Make, clock: Clock) -> None:
    faults = [Fault("status", 429, headers={"Retry-After": "20"}), Fault("status", 503, headers={"Retry-After": "2.5"})]
    with ChatServer(faults=faults) as server:
        connect(server).complete(ChatRequest.of("x"))
    # not before what was asked for, and not all clients at the same moment
    assert clock.waits == [20.375, 3.0]


def test_retry_after_for_too_long(connect: Make, clock: Clock) -> None:
    with ChatServer(always=Fault("status", 429, "Quota per day", headers={"Retry-After": "3600"})) as server:
        with pytest.raises(ChatError, match=r"slow down \(429\): Quota per day; it asks to wait 3600 s"):
            connect(server).complete(ChatRequest.of("x"))
        assert len(server.requests) == 1 and clock.waits == []


def test_really_waits(connect: Make) -> None:
    with ChatServer(faults=[Fault("status", 429, headers={"Retry-After": "0.3"})]) as server:
        client = connect(server, times={"sleep": time.sleep, "first": 0.01})
        client.complete(ChatRequest.of("x"))
        first, second = server.requests
    assert 0.3 <= second.time - first.time < 1.5


@given(draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=30), asked=st.none() | st.floats(0, 60))
def test_waits_are_bounded(draws: list[float], asked: float | None) -> None:
    drawn = iter(draws)
    patience = RetryPolicy(draw=lambda: next(drawn), first=0.5, longest=8)
    for tried in range(1, len(draws) + 1):
        wait = patience.wait(tried, asked)
        whole = min(0.5 * 2 ** (tried - 1), 8)
        assert whole / 2 <= wait <= whole if asked is None else asked + 0.25 <= wait <= asked + 0.5


@pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "Thu, 99 Foo 2020", "-"])
def test_retry_after_that_cannot_be_read(value: str) -> None:
    assert retry_after({"retry-after": value}, 0.0) is None


def test_spent_quota_is_not_tried_again(connect: Make) -> None:
    with ChatServer(always=Fault("status", 429, "You exceeded your quota", code="insufficient_quota")) as server:
        with pytest.raises(ChatError, match="exceeded your quota"):
            connect(server).complete(ChatRequest.of("x"))
        assert len(server.requests) == 1


ONCE = [
    (Fault("status", 400, "bad thing"), r"declines the question \(400\): bad thing"),
    (Fault("status", 401), r"asks for a key \(401\): put it into the environment variable OPENAI_API_KEY"),
    (Fault("status", 403), r"asks for a key \(403\)"),
    (Fault("status", 404, "The model does not exist"), "no such address or model.*'test-model'.*does not exist"),
    (Fault("status", 413), "too large.*fewer or smaller frames"),
    (Fault("status", 422, "\x1b[31mred\n\nline"), r"\(422\): \[31mred line$"),
    (
        Fault("status", 400, "maximum context length is 4096 tokens"),
        "longer than the model can read: show fewer or sma",
    ),
    (Fault("status", 408), r"declines the question \(408\)"),
    (Fault("malformed"), "broken JSON"),
    (Fault("html"), "answers with text/html and not JSON"),
    (Fault("empty"), "list of choices is empty"),
    (Fault("wrong"), "no chat completion"),
    (
        Fault("redirect", message="http://127.0.0.1:1/v1/chat/completions"),
        "redirects to http://127.0.0.1:1/.*not follow",
    ),
    (Fault("zip"), "packed its answer wrongly"),
    (Fault("garbage"), "does not speak HTTP .*is this the address of a chat server"),
    (Fault("error-in-200", 400, "context too long"), "reports an error: context too long"),
]


@pytest.mark.parametrize(("fault", "sentence"), ONCE, ids=[f"{f.kind}-{f.status}" for f, _ in ONCE])
def test_not_tried_again(connect: Make, clock: Clock, stream: bool, fault: Fault, sentence: str) -> None:
    with ChatServer(faults=[fault]) as server:
        client = connect(server, stream=stream)
        with pytest.raises(ChatError, match=sentence) as caught:
            client.complete(ChatRequest.of("x"))
        assert str(caught.value).startswith(f"{server.url} ") and "\n" not in str(caught.value)
        assert len(server.requests) == 1 and clock.waits == []
        assert caught.value.__cause__ is None and caught.value.__suppress_context__
        assert client.complete(ChatRequest.of("x")).text == "hello"


def test_an_error_inside_of_an_answer_is_tried_again(connect: Make) -> None:
    with ChatServer(faults=[Fault("error-in-200", 502), Fault("error-in-200", 429)]) as server:
        assert connect(server).complete(ChatRequest.of("x")).attempts == 3


def test_wrong_key_is_named_by_its_variable(connect: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "not-the-right-one")
    with ChatServer(key="right") as server:
        with pytest.raises(ChatError, match=r"does not accept the key in LAB_KEY \(401\)") as caught:
            connect(server, key_variable="LAB_KEY").complete(ChatRequest.of("x"))
        assert "not-the-right-one" not in str(caught.value) and "[$LAB_KEY]" in str(caught.value)


SLOW = ["hang", "drip", "drip-headers"]


@pytest.mark.parametrize("kind", SLOW)
def test_a_hang_ends(connect: Make, clock: Clock, stream: bool, kind: Any) -> None:
    with ChatServer(faults=[Fault(kind, seconds=20)]) as server:
        client = connect(server, stream=stream, times={"read": 0.4, "total": 0.8})
        began = time.monotonic()
        with pytest.raises(ChatError, match=r"went silent for 0\.4 s|did not finish its answer in 0\.8 s"):
            client.complete(ChatRequest.of("x"))
        assert 0.3 < time.monotonic() - began < 8
        # asked again it might cost again
        assert len(server.requests) == 1 and clock.waits == []
        assert client.complete(ChatRequest.of("x")).text == "hello"


def test_an_endless_answer_ends(connect: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whenwhere.chat.connection.LARGEST", 4 << 20)
    with (
        ChatServer(faults=[Fault("endless")]) as server,
        pytest.raises(ChatError, match="more than 4 MiB as one answer"),
    ):
        connect(server).complete(ChatRequest.of("x"))


def test_nobody_there(connect: Make, clock: Clock) -> None:
    with ChatServer() as server:
        url = server.url
    client = connect(f"{url}#m")
    with pytest.raises(ChatError, match=r"cannot be reached .*is the server up.*\(5 tries\)"):
        client.complete(ChatRequest.of("x"))
    # the next questions do not wait through the whole patience again
    found = client.complete_all([ChatRequest.of(str(i)) for i in range(10)])
    assert all(isinstance(f, ChatError) for f in found) and len(clock.waits) == 4


def test_dies_half_way(connect: Make, clock: Clock, tmp_path: Path) -> None:
    """What was answered is kept and costs nothing when the server is back; the rest are errors in their place."""
    questions = [ChatRequest.of(str(i)) for i in range(12)]
    with ChatServer(lambda r: r.text()) as server:
        client = connect(server, cache=Cache(tmp_path), concurrency=1)

        def dying(request: Request) -> str:
            if len(server.requests) == 5:
                server.always = Fault("reset")
            return request.text()

        server.answer = dying
        found = client.complete_all(questions)
        assert [f.text for f in found if isinstance(f, Completion)] == ["0", "1", "2", "3", "4"]
        assert all("broke off the connection" in str(f) for f in found[5:])
        server.always, server.answer, before = None, lambda r: r.text(), len(server.requests)
        found = client.complete_all(questions)
        assert [f.text for f in found if isinstance(f, Completion)] == [str(i) for i in range(12)]
        assert len(server.requests) - before == 7


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "delta", "content", "usage", "index", "error", "code", "prompt_tokens"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(value=JSON)
def test_any_json_is_an_answer_or_one_clear_fault(value: Any) -> None:
    data = json.dumps(value).encode()
    for read in (
        lambda: protocol.CompletionReader(ChatRequest.of("x")).plain(data),
        lambda: protocol.CompletionReader(ChatRequest.of("x")).streamed(
            iter([b"data: " + data + b"\n\ndata: [DONE]\n\n"])
        ),
    ):
        try:
            assert isinstance(read(), Completion)
        except RequestFailure as fault:
            assert fault.sentence
    protocol.read_error(data)


@given(data=st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for read in (
        protocol.CompletionReader(ChatRequest.of("x")).plain,
        lambda d: protocol.CompletionReader(ChatRequest.of("x")).streamed(iter([d])),
    ):
        with pytest.raises(RequestFailure):
            read(data)
    assert "\n" not in protocol.read_error(data).message


@given(texts=st.lists(st.text(max_size=30), max_size=8), cuts=st.lists(st.integers(0, 400), max_size=10))
def test_events_do_not_depend_on_how_bytes_arrive(texts: list[str], cuts: list[int]) -> None:
    body = b"".join(b"data: " + json.dumps(t, ensure_ascii=False).encode() + b"\r\n\r\n" for t in texts)
    places = sorted({min(c, len(body)) for c in cuts} | {0, len(body)})
    chunks = [body[a:b] for a, b in itertools.pairwise(places)]
    assert [json.loads(e) for e in protocol.server_sent_events(iter(chunks))] == texts


# --- many at once


def test_never_more_at_once_than_allowed(connect: Make) -> None:
    with ChatServer(lambda r: r.text(), seconds=0.05) as server:
        client = connect(server, concurrency=3)
        # from several threads of the caller, too
        found: dict[int, list] = {}
        threads = [
            threading.Thread(
                target=lambda i=i: found.update(
                    {i: client.complete_all([ChatRequest.of(f"{i} {k}") for k in range(6)])}
                )
            )
            for i in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # the server counts an answer after its last byte, which the client may have read before
        deadline = time.monotonic() + 10
        while server.answered < 18 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.most_at_once == 3 and server.answered == 18
    assert {i: [f.text for f in fs] for i, fs in found.items()} == {i: [f"{i} {k}" for k in range(6)] for i in range(3)}


def test_connections_are_used_again(connect: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    count, real = [], socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: (count.append(1), real(*a, **k))[1])
    with ChatServer() as server:
        client = connect(server, concurrency=4)
        for i in range(6):
            client.complete(ChatRequest.of(str(i)))
    assert len(count) == 1


def test_closing_ends_what_is_under_way(connect: Make) -> None:
    with ChatServer(always=Fault("hang", seconds=20)) as server:
        client = connect(server, times={"read": 30, "total": 30})
        found: list[Any] = []
        thread = threading.Thread(
            target=lambda: found.extend(client.complete_all([ChatRequest.of("a"), ChatRequest.of("b")]))
        )
        thread.start()
        while server.under_way < 2:
            time.sleep(0.01)
        began = time.monotonic()
        client.close()
        thread.join(5)
        assert time.monotonic() - began < 8 and len(found) == 2 and all(isinstance(f, ChatError) for f in found)
        with pytest.raises(ChatError, match="was closed"):
            client.complete(ChatRequest.of("c"))


INTERRUPTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)   # a shell's background job has it switched off
from whenwhere.chat import Client, ChatRequest
from whenwhere.store import Cache
client = Client(sys.argv[1], cache=Cache(None, enabled=False), concurrency=3)
try:
    client.complete_all([ChatRequest.of(str(i)) for i in range(9)])
except KeyboardInterrupt:
    print("interrupted", flush=True)
sys.stdin.readline()
print(client.complete(ChatRequest.of("x")).text)
"""


@pytest.mark.parametrize("fault", [Fault("hang", seconds=60), Fault("status", 429, headers={"Retry-After": "50"})])
def test_an_interrupt_ends_at_once_and_one_may_ask_on(fault: Fault) -> None:
    with ChatServer(always=fault) as server:
        name = f"{server.url}#test-model"
        child = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        while len(server.requests) < 3:
            assert child.poll() is None
            time.sleep(0.01)
        time.sleep(0.1)
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert child.stdout is not None and child.stdout.readline() == "interrupted\n"
        server.always = None
        out, _ = child.communicate("\n", timeout=10)
        assert out == "hello\n" and child.returncode == 0 and time.monotonic() - began < 5
        assert len(server.requests) == 4


def test_closing_wakes_those_who_wait_for_their_turn(connect: Make) -> None:
    with ChatServer(always=Fault("hang", seconds=20)) as server:
        client = connect(server, concurrency=1, times={"read": 30, "total": 30})
        found: list[str] = []

        def ask(text: str) -> None:
            try:
                client.complete(ChatRequest.of(text))
            except ChatError as e:
                found.append(str(e))

        threads = [threading.Thread(target=ask, args=(str(i),)) for i in range(3)]
        for thread in threads:
            thread.start()
        while not server.under_way:
            time.sleep(0.01)
        client.close()
        for thread in threads:
            thread.join(5)
        assert len(found) == 3 and sum("was closed" in f for f in found) == 2


# --- addresses


def test_tls(connect: Make, stream: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-some-length")
    with ChatServer(lambda r: r.text(), tls=True, key="a-key-of-some-length") as server:
        with pytest.raises(ChatError, match=r"secure connection \(.*certificate.*speak https\?$"):
            connect(server).complete(ChatRequest.of("x"))
        assert server.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(server.trust(tmp_path / "authority.pem")))
        client = connect(server, stream=stream, times={"read": 0.4, "total": 0.8})
        assert client.complete(ChatRequest.of("x")).text == "x"
        for kind in ("hang", "drip", "drip-headers"):
            server.faults.append(Fault(kind, seconds=20))  # type: ignore[arg-type]
            began = time.monotonic()
            with pytest.raises(ChatError, match=r"went silent|did not finish its answer"):
                client.complete(ChatRequest.of(f"y{kind}"))
            assert 0.3 < time.monotonic() - began < 8
        assert client.complete(ChatRequest.of("z")).text == "z"


@pytest.mark.parametrize(("name", "value"), [("ALL_PROXY", "socks9://127.0.0.1:9"), ("SSL_CERT_FILE", "/nowhere.pem")])
def test_an_environment_that_does_not_work(
    connect: Make, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with ChatServer(tls=True) as server, pytest.raises(ChatError, match=r"cannot be (asked|reached)"):
        connect(server).complete(ChatRequest.of("x"))


def test_what_is_stored_needs_no_network(connect: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with ChatServer() as server:
        name = server.url.replace("127.0.0.1", "localhost") + "#test-model"
        assert connect(name, cache=Cache(tmp_path)).complete(ChatRequest.of("x")).text == "hello"

        def nothing(*args: object, **how: object) -> None:
            raise socket.gaierror("no network")

        monkeypatch.setattr(socket, "getaddrinfo", nothing)
        client = connect(name, cache=Cache(tmp_path))
        assert client.complete(ChatRequest.of("x")).stored
        with pytest.raises(ChatError, match="not a name that the network knows"):
            client.complete(ChatRequest.of("y"))


def test_a_name_that_becomes_public_is_not_talked_to(connect: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule is checked when the connection is made, not only when the address is typed."""
    import socket

    answers = [OSError("not yet"), [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 0))]]

    def lookup(*args: object, **how: object) -> Any:
        found = answers.pop(0)
        if isinstance(found, OSError):
            raise found
        return found

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    client = connect("http://lab-server/v1#m")
    with pytest.raises(SettingError, match="unencrypted through a public network"):
        client.complete(ChatRequest.of("x"))


def test_the_only_model_is_taken(connect: Make) -> None:
    with ChatServer(models=["Qwen/Qwen3-VL-8B-Instruct"]) as server:
        assert connect(server.url).address == Address(server.url, "Qwen/Qwen3-VL-8B-Instruct")
    with ChatServer(models=["a", "b"]) as server, pytest.raises(ChatError, match=r"has 2 models \(a, b\): name one as"):
        connect(server.url)
    with ChatServer() as server, pytest.raises(ChatError, match="no such address or model"):
        connect(server.url.removesuffix("/v1"))


def test_a_model_that_is_not_there(connect: Make) -> None:
    with ChatServer() as server, pytest.raises(ChatError, match="The model `gpt-9` does not exist"):
        connect(f"{server.url}#gpt-9").complete(ChatRequest.of("x"))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ftp://host/v1#m", "is not an address of a model: write it as http://host:8000/v1#model-name"),
        ("host:8000", "is not an address of a model"),
        ("http://", "is not an address of a model"),
        ("http://[::1/v1", "not an address of a model"),
        ("http://host:notaport/v1", "not an address of a model"),
        ("http://me:secretword@host/v1#m", "carries a password"),
        ("https://host/v1?key=secretword#m", "takes no question mark"),
        ("http://8.8.8.8/v1#m", "unencrypted through a public network: use https, or a tunnel"),
        ("http://[2001:4860:4860::8888]/v1#m", "unencrypted through a public network"),
    ],
)
def test_addresses_that_are_refused(name: str, sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence) as caught:
        Client(name)
    assert "secretword" not in str(caught.value)


def test_unknown_host(connect: Make) -> None:
    with pytest.raises(ChatError, match="not a name that the network knows"):
        connect("http://no-such-host.invalid/v1#m").complete(ChatRequest.of("x"))


@pytest.mark.parametrize(
    "name", ["http://127.0.0.1:9/v1#m", "http://localhost:9/v1#m", "http://10.0.0.7/v1#m", "https://8.8.8.8/v1#m"]
)
def test_addresses_that_are_taken(name: str) -> None:
    client = Client(name)
    client.close()
    assert client.address.model == "m" and client.address.base == name.removesuffix("#m")


def test_bad_questions() -> None:
    for how in ({"max_tokens": 0}, {"n": 0}, {"temperature": -1}, {"temperature": float("nan")}):
        with pytest.raises(SettingError):
            ChatRequest.of("x", **how)
    with pytest.raises(SettingError):
        ChatRequest([])
    with pytest.raises(SettingError):
        PicturePart(picture(), 0)
    with pytest.raises(ValueError, match="uint8"):
        PicturePart(picture().astype(float))  # type: ignore[arg-type]
    with pytest.raises(SettingError):
        Client("http://localhost/v1#m", concurrency=0)


def test_addresses_of_the_servers_own(connect: Make) -> None:
    def route(request: Request) -> tuple[int, Any]:
        return request.body["status"], {"message": "so it is", "got": request.body}

    with ChatServer(routes={"/own": route}, owner="sglang", faults=[Fault("status", 503)]) as server:
        client = connect(server)
        assert client.call("/v1/models").value["data"][0]["owned_by"] == "sglang"
        # the first attempt fails and is repeated, as a question is
        reply = client.call("/own", {"status": 200})
        assert (reply.status, reply.value["got"]) == (200, {"status": 200}) and len(server.requests) == 2
        assert client.call("/own", {"status": 400}).message == "so it is"
        assert client.call("/none", {}).status == 404
        assert [r.status for r in client.call_all("/own", [{"status": k} for k in (200, 404, 500)])] == [200, 404, 500]
        for kind, status in (("html", 200), ("wrong", 200), ("status", 403)):
            server.faults.append(Fault(kind, status))
            if kind == "status":
                with pytest.raises(ChatError, match="asks for a key"):
                    client.call("/own", {"status": 200})
            else:
                assert client.call("/own", {}).status == 200
        assert client.usage.calls == 0
    with pytest.raises(ChatError, match="reach"):
        client.call("/own", {})
    (failed,) = client.call_all("/own", [{}])
    assert isinstance(failed, ChatError)


def test_keys_are_hidden_in_what_a_server_of_its_own_says(connect: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-abcdefghijk")
    with ChatServer(routes={"/own": lambda r: (400, {"message": r.headers["authorization"]})}) as server:
        reply = connect(server).call("/own", {})
    assert "sk-abcdefghijk" not in f"{reply} {reply.value}" and "OPENAI_API_KEY" in reply.message

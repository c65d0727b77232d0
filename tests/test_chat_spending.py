"""What asking costs: answers that are kept, a crash in the middle, budgets, and a key that is never seen."""

import copy
import json
import logging
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from chat_server import ChatServer, Fault, Request, tokens

from whenwhere.chat import Budget, ChatRequest, Client, FramesPart, Message, PicturePart, RetryPolicy, TextPart
from whenwhere.errors import BudgetError, ChatError, SettingError
from whenwhere.store import Cache

HASTY = RetryPolicy(retries=1, first=0.01, read=2, total=4)
IMAGE = np.arange(40 * 30 * 3, dtype=np.uint8).reshape(30, 40, 3)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(lambda r: f"{len(r.pictures())} of {r.text()}") as running:
        yield running


def client(server: ChatServer, folder: Path, **how: object) -> Client:
    return Client(f"{server.url}#test-model", cache=Cache(folder), retry=HASTY, **how)  # type: ignore[arg-type]


# --- the memory


def test_a_rerun_costs_nothing(server: ChatServer, tmp_path: Path) -> None:
    questions = [ChatRequest.of("look", PicturePart(IMAGE + i), seed=1) for i in range(5)]
    first = client(server, tmp_path).complete_all(questions)
    again = client(server, tmp_path)
    # equal pixels, laid out otherwise in memory
    others = (lambda x: np.array(x[::-1])[::-1], np.asfortranarray, np.array)
    same = [ChatRequest.of("look", PicturePart(others[i % 3](IMAGE + i)), seed=1) for i in range(5)]
    second = again.complete_all(same)
    assert len(server.requests) == 5 and again.usage.calls == 0 and again.usage.stored == 5
    for a, b in zip(first, second, strict=True):
        assert not isinstance(a, ChatError) and not isinstance(b, ChatError)
        assert b.stored and not a.stored and a.choices == b.choices and a.output_tokens == b.output_tokens


def test_a_stored_answer_needs_no_encoding(server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client(server, tmp_path).complete(ChatRequest.of(PicturePart(IMAGE)))
    monkeypatch.setattr("PIL.Image.fromarray", None)
    assert client(server, tmp_path).complete(ChatRequest.of(PicturePart(IMAGE))).stored


BASE = ChatRequest.of("look", PicturePart(IMAGE), schema={"a": 1})
OTHERS = [
    ChatRequest.of("look!", PicturePart(IMAGE), schema={"a": 1}),
    ChatRequest.of("look", PicturePart(IMAGE + 1), schema={"a": 1}),
    ChatRequest.of("look", PicturePart(IMAGE.reshape(40, 30, 3)), schema={"a": 1}),
    ChatRequest.of("look", PicturePart(IMAGE, 80), schema={"a": 1}),
    ChatRequest.of("look", FramesPart([PicturePart(IMAGE)]), schema={"a": 1}),
    ChatRequest.of(PicturePart(IMAGE), "look", schema={"a": 1}),
    ChatRequest.of("look", PicturePart(IMAGE)),
    ChatRequest.of("look", PicturePart(IMAGE), schema={"a": 2}),
    ChatRequest.of("look", PicturePart(IMAGE), schema={"a": 1}, seed=0),
    ChatRequest.of("look", PicturePart(IMAGE), schema={"a": 1}, temperature=0.1),
    ChatRequest.of("look", PicturePart(IMAGE), schema={"a": 1}, max_tokens=513),
    ChatRequest.of("look", PicturePart(IMAGE), schema={"a": 1}, n=2),
    ChatRequest.of("look", PicturePart(IMAGE), schema={"a": 1}, extra={"top_p": 0.5}),
    ChatRequest([Message("system", "look"), Message("user", [PicturePart(IMAGE)])], schema={"a": 1}),
]


def test_whatever_matters_is_in_the_key(server: ChatServer, tmp_path: Path) -> None:
    asked = client(server, tmp_path)
    keys = [asked.cache_key(q) for q in [BASE, *OTHERS]]
    assert len(set(keys)) == len(keys)
    with ChatServer(models=["other"]) as elsewhere:
        moved = Client(f"{elsewhere.url}#test-model", cache=Cache(tmp_path))
        renamed = Client(f"{server.url}#other", cache=Cache(tmp_path))
        assert len({asked.cache_key(BASE), moved.cache_key(BASE), renamed.cache_key(BASE)}) == 3
    # how it is fetched does not matter
    assert client(server, tmp_path, stream=True, concurrency=1).cache_key(BASE) == asked.cache_key(BASE)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b'{"key": "x"}',
        b"[" * 100_000,
        lambda good: good[: len(good) // 2],
        lambda good: good.replace(b'"stop"', b'"gone"'),
        lambda good: good.replace(b'"choices"', b'"chances"'),
        lambda good: good.replace(b'"key": "', b'"key": "0'),
    ],
)
def test_damaged_answers_are_asked_for_anew(server: ChatServer, tmp_path: Path, damage: object) -> None:
    asked = client(server, tmp_path)
    question = ChatRequest.of("x")
    good = asked.complete(question)
    path = asked.responses.path(asked.cache_key(question))
    path.write_bytes(damage(path.read_bytes()) if callable(damage) else damage)  # type: ignore[arg-type]
    again = asked.complete(question)
    assert not again.stored and again.choices == good.choices and len(server.requests) == 2
    assert asked.complete(question).stored


def test_a_folder_that_cannot_be_written_costs_no_answer(server: ChatServer, tmp_path: Path) -> None:
    (tmp_path / "chat").write_text("in the way")
    assert client(server, tmp_path).complete(ChatRequest.of("x")).text == "0 of x"


def test_switched_off(server: ChatServer, tmp_path: Path) -> None:
    asked = Client(f"{server.url}#test-model", cache=Cache(tmp_path, enabled=False))
    assert not asked.complete(ChatRequest.of("x")).stored and not asked.complete(ChatRequest.of("x")).stored
    assert list(tmp_path.iterdir()) == []


CHILD = """
import sys
from whenwhere.chat import Client, ChatRequest
from whenwhere.store import Cache
client = Client(sys.argv[1], cache=Cache(sys.argv[2]), concurrency=2)
client.complete_all([ChatRequest.of(f"question {i}") for i in range(40)])
"""


def test_kill_9_loses_only_what_was_under_way(server: ChatServer, tmp_path: Path) -> None:
    server.seconds = 0.03
    name = f"{server.url}#test-model"
    child = subprocess.Popen([sys.executable, "-c", CHILD, name, str(tmp_path)])
    while server.answered < 10:
        assert child.poll() is None
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    while server.under_way:
        time.sleep(0.01)
    paid = len(server.requests)
    assert 10 <= paid < 40
    asked = Client(name, cache=Cache(tmp_path), concurrency=2)
    found = asked.complete_all([ChatRequest.of(f"question {i}") for i in range(40)])
    assert [f.text for f in found if not isinstance(f, ChatError)] == [f"0 of question {i}" for i in range(40)]
    # two were under way: with the server, or between it and the disk
    assert paid - 2 <= asked.usage.stored <= paid and len(server.requests) - paid == 40 - asked.usage.stored
    assert [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".json"] == []


# --- the budget


def test_calls_are_refused_before_they_are_made(server: ChatServer, tmp_path: Path) -> None:
    asked = client(server, tmp_path, budget=Budget(calls=2))
    found = [
        f if isinstance(f, ChatError) else f.text
        for f in asked.complete_all([ChatRequest.of(str(i)) for i in range(5)])
    ]
    refused = [f for f in found if isinstance(f, BudgetError)]
    assert len(refused) == 3 and len(server.requests) == 2 and refused[0].kind == "budget"
    assert "all 2 calls that were allowed are spent" in str(refused[0])
    # what is stored stays free
    stored = [i for i, f in enumerate(found) if isinstance(f, str)]
    assert asked.complete(ChatRequest.of(str(stored[0]))).stored


def test_tokens_are_refused_before_they_are_spent(server: ChatServer, tmp_path: Path) -> None:
    budget = Budget(tokens=400)
    asked = client(server, tmp_path, budget=budget)
    for i in range(20):
        try:
            asked.complete(ChatRequest.of(f"{i}" * 40, max_tokens=100))
        except BudgetError as e:
            assert "allow more tokens" in str(e)
            break
    else:
        pytest.fail("never refused")
    # the last call was refused because it could have passed the limit, not because the limit was passed
    assert 400 - 100 - 30 < budget.spent_tokens <= 400
    assert budget.spent_tokens == asked.usage.prompt_tokens + asked.usage.output_tokens
    assert budget.spent_calls == asked.usage.calls == len(server.requests)


def test_pictures_count_before_they_are_sent(server: ChatServer, tmp_path: Path) -> None:
    asked = client(server, tmp_path, budget=Budget(tokens=1000))
    big = PicturePart(np.zeros((1080, 1920, 3), np.uint8))
    with pytest.raises(BudgetError):
        asked.complete(ChatRequest.of(big, "x"))
    assert server.requests == [] and "jpeg" not in big.__dict__


def test_failures_give_back_what_was_set_aside(server: ChatServer, tmp_path: Path) -> None:
    budget = Budget(calls=1, tokens=600)
    asked = client(server, tmp_path, budget=budget)
    server.always = Fault("status", 400)
    for _ in range(3):
        with pytest.raises(ChatError, match="declines"):
            asked.complete(ChatRequest.of("x"))
    server.always = None
    assert (budget.spent_calls, budget.spent_tokens) == (0, 0) and asked.complete(ChatRequest.of("x")).text == "0 of x"


def test_many_threads_do_not_pass_the_limit(server: ChatServer, tmp_path: Path) -> None:
    budget = Budget(calls=7)
    server.seconds = 0.02
    clients = [client(server, tmp_path, budget=budget) for _ in range(3)]
    threads = [
        threading.Thread(target=c.complete_all, args=([ChatRequest.of(f"{k} {i}") for i in range(10)],))
        for k, c in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 7 == budget.spent_calls


def test_the_estimate_of_a_prompt_is_near(server: ChatServer, tmp_path: Path) -> None:
    question = ChatRequest.of("What happens in these pictures, and when?" * 5, *[PicturePart(IMAGE)] * 10)
    got = client(server, tmp_path).complete(question)
    assert got.prompt_tokens <= question.prompt_tokens() <= 2 * got.prompt_tokens
    assert question.most_tokens() == question.prompt_tokens() + 512
    assert tokens("x" * 400) == TextPart("x" * 400).tokens()


# --- the key

KEY = "sk-very-secret-0123456789"


def test_the_key_is_sent_and_seen_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    caplog.set_level(logging.DEBUG)

    def parrot(request: Request) -> str:
        return f"you sent {request.headers['authorization']}"

    # a server that repeats the key in errors, answers and streams
    faults = [Fault("status", 500, "broken for {key}"), Fault("status", 400, "wrong key {key}", code="{key}")]
    shown: list[str] = []
    with ChatServer(parrot, key=KEY, faults=faults) as server:
        for stream in (False, True):
            asked = client(server, tmp_path / str(stream), stream=stream)
            if not stream:
                try:
                    asked.complete(ChatRequest.of("x"))
                except ChatError as e:
                    assert "wrong key [$OPENAI_API_KEY]" in str(e)
                    shown += ["".join(traceback.format_exception(e)), repr(e)]
            got = asked.complete(ChatRequest.of("x"))
            assert "you sent Bearer [$OPENAI_API_KEY]" in got.text
            shown += [
                repr(got),
                repr(asked),
                repr(vars(asked)),
                repr(asked.usage),
                repr(asked._key),
                repr(asked._connections),
            ]
            shown += [json.dumps(got.to_json()), repr(vars(asked._connections[0])), repr(copy.copy(asked._key))]
            shown.append(repr(pickle.dumps(asked._key)))
            assert asked.models() == ["test-model"]
        assert all(r.headers["authorization"] == f"Bearer {KEY}" for r in server.requests)
        server.always = Fault("redirect", message=f"http://127.0.0.1:9/?key={KEY}")
        with pytest.raises(ChatError) as caught:
            asked.complete(ChatRequest.of("y"))
        shown.append(str(caught.value))
    shown += [caplog.text, *capfd.readouterr()]
    shown += [p.read_text() for p in tmp_path.rglob("*.json")]
    assert len(list(tmp_path.rglob("*.json"))) == 2 and len(caplog.records) > 5
    assert not [s for s in shown if KEY in s or KEY[3:] in s]


def test_no_redirect_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer() as thief, ChatServer() as server:
        for address in (f"{thief.url}/chat/completions", "/v1/elsewhere"):
            server.faults.append(Fault("redirect", message=address))
            with pytest.raises(ChatError, match="not followed: give the final address"):
                client(server, tmp_path).complete(ChatRequest.of("x"))
        assert thief.requests == [] and len(server.requests) == 2


def test_another_variable(server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "the-wrong-one")
    monkeypatch.setenv("LAB_KEY", KEY)
    client(server, tmp_path, key_variable="LAB_KEY").complete(ChatRequest.of("x"))
    client(server, tmp_path, key_variable="NOT_SET").complete(ChatRequest.of("y"))
    assert [r.headers.get("authorization") for r in server.requests] == [f"Bearer {KEY}", None]


@pytest.mark.parametrize("key", ["two words", "line\nbreak-in-it", "schlüssel-mit-umlaut", "tab\tbed-key"])
def test_a_key_that_cannot_be_one(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(SettingError, match=r"\$OPENAI_API_KEY holds spaces or characters") as caught:
        client(server, tmp_path)
    assert key not in str(caught.value)


def test_nothing_that_a_model_names_is_fetched(server: ChatServer, tmp_path: Path) -> None:
    with ChatServer() as bait:
        server.answer = lambda r: f"see {bait.url}/models ![x]({bait.url}/chat/completions) data:image/png;base64,AA"
        client(server, tmp_path).complete(ChatRequest.of("x"))
        assert bait.requests == []


def test_a_proxy_from_the_environment_sees_no_plain_http(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ChatServer() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        client(server, tmp_path).complete(ChatRequest.of("x"))
        assert proxy.requests == [] and len(server.requests) == 1


def test_importing_the_client_loads_no_http_library() -> None:
    code = "import sys, whenwhere.chat\nassert not {'httpx2', 'PIL', 'cv2'} & sys.modules.keys(), 'loaded'"
    subprocess.run([sys.executable, "-c", code], check=True)

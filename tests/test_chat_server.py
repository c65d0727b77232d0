"""The tests' own server, checked with the official client: what it accepts, says, counts and declines."""

import base64
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openai
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from chat_server import ChatServer, Fault, Request, Said, tokens

from whenwhere.chat import ChatRequest, Client, PicturePart
from whenwhere.store import Cache


def words(request: Request) -> str | Said:
    said = request.text()
    if "refuse" in said:
        return Said(None, refusal="I cannot help with that.")
    if "filter" in said:
        return Said(None, finish="content_filter")
    if "think" in said:
        return Said("done", thought="hm, well")
    return f"{request.index}: {said} {[p.shape[:2] for p in request.pictures()]} 😀"


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with ChatServer(words, models=("test-model", "other")) as running:
        yield running


@pytest.fixture(scope="module")
def official(server: ChatServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="secret", max_retries=0, timeout=5) as client:
        yield client


def say(text: str) -> list:
    return [{"role": "user", "content": text}]


def test_models(official: openai.OpenAI) -> None:
    assert [m.id for m in official.models.list()] == ["test-model", "other"]


def test_plain(official: openai.OpenAI) -> None:
    got = official.chat.completions.create(model="test-model", messages=say("hello"), n=2)
    assert [c.message.content for c in got.choices] == ["0: hello [] 😀", "1: hello [] 😀"]
    assert got.choices[0].finish_reason == "stop"
    assert got.usage is not None
    assert got.usage.prompt_tokens == tokens("hello") and got.usage.completion_tokens == 2 * tokens("0: hello [] 😀")


def test_picture(official: openai.OpenAI) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((28, 57, 3), np.uint8)).save(buffer, "PNG")
    url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}]
    got = official.chat.completions.create(model="test-model", messages=[{"role": "user", "content": parts}])  # type: ignore[list-item]
    assert got.choices[0].message.content == "0: look [(28, 57)] 😀"
    assert got.usage is not None and got.usage.prompt_tokens == 1 + 3


@pytest.mark.parametrize("usage", [True, False])
def test_streamed(official: openai.OpenAI, usage: bool) -> None:
    how = {"stream_options": {"include_usage": True}} if usage else {}
    with official.chat.completions.create(model="test-model", messages=say("hello"), stream=True, **how) as stream:  # type: ignore[call-overload]
        chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "0: hello [] 😀"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    counted = [c.usage.completion_tokens for c in chunks if c.usage]
    assert counted == ([tokens("0: hello [] 😀")] if usage else [])


def test_length_refusal_filter_and_thought(official: openai.OpenAI) -> None:
    create = official.chat.completions.create
    cut = create(model="test-model", messages=say("hello"), max_tokens=1).choices[0]
    assert (cut.finish_reason, cut.message.content) == ("length", "0: h")
    assert create(model="test-model", messages=say("refuse")).choices[0].message.refusal == "I cannot help with that."
    assert create(model="test-model", messages=say("filter")).choices[0].finish_reason == "content_filter"
    thinking = create(model="test-model", messages=say("think")).choices[0].message
    assert thinking.content == "done" and thinking.model_extra == {"reasoning_content": "hm, well"}


def test_structured(official: openai.OpenAI) -> None:
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    form = {"type": "json_schema", "json_schema": schema}
    assert official.chat.completions.create(model="test-model", messages=say("x"), response_format=form)  # type: ignore[call-overload]
    with pytest.raises(openai.BadRequestError, match="must contain the word 'json'"):
        official.chat.completions.create(model="test-model", messages=say("x"), response_format={"type": "json_object"})


def test_declined(official: openai.OpenAI, server: ChatServer) -> None:
    create = official.chat.completions.create
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        create(model="nobody", messages=say("x"))
    with pytest.raises(openai.BadRequestError, match="temperature must be between"):
        create(model="test-model", messages=say("x"), temperature=3)
    with pytest.raises(openai.BadRequestError, match="Invalid value: 'robot'"):
        create(model="test-model", messages=[{"role": "robot", "content": "x"}])  # type: ignore[list-item]
    with pytest.raises(openai.BadRequestError, match="Invalid media URL"):
        part = {"type": "image_url", "image_url": {"url": "http://elsewhere/picture.jpg"}}
        create(model="test-model", messages=[{"role": "user", "content": [part]}])  # type: ignore[list-item]
    with pytest.raises(openai.BadRequestError, match="Unrecognized request argument"):
        create(model="test-model", messages=say("x"), extra_body={"colour": "red"})
    with (
        pytest.raises(openai.NotFoundError, match="Invalid URL"),
        openai.OpenAI(base_url=server.url.removesuffix("/v1"), api_key="x", max_retries=0) as astray,
    ):
        astray.chat.completions.create(model="test-model", messages=say("x"))


def test_key(server: ChatServer) -> None:
    with ChatServer(key="right") as guarded, openai.OpenAI(base_url=guarded.url, api_key="wrong") as client:
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
            client.models.list()
        assert client.with_options(api_key="right").models.list().data[0].id == "test-model"


FAULTS = [
    (Fault("status", 429, headers={"Retry-After": "7"}), openai.RateLimitError),
    (Fault("status", 500), openai.InternalServerError),
    (Fault("reset"), openai.APIConnectionError),
    (Fault("truncate"), openai.APIConnectionError),
    (Fault("hang", seconds=3), openai.APITimeoutError),
    (Fault("redirect", message="/v1/other"), openai.NotFoundError),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS, ids=[f.kind for f, _ in FAULTS])
def test_faults(official: openai.OpenAI, server: ChatServer, fault: Fault, error: type[Exception]) -> None:
    server.faults.append(fault)
    hurried = official.with_options(timeout=0.3)
    with pytest.raises(error) as caught:
        hurried.chat.completions.create(model="test-model", messages=say("hello"))
    if isinstance(caught.value, openai.RateLimitError):
        assert caught.value.response.headers["retry-after"] == "7"
    # and the next one is answered as if nothing had been
    assert official.chat.completions.create(model="test-model", messages=say("hello")).choices
    assert not server.faults


def test_retried_by_the_official_client(server: ChatServer) -> None:
    server.faults += [Fault("status", 429, headers={"retry-after-ms": "10"}), Fault("status", 503)]
    before = len(server.requests)
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=2) as client:
        got = client.chat.completions.create(model="test-model", messages=say("again"))
    assert got.choices[0].message.content == "0: again [] 😀" and len(server.requests) == before + 3


def test_our_requests_are_the_official_ones(server: ChatServer) -> None:
    """Field by field what the official client sends for the same question."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    schema = {"type": "object", "properties": {}}
    ours = ChatRequest.of("look", PicturePart(pixels), max_tokens=9, temperature=0.5, seed=2, n=2, schema=schema)
    url = "data:image/jpeg;base64," + base64.b64encode(PicturePart(pixels).jpeg).decode()
    before = len(server.requests)
    for stream in (False, True):
        with Client(f"{server.url}#test-model", cache=Cache(None, enabled=False), stream=stream) as client:
            client.complete(ours)
        how = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        with openai.OpenAI(base_url=server.url, api_key="x") as official:
            got = official.chat.completions.create(  # type: ignore[call-overload]
                model="test-model",
                messages=[
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}],
                    }
                ],
                max_tokens=9,
                temperature=0.5,
                seed=2,
                n=2,
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": schema, "strict": True},
                },
                **how,
            )
            if stream:
                list(got)
        mine, theirs = (r.body for r in server.requests[before:])
        assert mine == theirs
        before += 2


def test_most_at_once() -> None:
    with ChatServer(seconds=0.1) as slow:
        from concurrent.futures import ThreadPoolExecutor

        with openai.OpenAI(base_url=slow.url, api_key="x") as client, ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda i: client.chat.completions.create(model="test-model", messages=say(str(i))), range(6)))
        assert slow.most_at_once == 3 and slow.answered == 6

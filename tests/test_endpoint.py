"""The endpoint backend: frames with their own times, what the model is really shown, and failures as data."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from chat_server import ChatServer, Fault, Request, Said

from whenwhere.answers.dialects import DIALECTS
from whenwhere.chat import Budget, RetryPolicy
from whenwhere.errors import SettingError
from whenwhere.models.backends.base import CallCosts, ModelBackend, ModelCall
from whenwhere.models.backends.endpoint import PIXELS, EndpointBackend
from whenwhere.store import Cache
from whenwhere.video import probe, read_frames

TIMES = np.array([0.0, 1.0, 2.04])
Make = Callable[..., EndpointBackend]


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Make]:
    made: list[EndpointBackend] = []

    def make(server: ChatServer, **how: Any) -> EndpointBackend:
        retry = RetryPolicy(retries=1, first=0.01, read=2, total=4)
        how = {"cache": Cache(tmp_path), "retry": retry} | how
        made.append(EndpointBackend(f"{server.url}#{how.pop('model', server.models[0])}", **how))
        return made[-1]

    yield make
    for endpoint in made:
        endpoint.close()


def frames(n: int = 3, width: int = 56, height: int = 28) -> np.ndarray:
    """One grey each, so that JPEG keeps it."""
    return np.stack([np.full((height, width, 3), 20 + 10 * i, np.uint8) for i in range(n)])


def call(**how: Any) -> ModelCall:
    return ModelCall(**{"images": frames(), "times": TIMES, "prompt": "When does it happen?", "step": "when"} | how)


def order(request: Request) -> list[Any]:
    """Parts of the message: words, or the grey of a picture."""
    greys = iter(request.pictures())
    return [p["text"] if p["type"] == "text" else int(next(greys).mean().round()) for p in request.parts()]


def test_each_frame_comes_after_its_own_time(connect: Make) -> None:
    with ChatServer(lambda r: "[]", models=["Qwen/Qwen3-VL-8B-Instruct"]) as server:
        backend: ModelBackend = connect(server)
        (reply,) = backend.ask([call(max_tokens=50, temperature=0.7, seed=5, schema={"type": "array"})])
        request = server.requests[0]
    assert order(request) == [
        "<0.0 seconds>", 20, "<1.0 seconds>", 30, "<2.0 seconds>", 40, "When does it happen?",
    ]  # fmt: skip
    assert (request.body["max_tokens"], request.body["temperature"], request.body["seed"]) == (50, 0.7, 5)
    assert request.body["response_format"]["json_schema"]["schema"] == {"type": "array"}
    assert backend.name == f"{server.url}#Qwen/Qwen3-VL-8B-Instruct" and backend.dialect is DIALECTS["qwen3-vl"]
    assert (reply.text, reply.finish, reply.error, reply.cached, reply.shown) == ("[]", "stop", None, False, (56, 28))
    assert reply.prompt_tokens == server.prompt_tokens(request) and reply.output_tokens == 1 and reply.seconds > 0


def test_frames_of_a_real_video_with_the_times_they_have(connect: Make, moving_clip: Path) -> None:
    info = probe(moving_clip)
    got = read_frames(info, [0.0, 1.04, 3.37])
    with ChatServer() as server:
        connect(server).ask([ModelCall(got.images, got.times, "x")])
        sent = server.requests[0]
    written = [float(t) for t in re.findall(r"<([\d.]+) seconds>", sent.text())]
    # ten frames a second: the frame shown at 3.37 s is the one of 3.3 s
    assert written == [0.0, 1.0, 3.3] == got.times.round(3).tolist()
    for seen, image in zip(sent.pictures(), got.images, strict=True):
        assert seen.shape == image.shape and np.abs(seen.astype(int) - image).mean() < 10


@pytest.mark.parametrize(
    ("how", "indices"), [("pairs", [0, 1000, 2040, 2040]), ("repeat", [0, 0, 1000, 1000, 2040, 2040])]
)
def test_one_video_for_vllm(connect: Make, how: Any, indices: list[int]) -> None:
    """In vLLM's terms: the frame numbers divided by the rate are the frames' own times, and none is left out."""
    with ChatServer(models=["Qwen3-VL-4B"]) as server:
        backend = connect(server, frames=how)
        (reply,) = backend.ask([call()])
        request = server.requests[0]
    assert [p["type"] for p in request.parts()] == ["video_url", "text"] and reply.shown == (56, 28)
    told = request.body["media_io_kwargs"]["video"]
    assert told["frames_indices"] == indices and told["num_frames"] == -1 and told["total_num_frames"] >= len(indices)
    # each picture is the frame of the time that is told
    greys = {20: 0.0, 30: 1.0, 40: 2.04}
    assert [greys[int(p.mean().round())] for p in request.pictures()] == [i / told["fps"] for i in indices]
    assert told["duration"] >= 2.04 and request.text() == "When does it happen?"


def test_a_family_that_counts_steps_is_told_how_long_one_is(connect: Make) -> None:
    with ChatServer(models=["Qwen2.5-VL-7B"]) as server:
        connect(server, frames="pairs").ask([call(images=frames(4), times=np.array([100.0, 100.5, 101.0, 101.5]))])
        told = server.requests[0].body["media_io_kwargs"]["video"]
        words = server.requests[0].text()
    # transformers: frames sampled per second = frames / all frames x rate
    assert 4 / told["total_num_frames"] * told["fps"] == 2.0
    # its positions count from the first frame: where that is stands in the words
    assert "located at 100.00s,100.50s,101.00s,101.50s." in words and words.endswith("When does it happen?")


@pytest.mark.parametrize(
    ("model", "size", "shown"),
    [
        ("Qwen2.5-VL-7B", (100, 50), (112, 56)),
        ("Qwen2.5-VL-7B", (640, 360), (644, 364)),
        ("Qwen2.5-VL-7B", (84, 56), (84, 56)),
        ("Qwen2.5-VL-7B", (5, 5), (28, 28)),
        ("Qwen3-VL-8B", (100, 50), (100, 50)),
        ("gpt-x", (100, 50), (100, 50)),
        ("gpt-x", (1920, 1080), (1035, 582)),
        ("Qwen2.5-VL-7B", (1920, 1080), (1036, 588)),
    ],
)
def test_what_is_shown_is_what_arrives(
    connect: Make, model: str, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    """Answers in pixels mean the picture after the family's resizing; ours leave it nothing to resize."""
    with ChatServer(models=[model]) as server:
        (reply,) = connect(server).ask([call(images=frames(3, *size))])
        assert reply.shown == shown and {p.shape for p in server.requests[0].pictures()} == {(shown[1], shown[0], 3)}


def test_smaller_where_asked(connect: Make) -> None:
    with ChatServer() as server:
        for how, shown in (({"long_side": 50}, (50, 25)), ({"pixels": 200}, (20, 10)), ({"pixels": None}, (100, 50))):
            backend = connect(server, **how)
            (reply,) = backend.ask([call(images=frames(3, 100, 50))])
            assert reply.shown == shown
            assert backend.prompt_tokens(3, 100, 50, "") == backend.prompt_tokens(3, *shown, "")
    assert shown == (100, 50) and PIXELS == 768 * 28 * 28


def test_words_alone(connect: Make) -> None:
    with ChatServer(lambda r: r.text()) as server:
        for how in ("images", "repeat"):
            empty = call(images=np.zeros((0, 8, 8, 3), np.uint8), times=np.zeros(0), prompt=f"Hello {how}?")
            (reply,) = connect(server, frames=how).ask([empty])
            assert (reply.text, reply.shown) == (f"Hello {how}?", (0, 0))


def test_partial_failures_are_kept_and_a_rerun_asks_only_for_the_rest(connect: Make) -> None:
    def answer(request: Request) -> str | Said:
        return Said(None, refusal="No.") if "2" in request.text() else request.text() + " " * 100

    with ChatServer(answer) as server:
        backend = connect(server, concurrency=1)
        calls = [
            call(images=np.zeros((0, 8, 8, 3), np.uint8), times=np.zeros(0), prompt=str(i), max_tokens=1 + 99 * (i < 4))
            for i in range(6)
        ]
        server.faults.extend([None, Fault("malformed"), None, Fault("status", 400, "bad")])  # type: ignore[list-item]
        found = backend.ask(calls)
        assert [r.finish for r in found] == ["stop", "error", "refused", "error", "length", "length"]
        assert [r.text.strip() for r in found] == ["0", "", "No.", "", "4", "5"]
        assert "broken JSON" in str(found[1].error) and "declines" in str(found[3].error) and not found[0].error
        spent = CallCosts()
        for c, r in zip(calls, found, strict=True):
            spent.add(c, r)
        before = len(server.requests)
        again = backend.ask(calls)
        assert [r.cached for r in again] == [True, False, True, False, True, True] and len(
            server.requests
        ) == before + 2
        assert again[0].text == found[0].text and again[0].seconds == 0
        for c, r in zip(calls, again, strict=True):
            spent.add(c, r)
    assert spent.prompt_tokens == backend.client.usage.prompt_tokens and len(spent.trace) == 12
    assert spent.output_tokens == backend.client.usage.output_tokens


def test_a_spent_budget_is_an_error_in_place(connect: Make) -> None:
    with ChatServer(lambda r: "ok") as server:
        replies = connect(server, budget=Budget(calls=2), concurrency=1).ask([call(seed=i) for i in range(4)])
    assert [r.text for r in replies] == ["ok", "ok", "", ""] and "allow more calls" in str(replies[3].error)


def test_estimate_is_near_what_a_server_counts(connect: Make) -> None:
    prompt = "When does it happen? " * 10
    with ChatServer(models=["Qwen3-VL-8B"]) as server:
        backend = connect(server)
        for n, width, height in ((1, 56, 56), (8, 320, 180), (4, 640, 360)):
            (reply,) = backend.ask([call(images=frames(n, width, height), times=np.arange(n) * 1.0, prompt=prompt)])
            assert (
                reply.prompt_tokens <= backend.prompt_tokens(n, width, height, prompt) <= reply.prompt_tokens * 1.4 + 20
            )
    pairs, repeat = connect(server, frames="pairs"), connect(server, frames="repeat")
    assert (
        pairs.prompt_tokens(8, 320, 180, "")
        < repeat.prompt_tokens(8, 320, 180, "")
        == backend.prompt_tokens(8, 320, 180, "")
    )


def test_what_a_server_cannot_do_is_told(connect: Make) -> None:
    with ChatServer(lacks=["json_schema", "seed"]) as server:
        backend = connect(server)
        assert backend.warnings() == []
        backend.ask([call(schema={"type": "array"})])
    assert len(backend.warnings()) == 2 and "in words" in backend.warnings()[0] and "seed" in backend.warnings()[1]


def test_settings_out_of_range(connect: Make) -> None:
    with ChatServer() as server:
        for how in ({"frames": "film"}, {"quality": 0}, {"quality": 101}, {"concurrency": 0}, {"pixels": 0}):
            with pytest.raises(SettingError):
                connect(server, **how)
        dialect = DIALECTS["internvl3.5"]
        assert connect(server, dialect=dialect).dialect is dialect

"""Captioners by name: tiny checkpoints of the real classes, vision-language models, and functions."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import tiny_captioners
from chat_server import ChatServer, Fault, Said

from whenwhere.chat import RetryPolicy
from whenwhere.errors import ChatError, SettingError
from whenwhere.models.backends.base import BackendOptions
from whenwhere.models.backends.endpoint import EndpointBackend
from whenwhere.models.captioners import (
    MOST_TOKENS,
    BackendCaptioner,
    ClipFrames,
    PretrainedCaptioner,
    is_function_name,
    open_captioner,
    tag_text,
)
from whenwhere.store import Cache

NONE = BackendOptions(Cache(enabled=False))


def frames(count: int = 3) -> ClipFrames:
    images = np.random.default_rng(0).integers(0, 255, (count, 48, 64, 3), dtype=np.uint8)
    return ClipFrames("clip.mp4", 10.0, 12.0, 10.0 + np.arange(count) / 2, images)


@pytest.mark.torch
@pytest.mark.parametrize("kind", tiny_captioners.KINDS)
def test_checkpoints_of_the_real_classes(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_captioners.saved(kind, tmp_path / kind)
    monkeypatch.setattr("whenwhere.models.captioners.MOST_TOKENS", 6)
    options = BackendOptions(Cache(tmp_path / "cache"), device="cpu")
    one = open_captioner(str(folder), options)
    assert isinstance(one, PretrainedCaptioner) and not one.priced
    said = one.caption(frames())
    assert len(said) == 3 and all(isinstance(text, str) for text in said)
    # a frame's caption does not depend on its neighbours, and is asked for once
    monkeypatch.setattr(PretrainedCaptioner, "_generated", lambda *_: pytest.fail("it is in the cache"))
    again = open_captioner(str(folder), options)
    assert again.caption(frames()) == said and again.caption(frames(1)) == said[:1]


@pytest.mark.torch
def test_a_beginning_of_the_caption_is_not_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whenwhere.models.captioners.MOST_TOKENS", 6)
    folder = tiny_captioners.saved("blip-2", tmp_path)
    said = open_captioner(str(folder), NONE, "a photo of").caption(frames(2))
    assert len(said) == 2 and not any(text.startswith("a photo of") for text in said)


@pytest.mark.torch
def test_another_kind_of_checkpoint_is_asked_as_a_vision_language_model(tmp_path: Path) -> None:
    from tiny_models import qwen3_vl

    model, processor = qwen3_vl()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    one = open_captioner(str(tmp_path), NONE)
    assert isinstance(one, BackendCaptioner) and len(one.caption(frames(1))) == 1


def test_a_server_sees_one_frame_in_each_call() -> None:
    with ChatServer(lambda request: Said(None, refusal="no") if len(request.pictures()) != 1 else " A dog. ") as server:
        backend = EndpointBackend(f"{server.url}#test-model", cache=Cache(enabled=False), retry=RetryPolicy(retries=0))
        one = BackendCaptioner(backend, "What is it?", priced=True)
        assert one.caption(frames()) == ["A dog."] * 3 and one.prompt_tokens(64, 48) > 0
        assert server.requests[0].body["max_tokens"] == MOST_TOKENS and "What is it?" in server.requests[0].text()
        server.faults.append(Fault("status", status=500))
        with pytest.raises(ChatError, match="500"):
            one.caption(frames(1))
        one.close()


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("taggers:tag", True),
        ("a.b.c:tag", True),
        ("http://host:8000/v1#m", False),
        ("C:/models/blip", False),
        ("Salesforce/blip2-opt-2.7b", False),
        ("runs/sft@best", False),
        (":tag", False),
        ("taggers:", False),
    ],
)
def test_what_is_the_name_of_a_function(name: str, function: bool) -> None:
    assert is_function_name(name) is function


@pytest.mark.parametrize("name", ["", "no such model", "caption_oracles:missing", "./missing"])
def test_names_of_nothing(name: str) -> None:
    with pytest.raises(SettingError):
        open_captioner(name, NONE)


def test_tags_are_joined_once() -> None:
    assert tag_text([" dog ", "", "ball", "dog"]) == "dog, ball" and tag_text([]) == ""

"""How vLLM and SGLang are handed weights and asked for completions, without a run of training around it."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from rollout_servers import SmallSGLang, SmallVLLM
from tiny_policies import Two, opened

from whenwhere.chat import CompletionChoice, RetryPolicy
from whenwhere.errors import ChatError, ModelError, SettingError

pytestmark = pytest.mark.torch
pytest_plugins = ["rl_fixtures"]


@pytest.fixture(scope="module")
def policy(taught: Path) -> Any:
    return opened(taught, frames="images")


@pytest.fixture(scope="module")
def served(taught: Path) -> Any:
    return opened(taught, frames="images")


def drawn(policy: Any, *servers: Any, count: int = 3, temperature: float = 1.0, questions: int = 1) -> list[Any]:
    """The completion groups that servers give for the two clips of `Two`."""
    from whenwhere.training.prefix.rollout import SamplingParams
    from whenwhere.training.rl.completions import PromptedClip
    from whenwhere.training.rl.server import ServerSampler

    clips = []
    for k, sample in enumerate(Two(questions).samples):
        prompt, rests = policy.prompts(sample, sample.questions)
        clips.append(PromptedClip(k, 0.0, tuple(range(questions)), sample, sample.questions, prompt, rests))
    sampler = ServerSampler(" ".join(f"{s.url}#policy" for s in servers), retry=RetryPolicy(retries=0))
    params = SamplingParams(6, temperature, stop=tuple(policy.end_ids), seed=3)
    return sampler.sample(policy, clips, count, params)


def brought(policy: Any, folder: Path, *servers: Any) -> None:
    """Brings the policy's weights to servers."""
    from whenwhere.training.rl.server import ServerSampler

    ServerSampler(
        " ".join(f"{s.url}#policy" for s in servers), folder, retry=RetryPolicy(retries=0)
    ).prepare(policy)  # fmt: skip


def test_log_probabilities_of_sglang_are_those_after_the_temperature(policy: Any, served: Any) -> None:
    import torch

    from whenwhere.training.prefix.group import PrefixGroup
    from whenwhere.training.prefix.shared_prefix import score_branches

    with SmallSGLang(served).start() as server:
        groups = drawn(policy, server, count=4, temperature=0.7, questions=2)
    assert [(g.clip.position, g.question_index, len(g.ids)) for g in groups] == [
        (0, 0, 4), (0, 1, 4), (1, 0, 4), (1, 1, 4),
    ]  # fmt: skip
    for group in groups:
        with torch.no_grad():
            scores = score_branches(policy.parts, PrefixGroup(group.clip.prompt, group.branches()), temperature=0.7)
        assert torch.allclose(scores.logps[scores.mask], torch.cat(group.sampling_logps), atol=0.02)
        assert all(ended == (row[-1] in policy.end_ids) for row, ended in zip(group.ids, group.ended, strict=True))


def test_what_sglang_is_asked(policy: Any, served: Any) -> None:
    from whenwhere.training.prefix.rollout import visual_token_ids

    with SmallSGLang(served).start() as server:
        groups = drawn(policy, server, count=1)
        bodies = [request.body for request in server.requests]
    assert [len(group.ids) for group in groups] == [1, 1]
    assert all(len(body["image_data"][0]) == 8 and body["return_logprob"] is True for body in bodies)
    asked = sorted(body["input_ids"][0] for body in bodies)
    assert asked == sorted([*g.clip.prompt.ids.tolist(), *g.clip.suffixes[0].tolist()] for g in groups)
    params = bodies[0]["sampling_params"]
    assert {int(token) for token in params["logit_bias"]} == set(visual_token_ids(policy.parts))
    assert params["top_k"] == -1 and params["n"] == 1 and params["stop_token_ids"] == list(policy.end_ids)


def test_a_vllm_and_an_sglang_server_take_the_questions_in_turn(policy: Any, served: Any, taught: Path) -> None:
    one, two = SmallVLLM(served), SmallSGLang(opened(taught, frames="images"))
    with one.start() as first, two.start() as second:
        groups = drawn(policy, first, second, questions=2)
        assert [r.path for r in first.requests] == 2 * ["/v1/chat/completions"]
        assert [r.path for r in second.requests] == 2 * ["/generate"]
    assert [len(g.ids) for g in groups] == [3] * 4


def test_picture_tokens_are_not_drawn_from_a_model_that_likes_them(policy: Any, served: Any) -> None:
    from whenwhere.training.prefix.rollout import visual_token_ids

    banned = set(visual_token_ids(policy.parts))
    with SmallSGLang(served, picture_bias=40).start() as server:
        rows = [row for group in drawn(policy, server) for row in group.ids]
        assert not banned & {int(token) for row in rows for token in row}
    with (
        SmallSGLang(served, picture_bias=40, knows_bias=False).start() as server,
        pytest.raises(ModelError, match=r"drew the token \d+, which stands for a picture, although logit_bias"),
    ):
        drawn(policy, server)


def test_sglang_does_not_get_videos(taught: Path, served: Any) -> None:
    with SmallSGLang(served).start() as server:
        for frames in ("pairs", "repeat"):
            with pytest.raises(SettingError, match=r"is SGLang, which samples and times .* frames=images"):
                drawn(opened(taught, frames=frames), server)
        assert not server.requests


def test_a_server_that_makes_other_tokens_of_a_prompt_is_refused(policy: Any, taught: Path) -> None:
    other = opened(taught, frames="images")
    other.checkpoint.processor.image_processor.size = {"shortest_edge": 64 * 64, "longest_edge": 128 * 128}
    with (
        SmallSGLang(other).start() as server,
        pytest.raises(ModelError, match=r"counts \d+ tokens in a prompt that has \d+ here"),
    ):
        drawn(policy, server)


def test_a_load_that_fails_on_one_of_two_servers(policy: Any, served: Any, taught: Path, tmp_path: Path) -> None:
    one, two = SmallSGLang(served), SmallSGLang(opened(taught, frames="images"))
    two.fails = "update"
    with one.start() as first, two.start() as second:
        with pytest.raises(
            ModelError, match=r"did not load the weights of .*: Failed to update weights: size mis"
        ) as e:
            brought(policy, tmp_path / "served", first, second)
        assert "\n" not in str(e.value) and second.url.removesuffix("/v1") in str(e.value)
        # the one that failed goes on with the weights that it had
        assert (one.loaded, two.loaded) == (1, 0) and two.calls == ["pause", "update", "continue"] and not two.paused
        two.fails = ""
        brought(policy, tmp_path / "served", first, second)
        assert (one.loaded, two.loaded) == (2, 1)
        drawn(policy, first, second)


@pytest.mark.parametrize("path", ["/pause_generation", "/update_weights_from_disk", "/continue_generation"])
def test_an_sglang_that_lacks_a_call_for_weights(policy: Any, served: Any, tmp_path: Path, path: str) -> None:
    small = SmallSGLang(served, lacks=(path,))
    with small.start() as server:
        with pytest.raises(ModelError, match=rf"declines {path} \(404.*use a newer SGLang, or leave") as error:
            brought(policy, tmp_path / "served", server)
        assert "\n" not in str(error.value)
        if path != "/continue_generation":
            assert not small.paused


def test_an_sglang_that_declines_the_question(policy: Any, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import rollout_servers

    with (
        SmallSGLang(served, lacks=("/generate",)).start() as server,
        pytest.raises(ModelError, match=r"declines /generate \(404.*use a newer SGLang"),
    ):
        drawn(policy, server)
    monkeypatch.setattr(rollout_servers, "SAMPLING", rollout_servers.SAMPLING - {"logit_bias"})
    with (
        SmallSGLang(served).start() as server,
        pytest.raises(ModelError, match=r"declines /generate \(400: Unexpected keyword argument 'logit_bias'\)"),
    ):
        drawn(policy, server)


def test_a_vllm_that_cannot_read_weights_again(policy: Any, served: Any, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    with (
        SmallVLLM(served).start() as server,
        pytest.raises(ModelError, match=r"declines /collective_rpc \(404.*VLLM_SERVER_DEV_MODE=1, or leave"),
    ):
        brought(policy, folder, server)
    assert (folder / "model.safetensors").exists()
    small = SmallVLLM(served, folder)
    small.fails = "reload_weights"
    with (
        small.start() as server,
        pytest.raises(ModelError, match=r"declines /collective_rpc \(500: size mismatch .*\): look into its log"),
    ):
        brought(policy, folder, server)


def test_features_of_pictures_do_not_outlive_the_weights_that_made_them(
    taught: Path, served: Any, tmp_path: Path
) -> None:
    """vLLM keeps them by the picture alone, so that a trained vision tower needs a call that older versions lack."""
    policy, small = opened(taught, frames="images"), SmallVLLM(served, tmp_path / "served", encoder_cache=False)
    with small.start() as server:
        with pytest.raises(ModelError, match=r"declines /reset_encoder_cache \(404.*freeze_vision_tower=true"):
            brought(policy, tmp_path / "served", server)
        for weight in policy.parts.model.model.visual.parameters():
            weight.requires_grad_(False)
        brought(policy, tmp_path / "served", server)
    assert small.calls == 2 * ["reload_weights", "reset_prefix_cache"]


def test_the_key_goes_with_every_call(
    policy: Any, served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SmallSGLang(served).start(key="sk-0123456789") as server:
        with pytest.raises(ChatError, match=r"asks for a key \(401\)"):
            brought(policy, tmp_path / "served", server)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
        brought(policy, tmp_path / "served", server)
        assert len(drawn(policy, server)) == 2


def test_a_server_that_is_gone_is_one_sentence(policy: Any, served: Any, tmp_path: Path) -> None:
    with SmallSGLang(served).start() as server:
        pass
    for call in (lambda: brought(policy, tmp_path / "served", server), lambda: drawn(policy, server)):
        with pytest.raises(ChatError, match="cannot be reached") as error:
            call()
        assert "\n" not in str(error.value)


@given(st.integers(1, 4), st.integers(0, 9), st.integers(1, 3))
def test_completions_keep_the_order_of_the_questions(servers: int, questions: int, count: int) -> None:
    from whenwhere.training.rl.server import ServerSampler

    class Echo:
        def completions(self, requests: Sequence[int]) -> list[list[CompletionChoice]]:
            return [[CompletionChoice("", tokens=(r, k)) for k in range(count)] for r in requests]

    sampler = ServerSampler("")
    sampler._servers = [Echo() for _ in range(servers)]  # type: ignore[misc]
    found = [choice.tokens for choice in sampler._complete(range(questions))]  # type: ignore[arg-type]
    assert found == [(r, k) for r in range(questions) for k in range(count)]


@pytest.mark.parametrize(
    "told",
    [
        {"text": "x"},
        "x",
        {"meta_info": {"prompt_tokens": 5}},
        {"meta_info": {"prompt_tokens": 5, "output_token_logprobs": [[float("nan"), 3, None]]}},
        {"meta_info": {"prompt_tokens": 5, "output_token_logprobs": [[None, 3, None]]}},
        {"meta_info": {"prompt_tokens": 5, "output_token_logprobs": []}},
        {
            "meta_info": {
                "prompt_tokens": 5,
                "output_token_logprobs": [[-0.5, 3, None]],
                "finish_reason": {"type": "abort", "message": "Abort in waiting queue"},
            }
        },
    ],
)
def test_an_answer_without_log_probabilities_is_refused(told: Any) -> None:
    from whenwhere.chat import ChatRequest, Client, ServerReply
    from whenwhere.training.prefix.rollout import SamplingParams
    from whenwhere.training.rl.rollout_servers import RolloutRequest, SGLangServer

    class Says(Client):
        def call_all(self, path: str, bodies: Any) -> list[ServerReply | ChatError]:
            return [ServerReply(200, [told], "")]

    request = RolloutRequest(ChatRequest.of("when"), [1, 2, 3, 4, 5], 1, SamplingParams(4), [9])
    server = SGLangServer(Says("http://localhost:1/v1#policy"))
    with pytest.raises(ModelError, match=r"no completion|\d tokens and \d log-prob|broke off .*\(Abort in w"):
        server.completions([request])
    with pytest.raises(ModelError, match=r"no completion|counts"):
        server.completions([replace(request, ids=[1])])

"""RL with completions from real HTTP servers, vLLM's and SGLang's, which sample from a policy of their own."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from chat_server import ChatServer
from rl_runs import BASE, trained, weights
from rollout_servers import Served, SmallSGLang, SmallVLLM
from tiny_policies import lines, opened

from whenwhere.errors import ModelError

pytestmark = pytest.mark.torch
pytest_plugins = ["rl_fixtures"]


def test_completions_from_two_servers(taught: Path, tmp_path: Path) -> None:
    from whenwhere.training.prefix.rollout import visual_token_ids

    handler = SmallVLLM(opened(taught))
    with ChatServer(handler, models=["policy"]) as server, ChatServer(handler, models=["policy"]) as other:
        both = f"{server.url}#policy {other.url}#policy"
        settings = replace(BASE, max_steps=3, vllm_server_base_url=both, learning_rate=1e-4)
        trained(taught, tmp_path, settings)
        assert len(server.requests) == len(other.requests) > 0
    found = lines(tmp_path)
    # the server's frames went through JPEG, and after each update its weights are older than the policy's
    assert 0 < found[0]["logp_gap"] < 0.05 and abs(found[0]["weight"] - 1) < 0.05
    assert found[0]["ratio"] == 1 and found[-1]["logp_gap"] < 0.2
    drawn = lines(tmp_path, "completions/step-000001.jsonl")
    assert len(drawn) == 12 and len({d["text"] for d in drawn}) > 1
    body = handler.shown[0].body
    banned = {int(token) for token, bias in body["logit_bias"].items() if bias == -100}
    assert banned == set(visual_token_ids(handler.policy.parts)) and len(banned) > 1
    assert body["logprobs"] and body["return_token_ids"] and body["temperature"] == 1 and body["n"] == 6
    assert [line["step"] for line in found] == [1, 2, 3]


@pytest.mark.parametrize("kind", [SmallVLLM, SmallSGLang])
def test_a_server_with_other_weights_is_refused(taught: Path, tmp_path: Path, kind: type[Served]) -> None:
    import torch

    stale = opened(taught, frames="images")
    with torch.no_grad():
        for weight in stale.model.parameters():
            weight.mul_(1.3)
    with kind(stale).start() as server:
        settings = replace(BASE, vllm_server_base_url=f"{server.url}#policy")
        with pytest.raises(ModelError, match=r"log-probabilities are off by \d.* max_logp_gap"):
            trained(taught, tmp_path, settings, frames="images")
    assert not (tmp_path / "checkpoint").exists()


def test_a_server_that_tells_no_tokens_is_refused(taught: Path, tmp_path: Path) -> None:
    from whenwhere.chat import RetryPolicy
    from whenwhere.errors import ChatError
    from whenwhere.training.rl.server import ServerSampler

    with ChatServer(lambda request: "<none>", models=["policy"]) as server:
        settings = replace(BASE, vllm_server_base_url=f"{server.url}#policy")
        with pytest.raises(ModelError, match="0 tokens and 0 log-probabilities"):
            trained(taught, tmp_path / "one", settings)
    with pytest.raises(ChatError):  # the server has ended
        trained(taught, tmp_path / "three", sampler=ServerSampler(f"{server.url}#policy", retry=RetryPolicy(retries=0)))


@pytest.mark.parametrize("kind", [SmallVLLM, SmallSGLang])
def test_servers_read_the_weights_before_each_set_of_completions(
    taught: Path, tmp_path: Path, kind: type[Served]
) -> None:
    """The learning rate is so high that a server that missed an update would be refused for its log-probabilities."""
    served = tmp_path / "served"
    policy = opened(taught, frames="images")
    server_of = kind(policy, served) if kind is SmallVLLM else kind(policy)
    settings = replace(BASE, max_steps=3, vllm_sync_folder=str(served))
    with server_of.start() as server:
        trained(
            taught, tmp_path / "run", replace(settings, vllm_server_base_url=f"{server.url}#policy"), frames="images"
        )
    found = lines(tmp_path / "run")
    assert [line["step"] for line in found] == [1, 2, 3] and server_of.loaded == 3
    assert all(line["logp_gap"] < 5e-3 and abs(line["weight"] - 1) < 5e-3 for line in found)
    once = ["reload_weights", "reset_prefix_cache", "reset_encoder_cache"]
    once = once if kind is SmallVLLM else ["pause", "update", "continue"]
    assert server_of.calls == 3 * once
    # what was read last is what the last update began with
    name = "model.visual.patch_embed.proj.weight"
    assert not bool((weights(tmp_path / "run")[name] == policy.model.state_dict()[name]).all())


@pytest.mark.parametrize("kind", [SmallVLLM, SmallSGLang])
def test_a_server_that_dies_between_two_updates_costs_no_update(
    taught: Path, tmp_path: Path, kind: type[Served]
) -> None:
    """One sentence, the last state kept; with another server the run goes on from there."""
    from whenwhere.chat import RetryPolicy
    from whenwhere.errors import ChatError
    from whenwhere.training.rl.server import ServerSampler

    settings = replace(BASE, max_steps=3, save_steps=1, learning_rate=1e-4)
    handler = kind(opened(taught, frames="images"))
    with handler.start() as server:
        address = f"{server.url}#policy"

        class Dies(ServerSampler):
            def prepare(self, policy: Any) -> None:
                if (tmp_path / "state" / "last.pt").exists():
                    server.stop()
                    # its threads would go on answering on connections that are open
                    self._servers.clear()
                    self._backends.clear()

        with pytest.raises(ChatError, match=r"refuse|reach|answer") as error:
            trained(taught, tmp_path, settings, sampler=Dies(address, retry=RetryPolicy(retries=0)), frames="images")
    assert "\n" not in str(error.value)
    assert [line["step"] for line in lines(tmp_path)] == [1]
    with handler.start() as server:
        trained(taught, tmp_path, settings, sampler=ServerSampler(f"{server.url}#policy"), frames="images")
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]

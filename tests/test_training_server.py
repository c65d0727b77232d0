"""RL with completions from a real HTTP server, which samples from a policy of its own."""

import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from chat_server import ChatServer, Request, Said
from rl_runs import BASE, trained
from tiny_policies import Two, lines, opened
from world_server import times_of

from whenwhere.errors import ModelError

pytestmark = pytest.mark.torch
pytest_plugins = ["rl_fixtures"]


class SmallServer:
    """A small vLLM: samples from a policy of its own, and reports token ids and log-probabilities."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.lock = threading.Lock()
        self.shown: list[Request] = []

    def __call__(self, request: Request) -> Said:
        import torch

        from whenwhere.training.data.samples import Question, Sample
        from whenwhere.training.prefix.group import completion_group
        from whenwhere.training.prefix.rollout import PrefilledPrompt, SamplingParams
        from whenwhere.training.prefix.shared_prefix import score_branches

        body, policy = request.body, self.policy
        words = request.text().removeprefix("when ").strip()
        question = Question("q", words, Two().samples[0].questions[0].truth)
        sample = Sample("s", np.stack(request.pictures()), times_of(request), (question,))
        with self.lock, torch.no_grad():
            self.shown.append(request)
            prompt, (rest,) = policy.prompts(sample, [question])
            whole = replace(prompt, ids=torch.cat([prompt.ids, rest]))
            how = SamplingParams(
                body["max_tokens"], body["temperature"], stop=tuple(policy.end_ids), seed=body["seed"] + request.index
            )
            (ids,) = PrefilledPrompt(policy.parts, whole).sample(1, how)
            logps = score_branches(policy.parts, completion_group(whole, [ids]), temperature=body["temperature"]).logps[
                0
            ]
        ended = int(ids[-1]) in policy.end_ids
        return Said(policy.decode(ids), "stop" if ended else "length", token_ids=ids.tolist(), logprobs=logps.tolist())


def test_completions_from_two_servers(taught: Path, tmp_path: Path) -> None:
    from whenwhere.training.prefix.rollout import visual_token_ids

    handler = SmallServer(opened(taught))
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


def test_a_server_with_other_weights_is_refused(taught: Path, tmp_path: Path) -> None:
    import torch

    stale = opened(taught)
    with torch.no_grad():
        for weight in stale.model.parameters():
            weight.mul_(1.3)
    with ChatServer(SmallServer(stale), models=["policy"]) as server:
        settings = replace(BASE, vllm_server_base_url=f"{server.url}#policy")
        with pytest.raises(ModelError, match=r"log-probabilities are off by \d.* max_logp_gap"):
            trained(taught, tmp_path, settings)
    assert not (tmp_path / "checkpoint").exists()


def test_a_server_that_tells_no_tokens_is_refused(taught: Path, tmp_path: Path) -> None:
    from whenwhere.chat import RetryPolicy
    from whenwhere.errors import ChatError
    from whenwhere.training.rl.server import ServerSampler

    with ChatServer(lambda request: "<none>", models=["policy"]) as server:
        settings = replace(BASE, vllm_server_base_url=f"{server.url}#policy")
        with pytest.raises(ModelError, match="0 tokens and 0 log-probabilities"):
            trained(taught, tmp_path / "one", settings)
        with pytest.raises(ModelError, match=r"declines collective_rpc \(404\)"):
            trained(taught, tmp_path / "two", replace(settings, vllm_sync_folder=str(tmp_path / "served")))
    assert (tmp_path / "served" / "model.safetensors").exists()
    with pytest.raises(ChatError):  # the server has ended
        trained(taught, tmp_path / "three", sampler=ServerSampler(f"{server.url}#policy", retry=RetryPolicy(retries=0)))


def test_a_server_that_dies_between_two_updates_costs_no_update(taught: Path, tmp_path: Path) -> None:
    """One sentence, the last state kept; with another server the run goes on from there."""
    from whenwhere.chat import RetryPolicy
    from whenwhere.errors import ChatError
    from whenwhere.training.rl.server import ServerSampler

    settings = replace(BASE, max_steps=3, save_steps=1, learning_rate=1e-4)
    handler = SmallServer(opened(taught))
    with ChatServer(handler, models=["policy"]) as server:
        address = f"{server.url}#policy"

        class Dies(ServerSampler):
            def prepare(self, policy: Any) -> None:
                if (tmp_path / "state" / "last.pt").exists():
                    server.stop()
                    self._endpoints.clear()  # its threads would go on answering on connections that are open

        with pytest.raises(ChatError, match=r"refuse|reach|answer") as error:
            trained(taught, tmp_path, settings, sampler=Dies(address, retry=RetryPolicy(retries=0)))
    assert "\n" not in str(error.value)
    assert [line["step"] for line in lines(tmp_path)] == [1]
    with ChatServer(handler, models=["policy"]) as server:
        trained(taught, tmp_path, settings, sampler=ServerSampler(f"{server.url}#policy"))
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]

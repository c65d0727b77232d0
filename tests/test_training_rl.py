"""RL on a micro policy of the real classes: it learns, it can be killed, and it says what it does."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import rl_child
import tiny_policies
from chat_server import ChatServer, Request, Said
from tiny_policies import Two, opened
from world_server import times_of

from whenwhere.errors import ModelError, SettingError
from whenwhere.training.settings import RLSettings
from whenwhere.verify import Verifier

pytestmark = pytest.mark.torch

BASE = RLSettings(
    max_steps=4, learning_rate=3e-3, lr_scheduler_type="constant", prompts_per_step=2, num_generations=6,
    max_completion_length=6, logging_steps=1, save_steps=100,
)  # fmt: skip
VERIFIER = Verifier({"t_iou": 1}, form="tokens")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_policies.build(tmp_path_factory.mktemp("taught") / "policy", steps=80)


def trained(taught: Path, folder: Path, settings: RLSettings = BASE, source: Any = None, **how: Any) -> Any:
    from whenwhere.training.loop import Run
    from whenwhere.training.rl import train

    run = Run(folder, warn=lambda _: None)
    verifier, drawer = how.pop("verifier", VERIFIER), how.pop("drawer", None)
    train(opened(taught, **how), source or Two(), verifier, settings, run, drawer)
    return run


def lines(folder: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "checkpoint" / "model.safetensors")


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    import torch

    assert one.keys() == other.keys()
    return all(torch.equal(one[n], other[n]) for n in one)


def test_the_reward_rises(taught: Path, tmp_path: Path) -> None:
    trained(taught, tmp_path, replace(BASE, max_steps=24, num_generations=16, learning_rate=1e-3))
    found = lines(tmp_path)
    rewards = [line["reward"] for line in found]
    assert len(rewards) == 24
    assert np.mean(rewards[-4:]) > np.mean(rewards[:2]) + 0.25
    assert found[-1]["entropy"] < found[0]["entropy"]
    assert found[-1]["mode"] <= 0.6  # two clips, two answers: it did not learn to say one
    drawn = lines(tmp_path, "completions/step-000024.jsonl")
    assert len(drawn) == 32 and {d["question"] for d in drawn} == {"clip0/0", "clip1/0"}
    assert np.mean([d["reward"] for d in drawn]) == pytest.approx(rewards[-1])
    for d in drawn:
        assert d["total"] == pytest.approx(d["terms"]["t_iou"] + 0.1 * d["format"])
        assert (d["status"] in ("ok", "absent")) or d["reward"] == 0
    assert found[0]["parse_rate"] == np.mean(
        [d["status"] in ("ok", "absent") for d in lines(tmp_path, "completions/step-000001.jsonl")]
    )


def test_metrics_are_what_they_are_called(taught: Path, tmp_path: Path) -> None:
    trained(taught, tmp_path, replace(BASE, max_steps=1, beta=0.1, entropy_coef=0.01))
    (found,) = lines(tmp_path)
    for name in (
        "reward", "reward_std", "reward/t_iou", "format", "parse_rate", "truncated", "length", "zero_variance", "width",
        "all_wrong", "all_right", "format_variance", "mode", "distinct", "entropy", "kl", "ratio", "clip_low",
        "clip_high", "grad_norm", "loss", "kept",
    ):  # fmt: skip
        assert np.isfinite(found[name]), name
    assert found["ratio"] == 1 and found["clip_low"] == found["clip_high"] == 0
    assert abs(found["kl"]) < 1e-6  # the policy is its reference yet
    drawn = lines(tmp_path, "completions/step-000001.jsonl")
    assert found["length"] == pytest.approx(np.mean([d["length"] for d in drawn]))
    assert found["tokens"] == sum(d["length"] for d in drawn)
    assert found["completions"] == 12 and found["prompts"] == 2 and found["clips"] == 2
    assert found["reward"] == pytest.approx(np.mean([d["reward"] for d in drawn]))
    assert found["flops_repeat"] > 2 * found["flops"] > 0


def test_flops_are_those_that_torch_counts(taught: Path) -> None:
    """Products of matrices, counted by torch itself while the oracle runs (its attention in two pieces is not)."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from whenwhere.training.flops import Counter, tokens_of
    from whenwhere.training.group import completions
    from whenwhere.training.shared_prefix import scores

    policy = opened(taught)
    policy.model.config.text_config._attn_implementation = "eager"
    sample = Two()[0]
    prompt, rests = policy.prompts(sample, sample.questions)
    group = completions(prompt, [torch.cat([rests[0], torch.arange(50, 59)])] * 3)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        scores(policy.tower, group, "repeat")
    scored = 3 * len(group.branches[0].ids)
    ours = Counter(policy.tower).forward(group.prompt, tokens_of(group.branches), scored)
    # eager attention also computes what the mask throws away
    assert ours.repeat == pytest.approx(counted.get_total_flops(), rel=0.1)
    assert ours.shared < 0.5 * ours.repeat
    trained = Counter(policy.tower).training(group.prompt, tokens_of(group.branches), scored)
    assert trained.shared == 3 * ours.shared


@pytest.mark.parametrize("how", [
    {}, {"num_iterations": 2}, {"loss_type": "gspo", "beta": 0.05, "num_iterations": 2}, {"stop_window": 3},
])  # fmt: skip
def test_a_run_that_was_interrupted_ends_the_same(taught: Path, tmp_path: Path, how: dict[str, Any]) -> None:
    settings = replace(BASE, max_steps=5, save_steps=3, **how)
    trained(taught, tmp_path / "whole", settings)

    class Interrupted(Exception):
        pass

    from whenwhere.training import rl

    class Stops(rl.RL):
        def step(self, number: int, run: Any) -> Any:
            if number == 4:
                raise Interrupted
            return super().step(number, run)

    from whenwhere.training.loop import Run

    with pytest.raises(Interrupted):
        Run(tmp_path / "torn").train(Stops(opened(taught), Two(), VERIFIER, settings))
    assert not (tmp_path / "torn" / "checkpoint").exists()
    trained(taught, tmp_path / "torn", settings)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "torn"))
    for line, other in zip(lines(tmp_path / "whole"), lines(tmp_path / "torn"), strict=True):
        assert {k: v for k, v in line.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}
    if not how:
        assert not same(weights(tmp_path / "whole"), weights_of(taught))


def weights_of(policy: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(policy / "model.safetensors")


def test_kill_9_and_resume(taught: Path, tmp_path: Path) -> None:
    settings = replace(BASE, max_steps=8, save_steps=3, num_iterations=2)
    folder = tmp_path / "killed"
    command = [sys.executable, rl_child.__file__, str(taught), str(folder), json.dumps(asdict(settings)), "0.3"]
    child = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)
    try:
        began = time.monotonic()
        while not (folder / "metrics.jsonl").exists() or len(lines(folder)) < 5:
            assert child.poll() is None, child.stderr and child.stderr.read().decode()
            assert time.monotonic() - began < 120
            time.sleep(0.02)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    assert child.returncode == -signal.SIGKILL and not (folder / "checkpoint").exists()
    trained(taught, folder, settings)
    trained(taught, tmp_path / "whole", settings)
    assert same(weights(tmp_path / "whole"), weights(folder))
    assert [line["step"] for line in lines(folder)] == list(range(1, 9))


def test_rewards_that_look_beside_the_answer(taught: Path, tmp_path: Path) -> None:
    """`order` needs answers to shuffled frames, `semantic` an encoder that looks at the clip's frames."""
    from whenwhere.training.attempts import Own
    from whenwhere.verify import Semantic

    looked: list[Any] = []

    class Red:
        name = "red"

        def __call__(self, pictures: Any, sentences: Any) -> Any:
            looked.append((len(pictures), list(sentences)))
            return [[p[..., 0].mean() / 255, 0.0] for p in pictures]

    class Watched(Own):
        calls: list[tuple[int, float, bytes]] = []  # noqa: RUF012

        def draw(self, policy: Any, clips: Any, count: int, sampling: Any) -> Any:
            self.calls.append((count, sampling.temperature, clips[0].sample.images.tobytes()))
            return super().draw(policy, clips, count, sampling)

    verifier = Verifier({"t_iou": 1, "order": 1, "semantic": 1}, form="tokens", semantic=Semantic(Red(), "judge"))
    settings = replace(BASE, max_steps=1, prompts_per_step=4)
    trained(taught, tmp_path, settings, Two(2), verifier=verifier, drawer=Watched())
    (many, warm, frames), (one, cold, mixed) = Watched.calls
    assert (many, warm) == (6, 1.0) and (one, cold) == (1, 0.0)
    assert frames != mixed and sorted(frames) == sorted(mixed)
    assert looked and all(len(set(sentences)) == 2 for _, sentences in looked)
    drawn = lines(tmp_path, "completions/step-000001.jsonl")
    assert {frozenset(d["terms"]) for d in drawn} == {frozenset({"t_iou", "order", "semantic"})}
    assert all(d["terms"]["order"] in (0, d["terms"]["t_iou"]) for d in drawn)
    # the red clip's square is the encoder's delight, the blue one's nothing to it
    assert max(d["terms"]["semantic"] for d in drawn if d["sample"] == "clip0") > 0.5
    assert max(d["terms"]["semantic"] for d in drawn if d["sample"] == "clip1") < 0.5


def test_a_frozen_vision_tower_is_looked_at_once_and_counted(taught: Path, tmp_path: Path) -> None:
    found = {}
    for frozen in (False, True):
        trained(taught, tmp_path / str(frozen), replace(BASE, max_steps=1, freeze_vision_tower=frozen))
        found[frozen] = lines(tmp_path / str(frozen))[0]
    assert found[True]["reward"] == found[False]["reward"]
    assert found[True]["loss"] == pytest.approx(found[False]["loss"], abs=1e-6)
    from whenwhere.training.flops import Counter

    policy = opened(taught)
    seen = sum(Counter(policy.tower).pictures(policy.prompts(s, s.questions)[0]) for s in Two().samples)
    # trained: once to draw, and once forward and twice backward to learn
    assert found[False]["flops"] - found[True]["flops"] == pytest.approx(3 * seen)


def test_two_processes(taught: Path, tmp_path: Path) -> None:
    """Each draws its own clip; the loss is divided by what both have, and both end with the same weights."""
    import torch

    settings = replace(BASE, max_steps=3, prompts_per_step=1, scale_rewards="batch", num_generations=3, save_steps=2)
    subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
         "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
         rl_child.__file__, str(taught), str(tmp_path), json.dumps(asdict(settings))],
        check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=240, capture_output=True,
    )  # fmt: skip
    one, other = (torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert same(one, other)
    found = lines(tmp_path)
    assert [line["prompts"] for line in found] == [2, 4, 6]
    drawn = [lines(tmp_path, f"completions/step-000001-{rank}.jsonl") for rank in (0, 1)]
    assert {d["sample"] for part in drawn for d in part} == {"clip0", "clip1"}
    assert found[0]["reward"] == pytest.approx(np.mean([d["reward"] for part in drawn for d in part]))
    totals = np.array([[d["total"] for d in part] for part in drawn])
    wanted = (totals - totals.mean(1, keepdims=True)) / (totals.std(ddof=1) + 1e-4)
    assert np.array([[d["advantage"] for d in part] for part in drawn]) == pytest.approx(wanted)
    assert found[0]["tokens"] == sum(d["length"] for part in drawn for d in part)


def test_lora_and_its_reference(taught: Path, tmp_path: Path) -> None:
    """The reference is the model without LoRA's matrices: apart from nothing at first, apart later."""
    settings = replace(BASE, beta=0.1, learning_rate=2e-2, max_steps=4, zero_variance="keep")
    trained(taught, tmp_path / "lora", replace(settings, lora_r=4, lora_alpha=8))
    trained(taught, tmp_path / "whole", settings)
    for name in ("lora", "whole"):
        found = [line["kl"] for line in lines(tmp_path / name)]
        assert abs(found[0]) < 1e-6 and found[-1] > 1e-3, name
    assert not same(weights(tmp_path / "lora"), weights(tmp_path / "whole"))


def test_groups_without_variance(taught: Path, tmp_path: Path) -> None:
    """A reward that only the right answer gets, of a policy that seldom gives it: many groups say nothing."""
    rare = replace(BASE, num_generations=2, max_steps=3, prompts_per_step=4, learning_rate=0.0)
    found = {}
    for what in ("drop", "keep", "resample"):
        trained(taught, tmp_path / what, replace(rare, zero_variance=what), Two(), verifier=VERIFIER)
        found[what] = lines(tmp_path / what)
    assert [line["prompts"] for line in found["drop"]] == [4, 8, 12]
    assert any(0 < line["kept"] < 1 for line in found["drop"])
    assert all(line["kept"] == 1 for line in found["keep"])
    assert all(line["kept"] == pytest.approx(1 - line["zero_variance"]) for line in found["drop"])
    drawn = np.diff([0, *(line["prompts"] for line in found["resample"])])
    kept = [round(n * line["kept"]) for n, line in zip(drawn, found["resample"], strict=True)]
    assert max(drawn) > 4 and max(kept) <= 4 and max(drawn) <= 16
    assert sum(kept) > sum(round(4 * line["kept"]) for line in found["drop"])
    assert found["resample"][-1]["flops"] > found["drop"][-1]["flops"]
    # the first completions are the same: dropped groups weigh on the loss's divisor alone
    assert found["drop"][0]["reward"] == found["keep"][0]["reward"]


def test_early_stop_is_reported(taught: Path, tmp_path: Path) -> None:
    run = trained(taught, tmp_path, replace(BASE, max_steps=12, learning_rate=0.0, stop_window=4))
    assert run.step < 12
    (event,) = lines(tmp_path, "events.jsonl")
    assert event["event"] == "stopped early" and event["step"] == run.step
    assert (tmp_path / "checkpoint" / "model.safetensors").exists()
    again = trained(taught, tmp_path, replace(BASE, max_steps=12, learning_rate=0.0, stop_window=4))
    assert again.step == run.step


def test_a_loss_that_is_no_number_stops_the_run(taught: Path, tmp_path: Path) -> None:
    settings = replace(BASE, save_steps=1)
    trained(taught, tmp_path, replace(settings, max_steps=2))
    before = (tmp_path / "state" / "last.pt").read_bytes()

    from whenwhere.training import rl
    from whenwhere.training.loop import Run

    class Breaks(rl.RL):
        def step(self, number: int, run: Any) -> Any:
            found = super().step(number, run)
            if number == 2:
                self.policy.tower.head.weight.grad[0, 0] = float("nan")
            return found

    with pytest.raises(ModelError, match=r"gradient of update 3 is not finite"):
        Run(tmp_path).train(Breaks(opened(taught), Two(), VERIFIER, settings))
    assert (tmp_path / "state" / "last.pt").read_bytes() == before


def test_samples_that_cannot_be_used_are_named(taught: Path, tmp_path: Path) -> None:
    from whenwhere.errors import MediaError

    class Torn(Two):
        def __getitem__(self, index: int) -> Any:
            if index == 0:
                raise MediaError("no picture in it")
            return super().__getitem__(index)

    trained(taught, tmp_path / "one", source=Torn())
    skipped = lines(tmp_path / "one", "skipped.jsonl")
    assert skipped and all(s["reason"] == "no picture in it" for s in skipped)
    assert lines(tmp_path / "one")[-1]["skipped"] == len(skipped)
    with pytest.raises(SettingError, match="max_prompt_length"):
        trained(taught, tmp_path / "none", replace(BASE, max_prompt_length=9))


def test_settings_that_make_no_sense(taught: Path, tmp_path: Path) -> None:
    for wrong, word in (({"num_generations": 1}, "num_generations"), ({"temperature": 0.0}, "temperature")):
        with pytest.raises(SettingError, match=word):
            trained(taught, tmp_path, replace(BASE, **wrong))


def test_several_questions_of_a_clip_are_drawn_together(taught: Path, tmp_path: Path) -> None:
    """The clip is computed once, and each question's completions are as likely as they are alone."""
    import torch

    from whenwhere.training.attempts import Clip, Own
    from whenwhere.training.group import Branch, Group
    from whenwhere.training.rollout import Sampling
    from whenwhere.training.shared_prefix import scores

    policy, sample = opened(taught), Two(3)[1]
    policy.model.eval()
    prompt, rests = policy.prompts(sample, sample.questions)
    calls: list[int] = []
    hook = policy.model.model.visual.register_forward_hook(lambda *_: calls.append(1))
    clip = Clip(0, 0.0, (0, 1, 2), sample, sample.questions, prompt, rests)
    attempts = Own().draw(policy, [clip], 4, Sampling(6, stop=tuple(policy.ends), seed=3))
    hook.remove()
    assert len(calls) == 1 and [len(a.ids) for a in attempts] == [4, 4, 4]
    together = scores(policy.tower, Group(prompt, [b for a in attempts for b in a.branches()]))
    for k, attempt in enumerate(attempts):
        one, (rest,) = policy.prompts(sample, [attempt.question])
        whole = [Branch(torch.cat([rest, i]), scored=[False] * len(rest) + [True] * len(i)) for i in attempt.ids]
        alone = scores(policy.tower, Group(one, whole), "repeat")
        for j in range(4):
            row = together.logps[4 * k + j][together.mask[4 * k + j]]
            assert torch.allclose(row, alone.logps[j][alone.mask[j]], atol=1e-5)


def test_the_same_answer_is_computed_once(taught: Path) -> None:
    import torch

    from whenwhere.training.group import Branch, Group, once
    from whenwhere.training.shared_prefix import scores

    policy, sample = opened(taught), Two()[0]
    prompt, (rest,) = policy.prompts(sample, sample.questions)

    def branch(*ids: int, counts: int = 2) -> Branch:
        whole = torch.cat([rest, torch.tensor(ids)])
        return Branch(whole, scored=torch.arange(len(whole)) >= len(whole) - counts)

    rows = [branch(60, 61), branch(70, 71, 72), branch(60, 61), branch(60, 61, counts=1), branch(70, 71, 72)]
    group, places = once(prompt, rows)
    assert places == [0, 1, 0, 2, 1] and len(group.branches) == 3
    weight = torch.tensor([1.0, -2.0, 3.0, 0.5, 1.5])[:, None]
    slopes = []
    for found in (scores(policy.tower, Group(prompt, rows), entropies=True),
                  scores(policy.tower, group, entropies=True).at(places)):  # fmt: skip
        policy.model.zero_grad()
        (found.logps * weight).sum().backward()
        slopes.append((found, [p.grad.clone() for p in policy.model.parameters()]))
    (one, grads), (other, others) = slopes
    assert torch.equal(one.mask, other.mask) and torch.allclose(one.logps, other.logps, atol=1e-6)
    assert torch.allclose(one.entropies, other.entropies, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5, rtol=1e-4) for a, b in zip(grads, others, strict=True))


class Sampler:
    """A small vLLM: answers by drawing from a policy of its own, and tells tokens and log-probabilities."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.lock = threading.Lock()
        self.shown: list[Request] = []

    def __call__(self, request: Request) -> Said:
        import torch

        from whenwhere.training.example import Question, Sample
        from whenwhere.training.group import completions
        from whenwhere.training.rollout import Rollout, Sampling
        from whenwhere.training.shared_prefix import scores

        body, policy = request.body, self.policy
        words = request.text().removeprefix("when ").strip()
        question = Question("q", words, Two().samples[0].questions[0].truth)
        sample = Sample("s", np.stack(request.pictures()), times_of(request), (question,))
        with self.lock, torch.no_grad():
            self.shown.append(request)
            prompt, (rest,) = policy.prompts(sample, [question])
            whole = replace(prompt, ids=torch.cat([prompt.ids, rest]))
            how = Sampling(
                body["max_tokens"], body["temperature"], stop=tuple(policy.ends), seed=body["seed"] + request.index
            )
            (ids,) = Rollout(policy.tower, whole).draw(1, how)
            logps = scores(policy.tower, completions(whole, [ids]), temperature=body["temperature"]).logps[0]
        ended = int(ids[-1]) in policy.ends
        return Said(policy.text(ids), "stop" if ended else "length", token_ids=ids.tolist(), logprobs=logps.tolist())


def test_completions_from_a_server(taught: Path, tmp_path: Path) -> None:
    sampler = Sampler(opened(taught))
    with ChatServer(sampler, models=["policy"]) as server:
        settings = replace(BASE, max_steps=3, vllm_server_base_url=f"{server.url}#policy", learning_rate=1e-4)
        trained(taught, tmp_path, settings)
    found = lines(tmp_path)
    # its frames went through JPEG, and after each update its weights are older than the policy's
    assert 0 < found[0]["logp_gap"] < 0.05 and abs(found[0]["weight"] - 1) < 0.05
    assert found[0]["ratio"] == 1 and found[-1]["logp_gap"] < 0.2
    drawn = lines(tmp_path, "completions/step-000001.jsonl")
    assert len(drawn) == 12 and len({d["text"] for d in drawn}) > 1
    body = sampler.shown[0].body
    assert body["logprobs"] and body["return_token_ids"] and body["temperature"] == 1 and body["n"] == 6
    # importance weights are in the loss: without them it is another one
    assert [line["step"] for line in found] == [1, 2, 3]


def test_a_server_with_other_weights_is_refused(taught: Path, tmp_path: Path) -> None:
    import torch

    stale = opened(taught)
    with torch.no_grad():
        for weight in stale.model.parameters():
            weight.mul_(1.3)
    with ChatServer(Sampler(stale), models=["policy"]) as server:
        settings = replace(BASE, vllm_server_base_url=f"{server.url}#policy")
        with pytest.raises(ModelError, match=r"log-probabilities are off by \d.* max_logp_gap"):
            trained(taught, tmp_path, settings)
    assert not (tmp_path / "checkpoint").exists()


def test_a_server_that_tells_no_tokens_is_refused(taught: Path, tmp_path: Path) -> None:
    from whenwhere.chat import Patience
    from whenwhere.errors import ChatError
    from whenwhere.training.server import Server

    with ChatServer(lambda request: "<none>", models=["policy"]) as server:
        settings = replace(BASE, vllm_server_base_url=f"{server.url}#policy")
        with pytest.raises(ModelError, match="0 tokens and 0 log-probabilities"):
            trained(taught, tmp_path / "one", settings)
        with pytest.raises(ModelError, match=r"declines collective_rpc \(404\)"):
            trained(taught, tmp_path / "two", replace(settings, vllm_sync_folder=str(tmp_path / "served")))
    assert (tmp_path / "served" / "model.safetensors").exists()
    with pytest.raises(ChatError):  # it is gone by now
        trained(taught, tmp_path / "three", drawer=Server(f"{server.url}#policy", patience=Patience(retries=0)))


def test_prompts_drawn_in_the_same_steps_are_those_drawn_alone(taught: Path) -> None:
    """Also once most rows have ended, and are left out."""
    import torch

    from whenwhere.training.group import Branch
    from whenwhere.training.rollout import Rollout, Sampling, together

    policy = opened(taught)
    with torch.no_grad():
        for weight in policy.model.parameters():
            if weight.ndim > 1:
                weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    prompts = [policy.prompts(s, s.questions) for s in Two(3).samples]
    rollouts = [Rollout(policy.tower, prompt) for prompt, _ in prompts]
    # branches of several lengths, so that rows are padded
    rows = [[Branch(torch.cat([r, r[:k]])) for k, r in enumerate(rests)] for _, rests in prompts]
    alone = [[rollout.go_on([b], Sampling(12, temperature=0))[0].tolist() for b in own]
             for rollout, own in zip(rollouts, rows, strict=True)]  # fmt: skip
    every = [ids for own in alone for ids in own]

    def length(ids: list[int], stop: tuple[int, ...]) -> int:
        return next((k + 1 for k, i in enumerate(ids) if i in stop), 12)

    # tokens at which most rows end soon, and some late
    pairs = itertools.combinations({i for ids in every for i in ids[:4]}, 2)
    ends = ((pair, sorted(length(ids, pair) for ids in every)) for pair in pairs)
    stop = next(pair for pair, each in ends if each[2] <= 4 and each[-1] > 6)
    how = Sampling(12, temperature=0, stop=stop)
    found = [[ids.tolist() for ids in own] for own in together(rollouts, rows, how)]
    for own, others in zip(found, alone, strict=True):
        for ids, whole in zip(own, others, strict=True):
            assert ids == whole[: length(whole, stop)]


def test_clips_side_by_side_are_learned_from_as_one_by_one(taught: Path, tmp_path: Path) -> None:
    """The same gradients, of the same completions: a drawer hands out what was drawn before."""
    from whenwhere.training.attempts import Own

    made: list[Any] = []

    class Kept(Own):
        def draw(self, *given: Any) -> Any:
            if not made:
                made.extend(super().draw(*given))
            return made

    for name, most in (("one", 0), ("together", 4096)):
        settings = replace(BASE, max_steps=1, pack_tokens=most, entropy_coef=0.01, beta=0.1, zero_variance="keep")
        trained(taught, tmp_path / name, settings, drawer=Kept(4096))
    one, other = lines(tmp_path / "one")[0], lines(tmp_path / "together")[0]
    for key in ("loss", "entropy", "grad_norm", "tokens"):
        assert one[key] == pytest.approx(other[key], rel=1e-4, abs=1e-6), key

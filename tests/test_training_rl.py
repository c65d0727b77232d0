"""RL on a micro policy of the real classes: it learns, can be killed and resumed, and reports what it does."""

import json
import os
import signal
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import rl_child
from forked import TORCH, Forker
from rl_runs import BASE, VERIFIER, same, trained, weights
from tiny_policies import Two, lines, opened

from whenwhere.errors import ModelError, SettingError
from whenwhere.verify import Verifier

pytestmark = pytest.mark.torch
BOTH = Verifier({"t_iou": 0.5, "v_iou": 0.5}, format_weight=0.1, form="tokens")
pytest_plugins = ["rl_fixtures"]


def test_the_reward_rises(taught: Path, tmp_path: Path) -> None:
    trained(taught, tmp_path, replace(BASE, max_steps=24, num_generations=16, learning_rate=1e-3))
    found = lines(tmp_path)
    rewards = [line["reward"] for line in found]
    assert len(rewards) == 24
    assert np.mean(rewards[-4:]) > np.mean(rewards[:2]) + 0.25
    assert found[-1]["entropy"] < found[0]["entropy"]
    assert (
        found[-1]["mode"] <= 0.6
    )  # the clips have different answers, and the policy did not learn to give one answer to both
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
    assert abs(found["kl"]) < 1e-6  # before the first update the policy equals its reference
    drawn = lines(tmp_path, "completions/step-000001.jsonl")
    assert found["length"] == pytest.approx(np.mean([d["length"] for d in drawn]))
    assert found["tokens"] == sum(d["length"] for d in drawn)
    assert found["completions"] == 12 and found["prompts"] == 2 and found["clips"] == 2
    assert found["reward"] == pytest.approx(np.mean([d["reward"] for d in drawn]))
    assert found["flops_repeat"] > 2 * found["flops"] > 0


@pytest.mark.parametrize("how", [
    {}, {"loss_type": "gspo", "beta": 0.05, "num_iterations": 2}, {"stop_window": 3},
    {"credit": "segment", "num_iterations": 2}, {"loss_type": "rejection"},
])  # fmt: skip
def test_a_run_that_was_interrupted_ends_the_same(taught: Path, tmp_path: Path, how: dict[str, Any]) -> None:
    from safetensors.torch import load_file

    settings = replace(BASE, max_steps=5, save_steps=3, **how)
    trained(taught, tmp_path / "whole", settings, verifier=BOTH)

    class Interrupted(Exception):
        pass

    from whenwhere.training.rl import objective as rl

    class Stops(rl.RLObjective):
        def step(self, number: int, run: Any) -> Any:
            if number == 4:
                raise Interrupted
            return super().step(number, run)

    from whenwhere.training.loop import TrainingRun

    with pytest.raises(Interrupted):
        TrainingRun(tmp_path / "torn").train(Stops(opened(taught), Two(), BOTH, settings))
    assert not (tmp_path / "torn" / "checkpoint").exists()
    trained(taught, tmp_path / "torn", settings, verifier=BOTH)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "torn"))
    for line, other in zip(lines(tmp_path / "whole"), lines(tmp_path / "torn"), strict=True):
        assert {k: v for k, v in line.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}
    if not how:
        before = load_file(taught / "model.safetensors")
        assert not same(weights(tmp_path / "whole"), before)


def test_spans_and_boxes_are_rewarded_apart(taught: Path) -> None:
    """Tokens of boxes get the advantage of the boxes, all others that of the spans, in one row as wide as the loss."""
    import torch

    from whenwhere.training.rl.completions import CompletionGroup, PromptedClip, UpdateBatch
    from whenwhere.training.rl.objective import RLObjective
    from whenwhere.training.rl.segments import segment_totals
    from whenwhere.verify import Reward

    policy, sample = opened(taught), Two().samples[0]
    texts = ["<1.0s><2.0s><1.0s><10><20><30><40>", "<none>"]
    ids = [torch.tensor([*policy.checkpoint.tokenizer(t)["input_ids"], policy.end_id]) for t in texts]
    prompt, suffixes = policy.prompts(sample, sample.questions)
    clip = PromptedClip(0, 0.0, (0,), sample, sample.questions, prompt, suffixes)
    group = CompletionGroup(
        clip, 0, ids, [True, True], advantages=np.array([1.0, -1.0]), box_advantages=np.array([0.25, -0.25])
    )
    rl = RLObjective(policy, Two(), BOTH, replace(BASE, credit="segment"))
    present = torch.zeros(2, len(suffixes[0]) + 8, dtype=torch.bool)
    present[0, -8:], present[1, len(suffixes[0]) : len(suffixes[0]) + 2] = True, True
    rows = rl._batch_advantages(UpdateBatch(clip, [group]), present)
    assert rows[0, -8:].tolist() == [1, 1, 0.25, 0.25, 0.25, 0.25, 0.25, 1]
    assert rows[1][present[1]].tolist() == [-1, -1] and float(rows[~present].abs().max()) == 0
    reward = Reward(0.5, 1.0, 0.6, {"t_iou": 0.8, "v_iou": 0.2}, "ok", None)
    assert segment_totals(BOTH, reward) == pytest.approx((0.9, 0.3))
    assert segment_totals(BOTH, replace(reward, terms={"t_iou": 0.5})) == pytest.approx((0.6, 0.6))
    with pytest.raises(SettingError, match="needs a reward term about time and one that compares boxes"):
        RLObjective(policy, Two(), VERIFIER, replace(BASE, credit="segment"))


def test_rejection_sampling_learns_the_best_completion_of_each_question(taught: Path, tmp_path: Path) -> None:
    trained(taught, tmp_path, replace(BASE, loss_type="rejection", max_steps=1))
    drawn = lines(tmp_path, "completions/step-000001.jsonl")
    best = [max((d for d in drawn if d["sample"] == name), key=lambda d: d["total"]) for name in ("clip0", "clip1")]
    (line,) = lines(tmp_path)
    assert line["tokens"] == sum(d["length"] for d in best if d["reward"] > 0) > 0
    assert line["loss"] > 0


def test_kill_9_and_resume(forker: Forker, taught: Path, tmp_path: Path) -> None:
    settings = replace(BASE, max_steps=8, save_steps=3, num_iterations=2)
    folder = tmp_path / "killed"
    child = forker.start(
        [rl_child.__file__, str(taught), str(folder), json.dumps(asdict(settings)), "0.3"], imports=TORCH
    )
    began = time.monotonic()
    while (not (folder / "metrics.jsonl").exists() or len(lines(folder)) < 5) and time.monotonic() - began < 120:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    done = child.wait()
    assert done.returncode == -signal.SIGKILL and not (folder / "checkpoint").exists(), done.stderr.decode()
    trained(taught, folder, settings)
    trained(taught, tmp_path / "whole", settings)
    assert same(weights(tmp_path / "whole"), weights(folder))
    assert [line["step"] for line in lines(folder)] == list(range(1, 9))


def test_two_processes(forker: Forker, taught: Path, tmp_path: Path) -> None:
    """Each process samples its own clip; the loss is divided by the counts of both; both end with the same weights."""
    import torch

    settings = replace(BASE, max_steps=3, prompts_per_step=1, scale_rewards="batch", num_generations=3, save_steps=2)
    forker.run_together([rl_child.__file__, str(taught), str(tmp_path), json.dumps(asdict(settings))], 2, imports=TORCH)
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
    """The reference is the model without LoRA's matrices: the same as the policy at first, different later."""
    settings = replace(BASE, beta=0.1, learning_rate=2e-2, max_steps=4, zero_variance="keep")
    trained(taught, tmp_path / "lora", replace(settings, lora_r=4, lora_alpha=8))
    trained(taught, tmp_path / "whole", settings)
    for name in ("lora", "whole"):
        found = [line["kl"] for line in lines(tmp_path / name)]
        assert abs(found[0]) < 1e-6 and found[-1] > 1e-3, name
    assert not same(weights(tmp_path / "lora"), weights(tmp_path / "whole"))


def test_groups_without_variance(taught: Path, tmp_path: Path) -> None:
    """A policy that is rarely rewarded has many groups whose rewards are all the same."""
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
    # the first completions are the same: dropping groups changes only the divisor of the loss
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

    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.rl import objective as rl

    class Breaks(rl.RLObjective):
        def step(self, number: int, run: Any) -> Any:
            found = super().step(number, run)
            if number == 2:
                self.policy.parts.lm_head.weight.grad[0, 0] = float("nan")
            return found

    with pytest.raises(ModelError, match=r"gradient of update 3 is not finite"):
        TrainingRun(tmp_path).train(Breaks(opened(taught), Two(), VERIFIER, settings))
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


def test_a_question_that_no_term_applies_to_is_left_out(taught: Path, tmp_path: Path) -> None:
    """A question without true boxes has no v_IoU; it is skipped and named."""
    verifier = Verifier({"v_iou": 1}, form="tokens")
    with pytest.raises(SettingError, match="could be used"):
        trained(taught, tmp_path / "none", verifier=verifier)
    assert {row["reason"] for row in lines(tmp_path / "none", "skipped.jsonl")} >= {
        "no term of the reward applies to it"
    }


def test_weights_are_not_handed_over_where_the_run_keeps_its_own(taught: Path, tmp_path: Path) -> None:
    settings = replace(BASE, vllm_sync_folder=str(tmp_path / "checkpoint"))
    with pytest.raises(SettingError, match="the run keeps its own"):
        trained(taught, tmp_path, settings)


def test_beside_lora_the_reference_stays_where_the_vision_tower_moves(taught: Path, tmp_path: Path) -> None:
    """Switching LoRA off gives the starting policy only if nothing else is trained; otherwise KL needs a copy."""
    import torch

    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.rl.objective import RLObjective

    start = {n: w.clone() for n, w in opened(taught).parts.model.model.visual.named_parameters()}
    policy = opened(taught)
    stage = RLObjective(policy, Two(), VERIFIER, replace(BASE, lora_r=2, beta=0.1, max_steps=2))
    TrainingRun(tmp_path, callbacks=[]).train(stage)
    stage.close()
    assert stage._reference is not None
    for name, weight in stage._reference.model.model.visual.named_parameters():
        assert torch.equal(weight, start[name]), name
    assert any(not torch.equal(w, start[n]) for n, w in policy.parts.model.model.visual.named_parameters())
    frozen = RLObjective(opened(taught), Two(), VERIFIER, replace(BASE, lora_r=2, beta=0.1, freeze_vision_tower=True))
    assert frozen._reference is None


def test_a_loss_is_one_function_and_one_entry(taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from whenwhere.training.rl.losses import LOSSES, PolicyLoss

    def reinforce(logps: Any, old_logps: Any, advantages: Any, mask: Any, clip: Any, normalizer: Any, **_: Any) -> Any:
        loss = -(logps * advantages.to(logps)[:, None] * mask).sum() / normalizer.tokens
        return PolicyLoss(loss, {"surprise": -(logps.detach() * mask).sum() / mask.sum()}, mask.sum())

    monkeypatch.setitem(LOSSES, "reinforce", reinforce)  # type: ignore[misc]
    trained(taught, tmp_path, replace(BASE, max_steps=2, loss_type="reinforce"))  # type: ignore[arg-type]
    found = lines(tmp_path)
    assert all(line["surprise"] > 0 and line["grad_norm"] > 0 for line in found)

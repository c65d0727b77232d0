"""SFT computes what a plain loop over single questions would compute, and it learns.

Micro models of the real classes (`tiny_policies`), and tiny checkpoints of the families for how prompts are laid out.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_models
import tiny_policies
from tiny_policies import Two, blank_policy, lines, opened

from whenwhere.errors import ModelError, SettingError
from whenwhere.models.backends.base import ModelCall
from whenwhere.spans import SpanSet
from whenwhere.training.data.samples import Question, Sample
from whenwhere.training.sft.settings import SFTSettings
from whenwhere.tubes import Tube
from whenwhere.verify import Truth

pytestmark = [
    pytest.mark.torch, pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("error::whenwhere.training.prefix.scorer.FallbackWarning"),
]  # fmt: skip

BASE = SFTSettings(
    max_steps=4, learning_rate=3e-3, lr_scheduler_type="constant", samples_per_step=2, logging_steps=1, save_steps=100
)  # fmt: skip


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that has learned nothing."""
    return blank_policy(tmp_path_factory.mktemp("blank") / "policy", layers=2)


def trained(blank: Path, folder: Path, settings: SFTSettings = BASE, source: Any = None) -> Any:
    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.sft.objective import SFTObjective

    policy = opened(blank)
    TrainingRun(folder, callbacks=[]).train(SFTObjective(policy, source or Two(2), settings))
    return policy


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(folder / "checkpoint" / "model.safetensors"))


# soft targets


def test_soft_targets_are_a_naive_cross_entropy() -> None:
    """Equal to a loop over tokens that writes out every target distribution over the whole vocabulary."""
    import torch

    from whenwhere.training.prefix.logprobs import gaussian_targets, score_tokens

    torch.manual_seed(0)
    head, hidden = torch.nn.Linear(8, 20, bias=False), torch.randn(3, 5, 8)
    targets, mask = torch.randint(0, 20, (3, 5)), torch.rand(3, 5) > 0.2
    lines_ = [[4, 9, 2, 11], [15, 16, 17]]
    found = score_tokens(
        hidden, head, targets, mask, soft_targets=[gaussian_targets(ids, 0.7) for ids in lines_], chunk=4
    )
    plain = head(hidden).detach().log_softmax(-1)
    for row, column in mask.nonzero().tolist():
        right = int(targets[row, column])
        wanted = np.zeros(20)
        for ids in lines_:
            if right in ids:
                steps = np.arange(len(ids)) - ids.index(right)
                wanted[ids] = np.exp(-0.5 * (steps / 0.7) ** 2)
        wanted[right] = wanted[right] or 1
        naive = -float(wanted / wanted.sum() @ plain[row, column].detach().double().numpy())
        assert float(found.losses[row, column]) == pytest.approx(naive, rel=1e-5)
        assert float(found.logps[row, column]) == pytest.approx(float(plain[row, column, right]), rel=1e-5)
    assert (found.losses[~mask] == 0).all() and (~mask).any()
    assert score_tokens(hidden, head, targets, mask).losses is None


def test_scales_are_the_tokens_on_a_line(blank: Path) -> None:
    policy = opened(blank)
    written = {
        n: policy.checkpoint.tokenizer.convert_ids_to_tokens(ids[:3]) for n, ids in policy.ordinal_tokens.items()
    }
    assert written == {"coordinates": ["<0>", "<10>", "<20>"], "times": ["<0.0s>", "<0.5s>", "<1.0s>"]}
    assert all(len(set(ids)) == len(ids) for ids in policy.ordinal_tokens.values())


def test_spans_weigh_what_the_settings_say(blank: Path, tmp_path: Path) -> None:
    """The loss of an update is the weighted mean over its tokens, in which tokens of spans count more."""
    from whenwhere.training.prefix.group import question_group
    from whenwhere.training.prefix.scorer import GroupScorer

    tube = Tube(SpanSet([(0, 2)]), [0.0, 1.0, 1.5], [[8, 8, 24, 24]] * 3, rate=2)
    source = Two(2)
    for k, sample in enumerate(source.samples):
        boxed = replace(sample.questions[0], truth=replace(sample.questions[0].truth, spans=tube.spans, tube=tube))
        source.samples[k] = replace(sample, questions=(boxed, *sample.questions[1:]))
    policy = opened(blank)
    assert policy.span_token_count(source.samples[0], source.samples[0].questions[0]) == 2  # of 2 + 3 · 5 + 1
    bare = source.samples[0].questions[1]
    assert policy.span_token_count(source.samples[0], bare) == len(policy.target(source.samples[0], bare))
    policy.prepare(BASE)
    total = weight = 0.0
    for sample in source.samples:
        prompt, rests = policy.prompts(sample, sample.questions)
        answers = [policy.target(sample, q) for q in sample.questions]
        (found,) = GroupScorer(policy.model, "repeat").score_many(
            [question_group(prompt, list(zip(rests, answers, strict=True)))]
        )
        for row, rest, question, answer in zip(found.logps, rests, sample.questions, answers, strict=True):
            for k, logp in enumerate(row[len(rest) : len(rest) + len(answer)].tolist()):
                counts = 5.0 if k < policy.span_token_count(sample, question) else 1.0
                total, weight = total - counts * logp, weight + counts
    trained(blank, tmp_path, replace(BASE, max_steps=1, span_weight=5.0), source)
    assert lines(tmp_path)[0]["loss"] == pytest.approx(total / weight, rel=1e-4)


# packing


@pytest.mark.parametrize("soft", [0.0, 1.0])
def test_many_sentences_of_many_clips_equal_one_at_a_time(blank: Path, soft: float) -> None:
    """The loss and gradients of one packed pass equal those summed over single questions, each with its own clip."""
    import torch

    from whenwhere.training.prefix.group import question_group
    from whenwhere.training.prefix.logprobs import gaussian_targets
    from whenwhere.training.prefix.scorer import GroupScorer

    policy = opened(blank)
    policy.prepare(BASE)
    scales = [gaussian_targets(ids, soft) for ids in policy.ordinal_tokens.values()] if soft else []
    source = Two(3)
    # answers of different lengths, one of them with boxes
    tube = Tube(SpanSet([(0, 2)]), [0.0, 1.0, 1.5], [[8, 8, 24, 24]] * 3, rate=2)
    first = source.samples[0]
    boxed = replace(first.questions[1], truth=replace(first.questions[1].truth, tube=tube))
    source.samples[0] = replace(first, questions=(first.questions[0], boxed, first.questions[2]))
    packed, single = [], []
    for sample in source.samples:
        prompt, rests = policy.prompts(sample, sample.questions)
        assert all(len(r) for r in rests)
        answers = [policy.target(sample, q) for q in sample.questions]
        packed.append(question_group(prompt, list(zip(rests, answers, strict=True))))
        for question, answer in zip(sample.questions, answers, strict=True):
            alone, (rest,) = policy.prompts(sample, [question])
            single.append(question_group(alone, [(rest, answer)]))
    assert len({len(b.ids) for b in packed[0].branches}) > 1

    def gradients(scorer: Any, groups: list[Any]) -> tuple[float, dict[str, Any]]:
        policy.model.zero_grad()
        total = 0.0
        for part in groups:
            loss = sum((s.losses if soft else -s.logps).sum() for s in scorer.score_many(part, scales))
            loss.backward()
            total += float(loss.detach())
        return total, {n: p.grad.clone() for n, p in policy.model.named_parameters()}

    wanted, slopes = gradients(GroupScorer(policy.model, "repeat"), [[g] for g in single])
    found, others = gradients(GroupScorer(policy.model, "shared_prefix"), [packed])
    assert found == pytest.approx(wanted, rel=1e-5)
    for name, slope in slopes.items():
        assert torch.allclose(others[name], slope, rtol=1e-3, atol=1e-5 * float(slope.abs().max() + 1)), name
    assert any(float(s.abs().max()) > 1e-3 for n, s in slopes.items() if "visual" in n)


def test_the_loss_is_the_mean_over_tokens_however_clips_are_packed(blank: Path, tmp_path: Path) -> None:
    seen = []
    for tokens in (1, 100_000):
        folder = tmp_path / str(tokens)
        trained(blank, folder, replace(BASE, pack_tokens=tokens, soft_targets=1.0, soft_times=1.0))
        seen.append([(line["loss"], line["nll"], line["grad_norm"]) for line in lines(folder)])
    assert np.allclose(*seen, rtol=1e-4)
    assert all(loss != nll for loss, nll, _ in seen[0])


# learning


def test_it_learns_two_clips_and_says_so(blank: Path, tmp_path: Path) -> None:
    """A policy that was trained, saved and loaded again gives the right answers in the words of the form."""
    from whenwhere.training.prefix.rollout import PrefilledPrompt, SamplingParams

    settings = replace(BASE, max_steps=60, learning_rate=1e-2, logging_steps=20, warmup_steps=5)
    trained(blank, tmp_path, settings, Two())
    seen = lines(tmp_path)
    assert [line["step"] for line in seen] == [20, 40, 60]
    assert seen[-1]["loss"] < 0.3 < seen[0]["loss"]
    assert seen[-1]["clips"] == 120 and seen[-1]["sentences"] == 120 and seen[-1]["skipped"] == 0
    assert seen[-1]["tokens"] == 120 * 3 and seen[-1]["flops"] > 1e6 and seen[-1]["seconds"] > 0
    told = json.loads((tmp_path / "checkpoint" / "whenwhere.json").read_text())
    assert (told["form"], told["frames"], told["step"]) == ("tokens", opened(blank).backend.frames, 60)
    again = opened(tmp_path / "checkpoint")
    for sample in Two().samples:
        prompt, (rest,) = again.prompts(sample, sample.questions)
        whole = replace(prompt, ids=np.concatenate([prompt.ids, rest]))
        (answer,) = PrefilledPrompt(again.parts, whole).sample(
            1, SamplingParams(8, temperature=0, stop=tuple(again.end_ids))
        )
        assert again.decode(answer) == tiny_policies.answers(sample.questions[0])[0]


def test_a_frozen_vision_tower_stays_and_runs_once_a_clip(blank: Path, tmp_path: Path) -> None:
    import torch

    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.sft.objective import SFTObjective

    policy, looked = opened(blank), []
    before = {n: p.clone() for n, p in policy.model.named_parameters()}
    policy.model.model.visual.register_forward_hook(lambda *_, **__: looked.append(torch.is_grad_enabled()))
    settings = replace(BASE, freeze_vision_tower=True, max_steps=3, gradient_checkpointing=True)
    TrainingRun(tmp_path).train(SFTObjective(policy, Two(3), settings))
    assert looked == [False] * len(looked) and len(looked) == 3 * 2
    changed = {n for n, p in policy.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed and not any("visual" in name for name in changed)


def test_half_precision_and_checkpointing_train_almost_alike(blank: Path, tmp_path: Path) -> None:
    import torch

    seen = {}
    for name, settings in {
        "plain": BASE, "bf16": replace(BASE, bf16=True), "again": replace(BASE, gradient_checkpointing=True),
    }.items():  # fmt: skip
        policy = trained(blank, tmp_path / name, settings)
        assert {p.dtype for p in policy.model.parameters()} == {torch.float32}
        seen[name] = [line["loss"] for line in lines(tmp_path / name)]
    assert np.allclose(seen["again"], seen["plain"], rtol=1e-4)
    assert np.allclose(seen["bf16"], seen["plain"], rtol=0.02)
    assert seen["bf16"] != seen["plain"]


def test_a_copy_of_a_policy_in_half_precision_is_on_its_own(blank: Path) -> None:
    """A copy of a policy, such as RL's reference, does not change when the policy is trained."""
    from copy import deepcopy

    import torch

    from whenwhere.training.prefix.vlm_parts import VLMParts

    policy = opened(blank)
    policy.prepare(replace(BASE, bf16=True))
    sample = Two().samples[0]
    videos = policy.prompts(sample, sample.questions)[0].videos
    copied = VLMParts(deepcopy(policy.parts.model))
    seen = []
    for _ in range(2):
        with torch.no_grad(), policy.autocast():
            seen.append([parts.vision_features(videos, True).pooled[0] for parts in (policy.parts, copied)])
        with torch.no_grad():
            policy.parts.backbone.visual.patch_embed.proj.weight.add_(1.0)
    (before, before_too), (after, after_too) = seen
    assert torch.equal(before, before_too) and torch.equal(before, after_too) and not torch.equal(before, after)


# LoRA


@pytest.mark.parametrize("frozen", [True, False])
def test_lora_trains_its_matrices_and_is_saved_as_plain_weights(blank: Path, tmp_path: Path, frozen: bool) -> None:
    import torch

    settings = replace(BASE, lora_r=4, lora_alpha=8, freeze_vision_tower=frozen, learning_rate=1e-2, max_steps=8)
    before = {n: p.clone() for n, p in opened(blank).model.state_dict().items()}
    policy = trained(blank, tmp_path, settings)
    trainable = [n for n, p in policy.model.named_parameters() if p.requires_grad]
    assert all("lora_" in n or "visual" in n for n in trainable) and any("lora_" in n for n in trainable)
    assert frozen != any("visual" in n for n in trainable)
    again = opened(tmp_path / "checkpoint")
    assert again.model.state_dict().keys() == before.keys()
    moved = {n for n, p in again.model.state_dict().items() if not torch.equal(p, before[n])}
    assert any("q_proj" in n for n in moved) and not any("embed_tokens" in n for n in moved)
    sample = Two().samples[0]
    policy.model.eval()
    prompt, (rest,) = again.prompts(sample, sample.questions)
    for p in (policy, again):
        group = tiny_group(p, prompt, rest, p.target(sample, sample.questions[0]))
        with torch.no_grad():
            found = p.parts.lm_head(group)
        if p is policy:
            wanted = found
    assert torch.allclose(found, wanted, atol=1e-4)


def tiny_group(policy: Any, prompt: Any, rest: Any, answer: Any) -> Any:
    from whenwhere.training.prefix.group import question_group
    from whenwhere.training.prefix.shared_prefix import PREFIX_BACKENDS

    return PREFIX_BACKENDS["shared_prefix"](policy.parts, question_group(prompt, [(rest, answer)]))


def test_lora_that_fits_no_layer_is_a_sentence(blank: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="lora_target_modules"):
        trained(blank, tmp_path, replace(BASE, lora_r=2, lora_target_modules=("no_such_layer",)))


# prompts

IMAGES = np.random.default_rng(0).integers(0, 255, (4, 64, 96, 3), dtype=np.uint8)
TIMES = np.array([0.0, 1.0, 2.0, 3.0])


@pytest.mark.parametrize("frames", ["pairs", "repeat", "images"])
@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl", "qwen3_5"])
def test_prompts_are_those_of_inference(family: str, frames: Any, tmp_path: Path) -> None:
    """The shared beginning with the video, plus each remainder, is token by token what inference would ask."""
    from whenwhere.models.vlm import Checkpoint
    from whenwhere.training.prefix.policy import Policy

    folder = tiny_models.save(family, tmp_path)
    prompt = "The video lasts {duration} s. When does this happen: {query}?"
    policy = Policy(Checkpoint(str(folder), dtype="fp32", device="cpu"), form="spans", prompt=prompt, frames=frames)
    truth = Truth(SpanSet([(1, 2.5)]), duration=4.0)
    texts = ("a dog runs", "a dog sits down", "the end <|im_end|> of it")
    questions = tuple(Question(str(k), text, truth) for k, text in enumerate(texts))
    for shift in (0.0, 0.0, 1.0):  # the second time from the cached layout
        sample = Sample("clip", IMAGES, TIMES + shift, questions)
        head, rests = policy.prompts(sample, questions)
        for question, rest in zip(questions, rests, strict=True):
            words = prompt.format(query=question.text, duration="4.0")
            wanted = policy.backend.prepare(ModelCall(sample.images, sample.times, words))["input_ids"][0]
            assert [*head.ids.tolist(), *rest.tolist()] == wanted.tolist()
        found = head.images if frames == "images" else head.videos
        assert found is not None and found.patches is not None
        assert min(map(len, rests)) >= 1 and len(head.ids) > 20
        target = policy.target(sample, questions[0])
        assert policy.form.parse(policy.decode(target)).spans == ((1.0, 2.5),)
        assert target[-1] == policy.end_id and policy.end_id in policy.end_ids
    filled = policy.truth(sample, questions[0])
    assert filled.size == (96.0, 64.0) and filled.shown is not None and filled.query == "a dog runs"
    assert policy.ordinal_tokens == {}


def test_prompts_of_the_tiny_policy_are_the_processors(blank: Path) -> None:
    import torch

    for frames in ("pairs", "repeat"):
        policy = opened(blank, frames=frames)
        for sample in (*Two().samples, *Two().samples):
            prompt, (rest,) = policy.prompts(sample, sample.questions)
            words = tiny_policies.PROMPT.format(query=sample.questions[0].text)
            wanted = policy.backend.prepare(ModelCall(sample.images, sample.times, words))
            assert torch.equal(torch.cat([prompt.ids, rest]), wanted["input_ids"][0])
            assert torch.allclose(prompt.videos.patches, wanted["pixel_values_videos"], atol=1e-5)
            assert prompt.videos.grids.tolist() == wanted["video_grid_thw"].tolist()


def test_a_prompt_needs_its_sentence_and_a_form_its_name(blank: Path) -> None:
    from whenwhere.models.vlm import Checkpoint
    from whenwhere.training.prefix.policy import Policy

    checkpoint = Checkpoint(str(blank), dtype="fp32", device="cpu")
    with pytest.raises(SettingError, match=r"no \{query\}"):
        Policy(checkpoint, form="tokens", prompt="when?")
    with pytest.raises(SettingError, match="no form 'token'"):
        Policy(checkpoint, form="token", prompt="{query}")
    policy = Policy(checkpoint, form="tokens", prompt="{query} {duration}")
    sample = Two().samples[0]
    bare = replace(sample.questions[0], truth=replace(sample.questions[0].truth, duration=None))
    with pytest.raises(ModelError, match="duration"):
        policy.prompts(sample, [bare])

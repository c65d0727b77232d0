"""What RL computes once or side by side equals what it would compute one by one."""

import itertools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


from rl_runs import BASE, trained
from tiny_policies import Two, lines, opened

from whenwhere.verify import Verifier

pytestmark = pytest.mark.torch
pytest_plugins = ["rl_fixtures"]


def test_several_questions_of_a_clip_are_drawn_together(taught: Path, tmp_path: Path) -> None:
    """The clip is computed once, and each question's completions have the log-probabilities that they have alone."""
    import torch

    from whenwhere.training.prefix.group import Branch, PrefixGroup
    from whenwhere.training.prefix.rollout import SamplingParams
    from whenwhere.training.prefix.shared_prefix import score_branches
    from whenwhere.training.rl.completions import PromptedClip
    from whenwhere.training.rl.sampler import LocalSampler

    policy, sample = opened(taught), Two(3)[1]
    policy.model.eval()
    prompt, rests = policy.prompts(sample, sample.questions)
    calls: list[int] = []
    hook = policy.model.model.visual.register_forward_hook(lambda *_: calls.append(1))
    clip = PromptedClip(0, 0.0, (0, 1, 2), sample, sample.questions, prompt, rests)
    groups = LocalSampler().sample(policy, [clip], 4, SamplingParams(6, stop=tuple(policy.end_ids), seed=3))
    hook.remove()
    assert len(calls) == 1 and [len(g.ids) for g in groups] == [4, 4, 4]
    together = score_branches(policy.parts, PrefixGroup(prompt, [b for g in groups for b in g.branches()]))
    for k, group in enumerate(groups):
        one, (rest,) = policy.prompts(sample, [group.question])
        whole = [Branch(torch.cat([rest, i]), scored=[False] * len(rest) + [True] * len(i)) for i in group.ids]
        alone = score_branches(policy.parts, PrefixGroup(one, whole), "repeat")
        for j in range(4):
            row = together.logps[4 * k + j][together.mask[4 * k + j]]
            assert torch.allclose(row, alone.logps[j][alone.mask[j]], atol=1e-5)


def test_the_same_answer_is_computed_once(taught: Path) -> None:
    import torch

    from whenwhere.training.prefix.group import Branch, PrefixGroup, deduplicate
    from whenwhere.training.prefix.shared_prefix import score_branches

    policy, sample = opened(taught), Two()[0]
    prompt, (rest,) = policy.prompts(sample, sample.questions)

    def branch(*ids: int, counts: int = 2) -> Branch:
        whole = torch.cat([rest, torch.tensor(ids)])
        return Branch(whole, scored=torch.arange(len(whole)) >= len(whole) - counts)

    rows = [branch(60, 61), branch(70, 71, 72), branch(60, 61), branch(60, 61, counts=1), branch(70, 71, 72)]
    group, places = deduplicate(prompt, rows)
    assert places == [0, 1, 0, 2, 1] and len(group.branches) == 3
    weight = torch.tensor([1.0, -2.0, 3.0, 0.5, 1.5])[:, None]
    slopes = []
    for found in (score_branches(policy.parts, PrefixGroup(prompt, rows), entropies=True),
                  score_branches(policy.parts, group, entropies=True).select(places)):  # fmt: skip
        policy.model.zero_grad()
        (found.logps * weight).sum().backward()
        slopes.append((found, [p.grad.clone() for p in policy.model.parameters()]))
    (one, grads), (other, others) = slopes
    assert torch.equal(one.mask, other.mask) and torch.allclose(one.logps, other.logps, atol=1e-6)
    assert torch.allclose(one.entropies, other.entropies, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5, rtol=1e-4) for a, b in zip(grads, others, strict=True))


def test_prompts_drawn_in_the_same_steps_are_those_drawn_alone(taught: Path) -> None:
    """This also holds after most rows have ended and were dropped."""
    import torch

    from whenwhere.training.prefix.group import Branch
    from whenwhere.training.prefix.rollout import PrefilledPrompt, SamplingParams, sample_together

    policy = opened(taught)
    with torch.no_grad():
        for weight in policy.model.parameters():
            if weight.ndim > 1:
                weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    prompts = [policy.prompts(s, s.questions) for s in Two(3).samples]
    rollouts = [PrefilledPrompt(policy.parts, prompt) for prompt, _ in prompts]
    # branches of different lengths, so that rows are padded
    rows = [[Branch(torch.cat([r, r[:k]])) for k, r in enumerate(rests)] for _, rests in prompts]
    alone = [[rollout.continue_branches([b], SamplingParams(12, temperature=0))[0].tolist() for b in own]
             for rollout, own in zip(rollouts, rows, strict=True)]  # fmt: skip
    every = [ids for own in alone for ids in own]

    def length(ids: list[int], stop: tuple[int, ...]) -> int:
        return next((k + 1 for k, i in enumerate(ids) if i in stop), 12)

    # stop tokens at which most rows end early and some late
    pairs = itertools.combinations({i for ids in every for i in ids[:4]}, 2)
    ends = ((pair, sorted(length(ids, pair) for ids in every)) for pair in pairs)
    stop = next(pair for pair, each in ends if each[2] <= 4 and each[-1] > 6)
    how = SamplingParams(12, temperature=0, stop=stop)
    found = [[ids.tolist() for ids in own] for own in sample_together(rollouts, rows, how)]
    for own, others in zip(found, alone, strict=True):
        for ids, whole in zip(own, others, strict=True):
            assert ids == whole[: length(whole, stop)]


def test_clips_side_by_side_are_learned_from_as_one_by_one(taught: Path, tmp_path: Path) -> None:
    """Gradients of the same completions are the same; the sampler repeats what it sampled the first time."""
    from whenwhere.training.rl.sampler import LocalSampler

    made: list[Any] = []

    class Kept(LocalSampler):
        def sample(self, *given: Any) -> Any:
            if not made:
                made.extend(super().sample(*given))
            return made

    for name, most in (("one", 0), ("together", 4096)):
        settings = replace(BASE, max_steps=1, pack_tokens=most, entropy_coef=0.01, beta=0.1, zero_variance="keep")
        trained(taught, tmp_path / name, settings, sampler=Kept(4096))
    one, other = lines(tmp_path / "one")[0], lines(tmp_path / "together")[0]
    for key in ("loss", "entropy", "grad_norm", "tokens"):
        assert one[key] == pytest.approx(other[key], rel=1e-4, abs=1e-6), key


def test_rewards_that_look_beside_the_answer(taught: Path, tmp_path: Path) -> None:
    """The term `order` gets answers to shuffled frames, and `semantic` an encoder that sees the clip's frames."""
    from whenwhere.training.rl.sampler import LocalSampler
    from whenwhere.verify import Semantic

    looked: list[Any] = []

    class Red:
        name = "red"

        def __call__(self, pictures: Any, sentences: Any) -> Any:
            looked.append((len(pictures), list(sentences)))
            return [[p[..., 0].mean() / 255, 0.0] for p in pictures]

    class Watched(LocalSampler):
        calls: list[tuple[int, float, bytes]] = []  # noqa: RUF012

        def sample(self, policy: Any, clips: Any, count: int, params: Any) -> Any:
            self.calls.append((count, params.temperature, clips[0].sample.images.tobytes()))
            return super().sample(policy, clips, count, params)

    verifier = Verifier({"t_iou": 1, "order": 1, "semantic": 1}, form="tokens", semantic=Semantic(Red(), "judge"))
    settings = replace(BASE, max_steps=1, prompts_per_step=4)
    trained(taught, tmp_path, settings, Two(2), verifier=verifier, sampler=Watched())
    (many, warm, frames), (one, cold, mixed) = Watched.calls
    assert (many, warm) == (6, 1.0) and (one, cold) == (1, 0.0)
    assert frames != mixed and sorted(frames) == sorted(mixed)
    assert looked and all(len(set(sentences)) == 2 for _, sentences in looked)
    drawn = lines(tmp_path, "completions/step-000001.jsonl")
    assert {frozenset(d["terms"]) for d in drawn} == {frozenset({"t_iou", "order", "semantic"})}
    assert all(d["terms"]["order"] in (0, d["terms"]["t_iou"]) for d in drawn)
    # the encoder scores red pictures high and blue ones low
    assert max(d["terms"]["semantic"] for d in drawn if d["sample"] == "clip0") > 0.5
    assert max(d["terms"]["semantic"] for d in drawn if d["sample"] == "clip1") < 0.5


def test_a_frozen_vision_tower_is_looked_at_once_and_counted(taught: Path, tmp_path: Path) -> None:
    found = {}
    for frozen in (False, True):
        trained(taught, tmp_path / str(frozen), replace(BASE, max_steps=1, freeze_vision_tower=frozen))
        found[frozen] = lines(tmp_path / str(frozen))[0]
    assert found[True]["reward"] == found[False]["reward"]
    assert found[True]["loss"] == pytest.approx(found[False]["loss"], abs=1e-6)
    from whenwhere.training.prefix.flops import FlopCounter

    policy = opened(taught)
    seen = sum(FlopCounter(policy.parts).vision(policy.prompts(s, s.questions)[0]) for s in Two().samples)
    # a trained tower runs once to sample, and once forward and twice backward to learn
    assert found[False]["flops"] - found[True]["flops"] == pytest.approx(3 * seen)


def test_flops_are_those_that_torch_counts(taught: Path) -> None:
    """Matrix products as torch counts them with the prompt repeated; our attention in two pieces it cannot count."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from whenwhere.training.prefix.flops import FlopCounter, branch_lengths
    from whenwhere.training.prefix.group import completion_group
    from whenwhere.training.prefix.shared_prefix import score_branches

    policy = opened(taught)
    policy.model.config.text_config._attn_implementation = "eager"
    sample = Two()[0]
    prompt, rests = policy.prompts(sample, sample.questions)
    group = completion_group(prompt, [torch.cat([rests[0], torch.arange(50, 59)])] * 3)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        score_branches(policy.parts, group, "repeat")
    scored = 3 * len(group.branches[0].ids)
    ours = FlopCounter(policy.parts).forward(group.prompt, branch_lengths(group.branches), scored)
    # eager attention also computes what the mask discards
    assert ours.repeat == pytest.approx(counted.get_total_flops(), rel=0.1)
    assert ours.shared < 0.5 * ours.repeat
    trained = FlopCounter(policy.parts).training(group.prompt, branch_lengths(group.branches), scored)
    assert trained.shared == 3 * ours.shared


def test_completions_that_did_not_end_are_left_out_where_asked(taught: Path, tmp_path: Path) -> None:
    short = replace(BASE, max_steps=1, max_completion_length=2, num_generations=12, zero_variance="keep")
    found = {}
    for masked in (False, True):
        trained(taught, tmp_path / str(masked), replace(short, mask_truncated_completions=masked))
        found[masked] = lines(tmp_path / str(masked))[0]
    drawn = lines(tmp_path / "True", "completions/step-000001.jsonl")
    whole = [d for d in drawn if not d["truncated"]]
    assert 0 < len(whole) < len(drawn)
    assert found[True]["tokens"] == sum(d["length"] for d in whole)
    assert found[False]["tokens"] == sum(d["length"] for d in drawn)
    assert found[True]["truncated"] == pytest.approx(1 - len(whole) / len(drawn))
    assert found[True]["loss"] != found[False]["loss"]


def test_samples_read_ahead_are_the_same_samples() -> None:
    from whenwhere.errors import MediaError
    from whenwhere.training.data.prefetch import Prefetcher
    from whenwhere.training.data.samples import sample_at

    asked: list[int] = []

    class Noted(Two):
        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> Any:
            asked.append(index)
            if index == 3:
                raise MediaError("torn")
            return super().__getitem__(index % 2)

    source = Noted()
    prefetcher: Prefetcher[Any] = Prefetcher()

    def read(position: int) -> Any:
        return sample_at(source, position, 0.0, 4)

    for place in range(0, 12, 2):
        following = range(place + 2, place + 8, 2)
        try:
            wanted = sample_at(source, place, 0.0, 4).id
        except MediaError:
            with pytest.raises(MediaError, match="torn"):
                prefetcher.get(place, read, following)
        else:
            assert prefetcher.get(place, read, following).id == wanted
    assert len(asked) <= 6 + 6 + 3  # each sample was read once by the prefetcher


def test_samples_read_ahead_are_used_and_forgotten(tmp_path: Path) -> None:
    """A request without followers takes the prefetched item, so that nothing is read twice."""
    from whenwhere.training.data.prefetch import Prefetcher
    from whenwhere.training.data.samples import sample_at

    read: list[int] = []

    class Counting(Two):
        def __getitem__(self, index: int) -> Any:
            read.append(index)
            return super().__getitem__(index % 2)

        def __len__(self) -> int:
            return 100

    source, prefetcher = Counting(), Prefetcher[Any]()
    for place in range(40):
        following = () if place % 5 == 0 else range(place + 1, place + 5)
        prefetcher.get(place, lambda at: sample_at(source, at, 0.0, 0), following)
    prefetcher.close()
    assert len(read) == len(set(read)) and len(prefetcher._futures) <= 4

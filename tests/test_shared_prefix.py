"""Sharing a prompt among its branches equals repeating it: log-probabilities, every gradient, sampled tokens.

Tiny, random models of the real classes; prompts laid out by hand so that videos, stamps and words stand as the families
write them. The oracle is the model's own forward on the repeated prompt.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_models

from whenwhere.errors import ModelError, SettingError

pytestmark = pytest.mark.torch

FAMILIES = ["qwen3_vl", "qwen2_5_vl"]
SECONDS = 2.5  # duration of a temporal step of the Qwen2.5-VL video, so long that positions exceed the frame's sides


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(family: str, seed: int = 0, sharp: float = 4.0) -> Any:
    """A model whose weights are so large that answers depend on the pictures."""
    import torch

    torch.manual_seed(seed)
    model, _ = tiny_models.FAMILIES[family]()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(sharp)
    return model.train()


def words(n: int, seed: int) -> Any:
    import torch

    return torch.randint(0, 250, (n,), generator=torch.Generator().manual_seed(seed))


def shown(
    model: Any, frames: int, seed: int = 1, rows: int = 4, columns: int = 6, before: int = 5, after: int = 7
) -> Any:
    """A prompt of words, a video as the family writes it, and words."""
    import torch

    from whenwhere.training.prefix.group import TokenSegment, VisualInput

    config, vision = model.config, model.config.vision_config
    start, end, pad = (
        torch.tensor([i]) for i in (config.vision_start_token_id, config.vision_end_token_id, config.video_token_id)
    )
    frame = pad.repeat(rows * columns // vision.spatial_merge_size**2)
    ids = [words(before, seed)]
    if config.model_type == "qwen2_5_vl":
        ids += [start, frame.repeat(frames), end]
    else:
        for k in range(frames):
            ids += [words(3, 100 + seed + k), start, frame, end]
    ids.append(words(after, seed + 1))
    size = 3 * vision.temporal_patch_size * vision.patch_size**2
    patches = torch.randn(frames * rows * columns, size, generator=torch.Generator().manual_seed(seed))
    return TokenSegment(
        torch.cat(ids), videos=VisualInput(torch.tensor([[frames, rows, columns]]), patches, seconds_per_step=[SECONDS])
    )


def ragged(model: Any, lengths: tuple[int, ...] = (9, 4, 1, 12), frames: int = 5) -> Any:
    from whenwhere.training.prefix.group import completion_group

    return completion_group(shown(model, frames), [words(n, 50 + k) for k, n in enumerate(lengths)])


def two_turns(first: Any, seen: Any, second: Any) -> Any:
    """An answer, what the model was shown for it, and its next answer, as one branch; only the answers count."""
    import torch

    from whenwhere.training.prefix.group import Branch

    parts = [torch.as_tensor(p) for p in (first, seen.ids, second)]
    counts = [torch.full((len(p),), k != 1) for k, p in enumerate(parts)]
    return Branch(torch.cat(parts), seen.images, seen.videos, scored=torch.cat(counts))


def slopes(model: Any, group: Any, backend: Any, **how: Any) -> tuple[Any, dict[str, Any]]:
    """Log-probabilities, and every parameter's gradient of a sum in which no two tokens weigh the same."""
    import torch

    from whenwhere.training.prefix.shared_prefix import score_branches
    from whenwhere.training.prefix.vlm_parts import VLMParts

    model.zero_grad()
    found = score_branches(VLMParts(model), group, backend, **how)
    weights = torch.linspace(-1, 2, found.logps.numel()).view_as(found.logps)
    (found.logps * weights).sum().backward()
    return found, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def same(one: tuple[Any, dict[str, Any]], other: tuple[Any, dict[str, Any]], near: float = 1e-4) -> None:
    assert (one[0].mask == other[0].mask).all()
    assert float((one[0].logps - other[0].logps).abs().max().detach()) < 2e-5
    assert one[1].keys() == other[1].keys()
    for name in one[1]:
        size = float(one[1][name].norm())
        assert float((one[1][name] - other[1][name]).norm()) <= near * size + 1e-6, name


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_equal_to_repeating_on_every_parameter(family: str, checkpointing: bool) -> None:
    model = made(family)
    group = ragged(model)
    if checkpointing:
        model.gradient_checkpointing_enable()
    oracle = slopes(model, group, "repeat")
    # every parameter takes part, including those of the vision tower and its mergers
    assert oracle[1].keys() == {n for n, _ in model.named_parameters()}
    assert all(float(g.norm()) > 0 for n, g in oracle[1].items() if "visual" in n and "bias" not in n)
    for backend in ("shared_prefix", "packed4d"):
        same(oracle, slopes(model, group, backend))


def test_the_two_pieces_equal_one_attention() -> None:
    import torch

    from whenwhere.training.prefix.attention import attend_in_pieces, attend_with_copies

    torch.manual_seed(0)
    shapes = [(3, 4, 5, 16), (1, 2, 11, 16), (1, 2, 11, 16), (3, 2, 5, 16), (3, 2, 5, 16)]
    one = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    weights = torch.randn(shapes[0], dtype=torch.float64)
    found = []
    for look in (attend_with_copies, attend_in_pieces):
        out = look(*one, 0.3)
        found.append((out.detach(), torch.autograd.grad((out * weights).sum(), one)))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-12)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_devices_without_the_kernels_take_one_call_of_sdpa(monkeypatch: pytest.MonkeyPatch) -> None:
    from whenwhere.training.prefix import attention

    model = made("qwen3_vl")
    group = ragged(model)
    oracle = slopes(model, group, "repeat")
    monkeypatch.setattr(attention, "has_lse_kernels", lambda query: False)
    same(oracle, slopes(model, group, "shared_prefix"))


def test_branches_do_not_see_each_other_nor_their_padding() -> None:
    import torch

    from whenwhere.training.prefix.group import completion_group
    from whenwhere.training.prefix.shared_prefix import score_branches
    from whenwhere.training.prefix.vlm_parts import VLMParts

    model = made("qwen3_vl").eval()
    parts, prompt = VLMParts(model), shown(model, 3)
    with torch.no_grad():
        alone = score_branches(parts, completion_group(prompt, [words(6, 1)])).logps
        among = score_branches(parts, completion_group(prompt, [words(11, 2), words(6, 1), words(3, 3)]))
    assert torch.allclose(alone[0], among.logps[1, :6], atol=1e-5)
    assert among.mask.sum(1).tolist() == [11, 6, 3] and not among.logps[~among.mask].any()


def test_the_first_token_comes_from_the_prompt_and_entropies_from_the_whole_distribution() -> None:
    import torch

    from whenwhere.training.prefix.shared_prefix import score_branches
    from whenwhere.training.prefix.vlm_parts import VLMParts

    model = made("qwen3_vl").eval()
    group, parts = ragged(model), VLMParts(model)
    videos = group.prompt.videos
    with torch.no_grad():
        places, _ = parts.positions(group.prompt)
        logits = model(
            input_ids=group.prompt.ids[None], position_ids=places[:, None], pixel_values_videos=videos.patches,
            video_grid_thw=videos.grids,
        ).logits[0, -1]  # fmt: skip
        found = score_branches(parts, group, temperature=0.7, entropies=True)
        stretched = score_branches(parts, group, "repeat", temperature=0.7, entropies=True)
    sharp = torch.log_softmax(logits / 0.7, -1)
    for k, branch in enumerate(group.branches):
        assert abs(float(found.logps[k, 0] - sharp[branch.ids[0]])) < 1e-4
    assert abs(float(found.entropies[0, 0] + (sharp.exp() * sharp).sum())) < 1e-4
    assert torch.allclose(found.entropies, stretched.entropies, atol=1e-4)


def test_logits_in_stretches_are_the_same() -> None:
    import torch

    from whenwhere.training.prefix.logprobs import score_tokens

    torch.manual_seed(0)
    head = torch.nn.Linear(8, 30)
    hidden, targets = torch.randn(3, 7, 8, requires_grad=True), torch.randint(0, 30, (3, 7))
    mask = torch.rand(3, 7) > 0.3
    found = []
    for stretch in (2, 1000):
        made_ = score_tokens(hidden, head, targets, mask, chunk=stretch)
        found.append((made_.logps.detach(), *torch.autograd.grad(made_.logps.square().sum(), [hidden, head.weight])))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_two_turns_with_frames_of_their_own(family: str) -> None:
    from whenwhere.training.prefix.group import PrefixGroup

    model = made(family)
    prompt = shown(model, 3)
    branches = [
        two_turns(
            words(4 + k, k), shown(model, 1 + k, seed=20 + k, rows=2, columns=4, before=2, after=3), words(5, 9 + k)
        )
        for k in range(2)
    ]
    oracle = slopes(model, PrefixGroup(prompt, branches), "repeat")
    assert oracle[0].mask.sum(1).tolist() == [9, 10]
    same(oracle, slopes(model, PrefixGroup(prompt, branches), "shared_prefix"))


def test_many_sentences_of_a_video_count_their_answers_only() -> None:
    from whenwhere.training.prefix.group import completion_group, question_group

    model = made("qwen3_vl")
    video = shown(model, 4)
    pairs = [(words(6, 1), words(5, 2)), (words(3, 3), words(8, 4)), (words(9, 5), words(2, 6))]
    oracle = slopes(model, question_group(video, pairs), "repeat")
    assert oracle[0].mask.sum(1).tolist() == [5, 8, 2]
    packed = slopes(model, question_group(video, pairs), "shared_prefix")
    same(oracle, packed)
    # separately, with each question in the prompt, as other trainers do it
    import torch

    from whenwhere.training.prefix.group import TokenSegment
    from whenwhere.training.prefix.shared_prefix import score_branches
    from whenwhere.training.prefix.vlm_parts import VLMParts

    for k, (question, answer) in enumerate(pairs):
        alone = TokenSegment(torch.cat([video.ids, question]), videos=video.videos)
        with torch.no_grad():
            found = score_branches(VLMParts(model), completion_group(alone, [answer]), "repeat").logps[0]
        assert torch.allclose(found, packed[0].logps[k][packed[0].mask[k]].detach(), atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_frozen_tower_is_asked_once(family: str) -> None:
    from whenwhere.training.prefix.group import PrefixGroup
    from whenwhere.training.prefix.vlm_parts import VLMParts

    model = made(family)
    for weight in model.model.visual.parameters():
        weight.requires_grad_(False)
    group = ragged(model)
    oracle = slopes(model, group, "repeat")
    prompt = VLMParts(model).with_features(group.prompt)
    asked: list[int] = []
    model.model.visual.register_forward_hook(lambda *_: asked.append(1))
    for backend in ("shared_prefix", "repeat"):
        same(oracle, slopes(model, PrefixGroup(prompt, group.branches), backend))
    assert asked == [] and prompt.videos.patches is None


def hybrid_group(model: Any) -> Any:
    return ragged(model, (5, 3, 7), frames=2)


def test_recurrent_states_fork() -> None:
    from whenwhere.training.prefix.scorer import FallbackWarning, GroupScorer
    from whenwhere.training.prefix.shared_prefix import score_branches
    from whenwhere.training.prefix.vlm_parts import VLMParts

    model = made("qwen3_5", sharp=2.0)
    group = hybrid_group(model)
    # the recurrence is cut into other chunks, and gradients of its biases are small differences of large numbers
    same(slopes(model, group, "repeat"), slopes(model, group, "fork"), near=1e-3)
    for backend in ("shared_prefix", "packed4d"):
        with pytest.raises(ModelError, match="recurrent state"):
            score_branches(VLMParts(model), group, backend)  # type: ignore[arg-type]
        with pytest.raises(ModelError, match="recurrent state"):
            GroupScorer(model, backend)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("error", FallbackWarning)
        scorer = GroupScorer(model)
        scorer(group)
    assert scorer.backend == "fork" and scorer.reasons == []


def test_the_cache_is_handed_over_under_the_name_that_is_read() -> None:
    from whenwhere.training.prefix.caches import cache_inputs

    class Older:
        def forward(self, input_ids: Any, past_key_values: Any = None) -> None: ...

    class Newer:
        def forward(self, input_ids: Any, cache: Any = None) -> None: ...

    assert cache_inputs(Older(), 1) == {"past_key_values": 1, "use_cache": True}
    assert cache_inputs(Newer(), 1) == {"cache": 1, "use_cache": True}


def test_recurrent_states_do_not_outlive_checkpointing() -> None:
    from whenwhere.training.prefix.scorer import FallbackWarning, GroupScorer

    model = made("qwen3_5", sharp=2.0)
    model.gradient_checkpointing_enable()
    scorer = GroupScorer(model)
    with pytest.warns(FallbackWarning, match="gradient checkpointing"):
        scorer(hybrid_group(model))
    assert scorer.backend == "repeat"


def _blind(parts: Any, group: Any) -> Any:
    """A broken back end: branches see each other, as in a row that is packed without a mask."""
    from whenwhere.training.prefix.shared_prefix import _one_row

    return _one_row(parts, group, attention_mask=None)


def _cut(parts: Any, group: Any) -> Any:
    """A broken back end: log-probabilities are right, but no gradient flows."""
    from whenwhere.training.prefix.shared_prefix import repeat

    return repeat(parts, group).detach()


def _fails(parts: Any, group: Any) -> Any:
    raise RuntimeError("no kernel for it")


@pytest.mark.parametrize(
    ("broken", "said"), [(_blind, "log-probabilities are off"), (_cut, "the gradient of"), (_fails, "no kernel for it")]
)
def test_a_broken_back_end_is_left_loudly(
    broken: Callable[..., Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from whenwhere.training.prefix import scorer as scorer_module
    from whenwhere.training.prefix import shared_prefix

    model = made("qwen3_vl")
    group = ragged(model, (6, 6))
    monkeypatch.setitem(shared_prefix.PREFIX_BACKENDS, "shared_prefix", broken)
    scorer = scorer_module.GroupScorer(model)
    with pytest.warns(scorer_module.FallbackWarning, match=said):
        found = scorer(group)
    assert scorer.backend == "packed4d" and said in scorer.reasons[0]
    assert torch.allclose(found.logps, shared_prefix.score_branches(scorer.parts, group, "repeat").logps, atol=2e-5)
    # when every other back end is broken, repeating is left
    monkeypatch.setitem(shared_prefix.PREFIX_BACKENDS, "packed4d", broken)
    last = scorer_module.GroupScorer(model)
    with pytest.warns(scorer_module.FallbackWarning):
        last(group)
    assert last.backend == "repeat" and len(last.reasons) == 2


def test_a_sound_back_end_stays_and_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from whenwhere.training.prefix import scorer as scorer_module
    from whenwhere.training.prefix import shared_prefix

    model = made("qwen3_vl")
    asked: list[int] = []
    repeat = shared_prefix.PREFIX_BACKENDS["repeat"]
    monkeypatch.setitem(shared_prefix.PREFIX_BACKENDS, "repeat", lambda *a: (asked.append(1), repeat(*a))[1])
    scorer = scorer_module.GroupScorer(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", scorer_module.FallbackWarning)
        for _ in range(2):
            scorer(ragged(model))
    assert scorer.backend == "shared_prefix" and len(asked) == 1


def test_the_check_under_checkpointing() -> None:
    from whenwhere.training.prefix.scorer import FallbackWarning, GroupScorer

    model = made("qwen3_vl")
    model.gradient_checkpointing_enable()
    scorer = GroupScorer(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FallbackWarning)
        scorer(ragged(model))
    assert scorer.backend == "shared_prefix"
    model.gradient_checkpointing_enable({"use_reentrant": True})
    with pytest.raises(ModelError, match="use_reentrant"):
        GroupScorer(model)(ragged(model))


def test_half_precision_passes_the_check() -> None:
    import torch

    from whenwhere.training.prefix.scorer import GroupScorer

    model = made("qwen3_vl", sharp=2.0).to(torch.bfloat16)
    scorer = GroupScorer(model)
    scorer(ragged(model))
    assert scorer.backend == "shared_prefix" and scorer.reasons == []


def test_what_cannot_be_equal_is_refused() -> None:
    from whenwhere.training.prefix.group import Branch, PrefixGroup, TokenSegment, VisualInput, completion_group
    from whenwhere.training.prefix.scorer import GroupScorer
    from whenwhere.training.prefix.shared_prefix import score_branches
    from whenwhere.training.prefix.vlm_parts import VLMParts

    model = made("qwen3_vl")
    prompt = shown(model, 2)
    with pytest.raises(SettingError, match="there is no back end"):
        GroupScorer(model, "flash")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="do not belong together"):
        score_branches(
            VLMParts(model), completion_group(TokenSegment(prompt.ids[:-10], videos=prompt.videos), [words(3, 1)])
        )
    with pytest.raises(SettingError, match="at least one"):
        PrefixGroup(prompt, [])
    with pytest.raises(SettingError, match="marks 2"):
        Branch(words(3, 1), scored=[True, False])
    with pytest.raises(SettingError, match="either patches or features"):
        VisualInput([[1, 2, 2]])
    model.config.text_config.attention_dropout = 0.1
    with pytest.raises(ModelError, match="attention_dropout"):
        GroupScorer(model, "shared_prefix")
    with pytest.raises(ModelError, match="cannot be trained"):
        VLMParts(made("internvl"))


def test_a_saved_model_does_not_name_our_attention(tmp_path: Path) -> None:
    from whenwhere.training.prefix.attention import PREFIX_ATTENTION, attach_prefix_attention
    from whenwhere.training.prefix.vlm_parts import VLMParts

    model = made("qwen3_vl")
    attach_prefix_attention(VLMParts(model).text_model)
    model.save_pretrained(tmp_path)
    assert PREFIX_ATTENTION not in (tmp_path / "config.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("family", [*FAMILIES, "qwen3_5"])
def test_positions_equal_those_of_transformers(family: str) -> None:
    import torch

    from whenwhere.training.prefix.vlm_parts import VLMParts

    model = made(family)
    prompt = shown(model, 9)
    parts = VLMParts(model, "hf5")
    kinds = parts.token_kinds(prompt.ids)[None]
    wanted, _ = model.model.get_rope_index(
        prompt.ids[None], mm_token_type_ids=kinds, video_grid_thw=prompt.videos.grids,
        second_per_grid_ts=torch.tensor(prompt.videos.seconds_per_step),
    )  # fmt: skip
    assert torch.equal(parts.positions(prompt)[0], wanted[:, 0])
    original, following = VLMParts(model).positions(prompt)
    if family == "qwen2_5_vl":  # the trap: after the video, text continues at positions inside it
        video = kinds[0] == 2
        assert int(wanted[0, 0][video].max()) > int(wanted[0, 0, -1])
        assert int(original[0][video].max()) + 1 < int(original[0, -1]) and following == int(original.max()) + 1
    else:
        assert torch.equal(original, wanted[:, 0])


def stock(model: Any, prompt: Any, rows: int, **how: Any) -> Any:
    """Tokens of the model's own `generate`, with the prompt and its pictures in every row."""
    from whenwhere.training.prefix.rollout import visual_token_ids
    from whenwhere.training.prefix.vlm_parts import VLMParts

    parts = VLMParts(model)
    ids = prompt.ids[None].repeat(rows, 1)
    more = (
        {"second_per_grid_ts": prompt.videos.seconds_per_step * rows} if model.config.model_type == "qwen2_5_vl" else {}
    )
    whole = model.eval().generate(
        input_ids=ids, attention_mask=ids * 0 + 1, mm_token_type_ids=parts.token_kinds(ids),
        pixel_values_videos=prompt.videos.patches.repeat(rows, 1), video_grid_thw=prompt.videos.grids.repeat(rows, 1),
        suppress_tokens=visual_token_ids(parts), pad_token_id=0, **more, **how,
    )  # fmt: skip
    return whole[:, ids.shape[1] :]


@pytest.mark.parametrize("family", [*FAMILIES, "qwen3_5"])
def test_drawn_tokens_are_those_of_generate(family: str) -> None:
    import torch

    from whenwhere.training.prefix.rollout import PrefilledPrompt, SamplingParams, visual_token_ids
    from whenwhere.training.prefix.vlm_parts import VLMParts

    model = made(family, seed=3, sharp=2.0 if family == "qwen3_5" else 4.0)
    model.gradient_checkpointing_enable()  # under checkpointing the cache must survive
    model.model.visual.eval()
    prompt = shown(model, 4)
    wanted = stock(model, prompt, 2, max_new_tokens=8, do_sample=False, eos_token_id=None)
    model.train()
    model.model.visual.eval()
    parts = VLMParts(model, "hf5")
    rollout = PrefilledPrompt(parts, prompt)
    assert model.training and not model.model.visual.training
    found = rollout.sample(2, SamplingParams(8, temperature=0))
    assert [f.tolist() for f in found] == wanted.tolist()
    stop = int(wanted[0, 3])
    short = rollout.sample(1, SamplingParams(8, temperature=0, stop=(stop,)))[0].tolist()
    first = wanted[0].tolist().index(stop)
    assert short == wanted[0, : first + 1].tolist()
    how = SamplingParams(8, temperature=1.3, top_k=60, top_p=0.9, seed=5)
    torch.manual_seed(5)
    drawn = stock(
        model, prompt, 3, max_new_tokens=8, do_sample=True, temperature=1.3, top_k=60, top_p=0.9, eos_token_id=None
    )
    model.train()
    found = rollout.sample(3, how)
    assert [f.tolist() for f in found] == drawn.tolist()
    assert [f.tolist() for f in rollout.sample(3, how)] == drawn.tolist()
    assert len({tuple(f.tolist()) for f in found}) > 1
    assert not set(visual_token_ids(parts)) & {int(t) for f in found for t in f}


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("family", [*FAMILIES, "qwen3_5"])
def test_a_second_turn_goes_on_from_the_same_prompt(family: str, bf16: bool) -> None:
    """Greedy answers after branches of different lengths with frames are the likeliest ones of the repeated prompt.

    In bf16, as training samples under autocast, they may be those that rounding puts first.
    """
    import torch

    from whenwhere.training.prefix.group import Branch, PrefixGroup
    from whenwhere.training.prefix.rollout import PrefilledPrompt, SamplingParams, visual_token_ids
    from whenwhere.training.prefix.shared_prefix import PREFIX_BACKENDS
    from whenwhere.training.prefix.vlm_parts import VLMParts

    model = made(family, seed=3, sharp=2.0 if family == "qwen3_5" else 4.0)
    prompt, parts = shown(model, 3), VLMParts(model)

    def half() -> Any:
        return torch.autocast("cpu", torch.bfloat16, enabled=bf16)

    with half():
        rollout = PrefilledPrompt(parts, prompt)
    asked: list[int] = []
    model.model.visual.register_forward_hook(lambda *_, **__: asked.append(1))
    with half():
        firsts = rollout.sample(2, SamplingParams(4, temperature=1, seed=1))
    told = []
    for k, first in enumerate(firsts):
        seen = shown(model, 1 + k, seed=30 + k, rows=2, columns=4, before=2, after=3)
        told.append(two_turns(first, seen, words(0, 0)))
    with half():
        seconds = rollout.continue_branches(told, SamplingParams(5, temperature=0))
    # the new frames only, all at once unless rows are sampled one by one; the prompt's frames are not encoded again
    assert len(asked) == (2 if family == "qwen3_5" else 1)
    whole = [Branch(torch.cat([b.ids, s]), b.images, b.videos) for b, s in zip(told, seconds, strict=True)]
    with torch.no_grad():
        logits = parts.lm_head(PREFIX_BACKENDS["repeat"](parts, PrefixGroup(prompt, whole)))
    logits[..., visual_token_ids(parts)] = -torch.inf
    for k, (branch, second) in enumerate(zip(told, seconds, strict=True)):
        cut = len(branch.ids)
        own = logits[k, cut : cut + 5].float()
        chosen = own.gather(1, second[:, None])[:, 0]
        assert float((own.max(-1).values - chosen).max()) <= (0.05 if bf16 else 0)


def test_sampling_that_makes_no_sense() -> None:
    from whenwhere.training.prefix.rollout import SamplingParams

    for wrong in ({"max_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}):
        with pytest.raises(SettingError, match="sampling needs"):
            SamplingParams(**{"max_tokens": 4, **wrong})  # type: ignore[arg-type]


def test_a_prompt_as_the_processor_lays_it_out() -> None:
    import numpy as np
    import torch

    from whenwhere.training.prefix.group import TokenSegment, completion_group
    from whenwhere.training.prefix.shared_prefix import score_branches
    from whenwhere.training.prefix.vlm_parts import VLMParts

    model, processor = tiny_models.qwen2_5_vl()
    frames = np.random.default_rng(0).integers(0, 255, (8, 56, 56, 3), np.uint8)
    video = {"total_num_frames": 8, "fps": 0.5, "frames_indices": list(range(8)), "duration": 16.0, "height": 56,
             "width": 56, "video_backend": "x"}  # fmt: skip
    inputs = processor(
        text=["<|vision_start|><|video_pad|><|vision_end|>when?"], videos=[frames], video_metadata=[video],
        do_sample_frames=False, return_tensors="pt",
    )  # fmt: skip
    prompt = TokenSegment.from_processor(inputs)
    assert prompt.videos is not None and prompt.videos.seconds_per_step == [
        4.0
    ]  # a step has two frames that are two seconds apart
    wanted, _ = model.model.get_rope_index(
        inputs["input_ids"], inputs["mm_token_type_ids"], video_grid_thw=inputs["video_grid_thw"],
        second_per_grid_ts=inputs["second_per_grid_ts"],
    )  # fmt: skip
    parts = VLMParts(model, "hf5")
    assert torch.equal(parts.positions(prompt)[0], wanted[:, 0])
    with torch.no_grad():
        found = score_branches(parts, completion_group(prompt, [words(4, 1)]))
        whole = torch.cat([inputs["input_ids"], words(4, 1)[None]], 1)
        logits = model(**{**inputs, "input_ids": whole, "attention_mask": whole * 0 + 1,
                          "mm_token_type_ids": parts.token_kinds(whole)}).logits  # fmt: skip
    sharp = torch.log_softmax(logits[0, -5:-1], -1).gather(-1, words(4, 1)[:, None])[:, 0]
    assert torch.allclose(found.logps[0], sharp, atol=1e-4)
    with pytest.raises(SettingError, match="single row"):
        TokenSegment.from_processor({"input_ids": torch.zeros(2, 3)})

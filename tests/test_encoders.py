"""The video encoder: where each token is, what is masked, how groups form; and nothing is random in evaluation."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whenwhere.errors import SettingError
from whenwhere.models.encoders.config import Masking, VideoConfig
from whenwhere.models.encoders.flops import video_flops

if TYPE_CHECKING:
    from whenwhere.models.encoders.video import VideoEncoder

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

PLAIN = VideoConfig(image_size=16, frames=4, patch=8, tubelet=2, width=16, layers=4, heads=2, output=12)
GROUPED = replace(PLAIN, group_tokens=3, group_layers=(2, 4))
KINDS = ["random", "tube", "frame"]


def made(config: VideoConfig = GROUPED, **changes: Any) -> "VideoEncoder":
    from whenwhere.models.encoders.video import VideoEncoder

    torch.manual_seed(0)
    return VideoEncoder(replace(config, **changes))


def clips(count: int = 2, frames: int = 4, height: int = 16, width: int = 16) -> Any:
    return torch.randn(count, frames, 3, height, width, generator=torch.Generator().manual_seed(1))


def shaken(encoder: "VideoEncoder") -> "VideoEncoder":
    """The encoder with temporal positions that are not zero, as after training."""
    with torch.no_grad():
        encoder.temporal_positions.normal_()
    return encoder


def test_each_token_is_where_its_position_says() -> None:
    encoder = made(PLAIN, frames=6, image_size=24)
    with torch.no_grad():
        encoder.patch.weight.fill_(1.0 / encoder.patch.in_features)
        encoder.spatial_positions.zero_()
    # each tubelet has one value: ten times its time step, plus 1 for each row and a tenth for each column
    step, row, column = torch.meshgrid(torch.arange(3.0), torch.arange(3.0), torch.arange(3.0), indexing="ij")
    values = 10 * step + row + column / 10
    pixels = values.repeat_interleave(2, 0).repeat_interleave(8, 1).repeat_interleave(8, 2)[None, :, None]
    pixels = pixels.expand(1, 6, 3, 24, 24)
    out = encoder.eval()(pixels)
    t, h, w = out.positions[0].T
    assert torch.allclose(encoder._embed(pixels, None, (3, 3, 3))[0, :, 0], 10.0 * t + h + w / 10)


def test_masked_tokens_are_those_of_the_whole_clip() -> None:
    encoder, pixels = shaken(made()), clips()
    kept = torch.tensor([[0, 3, 5], [1, 2, 7]])
    whole = encoder._embed(pixels, None, (2, 2, 2))
    some = encoder._embed(pixels, kept, (2, 2, 2))
    assert torch.allclose(some, whole.gather(1, kept[..., None].expand(-1, -1, 16)), atol=1e-6)


@given(
    st.sampled_from(KINDS),
    st.floats(0, 0.999),
    st.integers(1, 5),
    st.integers(1, 12),
    st.booleans(),
)
def test_what_masking_keeps(kind: Any, ratio: float, steps: int, patches: int, even: bool) -> None:
    from whenwhere.models.encoders.flops import kept_tokens
    from whenwhere.models.encoders.masking import keep_tokens

    masking = Masking(kind, ratio)
    kept = keep_tokens(masking, 3, steps, patches, torch.device("cpu"), even=even).numpy()
    assert kept.shape == (3, kept_tokens(masking, steps, patches, even=even)) and kept.shape[1] >= 1
    assert kept.min() >= 0 and kept.max() < steps * patches and (np.diff(kept) > 0).all()
    dropped = 1 - kept.shape[1] / (steps * patches)
    unit = {"random": 1, "tube": steps, "frame": patches}[kind] if not even else max(steps, patches)
    assert (dropped <= ratio + 1e-6 and dropped > ratio - unit / (steps * patches) - 1e-6) or kept.shape[1] <= unit
    for row in kept:
        of_step = [set(row[row // patches == t] % patches) for t in range(steps)]
        if kind == "tube":
            assert all(places == of_step[0] for places in of_step) and of_step[0]
        if kind == "frame":
            assert all(len(places) in (0, patches) for places in of_step)
        if kind == "random" and even:
            assert len({len(places) for places in of_step}) == 1 and of_step[0]


def test_masks_differ_between_clips_and_calls() -> None:
    encoder = made().train()
    for kind in KINDS:
        drawn = {
            tuple(row.flatten().tolist()) for _ in range(8) for row in encoder(clips(), Masking(kind, 0.5)).positions
        }
        assert len(drawn) > 1, kind


@pytest.mark.parametrize("attention", ["joint", "frame"])
@pytest.mark.parametrize("kind", KINDS)
def test_shapes_of_what_a_masked_encoder_returns(kind: Any, attention: Any) -> None:
    config = replace(GROUPED if attention == "joint" else PLAIN, attention=attention)
    out = made(config).train()(clips(5), Masking(kind, 0.5))
    assert out.pooled.shape == (5, 12) and out.tokens.shape == (5, 4, 16) and out.positions.shape == (5, 4, 3)
    assert out.frames.shape == (5, 2, 12)
    if attention == "joint":
        assert out.groups.shape == (5, 3, 12) and [a.shape for a in out.assignments] == [(5, 3, 4)] * 2
    kept = torch.zeros(5, 2).scatter_(1, out.positions[..., 0], 1.0).bool()
    assert (out.frames[~kept] == 0).all() and (out.frames[kept] != 0).any(-1).all()


@pytest.mark.parametrize("config", [PLAIN, GROUPED, replace(PLAIN, attention="frame", pooling="attention")])
def test_evaluation_is_deterministic_and_masks_nothing(config: VideoConfig) -> None:
    encoder = made(config, drop_path=0.5).eval()
    first, second = encoder(clips()), encoder(clips(), Masking("random", 0.9))
    assert first.tokens.shape[1] == config.tokens
    for key in ("pooled", "tokens", "frames", "groups", "positions"):
        assert getattr(first, key) is None or torch.equal(getattr(first, key), getattr(second, key)), key
    assert all(map(torch.equal, first.assignments, second.assignments))


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("assignment", ["hard_gumbel", "hard", "soft"])
def test_assignments_sum_to_one_and_gradients_reach_the_groups(assignment: Any, train: bool) -> None:
    encoder = made(assignment=assignment).train(train)
    out = encoder(clips())
    for shares in out.assignments:
        assert torch.allclose(shares.sum(1), torch.ones(2, 8))
        assert (assignment == "soft") != bool(((shares == 0) | (shares == 1)).all())
    (out.groups.square().sum() + sum((a * torch.randn_like(a)).sum() for a in out.assignments)).backward()
    assert float(encoder.group_tokens.grad.norm()) > 0
    for layer in ("2", "4"):
        for name in ("assign_q", "assign_k", "assign_v"):
            assert float(getattr(encoder.grouping[layer], name).weight.grad.norm()) > 0, (layer, name)


def test_gumbel_noise_is_drawn_in_training_only() -> None:
    drawn, plain = made(), made(assignment="hard")
    assert torch.equal(drawn.eval()(clips()).assignments[0], plain.eval()(clips()).assignments[0])
    drawn.train()
    assert any(not torch.equal(drawn(clips()).assignments[0], plain(clips()).assignments[0]) for _ in range(3))


def test_the_size_of_a_group_is_not_divided_by_a_small_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """GroupViT's issue 17: with 1e-10 for 1.0 the gradient of the assignment is several times as large."""
    from whenwhere.models.encoders import grouping

    def gradient() -> float:
        torch.manual_seed(0)
        block = grouping.GroupingBlock(replace(PLAIN, width=64, heads=4)).train()
        groups, _ = block(torch.randn(4, 32, 64), torch.randn(4, 49, 64))
        groups.sum(-1).square().sum().backward()
        return float(block.assign_q.weight.grad.norm())

    right = gradient()
    monkeypatch.setattr(grouping, "ASSIGN_EPS", 1e-10)
    assert gradient() > 1.5 * right


def test_video_tokens_do_not_see_groups_that_are_kept_out_of_attention() -> None:
    for joined in (True, False):
        encoder = made(group_attention=joined).eval()
        before = encoder(clips())
        with torch.no_grad():
            encoder.group_tokens += torch.randn_like(encoder.group_tokens)
        after = encoder(clips())
        assert torch.equal(before.tokens, after.tokens) != joined
        assert not torch.equal(before.groups, after.groups)


def test_a_new_encoder_does_not_know_the_order_of_frames() -> None:
    encoder, pixels = made(tubelet=1), clips()
    turned = pixels.flip(1)
    assert torch.allclose(encoder.eval()(pixels).pooled, encoder(turned).pooled, atol=1e-5)
    shaken(encoder)
    assert not torch.allclose(encoder(pixels).pooled, encoder(turned).pooled, atol=1e-2)


def test_positions_at_other_lengths_and_sizes() -> None:
    from whenwhere.models.encoders.blocks import resampled_times, resized_positions

    times = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    assert resampled_times(times, 4) is times
    assert resampled_times(times, 1).tolist() == [[1.5]] and resampled_times(times, 2).tolist() == [[0.5], [2.5]]
    longer = resampled_times(times, 8)[:, 0]
    assert (longer.diff() >= 0).all() and longer[0] == 0 and longer[-1] == 3
    places = torch.arange(9.0)[:, None]
    assert resized_positions(places, 3, 3) is places
    larger = resized_positions(places, 6, 5).view(6, 5)
    assert (larger.diff(dim=0) > 0).all() and (larger.diff(dim=1) > 0).all()
    out = shaken(made()).eval()(clips(frames=8, height=24, width=32))
    assert out.tokens.shape == (2, 4 * 3 * 4, 16) and out.frames.shape == (2, 4, 12)
    assert out.positions[0].amax(0).tolist() == [3, 2, 3]


def test_attention_inside_frames_encodes_each_frame_alone() -> None:
    encoder = made(PLAIN, attention="frame", tubelet=1, temporal_positions=False).eval()
    pixels = clips()
    out, changed = encoder(pixels), pixels.clone()
    changed[:, 2] += 1
    again = encoder(changed)
    same = torch.isclose(out.frames, again.frames, atol=1e-6).all(-1)
    assert same.tolist() == [[True, True, False, True]] * 2
    assert torch.allclose(out.pooled, out.frames.mean(1), atol=1e-6)
    # a clip of one frame is the same by both kinds of attention
    joint = made(PLAIN, tubelet=1, temporal_positions=False).eval()
    assert torch.allclose(joint(pixels[:, 2:3]).pooled, out.frames[:, 2], atol=1e-5)


def test_time_steps_are_means_of_their_tokens() -> None:
    encoder = made().train()
    for masking in (None, Masking("random", 0.3)):
        out = encoder(clips(3), masking)
        for b in range(3):
            for t in range(2):
                own = out.tokens[b, out.positions[b, :, 0] == t]
                if len(own):
                    assert torch.allclose(out.frames[b, t], encoder.project(own.mean(0)), atol=1e-5)


def test_rotary_positions_depend_on_distances_only() -> None:
    from whenwhere.models.encoders.blocks import rotate, rotation_of

    places = torch.tensor([[0, 0], [1, 2], [3, 1], [4, 3], [-1, -1]])
    q, k = torch.randn(2, 1, 1, 5, 16)
    turned = rotation_of(places, 16, 100.0)
    cross = (
        rotate(q[..., :1, :].expand(-1, -1, 5, -1), turned) * rotate(k[..., :1, :].expand(-1, -1, 5, -1), turned)
    ).sum(-1)
    assert torch.allclose(cross, cross[..., :1].expand_as(cross), atol=1e-5)
    assert torch.equal(rotate(q, turned)[..., 4, :], q[..., 4, :])
    assert not torch.allclose(rotate(q, turned)[..., 1, :], q[..., 1, :])
    out = made(rope_theta=100.0, heads=2, pooling="attention").train()(clips(), Masking("random", 0.5))
    assert bool(out.pooled.isfinite().all())


@pytest.mark.parametrize("config", [GROUPED, replace(PLAIN, rope_theta=100.0)])
def test_recomputing_blocks_changes_no_gradient(config: VideoConfig) -> None:
    gradients = []
    for again in (False, True):
        encoder = made(config, assignment="hard", drop_path=0.5).train()
        encoder.checkpointing = again
        torch.manual_seed(3)
        out = encoder(clips(), Masking("random", 0.3))
        (out.pooled.square().sum() + out.frames.square().sum()).backward()
        gradients.append({name: p.grad for name, p in encoder.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-5), name


def test_attention_is_the_same_for_few_and_for_many_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    from whenwhere.models.encoders import blocks

    layer, x = blocks.SelfAttention(16, 2), torch.randn(2, 9, 16)
    few = layer(x)
    monkeypatch.setattr(blocks, "FEW_TOKENS", 8)
    assert torch.allclose(layer(x), few, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"attention": "frame"}, {"rope_theta": 100.0, "width": 32}, {"pooling": "mean"}, {"pooling": "attention"},
        {"group_tokens": 3, "group_layers": (2, 4)},
    ],
)  # fmt: skip
def test_embeddings_of_clips_alone_are_those_of_the_whole_output(changes: dict[str, Any]) -> None:
    encoder, pixels = shaken(made(PLAIN, **changes)), clips(3, 8)
    whole, alone = encoder.eval()(pixels).pooled, encoder.embed(pixels)
    assert alone.shape == (3, 12) and torch.allclose(alone, whole, atol=1e-6)
    whole, alone = (
        torch.autograd.grad(made_of.square().sum(), list(encoder.parameters()), allow_unused=True)
        for made_of in (encoder(pixels).pooled, encoder.embed(pixels))
    )
    for a, b in zip(whole, alone, strict=True):
        assert (a is None) == (b is None) and (a is None or torch.allclose(a, b, atol=1e-5))


def test_embeddings_of_clips_alone_are_cheaper() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    encoder, pixels = made(PLAIN), clips()
    counts = []
    for work in (encoder, encoder.embed):
        with FlopCounterMode(display=False) as counter:
            work(pixels)
        counts.append(counter.get_total_flops())
    # the last of four blocks keeps two of its twelve square matrices for all tokens but one
    assert counts[1] < 0.9 * counts[0]


def test_drop_path_skips_blocks_of_clips_in_training() -> None:
    encoder = made(PLAIN, drop_path=0.9)
    assert [block.drop_path for block in encoder.blocks] == pytest.approx([0, 0.3, 0.6, 0.9])
    block, x = encoder.blocks[3], torch.randn(4000, 2, 16)
    with torch.no_grad():
        change = block.train().cpu()(x) - x
        whole = block.eval()(x) - x
    # skipped clips are left as they are; what remains is scaled, so that the expectation stays the same
    share = float((change.abs().amax((1, 2)) < 1e-6).float().mean())
    assert 0.9**2 - 0.03 < share < 0.9**2 + 0.03
    assert torch.allclose(block.train(False)(x) - x, whole)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"group_tokens": 3, "group_layers": (2, 4)},
        {"group_tokens": 3, "group_layers": (2,), "group_attention": False},
        {"pooling": "attention", "class_token": False},
        {"pooling": "mean", "projection": False, "output": 16},
        {"attention": "frame"},
        {"attention": "frame", "pooling": "attention"},
    ],
)
def test_flops_are_those_that_torch_counts(changes: dict[str, Any]) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    config = replace(PLAIN, image_size=24, **changes)
    for masking in (None, Masking("random", 0.7), Masking("tube", 0.7), Masking("frame", 0.5)):
        # torch counts no operations of the CPU's fused attention
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            made(config).train()(clips(1, 4, 24, 24), masking)
        assert video_flops(config, masking) == counter.get_total_flops(), masking


def test_masking_saves_what_the_formula_says() -> None:
    presets = [VideoConfig(), VideoConfig(patch=14, width=1024, layers=24, heads=16, output=768)]
    for config in presets:
        ratios = [video_flops(config, Masking("random", r)) / video_flops(config) for r in (0.5, 0.7, 0.9)]
        assert [round(r, 2) for r in ratios[:2]] == [0.44, 0.25] and round(ratios[2], 3) == 0.078
    assert video_flops(presets[0]) == pytest.approx(357e9, rel=0.01)
    assert video_flops(presets[1]) == pytest.approx(1650e9, rel=0.01)
    toy = VideoConfig(image_size=96, patch=8, width=192, heads=3, class_token=False, pooling="mean")
    ratios = [video_flops(toy, Masking("random", r)) / video_flops(toy) for r in (0.5, 0.7, 0.9)]
    assert ratios == pytest.approx([0.375, 0.196, 0.055], rel=0.015)


def test_longer_masks_and_lengths_have_their_own_flops() -> None:
    config = replace(PLAIN, frames=8)
    assert video_flops(config, frames=4) < video_flops(config) < video_flops(config, frames=16)
    assert video_flops(config, Masking("tube", 0.0)) == video_flops(config)


@pytest.mark.parametrize(
    "shape, said",
    [
        ((2, 3, 3, 16, 16), "clips of 3 frames cannot be cut into time steps of 2 frames: sample 4 frames"),
        ((2, 1, 3, 16, 16), "clips of 1 frames"),
        ((2, 0, 3, 16, 16), "clips of 0 frames"),
        ((2, 4, 3, 16, 20), "frames of 20x16 pixels cannot be cut into patches of 8: resize them to 16x16"),
        ((2, 4, 3, 0, 16), "frames of 16x0 pixels"),
        ((2, 4, 16, 16, 3), r"have the shape \(clips, frames, 3, height, width\), not \(2, 4, 16, 16, 3\)"),
        ((4, 3, 16, 16), "have the shape"),
        ((0, 4, 3, 16, 16), "have the shape"),
    ],
)
def test_clips_that_cannot_be_cut(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        made()(torch.zeros(shape))


def test_frames_that_are_not_normalised() -> None:
    for wrong in (torch.zeros(2, 4, 3, 16, 16, dtype=torch.uint8), np.zeros((2, 4, 3, 16, 16), np.float32)):
        with pytest.raises(SettingError, match="takes a tensor of normalised floats"):
            made()(wrong)

"""Losses of contrastive pre-training: what they must be on features whose truth is known, and where they have none."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.errors import SettingError
from whenwhere.training.pretrain.cut_and_paste import cut_and_paste, fade, sample_mask
from whenwhere.training.pretrain.derangement import random_derangement
from whenwhere.training.pretrain.noun_grounding import shuffled_nouns

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import temporal_leaks

pytestmark = pytest.mark.torch

STEPS, CLIPS = 16, 600


def temporal_cases(steps=STEPS, clips=CLIPS):
    """Features by frame that know nothing of the clip, and some that do: name → (clips, steps, width)."""
    import torch

    torch.manual_seed(0)
    return temporal_leaks.features(steps, clips)


def temporal_term(clean, centres="clean_loo", **how):
    """The loss of clips that are blended as features, frame by frame."""
    import torch

    from whenwhere.training.pretrain.temporal_grouping import temporal_grouping_loss

    random = np.random.default_rng(0)
    masks = torch.tensor(np.stack([sample_mask(clean.shape[1], random) for _ in clean]))
    backgrounds = torch.tensor(random_derangement(len(clean), random))
    blended = torch.where(masks[..., None], clean, clean[backgrounds])
    return temporal_grouping_loss(blended, masks, clean, backgrounds, centres=centres, **how)


@pytest.mark.parametrize("steps", [4, 16])
def test_features_that_know_no_clip_are_at_chance_and_planted_ones_are_not(steps: int) -> None:
    for name, features in temporal_cases(steps, 2000 if steps == 4 else CLIPS).items():
        term = temporal_term(features)
        if "the clip" in name:
            assert term.accuracy > 0.9 and float(term.loss) < 0.1, name
        else:
            assert term.accuracy == pytest.approx(0.5, abs=0.02), name
            assert float(term.loss) >= 0.24, name


def test_the_other_centres_leak_as_they_are_named() -> None:
    """Random features solve `clean` and `masked_mean`; position and drift are far from chance under `loo`."""
    cases = temporal_cases()
    for centres in ("clean", "masked_mean"):
        assert temporal_term(cases["random for every frame"], centres).accuracy > 0.9
    assert temporal_term(cases["random for every frame"], "loo").accuracy == pytest.approx(0.5, abs=0.02)
    assert temporal_term(cases["shared drift"], "loo").accuracy > 0.7
    assert temporal_term(cases["position alone"], "masked_mean").accuracy > 0.9


def test_perfect_features_have_no_loss() -> None:
    import torch

    from whenwhere.training.pretrain.contrast import contrastive_loss
    from whenwhere.training.pretrain.noun_grounding import noun_grounding_loss

    each = torch.eye(6)
    contrast = contrastive_loss(each, each, 100.0)
    assert float(contrast.loss) < 1e-6 and contrast.accuracy == 1
    # two groups of each clip are the two nouns of its caption, the third is nothing's
    groups = torch.eye(18).view(6, 3, 18)
    grounding = noun_grounding_loss(groups, groups[:, :2], torch.ones(6, 2, dtype=torch.bool), tau_a=0.01, tau=0.01)
    assert grounding.loss is not None and float(grounding.loss) < 1e-6 and grounding.accuracy == 1
    for kind in ("mse", "bce"):
        term = temporal_term(torch.eye(6)[:, None].expand(-1, 4, -1), kind=kind, tau=0.05)
        assert float(term.loss) < 1e-6 and term.accuracy == 1


def test_an_undecided_answer_has_the_loss_of_a_coin() -> None:
    import torch

    term = temporal_term(torch.ones(8, 4, 3))
    assert float(term.loss) == pytest.approx(0.25) and term.accuracy == 0.5
    assert float(temporal_term(torch.ones(8, 4, 3), kind="bce").loss) == pytest.approx(math.log(2))


def test_masks_without_an_edge_are_skipped_and_counted() -> None:
    import torch

    from whenwhere.training.pretrain.temporal_grouping import temporal_grouping_loss

    torch.manual_seed(1)
    features, order = torch.randn(3, 4, 5), torch.tensor([1, 2, 0])
    masks = torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]], dtype=torch.bool)
    for centres in ("clean_loo", "clean", "loo", "masked_mean"):
        term = temporal_grouping_loss(features, masks, features, order, centres=centres)
        assert (term.steps, term.skipped) == (4, 2)
        one = temporal_grouping_loss(features, masks[:1].expand(3, -1), features, order, centres=centres)
        assert one.loss is None and one.total is None and one.skipped == 3 and math.isnan(one.accuracy)
    # a foreground of one step has no centre without that step
    thin = torch.tensor([[1, 0, 0, 0]] * 3, dtype=torch.bool)
    assert temporal_grouping_loss(features, thin, centres="loo").steps == 9
    with pytest.raises(SettingError, match="clips of two time steps or more"):
        temporal_grouping_loss(features[:, :1], masks[:, :1], features[:, :1], order)


def test_no_gradient_flows_into_a_centre_of_clean_clips() -> None:
    import torch

    from whenwhere.training.pretrain.temporal_grouping import temporal_grouping_loss

    blended = torch.randn(4, 6, 8, requires_grad=True)
    masks = torch.tensor(np.stack([sample_mask(6, np.random.default_rng(k)) for k in range(4)]))
    term = temporal_grouping_loss(blended, masks, torch.randn(4, 6, 8), torch.tensor([1, 2, 3, 0]))
    assert term.loss is not None
    term.loss.backward()
    assert blended.grad is not None and blended.grad.abs().sum() > 0


def test_equal_samples_share_the_probability() -> None:
    """Two copies of one sample: the loss by hand, and less than if each were the other's negative."""
    import torch

    from whenwhere.training.pretrain.contrast import contrastive_loss

    torch.manual_seed(0)
    clips, captions = torch.randn(3, 5), torch.randn(3, 5)
    captions[1], clips[1] = captions[0], clips[0]
    samples = torch.tensor([7, 7, 9])
    found = contrastive_loss(clips, captions, 4.0, samples=samples)
    cosines = torch.nn.functional.cosine_similarity(clips[:, None], captions[None], dim=-1)
    targets = torch.tensor([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]])
    rows = [-(targets * torch.log_softmax(4 * one, 1)).sum(1).mean() for one in (cosines, cosines.T)]
    assert float(found.loss) == pytest.approx(float(sum(rows)) / 2, rel=1e-5)
    assert contrastive_loss(torch.eye(2)[[0, 0, 1]], torch.eye(2)[[0, 0, 1]], 50.0, samples).accuracy == 1


def test_clips_of_one_video_can_be_left_out_of_the_negatives() -> None:
    """Leaving a pair out is the loss without it, with finite gradients; a clip's own caption always stays."""
    import torch

    from whenwhere.training.pretrain.contrast import contrastive_loss

    torch.manual_seed(0)
    clips, captions = torch.randn(4, 5, requires_grad=True), torch.randn(4, 5)
    videos = torch.tensor([0, 0, 1, 2])
    found = contrastive_loss(clips, captions, 3.0, videos=videos)
    assert found.left_out == 2
    cosines = 3 * torch.nn.functional.cosine_similarity(clips.detach()[:, None], captions[None], dim=-1)
    by_hand = 0.0
    for one in (cosines, cosines.T):
        for k in range(4):
            kept = [j for j in range(4) if j == k or videos[j] != videos[k]]
            by_hand += float(torch.logsumexp(one[k, kept], 0) - one[k, k]) / 8
    assert found.loss.item() == pytest.approx(by_hand, rel=1e-5)
    found.loss.backward()
    assert clips.grad is not None and bool(torch.isfinite(clips.grad).all())
    alone = contrastive_loss(clips, captions, 3.0, videos=torch.zeros(4))
    assert alone.loss.item() == 0 and alone.left_out == 12


def test_temperatures_are_bounded_from_below() -> None:
    import torch

    from whenwhere.training.pretrain.contrast import clamp_temperature

    scale = torch.nn.Parameter(torch.tensor([math.log(300.0), math.log(20.0)]))
    clamp_temperature(scale, 0.01)
    assert scale.exp().tolist() == pytest.approx([100, 20])


def test_nouns_look_for_groups() -> None:
    """One noun, three groups: the three aggregations by hand; nouns that are not there do not count."""
    import torch

    from whenwhere.training.pretrain.noun_grounding import noun_similarities

    groups = torch.tensor([[[1.0, 0], [0, 2], [-3, 0]]])
    nouns = torch.tensor([[[5.0, 0], [9, 9]]])
    valid = torch.tensor([[True, False]])
    weights = torch.softmax(torch.tensor([1.0, 0, -1]) / 0.5, 0)
    for how, expected in (("softmax", float(weights[0] - weights[2])), ("max", 1.0), ("mean", 0.0)):
        found = noun_similarities(groups, nouns, valid, how, 0.5)  # type: ignore[arg-type]
        assert float(found) == pytest.approx(expected, abs=1e-6), how
    sharp = noun_similarities(groups, nouns, valid, "softmax", 0.01)
    assert float(sharp) == pytest.approx(1, abs=1e-6)


def test_captions_without_nouns_leave_both_directions() -> None:
    import torch

    from whenwhere.training.pretrain.noun_grounding import noun_grounding_loss

    torch.manual_seed(0)
    groups, nouns = torch.randn(4, 3, 5), torch.randn(4, 2, 5)
    valid = torch.tensor([[True, True], [False, False], [True, False], [True, True]])
    kept = [0, 2, 3]
    with_it = noun_grounding_loss(groups, nouns, valid)
    without = noun_grounding_loss(groups[kept], nouns[kept], valid[kept])
    assert with_it.used == 3 and with_it.loss is not None and without.loss is not None
    assert float(with_it.loss) == pytest.approx(float(without.loss))
    for rows in (0, 1):
        none = noun_grounding_loss(groups, nouns, valid & (torch.arange(4)[:, None] < rows))
        assert none.loss is None and none.used == rows


def test_captions_that_share_a_noun_can_be_left_out() -> None:
    import torch

    from whenwhere.training.pretrain.noun_grounding import noun_grounding_loss, shared_nouns

    valid = torch.tensor([[True, True], [True, True], [True, False]])
    names = torch.tensor([[1, 2], [2, 3], [4, 1]])  # the last 1 is padding
    assert shared_nouns(names, valid).int().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    groups, nouns = torch.randn(3, 4, 5), torch.randn(3, 2, 5)
    found = noun_grounding_loss(groups, nouns, valid, names=names)
    plain = noun_grounding_loss(groups, nouns, valid)
    assert found.left_out == 2 and plain.left_out == 0
    assert found.loss is not None and plain.loss is not None and float(found.loss) < float(plain.loss)


def test_shuffled_nouns_are_never_a_captions_own() -> None:
    nouns = [("a",), ("b", "c"), (), ("d",)]
    for seed in range(20):
        found = shuffled_nouns(nouns, np.random.default_rng(seed))
        assert sorted(found) == sorted(nouns) and all(a != b for a, b in zip(found, nouns, strict=True))


@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_permutations_have_no_fixed_point(size: int, seed: int) -> None:
    order = random_derangement(size, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(size)) and not (order == np.arange(size)).any()


def test_all_permutations_without_fixed_points_are_drawn_equally_often() -> None:
    random = np.random.default_rng(0)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(9000):
        order = tuple(random_derangement(4, random).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 9 and min(counts.values()) > 870 and max(counts.values()) < 1130


@given(st.integers(2, 33), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_masks_are_one_stretch_of_half_or_more(steps: int, seed: int) -> None:
    mask = sample_mask(steps, np.random.default_rng(seed))
    assert steps / 2 <= mask.sum() < steps
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    assert len(edges) == 2 and edges[1] - edges[0] == mask.sum()


def test_every_step_is_sometimes_foreground_and_sometimes_not() -> None:
    random = np.random.default_rng(0)
    share = np.mean([sample_mask(8, random) for _ in range(4000)], axis=0)
    assert share.min() > 0.25 and share.max() < 1
    np.testing.assert_allclose(share, share[::-1], atol=0.04)


@pytest.mark.parametrize("tubelet", [1, 2])
def test_what_is_pasted_is_the_foreground_and_the_rest_the_background(tubelet: int) -> None:
    frames = np.stack([np.full((8, 2, 3, 3), 10 * k, np.uint8) for k in range(5)])
    blended = cut_and_paste(frames, tubelet, np.random.default_rng(3))
    assert blended.masks.shape == (5, 8 // tubelet)
    for k, (mask, background) in enumerate(zip(blended.masks, blended.backgrounds, strict=True)):
        expected = np.where(np.repeat(mask, tubelet), 10 * k, 10 * background)
        assert (blended.frames[k] == expected[:, None, None, None]).all() and background != k
    again = cut_and_paste(frames, tubelet, np.random.default_rng(3))
    np.testing.assert_array_equal(again.frames, blended.frames)


def test_edges_can_fade() -> None:
    frames = np.stack([np.full((8, 1, 1, 3), v, np.uint8) for v in (0, 240)])
    hard, soft = (cut_and_paste(frames, 1, np.random.default_rng(1), crossfade=k) for k in (0, 2))
    np.testing.assert_array_equal(hard.masks, soft.masks)
    assert set(np.unique(hard.frames)) == {0, 240} and len(np.unique(soft.frames)) > 2
    weights = fade(hard.masks, 2)
    # away from edges nothing changes, and a foreground keeps most of its own frames' weight
    assert (weights[hard.masks] > 0.5).all() and (weights[~hard.masks] < 0.5).all()


def test_a_batch_of_one_is_refused_in_a_sentence() -> None:
    frames = np.zeros((1, 4, 2, 2, 3), np.uint8)
    with pytest.raises(SettingError, match=r"cut-and-paste pastes clips .* the batch has 1: set batch to 2 or more"):
        cut_and_paste(frames, 1, np.random.default_rng(0))
    with pytest.raises(SettingError, match="nouns are shuffled among captions, and the batch has 1"):
        shuffled_nouns([("a",)], np.random.default_rng(0))
    with pytest.raises(SettingError, match=r"two time steps or more, and clips have 1: raise frames or lower tubelet"):
        cut_and_paste(np.zeros((2, 4, 2, 2, 3), np.uint8), 4, np.random.default_rng(0))

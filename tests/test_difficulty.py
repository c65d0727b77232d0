"""Difficulty: selectors against their sources, files that are never mixed, curricula that a resumed run sees again."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.curate import selection
from whenwhere.curate.difficulty import Difficulty, of_items, read, summary
from whenwhere.datasets import BENCHMARKS
from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import RecordError, SettingError
from whenwhere.spans import SpanSet
from whenwhere.training.data.curriculum import Curriculum, CurriculumSettings, masked
from whenwhere.training.data.difficulty import DifficultySampling, score_name
from whenwhere.training.data.samples import OrderedSource, Question, Sample
from whenwhere.verify import Truth, Verifier

# selectors


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=60),
    st.sampled_from(["all", "random", "spread", "gaussian", "variance"]),
    st.integers(1, 70),
    st.integers(0, 5),
    st.booleans(),
)
def test_choices_are_subsets_without_repeats(
    values: list[float], selector: Any, count: int, seed: int, strata: bool
) -> None:
    difficulty = np.array(values)
    std = 0.1 + difficulty / 2
    labels = np.arange(len(values)) % 3 if strata else None
    chosen = selection.select(difficulty, std, seed, selector=selector, count=count, labels=labels)
    assert list(chosen) == sorted(set(chosen.tolist()))
    assert set(chosen.tolist()) <= set(range(len(values)))
    if not strata:
        assert len(chosen) == min(count, len(values))
    again = selection.select(difficulty, std, seed, selector=selector, count=count, labels=labels)
    assert again.tolist() == chosen.tolist()


def test_window_is_time_r1s() -> None:
    """Keep 0 < t_IoU ≤ .7, with values as files round them."""
    iou = np.array([0.0, 0.01, 0.3, 0.7, 0.700001, 1.0])
    assert selection.in_window(1 - iou, 0.3, 1.0).tolist() == [1, 2, 3]


def test_gaussian_draws_by_its_weights() -> None:
    """The first draw of many seeds follows the weights; all draws together those without replacement."""
    difficulty = np.array([0.1, 0.5, 0.9])
    weights = np.exp(-0.5 * ((difficulty - 0.6) / 0.3) ** 2)
    counts = np.zeros(3)
    for seed in range(3000):
        counts[selection.gaussian(difficulty, 1, seed, 0.6, 0.3)] += 1
    np.testing.assert_allclose(counts / 3000, weights / weights.sum(), atol=0.03)


def test_corrected_gaussian_follows_the_gaussian_whatever_the_set_is() -> None:
    """TimeLens: of a set that is mostly hard, what is chosen has its centre at μ; without correction it has not."""
    rng = np.random.default_rng(0)
    difficulty = np.clip(rng.beta(4, 1.2, 40_000), 0, 1)
    plain = difficulty[selection.gaussian(difficulty, 1500, 0, 0.4, 0.1)]
    corrected = difficulty[selection.gaussian(difficulty, 1500, 0, 0.4, 0.1, corrected=True)]
    # without replacement, the few easy ones are used up
    assert abs(corrected.mean() - 0.4) < 0.02 and plain.mean() - 0.4 > 0.06
    np.testing.assert_allclose(corrected.std(), 0.1, atol=0.012)


def test_far_weights_are_not_rounded_away() -> None:
    """A Gaussian that no difficulty lies near still chooses, the nearest first."""
    difficulty = np.array([0.0, 0.1, 0.9, 1.0])
    assert selection.gaussian(difficulty, 2, 0, 0.0, 0.001).tolist() == [0, 1]


def test_spread_covers_the_range() -> None:
    difficulty = np.random.default_rng(1).random(101)
    chosen = np.sort(difficulty[selection.spread(difficulty, 5)])
    np.testing.assert_array_equal(chosen, np.sort(difficulty)[[0, 25, 50, 75, 100]])


def test_variance_needs_draws() -> None:
    std = np.array([0.0, 0.4, 0.1])
    chosen = selection.select(np.full(3, 0.5), std, 0, selector="variance", count=1)
    assert chosen.tolist() == [1]
    with pytest.raises(SettingError, match="one greedy answer"):
        selection.select(np.full(3, 0.5), std * 0, 0, selector="variance", count=1)


def test_strata_give_the_same_number_each() -> None:
    """A selector of difficulty must not become one of lengths: short videos are hard here, and many."""
    durations = np.array([10.0] * 90 + [100.0] * 10)
    difficulty = np.where(durations < 50, 0.9, 0.2)
    labels = selection.strata(durations, [30, 60])
    chosen = selection.select(
        difficulty, difficulty * 0, 0, selector="gaussian", mu=0.9, sigma=0.05, count=12, labels=labels
    )
    assert (durations[chosen] > 50).sum() == 6
    # a stratum with fewer gives what it has
    assert len(selection.select(difficulty, difficulty * 0, 0, selector="random", count=60, labels=labels)) == 40


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(SettingError, match=r"from 0\.95 to 1: they lie between 0\.5 and 0\.5"):
        selection.select(np.full(3, 0.5), np.zeros(3), 0, low=0.95, high=1.0)


# files


def line(name: str, **others: Any) -> str:
    return Difficulty(**({"id": name, "sample": "s", "number": 0, "of": 1, "difficulty": 0.5} | others)).line()


def test_files_are_read_and_not_mixed(tmp_path: Path) -> None:
    file = tmp_path / "d.jsonl"
    file.write_text(f"{line('a')}\n{line('b', difficulty=1.0)}\n" + line("c")[:30])
    found = read(file)
    assert {k: d.difficulty for k, d in found.items()} == {"a": 0.5, "b": 1.0}
    assert summary(found)["deciles"][-1] == 1.0 and summary(found)["wrong"] == 0.5
    for key, value in (("score", "v_iou"), ("policy", "other"), ("recipe", "x"), ("draws", 8)):
        file.write_text(f"{line('a')}\n{line('b', **{key: value})}\n")
        with pytest.raises(RecordError, match=f"mixes difficulties: {key} is"):
            read(file)
    file.write_text('{"id": "a"}\n')
    with pytest.raises(RecordError, match="is not a difficulty"):
        read(file)
    with pytest.raises(RecordError, match="whenwhere data difficulty"):
        read(tmp_path / "gone.jsonl")


def test_score_names() -> None:
    assert score_name(Verifier({"t_iou": 2, "v_iou": 2, "f1": 0})) == score_name(Verifier({"v_iou": 1, "t_iou": 1}))
    assert score_name(Verifier({"t_iou": 1})) != score_name(Verifier({"boundary_iou": 1}))


def test_time_r1s_field_is_inverted(tmp_path: Path) -> None:
    """Its `difficulty` of 90 is a t_IoU of .9: easy."""
    entry = {
        "qid": "1|didemo|x",
        "video": "a.mp4",
        "duration": 20,
        "timestamp": [1, 3],
        "sentence": "s",
        "pred": [1, 3],
    }
    file = tmp_path / "train.json"
    file.write_text(json.dumps([entry | {"difficulty": 90}, entry | {"qid": "2|didemo|x", "difficulty": 0}]))
    found = of_items(BENCHMARKS["time-r1"].read(file))
    assert [d.difficulty for d in found.values()] == [pytest.approx(0.1), 1.0]
    assert [d.fraction for d in found.values()] == [0.1, 0.1]
    items = [Item("a", "v", "q", span_array([(0, 1)]), difficulty=0.5, difficulty_of=name) for name in ("x", "y")]
    with pytest.raises(RecordError, match="different scores do not mix: x and y"):
        of_items(items)
    with pytest.raises(RecordError, match="has no difficulty"):
        of_items([Item("a", "v", "q")])


def test_one_draw_is_no_measure() -> None:
    with pytest.raises(SettingError, match="at least 2 draws"):
        DifficultySampling(draws=1)


# curricula


class Clips:
    """Ten clips of ten seconds with two questions each."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Sample:
        images = np.full((20, 4, 4, 3), 10 * index, np.uint8)
        images[::2] += 100
        spans = SpanSet([(2.0, 4.0)])
        questions = tuple(Question(f"{index}/{k}", "q", Truth(spans, duration=10.0)) for k in range(2))
        return Sample(f"clip-{index}", images, np.arange(20) / 2, questions)


def measured(hardness: Mapping[int, float] | None = None) -> dict[str, Difficulty]:
    """Clip n has the difficulty n / 10, its second question a little more."""
    found = {}
    for n in range(10):
        for k in range(2):
            value = (hardness or {}).get(n, n / 10) + 0.01 * k
            one = Difficulty(f"{n}/{k}", f"clip-{n}", n, 2, value, 0.1, duration=10.0 + n, fraction=0.2)
            found[one.id] = one
    return found


def names(course: OrderedSource, places: range, of: int | None = None) -> list[str]:
    total = of or len(places)
    return [course.at(place, place / total).id for place in places]


def test_static_chooses_questions_and_reads_them_again_and_again() -> None:
    course = Curriculum(Clips(), CurriculumSettings(low=0.3, high=0.505), measured(), 0)
    assert isinstance(course, OrderedSource)
    assert course.questions == ["3/0", "3/1", "4/0", "4/1", "5/0"]
    first, second = names(course, range(3)), names(course, range(3, 6))
    assert sorted(first) == sorted(second) == ["clip-3", "clip-4", "clip-5"]
    assert [q.id for q in course[2].questions] == ["5/0"] and len(course) == 3
    again = Curriculum(Clips(), CurriculumSettings(low=0.3, high=0.505), measured(), 0)
    assert names(again, range(6)) == first + second


def test_easy_to_hard_widens() -> None:
    course = Curriculum(Clips(), CurriculumSettings(schedule="easy-to-hard", begin=0.2), measured(), 3)
    seen = [int(name.split("-")[1]) for name in names(course, range(400))]
    assert set(seen[:8]) == {0, 1} and set(seen[-40:]) == set(range(10))
    hardest = [max(seen[: k + 1]) for k in range(400)]
    share = math.sqrt(0.25 * (1 - 0.04) + 0.04)
    assert hardest[100] < round(10 * share) <= hardest[-1]


def test_rescored_measures_anew_with_each_epoch() -> None:
    asked: list[int] = []

    def measure(epoch: int) -> dict[str, Difficulty]:
        asked.append(epoch)
        return measured(dict.fromkeys(range(epoch, 10), 0.0))  # the policy learns from behind

    own = CurriculumSettings(schedule="rescored", low=0.005)
    course = Curriculum(Clips(), own, measured(), 0, measure)
    assert len(course) == 10  # question 0/0 alone is left out
    first = names(course, range(10))
    assert sorted(first) == [f"clip-{n}" for n in range(10)] and asked == []
    second = names(course, range(10, 20))
    assert asked == [1] and sorted(second) == sorted(first)
    # another process that resumes in the second epoch asks for it and sees the same
    other = Curriculum(Clips(), own, measured(), 0, measure)
    assert names(other, range(14, 20)) == second[4:] and asked == [1, 1]


def test_masking_hides_what_is_outside_less_and_less() -> None:
    clips = Clips()
    course = Curriculum(clips, CurriculumSettings(schedule="masked", hard=0.5, masked=0.75), measured(), 0)
    hidden: dict[float, set[int]] = {}
    for progress in (0.0, 0.5, 1.0):
        for place in range(10):
            sample = course.at(place, progress)
            n = int(sample.id.split("-")[1])
            changed = set(np.flatnonzero((sample.images != clips[n].images).any((1, 2, 3))).tolist())
            inside = (sample.times >= 2) & (sample.times < 4)
            assert not changed & set(np.flatnonzero(inside).tolist())
            assert len(changed) == (0 if n < 5 else round(0.75 * (1 - progress) * 16))
            if n == 7:
                hidden[progress] = changed
    assert hidden[1.0] < hidden[0.5] < hidden[0.0]
    same = clips[3]
    assert masked(same, 0.0, 0) is same


def test_strata_of_what_is_not_known() -> None:
    found = measured()
    found["3/0"] = Difficulty("3/0", "clip-3", 3, 2, 0.3)
    with pytest.raises(SettingError, match="duration_edges need the duration of every question, and '3/0' has none"):
        Curriculum(Clips(), CurriculumSettings(count=2, duration_edges=(12.0,)), found, 0)
    with pytest.raises(SettingError, match="belongs to no sample"):
        Curriculum(Clips(), CurriculumSettings(), {"x": Difficulty("x", "v", None, 1, 0.5)}, 0)
    own = CurriculumSettings(selector="random", count=8, duration_edges=(18.0,), fraction_edges=(0.1,))
    chosen = Curriculum(Clips(), own, measured(), 0).questions
    assert len([q for q in chosen if q[0] in "89"]) == 4


# measuring


@pytest.fixture
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.torch
def test_measuring(tmp_path: Path, one_thread: None) -> None:
    """A policy that only says "it is not there" finds what is not there easy; measuring continues where it stopped."""
    import torch

    from whenwhere.training import builders
    from whenwhere.training.data import difficulty
    from whenwhere.training.recipe import load

    recipe = load(
        "tiny-rl",
        ["checkpoint=tiny-new", "hidden=32", "layers=1", "mlp=1", "vision_hidden=32", "vision_layers=1", "deepstack=[]",
         "world.seconds=[4, 4]", "data.count=4", "max_completion_length=4"],
    )  # fmt: skip
    verifier = recipe.reward.verifier(recipe.model.form)
    policy = builders.open_policy(recipe, builders.open_checkpoint(recipe, tmp_path / "start", "cpu"))
    source = builders.open_source(recipe)
    none = policy.checkpoint.tokenizer.convert_tokens_to_ids("<none>")

    class Says(torch.nn.Module):
        weight = policy.parts.lm_head.weight

        def forward(self, hidden: Any) -> Any:
            logits = torch.zeros(*hidden.shape[:-1], len(policy.checkpoint.tokenizer))
            logits[..., none] = 100.0
            return logits

    policy.parts.lm_head = Says()
    file = tmp_path / "d.jsonl"
    told: list[tuple[int, int]] = []
    known = difficulty.measure(
        policy,
        source,
        verifier,
        DifficultySampling(max_tokens=1),
        file,
        name="p",
        tell=lambda *n: told.append(n),
    )
    absent = {q.id: not q.truth.spans for n in range(4) for q in source[n].questions}
    assert {name: d.difficulty for name, d in known.items()} == {name: 0.0 if a else 1.0 for name, a in absent.items()}
    assert any(absent.values()) and told[-1] == (4, 4) and summary(known)["flops"] > 1e6
    whole = file.read_text()
    assert read(file) == known and next(iter(known.values())).score == "0.5 t_iou + 0.5 v_iou"
    # torn in the middle of a sample: only that sample and those after it are asked again, and no line stands twice
    file.write_text("\n".join(whole.splitlines()[:7]) + "\n" + whole.splitlines()[7][:40])
    difficulty.measure(policy, source, verifier, DifficultySampling(max_tokens=1), file, name="p")
    assert sorted(whole.splitlines()) == sorted(
        text for text in file.read_text().splitlines() if text.endswith("}") and text.startswith("{")
    )
    (tmp_path / "torn.jsonl").write_text(whole[:30])
    torn = difficulty.measure(
        policy,
        source,
        verifier,
        DifficultySampling(max_tokens=1),
        tmp_path / "torn.jsonl",
        name="p",
    )
    assert torn == known
    with pytest.raises(RecordError, match="mixes difficulties: score"):
        difficulty.measure(
            policy, source, Verifier({"t_iou": 1}, form="tokens"), DifficultySampling(max_tokens=1), file, name="p"
        )
    drawn = difficulty.measure(
        policy,
        source,
        verifier,
        DifficultySampling(2, max_tokens=1),
        tmp_path / "e.jsonl",
        name="p",
    )
    assert {d.draws for d in drawn.values()} == {2}

"""Curation: each filter and selector is one function in one table; a new one is added by one step."""

from dataclasses import dataclass

import numpy as np
import pytest

from whenwhere.curate.filters import FILTERS, FilterSettings, filter_items
from whenwhere.curate.selection import SELECTORS, select
from whenwhere.datasets.item import Item, span_array

ITEMS = [
    Item("short", "a.mp4", "a dog", span_array([(0, 1)]), duration=3.0),
    Item("long", "b.mp4", "a dog", span_array([(0, 1)]), duration=300.0),
    Item("wordy", "c.mp4", "a dog runs over the whole field?", span_array([(0, 1)]), duration=20.0),
    Item("heard", "d.mp4", "a bark is heard", span_array([(0, 1)]), duration=20.0),
    Item("outside", "e.mp4", "a dog", span_array([(10, 21)]), duration=20.0),
    Item("whole", "f.mp4", "a dog", span_array([(0, 19)]), duration=20.0),
    Item("invalid", "g.mp4", "a dog", span_array([(2, 1)]), duration=20.0, status="invalid"),
    Item("good", "h.mp4", "a dog", span_array([(2, 4)]), duration=20.0),
    Item("second", "h.mp4", "a cat", span_array([(3, 5)]), duration=20.0),
]  # fmt: skip


def test_every_filter_leaves_out_what_it_should() -> None:
    limits = FilterSettings(
        min_duration=5, max_duration=100, max_words=5, audible=False, inside=True, max_fraction=0.6, one_per_video=True
    )
    kept, left_out = filter_items(ITEMS, limits)
    assert [item.id for item in kept] == ["good"]
    assert left_out == {
        "video too short": 1, "video too long": 1, "too many words": 1, "about what is heard": 1,
        "span outside the video": 1, "event too long a part of the video": 1, "invalid in the release": 1,
        "a further sentence of the same video": 1,
    }  # fmt: skip
    # the limits of the other filters leave out nothing unless they are set (tests/test_curation.py sets them)
    assert len(left_out) < len(FILTERS)


def test_by_default_only_invalid_items_are_left_out() -> None:
    kept, left_out = filter_items(ITEMS, FilterSettings())
    assert len(kept) == len(ITEMS) - 1 and left_out == {"invalid in the release": 1}


def test_a_filter_is_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """As CONTRIBUTING says: a function in `FILTERS`, and a field for its limit."""

    @dataclass(frozen=True)
    class Settings(FilterSettings):
        word: str = ""

    def without_word(item: Item, limits: FilterSettings, seen: object) -> str | None:
        word = getattr(limits, "word", "")
        return f"does not say {word}" if word and word not in item.query else None

    monkeypatch.setattr("whenwhere.curate.filters.FILTERS", [*FILTERS, without_word])
    kept, left_out = filter_items(ITEMS, Settings(word="cat"))
    assert [item.id for item in kept] == ["second"] and left_out["does not say cat"] == 7


def test_a_selector_is_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """As CONTRIBUTING says: a function in `SELECTORS`; a recipe can name it at once."""
    from whenwhere.training.recipe import load

    def hardest(own: object, chosen: int, seed: int) -> np.ndarray:
        return np.sort(np.argsort(-own.difficulty, kind="stable")[:chosen])  # type: ignore[attr-defined]

    monkeypatch.setitem(SELECTORS, "hardest", hardest)
    difficulty = np.array([0.1, 0.9, 0.4, 0.8])
    assert select(difficulty, difficulty * 0, 0, selector="hardest", count=2).tolist() == [1, 3]
    assert load("tiny-rl", ["selector=hardest"]).curriculum.selector == "hardest"

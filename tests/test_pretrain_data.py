"""Captioned clips for pre-training: the table [data] and its sources."""

import numpy as np
import pytest

from whenwhere.errors import SettingError
from whenwhere.training.pretrain.data import PretrainDataSettings, open_clips
from whenwhere.training.tables import checked


def test_shapes_come_at_the_encoders_size_and_again_the_same() -> None:
    table = checked(PretrainDataSettings, {"count": 3, "corpus": "varied", "world": {"objects": [3, 5]}}, "[data]")
    source = open_clips(table, frames=8, side=32)
    first = source[1]
    assert len(source) == 3 and first.frames.shape == (8, 32, 32, 3) and first.frames.dtype == np.uint8
    assert set(first.caption.split()) <= set(source.words) and len(first.nouns) == 3
    # the number of a later epoch
    assert np.array_equal(source[4].frames, first.frames) and source[4].id == first.id


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "count"),
        ({"count": 1, "kind": "shape"}, "did you mean shapes"),
        ({"count": 1, "corpus": "variety"}, "did you mean varied"),
        ({"count": 1, "world": {"object": 3}}, "no key 'object'"),
        ({"count": 1, "world": {"objects": [9, 3]}}, "smaller number"),
    ],
)
def test_a_wrong_table_is_refused_in_one_sentence(table: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        checked(PretrainDataSettings, table, "[data]")

"""The video and text encoders: shapes, masking, groups, what is saved, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from whenwhere.models.encoders.config import EncoderConfig, Masking, TextConfig, VideoConfig

if TYPE_CHECKING:
    from whenwhere.models.encoders.model import VideoTextModel

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

SIZES = {"image_size": 16, "frames": 4, "patch": 8, "tubelet": 2, "width": 16, "layers": 4, "heads": 2, "output": 12}
VIDEO = VideoConfig(**SIZES, group_tokens=3, group_layers=(2, 4))
TEXT = TextConfig(width=16, layers=2, heads=2, output=12, context=6)
WORDS = ["a red square moves left", "a blue circle"]


def model_of(**changes: object) -> "VideoTextModel":
    from whenwhere.models.encoders.model import VideoTextModel

    torch.manual_seed(0)
    return VideoTextModel.from_words(EncoderConfig(replace(VIDEO, **changes), TEXT), WORDS)


def test_a_saved_model_gives_the_same_embeddings(tmp_path: Path) -> None:
    from whenwhere.models.encoders.model import VideoTextModel

    model = model_of().eval()
    clips = torch.randn(2, 4, 3, 16, 16)
    loaded = VideoTextModel.load(model.save(tmp_path / "saved"))
    assert loaded.config == model.config
    assert torch.equal(loaded.video(clips).pooled, model.video(clips).pooled)
    tokens = loaded.text.tokenize(["a red square, moves!", "A green circle moves left and left and left"])
    assert torch.equal(loaded.text(**tokens), model.text(**tokens))


@pytest.mark.parametrize("kind, kept", [("random", 4), ("tube", 4), ("frame", 4)])
def test_shapes_with_masking(kind: str, kept: int) -> None:
    model = model_of().train()
    out = model.video(torch.randn(5, 4, 3, 16, 16), Masking(kind, 0.5))
    assert out.pooled.shape == (5, 12) and out.tokens.shape == (5, kept, 16) and out.positions.shape == (5, kept, 3)
    assert out.frames.shape == (5, 2, 12) and out.groups.shape == (5, 3, 12)
    assert [a.shape for a in out.assignments] == [(5, 3, kept)] * 2

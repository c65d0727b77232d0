"""The whole pipeline with checkpoints in this process: tiny models of the real classes, answers held to the schema.

What a random model says means nothing; that it is asked, read, counted, kept and planned for is what is tested here.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import whenwhere
from whenwhere.answers import parse
from whenwhere.records import Grounding
from whenwhere.settings import GroundingSettings
from whenwhere.spans import Span
from whenwhere.video import FrameWriter

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "short.mp4"
    rng = np.random.default_rng(0)
    with FrameWriter(path, 64, 64, 10) as writer:
        for _ in range(20):
            writer.write(np.kron(rng.integers(0, 255, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8))
    return path


@pytest.mark.parametrize(("family", "span"), [("qwen3_vl", None), ("qwen2_5_vl", (0.5, 1.9))])
def test_from_a_folder_to_a_record(family: str, span: tuple[float, float] | None, clip: Path, tmp_path: Path) -> None:
    import torch
    from tiny_models import save

    torch.set_num_threads(1)
    save(family, tmp_path / family)
    with whenwhere.open(clip, str(tmp_path / family), cache=tmp_path / "cache", device="cpu") as video:
        planned = video.estimate(GroundingSettings(sample_fps=2, span=span and Span(*span)), "a red thing")
        record = video.ground("a red thing", sample_fps=2, span=span, trace=True).record
        again = video.ground("a red thing", sample_fps=2, span=span).record
    assert Grounding.from_json(record.to_json()) == record and record.raw is not None
    assert record.cost.calls == len(record.raw) and record.cost.output_tokens > 0 and record.cost.peak_memory == 0
    first = record.raw[0]
    step = planned["steps"][first["step"]]
    assert step["frames"] == first["frames"] == 4
    # the plan asks the family's own processor; only the digits of the stamps are not known to it
    assert step["prompt_tokens"] == pytest.approx(first["prompt_tokens"], rel=0.1)
    about_time = [c for c in record.raw if c["step"] in ("when", "refine") and c["finish"] == "stop"]
    assert all(parse(c["text"], "strict", "spans").status != "unparsed" for c in about_time)
    assert all(0 <= s.start < s.end <= 2.0 for s in record.spans)
    steps = {call["step"] for call in record.raw}
    assert steps == ({"which", "where"} if span else {"when"}) or {"when", "refine", "which", "where"} == steps
    if span is not None:
        assert record.status == "answered" and [(s.start, s.end) for s in record.spans] == [span]
    assert again.cost.calls == 0 and (again.spans, again.tubes) == (record.spans, record.tubes)


def test_a_small_context_is_kept_to(tmp_path: Path) -> None:
    """Families with room for a few thousand tokens are shown less at a time, not cut off."""
    from tiny_models import save

    import whenwhere
    from whenwhere.grounders.pipelines import build_pipeline
    from whenwhere.grounders.second_level import SecondLevel

    backend = whenwhere.load_model(str(save("qwen3_vl", tmp_path / "m")), cache=tmp_path, device="cpu")
    assert backend.context_length == 32768
    made = build_pipeline("second-level", backend)
    assert isinstance(made, SecondLevel) and made.sampling.tokens == 16_000
    backend.checkpoint.config.get_text_config().max_position_embeddings = 4096  # type: ignore[attr-defined]
    made = build_pipeline("second-level", backend)
    assert isinstance(made, SecondLevel) and made.sampling.tokens == 2867

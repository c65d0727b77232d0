"""Every dialect can be asked, is found by its names, and names the sources of its statements."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from whenwhere.answers import FORMS, TimedPoint
from whenwhere.answers.dialects import DIALECTS, Dialect, dialect_for, point_boxes
from whenwhere.answers.dialects.plain import PLAIN
from whenwhere.errors import ModelError
from whenwhere.models.frames import check_positions, check_stamps, check_words, lay_out, shrink_frames

EVERY = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda d: d.name)
QUERY = 'a {dog} with "quotes" and 50 %'


@EVERY
def test_its_words_hold_what_is_asked(dialect: Dialect) -> None:
    when = dialect.ask_when(QUERY, 12.34)
    assert QUERY in when
    assert "{{" not in when
    if dialect.joint:
        assert dialect.spans_form == dialect.boxes_form and FORMS[dialect.spans_form].spans is None
        return
    assert "12.3" in when
    assert QUERY in dialect.ask_which(QUERY)
    assert "{{" not in dialect.ask_which(QUERY)
    if dialect.boxes_form:
        where = dialect.ask_where(QUERY, "the left one", [1.0, 2.5])
        assert QUERY in where
        assert "the left one" in where
        assert "1.0, 2.5" in where
        assert "{{" not in where
    else:
        assert dialect.coordinates is None


@EVERY
def test_it_is_consistent(dialect: Dialect) -> None:
    assert dialect.spans_form in FORMS
    if dialect.boxes_form:
        assert FORMS[dialect.boxes_form].coordinates == dialect.coordinates
        assert ("points" in FORMS[dialect.boxes_form].holds) == dialect.points
    assert dialect.source
    assert dialect.verified == "", "a name of weights needs a run that shows it"
    assert (dialect.time == "stamps") == bool(dialect.stamp)
    assert dialect.merge in (1, 2)


@EVERY
def test_it_is_found_by_its_names(dialect: Dialect) -> None:
    assert dialect_for(dialect.name) is dialect
    assert all(dialect_for(kind) is dialect for kind in dialect.model_types)
    assert all(dialect_for(f"some/{part.upper()}-7B") is dialect for part in dialect.names)


def test_names_of_released_checkpoints() -> None:
    found = {
        name: dialect_for(name).name
        for name in (
            "Qwen/Qwen3-VL-8B-Instruct", "Qwen/Qwen3-VL-30B-A3B-Thinking", "Qwen/Qwen3.5-27B", "Qwen/Qwen3.6-35B-A3B",
            "Qwen/Qwen2.5-VL-72B-Instruct-AWQ", "OpenGVLab/InternVL3_5-8B-HF", "OpenGVLab/InternVL3-1B-hf",
            "zai-org/GLM-4.1V-9B-Thinking", "zai-org/GLM-4.5V-FP8", "zai-org/GLM-4.6V", "lkhl/VideoLLaMA3-2B-Image-HF",
            "llava-hf/LLaVA-NeXT-Video-7B-hf", "llava-hf/llava-onevision-qwen2-7b-ov-hf", "allenai/Molmo2-8B",
            "google/gemma-4-12b-it",
        )
    }  # fmt: skip
    assert list(found.values()) == [
        "qwen3-vl", "qwen3-vl", "qwen3.5", "qwen3.5", "qwen2.5-vl", "internvl3.5", "internvl3.5", "glm-4.5v",
        "glm-4.5v", "glm-4.6v", "videollama3", "llava-next-video", "llava-onevision", "molmo2", "plain",
    ]  # fmt: skip


def test_a_dialect_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    new = replace(PLAIN, name="new", model_types=("new_vl",), names=("new-vl",), coordinates="pixels")
    assert dialect_for("Nobody/New-VL-7B") is PLAIN
    monkeypatch.setitem(DIALECTS, new.name, new)
    assert [dialect_for(name) for name in ("new", "new_vl", "http://host/v1#Nobody/New-VL-7B")] == [new] * 3


def test_points_become_small_boxes() -> None:
    boxes = point_boxes([TimedPoint(1.0, (10.0, 500.0), "dog", "2")], side=20)
    assert boxes[0].box == (0.0, 490.0, 20.0, 510.0)
    assert (boxes[0].time, boxes[0].label, boxes[0].id) == (1.0, "dog", "2")


IMAGES = np.random.default_rng(0).integers(0, 255, (5, 8, 12, 3), dtype=np.uint8)
TIMES = np.array([0.0, 1.0, 2.04, 3.0, 4.0])


def test_pairs_are_filled_up_and_dated_by_their_means() -> None:
    layout = lay_out(IMAGES, TIMES, "when?", DIALECTS["qwen3-vl"], "pairs")
    assert layout.video is not None
    assert layout.metadata is not None
    assert layout.video.shape[0] == 6
    assert np.allclose(layout.times, [0.5, 2.52, 4.0])
    assert layout.metadata["frames_indices"] == [0, 1000, 2040, 3000, 4000, 4000]
    assert layout.metadata["fps"] == 1000


def test_repeat_dates_each_frame_by_itself() -> None:
    layout = lay_out(IMAGES, TIMES, "when?", DIALECTS["qwen3-vl"], "repeat")
    assert layout.video is not None
    assert layout.video.shape[0] == 10
    assert np.allclose(layout.times, TIMES)


def test_pictures_have_their_times_before_them() -> None:
    layout = lay_out(IMAGES, TIMES, "when?", PLAIN, "images")
    assert [c.get("text", "picture") for c in layout.content] == [
        "<0.0 seconds>", "picture", "<1.0 seconds>", "picture", "<2.0 seconds>", "picture", "<3.0 seconds>", "picture",
        "<4.0 seconds>", "picture", "when?",
    ]  # fmt: skip


def test_families_that_are_told_no_time_are_told_it_in_words() -> None:
    layout = lay_out(IMAGES, TIMES + 60, "when?", DIALECTS["llava-next-video"], "pairs")
    assert layout.content[-1]["text"].endswith("located at 60.00s,61.00s,62.04s,63.00s,64.00s.\nwhen?")


@pytest.mark.parametrize(
    ("stamps", "fine"),
    [
        (["0.5", "2.5", "4.0"], True), (["0.5", "2.6", "4.0"], False), (["0.5", "2.5"], False),
        (["0.0", "2.0", "4.0"], False), (["0.5", "2.5", "4.0", "5.0"], False),
    ],
)  # fmt: skip
def test_stamps_that_are_not_the_true_times_are_found(stamps: list[str], fine: bool) -> None:
    dialect = DIALECTS["qwen3-vl"]
    layout = lay_out(IMAGES, TIMES, "from <9.0 seconds> on?", dialect, "pairs")
    text = "from <9.0 seconds> on?" + "".join(f"<{s} seconds><|vision_start|><|video_pad|>" for s in stamps)
    if fine:
        check_stamps(text, layout, dialect, "<|video_pad|>", "<|image_pad|>")
    else:
        with pytest.raises(ModelError, match=r"the prompt (says|dates)"):
            check_stamps(text, layout, dialect, "<|video_pad|>", "<|image_pad|>")


@pytest.mark.parametrize(
    ("times", "step", "fine"),
    [
        ([0, 1, 2, 3], 1.0, True), ([5, 6, 7, 8], 1.0, True), ([0, 1.03, 1.98, 3], 1.0, True),
        ([0, 1, 5, 6], 2.0, False), ([0, 1, 2, 3], 2.0, False), ([0, 0.2, 0.4, 0.6], 0.2, False),
    ],
)  # fmt: skip
def test_positions_that_are_not_the_true_times_are_found(times: list[float], step: float, fine: bool) -> None:
    layout = lay_out(IMAGES[:4], np.array(times, dtype=float), "?", DIALECTS["qwen2.5-vl"], "repeat")
    if fine:
        check_positions(layout, step, 2.0)
    else:
        with pytest.raises(ModelError, match="cannot be told by position"):
            check_positions(layout, step, 2.0)


def test_templates_that_lose_words_or_pictures_are_found() -> None:
    layout = lay_out(IMAGES[:2], TIMES[:2], "when?", PLAIN, "images")
    check_words("<0.0 seconds><img><1.0 seconds>\n<img>when?", layout, "<img>")
    for text, fault in (
        ("<0.0 seconds><img><1.0 seconds><img>", "drops the question"),
        ("<0.0 seconds><1.0 seconds><img>when?", "1 places for 2 pictures"),
        ("<img><img><0.0 seconds><1.0 seconds>when?", "moves pictures away"),
        ("<1.0 seconds><img><0.0 seconds><img>when?", "moves pictures away"),
    ):
        with pytest.raises(ModelError, match=fault):
            check_words(text, layout, "<img>")


def test_frames_are_made_smaller_and_never_larger() -> None:
    assert shrink_frames(IMAGES, None, None) is IMAGES
    assert shrink_frames(IMAGES, 100, 10_000) is IMAGES
    assert shrink_frames(IMAGES, 6, None).shape == (5, 4, 6, 3)
    assert shrink_frames(IMAGES, None, 24).shape == (5, 4, 6, 3)


def test_without_torch_there_is_a_sentence() -> None:
    code = (
        "import sys\nfor name in ('torch', 'torchvision', 'transformers'): sys.modules[name] = None\n"
        "from whenwhere.models.backends.local import LocalBackend\n"
        "from whenwhere.errors import MissingExtraError\n"
        "try: LocalBackend('a/model')\nexcept MissingExtraError as e: print(e)"
    )
    said = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    assert said == (
        "a vision-language model in this process needs torch, which is not installed: pip install 'whenwhere[vlm]'"
    )

"""Grounding with an encoder: time from a curve, boxes from heat maps, through the session, a batch and the command."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_encoders

import whenwhere
from whenwhere.errors import ModelError, SettingError
from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.encoder.grounder import EncoderGrounder
from whenwhere.grounders.encoder.heat import heat_box, heat_maps
from whenwhere.grounders.encoder.windows import ranked_windows
from whenwhere.grounders.named import GROUNDERS, GrounderKind
from whenwhere.models.encoders.encoder import ClipEmbeddings
from whenwhere.overlap import t_iou
from whenwhere.spans import Span, SpanSet
from whenwhere.video import probe

RED, RED_TIME = "the red thing moves right", SpanSet([(1, 4)])


def unit(x: Any) -> Any:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


class Colours:
    """An encoder that sees how much red and blue there is, in frames of 8 by 8 patches."""

    name, image_size, dimension, scale = "colours", (64, 64), 3, 50.0

    def __init__(self, frames: int = 1, groups: bool = False, patches: bool = True) -> None:
        self.frames, self.groups, self.patches, self.calls = frames, groups, patches, 0

    def _patches(self, images: Any) -> Any:
        tiles = images.reshape(-1, 8, 8, 8, 8, 3).astype(float) / 255
        red = (tiles[..., 0] - tiles[..., 1:].max(-1) - 0.55).clip(0).mean((2, 4))
        blue = (tiles[..., 2] - tiles[..., :2].max(-1) - 0.55).clip(0).mean((2, 4))
        return np.stack([red, blue, np.full_like(red, 0.001)], -1)

    def embed_frames(self, images: Any) -> Any:
        assert images.shape[1:3] == self.image_size
        self.calls += 1
        return unit(self._patches(images).mean((1, 2)))

    def embed_clips(self, clips: Any) -> ClipEmbeddings:
        assert clips.shape[1] == self.frames
        self.calls += 1
        patches = self._patches(clips).reshape(*clips.shape[:2], 8, 8, 3)
        frames = unit(patches.mean((2, 3)))
        found = ClipEmbeddings(unit(frames.mean(1)), frames, unit(patches) if self.patches else None)
        if self.groups:
            groups = unit(np.tile([[0.01, 0.01, 1], [1, 0, 0.01], [0, 1, 0.01]], (len(clips), 1, 1)))
            best = (unit(patches) @ groups[0].T).argmax(-1)
            found = replace(
                found, groups=groups, assignments=(best[:, None] == np.arange(3)[:, None, None, None]) * 1.0
            )
        return found

    def unknown_words(self, text: str) -> list[str]:
        return [word for word in text.split() if word == "wug"]

    def embed_texts(self, texts: Sequence[str]) -> Any:
        rows = [[4.0 * ("red" in text), 4.0 * ("blue" in text), 1.0] for text in texts]
        return unit(np.array(rows).reshape(-1, 3))


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> type[Colours]:
    kinds = {"colours": Colours, "clips": partial(Colours, 4, True)}
    for name, kind in kinds.items():
        made = GrounderKind(lambda parts, kind=kind: EncoderGrounder(kind, parts.progress))  # type: ignore[misc]
        monkeypatch.setitem(GROUNDERS, name, made)
    return Colours


@pytest.mark.parametrize("model", ["colours", "clips"])
def test_when_and_where_a_colour_is_seen(model: str, moving_clip: Path, colours: object) -> None:
    with whenwhere.open(moving_clip, model=model) as video:
        answer = video.ground(RED, frames=True)
        info = video.info
    assert answer.status == "answered"
    assert t_iou(answer.spans, RED_TIME) > 0.7
    record = answer.record
    assert record.curve is not None and record.ranked is not None
    assert record.curve.step == 0.5 and len(record.curve.values) == int(np.ceil(info.duration * 2))
    # a logit is no probability of being right
    assert record.confidence is None
    assert record.ranked[0].start == record.spans[0].start and record.reading == {"phrase": "red thing"}
    tube = answer.tube
    assert tube is not None and len(tube) == 4 and record.filled is not None
    # at 2 s the thing's left edge is at 33, it is 30 x 24, and a patch is an eighth of the frame
    box = tube.boxes[int(np.abs(tube.times - 2).argmin())]
    assert box[0] < 48 < box[2] and box[1] < 72 < box[3] and (box[2] - box[0]) * (box[3] - box[1]) < 90 * 80


def test_frames_are_embedded_once_for_all_sentences(moving_clip: Path) -> None:
    encoder = Colours()
    grounder = EncoderGrounder(lambda: encoder)
    info = probe(moving_clip)
    first = grounder.ground(info, GroundingRequest(RED))
    calls = encoder.calls
    second = grounder.ground(info, GroundingRequest("a green thing"))
    assert encoder.calls == calls and second.status == "unsure" and second.frames_decoded == 0
    assert first.frames_decoded >= grounder.estimate(info, GroundingRequest(RED))["frames"] > 0


def test_what_does_not_stand_out_is_unsure_with_candidates(moving_clip: Path, colours: object) -> None:
    with whenwhere.open(moving_clip, model="colours") as video:
        answer = video.ground("a green thing")
    assert answer.status == "unsure" and not answer.spans and answer.record.candidates
    assert answer.confidence is None
    assert answer.record.candidates[0].keys() == {"start", "end", "score"}


def test_a_word_that_the_encoder_does_not_know_makes_it_unsure(moving_clip: Path, colours: object) -> None:
    with whenwhere.open(moving_clip, model="colours") as video:
        answer = video.ground("a red wug")
    assert answer.status == "unsure" and not answer.spans and answer.record.candidates
    assert any("does not know 'wug'" in warning for warning in answer.record.warnings)


def test_a_given_time_and_a_window_are_kept(moving_clip: Path, colours: object) -> None:
    with whenwhere.open(moving_clip, model="colours") as video:
        boxes = video.ground(RED, span=(1.5, 3.5), rate=2)
        assert [tuple(s)[:2] for s in [(b.start, b.end) for b in boxes.spans]] == [(1.5, 3.5)]
        assert boxes.tube is not None and len(boxes.tube) == 5
        part = video.ground(RED, within=(2, 6))
        assert part.status == "answered" and part.spans[0].start >= 2 and part.record.curve is not None
        assert part.record.curve.start >= 2
        brief = video.ground(RED, within=(2.1, 2.3)).record  # between two times of the grid
        assert brief.curve is not None and (brief.curve.start, len(brief.curve.values)) == (2.1, 1)


def test_an_encoder_without_patches_answers_time_only(moving_clip: Path) -> None:
    grounder = EncoderGrounder(lambda: Colours(patches=False))
    found = grounder.ground(probe(moving_clip), GroundingRequest(RED))
    assert found.status == "answered" and not found.tubes
    assert found.warnings == ["colours embeds neither patches nor groups, so the answer has times but no boxes"]


@pytest.mark.parametrize("frames", [1, 4, 5])
def test_parts_that_are_decoded_one_by_one_join(frames: int, moving_clip: Path, monkeypatch: Any) -> None:
    """The curve is the same whatever the number of frames that are decoded at a time."""
    import whenwhere.grounders.encoder.grounder as module

    info = probe(moving_clip)
    curves = []
    for together in (1000, 8):
        monkeypatch.setattr(module, "_TOGETHER", together)
        found = EncoderGrounder(lambda: Colours(frames)).ground(info, GroundingRequest(RED, sample_fps=8))
        assert found.curve is not None
        curves.append(found.curve.values)
    assert len(curves[0]) == len(curves[1])
    assert np.corrcoef(curves)[0, 1] > 0.99 and (frames > 1 or curves[0] == curves[1])


@pytest.mark.parametrize(
    ("values", "first", "stop"),
    [
        ([0, 0, 5, 5, 0, 0, 0, 0], 2, 4),
        ([5, 5, 0, 0], 0, 2),
        ([-4, -4, -4, -1, -1], 3, 5),
        ([3.0] * 7, 0, 7),
        ([2.0], 0, 1),
        ([0, 1, 0, 4, 5, 4, 5, 0], 3, 7),
    ],
)
def test_the_best_window_is_the_one_that_stands_out(values: list[float], first: int, stop: int) -> None:
    best = ranked_windows(np.array(values, float))[0]
    assert (best.first, best.stop) == (first, stop)


def test_windows_of_a_long_curve_are_distinct_and_ordered() -> None:
    values = np.random.default_rng(0).normal(size=3000)
    values[1000:1200] += 2
    values[2000:2050] += 2
    windows = ranked_windows(values)
    assert abs(windows[0].first - 1000) <= 5 and abs(windows[0].stop - 1200) <= 5
    assert any(abs(w.first - 2000) <= 5 and abs(w.stop - 2050) <= 5 for w in windows)
    assert [w.rise for w in windows] == sorted((w.rise for w in windows), reverse=True)


def test_heat_becomes_a_box_of_the_picture() -> None:
    heat = np.zeros((4, 8))
    heat[1:3, 5:7] = 1
    heat[0, 0] = 0.9
    assert heat_box(heat, 80, 40) == (50, 10, 70, 30)
    assert heat_box(np.ones((4, 8)), 80, 40) is None
    assert heat_maps(ClipEmbeddings(np.ones((1, 2)), np.ones((1, 1, 2))), np.ones(2), np.ones((1, 2))) is None


def test_heat_is_that_of_a_group_which_holds_something() -> None:
    shares = np.zeros((1, 3, 1, 2, 2), np.float32)
    shares[0, 1, 0, 0], shares[0, 2, 0, 1] = 1, 1  # the first group, most like the text, holds nothing
    groups = unit(np.array([[[1, 0, 0.1], [0.6, 0, 1], [0, 1, 1]]]))
    found = ClipEmbeddings(groups[:, 0], groups[:, :1], None, groups, shares)
    text, generic = np.array([1, 0, 0], np.float32), np.array([[0, 0, 1]], np.float32)
    for groups in (True, False):  # there are no patches to go by
        heat = heat_maps(found, text, generic, groups)
        assert heat is not None and heat[0, 0].tolist() == [[1, 1], [0, 0]]
    patches = np.zeros((1, 1, 2, 2, 3), np.float32)
    patches[0, 0, 1, 1] = text
    both = replace(found, patches=patches)
    warm = [heat_maps(both, text, generic, groups) for groups in (False, True)]
    assert warm[0] is not None and warm[0][0, 0].tolist() == [[0, 0], [0, 1]]
    assert warm[1] is not None and warm[1][0, 0].tolist() == [[1, 1], [0, 0]]


def test_times_without_a_box_are_counted(moving_clip: Path) -> None:
    """Where the whole picture is alike, there is no box, and a warning says so."""
    found = EncoderGrounder(lambda: Colours(4, groups=True)).ground(
        probe(moving_clip), GroundingRequest("a blue thing", span=Span(0, 6))
    )
    assert found.tubes and 0 < len(found.tubes[0]) < 7
    assert any("looks more like 'blue thing' than the rest at" in w and "of 7 times" in w for w in found.warnings)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    return tiny_encoders.save("clip", tmp_path_factory.mktemp("encoder") / "clip")


@pytest.mark.torch
def test_a_saved_clip_answers_in_a_session_and_a_batch(clip_folder: Path, moving_clip: Path, tmp_path: Path) -> None:
    model = f"encoder:{clip_folder}"
    with whenwhere.open(moving_clip, model=model, device="cpu") as video:
        answers = [video.ground(text) for text in ("a red circle moves right", "the blue square")]
        boxes = video.ground("a red circle", span=Span(1, 3))
    assert all(a.status in ("answered", "unsure") and a.record.curve is not None for a in answers)
    assert answers[0].record.curve != answers[1].record.curve
    assert boxes.tube is not None and (boxes.tube.boxes[:, 2] > boxes.tube.boxes[:, 0]).all()
    manifest = tmp_path / "questions.jsonl"
    manifest.write_text(f'{{"video": "{moving_clip}", "query": "a red circle moves right"}}\n')
    result = whenwhere.batch(manifest, tmp_path / "out", model=model, device="cpu")
    (record,) = result.records()
    assert record.curve == answers[0].record.curve and record.settings is not None and record.settings.model == model


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("encoder:", SettingError, "no encoder is named"),
        ("encoder:./nowhere", SettingError, "there is no folder './nowhere' with an encoder in it"),
        ("encoder:{empty}", ModelError, "holds no checkpoint"),
        ("motion:x", SettingError, "there is no model 'motion:x'"),
    ],
)
def test_a_name_without_an_encoder_is_refused(
    name: str, error: type[Exception], said: str, moving_clip: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    with pytest.raises(error, match=said), whenwhere.open(moving_clip, model=name.format(empty=tmp_path)) as video:
        video.ground("a dog")


def test_pipelines_samples_and_concurrency_are_not_for_encoders(moving_clip: Path, colours: object) -> None:
    with whenwhere.open(moving_clip, model="colours") as video:
        for settings in ({"pipeline": "uniform"}, {"samples": 3}):
            with pytest.raises(SettingError, match="answers in one way, once"):
                video.ground(RED, **settings)
    with pytest.raises(SettingError, match="concurrency is for models behind an address"):
        whenwhere.open(moving_clip, model="colours", concurrency=2)


def test_maps_are_drawn_over_frames(moving_clip: Path) -> None:
    from whenwhere.errors import QueryError
    from whenwhere.grounders.encoder import draw_maps

    picture = np.asarray(draw_maps(Colours(4, groups=True), moving_clip, ["red thing", "a blue one"], span=(1, 4)))
    # 4 frames of 192 by 144; rows: frames, two texts, groups (this encoder shows no attention)
    assert picture.shape == (4 * (144 + 20), 4 * 192, 3)
    red = picture[164 + 20 : 2 * 164, 2 * 192 : 3 * 192].astype(int)  # at 2.875 s the red thing is near the middle
    warm = (red[..., 0] - red[..., 2]) > 60
    rows, columns = np.nonzero(warm)
    assert warm.any() and 72 < rows.mean() < 101 and 80 < columns.mean() < 150
    assert np.asarray(draw_maps(Colours(), moving_clip)).shape == (164, 8 * 192, 3)
    with pytest.raises(QueryError, match="lies outside the video"):
        draw_maps(Colours(), moving_clip, span=(7, 9))

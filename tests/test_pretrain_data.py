"""Captioned clips for pre-training: the table [data], the world of shapes and real videos as sources."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whenwhere.array_cache import ArrayCache
from whenwhere.errors import SettingError
from whenwhere.stage.shapes import CORPUS_WORDS, shapes_corpus
from whenwhere.training.pretrain import shapes_source
from whenwhere.training.pretrain.data import PretrainDataSettings, open_clips
from whenwhere.training.pretrain.shapes_source import ShapesSource
from whenwhere.training.run_folder import SampleError
from whenwhere.training.tables import checked
from whenwhere.video import FrameWriter

COLOURS = ((200, 40, 40), (40, 180, 40), (40, 40, 200), (200, 200, 40))


def table(**values: Any) -> PretrainDataSettings:
    return checked(PretrainDataSettings, values, "[data]")


def test_shapes_come_at_the_encoders_size_and_again_the_same() -> None:
    source = open_clips(table(count=3, corpus="varied", world={"objects": [3, 5]}), frames=8, side=32)
    first = source[1]
    assert len(source) == 3 and first.frames.shape == (8, 32, 32, 3) and first.frames.dtype == np.uint8
    assert set(first.caption.split()) <= set(source.words) == set(CORPUS_WORDS) and len(first.nouns) == 2
    # the number of a later epoch
    assert np.array_equal(source[4].frames, first.frames) and source[4].id == first.id


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "count"),
        ({"count": 1, "kind": "shape"}, "did you mean shapes"),
        ({"count": 1, "corpus": "variety"}, "did you mean varied"),
        ({"count": 1, "world": {"object": 3}}, "no key 'object'"),
        ({"count": 1, "world": {"objects": [9, 3]}}, "smaller number"),
        ({"count": 1, "captions": "fuse"}, "did you mean fused"),
        ({"count": 1, "captions": "coarse", "corpus": "stills"}, "something happens"),
        ({"count": 1, "captions": "coarse", "caption_words": 900}, "4 to 60 words"),
        ({"count": 1, "captions": "fine", "tag_error": 2.0}, "shares from 0 to 1"),
        ({"kind": "msrvtt"}, "needs annotations"),
        ({"kind": "msrvtt", "annotations": "a.csv", "nouns": "spacy"}, "module:function"),
    ],
)
def test_a_wrong_table_is_refused_in_one_sentence(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        checked(PretrainDataSettings, values, "[data]")


def test_captions_at_a_scale_have_their_own_nouns_and_are_drawn_anew_in_each_epoch() -> None:
    settings = table(count=4, corpus="scales", captions="random_choice", caption_words=12)
    source = open_clips(settings, frames=8, side=24)
    said = [[source[k + 4 * epoch] for k in range(4)] for epoch in range(6)]
    assert all(len(clip.caption.split()) == 12 for clips in said for clip in clips)
    assert all(noun in clip.caption for clips in said for clip in clips for noun in clip.nouns) and said[0][0].nouns
    assert any(len({clips[k].caption for clips in said}) == 2 for k in range(4))
    assert source[9].caption == source[9].caption
    truth = open_clips(table(count=4, corpus="scales", captions="truth"), frames=8, side=24)
    assert np.array_equal(truth[2].frames, source[2].frames)


def test_sets_are_put_together_and_each_clip_occurs_once_in_an_epoch() -> None:
    sets = [{"corpus": "homogeneous", "count": 3}, {"corpus": "scales", "count": 2, "captions": "random_choice"}]
    joined = open_clips(table(mix=sets), frames=8, side=24)
    alone = [open_clips(table(**one), frames=8, side=24) for one in sets]
    assert len(joined) == 5 and joined.words == alone[0].words
    for epoch in (0, 3):
        for k in range(5):
            clip, own = joined[5 * epoch + k], alone[k // 3][(3 if k < 3 else 2) * epoch + (k if k < 3 else k - 3)]
            assert clip.caption == own.caption and np.array_equal(clip.frames, own.frames)
    # the first clips of both sets have the same seed, but are not the same sample
    assert alone[0][0].id == alone[1][0].id and len({joined[k].id for k in range(5)}) == 5
    assert len({joined[k].video for k in range(5)}) == 5
    twice = open_clips(table(mix=[sets[1], sets[1] | {"captions": "fine"}]), frames=8, side=24)
    assert [twice[k].id for k in (0, 1)] == [twice[k].id for k in (2, 3)]
    with pytest.raises(SettingError, match="corpus is set beside mix"):
        table(mix=sets, corpus="varied")
    with pytest.raises(SettingError, match="needs count"):
        table(mix=[{"corpus": "varied"}])


@pytest.mark.parametrize(("name", "frames"), [("scales", 8), ("stills", 8), ("stills", 1)])
def test_rendered_clips_are_kept_and_the_same_for_every_caption(
    name: str, frames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapes_source, "BLOCK", 4)
    corpus = shapes_corpus(name, side=24, frames=frames)
    made = ShapesSource(corpus, first_seed=2, count=5)
    cold = ShapesSource(corpus, 2, 5, cache=ArrayCache(tmp_path, 1 << 30))
    warm = ShapesSource(corpus, 2, 5, cache=ArrayCache(tmp_path, 1 << 30))
    for k in range(10):
        a, b, c = made[k], cold[k], warm[k]
        assert a.id == b.id == c.id and a.caption == b.caption == c.caption and a.nouns == b.nouns == c.nouns
        assert np.array_equal(a.frames, b.frames) and np.array_equal(a.frames, c.frames)
        assert np.array_equal(made.clip(k % 5).boxes, warm.clip(k % 5).boxes, equal_nan=True)
    # seeds 2 to 6 lie in two blocks
    assert cold.rendered == 8 and warm.rendered == 0 and len(list(tmp_path.iterdir())) == 2
    elsewhere = shapes_corpus(name, side=24, frames=frames, backgrounds=5)
    other = ShapesSource(elsewhere, 2, 5, cache=ArrayCache(tmp_path, 1 << 30))
    assert other[0].caption == made[0].caption and other.rendered == 4
    said: list[str] = []
    for _ in range(2):  # told once, while there is nothing yet
        open_clips(table(count=1, cache="new"), 8, 24, tell=said.append, folder=tmp_path)[0]
    assert len(said) == 1 and "the first updates take longer" in said[0]
    # a cache that cannot be written costs time and nothing else
    (tmp_path / "file").write_text("")
    full = ShapesSource(corpus, 2, 5, cache=ArrayCache(tmp_path / "file", 1 << 30))
    assert np.array_equal(full[0].frames, made[0].frames)


def write_video(path: Path, frames: int = 16, width: int = 64, height: int = 48, fps: float = 8) -> None:
    """A clip of four colours in parts of equal length."""
    with FrameWriter(path, width, height, fps, crf=12) as video:
        for k in range(frames):
            video.write(np.full((height, width, 3), COLOURS[k * 4 // frames], np.uint8))


@pytest.fixture(scope="module")
def msrvtt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("msrvtt")
    (folder / "MSRVTT_JSFUSION_test.csv").write_text(
        "key,vid_key,video_id,sentence\nret0,msr1,video1,a man rides a brown horse\nret1,msr2,video2,a dog runs\n"
        "ret2,msr3,video3,a cat sleeps\nret3,msr4,video4,it is damaged\n"
    )
    (folder / "videos").mkdir()
    write_video(folder / "videos" / "video1.mp4")
    write_video(folder / "videos" / "video3.mp4", frames=2, width=48, height=64)
    (folder / "videos" / "video4.mp4").write_bytes(b"not a video")
    return folder


def near(image: Any, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(np.asarray(image, float).mean(axis=(0, 1)) - colour).max() < 30)


@pytest.mark.parametrize("cache", ["", "cache"])
def test_real_videos_need_only_files(msrvtt: Path, tmp_path: Path, cache: str) -> None:
    settings = table(
        kind="msrvtt", annotations=str(msrvtt / "MSRVTT_JSFUSION_test.csv"), videos=str(msrvtt / "videos"), cache=cache
    )
    said: list[str] = []
    source = open_clips(settings, frames=4, side=32, tell=said.append, folder=tmp_path)
    assert len(source) == 3 and source.words == ()
    assert said == [f"1 of 4 clips are left out, because their videos are not in {msrvtt / 'videos'}: video2"]
    for epoch in range(2):
        clip = source[3 * epoch]
        assert (clip.id, clip.video, clip.nouns) == ("ret0", "video1", ("man", "brown horse"))
        assert clip.frames.shape == (4, 32, 32, 3) and all(map(near, clip.frames, COLOURS))
    # a video with fewer frames than are asked for, higher than wide
    assert source[1].frames.shape == (4, 32, 32, 3) and near(source[1].frames[0], COLOURS[0])
    with pytest.raises(SampleError) as e:
        source[2]
    assert e.value.sample == "ret3"
    if cache:
        assert (tmp_path / cache / "nouns.jsonl").read_text().count("\n") == 4
        again = open_clips(settings, frames=4, side=32, folder=tmp_path)
        assert np.array_equal(again[0].frames, source[0].frames)
        assert again.cache.decodes == 0  # type: ignore[attr-defined]


def test_count_is_of_videos_that_are_there(msrvtt: Path, tmp_path: Path) -> None:
    settings = table(
        kind="msrvtt", annotations=str(msrvtt / "MSRVTT_JSFUSION_test.csv"), videos=str(msrvtt / "videos"), count=2
    )
    source = open_clips(settings, frames=2, side=32, folder=tmp_path)
    assert [source[k].id for k in range(len(source))] == ["ret0", "ret2"]


def test_frames_are_drawn_in_training_and_lie_in_the_middle_otherwise(tmp_path: Path) -> None:
    # every frame has a brightness of its own
    with FrameWriter(tmp_path / "a.mp4", 32, 32, 8, crf=4) as video:
        for k in range(32):
            video.write(np.full((32, 32, 3), 20 + 7 * k, np.uint8))
    (tmp_path / "all.jsonl").write_text('{"id": "a", "video": "a.mp4", "query": "it brightens", "spans": [[1, 3]]}\n')
    for cache in ("", "cache"):
        settings = table(kind="manifest", annotations="all.jsonl", cache=cache, nouns="none")
        drawn = open_clips(settings, 4, 32, folder=tmp_path)
        levels = np.array([drawn[epoch].frames.mean(axis=(1, 2, 3)) for epoch in range(8)])
        # from the span's own quarters, and not always from the same place
        assert (levels > 20 + 7 * 8 - 5).all() and (levels < 20 + 7 * 24 + 5).all()
        assert (np.diff(levels) > 0).all() and (np.ptp(levels, axis=0) > 5).all()
        assert np.array_equal(drawn[5].frames, drawn[5].frames)
        middle = open_clips(settings, 4, 32, training=False, folder=tmp_path)
        assert np.array_equal(middle[0].frames, middle[1].frames)
        expected = 20 + 7 * (8 + 4 * np.arange(4) + 2)
        assert np.abs(middle[0].frames.mean(axis=(1, 2, 3)) - expected).max() < 4


def test_clips_that_are_too_short_for_so_many_frames_are_named(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4")
    lines = [
        {"id": f"c{k}", "video": "a.mp4", "query": "it moves", "spans": [[0, end]]} for k, end in enumerate((1, 0.05))
    ]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    said: list[str] = []
    source = open_clips(
        table(kind="manifest", annotations="all.jsonl", nouns="none"), 4, 32, folder=tmp_path, tell=said.append
    )
    assert len(source) == 2 and source[1].frames.shape == (4, 32, 32, 3)
    assert said == ["1 of 2 clips are too short for 4 different frames, so that some are shown several times: c1"]


def test_what_leaves_nothing_to_learn_from_is_said(msrvtt: Path, tmp_path: Path) -> None:
    annotations = str(msrvtt / "MSRVTT_JSFUSION_test.csv")
    with pytest.raises(SettingError, match=r"4 of 4 clips are left out.*video1, video2, video3 and 1 more"):
        open_clips(table(kind="msrvtt", annotations=annotations, videos=str(tmp_path)), 4, 32)
    with pytest.raises(SettingError, match=r"no split 'tests' \(did you mean test\?\)"):
        open_clips(table(kind="msrvtt", annotations=annotations, split="tests"), 4, 32)
    (tmp_path / "a.jsonl").write_text('{"id": "a", "video": "v", "query": " ", "spans": []}\n')
    with pytest.raises(SettingError, match="has no caption"):
        open_clips(table(kind="manifest", annotations=str(tmp_path / "a.jsonl")), 4, 32)


def test_files_of_clips_are_found_under_all_their_names(tmp_path: Path) -> None:
    (tmp_path / "1004_Juno").mkdir()
    for name in ("1004_Juno/1004_Juno_1-2.mp4", "abc.mp4", "xyz_00:00:01.000_00:00:02.000.mp4", "abseiling.mp4"):
        write_video(tmp_path / name)
    (tmp_path / "LSMDC16_annos_val.csv").write_text("1004_Juno_1-2\t1\t2\t3\t4\tHe looks up.\n")
    lsmdc = open_clips(table(kind="lsmdc", annotations=str(tmp_path / "LSMDC16_annos_val.csv")), 4, 32)
    assert all(map(near, lsmdc[0].frames, COLOURS))
    rows = ["abc,00:00:00.500,00:00:01.500,a window", "xyz,00:00:01.000,00:00:02.000,a file of its own"]
    (tmp_path / "clips.csv").write_text("\n".join(["YoutubeID,Start_timestamp,End_timestamp,Caption", *rows]) + "\n")
    clips = open_clips(table(kind="internvid", annotations=str(tmp_path / "clips.csv")), 4, 32, training=False)
    window, whole = clips[0], clips[1]
    assert [near(f, COLOURS[k]) for f, k in zip(window.frames, (1, 1, 2, 2), strict=True)] == [True] * 4
    assert all(map(near, whole.frames, COLOURS)) and (window.video, whole.video) == ("abc", "xyz")


def test_training_may_cut_out_a_part_and_mirror_it(tmp_path: Path) -> None:
    # red in the left half, blue in the right one
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, :32, 0] = picture[:, 32:, 2] = 200
    with FrameWriter(tmp_path / "a.mp4", 64, 48, 8, crf=4) as video:
        for _ in range(8):
            video.write(picture)
    lines = [{"id": c, "video": "a.mp4", "query": c, "spans": []} for c in ("it is red", "red is on the left")]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for cache in ("", "cache"):
        settings = table(kind="manifest", annotations="all.jsonl", cache=cache, crop=0.3, flip=True)
        source = open_clips(settings, 2, 32, folder=tmp_path)
        red = np.array([[source[2 * epoch + k].frames[..., 0] > 100 for epoch in range(24)] for k in range(2)])
        assert (red[:, :, 0] == red[:, :, 1]).all()  # all frames of a clip are cut alike
        row = red[:, :, 0, 16]
        two = row.any(axis=-1) & ~row.all(axis=-1)
        # where both colours are seen, red is on either side, except where the caption says which one it is
        assert set(row[0, two[0], 0]) == {True, False} and set(row[1, two[1], 0]) == {True}
        assert len({int(r.sum()) for r in row[1]}) > 5
        whole = open_clips(settings, 2, 32, training=False, folder=tmp_path)[0].frames
        assert 14 <= (whole[0, 16, :, 0] > 100).sum() <= 18
    with pytest.raises(SettingError, match=r"crop is a share.*not 0$"):
        table(kind="manifest", annotations="all.jsonl", crop=0.0)

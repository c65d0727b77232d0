"""Samples of captioned clips as InternVid draws them, and its table."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from whenwhere.curate.internvid import clock, div_sample, flt_sample, internvid_row, sample, write_sample
from whenwhere.datasets import BENCHMARKS, manifest, read_items
from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import RecordError, SettingError


def clip(k: int, video: str, **extra: object) -> Item:
    more = {"caption_coarse": f"c{k}", "caption_fine": f"f{k}", "caption_fused": f"sentence {k}"} | extra
    return Item(f"{video}_{k}", f"{video}.mp4", f"sentence {k}", span_array([(k, k + 1.5)]), duration=90.0, extra=more)


def clips(count: int = 60) -> list[Item]:
    """Video a has ten times as many clips as each other."""
    videos = ["a"] * (count // 2) + [f"v{k // 3}" for k in range(count - count // 2)]
    return [clip(k, video, similarity={"fused": (k * 37 % count) / count}) for k, video in enumerate(videos)]


def test_div_evens_out_videos_and_is_internvids_draw() -> None:
    videos = [item.video for item in clips()]
    counts = Counter(videos)
    # div_sampling.py: p = 1 / clips of the video, normalised; np.random.seed(42); np.random.choice(..., replace=False)
    p = np.array([1 / counts[v] for v in videos])
    np.random.seed(42)  # noqa: NPY002
    theirs = np.random.choice(len(videos), 20, replace=False, p=p / p.sum())  # noqa: NPY002
    assert div_sample(videos, 20).tolist() == sorted(theirs.tolist())
    drawn = [Counter(videos[k] for k in div_sample(videos, 11, seed)) for seed in range(40)]
    assert np.mean([one["a.mp4"] for one in drawn]) < 2.5  # of 11 draws over 11 videos
    assert div_sample(videos, 999).tolist() == list(range(60))


def test_flt_draws_among_the_most_similar() -> None:
    items = clips()
    scores = [item.extra["similarity"]["fused"] for item in items]
    chosen = flt_sample([item.video for item in items], scores, 10)
    assert len(chosen) == 10 and min(scores[k] for k in chosen) >= sorted(scores)[-18]


@pytest.mark.parametrize("how", ["all", "random", "div", "flt"])
def test_samples_keep_the_order_and_have_no_clip_twice(how: str) -> None:
    items = clips()
    found = sample(items, how, 12)
    numbers = [items.index(item) for item in found]
    assert len(set(numbers)) == 12 and numbers == sorted(numbers)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_the_table_is_read_as_internvid(tmp_path: Path, ending: str) -> None:
    items = [clip(0, "abcdefghijk", similarity={"fused": 0.31}, aesthetic=5.2), clip(3725, "abcdefghijk"),
             clip(2, "other", caption_fused="")]  # fmt: skip
    manifest.write(items, tmp_path / "captions.jsonl")
    out = tmp_path / f"table.{ending}"
    assert write_sample(tmp_path / "captions.jsonl", out, table=True)[0] == 2
    back = read_items(BENCHMARKS["internvid"], out)
    assert [(i.video, i.query) for i in back] == [("abcdefghijk", "sentence 0"), ("abcdefghijk", "sentence 3725")]
    assert back[1].window is not None and (back[1].window.start, back[1].window.end) == (3725.0, 3726.5)
    assert back[0].extra["UMT_Score"] == 0.31 and back[0].extra["Aesthetic_Score"] == 5.2


def test_a_clip_without_span_is_its_whole_video() -> None:
    row = internvid_row(Item("a", "folder/x.webm", duration=12.0, extra={"caption_coarse": "a dog"}), "coarse")
    assert row == {"YoutubeID": "x", "Start_timestamp": clock(0), "End_timestamp": "00:00:12.000", "Caption": "a dog"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"how": "dif"}, "the names are all"),
        ({"captions": "fussed"}, "did you mean fused"),
        ({"count": 0}, "must be at least 1"),
        ({"how": "flt", "captions": "coarse"}, "no such similarity"),
    ],
)
def test_samples_that_make_no_sense(tmp_path: Path, options: dict[str, object], message: str) -> None:
    manifest.write(clips(), tmp_path / "captions.jsonl")
    with pytest.raises(SettingError, match=message):
        write_sample(tmp_path / "captions.jsonl", tmp_path / "out.jsonl", **options)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="give --out one of these"):
        write_sample(tmp_path / "captions.jsonl", tmp_path / "out.csv")


def test_a_manifest_without_captions(tmp_path: Path) -> None:
    manifest.write([Item("a", "a.mp4", "a dog")], tmp_path / "plain.jsonl")
    with pytest.raises(RecordError, match="has a fused caption"):
        write_sample(tmp_path / "plain.jsonl", tmp_path / "out.jsonl")


def test_a_sample_in_another_folder_still_finds_its_videos(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    manifest.write([clip(0, "a")], tmp_path / "captions.jsonl")
    (tmp_path / "deep").mkdir()
    write_sample(tmp_path / "captions.jsonl", tmp_path / "deep" / "out.jsonl")
    line = json.loads((tmp_path / "deep" / "out.jsonl").read_text())
    assert (tmp_path / "deep" / line["video"]).resolve() == (tmp_path / "a.mp4").resolve()

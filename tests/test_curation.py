"""`whenwhere data curate`: each filter finds what was planted, nothing is lost, and bad input is a sentence."""

import json
import resource
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.curate import histograms, similarity
from whenwhere.curate.curation import Curation, curate, curate_file
from whenwhere.curate.filters import FILTERS, FilterSettings, told_in_the_sentence
from whenwhere.curate.names import named_window, video_key
from whenwhere.curate.set_filters import SET_FILTERS, CurationSettings, Evidence
from whenwhere.curate.video_files import VideoFile, are_copies, look_up
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import OutputError, RecordError, SettingError
from whenwhere.evaluate.prediction import Prediction
from whenwhere.spans import Span, SpanSet
from whenwhere.tubes import Tube

sys.path.insert(0, str(Path(__file__).parent))
from commands import run


@pytest.fixture(autouse=True)
def quick_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture costs a second; one test draws it."""
    if request.node.name != "test_the_picture":
        monkeypatch.setattr(histograms, "picture", lambda pairs: b"<svg/>")


def test_the_picture() -> None:
    before = [item(str(k), duration=10.0 + k) for k in range(9)]
    pairs = histograms.compared(before, before[:4])
    assert histograms.picture(pairs).count(b"<svg") == 1
    assert [int(after.counts.sum()) for _, after in pairs] == [4] * 5
    assert "median" in histograms.text(pairs) and histograms.bars([0, 0]) == "  "


def item(name: str, query: str = "", spans: object = ((2, 5),), video: str = "", **others: object) -> Item:
    """An item that every filter keeps, apart from what is given."""
    words = query or f"the {name} dog runs over a field of {name} flowers"
    return Item(name, video or f"{name}.mp4", words, span_array(spans), **({"duration": 20.0} | others))  # type: ignore[arg-type]


def filters_of(result: Curation) -> dict[str, str]:
    return {dropped.id: by for dropped, by, _ in result.dropped}


# single filters

box = Tube(SpanSet([(2, 5)]), [2, 4], [[0, 0, 98, 95], [0, 0, 100, 90]], rate=1)
PLANTED = [
    (item("a", status="invalid"), "invalid"),
    (item("b", duration=3.0, spans=[(1, 2)]), "video_too_short"),
    (item("c", duration=900.0), "video_too_long"),
    (item("d", "dog runs"), "too_few_words"),
    (item("e", "dog " * 201), "too_many_words"),
    (item("f", "a dog is heard far away"), "about_what_is_heard"),
    (item("g", "the closing credits are shown"), "told_in_the_sentence"),
    (item("h", spans=[(12, 21.5)]), "span_outside"),
    (item("i", spans=[(-2, 5)]), "span_outside"),
    (item("j", spans=[(2, 2.2)]), "event_too_short"),
    (item("k", spans=[(1, 19)]), "event_too_long"),
    (item("l", video="xyz_12.0_32.0.mp4", window=Span(12, 32)), "already_cut"),
    (item("m", tubes=[box], width=100, height=100), "box_too_large"),
]


@pytest.mark.parametrize(("bad", "by"), PLANTED, ids=[f"{bad.id}-{by}" for bad, by in PLANTED])
def test_each_filter_leaves_out_what_it_is_for(bad: Item, by: str) -> None:
    result = curate([item("good"), bad])
    assert filters_of(result) == {bad.id: by} and [i.id for i in result.kept] == ["good"]
    (count,) = [c for c in result.counts if c.name == by]
    assert (count.dropped, count.alone, count.only) == (1, 1, 1)
    assert count.examples[0]["id"] == bad.id and count.reason.endswith(".")


def test_good_items_stay() -> None:
    kept = [
        item("near", spans=[(2, 20.9)], duration=25.0),
        item("over", spans=[(10, 20.9)]),
        item("absent", spans=[]),
        item("unknown", duration=None),
        item("cut", video="xyz_12.0_32.0.mp4"),
        item("hidden", "he waits at the end of the street", tubes=[box]),
    ]
    assert [i.id for i in curate(kept).kept] == [i.id for i in kept]


@pytest.mark.parametrize(
    ("told", "query"),
    [
        (True, "The video begins with a shot of a cabin"), (True, "at the very beginning a man waves"),
        (True, "They zoom back in at the end."), (True, "seen in the last few frames"), (True, "Credits roll"),
        (True, "the first five seconds show a tree"), (True, "in the middle of the video she falls"),
        (True, "From 0:12 he runs"), (True, "the annotator marked a dog"), (True, "by the end of the clip it is gone"),
        (False, "a man stands in the middle"), (False, "he holds the end of the rope"), (False, "she starts the car"),
        (False, "at the end of a long road"), (False, "the race begins"), (False, "the first man runs"),
        (False, "she opens the video camera"), (False, "he takes a second cup"),
    ],
)  # fmt: skip
def test_sentences_that_say_where(told: bool, query: str) -> None:
    found = told_in_the_sentence(Item("a", "v", query), FilterSettings(told=False), set())
    assert (found is not None) == told


# filters of sets


def test_repeated_and_ambiguous_sentences() -> None:
    items = [
        item("a", "A person opens the door.", video="v"), item("b", "person opens a door", video="v"),
        item("c", "a man sits down on a sofa", [(1, 3)], "v"),
        item("d", "a man sits down on the sofas", [(9, 12)], "v"),
        item("e", "a man sits down on a sofa", [(9, 12)], "w"),
    ]  # fmt: skip
    result = curate(items)
    assert filters_of(result) == {"b": "repeated_item", "c": "ambiguous_sentence", "d": "ambiguous_sentence"}
    assert curate(items, CurationSettings(repeated=True, ambiguous=True)).dropped == []


def test_sentences_are_capped_over_the_whole_set() -> None:
    items = [item(str(k), f"a person opens the {'door' if k % 2 else 'doors'}") for k in range(8)]
    result = curate(items, CurationSettings(max_alike=3))
    assert [i.id for i in result.kept] == ["0", "1", "2"]
    assert {by for _, by, _ in result.dropped} == {"sentence_too_often"}


def test_caps() -> None:
    items = [item(f"{k}", video=f"v{k % 2}", extra={"dataset": "s" if k < 8 else "t"}) for k in range(12)]
    assert len(curate(items, CurationSettings(max_per_video=2)).kept) == 4
    result = curate(items, CurationSettings(max_per_source=5, sources={"t": 1}))
    assert [i.id for i in result.kept] == ["0", "1", "3", "4", "6", "8"]
    with pytest.raises(SettingError, match="caps 'u', which no item comes from"):
        curate(items, CurationSettings(sources={"u": 1}))


def test_answers_of_a_model() -> None:
    items = [item(name) for name in "abcde"]
    rows = {"a": [[2, 5], [11, 13]], "b": [[2, 5]], "c": [[11, 13]], "d": [[3, 5], [4, 6]]}
    answers = {k: Prediction(k, spans=span_array(v)) for k, v in rows.items()}
    ranked = np.array([[2, 5, 0.9], [11, 13, 0.8], [15, 16, 0.1]])
    answers["e"] = Prediction("e", spans=ranked[:1, :2], ranked=ranked)
    assert filters_of(curate(items, None, Evidence([answers]))) == {"a": "partly_annotated", "e": "partly_annotated"}
    # of two files of answers one vote is no majority
    assert filters_of(curate(items, None, Evidence([answers, {i.id: answers["b"] for i in items}]))) == {}
    limits = CurationSettings(partial=None, agreement=0.3)
    assert filters_of(curate(items, limits, Evidence([answers]))) == {"c": "disagreeing_answer"}
    # an item that the model was not asked about stays
    assert filters_of(curate([*items, item("z")], limits, Evidence([answers]))).get("z") is None


def test_videos_of_test_sets() -> None:
    items = [item("a", video="clips/v_8wB0BOjuyes.mp4"), item("b", video="other.mp4")]
    result = curate(items, None, Evidence(test_videos={"8wB0BOjuyes": "anet"}))
    assert filters_of(result) == {"a": "in_another_set"} and "is in anet" in result.dropped[0][2]


def test_missing_broken_and_copied_files(moving_clip: Path, tmp_path: Path) -> None:
    from whenwhere.video import probe

    seconds = probe(moving_clip).duration
    shutil.copy(moving_clip, tmp_path / "a.mp4")
    shutil.copy(moving_clip, tmp_path / "b.mp4")
    (tmp_path / "torn.mp4").write_bytes(moving_clip.read_bytes()[:2000])
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "folder.mp4").mkdir()
    names = ["a", "b", "torn", "empty", "folder", "gone"]
    spans = [(0.1, seconds / 2)]
    items = [item(n, video=f"{n}.mp4", spans=spans, duration=seconds) for n in names]
    items += [item("long", video="a.mp4", spans=spans, duration=seconds + 9)]
    items += [item("late", video="a.mp4", spans=[(seconds + 5, seconds + 6)], duration=None)]
    manifest.write(items, tmp_path / "m.jsonl")
    out = tmp_path / "out"
    limits = CurationSettings(min_duration=0)
    result = curate_file(tmp_path / "m.jsonl", out, limits, videos=tmp_path, cache=tmp_path / "cache")
    assert filters_of(result) == {
        **dict.fromkeys(["torn", "empty", "folder", "gone"], "unreadable_file"),
        "b": "copied_video", "long": "other_length", "late": "other_length",
    }  # fmt: skip
    (kept,) = manifest.read(out / "kept.jsonl")
    assert kept.id == "a" and (out / kept.video).samefile(tmp_path / "a.mp4")


def test_copies_are_recognised_by_their_look() -> None:
    rng = np.random.default_rng(0)
    look = rng.random((8, 64)) < 0.5
    few = look.copy()
    few[:, :5] ^= True
    many = rng.random((8, 64)) < 0.5
    flat = np.zeros((8, 64), bool)
    one = VideoFile(Path("a"), None, 10.0, "x", look)
    assert are_copies(one, VideoFile(Path("b"), None, 10.05, "y", few))
    assert not are_copies(one, VideoFile(Path("b"), None, 12.0, "y", few))
    assert not are_copies(one, VideoFile(Path("b"), None, 10.0, "y", many))
    assert not are_copies(VideoFile(None, None, 9.0, "p", flat), VideoFile(None, None, 9.0, "q", flat))
    assert are_copies(one, VideoFile(Path("b"), None, 99.0, "x"))


def test_looking_up_videos_stops_at_none(tmp_path: Path) -> None:
    found = look_up(["a", "b", "a"], tmp_path, cache=tmp_path / "cache")
    assert list(found) == ["a", "b"] and all(file.fault for file in found.values())


def test_hostile_lines_stop_nothing(tmp_path: Path) -> None:
    """Addresses are not fetched, absurd claims and odd names are items like others, and repeated ids are noticed."""
    items = [
        item("a", video="http://host/a.mp4"), item("b", spans=[(1, 2e9)]), item("c", video="nul\0.mp4"),
        item("d", video="../../etc/passwd"), item("d", "", video="x.mp4"), item("e", "狗在草地上跑", video="http://host/b.mp4"),
        item("f", " ", video="http://host/c.mp4"), item("g", "cats | and `marks`", video="http://host/d.mp4"),
    ]  # fmt: skip
    manifest.write(items, tmp_path / "m.jsonl")
    result = curate_file(tmp_path / "m.jsonl", tmp_path / "out", videos=tmp_path, cache=tmp_path / "cache")
    assert [i.id for i in result.kept] == ["a", "e", "g"] and filters_of(result)["b"] == "span_outside"
    assert any("ids that belong to several items: 1, such as 'd'" in note for note in result.notes)
    assert "cats \\| and 'marks'" in result.markdown() or "cats" not in result.markdown()


# names


@pytest.mark.parametrize(
    ("name", "window", "key"),
    [
        ("xyz_12.0_34.0.mp4", (12.0, 34.0), "xyz"), ("a/b/RoripwjYFp8_60.0_210.0", (60.0, 210.0), "RoripwjYFp8"),
        ("4jujhM5qhEc_00:00:39:000_00:01:24:700.mp4", (39.0, 84.7), "4jujhM5qhEc"),
        ("8wB0BOjuyes_000060_000070.mkv", (60.0, 70.0), "8wB0BOjuyes"),
        ("8wB0BOjuyes_5_15.mp4", (5.0, 15.0), "8wB0BOjuyes"),
        ("clip_34.0_12.0.mp4", None, "clip_34.0_12.0"), ("clip_3_7.mp4", None, "clip_3_7"), ("3MSZA", None, "3MSZA"),
        ("49503078599@N01_6734957203_3924402809.mp4", None, "49503078599@N01_6734957203_3924402809"),
        ("v_8wB0BOjuyes.mp4", None, "8wB0BOjuyes"), ("v_short", None, "v_short"), ("s30-d52.avi", None, "s30-d52"),
        ("clip.mp4.mp4", None, "clip"), (".mp4", None, ".mp4"), ("a\\b\\c.MP4", None, "c"), ("", None, ""),
    ],
)  # fmt: skip
def test_names_of_videos(name: str, window: tuple[float, float] | None, key: str) -> None:
    assert named_window(name) == window and video_key(name) == key


# similarity


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 0.7, 0.8, 0.95, 1.0]))
def test_similar_pairs_are_all_pairs(seed: int, threshold: float) -> None:
    """The quick search finds what comparing every pair finds, with the same similarity."""
    rng = np.random.default_rng(seed)
    words = ["dog", "dogs", "runs", "run", "door", "opens", "open", "red", "a", "person", "people", "x"]
    drawn = (" ".join(rng.choice(words, rng.integers(0, 6)).tolist()) for _ in range(90))
    texts = list(dict.fromkeys(map(similarity.normalised, drawn)))
    every = [(i, j) for i in range(len(texts)) for j in range(i + 1, len(texts))]
    slow = [(i, j, round(similarity.similarity(texts[i], texts[j]), 6)) for i, j in every]
    found = similarity.similar_pairs(texts, threshold)
    assert found == [pair for pair in slow if pair[2] >= threshold]


def test_a_part_of_a_set_is_grouped_like_a_set_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found in a set is used again for a part of it, in whatever order, and changes nothing."""
    rng = np.random.default_rng(0)
    words = ["dog", "dogs", "runs", "run", "door", "opens", "open", "red", "person"]
    texts = [" ".join(rng.choice(words, 4).tolist()) for _ in range(200)]
    similarity.groups(texts, 0.7)
    part = texts[::-2]
    again = similarity.groups(part, 0.7).tolist()
    monkeypatch.setattr(similarity, "_last", [])
    assert similarity.groups(part, 0.7).tolist() == again


def test_groups_do_not_chain() -> None:
    texts = ["abcdef", "abcdefg", "abcdefgh", "abcdefghi", "abcdefghij"]
    leaders = similarity.groups(texts, 0.7).tolist()
    for text, leader in zip(texts, leaders, strict=True):
        assert similarity.similarity(text, texts[leader]) >= 0.7
    assert leaders[0] == 0 and len(set(leaders)) > 1


# the whole


def test_filters_are_counted_in_order_alone_and_apart() -> None:
    items = [item("a", spans=[(1, 19)], duration=900.0), item("b", "dog", duration=900.0), item("c", "dog"), item("d")]
    result = curate(items)
    by = {c.name: (c.dropped, c.alone, c.only) for c in result.counts if c.alone}
    assert by == {"video_too_long": (2, 2, 1), "too_few_words": (1, 2, 1)}
    assert {c.name for c in result.counts} == {f.__name__ for f in [*FILTERS, *SET_FILTERS]}
    assert len(result.kept) + len(result.dropped) == len(items)


def test_a_filter_of_sets_is_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """As CONTRIBUTING says: a function in `SET_FILTERS`."""

    def every_second(items: object, limits: object, known: object) -> dict[int, str]:
        """Every second item: a demonstration."""
        return dict.fromkeys(range(1, len(items), 2), "second")  # type: ignore[arg-type]

    monkeypatch.setattr("whenwhere.curate.curation.SET_FILTERS", [*SET_FILTERS, every_second])
    assert filters_of(curate([item(name) for name in "abc"])) == {"b": "every_second"}


def test_nothing_is_lost_and_a_rerun_is_the_same(tmp_path: Path) -> None:
    source = tmp_path / "m.jsonl"
    manifest.write([item("good"), item("bad", "dog"), item("new")], source)
    with open(source, "a") as f:
        f.write('{"id": "torn", "vid\n{"id": "x", "video": "v", "query": "q", "spans": [[5, 1]]}\n[]\n')
    before = source.read_bytes()
    out = tmp_path / "out"
    result = curate_file(source, out)
    assert len(result.faults) == 3 and "line 4" in result.faults[0] and source.read_bytes() == before
    assert [i.id for i in manifest.read(out / "kept.jsonl")] == ["good", "new"]
    (lost,) = manifest.read(out / "dropped.jsonl")
    assert lost.id == "bad" and lost.provenance["dropped"] == {"filter": "too_few_words", "saw": "too few words"}
    files = {p.name: p.read_bytes() for p in out.iterdir()}
    curate_file(source, out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == files
    assert json.loads(files["report.json"])["unreadable_lines"] == 3 and b"<svg" in files["histograms.svg"]
    # another run must not write over it
    with pytest.raises(SettingError, match="results of another run"):
        curate_file(source, out, CurationSettings(min_words=1))
    assert {p.name: p.read_bytes() for p in out.iterdir()} == files


def test_files_of_others_are_not_written_over(tmp_path: Path) -> None:
    manifest.write([item("good")], tmp_path / "m.jsonl")
    (tmp_path / "kept.jsonl").write_text("mine")
    with pytest.raises(SettingError, match="is there already and not of an earlier run"):
        curate_file(tmp_path / "m.jsonl", tmp_path)
    assert (tmp_path / "kept.jsonl").read_text() == "mine"


def test_unusable_input_is_a_sentence(tmp_path: Path) -> None:
    empty, torn = tmp_path / "empty.jsonl", tmp_path / "torn.jsonl"
    empty.write_text("\n\n")
    torn.write_text("{\n[\n")
    cases: list[tuple[object, str]] = [
        (empty, "is empty"), (torn, "no line of .* can be read"), (tmp_path / "gone.jsonl", "gone.jsonl"),
        (tmp_path / "m.txt", "is not a manifest"), (f"charades-sta={empty}", "is empty"), (tmp_path, "without parts"),
    ]  # fmt: skip
    for given_, said in cases:
        with pytest.raises(RecordError, match=said):
            curate_file(given_, tmp_path / "out")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="charades-sta"):
        curate_file(f"charades-st={torn}", tmp_path / "out")
    manifest.write([item("a")], torn)
    with pytest.raises(SettingError, match="no folder of videos"):
        curate_file(torn, tmp_path / "out", videos=tmp_path / "no")
    with pytest.raises(SettingError, match="alike is a share"):
        curate_file(torn, tmp_path / "out", CurationSettings(alike=0))
    with pytest.raises(SettingError, match="no video is at least 600 s"):
        curate_file(torn, tmp_path / "out", CurationSettings(min_duration=600))
    assert not (tmp_path / "out").exists()


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    source, out = tmp_path / "m.jsonl", tmp_path / "out"
    manifest.write([item(f"good{k}") for k in range(200)], source)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        with pytest.raises(OutputError, match=r"kept.jsonl.*make room"):
            curate_file(source, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (out / "kept.jsonl").exists() and len(list(manifest.read(source))) == 200
    assert len(curate_file(source, out).kept) == 200


def test_the_command(tmp_path: Path) -> None:
    source, limits = tmp_path / "m.jsonl", tmp_path / "limits.toml"
    manifest.write([item("good"), item("bad", "dog")], source)
    limits.write_text('min_words = 1\nmax_duration = "none"\n')
    done = run("data", "curate", source, "--out", tmp_path / "a")
    assert "2 items, 1 kept" in done.stdout and "too_few_words" in done.stdout
    done = run("data", "curate", source, "--settings", limits, "--json", "--out", tmp_path / "b")
    assert json.loads(done.stdout)["kept"] == 2
    done = run("data", "curate", source, "--set", "min_word=1", "--out", tmp_path / "c", status=2)
    assert "did you mean min_words?" in done.stderr
    done = run("data", "curate", source, "--set", "min_words=99", "--out", tmp_path / "d", status=1)
    assert "no item of" in done.stderr and not (tmp_path / "d" / "kept.jsonl").exists()

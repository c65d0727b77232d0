"""Readers of the temporal benchmarks: what they make of each release, and what they say of what is none."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import whenwhere
from whenwhere.cli import app
from whenwhere.datasets import BENCHMARKS, Benchmark, manifest, schema
from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import RecordError
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.validate import validate_gold
from whenwhere.spans import Span

sys.path.insert(0, str(Path(__file__).parent))
from releases import DIDEMO, QVH, RELEASES, REXTIME_LINES, RF_RELEASE, TUNE, TVG, write_release


def items(name: str, folder: Path) -> list[Item]:
    return BENCHMARKS[name].read(write_release(name, folder))


def brief(item: Item) -> tuple[Any, ...]:
    return item.id, item.video, item.query, item.spans.tolist(), item.duration, item.status, item.split


def test_charades_sta(tmp_path: Path) -> None:
    found = items("charades-sta", tmp_path)
    assert list(map(brief, found)) == [
        ("KITE1#0", "KITE1", "a kite is flown.", [[0.5, 4.25]], 12.5, "valid", "test"),
        ("KITE1#1", "KITE1", "it falls.", [[8.0, 13.5]], 12.5, "valid", "test"),
        ("ABCDE#0", "ABCDE", "he sits.", [[7.0, 6.0]], None, "invalid", "test"),
    ]
    assert found[2].fault == "ends at 6 s, not after its start at 7 s" and found[2].provenance["line"] == 3
    (tmp_path / "Charades_v1_test.csv").unlink()
    assert [i.duration for i in BENCHMARKS["charades-sta"].read(tmp_path / "charades_sta_test.txt")] == [None] * 3


@pytest.mark.parametrize(
    ("name", "split"), [("charades-cd", "test_ood"), ("activitynet-captions", "val_2"), ("tacos", "test")]
)
def test_dense_captions(name: str, split: str, tmp_path: Path) -> None:
    first, second = items(name, tmp_path)
    assert first.id.endswith("#0") and second.id.endswith("#1") and first.split == split
    assert first.query == "A pot boils." and second.status == "invalid"
    if name == "tacos":
        assert first.spans.tolist() == [[10 / 25, 35 / 25]] and first.extra == {"frames": [10, 35]}
        assert (first.duration, first.fps, first.frames) == (4.0, 25.0, 100)
    else:
        assert first.spans.tolist() == [[0.5, 4.25]] and first.duration == 9.5


def test_didemo(tmp_path: Path) -> None:
    (item,) = items("didemo", tmp_path)
    assert brief(item)[:2] == ("11", "u_1.mov") and item.duration == 30
    assert item.spans.tolist() == [[5, 10], [5, 10], [5, 15], [25, 30]]
    assert item.extra["times"] == [[1, 1], [1, 1], [1, 2], [5, 5]]


def test_qvhighlights_and_its_kin(tmp_path: Path) -> None:
    (item,) = items("qvhighlights", tmp_path / "q")
    assert brief(item) == ("7", "k_0.0_12.0", "a kite is flown", [[0, 4], [8, 12]], 12, "valid", "val")
    assert item.extra == {"relevant_clip_ids": QVH["relevant_clip_ids"], "saliency_scores": QVH["saliency_scores"]}
    first, second = items("qv-m2", tmp_path / "m")
    assert "saliency_scores" in first.extra and "saliency_scores" not in second.extra
    there, absent = items("null-query", tmp_path / "n")
    assert there.type == "kite" and len(absent.spans) == 0 and absent.status == "valid"
    path = tmp_path / "charades_sta_test2.0.json"
    path.write_text(RF_RELEASE)
    there, absent = BENCHMARKS["null-query"].read(path)
    assert there.spans.tolist() == [[1.5, 3.0]] and (absent.id, absent.query) == ("KITE1#1", "nobody sits")
    assert absent.spans.shape == (0, 2) and absent.extra == {"id": "K-0"}


def test_tvgbench_and_time_r1(tmp_path: Path) -> None:
    first, second = items("tvgbench", tmp_path / "a")
    assert brief(first)[:4] == ("K#0", "K.mp4", "where was the kite?", [[1.5, 4.25]])
    assert first.extra == {"dataset": "egonlq"} and (first.window, first.offset) == (Span(10.0, 30.0), 10.0)
    assert (second.window, second.offset) == (None, 0.0)
    assert first.type == "Object Existence (Simple)" and (second.id, second.status) == ("K#1", "invalid")
    first, second = items("time-r1", tmp_path / "b")
    assert first.difficulty == 0.75 and first.extra["difficulty"] == 25 and first.difficulty_of
    assert first.extra["dataset"] == "didemo" and (second.window, second.offset) == (Span(4.0, 34.0), 4.0)


def test_vue_tr_and_timelens(tmp_path: Path) -> None:
    (item,) = items("vue-tr", tmp_path / "a")
    assert brief(item)[:4] == ("3", "kkk", "kites", [[1, 4], [10, 12]])
    assert item.type == "keyword" and item.extra["query_modality"] == "vision"
    (item,) = items("timelens-bench", tmp_path / "b")
    assert brief(item)[:5] == ("KITE1#0", "KITE1", "a kite", [[0.5, 4.25]], 9.5) and item.type == "charades"


def test_questions(tmp_path: Path) -> None:
    (item,) = items("rextime", tmp_path / "a")
    assert brief(item)[:4] == ("anet_val1", "v_kite", "why does it fall?", [[3.0, 9.5]])
    assert item.options[1] == "no wind" and item.answer == "B" and item.type == "cause"
    path = tmp_path / "rextime_val.jsonl"
    path.write_text(REXTIME_LINES)
    (item,) = BENCHMARKS["rextime"].read(path)
    assert item.spans.tolist() == [[0, 28]] and item.options == [] and item.duration == 150
    one, two = items("next-gqa", tmp_path / "b")
    assert (one.id, one.answer, one.type, one.fps, one.width) == ("123_0", "no wind", "CW", 25.0, 640)
    assert two.spans.tolist() == [[0, 2], [5, 6.5]] and two.options[0] == two.answer == "a kite"


#: Releases of one form: the reader of the first also takes the second's file.
KIN = {
    *((a, b) for a in ("qvhighlights", "qv-m2", "null-query") for b in ("qvhighlights", "qv-m2", "null-query")),
    *((a, a) for a in RELEASES),
}


@pytest.mark.parametrize("name", RELEASES)
def test_files_of_other_benchmarks_are_refused(name: str, tmp_path: Path) -> None:
    for other in RELEASES:
        if (name, other) in KIN:
            continue
        folder = tmp_path / other
        path = write_release(other, folder)
        (folder / "val.csv").write_text(RELEASES["next-gqa"][0]["val.csv"])
        if name == "next-gqa":
            path = path.rename(folder / "gsub_val.json")
        with pytest.raises(RecordError) as refused:
            BENCHMARKS[name].read(path)
        message = str(refused.value)
        assert str(path) in message and "\n" not in message, (other, message)
        # says what is amiss: a missing key, another kind of value, or no line of that form
        assert any(w in message for w in ("has no '", "is expected", "is not JSON", "is not `VIDEO")), (other, message)


@pytest.mark.parametrize("name", RELEASES)
def test_broken_files_are_refused(name: str, tmp_path: Path) -> None:
    path = write_release(name, tmp_path)
    whole = path.read_bytes()
    for content, words in (
        (b"", "is empty"),
        (b" \n", "is empty"),
        (whole[: len(whole) - 9], "torn" if name == "charades-sta" else "cut off"),
        (b"\xff\xfe\x00" + whole, "not text"),
    ):
        if name == "charades-sta" and words == "torn":
            content = whole[:-17]
        path.write_bytes(content)
        with pytest.raises(RecordError, match=words):
            BENCHMARKS[name].read(path)
    path.unlink()
    with pytest.raises(RecordError, match="cannot read"):
        BENCHMARKS[name].read(path)


def test_missing_keys_are_named(tmp_path: Path) -> None:
    path = tmp_path / "val.jsonl"
    path.write_text(json.dumps(QVH) + "\n" + json.dumps({k: v for k, v in QVH.items() if k != "vid"}) + "\n")
    with pytest.raises(
        RecordError, match=r"val\.jsonl, line 2 has no 'vid', so this is no QVHighlights file: it has qid"
    ):
        BENCHMARKS["qvhighlights"].read(path)
    path.write_text(json.dumps({k: v for k, v in QVH.items() if k != "relevant_windows"}) + "\n")
    with pytest.raises(RecordError, match="no QVHighlights with truth file"):
        BENCHMARKS["qvhighlights"].read(path)


def changed(entry: dict[str, Any], **changes: Any) -> str:
    return json.dumps([entry | changes])


@pytest.mark.parametrize(
    ("name", "file", "content", "words"),
    [
        ("charades-sta", "test.txt", "K 1.0 nan##x\n", "line 1: end is 'nan'"),
        (
            "activitynet-captions",
            "v.json",
            '{"v": {"duration": 1, "timestamps": [[1]], "sentences": ["a"]}}',
            r"v: timestamps\[0\]",
        ),
        (
            "activitynet-captions",
            "v.json",
            '{"v": {"duration": 1, "timestamps": [], "sentences": ["a"]}}',
            "0 timestamps but 1",
        ),
        (
            "tacos",
            "t.json",
            '{"v": {"fps": 0, "num_frames": 9, "timestamps": [[1, 2]], "sentences": ["a"]}}',
            "fps is 0 where a positive",
        ),
        ("didemo", "d.json", changed(DIDEMO, times=[[4, 6]]), r"times has \[4, 6\]"),
        ("didemo", "d.json", changed(DIDEMO, times=[[4, 4.5]]), r"times has \[4, 4.5\]"),
        ("didemo", "d.json", changed(DIDEMO, video=3), "video is a number where text"),
        ("tvgbench", "t.json", changed(TVG, answer="1.5 to 4"), "not `start-end`"),
        ("time-r1", "t.json", changed(TUNE, difficulty=101), "not 100 times an IoU"),
        ("qvhighlights", "q.jsonl", json.dumps(QVH | {"saliency_scores": []}), "4 clips but 0 votes"),
        ("qvhighlights", "q.jsonl", 2 * (json.dumps(QVH) + "\n"), "line 2 has the qid 7 of line 1 again"),
        ("null-query", "n.json", RF_RELEASE.replace("true", "false"), "no_answer False but timestamp"),
    ],
)
def test_wrong_values_are_named(name: str, file: str, content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(content)
    with pytest.raises(RecordError, match=words):
        BENCHMARKS[name].read(tmp_path / file)


JUNK = (None, True, -1, 10**400, float("nan"), "", "x", [], {}, [1, 2], [[]])


def spoiled(value: Any) -> Iterator[Any]:
    """The value with one part of it left out or replaced by something else."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in list(parts):
        rest = value.copy()
        del rest[key]
        yield rest
        for other in (*JUNK, *spoiled(part)):
            whole = value.copy()
            whole[key] = other
            yield whole


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", [n for n in RELEASES if n != "charades-sta"])
def test_anything_wrong_is_one_sentence(name: str, tmp_path: Path) -> None:
    """Whatever one part of a file is: items that a manifest holds and protocols can score, or one sentence."""
    path = write_release(name, tmp_path)
    lines = path.suffix == ".jsonl"
    whole = [json.loads(line) for line in path.read_text().splitlines()] if lines else json.loads(path.read_text())
    read = refused = 0
    for value in spoiled(whole):
        path.write_text("\n".join(map(json.dumps, value)) if lines else json.dumps(value))
        try:
            found = BENCHMARKS[name].read(path)
        except RecordError as e:
            assert str(path) in str(e) and "\n" not in str(e)
            refused += 1
            continue
        for item in found:
            assert schema.from_dict(schema.to_dict(item)).status == item.status
        if found:
            validate_gold(BENCHMARKS[name], found)
        read += 1
    assert refused > 30 and read


def test_next_gqa_needs_its_table(tmp_path: Path) -> None:
    path = write_release("next-gqa", tmp_path)
    table = tmp_path / "val.csv"
    rows = table.read_text().splitlines(keepends=True)
    for content, words in (
        ("".join(rows[:2]), "question 4"),
        ("".join(rows)[:-12], "cut off"),
        ("a,b\n1,2\n", "no 'video_id'"),
    ):
        table.write_text(content)
        with pytest.raises(RecordError, match=words):
            BENCHMARKS["next-gqa"].read(path)
    table.unlink()
    with pytest.raises(RecordError, match="is missing"):
        BENCHMARKS["next-gqa"].read(path)


@pytest.mark.parametrize("name", RELEASES)
def test_their_truth_gets_the_full_score(name: str, tmp_path: Path) -> None:
    benchmark = BENCHMARKS[name]
    assert benchmark.task in PROTOCOLS[benchmark.protocol].tasks
    found = validate_gold(benchmark, items(name, tmp_path))
    assert found.passed and not found.skipped
    assert {c.protocol for c in found.checks} == {"default", benchmark.protocol}


def test_a_wrong_reader_is_found(tmp_path: Path) -> None:
    """What validation is for: a truth that its own protocol does not accept."""
    benchmark = BENCHMARKS["qvhighlights"]
    some = items("qvhighlights", tmp_path)
    some[0].spans = some[0].spans[:, ::-1].copy()
    found = validate_gold(benchmark, some)
    assert not found.passed and found.checks[0].short == ["7"] and found.checks[0].gold == 0
    some = items("didemo", tmp_path / "d")
    some[0].extra["times"] = (np.array(some[0].extra["times"]) + 6).tolist()
    with pytest.raises(KeyError):
        validate_gold(BENCHMARKS["didemo"], some)
    assert not validate_gold(benchmark, items("qvhighlights", tmp_path) * 2).passed


#: file, items, invalid, ends after the video's, and what a reader of the papers would look for.
REAL = [
    ("charades-sta", "charades_sta/charades_sta_test.txt", 3720, 0, 562),
    ("charades-sta", "charades_sta/charades_sta_train.txt", 12408, 4, 0),
    ("charades-cd", "charades_sta/cd/charades_test_iid.json", 823, 0, 151),
    ("charades-cd", "charades_sta/cd/charades_test_ood.json", 3375, 0, 348),
    ("activitynet-captions", "activitynet_captions/train.json", 37421, 4, 261),
    ("activitynet-captions", "activitynet_captions/val_1.json", 17505, 0, 134),
    ("activitynet-captions", "activitynet_captions/val_2.json", 17031, 0, 111),
    ("tacos", "tacos/train.json", 9790, 0, 43),
    ("tacos", "tacos/val.json", 4436, 0, 0),
    ("tacos", "tacos/test.json", 4001, 0, 5),
    ("didemo", "didemo/val_data.json", 4180, 0, 0),
    ("didemo", "didemo/test_data.json", 4021, 0, 0),
    ("qvhighlights", "qvhighlights/highlight_train_release.jsonl", 7218, 0, 0),
    ("qvhighlights", "qvhighlights/highlight_val_release.jsonl", 1550, 0, 0),
    ("qvhighlights", "qvhighlights/highlight_test_with_gt.jsonl", 1542, 0, 0),
    ("tvgbench", "tvgbench/tvgbench.json", 800, 11, 27),
    ("time-r1", "tvgbench/timer1_train_2k5.json", 2500, 0, 48),
]


@pytest.mark.parametrize(("name", "file", "count", "invalid", "past"), REAL)
def test_released_files(name: str, file: str, count: int, invalid: int, past: int, real_data: Path) -> None:
    """Counts as the sets are known for, and their truth gets the full score, or the set's own ceiling."""
    benchmark = BENCHMARKS[name]
    found = validate_gold(benchmark, benchmark.read(real_data / "annotations" / file))
    assert (found.items, len(found.faults), found.past) == (count, invalid, past)
    assert found.passed and not found.skipped and not found.repeated
    by_name = {(c.protocol, c.measure): c for c in found.checks}
    if name == "didemo":
        # a quarter of the items has no three annotators who agree
        assert 0.24 < 1 - by_name["didemo", "Rank@1"].gold < 0.26
    elif not invalid:
        assert by_name["default", "mIoU"].gold == 1.0


@pytest.mark.parametrize(
    ("name", "file", "sure"),
    [
        ("vidstg", "vidstg/val_annotations.json", "m_tIoU"),
        ("vue-stg", "vue_stg", "m_vIoU"),
        ("lasot", "lasot/boxes.zip", "m_vIoU"),
        ("mot", "mot15/TUD-Campus.gt.txt", "m_tIoU"),
        ("activitynet", "activitynet13/activitynet13_val_gt.json", None),
        ("thumos14", "thumos14/thumos_gt.json", "mAP"),
    ],
)
def test_truth_of_released_tubes_and_segments(name: str, file: str, sure: str | None, real_data: Path) -> None:
    benchmark = BENCHMARKS[name]
    found = validate_gold(benchmark, benchmark.read(real_data / "annotations" / file))
    assert found.passed and not found.skipped and not found.repeated
    assert sure is None or [c.gold for c in found.checks if c.measure == sure and c.full is not None] == [1.0]


def test_released_kinds(real_data: Path) -> None:
    some = BENCHMARKS["tvgbench"].read(real_data / "annotations/tvgbench/tvgbench.json")
    assert len({i.type for i in some}) == 11
    assert {i.extra["dataset"] for i in some} == {"tacos", "anet", "egonlq", "hirest", "charades"}
    tuned = BENCHMARKS["time-r1"].read(real_data / "annotations/tvgbench/timer1_train_2k5.json")
    for item in tuned:
        (a, b), (c, d) = item.spans[0], item.extra["pred"]
        iou = max(0.0, min(b, d) - max(a, c)) / (max(b, d) - min(a, c))
        assert item.difficulty == pytest.approx(1 - iou, abs=1e-12)


def test_a_dataset_is_one_file_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of CONTRIBUTING: a reader in a `Benchmark`, and a line of `BENCHMARKS`; every command then knows it."""

    def read(path: Path) -> list[Item]:
        lines = (line.split("|") for line in path.read_text().splitlines())
        return [Item(name, "kite.mp4", query, span_array([(float(a), float(b))])) for name, query, a, b in lines]

    tiny = Benchmark("tiny-set", "Tiny", "spans", read, "default", "tiny.txt", "ours", "none", "from public code")
    monkeypatch.setitem(BENCHMARKS, tiny.name, tiny)
    (tmp_path / "tiny.txt").write_text("a|a kite falls|1|2\nb|it is gone|4|6\n")
    done = CliRunner().invoke(app, ["data", "convert", "--benchmark", "tiny-set", "--annotations",
                                    str(tmp_path / "tiny.txt"), "--out", str(tmp_path / "tiny.jsonl")])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert [item.id for item in manifest.read(tmp_path / "tiny.jsonl")] == ["a", "b"]
    result = whenwhere.evaluate("tiny-set", tmp_path / "tiny.txt", {"a": "From 1 to 2 seconds."}, resamples=10)
    assert result.metrics["mIoU"] == 0.5

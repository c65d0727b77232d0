"""Readers of captioned and labelled videos, each on a small file in the form in which the set was published."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whenwhere.datasets import BENCHMARKS, Item, manifest, read_items, schema
from whenwhere.datasets.action_lists import class_names
from whenwhere.datasets.paired import class_words, seconds
from whenwhere.datasets.videos import VideoFolder
from whenwhere.errors import RecordError
from whenwhere.evaluate.run import evaluate
from whenwhere.evaluate.validate import validate_gold

MSRVTT = {
    "info": {"year": "2016"},
    "videos": [
        {"video_id": "video0", "category": 9, "split": "train", "id": 0, "start time": 137.72, "end time": 149.44},
        {"video_id": "video7010", "category": 3, "split": "test", "id": 7010, "start time": 1.0, "end time": 9.0},
    ],
    "sentences": [
        {"caption": "a car is shown", "video_id": "video0", "sen_id": 0},
        {"caption": "a man drives ", "video_id": "video0", "sen_id": 1},
        {"caption": "a pot boils", "video_id": "video7010", "sen_id": 2},
    ],
}
CLIP = "1004_Juno_00.00.32.161-00.00.32.825"
FILES: dict[str, dict[str, str]] = {
    "msrvtt": {
        "MSRVTT_JSFUSION_test.csv": "key,vid_key,video_id,sentence\nret0,msr9770,video9770,a person is connecting "
        'something\nret1,msr9771,video9771,"a little girl, she plays"\n',
        "MSRVTT_data.json": json.dumps(MSRVTT),
        "MSRVTT_train.9k.csv": "video_id\nvideo0\n",
    },
    "msvd": {
        "test_list.txt": "mv89psg6zh4_33_46\n",
        "AllVideoDescriptions.txt": "# a comment\n\nmv89psg6zh4_33_46 a bird in a sink\n"
        "mv89psg6zh4_33_46 a bird bathes\n-_hbPLsZvvo_5_8 a man cooks\n",
        "corpus.csv": "VideoID,Start,End,WorkerID,Source,AnnotationTime,Language,Description\n"
        "mv89psg6zh4,33,46,588702,unverified,55,Slovene,Papagaj se umiva\n"
        "mv89psg6zh4,33,46,588702,clean,55,English,A bird in a sink.\n",
    },
    "lsmdc": {
        "LSMDC16_challenge_1000_publictect.csv": f"{CLIP}\t00.00.32.161\t00.00.32.825\t00.00.30.7\t00.00.33.2\t"
        "SOMEONE stares.\n1004_Juno_00.00.52.204-00.00.54.997\t1\t2\t3\t4\tShe leaves.\n"
    },
    "didemo-retrieval": {
        "test_data.json": json.dumps(
            [
                {"annotation_id": n, "description": said, "video": "u_1.mov", "num_segments": 6, "times": [[k, k]] * 4}
                for n, (said, k) in enumerate([("a kite falls.", 5), ("a kite flies.", 0)])
            ]
        )
    },
    "activitynet-retrieval": {
        "val_1.json": json.dumps(
            {"v_a": {"duration": 9.0, "timestamps": [[4, 8], [0, 3]], "sentences": [" Then it falls.", "A kite."]}}
        )
    },
    "kinetics": {
        "val.csv": "label,youtube_id,time_start,time_end,split\nplaying ukulele,--07WQ2iBlw,1,11,validate\n"
        "abseiling,0347ZoDXyP0,95,105,validate\n"
    },
    "ucf101": {
        "testlist01.txt": "YoYo/v_YoYo_g01_c01.avi\nApplyEyeMakeup/v_ApplyEyeMakeup_g01_c02.avi\n",
        "trainlist01.txt": "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\n",
        "classInd.txt": "1 ApplyEyeMakeup\n2 YoYo\n",
    },
    "hmdb51": {
        "brush_hair_test_split1.txt": "a.avi 0 \nb.avi 1 \nc.avi 2 \n",
        "wave_test_split1.txt": "d.avi 2 \n",
        "wave_test_split2.txt": "d.avi 1 \n",
    },
    "webvid": {
        "results_2M_val.csv": "videoid,contentUrl,duration,page_dir,name\n1058234725,https://example.invalid/a.mp4,"
        'PT00H01M20S,014001_014050,"Kite, over a beach"\n23,https://example.invalid/b.mp4,,,A pot\n'
    },
    "internvid": {
        "flt.jsonl": "".join(
            json.dumps({"YoutubeID": "abc", "Start_timestamp": a, "End_timestamp": b, "Caption": c, "UMT_Score": 0.41})
            + "\n"
            for a, b, c in [
                ("00:00:01.500", "00:01:02.000", "a kite"),
                ("00:00:09.000", "00:00:08.000", "a pot"),
                ("00:00:01.500", "00:01:02.000", "a kite again"),
            ]
        )
    },
}
MAIN = {name: next(iter(files)) for name, files in FILES.items()}


def written(name: str, folder: Path, main: str | None = None) -> Path:
    for file, content in FILES[name].items():
        (folder / file).write_text(content)
    return folder if name == "hmdb51" else folder / (main or MAIN[name])


def items(name: str, folder: Path, main: str | None = None) -> list[Item]:
    return BENCHMARKS[name].read(written(name, folder, main))


def test_msrvtt_has_three_kinds_of_files(tmp_path: Path) -> None:
    pairs = items("msrvtt", tmp_path)
    assert [(i.id, i.video, i.query, i.split) for i in pairs] == [
        ("ret0", "video9770", "a person is connecting something", "test"),
        ("ret1", "video9771", "a little girl, she plays", "test"),
    ]
    every = items("msrvtt", tmp_path, "MSRVTT_data.json")
    assert [(i.id, i.query, i.split) for i in every] == [
        ("video0#0", "a car is shown", "train"),
        ("video0#1", "a man drives", "train"),
        ("video7010#2", "a pot boils", "test"),
    ]
    assert [(i.extra["video"], i.extra["videos"]) for i in every] == [(0, 2), (0, 2), (1, 2)]
    trained = items("msrvtt", tmp_path, "MSRVTT_train.9k.csv")
    assert [i.id for i in trained] == ["video0#0", "video0#1"] and {i.split for i in trained} == {"train"}
    (tmp_path / "MSRVTT_data.json").unlink()
    with pytest.raises(RecordError, match=r"put MSRVTT_data\.json in the same folder"):
        BENCHMARKS["msrvtt"].read(tmp_path / "MSRVTT_train.9k.csv")


def test_msvd_takes_the_sentences_beside_its_list(tmp_path: Path) -> None:
    found = items("msvd", tmp_path)
    assert [(i.id, i.query, i.split) for i in found] == [
        ("mv89psg6zh4_33_46#0", "a bird in a sink", "test"),
        ("mv89psg6zh4_33_46#1", "a bird bathes", "test"),
    ]
    assert len(items("msvd", tmp_path, "AllVideoDescriptions.txt")) == 3
    (english,) = items("msvd", tmp_path, "corpus.csv")
    assert (english.video, english.query) == ("mv89psg6zh4_33_46", "A bird in a sink.")


def test_lsmdc_clips_may_lie_in_the_film_s_folder(tmp_path: Path) -> None:
    found = items("lsmdc", tmp_path)
    assert (found[0].id, found[0].query, found[0].split) == (CLIP, "SOMEONE stares.", "test")
    assert found[0].extra["names"] == [f"1004_Juno/{CLIP}"] and found[1].extra["video"] == 1


def test_paragraphs_join_all_sentences_of_a_video(tmp_path: Path) -> None:
    (didemo,) = items("didemo-retrieval", tmp_path)
    assert (didemo.id, didemo.query, didemo.split) == ("u_1.mov", "a kite falls. a kite flies.", "test")
    (activity,) = items("activitynet-retrieval", tmp_path)
    assert (activity.query, activity.duration) == ("Then it falls. A kite.", 9.0)


def test_lists_of_actions_number_their_classes(tmp_path: Path) -> None:
    kinetics = items("kinetics", tmp_path)
    assert [(i.id, i.extra["label"]) for i in kinetics] == [
        ("--07WQ2iBlw_000001_000011", 1),
        ("0347ZoDXyP0_000095_000105", 0),
    ]
    assert class_names(kinetics) == ["abseiling", "playing ukulele"]
    assert "playing_ukulele/--07WQ2iBlw_000001_000011" in kinetics[0].extra["names"]
    ucf = items("ucf101", tmp_path)
    assert [(i.id, i.query, i.extra["label"]) for i in ucf] == [
        ("YoYo/v_YoYo_g01_c01", "yo yo", 1),
        ("ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c02", "apply eye makeup", 0),
    ]
    (trained,) = items("ucf101", tmp_path, "trainlist01.txt")
    assert trained.split == "train" and trained.extra["classes"] == 2
    folder = tmp_path / "hmdb"
    folder.mkdir()
    hmdb = items("hmdb51", folder)
    assert [(i.id, i.query, i.split, i.extra["label"]) for i in hmdb] == [
        ("brush_hair/b", "brush hair", "train", 0),
        ("brush_hair/c", "brush hair", "test", 0),
        ("wave/d", "wave", "test", 1),
    ]
    (second,) = BENCHMARKS["hmdb51"].read(folder / "2")
    assert second.split == "train"
    with pytest.raises(RecordError, match="split3"):
        BENCHMARKS["hmdb51"].read(folder / "3")


def test_tables_of_clips_have_times_as_text(tmp_path: Path) -> None:
    webvid = items("webvid", tmp_path)
    assert [(i.id, i.query, i.duration) for i in webvid] == [
        ("1058234725", "Kite, over a beach", 80.0),
        ("23", "A pot", None),
    ]
    assert webvid[0].extra["names"] == ["014001_014050/1058234725"] and "names" not in webvid[1].extra
    first, faulty, again = items("internvid", tmp_path)
    assert first.window is not None and (first.window.start, first.window.end) == (1.5, 62.0)
    assert (
        first.id == "abc_00:00:01.500_00:01:02.000" and again.id == f"{first.id}#2" and first.extra["UMT_Score"] == 0.41
    )
    assert faulty.status == "invalid" and faulty.fault == "ends at 8 s, not after its start at 9 s"


@pytest.mark.parametrize("name", ["webvid", "internvid"])
def test_a_table_is_the_same_in_every_kind_of_file(name: str, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = written(name, tmp_path)
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        import csv

        rows = list(csv.DictReader(path.read_text().splitlines()))
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "table_val.parquet")
    (tmp_path / "table_val.json").write_text(json.dumps(rows))
    (tmp_path / "table_val.jsonl").write_text("\n".join(map(json.dumps, rows)))
    lines = [",".join(rows[0]), *(",".join(f'"{row[key]}"' for key in rows[0]) for row in rows)]
    (tmp_path / "table_val.csv").write_text("\n".join(lines) + "\n")

    def brief(path: Path) -> list[Any]:
        return [
            (i.id, i.video, i.query, i.duration, i.window, i.extra.get("names")) for i in BENCHMARKS[name].read(path)
        ]

    for ending in ("parquet", "json", "jsonl", "csv"):
        assert brief(tmp_path / f"table_val.{ending}") == brief(path), ending


def test_a_clip_s_file_is_found_by_any_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "v" / "playing_ukulele").mkdir(parents=True)
    (tmp_path / "v" / "playing_ukulele" / "--07WQ2iBlw_000001_000011.mp4").write_bytes(b"")
    # the whole video is not the clip
    (tmp_path / "v" / "0347ZoDXyP0.webm").write_bytes(b"")
    there = VideoFolder(tmp_path / "v")
    found = [there.find_item(item) for item in items("kinetics", tmp_path)]
    assert [path and path.name for path in found] == ["--07WQ2iBlw_000001_000011.mp4", None]
    assert [there.find_item(item) for item in items("lsmdc", tmp_path)] == [None, None]


@pytest.mark.parametrize("name", FILES)
def test_items_fit_a_manifest_and_their_truth_gets_the_full_score(name: str, tmp_path: Path) -> None:
    found = items(name, tmp_path)
    assert manifest.write(found, tmp_path / "out.jsonl") == len(found) == len({i.id for i in found})
    assert [schema.to_dict(i) for i in manifest.read(tmp_path / "out.jsonl")] == [schema.to_dict(i) for i in found]
    assert validate_gold(BENCHMARKS[name], found).passed
    assert all(item.provenance for item in found)


def test_similarities_alone_are_scored_beside_the_released_file(tmp_path: Path) -> None:
    path = written("msrvtt", tmp_path, "MSRVTT_data.json")
    np.savez(tmp_path / "sims.npz", similarity=np.array([[0.9, 0.1], [0.2, 0.4], [0.0, 1.0]]))
    found = evaluate("msrvtt", path, tmp_path / "sims.npz", resamples=50)
    # the second of three sentences ranks the other video first
    assert found.metrics["t2v-R@1"] == pytest.approx(2 / 3)
    path = written("ucf101", tmp_path)
    np.savez(tmp_path / "scores.npz", scores=np.array([[0.1, 0.9], [0.2, 0.8]]))
    assert evaluate("ucf101", path, tmp_path / "scores.npz", resamples=50).metrics["top-1"] == 0.5


@pytest.mark.parametrize("name", [n for n in FILES if n != "hmdb51"])
def test_another_file_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    path = written(name, tmp_path)
    for content in (
        "",
        "a,b\n1,2\n",
        "[1, 2]",
        "\x00\x01",
        '{"a": 1}\n',
        path.read_text()[: len(path.read_text()) // 3],
    ):
        path.write_text(content)
        try:
            found = read_items(BENCHMARKS[name], path)
        except RecordError as e:
            assert str(path) in str(e) and "\n" not in str(e)
        else:
            # what was cut off at the end of a whole line is a shorter file
            assert content and content in FILES[name][path.name] and found


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("kinetics", ",1,11,", ",11,1,", "not possible"),
        ("kinetics", ",1,11,", ",one,11,", "finite number"),
        ("ucf101", "YoYo/v_YoYo", "YoTo/v_YoYo", r"classInd\.txt"),
        ("ucf101", "YoYo/v", "v", r"classInd\.txt"),
        ("lsmdc", "\tSOMEONE", " SOMEONE", "six"),
        ("webvid", "PT00H01M20S", "twenty", "finite number"),
        ("internvid", "00:00:01.500", "-1.5", "before 0 s"),
        ("internvid", "abc", "", "empty"),
        ("msrvtt", "ret1", "ret0", "twice"),
    ],
)
def test_a_faulty_row_is_named(name: str, old: str, new: str, message: str, tmp_path: Path) -> None:
    path = written(name, tmp_path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(RecordError, match=message):
        BENCHMARKS[name].read(path)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("00:00:01.500", 1.5), ("1:02", 62.0), ("01:00:00", 3600.0), ("2.5", 2.5), (7, 7.0), (" 0:09.25 ", 9.25)],
)
def test_clock_times(said: object, meant: float) -> None:
    assert seconds(said, "x") == meant


@pytest.mark.parametrize("said", ["", "1:2:3:4", "a:b", None, True, "nan", [1]])
def test_what_is_no_time_is_refused(said: object) -> None:
    with pytest.raises(RecordError, match="finite number"):
        seconds(said, "x")


def test_names_of_classes_become_words() -> None:
    assert [class_words(n) for n in ("TaiChi", "HandstandPushups", "shoot_ball", "tap dancing", "BMX2Jump")] == [
        "tai chi", "handstand pushups", "shoot ball", "tap dancing", "bmx2 jump"]  # fmt: skip

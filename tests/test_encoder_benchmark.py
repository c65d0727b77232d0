"""An encoder answers a benchmark's released files from its videos, and the file of answers is scored by itself."""

import json
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import NAMES, ColourEncoder, plain

pytest.importorskip("torch")

import torch

from whenwhere.cli.eval import eval_
from whenwhere.datasets import BENCHMARKS
from whenwhere.errors import RecordError, SettingError
from whenwhere.evaluate.run import evaluate
from whenwhere.models.encoders.config import EncoderConfig, TextConfig, VideoConfig
from whenwhere.models.encoders.evaluation.benchmark import answer_benchmark
from whenwhere.models.encoders.evaluation.benchmark_videos import SamplingSettings
from whenwhere.models.encoders.model import VideoTextModel
from whenwhere.models.heads.answer_head import AnswerHeadSettings
from whenwhere.models.heads.localizer import LocalizerSettings
from whenwhere.video.write import FrameWriter

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

#: What `encoder.json` says of every task, beside the settings that its answers depend on.
COMMON = {"encoder", "benchmark", "train", "notes", "unseen"}
PAIRS, ACTIONS = Path("lists", "pairs.csv"), Path("lists", "actions.csv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of one colour each, with their lists in the form of MSR-VTT's 1k-A and of Kinetics."""
    folder = tmp_path_factory.mktemp("colours")
    pairs, actions = ["key,vid_key,video_id,sentence"], ["label,youtube_id,time_start,time_end,split"]
    for number, name in enumerate(NAMES):
        for path in (f"video{number}.mp4", f"y{number}_000000_000002.mp4"):
            with FrameWriter(folder / path, 64, 64, 8) as writer:
                for image in plain(name, 16).repeat(4, 1).repeat(4, 2):
                    writer.write(image)
        # the training clips of Kinetics have the videos of MSR-VTT
        (folder / f"video{number}_000000_000002.mp4").symlink_to(folder / f"video{number}.mp4")
        pairs.append(f"ret{number},msr{number},video{number},it is {name}")
        actions.append(f"{name},y{number},0,2,test")
    lists = folder / "lists"
    lists.mkdir()
    (lists / "pairs.csv").write_text("\n".join(pairs) + "\n")
    (lists / "actions.csv").write_text("\n".join(actions) + "\n")
    return folder


def test_retrieval_of_a_released_file(folder, tmp_path):
    answers = answer_benchmark(ColourEncoder(), "msrvtt", folder / PAIRS, folder, tmp_path)
    assert not answers.faults and answers.path == tmp_path / "similarity.npz"
    scored = evaluate("msrvtt", folder / PAIRS, answers.path, resamples=10)
    assert scored.metrics["t2v-R@1"] == scored.metrics["v2t-R@1"] == 1
    # the file carries the truth, so that another protocol needs nothing else
    dual = evaluate("retrieval", None, answers.path, protocol="retrieval-dual-softmax", resamples=10)
    assert dual.metrics["t2v-R@1"] == 1
    about = json.loads((tmp_path / "encoder.json").read_text())
    assert about["encoder"] == "colours" and about["frames"] == 4 and about["clips"] == 1 and about["unseen"] == []
    assert about.keys() == COMMON | {"frames", "clips"}


def test_recognition_of_a_released_list_with_several_clips(folder, tmp_path):
    how = SamplingSettings(frames=6, clips=2, templates=("{}", "a {} thing"), ensemble="embedding")
    answers = answer_benchmark(ColourEncoder(frames=1), "kinetics", folder / ACTIONS, folder, tmp_path, how)
    assert evaluate("kinetics", answers.items, answers.path, resamples=10).metrics["top-1"] == 1
    about = json.loads((tmp_path / "encoder.json").read_text())
    assert about["frames"] == 6 and about["templates"] == ["{}", "a {} thing"] and about["ensemble"] == "embedding"
    assert about.keys() == COMMON | {"frames", "clips", "templates", "ensemble"}


def test_videos_that_are_missing_or_broken_count_as_wrong(folder, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    for path in folder.glob("*.mp4"):
        (videos / path.name).symlink_to(path)
    for name in ("video1.mp4", "y1_000000_000002.mp4"):
        (videos / name).unlink()
    for name in ("video2.mp4", "y2_000000_000002.mp4"):
        (videos / name).unlink()
        (videos / name).write_bytes(b"no video")
    answers = answer_benchmark(ColourEncoder(), "msrvtt", folder / PAIRS, videos, tmp_path)
    assert len(answers.faults) == 2 and "holds no video video1" in answers.faults[0] and "video2" in answers.faults[1]
    assert evaluate("retrieval", None, answers.path, resamples=10).metrics["t2v-R@1"] == 6 / 8
    answers = answer_benchmark(ColourEncoder(), "kinetics", folder / ACTIONS, videos, tmp_path)
    assert evaluate("kinetics", answers.items, answers.path, resamples=10).metrics["top-1"] == 6 / 8
    with pytest.raises(RecordError, match=r"none of the 8 videos can be read; the first: .* holds no video"):
        answer_benchmark(ColourEncoder(), "msrvtt", folder / PAIRS, tmp_path, tmp_path)


def test_clips_that_are_windows_of_one_video(tmp_path):
    """Red for two seconds, then green; a third clip begins after the end, and counts as wrong."""
    with FrameWriter(tmp_path / "a.mp4", 64, 64, 8) as writer:
        for name in ("red", "green"):
            for image in plain(name, 16).repeat(4, 1).repeat(4, 2):
                writer.write(image)
    rows = [("0", "2", "red"), ("2", "9", "green"), ("20", "22", "blue")]
    lines = [
        json.dumps({"YoutubeID": "a", "Start_timestamp": s, "End_timestamp": e, "Caption": f"it is {c}"})
        for s, e, c in rows
    ]
    (tmp_path / "clips.jsonl").write_text("\n".join(lines))
    answers = answer_benchmark(ColourEncoder(), "internvid", tmp_path / "clips.jsonl", tmp_path, tmp_path / "out")
    assert len(answers.faults) == 1 and "begins at 20 s" in answers.faults[0]
    assert evaluate("internvid", answers.items, answers.path, resamples=10).metrics["t2v-R@1"] == pytest.approx(2 / 3)


def test_a_training_file_makes_recognition_a_linear_probe(folder, tmp_path):
    rows = (folder / ACTIONS).read_text().splitlines()
    train = [rows[0], *(row.replace(",y", ",video").replace("test", "train") for row in rows[1:])]
    (tmp_path / "train.csv").write_text("\n".join(train))
    answers = answer_benchmark(
        ColourEncoder(), "kinetics", folder / ACTIONS, folder, tmp_path, train=tmp_path / "train.csv"
    )
    assert evaluate("kinetics", answers.items, answers.path, resamples=10).metrics["top-1"] == 1
    assert "linear probe on 8 training videos" in answers.notes[0] and answers.train is None
    # a probe reads no prompts
    assert json.loads((tmp_path / "encoder.json").read_text()).keys() == COMMON | {"frames", "clips"}
    with pytest.raises(SettingError, match="8 videos are in the training file and in the annotations"):
        answer_benchmark(ColourEncoder(), "kinetics", folder / ACTIONS, folder, tmp_path, train=folder / ACTIONS)
    (tmp_path / "other.csv").write_text("\n".join(train[:3]))
    with pytest.raises(SettingError, match="classes of the training file are not those"):
        answer_benchmark(ColourEncoder(), "kinetics", folder / ACTIONS, folder, tmp_path, train=tmp_path / "other.csv")


def test_open_questions_of_a_released_file(folder, tmp_path):
    def asked(path: str, first: int, count: int) -> None:
        found = [
            {"id": first + k, "video_id": first % 8 + k, "question": "what colour is it?", "answer": NAMES[k]}
            for k in range(count)
        ]
        (tmp_path / path).write_text(json.dumps(found))

    asked("train_qa.json", 0, 8)
    asked("test_qa.json", 8, 8)
    # the same videos under other names, so that the splits do not overlap
    videos = tmp_path / "videos"
    videos.mkdir()
    for k in range(8):
        (videos / f"video{k}.mp4").symlink_to(folder / f"video{k}.mp4")
        (videos / f"video{k + 100}.mp4").symlink_to(folder / f"video{k}.mp4")
    found = json.loads((tmp_path / "test_qa.json").read_text())
    (tmp_path / "test_qa.json").write_text(json.dumps([q | {"video_id": q["video_id"] + 100} for q in found]))
    quick = SamplingSettings(answer_head=AnswerHeadSettings(hidden=32, steps=80, batch=8, learning_rate=1e-2))
    given = ("msrvtt-qa", tmp_path / "test_qa.json", videos, tmp_path, quick)
    answers = answer_benchmark(ColourEncoder(), *given, train=tmp_path / "train_qa.json")
    scored = evaluate("msrvtt-qa", answers.items, answers.path, resamples=10, train=answers.train)
    assert scored.metrics["exact-match"] == 1 and scored.report.scores.groups["what"]["n"] == 8
    assert "head over the 8 answers of 8 training questions" in answers.notes[0]
    about = json.loads((tmp_path / "encoder.json").read_text())
    assert about.keys() == COMMON | {"frames", "clips", "answer_head"} and about["answer_head"]["steps"] == 80
    for file, video, said in (("own.jsonl", "video100", ["red"]), ("none.jsonl", "video0", [])):
        (tmp_path / file).write_text(json.dumps({"id": file, "video": video, "question": "what?", "answers": said}))
    with pytest.raises(RecordError, match="no question of the training file has an answer"):
        answer_benchmark(
            ColourEncoder(), "vqa", tmp_path / "own.jsonl", videos, tmp_path, train=tmp_path / "none.jsonl"
        )
    with pytest.raises(SettingError, match="answered by a head that learns"):
        answer_benchmark(ColourEncoder(), *given)
    with pytest.raises(SettingError, match="nothing is learned for msrvtt"):
        answer_benchmark(ColourEncoder(), "msrvtt", folder / PAIRS, folder, tmp_path, train=folder / PAIRS)


def test_files_of_questions_are_read_and_refused(tmp_path):
    entry = {"id": 7, "video_id": 3, "question": "Who sings?", "answer": "man", "category_id": 14}
    path = tmp_path / "val_qa.json"
    path.write_text(json.dumps([entry]))
    (item,) = BENCHMARKS["msrvtt-qa"].read(path)
    assert (item.id, item.video, item.query, item.type, item.split) == ("7", "video3", "Who sings?", "who", "val")
    assert item.extra["answers"] == ["man"]
    (item,) = BENCHMARKS["msvd-qa"].read(path)
    assert item.video == "vid3"
    (tmp_path / "youtube_mapping.txt").write_text("-4wsuPCjDBc_5_15 vid3\n")
    (item,) = BENCHMARKS["msvd-qa"].read(path)
    assert item.video == "-4wsuPCjDBc_5_15" and item.extra["names"] == ["vid3"]
    for broken, message in (
        ([entry, entry], "the id '7' twice"),
        ([entry | {"question": " "}], "question is empty"),
        ([{"id": 1}], "video_id"),
        ({"a": 1}, "where a list is expected"),
    ):
        path.write_text(json.dumps(broken))
        with pytest.raises(RecordError, match=message):
            BENCHMARKS["msrvtt-qa"].read(path)
    (tmp_path / "own.jsonl").write_text('{"id": "a", "video": "v", "question": "who?", "answers": ["he"]}\n')
    (item,) = BENCHMARKS["vqa"].read(tmp_path / "own.jsonl")
    assert (item.video, item.query) == ("v", "who?")


def test_actions_of_a_released_file(tmp_path):
    """Black, then a colour, then black again: the head learns from videos of one subset and answers another."""
    truth: dict[str, dict[str, object]] = {"training": {}, "validation": {}}
    for number in range(16):
        subset, name = ("training", "validation")[number % 4 == 3], ("red", "green")[number % 2]
        start, end = 1 + number % 3, 4 + number % 2
        with FrameWriter(tmp_path / f"v{number}.mp4", 16, 16, 4) as writer:
            for frame in range(32):
                writer.write(plain(name if start <= frame / 4 < end else "black", 1)[0])
        segment = {"label": name, "segment": [start, end]}
        truth[subset][f"v{number}"] = {"subset": subset, "duration": 8.0, "annotations": [segment]}
    for subset, database in truth.items():
        (tmp_path / f"{subset}.json").write_text(json.dumps({"database": database}))
    head = LocalizerSettings(width=16, levels=2, steps=60, batch=8, learning_rate=1e-2, most=20)
    quick = SamplingSettings(localizer=head)
    given = ("activitynet", tmp_path / "validation.json", tmp_path, tmp_path / "out", quick)
    answers = answer_benchmark(ColourEncoder(frames=1), *given, train=tmp_path / "training.json")
    scored = evaluate("activitynet", answers.items, answers.path, resamples=10, train=answers.train)
    assert scored.metrics["mAP@0.5"] > 0.9 and "anchor-free head" in answers.notes[0]
    about = json.loads((tmp_path / "out" / "encoder.json").read_text())
    assert about.keys() == COMMON | {"sample_fps", "localizer"} and about["localizer"]["steps"] == 60


def test_what_an_encoder_cannot_answer(folder, tmp_path):
    (folder / "spans.txt").write_text("V 0.0 1.0##a person walks.\n")
    with pytest.raises(SettingError, match="charades-sta is of spans: let a grounder answer it"):
        answer_benchmark(ColourEncoder(), "charades-sta", folder / "spans.txt", folder, tmp_path)
    np.savez(tmp_path / "table.npz", similarity=np.eye(2))
    with pytest.raises(SettingError, match="file of answers without sentences"):
        answer_benchmark(ColourEncoder(), "retrieval", tmp_path / "table.npz", folder, tmp_path)
    with pytest.raises(SettingError, match="clips is 0 and must be at least 1"):
        SamplingSettings(clips=0)


def test_the_command_asks_a_saved_encoder(folder, tmp_path, capsys):
    torch.manual_seed(0)
    small = EncoderConfig(
        VideoConfig(image_size=16, frames=4, patch=8, tubelet=2, width=16, layers=1, heads=2, output=8),
        TextConfig(width=16, layers=1, heads=2, context=8, output=8),
    )
    VideoTextModel.from_words(small, ["it is", *NAMES]).save(tmp_path / "model")
    given = {
        "benchmark": "msrvtt",
        "annotations": folder / PAIRS,
        "videos": folder,
        "out": tmp_path / "out",
    }
    eval_(model=f"encoder:{tmp_path / 'model'}", json_=True, device="cpu", export="json", **given)
    found = json.loads(capsys.readouterr().out)
    again = evaluate("retrieval", None, tmp_path / "out" / "similarity.npz", resamples=10)
    assert found["summary"] == again.metrics and found["items"] == 8
    assert found["files"]["annotations"] == str(folder / PAIRS)
    with pytest.raises(SettingError, match="--model answers the benchmark itself"):
        eval_(model="encoder:x", **(given | {"out": None}))
    with pytest.raises(SettingError, match=r"write encoder:\./model"):
        eval_(model="./model", **given)
    with pytest.raises(SettingError, match="--model encoder:NAME"):
        eval_(benchmark="msrvtt")
    assert np.load(tmp_path / "out" / "similarity.npz")["similarity"].shape == (8, 8)

"""`whenwhere eval` on every kind of answer, on files that the tests write: the paths that the reference tests take."""

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def evaluated(cli: Run) -> Callable[..., dict]:
    def run(benchmark: str, annotations: Path, predictions: Path, *options: object) -> dict:
        done = cli("eval", "--benchmark", benchmark, "--annotations", annotations, "--predictions", predictions,
                   "--json", *options)  # fmt: skip
        return json.loads(done.stdout)

    return run


def rows(report: dict) -> dict[str, dict]:
    return {r["name"]: r["summary"] for r in report["rows"]}


# -- tubes on frames --------------------------------------------------------------------------------------------------

COUNT, FRAMES, FPS = 6, 500, 25


def hcstvg(folder: Path, shift: int = 0, wrong: int | None = None) -> tuple[Path, Path]:
    """A small HC-STVG v1 and a challenge result: the truth, moved in time, and one answer on the wrong side."""
    truth, answers = {}, {}
    rng = np.random.default_rng(0)
    for n in range(COUNT):
        first, length = int(rng.integers(40, 200)), 60 + 20 * n
        boxes = [[100.0 + k, 80.0, 60.0, 120.0] for k in range(length)]
        truth[f"{n}.mp4"] = {
            "bbox": boxes, "st_frame": first, "img_num": FRAMES, "st_time": (first - 1) / FPS,
            "ed_time": (first - 1 + length) / FPS, "caption": f"the person {n} walks", "width": 640, "height": 360,
        }  # fmt: skip
        moved = {first + k + shift: [x, y, x + w, y + h] for k, (x, y, w, h) in enumerate(boxes)}
        if n == wrong:
            moved = {f: [500, 300, 520, 340] for f in moved}
        answers[f"{n}.mp4"] = {"st_frame": first + shift, "ed_frame": first + shift + length - 1, "bbox": moved}
    (folder / "test.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(answers))
    return folder / "test.json", folder / "results.json"


def test_true_tubes_score_one_where_the_protocol_lets_them(evaluated, tmp_path):
    truth, answers = hcstvg(tmp_path)
    for protocol in ("default-tubes", "hcstvg-official", "stcat"):
        summary = evaluated("hcstvg-v1", truth, answers, "--protocol", protocol)["summary"]
        assert summary["m_tIoU"] == pytest.approx(1) and summary["m_vIoU"] == pytest.approx(1), protocol
    # a perfect answer still loses where the truth is read a frame late
    assert evaluated("hcstvg-v1", truth, answers, "--protocol", "tubedetr")["summary"]["m_tIoU"] < 1


def test_tubes_have_constants_and_say_where_they_lose(evaluated, tmp_path):
    found = evaluated("hcstvg-v1", *hcstvg(tmp_path, shift=30, wrong=2), "--protocol", "default-tubes")
    beside = rows(found)
    assert {"whole video, whole-frame box", "whole video, centre box"} <= beside.keys()
    assert 0 < beside["whole video, whole-frame box"]["m_vIoU"] < 0.1
    assert any(name.startswith("best constant span") for name in beside)
    lost = found["decomposition"]["all"]
    assert lost["wrong-object"] == pytest.approx(1 / COUNT)
    assert lost["m_tIoU"] == pytest.approx(found["summary"]["m_tIoU"]) == lost["oracle-space"]
    assert lost["m_vIoU"] < lost["oracle-time"] < 1
    assert found["diagnostics"]["mean start error (s)"] == pytest.approx(30 / FPS)
    # the wrong one is found in the wrong place, not at the wrong time
    assert lost["m_sIoU"] < 1 - 1 / COUNT + 1e-9


def test_the_table_of_tubes_is_printed(cli, tmp_path):
    truth, answers = hcstvg(tmp_path, wrong=0)
    shown = cli("eval", "--benchmark", "hcstvg-v1", "--annotations", truth, "--predictions", answers).stdout
    assert "Loss in time and in space" in shown and "wrong-object" in shown


def test_a_set_without_boxes_says_so(cli, tmp_path):
    truth, answers = hcstvg(tmp_path)
    released = json.loads(truth.read_text())
    for entry in released.values():
        entry["bbox"] = []
    truth.write_text(json.dumps(released))
    done = cli("eval", "--benchmark", "hcstvg-v1", "--annotations", truth, "--predictions", answers,
               "--protocol", "default-tubes", "--json")  # fmt: skip
    assert json.loads(done.stdout)["decomposition"] is None
    said = [note for note in json.loads(done.stdout)["notes"] if "has a true box" in note]
    assert len(said) == 1 and str(truth) in said[0]
    done = cli("data", "validate", "--benchmark", "hcstvg-v1", "--annotations", truth)
    assert "no item has a true box" in done.stderr and str(truth) in done.stderr


# -- one box per second -----------------------------------------------------------------------------------------------


def test_one_box_a_second(evaluated, tmp_path):
    (tmp_path / "video.csv").write_text("video_id,video_duration\nk,60.0\n")
    (tmp_path / "query.csv").write_text("query_id,query_text,video_id\na,a kite,k\nb,a dog,k\n")
    head = "query_id,time_ms,time_normalized,x0,y0,x1,y1\n"
    truth = [f"{q},{t * 1000},{t / 60},0.1,0.1,0.5,0.5\n" for q, s in (("a", 4), ("b", 20)) for t in range(s, s + 8)]
    (tmp_path / "tubes.csv").write_text(head + "".join(truth))
    (tmp_path / "answers.csv").write_text(head + "".join(truth[:4]))  # half of the first, none of the second
    found = evaluated("vue-stg", tmp_path, tmp_path / "answers.csv")
    assert found["summary"]["t_IoU"] == 0.25 and found["summary"]["v_IoU_Int"] == pytest.approx(1)
    assert found["status"] == {"answered": 1, "missing": 1}
    assert any(f["kind"] == "missing" for f in found["faults"])


# -- highlights, chunks, detection, questions -------------------------------------------------------------------------


def test_highlights(evaluated, tmp_path):
    gold, given = [], []
    for qid in range(8):
        clips = [2 * qid % 10, 2 * qid % 10 + 1]
        gold.append({
            "qid": qid, "query": f"query {qid}", "vid": f"v{qid // 2}", "duration": 40,
            "relevant_windows": [[2 * clips[0], 2 * clips[1] + 2]], "relevant_clip_ids": clips,
            "saliency_scores": [[4, 4, 4], [4, 4, 4]],
        })  # fmt: skip
        saliency = [float(c in clips) for c in range(20)]
        given.append({
            "qid": qid, "query": f"query {qid}", "vid": f"v{qid // 2}", "pred_saliency_scores": saliency,
            "pred_relevant_windows": [[2 * clips[0], 2 * clips[1] + 2, 0.9], [0, 40, 0.1]],
        })  # fmt: skip
    for name, values in (("gold", gold), ("given", given)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(v) + "\n" for v in values))
    found = evaluated("qvhighlights", tmp_path / "gold.jsonl", tmp_path / "given.jsonl")
    assert found["printed"]["MR-full-R1@0.7"] == found["printed"]["HL-min-VeryGood-Hit1"] == 100
    assert found["printed"]["MR-full-mAP"] == 100
    assert rows(found)["query swap"]["MR-full-R1@0.5"] == 0


def test_chunks(evaluated, tmp_path):
    entries = [
        {"annotation_id": n, "description": f"moment {n}", "video": f"v{n}", "dl_link": "", "num_segments": 6,
         "times": [[n % 6, n % 6]] * 4}
        for n in range(12)
    ]  # fmt: skip
    truth, answers = tmp_path / "val_data.json", tmp_path / "rankings.json"
    truth.write_text(json.dumps(entries))
    every = [[a, b] for a in range(6) for b in range(a, 6)]
    answers.write_text(json.dumps([[e["times"][0], *(m for m in every if m != e["times"][0])] for e in entries]))
    found = evaluated("didemo", truth, answers)
    assert found["summary"]["Rank@1"] == found["summary"]["mIoU"] == 1
    beside = rows(found)
    assert beside["most frequent moments"]["Rank@1"] == pytest.approx(1 / 6)
    assert beside["whole video"]["mIoU"] == pytest.approx(1 / 6)


def test_detection(evaluated, tmp_path):
    database: dict = {}
    for n in range(12):
        segments = [{"label": f"class {n % 2}", "segment": s} for s in ([5.0 + n, 15.0 + n], [30.0, 50.0])]
        database[f"v{n}"] = {"subset": "validation", "duration": 60.0, "annotations": segments}
    results = {v: [{"label": a["label"], "score": 0.9, "segment": a["segment"]} for a in d["annotations"]]
               for v, d in database.items()}  # fmt: skip
    del results["v5"], results["v11"]
    truth, answers = tmp_path / "truth.json", tmp_path / "answers.json"
    truth.write_text(json.dumps({"database": database, "taxonomy": [], "version": "VERSION 1.3"}))
    answers.write_text(json.dumps({"results": results, "version": "VERSION 1.3", "external_data": {}}))
    found = evaluated("activitynet", truth, answers)
    assert found["summary"]["mAP@0.5"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["status"] == {"answered": 10, "missing": 2}
    assert rows(found)["whole video"]["mAP"] < 0.1
    # a pooled number has an interval too, from videos left out in turn
    low, high = found["intervals"]["mAP"]
    assert low < found["summary"]["mAP"] < high
    assert found["jackknife"]["measures"] == ["mAP@0.5", "mAP@0.75", "mAP@0.95", "mAP"]


# -- raw model text ---------------------------------------------------------------------------------------------------


def test_raw_text_is_parsed_and_failures_are_counted(evaluated, tmp_path):
    (tmp_path / "charades_sta_test.txt").write_text("".join(f"V{n} 3.0 9.0##a person sits down.\n" for n in range(4)))
    texts = [
        "<think>2 people</think><answer>3.0 to 9.0</answer>",
        "From 3.0s - 9.0s",
        "00:03 to 00:09",
        "I cannot tell.",
    ]
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(json.dumps({"id": f"V{n}#0", "text": t}) + "\n" for n, t in enumerate(texts)))
    found = evaluated("charades-sta", tmp_path / "charades_sta_test.txt", answers)
    assert found["summary"]["R1@0.7"] == 0.75
    assert found["diagnostics"]["parse-failure rate"] == 0.25
    assert found["scored"] == 4
    # what a model said is its answer, not a fault of the file
    assert evaluated("charades-sta", tmp_path / "charades_sta_test.txt", answers, "--strict") == found


def test_many_measures_stand_behind_what_stands_beside_them(cli, tmp_path):
    (tmp_path / "val.jsonl").write_text(
        "".join(
            json.dumps({
                "qid": n, "query": "a dog runs", "duration": 20, "vid": f"v{n}", "relevant_windows": [[4, 10]],
                "relevant_clip_ids": [2, 3, 4], "saliency_scores": [[4, 4, 4]] * 3,
            }) + "\n"
            for n in range(3)
        )
    )  # fmt: skip
    (tmp_path / "answers.jsonl").write_text(
        "".join(json.dumps({"qid": n, "pred_relevant_windows": [[4, 10, 0.9]]}) + "\n" for n in range(3))
    )
    cli("eval", "--benchmark", "qvhighlights", "--annotations", tmp_path / "val.jsonl",
        "--predictions", tmp_path / "answers.jsonl", "--out", tmp_path / "out", "--export", "md")  # fmt: skip
    # two files: on a terminal the headline only, in the file the headline first
    answers = tmp_path / "answers.jsonl"
    call = ("eval", "--benchmark", "qvhighlights", "--annotations", tmp_path / "val.jsonl")
    shown = cli(*call, "--predictions", answers, answers, "--out", tmp_path / "two").stdout.partition(
        "Difference (A − B)"
    )[2]
    assert "MR-full-mAP " in shown and "MR-long-mAP@0.95" not in shown and "further measures" in shown
    names = [line.split(" | ")[0] for line in (tmp_path / "two" / "comparison.md").read_text().splitlines()]
    assert names.index("| MR-full-mAP") < names.index("| MR-long-mAP@0.95")
    titles = [line for line in (tmp_path / "out" / "report.md").read_text().splitlines() if line.startswith("## ")]
    assert titles.index("## Baselines and controls") < titles.index("## Further measures")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_name_or_number_is_broken_on_a_narrow_terminal(width):
    from rich.console import Console

    from whenwhere.evaluate.table import Table, rich_table

    names = ["answers", "MR-full-R1@0.5", "MR-full-mAP@0.75", "HL-min-VeryGood-Hit1", "t_Precision", "items"]
    table = Table("Beside", names, [["whole video, whole-frame box", 0.25, 0.5, 0.125, 0.75, 1550]], "a note")
    parts = table.within(width)
    console = Console(width=width, record=True, file=io.StringIO())
    for part in parts:
        console.print(rich_table(part))
    text = console.export_text()
    assert all(name in text for name in names) and max(map(len, text.splitlines())) <= width
    assert [c for p in parts for c in p.columns[1:]] == names[1:] and [p.note for p in parts][-1] == "a note"


@pytest.mark.parametrize("videos", [4, 24])
def test_intervals_of_pooled_measures_are_possible_values(evaluated, tmp_path, videos):
    lines, answers = [], []
    for n in range(2 * videos):
        there = n % 2 == 0
        windows = [[4.0, 10.0]] if there else []
        lines.append({"qid": n, "query": f"goal {n}", "vid": f"v{n // 2}", "duration": 30, "relevant_windows": windows})
        answers.append({"id": str(n), "spans": windows if n % 9 else [[1.0, 2.0]], "confidence": 0.9})
    for name, rows in (("test.jsonl", lines), ("answers.jsonl", answers)):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = evaluated("null-query", tmp_path / "test.jsonl", tmp_path / "answers.jsonl")
    # confidence is that of the answer: a sure "it is not there" is a sure no
    assert found["summary"]["AUROC"] > 0.9
    # of very few videos a jackknife says nothing
    assert ("AUROC" in found["intervals"]) == (videos > 4)
    assert all(0 <= low <= high <= 1 for low, high in found["intervals"].values())
    if videos > 4:
        assert found["jackknife"]["groups"] == videos


# -- from Python ------------------------------------------------------------------------------------------------------


def test_from_python_it_is_the_same(evaluated, tmp_path):
    from whenwhere.errors import RecordError
    from whenwhere.evaluate.compare import compare
    from whenwhere.evaluate.run import evaluate

    truth, answers = hcstvg(tmp_path, shift=12)
    report = evaluate("hcstvg-v1", truth, answers, protocol="default-tubes").report
    printed = evaluated("hcstvg-v1", truth, answers, "--protocol", "default-tubes")
    assert report.data() == printed
    with pytest.raises(RecordError, match="use one protocol"):
        compare(report, evaluate("hcstvg-v1", truth, answers, protocol="stcat").report)
    # other items
    part = json.loads(truth.read_text())
    del part["0.mp4"]
    (tmp_path / "part.json").write_text(json.dumps(part))
    with pytest.raises(RecordError, match=r"1 items are scored for the first only.*0\.mp4"):
        compare(report, evaluate("hcstvg-v1", tmp_path / "part.json", answers, protocol="default-tubes").report)

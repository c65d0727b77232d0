"""`whenwhere.evaluate` from Python: in memory and from files, names as people type them, folders of `batch`."""

import importlib
import inspect
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import whenwhere
from whenwhere.datasets import BENCHMARKS
from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import RecordError, SettingError, did_you_mean, squeeze
from whenwhere.evaluate.constants import Constant
from whenwhere.evaluate.formats import FORMATS, Format, write_predictions
from whenwhere.evaluate.names import (
    BENCHMARK_ALIASES,
    PROTOCOL_ALIASES,
    find_benchmark,
    find_protocol,
)
from whenwhere.evaluate.prediction import Boxes, Prediction
from whenwhere.evaluate.protocol import Protocol, Scores
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.run import compute_metrics
from whenwhere.evaluate.tasks import TASKS, Task
from whenwhere.evaluate.validate import validate_gold
from whenwhere.records import Grounding

ITEMS = [Item(str(n), f"v{n // 2}.mp4", f"event {n}", span_array([(n, n + 4.0)]), duration=30.0) for n in range(8)]
TRUE = {item.id: Prediction(item.id, spans=item.spans) for item in ITEMS}
LATE = {item.id: Prediction(item.id, spans=item.spans + 2) for item in ITEMS}


# -- the package is a function ----------------------------------------------------------------------------------------


def test_the_package_can_be_called_and_stays_a_package():
    result = whenwhere.evaluate("manifest", ITEMS, TRUE, resamples=100)
    assert result.metrics["mIoU"] == 1.0
    report = importlib.import_module("whenwhere.evaluate.report")
    assert whenwhere.evaluate.report is report  # type: ignore[attr-defined]
    assert report.tables(result.report)
    # notebooks show the arguments of the function
    assert {"benchmark", "predictions", "protocol"} <= inspect.signature(whenwhere.evaluate).parameters.keys()
    assert whenwhere.evaluate("manifest", ITEMS, LATE, resamples=100).metrics["mIoU"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("first", ["import whenwhere.evaluate.report", "from whenwhere import evaluate", "pass"])
def test_it_can_be_called_whatever_was_imported_before(first):
    code = (
        f"import sys, whenwhere\n{first}\nassert callable(whenwhere.evaluate)\n"
        "assert 'whenwhere.evaluate.run' not in sys.modules and 'evaluate' in dir(whenwhere)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- in memory --------------------------------------------------------------------------------------------------------


def test_answers_in_memory_may_be_predictions_records_or_text():
    record = Grounding(
        id="run-7", query="Event 2", status="answered", spans=[{"start": 2, "end": 6}],
        video={"path": "clips/v1.mp4", "sha256_1mb": "", "duration": 30, "declared_duration": None, "start": 0,
               "width": 64, "height": 36, "fps": 25, "vfr": False, "rotation": 0},
    )  # fmt: skip
    mixed = {"0": TRUE["0"], "1": "from 1.0 to 5.0 seconds", "run-7": record, "3": "I cannot tell.", "x": "0 to 1"}
    report = whenwhere.evaluate("manifest", ITEMS, mixed, resamples=100).report
    assert report.scores.items["mIoU"].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert report.status == {"answered": 3, "unparsed": 1, "missing": 4}
    assert [fault.kind for fault in report.faults] == ["unknown id", "missing"]
    assert whenwhere.evaluate("manifest", ITEMS, [record], resamples=100).metrics["mIoU"] == 1 / 8


def test_the_numbers_alone_are_those_of_the_report():
    for protocol in ("default", "charades-sta", "multispan"):
        found = whenwhere.evaluate("manifest", ITEMS, LATE, protocol=protocol, resamples=100).metrics
        assert compute_metrics(ITEMS, LATE, protocol) == found


def test_two_in_memory_are_compared_and_written(tmp_path):
    result = whenwhere.evaluate("manifest", ITEMS, TRUE, LATE, resamples=200, out=tmp_path, export="json,md")
    assert result.comparison is not None and result.comparison.differences["mIoU"].mean == pytest.approx(2 / 3)
    assert {path.name for path in result.files} == {"report.json", "report.md", "comparison.json", "comparison.md"}
    assert json.loads((tmp_path / "second" / "report.json").read_text()) == result.data()[1]
    assert "## Difference (A − B)" in str(result) and "## Baselines and controls" in str(result)


def test_strict_refuses_before_anything_is_written(tmp_path):
    part = dict(list(TRUE.items())[:5])
    with pytest.raises(RecordError, match="3 × missing"):
        whenwhere.evaluate("manifest", ITEMS, part, strict=True, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(SettingError, match="--annotations"):
        whenwhere.evaluate("manifest", None, TRUE)
    with pytest.raises(SettingError, match="a list of items"):
        whenwhere.evaluate("manifest", 3, TRUE)


def test_detections_in_memory_belong_to_videos():
    rows = [np.array([[2 * n, 2 * n + 4, 0.9]]) for n in range(3)]
    given = [Prediction(f"v{n}.mp4", ranked=row, labels=[f"event {2 * n}"]) for n, row in enumerate(rows)]
    answers = {prediction.id: prediction for prediction in given}
    report = whenwhere.evaluate("activitynet", ITEMS, answers, resamples=100).report
    assert report.status == {"answered": 3, "missing": 1}
    assert [fault.kind for fault in report.faults] == ["missing"]
    assert report.scores.summary["mAP"] == 3 / 8


# -- the folder of a batch --------------------------------------------------------------------------------------------


def test_predictions_may_be_the_folder_that_batch_wrote(cli, tmp_path):
    manifest = tmp_path / "items.jsonl"
    manifest.write_text("".join(
        json.dumps({"id": i.id, "video": i.video, "query": i.query, "spans": i.spans.tolist(), "duration": 30}) + "\n"
        for i in ITEMS
    ))  # fmt: skip
    for n, item in enumerate(ITEMS[:6]):
        folder = tmp_path / "out" / ("deep" if n > 3 else "") / item.video.removesuffix(".mp4")
        folder.mkdir(parents=True, exist_ok=True)
        record = Grounding(id=item.id, query=item.query, status="answered", spans=[{"start": n, "end": n + 4}])
        with open(folder / "grounding.jsonl", "a") as file:
            file.write(record.to_json() + "\n")
    call = ("eval", "--benchmark", "manifest", "--annotations", manifest)
    found = json.loads(cli(*call, "--predictions", tmp_path / "out", "--json").stdout)
    assert found["summary"]["mIoU"] == 6 / 8 and found["format"] == "whenwhere"
    assert found["files"]["predictions"] == str(tmp_path / "out") and found["status"]["missing"] == 2
    # a torn line is reported with the file it stands in
    with open(tmp_path / "out" / "v0" / "grounding.jsonl", "a") as file:
        file.write('{"version": 1, "id": "6", "qu')
    report = whenwhere.evaluate("manifest", manifest, tmp_path / "out", resamples=100).report
    assert any(fault.kind == "torn line" and "v0/grounding.jsonl:3" in fault.where for fault in report.faults)
    (tmp_path / "empty").mkdir()
    said = cli(*call, "--predictions", tmp_path / "empty", status=1).stderr
    assert "grounding.jsonl" in said and len(said.splitlines()) == 1


# -- names ------------------------------------------------------------------------------------------------------------


def test_names_are_spelled_with_hyphens_and_found_as_they_are_typed():
    for name in (*BENCHMARKS, *PROTOCOLS):
        assert name == name.lower() and "_" not in name and " " not in name
    assert find_benchmark("charades").name == "charades-sta" and find_benchmark("QVHighlights").name == "qvhighlights"
    assert find_benchmark("hc-stvg").name == "hcstvg-v1" and find_benchmark("Vue_STG").name == "vue-stg"
    assert find_protocol("vue_stg").name == "vue-stg" and find_protocol("HCSTVG_official").name == "hcstvg-official"
    # no two names are the same as people type them, and every alias belongs to one that exists
    for known, aliases in ((BENCHMARKS, BENCHMARK_ALIASES), (PROTOCOLS, PROTOCOL_ALIASES)):
        short = [squeeze(name) for name in (*known, *aliases)]
        assert len(short) == len(set(short)) and set(aliases.values()) <= known.keys()


def test_at_most_five_names_are_proposed():
    assert did_you_mean("retrieval-dual", PROTOCOLS) == " (did you mean retrieval-dual-softmax?)"
    assert did_you_mean("a", [f"a{n}" for n in range(9)]).count(" or ") == 4
    with pytest.raises(SettingError, match="did you mean charades-sta or charades-cd"):
        find_benchmark("charade")
    with pytest.raises(SettingError, match="choose from"):
        find_protocol("hota", BENCHMARKS["tacos"])


# -- what can be added in one place -----------------------------------------------------------------------------------


def counted(items, by_id):
    column = np.array([float(item.id in by_id) for item in items])
    return Scores({"answered": float(column.mean())}, [i.id for i in items], [i.video for i in items], {"a": column})


def test_a_protocol_is_one_entry(monkeypatch):
    tiny = Protocol("tiny", ("spans",), counted, "ours", "this test", {"hit": "any answer"}, ("answered",))
    monkeypatch.setitem(PROTOCOLS, "tiny", tiny)
    result = whenwhere.evaluate("manifest", ITEMS, dict(list(TRUE.items())[:4]), protocol="tiny", resamples=100)
    assert result.metrics == {"answered": 0.5}
    assert [row.name for row in result.report.rows][:2] == ["these answers", "whole video"]
    assert tiny in TASKS["spans"].protocols


def test_a_prediction_format_is_one_entry(monkeypatch, tmp_path):
    def read(intake):
        for at, line in intake.lines():
            id, start, end = line.decode().split(";")
            for item in intake.find(at, id):
                intake.keep(at, Prediction(item.id, spans=span_array([(float(start), float(end))])))

    def write(path, predictions, items):
        path.write_text("start;\n")

    tiny = Format("tiny", "semicolons", "csv", lambda header: ";" in header[0], read, write, "everything else", "here")
    monkeypatch.setitem(FORMATS, "tiny", tiny)
    (tmp_path / "answers.txt").write_text("".join(f"{n};{n};{n + 4}\n" for n in range(8)))
    result = whenwhere.evaluate("manifest", ITEMS, tmp_path / "answers.txt", resamples=100)
    assert result.metrics["mIoU"] == 1.0 and result.report.format == "tiny"


def test_a_task_is_one_entry(monkeypatch):
    def most(items, train):
        return [Constant("always 3", "3 for every item", {i.id: Prediction(i.id, answer="3") for i in items})]

    def score(items, by_id):
        right = [float(i.id in by_id and by_id[i.id].answer == i.answer) for i in items]
        return Scores({"Acc": float(np.mean(right))}, [i.id for i in items], [i.video for i in items],
                      {"Acc": np.array(right)})  # fmt: skip

    monkeypatch.setitem(TASKS, "counting", Task("counting", "a number", most, timed=False))
    tiny = Protocol("counting", ("counting",), score, "ours", "this test", {"hit": "equal"}, ("Acc",))
    monkeypatch.setitem(PROTOCOLS, "counting", tiny)
    bench = Benchmark("count", "Counting", "counting", lambda path: [], "counting", "", "", "", "from public code")
    items = [replace(item, answer=str(n % 4)) for n, item in enumerate(ITEMS)]
    result = whenwhere.evaluate(bench, items, {i.id: Prediction(i.id, answer="1") for i in items}, resamples=100)
    assert result.metrics == {"Acc": 0.25} and result.report.diagnostics == {}
    assert [(row.name, row.summary["Acc"]) for row in result.report.rows] == [
        ("these answers", 0.25), ("always 3", 0.25)
    ]  # fmt: skip


def test_every_benchmark_and_protocol_belongs_to_a_task_that_scores_it():
    assert {b.task for b in BENCHMARKS.values()} <= TASKS.keys()
    assert {task for p in PROTOCOLS.values() for task in p.tasks} <= TASKS.keys()
    for task in TASKS.values():
        assert task.protocols and task.formats
        assert set(task.definitions) <= {p.name for p in task.protocols}


# -- scores of candidates, in memory ----------------------------------------------------------------------------------


def test_retrieval_without_a_row_ranks_last():
    items = [Item(str(n), f"v{n}", extra={"video": n, "videos": 4}) for n in range(4)]
    answers = {str(n): Prediction(str(n), scores=np.eye(4)[n]) for n in range(3)}
    report = whenwhere.evaluate("retrieval", items, answers, resamples=100).report
    assert report.scores.items["t2v-MnR"].tolist() == [1, 1, 1, 4]
    assert report.rows[1].name == "chance" and report.rows[1].summary["t2v-R@1"] == 0.25


@pytest.mark.parametrize("name", ["retrieval", "recognition", "vqa"])
def test_gold_answers_to_candidates_get_the_full_score_and_are_written_and_read(name, tmp_path):
    items = {
        "retrieval": [Item(str(n), f"{n // 2}", extra={"video": n // 2, "videos": 3}) for n in range(5)],
        "recognition": [Item(str(n), f"v{n}", extra={"label": n % 3, "classes": 9}) for n in range(5)],
        "vqa": [Item(str(n), str(n), extra={"answers": ["red"] * 7 + [f"other {n}"] * 3}) for n in range(5)],
    }[name]
    assert validate_gold(BENCHMARKS[name], items).passed
    task = TASKS[name]
    (form,) = task.formats
    path = write_predictions(tmp_path / "file.npz", task.gold(items), items, form)
    again = whenwhere.evaluate(name, None if task.truth_in_predictions else items, path, resamples=100)
    assert again.report.format == form and again.report.faults == []
    assert again.metrics == compute_metrics(items, task.gold(items), name)


def test_tubes_in_memory_need_no_file():
    box = np.array([[0.0, 0, 10, 10]] * 4)
    items = [replace(ITEMS[0], spans=span_array([(0, 4)]), width=20, height=20)]
    answer = Prediction("0", spans=span_array([(0, 4)]), boxes=[Boxes(np.arange(4.0), box)])
    report = whenwhere.evaluate("manifest-tubes", items, {"0": answer}, resamples=100).report
    assert report.scores.summary["m_tIoU"] == 1.0 and any("true box" in note for note in report.notes)

"""`whenwhere data export`: rows that hold the truth, read back by TRL and by each project's documented keys."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from whenwhere.answers import FORMS
from whenwhere.answers.dialects import DIALECTS
from whenwhere.curate.training_formats import TRAINING_FORMATS, export
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import OutputError, RecordError, SettingError
from whenwhere.spans import Span, SpanSet
from whenwhere.tubes import Tube
from whenwhere.verify import Verifier, adapters

sys.path.insert(0, str(Path(__file__).parent))
from commands import run

#: The reward of answers in the form that the default dialect is asked for.
PAID = Verifier({"t_iou": 1}, form=DIALECTS["qwen3-vl"].spans_form)


def write(folder: Path, *items: Item) -> Path:
    manifest.write(items, folder / "m.jsonl")
    return folder / "m.jsonl"


def item(name: str, spans: list[tuple[float, float]], **others: Any) -> Item:
    given = {"video": "a.mp4", "duration": 8.0, "source": "own", "split": "train"} | others
    return Item(name, query=f"the {name} dog", spans=span_array(spans), **given)


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return parquet.read_table(path).to_pylist()  # type: ignore[no-any-return]
    text = path.read_text()
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]  # type: ignore[no-any-return]


def parts(name: str, stage: str, row: dict[str, Any]) -> tuple[str, str, str]:
    """Prompt, answer and target of a row, where each project looks for them."""
    if name == "easyr1":
        return row["problem"], "", row["answer"]
    if name == "verl" and stage == "rl":
        return row["prompt"][0]["content"], "", row["reward_model"]["ground_truth"]
    if name == "trl":
        text = "".join(part["text"] or "<image>" for part in row["prompt"][0]["content"])
        return text, row["completion"][0]["content"] if stage == "sft" else "", row["target"]
    messages = row["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant"][: 2 if stage == "sft" else 1]
    return messages[0]["content"], messages[1]["content"] if stage == "sft" else "", row.get("target", "")


@pytest.mark.parametrize(
    ("name", "stage", "ending"),
    [(f.name, stage, ending) for f in TRAINING_FORMATS.values() for stage in f.stages for ending in f.endings],
)
def test_rows_hold_prompt_video_and_truth(
    name: str, stage: str, ending: str, moving_clip: Path, tmp_path: Path
) -> None:
    shutil.copy(moving_clip, tmp_path / "a.mp4")
    items = [item("red", [(1, 3.5)]), item("blue", [(0.5, 1), (2, 4)])]
    out = tmp_path / "out" / f"rows{ending}"
    result = export(write(tmp_path, *items), name, out, stage=stage, frames=2)
    rows = read(out)
    assert result.rows == len(rows) == 2 and not result.left_out and result.files[0] == out
    for row, one in zip(rows, items, strict=True):
        prompt, answer, target = parts(name, stage, row)
        assert f'"{one.query}"' in prompt and "8.0 seconds" in prompt
        if name == "trl":
            assert prompt.count("<image>") == 2 and all(Path(p).is_file() for p in row["images"])
        else:
            assert prompt.startswith("<video>") and len(row["videos"]) == 1
            video = row["videos"][0]
            assert Path(video["video"] if isinstance(video, dict) else video).samefile(tmp_path / "a.mp4")
        if target and answer:
            # what is to be learned is what the project's reward pays in full
            assert adapters.scorer(PAID)(answer, target)["reward"] == pytest.approx(1)
        elif target:
            assert json.loads(target)["spans"] == one.spans.tolist()


def test_what_cannot_be_written_is_left_out_with_its_reason(tmp_path: Path) -> None:
    items = [
        item("good", [(1, 3)]), item("bad", [(3, 1)], status="invalid"), item("late", [(1, 30)]),
        item("unknown", [(1, 2)], duration=None), item("window", [(1, 2)], window=Span(5, 9), offset=5.0),
    ]  # fmt: skip
    result = export(write(tmp_path, *items), "ms-swift", tmp_path / "o.jsonl")
    assert result.rows == 1 and sum(result.left_out.values()) == 4
    assert {result.examples[r] for r in result.left_out} == {"bad", "late", "unknown", "window"}
    result = export(tmp_path / "m.jsonl", "ms-swift", tmp_path / "o.jsonl", form="answer", prompt="When? {query}")
    assert [row["id"] for row in read(tmp_path / "o.jsonl")] == ["good", "unknown"]
    absent = write(tmp_path, item("good", [(1, 3)]), item("absent", []), item("two", [(1, 2), (3, 4)]))
    result = export(absent, "ms-swift", tmp_path / "o.jsonl", form="answer", prompt="When? {query}")
    assert dict(result.left_out) == {
        "the form answer cannot hold an absence": 1,
        "the form answer cannot hold 2 spans": 1,
    }
    with pytest.raises(RecordError, match=r"no item of .* can be written for ms-swift"):
        export(write(tmp_path, items[1]), "ms-swift", tmp_path / "o.jsonl")


def test_a_form_with_a_choice_is_asked_with_the_options(tmp_path: Path) -> None:
    right = item("right", [(1, 2)], options=["a cat", "a dog"], answer="A dog")
    other = item("other", [(1, 2)], options=["a cat", "a dog"])
    out = tmp_path / "out.jsonl"
    found = export(write(tmp_path, right, other), "ms-swift", out, form="tvg-r1-qa", prompt="When? {query}")
    prompt, answer, target = parts("ms-swift", "sft", read(out)[0])
    assert prompt.endswith("When? the right dog\n(A) a cat\n(B) a dog") and json.loads(target)["choice"] == "B"
    assert FORMS["tvg-r1-qa"].parse(answer).choice == "B" and found.rows == 1
    assert list(found.left_out) == ["the form tvg-r1-qa cannot hold a question without a right option"]


def test_windows_count_from_what_is_shown(tmp_path: Path) -> None:
    """A truth at 6-7 s of the video, in a window from 5 s on, is at 1-2 s, whichever way the release counts."""
    items = [item("own", [(1, 2)], window=Span(5, 9), offset=5.0), item("whole", [(6, 7)], window=Span(5, 9))]
    export(write(tmp_path, *items), "verl", tmp_path / "o.parquet", stage="rl")
    for row in read(tmp_path / "o.parquet"):
        truth = json.loads(row["reward_model"]["ground_truth"])
        assert truth["spans"] == [[1, 2]] and truth["duration"] == 4
        assert row["videos"][0]["video_start"] == 5 and row["videos"][0]["video_end"] == 9


def test_boxes_and_trajectories_are_carried(tmp_path: Path) -> None:
    tube = Tube(SpanSet([(1, 3)]), [1, 2, 2.9], [[10, 20, 60, 80]] * 3, rate=1)
    boxed = item("a", [(1, 3)], tubes=[tube], width=100, height=100)
    told = item("b", [(1, 3)], extra={"trajectory": "<think>It jumps at 1.0 s.</think><answer>1.00 to 3.00</answer>"})
    bare = item("c", [(1, 3)], tubes=[tube])
    given = {"form": "second-level", "prompt": "When and where? {query}"}
    result = export(write(tmp_path, boxed, told, bare), "ms-swift", tmp_path / "o.jsonl", **given)  # type: ignore[arg-type]
    first, second = read(tmp_path / "o.jsonl")
    found = FORMS["second-level"].parse(first["messages"][1]["content"])
    assert found.valid and len(found.boxes) == 3 and json.loads(first["target"])["boxes"][0] == [1, 10, 20, 60, 80]
    assert second["messages"][1]["content"] == told.extra["trajectory"]
    assert dict(result.left_out) == {"the form second-level cannot hold a truth without its frame's size": 1}


def test_llama_factorys_list_of_sets_keeps_others(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text('{"other": {"file_name": "x.json"}}')
    result = export(write(tmp_path, item("a", [(1, 3)])), "llama-factory", tmp_path / "mine.json")
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert info["other"] == {"file_name": "x.json"} and info["mine"]["file_name"] == "mine.json"
    assert info["mine"]["columns"] == {"messages": "messages", "videos": "videos"} and len(result.files) == 2


def test_what_makes_no_sense_is_a_sentence(tmp_path: Path) -> None:
    source = write(tmp_path, item("a", [(1, 3)]))
    cases: list[tuple[str, str, dict[str, Any], str]] = [
        ("ms-swif", "o.jsonl", {}, "did you mean ms-swift"), ("verl", "o.jsonl", {}, "does not read o.jsonl"),
        ("easyr1", "o.jsonl", {}, "no data for the stage 'sft'"), ("ms-swift", "o.jsonl", {"stage": "dpo"}, "'dpo'"),
        ("ms-swift", "o.jsonl", {"dialect": "qwen3"}, "did you mean"),
        ("ms-swift", "o.jsonl", {"form": "answers"}, "no form"),
        ("ms-swift", "o.jsonl", {"form": "answer"}, "give a prompt too"),
        ("trl", "o.jsonl", {"frames": 0}, "at least 1 picture"),
        ("ms-swift", "o.jsonl", {"prompt": "When?"}, "has no {query}"),
        ("ms-swift", "o.jsonl", {"videos": tmp_path / "no"}, "no folder of videos"),
    ]  # fmt: skip
    for to, name, options, said in cases:
        with pytest.raises(SettingError, match=said):
            export(source, to, tmp_path / name, **options)
    with pytest.raises(RecordError, match="its video is not there"):
        export(source, "trl", tmp_path / "o.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        export(source, "ms-swift", tmp_path / "file" / "o.jsonl")
    assert not list(tmp_path.glob("o.*"))


@pytest.mark.torch
def test_trl_reads_its_rows(moving_clip: Path, tmp_path: Path) -> None:
    """TRL's own functions take the rows: as conversations, with as many pictures as placeholders."""
    datasets = pytest.importorskip("datasets")
    data_utils = pytest.importorskip("trl.data_utils")
    shutil.copy(moving_clip, tmp_path / "a.mp4")
    source = write(tmp_path, item("red", [(1, 3)]), item("blue", [(2, 3)]))
    for stage, ending in (("sft", ".jsonl"), ("rl", ".parquet")):
        out = tmp_path / f"{stage}{ending}"
        export(source, "trl", out, stage=stage, frames=3)
        kind = "json" if ending == ".jsonl" else "parquet"
        rows = datasets.load_dataset(kind, data_files=str(out), split="train", cache_dir=str(tmp_path / "cache"))
        rows = rows.cast_column("images", datasets.List(datasets.Image()))
        for row in rows:
            assert data_utils.is_conversational(row)
            filled = data_utils.prepare_multimodal_messages(row["prompt"], images=row["images"])
            pictures = [part["image"] for part in filled[0]["content"] if part["type"] == "image"]
            assert len(pictures) == 3 and pictures[0].mode == "RGB"
            assert adapters.trl(PAID)(completions=["[]"], target=[row["target"]]) != [None]


def test_the_command(tmp_path: Path) -> None:
    source = write(tmp_path, item("a", [(1, 3)]), item("b", [(3, 1)], status="invalid"))
    done = run("data", "export", source, "--to", "easyr1", "--stage", "rl", "--out", tmp_path / "o.jsonl")
    assert "1 row for easyr1" in done.stdout and "left out: 1, such as b" in done.stderr

"""No line ends the reading of a list of questions or a manifest: the good ones after it are still read."""

import json
from pathlib import Path

import pytest

from whenwhere.datasets import manifest
from whenwhere.datasets.questions import read_questions

GOOD = {"video": "good.mp4", "query": "a dog"}
LINES = {
    "NUL": json.dumps({"video": "a\0b.mp4", "query": "a dog"}),
    "deep": "[" * 100_000,
    "deep and whole": '{"video": "a.mp4", "query": "a dog", "id": ' + "[" * 400 + "]" * 400 + "}",
    "huge number": '{"video": "a.mp4", "query": "a dog", "id": ' + "9" * 10_000 + "}",
    "lone surrogate in the video": '{"video": "\\ud800.mp4", "query": "a dog"}',
    "lone surrogate in the sentence": '{"video": "a.mp4", "query": "a \\udc00"}',
    "lone surrogate in the id": '{"video": "a.mp4", "query": "a dog", "id": "\\ud800"}',
    "wrong types": '{"video": ["a.mp4"], "query": {"a": 1}}',
    "window": '{"video": "a.mp4", "query": "a dog", "window": [1e400, 2]}',
    "long value": json.dumps({"video": "a.mp4", "query": "a dog", "id": ["x" * 100_000]}),
    "null": "null",
    "torn": '{"video": "a.mp4", "que',
}


@pytest.mark.parametrize("kind", LINES)
def test_json_lines(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(f"{LINES[kind]}\n{json.dumps(GOOD)}\n")
    found = read_questions(path)
    assert [i.query for i in found.items] == ["a dog"] and found.items[0].video.endswith("good.mp4")
    assert len(found.faults) == 1 and found.faults[0].startswith("m.jsonl, line 1: ") and len(found.faults[0]) < 500
    assert "unexpected" not in found.faults[0]
    # the same line in a manifest
    path.write_text(f"{LINES[kind]}\n{json.dumps(GOOD | {'id': 'a', 'spans': []})}\n")
    bad, good = manifest.scan(path)
    assert bad.item is None and bad.kind != "unexpected" and len(bad.fault or "") < 600
    assert good.item is not None and good.item.id == "a"


@pytest.mark.parametrize(
    "row", ["x" * 200_000 + ",a dog", "a\0b.mp4,a dog", ",a dog", "only", '"' + "x" * 140_000 + '",q', ""]
)
def test_csv(tmp_path: Path, row: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"video,query\n{row}\ngood.mp4,a dog\n")
    found = read_questions(path)
    assert [Path(i.video).name for i in found.items] == ["good.mp4"]
    assert len(found.faults) == bool(row) and all(f.startswith("m.csv, line ") and len(f) < 500 for f in found.faults)


def test_parquet_with_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    """A file's name keeps its bytes, as in the other formats; a sentence has to be text."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def text(*values: bytes) -> object:
        data = pa.array(values, pa.binary())
        return pa.Array.from_buffers(pa.string(), len(values), data.buffers())

    table = pa.table(
        {"video": text(b"caf\xe9.mp4", b"b.mp4", b"c.mp4"), "query": text(b"a dog", b"\xff\xfe", b"a cat")}
    )
    parquet.write_table(table, tmp_path / "m.parquet")
    found = read_questions(tmp_path / "m.parquet")
    assert [(Path(i.video).name, i.query) for i in found.items] == [("caf\udce9.mp4", "a dog"), ("c.mp4", "a cat")]
    assert found.faults == ["m.parquet, line 2: 'query' is not UTF-8: save the file as UTF-8"]
    rows = table.append_column("id", pa.array(["1", "2", "3"])).append_column(
        "spans", pa.array([[], [], []], pa.list_(pa.list_(pa.float64())))
    )
    parquet.write_table(rows, tmp_path / "n.parquet")
    lines = list(manifest.scan(tmp_path / "n.parquet"))
    assert [line.kind for line in lines] == ["not UTF-8", "not UTF-8", None]

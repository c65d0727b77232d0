"""Manifests: exact round trips, refusals that name file and line, streaming, the commands."""

import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whenwhere.datasets import BENCHMARKS, manifest, schema
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.summary import summarise
from whenwhere.errors import RecordError
from whenwhere.spans import Span, SpanSet
from whenwhere.tubes import Tube

REALS = st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | REALS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def tubes(draw: st.DrawFn) -> Tube:
    start = draw(st.floats(0, 1e4))
    length = draw(st.floats(0.1, 1e4))
    share = sorted(draw(st.sets(st.integers(0, 999), max_size=5)))
    times = [start + length * s / 1000 for s in share]
    corner = st.floats(-1e4, 1e4)
    boxes = []
    for _ in times:
        x, y = draw(corner), draw(corner)
        boxes.append([x, y, x + draw(st.floats(0.1, 1e4)), y + draw(st.floats(0.1, 1e4))])
    sources = ["smoothed"] * len(times) if draw(st.booleans()) else []
    return Tube(
        SpanSet([(start, start + length)]),
        times,
        boxes,
        rate=draw(st.floats(0.01, 100)),
        sources=sources,
        id=draw(WORDS),
        label=draw(st.none() | WORDS),
        score=draw(st.none() | REALS),
    )


@st.composite
def items(draw: st.DrawFn) -> Item:
    spans = span_array(draw(st.lists(st.tuples(REALS, REALS), max_size=4)))
    valid = bool((spans[:, 0] < spans[:, 1]).all())
    positive = st.none() | st.floats(min_value=5e-324, allow_infinity=False, allow_nan=False)
    whole = st.none() | st.integers(0, 2**40)
    words = st.none() | WORDS
    windows = st.floats(-1e6, 1e6).map(lambda start: Span(start, start + 1.5))
    return Item(
        draw(st.text(min_size=1, max_size=12)),
        draw(st.text(min_size=1, max_size=12)),
        draw(WORDS),
        spans,
        draw(st.lists(tubes(), max_size=2)),
        draw(positive),
        draw(st.none() | windows),
        draw(REALS),
        draw(positive),
        draw(whole),
        draw(whole),
        draw(whole),
        "valid" if valid else "invalid",
        draw(words),
        draw(words),
        draw(words),
        draw(words),
        draw(words),
        draw(st.lists(WORDS, max_size=2)),
        draw(st.lists(WORDS, max_size=2)),
        draw(words),
        draw(st.none() | st.floats(0, 1)),
        draw(words),
        draw(st.dictionaries(WORDS, JSON, max_size=2)),
        draw(st.dictionaries(WORDS, JSON, max_size=2)),
    )


def exactly(item: Item) -> Any:
    """Everything an item holds, floats by their bits."""
    out = []
    for key in schema.KEYS[1:]:
        value = getattr(item, key)
        if key == "spans":
            value = value.tobytes()
        elif key == "tubes":
            value = [
                [t.id, t.label, t.score, t.rate, t.sources]
                + [a.tobytes() for a in (t.spans.starts, t.spans.ends, t.times, t.boxes)]
                for t in value
            ]
        out.append((key, repr(value)))
    return out


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(items(), min_size=1, max_size=3))
def test_round_trip_is_exact_in_both_formats(tmp_path_factory: pytest.TempPathFactory, some: list[Item]) -> None:
    folder = tmp_path_factory.mktemp("m")
    for ending in ("jsonl", "parquet"):
        path = folder / f"m.{ending}"
        assert manifest.write(some, path) == len(some)
        assert list(map(exactly, manifest.read(path))) == list(map(exactly, some))


def test_every_field_of_an_item_has_a_check() -> None:
    assert set(schema._CHECKS) == set(schema.KEYS)


GOOD: dict[str, Any] = {"id": "a", "video": "v", "query": "q", "spans": [[1, 2]]}
TUBE: dict[str, Any] = {"spans": [[0, 2]], "times": [0, 1], "x1": [0, 0], "y1": [0, 0], "x2": [9, 9], "y2": [9, 9]}


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        (GOOD | {"span": []}, "unknown key", "unknown key 'span' (did you mean spans?)"),
        ({k: v for k, v in GOOD.items() if k != "query"}, "missing key", "no key 'query'"),
        (GOOD | {"version": 2}, "version", "version 2"),
        (GOOD | {"spans": [[1]]}, "wrong type", "not a list of [start, end]"),
        (GOOD | {"spans": [["1", 2]]}, "wrong type", "not a list of numbers"),
        (GOOD | {"spans": [[math.nan, 2]]}, "not a number", "not a finite number"),
        (GOOD | {"spans": [[1, 10**400]]}, "not a number", "not a finite number"),
        (GOOD | {"spans": [[3, 3]]}, "reversed span", '"status": "invalid"'),
        (GOOD | {"duration": "9"}, "wrong type", "'duration' is \"9\", not a number"),
        (GOOD | {"duration": 0}, "not a number", "not a positive number"),
        (GOOD | {"frames": 1.5}, "wrong type", "not a whole number"),
        (GOOD | {"id": ""}, "wrong type", "'id' is empty"),
        (GOOD | {"query": None}, "wrong type", "'query' is null, not text"),
        (GOOD | {"status": "maybe"}, "wrong type", '"valid" or "invalid"'),
        (GOOD | {"difficulty": 70}, "not a number", "not in 0-1"),
        (GOOD | {"window": [3]}, "wrong type", "'window' is [3], not a pair [start, end]"),
        (GOOD | {"window": [[1, 2], [3, 4]]}, "wrong type", "'window' is [1, 2], not a number"),
        (GOOD | {"window": [3, 3]}, "reversed span", "'window' ends at 3 s, not after its start"),
        (GOOD | {"captions": "x"}, "wrong type", "not a list of texts"),
        (GOOD | {"extra": []}, "wrong type", "not an object"),
        (GOOD | {"tubes": {}}, "wrong type", "not a list of tubes"),
        (GOOD | {"tubes": [TUBE | {"box": []}]}, "unknown key", "a tube has the unknown key 'box'"),
        (GOOD | {"tubes": [{"times": []}]}, "missing key", "a tube has no key 'spans'"),
        (GOOD | {"tubes": [TUBE | {"x1": [0]}]}, "bad tube", "2 times but 1, 2, 2, 2 sides"),
        (GOOD | {"tubes": [TUBE | {"x2": [9, -9]}]}, "bad tube", "box at 1 s"),
        (GOOD | {"tubes": [TUBE | {"times": [0, 7]}]}, "bad tube", "outside its spans"),
        ([1], "not an object", "not an object"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: Any, kind: str, words: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps(line) + "\n")
    good, bad = manifest.scan(path)
    assert good.item is not None and good.fault is None
    assert (bad.item, bad.kind) == (None, kind)
    assert bad.fault is not None and bad.fault.startswith(f"{path}, line 2: ") and words in bad.fault
    with pytest.raises(RecordError, match="line 2"):
        list(manifest.read(path))


def test_a_torn_line_is_named_and_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\n\n" + json.dumps(GOOD).encode()[:-9])
    first, torn = manifest.scan(path)
    assert first.item is not None and torn.number == 3 and torn.kind == "not JSON"


HOSTILE_LINES = [
    b"[" * 100_000, b'{"a":' * 150 + b"1" + b"}" * 150, b'{"duration": 1' + b"0" * 6000 + b"}", b"\xff\xfe",
    b"9" * 6000, b"NaN", b'{"extra": ' + b"[" * 150 + b"]" * 150 + b"}",
    b'{"id": "x", "video": "v", "query": "\\ud800", "spans": [[1, NaN]]}',
]  # fmt: skip


@pytest.mark.parametrize("line", HOSTILE_LINES, ids=range(len(HOSTILE_LINES)))
def test_a_hostile_line_is_a_fault_of_one_sentence(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n" + line + b"\n" + json.dumps(GOOD).encode())
    first, second, third = manifest.scan(path)
    assert first.item is not None and second.item is None and third.item is not None
    assert second.fault is not None and len(second.fault) < 400 + len(str(path)) and "\n" not in second.fault
    assert second.kind not in (None, "unexpected")


def test_halves_of_characters_are_mended(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(GOOD | {"query": "a \ud800 dog"}))
    (line,) = manifest.scan(path)
    assert line.item is not None and line.item.query == "a � dog"


def test_files_that_are_no_manifests(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "no.parquet").write_text("no")
    for name, words in (
        ("empty.jsonl", "is empty"),
        ("no.parquet", "is not Parquet"),
        ("missing.jsonl", "cannot read"),
        ("missing.parquet", "cannot read"),
        ("m.csv", "must end in"),
    ):
        with pytest.raises(RecordError, match=words):
            list(manifest.read(tmp_path / name))
    with pytest.raises(RecordError, match=r"must end in|ends in"):
        manifest.write([], tmp_path / "m.csv")
    bad = Item("x", "v", spans=span_array([(0, math.inf)]))
    with pytest.raises(RecordError, match="'x' cannot be written"):
        manifest.write([bad], tmp_path / "m.jsonl")
    for ending in ("jsonl", "parquet"):
        for item in (
            bad,
            Item("x", "v", duration=math.nan),
            Item("x", "\ud800"),
            Item("x", "v", extra={"n": math.nan}),
        ):
            with pytest.raises(RecordError, match="'x'"):
                manifest.write([item], tmp_path / f"m.{ending}")
            assert not (tmp_path / f"m.{ending}").exists()


def test_parquet_of_others(tmp_path: Path) -> None:
    """Columns in other types than ours are read where they say the same, and refused by name where not."""
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "m.parquet"
    parquet.write_table(pa.table({"id": ["a"], "video": ["v"], "query": ["q"], "spans": [[[1, 2.5]]]}), path)
    (item,) = manifest.read(path)
    assert item.spans.tolist() == [[1, 2.5]] and item.tubes == []
    parquet.write_table(pa.table({"id": ["a"], "video": ["v"], "question": ["q"]}), path)
    with pytest.raises(RecordError, match="line 1: unknown key 'question'"):
        list(manifest.read(path))


def test_reading_is_a_stream(tmp_path: Path) -> None:
    """Memory does not grow with the file: its 12 000 items together take many times the bound."""
    path = tmp_path / "m.jsonl"
    some = (Item(str(i), f"v{i % 50}", f"sentence {i}", span_array([(i, i + 1.5)])) for i in range(12000))
    assert manifest.write(some, path) == 12000
    assert next(manifest.read(path)).id == "0"
    tracemalloc.start()
    summary = summarise(manifest.read(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert summary.items == 12000 and summary.as_dict()["span_seconds"]["max"] == 1.5
    assert peak < 2_000_000


def test_groups_of_parquet_rows(tmp_path: Path) -> None:
    """More items than one group holds, with null and empty lists between them."""
    tube = Tube(SpanSet([(0, 5)]), [0, 1, 2], np.array([[0, 0, 1, 1]] * 3) + 0.1)
    some = [Item(str(i), "v", spans=span_array([(i, i + 0.1)] * (i % 3)), tubes=[tube] * (i % 2)) for i in range(5000)]
    path = tmp_path / "m.parquet"
    assert manifest.write(iter(some), path) == 5000
    assert list(map(exactly, manifest.read(path))) == list(map(exactly, some))


@pytest.mark.parametrize(
    ("name", "file"),
    [("vue-stg", "vue_stg"), ("mot", "mot15/TUD-Stadtmitte.gt.txt"), ("vidstg", "vidstg/test_annotations.json")],
)
def test_released_tubes_round_trip(name: str, file: str, real_data: Path, tmp_path: Path) -> None:
    some = BENCHMARKS[name].read(real_data / "annotations" / file)
    for ending in ("jsonl", "parquet"):
        path = tmp_path / f"m.{ending}"
        manifest.write(some, path)
        assert list(map(exactly, manifest.read(path))) == list(map(exactly, some))

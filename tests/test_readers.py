"""Safe readers: whatever stands in a file of somebody else, it is read, or one short sentence says why not."""

import json
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whenwhere import readers
from whenwhere.errors import RecordError, SettingError
from whenwhere.readers import parse_csv, parse_json, parse_table, parse_toml, quoted, read_arrays, read_text, visible

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def sentence(f: Callable[[], Any]) -> str:
    """The one error that a reader raises: short, in one line, and without control characters."""
    with pytest.raises((RecordError, SettingError)) as caught:
        f()
    said = str(caught.value)
    assert len(said) < 400
    assert visible(said) == said and "\n" not in said
    return said


@given(JSON)
def test_json_is_read_as_it_was_written(value: Any) -> None:
    assert parse_json(json.dumps(value), "x") == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode(), "x") == value


@given(st.text(alphabet='[]{}",:\\ud8390Ee+-.nulNaInfity\x1b\n', max_size=60))
def test_any_text_is_json_or_a_sentence(text: str) -> None:
    try:
        json.dumps(parse_json(text, "x"), ensure_ascii=False).encode()
    except RecordError as e:
        assert len(str(e)) < 400


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "[" * 300 + "]" * 300, '{"a":' * 300 + "1" + "}" * 300, b"\xff\xfe[\0", '{"a": ' + "x" * 10**6,
     b"[\x80]", "", '["\x1b[31m'],
)  # fmt: skip
def test_json_that_cannot_be_read_is_a_sentence_with_its_place(text: str | bytes) -> None:
    assert sentence(lambda: parse_json(text, "a.jsonl, line 7")).startswith("a.jsonl, line 7 is ")


def test_numbers_and_characters_that_nothing_can_hold() -> None:
    assert parse_json("[1" + "0" * 400 + ", -1" + "0" * 9000 + ", 12]", "x") == [float("inf"), -float("inf"), 12]
    assert parse_json(r'{"\udc00": ["\ud83d\ude00", "\ud83d"]}', "x") == {"�": ["😀", "�"]}


@pytest.mark.parametrize(
    "text",
    ["a." * 50_000 + "a = 1", "a = " + "[" * 3000, "a = " + "{a = " * 200 + "1" + "}" * 200, "a = 1" + "0" * 5000,
     "x" * 10**6, "a = ", "[a]\n[a]"],
)  # fmt: skip
def test_toml_that_cannot_be_read_is_a_sentence(text: str) -> None:
    assert "r.toml" in sentence(lambda: parse_toml(text, "r.toml", SettingError))


def test_rows_of_csv_that_cannot_be_read_are_named_by_their_line() -> None:
    assert "f.csv, line 3 is not CSV" in sentence(lambda: list(parse_csv("a\n1\n" + "x" * 140_000, "f.csv")))
    assert "f.csv, line 3 is cut off" in sentence(lambda: list(parse_table("a,b\n1,2\n3\n", "f.csv")[1]))
    assert list(parse_table("a,b\n\n1,2,3\n", "f.csv")[1]) == [(3, {"a": "1", "b": "2"})]


def test_arrays_are_read_as_numpy_reads_them(tmp_path: Path) -> None:
    held = {
        "x": np.arange(6.0).reshape(2, 3), "f": np.asfortranarray(np.arange(6).reshape(2, 3)), "s": np.array(2.5),
        "names": np.array(["a", "bc"]), "empty": np.zeros((0, 4)), "flags": np.array([True, False]),
        "nothing": np.array(["", ""]),
    }  # fmt: skip
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **held)
        found = read_arrays(tmp_path / "a.npz")
        assert found.keys() == held.keys()
        for name, array in held.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
    np.save(tmp_path / "b.npy", held["x"])
    np.testing.assert_array_equal(read_arrays(tmp_path / "b.npy", name="y")["y"], held["x"])


def test_damaged_arrays_are_a_sentence(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(500.0), names=np.array(["a", "bc"]))
    whole, draw, refused = (tmp_path / "a.npz").read_bytes(), random.Random(0), 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 8))):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        (tmp_path / "b.npz").write_bytes(damaged)
        try:
            read_arrays(tmp_path / "b.npz")
        except RecordError:
            refused += 1
    assert refused > 200


def test_claimed_sizes_are_not_believed(tmp_path: Path) -> None:
    with open(tmp_path / "a.npy", "wb") as f:
        np.lib.format.write_array_header_1_0(f, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)})
    sentence(lambda: read_arrays(tmp_path / "a.npy"))
    np.savez(tmp_path / "o.npz", x=np.array([{}], object))
    sentence(lambda: read_arrays(tmp_path / "o.npz"))
    with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", bytes(50 << 20))
    assert (tmp_path / "b.npz").stat().st_size < 1 << 16
    sentence(lambda: read_arrays(tmp_path / "b.npz"))


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / "away", "a\0b"):
        sentence(lambda path=path: read_text(path))
        sentence(lambda path=path: read_arrays(path))


@given(st.text() | JSON | st.integers(min_value=10**4999, max_value=10**5000))
def test_what_a_message_quotes_is_short_and_harmless(value: Any) -> None:
    said = quoted(value)
    assert len(said) <= 80 and visible(said) == said and "\n" not in said


@given(st.text())
def test_shown_text_has_no_control_characters_and_keeps_its_length(text: str) -> None:
    shown = visible(text)
    assert len(shown) == len(text)
    assert all(c in "\n\t" or not (ord(c) < 32 or 0x7F <= ord(c) < 0xA0) for c in shown)


def test_lines_of_what_is_no_file_of_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(b"{}\n" + b"x" * 200)
    monkeypatch.setattr(readers, "LONGEST_LINE", 100)
    for name, words in (
        ("pipe", "not a regular file"),
        ("none", "cannot read"),
        (".", "regular"),
        ("a\0b", "cannot read"),
    ):
        with pytest.raises(RecordError, match=words):
            list(readers.read_lines(tmp_path / name))
    with pytest.raises(RecordError, match="long, line 2 is longer than"):
        list(readers.read_lines(tmp_path / "long"))

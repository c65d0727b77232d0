"""`whenwhere data mix`: shares, caps, the same mix every time, and where each item came from."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.curate.mixing import MixPart, mix, mix_files
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import RecordError, SettingError

sys.path.insert(0, str(Path(__file__).parent))
from commands import run


def items(name: str, count: int) -> list[Item]:
    return [Item(f"{name}{k}", f"{name}{k % 7}.mp4", f"a {name} runs", span_array([(1, 2)])) for k in range(count)]


parts = st.lists(
    st.tuples(st.integers(1, 60), st.floats(0.01, 50), st.none() | st.integers(1, 40)), min_size=1, max_size=5
)


@settings(max_examples=150, deadline=None)
@given(parts, st.none() | st.integers(1, 150), st.integers(0, 3))
def test_shares_hold_and_nothing_is_taken_twice(
    drawn: list[tuple[int, float, int | None]], count: int | None, seed: int
) -> None:
    given_ = [MixPart(f"s{k}", items(f"s{k}", n), weight, cap) for k, (n, weight, cap) in enumerate(drawn)]
    found = mix(given_, count, seed)
    assert len({item.id for item in found.items}) == len(found.items) == sum(found.taken.values())
    assert count is None or len(found.items) <= count
    total = sum(part.weight or 0 for part in given_)
    for part in given_:
        most = min(len(part.items), part.cap or len(part.items))
        share = (part.weight or 0) / total
        assert found.taken[part.name] <= most
        # rounding moves at most one item of each set
        assert abs(found.taken[part.name] - share * len(found.items)) <= len(given_)
    if count is not None and found.short is None:
        assert len(found.items) == count
    assert [i.id for i in mix(given_, count, seed).items] == [i.id for i in found.items]


def test_a_larger_share_contains_the_smaller_one_and_other_sets_do_not_matter() -> None:
    own = MixPart("a", items("a", 50))
    ids = {n: {i.id for i in mix([own], n).items} for n in (10, 20, 50)}
    assert ids[10] < ids[20] < ids[50]
    both = mix([MixPart("a", own.items, 1), MixPart("b", items("b", 50), 1)], 20)
    assert {i.id for i in both.items if i.id.startswith("a/")} == ids[10]
    assert {i.id for i in mix([own], 10, seed=1).items} != ids[10]
    # the order is mixed too
    assert len({i.id[0] for i in both.items[:8]}) == 2


def test_without_weights_all_items_are_taken_up_to_the_caps() -> None:
    found = mix([MixPart("a", items("a", 30)), MixPart("b", items("b", 5)), MixPart("c", items("c", 9), cap=2)])
    assert found.taken == {"a": 30, "b": 5, "c": 2} and found.short is None
    assert mix([MixPart("a", items("a", 30)), MixPart("b", items("b", 10))], 8).taken == {"a": 6, "b": 2}


def test_files_keep_videos_and_origin(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}0.mp4").write_bytes(b"x")
        manifest.write(items(name, 7), tmp_path / name / f"{name}.jsonl")
    with open(tmp_path / "b" / "b.jsonl", "a") as f:
        f.write("torn\n")
    out = tmp_path / "new" / "mix.jsonl"
    found = mix_files([tmp_path / "a" / "a.jsonl", tmp_path / "b" / "b.jsonl"], out, weights={"a": 2}, count=9)
    assert found.taken == {"a": 6, "b": 3} and len(found.faults) == 1 and found.shared == 0
    read = list(manifest.read(out))
    assert len(read) == 9 and all(i.provenance["mix"]["set"] == i.id[0] for i in read)
    named = {i.video for i in read}
    # a path is led to the file; a name without a file stays a name
    assert all((out.parent / v).is_file() for v in named if v.startswith("..")) and "../a/a0.mp4" in named
    assert all(v in {f"{n}{k}.mp4" for n in "ab" for k in range(1, 7)} for v in named if not v.startswith(".."))
    first = out.read_bytes()
    mix_files([tmp_path / "a" / "a.jsonl", tmp_path / "b" / "b.jsonl"], out, weights={"a": 2}, count=9)
    assert out.read_bytes() == first


def test_what_makes_no_sense_is_a_sentence(tmp_path: Path) -> None:
    own, file = items("a", 3), tmp_path / "a.jsonl"
    manifest.write(own, file)
    cases: list[tuple[list[MixPart], int | None, str]] = [
        ([], None, "at least one set"),
        ([MixPart("a", own), MixPart("a", own)], None, "two sets are called 'a'"),
        ([MixPart("a", own, 1), MixPart("b", own)], None, "some sets of the mix have a weight"),
        ([MixPart("a", own, 0)], None, "not above 0"), ([MixPart("a", own, float("nan"))], None, "not above 0"),
        ([MixPart("a", own, cap=0)], None, "not at least 1"), ([MixPart("a", [])], None, "has no items"),
        ([MixPart("a", own)], 0, "at least 1 item"),
    ]  # fmt: skip
    for given_, count, said in cases:
        with pytest.raises(SettingError, match=said):
            mix(given_, count)
    with pytest.raises(SettingError, match="--weight names 'b'"):
        mix_files([file], tmp_path / "o.jsonl", weights={"b": 1})
    with pytest.raises(SettingError, match="choose another --out"):
        mix_files([file], file)
    with pytest.raises(RecordError, match=r"must end|ends in"):
        mix_files([file], tmp_path / "o.txt")
    assert list(tmp_path.iterdir()) == [file]


def test_the_command(tmp_path: Path) -> None:
    for name in ("a", "b"):
        manifest.write(items(name, 8), tmp_path / f"{name}.jsonl")
    given_ = [tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--out", tmp_path / "m.jsonl"]
    done = run("data", "mix", *given_, "--weight", "a=3", "--cap", "b=2", "--json")
    assert json.loads(done.stdout)["taken"] == {"a": 6, "b": 2}
    done = run("data", "mix", *given_, "--weight", "a", status=2)
    assert "is not NAME=NUMBER" in done.stderr

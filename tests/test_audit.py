"""`whenwhere data audit`: types of queries by rules, blind models that find planted priors only, agreement, leaks."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from whenwhere.curate.agreement import agreement, to_annotate
from whenwhere.curate.audit import audit, audit_files
from whenwhere.curate.blind import blind_scores, folds
from whenwhere.curate.item_sets import ItemSet
from whenwhere.curate.query_types import NONE, QUERY_TYPES, coverage, query_types
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import RecordError, SettingError
from whenwhere.evaluate.prediction import Prediction
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube

sys.path.insert(0, str(Path(__file__).parent))
from commands import run

#: For each type sentences that have it, and look-alikes that have not.
EXAMPLES: dict[str, tuple[list[str], list[str]]] = {
    "question": (
        ["Where is the tap", "Did I leave it open?", "in what room did I see it"],
        ["a man asks who is there"],
    ),
    "person": (["the woman waves", "she waves", "Someone waves", "did I leave"], ["a dog runs", "the manual opens"]),
    "colour or size": (["a red car", "the tall tree", "what color is it"], ["he is tired", "the reader"]),
    "place": (["left of the door", "in front of a car", "next to it"], ["a man runs fast"]),
    "order of events": (["before the rain", "then he sits", "as he sits"], ["tall as trees", "thence"]),
    "which one of several": (["the second cup", "another cup", "does it again"], ["ten seconds"]),
    "counting": (["how many cups", "two dogs", "twice", "3 cups"], ["someone waves"]),
    "negation": (["he doesn't jump", "no dog", "without shoes"], ["he knots it", "the nothingness"]),
    "change of state": (["opens the door", "turns the light on", "the glass breaks"], ["walks along the road"]),
    "pose": (["sits on a chair", "is holding a cup", "wearing a hat"], ["he runs"]),
    "existence": (["there is a dog", "a logo is shown", "where is it"], ["the thereof"]),
    "sound or speech": (["he talks", "a dog barks", "music plays"], ["he runs"]),
    "text on the screen": (["the title", "a logo", "closing credits"], ["a tile"]),
    "camera or editing": (["the camera pans", "zooms in", "a close-up of it"], ["a pancake"]),
}


@pytest.mark.parametrize("kind", [kind.name for kind in QUERY_TYPES])
def test_each_type_has_its_words(kind: str) -> None:
    yes, no = EXAMPLES[kind]
    assert [s for s in yes if kind not in query_types(s)] == []
    assert [s for s in no if kind in query_types(s)] == []


def test_coverage_counts_every_sentence() -> None:
    items = [Item(str(k), "v", s) for k, s in enumerate(["boil water", "a man sits", ""])]
    found = coverage(items)
    assert found[NONE] == 2 and found["person"] == found["pose"] == 1
    assert list(found) == [*(kind.name for kind in QUERY_TYPES), NONE]


def planted(prior: str, count: int = 240) -> list[Item]:
    """Items whose truth follows from the sentence, from the video's duration, or from neither."""
    rng = np.random.default_rng(0)
    items = []
    for k in range(count):
        late, long = rng.random() < 0.5, rng.random() < 0.5
        seconds = 100.0 if long else 20.0
        by = {"query": late, "video": long, "none": rng.random() < 0.5}[prior]
        start = (0.7 if by else 0.0) * seconds
        word = "leaves" if late else "enters"
        items.append(Item(f"{k}", f"v{k // 2}.mp4" if not long else f"w{k // 2}.mp4", f"a person {word} the room",
                          span_array([(start, start + 0.3 * seconds)]), duration=seconds))  # fmt: skip
    return items


@pytest.mark.parametrize(("prior", "finds"), [("query", {"query only"}), ("video", {"video only"}), ("none", set())])
def test_blind_models_find_the_planted_prior_and_no_other(prior: str, finds: set[str]) -> None:
    found = {score.name: score for score in blind_scores(planted(prior))}
    gains = {name for name in ("query only", "video only") if found[name].gain.low > 0.1}  # type: ignore[union-attr]
    assert gains == finds
    for name in finds:
        assert found[name].mean.mean > 0.95 and found["query and video"].mean.mean > 0.95
    if prior == "none":
        # what cannot be known gives no gain in either direction
        assert all(abs(score.gain.mean) < 0.08 for score in found.values() if score.gain)


def test_other_blind_models_are_scored_beside() -> None:
    items = planted("query", 60)
    right = {i.id: Prediction(i.id, spans=i.spans) for i in items}
    found = {s.name: s for s in blind_scores(items, {"right": right, "silent": {}})}
    assert found["right"].mean.mean == 1 and found["silent"].mean.mean == 0
    assert found["silent"].recalls["R1@0.3"] == 0 and found["right"].gain.mean > 0  # type: ignore[union-attr]


def test_what_cannot_be_scored_is_left_out() -> None:
    assert blind_scores([]) == []
    assert blind_scores([Item(str(k), f"v{k}", "q", span_array([(0, 1)])) for k in range(50)]) == []
    assert blind_scores(planted("none", 2)) == []


def test_folds_keep_videos_together() -> None:
    videos = [f"v{k // 3}" for k in range(300)]
    found = folds(videos)
    assert all(len(set(found[k : k + 3].tolist())) == 1 for k in range(0, 300, 3)) and set(found) == set(range(5))


def item(name: str, spans: list[tuple[float, float]], **others: object) -> Item:
    return Item(name, f"{name}.mp4", f"a {name} dog", span_array(spans), **others)  # type: ignore[arg-type]


def test_agreement() -> None:
    tube = Tube(SpanSet([(2, 4)]), [2, 3], [[0, 0, 2, 2]] * 2, rate=1)
    half = Tube(SpanSet([(2, 4)]), [2, 3], [[0, 0, 2, 1]] * 2, rate=1)
    first = [item("a", [(2, 4)], tubes=[tube]), item("b", [(0, 2)]), item("c", []), item("d", [(1, 3)])]
    again = [item("a", [(2, 4)], tubes=[half]), item("b", [(1, 3)]), item("c", [(0, 1)]), item("z", [(1, 3)])]
    # found by video and sentence where the id is another one
    again.append(Item("other", "clips/d.mp4", "A d dog!", span_array([(5, 6)])))
    found = agreement(first, again)
    assert (found.compared, found.missing) == (4, 1)
    assert found.t_iou.mean == pytest.approx((1 + 1 / 3 + 0 + 0) / 4)
    assert found.agree["t_IoU >= 0.5"].mean == 0.25 and found.apart.mean == 0.5 and found.absence == 0.25
    assert found.start == (1.0, pytest.approx(3.4)) and found.v_iou is not None and found.v_iou.mean == 0.5
    with pytest.raises(RecordError, match="no re-annotated item is in the set"):
        agreement(first, [item("z", [(1, 2)])])


def test_a_sample_hides_the_truth() -> None:
    items = [item(str(k), [(1, 2)], duration=9.0) for k in range(30)] + [item("bad", [(2, 1)], status="invalid")]
    drawn = to_annotate(items, 5)
    assert len(drawn) == 5 and all(not len(i.spans) and i.query for i in drawn)
    assert {i.id for i in drawn} <= {i.id for i in items[:-1]}
    assert [i.id for i in to_annotate(items, 5)] == [i.id for i in drawn] != [i.id for i in to_annotate(items, 5, 1)]
    with pytest.raises(SettingError, match="a sample to annotate has at least 1 item"):
        to_annotate(items, 0)
    with pytest.raises(SettingError, match="no item of the set is valid"):
        to_annotate(items[-1:], 5)


def test_leaks_between_splits_and_sets() -> None:
    def one(name: str, video: str, query: str, split: str | None = None) -> Item:
        return Item(name, video, query, span_array([(1, 2)]), split=split)

    own = [
        one("a", "v_8wB0BOjuyes.mp4", "a person opens the door", "train"), one("b", "x.mp4", "he sits", "train"),
        one("c", "8wB0BOjuyes_5.0_9.0", "A person opens a door.", "test"), one("d", "y.mp4", "he sat", "test"),
    ]  # fmt: skip
    other = [one("e", "x", "a person opens the doors")]
    found = audit([ItemSet("own", Path("own"), own), ItemSet("other", Path("other"), other)])
    pairs = {(o.a, o.b): o for o in found.overlaps}
    assert list(pairs) == [("own train", "own test"), ("own train", "other"), ("own test", "other")]
    inner = pairs["own train", "own test"]
    assert (inner.videos, inner.items_of_b, inner.same, inner.sentences, inner.near) == (1, 1, 1, 1, 1)
    outer = pairs["own train", "other"]
    assert (outer.videos, outer.same, outer.sentences, outer.near) == (1, 0, 0, 1)


def test_files(tmp_path: Path) -> None:
    a, b, again, out = (tmp_path / name for name in ("a.jsonl", "b.jsonl", "again.jsonl", "out"))
    manifest.write(planted("query", 60), a)
    manifest.write(planted("none", 10), b)
    manifest.write(planted("query", 60)[:9], again)
    with open(b, "a") as f:
        f.write("torn\n")
    found = audit_files([a, b], out, again=again, sample=3)
    assert found.sets[0].agreement is not None and found.sets[0].agreement.compared == 9 and found.sets[1].faults
    text = (out / "audit.md").read_text()
    assert "query only" in text and "Agreement of a" in text
    data = json.loads((out / "audit.json").read_text())
    assert data["overlaps"][0]["a"] == "a" and data["sets"][0]["blind"]
    lines = [json.loads(line) for line in (out / "to-annotate.jsonl").read_text().splitlines()]
    assert len(lines) == 3 and "spans" not in lines[0]
    audit_files([a, b], out, again=again, sample=3)
    with pytest.raises(SettingError, match="results of another run"):
        audit_files([a], out)
    with pytest.raises(SettingError, match="same name"):
        audit_files([a, a], tmp_path / "other")
    with pytest.raises(SettingError, match="at least one set"):
        audit([])


def test_the_command(tmp_path: Path) -> None:
    manifest.write(planted("none", 12), tmp_path / "a.jsonl")
    done = run("data", "audit", tmp_path / "a.jsonl", "--out", tmp_path / "out", "--json")
    assert json.loads(done.stdout)["sets"][0]["items"] == 12
    (tmp_path / "empty.jsonl").write_text("")
    done = run("data", "audit", tmp_path / "empty.jsonl", "--out", tmp_path / "b", status=1)
    assert "is empty" in done.stderr and not (tmp_path / "b").exists()

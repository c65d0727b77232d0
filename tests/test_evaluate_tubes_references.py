"""Tube protocols against numbers of the original evaluators, and against slow loops over frames."""

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.optimize import linear_sum_assignment

from whenwhere.datasets.item import Item, span_array
from whenwhere.evaluate.prediction import Boxes, Prediction
from whenwhere.evaluate.protocol import Scores
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.tubes import vue_stg
from whenwhere.evaluate.tubes.native import sampled
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube

Case = tuple[list[Item], dict[str, Prediction]]
NAMES = {"tiou": "m_tIoU", "viou": "m_vIoU", "gt_viou": "gt_viou", "viou@0.3": "vIoU@0.3", "viou@0.5": "vIoU@0.5"}
NAMES |= {"gt_viou@0.3": "gt_viou@0.3", "gt_viou@0.5": "gt_viou@0.5"}


def framed(id: str, fps: float, first: int, boxes: np.ndarray, **more: Any) -> Item:
    """An item with a box in every frame from `first` on."""
    span = (first / fps, (first + len(boxes)) / fps)
    tube = Tube(SpanSet([span]), np.arange(first, first + len(boxes)) / fps, boxes, rate=fps)
    return Item(id, f"v{id}", spans=span_array([span]), tubes=[tube], fps=fps, **more)


def said(id: str, fps: float, span: Iterable[int], frames: Any, boxes: Any) -> Prediction:
    """An answer in native frames."""
    held = Boxes(np.asarray(frames) / fps, np.asarray(boxes, float).reshape(-1, 4))
    return Prediction(id, spans=span_array([list(span)]) / fps, boxes=[held], rate=fps)


def xyxy(boxes: Any) -> np.ndarray:
    b = np.array(boxes, float)
    b[:, 2:] += b[:, :2]
    return b


@pytest.fixture(scope="module")
def hcstvg(real_data: Path) -> Case:
    folder = real_data / "reference-scores" / "stvg"
    pred = json.loads((folder / "hcstvg_style_pred.json").read_text())["items"]
    items, answers = [], {}
    for v in json.loads((folder / "hcstvg_style_test_proc.json").read_text()):
        id, fps, first = str(v["video_id"]), v["frame_count"] / 20, v["tube_start_frame"]
        items.append(framed(id, fps, first, xyxy(v["trajectory"]), frames=v["frame_count"]))
        p = pred[id]
        answers[id] = said(id, fps, p["sted"], range(first, first + len(p["boxes"])), p["boxes"])
    return items, answers


@pytest.fixture(scope="module")
def vidstg(real_data: Path) -> Case:
    folder = real_data / "reference-scores" / "stvg"
    test = json.loads((folder / "vidstg_style_test.json").read_text())
    pred = json.loads((folder / "vidstg_style_pred.json").read_text())["items"]
    items, answers = [], {}
    for v in test["videos"]:
        id, fps, first, end = str(v["video_id"]), v["fps"], v["tube_start_frame"], v["tube_end_frame"]
        track = test["trajectories"][v["original_video_id"]][str(v["target_id"])]
        boxes = xyxy([track[str(f)]["bbox"] for f in range(first, end)])
        segment = [v["start_frame"], v["end_frame"]]
        items.append(
            framed(id, fps, first, boxes, type=v["qtype"], frames=v["frame_count"], extra={"segment": segment})
        )
        p = pred[id]
        frames = sorted(map(int, p["boxes"]))
        answers[id] = said(id, fps, p["sted"], frames, [p["boxes"][str(f)] for f in frames])
    return items, answers


def agree(scores: Scores, reference: dict[str, Any]) -> None:
    """Every number of a reference file, per video and in the summary, to 1e-12."""
    for name, value in reference["summary"].items():
        kind, _, measure = name.rpartition("ative_")
        found = scores.groups[kind + "ative"] if kind else scores.summary
        assert found[NAMES[measure]] == pytest.approx(value, abs=1e-12), name
    rows = {id: row for row, id in enumerate(scores.ids)}
    for id, values in reference.get("per_video", {}).items():
        for measure in ("tiou", "viou", "gt_viou"):
            assert scores.items[NAMES[measure]][rows[id]] == pytest.approx(values[measure], abs=1e-12), (id, measure)


def reference(real_data: Path, name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((real_data / "reference-scores" / "stvg" / name).read_text())
    return value


def test_tubedetr_reference(real_data: Path, hcstvg: Case, vidstg: Case) -> None:
    results = reference(real_data, "tubedetr_scores.json")["results"]
    agree(PROTOCOLS["tubedetr"].score(*hcstvg), results["hcstvg_tubedetr_fps5"])
    agree(PROTOCOLS["tubedetr"].score(*vidstg), results["vidstg_tubedetr_fps5"])


@pytest.mark.parametrize("name", ["stcat", "cg", "ta"])
def test_stcat_reference(name: str, real_data: Path, hcstvg: Case, vidstg: Case) -> None:
    results = reference(real_data, "stcat_scores.json")["results"]
    agree(PROTOCOLS[name].score(*hcstvg), results["hcstvg_stcat_allframes"])
    scores = PROTOCOLS[name].score(*vidstg)
    agree(scores, results["vidstg_stcat_allframes"])
    for kind in ("declarative", "interrogative"):
        for measure, value in results[f"vidstg_stcat_allframes_{kind}"]["summary"].items():
            assert scores.groups[kind][NAMES[measure]] == pytest.approx(value, abs=1e-12)


def test_hcstvg_official_reference(real_data: Path, hcstvg: Case) -> None:
    result = reference(real_data, "hcstvg_official_scores.json")["result"]
    scores = PROTOCOLS["hcstvg-official"].score(*hcstvg)
    assert {k: scores.summary[k] for k in result} == pytest.approx(result, abs=1e-12)


@pytest.mark.parametrize("model", ["vidi2", "gpt-5"])
def test_vue_stg_reference(model: str, real_data: Path) -> None:
    def tubes(path: str) -> dict[str, np.ndarray]:
        rows = defaultdict(list)
        with open(real_data / path, newline="") as f:
            for r in csv.DictReader(f):
                rows[r["query_id"]].append([float(r[k]) for k in ("time_ms", "x0", "y0", "x1", "y1")])
        return {k: np.array(v) for k, v in rows.items()}

    def table(name: str) -> list[dict[str, str]]:
        with open(real_data / "annotations" / "vue_stg" / name, newline="") as f:
            return list(csv.DictReader(f))

    videos = {r["query_id"]: r["video_id"] for r in table("query.csv")}
    lasts = {r["video_id"]: float(r["video_duration"]) for r in table("video.csv")}
    items = []
    for id, rows in tubes("annotations/vue_stg/tubes.csv").items():
        seconds = rows[:, 0] / 1000
        spans = SpanSet((s, s + 1) for s in seconds)
        tube = Tube(spans, seconds, rows[:, 1:])
        items.append(Item(id, videos[id], tubes=[tube], duration=lasts[videos[id]]))
    answers = {
        id: Prediction(id, spans=span_array([(0, 1)]), boxes=[Boxes(rows[:, 0] / 1000, rows[:, 1:])])
        for id, rows in tubes(f"predictions/vue_stg/{model}.tubes.csv").items()
    }
    scores = PROTOCOLS["vue-stg"].score(items, answers)
    results = json.loads((real_data / "reference-scores" / "vue_stg" / "vue_stg.json").read_text())["results"][model]
    assert len(scores.groups) == 9
    for row in results:
        found = scores.summary if row["group"] == "overall" else scores.groups[f"{row['group']} {row['category']}"]
        for measure in vue_stg.MEASURES:
            assert round(found[measure], 10) == row[measure], (row["category"], measure)


# The same on data of our own, against loops over frames.


def iou(a: Any, b: Any, more: float = 0.0) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0]) + more
    h = min(a[3], b[3]) - max(a[1], b[1]) + more
    inter = max(w, 0) * max(h, 0)
    total = sum((x[2] - x[0] + more) * (x[3] - x[1] + more) for x in (a, b)) - inter
    return inter / total


boxes = st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 25)] * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@st.composite
def frame_cases(draw: st.DrawFn) -> tuple[int, list[Any], int, list[Any], float]:
    """First frame and boxes of a truth and of an answer, and frames per second."""
    parts: list[Any] = []
    for _ in range(2):
        parts += [draw(st.integers(1, 30)), draw(st.lists(boxes, min_size=1, max_size=25))]
    return *parts, draw(st.sampled_from([5.0, 12.5, 29.97]))  # type: ignore[return-value]


FRAMES = 60


@settings(max_examples=40, deadline=None)
@given(frame_cases())
def test_frame_counts_against_loops(case: tuple[int, list[Any], int, list[Any], float]) -> None:
    a, truth, b, answer, fps = case
    item = framed("0", fps, a, np.array(truth, float), frames=FRAMES)
    given = {"0": said("0", fps, (b, b + len(answer)), range(b, b + len(answer)), answer)}
    true, told = dict(enumerate(truth, a)), dict(enumerate(answer, b))
    end_a, end_b = a + len(truth), b + len(answer)
    each = {f: iou(true[f], told[f]) for f in true if f in told}
    hull = max(end_a, end_b) - min(a, b)
    union = len(true.keys() | told.keys())

    def found(name: str) -> dict[str, float]:
        return PROTOCOLS[name].score([item], given).summary

    official = found("hcstvg-official")
    assert official["m_tIoU"] == pytest.approx(len(each) / hull)
    assert official["m_vIoU"] == pytest.approx(sum(each.values()) / hull)
    stcat = found("stcat")
    assert stcat["m_tIoU"] == pytest.approx(len(each) / union if each else 0)
    assert stcat["m_vIoU"] == pytest.approx(sum(each.values()) / hull)
    assert stcat["gt_viou"] == pytest.approx(sum(each.values()) / len(true))
    assert found("llava-next-stvg")["m_vIoU"] == pytest.approx(sum(each.values()) / (hull + 1))
    grid = [f for k, f in enumerate(range(FRAMES - 1)) if k == 0 or int(f * (5 / fps)) > int((f - 1) * (5 / fps))]
    seen = [f for f in grid if min(a, b) <= f < max(end_a, end_b)]
    tubedetr = found("tubedetr")
    assert tubedetr["m_vIoU"] == pytest.approx(sum(each.get(f, 0) for f in grid) / max(len(seen), 1))
    assert tubedetr["m_tIoU"] == stcat["m_tIoU"]
    volume = sum((x[2] - x[0] + 1) * (x[3] - x[1] + 1) for x in (*truth, *answer))
    shared = 0
    for f in each:
        p, q = true[f], told[f]
        shared += max(0, min(p[2], q[2]) - max(p[0], q[0]) + 1) * max(0, min(p[3], q[3]) - max(p[1], q[1]) + 1)
    assert found("vidor-viou")["vIoU"] == pytest.approx(shared / (volume - shared))
    # STVG-R1: closed ends, and the true box of the frame before.
    (a0, a1), (b0, b1) = ([int(t * fps) for t in s[0]] for s in (item.spans, given["0"].spans))
    lo, hi = max(a0, b0), min(a1, b1)
    # The last box of an answer is held to its inclusive end.
    last = {**told, end_b: answer[-1]}
    total = sum(iou(true[f - 1], last[f]) for f in range(lo, hi + 1) if f - 1 in true and f in last) if lo < hi else 0
    assert found("stvg-r1")["m_vIoU"] == pytest.approx(total / (max(a1, b1) - min(a0, b0) + 1))


def test_tubedetr_reads_the_released_start_one_frame_late() -> None:
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 50, (40, 2))
    track = np.concatenate([corner, corner + 20], 1)
    item = framed("0", 25.0, 9, track, frames=500, extra={"st_frame": 10}, source="hcstvg-v1")
    late = {"0": said("0", 25.0, (10, 50), range(10, 50), track)}
    right = {"0": said("0", 25.0, (9, 49), range(9, 49), track)}
    assert PROTOCOLS["tubedetr"].score([item], late).summary["m_vIoU"] == 1.0
    assert PROTOCOLS["tubedetr"].score([item], right).summary["m_vIoU"] < 0.7
    assert PROTOCOLS["stcat"].score([item], right).summary["m_vIoU"] == 1.0
    released = PROTOCOLS["stcat-released"].score([item], right).summary
    assert released["m_tIoU"] == pytest.approx(39 / 40)


def test_stcat_reader_repeats_the_last_box_of_vidstg_and_drops_the_spoiled() -> None:
    track = np.array([[0, 0, 10, 10]] * 8, float)
    extra = {"begin_fid": 4, "end_fid": 12, "segment": [0, 50]}
    item = framed("0", 10.0, 4, track, frames=60, extra=extra, source="vidstg")
    answer = {"0": said("0", 10.0, (4, 12), range(4, 12), track)}
    found = PROTOCOLS["stcat-released"].score([item], answer).summary
    assert (found["m_vIoU"], found["gt_viou"]) == (1.0, pytest.approx(8 / 9))
    spoiled = framed("1", 10.0, 4, track[:5], frames=60, extra=extra, source="vidstg")
    scores = PROTOCOLS["stcat-released"].score([item, spoiled], answer)
    assert scores.ids == ["0"] and any("leaves out" in n for n in scores.notes)


def test_missing_answers_leave_stcat_and_stay_elsewhere() -> None:
    track = np.array([[0, 0, 10, 10]] * 8, float)
    items = [framed(id, 10.0, 4, track, frames=60) for id in "ab"]
    answers = {"a": said("a", 10.0, (4, 12), range(4, 12), track)}
    assert PROTOCOLS["stcat"].score(items, answers).ids == ["a"]
    assert any("left out" in n for n in PROTOCOLS["stcat"].score(items, answers).notes)
    for name in ("default-tubes", "hcstvg-official", "tubedetr", "st-align", "stvg-r1", "vidor-viou"):
        scores = PROTOCOLS[name].score(items, answers)
        measure = "vIoU" if name == "vidor-viou" else "m_vIoU"
        assert scores.items[measure].tolist()[1] == 0 and len(scores.ids) == 2, name


def test_a_frame_without_a_box_counts_zero_and_stcat_says_that_it_would_stop() -> None:
    track = np.array([[0, 0, 10, 10]] * 10, float)
    item = framed("0", 10.0, 0, track, frames=60)
    kept = [0, 1, 2, 6, 7, 8, 9]
    answer = {"0": said("0", 10.0, (0, 10), kept, track[kept])}
    for name in ("stcat", "cg", "hcstvg-official"):
        scores = PROTOCOLS[name].score([item], answer)
        assert scores.summary["m_vIoU"] == pytest.approx(0.7), name
        assert any("lack a box" in n for n in scores.notes)
        assert any("stops" in n for n in scores.notes) == (name == "stcat")


def test_a_second_level_answer_is_filled_to_frames() -> None:
    track = np.array([[x, 0, x + 10, 10] for x in range(30)], float)
    item = framed("0", 10.0, 0, track, frames=60)
    answer = Prediction("0", spans=item.spans, boxes=[Boxes(np.array([0.0, 1, 2, 2.9]), track[[0, 10, 20, 29]])])
    assert PROTOCOLS["stcat"].score([item], {"0": answer}).summary["m_vIoU"] == pytest.approx(1.0)


def test_sampling_grid_thins_long_videos() -> None:
    frames = sampled(0, 4000, 25.0)
    assert len(frames) == 200 and frames[0] == 0 and (np.diff(frames) > 0).all()
    assert sampled(3, 3, 25.0).tolist() == [3]


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(0, 9), boxes, max_size=8), st.dictionaries(st.integers(0, 9), boxes, max_size=8))
def test_vue_stg_against_sets(true: dict[int, Any], told: dict[int, Any]) -> None:
    if not true:
        return

    def flat(d: dict[int, Any]) -> tuple[np.ndarray, np.ndarray]:
        keys = sorted(d)
        return np.array(keys, float), np.array([d[k] for k in keys], float).reshape(-1, 4)

    t, b = flat(true)
    item = Item("0", "v", tubes=[Tube(SpanSet((s, s + 1) for s in t), t, b)], width=60, height=60)
    at, given = flat(told)
    answer = {"0": Prediction("0", spans=span_array([(0, 1)]), boxes=[Boxes(at + 0.4, given)])} if told else {}
    found = PROTOCOLS["vue-stg"].score([item], answer).summary
    both, either = true.keys() & told.keys(), true.keys() | told.keys()
    total = sum(iou(true[k], told[k]) for k in both)
    assert found["t_IoU"] == pytest.approx(len(both) / len(either))
    assert found["v_IoU"] == pytest.approx(total / len(either))
    assert found["v_IoU_Int"] == pytest.approx(total / len(both) if both else float("nan"), nan_ok=True)
    assert found["t_Precision"] == pytest.approx(len(both) / len(told) if told else float("nan"), nan_ok=True)


def test_vue_stg_takes_the_first_box_of_a_second_and_turns_corners() -> None:
    item = Item("0", "v", tubes=[Tube(SpanSet([(3, 4)]), [3], [[0.1, 0.1, 0.5, 0.5]])])
    rows = np.array([[0.5, 0.5, 0.1, 0.1], [0.8, 0.8, 0.9, 0.9]])
    answer = Prediction("0", spans=span_array([(2, 4)]), boxes=[Boxes(np.array([2.5, 3.499]), rows)])
    assert PROTOCOLS["vue-stg"].score([item], {"0": answer}).summary["v_IoU"] == pytest.approx(1.0)


def _tracks(seed: int, n: int = 3) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        length = int(rng.integers(5, 40))
        corner = rng.uniform(-5, 60, (length, 2))
        true = np.concatenate([corner, corner + rng.uniform(10, 40, corner.shape)], 1)
        told = true + rng.normal(0, 4, true.shape)
        told[:, 2:] = np.maximum(told[:, 2:], told[:, :2] + 1)
        seen = rng.random(length) < 0.8
        seen[0] = True
        out.append((true, told, seen))
    return out


def _tracking(tracks: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Case:
    items, answers = [], {}
    for k, (true, told, seen) in enumerate(tracks):
        item = framed(str(k), 10.0, 0, true, frames=len(true), width=80, height=70)
        item.tubes = [Tube(item.span_set, np.flatnonzero(seen) / 10, true[seen], rate=10)]
        items.append(item)
        answers[str(k)] = said(str(k), 10.0, (0, len(true)), range(len(true)), told)
    return items, answers


@pytest.mark.parametrize("seed", range(5))
def test_tracking_against_loops(seed: int) -> None:
    tracks = _tracks(seed)
    case = _tracking(tracks)

    def clip(b: np.ndarray) -> np.ndarray:
        x, y = np.clip(b[0], 0, 80), np.clip(b[1], 0, 70)
        return np.array([x, y, x + np.clip(b[2] - b[0], 0, 80 - x), y + np.clip(b[3] - b[1], 0, 70 - y)])

    pooled = [iou(clip(true[f]), clip(told[f])) for true, told, seen in tracks for f in range(1, len(true)) if seen[f]]
    found = PROTOCOLS["got10k"].score(*case).summary
    assert found["AO"] == pytest.approx(np.mean(pooled), abs=1e-9)
    assert found["SR@0.5"] == pytest.approx(np.mean(np.array(pooled) > 0.5))
    own, port = [], []
    for true, told, seen in tracks:
        hits = [1.0 if f == 0 else iou(true[f], told[f]) for f in np.flatnonzero(seen)]
        # Boxes that begin left of or above the first pixel are a miss of success in LaSOT's own toolkit.
        real = [h if (true[f, :2] + 1 > 0).all() else -1.0 for h, f in zip(hits, np.flatnonzero(seen), strict=True)]
        steps = np.arange(21) / 20
        own.append(np.mean([sum(h > s for h in real) / len(true) for s in steps]))
        port.append(np.mean([np.mean([h > s for h in hits]) for s in steps]))
    assert PROTOCOLS["lasot"].score(*case).summary["success"] == pytest.approx(np.mean(own), abs=0.01)
    assert PROTOCOLS["lasot-got10k"].score(*case).summary["success"] == pytest.approx(np.mean(port), abs=0.01)


def test_lasot_repeats_the_box_before_where_an_answer_is_none() -> None:
    true = np.array([[10, 10, 20, 20]] * 4, float)
    told = true.copy()
    told[2] = [30, 30, 25, 25]
    items, answers = _tracking([(true, told, np.ones(4, bool))])
    answers["0"].boxes[0].boxes[2] = [30, 30, 25, 25]
    # 20 of 21 thresholds are reached: nothing is above 1.
    assert PROTOCOLS["lasot"].score(items, answers).summary["success"] == pytest.approx(20 / 21)


def test_got10k_leaves_covered_frames_out() -> None:
    true = np.array([[10, 10, 20, 20]] * 4, float)
    told = true.copy()
    told[2] += 40
    items, answers = _tracking([(true, told, np.ones(4, bool))])
    assert PROTOCOLS["got10k"].score(items, answers).summary["AO"] == pytest.approx(2 / 3)
    items[0].extra["cover"] = [8, 8, 0, 8]
    assert PROTOCOLS["got10k"].score(items, answers).summary["AO"] == pytest.approx(1.0)


def slow_hota(true: list[dict[int, Any]], told: list[dict[int, Any]]) -> dict[str, float]:
    """HOTA of one video by the formulas of the paper: objects as frame → box."""
    frames = {f for o in (*true, *told) for f in o}
    align = np.zeros((len(true), len(told)))
    for f in frames:
        for i, a in enumerate(true):
            for j, b in enumerate(told):
                if f in a and f in b:
                    s = iou(a[f], b[f])
                    row = sum(iou(a[f], o[f]) for o in told if f in o)
                    col = sum(iou(o[f], b[f]) for o in true if f in o)
                    align[i, j] += s / (row + col - s) if row + col - s > 0 else 0
    for i, a in enumerate(true):
        for j, b in enumerate(told):
            align[i, j] /= len(a) + len(b) - align[i, j]
    out = defaultdict(list)
    for alpha in np.arange(0.05, 0.99, 0.05):
        pairs = []
        for f in frames:
            rows = [i for i, a in enumerate(true) if f in a]
            cols = [j for j, b in enumerate(told) if f in b]
            s = np.array([[iou(true[i][f], told[j][f]) for j in cols] for i in rows]).reshape(len(rows), len(cols))
            r, c = linear_sum_assignment(-(align[np.ix_(rows, cols)] * s))
            pairs += [(rows[x], cols[y]) for x, y in zip(r, c, strict=True) if s[x, y] >= alpha - 1e-12]
        total = sum(map(len, true)) + sum(map(len, told)) - len(pairs)
        det = len(pairs) / total
        each = [pairs.count(p) / (len(true[p[0]]) + len(told[p[1]]) - pairs.count(p)) for p in pairs]
        ass = float(np.mean(each)) if each else 0.0
        out["DetA"].append(det)
        out["AssA"].append(ass)
        out["HOTA"].append((det * ass) ** 0.5)
    return {k: float(np.mean(v)) for k, v in out.items()}


@pytest.mark.parametrize("seed", range(6))
def test_hota_against_its_formulas(seed: int) -> None:
    rng = np.random.default_rng(seed)
    length = 12
    true, told = [], []
    for _ in range(int(rng.integers(1, 4))):
        corner = rng.uniform(0, 40, 2) + np.cumsum(rng.normal(0, 2, (length, 2)), 0)
        true.append(np.concatenate([corner, corner + 20], 1))
    for _ in range(int(rng.integers(1, 5))):
        told.append(true[rng.integers(len(true))] + rng.normal(0, 3, (length, 4)))
    lives = [sorted(rng.choice(length + 1, 2, replace=False)) for _ in (*true, *told)]
    ends = [(int(a), int(b)) for a, b in lives]
    span = SpanSet([(0, length / 10)])
    tubes = [
        Tube(span, np.arange(a, b) / 10, t[a:b], rate=10, id=str(k))
        for k, (t, (a, b)) in enumerate(zip(true, ends, strict=False))
    ]
    item = Item("0", "v", spans=span_array([(0, length / 10)]), tubes=tubes, fps=10.0, frames=length)
    # Answers are held to the ends of the answered time, so they live from the first to the last frame here.
    answer = Prediction("0", spans=item.spans, boxes=[Boxes(np.arange(length) / 10, t) for t in told], rate=10.0)
    found = PROTOCOLS["hota"].score([item], {"0": answer}).summary
    slow = slow_hota(
        [dict(zip(range(a, b), t[a:b], strict=True)) for t, (a, b) in zip(true, ends, strict=False)],
        [dict(enumerate(t)) for t in told],
    )
    assert {k: found[k] for k in slow} == pytest.approx(slow, abs=1e-9)


def test_hiou_is_the_mean_of_hota_and_the_time_of_paired_objects() -> None:
    track = np.array([[0, 0, 10, 10]] * 10, float)
    span = SpanSet([(0, 1)])
    tubes = [Tube(span, np.arange(10) / 10, track + 100 * k, rate=10, id=str(k)) for k in range(2)]
    item = Item("0", "v", spans=span_array([(0, 1)]), tubes=tubes, fps=10.0, frames=20)
    answer = Prediction("0", spans=span_array([(0, 2)]), boxes=[Boxes(np.arange(10) / 10, track)], rate=10.0)
    scores = PROTOCOLS["svag"].score([item], {"0": answer})
    # One of two objects is found in its 10 frames and ends with its last box, however long the answer is.
    assert scores.summary["DetA"] == pytest.approx(10 / 20)
    assert scores.summary["AssA"] == pytest.approx(1.0)
    assert scores.summary["mIoU"] == pytest.approx(0.5)
    assert scores.summary["m-HIoU"] == pytest.approx((0.5**0.5 + 0.5) / 2)
    assert any("1 of 2 true objects" in n for n in scores.notes)


def test_vstar_looks_at_the_annotated_seconds_alone() -> None:
    rows = [[3, 0, 0, 10, 10], [4, 0, 0, 10, 10], [5, 0, 0, 10, 10]]
    item = Item(
        "0", "v", spans=span_array([(3, 6)]), fps=10.0, frames=2000, answer="A dog.", extra={"boxes_at_seconds": rows}
    )
    good = Boxes(np.array([3.0, 4.0, 9.0]), np.array([[0, 0, 10, 10]] * 3, float))
    worse = Boxes(np.array([3.0, 5.0]), np.array([[5, 0, 15, 10]] * 2, float), "1")
    answer = Prediction("0", spans=span_array([(4, 8)]), boxes=[good, worse], answer="a  dog")
    found = PROTOCOLS["vstar"].score([item, item], {"0": answer})
    assert found.summary["m_vIoU"] == pytest.approx((1 + 1 + 1 / 3) / 3)
    assert found.summary["m_tIoU"] == pytest.approx(2 / 5)
    assert found.summary["AP@0.5"] == pytest.approx(2 / 3)
    assert found.summary["Acc"] == 1.0 and found.summary["LGM"] == float("inf")
    assert "Long" in found.groups
    silent = Prediction("0", spans=answer.spans, boxes=answer.boxes)
    assert "Acc" not in PROTOCOLS["vstar"].score([item], {"0": silent}).summary
    other = Item("1", "v", spans=item.spans, fps=10.0, frames=2000, answer="x", extra=item.extra)
    both = PROTOCOLS["vstar"].score([item, other], {"0": answer}).summary
    # The item without an answer is skipped in time and space and stays below the accuracy.
    assert (both["Acc"], both["m_tIoU"]) == (0.5, pytest.approx(2 / 5))
    am = (0.5 + both["m_tIoU"] + both["m_vIoU"]) / 3
    lgm = -sum(np.log(1 - x) for x in (0.5, both["m_tIoU"], both["m_vIoU"])) / 3
    assert (both["AM"], both["LGM"]) == (pytest.approx(am), pytest.approx(lgm))


def test_st_align_counts_sampled_frames() -> None:
    # 199 frames, of which every second one is sampled.
    track = np.array([[0, 0, 100, 100]] * 100, float)
    item = framed("0", 25.0, 20, track, width=100, height=100, extra={"segment": [0, 198]})
    answer = {"0": said("0", 25.0, (60, 160), range(60, 160), track)}
    found = PROTOCOLS["st-align"].score([item], answer).summary
    assert found["m_sIoU"] == pytest.approx(1.0)
    assert found["m_vIoU"] == pytest.approx(30 / 70)
    first, last, a, b = (round(f / 198, 3) for f in (20, 119, 60, 159))
    assert found["m_tIoU"] == pytest.approx((last - a) / (b - first))


def test_protocols_without_frames_per_second_say_so() -> None:
    item = Item("0", "v", spans=span_array([(0, 1)]), tubes=[Tube(SpanSet([(0, 1)]), [0], [[0, 0, 1, 1]])])
    check: Callable[..., Scores] = PROTOCOLS["stcat"].score
    with pytest.raises(Exception, match="has no fps"):
        check([item], {"0": Prediction("0", spans=item.spans)})

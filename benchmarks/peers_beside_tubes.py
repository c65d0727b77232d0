"""Tube protocols beside their originals on random tubes; the second half of `peers_beside.py`, which says how."""

import ast
import importlib
import json
import logging
import math
import os
import re
import sys
import tempfile
import types
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from peers_code import Check, Pairs, functions, quiet

from whenwhere.datasets.item import Item
from whenwhere.evaluate.names import find_protocol
from whenwhere.evaluate.prediction import Boxes, Prediction
from whenwhere.evaluate.protocol import Scores
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube

Floats = np.ndarray
LEVELS = (("m_tIoU", "tiou"), ("m_vIoU", "viou"), ("gt_viou", "gt_viou"), ("vIoU@0.3", "viou@0.3"),
          ("gt_viou@0.5", "gt_viou@0.5"))  # fmt: skip


def walk(rng: np.random.Generator, n: int, width: float = 640, height: float = 360) -> Floats:
    """(n, 4) boxes that wander through a frame."""
    centre = np.cumsum(rng.normal(0, 4, (n, 2)), 0) + np.array([width / 2, height / 2])
    size = np.abs(rng.normal(80, 20, (n, 2))) + 5
    return np.concatenate([centre - size / 2, centre + size / 2], 1)


class Made:
    """One random tube and its answer, in frames: the truth is [start, end), the answer [first, last).

    Attributes:
        boxes: (end - start, 4) true ones.
        moved: (frames, 4) answered ones.
        keep: (frames,) whether the answer has a box there.
        missing: whether there is no answer.
    """

    def __init__(
        self, rng: np.random.Generator, number: int, frames: int = 600, holes: bool = False, missing: float = 0.1
    ) -> None:
        self.id, self.fps = str(number), float(rng.choice([25, 29.97, 30]))
        self.frames = int(rng.integers(frames // 2, frames + 1))
        self.start = int(rng.integers(0, self.frames - 5))
        self.end = int(rng.integers(self.start + 1, self.frames + 1))
        self.first = int(np.clip(self.start + rng.integers(-60, 60), 0, self.frames - 2))
        self.last = int(np.clip(self.end + rng.integers(-60, 60), self.first + 1, self.frames))
        self.boxes, self.moved = walk(rng, self.end - self.start), walk(rng, self.frames)
        self.moved[self.start : self.end] = self.boxes + rng.normal(0, 8, self.boxes.shape)
        self.moved[:, 2:] = np.maximum(self.moved[:, 2:], self.moved[:, :2] + 3)
        self.keep = np.ones(self.frames, bool)
        if holes:
            for _ in range(3):
                a = int(rng.integers(0, self.frames))
                self.keep[a : a + int(rng.integers(2, 40))] = False
            self.keep[[0, self.first, self.last - 1, -1]] = True
        self.missing = bool(rng.random() < missing)

    def item(self, source: str = "hcstvg-v1", **extra: Any) -> Item:
        """The truth as ours."""
        span = (self.start / self.fps, self.end / self.fps)
        tube = Tube(SpanSet([span]), np.arange(self.start, self.end) / self.fps, self.boxes, rate=self.fps)
        return Item(
            self.id, f"v{self.id}", spans=np.array([span]), tubes=[tube], fps=self.fps, frames=self.frames,
            width=640, height=360, source=source, extra=extra,
        )  # fmt: skip

    def answer(self, inside: bool = False) -> Prediction:
        """The answer as ours; `inside`: boxes of the answered time alone."""
        frame = np.arange(self.frames)
        mask = self.keep & (frame >= self.first) & (frame < self.last) if inside else self.keep
        held = Boxes(frame[mask] / self.fps, self.moved[mask])
        span = np.array([[self.first / self.fps, self.last / self.fps]])
        return Prediction(self.id, spans=span, boxes=[held], rate=self.fps)


def answers(made: list[Made], inside: bool = False) -> dict[str, Prediction]:
    """All answers that there are."""
    return {m.id: m.answer(inside) for m in made if not m.missing}


def per_item(scores: Scores, theirs: dict[Any, dict[str, Any]], key: type = int) -> Pairs:
    """Item by item, the measures that TubeDETR and STCAT have."""
    assert len(scores.ids) == len(theirs), (len(scores.ids), len(theirs))
    for row, id in enumerate(scores.ids):
        for ours, name in LEVELS:
            yield ours, scores.items[ours][row], theirs[key(id)][name]


def hcstvg(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """HC-STVG's `hcvg_eval`; answers with holes, a tenth missing."""
    f = functions(peers / "HC-STVG/eval_hcvg.py", "iou2d", "hcvg_eval")
    made = [Made(rng, n, holes=bool(n % 2)) for n in range(20)]
    truth = {
        m.id: {"st_frame": m.start, "ed_frame": m.end - 1,
               "bbox": {str(m.start + k): b for k, b in enumerate(m.boxes.tolist())}}
        for m in made
    }  # fmt: skip
    given = {
        m.id: {"st_frame": m.first, "ed_frame": m.last - 1,
               "bbox": {str(k): m.moved[k].tolist() for k in range(m.first, m.last) if m.keep[k]}}
        for m in made if not m.missing
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for part, content in (("truth", truth), ("given", given)):
            (Path(folder) / part).write_text(json.dumps(content), encoding="utf-8")
        theirs = f.hcvg_eval(f"{folder}/given", f"{folder}/truth")
    ours = find_protocol(name).score([m.item() for m in made], answers(made, True)).summary
    for measure, value in zip(("m_vIoU", "m_tIoU", "vIoU@0.3", "vIoU@0.5"), theirs, strict=True):
        yield measure, ours[measure], value


def tubedetr(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """TubeDETR's HC-STVG and VidSTG evaluators, the latter on videos of more than 200 sampled frames."""
    boxes = functions(peers / "TubeDETR/util/box_ops.py", "np_box_area", "_box_inter_union", "np_box_iou").np_box_iou
    for kind, class_name, file in (
        ("hcstvg", "HCSTVGGiouEvaluator", "test_proc.json"), ("vidstg", "VidSTGiouEvaluator", "test.json")
    ):  # fmt: skip
        made = [Made(rng, n, 600 if kind == "hcstvg" else 4000, missing=0) for n in range(8)]
        if kind == "hcstvg":
            for m in made:
                m.fps = m.frames / 20
            content: Any = [
                {"video_id": m.id, "frame_count": m.frames, "tube_start_frame": m.start, "tube_end_frame": m.end,
                 "trajectory": np.c_[m.boxes[:, :2], m.boxes[:, 2:] - m.boxes[:, :2]].tolist()}
                for m in made
            ]  # fmt: skip
            items = [m.item() for m in made]
        else:
            content = {
                "videos": [
                    {"video_id": m.id, "original_video_id": m.id, "target_id": 0, "fps": m.fps,
                     "start_frame": m.start // 2, "end_frame": m.frames - 1, "tube_start_frame": m.start,
                     "tube_end_frame": m.end}
                    for m in made
                ],
                "trajectories": {
                    m.id: {"0": {str(m.start + k): {"bbox": [*b[:2], b[2] - b[0], b[3] - b[1]]}
                                 for k, b in enumerate(m.boxes.tolist())}}
                    for m in made
                },
            }  # fmt: skip
            items = [m.item("vidstg", segment=[m.start // 2, m.frames - 1]) for m in made]
        f = functions(peers / f"TubeDETR/datasets/{kind}_eval.py", class_name, np_box_iou=boxes, Path=Path)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / file).write_text(json.dumps(content), encoding="utf-8")
            judge = vars(f)[class_name](folder, "test", iou_thresholds=[0.3, 0.5], verbose=False)
        given = {f"{m.id}_{k}": {"boxes": [m.moved[k].tolist()]} for m in made for k in range(m.frames)}
        theirs = judge.evaluate(given, {m.id: {"sted": [m.first, m.last], "qtype": "a"} for m in made})
        theirs = theirs[0] if isinstance(theirs, tuple) else theirs
        yield from per_item(find_protocol(name).score(items, answers(made)), theirs, str)


def stcat(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """The HC-STVG and VidSTG evaluators of STCAT and those made from it; with holes where a hole does not stop it."""
    folder = (
        peers / {"stcat": "STCAT", "cg": "CGSTVG", "ta": "TA-STVG", "llava_next_stvg": "LLaVA_Next_STVG/stvg"}[name]
    )
    iou = functions(folder / "utils/box_utils.py", "np_box_area", "_box_inter_union", "np_box_iou").np_box_iou
    for kind, class_name in (("hcstvg", "HCSTVGiouEvaluator"), ("vidstg", "VidSTGiouEvaluator")):
        stops = name == "stcat" or (name != "ta" and kind == "vidstg")
        for holes in (False,) if stops else (False, True):
            made = [Made(rng, n, holes=holes) for n in range(15)]
            truth = [
                {"item_id": int(m.id), "vid": "v", "description": "", "gt_temp_bound": [m.start, m.end],
                 "bboxs": {m.start + k: b for k, b in enumerate(m.boxes.tolist())}}
                for m in made
            ]  # fmt: skip
            cache = types.SimpleNamespace(load=lambda *a, truth=truth, **k: truth)
            f = functions(
                folder / f"datasets/evaluation/{kind}_eval.py", class_name, np_box_iou=iou, torch=cache, os=os,
                reduce=reduce, logging=logging,
            )  # fmt: skip
            judge = vars(f)[class_name]("", "test", [0.3, 0.5])
            given = {int(m.id): {k: [m.moved[k].tolist()] for k in np.flatnonzero(m.keep).tolist()} for m in made}
            times = {int(m.id): {"sted": [m.first, m.last], "qtype": "a"} for m in made if not m.missing}
            more = judge.evaluate.__code__.co_argcount - 3
            theirs, _ = quiet(lambda: judge.evaluate(given, times, *({} for _ in range(more))))  # noqa: B023
            theirs = theirs[0] if isinstance(theirs, tuple) else theirs
            source = "vidstg" if kind == "vidstg" else "hcstvg-v1"
            yield from per_item(find_protocol(name).score([m.item(source) for m in made], answers(made)), theirs)


def vidor(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """VidVRD-helper's `viou`."""
    f = functions(peers / "VidVRD-helper/evaluation/common.py", "viou")
    made = [Made(rng, n, missing=0) for n in range(20)]
    scores = find_protocol(name).score([m.item() for m in made], answers(made, True))
    for row, m in enumerate(made):
        said = m.moved[m.first : m.last].tolist()
        theirs = f.viou(m.boxes.tolist(), (m.start, m.end), said, (m.first, m.last))
        yield "vIoU", scores.items["vIoU"][row], theirs


def toolkit(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """The GOT-10k toolkit's `rect_iou` with `ExperimentGOT10k._evaluate` and `ExperimentLaSOT._calc_curves`."""
    metrics = functions(
        peers / "toolkit/got10k/utils/metrics.py", "rect_iou", "center_error", "normalized_center_error",
        "_intersection",
    )  # fmt: skip
    known = {k: vars(metrics)[k] for k in ("rect_iou", "center_error", "normalized_center_error")}
    made = [Made(rng, n, 300, missing=0) for n in range(10)]
    for m in made:
        m.start, m.end, m.first, m.last = 0, m.frames, 0, m.frames
        m.boxes = walk(rng, m.frames)
        m.moved = m.boxes + rng.normal(0, 15, m.boxes.shape)
        m.moved[:, 2:] = np.maximum(m.moved[:, 2:], m.moved[:, :2] + 2)
    cover = [rng.integers(0, 9, m.frames) for m in made]
    flat = [(corner(m.moved), corner(m.boxes)) for m in made]
    if name == "got10k":
        f = functions(peers / "toolkit/got10k/experiments/got10k.py", "ExperimentGOT10k", object=object)
        judge = f.ExperimentGOT10k.__new__(f.ExperimentGOT10k)
        judge.nbins_iou = 101
        pairs = zip(flat, cover, strict=True)
        iou = [metrics.rect_iou(a[1:].copy(), b[1:].copy(), bound=(640, 360))[c[1:] > 0] for (a, b), c in pairs]
        average, rate, _, _ = judge._evaluate(np.concatenate(iou), np.zeros(0))
        items = [m.item(cover=c.tolist()) for m, c in zip(made, cover, strict=True)]
        scores = find_protocol(name).score(items, answers(made))
        yield "AO", scores.summary["AO"], average
        yield "SR@0.5", scores.summary["SR@0.5"], rate
        for row, values in enumerate(iou):
            yield "seq_AO", scores.items["seq_AO"][row], values.mean()
        return
    f = functions(peers / "toolkit/got10k/experiments/lasot.py", "ExperimentLaSOT", ExperimentOTB=object, **known)
    judge = f.ExperimentLaSOT.__new__(f.ExperimentLaSOT)
    judge.nbins_iou, judge.nbins_ce, judge.nbins_nce = 21, 51, 51
    curves, items = [], []
    for m, c, (said, true) in zip(made, cover, flat, strict=True):
        seen = c > 0
        seen[0] = True
        said, gone = said.copy(), true.copy()
        said[0], gone[~seen] = true[0], np.nan
        curves.append(judge._calc_curves(*judge._calc_metrics(said, gone)))
        item = m.item()
        item.tubes = [Tube(item.tubes[0].spans, np.flatnonzero(seen) / m.fps, m.boxes[seen], rate=m.fps)]
        items.append(item)
    ours = find_protocol(name).score(items, answers(made)).summary
    yield "success", ours["success"], np.mean([c[0].mean() for c in curves])
    yield "precision", ours["precision"], np.mean([c[1][20] for c in curves])
    yield "norm_precision", ours["norm_precision"], np.mean([c[2].mean() for c in curves])


def corner(boxes: Floats) -> Floats:
    """Left, top, width, height."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)


def hota(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """TrackEval's `HOTA.eval_sequence` and `combine_sequences`, box IoU by its `_calculate_box_ious`."""
    vars(np).update(float=float, int=int)  # names before numpy 1.20, which it uses
    sys.path.insert(0, str(peers / "TrackEval"))
    metric = importlib.import_module("trackeval.metrics.hota").HOTA()
    overlap = importlib.import_module("trackeval.datasets._base_dataset")._BaseDataset._calculate_box_ious
    sys.path.pop(0)
    results, items, found, fps = {}, [], {}, 25.0
    for number in range(6):
        objects, tracks, frames = int(rng.integers(1, 6)), int(rng.integers(1, 7)), int(rng.integers(5, 60))
        true = [walk(rng, frames) for _ in range(objects)]
        said = [true[rng.integers(objects)] + rng.normal(0, 10, (frames, 4)) for _ in range(tracks)]
        seen, told = rng.random((objects, frames)) < 0.85, rng.random((tracks, frames)) < 0.8
        seen[:, 0] = told[:, 0] = True
        for boxes in said:
            boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 2)
        data: dict[str, Any] = {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
        for t in range(frames):
            a, b = np.flatnonzero(seen[:, t]), np.flatnonzero(told[:, t])
            data["gt_ids"].append(a)
            data["tracker_ids"].append(b)
            one = np.array([true[k][t] for k in a]).reshape(-1, 4)
            two = np.array([said[k][t] for k in b]).reshape(-1, 4)
            data["similarity_scores"].append(overlap(one, two, box_format="x0y0x1y1"))
        data |= {"num_gt_ids": objects, "num_tracker_ids": tracks, "num_gt_dets": int(seen.sum()),
                 "num_tracker_dets": int(told.sum())}  # fmt: skip
        results[str(number)], _ = quiet(lambda: metric.eval_sequence(data))  # noqa: B023
        span = (0.0, frames / fps)
        tubes = [
            Tube(SpanSet([span]), np.flatnonzero(k) / fps, b[k], rate=fps) for k, b in zip(seen, true, strict=True)
        ]
        items.append(Item(str(number), "v", spans=np.array([span]), tubes=tubes, fps=fps, frames=frames))
        held = [Boxes(np.flatnonzero(k) / fps, b[k], id=str(n))
                for n, (k, b) in enumerate(zip(told, said, strict=True))]  # fmt: skip
        found[str(number)] = Prediction(str(number), spans=np.array([span]), rate=fps, boxes=held)
    all_of_them, _ = quiet(lambda: metric.combine_sequences(results))
    scores = find_protocol(name).score(items, found)
    for measure in ("HOTA", "DetA", "AssA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA"):
        yield measure, scores.summary[measure], all_of_them[measure].mean()
    for row, id in enumerate(scores.ids):
        yield "seq_HOTA", scores.items["seq_HOTA"][row], results[id]["HOTA"].mean()


def st_align(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """LLaVA-ST's `eval_stvg`, spans and boxes handed over as it parses them."""
    helpers = functions(peers / "LLaVA-ST/inference/src/utils.py", "temporal_iou", "iou", "parse_stpair_from_text")
    f = functions(
        peers / "LLaVA-ST/inference/src/metrics.py", "eval_stvg", temporal_iou=helpers.temporal_iou, iou=helpers.iou,
        parse_stpair_from_text=helpers.parse_stpair_from_text, parse_span_from_text=lambda x: x,
        replace_and_normalize=lambda x, return_token=True: x, tqdm=types.SimpleNamespace(tqdm=lambda x, **k: x),
    )  # fmt: skip
    rows, items, found, fps = [], [], {}, 25.0
    for number in range(15):
        count, first = int(rng.integers(60, 900)), int(rng.integers(0, 50))
        width, height = int(rng.integers(200, 1920)), int(rng.integers(200, 1080))
        segment = [first, first + count - 1]
        grid = sorted({first + round(k / 99 * (count - 1)) for k in range(100)})
        a, b = sorted(rng.choice(len(grid), 2, replace=False))
        frames = grid[a : b + 1]
        true = {str(t): [float(rng.uniform(0, width / 2)), float(rng.uniform(0, height / 2)),
                         float(rng.uniform(width / 2 + 1, width)), float(rng.uniform(height / 2 + 1, height))]
                for t in frames}  # fmt: skip
        lo, hi = sorted(rng.choice(100, 2, replace=False))
        bins = {k: [*rng.integers(0, 50, 2).tolist(), *rng.integers(51, 100, 2).tolist()] for k in range(lo, hi + 1)}
        said = {first + round(float(k) / 99 * (count - 1)): [v[0] / 99 * width, v[1] / 99 * height, v[2] / 99 * width,
                                                             v[3] / 99 * height] for k, v in bins.items()}  # fmt: skip
        span = [round((t - first) / (count - 1), 3) for t in (min(said), max(said))]
        text = " ".join(f"{k},:[{v[0]},{v[1]},{v[2]},{v[3]}]" for k, v in bins.items())
        rows.append({"split": segment, "width": width, "height": height, "outputs": text, "converted_outputs": span,
                     "gt": {"tvg": [frames[0], frames[-1]], "svg": true}})  # fmt: skip
        time = (frames[0] / fps, (frames[-1] + 1) / fps)
        tube = Tube(SpanSet([time]), np.array(frames) / fps, list(true.values()), rate=fps)
        id = str(number)
        items.append(Item(id, "v", spans=np.array([time]), tubes=[tube], fps=fps, width=width, height=height,
                          extra={"segment": segment}))  # fmt: skip
        when = sorted(said)
        held = Boxes(np.array(when) / fps, np.array([said[t] for t in when]))
        answered = np.array([[when[0] / fps, (when[-1] + 1) / fps]])
        found[id] = Prediction(id, spans=answered, boxes=[held], rate=fps)
    theirs, _ = quiet(lambda: f.eval_stvg(rows))
    ours = find_protocol(name).score(items, found).summary
    for measure, key, scale in (
        ("m_tIoU", "mtiou", 1), ("m_sIoU", "msiou", 1), ("m_vIoU", "mstiou", 1), ("vIoU@0.3", "viou@0.3", 100),
        ("tIoU@0.5", "tiou@0.5", 100), ("sIoU@0.7", "siou@0.7", 100),
    ):  # fmt: skip
        yield measure, ours[measure], theirs[key] / scale


def vstar(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """V-STaR's `evaluate_json`, its judge of answers replaced by equality; also several objects, missing answers."""
    f = functions(
        peers / "V-STaR/eval.py", "calculate_temporal_iou", "compute_iou", "calculate_bbox_iou",
        "calculate_spatial_metrics", "evaluate_json", tqdm=lambda x, **k: x, ast=ast, os=os,
        qwen2_5_evaluation=lambda question, truth, said: 3 if truth == said else 0,
        calculate_spatial_random=lambda *a: ([0] * 5, 0),
    )  # fmt: skip
    rows, items, found = [], [], {}
    for number in range(120):  # enough that no length of video is answered without a fault: it would stop there
        length = float(rng.uniform(20, 300))
        start = float(rng.uniform(0, length - 8))
        end = start + float(rng.uniform(1, 7))
        seconds = list(range(math.ceil(start), int(end) + 1)) or [int(start)]
        table = [[t, float(rng.uniform(0, 200)), float(rng.uniform(0, 100)), float(rng.uniform(201, 600)),
                  float(rng.uniform(101, 350))] for t in seconds]  # fmt: skip
        first = start + float(rng.normal(0, 2))
        said = [first, first + float(rng.uniform(0.5, 8))]
        choice, two, id = str(rng.choice(["a", "b", ""])), number % 5 == 0, str(number)
        noise = [20, 10, 20, 0]
        boxes = {t: (np.array(table[0][1:]) + rng.normal(0, 1, 4) * noise).tolist()
                 for t in [*seconds, 999] if rng.random() < 0.8}  # fmt: skip
        rows.append({
            "vid": id, "fps": 25.0, "frame_count": int(length * 25), "width": 640, "height": 360, "question": "?",
            "answer": "a", "answer_vqa": choice, "timestamps": [start, end], "answer_temporal": said, "domain": "d",
            "bboxes": [dict(zip(("timestamp", "xmin", "ymin", "xmax", "ymax"), b, strict=True)) | {"frame_index": b[0]}
                       for b in table],
            "answer_spatial": {str(t): [b, [0.0, 0.0, 700.0, 400.0]] if two else b for t, b in boxes.items()},
        })  # fmt: skip
        items.append(Item(id, id, spans=np.array([[start, end]]), fps=25.0, frames=int(length * 25), answer="a",
                          extra={"boxes_at_seconds": table}))  # fmt: skip
        when = np.array(sorted(boxes), float)
        held = [Boxes(when, np.array([boxes[int(t)] for t in when]).reshape(-1, 4), id="0")]
        if two:
            held.append(Boxes(when, np.tile([0.0, 0.0, 700.0, 400.0], (len(when), 1)), id="1"))
        found[id] = Prediction(id, spans=np.array([said]), boxes=held, answer=choice or None)
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "m_x.json").write_text(json.dumps(rows), encoding="utf-8")
        (Path(folder) / "metrics").mkdir()
        os.chdir(folder)
        try:
            _, out = quiet(lambda: f.evaluate_json(f"{folder}/m_x.json"))
            written = json.loads(next((Path(folder) / "metrics").iterdir()).read_text(encoding="utf-8"))
        finally:
            os.chdir(before)
    scores = find_protocol(name).score(items, found)
    for row, entry in enumerate(written):
        if "temporal_IoU" not in entry:
            yield "left out", float(np.isnan(scores.items["m_tIoU"][row])), 1.0
            continue
        yield "m_tIoU", scores.items["m_tIoU"][row], entry["temporal_IoU"]
        yield "m_vIoU", scores.items["m_vIoU"][row], entry["spatial_mIoU"]
        for value, m in zip(entry["AP1@0.1:0.9"], (0.1, 0.3, 0.5, 0.7, 0.9), strict=True):
            yield f"AP@{m}", scores.items[f"AP@{m}"][row], value
    head = out.split("Video Length")[0]
    for measure, pattern in (("Acc", "Accuracy"), ("AM", "AM1"), ("LGM", "LGM1"), ("R1@0.5", "R1@IoU=0.5")):
        printed = re.search(pattern + r":\s*([\d.]+)", head)
        assert printed, head
        digits = len(printed[1].partition(".")[2])
        yield measure, round(scores.summary[measure], digits), float(printed[1])


def stvg_r1(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """STVG-R1's `calculate_spatial_iou_for_item` on masks in files, with its mask and box helpers."""
    import pycocotools.mask

    path = peers / "stvg-r1/evaluate.py"
    helpers = [n.name for n in ast.parse(path.read_text(encoding="utf-8")).body
               if isinstance(n, ast.FunctionDef) and n.name != "main"]  # fmt: skip
    f = functions(path, *helpers, mask_util=pycocotools.mask, os=os)
    items, found, theirs = [], {}, []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(4):
            frames, fps, id = 120, float(rng.choice([25.0, 30.0])), str(number)
            first, count = int(rng.integers(0, 60)), int(rng.integers(2, 50))
            start, end = first / fps, (first + count) / fps
            true = np.c_[rng.integers(5, 30, count), rng.integers(5, 20, count), rng.integers(20, 40, count),
                         rng.integers(20, 30, count)].astype(float)  # fmt: skip
            a = float(max(0, start + rng.normal(0, 0.5)))
            b = float(min(frames / fps - 0.05, a + rng.uniform(0.1, 2)))
            said = np.c_[rng.integers(0, 30, frames), rng.integers(0, 20, frames), rng.integers(40, 79, frames),
                         rng.integers(30, 59, frames)]  # fmt: skip
            masks = Path(folder) / id / "mask_data"
            masks.mkdir(parents=True)
            for t, (x1, y1, x2, y2) in enumerate(said.tolist()):
                mask = np.zeros((60, 80), np.uint8, order="F")
                mask[y1 : y2 + 1, x1 : x2 + 1] = 1
                code = pycocotools.mask.encode(mask)
                content = {"objects": {"1": {"rle": code | {"counts": code["counts"].decode()}}}}
                (masks / f"mask_{t}.json").write_text(json.dumps(content), encoding="utf-8")
            truth = {id: {"bbox": true.tolist(), "st_frame": first + 1}}
            value = f.calculate_spatial_iou_for_item({"vid": id}, 1, a, b, 1, start, end, truth, folder, fps)
            overlap = max((min(end, b) - max(start, a)) / (max(end, b) - min(start, a)), 0)
            theirs.append((overlap, value))
            boxes = np.c_[true[:, :2], true[:, :2] + true[:, 2:]]
            tube = Tube(SpanSet([(start, end)]), np.arange(first, first + count) / fps, boxes, rate=fps)
            items.append(Item(id, id, spans=np.array([[start, end]]), tubes=[tube], fps=fps, frames=frames))
            held = Boxes(np.arange(frames) / fps, said.astype(float))
            found[id] = Prediction(id, spans=np.array([[a, b]]), boxes=[held], rate=fps)
    scores = find_protocol(name).score(items, found)
    for row, (t, v) in enumerate(theirs):
        yield "m_tIoU", scores.items["m_tIoU"][row], t
        yield "m_vIoU", scores.items["m_vIoU"][row], v


def vue_stg(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """Vidi's `compare_tubes` with its `Tube`, averaged over queries as its data frame does; boxes also reversed."""
    import pandas

    folder = peers / "vidi/VUE_STG"
    parts = functions(
        folder / "tube.py", "_sanitize_bbox", "quantize_time_ms", "Tube", pd=pandas, BBox=tuple, Slice=list
    )
    f = functions(
        folder / "evaluate.py", "_union_area", "_pairwise_intersections", "compute_region_inter_union",
        "compute_inter_union", "_rename_metric_keys", "compare_tubes", Tube=parts.Tube, BBox=tuple, Slice=list,
    )  # fmt: skip
    names = {"t_IoU": "t_iou", "t_Recall": "t_ioa", "t_Precision": "t_iob", "v_IoU": "legacy_v_iou",
             "v_Recall": "legacy_v_ioa", "v_Precision": "legacy_v_iob", "v_IoU_Int": "legacy_v_iou_intersection",
             "3D_IoU": "v_iou_3d"}  # fmt: skip
    items, found, rows = [], {}, []
    for number in range(30):
        id, start, count = str(number), int(rng.integers(0, 30)), int(rng.integers(1, 20))
        true = np.sort(rng.random((count, 2, 2)), axis=1).reshape(count, 4)
        first, length = start + int(rng.integers(-5, 6)), int(rng.integers(0, 20))
        # in half of the cases also before the video and twice in a second
        odd = rng.random() < 0.5
        least = -9999 if odd else 0
        times = (first + np.arange(length)).clip(least) * 1000 + rng.integers(-999 if odd else 0, 400, length)
        said = np.sort(rng.random((length, 2, 2)), axis=1).reshape(length, 4)
        said += rng.normal(0, 0.1, said.shape)
        flip = rng.random(length) < 0.1
        said[flip] = said[flip][:, [2, 3, 0, 1]]
        one, two = parts.Tube(1000), parts.Tube(1000)
        for t, box in zip(((start + np.arange(count)) * 1000).tolist(), true.tolist(), strict=True):
            one.add_bbox(t, tuple(box))
        for t, box in zip(times.tolist(), said.tolist(), strict=True):
            two.add_bbox(int(t), tuple(box))
        rows.append(f.compare_tubes(one, two))
        span = np.array([[start, start + count]], float)
        tube = Tube(SpanSet([tuple(span[0])]), np.arange(start, start + count, dtype=float), true)
        items.append(Item(id, id, spans=span, tubes=[tube], width=1, height=1))
        if length:
            held = Boxes(times / 1000, said)
            found[id] = Prediction(id, spans=np.array([[first, first + length]], float), boxes=[held])
    theirs = pandas.DataFrame(rows)
    ours = find_protocol(name).score(items, found).summary
    for measure, key in names.items():
        yield measure, ours[measure], float(theirs[key].astype(float).mean())


CHECKS: list[tuple[tuple[str, ...], str, Check]] = [
    (("hcstvg_official",), "HC-STVG", hcstvg),
    (("tubedetr",), "TubeDETR", tubedetr),
    (("stcat",), "STCAT", stcat),
    (("cg",), "CGSTVG", stcat),
    (("ta",), "TA-STVG", stcat),
    (("llava_next_stvg",), "LLaVA_Next_STVG", stcat),
    (("st_align",), "LLaVA-ST", st_align),
    (("stvg_r1",), "stvg-r1", stvg_r1),
    (("vstar",), "V-STaR", vstar),
    (("vue_stg",), "vidi", vue_stg),
    (("vidor_viou",), "VidVRD-helper", vidor),
    (("got10k", "lasot_got10k"), "toolkit", toolkit),
    (("hota",), "TrackEval", hota),
]

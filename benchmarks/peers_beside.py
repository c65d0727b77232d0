"""Every protocol that claims to equal somebody else's, run beside that somebody's own functions on random input.

    NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4" python benchmarks/peers_beside.py --peers DIR [--rounds 20]

The variable switches off numpy's sorting by vector instructions, whose order among equal values differs from one
processor to another: several peers choose among equally good windows by the order that a sort happens to give.

DIR holds checkouts named like their repositories, at the commits in `REPOSITORIES` (a checkout that is not there is
left out and named). Needs pandas, joblib, scikit-learn, pycocotools, matplotlib and tqdm, which the peers import. A
minute on one core. Expected: a difference of 0, or of a few units in the last place where sums are added in another
order. Writes results/peers_beside.{json,md}; a test holds every standing "equal to the original" against that file.

The peers' functions are imported as they are, or taken out of their files by name where the file does more than define
functions (loads models, reads the command line, expects a server). What is replaced, never in arithmetic: Python 2's
words in ActivityNet and DiDeMo; modules that are imported but not used for counting, which are empty ones here; the
truth, which is handed over directly instead of being read from the peer's own files; pools of processes, which run in
this one. Both sides get the same spans and boxes, so what a peer's own parser of model text loses is not in here.
Half of the rounds are *odd*: answers also at negative times and past the video's end, reversed, without length and
repeated, lists of answers that are empty where the peer takes one, tied scores, and windows without scores where the
peer reads them. Only ActivityNet's order among ties is left out: it is that of Python 2 and is held by the reference
scores (`tests/test_eval_reference.py`).
"""

import argparse
import importlib.metadata
import json
import math
import platform
import re
import sys
import tempfile
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import peers_beside_tubes
from evaluators import load, stand_ins, to_python_3
from peers_code import Check, Pairs, functions, quiet

from whenwhere.datasets.item import Item, span_array
from whenwhere.evaluate.formats import read_predictions
from whenwhere.evaluate.names import find_protocol
from whenwhere.evaluate.prediction import Prediction
from whenwhere.store import write_text

HERE = Path(__file__).parent
#: Folder → owner and commit.
REPOSITORIES = {
    "2D-TAN": ("microsoft", "2f7410f0de"),
    "ActivityNet": ("activitynet", "82304fa9f4"),
    "CGSTVG": ("HengLan", "f062d84b72"),
    "HC-STVG": ("tzhhhh123", "94ab6e96f8"),
    "LLaVA-ST": ("appletea233", "bacf6d61e1"),
    "LLaVA_Next_STVG": ("zaiquanyang", "d904f1a7e8"),
    "LocalizingMoments": ("LisaAnne", "b6a555c813"),
    "MUSEG": ("THUNLP-MT", "889565e78b"),
    "MomentofUntruth": ("keflanagan", "ac2adcdd56"),
    "NExT-GQA": ("doc-doc", "63772e0256"),
    "QV-M2": ("Zhuo-Cao", "d5d40388a5"),
    "ReXTime": ("ReXTime", "cb9f484110"),
    "STCAT": ("jy0205", "400f548149"),
    "TA-STVG": ("HengLan", "904ad0c344"),
    "TaRO": ("oceanflowlab", "143a234fe3"),
    "TimeLens": ("TencentARC", "5d90c06724"),
    "TrackEval": ("JonathonLuiten", "12c8791b30"),
    "TubeDETR": ("antoyang", "d70c0eed94"),
    "V-STaR": ("V-STaR-Bench", "1894682b15"),
    "VidVRD-helper": ("xdshang", "1b4de175ce"),
    "generalized-moment-retrieval": ("dymm9977", "922515c4fe"),
    "lmms-eval": ("EvolvingLMMs-Lab", "75571cfe0f"),
    "moment_detr": ("jayleicn", "b7e553ac3b"),
    "stvg-r1": ("XiaowZhang00", "0bea9e57d5"),
    "time-r1": ("xiaomi-research", "7f2b5944a0"),
    "toolkit": ("got-10k", "956e7286fd"),
    "vidi": ("bytedance", "fc30c87084"),
}
#: What cannot be run here, and why.
NOT_RUN = {
    "stcat-released": "its reader makes its cache from the videos and a model's settings; the bounds were read from it",
    "lasot": "MATLAB",
    "svag": "its parts run as scripts over folders of their own; they were read",
}


# -- random input -----------------------------------------------------------------------------------------------------


class Spans:
    """Queries with one to four true spans, and one to thirteen ranked answers each, a third of them right.

    Attributes:
        items: our side.
        found: our side.
        first: first choice of each query.
        duration: of every video, seconds.
        odd: Whether answers are as files from the field have them (see the module).
    """

    duration = 60.0

    def __init__(self, rng: np.random.Generator) -> None:
        self.odd = bool(rng.random() < 0.5)
        grid = rng.choice([0, 0.1, 0.5, 1, 2])
        self.items, self.found = [], {}
        for n in range(int(rng.integers(2, 60))):
            truth = [self.span(rng, grid) for _ in range(rng.integers(1, 5))]
            count = int(rng.integers(1, 14))
            spans = [self.span(rng, grid) if rng.random() > 0.3 else truth[rng.integers(len(truth))]
                     for _ in range(count)]  # fmt: skip
            if self.odd:
                spans = [self.spoilt(rng, span, spans) for span in spans]
            scores = np.sort(rng.random(count).round(1 if self.odd else 17))[::-1]
            options = ["a cat", "a dog", "red", "blue"]
            self.items.append(
                Item(f"q{n}", f"v{n % 7}", "x", span_array(truth), duration=self.duration, options=options,
                     answer="ABCD"[rng.integers(4)])
            )  # fmt: skip
            self.found[f"q{n}"] = Prediction(
                f"q{n}", spans=span_array(spans[:1]), ranked=np.c_[np.array(spans), scores],
                answer="ABCD"[rng.integers(4)],
            )  # fmt: skip
        self.first = [p.ranked[0, :2].tolist() for p in self.found.values()]

    def span(self, rng: np.random.Generator, grid: float) -> list[float]:
        """A span, on a grid of seconds or anywhere."""
        if grid:
            a, b = sorted(rng.choice(np.arange(0, self.duration + grid, grid), 2, replace=False))
        else:
            a, b = sorted(rng.uniform(0, self.duration, 2))
        return [float(a), float(b)]

    def spoilt(self, rng: np.random.Generator, span: list[float], others: list[list[float]]) -> list[float]:
        """A span as it is, or moved out of the video, reversed, without length, or a copy of another one."""
        kind = rng.integers(10)
        if kind == 0:
            away = float(rng.choice([-70, -20, -1, 1, 20]))
            return [span[0] + away, span[1] + away]
        if kind == 1:
            return span[::-1]
        if kind == 2:
            return [span[0], span[0]]
        return list(others[rng.integers(len(others))]) if kind == 3 else span

    def submission(self, rng: np.random.Generator | None = None, empty: bool = False) -> list[dict[str, Any]]:
        """The answers in the form of moment_detr; with `rng`, in odd rounds some windows have no scores.

        Args:
            rng: Decides in odd rounds whether the whole file has no scores.
            empty: Whether some lists of windows are empty then.
        """
        bare = rng is not None and self.odd and rng.random() < 0.3
        out = []
        for k, p in self.found.items():
            windows = p.ranked[:, :2].tolist() if bare else p.ranked.tolist()
            nothing = rng is not None and self.odd and empty and rng.random() < 0.2
            out.append({"qid": k, "pred_relevant_windows": [] if nothing else windows, "ans": p.answer})
        return out

    def truth(self) -> list[dict[str, Any]]:
        """The truth in the form of moment_detr."""
        return [{"qid": i.id, "relevant_windows": i.spans.tolist(), "ans": i.answer} for i in self.items]


def read_back(given: list[dict[str, Any]], items: list[Item]) -> dict[str, Prediction]:
    """The answers of a submission as this project reads them from a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "submission.jsonl"
        path.write_text("".join(json.dumps(entry) + "\n" for entry in given), encoding="utf-8")
        return read_predictions(path, items, format="qvhighlights").by_id


def summary(name: str, items: list[Item], found: dict[str, Prediction]) -> dict[str, float]:
    """Our numbers."""
    return find_protocol(name).score(items, found).summary


def usual(name: str, s: Spans, iou: list[float], strict: bool) -> Pairs:
    """MIoU and R1 at the usual thresholds from the peer's IoUs."""
    ours = summary(name, s.items, s.found)
    yield "mIoU", ours["mIoU"], sum(iou) / len(iou)
    for m in (0.3, 0.5, 0.7):
        yield f"R1@{m}", ours[f"R1@{m}"], sum((x > m) if strict else (x >= m) for x in iou) / len(iou)


# -- one function per peer --------------------------------------------------------------------------------------------


def time_r1(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """Time-R1's `compute_IoU` and `calc_score`."""
    s = Spans(rng)
    f = functions(peers / "time-r1/src/vllm_inference/eval_all.py", "compute_IoU", "calc_score")
    iou = {i.id: f.compute_IoU(a, i.spans[0].tolist()) for i, a in zip(s.items, s.first, strict=True)}
    theirs, _ = quiet(lambda: f.calc_score(iou, "tvgbench"))
    ours = summary(name, s.items, s.found)
    for measure, key in (("mIoU", "mIoU"), ("R1@0.3", 0.3), ("R1@0.5", 0.5), ("R1@0.7", 0.7), ("avg", "avg")):
        if measure in ours:
            yield measure, 100 * ours[measure], theirs[key]


def timelens(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """TimeLens' `iou`; its loop over thresholds stands in its script's main part."""
    s = Spans(rng)
    f = functions(peers / "TimeLens/timelens/utils.py", "iou")
    yield from usual(name, s, [f.iou(i.spans[0].tolist(), a) for i, a in zip(s.items, s.first, strict=True)], False)


def lmms_eval(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """lmms-eval's `iou`, after its own turning round of reversed answers."""
    s = Spans(rng)
    f = functions(peers / "lmms-eval/lmms_eval/tasks/charades_sta/eval_tvg.py", "iou", "extract_time")
    for row, p in enumerate(s.found.values()):
        if row % 3 == 0:
            p.ranked[0, :2] = p.ranked[0, 1::-1].copy()
    # its parser knows no negative numbers
    said = [sorted(p.ranked[0, :2].tolist()) if p.ranked[0, :2].min() < 0
            else f.extract_time("It happens in {!r} - {!r} seconds.".format(*p.ranked[0, :2].tolist()))[0]
            for p in s.found.values()]  # fmt: skip
    yield from usual(name, s, [f.iou(i.spans[0].tolist(), a) for i, a in zip(s.items, said, strict=True)], False)


def taro(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """TaRO's `calculate_iou`, the best of the true spans."""
    s = Spans(rng)
    f = functions(peers / "TaRO/standalone_eval/evaluate_vtg.py", "calculate_iou")
    # its parser turns reversed answers round before
    said = [sorted(a) for a in s.first]
    iou = [max(f.calculate_iou(g, a) for g in i.spans.tolist()) for i, a in zip(s.items, said, strict=True)]
    yield from usual(name, s, iou, False)


def two_d_tan(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """2D-TAN's `eval`, its suppression step left out: that step would also drop windows without length."""
    s = Spans(rng)
    test = types.SimpleNamespace(TIOU="0.1,0.3,0.5,0.7", RECALL="1,5", NMS_THRESH=1.0)
    f = functions(
        peers / "2D-TAN/lib/core/eval.py", "iou", "eval", config=types.SimpleNamespace(TEST=test),
        nms=lambda windows, thresh, top_k: np.array(windows)[:top_k],
    )  # fmt: skip
    answers = [p.ranked[:, :2].tolist() for p in s.found.values()]
    recall, mean = f.eval(answers, [{"times": i.spans[0].tolist()} for i in s.items])
    ours = summary(name, s.items, s.found)
    yield "mIoU", ours["mIoU"], mean
    for a, m in enumerate((0.1, 0.3, 0.5, 0.7)):
        for b, k in enumerate((1, 5)):
            if f"R{k}@{m}" in ours:
                yield f"R{k}@{m}", ours[f"R{k}@{m}"], recall[a][b]


def next_gqa(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """NExT-GQA's `eval_ground`: one digit is printed; zero-length and missing answers among the input."""
    s = Spans(rng)
    f = functions(peers / "NExT-GQA/code/TempGQA/eval_ground.py", "get_tIoU", "eval_ground")
    said = {i.id: a if rng.random() > 0.15 else [a[0], a[0]] for i, a in zip(s.items, s.first, strict=True)}
    kept = [i for i in s.items if rng.random() > 0.1] or s.items[:1]
    truth = {i.id: {"location": {"0": i.spans.tolist()}, "duration": s.duration} for i in s.items}
    times = {f"{i.id}_0": said[i.id] for i in kept}
    choices = {f"{i.id}_0": {"answer": i.answer, "prediction": s.found[i.id].answer} for i in kept}
    _, out = quiet(lambda: f.eval_ground(truth, times, choices))
    found = {i.id: Prediction(i.id, spans=span_array([said[i.id]]), answer=s.found[i.id].answer) for i in kept}
    ours = summary(name, s.items, found)
    measures = ("Acc@GQA", "mIoP", "IoP@0.3", "IoP@0.5", "mIoU", "IoU@0.3", "IoU@0.5")
    for measure, value in zip(measures, out.split("\n")[1].split(), strict=True):
        yield measure, find_protocol(name).printed(measure, ours[measure]), float(value)


def rextime(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """ReXTime's `eval_submission`."""
    s = Spans(rng)
    f = load(peers / "ReXTime/evaluation", "rextime_eval.py")
    theirs, _ = quiet(lambda: f.eval_submission(s.submission(), s.truth(), verbose=False))
    ours, printed = summary(name, s.items, s.found), find_protocol(name).printed
    for measure in ("mIoU", "R1@0.3", "R1@0.5"):
        yield measure, printed(measure, ours[measure]), theirs["brief"][f"MR-full-{measure}"]
    yield "Acc", ours["Acc"], theirs["VQA"]
    yield "Acc@IoU0.5", ours["Acc@IoU0.5"], theirs["brief"]["VQA,mIoU@0.5"]


def vue_tr(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """Vidi's `success_overlap` and `compute_precision_recall`; its reader rounds answers outwards to whole seconds."""
    s = Spans(rng)
    vars(np).setdefault("trapz", vars(np).get("trapezoid"))  # its name before numpy 2
    f = functions(
        peers / "vidi/VUE_TR/qa_eval.py", "overlap_ratio", "success_overlap", "merge_time_spans",
        "interval_intersection", "interval_union", "compute_precision_recall",
    )  # fmt: skip
    rows, found = [], {}
    for i in s.items:
        spans = s.found[i.id].ranked[: rng.integers(0, 5), :2]
        found[i.id] = Prediction(i.id, "answered" if len(spans) else "absent", spans=spans)
        outwards = np.c_[np.floor(spans[:, 0]), np.ceil(spans[:, 1])] if len(spans) else np.array([])
        rows.append({"answer": outwards, "gt": i.spans.copy()})
    (_, area), _ = quiet(lambda: f.success_overlap(rows))
    lists = [{key: value.tolist() for key, value in row.items()} for row in rows]
    (precision, recall), _ = quiet(lambda: f.compute_precision_recall(lists))
    ours = summary(name, s.items, found)
    yield "IoU", ours["IoU"], area
    yield "Recall", ours["Recall"], recall
    if any(len(row["answer"]) for row in rows):
        yield "Precision", ours["Precision"], precision


def gmr(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """Soccer-GMR's `metrics`; a third of the queries are not there, half of the files hold `pred_exist_score`."""
    s = Spans(rng)
    vars(np).setdefault("trapz", vars(np).get("trapezoid"))  # its name before numpy 2
    f = load(peers / "generalized-moment-retrieval/eval", "metrics.py")
    items = [i if n == 0 or rng.random() > 0.3 else replace(i, spans=span_array()) for n, i in enumerate(s.items)]
    told = rng.random() < 0.5
    given = s.submission(rng, empty=True)
    for entry in given if told else ():
        entry["pred_exist_score"] = round(float(rng.random()), 1)
    found = read_back(given, items)
    truth = [{"qid": i.id, "relevant_windows": i.spans.tolist()} for i in items]
    classes = f.compute_gmr_cls(given, truth)
    theirs = {"AUROC": classes["AUROC"]}
    for t, values in classes["per_threshold"].items():
        theirs |= {f"{measure}@{t}": values[measure] for measure in ("Rej-F1", "Acc")}
    theirs |= f.compute_G_mIoU(f.prepare_submission_for_gmiou(given)[0], truth)
    there = [t for t in truth if t["relevant_windows"]]
    asked = {t["qid"] for t in there}
    given = [g for g in given if g["qid"] in asked]
    theirs["mAP"] = f.compute_mAP(given, there, num_workers=1)["mAP"]
    for call in (f.compute_mR, f.compute_mR_plus, f.compute_mIoU, f.compute_mIoU_plus):
        theirs |= {k: v for k, v in call(given, there).items() if k[0] == "m" and "per_IoU" not in k}
    ours = summary(name, items, found)
    for measure, value in theirs.items():
        yield measure, find_protocol(name).printed(measure, ours[measure]), value


def qv_m2(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """QV-M2's `compute_mr_ap_by_gt` and `compute_mr_all`."""
    s = Spans(rng)
    f = load(peers / "QV-M2", "standalone_eval/eval.py")
    precision = f.compute_mr_ap_by_gt(s.submission(), s.truth(), num_workers=1)
    rest = f.compute_mr_all(s.submission(), s.truth())
    ours = {k: find_protocol(name).printed(k, v) for k, v in summary(name, s.items, s.found).items()}
    yield "MR-full-mAP", ours["MR-full-mAP"], precision["Generalized_mAP"]
    yield "MR-full-mAP@3+tgt", ours["MR-full-mAP@3+tgt"], precision[">=3_tgt_mAP"]
    for k in (1, 2):
        if f"{k}_tgt_mAP" in precision:
            yield f"MR-full-mAP@{k}_tgt", ours[f"MR-full-mAP@{k}_tgt"], precision[f"{k}_tgt_mAP"]
    for k in (1, 2, 3):
        yield f"MR-full-mIoU@{k}", ours[f"MR-full-mIoU@{k}"], rest[2 + k]
        for t, value in rest[k - 1].items():
            yield f"MR-full-R{k}@{float(t):g}", ours[f"MR-full-R{k}@{float(t):g}"], value


def qvhighlights(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """moment_detr's functions behind `eval_submission`, moments and highlights, length by length."""
    s = Spans(rng)
    f = load(peers / "moment_detr", "standalone_eval/eval.py")
    items, given, truth = [], s.submission(rng), []
    bare = len(given[0]["pred_relevant_windows"][0]) == 2
    for i, entry in zip(s.items, given, strict=True):
        clips = int(s.duration / 2) - int(rng.integers(0, 3))
        ids = sorted(rng.choice(clips, int(rng.integers(1, clips)), replace=False).tolist())
        votes = rng.integers(0, 5, (len(ids), 3)).tolist()
        length = clips * 2 + int(rng.integers(0, 2))
        curve = rng.normal(0, 1, clips + int(rng.integers(-2, 3))).round(1 if s.odd else 17)
        extra = {"relevant_clip_ids": ids, "saliency_scores": votes}
        items.append(replace(i, duration=float(length), extra=extra))
        entry["pred_saliency_scores"] = curve.tolist()
        truth.append({"qid": i.id, "relevant_windows": i.spans.tolist(), "duration": length} | extra)
    found = read_back(given, items)
    ours = {k: find_protocol(name).printed(k, v) for k, v in summary(name, items, found).items()}
    for part, bounds in (("short", [0, 10]), ("middle", [10, 30]), ("long", [30, 150]), ("full", [0, 150])):
        mine, gold = f.get_data_by_range(given, truth, bounds)
        if not mine:
            continue
        # without scores the original has an R1 and stops at its mAP; ours must have none
        assert bare != any("-mAP" in measure for measure in ours if measure.startswith("MR-"))
        for t, value in () if bare else f.compute_mr_ap(mine, gold, num_workers=1).items():
            measure = f"MR-{part}-mAP" + ("" if t == "average" else f"@{t}")
            yield measure, ours[measure], value
        for t, value in f.compute_mr_r1(mine, gold).items():
            yield f"MR-{part}-R1@{t}", ours[f"MR-{part}-R1@{t}"], value
    scores, by_id = {t["qid"]: f.mk_gt_scores(t) for t in truth}, {g["qid"]: g for g in given}
    # Its highlight mAP asks for a pool even for one process.
    f.mp = types.SimpleNamespace(Pool=Alone)
    for least, word in ((2, "Fair"), (3, "Good"), (4, "VeryGood")):
        binary = {k: (v >= least).astype(float) for k, v in scores.items()}
        yield f"HL-min-{word}-Hit1", ours[f"HL-min-{word}-Hit1"], f.compute_hl_hit1(by_id, binary)
        yield f"HL-min-{word}-mAP", ours[f"HL-min-{word}-mAP"], f.compute_hl_ap(by_id, binary, num_workers=1)


class Alone:
    """A pool of no further processes."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __enter__(self) -> "Alone":
        return self

    def __exit__(self, *error: object) -> None:
        return

    def imap_unordered(self, call: Callable[[Any], Any], rows: Any, chunksize: int = 1) -> Any:
        """The calls, here."""
        return map(call, rows)


def na_vmr(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """Moment of Untruth's `rejection_accuracy` and `recall_scores`, which print two digits."""
    s = Spans(rng)
    items = [i if n == 0 or (n > 1 and rng.random() > 0.4) else replace(i, spans=span_array())
             for n, i in enumerate(s.items)]  # fmt: skip
    found = {k: replace(p, confidence=round(float(rng.random()), 1)) for k, p in s.found.items()}
    truth = [{"relevant_windows": i.spans.tolist() or [[0, 0]]} for i in items]
    path = peers / "MomentofUntruth/UniVTG-NA/negative_aware_results.py"
    f = functions(path, "rejection_accuracy", "recall_scores", "iou", gt_data=truth)
    given = {"preds": [{"pred_class": p.confidence, "pred_relevant_windows": p.ranked.tolist()}
                       for p in found.values()]}  # fmt: skip
    _, out = quiet(lambda: (f.rejection_accuracy(given, 0.5), f.recall_scores(given, truth, 0.5)))
    ours = summary(name, items, found)
    for measure, line in zip(("rejection-rate", "R1@0.3", "R1@0.5", "R1@0.7"), out.strip().split("\n"), strict=True):
        yield measure, round(100 * ours[measure], 2), float(line.split()[-1])


def didemo(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """DiDeMo's `eval_predictions`: all 21 moments in a random order, four annotators."""
    f = functions(
        peers / "LocalizingMoments/utils/eval.py", "iou", "rank", "eval_predictions",
        text=lambda t: re.sub(r"^(\s*)print .*$", r"\1pass", t, flags=re.MULTILINE).expandtabs(4),
    )  # fmt: skip
    moments = [(a, b) for a in range(6) for b in range(a, 6)]
    items, found, given, data = [], {}, [], []
    for n in range(int(rng.integers(2, 60))):
        times = [list(moments[k]) for k in rng.integers(0, len(moments), 4)]
        order = [moments[k] for k in rng.permutation(len(moments))]
        spans = span_array([(5 * a, 5 * b + 5) for a, b in times])
        items.append(Item(str(n), str(n), spans=spans, duration=30.0, extra={"times": times}))
        ranked = np.array([(5 * a, 5 * b + 5, -k) for k, (a, b) in enumerate(order)], float)
        found[str(n)] = Prediction(str(n), spans=ranked[:1, :2], ranked=ranked)
        given.append(order)
        data.append({"times": times})
    theirs, _ = quiet(lambda: f.eval_predictions(given, data))
    ours = summary(name, items, found)
    for measure, value in zip(("Rank@1", "Rank@5", "mIoU"), theirs, strict=True):
        yield measure, ours[measure], value


def detection(peers: Path, rng: np.random.Generator, name: str) -> Pairs:
    """ActivityNet's `compute_average_precision_detection`, class by class, at this protocol's thresholds."""
    import pandas

    folder = peers / "ActivityNet/Evaluation"
    sys.modules["utils"] = load(folder, "utils.py", to_python_3)
    f = load(folder, "eval_detection.py", to_python_3)
    del sys.modules["utils"]
    classes = [f"class {k}" for k in range(int(rng.integers(1, 6)))]
    items, found, gold, given = [], {}, [], []
    for v in range(int(rng.integers(2, 40))):
        video = f"v{v}"
        for k in range(int(rng.integers(1, 6))):
            a, b = np.sort(rng.uniform(0, 60, 2)).round(int(rng.integers(0, 3)))
            label = classes[rng.integers(len(classes))]
            items.append(Item(f"{video}#{k}", video, label, span_array([(a, b)])))
            gold.append({"video-id": video, "label": label, "t-start": a, "t-end": b})
        own = [g for g in gold if g["video-id"] == video]
        rows, labels = [], []
        for _ in range(int(rng.integers(0, 30))):
            g = own[rng.integers(len(own))]
            known = sorted({x["label"] for x in gold})
            right = rng.random() < 0.5
            a, b = (g["t-start"], g["t-end"]) if right else np.sort(rng.uniform(0, 60, 2)).round(1)
            rows.append((a, b, rng.random()))
            labels.append(known[rng.integers(len(known))])
            given.append({"video-id": video, "label": labels[-1], "t-start": a, "t-end": b, "score": rows[-1][2]})
        found[video] = Prediction(video, ranked=np.array(rows, float).reshape(-1, 3), labels=labels)
    at = {"activitynet": np.linspace(0.5, 0.95, 10), "thumos14": np.linspace(0.3, 0.7, 5)}[name]
    groups = find_protocol(name).score(items, found).groups
    gold, given = pandas.DataFrame(gold), pandas.DataFrame(given)
    for label, ours in groups.items():
        true, said = gold[gold["label"] == label].reset_index(drop=True), given[given["label"] == label]
        with np.errstate(invalid="ignore"):  # segments without length
            theirs = f.compute_average_precision_detection(true, said.reset_index(drop=True), at)
        for t, value in zip(np.round(at, 6), theirs, strict=True):
            yield f"AP@{t:g}", ours[f"AP@{t:g}"], value


#: Protocols, the repository that they are run beside, and how.
CHECKS: list[tuple[tuple[str, ...], str, Check]] = [
    (("time-r1", "tvgbench"), "time-r1", time_r1),
    (("timelens", "charades-sta", "activitynet-captions", "tacos"), "TimeLens", timelens),
    (("lmms-eval",), "lmms-eval", lmms_eval),
    (("taro",), "TaRO", taro),
    (("2d-tan",), "2D-TAN", two_d_tan),
    (("next-gqa",), "NExT-GQA", next_gqa),
    (("rextime",), "ReXTime", rextime),
    (("vue-tr",), "vidi", vue_tr),
    (("gmr",), "generalized-moment-retrieval", gmr),
    (("qv-m2",), "QV-M2", qv_m2),
    (("qvhighlights",), "moment_detr", qvhighlights),
    (("na-vmr",), "MomentofUntruth", na_vmr),
    (("didemo",), "LocalizingMoments", didemo),
    (("activitynet", "thumos14"), "ActivityNet", detection),
    *peers_beside_tubes.CHECKS,
]


def measure(names: tuple[str, ...], repository: str, check: Check, peers: Path, rounds: int) -> list[dict[str, Any]]:
    """The largest difference per protocol of one peer, with the measure it is of."""
    out = []
    for name in names:
        worst, at, count, measures = 0.0, "", 0, set()
        for seed in range(rounds):
            for key, ours, theirs in check(peers, np.random.default_rng(seed), name):
                count += 1
                measures.add(key)
                both = math.isnan(ours) and math.isnan(theirs)
                difference = 0.0 if both else abs(float(ours) - float(theirs))
                if not difference <= worst:
                    worst, at = difference, f"{key}, seed {seed}: {ours!r} beside {theirs!r}"
        owner, commit = REPOSITORIES[repository]
        out.append({
            "protocol": name, "repository": f"{owner}/{repository}", "commit": commit,
            "functions": (check.__doc__ or "").strip(), "rounds": rounds, "compared": count,
            "measures": sorted(measures), "largest difference": worst, "at": at,
        })  # fmt: skip
        print(f"{name:22} {repository:30} {count:6} numbers, largest difference {worst:.2g} {at}", flush=True)
    return out


def markdown(rows: list[dict[str, Any]], left_out: dict[str, str]) -> str:
    """The result as a table."""
    lines = [
        "# Protocols beside the functions they are named after", "",
        f"Seeded random input, {rows[0]['rounds'] if rows else 0} rounds each; Python {platform.python_version()}, "
        f"numpy {np.__version__}, pandas {importlib.metadata.version('pandas')}. In percent where the peer is.",
        "", "| protocol | beside | commit | numbers | largest difference | what was run |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for r in rows:
        lines.append(
            f"| {r['protocol']} | {r['repository']} | {r['commit']} | {r['compared']} | "
            f"{r['largest difference']:.1e} | {r['functions']} |"
        )
    lines += ["", "Not run:", "", *(f"- `{name}`: {why}" for name, why in left_out.items())]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run what can be run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", help="one protocol; writes nothing")
    options = parser.parse_args()
    if np.array([0.6, 0.6, 0.116, 0.436]).argsort().tolist() != [2, 3, 0, 1]:
        parser.error("numpy sorts by vector instructions here: set NPY_DISABLE_CPU_FEATURES as in the docstring")
    stand_ins()
    rows: list[dict[str, Any]] = []
    left_out = dict(NOT_RUN)
    for names, repository, check in CHECKS:
        names = tuple(n for n in names if options.only in (None, n))
        if names and (options.peers / repository).is_dir():
            rows += measure(names, repository, check, options.peers.resolve(), options.rounds)
        elif names:
            left_out |= dict.fromkeys(names, f"no checkout of {repository}")
    if options.only is None:
        found = {"rows": rows, "not run": left_out}
        write_text(HERE / "results" / "peers_beside.json", json.dumps(found, indent=1) + "\n")
        write_text(HERE / "results" / "peers_beside.md", markdown(rows, left_out))
    return 0


if __name__ == "__main__":
    sys.exit(main())

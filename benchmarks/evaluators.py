"""Our scoring beside the peers' own functions: seconds, ratio, and whether the numbers are the same.

    python benchmarks/evaluators.py --peers DIR --data DIR [--small] [--rounds 5]

PEERS holds checkouts named moment_detr (jayleicn, b7e553a), ActivityNet (activitynet, 82304fa), vidi (bytedance,
fc30c87), STCAT (jy0205, 400f548) and TubeDETR (antoyang, d70c0ee); DATA is the folder of WHENWHERE_DATA. A peer or a
file that is not there is left out and named. Needs pandas, joblib and scikit-learn, which the peers import. About ten
minutes on two quiet cores, a minute with --small. Expected: at least 20 times faster in every row, every number equal
to what the peer prints. Writes results/evaluators.{json,md}; --small writes nothing.

Scoring only: reading files and building each side's own structures is not timed on either side. Both sides run in one
process, alternating, and each round gives one ratio. The peers' code is imported as it is, with these exceptions, none
in arithmetic: ActivityNet is Python 2, so print statements, `iteritems`, `xrange`, `np.float` and an unused import are
replaced on loading, and joblib runs its classes one after another (its own 200 processes are slower on few cores);
torch, torchvision and hostlist, which TubeDETR and STCAT import but do not use for scoring, are empty modules where
torch is not installed; and their evaluators get the truth directly instead of from their own files.
"""

import argparse
import contextlib
import gc
import importlib
import importlib.util
import io
import json
import os
import platform
import re
import sys
import time
import tracemalloc
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.datasets import BENCHMARKS
from whenwhere.datasets.item import Item, span_array
from whenwhere.evaluate.formats import read_predictions
from whenwhere.evaluate.prediction import Boxes, Prediction
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.temporal import TemporalCount
from whenwhere.evaluate.temporal import score as score_spans
from whenwhere.spans import SpanSet
from whenwhere.store import write_text
from whenwhere.tubes import Tube

HERE = Path(__file__).parent
#: Seconds of a video of the generated tubes, its frames per second, and frames of a tube.
SECONDS, FPS, LONG = 20, 25, 200


@dataclass
class Race:
    """One input for both sides.

    Attributes:
        name: of the row.
        size: of the input, in words.
        ours: scores it; gives measure → value.
        peer: scores it; gives measure → value under our names.
        digits: that the peer prints; None where it prints all.
    """

    name: str
    size: str
    ours: Callable[[], dict[str, float]]
    peer: Callable[[], dict[str, float]]
    digits: int | None = None


# -- loading the peers ------------------------------------------------------------------------------------------------


def stand_ins() -> None:
    """Empty torch and torchvision, where they are not installed: modules that import them, but score with numpy."""
    if importlib.util.find_spec("torch") is not None:
        return

    class Empty(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {"__init__": lambda self, *a, **k: None, "__call__": lambda self, f: f})

    for name in ("hostlist", "torch", "torch.distributed", "torchvision", "torchvision.ops", "torchvision.ops.boxes"):
        module = sys.modules[name] = Empty(name)
        outer, _, inner = name.rpartition(".")
        if outer:
            setattr(sys.modules[outer], inner, module)
    # one process, as in a run that never began a distributed one
    sys.modules["torch.distributed"].is_available = lambda: False  # type: ignore[attr-defined]


def load(folder: Path, file: str, rewrite: Callable[[str], str] = lambda text: text) -> types.ModuleType:
    """A peer's module by its file; what it imports from its own repository is found there and forgotten after."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        module = types.ModuleType(Path(file).stem)
        module.__file__ = str(folder / file)
        text = rewrite((folder / file).read_text(encoding="utf-8"))
        exec(compile(text, module.__file__, "exec"), module.__dict__)
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            path = getattr(sys.modules[name], "__file__", None) or ""
            if path.startswith(str(folder)):
                del sys.modules[name]
    return module


def to_python_3(text: str) -> str:
    """ActivityNet's code with Python 2's words replaced; the arithmetic stays."""
    text = re.sub(r"^(\s*)print .*$", r"\1pass", text, flags=re.MULTILINE)
    text = re.sub(r"^import urllib2$", "", text, flags=re.MULTILINE)
    return (
        text.replace("iteritems()", "items()").replace("xrange", "range").replace("astype(np.float)", "astype(float)")
    )


# -- inputs -----------------------------------------------------------------------------------------------------------


def qvhighlights(peers: Path, data: Path, small: bool) -> Race:
    """moment_detr's `eval_submission` on QVHighlights val."""
    sys.path.insert(0, str(peers / "moment_detr"))
    theirs = importlib.import_module("standalone_eval.eval")  # its worker processes import it by this name
    truth = data / "annotations/qvhighlights/highlight_val_release.jsonl"
    answers = data / "predictions/qvhighlights/CGDETR/best_hl_val_preds.jsonl"
    keep = 200 if small else None
    gold, given = ([json.loads(line) for line in p.read_text().splitlines()] for p in (truth, answers))
    gold = gold[:keep]
    asked = {g["qid"] for g in gold}
    given = [g for g in given if g["qid"] in asked]
    items = BENCHMARKS["qvhighlights"].read(truth)[:keep]
    found = read_predictions(answers, items, BENCHMARKS["qvhighlights"]).by_id

    def ours() -> dict[str, float]:
        protocol = PROTOCOLS["qvhighlights"]
        return {k: protocol.printed(k, v) for k, v in protocol.score(items, found).summary.items()}

    def peer() -> dict[str, float]:
        return dict(theirs.eval_submission(given, gold, verbose=False)["brief"])

    return Race("QVHighlights val: moment_detr eval_submission", f"{len(items)} queries", ours, peer, 2)


def captions(peers: Path, data: Path, small: bool, part: str) -> Race:
    """moment_detr's R1 on ActivityNet Captions val_1, five jittered answers to each sentence."""
    sys.path.insert(0, str(peers / "moment_detr"))
    theirs = importlib.import_module("standalone_eval.eval")
    items = BENCHMARKS["activitynet-captions"].read(data / "annotations/activitynet_captions/val_1.json")
    items = [item for item in items if item.status == "valid"][: 1000 if small else None]
    rng = np.random.default_rng(0)
    found, given, gold = {}, [], []
    for item in items:
        rows = np.sort(item.spans[0] + rng.normal(0, 0.15 * item.duration, (5, 2)), axis=1).round(2)
        rows[:, 1] += 0.5
        scores = np.sort(rng.random(5))[::-1]
        ranked = np.c_[rows, scores]
        found[item.id] = Prediction(item.id, spans=rows[:1], ranked=ranked)
        given.append({"qid": item.id, "pred_relevant_windows": ranked.tolist()})
        gold.append({"qid": item.id, "relevant_windows": item.spans.tolist()})
    size = f"{len(items)} sentences, 5 answers each"
    if part == "R1":
        thresholds = np.array([0.3, 0.5, 0.7])

        def ours() -> dict[str, float]:
            summary = score_spans(items, found, TemporalCount("best")).summary
            return {f"R1@{t:g}": round(100 * summary[f"R1@{t:g}"], 2) for t in thresholds}

        def peer() -> dict[str, float]:
            found = theirs.compute_mr_r1(given, gold, iou_thds=thresholds)
            return {f"R1@{t:g}": found[f"{t:g}"] for t in thresholds}

        return Race("ActivityNet Captions val_1: moment_detr compute_mr_r1", size, ours, peer, 2)

    def all_ours() -> dict[str, float]:
        protocol = PROTOCOLS["qvhighlights"]
        return {k: protocol.printed(k, v) for k, v in protocol.score(items, found).summary.items()}

    def all_peer() -> dict[str, float]:
        result = theirs.eval_moment_retrieval(given, gold, verbose=False)
        groups = ("full", "short", "middle", "long")
        flat = {f"MR-{g}-mAP": result[g]["MR-mAP"]["average"] for g in groups}
        return flat | {f"MR-{g}-R1@{t}": result[g]["MR-R1"][t] for g in groups for t in ("0.5", "0.7")}

    return Race("ActivityNet Captions val_1: moment_detr eval_moment_retrieval", size, all_ours, all_peer, 2)


def detection(peers: Path, data: Path, small: bool) -> Race:
    """ActivityNet's detection evaluator on the validation set."""
    import joblib

    folder = peers / "ActivityNet" / "Evaluation"
    sys.modules["utils"] = load(folder, "utils.py", to_python_3)
    theirs = load(folder, "eval_detection.py", to_python_3)
    del sys.modules["utils"]
    truth = data / "annotations/activitynet13/activitynet13_val_gt.json"
    answers = data / "reference-scores/tal/activitynet13_val_jitter_seed7.json"
    items = BENCHMARKS["activitynet"].read(truth)
    found = read_predictions(answers, items, BENCHMARKS["activitynet"]).by_id
    judge = theirs.ANETdetection(str(truth), str(answers), check_status=False)

    def ours() -> dict[str, float]:
        return {"mAP": PROTOCOLS["activitynet"].score(items, found).summary["mAP"]}

    def peer() -> dict[str, float]:
        with joblib.parallel_backend("sequential"):
            judge.evaluate()
        return {"mAP": float(judge.average_mAP)}

    return Race("ActivityNet 1.3 val: eval_detection", f"{len(items)} segments", ours, peer)


def vue_stg(peers: Path, data: Path, small: bool) -> Race:
    """Vidi's evaluator on VUE-STG with Vidi2's answers."""
    folder = peers / "vidi" / "VUE_STG"
    theirs = load(folder, "evaluate.py")
    judge = theirs.SpatioTemporalEvaluator()
    judge.load_dataset(str(data / "annotations/vue_stg"))
    answers = data / "predictions/vue_stg/vidi2.tubes.csv"
    tubes = judge.load_pred_tubes(str(answers))
    judge.load_pred_tubes = lambda path: tubes  # reading is not timed
    items = BENCHMARKS["vue-stg"].read(data / "annotations/vue_stg")
    found = read_predictions(answers, items, BENCHMARKS["vue-stg"]).by_id
    names = ("t_Precision", "t_Recall", "t_IoU", "v_Precision", "v_Recall", "v_IoU", "v_IoU_Int")

    def ours() -> dict[str, float]:
        summary = PROTOCOLS["vue-stg"].score(items, found).summary
        return {name: summary[name] for name in names}

    def peer() -> dict[str, float]:
        frame = judge.evaluate_pred_file(str(answers))
        return {name: float(frame[name].mean()) for name in names}

    return Race("VUE-STG: vidi evaluate", f"{len(items)} queries", ours, peer)


def tubes(count: int) -> tuple[list[Item], dict[str, Prediction], list[dict[str, Any]]]:
    """Generated tubes of 200 frames with jittered answers: ours, and as plain numbers for the peers."""
    rng = np.random.default_rng(0)
    items, found, plain = [], {}, []
    for n in range(count):
        start = int(rng.integers(0, SECONDS * FPS - LONG))
        frames = np.arange(SECONDS * FPS)
        centre = np.cumsum(rng.normal(0, 2, (len(frames), 2)), 0) + 300
        half = rng.uniform(20, 60, 2)
        truth = np.c_[centre - half, centre + half].round(1)
        moved = (truth + rng.normal(0, 8, truth.shape)).round(1)
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        a, b = sorted((start + rng.integers(-60, 60), start + LONG + rng.integers(-60, 60)))
        a, b = max(0, int(a)), min(SECONDS * FPS, int(b))
        lo, hi = min(a, start), max(b, start + LONG)
        inside = slice(start, start + LONG)
        span = (start / FPS, (start + LONG) / FPS)
        id = str(n)
        tube = Tube(SpanSet([span]), frames[inside] / FPS, truth[inside], rate=FPS)
        item = Item(id, f"v{n}", spans=span_array([span]), tubes=[tube], duration=SECONDS, fps=FPS, source="generated")
        item.frames, item.width, item.height = SECONDS * FPS, 640, 640
        items.append(item)
        found[id] = Prediction(
            id, spans=span_array([(a / FPS, b / FPS)]), boxes=[Boxes(frames[lo:hi] / FPS, moved[lo:hi])], rate=FPS
        )
        plain.append({"id": id, "truth": (start, start + LONG), "answer": (a, b), "boxes": truth, "moved": moved})
    return items, found, plain


def tubedetr(peers: Path, made: tuple) -> Race:
    """TubeDETR's HC-STVG evaluator: five frames a second."""
    items, found, plain = made
    theirs = load(peers / "TubeDETR", "datasets/hcstvg_eval.py")
    judge = theirs.HCSTVGEvaluator.__new__(theirs.HCSTVGEvaluator)
    judge.iou_thresholds, judge.tmp_loc, judge.save_pred = [0.3, 0.5], True, False
    inner = judge.evaluator = theirs.HCSTVGGiouEvaluator.__new__(theirs.HCSTVGGiouEvaluator)
    inner.iou_thresholds, inner.tmp_loc = judge.iou_thresholds, True
    inner.vid2imgids, inner.vid2steds, inner.img2box = {}, {}, {}
    judge.predictions, judge.video_predictions = {}, {}
    grid = [0]
    for frame in range(SECONDS * FPS - 1):
        if int(grid[-1] * 5 / FPS) < int(frame * 5 / FPS):
            grid.append(frame)
    for p in plain:
        (start, end), id = p["truth"], p["id"]
        inside = [f for f in grid if start <= f < end]
        inner.vid2imgids[id] = [grid, [f"{id}_{f}" for f in inside]]
        inner.vid2steds[id] = [start, end]
        for f in inside:
            inner.img2box[f"{id}_{f}"] = [p["boxes"][f].tolist()]
            judge.predictions[f"{id}_{f}"] = {"boxes": [p["moved"][f].tolist()]}
        judge.video_predictions[id] = {"sted": list(p["answer"])}
    return Race(
        "TubeDETR hcstvg_eval", f"{len(items)} tubes of {LONG} frames", lambda: on_frames("tubedetr", items, found),
        lambda: renamed(judge.summarize()),
    )  # fmt: skip


def stcat(peers: Path, made: tuple) -> Race:
    """STCAT's HC-STVG evaluator: every frame."""
    items, found, plain = made
    theirs = load(peers / "STCAT", "datasets/evaluation/hcstvg_eval.py")
    judge = theirs.HCSTVGEvaluator.__new__(theirs.HCSTVGEvaluator)
    judge.iou_thresholds, judge.save_pred = [0.3, 0.5], False
    judge.logger = types.SimpleNamespace(info=lambda text: None)
    inner = judge.evaluator = theirs.HCSTVGiouEvaluator.__new__(theirs.HCSTVGiouEvaluator)
    inner.iou_thresholds, inner.vid2names, inner.vid2sents = judge.iou_thresholds, {}, {}
    inner.vid2steds = {p["id"]: list(p["truth"]) for p in plain}
    inner.vid2box = {p["id"]: {f: [p["boxes"][f].tolist()] for f in range(*p["truth"])} for p in plain}
    judge.predictions = {p["id"]: {f: [p["moved"][f].tolist()] for f in range(*p["truth"])} for p in plain}
    judge.video_predictions = {p["id"]: {"sted": list(p["answer"])} for p in plain}
    return Race(
        "STCAT hcstvg_eval", f"{len(items)} tubes of {LONG} frames", lambda: on_frames("stcat", items, found),
        lambda: renamed(judge.summarize()),
    )  # fmt: skip


def on_frames(protocol: str, items: list[Item], found: dict[str, Prediction]) -> dict[str, float]:
    """Our numbers that the peers have too."""
    summary = PROTOCOLS[protocol].score(items, found).summary
    return {name: summary[name] for name in ("m_tIoU", "m_vIoU", "vIoU@0.3", "vIoU@0.5", "gt_viou")}


def renamed(found: dict[str, float]) -> dict[str, float]:
    """TubeDETR's and STCAT's names as ours."""
    names = {"m_tIoU": "tiou", "m_vIoU": "viou", "vIoU@0.3": "viou@0.3", "vIoU@0.5": "viou@0.5", "gt_viou": "gt_viou"}
    return {ours: float(found[theirs]) for ours, theirs in names.items()}


# -- measuring --------------------------------------------------------------------------------------------------------


def timed(call: Callable[[], dict[str, float]]) -> tuple[float, dict[str, float]]:
    """Seconds of one quiet call, and what it gave."""
    gc.collect()
    with contextlib.redirect_stdout(io.StringIO()):
        began = time.perf_counter()
        result = call()
        return time.perf_counter() - began, result


def peak(call: Callable[[], Any]) -> float:
    """MiB that a call needs on top of its input, in a run of its own that is not timed."""
    gc.collect()
    tracemalloc.start()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            call()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def run(race: Race, rounds: int) -> dict[str, Any]:
    """Alternate both sides; ratios are paired by round."""
    _, mine = timed(race.ours)  # warm
    seconds: dict[str, list[float]] = {"peer": [], "ours": []}
    theirs: dict[str, float] = {}
    for _ in range(rounds):
        spent, theirs = timed(race.peer)
        seconds["peer"].append(spent)
        spent, mine = timed(race.ours)
        seconds["ours"].append(spent)
    ratios = [p / o for p, o in zip(seconds["peer"], seconds["ours"], strict=True)]
    return {
        "name": race.name, "size": race.size, "rounds": rounds, "seconds": seconds,
        "ratio": float(np.median(ratios)), "lowest ratio": min(ratios),
        "difference": max(abs(mine[name] - value) for name, value in theirs.items()),
        "printed": race.digits, "numbers": {name: [value, mine[name]] for name, value in theirs.items()},
        "peak_mib": peak(race.ours),
    }  # fmt: skip


def million(small: bool) -> list[dict[str, Any]]:
    """A million answered spans, as one answer to each of a million items and as ten to each of 100 000."""
    rows = []
    for count, each in ((10_000, 1), (10_000, 10)) if small else ((1_000_000, 1), (100_000, 10)):
        for size in (count // 2, count):
            rng = np.random.default_rng(0)
            edges = np.sort(rng.uniform(0, 100, (size, each, 2)), axis=2)
            ranked = np.concatenate([edges, rng.random((size, each, 1))], axis=2)
            truth = np.sort(rng.uniform(0, 100, (size, 1, 2)), axis=2)
            items = [Item(str(n), str(n // 5), spans=truth[n], duration=100.0) for n in range(size)]
            found = {
                item.id: Prediction(item.id, spans=edges[n, :1], ranked=ranked[n] if each > 1 else None)
                for n, item in enumerate(items)
            }
            score = partial(PROTOCOLS["best-truth"].score, items, found)
            best = min(timed(lambda score=score: score().summary)[0] for _ in range(3))
            rows.append({"items": size, "spans": size * each, "seconds": best, "peak_mib": peak(score)})
    return rows


def markdown(rows: list[dict[str, Any]], spans: list[dict[str, Any]], left_out: list[str]) -> str:
    """The result as tables."""
    lines = [
        "# Scoring beside the peers", "",
        f"{os.cpu_count()} processors ({platform.machine()}), Python {platform.python_version()}, "
        f"numpy {np.__version__}. Scoring only, medians of paired rounds.", "",
        "| peer's function | input | peer, s | ours, s | times faster | lowest round | difference | peak, MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for r in rows:
        peer, ours = (np.median(r["seconds"][side]) for side in ("peer", "ours"))
        difference = f"{r['difference']:.1e}" + ("" if r["printed"] is None else f" of {r['printed']} printed digits")
        lines.append(
            f"| {r['name']} | {r['size']} | {peer:.3f} | {ours:.4f} | {r['ratio']:.0f} | {r['lowest ratio']:.0f} | "
            f"{difference} | {r['peak_mib']:.1f} |"
        )
    lines += ["", "| items | spans | seconds | peak, MiB |", "|---|---|---|---|"]
    lines += [f"| {r['items']} | {r['spans']} | {r['seconds']:.3f} | {r['peak_mib']:.0f} |" for r in spans]
    lines += ["", *(f"- left out: {text}" for text in left_out)]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Run all races that can be run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("WHENWHERE_DATA"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    data, rounds = Path(options.data or "."), 2 if options.small else options.rounds
    stand_ins()
    rows, left_out = [], []
    made = tubes(100 if options.small else 10_000)
    starters: list[tuple[str, Callable[[], Race]]] = [
        ("moment_detr", lambda: qvhighlights(options.peers, data, options.small)),
        ("moment_detr", lambda: captions(options.peers, data, options.small, "R1")),
        ("moment_detr", lambda: captions(options.peers, data, options.small, "all")),
        ("ActivityNet", lambda: detection(options.peers, data, options.small)),
        ("vidi", lambda: vue_stg(options.peers, data, options.small)),
        ("TubeDETR", lambda: tubedetr(options.peers, made)),
        ("STCAT", lambda: stcat(options.peers, made)),
    ]
    for name, start in starters:
        if not (options.peers / name).is_dir():
            left_out.append(f"{name}: not in {options.peers.name}")
            continue
        try:
            race = start()
        except (OSError, ImportError) as e:
            left_out.append(f"{name}: {type(e).__name__}: {e}")
            continue
        rows.append(run(race, rounds))
        print(f"{race.name}: {rows[-1]['ratio']:.0f} times, difference {rows[-1]['difference']:.1e}", flush=True)
        for measure, (theirs, ours) in rows[-1]["numbers"].items():
            print(f"    {measure:24} {theirs!r:24} {ours!r}", flush=True)
    spans = million(options.small)
    text = markdown(rows, spans, left_out)
    print(text)
    if not options.small:
        found = {"rows": rows, "spans": spans, "left_out": left_out}
        write_text(HERE / "results" / "evaluators.json", json.dumps(found, indent=1) + "\n")
        write_text(HERE / "results" / "evaluators.md", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

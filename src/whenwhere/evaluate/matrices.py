"""Retrieval, recognition and VQA: files that carry their own truth, so that any set can be scored.

- `retrieval`: an .npz with `similarity` (texts × videos), and where sentence i does not describe video i, `video_of`
  (number of each sentence's video); optional `ids`. A bare .npy matrix is taken as `similarity`.
- `recognition`: an .npz with `scores` (items × classes) and `labels`; optional `ids`, `videos`.
- `vqa`: JSON Lines of `{"id", "answer"}`; `--annotations` gives lines of `{"id", "answers": [...]}`.

Each is a benchmark by name with protocols of its own. Beside the result stands chance, or the most frequent answer.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError, SettingError
from whenwhere.evaluate import recognition, retrieval
from whenwhere.evaluate.evaluation import Report, Row, intervals
from whenwhere.evaluate.prediction import Fault, Prediction
from whenwhere.evaluate.scores import Protocol, Scores


def _no_items(path: Path) -> list[Item]:
    raise SettingError(f"{path}: retrieval, recognition and vqa have no items")


def _not_from_items(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    raise SettingError("retrieval, recognition and vqa are scored from files of their own")


def _benchmark(name: str, title: str, files: str) -> Benchmark:
    return Benchmark(name, title, "scores", _no_items, name, files, "ours", "of the set", "from public code")


#: What `--benchmark` takes beside the data sets.
MATRICES: dict[str, Benchmark] = {
    b.name: b
    for b in (
        _benchmark(
            "retrieval", "Text-video retrieval", "nothing: --predictions sims.npz holds similarity and video_of"
        ),
        _benchmark("recognition", "Recognition", "nothing: --predictions scores.npz holds scores and labels"),
        _benchmark("vqa", "Visual question answering", 'JSON Lines of {"id", "answers": [...]}'),
    )
}


def _protocol(name: str, counts: dict[str, str], headline: tuple[str, ...], source: str) -> Protocol:
    return Protocol(name, ("scores",), _not_from_items, "ours", source, counts, headline)


_RECALLS = tuple(f"{way}-{m}" for way in ("t2v", "v2t") for m in ("R@1", "R@5", "R@10", "MdR", "MnR"))


def _both_ways(name: str, softmax: str, reverse: str) -> Protocol:
    counts = {"equal similarities": "rank before the right one", "dual softmax": softmax, "video to text": reverse}
    return _protocol(name, counts, _RECALLS, "retrieval.py")


#: Their protocols by name.
PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        _both_ways("retrieval", "no", "among all sentences"),
        _both_ways("retrieval-dual-softmax", "over all queries", "among all sentences"),
        _both_ways("retrieval-grouped", "no", "among videos, each by its best sentence"),
        _protocol(
            "recognition",
            {"equal scores": "rank before the right one"},
            ("top-1", "top-5", "mean-class-accuracy"),
            "recognition.py",
        ),
        _protocol(
            "vqa",
            {"answer": "without case, articles, punctuation", "hit": "min(1, agreeing annotators / 3), leave-one-out"},
            ("VQA-accuracy", "exact-match"),
            "recognition.py, after the VQA challenge's measure",
        ),
    )
}


def report(
    name: str,
    predictions: Path,
    annotations: Path | None = None,
    protocol: str | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Report:
    """Score a file of one of `MATRICES`.

    Raises:
        SettingError: the protocol is none of this benchmark's.
        RecordError: the file is not what the module says.
    """
    asked = protocol or name
    if asked not in PROTOCOLS or asked.split("-")[0] != name:
        fitting = ", ".join(p for p in PROTOCOLS if p.split("-")[0] == name)
        raise SettingError(f"there is no protocol {asked!r} for {name}: choose from {fitting}")
    try:
        scores, beside, faults = _SCORERS[name](predictions, annotations, asked)
    except OSError as e:
        raise RecordError(f"{e.filename or predictions} cannot be read: {e.strerror or e}") from e
    files = {"predictions": str(predictions)} | ({"annotations": str(annotations)} if annotations else {})
    return Report(
        benchmark=MATRICES[name],
        protocol=PROTOCOLS[asked],
        files=files,
        format=predictions.suffix.lstrip("."),
        scores=scores,
        intervals=intervals(scores, resamples, seed),
        without={},
        decomposition=None,
        rows=[Row("these answers", str(predictions), len(scores.ids), scores.summary, "answers"), beside],
        diagnostics={},
        types={},
        status={"answered": len(scores.ids)},
        faults=faults,
        notes=scores.notes,
        choices=None,
        ids=scores.ids,
        videos=len(set(scores.videos)),
        seed=seed,
        resamples=resamples,
    )


def _arrays(path: Path, needed: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz (or the one of an .npy)."""
    try:
        held = np.load(path, allow_pickle=False)
        found = {needed[0]: held} if isinstance(held, np.ndarray) else dict(held)
    except (ValueError, EOFError) as e:
        raise RecordError(f"{path} is no .npz or .npy file of plain arrays: write it with numpy.savez") from e
    for name in needed:
        if name not in found:
            raise RecordError(
                f"{path} holds {', '.join(found) or 'nothing'} but no {name!r}: write {', '.join(needed)}"
            )
        if found[name].dtype.kind not in "fiub":
            raise RecordError(f"{path}: {name} holds {found[name].dtype} and no numbers: write an array of numbers")
    return found


def _retrieval(path: Path, annotations: Path | None, protocol: str) -> tuple[Scores, Row, list[Fault]]:
    held = _arrays(path, ("similarity",))
    ids = [str(i) for i in held["ids"]] if "ids" in held else None
    temperature = 1.0 if protocol == "retrieval-dual-softmax" else None
    grouped = protocol == "retrieval-grouped"
    try:
        scores = retrieval.score(held["similarity"], held.get("video_of"), ids, "worst", temperature, grouped)
    except SettingError as e:
        raise RecordError(f"{path}: {e}") from e
    texts, videos = held["similarity"].shape
    chance = {f"t2v-R@{k}": min(1.0, k / videos) for k in retrieval.AT}
    chance |= {"t2v-MdR": (videos + 1) / 2, "t2v-MnR": (videos + 1) / 2}
    return scores, Row("chance", "expected of random similarities", texts, chance, "constant"), []


def _recognition(path: Path, annotations: Path | None, protocol: str) -> tuple[Scores, Row, list[Fault]]:
    held = _arrays(path, ("scores", "labels"))
    table, labels = np.asarray(held["scores"], float), held["labels"]
    if table.ndim != 2 or labels.shape != (len(table),) or labels.dtype.kind not in "iu" or not len(table):
        raise RecordError(f"{path}: scores of shape {table.shape} and labels of shape {labels.shape} do not fit: "
                          "give items × classes, and the number of each item's class")  # fmt: skip
    if not 0 <= labels.min() <= labels.max() < table.shape[1]:
        raise RecordError(f"{path}: a label lies outside 0 to {table.shape[1] - 1}: count classes from 0")
    ids = [str(i) for i in held.get("ids", np.arange(len(table)))]
    videos = [str(v) for v in held["videos"]] if "videos" in held else None
    faults = []
    if number := int(np.isnan(table).any(1).sum()):
        first = ids[int(np.isnan(table).any(1).argmax())]
        said = f"{path}: {number} items (the first is {first}) have scores that are no numbers, which rank last"
        faults.append(Fault(str(path), "not a number", f"{said}; write finite scores"))
    scores = recognition.score(table, labels, ids, videos)
    most = np.zeros_like(table)
    most[:, np.bincount(labels).argmax()] = 1
    constant = recognition.score(most, labels, ids, videos).summary
    constant.pop("top-5")  # four further classes would be tied
    how = "the most frequent class of this file for every item, which flatters it"
    return scores, Row("most frequent class", how, len(ids), constant, "constant"), faults


def _vqa(path: Path, annotations: Path | None, protocol: str) -> tuple[Scores, Row, list[Fault]]:
    if annotations is None:
        raise SettingError(f"vqa needs --annotations FILE: {MATRICES['vqa'].files}")
    faults: list[Fault] = []
    truths = dict(_lines(annotations, "answers", list, None))
    given: dict[str, str] = {}
    for id, answer in _lines(path, "answer", str, faults):
        if id not in truths:
            faults.append(
                Fault(str(path), "unknown id", f"{path}: {id!r} is no question of {annotations}; check the ids")
            )
        elif id in given:
            said = f"{path}: {id!r} was answered before and the first answer counts; keep one answer for each id"
            faults.append(Fault(str(path), "duplicate id", said))
        else:
            given[id] = answer
    if missing := [id for id in truths if id not in given]:
        said = f"{path} has no answer to {len(missing)} of {len(truths)} questions ({missing[0]!r}, ...)"
        faults.append(Fault(str(path), "missing", f"{said}, which count as wrong; answer them"))

    def scored(answers: Mapping[str, str]) -> Scores:
        columns = {
            name: np.array([measure(answers[id], held) if id in answers else 0.0 for id, held in truths.items()])
            for name, measure in (("VQA-accuracy", recognition.vqa_accuracy), ("exact-match", recognition.exact_match))
        }
        return Scores({k: float(v.mean()) for k, v in columns.items()}, list(truths), list(truths), columns)

    common = Counter(recognition.plain(a) for held in truths.values() for a in held).most_common(1)[0][0]
    how = f"{common!r} for every question, the most frequent true answer of this set, which flatters it"
    constant = scored(dict.fromkeys(truths, common)).summary
    return scored(given), Row("most frequent answer", how, len(truths), constant, "constant"), faults


def _lines(path: Path, key: str, kind: type, faults: list[Fault] | None) -> list[tuple[str, Any]]:
    """(id, value) of each line; a line that has none is a fault, or an error where `faults` is None."""
    out = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            good = isinstance(entry, dict) and "id" in entry and isinstance(entry.get(key), kind)
        except ValueError:
            good = False
        if good:
            out.append((str(entry["id"]), entry[key]))
            continue
        said = f'{path}:{number}: this line is no {{"id", "{key}"}} object; write it again'
        if faults is None:
            raise RecordError(said)
        faults.append(Fault(f"{path}:{number}", "torn line", said))
    if not out and faults is None:
        raise RecordError(f"{path} holds no questions: give {MATRICES['vqa'].files}")
    return out


_SCORERS: dict[str, Callable[[Path, Path | None, str], tuple[Scores, Row, list[Fault]]]] = {
    "retrieval": _retrieval,
    "recognition": _recognition,
    "vqa": _vqa,
}

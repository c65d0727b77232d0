"""A submission to QVHighlights: ranked windows and one saliency score per 2-second clip.

There is one line per query: `{"qid", "query", "vid", "pred_relevant_windows": [[start, end, score], ...],
"pred_saliency_scores": [...]}`, with the best window first. The first window is the answer; the scores become the
curve, whose values belong to the middles of the clips. `pred_exist_score`, which Soccer-GMR's submissions add (the
certainty that the moment exists at all), is the confidence of an answer with windows; of an empty one, which says that
nothing is there, the confidence is 1 minus it. Windows without a score, [start, end], are read too: their
order is kept, and what needs scores (an average precision) cannot be counted from them.

A query that is answered twice is refused: the authors' evaluator takes the last of its windows for recall and all of
them for the average precision, which is the score of no answer.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import RecordError
from whenwhere.evaluate.formats.format import Format
from whenwhere.evaluate.formats.intake import Intake, with_scores, without_nan
from whenwhere.evaluate.prediction import Prediction, Status
from whenwhere.readers import quoted
from whenwhere.store import write_text

#: Length of a clip in seconds.
CLIP = 2.0


def _read(intake: Intake) -> None:
    for at, line in intake.objects():
        for item in intake.find(at, line.get("qid"), line.get("vid"), line.get("query")):
            if item.id in intake.by_id:
                raise RecordError(
                    f"{intake.where(at)}: query {quoted(item.id)} is answered a second time, and the benchmark's "
                    "evaluator would count one answer for recall and both for the average precision: keep one"
                )
            ranked = intake.spans(at, item, line.get("pred_relevant_windows", ()), (2, 3))
            if ranked is None:
                continue
            ranked = with_scores(ranked)
            curve = None
            if "pred_saliency_scores" in line:
                try:
                    values = np.array(line["pred_saliency_scores"], np.float64)
                except (ValueError, TypeError, OverflowError):
                    values = np.full(1, np.nan)
                if values.ndim != 1 or not np.isfinite(values).all():
                    intake.fail(
                        at,
                        item.id,
                        "not a number",
                        "pred_saliency_scores holds a value that is not a finite number",
                        "write one finite score for each clip",
                    )
                    continue
                curve = (CLIP / 2, CLIP, values)
            sure = line.get("pred_exist_score")
            if sure is not None and (type(sure) not in (int, float) or not abs(sure) < 1e300):
                intake.fail(
                    at,
                    item.id,
                    "not a number",
                    "pred_exist_score is not a finite number",
                    "write a number or leave it out",
                )
                continue
            status: Status = "answered" if len(ranked) or "pred_relevant_windows" not in line else "absent"
            spans = ranked[:1, :2] if len(ranked) else span_array()
            kept = ranked if "pred_relevant_windows" in line else None
            sure = 1 - sure if status == "absent" and sure is not None else sure
            intake.keep(at, Prediction(item.id, status, spans, kept, curve=curve, confidence=sure))


def _write(path: Path, predictions: Mapping[str, Prediction], items: Sequence[Item]) -> None:
    lines = []
    for item in items:
        p = predictions.get(item.id)
        # A line without windows would claim an absence, so an answer that claims nothing gets no line.
        if p is None or p.status in ("unsure", "unparsed", "failed"):
            continue
        line: dict[str, object] = {
            "qid": int(item.id) if item.id.isdecimal() else item.id,
            "query": item.query,
            "vid": item.video,
        }
        if p.ranked is not None:
            line["pred_relevant_windows"] = without_nan(p.ranked).tolist()
        elif len(p.spans) or p.status == "absent":
            # the authors' evaluator stops at a window without a score
            line["pred_relevant_windows"] = [[*row, 1.0] for row in p.spans.tolist()]
        if p.curve is not None:
            line["pred_saliency_scores"] = p.curve[2].tolist()
        if p.confidence is not None:
            # what is written is the certainty that something is there, whatever was answered
            line["pred_exist_score"] = round(1 - p.confidence, 12) if p.status == "absent" else p.confidence
        lines.append(json.dumps(line))
    write_text(path, "".join(f"{line}\n" for line in lines))


FORMAT = Format(
    name="qvhighlights",
    title="QVHighlights submission: windows and saliency scores",
    layout="lines",
    sniff=lambda line: "pred_relevant_windows" in line or "pred_saliency_scores" in line,
    read=_read,
    write=_write,
    loses="boxes, status (what claims nothing is left out), an answer that is not the first window",
    source="jayleicn/moment_detr b7e553a, standalone_eval/README.md",
)

"""Short answers to questions: JSON Lines of `{"id", "answer"}`, for visual question answering."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from whenwhere.datasets.item import Item
from whenwhere.evaluate.formats.format import Format
from whenwhere.evaluate.formats.intake import Intake
from whenwhere.evaluate.prediction import Prediction
from whenwhere.store import write_text


def _read(intake: Intake) -> None:
    for at, line in intake.objects():
        for item in intake.find(at, line.get("id")):
            answer = line.get("answer")
            if isinstance(answer, str):
                intake.keep(at, Prediction(item.id, answer=answer))
            else:
                intake.fail(at, item.id, "wrong type", "it holds no answer", 'write the answer as text under "answer"')


def _write(path: Path, predictions: Mapping[str, Prediction], items: Sequence[Item]) -> None:
    found = [predictions[item.id] for item in items if item.id in predictions]
    lines = [json.dumps({"id": p.id, "answer": p.answer}) for p in found if p.answer is not None]
    write_text(path, "".join(f"{line}\n" for line in lines))


FORMAT = Format(
    name="answers",
    title="short answers: id and answer",
    layout="lines",
    sniff=lambda line: isinstance(line.get("answer"), str),
    read=_read,
    write=_write,
    loses="everything but the answer",
    source="ours",
    tasks=("vqa",),
)

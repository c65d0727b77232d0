"""The raw text that a model wrote, one JSON object per line: `{"id": "7", "text": "<answer>3.2 to 7.5</answer>"}`.

The model's text is the value of the first of these keys that is present: `text`, `response`, `output`, `prediction`,
`completion`, `generated`, `answer`. Instead of `id`, a line may have `video` and `query`. The text is read by
`answers.parse`, the parser that rewards and training targets use too, and is kept with the result (`Prediction.raw`,
`Prediction.parse`). An answer is `unparsed` if the text cannot be read, or if it names several time ranges and does not
say which one it means; such an answer is wrong, and counts as a parse failure.

If a text gives boxes with times but no span, its span is made of the seconds that have boxes. Boxes are converted to
pixels of the original video. For that, the kind of their coordinates must be known: either the text tells it, or the
line names the way of writing that the model was trained in, such as `"form": "gemini"` (any key of `answers.FORMS` or
`answers.FAMILY_COORDINATES`). If the model wrote boxes in pixels of a resized picture, the line must also give the
size of that picture, `"shown": [width, height]`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere import answers
from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import SettingError
from whenwhere.evaluate.formats.format import Format
from whenwhere.evaluate.formats.intake import Intake
from whenwhere.evaluate.prediction import Boxes, Prediction, Status
from whenwhere.store import write_text

#: Keys of the text; the first one present counts.
KEYS = ("text", "response", "output", "prediction", "completion", "generated", "answer")
_ABSENT = "It is not in the video."


def _read(intake: Intake) -> None:
    for at, line in intake.objects():
        key = next((k for k in KEYS if k in line), None)
        for item in intake.find(at, line.get("id"), line.get("video"), line.get("query")):
            written = line[key] if key else None
            if isinstance(written, str):
                take_text(intake, at, item, written, line)
            else:
                intake.fail(at, item.id, "wrong type", "it holds no text", 'write the model\'s text under "text"')


def take_text(intake: Intake, at: int | str, item: Item, written: str, line: Mapping[str, Any]) -> None:
    """Parse the text that a model wrote for one item and keep it as the answer to that item.

    Args:
        intake: Collects the answers of the file and what is wrong with them.
        at: Line number or key of the entry, for messages.
        item: The item that the text answers.
        written: The text.
        line: The whole entry; its keys `form` and `shown`, if present, say how the text writes boxes.
    """
    size = None if item.width is None or item.height is None else (float(item.width), float(item.height))
    try:
        found = answers.parse(
            written,
            form=line.get("form"),
            size=size,
            duration=item.duration,
            shown=_size(line.get("shown")),
        )
    except (SettingError, TypeError, ValueError, OverflowError) as e:
        intake.fail(at, item.id, "wrong type", f"form or shown is wrong ({e})", "name a form and give [width, height]")
        return
    if found.status in ("unparsed", "ambiguous"):
        intake.keep(at, Prediction(item.id, "unparsed", raw=written, parse=found.status))
        return
    timed = [b for b in found.boxes if b.time is not None]
    spans = span_array(found.spans or found.spans_of_boxes())
    checked = intake.spans(at, item, spans, (2,))
    boxes = _boxes(intake, at, item, timed) if timed and found.coordinates == "displayed" else []
    if timed and found.coordinates != "displayed":
        intake.fault(
            at,
            "unknown coordinates",
            f"the boxes of {item.id!r} are in coordinates that the text does not tell and were left out",
            'write the model\'s "form", and "shown": [width, height] for boxes in pixels of a resized picture',
        )
    if checked is None or boxes is None:
        return
    answer = found.choice
    if answer is None and item.answer is not None:
        answer = written.strip()
    read = len(checked) or boxes or answer is not None
    status: Status = "absent" if found.status == "absent" else "answered" if read else "unparsed"
    intake.keep(at, Prediction(item.id, status, checked, boxes=boxes, answer=answer, raw=written, parse=found.status))


def _size(shown: Any) -> tuple[float, float] | None:
    if shown is None:
        return None
    if not isinstance(shown, list):
        raise ValueError(f"shown is {type(shown).__name__}")
    width, height = map(float, shown)
    return width, height


def _boxes(intake: Intake, at: int | str, item: Item, timed: Sequence[answers.TimedBox]) -> list[Boxes] | None:
    """The boxes of each object in the text; None if the answer failed."""
    out: list[Boxes] = []
    for name in dict.fromkeys((b.id, None if b.id else b.label) for b in timed):
        mine = [b for b in timed if (b.id, None if b.id else b.label) == name]
        found = intake.boxes(at, item.id, [b.time for b in mine], np.array([b.box for b in mine]))
        if found is None:
            return None
        out.append(Boxes(*found, id=name[0] or str(len(out)), label=mine[0].label))
    return out


def text_of(prediction: Prediction) -> str:
    """The text that the model wrote, or, if it was not kept, a text that the parser reads as the same answer."""
    if prediction.raw is not None:
        return prediction.raw
    if prediction.status == "absent":
        return _ABSENT
    if prediction.answer is not None and not len(prediction.spans):
        return prediction.answer
    return json.dumps(prediction.spans.tolist()) if len(prediction.spans) else ""


def _write(path: Path, predictions: Mapping[str, Prediction], items: Sequence[Item]) -> None:
    found = [predictions[item.id] for item in items if item.id in predictions]
    write_text(path, "".join(json.dumps({"id": p.id, "text": text_of(p)}) + "\n" for p in found))


FORMAT = Format(
    name="text",
    title="raw text of a model, read by the parser",
    layout="lines",
    sniff=lambda line: any(isinstance(line.get(k), str) for k in KEYS),
    read=_read,
    write=_write,
    loses="everything but the text; without one, everything but the spans (or the choice)",
    source="ours: whenwhere.answers",
)

"""Zero-shot grounding by encoders on held-out clips of the world of shapes, beside constants and built-in models.

    python benchmarks/encoder_grounding.py encoders/mine [MODEL ...] [--clips 200]

A MODEL is anything that `--model` takes; a folder alone means `encoder:` and the folder, whose boxes come from patches;
`encoder-groups:` and the folder takes them from its groups. Each clip of the corpus `actions` (split heldout, 16 s at
two frames a second) has four actions with pauses between them; the first is asked for by its caption, "the red circle
grows". Writes results/encoder_grounding.{json,md}; rows of models that are not asked are kept.

Measures, in percent: t_IoU and v_IoU of the answers, unsure ones counting zero; the share of answers; recall of the
first five ranked windows at t_IoU .5; and v_IoU when the time is given. Constants: the whole clip, and a box of half
the frame's side in its middle. 95 % intervals are of the mean over clips; they say nothing about seeds of training.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

import whenwhere
from whenwhere.errors import WhenwhereError
from whenwhere.overlap import t_iou, v_iou
from whenwhere.spans import SpanSet
from whenwhere.stage.shapes import CaptionedShapes, ShapesCorpus, make_captioned, shapes_corpus
from whenwhere.stage.shapes.segments import actions_of
from whenwhere.stage.shapes.world import TICKS
from whenwhere.store import write_text
from whenwhere.tubes import Tube
from whenwhere.video import FrameWriter

HERE = Path(__file__).parent
MEASURES = ("t_IoU", "v_IoU", "answered", "R5@0.5", "v_IoU, time given")


def truth_of(clip: CaptionedShapes, corpus: ShapesCorpus) -> tuple[str, Tube]:
    """The sentence about the first action, and the tube of the shape that does it."""
    action = actions_of(clip)[0]
    shape = clip.named[clip.nouns.index(action.noun.removeprefix("the "))]
    times = np.arange(corpus.frames) / TICKS
    inside = (times >= action.start) & (times < action.end) & ~np.isnan(clip.boxes[shape, :, 0])
    spans = SpanSet([(action.start, action.end)])
    return f"{action.noun} {action.label}", Tube(spans, times[inside], clip.boxes[shape, inside], rate=TICKS)


def scores(video: whenwhere.Session, sentence: str, truth: Tube) -> list[float]:
    """The measures of one model on one clip."""
    answer = video.ground(sentence)
    ranked = [t_iou(SpanSet([(s.start, s.end)]), truth.spans) for s in (answer.record.ranked or [])[:5]]
    placed = video.ground(sentence, span=truth.spans[0])
    return [
        t_iou(answer.spans, truth.spans),
        v_iou(answer.tube, truth) if answer.tube else 0.0,
        float(answer.status == "answered"),
        float(max(ranked, default=0.0) >= 0.5),
        v_iou(placed.tube, truth) if placed.tube else 0.0,
    ]


def constant(truth: Tube, duration: float, side: int) -> list[float]:
    """The measures of the whole clip with a box in the middle."""
    box = (side / 4, side / 4, side * 3 / 4, side * 3 / 4)

    def tube(spans: SpanSet) -> Tube:
        return Tube(spans, [spans[0].start], [box], rate=1)

    whole = SpanSet([(0, duration)])
    return [
        t_iou(whole, truth.spans), v_iou(tube(whole), truth), 1.0, float(t_iou(whole, truth.spans) >= 0.5),
        v_iou(tube(truth.spans), truth),
    ]  # fmt: skip


def main() -> None:
    """Ask every model about every clip, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--clips", type=int, default=200)
    asked = parser.parse_args()
    corpus = shapes_corpus("actions", split="heldout")
    models = [f"encoder:{m}" if Path(m).is_dir() else m for m in asked.models]
    found: dict[str, list[list[float]]] = {"constant": [], **{model: [] for model in models}}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(asked.clips):
            clip = make_captioned(corpus, seed)
            sentence, truth = truth_of(clip, corpus)
            path = Path(folder) / f"{seed}.mp4"
            with FrameWriter(path, corpus.side, corpus.side, truth.rate) as writer:
                for image in clip.images:
                    writer.write(image)
            found["constant"].append(constant(truth, corpus.frames / truth.rate, corpus.side))
            for model in models:
                try:
                    with whenwhere.open(path, model=model, cache=False) as video:
                        found[model].append(scores(video, sentence, truth))
                except WhenwhereError as e:
                    raise SystemExit(f"{model}: {e}") from e
            path.unlink()
    rows = []
    for model, each in found.items():
        values = np.array(each) * 100
        half = 1.96 * values.std(0, ddof=1) / len(values) ** 0.5
        name = Path(model).name + (", by groups" if model.startswith("encoder-groups:") else "")
        rows.append({"model": name, "clips": len(values), "mean": values.mean(0).tolist(), "half": half.tolist()})
    file = HERE / "results" / "encoder_grounding.json"
    before = json.loads(file.read_text("utf-8")) if file.is_file() else []
    rows += [row for row in before if row["model"] not in {one["model"] for one in rows}]
    lines = [f"| model | {' | '.join(MEASURES)} |", "|---|" + "---|" * len(MEASURES)]
    for row in rows:
        cells = [f"{m:.1f} ± {h:.1f}" for m, h in zip(row["mean"], row["half"], strict=True)]
        lines.append(f"| {row['model']} | {' | '.join(cells)} |")
    table = "\n".join(lines)
    print(table)
    write_text(file, json.dumps(rows, indent=1) + "\n")
    write_text(HERE / "results" / "encoder_grounding.md", f"# Zero-shot grounding, {asked.clips} clips\n\n{table}\n")


if __name__ == "__main__":
    main()

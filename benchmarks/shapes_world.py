"""What can be had in the world of shapes without looking, and how fast its clips are made.

    python benchmarks/shapes_world.py [--clips 1000]

About a minute on one core. Writes results/shapes_world.{json,md}.

Mean t_IoU over the sentences with a truth, for answers that do not find what is asked: the best constant span (as
shares of the clip), the whole clip, the best constant span of each sentence's rarest word (chosen on every second clip,
scored on the others: what a model that reads only the sentence can learn), and the best single span for each clip,
known from its truths (more than a model that sees only the video can learn). Expected: the constant at most .22 in the
default world, the words' no better than it, the video's at most .10 above it. In `ood-later` a constant that knows the
split is worth more; there, the constant of the default world is the one to compare with.

Clips per second: processor time of `make_clip`, clips of 8 s at 64 pixels and 2 frames per second.
"""

import argparse
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whenwhere.stage.shapes import SHAPES_DOMAINS, SHAPES_SPLITS, ShapesClip, ShapesQuery, ShapesWorld, make_clip
from whenwhere.store import write_text

HERE = Path(__file__).parent
#: Parts of a clip in which spans are compared.
BINS = 64
WORLDS = {
    "default": ShapesWorld(),
    "clips of 4 to 8 s": ShapesWorld(seconds=(4, 8)),
    **{split: ShapesWorld(split=split) for split in SHAPES_SPLITS[1:]},
    **{domain: ShapesWorld(domain=domain) for domain in SHAPES_DOMAINS},
}


def windows() -> NDArray[np.float32]:
    """All constant answers as shares of the clip, one per row; the last row is the whole clip."""
    ends = [(a, b) for a in range(0, BINS, 2) for b in range(a + 2, BINS + 1, 2)]
    ends.sort(key=lambda e: e[1] - e[0])
    part = np.arange(BINS)
    return np.array([(part >= a) & (part < b) for a, b in ends], np.float32)


def scores(clip: ShapesClip, asked: list[ShapesQuery], spans: NDArray[np.float32]) -> NDArray[np.float32]:
    """t_IoU of every constant answer with every sentence's truth, shape (answers, sentences)."""
    middle = (np.arange(BINS) + 0.5) / BINS * clip.duration
    truth = np.array([q.spans.index(middle) >= 0 for q in asked], np.float32)
    both = spans @ truth.T
    return both / (spans.sum(axis=1)[:, None] + truth.sum(axis=1) - both)


def by_word(iou: NDArray[np.float32], words: list[str], half: NDArray[np.bool_]) -> float:
    """Mean t_IoU on one half of the clips when every word uses the constant that was best on the other half."""
    best = iou[:, ~half].mean(axis=1).argmax()
    total = 0.0
    for word in set(words):
        mine = np.array([w == word for w in words])
        known, new = mine & ~half, mine & half
        choice = iou[:, known].mean(axis=1).argmax() if known.sum() >= 20 else best
        total += float(iou[choice, new].sum())
    return total / int(half.sum())


def measure(world: ShapesWorld, count: int) -> dict[str, float]:
    """The row of one world."""
    spans = windows()
    columns, oracle, words, halves, sentences, absent, shares = [], [], [], [], 0, 0, []
    for seed in range(count):
        clip = make_clip(world, seed)
        asked = [q for q in clip.queries if q.referents]
        sentences += len(clip.queries)
        absent += len(clip.queries) - len(asked)
        if not asked:
            continue
        iou = scores(clip, asked, spans)
        columns.append(iou)
        oracle += [float(iou.mean(axis=1).max())] * len(asked)
        words += [q.text for q in asked]
        halves += [seed % 2 == 0] * len(asked)
        shares += [q.spans.duration / clip.duration for q in asked]
    iou, half = np.concatenate(columns, axis=1), np.array(halves)
    counts = Counter(w for text in words for w in set(text.split()))
    rarest = [min(text.split(), key=lambda w: (counts[w], w)) for text in words]
    mean = iou.mean(axis=1)
    return {
        "clips": count,
        "sentences": sentences / count,
        "absent": absent / sentences,
        "share": float(np.mean(shares)),
        "constant": float(mean.max()),
        "whole": float(mean[-1]),
        "words": by_word(iou, rarest, half),
        "video": float(np.mean(oracle)),
    }


def speed() -> float:
    """Clips per second of processor time, the best of five runs."""
    world = ShapesWorld(seconds=(8, 8))
    seconds = []
    for attempt in range(5):
        began = time.process_time()
        for seed in range(100):
            make_clip(world, 100 * attempt + seed)
        seconds.append(time.process_time() - began)
    return 100 / min(seconds)


def tables(result: dict) -> str:
    """The result as Markdown."""
    lines = [
        "Mean t_IoU of answers that do not find what is asked.",
        "",
        "| world | clips | sentences per clip | absent | mean share of the clip | best constant | whole clip | "
        "best constant per word | best span per clip |",
        "| --- |" + " --- |" * 8,
    ]
    for name, r in result["worlds"].items():
        lines.append(
            f"| {name} | {r['clips']} | {r['sentences']:.1f} | {100 * r['absent']:.0f} % | {r['share']:.2f} | "
            f"{r['constant']:.3f} | {r['whole']:.3f} | {r['words']:.3f} | {r['video']:.3f} |"
        )
    lines += ["", f"Clips of 8 s at 64 pixels per second of one core: {result['speed']:.0f}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures every world, and the speed."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--clips", type=int, default=1000)
    args = asked.parse_args()
    result = {"speed": speed(), "worlds": {name: measure(world, args.clips) for name, world in WORLDS.items()}}
    text = tables(result)
    print(text)
    write_text(HERE / "results" / "shapes_world.json", json.dumps(result, indent=1) + "\n")
    write_text(HERE / "results" / "shapes_world.md", text)


if __name__ == "__main__":
    main()

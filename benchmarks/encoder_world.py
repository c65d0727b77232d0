"""What can be had in the corpora for pre-training without the ability that a measure is meant to test.

    python benchmarks/encoder_world.py [--clips 2000]

About three minutes on one core. Writes results/encoder_world.{json,md}.

Leaks are looked for with readers that are too simple to be right: a constant, the words alone, the background alone,
the amount of each colour, the places of shapes. Expected: retrieval by words and background at chance (1 / pool); a bag
of colours far above chance in the pool of unique captions but at .50 in the hard pool, since both captions of a pair
have the same words; the colour and the kind of a shape not told by its place (1/8, 1/6) and its verb hardly; no
constant answer right in more than a fifth of the questions about colours and verbs. For masking: how many tokens of the
shapes that a caption names are left at each ratio. Times are processor time.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whenwhere.array_cache import ArrayCache
from whenwhere.stage.shapes import (
    CORPORA,
    CaptionedShapes,
    OpenQuestion,
    ScaleSettings,
    ShapesCorpus,
    boundaries_of,
    hard_pool,
    make_captioned,
    open_questions,
    scale_caption,
    shapes_corpus,
    unique_pool,
)
from whenwhere.stage.shapes.open_questions import QUESTION_KINDS, answer_priors
from whenwhere.stage.shapes.pools import recognition_pool
from whenwhere.stage.shapes.scales import SCALES
from whenwhere.stage.shapes.words import CORPUS_WORDS, SHAPE_COLOURS, SHAPE_VERBS, SHAPES
from whenwhere.store import write_text
from whenwhere.training.pretrain.shapes_source import ShapesSource

HERE = Path(__file__).parent
POOL = 200
Array = NDArray[np.float64]
#: Every tone that a shape can have: plain or darkened by its texture, normal, dark or grey.
_LIGHT = np.concatenate(
    [np.array(list(SHAPE_COLOURS.values()), float) * share for share in (1, 0.45)] + [[[128.0] * 3]]
)
_TONES = np.concatenate([_LIGHT, 0.4 * _LIGHT]).astype(np.int32) @ (1 << 16, 1 << 8, 1)


def words_of(caption: str) -> Array:
    """How often each word occurs in a caption, shape (words,)."""
    count = Counter(caption.split())
    return np.array([count[word] for word in CORPUS_WORDS], float)


def colours_of(clip: CaptionedShapes) -> Array:
    """The number of pixels of each colour and of its darker tones, in all frames together; nothing about when."""
    pixels = clip.images.reshape(-1, 3).astype(np.int32) @ (1 << 16, 1 << 8, 1)
    return np.log1p(np.array([(pixels == tone).sum() for tone in _TONES]))


def background_of(clip: CaptionedShapes) -> Array:
    """Colours of the pixels that never change, on a coarse grid: the background and what stands still on its edge."""
    edge = np.concatenate([clip.images[:, :3].reshape(-1, 3), clip.images[:, -3:].reshape(-1, 3)])
    return np.concatenate([edge.mean(axis=0), np.median(edge, axis=0), edge.std(axis=0)]).astype(float)


def fitted(x: Array, y: Array, ridge: float = 1.0) -> tuple[Array, Array, Array]:
    """Least squares from x to y: weights, and the means that are taken off."""
    mx, my = x.mean(axis=0), y.mean(axis=0)
    x, y = x - mx, y - my
    return np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y), mx, my


def similarity(fit: tuple[Array, Array, Array], x: Array, y: Array) -> Array:
    """Cosines of what is predicted from each x with each y, shape (len(x), len(y))."""
    weights, mx, my = fit
    a, b = (x - mx) @ weights, y - my
    a /= np.linalg.norm(a, axis=1, keepdims=True) + 1e-9
    b /= np.linalg.norm(b, axis=1, keepdims=True) + 1e-9
    return a @ b.T


def first_place(table: Array) -> float:
    """Share of rows whose diagonal entry is above all others; a tie counts as wrong."""
    own = np.diag(table).copy()
    table = table.copy()
    np.fill_diagonal(table, -np.inf)
    return float((own > table.max(axis=1)).mean())


def nearest(x: Array, labels: NDArray[np.intp], k: int = 15) -> float:
    """Accuracy of the majority among the k nearest of the first half, on the second half."""
    half = len(x) // 2
    scale = x.std(axis=0) + 1e-9
    gap = ((x[half:, None] - x[None, :half]) / scale) ** 2
    close = gap.sum(axis=2).argsort(axis=1)[:, :k]
    said = [np.bincount(labels[:half][row]).argmax() for row in close]
    return float((np.array(said) == labels[half:]).mean())


def retrieval(count: int) -> dict[str, float]:
    """R@1 of readers that know only colours, only the background or nothing, and the hard pool."""
    corpus = CORPORA["pairs"]
    clips = [make_captioned(corpus, seed) for seed in range(count)]
    words = np.array([words_of(c.caption) for c in clips])
    colour = fitted(np.array([colours_of(c) for c in clips]), words)
    ground = fitted(np.array([background_of(c) for c in clips]), words)
    test = shapes_corpus("pairs", split="val")
    pool = unique_pool(test, POOL)
    said = np.array([words_of(c.caption) for c in pool])
    drawn = [make_captioned(test, seed) for seed in range(POOL)]
    pairs = hard_pool(test, 3 * (POOL // 3), 10_000)
    out = {
        "pool": len(pool),
        "chance": 1 / len(pool),
        "bag of colours": first_place(similarity(colour, np.array([colours_of(c) for c in pool]), said)),
        "background": first_place(similarity(ground, np.array([background_of(c) for c in pool]), said)),
        "captions that occur twice without a unique pool": 1 - len({c.caption for c in drawn}) / POOL,
        "hard pairs": len(pairs),
    }
    for what in ("colour", "texture", "action"):
        mine = [p for p in pairs if p.what == what]
        score = 0.0
        for pair in mine:
            x = np.array([colours_of(pair.first), colours_of(pair.second)])
            y = np.array([words_of(pair.first.caption), words_of(pair.second.caption)])
            table = similarity(colour, x, y)
            # a tie is half right
            score += float(
                np.mean([0.5 if table[i, i] == table[i, 1 - i] else table[i, i] > table[i, 1 - i] for i in (0, 1)])
            )
        out[f"hard pool, {what}"] = score / len(mine)
        # what a reader of the order of words could use: shapes differ in size, and a grey one lacks its colour
        out[f"hard pool, pairs that differ in the amount of some colour, {what}"] = float(
            np.mean([not np.allclose(colours_of(p.first), colours_of(p.second), atol=0.05) for p in mine])
        )
    return out


def places(count: int) -> dict[str, float]:
    """What the place of a named shape tells about its noun and its verb."""
    corpus = shapes_corpus("pairs", cameras=(1, 0, 0))
    first, whole, colour, shape, verb = [], [], [], [], []
    for seed in range(count):
        clip = make_captioned(corpus, seed)
        for i in clip.named:
            thing = clip.plan.things[i]
            boxes = clip.boxes[i]
            there = boxes[~np.isnan(boxes[:, 0])]
            first.append((there[0, :2] + there[0, 2:]) / 2)
            whole.append((there[:, :2] + there[:, 2:]).mean(axis=0) / 2)
            colour.append(thing.colour)
            shape.append(thing.shape)
            verb.append(thing.acts[0].verb)
    a, b = np.array(first), np.array(whole)
    return {
        "colour": nearest(b, np.array(colour)),
        "colour, chance": 1 / len(SHAPE_COLOURS),
        "kind": nearest(b, np.array(shape)),
        "kind, chance": 1 / len(SHAPES),
        "verb, first frame": nearest(a, np.array(verb)),
        "verb, chance": 1 / len(SHAPE_VERBS),
    }


def question_readers(count: int) -> dict[str, dict[str, float]]:
    """For each kind of question, the best constant and what the words of the question tell."""
    found: list[list[OpenQuestion]] = []
    for name in ("scales", "pairs"):
        corpus = CORPORA[name]
        found += [open_questions(make_captioned(corpus, seed), seed) for seed in range(count)]
    half = len(found) // 4
    known = [q for part in (found[:half], found[2 * half : 3 * half]) for asked in part for q in asked]
    new = [q for part in (found[half : 2 * half], found[3 * half :]) for asked in part for q in asked]
    priors, out = answer_priors(new), {}
    for kind, scale in QUESTION_KINDS.items():
        said: dict[str, Counter[str]] = {}
        for q in known:
            if q.kind == kind:
                said.setdefault(q.text, Counter())[q.answer] += 1
                said.setdefault("", Counter())[q.answer] += 1
        mine = [q for q in new if q.kind == kind]
        right = [(said[q.text] if sum(said.get(q.text, Counter()).values()) >= 5 else said[""]).most_common(1)[0][0] == q.answer for q in mine]  # fmt: skip  # noqa: E501
        out[kind] = {"class": scale, "asked": len(mine), "constant": priors[kind], "words": float(np.mean(right))}
    return out


def boundary_readers(count: int) -> dict[str, float]:
    """Best constant boundary of the corpus of two parts, and the share of frames without an action in the long one."""
    where = Counter(b for seed in range(count) for b in boundaries_of(make_captioned(CORPORA["varied"], seed)))
    homogeneous = sum(len(boundaries_of(make_captioned(CORPORA["homogeneous"], seed))) for seed in range(100))
    long = [make_captioned(CORPORA["actions"], seed) for seed in range(100)]
    busy = np.array(
        [[any(a.start <= t < a.end for th in c.plan.things for a in th.acts) for t in range(32)] for c in long]
    )
    return {
        "best constant boundary": max(where.values()) / sum(where.values()),
        "boundaries in homogeneous clips": homogeneous,
        "actions in each long clip": 4,
        "share of its frames with an action": float(busy.mean()),
        "best constant frame": float(np.abs(busy.mean(axis=0) - 0.5).max() + 0.5),
    }


def scale_readers(count: int) -> dict[str, dict[str, float]]:
    """Length, share of wrong words at an error of .3, and events that come with their colour, at each scale."""
    out: dict[str, dict[str, float]] = {}
    for share in (0.3, 0.7):
        corpus = shapes_corpus("scales", middle=share)
        clips = [make_captioned(corpus, seed) for seed in range(count)]
        for scale in SCALES:
            clean = [scale_caption(c, k, ScaleSettings(scale)) for k, c in enumerate(clips)]  # type: ignore[arg-type]
            noisy = [
                scale_caption(c, k, ScaleSettings(scale, 20, 0.3, 0.3))  # type: ignore[arg-type]
                for k, c in enumerate(clips)
            ]
            bound = [
                f"{noun} {SHAPE_VERBS[c.plan.things[i].acts[0].verb]}" in text
                for c, text in zip(clips, clean, strict=True)
                for noun, i in zip(c.nouns, c.named, strict=True)
            ]
            changed = [
                a != b for x, y in zip(clean, noisy, strict=True) for a, b in zip(x.split(), y.split(), strict=False)
            ]
            out[f"{scale}, {share:g}"] = {
                "words": float(np.mean([len(text.split()) for text in clean])),
                "bound": float(np.mean(bound)),
                "changed": float(np.mean(changed)),
            }
    return out


def redundancy(corpus: ShapesCorpus, count: int, patch: int = 8, tubelet: int = 2) -> dict[str, float]:
    """Tokens that show a named shape (a quarter of it or of the token at least), and how many masking leaves."""
    tokens = []
    for seed in range(count):
        clip = make_captioned(corpus, seed)
        for i in clip.named:
            total = 0
            for t in range(0, corpus.frames, tubelet):
                box = clip.boxes[i, t]
                if not np.isnan(box[0]):
                    edges = np.arange(0, corpus.side, patch)
                    across = np.clip(np.minimum(box[2], edges + patch) - np.maximum(box[0], edges), 0, None)
                    down = np.clip(np.minimum(box[3], edges + patch) - np.maximum(box[1], edges), 0, None)
                    area = across[:, None] * down
                    least = 0.25 * min(patch * patch, (box[2] - box[0]) * (box[3] - box[1]))
                    total += int((area >= least).sum())
            tokens.append(total)
    mean = float(np.mean(tokens))
    return {"tokens": mean, **{f"left at {r:g}": mean * (1 - r) for r in (0.5, 0.7, 0.9)}}


def speed(name: str) -> float:
    """Milliseconds of processor time for a clip, the best of five runs."""
    best = np.inf
    for attempt in range(5):
        began = time.process_time()
        for seed in range(40):
            make_captioned(CORPORA[name], 40 * attempt + seed)
        best = min(best, time.process_time() - began)
    return 1000 * float(best) / 40


def kept() -> float:
    """Milliseconds for a clip that was rendered in an earlier epoch."""
    with tempfile.TemporaryDirectory() as folder:
        source = ShapesSource(CORPORA["pairs"], 0, 256, cache=ArrayCache(folder, 1 << 30))
        for k in range(256):
            source[k]
        began = time.process_time()
        for k in range(256, 512):
            source[k].frames.sum()
        return 1000 * (time.process_time() - began) / 256


def tables(result: dict) -> str:
    """The result as Markdown."""
    lines = [
        "Readers that lack what is tested; `chance` is that of the pool or of the classes.",
        "",
        "| reader | value |",
    ]
    lines += ["| --- | --- |"]
    for part in ("retrieval", "places", "boundaries", "recognition"):
        lines += [f"| {part}: {name} | {value:.3f} |" for name, value in result[part].items()]
    lines += ["", "Questions: the best constant answer, and the answer most frequent for the same words.", ""]
    lines += ["| kind | class | asked | best constant | words alone |", "| --- | --- | --- | --- | --- |"]
    for kind, r in result["questions"].items():
        lines.append(f"| {kind} | {r['class']} | {r['asked']} | {r['constant']:.3f} | {r['words']:.3f} |")
    lines += ["", "Captions at each scale, by the share of clips in which something crosses the middle frame.", ""]
    lines += [
        "| scale, share | words | events with their own noun | words changed by errors of .3 |",
        "| --- |" + " --- |" * 3,
    ]
    for name, r in result["scales"].items():
        lines.append(f"| {name} | {r['words']:.1f} | {r['bound']:.3f} | {r['changed']:.3f} |")
    lines += ["", "Tokens (8 pixels, 2 frames) that show a named shape, and how many random masking leaves.", ""]
    lines += ["| corpus | tokens | left at .5 | left at .7 | left at .9 | ms for a clip |", "| --- |" + " --- |" * 5]
    for name, r in result["redundancy"].items():
        lines.append(f"| {name} | {' | '.join(f'{v:.1f}' for v in r.values())} | {result['speed'][name]:.1f} |")
    lines += ["", f"A clip that is kept on disk takes {result['kept']:.2f} ms from the second epoch on."]
    return "\n".join(lines) + "\n"


def recognition() -> dict[str, float]:
    """Frequencies of the classes of the recognition pools."""
    out = {}
    for compositions in ("seen", "held out"):
        pool = recognition_pool(shapes_corpus("pairs", split="val", compositions=compositions), 80)
        out[f"most frequent verb, {compositions}"] = max(Counter(c.label for c in pool).values()) / len(pool)
    return out


def main() -> None:
    """Measures everything."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--clips", type=int, default=2000)
    count = asked.parse_args().clips
    result = {
        "clips": count,
        "retrieval": retrieval(count),
        "places": places(count),
        "boundaries": boundary_readers(count // 2),
        "recognition": recognition(),
        "questions": question_readers(count // 2),
        "scales": scale_readers(count // 10),
        "redundancy": {name: redundancy(corpus, count // 10) for name, corpus in CORPORA.items()},
        "speed": {name: speed(name) for name in CORPORA},
        "kept": kept(),
    }
    text = tables(result)
    print(text)
    write_text(HERE / "results" / "encoder_world.json", json.dumps(result, indent=1) + "\n")
    write_text(HERE / "results" / "encoder_world.md", text)


if __name__ == "__main__":
    main()

"""The tiny policy on the world of shapes: its learning curve, what it answers on held-out clips, and RL against SFT.

    python benchmarks/tiny_policy.py sft       trains (an hour and a half, one core) and keeps weights on the way
    python benchmarks/tiny_policy.py curve     the weights on the way, on validation clips
    python benchmarks/tiny_policy.py rates     whether SFT learns which shape is meant, at two learning rates
    python benchmarks/tiny_policy.py blind     the same policy trained on without the sentence, or without the video
    python benchmarks/tiny_policy.py settings  learning rates and temperatures of both arms of `rl`, on validation clips
    python benchmarks/tiny_policy.py rl        RL, and SFT continued at equal analytic FLOPs, from its SFT weights
    python benchmarks/tiny_policy.py table     everything on held-out clips
    python benchmarks/tiny_policy.py report    the tables again, from what was measured

Every part can be stopped and resumed. Runs and measured rows are kept by name in benchmarks/cache/tiny_policy; delete
that folder after a change of a recipe.
Numbers are means over sentences; those without an answer that can be read count as t_IoU = v_IoU = 0 (an empty answer
to an absent sentence is 1). Intervals are 95 % bootstrap intervals over clips. s is the mean box IoU where both times
agree (`overlap.s_iou`), over sentences that have such time. Best constant: the one span, in fractions of the clip, with
the highest mean t_IoU on training clips, and a box of half the frame in the middle.

The learning rate, the batch and the world's size were chosen on the training loss and on validation clips. So were the
settings of RL and of its control, among those that `settings` tries: the highest reward of sampled answers, among those
that lose no more than a point of the reward of greedy ones. Held-out clips were used for the table only.

The blind policies begin with the weights of SFT, which already see and read, which makes them stronger than blind
policies trained from scratch. Their likeliest answer is not a good guess (often "it is not there"), so the medoid of 16
sampled answers is shown too.

Expected: best constant at most .22; blind policies at most .03 above it; SFT at least twice the best constant; RL
against SFT continued may go either way (five pairs of seeds, paired t).
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tiny_policy_tables as tables

import whenwhere
from whenwhere.overlap import s_iou, t_iou, v_iou
from whenwhere.spans import SpanSet
from whenwhere.stats import bootstrap_mean
from whenwhere.store import append_line, read_lines
from whenwhere.training.callbacks import Progress, RunStatus, TrainingCallback
from whenwhere.tubes import Tube

CACHE = Path(__file__).parent / "cache" / "tiny_policy"
ROWS = CACHE / "rows.jsonl"
#: Updates whose weights are kept for the learning curve.
MARKS = range(500, 100_000, 500)
#: Clips that are looked at.
VALIDATION, HELD_OUT = 60, 200
#: Updates of a blind policy; prompts of RL; of RL where its settings are chosen.
BLIND, RL, TRIAL = 400, 3200, 1600
#: What is tried: learning rate, temperature, prompts an update of RL, with or without the vision tower frozen; learning
#: rate of SFT continued.
RL_ARMS = (
    (1e-5, 0.6, 16), (1e-5, 1.0, 16), (3e-5, 0.6, 16), (3e-5, 1.0, 16), (1e-4, 1.0, 16), (1e-5, 0.3, 16),
    (3e-5, 0.3, 16), (1e-5, 0.6, 64), (3e-5, 0.6, 64), (1e-5, 1.0, 16, "frozen"), (3e-5, 1.0, 16, "frozen"),
)  # fmt: skip
SFT_ARMS = (1e-5, 3e-5, 1e-4)
#: Updates on one shape, from which times are read; then updates among several, at each of these rates.
READ, TELL, RATES = 400, 1600, (5e-4, 2e-3)
#: First seeds of clips: what SFT saw begins at 0.
AFTER = 10_000_000


class Keep(TrainingCallback):
    """Keeps weights at marks, and prints a line every twenty updates."""

    def __init__(self, name: str, marks: Iterable[int]) -> None:
        self.name, self.marks = name, set(marks)
        self.run: RunStatus | None = None

    def on_start(self, run: RunStatus, of: int) -> None:
        """Keeps the run."""
        self.run = run

    def on_update(self, progress: Progress) -> None:
        """Keeps weights and prints."""
        if self.run is not None and progress.step in self.marks:
            self.run.save_model(self.run.folder / "kept" / f"{progress.step:06d}")
        if progress.step % 20 == 0 or progress.step == progress.of:
            shown = ("loss", "reward", "reward/t_iou")
            numbers = {k: round(v, 3) for k, v in progress.metrics.items() if k in shown}
            print(f"{self.name} {progress.step}/{progress.of} {numbers} {progress.left:.0f} s left", flush=True)


def train(recipe: Any, folder: Path, marks: Iterable[int] = (), blind: str | None = None) -> Path:
    """Trains by a recipe, or resumes; keeps weights at marks. Returns the folder of the trained checkpoint."""
    if (folder / "checkpoint" / "config.json").exists():
        return folder / "checkpoint"
    keep = Keep(recipe.name, marks)
    if blind is None:
        return whenwhere.train(recipe, folder, callbacks=[keep], device="cpu").checkpoint
    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.stages import find_stage

    run = TrainingRun(folder, {"recipe": recipe.name, "recipe_hash": recipe.hash}, [keep])
    objective: Any = find_stage(recipe.stage).build(recipe, run, "cpu")
    objective.source = Blinded(objective.source, blind)
    return run.train(objective)


class Blinded:
    """Samples without their sentence, or without their video."""

    def __init__(self, source: Any, what: str) -> None:
        self.source, self.what = source, what

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Any:
        sample = self.source[index]
        if self.what == "video":
            return replace(sample, images=np.full_like(sample.images, 64))
        return replace(sample, questions=tuple(replace(q, text="the") for q in sample.questions))


def world(split: str) -> Any:
    """The recipe's world, of another split; `short`: validation clips of the chapter before."""
    from whenwhere.training.recipe import load

    data = load("tiny-sft").data
    if split == "short":
        return replace(data.grow[-1].world, split="val")
    # the split of longer clips has its own length
    return replace(data.world, split=split, seconds=(9, 16) if split == "ood-longer" else data.world.seconds)


def scored(prediction: Any, truth: Any) -> dict[str, float | None]:
    """t_IoU, s and v_IoU of an answer."""
    if prediction is None or prediction.fault is not None or prediction.spans is None:
        return {"t": 0.0, "s": None, "v": 0.0}
    if not len(truth.spans) or not len(prediction.spans):
        same = float(not len(truth.spans) and not len(prediction.spans))
        return {"t": same, "s": None, "v": same}
    s = float(s_iou(prediction.tube, truth.tube)) if truth.spans & prediction.spans else float("nan")
    return {
        "t": float(t_iou(prediction.spans, truth.spans)), "s": None if np.isnan(s) else s,
        "v": float(v_iou(prediction.tube, truth.tube)),
    }  # fmt: skip


def answered(
    checkpoint: Path, split: str, count: int, blind: str | None = None, temperature: float = 0.0, draws: int = 1
) -> list[dict[str, Any]]:
    """A policy's answers on the first clips of a split: greedy, drawn, or the one of some draws that agrees best."""
    from whenwhere.models.vlm import Checkpoint
    from whenwhere.training.data.sources import StageSource
    from whenwhere.training.prefix.policy import Policy
    from whenwhere.training.prefix.rollout import SamplingParams
    from whenwhere.training.rl.completions import PromptedClip
    from whenwhere.training.rl.sampler import LocalSampler
    from whenwhere.verify import Verifier

    policy = Policy(Checkpoint(str(checkpoint), device="cpu"), form="tokens", prompt="{query}")
    source: Any = StageSource(world(split), 0, count)
    source = Blinded(source, blind) if blind else source
    verifier, own = Verifier(form="tokens"), LocalSampler(pack=4096)
    params = SamplingParams(160, temperature, stop=tuple(policy.end_ids))
    rows: list[dict[str, Any]] = []
    for first in range(0, count, 20):
        clips = []
        for place in range(first, min(first + 20, count)):
            sample = source[place]
            prompt, rests = policy.prompts(sample, sample.questions)
            clips.append(PromptedClip(place, 0.0, tuple(range(len(rests))), sample, sample.questions, prompt, rests))
        for group in own.sample(policy, clips, draws, replace(params, seed=first)):
            truth = policy.truth(group.clip.sample, group.question)
            claim = medoid([verifier.read(policy.decode(ids), truth) for ids in group.ids])
            rows.append(
                {"clip": group.clip.sample.id, "kind": group.question.kind, "absent": not len(truth.spans),
                 "parsed": claim.answer.valid and claim.fault is None, **scored(claim, truth)}
            )  # fmt: skip
    return rows


def constants(split: str, count: int) -> dict[str, list[dict[str, Any]]]:
    """The whole clip, and the best constant span of training clips, each with a box in the middle."""
    from whenwhere.training.data.sources import StageSource
    from whenwhere.verify.prediction import ParsedPrediction

    edges = np.arange(0, 1.0001, 0.05)
    grid = np.array([(a, b) for a in edges for b in edges if b > a + 1e-9])
    seen, fractions = StageSource(world("train"), 0, 1000), []
    for k in range(1000):
        for q in seen[k].questions:
            fractions += [(s.start / q.truth.duration, s.end / q.truth.duration) for s in q.truth.spans]
    spans = np.array(fractions)
    inside = np.minimum(grid[:, 1:], spans[:, 1]) - np.maximum(grid[:, :1], spans[:, 0])
    union = np.maximum(grid[:, 1:], spans[:, 1]) - np.minimum(grid[:, :1], spans[:, 0])
    best = grid[np.argmax((np.maximum(inside, 0) / np.maximum(union, 1e-9)).mean(1))]
    source = StageSource(world(split), 0, count)
    found: dict[str, list[dict[str, Any]]] = {}
    for name, (a, b) in {"whole clip": (0.0, 1.0), f"best constant {best[0]:.2f}-{best[1]:.2f}": best}.items():
        rows = found[name] = []
        for k in range(count):
            sample = source[k]
            for q in sample.questions:
                truth, side = q.truth, sample.images.shape[1]
                span = SpanSet([(a * truth.duration, b * truth.duration)])
                times = np.arange(span[0].start, span[0].end, 1.0)
                tube = Tube(span, times, np.repeat([[side / 4, side / 4, side * 0.75, side * 0.75]], len(times), 0))
                claim = ParsedPrediction(None, span, tube)  # type: ignore[arg-type]
                rows.append({"clip": sample.id, "kind": q.kind, "absent": not len(truth.spans), "parsed": True,
                             **scored(claim, truth)})  # fmt: skip
    return found


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means with intervals over clips."""
    clips = [r["clip"] for r in rows]

    def mean(name: str, keep: list[bool] | None = None) -> list[float]:
        at = [k for k in range(len(rows)) if rows[k][name] is not None and (keep is None or keep[k])]
        if not at:
            return []
        found = bootstrap_mean([float(rows[k][name]) for k in at], [clips[k] for k in at], n=2000)
        return [round(float(x), 4) for x in (found.mean, found.low, found.high)]

    present = [not r["absent"] for r in rows]
    of_kind = {kind: [p and r["kind"] == kind for p, r in zip(present, rows, strict=True)] for kind in
               sorted({r["kind"] for r in rows})}  # fmt: skip
    return {
        "sentences": len(rows), "clips": len(set(clips)), "parsed": float(np.mean([r["parsed"] for r in rows])),
        **{name: mean(name) for name in "tsv"},
        "t_present": mean("t", present), "v_present": mean("v", present),
        "t_absent": mean("t", [not p for p in present]),
        "kinds": {kind: {name: mean(name, at) for name in "tsv"} for kind, at in of_kind.items()},
    }  # fmt: skip


def medoid(claims: list[Any]) -> Any:
    """The answer whose spans agree best with all: what to say where much is possible and little is known."""
    read = [c for c in claims if c.fault is None and c.spans is not None] or claims[:1]
    if len(read) == 1:
        return read[0]
    spans = [c.spans for c in read]
    worth = [sum(t_iou(a, b) if a and b else float(not a and not b) for b in spans) for a in spans]
    return read[int(np.argmax(worth))]


def drawn(checkpoint: Path, split: str, count: int) -> dict[str, Any]:
    """What a policy's answers are worth when they are drawn, at temperature 1."""
    found = summary(answered(checkpoint, split, count, temperature=1.0))
    return {name: found[name] for name in "tsv"}


def measured() -> dict[str, dict[str, Any]]:
    """What was measured, by name."""
    return {line["name"]: line for line in read_lines(ROWS)} if ROWS.exists() else {}


def keep(name: str, rows: list[dict[str, Any]], **about: Any) -> None:
    """Notes a row."""
    append_line(ROWS, json.dumps({"name": name, **about, **summary(rows)}))
    found = measured()[name]
    print(name, {k: found[k] for k in ("t", "s", "v", "parsed")}, flush=True)


def flops(folder: Path) -> float:
    """Analytic FLOPs of a run."""
    return float(list(read_lines(folder / "metrics.jsonl"))[-1]["flops"])


def sft_command() -> Path:
    """The SFT run."""
    from whenwhere.training.recipe import load

    return train(load("tiny-sft"), CACHE / "sft", MARKS)


def curve_command() -> None:
    """Weights on the way, on validation clips, those of the chapter before among them."""
    steps = {line["step"]: line for line in read_lines(CACHE / "sft" / "metrics.jsonl")}
    for folder in sorted((CACHE / "sft" / "kept").iterdir()):
        step = int(folder.name)
        for split, name in (("val", f"curve {step}"), ("short", f"short {step}")):
            if name not in measured() and step in steps:
                about = {k: steps[step][k] for k in ("clips", "sentences", "flops", "seconds")}
                keep(name, answered(folder, split, VALIDATION), step=step, seen=about)


def rates_command() -> None:
    """From nothing: a chapter of one shape; then several shapes in short clips, at either rate, validation clips."""
    from whenwhere.training.recipe import load

    recipe = load("tiny-sft")
    one, few = (chapter.world for chapter in recipe.data.grow)
    own = replace(recipe.train, lr_scheduler_type="constant")
    read = train(
        replace(recipe, data=replace(recipe.data, grow=(), world=one), train=replace(own, max_steps=READ)),
        CACHE / "rates-read",
    )
    for rate in RATES:
        folder = CACHE / f"rates-{rate:g}"
        train(
            replace(
                recipe, model=replace(recipe.model, checkpoint=str(read)),
                data=replace(recipe.data, grow=(), world=few, first_seed=AFTER),
                train=replace(own, max_steps=TELL, learning_rate=rate),
            ), folder, range(400, TELL + 1, 400),
        )  # fmt: skip
        for kept in sorted((folder / "kept").iterdir()):
            if f"rate {rate:g} after {int(kept.name)}" not in measured():
                keep(f"rate {rate:g} after {int(kept.name)}", answered(kept, "short", VALIDATION))


def blind_command() -> None:
    """Blind policies: trained on from SFT without the sentence, or without the video."""
    from whenwhere.training.recipe import load

    for what, name in (("sentence", "video only"), ("video", "sentence only")):
        changes = [
            f"model.checkpoint={CACHE / 'sft'}", f"train.max_steps={BLIND}", "train.learning_rate=5e-4",
            f"data.first_seed={AFTER}",
        ]  # fmt: skip
        made = train(load("tiny-sft-continued", changes), CACHE / f"blind-{what}", blind=what)
        if f"{name} heldout" not in measured():
            keep(f"{name} heldout", answered(made, "heldout", HELD_OUT, blind=what))
        if f"{name}, medoid of 16 draws heldout" not in measured():
            rows = answered(made, "heldout", HELD_OUT, blind=what, temperature=0.6, draws=16)
            keep(f"{name}, medoid of 16 draws heldout", rows)


def settings_command() -> None:
    """Learning rates and temperatures, both arms at equal FLOPs, on validation clips."""
    if "start val" not in measured():
        sft = CACHE / "sft" / "checkpoint"
        keep("start val", answered(sft, "val", 2 * VALIDATION), drawn=drawn(sft, "val", 2 * VALIDATION))
    spent: list[float] = []
    for rate, temperature, prompts, *frozen in RL_ARMS:
        name = f"rl {rate:g}, temperature {temperature:g}, {prompts} prompts{', frozen tower' if frozen else ''} val"
        changes = [f"train.learning_rate={rate}", f"train.temperature={temperature}",
                   f"train.prompts_per_step={prompts}", f"train.max_steps={TRIAL // prompts}",
                   f"train.freeze_vision_tower={str(bool(frozen)).lower()}"]  # fmt: skip
        arm("tiny-rl", name, changes, 90, "val", 2 * VALIDATION)
        spent.append(measured()[name]["flops"])
    for rate in SFT_ARMS:
        recipe, changes = "tiny-sft-continued", [f"train.learning_rate={rate}"]
        changes.append(f"train.max_steps={updates(recipe, max(spent))}")
        arm(recipe, f"sft continued {rate:g} val", changes, 90, "val", 2 * VALIDATION)


def arm(recipe: str, name: str, changes: list[str], seed: int, split: str, count: int) -> None:
    """Trains on from SFT by a recipe, and measures."""
    from whenwhere.training.recipe import load

    folder = CACHE / name.replace(",", "").replace(" ", "-")
    own = [f"model.checkpoint={CACHE / 'sft'}", f"train.seed={seed}", f"data.first_seed={AFTER + seed * 1_000_000}"]
    made = train(load(recipe, [*own, *changes]), folder)
    if name not in measured():
        keep(name, answered(made, split, count), flops=flops(folder), drawn=drawn(made, split, count))


def rl_command(seeds: list[int]) -> None:
    """RL, and SFT continued at equal FLOPs, in pairs of the same seed."""
    from whenwhere.training.recipe import load

    steps = RL // load("tiny-rl").train.prompts_per_step
    for seed in seeds:
        arm("tiny-rl", f"rl {seed} heldout", [f"train.max_steps={steps}"], seed, "heldout", HELD_OUT)
        recipe, spent = "tiny-sft-continued", measured()[f"rl {seed} heldout"]["flops"]
        changes = [f"train.max_steps={updates(recipe, spent)}"]
        arm(recipe, f"sft continued {seed} heldout", changes, seed, "heldout", HELD_OUT)


def updates(name: str, spent: float) -> int:
    """Updates of an SFT recipe that cost so many FLOPs, by the last thousand updates of the SFT run."""
    from whenwhere.training.recipe import load

    lines = list(read_lines(CACHE / "sft" / "metrics.jsonl"))
    a, b = lines[-51] if len(lines) > 51 else lines[0], lines[-1]
    each = (b["flops"] - a["flops"]) / (b["clips"] - a["clips"])
    return max(round(spent / (each * load(name).train.samples_per_step)), 1)


def table_command() -> None:
    """SFT, the package's policy and the constants on held-out clips, and SFT out of the distribution."""
    from whenwhere.models.shipped import FOLDER

    for split in ("heldout", *tables.OOD):
        for name, rows in constants(split, HELD_OUT).items():
            if f"{name} {split}" not in measured():
                keep(f"{name} {split}", rows)
        if f"sft {split}" not in measured():
            sft = CACHE / "sft" / "checkpoint"
            more = {"drawn": drawn(sft, split, HELD_OUT)} if split == "heldout" else {}
            keep(f"sft {split}", answered(sft, split, HELD_OUT), **more)
    if "--model tiny heldout" not in measured() and (FOLDER / "config.json").exists():
        keep("--model tiny heldout", answered(FOLDER, "heldout", HELD_OUT))


def main() -> None:
    """Runs a part."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=["sft", "curve", "rates", "blind", "settings", "rl", "table", "report"])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    args = parser.parse_args(sys.argv[1:])
    parts: dict[str, Any] = {
        "sft": sft_command, "curve": curve_command, "rates": rates_command, "blind": blind_command,
        "table": table_command, "settings": settings_command, "rl": partial(rl_command, args.seeds),
    }  # fmt: skip
    if args.part in parts:
        parts[args.part]()
    tables.report(measured(), READ)


if __name__ == "__main__":
    main()

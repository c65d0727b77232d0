"""Training in two processes with sharded weights (FSDP2) beside training in one: the same losses, also after kill -9.

    python benchmarks/sharding.py [--updates 20] [--cases sft-full,rl-lora] [--out build/sharding]

Each case trains the policy that comes with the package on the world of shapes, first in one process, then in two whose
weights, gradients and optimiser states are sharded, on the same clips. A third run is killed: after half of its updates
one of its two processes gets SIGKILL, and the run is resumed. Written down are the largest difference of the losses,
how far the weights ended from those of one process, and whether the resumed run ended with the very weights of the run
that was not killed.

RL draws its completions clip by clip, with a seed of the clip's own, so that both runs learn from the same completions.
Its loss says little, for at a ratio of 1 it is the mean advantage; the norms of the gradients say more.
A run that is there already is not repeated.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from whenwhere.store import write_text
from whenwhere.training.callbacks import Progress, TrainingCallback
from whenwhere.training.data.samples import Sample, SampleSource

RESULTS = Path(__file__).parent / "results"
#: What each case sets beside the recipe: a stage, and full weights or LoRA.
CASES: dict[str, list[str]] = {
    "sft-full": ["gradient_checkpointing=true"],
    "sft-lora": ["lora_r=4", "freeze_vision_tower=true"],
    "rl-full": [],
    "rl-lora": ["lora_r=4", "freeze_vision_tower=true", "beta=0.05"],
}
#: Clips per update, of all processes.
CLIPS = 4


class FirstQuestions:
    """A source of clips with one question each, so that a process learns from one question per clip.

    Args:
        source: The source.
    """

    def __init__(self, source: SampleSource) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        sample = self.source[index]
        return replace(sample, questions=sample.questions[:1])


class SeededByClip:
    """Samples clip by clip, each with its own seed (`rl.sampler.Sampler`)."""

    def prepare(self, policy: Any) -> None:
        """Does nothing."""

    def sample(self, policy: Any, clips: Sequence[Any], count: int, params: Any) -> list[Any]:
        """The completions of each clip."""
        from whenwhere.training.rl.sampler import LocalSampler

        return [
            group
            for clip in clips
            for group in LocalSampler().sample(policy, [clip], count, replace(params, seed=1000 + clip.position))
        ]


class Killed(TrainingCallback):
    """Ends its process without a word after an update.

    Args:
        step: The update.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def on_update(self, progress: Progress) -> None:
        """Kills the process when the time has come."""
        if progress.step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def train(case: str, out: Path, changes: Sequence[str], kill: int = 0) -> None:
    """Trains a case in this process, which may be one of several.

    Args:
        case: Name of the case.
        out: Folder of the run.
        changes: Further keys of the recipe.
        kill: Number of the update after which the first process kills itself. 0 is never.
    """
    import torch

    from whenwhere.training.builders import start_policy
    from whenwhere.training.evaluators import build_evaluators
    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.objective import Objective
    from whenwhere.training.policy_evaluator import GroundingEvaluatorSettings
    from whenwhere.training.recipe import load
    from whenwhere.training.rl.objective import RLObjective
    from whenwhere.training.sft.objective import SFTObjective

    torch.set_num_threads(1)
    rl = case.startswith("rl")
    run = TrainingRun(out, callbacks=[Killed(kill)])
    count = run.processes.count
    own = [f"prompts_per_step={CLIPS // count}", "num_generations=4", "max_completion_length=48", "zero_variance=keep"]
    recipe = load(
        "tiny-rl" if rl else "tiny-sft-continued",
        [*(own if rl else [f"samples_per_step={CLIPS // count}"]), *CASES[case], "warmup_steps=0", "logging_steps=1",
         "learning_rate=1e-4", f"sharding={'fsdp' if count > 1 else 'none'}", *changes],
    )  # fmt: skip
    policy, source = start_policy(recipe, run, "cpu")
    clips = FirstQuestions(source)
    evaluator = GroundingEvaluatorSettings(
        name="val", every=recipe.train.max_steps, metric="m_tIoU", keep_best=True, max_tokens=48,
        data=replace(recipe.data, first_seed=0, count=2, world=replace(recipe.data.world, split="val")),
    )  # fmt: skip
    objective: Objective = (
        RLObjective(policy, clips, recipe.reward.verifier(recipe.model.form), recipe.train, SeededByClip())
        if rl
        else SFTObjective(policy, clips, recipe.train)
    )
    run.train(objective, build_evaluators((evaluator,), recipe.tables, objective))


def launch(case: str, out: Path, changes: Sequence[str], kill: int = 0) -> int:
    """Trains a case in two processes, as a user starts them; returns the exit status.

    Args:
        case: Name of the case.
        out: Folder of the run.
        changes: Further keys of the recipe.
        kill: Number of the update after which the first process kills itself. 0 is never.
    """
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines",
         "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", __file__,
         "--child", case, "--out", str(out), "--kill", str(kill), *(f"--set={change}" for change in changes)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True,
        timeout=3600,
    )  # fmt: skip
    if done.returncode and not kill:
        sys.stderr.write(done.stderr.decode(errors="replace")[-3000:])
    return done.returncode


def losses(folder: Path, name: str = "loss") -> list[float]:
    """The loss, or another metric, of each update of a run."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [float(line[name]) for line in map(json.loads, lines) if name in line]


def weights(folder: Path) -> dict[str, Any]:
    """The weights in the folder of a model."""
    from safetensors.torch import load_file

    return {name: w.float() for name, w in load_file(folder / "model.safetensors").items()}


def measure(case: str, out: Path, updates: int, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Trains a case three times and compares the runs.

    Args:
        case: Name of the case.
        out: Folder for the runs.
        updates: Number of updates of each run.
        changes: Further keys of the recipe.
    """
    changes = [*changes, f"max_steps={updates}", f"save_steps={max(updates // 4, 1)}"]
    one, two, killed = (out / f"{case}-{updates}" / name for name in ("one", "two", "killed"))
    half = updates // 2 + (updates > 2)
    for folder, begin in ((one, train), (two, launch)):
        if not (folder / "checkpoint").exists():
            begin(case, folder, changes)
    if not (killed / "checkpoint").exists():
        assert launch(case, killed, changes, kill=half) != 0
        assert not (killed / "checkpoint").exists()
        launch(case, killed, changes)
    wanted, found = losses(one), losses(two)
    norms = zip(losses(one, "grad_norm"), losses(two, "grad_norm"), strict=True)
    alone, shared, resumed = (weights(folder / "checkpoint") for folder in (one, two, killed))
    return {
        "case": case, "updates": updates, "loss_first": wanted[0], "loss_last": wanted[-1],
        "loss_gap": max(abs(a - b) for a, b in zip(wanted, found, strict=True)),
        "norm_gap": max(abs(a - b) / a for a, b in norms),
        "weight_gap": max(float((alone[name] - shared[name]).abs().max()) for name in alone),
        "killed_after": half, "resumed_equal": all(bool((shared[n] == resumed[n]).all()) for n in shared),
        "resumed_losses_equal": losses(killed) == found,
    }  # fmt: skip


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The comparison as a Markdown table."""
    lines = [
        "| case | updates | first loss | last loss | largest difference of losses | of gradient norms, relative | "
        "of weights | resumed run equal |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        equal = "yes" if row["resumed_equal"] and row["resumed_losses_equal"] else "no"
        lines.append(
            f"| {row['case']} | {row['updates']} | {row['loss_first']:.5f} | {row['loss_last']:.5f} | "
            f"{row['loss_gap']:.1e} | {row['norm_gap']:.1e} | {row['weight_gap']:.1e} | {equal} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--out", type=Path, default=Path("build/sharding"))
    parser.add_argument("--set", action="append", default=[], help="a key of the recipe, such as learning_rate=1e-3")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--kill", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        train(options.child, options.out, options.set, options.kill)
        return
    rows = [measure(case, options.out, options.updates, options.set) for case in options.cases.split(",")]
    write_text(RESULTS / "sharding.json", json.dumps(rows, indent=1) + "\n")
    write_text(RESULTS / "sharding.md", table(rows))
    sys.stdout.write(table(rows))


if __name__ == "__main__":
    main()

"""What a GPU shows best, in parts of at most 90 seconds each, into one result file; rerun to resume.

    python benchmarks/gpu.py                         (all parts; without a GPU at tiny sizes, as a rehearsal)
    python benchmarks/gpu.py --parts prefix-4k,bf16  (some parts)
    python benchmarks/gpu.py --list                  (what each part is)

Each part runs in a process of its own and is stopped after `--seconds`. What is measured is appended to OUT/parts.jsonl
at once, with the device and the versions it was measured with, so that a part that fails or is stopped costs nothing
else. On a GPU the model has the sizes of Qwen3-VL-2B with random weights, and results are written to
benchmarks/results/gpu.json and gpu.md. A rehearsal on a CPU says that the script works, not how fast anything is; it
writes to OUT alone.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from whenwhere.store import append_line, read_lines, write_text

RESULTS = Path(__file__).parent / "results"
#: Length of the prompt of each part on a GPU, and of its rehearsal.
PROMPTS = {"prefix-4k": (4_000, 200), "prefix-16k": (16_000, 300), "prefix-64k": (64_000, 500)}
#: Tokens of a completion and completions of a prompt, on a GPU and in a rehearsal.
WIDTH, BRANCHES = (256, 8), (8, 2)


def device() -> str:
    """`cuda` where there is a GPU, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def cell(prompt: tuple[int, int]) -> tuple[int, int, int]:
    """Tokens of the prompt, tokens of a completion, and number of completions, on this device."""
    k = 0 if device() == "cuda" else 1
    return prompt[k], WIDTH[k], BRANCHES[k]


def prefix(name: str) -> dict[str, Any]:
    """The training pass and sampling with the prompt computed once, and repeated: seconds, memory, ratio."""
    import shared_prefix
    import torch

    found: dict[str, Any] = {}
    for way in ("shared_prefix", "repeat"):
        try:
            row = shared_prefix.pass_and_draw(cell(PROMPTS[name]), way, 1, device(), checkpointing=False)
        except torch.OutOfMemoryError:
            found[way] = "does not fit into memory"
            continue
        found |= {f"{way}_{key}": row[key] for key in ("pass_wall", "draw_wall", "pass_mb")}
        # a part that is stopped while the prompt is repeated keeps what it had
        print(json.dumps(found), flush=True)
    if "repeat_pass_wall" in found:
        found["pass_ratio"] = found["repeat_pass_wall"] / found["shared_prefix_pass_wall"]
        found["draw_ratio"] = found["repeat_draw_wall"] / found["shared_prefix_draw_wall"]
    return found


def step(way: str) -> dict[str, Any]:
    """One whole step of RL, sampling and optimiser included, by TRL's trainer (`trl`) or here (`here`)."""
    import shared_prefix

    return shared_prefix.step(cell((4_000, 300)), way, 1, device())


def bf16() -> dict[str, Any]:
    """The training pass in bf16 beside the same in fp32: seconds, memory, difference of log-probabilities."""
    import shared_prefix
    import torch

    from whenwhere.training.prefix.group import completion_group
    from whenwhere.training.prefix.shared_prefix import score_branches
    from whenwhere.training.prefix.vlm_parts import VLMParts

    where, (prompt, width, branches) = device(), cell((4_000, 200))
    model = shared_prefix.model_of(shared_prefix.LARGE if where == "cuda" else shared_prefix.SMALL, where).float()
    parts, found, logps = VLMParts(model), dict[str, Any](), []
    ids = torch.randint(5, 1000, (branches, width), generator=torch.Generator().manual_seed(2))
    group = completion_group(shared_prefix.prompt_of(model, prompt), list(ids))
    for name in ("warm", "fp32", "bf16"):
        shared_prefix.memory(where, reset=True)
        clock = shared_prefix.Clock(where, 1)
        stop = clock.begin()
        with torch.autocast(where, torch.bfloat16, enabled=name == "bf16"):
            scores = score_branches(parts, group)
        scores.logps.mean().backward()
        stop()
        model.zero_grad()
        if name != "warm":
            logps.append(scores.logps.detach())
            found |= {f"{name}_wall": clock.row("x")["x_wall"], f"{name}_mb": shared_prefix.memory(where)}
    found["mean_logp_gap"] = float((logps[0] - logps[1]).abs().mean())
    return found


def fsdp() -> dict[str, Any]:
    """The training pass with sharded weights on one device beside the same without: what FSDP itself costs."""
    import shared_prefix
    import torch
    import torch.distributed as distributed

    from whenwhere.training.prefix.group import completion_group
    from whenwhere.training.prefix.shared_prefix import score_branches
    from whenwhere.training.prefix.vlm_parts import VLMParts
    from whenwhere.training.processes import Processes
    from whenwhere.training.sharding import ShardedModule, transformer_blocks

    where, (prompt, width, branches) = device(), cell((4_000, 200))
    sizes, found = shared_prefix.LARGE if where == "cuda" else shared_prefix.SMALL, dict[str, Any]()
    with tempfile.NamedTemporaryFile() as store:
        distributed.init_process_group(
            "nccl" if where == "cuda" else "gloo", init_method=f"file://{store.name}", rank=0, world_size=1
        )
        for name in ("plain", "fsdp"):
            model = shared_prefix.model_of(sizes, where)
            parts = VLMParts(model)
            run: Callable[[Callable[[], Any]], Any] = lambda compute: compute()  # noqa: E731
            if name == "fsdp":
                run = ShardedModule(model, transformer_blocks(model), Processes()).run
            ids = torch.randint(5, 1000, (branches, width), generator=torch.Generator().manual_seed(2))
            group = completion_group(shared_prefix.prompt_of(model, prompt), list(ids))
            shared_prefix.memory(where, reset=True)
            clock = shared_prefix.Clock(where, 1, warm=True)
            for _ in range(2):
                stop = clock.begin()
                run(lambda g=group, p=parts: score_branches(p, g).logps.mean()).backward()
                stop()
                model.zero_grad()
            found |= {f"{name}_wall": clock.row("x")["x_wall"], f"{name}_mb": shared_prefix.memory(where)}
            del model, parts, run
        distributed.destroy_process_group()
    return found


def memory() -> dict[str, Any]:
    """The memory of an update by SFT and by RL that `whenwhere train --dry-run` plans, beside what it takes, in MiB."""
    import training_memory

    rehearsal = device() != "cuda"
    sizes = (32, 1) if rehearsal else (1536, 16)
    return training_memory.on_gpu("sft", *sizes, rehearsal) | training_memory.on_gpu("rl", *sizes, rehearsal)


def tiny(recipe: str) -> dict[str, Any]:
    """Updates of the tiny policy per second, by its recipe."""
    import whenwhere
    from whenwhere.training.callbacks import Progress, TrainingCallback

    class Times(TrainingCallback):
        def __init__(self) -> None:
            self.at: list[float] = []

        def on_update(self, progress: Progress) -> None:
            self.at.append(time.perf_counter())

    updates = 12 if device() == "cuda" else 3
    small = [] if device() == "cuda" else (
        ["prompts_per_step=2"] if recipe == "tiny-rl" else ["samples_per_step=2"]
    )  # fmt: skip
    times = Times()
    with tempfile.TemporaryDirectory() as folder:
        changes = [f"max_steps={updates}", f"save_steps={updates}", *small]
        result = whenwhere.train(recipe, Path(folder) / "run", changes, callbacks=[times], device=device())
    # the first update compiles and warms up
    return {"updates_per_second": (updates - 1) / (times.at[-1] - times.at[0]), "flops": result.counts["flops"]}


def encoder_throughput() -> dict[str, Any]:
    """Clips per second of the video encoder (ViT-B/16, 8 frames) and of its peers at equal size, in bf16."""
    import encoders

    where = device()
    rows = encoders.throughput("ViT-B/16" if where == "cuda" else "rehearsal", where)["rows"]
    return {f"{row['encoder']}, {what}": row[what] for row in rows for what in ("forward", "step")}


def encoder_masking() -> dict[str, Any]:
    """Step time and memory of the video encoder at each masking ratio, as shares of those without masking."""
    import encoders

    where = device()
    size = "ViT-B/16" if where == "cuda" else "rehearsal"
    rows = [encoders.masking(ratio, size, where) for ratio in encoders.RATIOS]
    found: dict[str, Any] = {"unmasked_wall": rows[0]["seconds"], "unmasked_mb": rows[0]["mib"]}
    for share in encoders.masking_ratios(rows):
        found |= {f"masked {share['ratio']}, {key}": share[key] for key in ("flops", "seconds", "mib")}
    return found


#: Each part's function.
PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    **{name: lambda name=name: prefix(name) for name in PROMPTS},
    "step-here": lambda: step("here"),
    "step-trl": lambda: step("trl"),
    "bf16": bf16,
    "fsdp": fsdp,
    "memory": memory,
    "encoder-throughput": encoder_throughput,
    "encoder-masking": encoder_masking,
    "tiny-sft": lambda: tiny("tiny-sft"),
    "tiny-rl": lambda: tiny("tiny-rl"),
}
SAID = {
    **dict.fromkeys(PROMPTS, prefix.__doc__), "step-here": step.__doc__, "step-trl": step.__doc__,
    "encoder-throughput": encoder_throughput.__doc__, "encoder-masking": encoder_masking.__doc__,
    "bf16": bf16.__doc__, "fsdp": fsdp.__doc__,
    "memory": memory.__doc__, "tiny-sft": tiny.__doc__, "tiny-rl": tiny.__doc__,
}  # fmt: skip


def about() -> dict[str, str]:
    """The device and the versions of the libraries."""
    import torch
    import transformers

    name = torch.cuda.get_device_name() if device() == "cuda" else "CPU"
    return {"device": name, "torch": torch.__version__, "transformers": transformers.__version__}


def measured(name: str, seconds: float) -> dict[str, Any]:
    """The result of a part that runs in a process of its own; `failed` says why there is none or a part of it."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--part", name], timeout=seconds, capture_output=True, text=True, check=False
        )
        text, failed = done.stdout, done.stderr.strip().splitlines()[-1][:300] if done.returncode else ""
    except subprocess.TimeoutExpired as e:
        text = (e.stdout or b"").decode() if isinstance(e.stdout, bytes) else (e.stdout or "")
        failed = f"stopped after {seconds:g} s"
    found: dict[str, Any] = {}
    for line in text.splitlines():
        # trainers print dicts of their own
        with suppress(ValueError):
            found = json.loads(line) if line.startswith("{") else found
    spent = {"part": name, "seconds": round(time.monotonic() - began, 1)}
    return {**spent, **found, **({"failed": failed} if failed else {})}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The results as a Markdown table, one row for each number."""
    lines = [f"Measured on {', '.join(sorted({row['device'] for row in rows}))}.", ""]
    lines += ["| part | what | value |", "| --- | --- | --- |"]
    for row in rows:
        for key, value in row.items():
            if key not in ("part", "device", "torch", "transformers"):
                lines.append(f"| {row['part']} | {key} | {value if isinstance(value, str) else f'{value:.4g}'} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--out", type=Path, default=Path("build/gpu"))
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        sys.stdout.write(json.dumps(PARTS[options.part]()) + "\n")
        return
    if options.list:
        sys.stdout.writelines(f"{name}: {said}\n" for name, said in SAID.items())
        return
    store, own = options.out / "parts.jsonl", about()
    rows = {row["part"]: row for row in read_lines(store) if row["device"] == own["device"] and "failed" not in row}
    for name in options.parts.split(","):
        if name not in rows:
            rows[name] = measured(name, options.seconds) | own
            append_line(store, json.dumps(rows[name]))
            sys.stdout.write(f"{json.dumps(rows[name])}\n")
            sys.stdout.flush()
    text = table(list(rows.values()))
    write_text(options.out / "gpu.md", text)
    if own["device"] != "CPU":
        write_text(RESULTS / "gpu.json", json.dumps(list(rows.values()), indent=1) + "\n")
        write_text(RESULTS / "gpu.md", text)


if __name__ == "__main__":
    main()

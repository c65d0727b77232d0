"""One prompt for a group of completions: repeated G times against computed once, in one run.

    python benchmarks/shared_prefix.py                     (hours on two cores; a run that was stopped goes on)
    python benchmarks/shared_prefix.py --cells 500,32,4    (one small cell: a look, not a result)

A small Qwen3-VL of transformers' own classes with random weights; a video prompt of P tokens and G completions of C.
Training pass = forward and backward of the GRPO surrogate with the vision tower trained; whole step = that and drawing
the completions (`generate` on G copies of the prompt against one prefill). Both ways share the code that makes
log-probabilities of hidden states, so logits of the prompt are made by neither. Every cell and way runs in a process of
its own, the two ways one right after the other; figures are the best of the runs. The memory is the highest resident
set over what the loaded, warmed-up model took (on a GPU: allocated). Bound = G (P + C) / (P + G C), what the count of
tokens allows; attention and the vision tower allow more.

Cells whose repeated prompt would not fit into memory are listed as such. Goals: at least 80 % of the bound in every
cell; on a CPU at least 3 times the speed and a fifth of the memory where P is at least 24 C.
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from whenwhere.store import append_line, read_lines, write_text

RESULTS = Path(__file__).parent / "results"
CACHE = Path(__file__).parent / "cache" / "shared_prefix.jsonl"
CELLS = list(itertools.product((1500, 4000, 8000), (64, 256), (4, 8, 16)))
#: On a GPU, with the sizes of a released 2 B model.
GPU_CELLS = list(itertools.product((4000, 8000, 16000), (256, 512), (8,)))
WAYS = ("repeat", "shared_prefix")
ROWS = COLUMNS = 20  # patches of a frame: 100 tokens

SMALL: dict[str, Any] = {
    "text": {
        "vocab_size": 4096, "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
    },
    "vision": {"depth": 2, "hidden_size": 128, "intermediate_size": 256, "num_heads": 4, "deepstack": [0, 1]},
    "mrope": [12, 10, 10],
}  # fmt: skip
#: Qwen3-VL-2B
LARGE: dict[str, Any] = {
    "text": {
        "vocab_size": 151_936, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
    },
    "vision": {
        "depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "deepstack": [5, 11, 17],
    },
    "mrope": [24, 20, 20],
}  # fmt: skip


def bound(prompt: int, width: int, branches: int) -> float:
    """What the count of tokens allows.

    >>> round(bound(8000, 64, 8), 2)
    7.58
    """
    return branches * (prompt + width) / (prompt + branches * width)


def model_of(sizes: dict[str, Any], device: str) -> Any:
    """A Qwen3-VL with random weights."""
    import torch
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    torch.manual_seed(0)
    vision = dict(sizes["vision"])
    config = Qwen3VLConfig(
        text_config={
            **sizes["text"], "max_position_embeddings": 65_536, "tie_word_embeddings": False,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 5e6, "mrope_section": sizes["mrope"], "mrope_interleaved": True,
            },
        },
        vision_config={
            **{k: v for k, v in vision.items() if k != "deepstack"}, "deepstack_visual_indexes": vision["deepstack"],
            "out_hidden_size": sizes["text"]["hidden_size"], "patch_size": 16, "spatial_merge_size": 2,
            "temporal_patch_size": 2, "num_position_embeddings": 576,
        },
        image_token_id=1001, video_token_id=1002, vision_start_token_id=1003, vision_end_token_id=1004,
    )  # fmt: skip
    with torch.device(device):
        model = Qwen3VLForConditionalGeneration(config)
    return model.to(torch.bfloat16 if device == "cuda" else torch.float32).train()


def prompt_of(model: Any, length: int) -> Any:
    """Stamps and frames of 100 tokens, and words up to the length."""
    import torch

    from whenwhere.training.group import Pictures, Tokens

    draw = torch.Generator().manual_seed(1)

    def words(n: int) -> Any:
        return torch.randint(5, 1000, (n,), generator=draw)

    config, vision = model.config, model.config.vision_config
    frame = torch.full((ROWS * COLUMNS // 4,), config.video_token_id)
    edges = [torch.tensor([config.vision_start_token_id]), torch.tensor([config.vision_end_token_id])]
    frames = max((length - 30) // (len(frame) + 8), 1)
    ids = torch.cat([p for _ in range(frames) for p in (words(6), edges[0], frame, edges[1])])
    ids = torch.cat([ids, words(length - len(ids))])
    patches = torch.randn(frames * ROWS * COLUMNS, 3 * 2 * vision.patch_size**2, generator=draw)
    return Tokens(ids, videos=Pictures(torch.tensor([[frames, ROWS, COLUMNS]]), patches.to(model.dtype)))


def one(prompt_length: int, width: int, branches: int, way: str, runs: int, device: str, checkpointing: bool) -> Any:
    """One cell in one way; in a process of its own."""
    import torch

    from whenwhere.training.group import completions
    from whenwhere.training.rollout import Rollout, Sampling, banned
    from whenwhere.training.shared_prefix import scores
    from whenwhere.training.tower import Tower

    model = model_of(LARGE if device == "cuda" else SMALL, device)
    if checkpointing:
        model.gradient_checkpointing_enable()
    tower = Tower(model)

    def train(prompt: Any, ids: Any) -> None:
        model.zero_grad()
        found = scores(tower, completions(prompt, list(ids)), way)  # type: ignore[arg-type]
        weights = torch.linspace(-1, 1, len(ids), device=found.logps.device)[:, None]
        (-(found.logps - found.logps.detach()).exp() * weights).mean().backward()

    def draw(prompt: Any, count: int, length: int) -> None:
        if way == "shared_prefix":
            Rollout(tower, prompt).draw(count, Sampling(length))
            return
        ids = prompt.ids[None].repeat(count, 1).to(tower.device)
        model.eval().generate(
            input_ids=ids, attention_mask=ids * 0 + 1, mm_token_type_ids=tower.kinds(ids),
            pixel_values_videos=prompt.videos.patches.repeat(count, 1).to(tower.device),
            video_grid_thw=prompt.videos.grids.repeat(count, 1).to(tower.device), suppress_tokens=banned(tower),
            pad_token_id=0, eos_token_id=None, max_new_tokens=length, do_sample=True,
        )  # fmt: skip
        model.train()

    def words(n: int) -> Any:
        return torch.randint(5, 1000, (branches, n), generator=torch.Generator().manual_seed(2))

    small = prompt_of(model, 200)
    train(small, words(4))
    draw(small, 2, 2)
    base = _memory(device, reset=True)
    prompt, ids = prompt_of(model, prompt_length), words(width)
    row: dict[str, Any] = {}
    for part, call in (("pass", lambda: train(prompt, ids)), ("draw", lambda: draw(prompt, branches, width))):
        spent = [_spent(call, device) for _ in range(runs)]
        row |= {f"{part}_wall": min(s[0] for s in spent), f"{part}_cpu": min(s[1] for s in spent)}
        row[f"{part}_mb"] = round(_memory(device) - base, 1)
        model.zero_grad()
    return row


def _spent(call: Any, device: str) -> tuple[float, float]:
    import torch

    began, clock = time.perf_counter(), time.process_time()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return round(time.perf_counter() - began, 4), round(time.process_time() - clock, 4)


def _memory(device: str, reset: bool = False) -> float:
    """Highest so far, MB."""
    import torch

    if device == "cuda":
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fits(prompt: int, width: int, branches: int, seen: list[dict[str, Any]]) -> float | None:
    """MB that the repeated prompt would take, by the hungriest smaller cell, where that is more than there is."""
    tokens = branches * (prompt + width)
    each = [r["pass_mb"] / (r["G"] * (r["P"] + r["C"])) for r in seen if r["way"] == "repeat" and "pass_mb" in r]
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20
    need = max(each, default=0.0) * tokens
    return round(need) if need > 0.85 * free else None


def run(cells: list[tuple[int, int, int]], runs: int, device: str, checkpointing: bool, threads: int) -> Any:
    """Rows of all cells; those that were measured already are not measured again."""
    CACHE.parent.mkdir(exist_ok=True)
    done = list(read_lines(CACHE))
    rows = []
    for p, c, g in sorted(cells, key=lambda cell: cell[2] * (cell[0] + cell[1])):
        for way in WAYS:
            key = {"P": p, "C": c, "G": g, "way": way, "device": device, "checkpointing": checkpointing, "runs": runs,
                   "threads": threads}  # fmt: skip
            row = next((r for r in done if key.items() <= r.items()), None)
            if row is None:
                need = None if device == "cuda" or way != "repeat" else fits(p, c, g, rows)
                row = key | ({"needs_mb": need} if need else _measured(key))
                append_line(CACHE, json.dumps(row))
                print(json.dumps(row), file=sys.stderr, flush=True)
            rows.append(row)
    return rows


def _measured(key: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", json.dumps(key)]
    environment = os.environ | {"OMP_NUM_THREADS": str(key["threads"])}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    if ran.returncode:
        return {"failed": (ran.stderr.strip().splitlines() or [f"ended with {ran.returncode}"])[-1][:200]}
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cells: both ways, their ratios and the bound."""
    cells = []
    for p, c, g in sorted({(r["P"], r["C"], r["G"]) for r in rows}):
        by = {r["way"]: r for r in rows if (r["P"], r["C"], r["G"]) == (p, c, g)}
        cell: dict[str, Any] = {"P": p, "C": c, "G": g, "bound": round(bound(p, c, g), 2), **by}
        old, new = by["repeat"], by["shared_prefix"]
        if "pass_cpu" in old and "pass_cpu" in new:
            for unit in ("cpu", "wall"):
                cell[f"pass_{unit}_ratio"] = round(old[f"pass_{unit}"] / new[f"pass_{unit}"], 2)
                both = [r[f"pass_{unit}"] + r[f"draw_{unit}"] for r in (old, new)]
                cell[f"step_{unit}_ratio"] = round(both[0] / both[1], 2)
            cell["memory_ratio"] = round(old["pass_mb"] / max(new["pass_mb"], 1), 2)
            time_ = cell["pass_wall_ratio" if old["device"] == "cuda" else "pass_cpu_ratio"]
            cell["share_of_bound"] = round(time_ / bound(p, c, g), 2)
        cells.append(cell)
    return cells


def written(cells: list[dict[str, Any]], title: str) -> str:
    """A table of cells."""
    lines = [
        f"{title}\n",
        "| P | C | G | bound | pass, CPU time | share of bound | pass, wall | pass, memory | step, CPU time "
        "| step, wall |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        start = f"| {cell['P']} | {cell['C']} | {cell['G']} | {cell['bound']} | "
        if "pass_cpu_ratio" not in cell:
            old, new = cell["repeat"], cell["shared_prefix"]
            why = f"repeat would need {old['needs_mb']} MB" if "needs_mb" in old else old.get("failed") or new["failed"]
            lines.append(start + f"{why} | | | | | |")
            continue
        old, new = cell["repeat"], cell["shared_prefix"]

        def both(part: str, old: dict[str, Any] = old, new: dict[str, Any] = new) -> str:
            return f"({old[part]:.3g} / {new[part]:.3g})"

        lines.append(
            start + f"{cell['pass_cpu_ratio']} {both('pass_cpu')} | {cell['share_of_bound']:.0%} | "
            f"{cell['pass_wall_ratio']} {both('pass_wall')} | {cell['memory_ratio']} {both('pass_mb')} | "
            f"{cell['step_cpu_ratio']} | {cell['step_wall_ratio']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures, prints and writes the table."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--cells", nargs="+", help="P,C,G instead of the whole table; writes no result files")
    asked.add_argument("--runs", type=int, default=3)
    asked.add_argument("--threads", type=int, default=2)
    asked.add_argument("--checkpointing", action="store_true", help="with gradient checkpointing")
    asked.add_argument("--one", help=argparse.SUPPRESS)
    given = asked.parse_args()
    import torch

    if given.one:
        key = json.loads(given.one)
        torch.set_num_threads(key["threads"])
        print(
            json.dumps(one(key["P"], key["C"], key["G"], key["way"], key["runs"], key["device"], key["checkpointing"]))
        )
        return
    cells = [tuple(int(n) for n in cell.split(",")) for cell in given.cells] if given.cells else CELLS
    found = table(run(cells, given.runs, "cpu", given.checkpointing, given.threads))  # type: ignore[arg-type]
    text = written(found, "repeat / shared prefix on a CPU (seconds and MB of both in brackets)")
    result: dict[str, Any] = {
        "torch": torch.__version__, "threads": given.threads, "runs": given.runs, "checkpointing": given.checkpointing,
        "model": SMALL, "cpu": found, "gpu": "not measured",
    }  # fmt: skip
    if torch.cuda.is_available():
        result["gpu"] = table(run(GPU_CELLS, given.runs, "cuda", True, given.threads))
        result["gpu_name"], result["gpu_model"] = torch.cuda.get_device_name(), LARGE
        title = f"The same on {result['gpu_name']}, sizes of Qwen3-VL-2B, bf16, gradient checkpointing"
        text += "\n" + written(result["gpu"], title)
    else:
        text += "\nOn a GPU: not measured.\n"
    print(text)
    if not given.cells:
        name = "shared_prefix_checkpointing" if given.checkpointing else "shared_prefix"
        write_text(RESULTS / f"{name}.json", json.dumps(result, indent=1) + "\n")
        write_text(RESULTS / f"{name}.md", text)


if __name__ == "__main__":
    main()

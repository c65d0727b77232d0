"""Time and memory of a group of completions with the prompt repeated G times, computed once, and in TRL's trainer.

    python benchmarks/shared_prefix.py --threads 1 --core 1    (one thread, pinned; rerun to resume)
    python benchmarks/shared_prefix.py --plan                  (estimates only; measures nothing)
    python benchmarks/shared_prefix.py --cells 500,32,4        (one small cell; writes no result)

The model is a small Qwen3-VL of transformers' own classes with random weights; a cell has a video prompt of P tokens
and G completions of C tokens. The training pass is the forward and backward pass of the GRPO surrogate with the vision
tower trained; the whole step is that plus sampling the completions (`generate` on G copies of the prompt, against one
prefill). Both ways share the code that turns hidden states into log-probabilities, so neither computes logits of the
prompt. Every cell and way runs in a process of its own, the two ways one right after the other.

CPU time is user time of the process. System time, mostly the first allocation of memory, is left out because it is
larger for the repeated prompt and would make the ratio look better (it is in the JSON). Times are the best of three
runs, or of one where a repeated pass takes 20 s or more; the table says which. Memory is the peak resident set minus
that of the loaded, warmed-up model (on a GPU: allocated memory). The bound is G (P + C) / (P + G C), the ratio of
tokens; attention and the vision tower allow more.

Cells run from cheap to expensive, and the result is written after each. Cells whose repeated prompt would not fit into
memory are listed as such. The goals are at least 80 % of the bound in every cell, and on a CPU at least 3 times the
speed and at most a fifth of the memory where P is at least 24 C. With G = 4 the bound itself is below 4, so a fifth of
the memory is out of reach.

The comparison with TRL is the same whole step, optimiser included, by its GRPOTrainer and here (`trl_step.py`), with
images in the prompt.
"""

import argparse
import hashlib
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from whenwhere.store import append_line, read_lines, write_text

RESULTS = Path(__file__).parent / "results"
CACHE = Path(__file__).parent / "cache" / "shared_prefix.jsonl"
Cell = tuple[int, int, int]
CELLS: list[Cell] = list(itertools.product((1500, 4000, 8000), (64, 256), (4, 8, 16)))
#: Cells that are compared with TRL's trainer.
STEP_CELLS: list[Cell] = [(1500, 64, 4), (1500, 64, 8), (4000, 64, 8)]
#: Cells on a GPU, with the sizes of a released 2 B model.
GPU_CELLS: list[Cell] = list(itertools.product((4000, 8000, 16000), (256, 512), (8,)))
#: The compared ways; the first is the more expensive one and decides how often both are run.
WAYS, STEPS = ("repeat", "shared_prefix"), ("trl", "here")
#: Seconds; a way whose first run takes longer is run once.
DEAR = 20.0
#: Operations per second, bytes per second and seconds per call of one thread; for the estimates only.
SPEED, TRAFFIC, CALL = 6e10, 4e9, 0.006
ROWS = COLUMNS = 20  # patches of a frame: 100 tokens

SMALL: dict[str, Any] = {
    "text": {
        "vocab_size": 4096, "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
    },
    "vision": {"depth": 2, "hidden_size": 128, "intermediate_size": 256, "num_heads": 4, "deepstack": [0, 1]},
    "mrope": [12, 10, 10],
}  # fmt: skip
#: Sizes of Qwen3-VL-2B.
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
PICTURE_IDS = {"image_token_id": 1001, "video_token_id": 1002, "vision_start_token_id": 1003,
               "vision_end_token_id": 1004}  # fmt: skip


def bound(prompt: int, width: int, branches: int) -> float:
    """The speed-up that the number of tokens allows.

    >>> round(bound(8000, 64, 8), 2)
    7.58
    """
    return branches * (prompt + width) / (prompt + branches * width)


def planned(prompt: int, width: int, branches: int, way: str) -> float:
    """A rough estimate of the seconds that one run takes on one thread with the small model."""
    text, vision = SMALL["text"], SMALL["vision"]
    size, layers = text["hidden_size"], text["num_hidden_layers"]
    matrices = layers * (3 * size * size + 3 * size * text["intermediate_size"])
    copies = branches if way in ("repeat", "trl") else 1
    tokens = copies * prompt + branches * width
    pairs = copies * prompt**2 / 2 + branches * width * (prompt + width / 2)
    patches = copies * prompt * 0.92 * 4
    looking = patches * (1e6 + 4 * ROWS * COLUMNS * vision["hidden_size"] * vision["depth"])
    forward = 2 * matrices * tokens + 4 * size * layers * pairs + looking
    cached = copies * prompt * layers * 4 * text["num_key_value_heads"] * text["head_dim"] * 4
    return (3 + 1) * forward / SPEED + width * (cached / TRAFFIC + CALL)


def model_of(sizes: dict[str, Any], device: str, ids: dict[str, int] = PICTURE_IDS) -> Any:
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
        **ids,
    )  # fmt: skip
    with torch.device(device):
        model = Qwen3VLForConditionalGeneration(config)
    return model.to(torch.bfloat16 if device == "cuda" else torch.float32).train()


def prompt_of(model: Any, length: int) -> Any:
    """A prompt of timestamps and frames of 100 tokens, filled up with words to the length."""
    import torch

    from whenwhere.training.prefix.group import TokenSegment, VisualInput

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
    return TokenSegment(ids, videos=VisualInput(torch.tensor([[frames, ROWS, COLUMNS]]), patches.to(model.dtype)))


class Clock:
    """Times the laps of one job.

    Args:
        device: The device that the job runs on.
        runs: Number of laps. 0 means three, or one where the first takes `DEAR` seconds or more.
        warm: Whether the first lap is only a warm-up, whose memory is the base of the measurement.
    """

    def __init__(self, device: str, runs: int, warm: bool = False) -> None:
        self.device, self.runs, self.warm = device, runs, warm
        self.laps: list[tuple[float, float, float]] = []
        self.base = 0.0

    def begin(self) -> Callable[[], bool]:
        """Starts a lap; the returned function ends it and returns whether another is wanted."""
        at = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)

        def stop() -> bool:
            self._settled()
            wall, spent = time.perf_counter() - at[0], resource.getrusage(resource.RUSAGE_SELF)
            if self.warm:
                self.warm, self.base = False, memory(self.device, reset=True)
                return True
            self.laps.append((wall, spent.ru_utime - at[1].ru_utime, spent.ru_stime - at[1].ru_stime))
            return len(self.laps) < (self.runs or (1 if self.laps[0][0] >= DEAR else 3))

        return stop

    def _settled(self) -> None:
        import torch

        if self.device == "cuda":
            torch.cuda.synchronize()

    def row(self, part: str) -> dict[str, float]:
        """The shortest wall, user and system time of all laps."""
        wall, user, system = (round(min(lap[k] for lap in self.laps), 4) for k in range(3))
        return {f"{part}_wall": wall, f"{part}_cpu": user, f"{part}_kernel": system, "ran": len(self.laps)}


def one(cell: Cell, way: str, runs: int, device: str, checkpointing: bool) -> dict[str, Any]:
    """Measures one cell in one way; called in a process of its own."""
    return step(cell, way, runs) if way in STEPS else pass_and_draw(cell, way, runs, device, checkpointing)


def step(cell: Cell, way: str, runs: int, device: str = "cpu") -> dict[str, Any]:
    """Measures the whole step with its optimiser, as TRL does it or as it is done here."""
    import trl_step

    prompt, width, branches = cell
    sizes = LARGE if device == "cuda" else SMALL
    processor = trl_step.processor_of(sizes["text"]["vocab_size"])
    model, clock = model_of(sizes, device, trl_step.picture_ids(processor)), Clock(device, runs, warm=True)
    # more prompts than will be used
    lengths = [200] + [prompt] * max(runs, 3)
    (trl_step.by_trl if way == "trl" else trl_step.by_us)(model, processor, lengths, width, branches, clock.begin)
    return {**clock.row("step"), "step_mb": round(memory(device) - clock.base, 1)}


def pass_and_draw(cell: Cell, way: str, runs: int, device: str, checkpointing: bool) -> dict[str, Any]:
    """Measures the training pass and the sampling of completions."""
    import torch

    from whenwhere.training.prefix.group import completion_group
    from whenwhere.training.prefix.rollout import PrefilledPrompt, SamplingParams, visual_token_ids
    from whenwhere.training.prefix.shared_prefix import score_branches
    from whenwhere.training.prefix.vlm_parts import VLMParts

    model = model_of(LARGE if device == "cuda" else SMALL, device)
    if checkpointing:
        model.gradient_checkpointing_enable()
    parts = VLMParts(model)
    length, width, branches = cell

    def train(prompt: Any, ids: Any) -> None:
        model.zero_grad()
        found = score_branches(parts, completion_group(prompt, list(ids)), way)  # type: ignore[arg-type]
        weights = torch.linspace(-1, 1, len(ids), device=found.logps.device)[:, None]
        (-(found.logps - found.logps.detach()).exp() * weights).mean().backward()

    def draw(prompt: Any, count: int, length: int) -> None:
        if way == "shared_prefix":
            PrefilledPrompt(parts, prompt).sample(count, SamplingParams(length))
            return
        ids = prompt.ids[None].repeat(count, 1).to(parts.device)
        model.eval().generate(
            input_ids=ids, attention_mask=ids * 0 + 1, mm_token_type_ids=parts.token_kinds(ids),
            pixel_values_videos=prompt.videos.patches.repeat(count, 1).to(parts.device),
            video_grid_thw=prompt.videos.grids.repeat(count, 1).to(parts.device),
            suppress_tokens=visual_token_ids(parts), pad_token_id=0, eos_token_id=None, max_new_tokens=length,
            do_sample=True,
        )  # fmt: skip
        model.train()

    def words(n: int) -> Any:
        return torch.randint(5, 1000, (branches, n), generator=torch.Generator().manual_seed(2))

    small = prompt_of(model, 200)
    train(small, words(4))
    draw(small, 2, 2)
    base = memory(device, reset=True)
    prompt, ids = prompt_of(model, length), words(width)
    row: dict[str, Any] = {}
    for part, call in (("pass", lambda: train(prompt, ids)), ("draw", lambda: draw(prompt, branches, width))):
        clock, more = Clock(device, runs), True
        while more:
            stop = clock.begin()
            call()
            more = stop()
        model.zero_grad()
        row = clock.row(part) | row
        row[f"{part}_mb"] = round(memory(device) - base, 1)
    return row


def memory(device: str, reset: bool = False) -> float:
    """Peak memory so far in MB."""
    import torch

    if device == "cuda":
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def lacking(key: dict[str, Any], seen: list[dict[str, Any]]) -> int | None:
    """The MB that a cell would take, judged by smaller cells of the same way; None where that much is free."""
    mb = "step_mb" if key["way"] in STEPS else "pass_mb"
    each = [r[mb] / (r["G"] * (r["P"] + r["C"])) for r in seen if r["way"] == key["way"] and mb in r]
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20
    need = max(each, default=0.0) * key["G"] * (key["P"] + key["C"])
    return round(need) if need > 0.85 * free else None


def code() -> str:
    """A hash of the code that is measured."""
    import whenwhere.training.prefix as room

    names = ("attention", "caches", "logprobs", "rollout", "shared_prefix", "vlm_parts")
    texts = [(Path(room.__path__[0]) / f"{name}.py").read_bytes() for name in names]
    return hashlib.sha256(b"".join(texts)).hexdigest()[:12]


def jobs(cells: list[Cell], steps: list[Cell]) -> list[tuple[float, Cell, tuple[str, str]]]:
    """All cells with their two ways and the estimated seconds of both, from cheap to expensive."""
    pairs = [(cell, WAYS) for cell in cells] + [(cell, STEPS) for cell in steps]
    return sorted((sum(planned(*cell, way) for way in ways), cell, ways) for cell, ways in pairs)


def measure(cell: Cell, ways: tuple[str, str], common: dict[str, Any], seen: list[dict[str, Any]]) -> None:
    """Measures both ways of a cell and appends their rows to `seen`; earlier measurements are read from the cache."""
    done = list(read_lines(CACHE)) if CACHE.exists() else []
    ran = common["runs"]
    for way in ways:
        key = dict(zip("PCG", cell, strict=True)) | {"way": way} | common
        row = next((r for r in done if key.items() <= r.items()), None)
        if row is None:
            need = None if common["device"] == "cuda" or way in ("shared_prefix", "here") else lacking(key, seen)
            row = key | ({"needs_mb": need} if need else _measured(key | {"runs": ran}))
            row["runs"] = common["runs"]
            if "ran" in row:
                append_line(CACHE, json.dumps(row))
        print(json.dumps(row), file=sys.stderr, flush=True)
        seen.append(row)
        # the second way runs as often as the first
        ran = row.get("ran", ran)


def _measured(key: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", json.dumps(key)]
    environment = os.environ | {"OMP_NUM_THREADS": str(key["threads"]), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    if ran.returncode:
        return {"failed": (ran.stderr.strip().splitlines() or [f"ended with {ran.returncode}"])[-1][:200]}
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def compared(rows: list[dict[str, Any]], ways: tuple[str, str]) -> list[dict[str, Any]]:
    """The cells with both ways, their ratios, the bound, and whether the goals are met."""
    cells = []
    for p, c, g in sorted({(r["P"], r["C"], r["G"]) for r in rows if r["way"] in ways}):
        old, new = (next(r for r in rows if (r["P"], r["C"], r["G"], r["way"]) == (p, c, g, way)) for way in ways)
        cell: dict[str, Any] = {"P": p, "C": c, "G": g, "bound": round(bound(p, c, g), 2), ways[0]: old, ways[1]: new}
        parts = ("step",) if ways == STEPS else ("pass", "step")
        for row in (old, new):
            if "pass_cpu" in row:
                row |= {f"step_{u}": round(row[f"pass_{u}"] + row[f"draw_{u}"], 4) for u in ("cpu", "wall", "kernel")}
        if "ran" in old and "ran" in new:
            for part, unit in itertools.product(parts, ("cpu", "wall", "mb")):
                if f"{part}_{unit}" in old:
                    cell[f"{part}_{unit}_ratio"] = round(old[f"{part}_{unit}"] / max(new[f"{part}_{unit}"], 1e-3), 2)
        if "pass_cpu_ratio" in cell:
            time_ = cell["pass_wall_ratio" if old["device"] == "cuda" else "pass_cpu_ratio"]
            cell["share_of_bound"] = round(time_ / bound(p, c, g), 2)
            cell["goals"] = {"0.8 of the bound": cell["share_of_bound"] >= 0.8}
            if p >= 24 * c and old["device"] == "cpu":
                cell["goals"] |= {"3 x time": time_ >= 3, "5 x memory": cell["pass_mb_ratio"] >= 5}
        cells.append(cell)
    return cells


def written(cells: list[dict[str, Any]], ways: tuple[str, str]) -> str:
    """Tables of cells as Markdown: the training pass with its goals, and the whole step."""
    text = ""
    for part in ("step",) if ways == STEPS else ("pass", "step"):
        heads = ["P", "C", "G", "runs", "CPU s", "ratio", *(["bound", "share of bound"] if part == "pass" else []),
                 "wall s", "ratio", *(["peak MB", "ratio"] if part == "pass" or ways == STEPS else []),
                 *(["goals missed"] if part == "pass" else [])]  # fmt: skip
        if ways == STEPS:
            text += "\nThe same whole step, frames as images: TRL's GRPOTrainer / here\n\n"
        else:
            text += f"\n{'Training pass' if part == 'pass' else 'Whole step'}: repeat / shared prefix\n\n"
        text += "".join(f"| {' | '.join(row)} |\n" for row in (heads, ["---"] * len(heads)))
        for cell in cells:
            row = [str(cell[k]) for k in "PCG"]
            old, new = cell[ways[0]], cell[ways[1]]
            if f"{part}_cpu_ratio" in cell:
                row.append(str(old["ran"]))
                for unit in ("cpu", "wall", "mb"):
                    if f"{part}_{unit}_ratio" not in cell:
                        continue
                    digits = (f"{way[f'{part}_{unit}']:.{0 if unit == 'mb' else 2}f}" for way in (old, new))
                    row += [" / ".join(digits), f"{cell[f'{part}_{unit}_ratio']:.2f}"]
                    if unit == "cpu" and part == "pass":
                        row += [f"{cell['bound']:.2f}", f"{cell['share_of_bound']:.0%}"]
                if part == "pass":
                    row.append(", ".join(goal for goal, met in cell["goals"].items() if not met) or "none")
            else:
                gone = old if "ran" not in old else new
                why = f"would need {gone['needs_mb']} MB" if "needs_mb" in gone else gone["failed"]
                row += ["0", f"{gone['way']}: {why}"]
            text += f"| {' | '.join(row + [''] * (len(heads) - len(row)))} |\n"
    return text


def summary(cells: list[dict[str, Any]]) -> str:
    """A sentence that says how many cells meet each goal."""
    met = [cell["goals"] for cell in cells if "goals" in cell]
    lines = []
    for goal in ("0.8 of the bound", "3 x time", "5 x memory"):
        asked = [m[goal] for m in met if goal in m]
        lines.append(f"{goal}: {sum(asked)} of {len(asked)} cells" + ("" if goal[0] == "0" else " with P >= 24 C"))
    beyond = sum(cell["G"] == 4 for cell in cells if "5 x memory" in cell.get("goals", {}))
    return "\nGoals. " + "; ".join(lines) + f" ({beyond} of them with G = 4, where the bound is below 4).\n"


def main() -> None:
    """Measures, prints and writes the tables."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--cells", nargs="+", help="cells as P,C,G instead of the whole table; writes no result files")
    asked.add_argument("--trl", nargs="*", help="cells that are compared with TRL, as P,C,G; no value means none")
    asked.add_argument("--runs", type=int, default=0, help="runs of each cell; 0 means three, or one if a run is long")
    asked.add_argument("--threads", type=int, default=2)
    asked.add_argument("--core", type=int, help="CPU core that everything is pinned to")
    asked.add_argument("--plan", action="store_true", help="print the estimated time on one thread and stop")
    asked.add_argument("--checkpointing", action="store_true", help="use gradient checkpointing")
    asked.add_argument("--one", help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.one:
        key = json.loads(given.one)
        if key["core"] is not None:
            os.sched_setaffinity(0, {key["core"]})
        import torch

        torch.set_num_threads(key["threads"])
        with suppress(OSError):  # if memory runs out, this process should be killed first
            Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
        cell = key["P"], key["C"], key["G"]
        print(json.dumps(one(cell, key["way"], key["runs"], key["device"], key["checkpointing"])))
        return

    def cells_of(texts: list[str] | None, else_: list[Cell]) -> list[Cell]:
        return else_ if texts is None else [tuple(map(int, text.split(","))) for text in texts]  # type: ignore[misc]

    look = given.cells is not None or given.trl is not None
    work = jobs(cells_of(given.cells, [] if look else CELLS), cells_of(given.trl, [] if look else STEP_CELLS))
    if given.plan:
        total = [0.0, 0.0]
        for _, cell, ways in work:
            each = [planned(*cell, way) for way in ways]
            runs = 1 if each[0] >= DEAR else 3
            total = [total[0] + sum(each), total[1] + runs * sum(each)]
            print(f"{cell} {' / '.join(ways)}: {each[0]:.0f} + {each[1]:.0f} s a run, {runs} runs")
        print(f"one run of each: {total[0] / 60:.0f} min; as it would be run: {total[1] / 60:.0f} min; three of each: "
              f"{total[0] / 20:.0f} min")  # fmt: skip
        return
    import torch

    CACHE.parent.mkdir(exist_ok=True)
    common = {"device": "cpu", "checkpointing": given.checkpointing, "runs": given.runs, "threads": given.threads,
              "core": given.core, "code": code()}  # fmt: skip
    where = f"{given.threads} thread{'s' if given.threads > 1 else ''}"
    where += f", pinned to one core ({given.core})" if given.core is not None else ""
    result: dict[str, Any] = {"torch": torch.__version__, **common, "model": SMALL, "cpu": [], "trl": [],
                              "gpu": "not measured"}  # fmt: skip
    seen: list[dict[str, Any]] = []
    name = "shared_prefix_checkpointing" if given.checkpointing else "shared_prefix"

    def told(left: int) -> str:
        result["cpu"], result["trl"] = compared(seen, WAYS), compared(seen, STEPS)
        text = f"On a CPU, {where}; seconds in the process, kernel time left out. P prompt tokens, C tokens of each of "
        text += f"G completions.{f' {left} cells are not measured yet.' if left else ''}\n"
        text += written(result["cpu"], WAYS) + summary(result["cpu"]) + written(result["trl"], STEPS)
        return text + ("" if isinstance(result["gpu"], list) else "\nOn a GPU: not measured.\n")

    for k, (_, cell, ways) in enumerate(work, 1):
        measure(cell, ways, common, seen)
        text = told(len(work) - k)
        if not look:
            write_text(RESULTS / f"{name}.json", json.dumps(result, indent=1) + "\n")
            write_text(RESULTS / f"{name}.md", text)
    if torch.cuda.is_available():
        on_gpu: list[dict[str, Any]] = []
        for cell in GPU_CELLS:
            measure(cell, WAYS, common | {"device": "cuda", "checkpointing": True}, on_gpu)
        result["gpu"] = compared(on_gpu, WAYS)
        result["gpu_name"], result["gpu_model"] = torch.cuda.get_device_name(), LARGE
        text = told(0) + f"\nOn {result['gpu_name']}, sizes of Qwen3-VL-2B, bf16, gradient checkpointing\n"
        text += written(result["gpu"], WAYS)
        if not look:
            write_text(RESULTS / f"{name}.json", json.dumps(result, indent=1) + "\n")
            write_text(RESULTS / f"{name}.md", text)
    print(text)


if __name__ == "__main__":
    main()

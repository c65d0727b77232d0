"""Throughput of the video encoder beside its peers at equal size, and what masking saves, on a CPU.

    python benchmarks/encoders.py               (rerun to resume; about four minutes on one quiet core)
    python benchmarks/encoders.py --cell toy    (one cell; writes no result)

Peers are open_clip's vision tower and those of transformers' CLIP (both: the mean of the frames' embeddings), X-CLIP
and VideoPrism. All have random weights, and the same frames, patches, width, heads, exact GELU and number of blocks
(VideoPrism: two thirds of them inside frames, one third along time). In each round every encoder computes once, in an
order that changes from round to round; a number is the median over rounds of processor seconds of one thread, so that
other work on the machine counts little. Joint attention computes more than attention inside frames, the more the
narrower the encoder: its operations are printed beside.

What masking saves is measured at the size `masked`, at which attention takes half of the operations (a quarter in
ViT-B/16 on 8 frames): the median time of a step (forward and backward), and by how much the resident set rises during a
step above that of the idle model. Each ratio has a process of its own.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from whenwhere.store import append_line, read_lines, write_text

RESULTS = Path(__file__).parent / "results"
CACHE = Path(__file__).parent / "cache" / "encoders.jsonl"
#: Side of a frame, patch, width, heads, blocks, and clips of 8 frames per step.
SIZES = {
    "toy": (48, 8, 64, 4, 12, 16),
    "small": (96, 16, 384, 6, 12, 4),
    "masked": (96, 8, 192, 3, 12, 4),
    "ViT-B/16": (224, 16, 768, 12, 12, 16),
    "rehearsal": (32, 16, 32, 2, 3, 2),
}
FRAMES = 8
RATIOS = (0.0, 0.5, 0.7, 0.9)
ROUNDS = 5
CELLS = ["toy", "small", *(f"masked-{ratio}" for ratio in RATIOS)]
#: The encoder that computes the same function as the mean of CLIP's frames, and that with joint attention.
HERE, JOINT = "here, frame by frame", "here, joint"
Encode = Callable[[Any], Any]


def config_of(size: str, attention: Any = "joint") -> Any:
    """The configuration of our encoder of a size."""
    from whenwhere.models.encoders.config import VideoConfig

    side, patch, width, heads, layers, _ = SIZES[size]
    return VideoConfig(
        image_size=side, frames=FRAMES, patch=patch, width=width, heads=heads, layers=layers, output=width,
        attention=attention,
    )  # fmt: skip


def encoders(size: str) -> dict[str, tuple[Any, Encode]]:
    """By name, each encoder's module and its function from pixels (B, T, 3, H, W) to embeddings (B, D)."""
    import transformers
    from open_clip.transformer import VisionTransformer

    from whenwhere.models.encoders.video import VideoEncoder

    side, patch, width, heads, layers, _ = SIZES[size]
    common = {
        "hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": heads, "image_size": side,
        "hidden_act": "gelu",
    }  # fmt: skip
    deep = {**common, "num_hidden_layers": layers, "patch_size": patch}
    clip = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**deep, projection_dim=width))
    x_clip = transformers.XCLIPVisionModel(transformers.XCLIPVisionConfig(**deep, num_frames=FRAMES))
    prism = transformers.VideoPrismVisionModel(
        transformers.VideoPrismVisionConfig(
            **common, num_frames=FRAMES, tubelet_size=(1, patch, patch), num_spatial_layers=layers - layers // 3,
            num_temporal_layers=layers // 3,
        )
    )  # fmt: skip
    tower = VisionTransformer(side, patch, width, layers, heads, 4.0, output_dim=width)
    frames, joint = VideoEncoder(config_of(size, "frame")), VideoEncoder(config_of(size))

    def mean(each: Any, clips: int) -> Any:
        return each.view(clips, -1, each.shape[-1]).mean(1)

    return {
        HERE: (frames, frames.embed),
        JOINT: (joint, joint.embed),
        "open_clip CLIP": (tower, lambda x: mean(tower(x.flatten(0, 1)), len(x))),
        "transformers CLIP": (clip, lambda x: mean(clip(x.flatten(0, 1)).image_embeds, len(x))),
        "transformers X-CLIP": (x_clip, lambda x: mean(x_clip(x.flatten(0, 1)).pooler_output, len(x))),
        "transformers VideoPrism": (prism, lambda x: prism(x).last_hidden_state.mean(1)),
    }


def seconds(work: Callable[[], None], device: str) -> float:
    """How long work takes: processor seconds on a CPU, wall time on a GPU."""
    import torch

    if device == "cpu":
        began = time.process_time()
        work()
        return time.process_time() - began
    torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def throughput(size: str, device: str = "cpu", rounds: int = ROUNDS) -> dict[str, Any]:
    """Clips per second of each encoder, forward alone and forward with backward; in bf16 on a GPU."""
    import torch

    batch = SIZES[size][-1]
    torch.manual_seed(0)
    made = {name: (module.to(device), encode) for name, (module, encode) in encoders(size).items()}
    pixels = torch.randn(batch, FRAMES, 3, SIZES[size][0], SIZES[size][0], device=device)

    def forward(name: str) -> None:
        module, encode = made[name]
        module.eval()
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
            encode(pixels)

    def step(name: str) -> None:
        module, encode = made[name]
        module.train()
        with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
            loss = encode(pixels).float().square().mean()
        loss.backward()
        module.zero_grad()

    names, times = list(made), dict[tuple[str, str], list[float]]()
    for k in range(rounds + 1):
        for name in names[k % len(names) :] + names[: k % len(names)]:
            for what, work in (("forward", forward), ("step", step)):
                spent = seconds(lambda work=work, name=name: work(name), device)
                # the first round warms up
                if k:
                    times.setdefault((name, what), []).append(spent)
    rows = [
        {"encoder": name, **{what: batch / statistics.median(times[name, what]) for what in ("forward", "step")}}
        for name in names
    ]
    return {"cell": size, "batch": batch, "rows": rows}


def _resident(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return float(line.split()[1]) / 1024
    raise LookupError(key)


def masking(ratio: float, size: str = "masked", device: str = "cpu", steps: int = 3) -> dict[str, Any]:
    """Step time and memory in MiB at a masking ratio, and the forward operations that the formula gives."""
    import torch

    from whenwhere.models.encoders.config import Masking
    from whenwhere.models.encoders.flops import video_flops
    from whenwhere.models.encoders.video import VideoEncoder

    torch.manual_seed(0)
    config, dropped = config_of(size), Masking("random", ratio)
    encoder = VideoEncoder(config).to(device).train()
    pixels = torch.randn(SIZES[size][-1], FRAMES, 3, config.image_size, config.image_size, device=device)

    def step(clips: Any, kept: Masking) -> None:
        with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
            loss = encoder(clips, kept).pooled.float().square().mean()
        loss.backward()

    # gradients and the libraries' own memory are there before anything is measured
    step(pixels[:1], Masking("random", 0.95))
    gc.collect()
    if device == "cpu":
        import ctypes

        ctypes.CDLL("libc.so.6").malloc_trim(0)
        idle = _resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        step(pixels, dropped)
        memory = _resident("VmHWM") - idle
    else:
        idle = torch.cuda.memory_allocated() / 2**20
        torch.cuda.reset_peak_memory_stats()
        step(pixels, dropped)
        memory = torch.cuda.max_memory_allocated() / 2**20 - idle
    spent = statistics.median(seconds(lambda: step(pixels, dropped), device) for _ in range(steps))
    return {"cell": f"{size}-{ratio}", "ratio": ratio, "seconds": spent, "mib": memory,
            "flops": video_flops(config, dropped)}  # fmt: skip


def masking_ratios(rows: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Operations, step time and memory of each masking ratio as shares of those without masking."""
    whole = next(row for row in rows if row["ratio"] == 0)
    return [
        {"ratio": row["ratio"], **{key: row[key] / whole[key] for key in ("flops", "seconds", "mib")}} for row in rows
    ]


def table(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows]]


def report(done: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown."""
    from whenwhere.models.encoders.flops import video_flops

    lines = ["# The video encoder beside its peers", ""]
    for size in ("toy", "small"):
        if size not in done:
            continue
        side, patch, width, heads, layers, batch = SIZES[size]
        rows = done[size]["rows"]
        more = video_flops(config_of(size)) / video_flops(config_of(size, "frame"))
        best = {what: max(r[what] for r in rows if not r["encoder"].startswith("here")) for what in ("forward", "step")}
        lines += [
            f"`{size}`: clips of {FRAMES} frames of {side} px, patches of {patch}, width {width}, {heads} heads, "
            f"{layers} blocks, {batch} clips at a time. Joint attention takes {more:.2f} times the operations of "
            "attention inside frames.",
            "",
            *table(
                ["encoder", "forward, clips/s", "forward and backward, clips/s", "of the fastest peer's"],
                [
                    [
                        r["encoder"], f"{r['forward']:.1f}", f"{r['step']:.1f}",
                        f"{r['forward'] / best['forward']:.2f}, {r['step'] / best['step']:.2f}",
                    ]
                    for r in rows
                ],
            ),
            "",
        ]  # fmt: skip
    rows = [done[cell] for cell in CELLS if cell.startswith("masked") and cell in done]
    if rows and rows[0]["ratio"] == 0:
        shares = masking_ratios(rows)
        side, patch, width, _, layers, batch = SIZES["masked"]
        lines += [
            f"Masking, as shares of a step without: {FRAMES} frames of {side} px, patches of {patch}, width {width}, "
            f"{layers} blocks, {batch} clips at a time.",
            "",
            *table(
                ["masked", "FLOPs by the formula", "step time", "resident set above idle", "step, s", "MiB"],
                [
                    [
                        f"{s['ratio']:.1f}", f"{s['flops']:.3f}", f"{s['seconds']:.3f}", f"{s['mib']:.3f}",
                        f"{r['seconds']:.2f}", f"{r['mib']:.0f}",
                    ]
                    for s, r in zip(shares, rows, strict=True)
                ],
            ),
            "",
        ]  # fmt: skip
    return "\n".join([*lines, "One thread of a CPU, fp32."]) + "\n"


def measure(cell: str) -> dict[str, Any]:
    """The result of one cell, in this process."""
    import open_clip
    import torch
    import transformers

    torch.set_num_threads(1)
    found = masking(float(cell.split("-")[1])) if cell.startswith("masked") else throughput(cell)
    versions = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "open_clip": open_clip.__version__,
    }
    return found | versions


def main() -> None:
    """Measures what is missing, and writes the result after each cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=CELLS)
    options = parser.parse_args()
    if options.cell:
        print(json.dumps(measure(options.cell)))
        return
    for cell in CELLS:
        if cell not in {row["cell"] for row in read_lines(CACHE)}:
            # memory that was freed goes back to the system, so that the resident set says what is in use
            alone = os.environ | {
                "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536",
            }  # fmt: skip
            command = [sys.executable, __file__, "--cell", cell]
            shown = alone if cell.startswith("masked") else os.environ | {"OMP_NUM_THREADS": "1"}
            found = subprocess.run(command, env=shown, stdout=subprocess.PIPE, text=True, check=True)
            CACHE.parent.mkdir(exist_ok=True)
            append_line(CACHE, found.stdout.splitlines()[-1])
            print(found.stdout.splitlines()[-1], flush=True)
        done = {row["cell"]: row for row in read_lines(CACHE)}
        write_text(RESULTS / "encoders.json", json.dumps([done[c] for c in CELLS if c in done], indent=1) + "\n")
        write_text(RESULTS / "encoders.md", report(done))


if __name__ == "__main__":
    main()

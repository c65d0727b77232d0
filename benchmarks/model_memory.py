"""GPU memory to expect of vision-language models by size: computed, not measured.

    python benchmarks/model_memory.py        (needs the extra vlm; seconds; no weights, no accelerator)

The real classes of transformers are built without memory (device `meta`) from the sizes of the released configurations,
written down below, and their parameters are counted. Weights take 2 bytes each in bf16 and about 0.56 quantised to 4
bits (4 bits and a 16-bit scale and zero point per 64). The cache of keys and values takes, per token of prompt and of
answer,

    2 (keys, values) x layers x heads of keys x size of a head x 2 bytes.

Activations, the vision tower's working memory and the allocator's slack come on top; 10-20 % is a usual share.
"""

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from whenwhere.store import write_text

RESULTS = Path(__file__).parent / "results"
#: tokens of a call with 64 frames of 640 x 360, 220 tokens and a stamp each, and its words
TOKENS = 16_384
GIB = 1024**3


def _text(hidden: int, layers: int, heads: int, kv: int, inner: int, **more: Any) -> dict[str, Any]:
    return {
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv,
        "intermediate_size": inner, **more,
    }  # fmt: skip


def _qwen3_vl(text: dict[str, Any], tied: bool, width: int, depth: int, inner: int, moe: bool = False) -> Any:
    name = "Qwen3VLMoe" if moe else "Qwen3VL"
    config = getattr(transformers, f"{name}Config")(
        text_config={**text, "vocab_size": 151_936, "head_dim": 128},
        vision_config={
            "hidden_size": width, "depth": depth, "intermediate_size": inner, "out_hidden_size": text["hidden_size"],
            "deepstack_visual_indexes": [5, 11, 17] if depth == 24 else [8, 16, 24],
        },
        tie_word_embeddings=tied,
    )  # fmt: skip
    return config, getattr(transformers, f"{name}ForConditionalGeneration")


def _qwen2_5_vl(text: dict[str, Any], tied: bool, vocabulary: int) -> Any:
    config = transformers.Qwen2_5_VLConfig(
        text_config={**text, "vocab_size": vocabulary},
        vision_config={
            "hidden_size": 1280,
            "depth": 32,
            "intermediate_size": 3420,
            "out_hidden_size": text["hidden_size"],
        },
        tie_word_embeddings=tied,
    )  # fmt: skip
    return config, transformers.Qwen2_5_VLForConditionalGeneration


MODELS = {
    "Qwen3-VL-2B": lambda: _qwen3_vl(_text(2048, 28, 16, 8, 6144), True, 1024, 24, 4096),
    "Qwen3-VL-4B": lambda: _qwen3_vl(_text(2560, 36, 32, 8, 9728), True, 1024, 24, 4096),
    "Qwen3-VL-8B": lambda: _qwen3_vl(_text(4096, 36, 32, 8, 12_288), False, 1152, 27, 4304),
    "Qwen3-VL-32B": lambda: _qwen3_vl(_text(5120, 64, 64, 8, 25_600), False, 1152, 27, 4304),
    "Qwen3-VL-30B-A3B": lambda: _qwen3_vl(
        _text(2048, 48, 32, 4, 6144, num_experts=128, moe_intermediate_size=768), False, 1152, 27, 4304, moe=True
    ),
    "Qwen2.5-VL-3B": lambda: _qwen2_5_vl(_text(2048, 36, 16, 2, 11_008), True, 151_936),
    "Qwen2.5-VL-7B": lambda: _qwen2_5_vl(_text(3584, 28, 28, 4, 18_944), False, 152_064),
    "Qwen2.5-VL-72B": lambda: _qwen2_5_vl(_text(8192, 80, 64, 8, 29_568), False, 152_064),
    # the class's defaults are this checkpoint's sizes
    "GLM-4.1V-9B": lambda: (transformers.Glm4vConfig(), transformers.Glm4vForConditionalGeneration),
}


def row(name: str) -> dict[str, Any]:
    """Memory of one model."""
    config, model_class = MODELS[name]()
    with torch.device("meta"):
        model = model_class(config)
    model.tie_weights()
    parameters = sum(p.numel() for p in {id(p): p for p in model.parameters()}.values())
    text = config.text_config
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    cache = 2 * text.num_hidden_layers * text.num_key_value_heads * head * 2
    return {
        "model": name,
        "parameters_b": round(parameters / 1e9, 2),
        "bf16_gib": round(parameters * 2 / GIB, 1),
        "int4_gib": round(parameters * 0.5625 / GIB, 1),
        "cache_mib_per_1000": round(cache * 1000 / 1024**2, 1),
        "bf16_with_cache_gib": round((parameters * 2 + cache * TOKENS) / GIB, 1),
        "int4_with_cache_gib": round((parameters * 0.5625 + cache * TOKENS) / GIB, 1),
    }


def main() -> None:
    """Compute, print and store the table."""
    rows = [row(name) for name in MODELS]
    heads = [
        "model", "parameters, 10⁹", "weights bf16, GiB", "weights 4 bits, GiB", "cache per 1000 tokens, MiB",
        f"bf16 and {TOKENS} tokens, GiB", f"4 bits and {TOKENS} tokens, GiB",
    ]  # fmt: skip
    lines = ["# GPU memory, computed", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    lines += ["| " + " | ".join(str(v) for v in r.values()) + " |" for r in rows]
    print("\n".join(lines))
    write_text(RESULTS / "model_memory.md", "\n".join(lines) + "\n")
    result = {"transformers": transformers.__version__, "tokens": TOKENS, "rows": rows}
    write_text(RESULTS / "model_memory.json", json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

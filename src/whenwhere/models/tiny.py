"""A policy with a few million parameters, built from transformers' Qwen3-VL classes, with a small tokenizer of its own.

All code that trains, loads or prompts a Qwen3-VL runs on it unchanged, on a laptop. Sizes and weights are new; the
classes, the processor and the files of a checkpoint are those of transformers.

What is smaller than in Qwen3-VL, and why:

- Patches have 8 pixels: with the family's 16, a frame of 64 x 64 pixels would have only four tokens. Two frames make
  one temporal step of 16 tokens, which follows one timestamp and stands between the tokens for start and end of vision.
- Every word is one token of a closed list, and any other word is `<unk>`. Case and punctuation are dropped. Timestamps,
  times and coordinates are one token each, so that an answer of the form `tokens` takes two tokens for a span and five
  for a box.
- The chat template writes the messages as they are, and `<|answer|>` before the answer.

Left out: frames larger than `side`. The processor scales a frame down until it has no more tokens than a square of that
side.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError
from whenwhere.models.trained import Trained
from whenwhere.stage.shapes.words import SHAPES_WORDS

#: Frames per temporal step, and patches per token along each side; both as in Qwen3-VL.
TEMPORAL, MERGE = 2, 2
#: Latest second for which there are time tokens.
LAST = 64
#: Size of an attention head; Qwen3-VL has 128.
HEAD = 32
#: Standard deviation of initial weights; Qwen's 0.02 is for layers that are ten times as wide.
SPREAD = 0.07
#: Largest number of parameters that `build` accepts.
MOST = 4_000_000

PAD, END, UNKNOWN, ANSWER = "<|pad|>", "<|end|>", "<unk>", "<|answer|>"
VISION_START, VISION_END, IMAGE, VIDEO = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
SPECIAL = (PAD, END, UNKNOWN, ANSWER, VISION_START, VISION_END, IMAGE, VIDEO)
#: Tokens of answers in the form `tokens`: whole and half seconds, hundredths of a side, and "not in the video".
TIMES = tuple(f"<{k / 2:.1f}s>" for k in range(2 * LAST + 1))
COORDINATES = tuple(f"<{k}>" for k in range(0, 1001, 10))
NONE = "<none>"
#: What the processor writes before frames that lie on half seconds, by twos (.2 for a quarter: floats round to even, .8
#: for three quarters) or each twice (.0 and .5).
STAMPS = tuple(f"<{k / 4:.1f} seconds>" for k in range(4 * LAST + 1))
_TEMPLATE = (
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}"
    # the processor itself puts each step in time between marks
    "{% if c.type == 'video' %}" + VIDEO + "{% elif c.type == 'image' %}" + VISION_START + IMAGE + VISION_END +
    "{% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}"
    "{% if m.role == 'assistant' %}" + END +
    "{% elif not loop.last or add_generation_prompt %}" + ANSWER + "{% endif %}{% endfor %}"
)  # fmt: skip


def build(
    folder: str | Path,
    seed: int = 0,
    *,
    words: Sequence[str] | None = None,
    hidden: int = 160,
    layers: int = 5,
    mlp: int = 3,
    vision_hidden: int = 128,
    vision_layers: int = 3,
    vision_mlp: int = 3,
    deepstack: Sequence[int] = (0, 1),
    side: int = 64,
    patch: int = 8,
) -> Path:
    """Writes an untrained checkpoint: a model in fp32, and a processor with tokenizer and chat template.

    Args:
        folder: Folder for the files; it is made if it does not exist.
        seed: Seed of the weights; the same seed makes the same weights.
        words: Words of the tokenizer, in lower case. None means the words of the procedural world of shapes.
        hidden: Hidden size of the text model, a multiple of 32.
        layers: Number of layers of the text model.
        mlp: Inner size of the text model's MLPs, in multiples of `hidden`.
        vision_hidden: Hidden size of the vision tower, a multiple of 32.
        vision_layers: Number of layers of the vision tower.
        vision_mlp: Inner size of the vision tower's MLPs, in multiples of `vision_hidden`.
        deepstack: Layers of the vision tower whose features also go into the first layers of the text model.
        side: A frame gets at most as many tokens as a square with this side in pixels.
        patch: Side of a patch in pixels.

    Returns:
        The folder that was given.

    Raises:
        MissingExtraError: torch, torchvision or transformers is not installed.
        SettingError: The sizes do not fit together, or make more than 4 million parameters.
    """
    from whenwhere.models.vlm import require_packages, writing_errors

    if hidden % HEAD or vision_hidden % HEAD or side % (patch * MERGE):
        raise SettingError(
            f"sizes do not fit together: hidden ({hidden}) and vision_hidden ({vision_hidden}) are multiples of "
            f"{HEAD}, side ({side}) of {MERGE} patches of {patch}"
        )
    require_packages("a tiny policy")
    import torch
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    folder = Path(folder)
    made = processor(words, side=side, patch=patch)
    number = made.tokenizer.convert_tokens_to_ids
    tokens = {"pad_token_id": number(PAD), "bos_token_id": None, "eos_token_id": number(END)}
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(made.tokenizer), "hidden_size": hidden, "intermediate_size": mlp * hidden,
            "num_hidden_layers": layers, "num_attention_heads": hidden // HEAD, "num_key_value_heads": hidden // HEAD,
            "head_dim": HEAD, "max_position_embeddings": 4096, "tie_word_embeddings": True, **tokens,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [6, 5, 5], "mrope_interleaved": True,
            },
        },
        vision_config={
            "depth": vision_layers, "hidden_size": vision_hidden, "intermediate_size": vision_mlp * vision_hidden,
            "num_heads": vision_hidden // HEAD, "out_hidden_size": hidden, "patch_size": patch, "in_channels": 3,
            "spatial_merge_size": MERGE, "temporal_patch_size": TEMPORAL, "deepstack_visual_indexes": list(deepstack),
            "num_position_embeddings": (side // patch) ** 2,
        },
        image_token_id=number(IMAGE), video_token_id=number(VIDEO),
        vision_start_token_id=number(VISION_START), vision_end_token_id=number(VISION_END), tie_word_embeddings=True,
    )  # fmt: skip
    config.text_config.initializer_range = config.vision_config.initializer_range = SPREAD
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3VLForConditionalGeneration(config)
    _give_order(model, number)
    size = sum(weight.numel() for weight in model.parameters())
    if size > MOST:
        raise SettingError(f"a tiny policy has at most {MOST:,} parameters, not {size:,}: take smaller or fewer layers")
    model.generation_config.eos_token_id = number(END)
    model.generation_config.pad_token_id = number(PAD)
    with writing_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder)
        made.save_pretrained(folder)
        Trained(dialect="tiny", long_side=side).write(folder)
    return folder


def _give_order(model: Any, number: Any) -> None:
    """Initialises the embeddings of times, timestamps, coordinates and patch positions as sinusoids.

    So values that are close have similar embeddings from the start. With random embeddings, a policy first has to learn
    that 310 is close to 320.

    Args:
        model: The untrained model, changed in place.
        number: Function from a token to its id.
    """
    import torch

    def waves(count: int, width: int, length: float) -> Any:
        speed = math.pi / 2 * 1.35 ** (12 * torch.arange(width // 2) / (width // 2))
        angle = torch.arange(count)[:, None] / length * speed
        return torch.cat([angle.sin(), angle.cos()], 1)

    words = model.get_input_embeddings().weight
    places = model.model.visual.pos_embed.weight
    width, side = places.shape[1] // 2, math.isqrt(places.shape[0])
    with torch.no_grad():
        # seconds count up to half of what has tokens: most clips are short
        for listed, length in ((COORDINATES, len(COORDINATES)), (TIMES, LAST), (STAMPS, 2 * LAST)):
            words[list(map(number, listed))] = waves(len(listed), words.shape[1], length) * 0.2
        line = waves(side, width, side)
        rows, columns = line[:, None].expand(-1, side, -1), line[None].expand(side, -1, -1)
        places.copy_(torch.cat([rows, columns], -1).reshape(side * side, -1) * 0.6)


def processor(words: Sequence[str] | None = None, *, side: int = 64, patch: int = 8) -> Any:
    """A Qwen3-VL processor with the small tokenizer; arguments as for `build`."""
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    sizes = {"patch_size": patch, "merge_size": MERGE, "temporal_patch_size": TEMPORAL}
    least = (patch * MERGE) ** 2
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(**sizes, min_pixels=least, max_pixels=side * side),
        tokenizer=tokenizer(SHAPES_WORDS if words is None else words),
        video_processor=Qwen3VLVideoProcessor(
            **sizes,
            # pixels of all frames together; the cap below is that of one
            size={"shortest_edge": least, "longest_edge": side * side * TEMPORAL * LAST},
            cap_pixels_per_frame=True,
            max_video_tokens=(side // (patch * MERGE)) ** 2,
        ),
        chat_template=_TEMPLATE,
    )


def vocabulary(words: Sequence[str]) -> list[str]:
    """All tokens of the small tokenizer in the order of their ids; words come last, each with the space before it.

    >>> vocabulary(["red", "Red"])[-2:], len(vocabulary([]))
    (['<none>', '▁red'], 496)
    """
    parts = [part for word in words for part in re.sub(r"[^\w]+", " ", word.lower()).split()]
    fixed = [*SPECIAL, *STAMPS, *TIMES, *COORDINATES, NONE]
    return [*dict.fromkeys(fixed), *dict.fromkeys(f"▁{part}" for part in parts)]


def tokenizer(words: Sequence[str]) -> Any:
    """A tokenizer of whole words: text is lower-cased, punctuation is dropped, and unknown words become `<unk>`."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    listed = vocabulary(words)
    made = Tokenizer(models.WordLevel({token: k for k, token in enumerate(listed)}, unk_token=UNKNOWN))
    made.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(Regex(r"[^\w]+"), " "), normalizers.Strip()]
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL])
    # not special: they are what an answer is made of, and decoding must keep them
    made.add_tokens([AddedToken(t, normalized=False) for t in listed if t.startswith("<") and t not in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=END,
        pad_token=PAD,
        unk_token=UNKNOWN,
        extra_special_tokens={
            "image_token": IMAGE, "video_token": VIDEO, "vision_bos_token": VISION_START,
            "vision_eos_token": VISION_END,
        },
    )  # fmt: skip


def patchify(images: NDArray[np.uint8], patch: int = 8) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Cuts frames into patches as Qwen's video processor does, but without torch and much faster.

    Frames are not resized.

    Args:
        images: RGB frames of one video, shape (n, h, w, 3), uint8; h and w are multiples of two patches. If n is odd,
            the last frame is repeated.
        patch: Side of a patch in pixels.

    Returns:
        `pixel_values_videos`, shape (t·rows·columns, 3·2·patch²), values from -1 to 1, with the patches of one token
        next to each other; and `video_grid_thw`, shape (1, 3), the number of temporal steps, rows and columns.

    Raises:
        SettingError: There are no frames, or a side is not a multiple of two patches.

    >>> patches, grid = patchify(np.zeros((3, 16, 32, 3), np.uint8))
    >>> patches.shape, grid.tolist(), float(patches[0, 0])
    ((16, 384), [[2, 2, 4]], -1.0)
    """
    n, height, width = images.shape[:3]
    if not n or height % (MERGE * patch) or width % (MERGE * patch) or not height or not width:
        raise SettingError(f"frames of {width}x{height} cannot be cut into tokens of {MERGE * patch} pixels")
    if n % TEMPORAL:
        images = np.concatenate([images, images[-1:]])
    steps, rows, columns = len(images) // TEMPORAL, height // patch, width // patch
    parts = images.reshape(
        steps, TEMPORAL, rows // MERGE, MERGE, patch, columns // MERGE, MERGE, patch, 3
    )  # fmt: skip
    # moved about as bytes, which is a quarter of the work
    moved = np.ascontiguousarray(parts.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7))
    patches = moved.reshape(steps * rows * columns, -1).astype(np.float32)
    patches -= np.float32(127.5)
    patches /= np.float32(127.5)
    return patches, np.array([[steps, rows, columns]])

"""Floating-point operations of a forward pass by formula; a multiplication and an addition count as two.

The matrix products of linear layers and of attention are counted. Left out are normalisation, activations and softmax,
which are not matrix products. A backward pass takes twice as much as a forward pass.
"""

from whenwhere.models.encoders.config import Masking, TextConfig, VideoConfig


def video_flops(config: VideoConfig, masking: Masking | None = None, frames: int | None = None) -> float:
    """Operations of `VideoEncoder` for one clip.

    Args:
        config: The encoder.
        masking: Tokens that are dropped. None means none.
        frames: Frames of the clip. None means the configuration's.

    >>> unmasked = video_flops(VideoConfig())
    >>> f"{unmasked / 1e9:.0f} GFLOPs, {video_flops(VideoConfig(), Masking('random', 0.9)) / unmasked:.3f} of them"
    '359 GFLOPs, 0.078 of them'
    """
    width, inner = config.width, config.inner
    steps, patches = (frames or config.frames) // config.tubelet, config.grid**2
    video = kept_tokens(masking, steps, patches, even=config.attention == "frame")
    sequences = 1
    if config.attention == "frame":
        sequences = masking.kept_of(steps) if masking is not None and masking.kind == "frame" else steps
    count = video // sequences + config.class_token
    groups = config.group_tokens
    length = count + (groups if config.group_attention else 0)
    total = 2.0 * video * 3 * config.tubelet * config.patch**2 * width
    total += sequences * config.layers * block_flops(length, width, inner)
    for _ in config.group_layers:
        look = 2 * (groups * 2 + video * 2) * width**2 + 4 * groups * video * width
        assign = 2 * (groups * 2 + video * 2) * width**2 + 4 * groups * video * width
        total += look + assign + 2 * 4 * groups * width * inner
    if config.pooling == "attention":
        total += 2 * width**2 + sequences * (2 * (1 + 2 * count) * width**2 + 4 * count * width + 4 * width * inner)
        # the embeddings of time steps take the way of a value through the same head
        total += 0 if config.attention == "frame" else steps * (4 * width**2 + 4 * width * inner)
    if config.projection:
        total += 2 * (sequences if config.attention == "frame" else 1 + steps) * width * config.output
    if config.attention == "joint" and video < steps * patches:
        # which tokens belong to which time step differs from clip to clip: their means are a matrix product
        total += 2 * steps * video * width
    return total + 2.0 * groups * width * config.output


def text_flops(config: TextConfig, tokens: int | None = None) -> float:
    """Operations of a `TextEncoder` of the kind `clip` for one text.

    Args:
        config: The encoder.
        tokens: Tokens of the text. None means the whole context.
    """
    count = tokens or config.context
    total = config.layers * block_flops(count, config.width, config.inner)
    return total + (2.0 * config.width * config.output if config.projection else 0)


def kept_tokens(masking: Masking | None, steps: int, patches: int, even: bool = False) -> int:
    """Number of video tokens of a clip that are kept.

    Args:
        masking: Tokens that are dropped. None means none.
        steps: Time steps of the clip.
        patches: Patches of a time step.
        even: Whether random masking keeps the same number of tokens of every time step.
    """
    if masking is None:
        return steps * patches
    if even and masking.kind == "random":
        return steps * masking.kept_of(patches)
    return masking.kept(steps, patches)


def block_flops(tokens: int, width: int, inner: int) -> float:
    """Operations of one transformer block for one sequence.

    Args:
        tokens: Length of the sequence.
        width: Width of the tokens.
        inner: Inner width of the MLP.
    """
    return tokens * (8.0 * width**2 + 4.0 * width * inner) + 4.0 * tokens**2 * width

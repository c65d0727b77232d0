"""Sizes and choices of a video encoder and a text encoder, checked when they are made.

This module needs no torch, so that a recipe can be checked where torch is not installed.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar, get_args

from whenwhere.errors import SettingError, did_you_mean
from whenwhere.readers import quoted

Activation = Literal["gelu", "quick_gelu", "gelu_tanh"]
Pooling = Literal["class", "mean", "attention"]
TextPooling = Literal["end", "pooler", "last", "mean"]
Assignment = Literal["hard_gumbel", "hard", "soft"]
MaskingKind = Literal["random", "tube", "frame"]

#: Mean and standard deviation of pixels from 0 to 1 with which OpenAI's CLIP was trained.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
#: Largest size that is accepted, so that a mistyped one is refused instead of filling the memory.
_LARGEST = 1 << 24


@dataclass(frozen=True)
class VideoConfig:
    """Sizes and choices of a video encoder.

    The default sizes are those of ViCLIP's ViT-B/16 on 8 frames (arXiv 2307.06942), whose activation, unlike the
    default here, is `quick_gelu`.

    Attributes:
        image_size: Side of a frame in pixels, a multiple of `patch`.
        frames: Frames of a clip, a multiple of `tubelet`. Clips of other lengths are allowed; their temporal positions
            are interpolated.
        patch: Side of a patch in pixels.
        tubelet: Frames that one token covers.
        width: Width of the tokens, C.
        layers: Number of transformer blocks.
        heads: Attention heads of a block; they divide `width`.
        mlp_ratio: Inner width of the MLPs as a multiple of `width`.
        activation: Activation of the MLPs: `gelu`, `quick_gelu` (OpenAI's CLIP) or `gelu_tanh` (SigLIP).
        norm_eps: The term that layer normalisation adds to the variance.
        attention: `joint` lets every token attend to the tokens of all time steps; `frame` to those of its own time
            step, so that each frame is encoded alone and the clip's embedding is the mean of its frames'.
        class_token: Whether there is a class token: one per clip, or one per frame if `attention` is `frame`.
        pooling: What a clip's embedding is made from: the `class` token, the `mean` of the video tokens, or `attention`
            from a learned query to all tokens (SigLIP, PE-Core).
        pooling_heads: Attention heads of that query. None means `heads`.
        output: Size of the embeddings, D.
        projection: Whether a matrix takes pooled tokens to the embedding; without it, `output` equals `width`.
        pre_norm: Whether tokens are normalised before the first block, as in CLIP.
        patch_bias: Whether the embedding of patches has a bias.
        spatial_positions: Whether positions inside a frame are learned and added to the tokens.
        temporal_positions: Whether positions in time are learned and added. They start at zero.
        rope_theta: Base of the rotary positions inside a frame, used in every attention (PE-Core). 0 means none.
        mean: Mean of each colour channel, for pixels from 0 to 1.
        std: Standard deviation of each colour channel.
        drop_path: Probability with which the attention and the MLP of the last block are each skipped for a clip in
            training. Over the blocks it rises linearly from 0.
        group_tokens: Number of group tokens, M. 0 means none.
        group_layers: Layers, counted from 1, after which a grouping block updates the group tokens.
        assignment: How a grouping block assigns video tokens to groups: `hard_gumbel` (one group, drawn with Gumbel
            noise in training), `hard` (one group, without noise) or `soft` (shares that sum to 1).
        group_attention: Whether group tokens take part in the self-attention of the blocks before and between grouping
            blocks.

    Raises:
        SettingError: A size is not positive, or sizes do not fit together.
    """

    image_size: int = 224
    frames: int = 8
    patch: int = 16
    tubelet: int = 1
    width: int = 768
    layers: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    activation: Activation = "gelu"
    norm_eps: float = 1e-5
    attention: Literal["joint", "frame"] = "joint"
    class_token: bool = True
    pooling: Pooling = "class"
    pooling_heads: int | None = None
    output: int = 512
    projection: bool = True
    pre_norm: bool = True
    patch_bias: bool = False
    spatial_positions: bool = True
    temporal_positions: bool = True
    rope_theta: float = 0.0
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    drop_path: float = 0.0
    group_tokens: int = 0
    group_layers: tuple[int, ...] = ()
    assignment: Assignment = "hard_gumbel"
    group_attention: bool = True

    def __post_init__(self) -> None:
        _freeze_lists(self)
        _check_types(self, "video")
        _check_positive(self, "video", ["image_size", "frames", "patch", "tubelet", "output"])
        _check_positive(
            self, "video", ["width", "layers", "heads", *(["pooling_heads"] if self.pooling_heads is not None else [])]
        )
        for divisor, whole in (
            ("patch", "image_size"),
            ("tubelet", "frames"),
            ("heads", "width"),
            ("pooling_heads", "width"),
        ):
            _check_divides(self, "video", divisor, whole)
        _check_number(self, "video", "mlp_ratio", 1 / self.width, 100)
        _check_number(self, "video", "norm_eps", 0, 1)
        _check_number(self, "video", "rope_theta", 0, 1e9)
        _check_number(self, "video", "drop_path", 0, 0.99)
        if self.rope_theta and self.head_size % 4:
            raise SettingError(
                f"rotary positions need heads whose size is a multiple of 4, not {self.head_size}: change width "
                f"({self.width}) or heads ({self.heads}) of the video encoder"
            )
        if self.pooling == "class" and not self.class_token:
            raise SettingError(
                "pooling is class but class_token is false: set class_token to true, or pooling to mean or attention"
            )
        _check_projection(self, "video")
        if min(self.std) <= 0:
            raise SettingError(f"std of the video encoder is above 0 for every channel, not {list(self.std)}")
        self._check_groups()

    def _check_groups(self) -> None:
        layers = self.group_layers
        if self.group_tokens < 0:
            raise SettingError(f"group_tokens of the video encoder is 0 or more, not {self.group_tokens}")
        if self.group_tokens and not layers:
            raise SettingError(
                f"the video encoder has {self.group_tokens} group tokens but no grouping block: name the layers after "
                "which there is one in group_layers, such as [6, 9, 12], or set group_tokens to 0"
            )
        if layers and not self.group_tokens:
            raise SettingError(
                f"group_layers of the video encoder is {list(layers)} but there are no group tokens: set group_tokens, "
                "or leave group_layers empty"
            )
        for layer in layers:
            if not 1 <= layer <= self.layers:
                raise SettingError(
                    f"group_layers of the video encoder names layer {layer}, but layers are counted from 1 to "
                    f"{self.layers}"
                )
        if len(set(layers)) < len(layers):
            raise SettingError(f"group_layers of the video encoder names a layer twice: {list(layers)}")
        if layers and self.attention == "frame":
            raise SettingError(
                "group tokens need attention between frames: set the attention of the video encoder to joint"
            )

    @property
    def steps(self) -> int:
        """Time steps of a clip, T'."""
        return self.frames // self.tubelet

    @property
    def grid(self) -> int:
        """Patches along each side of a frame."""
        return self.image_size // self.patch

    @property
    def tokens(self) -> int:
        """Video tokens of a whole clip, L, without class and group tokens."""
        return self.steps * self.grid**2

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads

    @property
    def inner(self) -> int:
        """Inner width of the MLPs."""
        return round(self.width * self.mlp_ratio)


@dataclass(frozen=True)
class TextConfig:
    """Sizes and choices of a text encoder.

    The default sizes are those of the causal transformer of OpenAI's CLIP B/16 (arXiv 2103.00020), whose activation,
    unlike the default here, is `quick_gelu`.

    Attributes:
        kind: `clip` for a causal transformer pooled at the token that ends a text; `transformers` for any text model of
            that library.
        output: Size of the embeddings, D.
        context: Most tokens of a text; longer ones are cut.
        vocabulary: Number of tokens; `clip` only.
        end: Id of the token that ends a text; `clip` only.
        width: Width of the tokens; `clip` only, as are the next five.
        layers: Number of transformer blocks.
        heads: Attention heads of a block; they divide `width`.
        mlp_ratio: Inner width of the MLPs as a multiple of `width`.
        activation: Activation of the MLPs.
        norm_eps: The term that layer normalisation adds to the variance.
        checkpoint: Hub id or folder of the text model; `transformers` only.
        pooling: Which tokens the embedding is made from: the `end` token, the model's own `pooler`, the `last` token
            that is not padding, or the `mean` of those; `clip` has `end` only.
        padding: Whether texts are padded to the `longest` of a batch, or all to the whole `context`, as in SigLIP's
            training.
        lower: Whether texts are put into lower case before they are tokenized, as in SigLIP's and SigLIP 2's training.
        strip_punctuation: Whether punctuation is taken out of texts before they are tokenized, as in ViCLIP's training
            (`text.without_punctuation`).
        projection: Whether a matrix takes the pooled tokens to the embedding; without it, `output` equals the width.
        projection_bias: Whether that matrix has a bias.
        frozen: Whether the encoder is left as it is in training. Of the kind `transformers`, the projection, which no
            checkpoint has trained, is trained all the same.

    Raises:
        SettingError: A size is not positive, or sizes do not fit together.
    """

    kind: Literal["clip", "transformers"] = "clip"
    output: int = 512
    context: int = 77
    vocabulary: int = 49408
    end: int = 49407
    width: int = 512
    layers: int = 12
    heads: int = 8
    mlp_ratio: float = 4.0
    activation: Activation = "gelu"
    norm_eps: float = 1e-5
    checkpoint: str | None = None
    pooling: TextPooling = "end"
    padding: Literal["longest", "context"] = "longest"
    lower: bool = False
    strip_punctuation: bool = False
    projection: bool = True
    projection_bias: bool = False
    frozen: bool = False

    def __post_init__(self) -> None:
        _freeze_lists(self)
        _check_types(self, "text")
        _check_positive(self, "text", ["output", "context"])
        if self.kind == "transformers":
            if not self.checkpoint:
                raise SettingError(
                    "a text encoder of the kind transformers needs the hub id or folder of its model: set checkpoint"
                )
            if self.pooling == "end":
                raise SettingError(
                    "a text encoder of the kind transformers has no pooling end: set pooling to pooler, last or mean"
                )
            return
        if self.checkpoint is not None:
            raise SettingError(
                "a text encoder of the kind clip is not made from a checkpoint: set kind to transformers, or remove "
                "checkpoint"
            )
        if self.pooling != "end":
            raise SettingError(f"a text encoder of the kind clip has the pooling end, not {self.pooling}")
        _check_positive(self, "text", ["vocabulary", "width", "layers", "heads"])
        _check_divides(self, "text", "heads", "width")
        _check_number(self, "text", "mlp_ratio", 1 / self.width, 100)
        _check_number(self, "text", "norm_eps", 0, 1)
        if not 0 <= self.end < self.vocabulary:
            raise SettingError(
                f"end of the text encoder is the id of a token, from 0 to {self.vocabulary - 1}, not {self.end}"
            )
        _check_projection(self, "text")

    @property
    def inner(self) -> int:
        """Inner width of the MLPs."""
        return round(self.width * self.mlp_ratio)


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes and choices of a video encoder and a text encoder with a joint embedding space.

    Attributes:
        video: The video encoder.
        text: The text encoder.

    Raises:
        SettingError: Their embeddings have different sizes.
    """

    video: VideoConfig = field(default_factory=VideoConfig)
    text: TextConfig = field(default_factory=TextConfig)

    def __post_init__(self) -> None:
        if self.video.output != self.text.output:
            raise SettingError(
                f"video embeddings have {self.video.output} numbers and text embeddings {self.text.output}: set output "
                "of both to the same size"
            )

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON values."""
        return {"video": asdict(self.video), "text": asdict(self.text)}

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any]) -> "EncoderConfig":
        """The configuration that JSON or TOML tables `video` and `text` describe; what they leave out has its default.

        Raises:
            SettingError: A table or key is unknown, or a value is not allowed.

        >>> EncoderConfig.from_dict({"video": {"width": 64, "heads": 4, "group_layers": [6]}}).video.width
        Traceback (most recent call last):
        ...
        whenwhere.errors.SettingError: group_layers of the video encoder is [6] but there are no group tokens: ...
        """
        for key in tables:
            if key not in ("video", "text"):
                raise SettingError(f"an encoder has the tables video and text, not {quoted(key)}")
        return cls(
            config_from_table(VideoConfig, tables.get("video", {}), "video"),
            config_from_table(TextConfig, tables.get("text", {}), "text"),
        )


@dataclass(frozen=True)
class Masking:
    """Which video tokens are dropped in a training step; class and group tokens never are.

    Attributes:
        kind: `random` drops tokens of a clip independently of each other (ViCLIP; with `attention = "frame"`, equally
            many of each time step); `tube` the same patches of each time step, so that every time step keeps some;
            `frame` whole time steps.
        ratio: Share of tokens that are dropped, from 0 to below 1. At least one token is kept.

    Raises:
        SettingError: The kind is unknown, or the ratio out of range.

    >>> Masking("random", 0.9).kept(8, 196), Masking("tube", 0.9).kept(8, 196), Masking("frame", 0.9).kept(8, 196)
    (157, 160, 196)
    """

    kind: MaskingKind = "random"
    ratio: float = 0.0

    def __post_init__(self) -> None:
        _check_types(self, "masking")
        if not 0 <= self.ratio < 1:
            raise SettingError(f"the masking ratio is 0 or more and below 1, not {self.ratio:g}")

    def kept(self, steps: int, patches: int) -> int:
        """Number of tokens that are kept of a clip.

        Args:
            steps: Time steps of the clip.
            patches: Patches of a time step.
        """
        if self.kind == "tube":
            return steps * self.kept_of(patches)
        if self.kind == "frame":
            return self.kept_of(steps) * patches
        return self.kept_of(steps * patches)

    def kept_of(self, count: int) -> int:
        """Number of patches, time steps or tokens that are kept of `count` of them; at least 1."""
        # in floating point 0.7 * 10 is a little more than 7 and 0.29 * 100 a little less than 29; both mean the number
        return max(1, count - math.floor(self.ratio * count + 1e-9))


Config = TypeVar("Config", VideoConfig, TextConfig)


def config_from_table(kind: type[Config], table: object, name: str) -> Config:
    """A configuration made from a table of JSON or TOML values.

    Args:
        kind: The class of the configuration.
        table: The values by key.
        name: What the table is called in messages.

    Raises:
        SettingError: The table does not hold keys and values, has an unknown key, or a value is not allowed.
    """
    if not isinstance(table, Mapping):
        raise SettingError(f"the table {name} of an encoder holds keys and values, not {quoted(table)}")
    known = [f.name for f in dataclasses.fields(kind)]
    for key in table:
        if key not in known:
            raise SettingError(
                f"the {name} encoder has no setting {quoted(key)}{did_you_mean(str(key), known)}: correct or remove it"
            )
    return kind(**table)


def _freeze_lists(config: VideoConfig | TextConfig) -> None:
    # JSON and TOML know lists only, and a frozen configuration must not change
    for f in dataclasses.fields(config):
        if isinstance(value := getattr(config, f.name), list):
            object.__setattr__(config, f.name, tuple(value))


def _check_types(config: VideoConfig | TextConfig | Masking, name: str) -> None:
    """Refuses values whose type is not that of the field; JSON, TOML and overrides may bring such values."""
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        choices = get_args(f.type) if "Literal" in str(f.type) else ()
        right, wanted = True, ""
        if choices:
            right, wanted = isinstance(value, str) and value in choices, f"one of {', '.join(map(str, choices))}"
        elif f.type is bool:
            right, wanted = isinstance(value, bool), "true or false"
        elif f.type is int or f.type == int | None:
            right, wanted = _is_int(value) or (f.type is not int and value is None), "a whole number"
        elif f.type is float:
            right, wanted = _is_number(value), "a number"
        elif f.type == str | None:
            right, wanted = value is None or isinstance(value, str), "a text"
        elif f.name == "group_layers":
            right, wanted = isinstance(value, tuple) and all(map(_is_int, value)), "a list of whole numbers"
        elif f.name in ("mean", "std"):
            right = isinstance(value, tuple) and len(value) == 3 and all(map(_is_number, value))
            wanted = "a list of three numbers"
        if not right:
            whose = "a masking" if name == "masking" else f"the {name} encoder"
            raise SettingError(f"{f.name} of {whose} is {wanted}, not {quoted(value)}")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_positive(config: VideoConfig | TextConfig, name: str, keys: list[str]) -> None:
    for key in keys:
        value = getattr(config, key)
        if value < 1:
            raise SettingError(f"{key} of the {name} encoder is 1 or more, not {value}")
        if value > _LARGEST:
            raise SettingError(f"{key} of the {name} encoder is at most {_LARGEST}, not {value}")


def _check_number(config: VideoConfig | TextConfig, name: str, key: str, low: float, high: float) -> None:
    if not low <= getattr(config, key) <= high:
        raise SettingError(f"{key} of the {name} encoder is between {low:g} and {high:g}, not {getattr(config, key):g}")


def _check_divides(config: VideoConfig | TextConfig, name: str, divisor: str, whole: str) -> None:
    small, large = getattr(config, divisor), getattr(config, whole)
    if small is not None and large % small:
        raise SettingError(
            f"{whole} of the {name} encoder ({large}) is not a multiple of {divisor} ({small}): change one of them"
        )


def _check_projection(config: VideoConfig | TextConfig, name: str) -> None:
    if not config.projection and config.output != config.width:
        raise SettingError(
            f"the {name} encoder has no projection, so its output ({config.output}) must equal its width "
            f"({config.width}): change one of them, or set projection to true"
        )

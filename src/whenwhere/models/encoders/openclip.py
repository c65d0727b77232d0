"""Checkpoints of open_clip as encoders, through the package `open_clip_torch`, PE-Core among them.

A checkpoint is a folder or hub id with `open_clip_config.json`, or the name of one of open_clip's models and a file of
its weights, `ViT-B-32-quickgelu:weights.safetensors`. A file of weights does not say what it was trained with, so that
the name of the model decides: OpenAI's weights need a model whose name ends in `-quickgelu`, and pictures are resized
and normalised as for open_clip's own weights of that model. Where those differ among each other (ViT-L-14, ViT-H-14),
the model's default is taken, CLIP's; name a folder or hub id if the weights were trained otherwise.

Pictures and texts go through the checkpoint's own transforms and tokenizer. Embeddings of patches are projected as the
class token is; where an attention pooling head ends the model (PE-Core, SigLIP), the head is given one patch at a time.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import ModelError
from whenwhere.models.encoders.base import ImageEncoder
from whenwhere.models.vlm import loading_errors, require_packages

if TYPE_CHECKING:
    from torch import Tensor

#: The file that describes a checkpoint of open_clip in its folder.
OPEN_CLIP_CONFIG = "open_clip_config.json"
#: Endings of files of weights.
WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
#: The settings of a preprocessing that open_clip's list of weights names, beside those of the model.
_PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")


def is_weights_name(name: str) -> bool:
    """Whether a name consists of a model of open_clip and a file of its weights (`MODEL:FILE`).

    Args:
        name: The name.

    >>> is_weights_name("ViT-B-32:clip.safetensors"), is_weights_name("runs/clip")
    (True, False)
    """
    model, colon, file = name.partition(":")
    return bool(model and colon) and "/" not in model and file.endswith(WEIGHT_SUFFIXES)


class OpenClipEncoder(ImageEncoder):
    """A model of open_clip; frames are embedded one by one.

    Args:
        name: Folder or hub id of a checkpoint, or the name of a model and a file of its weights (`MODEL:FILE`).
        device: Where the model runs. None takes an accelerator if there is one.

    Raises:
        ModelError: open_clip is not installed, or the checkpoint cannot be loaded.
    """

    def __init__(self, name: str, device: str | None = None) -> None:
        require_packages("an encoder")
        super().__init__(name, device)
        try:
            import open_clip
        except ImportError as e:
            raise ModelError(
                f"{name} is a checkpoint of open_clip, which is not installed: pip install open_clip_torch"
            ) from e
        with loading_errors(str(Path(name) / OPEN_CLIP_CONFIG) if Path(name).is_dir() else name):
            self.model, self._tokenizer = _load(open_clip, name)
            self.model.to(self.device).eval()
        self._visual: Any = self.model.visual
        settings = open_clip.transform.PreprocessCfg(**self._visual.preprocess_cfg)
        self._transform = open_clip.transform.image_transform_v2(settings, is_train=False)
        side = self._visual.image_size
        self.image_size = (side, side) if isinstance(side, int) else (int(side[0]), int(side[1]))
        self.scale = float(self.model.logit_scale.detach().exp())
        self.dimension = self._texts(["a"]).shape[-1]

    def _pictures(self, images: NDArray[np.uint8]) -> "tuple[Tensor, Tensor | None]":
        import torch
        from PIL import Image

        pixels = torch.stack([self._transform(Image.fromarray(image)) for image in images]).to(self.device)
        if hasattr(self._visual, "trunk"):
            return self._timm(pixels)
        visual = self._visual
        if visual.__class__.__name__ != "VisionTransformer" or visual.attn_pool is not None:
            return visual(pixels), None
        tokens = visual.transformer(visual._embeds(pixels))
        pooled = visual._pool(tokens)[0]
        dense = visual.ln_post(tokens[:, 1:])
        if visual.proj is not None:
            pooled, dense = pooled @ visual.proj, dense @ visual.proj
        return pooled, _grid(dense, pixels)

    def _timm(self, pixels: "Tensor") -> "tuple[Tensor, Tensor | None]":
        trunk, head = self._visual.trunk, self._visual.head
        tokens = trunk.forward_features(pixels)
        pooled = head(trunk.forward_head(tokens))
        if getattr(trunk, "attn_pool", None) is None or tokens.ndim != 3:
            return pooled, None
        patches = tokens[:, trunk.num_prefix_tokens :]
        dense = head(trunk.forward_head(patches.reshape(-1, 1, patches.shape[-1])))
        return pooled, _grid(dense.reshape(len(patches), patches.shape[1], -1), pixels)

    def _texts(self, texts: list[str]) -> "Tensor":
        return self.model.encode_text(self._tokenizer(texts).to(self.device))


def clip_tokenizer(context: int = 77) -> Any:
    """CLIP's tokenizer as one of transformers, from the vocabulary that comes with open_clip.

    Args:
        context: Most tokens of a text.

    Raises:
        ModelError: open_clip is not installed.
    """
    try:
        from open_clip.tokenizer import SimpleTokenizer
    except ImportError as e:
        raise ModelError("CLIP's vocabulary comes with open_clip: pip install open_clip_torch") from e
    from transformers import CLIPTokenizer

    theirs = SimpleTokenizer()
    merges = [pair for pair, _ in sorted(theirs.bpe_ranks.items(), key=lambda item: item[1])]
    rename = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {rename.get(token, token): number for token, number in theirs.encoder.items()}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=context)


def _load(open_clip: Any, name: str) -> tuple[Any, Any]:
    """The model and the tokenizer of a name."""
    if not is_weights_name(name):
        source = f"local-dir:{name}" if Path(name).is_dir() else f"hf-hub:{name}"
        return open_clip.create_model(source, require_pretrained=True), open_clip.get_tokenizer(source)
    kind, _, file = name.partition(":")
    if kind not in open_clip.list_models():
        raise ModelError(f"open_clip has no model {kind!r}: open_clip.list_models() names those it has")
    path = Path(file).expanduser()
    if not path.is_file() or not path.stat().st_size:
        raise ModelError(f"the file of weights {file} is missing or empty: give the path of one, {kind}:FILE")
    model = open_clip.create_model(
        kind, load_weights=False, pretrained_text=False, force_preprocess_cfg=_preprocessing(open_clip, kind)
    )
    state = open_clip.factory.load_state_dict(str(path), weights_only=True)
    wrong = _misfit(model.state_dict(), state)
    if wrong:
        raise ModelError(
            f"the weights in {file} are not those of open_clip's {kind}: {wrong}; name the model that they belong to"
        )
    model.load_state_dict(state, strict=False)
    return model, open_clip.get_tokenizer(kind)


def _preprocessing(open_clip: Any, kind: str) -> dict[str, Any] | None:
    """How pictures are prepared for all weights of a model that open_clip lists; None if they differ, or it lists none.

    `create_model` takes this from the name of the weights, which a file does not have, and prepares pictures for SigLIP
    and PE-Core as for CLIP otherwise.
    """
    found = [open_clip.get_pretrained_cfg(kind, tag) for tag in open_clip.list_pretrained_tags_by_model(kind)]
    settings = [{key: one[key] for key in _PREPROCESSING if key in one} for one in found]
    return settings[0] if settings and all(one == settings[0] for one in settings) else None


def _misfit(expected: dict[str, "Tensor"], state: dict[str, "Tensor"]) -> str | None:
    """The first difference of names or shapes, as the end of a sentence; None if there is none."""
    for key, value in expected.items():
        # the causal mask is computed and not learned, so that a file need not hold it
        if key.endswith("attn_mask"):
            continue
        if key not in state:
            return f"they have no {key}"
        if state[key].shape != value.shape:
            return f"{key} has the shape {tuple(state[key].shape)}, not {tuple(value.shape)}"
    more = sorted(set(state) - set(expected) - {"input_resolution", "context_length", "vocab_size"})
    return f"they hold {more[0]}, which that model has not" if more else None


def _grid(tokens: "Tensor", pixels: "Tensor") -> "Tensor | None":
    """Tokens (n, L, D) laid out in rows and columns of square patches, (n, h, w, D)."""
    count, height, width = tokens.shape[1], pixels.shape[-2], pixels.shape[-1]
    rows = round((count * height / width) ** 0.5)
    return tokens.reshape(len(tokens), rows, -1, tokens.shape[-1]) if rows and count % rows == 0 else None

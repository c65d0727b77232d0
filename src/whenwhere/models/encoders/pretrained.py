"""CLIP, SigLIP, their relatives and VideoPrism as encoders, through transformers, by folder or hub id.

Pictures and texts go through the checkpoint's own processor: size, crop, interpolation, mean and deviation are what it
was trained with. Processors of the CLIP family cut the middle out of a wide frame; hand over square frames if all of it
is to be seen. Texts for SigLIP and SigLIP 2 are put into lower case first, since some released tokenizers of SigLIP 2
leave out that step of its training. VideoPrism is a video encoder: its clips have a fixed number of frames.

Embeddings of patches, for heat maps: CLIP's last tokens go through its final norm and projection; where an attention
pooling head ends the model (SigLIP, VideoPrism), the head is given one patch at a time.

Left out: families that were not tested here, and X-CLIP and PE-AV (PE-Core comes through `openclip`). Weights that a
checkpoint lacks are an error, and code that comes with one is never run.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import ModelError
from whenwhere.models.encoders.base import ImageEncoder, TorchEncoder, unit
from whenwhere.models.encoders.encoder import ClipEmbeddings
from whenwhere.models.pretrained import load_config
from whenwhere.models.vlm import loading_errors

if TYPE_CHECKING:
    from torch import Tensor

#: Families of image encoders by transformers' `model_type`, and whether the family is one of SigLIP's, whose texts
#: were in lower case and padded to full length in training.
IMAGE_KINDS = {
    "clip": False, "metaclip_2": False, "altclip": False, "chinese_clip": False, "siglip": True, "siglip2": True,
}  # fmt: skip
VIDEO_KIND = "videoprism"


def open_pretrained(name: str, device: str | None = None) -> TorchEncoder:
    """Opens a checkpoint of transformers as an encoder.

    Args:
        name: Folder or hub id.
        device: Where the model runs. None takes an accelerator if there is one.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        ModelError: The checkpoint cannot be loaded, or does not embed pictures and texts in one space.
    """
    config = load_config(name)
    kind = config.model_type
    if kind in IMAGE_KINDS:
        return PretrainedImageEncoder(name, config, device)
    if kind == VIDEO_KIND:
        return VideoPrismEncoder(name, config, device)
    raise ModelError(
        f"{name} is of the kind {kind}, which does not embed pictures and texts in one space as far as is known here: "
        f"name a checkpoint of {', '.join(IMAGE_KINDS)} or {VIDEO_KIND}"
    )


class PretrainedImageEncoder(ImageEncoder):
    """A checkpoint of the CLIP or SigLIP families; frames are embedded one by one.

    Args:
        name: Folder or hub id.
        config: The checkpoint's configuration.
        device: Where the model runs.
    """

    def __init__(self, name: str, config: Any, device: str | None = None) -> None:
        super().__init__(name, device)
        self.processor, self.model = _load(name, self.device)
        self._lower = self._full_length = IMAGE_KINDS[config.model_type]
        vision = config.vision_config
        if config.model_type == "siglip2":
            side = int(self.processor.image_processor.max_num_patches**0.5) * vision.patch_size
        else:
            side = vision.image_size
        self.image_size = (side, side)
        self.scale = float(self.model.logit_scale.detach().exp())
        self.dimension = self._texts(["a"]).shape[-1]

    def _pictures(self, images: NDArray[np.uint8]) -> "tuple[Tensor, Tensor | None]":
        inputs = self._pixels(images)
        out = self.model.get_image_features(**inputs)
        return out.pooler_output, self._patches(out.last_hidden_state, inputs)

    def _pixels(self, images: NDArray[np.uint8]) -> Any:
        made = self.processor.image_processor(
            images=list(images), input_data_format="channels_last", return_tensors="pt"
        )
        return made.to(self.device)

    def _attention(self, clips: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        if self.model.config.model_type == "siglip2":  # which pads its patches
            return None
        pixels = self._pixels(clips.reshape(-1, *clips.shape[2:]))["pixel_values"]
        tower = self.model.vision_model
        if getattr(tower, "head", None):
            tokens = tower(pixels).last_hidden_state
            weights = tower.head.attention(tower.head.probe.expand(len(tokens), -1, -1), tokens, tokens)[1][:, 0]
        else:
            before = tower.config._attn_implementation
            self.model.set_attn_implementation("eager")  # the others keep no weights
            try:
                weights = tower(pixels, output_attentions=True).attentions[-1][:, :, 0, 1:].mean(1)
            finally:
                self.model.set_attn_implementation(before)
        side = round(weights.shape[1] ** 0.5)
        return weights.float().cpu().numpy().reshape(*clips.shape[:2], side, side)

    def _patches(self, tokens: "Tensor", inputs: Any) -> "Tensor | None":
        tower = self.model.vision_model
        if not hasattr(self.model, "visual_projection"):
            if not getattr(tower, "head", None):
                return None
            if (shapes := inputs.get("spatial_shapes")) is not None:
                if (shapes != shapes[0]).any():
                    return None
                rows, columns = (int(n) for n in shapes[0])
                tokens = tokens[:, : rows * columns]
            else:
                rows = columns = round(tokens.shape[1] ** 0.5)
            dense = tower.head(tokens.reshape(-1, 1, tokens.shape[-1]))
            return dense.reshape(len(tokens), rows, columns, -1)
        dense = self.model.visual_projection(tower.post_layernorm(tokens[:, 1:]))
        side = round(dense.shape[1] ** 0.5)
        return dense.reshape(len(dense), side, side, -1)

    def _texts(self, texts: list[str]) -> "Tensor":
        config = self.model.config.text_config
        return _text_features(
            self, texts, min(self.processor.tokenizer.model_max_length, config.max_position_embeddings)
        )


class VideoPrismEncoder(TorchEncoder):
    """VideoPrism's video-text model. A frame by itself is embedded as a still clip, since the model knows only clips.

    Args:
        name: Folder or hub id.
        config: The checkpoint's configuration.
        device: Where the model runs.
    """

    #: The model holds no temperature; its authors divide cosines by .01.
    scale = 100.0
    _lower, _full_length = False, True

    def __init__(self, name: str, config: Any, device: str | None = None) -> None:
        super().__init__(name, device)
        self.processor, self.model = _load(name, self.device)
        vision = config.vision_config
        side = vision.image_size
        self.image_size = (side, side) if isinstance(side, int) else (side[0], side[1])
        self.frames, self._tubelet = vision.num_frames, vision.tubelet_size
        self.dimension = vision.hidden_size

    def _frames(self, images: NDArray[np.uint8]) -> "Tensor":
        return self._features(np.repeat(images[:, None], self.frames, 1)).pooler_output.flatten(1)

    def _clips(self, clips: NDArray[np.uint8]) -> ClipEmbeddings:
        if clips.shape[1] != self.frames:
            raise ModelError(
                f"{self.name} embeds clips of {self.frames} frames, not of {clips.shape[1]}: sample {self.frames} of "
                "them"
            )
        out = self._features(clips)
        batch, size = len(clips), out.last_hidden_state.shape[-1]
        rows, columns = (n // p for n, p in zip(self.image_size, self._tubelet[1:], strict=True))
        tokens = out.last_hidden_state.reshape(-1, rows * columns, size)
        frames = self._head(tokens).reshape(batch, -1, size)
        patches = self._head(tokens.reshape(-1, 1, size)).reshape(batch, -1, rows, columns, size)
        return ClipEmbeddings(unit(out.pooler_output.flatten(1)), unit(frames), unit(patches))

    def _features(self, clips: NDArray[np.uint8]) -> Any:
        inputs = self.processor(videos=list(clips), do_sample_frames=False, return_tensors="pt")
        return self.model.get_video_features(inputs["pixel_values_videos"].to(self.device))

    def _head(self, tokens: "Tensor") -> "Tensor":
        tower = self.model.video_model
        return tower.head_layernorm(tower.head(tokens)[0])

    def _texts(self, texts: list[str]) -> "Tensor":
        return _text_features(self, texts, self.model.config.text_config.max_position_embeddings)


def _load(name: str, device: str) -> tuple[Any, Any]:
    """The processor and the model of a checkpoint, on its device and ready for inference."""
    from transformers import AutoModel, AutoProcessor

    with loading_errors(name):
        processor = AutoProcessor.from_pretrained(name, trust_remote_code=False)
        tokenizer = getattr(processor, "tokenizer", None)
        # without the tokenizer's files transformers makes one that knows nothing but special tokens
        if tokenizer is None or len(tokenizer) <= len(tokenizer.all_special_ids) + 1:
            raise ModelError(f"{name} has no tokenizer: add the tokenizer's files to the checkpoint")
        model, info = AutoModel.from_pretrained(name, trust_remote_code=False, output_loading_info=True)
        if lacking := sorted(info["missing_keys"]):
            raise ModelError(
                f"{name} lacks {len(lacking)} weights, {lacking[0]} among them: fetch the whole checkpoint again"
            )
        return processor, model.to(device).eval()


def _text_features(encoder: PretrainedImageEncoder | VideoPrismEncoder, texts: list[str], length: int) -> "Tensor":
    """Embeddings of texts of at most `length` tokens, shape (n, D), of any length."""
    tokens = encoder.processor.tokenizer(
        [text.lower() for text in texts] if encoder._lower else texts,
        padding="max_length" if encoder._full_length else True,
        truncation=True,
        max_length=length,
        return_tensors="pt",
    ).to(encoder.device)
    return encoder.model.get_text_features(**tokens).pooler_output

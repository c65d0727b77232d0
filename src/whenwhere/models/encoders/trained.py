"""Encoders that were trained here (`model.VideoTextModel`) behind the protocol `encoder.Encoder`."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import ModelError
from whenwhere.models.encoders.base import TorchEncoder, unit
from whenwhere.models.encoders.encoder import ClipEmbeddings

if TYPE_CHECKING:
    from torch import Tensor

    from whenwhere.models.encoders.model import VideoTextModel


class TrainedEncoder(TorchEncoder):
    """A video encoder and a text encoder of this package.

    Clips may have another number of frames than those of training, as long as they can be cut into time steps. A frame
    by itself is embedded as a still clip of one time step.

    Args:
        name: The encoder's name as the user gave it.
        model: The model, which is moved to the device and set to evaluation.
        device: Where the model runs. None takes an accelerator if there is one.

    Raises:
        ModelError: The model has no tokenizer.
    """

    def __init__(self, name: str, model: "VideoTextModel", device: str | None = None) -> None:
        super().__init__(name, device)
        if model.text.tokenizer is None:
            raise ModelError(f"{name} has no tokenizer: add the folder tokenizer/ of the model that it was made from")
        self.model = model.to(self.device).eval()
        video = model.config.video
        self.frames, self.image_size = video.frames, (video.image_size, video.image_size)
        self.dimension, self.scale = video.output, float(model.logit_scale.detach().exp())
        self._tubelet = video.tubelet

    def _frames(self, images: NDArray[np.uint8]) -> "Tensor":
        return self.model.video.embed(self.model.pixels(np.repeat(images[:, None], self._tubelet, 1)))

    def _clips(self, clips: NDArray[np.uint8]) -> ClipEmbeddings:
        if clips.shape[1] % self._tubelet:
            raise ModelError(
                f"{self.name} cuts clips into time steps of {self._tubelet} frames: {clips.shape[1]} frames are not a "
                "multiple of that"
            )
        pixels = self.model.pixels(clips)
        out = self.model.video(pixels)
        side = self.model.config.video.grid
        places = (clips.shape[1] // self._tubelet, side, side)
        patches = self.model.video.project(out.tokens)
        return ClipEmbeddings(
            unit(out.pooled),
            unit(out.frames),
            unit(patches).reshape(len(clips), *places, -1),
            None if out.groups is None else unit(out.groups),
            out.assignments[-1].float().cpu().numpy().reshape(len(clips), -1, *places) if out.assignments else None,
        )

    def _attention(self, clips: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        video = self.model.video
        if video.config.pooling == "mean":
            return None
        inputs: list[tuple[Tensor, ...]] = []
        # the kernels of attention keep no weights, which are therefore computed again from the inputs
        layer = video.blocks[-1].attention if video.pool is None else video.pool
        hook = layer.register_forward_pre_hook(lambda module, given: inputs.append(given))
        try:
            video(self.model.pixels(clips))
        finally:
            hook.remove()
        weights = layer.weights(*inputs[0][:2])
        first, side = int(video.class_token is not None), video.config.grid
        steps = clips.shape[1] // self._tubelet
        count = side**2 * (1 if video.config.attention == "frame" else steps)
        return weights[:, first : first + count].float().cpu().numpy().reshape(len(clips), steps, side, side)

    def unknown_words(self, text: str) -> list[str]:
        """The words that the tokenizer has no token for, if it is one of whole words.

        Args:
            text: A text.
        """
        tokenizer = self.model.text.tokenizer
        unknown = tokenizer.unk_token_id
        if unknown is None:
            return []
        return [w for w in text.split() if unknown in tokenizer(w, add_special_tokens=False)["input_ids"]]

    def _texts(self, texts: list[str]) -> "Tensor":
        tokens = self.model.text.tokenize(texts)
        return self.model.text(**{key: value.to(self.device) for key, value in tokens.items()})

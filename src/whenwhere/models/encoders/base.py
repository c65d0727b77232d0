"""What encoders that run in torch have in common: batches of bounded size, unit length, and errors in a sentence.

`TorchEncoder` implements the protocol `encoder.Encoder` on top of three methods that a kind of checkpoint provides.
`ImageEncoder` does so for checkpoints that take single pictures only: each frame is embedded alone, and a clip is the
mean of its frames' unit embeddings, as in CLIP4Clip's mean pooling and in PE-Core.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import ModelError
from whenwhere.models.encoders.encoder import ClipEmbeddings
from whenwhere.models.vlm import out_of_memory

if TYPE_CHECKING:
    from torch import Tensor

#: Largest number of frames, and of texts, in a forward pass.
MAX_FRAMES, MAX_TEXTS = 64, 256

Batch = TypeVar("Batch", "NDArray[np.uint8]", list[str])
Result = TypeVar("Result")


class TorchEncoder(ABC):
    """An encoder whose model runs in this process.

    Args:
        name: The encoder's name as the user gave it.
        device: Where the model runs. None takes an accelerator if there is one.

    Attributes:
        frames, image_size, dimension, scale: as in `encoder.Encoder`.
        device: Where the model runs.
    """

    frames: int
    image_size: tuple[int, int]
    dimension: int
    scale: float

    def __init__(self, name: str, device: str | None = None) -> None:
        import torch

        self.name = name
        accelerator = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        self.device = device or accelerator

    @abstractmethod
    def _frames(self, images: NDArray[np.uint8]) -> "Tensor":
        """Embeddings of a batch of frames, shape (n, D), of any length."""

    @abstractmethod
    def _clips(self, clips: NDArray[np.uint8]) -> ClipEmbeddings:
        """Embeddings of a batch of clips, shape (B, T, H, W, 3)."""

    @abstractmethod
    def _texts(self, texts: list[str]) -> "Tensor":
        """Embeddings of a batch of texts, shape (n, D), of any length."""

    def embed_frames(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed each frame by itself (see `encoder.Encoder.embed_frames`)."""
        _check(images, 4)
        return self._batched(lambda batch: unit(self._frames(batch)), images, MAX_FRAMES)

    def embed_clips(self, clips: NDArray[np.uint8]) -> ClipEmbeddings:
        """Embed clips whose frames belong together (see `encoder.Encoder.embed_clips`)."""
        _check(clips, 5)
        if not len(clips):
            return ClipEmbeddings(
                np.zeros((0, self.dimension), np.float32), np.zeros((0, 0, self.dimension), np.float32)
            )
        size = max(MAX_FRAMES // clips.shape[1], 1)
        parts = [self._guarded(self._clips, clips[k : k + size]) for k in range(0, len(clips), size)]
        return ClipEmbeddings(
            np.concatenate([part.pooled for part in parts]),
            np.concatenate([part.frames for part in parts]),
            _joined([part.patches for part in parts]),
            _joined([part.groups for part in parts]),
            _joined([part.assignments for part in parts]),
        )

    def attention(self, clips: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """How much the embedding of a clip, or of each frame, attends to each patch in the last layer.

        Args:
            clips: RGB frames, uint8, shape (B, T, H, W, 3).

        Returns:
            Attention from the class token, or from the query of the pooling head, averaged over heads, shape
            (B, T', h, w). None if all patches count alike, or if the library does not show its attention.

        Raises:
            ModelError: The clips have another shape or type, or do not fit into memory.
        """
        _check(clips, 5)
        return self._guarded(self._attention, clips)

    def _attention(self, clips: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        return None

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts (see `encoder.Encoder.embed_texts`)."""
        return self._batched(lambda batch: unit(self._texts(batch)), list(texts), MAX_TEXTS)

    def unknown_words(self, text: str) -> list[str]:
        """An empty list, because tokenizers of word parts can spell every word.

        Args:
            text: A text.
        """
        return []

    def _batched(self, embed: Callable[[Batch], NDArray[np.float32]], items: Batch, size: int) -> NDArray[np.float32]:
        parts = [self._guarded(embed, items[k : k + size]) for k in range(0, len(items), size)]
        return np.concatenate(parts) if parts else np.zeros((0, self.dimension), np.float32)

    def _guarded(self, embed: Callable[[Batch], Result], batch: Batch) -> Result:
        """Calls a function without gradients, and turns a lack of memory into a sentence."""
        import torch

        try:
            with torch.inference_mode():
                return embed(batch)
        except RuntimeError as e:
            if out_of_memory(e):
                raise ModelError(
                    f"{len(batch)} frames, clips or texts do not fit into the memory of {self.device} beside "
                    f"{self.name}: choose another device or a smaller encoder"
                ) from e
            raise


class ImageEncoder(TorchEncoder):
    """An encoder of single pictures: it embeds each frame alone, and a clip as the mean of its frames' embeddings."""

    frames = 1

    @abstractmethod
    def _pictures(self, images: NDArray[np.uint8]) -> "tuple[Tensor, Tensor | None]":
        """Embeddings of a batch of frames, shape (n, D), and of their patches, shape (n, h, w, D), of any length.

        The patches are None if the model does not embed them in the space that pictures and texts share.
        """

    def _frames(self, images: NDArray[np.uint8]) -> "Tensor":
        return self._pictures(images)[0]

    def _clips(self, clips: NDArray[np.uint8]) -> ClipEmbeddings:
        batch, steps = clips.shape[:2]
        whole, patches = self._pictures(clips.reshape(batch * steps, *clips.shape[2:]))
        frames = unit(whole).reshape(batch, steps, -1)
        pooled = frames.mean(1)
        pooled /= np.linalg.norm(pooled, axis=-1, keepdims=True).clip(1e-12)
        return ClipEmbeddings(
            pooled, frames, None if patches is None else unit(patches).reshape(batch, steps, *patches.shape[1:])
        )


def unit(embeddings: "Tensor") -> NDArray[np.float32]:
    """Embeddings scaled to unit length along the last axis; a vector of zeros remains a vector of zeros.

    Args:
        embeddings: Embeddings of any length and floating-point type, shape (..., D).

    Returns:
        The scaled embeddings on the CPU, shape (..., D).
    """
    from torch.nn.functional import normalize

    return normalize(embeddings.float(), dim=-1).cpu().numpy()


def _check(images: NDArray[np.uint8], axes: int) -> None:
    if images.ndim != axes or images.dtype != np.uint8 or images.shape[-1] != 3 or 0 in images.shape[1:]:
        shape = "(n, H, W, 3)" if axes == 4 else "(B, T, H, W, 3)"
        raise ModelError(
            f"an encoder takes RGB frames of shape {shape} and type uint8, not {images.shape} and {images.dtype}"
        )


def _joined(parts: list[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    """Arrays of several batches as one; None if the encoder does not make this kind of array."""
    made = [part for part in parts if part is not None]
    return np.concatenate(made) if made else None

"""What the rest of the package needs of a video-text encoder, whoever trained it: the protocol `Encoder`.

Retrieval, zero-shot recognition, probes and grounding ask an encoder for embeddings and nothing else. Arrays go in and
out as NumPy, so that none of them depends on torch. `whenwhere.models.encoders.resolve.open_encoder` opens one by name.

All embeddings are float32 of unit length, so that a dot product is a cosine. Frames are RGB, uint8, of any size: the
encoder resizes and normalises them as its checkpoint was trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

#: Frames of a clip for encoders of single pictures, as CLIP's and PE-Core's results on videos are reported.
IMAGE_FRAMES = 8


@dataclass(frozen=True, eq=False)
class ClipEmbeddings:
    """Embeddings of clips, all of unit length in the space that videos and texts share.

    B is the number of clips, D the size of an embedding, T' the number of time steps (frames, or tubelets of several
    frames), h and w the number of rows and columns of patches, M the number of group tokens.

    Attributes:
        pooled: One embedding for each clip, shape (B, D).
        frames: One embedding for each time step, shape (B, T', D).
        patches: One embedding for each patch, shape (B, T', h, w, D). None if the encoder has none in the shared space.
        groups: One embedding for each group token, shape (B, M, D). None if the encoder has no group tokens.
        assignments: The share, from 0 to 1, of each patch that the last grouping block gives to each group token;
            sums to 1 over M; shape (B, M, T', h, w). None if the encoder has no group tokens.
    """

    pooled: NDArray[np.float32]
    frames: NDArray[np.float32]
    patches: NDArray[np.float32] | None = None
    groups: NDArray[np.float32] | None = None
    assignments: NDArray[np.float32] | None = None


class Encoder(Protocol):
    """Embeds frames, clips and texts in one space.

    Attributes:
        name: The encoder's name as the user gave it.
        frames: Number of frames of the clips that the encoder was made for. Image encoders, which embed each frame
            alone and average, have 1; `embed_clips` takes clips of any number of frames from those.
        image_size: (height, width) in pixels to which frames are resized.
        dimension: Size D of an embedding.
        scale: The factor by which cosines were multiplied in training (exp of the logit scale), for probabilities.
    """

    name: str
    frames: int
    image_size: tuple[int, int]
    dimension: int
    scale: float

    def embed_frames(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed each frame by itself.

        Args:
            images: RGB frames, shape (n, H, W, 3); n may be 0.

        Returns:
            Embeddings of unit length, shape (n, D).

        Raises:
            ModelError: The frames do not fit into memory.
        """
        ...

    def embed_clips(self, clips: NDArray[np.uint8]) -> ClipEmbeddings:
        """Embed clips whose frames belong together.

        Args:
            clips: RGB frames, shape (B, T, H, W, 3); B may be 0.

        Raises:
            ModelError: The clips have a number of frames that the encoder cannot take, or do not fit into memory.
        """
        ...

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; those longer than the encoder's context are cut off at its end.

        Args:
            texts: Texts, n of them; n may be 0.

        Returns:
            Embeddings of unit length, shape (n, D).

        Raises:
            ModelError: The texts do not fit into memory.
        """
        ...

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that the encoder has no tokens for and so cannot understand.

        Args:
            text: A text.
        """
        ...


def usual_frames(encoder: Encoder) -> int:
    """Number of frames of the clips that an encoder is shown unless told otherwise.

    That is the number that a video encoder was made for, and `IMAGE_FRAMES` for an encoder of single pictures.

    Args:
        encoder: The encoder.
    """
    return encoder.frames if encoder.frames > 1 else IMAGE_FRAMES

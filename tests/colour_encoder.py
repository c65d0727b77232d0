"""An encoder that sees the mean colour of clips, steps and patches, and reads names of colours: nothing is learned."""

from collections.abc import Sequence

import numpy as np

from whenwhere.models.encoders.encoder import ClipEmbeddings

COLOURS = {
    "red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0), "pink": (1, 0, 1),
    "cyan": (0, 1, 1), "white": (1, 1, 1), "black": (0, 0, 0)}  # fmt: skip
NAMES = tuple(COLOURS)


class ColourEncoder:
    """Embeds the mean colour of a clip, of two frames and of each patch, and colour names in a text."""

    name, image_size, scale = "colours", (16, 16), 10.0

    def __init__(self, frames: int = 4, groups: bool = True, broken: bool = False) -> None:
        self.frames, self.groups, self.broken, self.seen, self.dimension = frames, groups, broken, 0, 4

    def unit(self, rgb: np.ndarray) -> np.ndarray:
        # black has a direction too, and no two colours have the same
        rows = np.concatenate([2 * rgb - 1, np.full((*rgb.shape[:-1], 1), 0.5)], -1)
        rows = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
        return np.full_like(rows, np.nan, np.float32) if self.broken else rows.astype(np.float32)

    def embed_frames(self, images: np.ndarray) -> np.ndarray:
        return self.unit(images.mean((1, 2)) / 255)

    def embed_clips(self, clips: np.ndarray) -> ClipEmbeddings:
        self.seen += len(clips)
        b, t, h, w, _ = clips.shape
        steps = t if self.frames == 1 else t // 2
        cells = clips.reshape(b, steps, t // steps, 4, h // 4, 4, w // 4, 3).mean((2, 4, 6)) / 255
        shares = np.stack([cells[..., k] > 0.5 for k in range(3)], 1).astype(np.float32) if self.groups else None
        groups = np.broadcast_to(self.unit(np.eye(3)), (b, 3, 4)) if self.groups else None
        return ClipEmbeddings(
            self.unit(cells.mean((1, 2, 3))), self.unit(cells.mean((2, 3))), self.unit(cells), groups, shares
        )

    def unknown_words(self, text: str) -> list[str]:
        return [word for word in text.split() if word == "wug"]

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        found = [[COLOURS[word] for word in text.replace(".", "").split() if word in COLOURS] for text in texts]
        return self.unit(np.array([np.mean(rows or [(0.5, 0.5, 0.5)], 0) for rows in found]).reshape(-1, 3))


def plain(name: str, frames: int = 4) -> np.ndarray:
    return np.broadcast_to(np.array(COLOURS[name], np.uint8) * 255, (frames, 16, 16, 3)).copy()

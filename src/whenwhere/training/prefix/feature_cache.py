"""Features of a frozen vision tower on disk: from the second epoch on, neither the tower runs nor a video is decoded.

An entry holds the tower's output for a clip, in the precision in which it was computed, and the part of the prompt that
the clip alone decides, so that the family's processor need not run either. The key is the content of the clip's frames,
the tower's weights, and everything else that the output depends on (processor, precision, kind of device, versions);
a tower that was trained in between, in this run or another, has another key.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from whenwhere.array_cache import ArrayCache
from whenwhere.training.data.samples import Sample
from whenwhere.training.prefix.group import TokenSegment, VisionFeatures, VisualInput

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from whenwhere.models.backends.local import LocalBackend

#: Raised when entries hold something else than before.
_VERSION = 1
_KINDS = ("images", "videos")


class FeatureCache:
    """Keeps features of clips, each with what goes before the questions in its prompt.

    Args:
        store: Where they are kept.
        identity: Text that differs where the same frames have other features or another prompt; see `identity`.

    Attributes:
        store: As given.
        hits: Number of clips whose features were found by this object.
    """

    def __init__(self, store: ArrayCache, identity: str) -> None:
        self.store, self._identity = store, identity
        self.hits = 0

    def substitute(self, sample: Sample) -> int | None:
        """Bytes of a sample's features; None if they are not kept or can only be found by its frames.

        Args:
            sample: The sample.
        """
        return self.store.size(self._key(sample, sample.content)) if sample.content else None

    def read(self, sample: Sample) -> tuple[TokenSegment, dict[str, Any]] | None:
        """The beginning of a sample's prompt with its features, and what was kept about it; None if there is none.

        Args:
            sample: The sample.
        """
        import torch

        entry = self.store.read(self.key(sample))
        if entry is None:
            return None
        parts: dict[str, VisualInput] = {}
        for kind, about in entry.about["visual"].items():
            rows = []
            for level in range(about["levels"]):
                whole = torch.from_numpy(entry.arrays[f"{kind}-{level}"]).view(getattr(torch, about["dtype"]))
                rows.append(tuple(whole.split(about["lengths"])))
            parts[kind] = VisualInput(
                entry.arrays[f"{kind}-grids"], features=VisionFeatures(rows[0], tuple(rows[1:])),
                seconds_per_step=about["seconds_per_step"],
            )  # fmt: skip
        self.hits += 1
        return TokenSegment(torch.from_numpy(entry.arrays["ids"]), **parts), entry.about["layout"]

    def write(self, sample: Sample, beginning: TokenSegment, layout: dict[str, Any]) -> None:
        """Keeps the features of a sample.

        Args:
            sample: The sample.
            beginning: The beginning of its prompt, with features.
            layout: What is kept about it; JSON values.
        """
        arrays: dict[str, np.ndarray] = {"ids": beginning.ids.numpy()}
        visual: dict[str, Any] = {}
        for kind in _KINDS:
            part: VisualInput | None = getattr(beginning, kind)
            if part is None or part.features is None:
                continue
            levels = [part.features.pooled, *part.features.deepstack]
            for level, rows in enumerate(levels):
                arrays[f"{kind}-{level}"] = _bits(rows)
            arrays[f"{kind}-grids"] = np.asarray(part.grids)
            steps = part.seconds_per_step
            visual[kind] = {
                "levels": len(levels), "lengths": [len(row) for row in levels[0]],
                "dtype": str(levels[0][0].dtype).removeprefix("torch."),
                "seconds_per_step": None if steps is None else [float(s) for s in steps],
            }  # fmt: skip
        self.store.write(self.key(sample), arrays, {"visual": visual, "layout": layout})

    def key(self, sample: Sample) -> str:
        """The key of a sample's entry; its frames are read if its content is not known.

        Args:
            sample: The sample.
        """
        content = sample.content
        if not content:
            content = hashlib.blake2b(np.ascontiguousarray(sample.images).data, digest_size=16).hexdigest()
        return self._key(sample, content)

    def _key(self, sample: Sample, content: str) -> str:
        return self.store.key(
            "features", _VERSION, self._identity, content, list(sample.shape), sample.times.tolist()
        )  # fmt: skip


def _bits(rows: tuple[Tensor, ...]) -> np.ndarray:
    """The features of several pictures one after another, as integers where numpy does not know their type."""
    import torch

    whole = torch.cat([row.detach() for row in rows]).cpu().contiguous()
    found: np.ndarray = (whole.view(torch.int16) if whole.dtype == torch.bfloat16 else whole).numpy()
    return found


def identity(tower: torch.nn.Module, backend: LocalBackend, bf16: bool) -> str:
    """A hash of all that the features and the beginning of a prompt depend on, beside the clip.

    Args:
        tower: The vision tower.
        backend: What makes its inputs of frames.
        bf16: Whether it computes in bf16.
    """
    import torch
    import transformers

    digest = hashlib.blake2b(digest_size=20)
    device = "cpu"
    for name, weight in [*tower.named_parameters(), *tower.named_buffers()]:
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)} ".encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        device = weight.device.type
    checkpoint = backend.checkpoint
    parts = [getattr(checkpoint.processor, name, None) for name in ("image_processor", "video_processor")]
    tokenizer = checkpoint.tokenizer
    told = [
        device, bf16, torch.__version__, transformers.__version__, backend.frames, backend.long_side, backend.pixels,
        repr(backend.dialect), [None if part is None else part.to_json_string() for part in parts],
        str(getattr(checkpoint.processor, "chat_template", None) or tokenizer.chat_template),
        sorted(tokenizer.get_vocab().items()),
    ]  # fmt: skip
    digest.update(json.dumps(told).encode())
    return digest.hexdigest()

"""Detectors of transformers with classes of their own: DETR, RT-DETR, D-FINE, RF-DETR, YOLOS and the like.

Any architecture of `AutoModelForObjectDetection` that gives logits and boxes is taken. A head with one column more than
the checkpoint has labels is a softmax with "no object" in its last column; any other head is one sigmoid for each
class. Code that comes with a checkpoint is never run, and weights in pickles are not read.
"""

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import ModelError
from whenwhere.models.detectors.detector import THRESHOLD, ClassDetections, distribution, select
from whenwhere.models.detectors.labels import label_space
from whenwhere.models.pretrained import Pretrained
from whenwhere.models.vlm import out_of_memory

#: Part of every fingerprint: raised when what the same weights find changes.
VERSION = 1


class TorchDetector(Pretrained):
    """What detectors of transformers have in common. Arguments and errors are those of `Pretrained`."""

    batch = 4
    labels: tuple[str, ...]

    @property
    def licence(self) -> str:
        """The licence that the checkpoint's card states, where the card is in its folder."""
        card = Path(self.name) / "README.md"
        if not card.is_file():
            return "as the checkpoint's card says"
        with card.open(encoding="utf-8", errors="replace") as f:
            stated = re.search(r"^license:\s*([\w.+-]{1,60})", f.read(1 << 16), re.M)
        return stated[1] if stated else "not stated"

    @property
    def source(self) -> str:
        """Where the checkpoint comes from."""
        return f"{'the folder' if Path(self.name).is_dir() else 'the hub,'} {self.name}"

    @property
    def fingerprint(self) -> str:
        """Text that changes when the weights or labels change."""
        path = Path(self.name)
        folder = path.iterdir() if path.is_dir() else ()
        files = sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in folder)
        commit = getattr(self.config, "_commit_hash", None)
        return f"torch-{VERSION}:{self.name}:{self._source}:{commit}:{self.dtype}:{files}:{','.join(self.labels)}"

    def run(self, inputs: Any) -> Any:
        """The output of the model for the processor's inputs.

        Raises:
            ModelError: The pictures do not fit into the accelerator's memory.
        """
        import torch

        inputs = inputs.to(self.device)
        inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
        try:
            with torch.inference_mode():
                return self.model(**inputs)
        except RuntimeError as e:
            if out_of_memory(e):
                count = len(inputs["pixel_values"])
                raise ModelError(f"{count} pictures do not fit into memory beside {self.name}") from e
            raise


class PretrainedDetector(TorchDetector):
    """A detector with fixed classes. Arguments and errors are those of `Pretrained`.

    Attributes:
        labels: The checkpoint's names of the classes.
    """

    PURPOSE: ClassVar = "an object detector: PekingU/rtdetr_r18vd is one"

    def __init__(self, name: str, **options: Any) -> None:
        self.KINDS = object_detection_kinds()  # type: ignore[misc]
        super().__init__(name, **options)
        columns = [str(self.config.id2label[i]) for i in sorted(self.config.id2label)]
        self._space = label_space(columns, f"the configuration of {name}")
        self.labels = self._space.labels

    def detect(self, frames: NDArray[np.uint8], threshold: float = THRESHOLD) -> list[ClassDetections]:
        """The objects in each picture; see `Detector.detect`."""
        found = []
        height, width = frames.shape[1:3]
        for k in range(0, len(frames), self.batch):
            part = list(frames[k : k + self.batch])
            out = self.run(self.processor(images=part, return_tensors="pt"))
            if not hasattr(out, "logits") or not hasattr(out, "pred_boxes"):
                raise ModelError(f"{self.name} gives no boxes with scores of classes: name another detector")
            for logits, boxes in zip(
                out.logits.float().cpu().numpy(), out.pred_boxes.float().cpu().numpy(), strict=True
            ):
                top, classes = read_logits(logits, self._space.width, self._space.columns, self.name)
                xyxy = corners(boxes) * [width, height, width, height]
                found.append(select(xyxy, top, classes, (height, width), threshold))
        return found


def object_detection_kinds() -> dict[str, tuple[str, str]]:
    """The architectures of transformers for object detection: `model_type` -> model class and processor class."""
    from whenwhere.models.vlm import require_packages

    require_packages("a detector")
    from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES as NAMES

    return {kind: (name, "AutoImageProcessor") for kind, name in NAMES.items()}


def read_logits(
    logits: NDArray[np.floating], width: int, columns: NDArray[np.intp], name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores and distributions of proposals.

    Args:
        logits: Values before the sigmoid or softmax, shape (n, width or width + 1).
        width: Number of names of columns.
        columns: The columns that are classes, shape (classes,).
        name: Name of the detector, for messages.

    Returns:
        The score of the most likely class, shape (n,), and the distribution over the classes, shape (n, classes).

    Raises:
        ModelError: There are more or fewer columns than names, or a value is not finite.

    >>> score, classes = read_logits(np.array([[2.0, 0.0, 0.0]]), 2, np.array([0, 1]), "x")
    >>> score.round(2).tolist(), classes.round(2).tolist()
    ([0.79], [[0.88, 0.12]])
    """
    if logits.shape[-1] not in (width, width + 1):
        raise ModelError(f"{name} gives scores of {logits.shape[-1]} classes but names {width}")
    if not np.isfinite(logits).all():
        raise ModelError(f"{name} gives scores that are not finite: its weights are damaged, or need fp32")
    values = logits.astype(np.float64)
    if logits.shape[-1] == width + 1:
        odds = np.exp(values - values.max(-1, keepdims=True))
        scores = (odds / odds.sum(-1, keepdims=True))[:, columns]
        return scores.max(-1), scores / np.maximum(scores.sum(-1, keepdims=True), 1e-12)
    scores = 1 / (1 + np.exp(-np.clip(values[:, columns], -50, 50)))
    return scores.max(-1), distribution(scores)


def corners(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Boxes in xyxy from boxes given by centre and size; shape (n, 4), in the same unit.

    >>> corners(np.array([[0.5, 0.5, 0.2, 1.0]])).tolist()
    [[0.4, 0.0, 0.6, 1.0]]
    """
    middle, half = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64) / 2
    return np.concatenate([middle - half, middle + half], 1)

"""Things named by a noun phrase, found in single pictures: Grounding DINO, through transformers.

A detector knows nothing of time: every picture is looked at by itself, and what it finds has no name that would stay
the same in the next one (see `whenwhere.grounders.detector.tracks` for that). Open-vocabulary detectors give several
boxes for one thing; the weaker of two that cover each other by more than 70 % goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from whenwhere.boxes import clip_boxes, valid_boxes
from whenwhere.errors import ModelError
from whenwhere.models.pretrained import Pretrained
from whenwhere.models.vlm import out_of_memory
from whenwhere.overlap import box_iou

#: Least confidence of a box, and of a word that belongs to it (the values of the family's own demonstrations).
THRESHOLD, TEXT_THRESHOLD = 0.3, 0.25
#: Two boxes that overlap by more than this are one.
SAME = 0.7


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in one picture, most certain first.

    Attributes:
        boxes: (n, 4) xyxy pixels of the picture, cut to it.
        scores: (n,) confidence, 0-1.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.boxes)

    def scaled(self, factor: float) -> "Detections":
        """The same in a picture so many times as large."""
        return Detections(self.boxes * factor, self.scores)


class Detector(Pretrained):
    """Finds what a noun phrase names; arguments and errors as in `Pretrained`."""

    KINDS: ClassVar = {
        "grounding-dino": ("GroundingDinoForObjectDetection", "GroundingDinoProcessor"),
        "mm-grounding-dino": ("MMGroundingDinoForObjectDetection", "GroundingDinoProcessor"),
    }
    PURPOSE = "a detector that takes words: IDEA-Research/grounding-dino-tiny is one"

    def detect(self, images: NDArray[np.uint8], phrase: str) -> list[Detections]:
        """What a phrase names, in each picture.

        Args:
            images: (n, h, w, 3) RGB.
            phrase: a noun phrase, "red car".

        Raises:
            ModelError: the accelerator's memory is full.
        """
        import torch

        if not len(images):
            return []
        size = images.shape[1:3]
        inputs = self.processor(
            images=list(images), text=[[phrase.replace(".", " ")]] * len(images), return_tensors="pt"
        ).to(self.device)
        inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
        try:
            with torch.inference_mode():
                out = self.model(**inputs)
        except RuntimeError as e:
            if out_of_memory(e):
                raise ModelError(f"{len(images)} pictures do not fit into memory beside {self.name}") from e
            raise
        out.logits, out.pred_boxes = out.logits.float(), out.pred_boxes.float()
        found = self.processor.post_process_grounded_object_detection(
            out, inputs["input_ids"], THRESHOLD, TEXT_THRESHOLD, target_sizes=[size] * len(images)
        )
        return [_kept(f, size) for f in found]


def _kept(found: Any, size: Sequence[int]) -> Detections:
    boxes = clip_boxes(found["boxes"].cpu().numpy(), size[1], size[0])
    scores = found["scores"].cpu().numpy().astype(float)
    good = valid_boxes(boxes)
    boxes, scores = boxes[good], scores[good]
    keep = distinct(boxes, scores)
    return Detections(boxes[keep], scores[keep])


def distinct(boxes: NDArray[np.float64], scores: NDArray[np.float64], same: float = SAME) -> NDArray[np.intp]:
    """Which boxes to keep, most certain first: none that overlaps a more certain one by more than `same`.

    >>> distinct(np.array([[0, 0, 10, 10], [0, 0, 10, 9], [5, 0, 15, 10]], float), np.array([0.5, 0.9, 0.4])).tolist()
    [1, 2]
    """
    order = np.argsort(-scores, kind="stable")
    overlap = box_iou(boxes[:, None], boxes[None])
    kept: list[int] = []
    for i in order.tolist():
        if not kept or overlap[i, kept].max() <= same:
            kept.append(i)
    return np.array(kept, np.intp)

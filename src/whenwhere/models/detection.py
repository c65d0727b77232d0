"""Open-vocabulary detection: objects named by a noun phrase, found in single pictures by Grounding DINO.

A detector knows nothing of time: it looks at each picture by itself, and its detections have no identity from picture
to picture (`whenwhere.grounders.detector.tracks` links them). Open-vocabulary detectors give several boxes for one
object; of two that overlap by more than 70 % the less certain one is dropped.
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

#: Smallest confidence of a box, and of a word that belongs to it (the values of the family's own demonstrations).
THRESHOLD, TEXT_THRESHOLD = 0.3, 0.25
#: Two boxes whose IoU is larger than this are one object.
SAME = 0.7


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects found in one picture, most certain first.

    Attributes:
        boxes: Boxes in xyxy pixels of the picture, cut to it; shape (n, 4).
        scores: Confidence of each box from 0 to 1, shape (n,).
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.boxes)

    def scaled(self, factor: float) -> "Detections":
        """The same detections in a picture that is `factor` times as large."""
        return Detections(self.boxes * factor, self.scores)


class OpenVocabularyDetector(Pretrained):
    """Finds the objects that a noun phrase names. Arguments and errors are those of `Pretrained`."""

    KINDS: ClassVar = {
        "grounding-dino": ("GroundingDinoForObjectDetection", "GroundingDinoProcessor"),
        "mm-grounding-dino": ("MMGroundingDinoForObjectDetection", "GroundingDinoProcessor"),
    }
    PURPOSE = "a detector that takes words: IDEA-Research/grounding-dino-tiny is one"

    def detect(self, images: NDArray[np.uint8], phrase: str) -> list[Detections]:
        """The objects that a phrase names, for each picture.

        Args:
            images: RGB pictures, shape (n, h, w, 3), uint8.
            phrase: A noun phrase such as "red car".

        Raises:
            ModelError: the pictures do not fit into the accelerator's memory.
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
    """Indices of the boxes to keep, most certain first: no box overlaps a more certain one by more than `same`.

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

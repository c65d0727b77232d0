"""Open-vocabulary detectors of transformers: objects named by words, found by Grounding DINO, OWLv2, OWL-ViT or SAM 3.

Their label space is whatever the caller asks for, by default COCO's; `for_labels` gives the same detector with other
labels, which shares the weights.
"""

from collections.abc import Sequence
from copy import copy
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError
from whenwhere.models.detectors.detector import ClassDetections, distribution, select
from whenwhere.models.detectors.labels import COCO
from whenwhere.models.detectors.pretrained import TorchDetector, corners

#: Boxes, scores and distributions over the labels.
Proposals = tuple[NDArray[np.float64], ...]
#: Smallest score of a box, as in the families' own demonstrations.
WORDS_THRESHOLD = 0.3


class OpenVocabularyDetector(TorchDetector):
    """Finds the objects that labels name.

    Args:
        name: Hub id or folder of the checkpoint.
        labels: What is looked for: nouns or noun phrases.
        **options: Options of `Pretrained`.

    Raises:
        SettingError: There is no label. Other errors are those of `Pretrained`.
    """

    KINDS: ClassVar = {
        "grounding-dino": ("GroundingDinoForObjectDetection", "GroundingDinoProcessor"),
        "mm-grounding-dino": ("MMGroundingDinoForObjectDetection", "GroundingDinoProcessor"),
        "owlv2": ("Owlv2ForObjectDetection", "Owlv2Processor"),
        "owlvit": ("OwlViTForObjectDetection", "OwlViTProcessor"),
        # the checkpoint of SAM 3 for videos holds the detector of pictures
        **dict.fromkeys(("sam3", "sam3_video"), ("Sam3Model", "Sam3Processor")),
    }
    PURPOSE: ClassVar = "a detector that takes words: IDEA-Research/grounding-dino-tiny is one"

    def __init__(self, name: str, labels: Sequence[str] = COCO, **options: Any) -> None:
        super().__init__(name, **options)
        self.labels = _checked(labels)

    def for_labels(self, labels: Sequence[str]) -> "OpenVocabularyDetector":
        """The same detector, with the same weights, for other labels.

        Raises:
            SettingError: There is no label.
        """
        _ = self.model  # loaded before the copy, so that both have it
        other = copy(self)
        other.labels = _checked(labels)
        return other

    def detect(self, frames: NDArray[np.uint8], threshold: float = WORDS_THRESHOLD) -> list[ClassDetections]:
        """The objects in each picture; see `Detector.detect`."""
        found = []
        height, width = frames.shape[1:3]
        # OWLv2 pads its pictures to squares at the right and at the bottom
        side = max(height, width)
        scale = [side] * 4 if self.config.model_type == "owlv2" else [width, height, width, height]
        for k in range(0, len(frames), self.batch):
            for boxes, scores, classes in self._proposals(list(frames[k : k + self.batch])):
                found.append(select(boxes * scale, scores, classes, (height, width), threshold))
        return found

    def _proposals(self, frames: list[NDArray[np.uint8]]) -> list[Proposals]:
        """Boxes in xyxy in shares of the picture, scores and distributions over the labels, for each picture."""
        if "sam3" in self.config.model_type:
            return self._concepts(frames)
        if "dino" in self.config.model_type:
            return self._grounded(frames)
        # their text models read sixteen tokens; what is longer is cut
        inputs = self.processor(
            text=[list(self.labels)] * len(frames), images=frames, truncation=True, return_tensors="pt"
        )
        out = self.run(inputs)
        return [
            (corners(boxes), scores.max(-1), distribution(scores))
            for boxes, scores in zip(_array(out.pred_boxes), _array(out.logits.float().sigmoid()), strict=True)
        ]

    def _grounded(self, frames: list[NDArray[np.uint8]]) -> list[Proposals]:
        """Grounding DINO scores each token of a text; a label counts by the best of its tokens."""
        text = " ".join(f"{label}." for label in self.labels)
        inputs = self.processor(images=frames, text=[text] * len(frames), return_tensors="pt")
        ids = inputs["input_ids"][0].tolist()
        out = self.run(inputs)
        tokenizer = self.processor.tokenizer
        ends = [i for i, token in enumerate(ids) if token == tokenizer.convert_tokens_to_ids(".")]
        starts = [1, *(end + 1 for end in ends[:-1])]
        if len(ends) != len(self.labels):
            most = max(len(ends), 1)
            raise SettingError(f"{self.name} reads only {most} of the {len(self.labels)} labels: ask for fewer at once")
        found: list[Proposals] = []
        for boxes, tokens in zip(_array(out.pred_boxes), _array(out.logits.float().sigmoid()), strict=True):
            named = np.stack([tokens[:, a : max(b, a + 1)].max(-1) for a, b in zip(starts, ends, strict=True)], 1)
            found.append((corners(boxes), tokens.max(-1), distribution(named)))
        return found

    def _concepts(self, frames: list[NDArray[np.uint8]]) -> list[Proposals]:
        """SAM 3 looks for one phrase at a time; each proposal belongs to the label that was asked for."""
        found: list[list[Proposals]] = [[] for _ in frames]
        for n, label in enumerate(self.labels):
            out = self.run(self.processor(images=frames, text=[label] * len(frames), return_tensors="pt"))
            scores = out.pred_logits.float().sigmoid()
            if out.presence_logits is not None:
                scores = scores * out.presence_logits.float().sigmoid()
            for per_frame, boxes, one in zip(found, _array(out.pred_boxes), _array(scores), strict=True):
                classes = np.zeros((len(one), len(self.labels)))
                classes[:, n] = 1.0
                per_frame.append((boxes, one, classes))
        return [tuple(np.concatenate(parts) for parts in zip(*rows, strict=True)) for rows in found]


def _checked(labels: Sequence[str]) -> tuple[str, ...]:
    """Labels as the detectors want them: in lower case, without full stops, of which there is at least one."""
    plain = tuple(" ".join(label.replace(".", " ").casefold().split()) for label in labels)
    if not plain or not all(plain):
        raise SettingError("an open-vocabulary detector looks for labels: name at least one, and none that is empty")
    return plain


def _array(tensor: Any) -> NDArray[np.float64]:
    return np.asarray(tensor.float().cpu().numpy(), np.float64)

"""Object tracking by SAM 2 and SAM 3 for video, through transformers.

There are two kinds of trackers. A `Propagator` (SAM 2, or the tracker inside SAM 3) is shown a box on one frame and
follows what is in it. A `ConceptTracker` (SAM 3) is told a noun phrase and finds and follows all that it names. Both
are streamed: frames come one at a time and are not kept. The sessions of transformers keep every frame and every
frame's masks, so what the model cannot look back at any more is removed after each frame, and memory does not grow with
the length of the video. This changes nothing of what the model computes (tests/test_propagation.py compares).

Masks become boxes by their extent. Specks far smaller than the object would enlarge a box and are left out.

Left out: handing on the masks, since the record has no place for them yet.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import ModelError
from whenwhere.models.pretrained import Pretrained
from whenwhere.models.vlm import out_of_memory

Box = NDArray[np.float64]

#: A separate piece of a mask smaller than this share of its largest piece is a speck.
SPECK = 0.05


class TrackingState(ABC):
    """Objects that are being followed through the frames of one shot or one span."""

    frame = -1

    @abstractmethod
    def step(self, image: NDArray[np.uint8]) -> dict[int, Box]:
        """Where each object is in the next frame.

        Args:
            image: RGB picture, shape (h, w, 3), of the same size every time.

        Returns:
            The number of each object in sight and its box in xyxy pixels of this frame.
        """


class Propagator(Pretrained):
    """Follows what is in boxes. Arguments and errors are those of `Pretrained`."""

    KINDS: ClassVar = {
        "sam2_video": ("Sam2VideoModel", "Sam2VideoProcessor"),
        "sam3_tracker_video": ("Sam3TrackerVideoModel", "Sam3TrackerVideoProcessor"),
        # the checkpoint of SAM 3 holds a detector and a tracker
        "sam3_video": ("Sam3TrackerVideoModel", "Sam3TrackerVideoProcessor"),
    }
    PURPOSE = "a model that follows things through a video: facebook/sam2.1-hiera-tiny is one"

    def follow(self) -> "BoxTracking":
        """Begin to track; nothing is followed yet."""
        return BoxTracking(self)


class BoxTracking(TrackingState):
    """Follows objects that were shown by boxes.

    Args:
        propagator: The model.
    """

    def __init__(self, propagator: Propagator) -> None:
        self._model, self._processor, self._name = propagator.model, propagator.processor, propagator.name
        self._session: Any = self._processor.init_video_session(
            inference_device=propagator.device, dtype=propagator.model.dtype
        )
        self._pixels: Any = None
        self._size = (0, 0)

    def step(self, image: NDArray[np.uint8]) -> dict[int, Box]:
        """Where each object is in the next frame; see `TrackingState.step`."""
        self.frame += 1
        self._size = image.shape[:2]
        self._pixels = self._processor(images=image, return_tensors="pt")["pixel_values"][0]
        return self._run() if self._session.get_obj_num() else {}

    def show(self, boxes: dict[int, Box]) -> dict[int, Box]:
        """Say where some objects are in the frame of the last `step`: new ones, or ones that are followed already.

        Args:
            boxes: The number of each object and its box in xyxy pixels.

        Returns:
            Where each object is in this frame, now that these boxes are known.
        """
        if boxes:
            self._processor.add_inputs_to_inference_session(
                self._session,
                frame_idx=self.frame,
                obj_ids=list(boxes),
                input_boxes=[[[float(x) for x in box] for box in boxes.values()]],
                original_size=self._size,
            )
        return self._run() if self._session.get_obj_num() else {}

    def _run(self) -> dict[int, Box]:
        import torch

        with _room(self._name), torch.inference_mode():
            out = self._model(self._session, frame=self._pixels, frame_idx=self.frame)
            masks = self._processor.post_process_masks([out.pred_masks.float()], [list(self._size)])[0][:, 0]
        drop_old_frames(self._session, self.frame, self._model.config)
        found = {n: mask_box(m) for n, m in zip(out.object_ids, masks.cpu().numpy(), strict=True)}
        return {n: box for n, box in found.items() if box is not None}


class ConceptTracker(Pretrained):
    """Finds and follows all that a noun phrase names. Arguments and errors are those of `Pretrained`."""

    KINDS: ClassVar = {"sam3_video": ("Sam3VideoModel", "Sam3VideoProcessor")}
    PURPOSE = "a model that finds and follows things by name: facebook/sam3 is one"

    def follow(self, phrase: str) -> "ConceptTracking":
        """Begin to track what a phrase names."""
        return ConceptTracking(self, phrase)


class ConceptTracking(TrackingState):
    """Follows the objects that a phrase names.

    Args:
        concept: The model.
        phrase: A noun phrase such as "red car".

    Attributes:
        scores: The number of each object and the confidence with which it was found, from 0 to 1.
    """

    def __init__(self, concept: ConceptTracker, phrase: str) -> None:
        self._model, self._processor, self._name = concept.model, concept.processor, concept.name
        self._session: Any = self._processor.init_video_session(
            inference_device=concept.device, dtype=concept.model.dtype
        )
        self._processor.add_text_prompt(self._session, phrase)
        self.scores: dict[int, float] = {}

    def step(self, image: NDArray[np.uint8]) -> dict[int, Box]:
        """Where each object is in the next frame; see `TrackingState.step`."""
        import torch

        self.frame += 1
        pixels = self._processor(images=image, return_tensors="pt")["pixel_values"][0]
        with _room(self._name), torch.inference_mode():
            out = self._model(self._session, frame=pixels, frame_idx=self.frame)
            found = self._processor.postprocess_outputs(self._session, out, original_sizes=[list(image.shape[:2])])
        drop_old_frames(self._session, self.frame, self._model.config.tracker_config)
        boxes = {}
        for n, score, mask in zip(found["object_ids"].tolist(), found["scores"].tolist(), found["masks"], strict=True):
            box = mask_box(mask.cpu().numpy())
            if box is not None:
                boxes[n] = box
                self.scores[n] = float(score)
        return boxes


def drop_old_frames(session: Any, frame: int, config: Any) -> None:
    """Remove from a session of transformers what the model cannot look back at any more.

    Args:
        session: A session of SAM 2 or SAM 3 for video.
        frame: Number of the last frame that was processed.
        config: The tracker's configuration.
    """
    for k in [k for k, pixels in session.processed_frames.items() if k < frame and pixels is not None]:
        # the number of frames is needed later, their pixels are not
        session.processed_frames[k] = None
    oldest = frame - max(config.num_maskmem, config.max_object_pointers_in_encoder)
    for outputs in session.output_dict_per_obj.values():
        seen, shown = outputs["non_cond_frame_outputs"], outputs["cond_frame_outputs"]
        for k in [k for k in seen if k < oldest]:
            del seen[k]
        for output in (*seen.values(), *shown.values()):
            output.pop("high_res_masks", None)  # the memory that was made of it already holds them
        if config.max_cond_frame_num >= 0:
            # of older frames on which objects were shown, the model uses only the pointers
            for k in [k for k in sorted(shown)[: -config.max_cond_frame_num or None] if k < oldest]:
                shown[k] = {"object_pointer": shown[k]["object_pointer"]}
    by_frame = [
        *session.point_inputs_per_obj.values(), *session.mask_inputs_per_obj.values(),
        *session.frames_tracked_per_obj.values(),
        *(getattr(session, name, {}) for name in ("obj_id_to_tracker_score_frame_wise", "suppressed_obj_ids")),  # SAM 3
    ]  # fmt: skip
    for known in by_frame:
        for k in [k for k in known if k < frame]:
            del known[k]


def mask_box(mask: NDArray[np.bool_]) -> Box | None:
    """The box around a mask without its specks; None for an empty mask.

    Args:
        mask: The mask, shape (h, w), bool.

    Returns:
        The edges of the box in xyxy pixels: a mask of the whole picture gives (0, 0, w, h).

    >>> mask = np.zeros((40, 60), bool)
    >>> mask[10:30, 5:50] = mask[39, 59] = True
    >>> mask_box(mask).tolist(), mask_box(np.zeros((4, 4), bool)) is None
    ([5.0, 10.0, 50.0, 30.0], True)
    """
    import cv2

    if not mask.any():
        return None
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    pieces = stats[1:]
    pieces = pieces[pieces[:, cv2.CC_STAT_AREA] >= SPECK * pieces[:, cv2.CC_STAT_AREA].max()]
    low = pieces[:, :2].min(axis=0)
    high = (pieces[:, :2] + pieces[:, 2:4]).max(axis=0)
    return np.array([*low, *high], float)


@contextmanager
def _room(name: str) -> Iterator[None]:
    """Turns an out-of-memory error into a `ModelError` of one sentence."""
    try:
        yield
    except RuntimeError as e:
        if out_of_memory(e):
            raise ModelError(f"a frame does not fit into memory beside {name}") from e
        raise

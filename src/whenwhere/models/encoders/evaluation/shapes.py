"""Examples from the world of shapes, with exact truth, for every measure of this package.

Seeds decide everything, and test examples come from another split than training examples, so that no clip is in both.
"""

import numpy as np
from numpy.typing import NDArray

from whenwhere.models.encoders.evaluation.examples import (
    CaptionedFrames,
    ClipQuestion,
    FramesPair,
    LabelledFrames,
    NamedBoxes,
    QuestionSet,
    SegmentedFrames,
)
from whenwhere.models.heads.localizer import Segment
from whenwhere.stage.shapes.captioned import CaptionedShapes, make_captioned
from whenwhere.stage.shapes.corpus import ShapesCorpus
from whenwhere.stage.shapes.open_questions import open_questions
from whenwhere.stage.shapes.pools import hard_pool, recognition_classes, recognition_pool, unique_pool
from whenwhere.stage.shapes.scales import ScaleSettings, scale_caption
from whenwhere.stage.shapes.segments import actions_of, boundaries_of
from whenwhere.stage.shapes.world import TICKS


def captioned_pool(
    corpus: ShapesCorpus, count: int, first_seed: int = 0, scale: ScaleSettings | None = None
) -> list[CaptionedFrames]:
    """Clips whose captions are true of no other clip of the pool.

    Args:
        corpus: The corpus.
        count: Number of clips.
        first_seed: Seed of the first clip.
        scale: Caption the clips at this scale instead, such as with the whole truth. None takes their own captions.
    """
    clips = unique_pool(corpus, count, first_seed)
    if scale is None:
        return [_captioned(clip) for clip in clips]
    return [CaptionedFrames(c.images, scale_caption(c, int(c.id.rsplit("-", 1)[1]), scale)) for c in clips]


def pairs_pool(corpus: ShapesCorpus, count: int, first_seed: int = 0) -> list[FramesPair]:
    """Pairs of clips whose named shapes have exchanged a colour, a texture or what they do.

    Args:
        corpus: The corpus; it names two shapes at least.
        count: Number of pairs.
        first_seed: Seed of the first pair.
    """
    return [
        FramesPair(_captioned(pair.first), _captioned(pair.second), pair.what)
        for pair in hard_pool(corpus, count, first_seed)
    ]


def labelled_clips(corpus: ShapesCorpus, count: int, first_seed: int = 0) -> list[LabelledFrames]:
    """Clips in which one shape acts; the class is what it does.

    Args:
        corpus: The corpus. With `compositions = "held out"` no caption for training says that verb of that shape.
        count: Number of clips.
        first_seed: Seed of the first clip.
    """
    classes = recognition_classes()
    return [LabelledFrames(c.clip.images, classes[c.label]) for c in recognition_pool(corpus, count, first_seed)]


def question_set(corpus: ShapesCorpus, count: int, first_seed: int = 0) -> QuestionSet:
    """Clips with open questions about them; the kind of a question is that of the world of shapes.

    Args:
        corpus: The corpus.
        count: Number of clips.
        first_seed: Seed of the first clip.
    """
    clips = [make_captioned(corpus, seed) for seed in range(first_seed, first_seed + count)]
    asked = [
        ClipQuestion(k, question.text, question.answer, f"{question.scale}-{question.kind.replace(' ', '-')}")
        for k, clip in enumerate(clips)
        for question in open_questions(clip, first_seed + k)
    ]
    return QuestionSet([clip.images for clip in clips], asked)


def segmented_videos(corpus: ShapesCorpus, count: int, first_seed: int = 0) -> list[SegmentedFrames]:
    """Clips with their actions and with the times at which something begins or ends on an unchanged background.

    Args:
        corpus: The corpus.
        count: Number of clips.
        first_seed: Seed of the first clip.
    """
    videos = []
    for seed in range(first_seed, first_seed + count):
        clip = make_captioned(corpus, seed)
        segments = tuple(Segment(action.start, action.end, action.label) for action in actions_of(clip))
        videos.append(SegmentedFrames(clip.id, clip.images, float(TICKS), segments, tuple(boundaries_of(clip))))
    return videos


def named_boxes(corpus: ShapesCorpus, count: int, first_seed: int = 0) -> list[NamedBoxes]:
    """Every noun of some clips with the box of the shape that it names.

    Args:
        corpus: The corpus.
        count: Number of clips.
        first_seed: Seed of the first clip.
    """
    found = []
    for seed in range(first_seed, first_seed + count):
        clip = make_captioned(corpus, seed)
        boxes = clip.boxes / clip.images.shape[1]
        largest = largest_boxes(boxes)
        for noun, i in zip(clip.nouns, clip.named, strict=True):
            found.append(NamedBoxes(clip.images, noun, boxes[i], largest))
    return found


def largest_boxes(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest box of each frame, shape (T, 4); NaN where there is none.

    Args:
        boxes: Boxes of all objects, shape (objects, T, 4); NaN where one is hidden.
    """
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    best = np.where(np.isfinite(area), area, -1.0).argmax(0)
    return np.asarray(boxes[best, np.arange(boxes.shape[1])])


def _captioned(clip: CaptionedShapes) -> CaptionedFrames:
    return CaptionedFrames(clip.images, clip.caption)

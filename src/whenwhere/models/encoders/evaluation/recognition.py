"""Recognition by an encoder: zero-shot from prompts, and by a linear probe on frozen embeddings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from whenwhere.errors import SettingError
from whenwhere.evaluate.embeddings import Ensemble, class_numbers, class_prompts, class_similarities
from whenwhere.evaluate.item_values import ItemValue, item_values
from whenwhere.evaluate.protocol import Scores
from whenwhere.evaluate.ragged import Floats
from whenwhere.evaluate.recognition import score
from whenwhere.models.encoders.encoder import Encoder
from whenwhere.models.encoders.evaluation.examples import LabelledFrames
from whenwhere.models.encoders.evaluation.features import embed_videos
from whenwhere.models.heads.linear_probe import STRENGTHS, fit_linear_probe

#: Prompts for actions. ViCLIP's evaluation uses sixteen; these are the wordings common to CLIP's list for Kinetics.
TEMPLATES = (
    "a video of a person {}.",
    "a video of {}.",
    "a photo of a person {}.",
    "a photo of {}.",
    "an example of a person {}.",
    "a demonstration of {}.",
)


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Scores of all classes for some videos.

    Attributes:
        scores: Shape (videos, classes), higher is better.
        labels: Number of the true class of each video.
        notes: Numbers that must be printed beside the scores, by name.
    """

    scores: Floats
    labels: list[int]
    notes: dict[str, float] = field(default_factory=dict)

    def measures(self) -> dict[str, float]:
        """`top-1`, `top-5`, `mean-top-1-5` and `mean-class-accuracy` in 0-1, `chance` (of top-1), and the notes."""
        return self._score().summary | {"chance": 1 / self.scores.shape[1]} | self.notes

    def item_values(self) -> Iterator[ItemValue]:
        """`top-1` and `top-5` of each video."""
        found = self._score()
        return item_values(found.ids, found.videos, found.items)

    def _score(self) -> Scores:
        return score(self.scores, np.array(self.labels), [str(k) for k in range(len(self.labels))])


def zero_shot(
    encoder: Encoder,
    videos: Sequence[LabelledFrames],
    classes: Sequence[str],
    templates: Sequence[str] = TEMPLATES,
    ensemble: Ensemble = "similarity",
) -> ClassScores:
    """Recognition from prompts alone, with several clips of a video averaged.

    Args:
        encoder: The encoder.
        videos: The videos; all with the same number of clips.
        classes: Names of the classes as they are put into the templates.
        templates: Sentences with `{}` in the place of the class.
        ensemble: How the prompts of a class are combined; see `evaluate.embeddings.class_similarities`.

    Raises:
        SettingError: There are no videos, a label is not among the classes, or an embedding is not finite.
    """
    if not videos:
        raise SettingError("there are no videos to recognise: give at least one")
    labels = class_numbers([video.label for video in videos], classes)
    texts = encoder.embed_texts(class_prompts(classes, templates)).reshape(len(classes), len(templates), -1)
    return ClassScores(class_similarities(embed_videos(encoder, [v.frames for v in videos]), texts, ensemble), labels)


def probe(
    encoder: Encoder,
    train: Sequence[LabelledFrames],
    test: Sequence[LabelledFrames],
    classes: Sequence[str],
    strengths: Sequence[float] = STRENGTHS,
) -> ClassScores:
    """Recognition by a linear probe on frozen embeddings; several clips of a video are averaged.

    Args:
        encoder: The encoder, which stays frozen.
        train: Videos that the probe is fitted to. Its regularisation is chosen on a fifth of them.
        test: Videos that it is tested on.
        classes: Names of the classes.
        strengths: Values of C that are tried; see `heads.linear_probe`.

    Returns:
        The scores, with `C`, the chosen regularisation, among the notes.

    Raises:
        SettingError: One of the sets is empty, a label is not among the classes, or an embedding is not finite.
    """
    if not train or not test:
        raise SettingError(
            f"a linear probe has {len(train)} training and {len(test)} test videos: give at least one of each"
        )
    labels = class_numbers([video.label for video in train], classes)
    wanted = class_numbers([video.label for video in test], classes)
    fitted = fit_linear_probe(_features(encoder, train), labels, len(classes), strengths)
    return ClassScores(fitted.scores(_features(encoder, test)), wanted, {"C": fitted.strength})


def _features(encoder: Encoder, videos: Sequence[LabelledFrames]) -> Floats:
    rows = embed_videos(encoder, [video.frames for video in videos]).astype(float)
    return rows.mean(1) if rows.ndim == 3 else rows

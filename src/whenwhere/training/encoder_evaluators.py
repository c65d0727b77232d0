"""Evaluators of a video-text encoder while it trains; each scores as `models.encoders.evaluation` scores any encoder.

    [[evaluators]]
    name = "retrieval"
    kind = "retrieval"
    every = 100
    metric = "t2v-R@1"
    data = { corpus = "pairs", world = { split = "val" }, count = 200 }

`data` is a table like [data]. Retrieval takes any data; the others need the exact truth of shapes. Kinds that train a
head (`probe`, `qa`, `localization`) have a second table, `train`, for the clips that it learns from. Examples are made
at the first evaluation, with frames of the size that the encoder takes, and kept.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, TypeVar

from whenwhere.errors import SettingError, did_you_mean
from whenwhere.evaluate.embeddings import Ensemble
from whenwhere.evaluate.item_values import ItemValue
from whenwhere.models.encoders.encoder import Encoder, usual_frames
from whenwhere.models.encoders.evaluation import localization, pointing, recognition, retrieval, shapes
from whenwhere.models.encoders.evaluation.examples import CaptionedFrames, Frames
from whenwhere.models.encoders.evaluation.questions import answer_questions
from whenwhere.models.heads.answer_head import AnswerHeadSettings
from whenwhere.models.heads.linear_probe import STRENGTHS
from whenwhere.models.heads.localizer import LocalizerSettings
from whenwhere.stage.shapes.corpus import ShapesCorpus
from whenwhere.stage.shapes.pools import SHAPES_TEMPLATES, recognition_classes
from whenwhere.training.evaluators import EvaluatorKind, EvaluatorSettings
from whenwhere.training.objective import Objective
from whenwhere.training.pretrain.data import CaptionedSetSettings, open_clips
from whenwhere.training.run_folder import SampleError

T = TypeVar("T")
_RECALLS = tuple(f"{way}-{m}" for way in ("t2v", "v2t") for m in ("R@1", "R@5", "R@10", "MdR", "MnR"))
_PAIRS = ("pair-t2v", "pair-v2t", "pair-both")


class EncodingObjective(Objective, Protocol):
    """An objective whose model is a video-text encoder."""

    def encoder(self) -> Encoder:
        """The model as it is now, in evaluation mode."""
        ...


class EncoderEvaluator:
    """Measures the encoder that an objective trains (`evaluators.Evaluator`).

    Args:
        objective: The objective.
        measure: Function from the encoder to its metrics. It appends the values of single items to its second argument.

    Attributes:
        items: Values of single items in the latest evaluation.
    """

    def __init__(
        self, objective: EncodingObjective, measure: Callable[[Encoder, list[ItemValue]], dict[str, float]]
    ) -> None:
        self.objective, self.measure = objective, measure
        self.items: list[ItemValue] = []

    def evaluate(self) -> dict[str, float]:
        """The metrics of the encoder as it is now."""
        self.items = []
        return self.measure(self.objective.encoder(), self.items)


@dataclass(frozen=True, kw_only=True)
class EncoderEvaluatorSettings(EvaluatorSettings):
    """What the tables of all evaluators of encoders have in common.

    Attributes:
        data: Which examples are scored; it has the keys of [data].
    """

    data: CaptionedSetSettings

    #: The metrics that may decide which model is best.
    METRICS: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        EvaluatorSettings.__post_init__(self)
        # refused before the run begins rather than at the first evaluation
        if self.metric not in self.METRICS and "/" not in self.metric:
            raise SettingError(
                f"the evaluator {self.name!r} has no metric {self.metric!r}{did_you_mean(self.metric, self.METRICS)}"
            )


@dataclass(frozen=True, kw_only=True)
class RetrievalEvaluatorSettings(EncoderEvaluatorSettings):
    """A table [[evaluators]] with kind = "retrieval".

    Attributes:
        pairs: Number of pairs of clips of `shapes` that differ in one exchange (a hard pool) and must also be told
            apart. 0 leaves them out.
    """

    pairs: int = 0

    METRICS: ClassVar[tuple[str, ...]] = (*_RECALLS, *(f"dual-softmax-{name}" for name in _RECALLS), *_PAIRS)

    def __post_init__(self) -> None:
        EncoderEvaluatorSettings.__post_init__(self)
        if self.pairs and self.data.kind != "shapes":
            raise SettingError("pairs need the exact truth of shapes: leave pairs out, or set kind = 'shapes' in data")
        if self.metric.startswith("pair-") and not self.pairs:
            raise SettingError(f"the metric {self.metric!r} needs pairs: say how many, such as pairs = 60")


@dataclass(frozen=True, kw_only=True)
class RecognitionEvaluatorSettings(EncoderEvaluatorSettings):
    """A table [[evaluators]] with kind = "recognition": zero-shot, from prompts.

    Attributes:
        templates: Sentences with {} in the place of the class.
        ensemble: How the prompts of a class are combined: the mean of their similarities (`similarity`), or the
            similarity to their mean embedding (`embedding`).
    """

    templates: tuple[str, ...] = SHAPES_TEMPLATES
    ensemble: Ensemble = "similarity"

    METRICS: ClassVar[tuple[str, ...]] = ("top-1", "top-5", "mean-top-1-5", "mean-class-accuracy")

    def __post_init__(self) -> None:
        EncoderEvaluatorSettings.__post_init__(self)
        _needs_shapes(self.data)


@dataclass(frozen=True, kw_only=True)
class ProbeEvaluatorSettings(EncoderEvaluatorSettings):
    """A table [[evaluators]] with kind = "probe": recognition by a linear probe on frozen embeddings.

    Attributes:
        train: Clips that the probe is fitted to; it has the keys of [data].
        strengths: Values of C, the inverse regularisation, among which one is chosen on a part of `train`.
    """

    train: CaptionedSetSettings
    strengths: tuple[float, ...] = STRENGTHS

    METRICS: ClassVar[tuple[str, ...]] = RecognitionEvaluatorSettings.METRICS

    def __post_init__(self) -> None:
        EncoderEvaluatorSettings.__post_init__(self)
        _needs_shapes(self.data, self.train)


@dataclass(frozen=True, kw_only=True)
class QuestionsEvaluatorSettings(EncoderEvaluatorSettings):
    """A table [[evaluators]] with kind = "qa": open questions, answered by a head on frozen embeddings.

    Attributes:
        train: Clips whose questions the head learns from; it has the keys of [data].
        head: How the head is trained.
    """

    train: CaptionedSetSettings
    head: AnswerHeadSettings = field(default_factory=AnswerHeadSettings)

    METRICS: ClassVar[tuple[str, ...]] = ("accuracy",)

    def __post_init__(self) -> None:
        EncoderEvaluatorSettings.__post_init__(self)
        _needs_shapes(self.data, self.train)


@dataclass(frozen=True, kw_only=True)
class LocalizationEvaluatorSettings(EncoderEvaluatorSettings):
    """A table [[evaluators]] with kind = "localization": actions found by a small head on frozen features.

    Attributes:
        train: Clips that the head learns from; it has the keys of [data].
        head: How the head is built and trained.
    """

    train: CaptionedSetSettings
    head: LocalizerSettings = field(default_factory=LocalizerSettings)

    METRICS: ClassVar[tuple[str, ...]] = localization.SHOWN

    def __post_init__(self) -> None:
        EncoderEvaluatorSettings.__post_init__(self)
        _needs_shapes(self.data, self.train)


@dataclass(frozen=True, kw_only=True)
class PointingEvaluatorSettings(EncoderEvaluatorSettings):
    """A table [[evaluators]] with kind = "pointing": whether nouns are found in the frames.

    Attributes:
        prompts: Texts with {} in the place of a noun; the noun's embedding is the mean over them.
        level: How warm a cell of a heat map must be to belong to its box, as a share of the way from the lowest to the
            highest value of the map.
    """

    prompts: tuple[str, ...] = pointing.PROMPTS
    level: float = 0.5

    METRICS: ClassVar[tuple[str, ...]] = ("patch-pointing", "patch-box-IoU", "group-pointing", "group-box-IoU")

    def __post_init__(self) -> None:
        EncoderEvaluatorSettings.__post_init__(self)
        _needs_shapes(self.data)


@dataclass(frozen=True, kw_only=True)
class BoundariesEvaluatorSettings(EncoderEvaluatorSettings):
    """A table [[evaluators]] with kind = "boundaries": whether features change where something begins or ends.

    Attributes:
        tolerance: Largest difference in seconds between a boundary that is found and a true one.
        width: Number of features on each side of a time whose means are compared.
        deviations: By how many standard deviations a peak must exceed the mean of the curve of changes.
    """

    tolerance: float = 0.5
    width: int = 1
    deviations: float = 1.0

    METRICS: ClassVar[tuple[str, ...]] = ("boundary-F1", "boundary-F1-count")

    def __post_init__(self) -> None:
        EncoderEvaluatorSettings.__post_init__(self)
        _needs_shapes(self.data)


def _needs_shapes(*tables: CaptionedSetSettings) -> None:
    for table in tables:
        if table.kind != "shapes":
            raise SettingError(
                f"this evaluator needs the exact truth of shapes and cannot take {table.kind!r}: set kind = 'shapes' "
                "in its tables of clips"
            )


def _corpus(data: CaptionedSetSettings, encoder: Encoder, whole: bool = False) -> ShapesCorpus:
    """The corpus with frames of the encoder's size, and of the encoder's number unless videos stay whole."""
    side = max(encoder.image_size)
    frames = data.shapes().frames if whole or encoder.frames == 1 else encoder.frames
    return replace(data.shapes(), frames=frames, side=side)


def _once(make: Callable[[Encoder], T]) -> Callable[[Encoder], T]:
    """A function that makes something at its first call and gives the same at later ones."""
    made: list[T] = []

    def kept(encoder: Encoder) -> T:
        if not made:
            made.append(make(encoder))
        return made[0]

    return kept


def _shapes(
    data: CaptionedSetSettings, make: Callable[[ShapesCorpus, int, int], T], whole: bool = False
) -> Callable[[Encoder], T]:
    """A function that gives examples of the world of shapes, which it makes once.

    Args:
        data: Which examples.
        make: Makes them from the corpus, their number and the first seed.
        whole: Whether videos stay as long as the corpus has them, instead of as long as the encoder's clips.
    """
    return _once(lambda encoder: make(_corpus(data, encoder, whole), data.count, data.first_seed))


def _pool(data: CaptionedSetSettings, encoder: Encoder) -> tuple[list[CaptionedFrames], int]:
    """The pool of retrieval, and the number of clips that cannot be read."""
    if data.kind == "shapes":
        return shapes.captioned_pool(_corpus(data, encoder), data.count, data.first_seed, data.scale()), 0
    source = open_clips(data, usual_frames(encoder), max(encoder.image_size), training=False)
    pool: list[CaptionedFrames] = []
    first: dict[str, Frames] = {}
    for number in range(len(source)):
        try:
            clip = source[number]
        except SampleError:
            continue
        # sentences of one clip have the same frames, which are kept once
        name = hashlib.sha1(clip.frames.tobytes(), usedforsecurity=False).hexdigest()
        pool.append(CaptionedFrames(first.setdefault(name, clip.frames), clip.caption, name))
    return pool, len(source) - len(pool)


def build_retrieval(
    settings: RetrievalEvaluatorSettings, tables: Mapping[str, Any], objective: EncodingObjective
) -> EncoderEvaluator:
    """The evaluator of a table of kind "retrieval"; see `evaluators.EvaluatorKind`."""
    data = settings.data
    pool = _once(lambda encoder: _pool(data, encoder))
    # seeds far from those of the pool, so that no clip is in both
    pairs = _once(lambda encoder: shapes.pairs_pool(_corpus(data, encoder), settings.pairs, data.first_seed + 10**6))

    def measure(encoder: Encoder, items: list[ItemValue]) -> dict[str, float]:
        clips, unread = pool(encoder)
        found = retrieval.score_retrieval(encoder, clips, items) | {"unread_clips": float(unread)}
        return found | (retrieval.score_pairs(encoder, pairs(encoder), items) if settings.pairs else {})

    return EncoderEvaluator(objective, measure)


def build_recognition(
    settings: RecognitionEvaluatorSettings, tables: Mapping[str, Any], objective: EncodingObjective
) -> EncoderEvaluator:
    """The evaluator of a table of kind "recognition"; see `evaluators.EvaluatorKind`."""
    clips, classes, how = _shapes(settings.data, shapes.labelled_clips), recognition_classes(), settings

    def measure(encoder: Encoder, items: list[ItemValue]) -> dict[str, float]:
        found = recognition.zero_shot(encoder, clips(encoder), classes, how.templates, how.ensemble)
        items.extend(found.item_values())
        return found.measures()

    return EncoderEvaluator(objective, measure)


def build_probe(
    settings: ProbeEvaluatorSettings, tables: Mapping[str, Any], objective: EncodingObjective
) -> EncoderEvaluator:
    """The evaluator of a table of kind "probe"; see `evaluators.EvaluatorKind`."""
    train, test = (_shapes(data, shapes.labelled_clips) for data in (settings.train, settings.data))

    def measure(encoder: Encoder, items: list[ItemValue]) -> dict[str, float]:
        found = recognition.probe(encoder, train(encoder), test(encoder), recognition_classes(), settings.strengths)
        items.extend(found.item_values())
        return found.measures()

    return EncoderEvaluator(objective, measure)


def build_questions(
    settings: QuestionsEvaluatorSettings, tables: Mapping[str, Any], objective: EncodingObjective
) -> EncoderEvaluator:
    """The evaluator of a table of kind "qa"; see `evaluators.EvaluatorKind`."""
    train, test = (_shapes(data, shapes.question_set) for data in (settings.train, settings.data))
    return EncoderEvaluator(
        objective,
        lambda encoder, items: answer_questions(encoder, train(encoder), test(encoder), settings.head, items),
    )


def build_localization(
    settings: LocalizationEvaluatorSettings, tables: Mapping[str, Any], objective: EncodingObjective
) -> EncoderEvaluator:
    """The evaluator of a table of kind "localization"; see `evaluators.EvaluatorKind`."""
    train, test = (_shapes(data, shapes.segmented_videos, whole=True) for data in (settings.train, settings.data))
    return EncoderEvaluator(
        objective,
        lambda encoder, items: localization.locate_actions(encoder, train(encoder), test(encoder), settings.head),
    )


def build_pointing(
    settings: PointingEvaluatorSettings, tables: Mapping[str, Any], objective: EncodingObjective
) -> EncoderEvaluator:
    """The evaluator of a table of kind "pointing"; see `evaluators.EvaluatorKind`."""
    named = _shapes(settings.data, shapes.named_boxes)
    return EncoderEvaluator(
        objective,
        lambda encoder, items: pointing.score_pointing(
            encoder, named(encoder), settings.prompts, settings.level, items
        ),
    )


def build_boundaries(
    settings: BoundariesEvaluatorSettings, tables: Mapping[str, Any], objective: EncodingObjective
) -> EncoderEvaluator:
    """The evaluator of a table of kind "boundaries"; see `evaluators.EvaluatorKind`."""
    videos, how = _shapes(settings.data, shapes.segmented_videos, whole=True), settings
    return EncoderEvaluator(
        objective,
        lambda encoder, items: localization.find_boundaries(
            encoder, videos(encoder), how.tolerance, how.width, how.deviations
        ),
    )


RETRIEVAL = EvaluatorKind(RetrievalEvaluatorSettings, build_retrieval)
RECOGNITION = EvaluatorKind(RecognitionEvaluatorSettings, build_recognition)
PROBE = EvaluatorKind(ProbeEvaluatorSettings, build_probe)
QUESTIONS = EvaluatorKind(QuestionsEvaluatorSettings, build_questions)
LOCALIZATION = EvaluatorKind(LocalizationEvaluatorSettings, build_localization)
POINTING = EvaluatorKind(PointingEvaluatorSettings, build_pointing)
BOUNDARIES = EvaluatorKind(BoundariesEvaluatorSettings, build_boundaries)

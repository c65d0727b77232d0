"""The recipe tables of stages that train a vision-language policy: [model], [data], [reward] and [curriculum].

A table is a dataclass: its fields are the keys, its annotations the types, its defaults what is not said
(`training.tables`).
"""

from dataclasses import dataclass, field, replace
from typing import Any

from whenwhere.answers import FORMS
from whenwhere.answers.dialects import FrameMode
from whenwhere.curate.filters import FilterSettings
from whenwhere.datasets import BENCHMARKS
from whenwhere.errors import SettingError, did_you_mean
from whenwhere.stage.shapes.world import ShapesWorld
from whenwhere.training.data.curriculum import CurriculumSettings
from whenwhere.training.settings import ADDED, TrainingSettings
from whenwhere.training.sft.heads import HEADS
from whenwhere.verify import Verifier


@dataclass(frozen=True, slots=True)
class PolicySizes:
    """Sizes of an untrained tiny policy (`models.tiny.build`). None keeps the default there.

    Attributes:
        seed: Seed of the weights.
        hidden: Width of the text tower.
        layers: Layers of the text tower.
        mlp: Inner size of the text tower's layers in multiples of `hidden`.
        vision_hidden: Width of the vision tower.
        vision_layers: Layers of the vision tower.
        vision_mlp: Inner size of the vision tower's layers in multiples of `vision_hidden`.
        deepstack: Layers of the vision tower that also go into the text tower's first layers.
        side: Most pixels of a frame's side.
        patch: Side of a patch in pixels.
    """

    seed: int = 0
    hidden: int | None = None
    layers: int | None = None
    mlp: int | None = None
    vision_hidden: int | None = None
    vision_layers: int | None = None
    vision_mlp: int | None = None
    deepstack: tuple[int, ...] | None = None
    side: int | None = None
    patch: int | None = None


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The table [model]: which checkpoint is trained, how it is asked and how it sees a video.

    Attributes:
        checkpoint: Hub id, folder (of a checkpoint, or of a run with one in it), `tiny` (comes with the package), or
            `tiny-new` (untrained, of `sizes`).
        revision: Branch, tag or commit of a hub id.
        form: Form that answers are written in (`whenwhere.answers.FORMS`).
        prompt: The question, with {query} and, if wanted, {duration}. Empty asks as the family's dialect does.
        head: Output head: answers as text (`text`), as text with tokens for times and coordinates (`time-tokens`), or
            by pointing at frames (`start-end`). Heads other than `text` are trained by `sft`.
        frames: How frames are handed over. None follows the dialect.
        sample_fps: Frames per second that the policy sees.
        max_frames: Most frames of a video; a longer one is sampled less often.
        long_side: Most pixels of a frame's longer side. None: no limit.
        total_pixels: Most pixels of all frames together. None: no limit.
        min_pixels: Fewest pixels of a frame under `total_pixels`.
        sizes: Sizes of `tiny-new`.
    """

    checkpoint: str
    revision: str | None = None
    form: str = "second-level"
    prompt: str = ""
    frames: FrameMode | None = None
    sample_fps: float = 2.0
    max_frames: int = 768
    long_side: int | None = None
    total_pixels: int | None = None
    min_pixels: int = 0
    sizes: PolicySizes = field(default_factory=PolicySizes)
    head: str = field(default="text", metadata=ADDED)

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise SettingError(f"there is no form {self.form!r}{did_you_mean(self.form, FORMS)}")
        if self.head not in HEADS:
            raise SettingError(f"there is no head {self.head!r}{did_you_mean(self.head, HEADS)}")
        if self.prompt and "{query}" not in self.prompt:
            raise SettingError("the prompt has no {query}: say where the sentence goes")
        try:
            self.prompt.format(query="", duration="")
        except (KeyError, IndexError, ValueError) as e:
            raise SettingError(
                "the prompt has braces that are neither {query} nor {duration}: double them, as in {{start}}"
            ) from e
        if not self.sample_fps or not self.max_frames:
            raise SettingError("sample_fps and max_frames must be above 0")


@dataclass(frozen=True, slots=True)
class WorldChapter:
    """A table [[data.grow]]: the smaller world that clips are drawn from at first.

    Attributes:
        until: Share of the updates up to which clips are drawn from this world.
        world: The world.
    """

    until: float
    world: ShapesWorld


@dataclass(frozen=True)
class DataSettings(FilterSettings):
    """The table [data]: which clips and sentences the policy learns from. It also has the filters' keys.

    Attributes:
        kind: `shapes` (the procedural world), `manifest`, or another of `whenwhere.datasets.BENCHMARKS`.
        annotations: The released file, or the manifest.
        videos: Folder that is put before the videos' names. Empty keeps paths as they are; those of a manifest count
            from its folder.
        world: Factors of `shapes`.
        grow: Smaller worlds that `shapes` begins with, in order.
        first_seed: Seed of the first clip of `shapes`.
        count: Number of clips of `shapes`; for anything else the most sentences that are kept, 0 for all.
    """

    kind: str = "shapes"
    annotations: str = ""
    videos: str = ""
    world: ShapesWorld = field(default_factory=ShapesWorld)
    grow: tuple[WorldChapter, ...] = ()
    first_seed: int = 0
    count: int = 0

    def __post_init__(self) -> None:
        kinds = ("shapes", *BENCHMARKS)
        if self.kind not in kinds:
            raise SettingError(f"there is no data {self.kind!r}{did_you_mean(self.kind, kinds)}")
        if self.kind == "shapes" and not self.count:
            raise SettingError("kind = 'shapes' needs count, how many clips there are")


@dataclass(frozen=True)
class RewardSettings:
    """The table [reward]: what scores answers (`whenwhere.verify.Verifier`), in RL and where difficulty is measured.

    Attributes:
        weights: Weight of each reward term.
        format: Term that scores the form of an answer.
        format_weight: Weight λ of that term.
        rate: Boxes per second that are asked for.
        gameable: Allow a reward that can be had without finding the event.
    """

    weights: dict[str, float] = field(default_factory=lambda: {"t_iou": 0.5, "v_iou": 0.5})
    format: str = "format"
    format_weight: float = 0.1
    rate: float = 1.0
    gameable: bool = False

    def verifier(self, form: str) -> Verifier:
        """The verifier for answers in a form.

        Args:
            form: Name of the form.

        Raises:
            SettingError: Terms or weights that cannot be.
        """
        return Verifier(
            self.weights, self.format, self.format_weight, form=form, rate=self.rate, gameable=self.gameable
        )  # fmt: skip

    def __post_init__(self) -> None:
        self.verifier("second-level")


#: Tables of a recipe that trains a policy, beside [train].
POLICY_TABLES: dict[str, Any] = {
    "model": ModelSettings, "data": DataSettings, "reward": RewardSettings, "curriculum": CurriculumSettings,
}  # fmt: skip


def check_policy_tables(tables: dict[str, Any], train: TrainingSettings) -> TrainingSettings:
    """Checks what one table alone cannot see.

    Args:
        tables: The tables by name.
        train: The table [train].

    Returns:
        The settings of [train] as the other tables need them.

    Raises:
        SettingError: Tables that contradict each other.
    """
    curriculum: CurriculumSettings = tables["curriculum"]
    if curriculum.difficulty and not curriculum.needed:
        raise SettingError(
            "[curriculum] difficulty has no effect, for nothing is chosen or ordered by it: add a selector, low, high, "
            "count or schedule, or leave it out"
        )
    if curriculum.needed and tables["data"].grow:
        raise SettingError("[data] grow and [curriculum] are both an order of clips: leave one of them out")
    if curriculum.schedule == "rescored":
        # samples prepared ahead would be chosen by difficulties of a policy that does not exist yet
        return replace(train, dataloader_prefetch=0)
    return train

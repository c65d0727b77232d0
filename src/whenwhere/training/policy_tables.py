"""The recipe tables of stages that train a vision-language policy: [model], [data], [reward] and [curriculum].

A table is a dataclass: its fields are the keys, its annotations the types, and its defaults the values of keys that a
recipe leaves out (`training.tables`).
"""

from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Any

from whenwhere.answers import FORMS
from whenwhere.answers.dialects import FrameMode
from whenwhere.answers.dialects.prompt import check_prompt
from whenwhere.curate.filters import FilterSettings
from whenwhere.datasets import BENCHMARKS
from whenwhere.errors import RATES, SettingError, check_range, did_you_mean
from whenwhere.stage.shapes.world import ShapesWorld
from whenwhere.training.data.curriculum import CurriculumSettings
from whenwhere.training.settings import ADDED, TrainingSettings
from whenwhere.training.sft.heads import HEADS
from whenwhere.verify import Verifier


@dataclass(frozen=True, slots=True)
class PolicySizes:
    """Sizes of an untrained tiny policy (`models.tiny.build`). None means the default of that function.

    Attributes:
        seed: Seed of the weights.
        hidden: Width of the text tower.
        layers: Number of layers of the text tower.
        mlp: Inner size of the text tower's layers in multiples of `hidden`.
        vision_hidden: Width of the vision tower.
        vision_layers: Number of layers of the vision tower.
        vision_mlp: Inner size of the vision tower's layers in multiples of `vision_hidden`.
        deepstack: Layers of the vision tower whose features are also added in the text tower's first layers.
        side: A frame gets at most as many tokens as a square with this side in pixels.
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
    """The table [model]: which checkpoint is trained, how it is prompted, and how it sees a video.

    Attributes:
        checkpoint: Hub id, folder (of a checkpoint, or of a run with one in it), `tiny` (comes with the package), or
            `tiny-new` (untrained, of `sizes`).
        revision: Branch, tag or commit of a hub id.
        form: Form that answers are written in (`whenwhere.answers.FORMS`).
        prompt: Prompt template with {query} and optionally {duration}. Empty means the one of the model's family.
        head: Output head: answers as text (`text`), as text with tokens for times and coordinates (`time-tokens`), or
            by pointing at frames (`start-end`). Heads other than `text` are trained by `sft`.
        frames: How frames are given to the model. None means as the model's family takes them.
        sample_fps: Frames per second that the policy sees.
        max_frames: Largest number of frames per video; longer videos are sampled at a lower rate.
        long_side: Largest longer side of a frame in pixels. None: no limit.
        total_pixels: Largest number of pixels of all frames together. None: no limit.
        min_pixels: Smallest number of pixels of a frame when `total_pixels` makes frames smaller.
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
        if self.prompt:
            check_prompt(self.prompt)
        check_range(self.sample_fps, *RATES, "sample_fps")
        check_range(self.max_frames, 1, 100_000, "max_frames")


@dataclass(frozen=True, slots=True)
class WorldChapter:
    """One table [[data.grow]]: a smaller procedural world, from which clips are drawn early in the run.

    Attributes:
        until: Share of the run's updates, 0-1, up to which clips are drawn from this world.
        world: Settings of the procedural world.
    """

    until: float
    world: ShapesWorld


@dataclass(frozen=True)
class DataSettings(FilterSettings):
    """The table [data]: which clips and sentences the policy learns from, and filters that leave some out.

    Attributes:
        kind: `shapes` (the procedural world), `manifest`, or another of `whenwhere.datasets.BENCHMARKS`.
        annotations: The released file, or the manifest.
        videos: Folder of the videos: names are looked up there, then as paths from the annotations. Empty keeps paths
            as they are; those in a manifest are relative to the manifest's folder.
        world: Settings of the procedural world `shapes`.
        grow: Smaller worlds that a run on `shapes` begins with, in order.
        first_seed: Seed of the first clip of `shapes`.
        count: Number of clips of `shapes`; for other data the largest number of sentences, 0 for all.
        trajectories: What SFT learns to write: the bare `answer`, or the reasoning of `whenwhere data trajectories`
            with the `truth`'s numbers or the `teacher`'s own. Sentences without such reasoning are left out.
    """

    kind: str = "shapes"
    annotations: str = ""
    videos: str = ""
    world: ShapesWorld = field(default_factory=ShapesWorld)
    grow: tuple[WorldChapter, ...] = ()
    first_seed: int = 0
    count: int = 0
    trajectories: str = field(default="answer", metadata=ADDED)

    def __post_init__(self) -> None:
        if self.trajectories not in ("answer", "truth", "teacher"):
            raise SettingError(f"trajectories is answer, truth or teacher, not {self.trajectories!r}")
        if self.trajectories != "answer" and self.kind == "shapes":
            raise SettingError("trajectories are read from a manifest: set kind = 'manifest' and annotations")
        kinds = ("shapes", *BENCHMARKS)
        if self.kind not in kinds:
            raise SettingError(f"there is no data {self.kind!r}{did_you_mean(self.kind, kinds)}")
        if self.kind == "shapes" and not self.count:
            raise SettingError("kind = 'shapes' needs count, how many clips there are")


@dataclass(frozen=True, kw_only=True)
class MixedSetSettings(DataSettings):
    """One table [[data.mix]]: a set with its share of the samples. It has the keys of [data] too.

    Attributes:
        name: Name of the set in metrics.jsonl (`clips/<name>`).
        weight: Weight of the set: its share of the samples of a run, before division by the sum of the weights.
    """

    name: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        DataSettings.__post_init__(self)
        if not self.name:
            raise SettingError("name is empty: give the set a name for metrics.jsonl")
        if not self.weight:
            raise SettingError(f"the set {self.name!r} has the weight 0: leave the set out")
        if self.grow:
            raise SettingError(
                f"the set {self.name!r} has grow, which is an order of the whole run: leave one of them out"
            )


@dataclass(frozen=True)
class MixedDataSettings(DataSettings):
    """The table [data] of a recipe: one set, or several that are mixed.

    Attributes:
        mix: Sets that are mixed by weight, each a table [[data.mix]], in place of the other keys.
    """

    mix: tuple[MixedSetSettings, ...] = field(default=(), metadata=ADDED)

    def __post_init__(self) -> None:
        if not self.mix:
            DataSettings.__post_init__(self)
            return
        own = [one.name for one in fields(DataSettings) if getattr(self, one.name) != _default(one)]
        if own:
            raise SettingError(f"{', '.join(own)} beside mix has no effect: write it into each table [[data.mix]]")
        names = [one.name for one in self.mix]
        for name in names:
            if names.count(name) > 1:
                raise SettingError(f"two sets of the mix are named {name!r}: give each a name of its own")


def _default(one: Field[Any]) -> Any:
    return one.default if one.default_factory is MISSING else one.default_factory()


@dataclass(frozen=True)
class RewardSettings:
    """The table [reward]: how answers are scored (`whenwhere.verify.Verifier`), in RL and when difficulty is measured.

    Attributes:
        weights: Weight of each reward term.
        format: Term that scores the form of an answer.
        format_weight: Weight λ of that term.
        rate: Boxes per second that the policy is asked for.
        gameable: Whether to allow a reward that a policy can get without finding the event.
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
            SettingError: A term does not exist, or a weight is not allowed.
        """
        return Verifier(
            self.weights, self.format, self.format_weight, form=form, rate=self.rate, gameable=self.gameable
        )  # fmt: skip

    def __post_init__(self) -> None:
        self.verifier("second-level")


#: Tables of a recipe that trains a policy, beside [train].
POLICY_TABLES: dict[str, Any] = {
    "model": ModelSettings, "data": MixedDataSettings, "reward": RewardSettings, "curriculum": CurriculumSettings,
}  # fmt: skip


def check_policy_tables(tables: dict[str, Any], train: TrainingSettings) -> TrainingSettings:
    """Checks that the tables of a recipe fit together.

    Args:
        tables: The tables by name.
        train: The table [train].

    Returns:
        The settings of [train], adjusted to the other tables where that is necessary.

    Raises:
        SettingError: Two tables contradict each other.
    """
    curriculum: CurriculumSettings = tables["curriculum"]
    if curriculum.difficulty and not curriculum.needed:
        raise SettingError(
            "[curriculum] difficulty has no effect, for nothing is chosen or ordered by it: add a selector, low, high, "
            "count or schedule, or leave it out"
        )
    if curriculum.needed and tables["data"].mix:
        raise SettingError("[data] mix and [curriculum] are both an order of clips: leave one of them out")
    if curriculum.needed and tables["data"].grow:
        raise SettingError("[data] grow and [curriculum] are both an order of clips: leave one of them out")
    if curriculum.schedule == "rescored":
        # samples prepared ahead would be chosen by difficulties of a policy that does not exist yet
        return replace(train, dataloader_prefetch=0)
    return train

"""The tables of a recipe for pre-training: [encoder], [text], [objective] and [train] with its [[train.phases]].

The fifth table, [data], is `pretrain.data.PretrainDataSettings`.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from whenwhere.errors import SettingError
from whenwhere.models.encoders.config import (
    Activation,
    Assignment,
    EncoderConfig,
    Masking,
    MaskingKind,
    Pooling,
    TextConfig,
    TextPooling,
    VideoConfig,
)
from whenwhere.training.pretrain.data import PretrainDataSettings
from whenwhere.training.pretrain.noun_grounding import Aggregation
from whenwhere.training.pretrain.temporal_grouping import Centres
from whenwhere.training.settings import RatePart, TrainingSettings

#: The checkpoint that means untrained encoders.
NEW = "new"


@dataclass(frozen=True)
class PretrainEncoderSettings:
    """The table [encoder]: the video encoder that training begins with.

    A key that is `none` is as in the checkpoint, or has the default of `VideoConfig` where the encoder is new. Sizes
    that a checkpoint fixes may be given, but not changed.

    Attributes:
        checkpoint: `new` for untrained encoders; or a checkpoint of CLIP, SigLIP, PE-Core and others, or an encoder
            that was trained here. The text encoder of a checkpoint is taken too, unless [text] names another.
        image_size: Side of a frame in pixels.
        frames: Number of frames of a clip.
        tubelet: Number of frames that one token covers; a checkpoint's embedding of patches is inflated to it.
        patch: Side of a patch in pixels; fixed by a checkpoint, as are the next six.
        width: Width of the tokens.
        layers: Number of transformer blocks.
        heads: Attention heads of a block.
        output: Size of the embeddings.
        activation: Activation of the MLPs.
        class_token: Whether there is a class token.
        pooling: What a clip's embedding is made from: the class token, the mean of the video tokens, or attention from
            a learned query.
        drop_path: Probability with which the attention and the MLP of the last block are each skipped for a clip in
            training; over the blocks it rises linearly from 0.
        group_tokens: Number of group tokens. 0 means none, as does `none` for a new encoder.
        group_layers: Layers, counted from 1, after which a grouping block updates the group tokens.
        assignment: How a grouping block assigns video tokens to groups: each to one group, drawn with Gumbel noise in
            training (`hard_gumbel`) or without (`hard`), or by shares to all groups (`soft`).
        group_attention: Whether group tokens take part in the self-attention of the blocks.
    """

    checkpoint: str = NEW
    image_size: int | None = None
    frames: int | None = None
    tubelet: int | None = None
    patch: int | None = None
    width: int | None = None
    layers: int | None = None
    heads: int | None = None
    output: int | None = None
    activation: Activation | None = None
    class_token: bool | None = None
    pooling: Pooling | None = None
    drop_path: float | None = None
    group_tokens: int | None = None
    group_layers: tuple[int, ...] | None = None
    assignment: Assignment | None = None
    group_attention: bool | None = None

    #: Keys that a checkpoint fixes.
    FIXED: ClassVar[tuple[str, ...]] = ("patch", "width", "layers", "heads", "output", "activation", "class_token")

    @property
    def changes(self) -> dict[str, Any]:
        """The keys of a `VideoConfig` that the table sets, with their values."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "checkpoint"}
        return {key: value for key, value in values.items() if value is not None}


@dataclass(frozen=True)
class PretrainTextSettings:
    """The table [text]: the text encoder, where it is not that of the video encoder's checkpoint.

    Attributes:
        checkpoint: Hub id or folder of a text model of transformers, such as a BERT. `none` takes the text encoder of
            [encoder] checkpoint, or a new one in CLIP's style where that is `new`.
        width: Width of the tokens; fixed by a checkpoint, as are the next two.
        layers: Number of transformer blocks.
        heads: Attention heads of a block.
        context: Largest number of tokens of a caption; longer ones are cut. Fixed by [encoder] checkpoint.
        pooling: Which tokens the embedding is made from; only with `checkpoint`.
        frozen: Whether the text encoder is left untrained. A new projection behind `checkpoint` is trained all the
            same.
    """

    checkpoint: str | None = None
    width: int | None = None
    layers: int | None = None
    heads: int | None = None
    context: int | None = None
    pooling: TextPooling = "mean"
    frozen: bool = False


@dataclass(frozen=True)
class PretrainObjectiveSettings:
    """The table [objective]: the terms of the loss and how each is computed.

    Attributes:
        contrast: Weight of the contrastive loss of clips and captions. A term whose weight is 0 is not computed.
        nouns: Weight of the loss that grounds nouns in group tokens (`pretrain.noun_grounding`).
        time: Weight of the loss that tells foreground from background (`pretrain.temporal_grouping`).
        temperature: Temperature of the contrastive loss at the beginning. `none` begins with the checkpoint's, or with
            0.07 where the encoders are new.
        least_temperature: Smallest temperature of the contrastive loss, learned or given; lower ones are raised to it.
        learn_temperature: Whether the temperature is learned.
        same_video_negatives: Whether another clip of the same video is a negative.
        nouns_per_caption: Largest number of nouns of a caption that are grounded; the first ones are taken.
        noun_prompt: Text in which a noun is encoded, with {noun} in its place.
        aggregation: How a noun's similarities with the groups are combined into one.
        group_temperature: Temperature of the softmax by which a noun looks for its group.
        noun_temperature: Temperature of the loss that grounds nouns.
        mask_shared_nouns: Whether captions that share a noun are left out of each other's negatives in that loss.
        shuffle_nouns: Whether each caption gets the nouns of another: a control in which there is nothing to learn.
        cut_and_paste: Whether a stretch of each clip is pasted into another. The temporal loss needs it.
        crossfade: Number of frames on either side of a pasted stretch's edge that are blended. 0 is a hard edge.
        centres: How the centres of foreground and background are computed; all but `clean_loo` leak the answer.
        time_loss: Whether the temporal loss is the squared error (`mse`) or the cross-entropy (`bce`) of its softmax.
        time_temperature: Temperature of that softmax.
    """

    contrast: float = 1.0
    nouns: float = 1.0
    time: float = 1.0
    temperature: float | None = None
    least_temperature: float = 0.01
    learn_temperature: bool = True
    same_video_negatives: bool = True
    nouns_per_caption: int = 2
    noun_prompt: str = "{noun}"
    aggregation: Aggregation = "softmax"
    group_temperature: float = 0.1
    noun_temperature: float = 0.1
    mask_shared_nouns: bool = False
    shuffle_nouns: bool = False
    cut_and_paste: bool = True
    crossfade: int = 0
    centres: Centres = "clean_loo"
    time_loss: Literal["mse", "bce"] = "mse"
    time_temperature: float = 0.1

    def __post_init__(self) -> None:
        if not self.contrast and not self.nouns and not self.time:
            raise SettingError("contrast, nouns and time are all 0, so there is no loss: set one of them above 0")
        for key in ("temperature", "least_temperature", "group_temperature", "noun_temperature", "time_temperature"):
            if getattr(self, key) == 0:
                raise SettingError(f"{key} is 0 and must be above 0")
        if self.time and not self.cut_and_paste:
            raise SettingError(
                "the temporal loss is not applicable without cut_and_paste, since nothing says what is foreground: set "
                "time = 0 or cut_and_paste = true"
            )
        if self.nouns and self.nouns_per_caption < 1:
            raise SettingError("nouns_per_caption is 0 and must be at least 1: set nouns = 0 to ground none")
        if "{noun}" not in self.noun_prompt:
            raise SettingError(f"noun_prompt is {self.noun_prompt!r} and must contain {{noun}}")

    @property
    def needs_clean_clips(self) -> bool:
        """Whether the clips are also embedded as they were before blending."""
        return bool(self.time) and self.centres in ("clean_loo", "clean")


@dataclass(frozen=True)
class PhaseSettings:
    """One table [[train.phases]]: a stretch of the run with a masking, a batch and a learning rate of its own.

    Attributes:
        share: Length of the phase in proportion to the other phases; together they are `max_steps` updates.
        batch: Clips per update and process. `none` takes that of [train], as do the next two.
        masking: Which video tokens are dropped.
        mask_ratio: Share of the video tokens that are dropped.
        rate: Peak learning rate of the phase as a multiple of `learning_rate`.
        warmup_steps: Updates at the beginning of the phase over which the learning rate rises. `none` takes that of
            [train] in the first phase, and 0 in later ones.
    """

    share: float = 1.0
    batch: int | None = None
    masking: MaskingKind | None = None
    mask_ratio: float | None = None
    rate: float = 1.0
    warmup_steps: int | None = None

    def __post_init__(self) -> None:
        if self.share <= 0:
            raise SettingError("share is 0 and must be above 0: raise it, or leave the phase out")


@dataclass(frozen=True)
class Phase:
    """A phase of a run with its place in the run and all of its settings.

    Attributes:
        number: Number of the phase, from 0.
        first: Number of its first update, from 0.
        end: Number of the update after its last.
        drawn: Number of clips that each process has drawn before it.
        batch: Clips per update and process.
        mask: Which video tokens are dropped.
        rate: Peak learning rate as a multiple of `learning_rate`.
        warmup: Number of updates over which the learning rate rises.
    """

    number: int
    first: int
    end: int
    drawn: int
    batch: int
    mask: Masking
    rate: float
    warmup: int

    @property
    def updates(self) -> int:
        """Number of updates."""
        return self.end - self.first


@dataclass(frozen=True, slots=True)
class PretrainSettings(TrainingSettings):
    """The table [train] of pre-training.

    Attributes:
        batch: Clips per update and process.
        chunk: Number of clips that are embedded at a time. A larger batch is embedded in chunks, twice (GradCache). 0
            embeds the whole batch at once.
        masking: Which video tokens are dropped: `random` ones, those of the same places in all time steps (`tube`), or
            whole time steps (`frame`).
        mask_ratio: Share of the video tokens that are dropped, below 1.
        phases: The phases of the run, one after another; ViCLIP has one with masking and one without. An empty list is
            a single phase.
        wise_ft: Share of the trained weights in the average with the weights that training began with (WiSE-FT), which
            is written to RUN/merged at the end. `none` writes no average.
    """

    batch: int = 64
    chunk: int = 0
    masking: MaskingKind = "random"
    mask_ratio: float = 0.0
    phases: tuple[PhaseSettings, ...] = ()
    wise_ft: float | None = None

    def __post_init__(self) -> None:
        TrainingSettings.__post_init__(self)  # a dataclass with slots has no `super()`
        for phase in self.planned():
            if phase.batch < 2:
                raise SettingError(
                    f"batch is {phase.batch}, and a clip has nothing to be told from in a batch of one: set 2 or more"
                )
        if self.num_train_epochs is None and self.max_steps < len(self.phases):
            raise SettingError(f"max_steps is {self.max_steps}, fewer than the run has phases ({len(self.phases)})")
        if self.wise_ft is not None and not 0 < self.wise_ft < 1:
            raise SettingError(f"wise_ft is {self.wise_ft:g} and must be above 0 and below 1")

    @property
    def mean_batch(self) -> float:
        """Clips per update and process, on average over the run."""
        tables = self.phases or (PhaseSettings(),)
        batches = [self.batch if table.batch is None else table.batch for table in tables]
        total = sum(table.share for table in tables)
        return sum(table.share * batch for table, batch in zip(tables, batches, strict=True)) / total

    def planned(self) -> tuple[Phase, ...]:
        """The phases of the run, with what their tables leave out filled in; each has at least one update.

        Raises:
            SettingError: A masking ratio is not below 1.

        >>> settings = PretrainSettings(max_steps=10, batch=8, phases=(PhaseSettings(4), PhaseSettings(1, batch=4)))
        >>> [(phase.first, phase.end, phase.drawn, phase.batch) for phase in settings.planned()]
        [(0, 8, 0, 8), (8, 10, 64, 4)]
        """
        tables = self.phases or (PhaseSettings(),)
        total, so_far, drawn, first = sum(table.share for table in tables), 0.0, 0, 0
        found = []
        for number, table in enumerate(tables):
            so_far += table.share / total
            end = min(max(round(so_far * self.max_steps), first + 1), self.max_steps - (len(tables) - number - 1))
            batch = self.batch if table.batch is None else table.batch
            mask = Masking(
                self.masking if table.masking is None else table.masking,
                self.mask_ratio if table.mask_ratio is None else table.mask_ratio,
            )
            warmup = table.warmup_steps
            if warmup is None:
                warmup = 0 if number else self.warmup_steps
            found.append(Phase(number, first, end, drawn, batch, mask, table.rate, warmup))
            drawn, first = drawn + (end - first) * batch, end
        return tuple(found)

    def phase_at(self, number: int) -> Phase:
        """The phase of an update.

        Args:
            number: Number of the update, from 0.
        """
        phases = self.planned()
        return next((phase for phase in phases if number < phase.end), phases[-1])

    def rate_part(self, number: int) -> RatePart:
        """The part of the run that an update's learning rate belongs to: its phase."""
        phase = self.phase_at(number)
        return RatePart(phase.first, phase.end, phase.warmup, self.learning_rate * phase.rate)


def new_config(encoder: PretrainEncoderSettings, text: PretrainTextSettings) -> EncoderConfig:
    """Sizes and choices of untrained encoders. Vocabulary and end of the text encoder are set with its tokenizer.

    Args:
        encoder: The table [encoder].
        text: The table [text].

    Raises:
        SettingError: Sizes do not fit together.
    """
    return EncoderConfig(video := VideoConfig(**encoder.changes), text_config(text, video.output))


def text_config(text: PretrainTextSettings, output: int) -> TextConfig:
    """Sizes and choices of a text encoder that is new or a model of transformers.

    Args:
        text: The table [text].
        output: Size of the embeddings.

    Raises:
        SettingError: Sizes do not fit together.
    """
    sizes = {key: value for key in ("width", "layers", "heads", "context") if (value := getattr(text, key)) is not None}
    if text.checkpoint is None:
        return TextConfig(output=output, frozen=text.frozen, **sizes)
    for key in ("width", "layers", "heads"):
        if key in sizes:
            raise SettingError(f"[text] {key} is fixed by the checkpoint {text.checkpoint}: leave it out")
    return TextConfig(
        kind="transformers",
        output=output,
        checkpoint=text.checkpoint,
        pooling=text.pooling,
        frozen=text.frozen,
        **sizes,
    )


def check_groups(group_tokens: int, objective: PretrainObjectiveSettings) -> None:
    """Checks that there are enough group tokens for the nouns of a caption.

    Args:
        group_tokens: Number of group tokens.
        objective: The table [objective].

    Raises:
        SettingError: There are fewer.
    """
    if objective.nouns and group_tokens < objective.nouns_per_caption:
        raise SettingError(
            f"group_tokens is {group_tokens}, fewer than the {objective.nouns_per_caption} nouns of a caption that are "
            "grounded in them: raise group_tokens in [encoder], or set nouns = 0 in [objective]"
        )


def check_tables(tables: dict[str, Any], train: TrainingSettings) -> TrainingSettings:
    """Checks that the tables of a recipe fit together; see `stages.TrainingStage`.

    Args:
        tables: The recipe's tables except [train], by name.
        train: The table [train].

    Returns:
        The table [train], unchanged.

    Raises:
        SettingError: The tables contradict each other.
    """
    assert isinstance(train, PretrainSettings)
    encoder: PretrainEncoderSettings = tables["encoder"]
    objective: PretrainObjectiveSettings = tables["objective"]
    text: PretrainTextSettings = tables["text"]
    if encoder.group_tokens is not None or encoder.checkpoint == NEW:
        check_groups(encoder.group_tokens or 0, objective)
    if encoder.checkpoint == NEW:
        if train.wise_ft is not None:
            raise SettingError(
                "wise_ft averages trained weights with those of a pre-trained checkpoint, and these encoders are new: "
                "name a checkpoint in [encoder], or leave wise_ft out"
            )
        if text.checkpoint is None and text.frozen:
            raise SettingError("a new text encoder cannot be frozen, for it has learned nothing: set frozen = false")
        new_config(encoder, text)
    data: PretrainDataSettings = tables["data"]
    for one in (data, *data.mix):
        for key, right in (("frames", "frames"), ("side", "image_size")):
            if key in one.world:
                raise SettingError(f"[data] world sets {key}, which the encoder decides: set {right} in [encoder]")
    for phase in train.planned():
        if objective.time and phase.mask.ratio and phase.mask.kind != "tube":
            raise SettingError(
                f"the temporal loss needs some tokens of every time step, which masking = {phase.mask.kind!r} does not "
                "keep: set masking = 'tube', or time = 0 in [objective]"
            )
    return train

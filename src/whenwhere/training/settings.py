"""Settings that every training run has, under the names that users of TRL know.

Each stage has a dataclass of its own that adds to them (`prefix.settings`, `sft.settings`, `rl.settings`). The keys of
a recipe's table [train] are the fields of its stage's dataclass, and any other key is an error.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from whenwhere.errors import SettingError
from whenwhere.store import cache_folder
from whenwhere.training.budget import parse_size
from whenwhere.training.hub import is_hub_name

#: Metadata of a field whose key recipes did not have at first, as field(default=..., metadata=ADDED): at its default
#: the key is left out of a recipe's hash, so that a new key leaves the hashes of earlier recipes as they were.
ADDED = {"added": True}


@dataclass(frozen=True)
class RatePart:
    """A part of a run in which the learning rate rises, and falls again as `lr_scheduler_type` says.

    Attributes:
        first: Number of its first update.
        end: Number of the update after its last.
        warmup: Updates over which the rate rises linearly from 0.
        peak: The rate after the warm-up.
    """

    first: int
    end: int
    warmup: int
    peak: float


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Settings of every stage.

    Attributes:
        learning_rate: Peak learning rate.
        lr_scheduler_type: Shape of the learning rate after the warm-up.
        warmup_steps: Updates over which the learning rate rises linearly from 0.
        max_steps: Number of updates of the whole run.
        num_train_epochs: Number of passes over the data, in place of `max_steps`, which follows from it, the data and
            the number of processes. In RL a pass is as many questions as the data have.
        optim: Optimiser. `adamw-8bit` keeps AdamW's states in 8 bits. `muon` is for training from scratch: its updates
            of matrices are orthogonalised.
        muon_factor: Learning rate of the matrices under `muon`, as a multiple of `learning_rate`.
        weight_decay: Weight decay of matrices; vectors have none.
        adam_beta2: Decay rate of the second moment in AdamW.
        max_grad_norm: Largest norm of the gradients; larger ones are scaled down to it.
        bf16: Compute in bf16; weights stay in fp32.
        gradient_checkpointing: Recompute layers in the backward pass instead of keeping their activations.
        seed: Seed of all random numbers.
        logging_steps: Updates between lines of metrics.
        save_steps: Updates between saved states. The model is kept too, in RUN/checkpoints, named RUN@STEP.
        save_total_limit: Largest number of models in RUN/checkpoints, the newest ones; the best model and the result
            are kept beside them. None keeps all, 0 none.
        report_to: Dashboard to which metrics are also sent.
        push_to_hub: Name of a repository on the Hugging Face hub, owner/name, that gets the model when the run is
            finished: the best one where an evaluator keeps it, else the result. Empty pushes nothing.
        dataloader_prefetch: Number of updates whose samples are prepared in advance in a thread. 0 prepares none.
        dataloader_num_workers: Number of processes that decode videos beside each process of the run. 0 decodes in a
            thread of the run.
        dataloader_memory: Largest size of samples that were read ahead and wait, in each process of the run, such as
            500 MB. A sample that is larger passes alone.
        frame_cache: Largest size of the decoded frames that are kept on disk, such as 200 GB, so that an epoch after
            the first decodes nothing. Empty keeps none.
        cache_dir: Folder of what is kept on disk. Empty means `$WHENWHERE_CACHE`, or else the user's cache folder.
        sharding: Whether weights, gradients and optimiser states are divided among the processes (`fsdp`), or each
            process has all of them (`none`).
        ddp_timeout: Seconds without progress after which a run of several processes ends and names the process that
            hangs; longer than the longest update.
    """

    learning_rate: float = 1e-5
    lr_scheduler_type: Literal["constant", "cosine", "linear"] = "cosine"
    warmup_steps: int = 0
    max_steps: int = 1000
    optim: Literal["adamw", "adamw-8bit", "muon"] = "adamw"
    muon_factor: float = 2.5
    weight_decay: float = 0.01
    adam_beta2: float = 0.999
    max_grad_norm: float = 1.0
    bf16: bool = False
    gradient_checkpointing: bool = False
    seed: int = 0
    logging_steps: int = 10
    save_steps: int = 100
    save_total_limit: int | None = field(default=None, metadata=ADDED)
    report_to: Literal["none", "tensorboard", "trackio", "wandb"] = "none"
    dataloader_prefetch: int = 1
    dataloader_num_workers: int = field(default=0, metadata=ADDED)
    dataloader_memory: str = field(default="4 GiB", metadata=ADDED)
    frame_cache: str = field(default="", metadata=ADDED)
    cache_dir: str = field(default="", metadata=ADDED)
    sharding: Literal["none", "fsdp"] = field(default="none", metadata=ADDED)
    ddp_timeout: int = field(default=1800, metadata=ADDED)
    push_to_hub: str = field(default="", metadata=ADDED)
    num_train_epochs: float | None = field(default=None, metadata=ADDED)

    #: Keys that change what a run writes but not what it learns: a recipe's hash leaves them out.
    UNHASHED: ClassVar[frozenset[str]] = frozenset(
        {
            "logging_steps",
            "save_steps",
            "save_total_limit",
            "dataloader_prefetch",
            "dataloader_num_workers",
            "dataloader_memory",
            "frame_cache",
            "cache_dir",
            "report_to",
            "push_to_hub",
            "ddp_timeout",
        }
    )
    #: Keys that may have another value when a run is resumed.
    RESUMABLE: ClassVar[frozenset[str]] = UNHASHED | {"max_steps", "num_train_epochs"}

    def __post_init__(self) -> None:
        self._at_least(1, "logging_steps", "save_steps", "ddp_timeout")
        if self.sharding != "none" and self.optim == "muon":
            raise SettingError("muon orthogonalises whole matrices, which sharding divides: set optim=adamw")
        if self.push_to_hub and not is_hub_name(self.push_to_hub):
            raise SettingError(f"push_to_hub is {self.push_to_hub!r}: name a repository of the hub, owner/name")
        parse_size(self.dataloader_memory, "dataloader_memory")
        if self.frame_cache:
            parse_size(self.frame_cache, "frame_cache")
        if self.num_train_epochs is None:
            self._at_least(1, "max_steps")
        elif not self.num_train_epochs:
            raise SettingError("num_train_epochs is 0 and must be above 0")

    def cache_folder(self, name: str) -> Path:
        """The folder of what is kept on disk.

        Args:
            name: Name of what is kept, a folder in it.

        Raises:
            SettingError: There is none: the user has no home.
        """
        folder = Path(self.cache_dir) if self.cache_dir else cache_folder()
        if folder is None:
            raise SettingError("there is no home for a cache: set cache_dir to a folder")
        return folder / name

    def rate_part(self, number: int) -> RatePart:
        """The part of the run that an update's learning rate belongs to: the whole run, unless a stage has phases.

        Args:
            number: Number of the update, from 0.
        """
        return RatePart(0, self.max_steps, self.warmup_steps, self.learning_rate)

    def _at_least(self, least: int, *names: str) -> None:
        for name in names:
            if getattr(self, name) < least:
                raise SettingError(f"{name} is {getattr(self, name)} and must be at least {least}")

"""The base class of detectors and trackers: a checkpoint by hub id or folder, with weights loaded when first needed.

Detectors and trackers are small next to a vision-language model. By default they run in fp32, on an accelerator if
there is one. As in the rest of the package, code that comes with a checkpoint is never run, and a checkpoint that lacks
some of its weights raises an error.
"""

from functools import cached_property
from typing import Any, ClassVar

from whenwhere.errors import ModelError, SettingError
from whenwhere.models.vlm import DTYPES, DType, loading_errors, require_packages


def load_config(name: str, **source: Any) -> Any:
    """Load the transformers configuration of a checkpoint; its `model_type` names the architecture.

    Args:
        name: Hub id or folder of the checkpoint.
        **source: Arguments of `AutoConfig.from_pretrained`, such as `revision` or `local_files_only`.

    Raises:
        MissingExtraError: torch, torchvision or transformers is not installed.
        ModelError: The configuration cannot be loaded.
    """
    require_packages("a detector or tracker")
    from transformers import AutoConfig

    with loading_errors(name):
        return AutoConfig.from_pretrained(name, **({"trust_remote_code": False} | source))


class Pretrained:
    """A detector or tracker from a checkpoint, with its processor.

    Args:
        name: Hub id or folder of the checkpoint.
        revision: Branch, tag or commit on the hub.
        dtype: Precision of the weights. None means fp32.
        device: Device on which the model runs: `cuda`, `cuda:1`, `mps` or `cpu`. None takes an accelerator if there is
            one.
        offline: Whether to use only files that are already in the local cache of the hub.

    Attributes:
        config: The configuration of the checkpoint.
        processor: The transformers processor of the checkpoint.

    Raises:
        MissingExtraError: torch, torchvision or transformers is not installed.
        ModelError: The checkpoint cannot be loaded, or its architecture is not supported.
        SettingError: The dtype is unknown.
    """

    #: The supported architectures: `model_type` -> names of the model class and the processor class in transformers.
    KINDS: ClassVar[dict[str, tuple[str, str]]]
    #: What checkpoints of this class are, with an example, for the error about a checkpoint of another kind.
    PURPOSE: ClassVar[str]

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        dtype: DType | None = None,
        device: str | None = None,
        offline: bool = False,
    ) -> None:
        if dtype is not None and dtype not in DTYPES:
            raise SettingError(f"weights are of the dtype {', '.join(DTYPES)}, not {dtype!r}")
        require_packages("a detector or tracker")
        import transformers

        self.name, self.dtype, self._device = name, dtype or "fp32", device
        self._source: dict[str, Any] = {"trust_remote_code": False, "local_files_only": offline}
        if revision is not None:
            self._source["revision"] = revision
        self.config: Any = load_config(name, **self._source)
        if self.config.model_type not in self.KINDS:
            raise ModelError(f"{name} is of the kind {self.config.model_type}, not {self.PURPOSE}")
        self._class, processor = (getattr(transformers, c) for c in self.KINDS[self.config.model_type])
        with loading_errors(name):
            self.processor: Any = processor.from_pretrained(name, **self._source)

    @cached_property
    def device(self) -> str:
        """The device on which the model runs: the one asked for, else the first accelerator, else the CPU."""
        import torch

        if self._device is not None:
            return self._device
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"

    @cached_property
    def model(self) -> Any:
        """The model with its weights, loaded on first use.

        Raises:
            ModelError: Weights are missing or damaged, or do not fit into memory.
        """
        import torch

        dtype = DTYPES[self.dtype]
        with loading_errors(self.name):
            model, info = self._class.from_pretrained(
                self.name,
                dtype=dtype if self.dtype == "auto" else getattr(torch, dtype),
                output_loading_info=True,
                **self._source,
            )
            if lacking := sorted(info["missing_keys"]):
                raise ModelError(
                    f"{self.name} lacks {len(lacking)} weights, {lacking[0]} among them: it is not complete"
                )
            return model.to(self.device).eval()

"""A vision-language checkpoint in this process, by hub id or path, through transformers.

The processor is loaded at once, the weights when they are first needed, so that planning a run costs seconds and not
gigabytes. Code that comes with a checkpoint is never run (`trust_remote_code=False`): a family that transformers does
not know is an error. Weights that a checkpoint lacks are an error too, since transformers would fill them with random
numbers.

Whatever goes wrong while loading is a `ModelError` of one sentence. Torch is imported only by what needs it.
"""

import os
import pickle
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import getproxies

import numpy as np

from whenwhere.answers.dialects import Dialect, dialect_for
from whenwhere.errors import MissingExtraError, ModelError, OutputError, SettingError, WhenwhereError
from whenwhere.models.adapters import adapter_base, with_adapter
from whenwhere.models.grammar import TokenPieces
from whenwhere.models.runs import is_encoder, resolve_run
from whenwhere.models.trained import read

DType = Literal["auto", "bf16", "fp16", "fp32"]
#: Names of the dtypes here, and in torch.
DTYPES = {"auto": "auto", "bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


class Checkpoint:
    """A model, its processor, and the dialect in which its family is asked.

    Args:
        name: Hub id or folder of the checkpoint or of a LoRA adapter (`models.adapters`), or a model of a training run,
            such as `RUN@best` (`models.runs`).
        dialect: The dialect of the family. None is what `whenwhere.json` in the folder says, or else the dialect of the
            configuration's `model_type`.
        revision: Branch, tag or commit on the hub.
        dtype: Precision of the weights. None is bf16 on an accelerator and fp32 on a CPU.
        device: Where the model runs: `cuda`, `cuda:1`, `mps`, `cpu`. None takes an accelerator if there is one.
        device_map: Passed on to transformers, for models that need several devices; it replaces `device`.
        quantization: A quantisation configuration of transformers, passed on as it is.
        offline: Whether only the local cache of the hub is read.

    Attributes:
        config: The model's configuration.
        processor: The family's processor, with its `tokenizer`.

    Raises:
        MissingExtraError: torch, torchvision or transformers is not installed.
        ModelError: the checkpoint cannot be loaded, or cannot be used here.
        SettingError: an unknown dtype.
    """

    def __init__(
        self,
        name: str,
        *,
        dialect: Dialect | None = None,
        revision: str | None = None,
        dtype: DType | None = None,
        device: str | None = None,
        device_map: Any = None,
        quantization: Any = None,
        offline: bool = False,
    ) -> None:
        if dtype is not None and dtype not in DTYPES:
            raise SettingError(f"weights are of the dtype {', '.join(DTYPES)}, not {dtype!r}")
        require_packages()
        from transformers import AutoConfig

        name = resolve_run(name)
        self.name, self.revision = name, revision
        self.dtype, self.device_map, self.quantization = dtype, device_map, quantization
        self._device = device
        self._source: dict[str, Any] = {"trust_remote_code": False, "local_files_only": offline}
        if revision is not None:
            self._source["revision"] = revision
        adapted = adapter_base(name)
        self._base, own = adapted or (name, None)
        if own is not None:
            self._source["revision"] = own
        with loading_errors(self._base):
            self.config: Any = AutoConfig.from_pretrained(self._base, **self._source)
            self.processor: Any = self._load_processor()
        if not (getattr(self.processor, "chat_template", None) or self.tokenizer.chat_template):
            raise ModelError(
                f"{name} has no chat template: add the family's chat_template.jinja to the checkpoint, or write "
                f"encoder:{name} if it is an encoder such as CLIP"
            )
        trained = read(name) or read(self._base)
        family = trained.dialect if trained is not None and trained.dialect is not None else self.config.model_type
        self.dialect = dialect or (dialect_for(family) if trained is None else trained.over(dialect_for(family)))

    def _load_processor(self) -> Any:
        """The family's processor."""
        from transformers import AutoProcessor

        processor = AutoProcessor.from_pretrained(self._base, **self._source)
        if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
            raise ModelError(no_pictures(self.name))
        return processor

    def _model_class(self) -> Any:
        """The class of transformers that loads the weights."""
        from transformers import AutoModelForImageTextToText

        return AutoModelForImageTextToText

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    @cached_property
    def device(self) -> str:
        """The device of the inputs: the one that was asked for, else the first accelerator, else the CPU."""
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
            ModelError: weights are missing, damaged or of another model, or do not fit into memory.
        """
        import torch

        dtype = self.dtype or ("fp32" if self.device == "cpu" else "bf16")
        options: dict[str, Any] = {"dtype": DTYPES[dtype] if dtype == "auto" else getattr(torch, DTYPES[dtype])}
        if self.quantization is not None:
            options["quantization_config"] = self.quantization
        if self.device_map is not None:
            options["device_map"] = self.device_map
        elif self.device != "cpu":
            options["device_map"] = {"": self.device}
        with loading_errors(self._base):
            model, info = self._model_class().from_pretrained(
                self._base, output_loading_info=True, **options, **self._source
            )
        lacking = sorted(info["missing_keys"])
        if lacking:
            raise ModelError(f"{self.name} lacks {len(lacking)} weights, {lacking[0]} among them: it is not complete")
        if self.is_adapter:
            with loading_errors(self.name):
                model = with_adapter(model, self.name)
        return model.eval()

    @property
    def is_adapter(self) -> bool:
        """Whether the folder holds a LoRA adapter alone, which was added to the weights of its base checkpoint."""
        return self._base != self.name

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""
        return "model" in self.__dict__

    @cached_property
    def ends(self) -> list[int]:
        """Ids of the tokens that end an answer."""
        ends = self.model.generation_config.eos_token_id
        ends = [ends] if isinstance(ends, int) else list(ends or [])
        if self.tokenizer.eos_token_id is not None:
            ends.append(self.tokenizer.eos_token_id)
        if not ends:
            raise ModelError(f"{self.name} names no token that ends an answer: set eos_token_id in its configuration")
        return sorted(set(ends))

    @cached_property
    def pieces(self) -> TokenPieces:
        """The bytes of the tokenizer's tokens, for answers that have to follow a schema."""
        return TokenPieces(piece_bytes(self.tokenizer), self.ends)

    @cached_property
    def control(self) -> list[str]:
        """Texts that the tokenizer takes for control tokens, longest first."""
        added = [str(token.content) for token in self.tokenizer.added_tokens_decoder.values() if token.special]
        return sorted({*added, *map(str, self.tokenizer.all_special_tokens)} - {""}, key=len, reverse=True)

    def fingerprint(self) -> list[Any]:
        """JSON values that change when answers may change: names, settings, and sizes and times of a folder's files."""
        import transformers

        path = Path(self.name)
        files = (
            sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in path.iterdir()) if path.is_dir() else []
        )
        commit = getattr(self.config, "_commit_hash", None)
        quantization = repr(self.quantization) if self.quantization is not None else None
        return [
            self.name, self.revision, commit, self.dtype, self.device, quantization, transformers.__version__, files,
        ]  # fmt: skip


def require_packages(purpose: str = "a vision-language model in this process", extra: str = "vlm") -> None:
    """Raise a `MissingExtraError` that names the extra if torch, torchvision or transformers is not installed."""
    for package in ("torch", "torchvision", "transformers"):
        try:
            __import__(package)
        except ImportError as e:
            raise MissingExtraError(package, extra, purpose) from e


@contextmanager
def loading_errors(name: str) -> Iterator[None]:
    """Turns whatever loading a checkpoint can raise into a `ModelError` of one sentence.

    Where the hub cannot be reached, only the local cache is looked at: the hub's library would try again for minutes.
    """
    try:
        with _cache_alone(name):
            yield
    except WhenwhereError:
        raise
    except pickle.PickleError as e:
        raise ModelError(
            f"the weights of {name} are pickles, which may run any code and are not read: save them as safetensors"
        ) from e
    except Exception as e:
        # The libraries below check every value of a folder's files in a way of their own.
        if out_of_memory(e):
            raise ModelError(too_big(name)) from e
        if type(e).__name__ == "SafetensorError":
            raise ModelError(f"the weights of {name} are damaged: download them again") from e
        raise ModelError(_reason(name, e)) from e


@contextmanager
def writing_errors(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Turns the errors of the libraries' writers, which have no common base class, into an `OutputError`."""
    try:
        yield
    except WhenwhereError:
        raise
    except Exception as e:
        if not isinstance(e, OSError) and type(e).__name__ != "SafetensorError":
            raise
        reason = getattr(e, "strerror", None) or str(e)[:160]
        raise OutputError(f"cannot write {folder}: {reason}; make room there and run again") from e


@contextmanager
def _cache_alone(name: str) -> Iterator[None]:
    """Takes the hub's library off line in the block if a checkpoint is no folder and the hub's host does not answer."""
    if Path(name).is_dir():
        yield
        return
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _answers(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _answers(address: str) -> bool:
    """Whether the host of an address takes a connection; True where a proxy stands between."""
    parts = urlsplit(address)
    if getproxies().get(parts.scheme) or parts.hostname is None:
        return True
    try:
        socket.create_connection((parts.hostname, parts.port or 443), timeout=_PATIENCE).close()
    except OSError:
        return False
    return True


def _reason(name: str, error: BaseException) -> str:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and len(chain) < 8:
        chain.append(link)
        link = link.__cause__ or link.__context__
    names = {type(e).__name__ for e in chain}
    said = " ".join(str(error).split())
    if Path(name).is_dir():
        if is_encoder(Path(name)) or is_encoder(Path(name) / "checkpoint"):
            return f"{name} is an encoder, which does not write answers: write encoder:{name} to let it ground"
        if (Path(name) / "checkpoint" / "config.json").exists():
            return f"{name} is the folder of a run: its checkpoint is {Path(name) / 'checkpoint'}"
        if not (Path(name) / "config.json").exists() or "valid JSON" in said:
            return f"the folder {name} holds no checkpoint: config.json is missing or not readable"
    elif "GatedRepoError" in names:
        return f"{name} is gated: accept its licence on the hub and log in (hf auth login)"
    elif names & {"RepositoryNotFoundError", "HFValidationError"}:
        return f"{name} is neither a folder nor a model on the hub that may be read without logging in"
    elif "RevisionNotFoundError" in names:
        return f"{name} has no such revision on the hub"
    elif names & _OFFLINE or "connect" in said.lower() or "offline" in said.lower():
        return f"{name} is not in the local cache and the hub cannot be reached: download it first, or name a folder"
    if "image processor" in said or "preprocessor_config.json" in said:
        return no_pictures(name)
    if "does not recognize this architecture" in said or "Unrecognized model" in said:
        import transformers

        return (
            f"{name} is of a kind that transformers {transformers.__version__} does not know: update transformers "
            "(code that comes with a checkpoint is not run)"
        )
    if "trust_remote_code" in said:
        return f"{name} needs code that comes with it, which is not run here: serve it elsewhere and name the address"
    if "Unrecognized configuration class" in said:
        return f"{name} is not a model that reads pictures and writes text"
    return f"{name} cannot be loaded: {said[:300]}"


#: Seconds in which the hub's host must take a connection.
_PATIENCE = 5.0
_OFFLINE = {
    "LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectionError", "ConnectError", "ConnectTimeout",
    "ReadTimeout", "MaxRetryError", "NameResolutionError", "ProxyError", "SSLError",
}  # fmt: skip


def no_pictures(name: str) -> str:
    """The error message about a model without a processor for pictures."""
    return f"{name} has no processor for pictures: it is not a vision-language checkpoint, or not a whole one"


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of the accelerator or of the CPU's allocator means that memory is full."""
    if isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "AcceleratorError"):
        return "memory" in str(error).lower() or isinstance(error, MemoryError)
    said = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)


def too_big(name: str) -> str:
    """The error message about weights that do not fit into memory."""
    return f"the weights of {name} do not fit into memory: take a smaller model, a quantised one, or a device map"


def piece_bytes(tokenizer: Any) -> list[bytes | None]:
    """The bytes that each token id stands for; None for control tokens and for ids without a token.

    Byte-level vocabularies (Qwen, GLM, Llama 3) write bytes as letters; the others write a space as `▁` and single
    bytes as `<0x0A>`.
    """
    vocabulary = tokenizer.get_vocab()
    special = {*tokenizer.all_special_ids, *(i for i, t in tokenizer.added_tokens_decoder.items() if t.special)}
    letters = _byte_letters()
    byte_level = "Ġ" in vocabulary
    pieces: list[bytes | None] = [None] * (max(vocabulary.values(), default=-1) + 1)
    added = {i: str(t.content) for i, t in tokenizer.added_tokens_decoder.items()}
    for token, number in vocabulary.items():
        if number in special:
            continue
        if number in added:
            pieces[number] = added[number].encode()
        elif byte_level:
            with suppress(KeyError):
                pieces[number] = bytes(letters[c] for c in token)
        elif len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            pieces[number] = bytes([int(token[3:5], 16)])
        else:
            pieces[number] = token.replace("▁", " ").encode()
    return pieces


def _byte_letters() -> dict[str, int]:
    """The byte that each letter of a byte-level vocabulary stands for (GPT-2's table)."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [b for b in range(256) if b not in kept]
    return {chr(b): b for b in kept} | {chr(256 + k): b for k, b in enumerate(moved)}


def grid_size(inputs: Any, processor: Any) -> tuple[int, int] | None:
    """(width, height) in pixels of the pictures as the model sees them; None if the inputs do not tell.

    Args:
        inputs: What the family's processor made of one call.
        processor: The family's processor.
    """
    for key, part in (("video_grid_thw", "video_processor"), ("image_grid_thw", "image_processor")):
        if inputs.get(key) is not None and len(inputs[key]):
            _, rows, columns = (int(n) for n in inputs[key][0])
            side = getattr(processor, part).patch_size
            return columns * side, rows * side
    return None


def feature_count(inputs: Any, processor: Any) -> int | None:
    """Number of visual tokens that the language model will get for the images and videos of one call.

    Args:
        inputs: Model inputs that the processor returned for the call, such as `pixel_values` and `video_grid_thw`.
        processor: The processor of the model's family.

    Returns:
        The number, or None if it cannot be computed without running the vision tower.
    """
    if inputs.get("video_compression_mask") is not None:  # VideoLLaMA 3 drops patches that do not change
        return int(inputs["video_compression_mask"].sum())
    count, told = 0, False
    for key, part in (("video_grid_thw", "video_processor"), ("image_grid_thw", "image_processor")):
        if inputs.get(key) is not None and getattr(getattr(processor, part), "merge_size", None):
            merge = getattr(processor, part).merge_size ** 2
            count += sum(int(np.prod(row.tolist())) // merge for row in inputs[key])
            told = True
    if not told and hasattr(processor, "image_seq_length") and inputs.get("pixel_values") is not None:
        return len(inputs["pixel_values"]) * int(processor.image_seq_length)
    return count if told else None

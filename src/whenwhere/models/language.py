"""Models that are asked in words alone: any back end, and checkpoints that read no pictures.

`load_language_model` is `load_model` for questions without frames. A chat server or a vision-language checkpoint is
taken as it is; a causal language model (Qwen3, Llama, ...), which the pipelines cannot use, gets a processor without
pictures and runs on the same back end, so that it is held to schemas and split over memory in the same way.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from whenwhere.errors import ModelError
from whenwhere.models.backends import ModelBackend, load_model
from whenwhere.models.backends.local import LocalBackend
from whenwhere.models.backends.resolve import check_model_name, find_kind
from whenwhere.models.runs import resolve_run
from whenwhere.models.shipped import TINY
from whenwhere.models.vlm import Checkpoint, loading_errors


def load_language_model(name: str, *, device: str | None = None, concurrency: int | None = None) -> ModelBackend:
    """Load a model to ask in words. The caller closes it; nothing that it answers is kept in the user's cache folder.

    Args:
        name: The address of a chat server (`http://host:8000/v1#name`), or the folder or hub id of a checkpoint that
            reads text, with pictures or without.
        device: Where a checkpoint runs. None takes an accelerator if there is one.
        concurrency: How many requests a server is sent at a time; None is 8.

    Raises:
        SettingError: there is no such model, or an option does not fit this kind of model.
        MissingExtraError: the packages that run a checkpoint are not installed.
        ChatError, ModelError: the model cannot be reached or loaded.
    """
    if not find_kind(name).in_process:
        return load_model(name, concurrency=concurrency, cache=False)
    check_model_name(name, device, concurrency)
    if name != TINY and _reads_text_only(resolve_run(name)):
        backend = LocalBackend(TextCheckpoint(str(Path(name).expanduser()), device=device))
        backend.name = name
        return backend
    return load_model(name, device=device, cache=False)


@contextmanager
def language_models(models: Sequence[str | ModelBackend]) -> Iterator[list[ModelBackend]]:
    """Load several models for the time of a block; a name that occurs twice is loaded once.

    Args:
        models: Names as for `load_language_model`, or models that are loaded already, which stay open.
    """
    with ExitStack() as opened:
        named: dict[str, ModelBackend] = {}
        for model in models:
            if isinstance(model, str) and model not in named:
                named[model] = opened.enter_context(load_language_model(model))
        yield [named[model] if isinstance(model, str) else model for model in models]


class TextCheckpoint(Checkpoint):
    """A causal language model in this process, with a processor that takes no pictures; arguments as `Checkpoint`."""

    def _load_processor(self) -> Any:
        from transformers import AutoTokenizer

        return TextProcessor(AutoTokenizer.from_pretrained(self._base, **self._source))

    def _model_class(self) -> Any:
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM


class TextProcessor:
    """A tokenizer in the form of a family's processor: what `LocalBackend` asks of one, without pictures.

    Attributes:
        tokenizer: The tokenizer.
        chat_template: Its chat template.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.chat_template = tokenizer, tokenizer.chat_template

    def apply_chat_template(self, messages: Sequence[dict[str, Any]], **options: Any) -> str:
        """The prompt of a conversation; the templates of such models take a message as one text."""
        flat = [{**m, "content": "\n".join(part["text"] for part in m["content"])} for m in messages]
        return str(self.tokenizer.apply_chat_template(flat, **options))

    def __call__(self, text: Sequence[str], **options: Any) -> Any:
        """The model's inputs of a prompt."""
        return self.tokenizer(list(text), **options)


def _reads_text_only(name: str) -> bool:
    """Whether a checkpoint is a causal language model that takes no pictures; False if it cannot be read."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    )

    try:
        with loading_errors(name):
            kind = AutoConfig.from_pretrained(str(Path(name).expanduser()), trust_remote_code=False).model_type
    except ModelError:
        return False
    return kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

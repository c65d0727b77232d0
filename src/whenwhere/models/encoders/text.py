"""The text encoder: CLIP's causal transformer, or any text model of transformers."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from whenwhere.errors import ModelError, SettingError
from whenwhere.models.encoders.blocks import TransformerBlock
from whenwhere.models.encoders.config import TextConfig
from whenwhere.models.encoders.video import initialise_blocks
from whenwhere.models.vlm import loading_errors
from whenwhere.readers import printable, quoted


class TextEncoder(nn.Module):
    """Embeds texts in the space that a video encoder shares.

    Args:
        config: Sizes and choices.
        tokenizer: A tokenizer of transformers. None loads that of `config.checkpoint`, if there is one.
        backbone: The text model of the kind `transformers`. None loads it with its weights from `config.checkpoint`.

    Attributes:
        config: The configuration.
        tokenizer: The tokenizer; None if there is none, which allows token ids only.
        checkpointing: Whether blocks are computed again in the backward pass instead of keeping their activations.

    Raises:
        ModelError: The checkpoint cannot be loaded.
        SettingError: The tokenizer does not fit the configuration.
    """

    def __init__(self, config: TextConfig, tokenizer: Any = None, backbone: Any = None) -> None:
        super().__init__()
        self.config, self.checkpointing = config, False
        if config.kind == "transformers":
            name = config.checkpoint or ""
            self.tokenizer = load_tokenizer(name) if tokenizer is None else tokenizer
            self.backbone = _load_backbone(name) if backbone is None else backbone
            width = self.backbone.config.hidden_size
            if not config.projection and config.output != width:
                raise SettingError(
                    f"the text encoder has no projection, so its output ({config.output}) must equal the width of "
                    f"{name} ({width})"
                )
        else:
            self.tokenizer = tokenizer
            _check_tokenizer(config, tokenizer)
            width = config.width
            self.embedding = nn.Embedding(config.vocabulary, width)
            self.positions = nn.Parameter(torch.empty(config.context, width))
            self.blocks = nn.ModuleList(
                TransformerBlock(width, config.heads, config.inner, config.activation, config.norm_eps, causal=True)
                for _ in range(config.layers)
            )
            self.norm = nn.LayerNorm(width, eps=config.norm_eps)
            nn.init.normal_(self.embedding.weight, std=0.02)
            nn.init.normal_(self.positions, std=0.01)
            initialise_blocks(self.blocks, config.layers)
        self.projection: nn.Module = nn.Identity()
        if config.projection:
            self.projection = nn.Linear(width, config.output, bias=config.projection_bias)
            nn.init.normal_(self.projection.weight, std=width**-0.5)
            if config.projection_bias:
                nn.init.zeros_(self.projection.bias)
        if config.frozen:
            self.requires_grad_(False)
            if config.kind == "transformers":
                # the text model is pre-trained, the projection that follows it is not
                self.projection.requires_grad_(True)
            self.train(self.training)

    def train(self, mode: bool = True) -> "TextEncoder":
        """Sets training mode; a frozen encoder stays in evaluation mode, so that its dropout is off."""
        return super().train(mode and not self.config.frozen)

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Texts as tensors for `forward`, on the device of the weights; longer texts are cut at the context.

        Args:
            texts: Texts, B of them, at least one.

        Returns:
            `input_ids`, int64, shape (B, N), and `attention_mask` of the same shape where `forward` needs it.

        Raises:
            SettingError: There are no texts, they are not a list of texts, or there is no tokenizer.
            ModelError: The tokenizer does not end a text by the token that the encoder pools.
        """
        if isinstance(texts, str) or not texts or not all(isinstance(text, str) for text in texts):
            raise SettingError(f"a text encoder takes a list of at least one text, not {quoted(texts)}")
        if self.tokenizer is None:
            raise SettingError("this text encoder has no tokenizer: make it with one, or give it token ids")
        config = self.config
        texts = [text.lower() if config.lower else text for text in texts]
        texts = [without_punctuation(text) if config.strip_punctuation else text for text in texts]
        made = self.tokenizer(
            [printable(text) for text in texts],
            padding="max_length" if config.padding == "context" else "longest",
            truncation=True,
            max_length=config.context,
            return_tensors="pt",
        )
        device = next(self.parameters()).device
        ids: Tensor = made["input_ids"].to(device)
        if config.kind == "clip":
            if not bool((made["input_ids"] == config.end).any(1).all()):
                raise ModelError(
                    f"the tokenizer does not end every text by the token {config.end}, which the text encoder pools: "
                    "use the tokenizer that belongs to it"
                )
            return {"input_ids": ids}
        if config.padding == "context" or "attention_mask" not in made:
            # such models were trained with padding attended to
            return {"input_ids": ids}
        return {"input_ids": ids, "attention_mask": made["attention_mask"].to(device)}

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Embeddings of texts, shape (B, D), not normalised.

        Args:
            input_ids: Token ids, shape (B, N).
            attention_mask: 1 for tokens and 0 for padding, shape (B, N); None means no padding. A causal encoder that
                pools the end of the text needs none.

        Raises:
            SettingError: The texts are longer than the context, or the text model has no pooler but is to be pooled by
                it.
        """
        if self.config.kind == "transformers":
            return self.projection(self._backbone_pooled(input_ids, attention_mask))
        count = input_ids.shape[1]
        if count > self.config.context:
            raise SettingError(
                f"a text of {count} tokens is longer than the context of {self.config.context}: cut it, as tokenize "
                "does"
            )
        x = self.embedding(input_ids) + self.positions[:count]
        for block in self.blocks:
            if self.checkpointing and torch.is_grad_enabled() and x.requires_grad:
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        # padding may be the same token as the end; the first of them ends the text
        ends = (input_ids == self.config.end).int().argmax(1)
        return self.projection(self.norm(x[torch.arange(len(x), device=x.device), ends]))

    def _backbone_pooled(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        given = {} if attention_mask is None else {"attention_mask": attention_mask}
        found = self.backbone(input_ids=input_ids, **given)
        if self.config.pooling == "pooler":
            pooled = getattr(found, "pooler_output", None)
            if pooled is None:
                raise SettingError(
                    f"the text model {self.config.checkpoint} has no pooler: set pooling of the text encoder to last "
                    "or mean"
                )
            return pooled
        x = found.last_hidden_state
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if self.config.pooling == "last":
            # the last 1 of each row, on whichever side the padding is
            last = mask.shape[1] - 1 - mask.flip(1).int().argmax(1)
            return x[torch.arange(len(x), device=x.device), last]
        weights = mask[..., None].to(x.dtype)
        return (x * weights).sum(1) / weights.sum(1).clamp(min=1)


def without_punctuation(text: str) -> str:
    """A text as ViCLIP was trained on it: without punctuation, and with hyphens and slashes as spaces.

    This is `pre_text` of ViCLIP's released code (OpenGVLab/InternVideo), whose lower case the tokenizer makes anyway.

    Args:
        text: The text.

    >>> without_punctuation("A red-brown dog runs (fast), then stops.")
    'A red brown dog runs fast then stops'
    """
    return " ".join(re.sub(r"[,.'!?\"()*#:;~]", "", text).replace("-", " ").replace("/", " ").split())


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a checkpoint, with a padding token.

    Args:
        name: Hub id or folder.

    Raises:
        ModelError: There is none, or it cannot be loaded.
    """
    from transformers import AutoTokenizer

    with loading_errors(name):
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        if tokenizer.pad_token is None:
            # GPT-2 and others have none; what is padded is masked, so that any token serves
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        return tokenizer


def _load_backbone(name: str) -> Any:
    from transformers import AutoModel

    with loading_errors(name):
        model, info = AutoModel.from_pretrained(name, trust_remote_code=False, output_loading_info=True)
        # of an image-text model the text tower, of an encoder-decoder the encoder
        part = getattr(model, "text_model", model)
        if getattr(part.config, "is_encoder_decoder", False):
            part = part.get_encoder()
        own = {key for key, _ in part.named_parameters()}
        lacking = sorted(k for k in info["missing_keys"] if k.removeprefix("text_model.") in own)
        # texts are pooled here, so that a pooler may be missing (as in RoBERTa's checkpoints)
        if lacking := [key for key in lacking if "pooler" not in key]:
            raise ModelError(
                f"{name} lacks {len(lacking)} weights, {lacking[0]} among them: fetch the whole checkpoint again"
            )
        return part.float()


def _check_tokenizer(config: TextConfig, tokenizer: Any) -> None:
    if tokenizer is not None and len(tokenizer) > config.vocabulary:
        raise SettingError(
            f"the tokenizer has {len(tokenizer)} tokens and the text encoder a vocabulary of {config.vocabulary}: set "
            f"vocabulary of the text encoder to {len(tokenizer)}"
        )

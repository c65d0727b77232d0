"""The output heads that a recipe can name.

- `text`: the words of an answer form, learned token by token. Adds nothing to the model.
- `time-tokens`: the form `tokens` for a checkpoint of any family. Each time and each coordinate is one token, added to
  the tokenizer.
- `start-end`: no text at all, but a distribution over the steps in time at which the event starts and ends.
"""

from collections.abc import Callable

from whenwhere.training.sft.head import OutputHead
from whenwhere.training.sft.start_end import StartEndHead
from whenwhere.training.sft.text_heads import TextHead, TimeTokensHead

#: Name → what makes the head with its default settings.
HEADS: dict[str, Callable[[], OutputHead]] = {
    "text": TextHead, "time-tokens": TimeTokensHead, "start-end": StartEndHead,
}  # fmt: skip

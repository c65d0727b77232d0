"""A tokenizer of whole words for small text encoders that are trained from scratch."""

import re
from collections.abc import Iterable
from typing import Any

#: Padding, end of a text, and any word that is not in the list; ids 0, 1 and 2.
PAD, END, UNKNOWN = "<pad>", "<end>", "<unk>"


def word_list(words: Iterable[str]) -> list[str]:
    """All tokens in the order of their ids: three special ones, then each different word, in lower case.

    >>> word_list(["A red square", "a circle."])
    ['<pad>', '<end>', '<unk>', 'a', 'red', 'square', 'circle']
    """
    parts = (part for text in words for part in re.sub(r"[^\w]+", " ", text.lower()).split())
    return list(dict.fromkeys([PAD, END, UNKNOWN, *parts]))


def word_tokenizer(words: Iterable[str]) -> Any:
    """A tokenizer of transformers that knows these words. It drops case and punctuation; other words become `<unk>`.

    Each text ends with `<end>`, even when it is cut.

    Args:
        words: Words or whole texts, such as the captions of a corpus.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    listed = {word: k for k, word in enumerate(word_list(words))}
    made = Tokenizer(models.WordLevel(listed, unk_token=UNKNOWN))
    made.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(Regex(r"[^\w]+"), " "), normalizers.Strip()]
    )
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in (PAD, END, UNKNOWN)])
    made.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, listed[END])])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token=PAD, eos_token=END, unk_token=UNKNOWN, split_special_tokens=True
    )

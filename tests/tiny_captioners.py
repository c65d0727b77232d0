"""Tiny, randomly initialised captioners of the real classes, saved as `from_pretrained` wants them."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from tiny_models import tokenizer

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<|endoftext|>", "<|im_end|>", "<image>", "[DEC]", "[ENC]"]


def _words(**names: str) -> Any:
    made = tokenizer(SPECIAL, **names)
    made.pad_token, made.eos_token, made.bos_token, made.unk_token = "<pad>", "</s>", "<s>", "<unk>"
    return made


def blip() -> tuple[Any, Any]:
    from transformers import (
        BertTokenizerFast,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "[DEC]",
        *"abcdefgh",
        *["abcdefghijklmnop", "a", "the", "red", "dog", "runs"],
    ]
    words = BertTokenizerFast(vocab={w: i for i, w in enumerate(dict.fromkeys(vocabulary))})
    config = BlipConfig(
        text_config={
            **SIZES, "vocab_size": len(words), "encoder_hidden_size": 32, "projection_dim": 16, "bos_token_id": 5,
            "pad_token_id": 0, "eos_token_id": 3, "sep_token_id": 3, "max_position_embeddings": 96,
        },
        vision_config={**SIZES, "image_size": 32, "patch_size": 16},
    )  # fmt: skip
    return BlipForConditionalGeneration(config), BlipProcessor(
        BlipImageProcessor(size={"height": 32, "width": 32}), words
    )


def blip2() -> tuple[Any, Any]:
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor, BlipImageProcessor

    words = _words()
    config = Blip2Config(
        vision_config={**SIZES, "image_size": 32, "patch_size": 16},
        qformer_config={**SIZES, "vocab_size": len(words), "encoder_hidden_size": 32, "cross_attention_frequency": 1},
        text_config={
            "model_type": "opt", "vocab_size": len(words), "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2,
            "num_attention_heads": 2, "word_embed_proj_dim": 32, "max_position_embeddings": 256, "bos_token_id": 1,
            "pad_token_id": words.pad_token_id, "eos_token_id": words.eos_token_id,
        },
        num_query_tokens=4,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    processor = Blip2Processor(BlipImageProcessor(size={"height": 32, "width": 32}), words, num_query_tokens=4)
    return Blip2ForConditionalGeneration(config), processor


def florence2() -> tuple[Any, Any]:
    from transformers import CLIPImageProcessor, Florence2Config, Florence2ForConditionalGeneration, Florence2Processor

    words = _words(image_token="<image>")
    ids = {name: getattr(words, f"{name}_token_id") for name in ("bos", "pad", "eos")}
    config = Florence2Config(
        vision_config={
            "embed_dim": [16, 16, 16, 16], "num_heads": [2, 2, 2, 2], "num_groups": [2, 2, 2, 2],
            "depths": [1, 1, 1, 1], "window_size": 4, "projection_dim": 32, "drop_path_rate": 0.0,
        },
        text_config={
            "model_type": "bart", "vocab_size": len(words), "d_model": 32, "encoder_layers": 1, "decoder_layers": 1,
            "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
            "max_position_embeddings": 512, "bos_token_id": ids["bos"], "pad_token_id": ids["pad"],
            "eos_token_id": ids["eos"], "decoder_start_token_id": ids["eos"], "forced_eos_token_id": ids["eos"],
        },
        image_token_id=words.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    pictures = CLIPImageProcessor(size={"height": 64, "width": 64}, crop_size={"height": 64, "width": 64})
    pictures.image_seq_length = 5
    return Florence2ForConditionalGeneration(config), Florence2Processor(pictures, words)


KINDS = {"blip": blip, "blip-2": blip2, "florence2": florence2}


def saved(kind: str, folder: Path) -> Path:
    """A tiny checkpoint of one kind in a folder."""
    import torch

    torch.manual_seed(0)
    model, processor = KINDS[kind]()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder

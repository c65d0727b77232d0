"""Tiny, randomly initialised checkpoints of the real classes, saved as `from_pretrained` wants them.

Real configuration, model, processor and tokenizer classes; only the sizes are small and the weights random. The
tokenizer is a byte-level BPE without merges. Chat templates are short ones in the manner of each family's own.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip

QWEN = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}"
    "{% if c.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
TEXT = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 32768,
}  # fmt: skip


def tokenizer(special: list[str], **names: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>", extra_special_tokens=names
    )


def _qwen_tokenizer() -> Any:
    return tokenizer(
        SPECIAL,
        image_token="<|image_pad|>",
        video_token="<|video_pad|>",
        vision_bos_token="<|vision_start|>",
        vision_eos_token="<|vision_end|>",
    )


def _qwen_ids(words: Any) -> dict[str, int]:
    return {
        "image_token_id": words.image_token_id, "video_token_id": words.video_token_id,
        "vision_start_token_id": words.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": words.convert_tokens_to_ids("<|vision_end|>"),
    }  # fmt: skip


def qwen3_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )  # fmt: skip

    words = _qwen_tokenizer()
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(
            patch_size=16, merge_size=2, temporal_patch_size=2, min_pixels=32 * 32, max_pixels=128 * 128
        ),
        tokenizer=words,
        video_processor=Qwen3VLVideoProcessor(
            patch_size=16, merge_size=2, temporal_patch_size=2,
            size={"shortest_edge": 32 * 32, "longest_edge": 128 * 128 * 64},
        ),
        chat_template=QWEN,
    )  # fmt: skip
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    config = Qwen3VLConfig(
        text_config={**TEXT, "vocab_size": len(words), "head_dim": 16, "rope_parameters": rope},
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64,
            "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "deepstack_visual_indexes": [0],
            "num_position_embeddings": 64,
        },
        **_qwen_ids(words),
    )  # fmt: skip
    return Qwen3VLForConditionalGeneration(config), processor


def qwen3_5() -> tuple[Any, Any]:
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    _, processor = qwen3_vl()
    words = processor.tokenizer
    rope = {
        "rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True,
        "partial_rotary_factor": 1.0,
    }  # fmt: skip
    config = Qwen3_5Config(
        text_config={
            **TEXT, "vocab_size": len(words), "head_dim": 16, "rope_parameters": rope, "partial_rotary_factor": 1.0,
            "linear_key_head_dim": 16, "linear_value_head_dim": 16, "linear_num_key_heads": 2,
            "linear_num_value_heads": 4, "layer_types": ["linear_attention", "full_attention"],
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64,
            "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 64,
        },
        **_qwen_ids(words),
    )  # fmt: skip
    return Qwen3_5ForConditionalGeneration(config), processor


def qwen2_5_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )  # fmt: skip

    words = _qwen_tokenizer()
    sizes = {"min_pixels": 28 * 28, "max_pixels": 112 * 112}
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=14, merge_size=2, temporal_patch_size=2, **sizes),
        tokenizer=words,
        video_processor=Qwen2VLVideoProcessor(patch_size=14, merge_size=2, temporal_patch_size=2, **sizes),
        chat_template=QWEN,
    )
    config = Qwen2_5_VLConfig(
        text_config={
            **TEXT, "vocab_size": len(words),
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64,
            "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 56,
            "fullatt_block_indexes": [1], "tokens_per_second": 2,
        },
        **_qwen_ids(words),
    )  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(config), processor


def glm4v() -> tuple[Any, Any]:
    from transformers import (
        Glm4vConfig,
        Glm4vForConditionalGeneration,
        Glm4vImageProcessor,
        Glm4vProcessor,
        Glm4vVideoProcessor,
    )  # fmt: skip

    special = [
        *SPECIAL[:3], "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>", "<|image|>",
        "<|video|>",
    ]  # fmt: skip
    words = tokenizer(special, image_token="<|image|>", video_token="<|video|>")
    template = QWEN
    for old, new in (
        ("<|vision_start|><|video_pad|><|vision_end|>", "<|begin_of_video|><|video|><|end_of_video|>"),
        ("<|vision_start|><|image_pad|><|vision_end|>", "<|begin_of_image|><|image|><|end_of_image|>"),
    ):
        template = template.replace(old, new)
    size = {"shortest_edge": 28 * 28, "longest_edge": 112 * 112 * 64}
    processor = Glm4vProcessor(
        image_processor=Glm4vImageProcessor(size=size),
        tokenizer=words,
        video_processor=Glm4vVideoProcessor(size=size),
        chat_template=template,
    )
    number = words.convert_tokens_to_ids
    config = Glm4vConfig(
        text_config={
            **TEXT, "vocab_size": len(words), "pad_token_id": words.pad_token_id,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3], "partial_rotary_factor": 1.0,
            },
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64,
            "image_size": 112, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
        },
        image_token_id=number("<|image|>"), video_token_id=number("<|video|>"),
        image_start_token_id=number("<|begin_of_image|>"), image_end_token_id=number("<|end_of_image|>"),
        video_start_token_id=number("<|begin_of_video|>"), video_end_token_id=number("<|end_of_video|>"),
    )  # fmt: skip
    return Glm4vForConditionalGeneration(config), processor


def internvl() -> tuple[Any, Any]:
    from transformers import (
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVideoProcessor,
    )  # fmt: skip

    special = [*SPECIAL[:3], "<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
    words = tokenizer(
        special,
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    template = QWEN.replace("<|vision_start|><|video_pad|><|vision_end|>", "<video>")
    template = template.replace("<|vision_start|><|image_pad|><|vision_end|>", "<IMG_CONTEXT>")
    size = {"height": 56, "width": 56}
    processor = InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=size, crop_to_patches=False),
        tokenizer=words,
        video_processor=InternVLVideoProcessor(size=size),
        image_seq_length=4,
        chat_template=template,
    )
    config = InternVLConfig(
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(words)},
        vision_config={
            "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
            "image_size": 56, "patch_size": 14,
        },
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )  # fmt: skip
    return InternVLForConditionalGeneration(config), processor


def video_llama_3() -> tuple[Any, Any]:
    from transformers import (
        VideoLlama3Config,
        VideoLlama3ForConditionalGeneration,
        VideoLlama3ImageProcessor,
        VideoLlama3Processor,
        VideoLlama3VideoProcessor,
    )  # fmt: skip

    words = tokenizer([*SPECIAL[:3], "<image>", "<video>"], image_token="<image>", video_token="<video>")
    template = QWEN.replace("<|vision_start|><|video_pad|><|vision_end|>", "<video>\n")
    template = template.replace("<|vision_start|><|image_pad|><|vision_end|>", "<image>\n")
    size = {"shortest_edge": 28 * 28, "longest_edge": 112 * 112 * 64}
    processor = VideoLlama3Processor(
        image_processor=VideoLlama3ImageProcessor(size=size),
        tokenizer=words,
        video_processor=VideoLlama3VideoProcessor(size=size),
        chat_template=template,
    )
    config = VideoLlama3Config(
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(words)},
        vision_config={
            "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
            "patch_size": 14,
        },
        image_token_id=words.convert_tokens_to_ids("<image>"),
        video_token_id=words.convert_tokens_to_ids("<video>"),
    )  # fmt: skip
    return VideoLlama3ForConditionalGeneration(config), processor


def llava_onevision() -> tuple[Any, Any]:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
    )  # fmt: skip

    words = tokenizer([*SPECIAL[:3], "<image>", "<video>"], image_token="<image>", video_token="<video>")
    # in the family's manner: first all pictures, then the words
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }} {% for c in m.content %}{% if c.type == 'image' %}<image>\n"
        "{% elif c.type == 'video' %}<video>\n{% endif %}{% endfor %}{% for c in m.content %}"
        "{% if c.type == 'text' %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    size = {"height": 56, "width": 56}
    processor = LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=[[56, 56]]),
        tokenizer=words,
        video_processor=LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=template,
    )
    config = LlavaOnevisionConfig(
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(words)},
        vision_config={
            "model_type": "siglip_vision_model", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 64, "image_size": 56, "patch_size": 14, "vision_use_head": False,
        },
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[56, 56]],
    )  # fmt: skip
    return LlavaOnevisionForConditionalGeneration(config), processor


def llava_next_video() -> tuple[Any, Any]:
    from transformers import (
        LlavaNextImageProcessor,
        LlavaNextVideoConfig,
        LlavaNextVideoForConditionalGeneration,
        LlavaNextVideoProcessor,
        LlavaNextVideoVideoProcessor,
    )

    words = tokenizer([*SPECIAL[:3], "<image>", "<video>"], image_token="<image>", video_token="<video>")
    template = QWEN.replace("<|vision_start|><|video_pad|><|vision_end|>", "<video>\n")
    template = template.replace("<|vision_start|><|image_pad|><|vision_end|>", "<image>\n")
    size, crop = {"shortest_edge": 56}, {"height": 56, "width": 56}
    processor = LlavaNextVideoProcessor(
        video_processor=LlavaNextVideoVideoProcessor(size=size, crop_size=crop, do_center_crop=True),
        image_processor=LlavaNextImageProcessor(size=size, crop_size=crop, image_grid_pinpoints=[[56, 112], [112, 56]]),
        tokenizer=words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    config = LlavaNextVideoConfig(
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(words)},
        vision_config={
            "model_type": "clip_vision_model", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 64, "image_size": 56, "patch_size": 14, "projection_dim": 32,
        },
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[56, 112], [112, 56]],
    )  # fmt: skip
    return LlavaNextVideoForConditionalGeneration(config), processor


def glm46v() -> tuple[Any, Any]:
    from transformers import (
        Glm46VConfig,
        Glm46VForConditionalGeneration,
        Glm46VImageProcessor,
        Glm46VProcessor,
        Glm46VVideoProcessor,
    )

    older, like = glm4v()
    size = {"shortest_edge": 28 * 28, "longest_edge": 112 * 112 * 64}
    processor = Glm46VProcessor(
        image_processor=Glm46VImageProcessor(size=size),
        tokenizer=like.tokenizer,
        video_processor=Glm46VVideoProcessor(size=size),
        chat_template=like.chat_template,
    )
    names = ("image", "video", "image_start", "image_end", "video_start", "video_end")
    config = Glm46VConfig(
        text_config=older.config.text_config.to_dict(),
        vision_config=older.config.vision_config.to_dict(),
        **{f"{name}_token_id": getattr(older.config, f"{name}_token_id") for name in names},
    )
    return Glm46VForConditionalGeneration(config), processor


def molmo2() -> tuple[Any, Any]:
    from transformers import (
        Molmo2Config,
        Molmo2ForConditionalGeneration,
        Molmo2ImageProcessor,
        Molmo2Processor,
        Molmo2VideoProcessor,
    )  # fmt: skip

    special = [
        *SPECIAL[:3], "<|image|>", "<|video|>", "<im_patch>", "<im_col>", "<im_start>", "<low_res_im_start>",
        "<frame_start>", "<im_end>", "<frame_end>", "<im_low>",
    ]  # fmt: skip
    words = tokenizer(special, image_token="<|image|>", video_token="<|video|>")
    template = QWEN.replace("<|vision_start|><|video_pad|><|vision_end|>", "<|video|>")
    template = template.replace("<|vision_start|><|image_pad|><|vision_end|>", "<|image|>")
    size = {"height": 56, "width": 56}
    processor = Molmo2Processor(
        image_processor=Molmo2ImageProcessor(size=size, overlap_margins=[1, 1]),
        video_processor=Molmo2VideoProcessor(size=size),
        tokenizer=words,
        chat_template=template,
    )
    number = words.convert_tokens_to_ids
    config = Molmo2Config(
        text_config={**TEXT, "vocab_size": len(words), "head_dim": 16, "additional_vocab_size": 16},
        vision_config={
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
            "num_key_value_heads": 2, "head_dim": 16, "image_size": [56, 56], "patch_size": 14,
        },
        adapter_config={
            "vision_feature_layer": [1, 0], "hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2,
            "head_dim": 16, "intermediate_size": 64, "text_hidden_size": 64,
        },
        image_start_token_id=number("<im_start>"), low_res_image_start_token_id=number("<low_res_im_start>"),
        image_end_token_id=number("<im_end>"), image_patch_id=number("<im_patch>"),
        frame_start_token_id=number("<frame_start>"), frame_end_token_id=number("<frame_end>"),
    )  # fmt: skip
    return Molmo2ForConditionalGeneration(config), processor


def gemma3() -> tuple[Any, Any]:
    """A family without a dialect of its own, and without videos."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3ImageProcessor, Gemma3Processor

    words = tokenizer(
        [*SPECIAL[:3], "<start_of_image>", "<end_of_image>", "<image_soft_token>"],
        boi_token="<start_of_image>",
        eoi_token="<end_of_image>",
        image_token="<image_soft_token>",
    )
    template = QWEN.replace("<|vision_start|><|image_pad|><|vision_end|>", "<start_of_image>")
    processor = Gemma3Processor(
        image_processor=Gemma3ImageProcessor(size={"height": 56, "width": 56}),
        tokenizer=words,
        image_seq_length=4,
        chat_template=template.replace("<|vision_start|><|video_pad|><|vision_end|>", ""),
    )
    config = Gemma3Config(
        text_config={**TEXT, "vocab_size": len(words), "head_dim": 16, "sliding_window": 512},
        vision_config={
            "model_type": "siglip_vision_model", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 64, "image_size": 56, "patch_size": 14, "vision_use_head": False,
        },
        mm_tokens_per_image=4,
        boi_token_index=words.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=words.convert_tokens_to_ids("<end_of_image>"),
        image_token_index=words.convert_tokens_to_ids("<image_soft_token>"),
    )  # fmt: skip
    return Gemma3ForConditionalGeneration(config), processor


FAMILIES: dict[str, Callable[[], tuple[Any, Any]]] = {
    made.__name__: made
    for made in (
        qwen3_vl,
        qwen3_5,
        qwen2_5_vl,
        glm4v,
        glm46v,
        internvl,
        video_llama_3,
        llava_next_video,
        llava_onevision,
        molmo2,
    )
}


def save(family: str, folder: Path, seed: int = 0) -> Path:
    """A checkpoint of a family in a folder; weights large enough that answers depend on what is shown."""
    import torch

    torch.manual_seed(seed)
    model, processor = gemma3() if family == "gemma3" else FAMILIES[family]()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(4)
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder

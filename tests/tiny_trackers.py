"""Tiny, randomly initialised detectors and trackers of the real classes, saved as `from_pretrained` wants them.

Grounding DINO (Swin and BERT inside), OWLv2, OWL-ViT, SAM 2 for video, SAM 3 for video (detector and tracker in one
checkpoint): real configuration, model, processor and tokenizer classes with small sizes.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "red", "blue", "white", "car", "man", "dog", "in", "."]


def grounding_dino(folder: Path) -> tuple[Any, Any]:
    from transformers import (
        BertConfig,
        BertTokenizer,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(WORDS), encoding="utf-8")
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=64, patch_size=4, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], window_size=4,
            out_indices=[2, 3, 4],
        ),
        text_config=BertConfig(
            vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            max_position_embeddings=64,
        ),
        num_queries=12, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=16, decoder_ffn_dim=16, d_model=32,
        encoder_attention_heads=2, decoder_attention_heads=2, max_text_len=32, disable_custom_kernels=True,
    )  # fmt: skip
    size = {"shortest_edge": 64, "longest_edge": 96}
    processor = GroundingDinoProcessor(GroundingDinoImageProcessor(size=size), BertTokenizer(str(vocabulary)))
    return GroundingDinoForObjectDetection(config), processor


def sam2(folder: Path) -> tuple[Any, Any]:
    from transformers import (
        Sam2HieraDetConfig,
        Sam2ImageProcessor,
        Sam2VideoConfig,
        Sam2VideoModel,
        Sam2VideoProcessor,
        Sam2VideoVideoProcessor,
        Sam2VisionConfig,
    )

    side, hidden = 64, 128
    backbone = Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[side, side], blocks_per_stage=[1, 1, 1, 1],
        embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 4, 4, 2], global_attention_blocks=[],
        window_positional_embedding_background_size=[4, 4],
    )  # fmt: skip
    config = Sam2VideoConfig(
        vision_config=Sam2VisionConfig(
            backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=hidden,
            backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        ),
        prompt_encoder_config={"hidden_size": hidden, "image_size": side, "patch_size": 16, "mask_input_channels": 4},
        image_size=side,
        **_memory(hidden),
    )  # fmt: skip
    size = {"height": side, "width": side}
    images = Sam2ImageProcessor(size=size, mask_size={"height": 16, "width": 16})
    return Sam2VideoModel(config), Sam2VideoProcessor(images, Sam2VideoVideoProcessor(size=size))


def sam3(folder: Path) -> tuple[Any, Any]:
    from transformers import (
        Sam2VideoVideoProcessor,
        Sam3Config,
        Sam3ImageProcessor,
        Sam3TrackerVideoConfig,
        Sam3VideoConfig,
        Sam3VideoModel,
        Sam3VideoProcessor,
    )

    side, hidden = 56, 128
    vision = {
        "backbone_config": {
            "model_type": "sam3_vit_model", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "image_size": side, "patch_size": 14, "window_size": 4,
            "global_attn_indexes": [0], "pretrain_image_size": side,
        },
        "fpn_hidden_size": hidden,
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
    }  # fmt: skip
    layer = {"hidden_size": hidden, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    detector = Sam3Config(
        vision_config=vision,
        text_config={
            "model_type": "clip_text_model", "vocab_size": 300, "hidden_size": 32, "intermediate_size": 32,
            "num_hidden_layers": 1, "num_attention_heads": 2, "projection_dim": 16, "max_position_embeddings": 32,
            "hidden_act": "gelu", "bos_token_id": 180, "eos_token_id": 181,
        },
        geometry_encoder_config=layer, detr_encoder_config=layer, detr_decoder_config={**layer, "num_queries": 6},
        mask_decoder_config={"hidden_size": hidden, "num_upsampling_stages": 3, "num_attention_heads": 2},
    )  # fmt: skip
    tracker = Sam3TrackerVideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": hidden, "image_size": side, "patch_size": 14, "mask_input_channels": 4},
        image_size=side,
        **_memory(hidden),
    )
    # Random weights are sure of nothing: whatever has any score counts, and nothing is given up for bad manners.
    config = Sam3VideoConfig(
        detector_config=detector, tracker_config=tracker, low_res_mask_size=16, score_threshold_detection=0.0,
        new_det_thresh=0.0, max_num_objects=3, hotstart_delay=0, hotstart_unmatch_thresh=0, hotstart_dup_thresh=0,
        det_nms_thresh=0.0, fill_hole_area=0, recondition_every_nth_frame=4, high_conf_thresh=0.0, high_iou_thresh=0.0,
        suppress_overlapping_based_on_recent_occlusion_threshold=0.0,
    )  # fmt: skip
    words = _letters(folder)
    size = {"height": side, "width": side}
    images = Sam3ImageProcessor(size=size, mask_size={"height": 16, "width": 16})
    return Sam3VideoModel(config), Sam3VideoProcessor(images, Sam2VideoVideoProcessor(size=size), words)


def owlv2(folder: Path) -> tuple[Any, Any]:
    from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    images = Owlv2ImageProcessor(size={"height": 64, "width": 64})
    return Owlv2ForObjectDetection(Owlv2Config(**_owl())), Owlv2Processor(images, _letters(folder, model_max_length=16))


def owlvit(folder: Path) -> tuple[Any, Any]:
    from transformers import OwlViTConfig, OwlViTForObjectDetection, OwlViTImageProcessor, OwlViTProcessor

    images = OwlViTImageProcessor(size={"height": 64, "width": 64})
    return OwlViTForObjectDetection(OwlViTConfig(**_owl())), OwlViTProcessor(
        images, _letters(folder, model_max_length=16)
    )


def _owl() -> dict[str, Any]:
    layers = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return {
        "text_config": {
            **layers, "vocab_size": 182, "max_position_embeddings": 16, "bos_token_id": 180, "eos_token_id": 181,
            "pad_token_id": 181,
        },
        "vision_config": {**layers, "image_size": 64, "patch_size": 16},
        "projection_dim": 16,
    }  # fmt: skip


def _letters(folder: Path, **options: Any) -> Any:
    """CLIP's tokenizer with a token for each character."""
    from transformers import CLIPTokenizer

    letters = [chr(c) for c in range(33, 123)]
    vocabulary = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({c: i for i, c in enumerate(vocabulary)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), **options)


def _memory(hidden: int) -> dict[str, Any]:
    return {
        "mask_decoder_config": {
            "hidden_size": hidden, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16,
        },
        "memory_attention_hidden_size": hidden, "memory_attention_num_layers": 1,
        "memory_attention_feed_forward_hidden_size": 32, "memory_attention_rope_feat_sizes": [4, 4],
        "memory_encoder_hidden_size": hidden, "mask_downsampler_embed_dim": hidden, "memory_fuser_embed_dim": hidden,
        "memory_fuser_intermediate_dim": 32,
    }  # fmt: skip


KINDS: dict[str, Callable[[Path], tuple[Any, Any]]] = {
    made.__name__: made for made in (grounding_dino, owlv2, owlvit, sam2, sam3)
}  # fmt: skip


def save(kind: str, folder: Path, seed: int = 0) -> Path:
    """A checkpoint in a folder."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model, processor = KINDS[kind](folder)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # memory must matter: what is zero or next to it in a new model would hide a frame that was forgotten
            if "memory_temporal" in name or "no_object" in name or name.endswith(".scale"):
                torch.nn.init.normal_(weight, std=0.5)
            # whatever is followed is in sight, for there is nothing to test where nothing is seen
            if name.endswith("pred_obj_score_head.proj_out.bias"):
                weight.fill_(1.0)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder

"""One step of RL by TRL's own GRPOTrainer and the same step here, which `shared_prefix.py` compares.

Both have the same small Qwen3-VL with the same weights, the same prompt through the family's own processor, the same
number of completions of the same length, the same loss (`dapo`, one update per set of completions, no reference
model), clipped gradients, and the same fused AdamW. A step is everything between two updates: processor, sampling,
rewards, loss, backward pass, optimiser. The frames are *images* in the prompt, since TRL 1.16 hands no videos to its
policy.

Where there is a choice, it favours TRL: one group is a batch (`steps_per_generation=1`), so that no log-probabilities
of an old policy are computed, and reading rows of the data set is not counted. Neither side may end a completion early,
so both sample every token.
"""

import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

SIDE, PATCH = 320, 16  # a frame of 20 x 20 patches: 100 tokens
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
           "<|video_pad|>"]  # fmt: skip
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}"
    "{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def processor_of(vocabulary: int) -> Any:
    """The family's processor with a vocabulary of single bytes, filled up to the size of the model's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    pieces = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces += [f"piece{k}" for k in range(vocabulary - len(pieces) - len(SPECIAL))]
    made = Tokenizer(models.BPE(vocab={piece: k for k, piece in enumerate(pieces)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(SPECIAL)
    words = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>",
        extra_special_tokens={
            "image_token": "<|image_pad|>", "video_token": "<|video_pad|>", "vision_bos_token": "<|vision_start|>",
            "vision_eos_token": "<|vision_end|>",
        },
    )  # fmt: skip
    size = {"min_pixels": SIDE * SIDE, "max_pixels": SIDE * SIDE}
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=PATCH, merge_size=2, temporal_patch_size=2, **size),
        tokenizer=words,
        video_processor=Qwen3VLVideoProcessor(patch_size=PATCH, merge_size=2, temporal_patch_size=2),
        chat_template=TEMPLATE,
    )


def picture_ids(processor: Any) -> dict[str, int]:
    """Ids of the tokens that stand for pictures, under their names in the model's configuration."""
    number = processor.tokenizer.convert_tokens_to_ids
    return {
        "image_token_id": number("<|image_pad|>"), "video_token_id": number("<|video_pad|>"),
        "vision_start_token_id": number("<|vision_start|>"), "vision_end_token_id": number("<|vision_end|>"),
    }  # fmt: skip


def asked(processor: Any, length: int) -> tuple[list[dict[str, Any]], list[Any]]:
    """A message of `length` tokens (timestamps, frames, and words to fill up), and its frames."""
    from PIL import Image

    draw = np.random.default_rng(1)

    def message(frames: int, words: str) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        for k in range(frames):
            parts += [{"type": "text", "text": f"<{k:.1f}>"}, {"type": "image"}]
        return [{"role": "user", "content": [*parts, {"type": "text", "text": words}]}]

    each = SIDE * SIDE // PATCH**2 // 4 + 8
    frames = max((length - 40) // each, 1)
    bare = processor.tokenizer(processor.apply_chat_template(message(frames, ""), add_generation_prompt=True))
    # the placeholder of a frame is replaced by 100 tokens
    have = len(bare["input_ids"]) + frames * (SIDE * SIDE // PATCH**2 // 4 - 1)
    pictures = [Image.fromarray(draw.integers(0, 255, (SIDE, SIDE, 3), np.uint8)) for _ in range(frames)]
    return message(frames, "a" * (length - have)), pictures


def laid(processor: Any, messages: list[dict[str, Any]], pictures: list[Any]) -> Any:
    """The processor's output for a message and its frames."""
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    return processor(text=[text], images=pictures, return_tensors="pt")


def rewarded(rows: list[list[int]]) -> list[float]:
    """Rewards that differ from row to row."""
    return [float(sum(row) % 7) for row in rows]


def by_trl(model: Any, processor: Any, lengths: list[int], width: int, branches: int,
           begin: Callable[[], Callable[[], bool]]) -> None:  # fmt: skip
    """Runs TRL's trainer, one step for each prompt.

    Args:
        model: The policy.
        processor: The processor of its family.
        lengths: Number of tokens of each prompt.
        width: Number of tokens of a completion.
        branches: Number of completions of a prompt.
        begin: Called when a step begins. The function that it returns is called when the step ends, and returns
            whether to continue.
    """
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.stop = begin()

        def on_step_end(self, _: Any, __: Any, control: Any, **___: Any) -> None:
            control.should_training_stop |= not self.stop()

    rows = []
    for length in lengths:
        messages, pictures = asked(processor, length)
        rows.append({"prompt": messages, "images": pictures})
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        GRPOTrainer(
            model=model,
            reward_funcs=[lambda completion_ids, **_: rewarded(completion_ids)],
            args=GRPOConfig(
                output_dir=folder, max_steps=len(rows), per_device_train_batch_size=branches, num_generations=branches,
                steps_per_generation=1, gradient_accumulation_steps=1, num_iterations=1, beta=0.0, loss_type="dapo",
                max_completion_length=width, temperature=1.0, learning_rate=1e-6, shuffle_dataset=False,
                generation_kwargs={"min_new_tokens": width, "suppress_tokens": list(picture_ids(processor).values())},
                optim="adamw_torch_fused", max_grad_norm=1.0, logging_steps=10**6, report_to=[], save_strategy="no",
                use_cpu=model.device.type == "cpu", bf16=model.device.type == "cuda", gradient_checkpointing=False,
                disable_tqdm=True, seed=1,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=processor,
            callbacks=[Clock()],
        ).train()  # fmt: skip


def by_us(model: Any, processor: Any, lengths: list[int], width: int, branches: int,
          begin: Callable[[], Callable[[], bool]]) -> None:  # fmt: skip
    """Runs the same steps with the prompt computed once: one prefill, one packed pass; arguments as of `by_trl`."""
    import torch

    from whenwhere.training.prefix.attention import attach_frame_attention
    from whenwhere.training.prefix.group import TokenSegment, completion_group
    from whenwhere.training.prefix.rollout import PrefilledPrompt, SamplingParams
    from whenwhere.training.prefix.shared_prefix import score_branches
    from whenwhere.training.prefix.vlm_parts import VLMParts

    parts = VLMParts(model.train())
    attach_frame_attention(model.model.visual)  # as `Policy.prepare` does
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-6, weight_decay=0.0, fused=True)
    for length in lengths:
        messages, pictures = asked(processor, length)
        stop = begin()
        prompt = TokenSegment.from_processor(laid(processor, messages, pictures))
        drawn = PrefilledPrompt(parts, prompt).sample(branches, SamplingParams(width))
        rewards = torch.tensor(rewarded([row.tolist() for row in drawn]))
        advantages = ((rewards - rewards.mean()) / (rewards.std() + 1e-4)).to(parts.device)
        found = score_branches(parts, completion_group(prompt, drawn), entropies=True)
        ratio = (found.logps - found.logps.detach()).exp()
        gain = torch.min(ratio * advantages[:, None], ratio.clamp(0.8, 1.2) * advantages[:, None])
        (-(gain * found.mask).sum() / found.mask.sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        if not stop():
            break

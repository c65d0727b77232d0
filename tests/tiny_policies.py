"""A micro policy that already half knows the answers to two questions, for tests of training.

Real classes throughout: a tiny checkpoint (`whenwhere.models.tiny`) with a hidden size of 32, clips of the world of
shapes. Random weights never write an answer that can be read, so it is first taught, in a second, to say one of three
things with even odds: the right answer, a span that is half right, and "it is not there".
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.spans import SpanSet
from whenwhere.training.callbacks import Progress, TrainingCallback
from whenwhere.training.data.samples import Question, Sample
from whenwhere.verify import Truth

PROMPT = "when {query}"


class Two:
    """A source of two clips, each with one question or more."""

    def __init__(self, questions: int = 1) -> None:
        self.samples = []
        for k, (text, colour) in enumerate({"red square": (200, 40, 40), "blue circle": (40, 60, 220)}.items()):
            images = np.zeros((8, 32, 32, 3), np.uint8)
            images[k * 3 : k * 3 + 4, 8:24, 8:24] = colour
            span = SpanSet([(k * 1.5, k * 1.5 + 2)])
            truth = Truth(span, duration=4.0, size=(32.0, 32.0), fps=2.0)
            asked = tuple(Question(f"clip{k}/{q}", " ".join(["the"] * q + [text]), truth) for q in range(questions))
            self.samples.append(Sample(f"clip{k}", images, np.arange(8) / 2, asked))

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


class Told(TrainingCallback):
    """A callback that hands the updates and warnings of a run to functions."""

    def __init__(
        self, update: Callable[[Progress], object] | None = None, warning: Callable[[str], object] | None = None
    ) -> None:
        self._update, self._warning = update, warning

    def on_update(self, progress: Progress) -> None:
        if self._update is not None:
            self._update(progress)

    def on_warning(self, text: str) -> None:
        if self._warning is not None:
            self._warning(text)


def answers(question: Question) -> list[str]:
    """The three answers that the policy is taught: the right one, one with a t_IoU of a half, and absence."""
    (span,) = question.truth.spans
    return [f"<{span.start:.1f}s><{span.end:.1f}s>", f"<{span.start:.1f}s><{span.start + 1:.1f}s>", "<none>"]


def lines(folder: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """The lines of a file of a run."""
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def blank_policy(folder: Path, seed: int = 0, layers: int = 1, side: int = 32) -> Path:
    """Saves an untrained micro checkpoint."""
    from whenwhere.models.tiny import build

    return build(folder, seed, hidden=32, layers=layers, mlp=2, vision_hidden=32, vision_layers=1, vision_mlp=2,
                 deepstack=(0,), side=side)  # fmt: skip


def build(folder: Path, seed: int = 0, steps: int = 40) -> Path:
    """Saves the half-taught checkpoint."""
    import torch

    from whenwhere.training.prefix.group import Branch, PrefixGroup
    from whenwhere.training.prefix.shared_prefix import score_branches

    blank_policy(folder, seed)
    policy = opened(folder)
    optimiser = torch.optim.AdamW(policy.model.parameters(), 1e-2)
    groups = []
    for sample in Two().samples:
        prompt, rests = policy.prompts(sample, sample.questions)
        rows = []
        for text in answers(sample.questions[0]):
            ids = policy.checkpoint.tokenizer(text, add_special_tokens=False)["input_ids"]
            counts = torch.tensor([False] * len(rests[0]) + [True] * (len(ids) + 1))
            rows.append(Branch(torch.cat([rests[0], torch.tensor([*ids, policy.end_id])]), scored=counts))
        groups.append(PrefixGroup(prompt, rows))
    for _ in range(steps):
        optimiser.zero_grad()
        for group in groups:
            found = score_branches(policy.parts, group)
            (-found.logps.sum() / found.mask.sum()).backward()
        optimiser.step()
    policy.save(folder)
    return folder


def opened(folder: Path, **how: Any) -> Any:
    """The policy of a saved checkpoint."""
    from whenwhere.models.vlm import Checkpoint
    from whenwhere.training.prefix.policy import Policy

    return Policy(Checkpoint(str(folder), dtype="fp32", device="cpu"), form="tokens", prompt=PROMPT, **how)

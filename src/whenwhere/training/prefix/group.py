"""A prompt and the token sequences that continue it: the unit of work of training.

A branch is whatever follows the prompt: a sampled completion (RL), or one of a video's many questions with its answer
(SFT). A branch may hold pictures of its own. Which of its tokens count is marked token by token. Prompts are not
padded; branches are padded on the right when they are computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from whenwhere.errors import SettingError

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike
    from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class VisionFeatures:
    """The vision tower's output for some pictures; a frozen tower computes it once.

    Attributes:
        pooled: One tensor (tokens, hidden) for each image or video.
        deepstack: For each DeepStack level, one tensor (tokens, hidden) for each image or video. Empty where the family
            has no DeepStack.
    """

    pooled: tuple[Tensor, ...]
    deepstack: tuple[tuple[Tensor, ...], ...] = ()

    def to(self, device: torch.device) -> VisionFeatures:
        """The same features on a device.

        Args:
            device: The device.
        """
        return VisionFeatures(
            tuple(row.to(device) for row in self.pooled),
            tuple(tuple(row.to(device) for row in level) for level in self.deepstack),
        )

    @property
    def nbytes(self) -> int:
        """Bytes of all features."""
        return sum(row.nbytes for rows in (self.pooled, *self.deepstack) for row in rows)


@dataclass(frozen=True, eq=False)
class VisualInput:
    """Images or videos as the family's processor prepares them, either as patches or as features.

    Attributes:
        grids: Frames, rows and columns of each image or video in patches, shape (n, 3), integers.
        patches: Flattened pixels, float, shape (sum of patches, values). None where features are given.
        features: Output of a frozen vision tower. None where patches are given.
        seconds_per_step: Seconds that one temporal step of each video lasts (Qwen2.5-VL: `second_per_grid_ts`). None
            means one second.

    Raises:
        SettingError: Both patches and features are given, or neither.
    """

    grids: ArrayLike | Tensor
    patches: Tensor | None = None
    features: VisionFeatures | None = None
    seconds_per_step: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if (self.patches is None) == (self.features is None):
            raise SettingError("a visual input takes either patches or features of the vision tower, not both or none")

    @property
    def nbytes(self) -> int:
        """Bytes of the patches or features."""
        return self.features.nbytes if self.features is not None else self.required_patches.nbytes

    @property
    def required_patches(self) -> Tensor:
        """The patches of an input that has no features."""
        assert self.patches is not None
        return self.patches


@dataclass(frozen=True, eq=False)
class TokenSegment:
    """A run of tokens with the pictures that its placeholder tokens stand for.

    Attributes:
        ids: Token ids, shape (n,), int64.
        images: The images, in the order of their placeholders.
        videos: The videos, in the order of their placeholders.
    """

    ids: Tensor
    images: VisualInput | None = None
    videos: VisualInput | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the pictures."""
        return sum(part.nbytes for part in (self.images, self.videos) if part is not None)

    @property
    def needs_tower(self) -> bool:
        """Whether some pictures are patches, from which features must still be computed."""
        return any(part is not None and part.features is None for part in (self.images, self.videos))

    @classmethod
    def from_processor(cls, inputs: Mapping[str, Any]) -> TokenSegment:
        """A prompt as the family's processor returns it.

        Args:
            inputs: The processor's output for one text: `input_ids` of shape (1, n), and pixels and grids of pictures.

        Raises:
            SettingError: There is more than one row.
        """
        if inputs["input_ids"].shape[0] != 1:
            raise SettingError("a prompt must be a single row of the processor's output")
        images, videos = inputs.get("pixel_values"), inputs.get("pixel_values_videos")
        seconds = inputs.get("second_per_grid_ts")
        steps = None if seconds is None else [float(s) for s in seconds]
        return cls(
            inputs["input_ids"][0],
            None if images is None else VisualInput(inputs["image_grid_thw"], images),
            None if videos is None else VisualInput(inputs["video_grid_thw"], videos, seconds_per_step=steps),
        )


@dataclass(frozen=True, eq=False)
class Branch(TokenSegment):
    """One continuation of a prompt.

    Attributes:
        scored: Which tokens count, shape (n,), bool. None means all.

    Raises:
        SettingError: `scored` and `ids` differ in length.
    """

    scored: Tensor | Sequence[bool] | None = None

    def __post_init__(self) -> None:
        if self.scored is not None and len(self.scored) != len(self.ids):
            raise SettingError(f"a branch of {len(self.ids)} tokens marks {len(self.scored)} of them as scored")

    @property
    def scored_count(self) -> int:
        """Number of tokens that count."""
        return len(self.ids) if self.scored is None else int(sum(self.scored))


@dataclass(frozen=True, eq=False)
class PrefixGroup:
    """A prompt and its branches.

    Attributes:
        prompt: The shared prefix, at least one token. Its last token predicts the first token of each branch.
        branches: The continuations, at least one, each of at least one token.

    Raises:
        SettingError: The prompt, the list of branches or a branch is empty.
    """

    prompt: TokenSegment
    branches: Sequence[Branch]

    def __post_init__(self) -> None:
        if not len(self.prompt.ids) or not self.branches or not all(len(b.ids) for b in self.branches):
            raise SettingError("a group needs a prompt and at least one branch, each of at least one token")

    @property
    def width(self) -> int:
        """Number of tokens of the longest branch."""
        return max(len(b.ids) for b in self.branches)

    @property
    def token_count(self) -> int:
        """Number of tokens of the prompt and all branches together, without padding."""
        return len(self.prompt.ids) + sum(len(b.ids) for b in self.branches)


def completion_group(prompt: TokenSegment, completions: Sequence[Tensor]) -> PrefixGroup:
    """A group of sampled completions, all of whose tokens count.

    Args:
        prompt: The prompt that the completions answer.
        completions: Token ids of each completion, shape (n,), int64.
    """
    return PrefixGroup(prompt, [Branch(ids) for ids in completions])


def question_group(prompt: TokenSegment, pairs: Sequence[tuple[Tensor, Tensor]]) -> PrefixGroup:
    """A group of many questions about one video, each with its answer; only the answers count.

    The chat must put the video first and the question after it.

    Args:
        prompt: The tokens up to where the questions diverge, the video among them.
        pairs: For each question, the token ids of its remainder and of its answer, shape (n,), int64.
    """
    import torch

    return PrefixGroup(
        prompt,
        [
            Branch(
                torch.cat([torch.as_tensor(q), torch.as_tensor(a)]),
                scored=torch.cat([torch.zeros(len(q), dtype=torch.bool), torch.ones(len(a), dtype=torch.bool)]),
            )
            for q, a in pairs
        ],
    )


def deduplicate(prompt: TokenSegment, branches: Sequence[Branch]) -> tuple[PrefixGroup, list[int]]:
    """A group in which equal branches occur once; a trained policy often repeats itself.

    Gradients stay the same: the gradients of all copies add up on the one that is computed.

    Args:
        prompt: The prompt of all branches.
        branches: Branches without pictures, with `scored` set, some perhaps equal.

    Returns:
        The group of distinct branches, and for each given branch its index in that group.
    """
    found: dict[tuple[int, ...], int] = {}
    indices: list[int] = []
    distinct: list[Branch] = []
    for branch in branches:
        # the same tokens may be a short question with a long answer, so the number of scored ones is part of the key
        index = found.setdefault((branch.scored_count, *branch.ids.tolist()), len(found))
        indices.append(index)
        if index == len(distinct):
            distinct.append(branch)
    return PrefixGroup(prompt, distinct), indices


def pack_in_order(items: Sequence[T], sizes: Sequence[int], capacity: int) -> list[list[T]]:
    """Splits a sequence into consecutive packs whose sizes add up to at most `capacity`; no pack is empty.

    Args:
        items: What is packed.
        sizes: The size of each item, such as its number of tokens.
        capacity: The largest sum of sizes of a pack. An item that is larger gets a pack of its own.

    >>> pack_in_order("abcd", [3, 2, 2, 9], 5)
    [['a', 'b'], ['c'], ['d']]
    """
    packs: list[list[T]] = []
    room = 0
    for item, size in zip(items, sizes, strict=True):
        if not packs or size > room:
            packs.append([])
            room = capacity
        packs[-1].append(item)
        room -= size
    return packs


def pack_by_length(items: Sequence[T], sizes: Sequence[int], capacity: int) -> list[list[T]]:
    """Splits items into packs whose sizes add up to at most `capacity`, in fewer packs than in order where it can.

    The longest items are placed first, each into the first pack with room. Items keep their order within a pack, and
    packs that of their first items; where nothing is gained, the packs are those of `pack_in_order`.

    Args:
        items: What is packed.
        sizes: The size of each item, such as its number of tokens.
        capacity: The largest sum of sizes of a pack. An item that is larger gets a pack of its own.

    >>> pack_in_order("abcd", [3, 9, 6, 1], 10), pack_by_length("abcd", [3, 9, 6, 1], 10)
    ([['a'], ['b'], ['c', 'd']], [['a', 'c'], ['b', 'd']])
    """
    in_order = pack_in_order(items, sizes, capacity)
    packs: list[list[int]] = []
    room: list[int] = []
    for k in sorted(range(len(items)), key=lambda k: -sizes[k]):
        place = next((n for n, left in enumerate(room) if sizes[k] <= left), None)
        if place is None:
            packs.append([])
            room.append(capacity)
            place = len(packs) - 1
        packs[place].append(k)
        room[place] -= sizes[k]
    if len(packs) >= len(in_order):
        return in_order
    return [[items[k] for k in pack] for pack in sorted(sorted(pack) for pack in packs)]

"""One prompt and the sequences that go on from it: the unit of work of training.

A branch is whatever follows the prompt: a completion that was sampled (RL), one of the many sentences of a video with
its answer (SFT), or an answer, frames zoomed into, and an answer again (two turns). What counts of it is marked token
by token. Prompts are not padded; branches are, on the right, when they are computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from whenwhere.errors import SettingError

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Features:
    """What a vision tower made of pictures: computed once where it is frozen.

    Attributes:
        pooled: per picture or video (tokens, hidden).
        deep: per level of DeepStack the same, or empty.
    """

    pooled: tuple[Any, ...]
    deep: tuple[tuple[Any, ...], ...] = ()


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images or videos as the family's processor makes them; patches, or features in their place.

    Attributes:
        grids: (n, 3) frames, rows and columns in patches of each.
        patches: (sum of patches, values), or None where features are given.
        features: of a frozen vision tower.
        seconds: per step in time of each video (Qwen2.5-VL: `second_per_grid_ts`); None = one second.
    """

    grids: Any
    patches: Any = None
    features: Features | None = None
    seconds: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if (self.patches is None) == (self.features is None):
            raise SettingError("pictures are given as patches or as features of the vision tower: one of the two")


@dataclass(frozen=True, eq=False)
class Tokens:
    """A stretch of tokens with the pictures in it.

    Attributes:
        ids: (n,) integers.
        images: in their order, or None.
        videos: in their order, or None.
    """

    ids: Any
    images: Pictures | None = None
    videos: Pictures | None = None


@dataclass(frozen=True, eq=False)
class Branch(Tokens):
    """What follows a prompt.

    Attributes:
        scored: (n,) booleans, the tokens that count; None = all.
    """

    scored: Any = None

    def __post_init__(self) -> None:
        if self.scored is not None and len(self.scored) != len(self.ids):
            raise SettingError(f"a branch of {len(self.ids)} tokens marks {len(self.scored)} of them")


@dataclass(frozen=True, eq=False)
class Group:
    """A prompt and its branches.

    Attributes:
        prompt: at least one token; its last token predicts the first of each branch.
        branches: at least one, each of at least one token.
    """

    prompt: Tokens
    branches: Sequence[Branch] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not len(self.prompt.ids) or not self.branches or not all(len(b.ids) for b in self.branches):
            raise SettingError("a group is a prompt of at least one token and branches of at least one token each")

    @property
    def width(self) -> int:
        """Tokens of the longest branch."""
        return max(len(b.ids) for b in self.branches)


def completions(prompt: Tokens, ids: Sequence[Any]) -> Group:
    """A group of sampled completions, every token of which counts.

    Args:
        prompt: what they answer.
        ids: of each completion.
    """
    return Group(prompt, [Branch(i) for i in ids])


def sentences(video: Tokens, pairs: Sequence[tuple[Any, Any]]) -> Group:
    """Many questions on one video, each with its answer, as one group: the video is computed once for all.

    The chat must put the video first and the question behind it. Only answers count.

    Args:
        video: tokens up to where the questions part.
        pairs: tokens of the question's rest and of the answer.
    """
    import torch

    return Group(
        video,
        [
            Branch(
                torch.cat([torch.as_tensor(q), torch.as_tensor(a)]),
                scored=torch.cat([torch.zeros(len(q), dtype=torch.bool), torch.ones(len(a), dtype=torch.bool)]),
            )
            for q, a in pairs
        ],
    )


def turns(first: Any, seen: Tokens, second: Any) -> Branch:
    """An answer, what the model was shown for it, and its next answer, as one branch; only the answers count.

    Args:
        first: tokens of the first answer.
        seen: what it was shown then: words and frames.
        second: tokens of the second answer.
    """
    import torch

    parts = [torch.as_tensor(p) for p in (first, seen.ids, second)]
    counts = [torch.full((len(p),), k != 1) for k, p in enumerate(parts)]
    return Branch(torch.cat(parts), seen.images, seen.videos, scored=torch.cat(counts))


def tokens(inputs: Any) -> Tokens:
    """A prompt as the family's processor lays it out, one row.

    Args:
        inputs: of the processor: `input_ids`, and patches and grids of pictures.
    """
    if inputs["input_ids"].shape[0] != 1:
        raise SettingError("a prompt is one row of the processor's inputs")
    images, videos = inputs.get("pixel_values"), inputs.get("pixel_values_videos")
    seconds = inputs.get("second_per_grid_ts")
    return Tokens(
        inputs["input_ids"][0],
        Pictures(inputs["image_grid_thw"], images) if images is not None else None,
        Pictures(inputs["video_grid_thw"], videos, seconds=None if seconds is None else [float(s) for s in seconds])
        if videos is not None
        else None,
    )


def once(prompt: Tokens, branches: Sequence[Branch]) -> tuple[Group, list[int]]:
    """A group without branches that are the same as another, and where each branch stands in it.

    A policy that has learned says the same again and again; computed once, gradients add up to the same.

    Args:
        prompt: of all branches.
        branches: some perhaps the same.
    """
    found: dict[tuple[int, ...], int] = {}
    places: list[int] = []
    first: list[Branch] = []
    for branch in branches:
        # the same tokens may be a short question with a long answer
        at = found.setdefault((int(branch.scored.sum()), *branch.ids.tolist()), len(found))
        places.append(at)
        if at == len(first):
            first.append(branch)
    return Group(prompt, first), places


def packs(things: Sequence[T], sizes: Sequence[int], most: int) -> list[list[T]]:
    """Neighbours together, as many as have no more than `most` of something; at least one.

    >>> packs("abcd", [3, 2, 2, 9], 5)
    [['a', 'b'], ['c'], ['d']]
    """
    made: list[list[T]] = []
    room = 0
    for thing, size in zip(things, sizes, strict=True):
        if not made or size > room:
            made.append([])
            room = most
        made[-1].append(thing)
        room -= size
    return made

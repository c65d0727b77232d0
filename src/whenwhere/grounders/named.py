"""The grounders that are chosen by name as a model: `GROUNDERS` lists them.

A name may have a colon and a checkpoint after it, `encoder:openai/clip-vit-base-patch32` or `objects:ssd`; the part
before the colon is looked up in the table. Every other name is a vision-language model's
(`whenwhere.models.backends.resolve`).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from whenwhere.errors import SettingError
from whenwhere.grounders.grounder import Grounder
from whenwhere.store import Cache

Progress = Callable[[float], None]


@dataclass(frozen=True)
class GrounderParts:
    """What a grounder is made of.

    Attributes:
        checkpoint: What the name has after its colon; empty without one.
        cache: Where what is computed about a video is kept.
        progress: Called with the share of the video that was looked at.
        device: Where a checkpoint runs; None takes an accelerator if there is one.
    """

    checkpoint: str
    cache: Cache
    progress: Progress | None = None
    device: str | None = None


@dataclass(frozen=True)
class GrounderKind:
    """A grounder that needs no vision-language model.

    Attributes:
        build: Makes the grounder. It should not load weights, which a plan does not need.
        check: Raises what is wrong with the checkpoint that a name has after its colon, or with what it needs. None
            means that the name must not have a colon, and that nothing runs on a device.
        default: The checkpoint if the name has no colon. None means that it must have one, if it has checkpoints.
        reads: Whether sentences about written text are answered by reading the video.
    """

    build: Callable[[GrounderParts], Grounder]
    check: Callable[[str], None] | None = None
    default: str | None = None
    reads: bool = False

    def checkpoint(self, name: str) -> str:
        """The checkpoint of a model's name."""
        _, colon, after = name.partition(":")
        return after if colon else self.default or ""


def _motion(parts: GrounderParts) -> Grounder:
    from whenwhere.grounders.motion import MotionGrounder

    return MotionGrounder(parts.cache, progress=parts.progress)


def _encoder(parts: GrounderParts, groups: bool = False) -> Grounder:
    from whenwhere.grounders.encoder.grounder import EncoderGrounder, shared_encoder

    return EncoderGrounder(partial(shared_encoder, parts.checkpoint, parts.device), parts.progress, groups=groups)


def _objects(parts: GrounderParts) -> Grounder:
    from whenwhere.grounders.objects.grounder import ObjectGrounder, shared_detector

    return ObjectGrounder(partial(shared_detector, parts.checkpoint, parts.device), parts.cache, parts.progress)


def _check_objects(checkpoint: str) -> None:
    from whenwhere.grounders.objects.grounder import shared_detector

    shared_detector(checkpoint)


def _check_encoder(checkpoint: str) -> None:
    from whenwhere.models.encoders.resolve import check_encoder

    check_encoder(checkpoint)


GROUNDERS: dict[str, GrounderKind] = {
    "motion": GrounderKind(_motion, reads=True),
    "objects": GrounderKind(_objects, check=_check_objects, default="ssd", reads=True),
    "encoder": GrounderKind(_encoder, check=_check_encoder),
    # boxes from the groups of an encoder that was trained with them
    "encoder-groups": GrounderKind(partial(_encoder, groups=True), check=_check_encoder),
}


#: The name that chooses the best grounder at hand, and the environment variable that names another choice.
AUTO, CHOICE = "auto", "WHENWHERE_MODEL"


def resolve_auto(name: str) -> str:
    """The grounder that `auto` stands for: `objects` where its detector is installed, else `motion`.

    Other names are returned as they are. `$WHENWHERE_MODEL` may name another grounder of `GROUNDERS`; it cannot name a
    vision-language model, so that no sentence is sent to one by a setting that the user does not see.

    Raises:
        SettingError: `$WHENWHERE_MODEL` names no grounder.
    """
    from whenwhere.models.detectors.package import is_installed

    if name != AUTO:
        return name
    if chosen := os.environ.get(CHOICE):
        if find_grounder(chosen) is None:
            raise SettingError(f"{CHOICE}={chosen} names no built-in model: set it to motion or objects, or unset it")
        return chosen
    return "objects" if is_installed() else "motion"


def find_grounder(name: str) -> GrounderKind | None:
    """The grounder of a model's name; None if the name is that of a vision-language model."""
    before, colon, _ = name.partition(":")
    kind = GROUNDERS.get(before)
    if kind is None or (colon and kind.check is None) or (not colon and kind.check is not None and not kind.default):
        return None
    return kind


def check_grounder(name: str, device: str | None = None, concurrency: int | None = None) -> None:
    """Raise now what would otherwise be found only after a video was opened. Nothing is loaded.

    Args:
        name: A name that `find_grounder` knows.
        device: Where a checkpoint is to run.
        concurrency: How many questions are to be asked at a time.

    Raises:
        SettingError: An option does not fit the grounder, or there is no such checkpoint.
        MissingExtraError: Packages that the grounder needs are not installed.
    """
    kind = find_grounder(name)
    assert kind is not None
    if concurrency is not None:
        raise SettingError(f"the concurrency is for models behind an address, which {name} is not")
    if kind.check is not None:
        kind.check(kind.checkpoint(name))
    elif device is not None:
        raise SettingError(f"a device is for a checkpoint in this process, which {name} is not")


def build_grounder(name: str, cache: Cache, progress: Progress | None = None, device: str | None = None) -> Grounder:
    """The grounder of a name that `find_grounder` knows."""
    from whenwhere.grounders.writing import WritingGrounder

    kind = find_grounder(name)
    assert kind is not None
    made = kind.build(GrounderParts(kind.checkpoint(name), cache, progress, device))
    return WritingGrounder(made, cache, progress) if kind.reads else made

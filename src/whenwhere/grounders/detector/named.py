"""The models that a pipeline's name means, `detector:DETECTOR+PROPAGATOR`: two checkpoints, by hub id or folder.

- `detector`: Grounding DINO (tiny), with boxes linked by nearness;
- `detector:IDEA-Research/grounding-dino-base`: another detector;
- `detector:IDEA-Research/grounding-dino-tiny+facebook/sam2.1-hiera-tiny`: SAM 2 follows objects between seconds;
- `detector:facebook/sam3`: SAM 3 finds and follows objects by itself.

The whole name is part of what identifies an answer.
"""

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from whenwhere.errors import MissingExtraError, SettingError
from whenwhere.models.backends.resolve import find_kind
from whenwhere.models.detection import Detector
from whenwhere.models.pretrained import load_config
from whenwhere.models.propagation import ConceptTracker, Propagator

#: The classes of detectors by the `model_type` in the configuration of a checkpoint.
DETECTORS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(Detector.KINDS, Detector),
    **dict.fromkeys(ConceptTracker.KINDS, ConceptTracker),
}
#: The detector where the pipeline names none: the smallest open-vocabulary one.
DETECTOR = "IDEA-Research/grounding-dino-tiny"


def split_pipeline_name(pipeline: str) -> tuple[str, str | None]:
    """The names of the detector and of the propagator, if there is one.

    Raises:
        SettingError: a name is empty.

    >>> split_pipeline_name("detector"), split_pipeline_name("detector:facebook/sam3")
    (('IDEA-Research/grounding-dino-tiny', None), ('facebook/sam3', None))
    >>> split_pipeline_name("detector:./dino+facebook/sam2.1-hiera-tiny")
    ('./dino', 'facebook/sam2.1-hiera-tiny')
    """
    _, colon, named = pipeline.partition(":")
    if not colon:
        return DETECTOR, None
    if named and Path(named).expanduser().is_dir():
        return named, None
    detector, plus, propagator = named.rpartition("+") if "+" in named else (named, "", "")
    if not detector.strip() or (plus and not propagator.strip()):
        raise SettingError(f"{pipeline!r} names no model: write detector:DETECTOR or detector:DETECTOR+PROPAGATOR")
    return detector.strip(), propagator.strip() if plus else None


def check_detector(pipeline: str) -> None:
    """Raise now what would otherwise be found only after a video was opened.

    Raises:
        SettingError: a name cannot be that of a detector or propagator.
        MissingExtraError: the packages to run them are not installed.
    """
    for name in split_pipeline_name(pipeline):
        if name is not None and not find_kind(name).in_process:
            raise SettingError(f"a detector runs in this process: name a folder or a hub id instead of {name}")
    for package in ("torch", "torchvision", "transformers"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "vlm", "the pipeline detector")


@lru_cache(maxsize=1)
def load_detector(pipeline: str, device: str | None = None) -> tuple[Detector | ConceptTracker, Propagator | None]:
    """The models of a pipeline. The last ones stay loaded, since a batch opens one video after the other.

    Raises:
        SettingError, MissingExtraError, ModelError: the models cannot be loaded.
    """
    name, propagator = (n and _folder(n) for n in split_pipeline_name(pipeline))
    assert name is not None
    find = DETECTORS.get(load_config(name).model_type, Detector)
    return find(name, device=device), None if propagator is None else Propagator(propagator, device=device)


def _folder(name: str) -> str:
    """A folder's name without `~`; any other name as it is."""
    path = Path(name).expanduser()
    return str(path) if path.is_dir() else name

"""What stands behind `--pipeline detector:DETECTOR+PROPAGATOR`: two checkpoints, by hub id or folder.

- `detector`: Grounding DINO (tiny), boxes linked by nearness;
- `detector:IDEA-Research/grounding-dino-base`: another detector;
- `detector:IDEA-Research/grounding-dino-tiny+facebook/sam2.1-hiera-tiny`: SAM 2 follows between seconds;
- `detector:facebook/sam3`: SAM 3 finds and follows by itself.

The whole name is part of what identifies an answer.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from whenwhere.errors import MissingExtraError, SettingError
from whenwhere.models.backends.resolve import find_kind
from whenwhere.models.detection import Detector
from whenwhere.models.pretrained import load_config
from whenwhere.models.propagation import ConceptTracker, Propagator

#: Which detector is meant where none is named: the smallest with open words.
DETECTOR = "IDEA-Research/grounding-dino-tiny"


def parts(pipeline: str) -> tuple[str, str | None]:
    """The detector's and the propagator's name.

    Raises:
        SettingError: an empty name.

    >>> parts("detector"), parts("detector:facebook/sam3")
    (('IDEA-Research/grounding-dino-tiny', None), ('facebook/sam3', None))
    >>> parts("detector:./dino+facebook/sam2.1-hiera-tiny")
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
    """Say now what would only be found after the video was opened.

    Raises:
        SettingError: a name that can be no detector's or propagator's.
        MissingExtraError: the packages to run them are not installed.
    """
    for name in parts(pipeline):
        if name is not None and not find_kind(name).in_process:
            raise SettingError(f"a detector runs in this process: name a folder or a hub id instead of {name}")
    for package in ("torch", "torchvision", "transformers"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "vlm", "the pipeline detector")


@lru_cache(maxsize=1)
def load_detector(pipeline: str, device: str | None = None) -> tuple[Detector | ConceptTracker, Propagator | None]:
    """The models of a pipeline; the last ones stay loaded, as a batch opens one video after the other.

    Raises:
        SettingError, MissingExtraError, ModelError: they cannot be had.
    """
    name, propagator = (n and _folder(n) for n in parts(pipeline))
    assert name is not None
    find = ConceptTracker if load_config(name).model_type in ConceptTracker.KINDS else Detector
    return find(name, device=device), None if propagator is None else Propagator(propagator, device=device)


def _folder(name: str) -> str:
    """A folder's name without `~`; any other name as it is."""
    path = Path(name).expanduser()
    return str(path) if path.is_dir() else name

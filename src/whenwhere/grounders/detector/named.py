"""Loads the models of a pipeline named `detector:DETECTOR+PROPAGATOR`, where both are checkpoints by hub id or folder.

Any name that `whenwhere.open_detector` takes can be the detector:

- `detector`: Grounding DINO (tiny), with boxes linked by distance;
- `detector:IDEA-Research/grounding-dino-base`: another detector; `detector:ssd` is the one of the extra `[objects]`;
- `detector:IDEA-Research/grounding-dino-tiny+facebook/sam2.1-hiera-tiny`: SAM 2 follows objects between seconds;
- `detector:facebook/sam3`: SAM 3 finds and follows objects by itself;
- `detector:objects`: the tracks of `--model objects` (extra `[objects]`), made once for a video.

Answers are cached under the whole name, so another detector never gets the answers of this one.
"""

from functools import lru_cache, partial
from pathlib import Path

from whenwhere.errors import SettingError
from whenwhere.grounders.detector.indexed import OBJECTS, IndexedTracks
from whenwhere.grounders.objects.grounder import ObjectGrounder, shared_detector
from whenwhere.models.detectors.detector import Detector
from whenwhere.models.detectors.package import SSD
from whenwhere.models.detectors.resolve import check_detector_name, is_network_name, open_detector
from whenwhere.models.pretrained import load_config
from whenwhere.models.propagation import ConceptTracker, Propagator
from whenwhere.store import Cache

#: The detector if the pipeline names none: the smallest open-vocabulary one.
DETECTOR = "IDEA-Research/grounding-dino-tiny"


def split_pipeline_name(pipeline: str) -> tuple[str, str | None]:
    """The names of the detector and of the propagator, if there is one.

    Raises:
        SettingError: One of the names is empty.

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
    """Checks the name of a detector pipeline before any video is opened or model is loaded.

    Raises:
        SettingError, ModelError: A name cannot be that of a detector or propagator.
        MissingExtraError: The packages that they need are not installed.
    """
    for name in split_pipeline_name(pipeline):
        if name is not None:
            check_detector_name(SSD if name == OBJECTS else name)


def load_detector(
    pipeline: str, device: str | None = None, cache: Cache | None = None
) -> tuple[Detector | ConceptTracker | IndexedTracks, Propagator | None]:
    """The detector of a pipeline, and its propagator if the name has one.

    The models that were loaded last stay in memory, because a batch opens many videos with the same pipeline.

    Args:
        pipeline: Its name.
        device: Where models run; None takes an accelerator if there is one.
        cache: Where the index of `detector:objects` is kept; None keeps nothing.

    Raises:
        SettingError, MissingExtraError, ModelError: The models cannot be loaded.
    """
    detector, following = _models(pipeline, device)
    return detector or indexed_tracks(cache), following


@lru_cache(maxsize=2)
def indexed_tracks(cache: Cache | None) -> IndexedTracks:
    """The tracks of `--model objects`, the same for all questions of a session.

    Args:
        cache: Where the index of a video is kept; None keeps nothing.
    """
    return IndexedTracks(ObjectGrounder(partial(shared_detector, SSD), cache))


@lru_cache(maxsize=1)
def _models(pipeline: str, device: str | None) -> tuple[Detector | ConceptTracker | None, Propagator | None]:
    """The detector of a pipeline, None for the tracks of an index, and its propagator."""
    name, propagator = (n and _folder(n) for n in split_pipeline_name(pipeline))
    assert name is not None
    following = None if propagator is None else Propagator(propagator, device=device)
    if name == OBJECTS:
        return None, following
    if not is_network_name(name) and load_config(name).model_type in ConceptTracker.KINDS:
        return ConceptTracker(name, device=device), following
    return open_detector(name, device=device), following


def _folder(name: str) -> str:
    """The name with a leading `~` expanded if it is a folder; any other name unchanged."""
    path = Path(name).expanduser()
    return str(path) if path.is_dir() else name

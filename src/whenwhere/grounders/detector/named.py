"""What stands behind `--pipeline detector:DETECTOR+PROPAGATOR`: two checkpoints, by hub id or folder.

- `detector`: Grounding DINO (tiny), boxes linked by nearness;
- `detector:IDEA-Research/grounding-dino-base`: another detector;
- `detector:IDEA-Research/grounding-dino-tiny+facebook/sam2.1-hiera-tiny`: SAM 2 follows between seconds;
- `detector:facebook/sam3`: SAM 3 finds and follows by itself.

The whole name is part of what identifies an answer.
"""

from functools import lru_cache
from pathlib import Path

from whenwhere.errors import SettingError
from whenwhere.models.detection import Detector
from whenwhere.models.pretrained import configuration
from whenwhere.models.propagation import Concept, Propagator

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
    if Path(named).is_dir():
        return named, None
    detector, plus, propagator = named.rpartition("+") if "+" in named else (named, "", "")
    if not detector.strip() or (plus and not propagator.strip()):
        raise SettingError(f"{pipeline!r} names no model: write detector:DETECTOR or detector:DETECTOR+PROPAGATOR")
    return detector.strip(), propagator.strip() if plus else None


@lru_cache(maxsize=1)
def load(pipeline: str, device: str | None = None) -> tuple[Detector | Concept, Propagator | None]:
    """The models of a pipeline; the last ones stay loaded, as a batch opens one video after the other.

    Raises:
        SettingError, MissingExtraError, ModelError: they cannot be had.
    """
    name, propagator = parts(pipeline)
    find = Concept if configuration(name).model_type in Concept.KINDS else Detector
    return find(name, device=device), None if propagator is None else Propagator(propagator, device=device)

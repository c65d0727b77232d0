"""The ways to ask a vision-language model, by name: `PIPELINES` lists them.

A name may have a colon and further models after it; the part before the colon is looked up in the table.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from whenwhere.errors import SettingError
from whenwhere.grounders.detector.grounder import DetectorGrounder
from whenwhere.grounders.detector.named import check_detector, load_detector
from whenwhere.grounders.framewise import Framewise
from whenwhere.grounders.grounder import Grounder
from whenwhere.grounders.joint import Joint
from whenwhere.grounders.second_level import SecondLevel
from whenwhere.grounders.uniform import Uniform
from whenwhere.grounders.windows import SamplingConfig
from whenwhere.models.backends.base import ModelBackend
from whenwhere.store import Cache

Progress = Callable[[float], None]

#: Share of a small model's context that a prompt may take; the rest is for the answer.
_PROMPT = 0.7


@dataclass(frozen=True)
class PipelineParts:
    """What a pipeline is made of.

    Attributes:
        name: The pipeline's name as the user gave it; what follows a colon names further models.
        backend: The model.
        sampling: How many frames the model is shown at a time.
        progress: Called with the share of the video that was looked at.
        device: Where further models run; None takes an accelerator if there is one.
        cache: Where what is computed about a video is kept; None keeps nothing.
    """

    name: str
    backend: ModelBackend
    sampling: SamplingConfig
    progress: Progress | None = None
    device: str | None = None
    cache: Cache | None = None


def _second_level(parts: PipelineParts) -> Grounder:
    ask = Joint if parts.backend.dialect.joint else SecondLevel
    return ask(parts.backend, parts.sampling, parts.progress)


def _detector(parts: PipelineParts) -> Grounder:
    models = load_detector(parts.name, parts.device, parts.cache)
    return DetectorGrounder(parts.backend, *models, sampling=parts.sampling, progress=parts.progress)


@dataclass(frozen=True)
class PipelineKind:
    """A way to ask a model.

    Attributes:
        build: Makes the grounder.
        takes_samples: Whether the question about time can be asked several times.
        concurrent: Whether several sentences can be asked at a time, as far as the model answers several.
        check: Raises what is wrong with a name that has further models after a colon, or with what they need. None
            means that the name must not have a colon.
    """

    build: Callable[[PipelineParts], Grounder]
    takes_samples: bool = False
    concurrent: bool = True
    check: Callable[[str], None] | None = None


PIPELINES: dict[str, PipelineKind] = {
    "second-level": PipelineKind(_second_level, takes_samples=True),
    "framewise": PipelineKind(lambda parts: Framewise(parts.backend, parts.sampling, parts.progress)),
    "uniform": PipelineKind(lambda parts: Uniform(parts.backend, parts.sampling, parts.progress)),
    # a detector or tracker takes all of the accelerator
    "detector": PipelineKind(_detector, takes_samples=True, concurrent=False, check=check_detector),
}


def find_pipeline(name: str) -> PipelineKind:
    """The pipeline of a name.

    Raises:
        SettingError: there is no such pipeline, or it takes no further models.
    """
    kind, colon, _ = name.partition(":")
    if kind not in PIPELINES or (colon and PIPELINES[kind].check is None):
        raise SettingError(f"there is no pipeline {name!r}; choose one of {', '.join(PIPELINES)}")
    return PIPELINES[kind]


def check_pipeline(name: str) -> None:
    """Raise now what would otherwise be found only after a video was opened.

    Raises:
        SettingError: there is no such pipeline, or it names models that it cannot have.
        MissingExtraError: packages that the pipeline needs are not installed.
    """
    if (check := find_pipeline(name).check) is not None:
        check(name)


def pipeline_concurrency(name: str, backend: ModelBackend) -> int:
    """How many sentences can be asked at a time in this way, each from its own thread."""
    return backend.concurrency if find_pipeline(name).concurrent else 1


def build_pipeline(
    name: str,
    backend: ModelBackend,
    progress: Progress | None = None,
    device: str | None = None,
    cache: Cache | None = None,
) -> Grounder:
    """A grounder that asks this model in this way.

    Args:
        name: One of `PIPELINES`; `detector` may name its models after a colon.
        backend: The model.
        progress: Called with the share of the video that was looked at.
        device: Where a detector or tracker runs.
        cache: Where what is computed about a video is kept; None keeps nothing.

    Raises:
        SettingError: the model's family cannot be asked in this way.
        MissingExtraError, ModelError: a detector or tracker cannot be loaded.
    """
    if backend.dialect.joint and name != "second-level":
        raise SettingError(
            f"a policy that answers in the form {backend.dialect.spans_form} gives time and places at once: ask it by "
            f"the pipeline second-level, not by {name}"
        )
    sampling, context = SamplingConfig(), backend.context_length
    if context is not None:
        sampling = replace(sampling, tokens=min(sampling.tokens, int(_PROMPT * context)))
    return find_pipeline(name).build(PipelineParts(name, backend, sampling, progress, device, cache))

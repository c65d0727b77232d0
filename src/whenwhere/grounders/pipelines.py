"""The ways to ask a vision-language model, by name (`whenwhere.settings.PIPELINES`)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from whenwhere.errors import SettingError
from whenwhere.grounders.detector.grounder import DetectorGrounder
from whenwhere.grounders.detector.named import load
from whenwhere.grounders.framewise import Framewise
from whenwhere.grounders.grounder import Grounder
from whenwhere.grounders.joint import Joint
from whenwhere.grounders.second_level import SecondLevel
from whenwhere.grounders.uniform import Uniform
from whenwhere.grounders.windows import SamplingConfig
from whenwhere.models.backends.base import ModelBackend

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
    """

    name: str
    backend: ModelBackend
    sampling: SamplingConfig
    progress: Progress | None = None
    device: str | None = None


def _second_level(parts: PipelineParts) -> Grounder:
    ask = Joint if parts.backend.dialect.joint else SecondLevel
    return ask(parts.backend, parts.sampling, parts.progress)


def _detector(parts: PipelineParts) -> Grounder:
    models = load(parts.name, parts.device)
    return DetectorGrounder(parts.backend, *models, sampling=parts.sampling, progress=parts.progress)


#: What makes each pipeline, by the part of its name before a colon.
BUILDERS: dict[str, Callable[[PipelineParts], Grounder]] = {
    "second-level": _second_level,
    "framewise": lambda parts: Framewise(parts.backend, parts.sampling, parts.progress),
    "uniform": lambda parts: Uniform(parts.backend, parts.sampling, parts.progress),
    "detector": _detector,
}


def build_pipeline(
    name: str, backend: ModelBackend, progress: Progress | None = None, device: str | None = None
) -> Grounder:
    """A grounder that asks this model in this way.

    Args:
        name: One of `BUILDERS`; `detector` may name its models after a colon.
        backend: The model.
        progress: Called with the share of the video that was looked at.
        device: Where a detector or tracker runs.

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
    return BUILDERS[name.partition(":")[0]](PipelineParts(name, backend, sampling, progress, device))

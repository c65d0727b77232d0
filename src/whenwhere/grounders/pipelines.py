"""The ways to ask a vision-language model, by name (`whenwhere.settings.PIPELINES`): one line each."""

from collections.abc import Callable
from dataclasses import replace

from whenwhere.errors import SettingError
from whenwhere.grounders.detector.grounder import DetectorGrounder
from whenwhere.grounders.detector.named import load
from whenwhere.grounders.framewise import Framewise
from whenwhere.grounders.grounder import Grounder
from whenwhere.grounders.joint import Joint
from whenwhere.grounders.second_level import SecondLevel
from whenwhere.grounders.uniform import Uniform
from whenwhere.grounders.windows import Sight
from whenwhere.models.backends.base import ModelBackend

#: Share of a small model's context that a prompt may take; the rest is for the answer.
_PROMPT = 0.7


def pipeline(
    name: str, backend: ModelBackend, samples: int, progress: Callable[[float], None] | None, device: str | None = None
) -> Grounder:
    """A grounder that asks this model in this way; the device is for what else it needs.

    Raises:
        SettingError: the model's family cannot be asked so.
        MissingExtraError, ModelError: a detector or tracker cannot be had.
    """
    if backend.dialect.joint and name != "second-level":
        raise SettingError(
            f"a policy that answers in the form {backend.dialect.spans_form} gives time and places at once: ask it by "
            f"the pipeline second-level, not by {name}"
        )
    sight, context = Sight(), backend.context_length
    if context is not None:
        sight = replace(sight, tokens=min(sight.tokens, int(_PROMPT * context)))
    if name.partition(":")[0] == "detector":
        return DetectorGrounder(backend, *load(name, device), samples=samples, sight=sight, progress=progress)
    if name == "framewise":
        return Framewise(backend, sight, progress)
    if name == "uniform":
        return Uniform(backend, sight, progress)
    if backend.dialect.joint:
        return Joint(backend, samples, sight, progress)
    return SecondLevel(backend, samples, sight, progress)

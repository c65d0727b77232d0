"""The ways to ask a vision-language model, by name (`whenwhere.settings.PIPELINES`): one line each."""

from collections.abc import Callable

from whenwhere.grounders.framewise import Framewise
from whenwhere.grounders.grounder import Grounder
from whenwhere.grounders.second_level import SecondLevel
from whenwhere.grounders.talk import Talker
from whenwhere.grounders.uniform import Uniform


def pipeline(name: str, talker: Talker, samples: int, progress: Callable[[float], None] | None) -> Grounder:
    """A grounder that asks this model in this way.

    Raises:
        SettingError: the model's family cannot be asked so.
    """
    if name == "framewise":
        return Framewise(talker, progress=progress)
    if name == "uniform":
        return Uniform(talker, progress=progress)
    return SecondLevel(talker, samples, progress=progress)

"""`num_train_epochs`: how many updates that many passes over the data are, once the data are known."""

import math
from dataclasses import replace
from typing import TypeVar

from whenwhere.training.settings import TrainingSettings

S = TypeVar("S", bound=TrainingSettings)


def in_updates(settings: S, samples: float, per_update: float) -> S:
    """The settings with `max_steps` as `num_train_epochs` says; as they are if it is not set.

    Args:
        settings: The settings of a run.
        samples: Number of samples of an epoch.
        per_update: Number of samples that all processes take in an update.

    >>> in_updates(TrainingSettings(num_train_epochs=1.5), 100, 8).max_steps
    19
    >>> in_updates(TrainingSettings(max_steps=7), 100, 8).max_steps
    7
    """
    if settings.num_train_epochs is None:
        return settings
    exact = settings.num_train_epochs * samples / per_update
    return replace(settings, max_steps=max(math.ceil(round(exact, 6)), 1))

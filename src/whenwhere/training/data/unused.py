"""Ends a training run with an error once no sample of a whole epoch could be used.

A single sample that cannot be used (an unreadable video, a wrong truth) is skipped. If all of them are, the run would
go through its data again and again without learning anything.
"""

from whenwhere.errors import SettingError


class UnusedSamples:
    """Counts the samples in a row that could not be used, over all processes.

    Args:
        limit: The count at which the run ends: the number of samples of an epoch.

    Attributes:
        count: Samples in a row that could not be used.
        last: The last of them and the reason, as text for a message.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0
        self.last = "on another process"

    def note(self, sample: str, reason: object) -> None:
        """Remembers a sample of this process that could not be used.

        Args:
            sample: Name of the sample.
            reason: Why not: a sentence or an error.
        """
        self.last = f"{sample} ({reason})"

    def update(self, used: float, tried: float) -> None:
        """Counts the samples of one update.

        Args:
            used: Number of samples that could be used, over all processes.
            tried: Number of samples that were tried, over all processes.

        Raises:
            SettingError: No sample of a whole epoch could be used.
        """
        self.count = 0 if used else self.count + int(tried)
        if self.count >= self.limit:
            raise SettingError(
                f"none of the last {self.count} samples could be used: see skipped.jsonl; the last was {self.last}"
            )

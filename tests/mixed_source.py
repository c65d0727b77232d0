"""A source of samples with faults, in a module of its own: a worker finds what it is handed by the module's name."""

import os
import signal
from pathlib import Path

import numpy as np
from tiny_policies import Two

from whenwhere.errors import MediaError
from whenwhere.training.data.samples import DeferredSample, Sample
from whenwhere.training.run_folder import SampleError


class Mixed(Two):
    """Samples that are read, that are faulty in two ways, and whose reader kills itself or meets a bug."""

    def __init__(self, marks: Path) -> None:
        super().__init__()
        self.marks = marks

    def __len__(self) -> int:
        return 8

    def deferred(self, index: int) -> Sample:
        if index == 2:
            raise SampleError("torn.mp4", "torn.mp4 cannot be read: it is empty")
        whole = self.samples[index % 2]

        def read() -> np.ndarray:
            if index == 3:
                raise MediaError("the frames are torn")
            if index == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            if index == 5 and not (self.marks / "killed").exists():
                (self.marks / "killed").write_text("")
                os.kill(os.getpid(), signal.SIGKILL)
            if index == 6:
                raise ZeroDivisionError
            return whole.images + np.uint8(index)

        return DeferredSample(f"s{index}", whole.shape, whole.times, whole.questions, read)

    def __getitem__(self, index: int) -> Sample:
        sample = self.deferred(index)
        _ = sample.images
        return sample

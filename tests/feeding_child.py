"""A reader with a worker, as a process of its own: `feeding_child.py FOLDER`; it says when a sample is being read.

The first sample is read at once; the second never ends, as from a disk that hangs.
"""

import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from tiny_policies import Two

from whenwhere.training.data.reader import SampleReader
from whenwhere.training.data.samples import Sample
from whenwhere.training.settings import TrainingSettings


class Hanging(Two):
    """Two clips; the worker that reads the second one writes its number down and hangs."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def order(self, position: int, seed: int) -> int:
        """In order."""
        return position

    def __getitem__(self, index: int) -> Sample:
        if index == 1:
            import os

            (self.folder / "reading.part").write_text(str(os.getpid()))
            (self.folder / "reading.part").rename(self.folder / "reading")
            time.sleep(600)
        return self.samples[index]


def main(folder: str) -> None:
    """Reads until it is interrupted."""
    # a shell that starts tests in the background lets them, and so this process, ignore the interrupt key
    signal.signal(signal.SIGINT, signal.default_int_handler)
    how = TrainingSettings(dataloader_num_workers=1)
    reader: SampleReader[Any] = SampleReader(Hanging(Path(folder)), how, lambda s: s, lambda s: s.held_bytes)
    try:
        assert np.any(reader.get(0, 0.0, [1]).images)
        reader.get(1, 0.0)
    finally:
        reader.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

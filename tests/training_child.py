"""A small SFT run, as a process of its own: `training_child.py CHECKPOINT RUN [when the process kills itself]`.

`step=7`: when update 7 is done; `read=9`: while the ninth sample is read; `sync=5`: while a file is written, before it
takes its place.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from tiny_policies import Told, Two, opened

from whenwhere.training.sft.settings import SFTSettings

SETTINGS = SFTSettings(
    max_steps=10, learning_rate=3e-3, warmup_steps=2, samples_per_step=2, soft_targets=1.0, soft_times=1.0,
    logging_steps=2, save_steps=3, lora_r=2, lora_dropout=0.2, seed=3,
)  # fmt: skip


class Broken(Two):
    """Twelve clips, one of which cannot be read."""

    reads, kill_at = 0, 0

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        from whenwhere.training.run_folder import SampleError

        self.reads += 1
        if self.reads == self.kill_at:
            die()
        if index == 5:
            raise SampleError("torn.mp4", "torn.mp4 cannot be read: it is empty")
        return self.samples[index % 2]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(checkpoint: str, folder: str, when: str = "", settings: SFTSettings = SETTINGS) -> Path:
    import torch

    from whenwhere.training.callbacks import Progress
    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.sft.objective import SFTObjective

    torch.set_num_threads(1)
    kind, _, number = when.partition("=")
    source = Broken(2)
    if kind == "read":
        source.kill_at = int(number)
    if kind == "sync":
        whole, count = os.fsync, [0]

        def sync(file: int) -> None:
            count[0] += 1
            if count[0] == int(number):
                die()
            whole(file)

        os.fsync = sync

    def tell(progress: Progress) -> None:
        if kind == "step" and progress.step == int(number):
            die()

    run = TrainingRun(folder, callbacks=[Told(update=tell)])
    return run.train(SFTObjective(opened(Path(checkpoint)), source, settings))


if __name__ == "__main__":
    main(*sys.argv[1:])

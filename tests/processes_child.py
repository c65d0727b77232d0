"""One of several processes of `accelerate launch`: `processes_child.py CHECKPOINT RUN CLIPS_PER_UPDATE_AND_PROCESS`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tiny_policies import opened
from training_child import SETTINGS, Broken


def main(checkpoint: str, folder: str, clips: str) -> None:
    from dataclasses import replace

    import torch

    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.sft.objective import SFTObjective

    torch.set_num_threads(1)
    settings = replace(SETTINGS, samples_per_step=int(clips), lora_dropout=0.0, max_steps=5)
    policy = opened(Path(checkpoint))
    # one process more than the other draws the clip that cannot be read
    TrainingRun(folder).train(SFTObjective(policy, Broken(2), settings))


if __name__ == "__main__":
    main(*sys.argv[1:])

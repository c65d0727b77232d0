"""RL in a process of its own: `rl_child.py POLICY RUN SETTINGS [SECONDS]`.

SETTINGS is JSON. After update 3 the process sleeps for SECONDS after each update, so that a test can kill it.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tiny_policies import Told, Two, opened


def main(policy: str, folder: str, settings: str, seconds: str = "0") -> None:
    import torch

    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.rl.objective import RLObjective
    from whenwhere.training.rl.settings import RLSettings
    from whenwhere.verify import Verifier

    torch.set_num_threads(1)
    run = TrainingRun(
        folder, callbacks=[Told(update=lambda progress: time.sleep(float(seconds) if progress.step > 3 else 0))]
    )
    learned = opened(Path(policy))
    run.train(RLObjective(learned, Two(), Verifier({"t_iou": 1}, form="tokens"), RLSettings(**json.loads(settings))))
    if run.processes.count > 1:
        # every process ends with the same weights
        torch.save(learned.model.state_dict(), Path(folder) / f"rank-{run.processes.rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])

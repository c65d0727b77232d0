"""One of two processes that train with sharded weights: `sharding_child.py OUT CHANGE...`, cases below.

Each case is trained whole, and once more in two goes, the second of which resumes the first. With LoRA the second go
writes its models as adapters alone.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

CASES = ("sft-full", "rl-lora")


def main(out: str, *changes: str) -> None:
    import sharding

    for case in CASES:
        last = ["lora_merge=false"] if "lora" in case else []
        for folder, updates, own in (("two", 2, []), ("halved", 1, []), ("halved", 2, last)):
            sharding.train(case, Path(out) / case / folder, [*changes, f"max_steps={updates}", *own])


if __name__ == "__main__":
    main(*sys.argv[1:])

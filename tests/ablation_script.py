"""A user's own program without torch, and studies of it: `python ablation_script.py [key=value ...]`.

Its accuracy follows from its settings and the seed alone, so that every result is known: `signal` helps by 0.3, `noise`
is the size of what the seed adds, and `unused` is read and changes nothing.
"""

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

#: What the program does if it is not told otherwise.
BASE: dict[str, Any] = {
    "signal": True, "noise": 0.01, "unused": 1, "size": 8, "steps": 4, "seed": 0, "sleep": 0.0, "crash": "", "wait": "",
}  # fmt: skip
PROGRAM = Path(__file__).read_text(encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Writes metrics.json and items.jsonl into the working folder."""
    given = dict(one.split("=", 1) for one in arguments)
    settings = BASE | {
        key: json.loads(value) if key not in ("crash", "wait") else value for key, value in given.items()
    }
    state = Path("state.json")
    done = json.loads(state.read_text()) if state.exists() else 0
    for step in range(done, settings["steps"]):  # it resumes, as a training would
        time.sleep(settings["sleep"])
        # In one step, since it may be killed at any moment.
        state.with_suffix(".new").write_text(json.dumps(step + 1))
        state.with_suffix(".new").replace(state)
    if settings["wait"]:
        Path(settings["wait"]).touch()
        time.sleep(100)
    if settings["crash"] == "exit":
        sys.exit("it broke on purpose")
    if settings["crash"] == "nan":
        Path("metrics.json").write_text('{"accuracy": NaN}')
        return
    if settings["crash"] == "nothing":
        return
    draw = random.Random(settings["seed"])
    share = (
        0.5
        + 0.3 * settings["signal"]
        + settings["noise"] * draw.gauss(0, 1) * settings["size"] / 8
        + 0.001 * settings["size"]
    )
    values = [float(draw.random() < share) for _ in range(20)]
    lines = [{"metric": "right", "item": f"q{k}", "video": f"v{k // 2}", "value": v} for k, v in enumerate(values)]
    Path("items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    Path("metrics.json").write_text(json.dumps({"accuracy": share, "right": sum(values) / len(values)}))
    print(f"accuracy {share:.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Models of a training run by name: `RUN@STEP`, `RUN@best` and `RUN@last`, where RUN is the folder of the run.

    RUN/checkpoint/               the result, once the run is finished
    RUN/best/                     the model with the best metric, where an evaluator keeps it
    RUN/checkpoints/step-000050/  the model after update 50

`whenwhere.training` writes these folders. The names are understood wherever a checkpoint is named, so that the models
of a run can be compared while it goes on.
"""

import re
from pathlib import Path

from whenwhere.errors import RecordError, SettingError
from whenwhere.models.trained import FILE
from whenwhere.readers import read_json

#: Folder of a run in which models of earlier updates are kept.
CHECKPOINTS = "checkpoints"
#: The model of the last update in the folder of a finished run.
RESULT = "checkpoint"
#: The model with the best metric in the folder of a run.
BEST = "best"
#: What `config.json` of an encoder that this package wrote says as its `format`.
ENCODER_FORMAT = "whenwhere-encoder"
_STEP = re.compile(r"step-(\d{1,12})")
_WHICH = re.compile(r"\d{1,12}|best|last", re.ASCII)


def is_encoder(folder: Path) -> bool:
    """Whether a folder holds a video and a text encoder that this package wrote (`VideoTextModel.save`)."""
    try:
        said = read_json(folder / "config.json")
    except RecordError:
        return False
    return isinstance(said, dict) and said.get("format") == ENCODER_FORMAT


def step_folder(run: Path, step: int) -> Path:
    """The folder in which a run keeps its model after an update.

    >>> step_folder(Path("runs/sft"), 50).as_posix()
    'runs/sft/checkpoints/step-000050'
    """
    return run / CHECKPOINTS / f"step-{step:06d}"


def kept_steps(run: Path) -> dict[int, Path]:
    """The folders of RUN/checkpoints by the number of updates, in order. A folder is whole or absent.

    Args:
        run: Folder of the run; it need not exist.
    """
    folder = run / CHECKPOINTS
    found = folder.iterdir() if folder.is_dir() else ()
    steps = {int(m[1]): path for path in found if (m := _STEP.fullmatch(path.name)) and path.is_dir()}
    return dict(sorted(steps.items()))


def is_run_name(name: str) -> bool:
    """Whether a name means a model of a run.

    >>> is_run_name("runs/sft@50"), is_run_name("Qwen/Qwen3-VL-8B-Instruct")
    (True, False)
    """
    run, at, which = name.rpartition("@")
    return bool(at and run and _WHICH.fullmatch(which)) and "://" not in run and not Path(name).is_dir()


def resolve_run(name: str) -> str:
    """The folder of the checkpoint that a name such as `RUN@50` means; any other name is returned as it is.

    Args:
        name: A name of a model.

    Raises:
        SettingError: There is no such run, or it has no such model; the message names those that it has.
    """
    if not is_run_name(name):
        return name
    run, _, which = name.rpartition("@")
    folder = Path(run).expanduser()
    if not (folder / "recipe.json").is_file():
        what = "is not the folder of a training run" if folder.is_dir() else "does not exist"
        raise SettingError(f"{run} {what}: {name} needs a run that `whenwhere train --out` made")
    steps = _all_steps(folder)
    if which == "best" and (folder / BEST).is_dir():
        return str(folder / BEST)
    if which == "last" and steps:
        return str(steps[max(steps)])
    if which.isdigit() and int(which) in steps:
        return str(steps[int(which)])
    known = [*map(str, sorted(steps)), *(["last"] if steps else []), *([BEST] if (folder / BEST).is_dir() else [])]
    there = f"it has {', '.join(known)}" if known else "it has none yet"
    why = "; an evaluator with keep_best keeps the best one" if which == "best" else ""
    raise SettingError(f"the run {run} has no model {which!r}: {there}{why}")


def _all_steps(run: Path) -> dict[int, Path]:
    """All models of a run by the number of updates, wherever they are."""
    found = {}
    for folder in (run / BEST, run / RESULT):
        step = step_of(folder)
        if step is not None:
            found[step] = folder
    return found | kept_steps(run)


def step_of(folder: Path) -> int | None:
    """Number of updates after which a model was written. None if it is not there or does not say.

    Args:
        folder: Folder of the model.
    """
    if not (folder / FILE).is_file():
        return None
    try:
        said = read_json(folder / FILE)
    except RecordError:
        return None
    step = said.get("step") if isinstance(said, dict) else None
    return step if isinstance(step, int) else None

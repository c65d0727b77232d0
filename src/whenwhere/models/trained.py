"""How a checkpoint was asked when it was trained, kept beside its weights in `whenwhere.json`.

A policy that was trained to answer one prompt in one form answers other prompts badly. The file names the prompt and
the form, and whatever loads the folder (`whenwhere.models.vlm.Checkpoint`) asks in that way. A file may hold more than
is read here (such as the number of updates).

Left out: checkpoints on a hub. They are asked as their family is, unless they are downloaded into a folder first.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from whenwhere.answers import FORMS
from whenwhere.answers.dialects import DIALECTS, Dialect, FrameMode
from whenwhere.answers.dialects.prompt import check_prompt
from whenwhere.errors import RATES, ModelError, SettingError
from whenwhere.readers import quoted, read_json
from whenwhere.store import write_text

#: Name of the file in a checkpoint's folder.
FILE = "whenwhere.json"


@dataclass(frozen=True)
class Trained:
    """What `whenwhere.json` says. A field that is None leaves the choice to the dialect.

    Attributes:
        dialect: Name of the dialect that the other fields change. None goes by the configuration's `model_type`.
        form: Name of the form in which the checkpoint answers.
        prompt: The question, with {query} and, if wanted, {duration}.
        frames: How frames were handed over.
        sample_fps: Frames per second.
        long_side: Largest number of pixels of a frame's longer side.
        seconds: Duration of the longest clip in seconds.
        recipe: Name of the recipe that trained the checkpoint.
        recipe_hash: Hash of the recipe.
    """

    dialect: str | None = None
    form: str | None = None
    prompt: str | None = None
    frames: FrameMode | None = None
    sample_fps: float | None = None
    long_side: int | None = None
    seconds: float | None = None
    recipe: str | None = None
    recipe_hash: str | None = None

    def over(self, base: Dialect) -> Dialect:
        """The dialect in which the checkpoint is asked: its family's dialect with the changes that the file names.

        >>> from whenwhere.answers.dialects import QWEN3_VL
        >>> asked = Trained(form="second-level", prompt="When and where? {query}", sample_fps=1).over(QWEN3_VL)
        >>> asked.ask_when("a dog", 3), asked.joint, asked.coordinates, asked.fps, asked.frames
        ('When and where? a dog', True, 'thousand', 1, 'repeat')
        """
        if self.form is not None:
            form = FORMS[self.form]
            base = replace(base, spans_form=form.name, joint=form.spans != 0 and "boxes" in form.holds)
            if base.joint:
                base = replace(base, boxes_form=form.name, coordinates=form.coordinates, points=False)
        return replace(
            base,
            when=self.prompt or base.when,
            frames=self.frames or base.frames,
            fps=self.sample_fps or base.fps,
            side=self.long_side or base.side,
            seconds=self.seconds or base.seconds,
        )

    def write(self, folder: str | Path, about: Mapping[str, Any] | None = None) -> Path:
        """Write the file into a checkpoint's folder, which must exist.

        Args:
            folder: Folder of the checkpoint.
            about: Further entries, which also replace those of this object.

        Raises:
            OutputError: the file cannot be written.
        """
        said = {key: value for key, value in {**asdict(self), **(about or {})}.items() if value is not None}
        return write_text(Path(folder) / FILE, json.dumps(said, indent=2, ensure_ascii=False) + "\n")


def read(folder: str | Path) -> Trained | None:
    """How the checkpoint in a folder was asked when it was trained.

    Args:
        folder: Folder of the checkpoint, or a hub id, which is not looked up.

    Returns:
        What the file says; None if there is no file or no folder.

    Raises:
        ModelError: the file cannot be read, or names an unknown form, dialect or way to hand frames over.
    """
    path = Path(folder) / FILE
    if not path.exists():
        return None
    said = read_json(path, ModelError, "repair it, or remove it to ask the model as its family is asked")
    if not isinstance(said, dict):
        raise ModelError(
            f"{path} does not hold a JSON object: repair it, or remove it to ask the model as its family is asked"
        )
    known = Trained(**{f.name: said.get(f.name) for f in fields(Trained)})
    for key, right in (
        ("form", _one_of(known.form, FORMS)),
        ("dialect", _one_of(known.dialect, DIALECTS)),
        ("frames", _one_of(known.frames, ("pairs", "repeat", "images"))),
        ("recipe", _text(known.recipe)),
        ("recipe_hash", _text(known.recipe_hash)),
        ("prompt", _text(known.prompt)),
        ("sample_fps", _between(known.sample_fps, *RATES)),
        ("long_side", _between(known.long_side, 1, 16_384)),
        ("seconds", _between(known.seconds, 1e-3, 1e6)),
    ):
        if not right:
            value = quoted(getattr(known, key))
            raise ModelError(f"{path} has a {key} that cannot be used, {value}: another version may have written it")
    if known.prompt is not None:
        try:
            check_prompt(known.prompt)
        except SettingError as e:
            raise ModelError(f"{path}: {e}") from e
    return known


def _text(value: object) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= 100_000)


def _one_of(value: object, known: Iterable[str]) -> bool:
    return value is None or (isinstance(value, str) and value in known)


def _between(value: object, low: float, high: float) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high)

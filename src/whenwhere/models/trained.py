"""How a checkpoint was asked when it was trained, kept beside its weights in `whenwhere.json`.

A policy that was trained to answer one prompt in one form answers others badly, and nobody remembers which it was. The
file says it, and whatever loads the folder (`whenwhere.models.vlm.Checkpoint`) asks as it says. Files may hold more
than is read here (the recipe, its hash, the number of updates).

Left out: checkpoints on a hub. They are asked as their family is, unless they are fetched into a folder first.
"""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from whenwhere.answers import FORMS
from whenwhere.answers.dialects import DIALECTS, Dialect, FrameMode
from whenwhere.errors import ModelError
from whenwhere.store import write_text

#: The file in a checkpoint's folder.
FILE = "whenwhere.json"


@dataclass(frozen=True)
class Trained:
    """What the file says; None = as the dialect does.

    Attributes:
        dialect: name of the dialect that everything else changes; None = by the configuration's `model_type`.
        form: name of the form of its answers.
        prompt: the question, with {query} and, if wanted, {duration}.
        frames: how frames were handed over.
        sample_fps: frames per second.
        long_side: most pixels of a frame's longer side.
        seconds: longest clip.
        recipe: name of the recipe.
        recipe_hash: of the recipe.
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
        """The dialect in which the checkpoint is asked, made of the one that its family speaks.

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

    def write(self, folder: str | Path) -> Path:
        """Write the file into a checkpoint's folder.

        Args:
            folder: that exists.

        Raises:
            OutputError: it cannot be written.
        """
        said = {key: value for key, value in asdict(self).items() if value is not None}
        return write_text(Path(folder) / FILE, json.dumps(said, indent=2, ensure_ascii=False) + "\n")


def read(folder: str | Path) -> Trained | None:
    """What a folder says of its checkpoint's training; None where it says nothing or is none.

    Args:
        folder: of a checkpoint; a hub id is none.

    Raises:
        ModelError: the file cannot be read, or names a form, a dialect or a way to hand frames over that is not known.
    """
    path = Path(folder) / FILE
    try:
        said = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as e:
        raise ModelError(f"{path} cannot be read: mend it, or take it away to ask the model as its family is") from e
    if not isinstance(said, dict):
        raise ModelError(f"{path} holds no JSON object: mend it, or take it away to ask the model as its family is")
    known = Trained(**{f.name: said.get(f.name) for f in fields(Trained)})
    for key, value, right in (
        ("form", known.form, known.form is None or known.form in FORMS),
        ("dialect", known.dialect, known.dialect is None or known.dialect in DIALECTS),
        ("frames", known.frames, known.frames in (None, "pairs", "repeat", "images")),
        ("prompt", known.prompt, known.prompt is None or "{query}" in str(known.prompt)),
        *((key, getattr(known, key), _positive(getattr(known, key))) for key in ("sample_fps", "long_side", "seconds")),
    ):
        if not right:
            raise ModelError(f"{path} has a {key} that is of no use, {value!r}: another version may have written it")
    return known


def _positive(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e9)

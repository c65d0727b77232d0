"""Small runs of the stage `pretrain` on clips of plain colours; `pretrain_runs.py OUT CHANGE...` is one of two."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.training.pretrain import stage
from whenwhere.training.pretrain.data import CaptionedClip
from whenwhere.training.recipe import load
from whenwhere.training.run_folder import SampleError

COLOURS = {
    "red": (220, 30, 30), "green": (20, 200, 40), "blue": (30, 40, 230), "white": (240, 240, 240),
    "black": (10, 10, 10), "yellow": (230, 220, 30), "pink": (250, 120, 190), "grey": (120, 120, 120),
}  # fmt: skip
SHAPES = ("disc", "box")

RECIPE = """# colours
[encoder]
frames = 4
image_size = 16
patch = 8
tubelet = 2
width = 32
layers = 2
heads = 2
output = 16
class_token = false
pooling = "mean"
group_tokens = 4
group_layers = [1, 2]
[text]
width = 32
layers = 1
heads = 2
context = 12
[objective]
[data]
count = 16
[train]
stage = "pretrain"
batch = 8
max_steps = 4
learning_rate = 2e-3
logging_steps = 1
save_steps = 100
dataloader_prefetch = 0
"""


class Colours:
    """Clips of one colour, noise on it, and a caption that names it."""

    words = (*COLOURS, *SHAPES, "a")

    def __init__(self, count: int = 16, frames: int = 4, nouns: int = 1, short: int = 0, videos: int = 1000) -> None:
        self.count, self.frames, self.nouns, self.short, self.videos = count, frames, nouns, short, videos

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> CaptionedClip:
        number %= self.count
        colour, shape = list(COLOURS)[number % 8], SHAPES[number // 8 % 2]
        random = np.random.default_rng(number)
        frames = random.integers(-10, 11, (self.frames - (number < self.short), 16, 16, 3)) + np.array(COLOURS[colour])
        if shape == "disc":
            frames[:, 4:12, 4:12] = 255 - frames[:, 4:12, 4:12]
        nouns = (f"{colour} {shape}",) if number < self.nouns * self.count else ()
        pixels = np.clip(frames, 0, 255).astype(np.uint8)
        return CaptionedClip(f"c{number}", f"v{number % self.videos}", pixels, f"a {colour} {shape}", nouns)


class Broken(Colours):
    """The second clip cannot be made."""

    def __getitem__(self, number: int) -> CaptionedClip:
        if number % self.count == 1:
            raise SampleError("c1", "its video is damaged")
        return super().__getitem__(number)


def recipe(folder: Path, *changes: str, text: str = RECIPE) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "colours.toml"
    file.write_text(text)
    return load(str(file), changes)


def train(folder: Path, *changes: str, source: Any = None, callbacks: Any = (), text: str = RECIPE) -> Any:
    """A run in FOLDER/run on colours; `source` is another source of clips."""
    from whenwhere.training import run

    before = stage.open_clips
    stage.open_clips = lambda *args, **more: Colours() if source is None else source  # type: ignore[assignment]
    try:
        return run.train(recipe(folder, *changes, text=text), folder / "run", callbacks=callbacks, device="cpu")
    finally:
        stage.open_clips = before


def main(out: str, *changes: str) -> None:
    import torch

    torch.set_num_threads(1)
    # captions of the second half have no nouns: in some updates one process has none at all
    train(Path(out), *changes, source=Colours(nouns=0.5))  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])

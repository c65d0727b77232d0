"""Pictures of what an encoder sees: `draw_maps` lays attention, groups and the heat of texts over frames.

    maps = draw_maps(whenwhere.open_encoder("encoders/mine"), "street.mp4", ["red car"], span=(3, 8))
    maps.save("maps.png")

Each column is a frame. The first row shows the frames. Then each text has a row with the patches that look most like it
and the box that grounding would draw. The last rows show what the clip's embedding attends to, and the groups, each in
a colour of its own, where the encoder has them.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import QueryError
from whenwhere.grounders.encoder.grounder import GENERIC, read_squeezed
from whenwhere.grounders.encoder.heat import heat_box, heat_maps
from whenwhere.models.encoders.encoder import ClipEmbeddings, Encoder, usual_frames
from whenwhere.spans import Span
from whenwhere.video import probe
from whenwhere.video.draw import draw_box

if TYPE_CHECKING:
    from PIL.Image import Image

#: Width in pixels of a frame in the picture, and height of a line of text.
_WIDTH, _LINE = 192, 20


def draw_maps(
    encoder: Encoder,
    video: str | os.PathLike[str],
    texts: Sequence[str] = (),
    span: tuple[float, float] | None = None,
) -> "Image":
    """Draw what an encoder sees in a part of a video.

    Args:
        encoder: The encoder.
        video: Path of the video.
        texts: Texts whose heat is drawn, a row for each.
        span: First and last second of the part. None is the whole video.

    Returns:
        A picture of RGB pixels.

    Raises:
        MediaError: The video cannot be read.
        QueryError: The span lies outside the video, or is empty.
    """
    from PIL import Image

    info = probe(os.fsdecode(video))
    part = Span(0.0, info.duration) if span is None else Span(*span)
    if part.start >= info.duration or part.end <= 0:
        raise QueryError(f"the span {part.start:g}-{part.end:g} s lies outside the video of {info.duration:.3f} s")
    count = usual_frames(encoder)
    start, end = max(part.start, 0.0), min(part.end, info.duration)
    times = start + (end - start) * (np.arange(count) + 0.5) / count
    images = read_squeezed(info, times, encoder.image_size)
    clip = images[None] if encoder.frames > 1 else images[:, None]
    found = encoder.embed_clips(clip)
    height = max(round(_WIDTH * info.height / info.width), 1)
    frames = [np.asarray(Image.fromarray(image).resize((_WIDTH, height), Image.Resampling.BICUBIC)) for image in images]
    rows = [_row(frames, [f"{t:.1f} s" for t in times])]
    generic, embedded = encoder.embed_texts(GENERIC), encoder.embed_texts(list(texts))
    for text, query in zip(texts, embedded, strict=True):
        heat = heat_maps(found, query, generic)
        if heat is not None:
            rows.append(_row(_warmed(frames, _of_frames(heat, count), boxes=True), [text]))
    attend = getattr(encoder, "attention", None)
    attention = None if attend is None else attend(clip)
    if attention is not None:
        rows.append(_row(_warmed(frames, _of_frames(attention, count)), ["attention"]))
    if found.assignments is not None:
        rows.append(_row(_coloured(frames, found, count), ["groups"]))
    return Image.fromarray(np.concatenate(rows))


def _of_frames(maps: NDArray[np.floating], count: int) -> NDArray[np.float64]:
    """Maps of clips' time steps, (B, T', h, w), as one for each frame, (count, h, w)."""
    steps = maps.reshape(-1, *maps.shape[2:]).astype(float)
    return steps[np.arange(count) * len(steps) // count]


def _warmed(frames: list[NDArray[np.uint8]], heat: NDArray[np.float64], boxes: bool = False) -> list[NDArray[np.uint8]]:
    """Frames in grey with their heat over them, from dark to red to yellow; the scale is that of the whole row."""
    from PIL import Image

    low, high = float(heat.min()), float(heat.max())
    share = (heat - low) / (high - low) if high > low else np.zeros_like(heat)
    made = []
    for frame, cells, raw in zip(frames, share, heat, strict=True):
        size = (frame.shape[1], frame.shape[0])
        warm = np.asarray(Image.fromarray(cells.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))[..., None]
        colour = np.concatenate([255 * np.ones_like(warm), 510 * warm - 255, np.zeros_like(warm)], -1).clip(0, 255)
        grey = np.repeat(frame.mean(-1, keepdims=True) * 0.6, 3, -1)
        picture = (grey * (1 - 0.75 * warm) + colour * 0.75 * warm).clip(0, 255).astype(np.uint8)
        if boxes and (box := heat_box(raw, *size)) is not None:
            draw_box(picture, np.array(box), (255, 255, 255))
        made.append(picture)
    return made


def _coloured(frames: list[NDArray[np.uint8]], found: ClipEmbeddings, count: int) -> list[NDArray[np.uint8]]:
    """Frames in grey, each patch in the colour of its group."""
    from PIL import Image

    assert found.assignments is not None
    groups = found.assignments.shape[1]
    # neighbouring numbers get colours that are far apart
    hues = (np.arange(groups) * 0.618) % 1
    palette = (127 + 127 * np.cos(2 * np.pi * (hues[:, None] + np.array([0, 1 / 3, 2 / 3])))).astype(np.uint8)
    best = found.assignments.argmax(1)
    cells = best.reshape(-1, *best.shape[2:])[np.arange(count) * (best.shape[0] * best.shape[1]) // count]
    made = []
    for frame, numbers in zip(frames, cells, strict=True):
        size = (frame.shape[1], frame.shape[0])
        colour = np.asarray(Image.fromarray(palette[numbers]).resize(size, Image.Resampling.NEAREST))
        made.append((0.5 * frame.mean(-1, keepdims=True) + 0.5 * colour).astype(np.uint8))
    return made


def _row(frames: list[NDArray[np.uint8]], labels: list[str]) -> NDArray[np.uint8]:
    """Frames beside each other under a line of text: one label for each frame, or one for the row."""
    from PIL import Image, ImageDraw

    line = Image.new("RGB", (len(frames) * _WIDTH, _LINE), (255, 255, 255))
    pen = ImageDraw.Draw(line)
    for k, label in enumerate(labels):
        pen.text((k * _WIDTH + 4, 4), label, fill=(0, 0, 0))
    return np.concatenate([np.asarray(line), np.concatenate(frames, 1)])

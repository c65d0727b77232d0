"""An answer as a small piece of HTML for a notebook: the spans on a bar, and a few frames with the box drawn.

The HTML is self-contained (pictures are inline) and has no scripts, so that it survives in a stored notebook and in
viewers that run nothing. The page with playback is `whenwhere.export.page`.
"""

import base64
import html
import io
from typing import TYPE_CHECKING

import numpy as np

from whenwhere.records import Grounding

if TYPE_CHECKING:
    from whenwhere.video import VideoInfo

#: The largest number of frames, and their width in pixels.
FRAMES, WIDTH = 4, 200


def notebook_html(record: Grounding, info: "VideoInfo") -> str:
    """The answer as one `<div>`.

    Args:
        record: The answer.
        info: The video that it is about.

    Returns:
        HTML in which everything that came from outside is escaped.
    """
    said = ", ".join(f"{s.start:.1f}–{s.end:.1f} s" for s in record.spans) or record.status
    if record.error is not None:
        said = f"failed: {record.error.message}"
    sure = "" if record.confidence is None else f" · confidence {record.confidence:.2f}"
    bars = "".join(
        f'<i style="position:absolute;top:0;bottom:0;left:{100 * s.start / info.duration:.2f}%;'
        f'width:{max(0.4, 100 * (s.end - s.start) / info.duration):.2f}%;background:#e4572e"></i>'
        for s in record.spans
    )
    warnings = "".join(f'<div style="color:#a60">{html.escape(w)}</div>' for w in record.warnings)
    return (
        '<div style="font-family:sans-serif;max-width:860px">'
        f"<b>{html.escape(record.query)}</b><div>{html.escape(said + sure)}</div>"
        '<div style="position:relative;height:10px;margin:6px 0;background:#8884;border-radius:3px" '
        f'title="0–{info.duration:.1f} s">{bars}</div>{_pictures(record, info)}{warnings}</div>'
    )


def _pictures(record: Grounding, info: "VideoInfo") -> str:
    """Frames spread over the boxes of the first tube, each with its box drawn."""
    from PIL import Image, ImageDraw

    from whenwhere.errors import MediaError
    from whenwhere.video import read_frames

    tube = record.tube()
    if tube is None or not len(tube):
        return ""
    chosen = np.unique(np.linspace(0, len(tube) - 1, min(FRAMES, len(tube))).round().astype(int))
    # Half a millisecond later, because the record's times are rounded and the frame must not be the one before.
    try:
        frames = read_frames(info, tube.times[chosen] + 0.5e-3, width=min(WIDTH, info.width))
    except MediaError:
        return "<div>(the video is no longer there)</div>"
    scale = frames.images.shape[2] / info.width
    out = []
    for i, image in zip(chosen, frames.images, strict=True):
        picture = Image.fromarray(image)
        ImageDraw.Draw(picture).rectangle([float(x) for x in tube.boxes[i] * scale], outline=(228, 87, 46), width=2)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=80)
        data = base64.b64encode(buffer.getvalue()).decode()
        out.append(
            '<figure style="display:inline-block;margin:0 6px 0 0">'
            f'<img alt="the box at {tube.times[i]:.1f} s" src="data:image/jpeg;base64,{data}">'
            f'<figcaption style="font-size:smaller">{tube.times[i]:.1f} s</figcaption></figure>'
        )
    return "".join(out)

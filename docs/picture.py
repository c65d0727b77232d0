"""Draws the picture of an answer that the README shows.

    python docs/picture.py cockatoo.mp4 "the parrot"

The clip is `images/cockatoo.mp4` of https://github.com/imageio/imageio-binaries (CC0). Four frames of it are drawn side
by side with the boxes of the answer, above the clip's time and the answered part of it.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import whenwhere
from whenwhere.video import read_frames
from whenwhere.video.draw import COLOURS, draw_box

WIDTH, FRAMES, BAR = 300, 4, 26


def main(clip: str, sentence: str) -> None:
    """Asks the clip and writes docs/answer.jpg."""
    with whenwhere.open(clip, model="objects") as video:
        answer = video.ground(sentence)
        info = video.info
        shown = np.linspace(0, info.duration, 2 * FRAMES + 1)[1::2]
        pictures = []
        for t, image in zip(shown, read_frames(info, shown, WIDTH).images, strict=True):
            frame = np.array(image)
            box = answer.tube.at(float(t)) if answer.tube is not None else None
            if box is not None and any(s.start <= t < s.end for s in answer.spans):
                draw_box(frame, np.array(tuple(box)) * WIDTH / info.width, COLOURS[1], sentence)
            pictures.append(Image.fromarray(frame))
    height = pictures[0].height
    page = Image.new("RGB", (WIDTH * FRAMES, height + BAR), "white")
    for k, picture in enumerate(pictures):
        page.paste(picture, (k * WIDTH, 0))
    draw = ImageDraw.Draw(page)
    scale = page.width / info.duration
    draw.rectangle((0, height + 4, page.width, height + 9), fill=(225, 225, 225))
    for span in answer.spans:
        draw.rectangle((span.start * scale, height + 4, span.end * scale, height + 9), fill=COLOURS[1])
    text = f"{answer.status}, confidence {answer.confidence:.2f}"
    text += "".join(f", {s.start:.1f} to {s.end:.1f} s" for s in answer.spans)
    draw.text((4, height + 11), f'"{sentence}": {text}', fill="black", font=ImageFont.load_default(13))
    page.save(Path(__file__).with_name("answer.jpg"), quality=82)


if __name__ == "__main__":
    main(*sys.argv[1:])

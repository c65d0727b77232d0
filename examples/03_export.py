"""Take an answer away: subtitles, boxes for annotation tools, a video with the box drawn, a page to look at.

Run: python examples/03_export.py
"""

from pathlib import Path

import whenwhere
from whenwhere.stage import demo_scene

scene = demo_scene("demo.mp4")
out = Path("answer")
with whenwhere.open("demo.mp4") as video:
    answer = video.ground(scene.sentences[0].text)
    for ending in ("json", "csv", "srt", "vtt", "mot.txt", "coco.json", "cvat.xml", "mp4", "clip.mp4", "html"):
        for file in answer.save(out / f"red-car.{ending}"):
            print(f"{file.stat().st_size:8d} bytes  {file}")

# A stored answer is read back without the video.
record = whenwhere.Grounding.from_json((out / "red-car.json").read_text())
print(record.query, record.span_set)

"""Ask a video one question: when, and where.

Run: python examples/01_ask.py [VIDEO "SENTENCE"]; without a video it renders one.
"""

import sys

import whenwhere
from whenwhere.stage import demo_scene

if len(sys.argv) == 3:
    video, sentence = sys.argv[1:]
else:
    video, sentence = "demo.mp4", "the red car drives from left to right"
    demo_scene(video)

answer = whenwhere.open(video).ground(sentence)
print(answer)
for span in answer.spans:
    middle = (span.start + span.end) / 2
    print(f"{span.start:.2f} to {span.end:.2f} s; at {middle:.2f} s it is at {answer.tube and answer.tube.at(middle)}")
if answer.status == "unsure":
    print("It does not know; it saw:", *answer.record.candidates or [], sep="\n  ")

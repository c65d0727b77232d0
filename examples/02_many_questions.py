"""Many questions about one video: it is looked at once, every further question takes milliseconds.

Run: python examples/02_many_questions.py
"""

import whenwhere
from whenwhere.stage import demo_scene

scene = demo_scene("demo.mp4")
with whenwhere.open("demo.mp4") as video:
    for answer in video.ground_many([q.text for q in scene.sentences] + ["a dog runs", "qwertyuiop"]):
        print(f"{answer.record.cost.seconds:6.3f} s  {answer}")

    # The scene knows the truth, and the overlap functions are those that benchmarks use.
    for query in scene.sentences:
        answer = video.ground(query.text)
        assert answer.tube is not None
        t, v = whenwhere.t_iou(answer.spans, query.spans), whenwhere.v_iou(answer.tube, query.tube)
        print(f"t_IoU {t:.2f}, v_IoU {v:.2f}  {query.text}")

"""From clips to a table without the command line: stage clips, train, answer, score.

Run: python examples/04_workbench.py; it needs pip install 'whenwhere[train]'. Twenty updates teach a model nothing;
docs/training.md shows what a real run learns.
"""

import whenwhere
from whenwhere.stage.shapes import ShapesWorld, write_shapes

write_shapes("clips", 1, world=ShapesWorld(side=64, fps=4, seconds=(4, 4), domain="still"))
manifest = "clips/manifest.jsonl"
data = f"{{kind='manifest', annotations='{manifest}', count=1}}"
evaluator = f"{{name='held-out', every=10, metric='mIoU', keep_best=true, max_tokens=16, data={data}}}"
small = ["model.sizes.hidden=32", "model.sizes.layers=1", "model.sizes.vision_hidden=32", "samples_per_step=2"]

run = whenwhere.train("tiny-sft", "run", [*small, "max_steps=20", f"evaluators=[{evaluator}]"])
answers = whenwhere.batch(manifest, "answers", model=str(run.best))
print(answers)
print(whenwhere.evaluate("manifest-tubes", manifest, "answers"))

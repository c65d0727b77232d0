"""GLM-4.1V, GLM-4.5V and, with finer stamps, GLM-4.6V.

The processor writes a time *after* every two frames, that of the first of them: truncated to whole seconds (`{int(t)}`)
for 4.1V and 4.5V, with one decimal for 4.6V. `repeat` is needed for a stamp to be a frame's own time. The model can
write ends finer than a second, but 4.1V and 4.5V never saw times that fine.

The family encloses a box in `<|begin_of_box|>`; these marks are read but not asked for. It thinks unless told not to.
"""

from dataclasses import replace

from whenwhere.answers.dialects.dialect import Dialect
from whenwhere.answers.dialects.words import IN_THOUSANDTHS, WHEN, WHERE, WHICH

GLM_4V = Dialect(
    name="glm-4.5v",
    model_types=("glm4v", "glm4v_moe"),
    names=("glm-4.1v", "glm-4.5v", "glm4.1v", "glm4.5v"),
    time="stamps",
    merge=2,
    frames="repeat",
    resolution=1.0,
    coordinates="thousand",
    points=False,
    spans_form="spans",
    boxes_form="qwen3-vl",
    when=WHEN,
    where=WHERE + IN_THOUSANDTHS,
    which=WHICH,
    source=(
        "stamps: transformers 5.23 models/glm4v/processing_glm4v.py; thousandths: zai-org/GLM-V README, Grounding; "
        "`bbox_2d`: zai-org/GLM-skills glmv-grounding; words about time and the form with times: ours"
    ),
    stamp=r"{image}(?:<\|end_of_image\|>)?(\d+)",
)

GLM_4_6V = replace(
    GLM_4V,
    name="glm-4.6v",
    model_types=("glm46v",),
    names=("glm-4.6v", "glm4.6v"),
    resolution=0.1,
    stamp=r"{image}(?:<\|end_of_image\|>)?(\d+\.\d) seconds",
    source=GLM_4V.source.replace("models/glm4v/processing_glm4v.py", "models/glm46v/processing_glm46v.py"),
)

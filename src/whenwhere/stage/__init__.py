"""The stage: procedural clips with exact truth, and sentences about them whose referent is unique.

`render` makes one clip, `write_stage` a folder of them with `truth.jsonl` and `manifest.jsonl`, `demo_scene` the clip
of `whenwhere demo`. What is true of a clip is defined in `truth`, what a sentence means in `grammar`, what a box is in
`compose`. Every factor has its own seed stream (`streams`). `shapes` is another, far simpler world, fast enough
to train on.
"""

from whenwhere.stage.build import build_world as build_world
from whenwhere.stage.demo import demo_scene as demo_scene
from whenwhere.stage.domains import DEV_DOMAINS as DEV_DOMAINS
from whenwhere.stage.files import second_level as second_level
from whenwhere.stage.files import truth_record as truth_record
from whenwhere.stage.files import write_stage as write_stage
from whenwhere.stage.scene import Query as Query
from whenwhere.stage.scene import Scene as Scene
from whenwhere.stage.scene import Stage as Stage
from whenwhere.stage.scene import render as render
from whenwhere.stage.truth import Event as Event

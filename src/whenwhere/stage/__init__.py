"""The stage: procedural clips with exact truth, and sentences whose referent is unique.

`render_clip` makes one clip, `write_stage` fills a folder with clips, their truth and a manifest, and `demo_scene`
makes the clip of `whenwhere demo`. `truth` defines what is true of a clip, `grammar` what a sentence means, and
`compose` where the box of an actor is. Every factor draws from its own random stream (`streams`). `shapes` is a second,
far simpler world that is fast enough to train on.
"""

from whenwhere.stage.build import build_world as build_world
from whenwhere.stage.demo import demo_scene as demo_scene
from whenwhere.stage.domains import DEV_DOMAINS as DEV_DOMAINS
from whenwhere.stage.files import write_stage as write_stage
from whenwhere.stage.scene import Query as Query
from whenwhere.stage.scene import Scene as Scene
from whenwhere.stage.scene import Stage as Stage
from whenwhere.stage.scene import render_clip as render_clip
from whenwhere.stage.truth import Event as Event
from whenwhere.stage.truth_records import second_level_tube as second_level_tube

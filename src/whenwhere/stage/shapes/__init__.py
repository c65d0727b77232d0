"""A world of shapes: small procedural clips, made fast, for training from nothing.

`make(World(...), seed)` gives a clip with sentences, their exact spans and per-frame boxes.
"""

from whenwhere.stage.shapes.clip import Clip as Clip
from whenwhere.stage.shapes.clip import Query as Query
from whenwhere.stage.shapes.clip import make as make
from whenwhere.stage.shapes.files import second_level as second_level
from whenwhere.stage.shapes.files import write_shapes as write_shapes
from whenwhere.stage.shapes.language import Action as Action
from whenwhere.stage.shapes.language import Caption as Caption
from whenwhere.stage.shapes.language import Choice as Choice
from whenwhere.stage.shapes.noise import Noise as Noise
from whenwhere.stage.shapes.words import WORDS as WORDS
from whenwhere.stage.shapes.world import DOMAINS as DOMAINS
from whenwhere.stage.shapes.world import SPLITS as SPLITS
from whenwhere.stage.shapes.world import World as World

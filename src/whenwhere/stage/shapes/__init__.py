"""A world of shapes: small procedural clips, made fast, for training from scratch.

`make_clip(ShapesWorld(...), seed)` gives a clip with sentences, their exact spans and per-frame boxes.
`make_captioned(CORPORA["pairs"], seed)` gives a captioned clip for the pre-training of video-text encoders.
"""

from whenwhere.stage.shapes.captioned import CaptionedShapes as CaptionedShapes
from whenwhere.stage.shapes.captioned import make_captioned as make_captioned
from whenwhere.stage.shapes.clip import ShapesClip as ShapesClip
from whenwhere.stage.shapes.clip import make_clip as make_clip
from whenwhere.stage.shapes.corpus import CORPORA as CORPORA
from whenwhere.stage.shapes.corpus import ShapesCorpus as ShapesCorpus
from whenwhere.stage.shapes.corpus import shapes_corpus as shapes_corpus
from whenwhere.stage.shapes.files import write_shapes as write_shapes
from whenwhere.stage.shapes.language import Action as Action
from whenwhere.stage.shapes.language import Caption as Caption
from whenwhere.stage.shapes.language import ShapesChoice as ShapesChoice
from whenwhere.stage.shapes.noise import Noise as Noise
from whenwhere.stage.shapes.open_questions import OpenQuestion as OpenQuestion
from whenwhere.stage.shapes.open_questions import answer_vocabulary as answer_vocabulary
from whenwhere.stage.shapes.open_questions import open_questions as open_questions
from whenwhere.stage.shapes.pools import SHAPES_TEMPLATES as SHAPES_TEMPLATES
from whenwhere.stage.shapes.pools import HardPair as HardPair
from whenwhere.stage.shapes.pools import RecognitionClip as RecognitionClip
from whenwhere.stage.shapes.pools import hard_pool as hard_pool
from whenwhere.stage.shapes.pools import recognition_classes as recognition_classes
from whenwhere.stage.shapes.pools import recognition_pool as recognition_pool
from whenwhere.stage.shapes.pools import unique_pool as unique_pool
from whenwhere.stage.shapes.query import ShapesQuery as ShapesQuery
from whenwhere.stage.shapes.scales import ScaleSettings as ScaleSettings
from whenwhere.stage.shapes.scales import scale_caption as scale_caption
from whenwhere.stage.shapes.segments import actions_of as actions_of
from whenwhere.stage.shapes.segments import boundaries_of as boundaries_of
from whenwhere.stage.shapes.segments import frame_labels as frame_labels
from whenwhere.stage.shapes.words import CORPUS_WORDS as CORPUS_WORDS
from whenwhere.stage.shapes.words import SHAPES_WORDS as SHAPES_WORDS
from whenwhere.stage.shapes.world import SHAPES_DOMAINS as SHAPES_DOMAINS
from whenwhere.stage.shapes.world import SHAPES_SPLITS as SHAPES_SPLITS
from whenwhere.stage.shapes.world import ShapesWorld as ShapesWorld

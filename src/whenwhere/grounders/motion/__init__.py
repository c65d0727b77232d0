"""The built-in grounder for fixed cameras; it needs no weights.

Background subtraction finds blobs, blobs become tracks, tracks get attributes; a sentence is read with a lexicon, the
candidates are ranked, and a calibrated confidence decides whether an answer is given.
"""

from whenwhere.grounders.motion.grounder import MotionGrounder
from whenwhere.grounders.motion.query_reading import QueryReading
from whenwhere.grounders.motion.reading import read_query

__all__ = ["MotionGrounder", "QueryReading", "read_query"]

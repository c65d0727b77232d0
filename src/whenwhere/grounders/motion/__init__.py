"""The built-in grounder for fixed cameras: background, blobs, tracks, attributes, a reading, a choice, a doubt."""

from whenwhere.grounders.motion.grounder import MotionGrounder
from whenwhere.grounders.motion.reading import Reading, read

__all__ = ["MotionGrounder", "Reading", "read"]

"""Zero-shot grounding with a video-text encoder: `grounder.EncoderGrounder`, and pictures of what it sees."""

from whenwhere.grounders.encoder.grounder import EncoderGrounder
from whenwhere.grounders.encoder.pictures import draw_maps

__all__ = ["EncoderGrounder", "draw_maps"]

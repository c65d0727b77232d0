"""Grounders: whatever turns a video and a sentence into spans and boxes, behind one small protocol."""

from whenwhere.grounders.grounder import Grounder, GroundingRequest, GroundingResult

__all__ = ["Grounder", "GroundingRequest", "GroundingResult"]

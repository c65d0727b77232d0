"""Grounders: whatever turns (video, sentence) into spans and boxes, behind one small protocol."""

from whenwhere.grounders.grounder import Found, Grounder

__all__ = ["Found", "Grounder"]

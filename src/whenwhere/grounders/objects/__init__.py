"""The offline grounder for real things: a detector's classes, tracks on still and moving cameras, and what they do."""

from whenwhere.grounders.objects.grounder import ObjectGrounder

__all__ = ["ObjectGrounder"]

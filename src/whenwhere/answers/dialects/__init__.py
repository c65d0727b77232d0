"""How each family of models is asked: one file per family, listed here."""

from whenwhere.answers.dialects.dialect import Dialect, Frames

__all__ = ["Dialect", "Frames"]

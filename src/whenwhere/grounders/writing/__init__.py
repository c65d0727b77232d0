"""The grounder for what is written in the picture: signs, captions, titles and whatever else can be read."""

from whenwhere.grounders.writing.grounder import WritingGrounder
from whenwhere.grounders.writing.query import TextQuery, read_text_query

__all__ = ["TextQuery", "WritingGrounder", "read_text_query"]

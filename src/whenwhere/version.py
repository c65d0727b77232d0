"""The version, in a file of its own so that any room can name it without importing the whole package."""

__version__ = "0.1.0"

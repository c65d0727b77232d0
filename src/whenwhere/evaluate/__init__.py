"""Scoring: every protocol by its name, equal to the original's digits, with the constant answers beside it."""

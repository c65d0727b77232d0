"""Supervised fine-tuning: the objective, and the output heads that it can train."""

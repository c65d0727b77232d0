"""Curation: filters, selection by difficulty, and what else decides which items a run learns from."""

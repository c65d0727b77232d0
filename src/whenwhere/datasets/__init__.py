"""Benchmarks as they were released, read into one form: `Item`."""

"""Detector-assisted grounding, the baseline that second-level boxes are measured against; see `grounder`."""

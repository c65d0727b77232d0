"""Detector-assisted grounding: a detector finds objects, a vision-language model chooses one; see `grounder`."""

"""Models: back ends that answer questions about frames, detectors and trackers, and the package's own small policy.

Torch and transformers are imported only when a checkpoint is loaded.
"""

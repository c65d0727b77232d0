"""Reinforcement learning with a verifier: completions, advantages, losses, the objective."""

"""What a run learns from: samples, sources of them, their order, and how hard they are for a policy."""

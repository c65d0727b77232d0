"""Video-text encoders: those trained here, and checkpoints of others behind the same protocol, `encoder.Encoder`."""

"""Zero-shot grounding with a video-text encoder: `grounder.EncoderGrounder`."""

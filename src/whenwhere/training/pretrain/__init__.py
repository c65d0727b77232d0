"""Video-language pre-training: captioned clips, objectives, and the stage `pretrain`."""

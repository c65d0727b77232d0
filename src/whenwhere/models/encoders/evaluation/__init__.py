"""What a video-text encoder is good for: one function for each measure, from an `Encoder` and examples to numbers.

`retrieval`, `recognition` (zero-shot, linear probe), `questions`, `localization` (actions, boundaries) and `pointing`
ask any encoder for embeddings and score them with `whenwhere.evaluate`. Only `finetune` changes weights, those of a
copy. `examples` defines the examples of each measure, `shapes` makes examples with exact truth, and `benchmark` answers
the released files of a benchmark.
"""

"""Captioned clips of the world of shapes, rendered when they are asked for, or rendered once and read from disk."""

from collections import OrderedDict
from dataclasses import asdict

import numpy as np

from whenwhere.array_cache import ArrayCache, ArrayEntry
from whenwhere.stage.shapes.captioned import CaptionedShapes, finish, make_captioned, plan_captioned
from whenwhere.stage.shapes.corpus import ShapesCorpus
from whenwhere.stage.shapes.paint import Painted
from whenwhere.stage.shapes.scales import ScaleSettings, caption_nouns, scale_caption
from whenwhere.stage.shapes.words import CORPUS_WORDS
from whenwhere.stage.streams import STAGE_VERSION
from whenwhere.training.pretrain.clips import CaptionedClip

#: Number of clips that are rendered and stored together.
BLOCK = 256
#: Largest number of blocks that stay mapped into memory, which is limited because each keeps a file open.
_MAPPED = 200


class ShapesSource:
    """Clips of a corpus of shapes, one for each seed.

    Args:
        corpus: The corpus.
        first_seed: Seed of the first clip; the others follow seed by seed.
        count: Number of clips.
        captions: Scale of the captions, their length and errors. None takes the corpus's own captions, which say what
            the named shapes are and do.
        cache: Where blocks of rendered clips are kept. None renders a clip each time it is asked for.

    Attributes:
        words: Every word that a caption can contain.
        rendered: Number of clips that this object has rendered.
    """

    words = CORPUS_WORDS

    def __init__(
        self,
        corpus: ShapesCorpus,
        first_seed: int = 0,
        count: int = 1_000_000,
        captions: ScaleSettings | None = None,
        cache: ArrayCache | None = None,
    ) -> None:
        self.corpus, self.first_seed, self.count, self.captions, self.cache = corpus, first_seed, count, captions, cache
        self.rendered = 0
        self._blocks: OrderedDict[int, ArrayEntry] = OrderedDict()
        self._said: dict[int, tuple[str, str, tuple[str, ...]]] = {}

    def __len__(self) -> int:
        """Number of clips."""
        return self.count

    def clip(self, index: int) -> CaptionedShapes:
        """A clip with its whole truth and the caption of the corpus.

        Args:
            index: Index of the clip, starting at 0.
        """
        seed = self.first_seed + index
        if self.cache is None:
            self.rendered += 1
            return make_captioned(self.corpus, seed)
        entry, k = self._block(seed // BLOCK), seed % BLOCK
        plan, named = plan_captioned(self.corpus, seed)
        n = len(plan.things)
        painted = Painted(entry.arrays["images"][k], entry.arrays["boxes"][k, :n], entry.arrays["seen"][k, :n])
        # The stored frames of a still are already its middle frame, and `finish` leaves them as they are.
        return finish(self.corpus, f"{self.corpus.split}-{seed:07d}", plan, named, painted)

    def _block(self, number: int) -> ArrayEntry:
        """The rendered clips of `BLOCK` consecutive seeds: read if they are stored, else made and stored."""
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        assert self.cache is not None
        key = self.cache.key("shapes", STAGE_VERSION, asdict(self.corpus), number, BLOCK)
        entry = self.cache.read(key)
        if entry is None:
            clips = [make_captioned(self.corpus, seed) for seed in range(number * BLOCK, (number + 1) * BLOCK)]
            self.rendered += len(clips)
            most, n = self.corpus.objects[1], self.corpus.frames
            boxes, seen = np.full((BLOCK, most, n, 4), np.nan), np.zeros((BLOCK, most, n))
            for k, clip in enumerate(clips):
                boxes[k, : len(clip.boxes)], seen[k, : len(clip.seen)] = clip.boxes, clip.seen
            arrays = {"images": np.stack([clip.images for clip in clips]), "boxes": boxes, "seen": seen}
            self.cache.write(key, arrays)
            entry = self.cache.read(key) or ArrayEntry(arrays, {})
        self._blocks[number] = entry
        if len(self._blocks) > _MAPPED:
            self._blocks.popitem(last=False)
        return entry

    def __getitem__(self, number: int) -> CaptionedClip:
        """A clip with its caption.

        Args:
            number: Index of the clip, plus the number of clips for each epoch before the current one.
        """
        epoch, index = divmod(number, self.count)
        seed = self.first_seed + index
        if index in self._said:  # Captions of stored clips are kept in memory, so that only frames are read.
            name, caption, nouns = self._said[index]
            return CaptionedClip(name, name, self._block(seed // BLOCK).arrays["images"][seed % BLOCK], caption, nouns)
        clip = self.clip(index)
        caption, nouns = clip.caption, clip.nouns
        if self.captions is not None:
            caption = scale_caption(clip, seed, self.captions, epoch)
            nouns = caption_nouns(caption)
        if self.cache is not None and (self.captions is None or self.captions.scale != "random_choice"):
            self._said[index] = clip.id, caption, nouns
        return CaptionedClip(clip.id, clip.id, clip.images, caption, nouns)

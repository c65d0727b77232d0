"""The table [data] of a recipe for pre-training, and the source of captioned clips that it asks for.

`kind = "shapes"` renders clips of a corpus of the procedural world. Any other kind is the name of a set that
`whenwhere.datasets` reads, whose videos are looked for in the folder `videos`. Nouns of captions are extracted when the
source is opened and kept in the cache, never while clips are read.
"""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from whenwhere.array_cache import ArrayCache
from whenwhere.curate.captions import SCALES
from whenwhere.datasets import BENCHMARKS, read_items
from whenwhere.datasets.item import Item
from whenwhere.datasets.nouns import RULES, cached_nouns, open_extractor
from whenwhere.datasets.videos import VideoFolder
from whenwhere.errors import SettingError, did_you_mean
from whenwhere.stage.shapes.corpus import ShapesCorpus, shapes_corpus
from whenwhere.stage.shapes.scales import ScaleSettings
from whenwhere.training.pretrain.clips import CaptionedClip as CaptionedClip
from whenwhere.training.pretrain.clips import ClipSource as ClipSource
from whenwhere.training.pretrain.shapes_source import ShapesSource
from whenwhere.training.pretrain.video_source import Augmentation, VideoClipSource
from whenwhere.training.tables import checked
from whenwhere.video.frame_cache import FrameCache

#: Largest size of a cache of clips, in bytes; what was not used for longest is removed from it.
CACHE_LIMIT = 200 << 30


@dataclass(frozen=True)
class CaptionedSetSettings:
    """One set of captioned clips: a table [[data.mix]], or the table [data] itself.

    Attributes:
        kind: `shapes` (the procedural world), `manifest`, or another of `whenwhere.datasets.BENCHMARKS`.
        corpus: Name of a corpus of shapes (`whenwhere.stage.shapes.CORPORA`).
        world: Factors of that corpus that are changed, each a field of `ShapesCorpus`.
        captions: Which captions the clips have. For shapes, `events` says what the named shapes are and do; `truth`,
            `coarse`, `fine`, `fused`, `concat` and `random_choice` are those of `whenwhere.stage.shapes.scales`. For
            other data, `events` is the sentence of each item; `coarse`, `fine` and `fused` are the captions of a file
            that `whenwhere data caption` wrote. Clips of such a file that lack a kind of caption which others have are
            left out, so that runs with different kinds learn from the same clips.
        caption_words: Number of words of the captions of shapes, except for `events` and `truth`.
        attribute_error: Share of the colours and textures of coarse captions that are wrong.
        tag_error: Share of the shapes and verbs of fine captions that are wrong.
        first_seed: Seed of the first clip of `shapes`.
        count: Number of clips of `shapes`. For other data it is the largest number of clips, and 0 takes all.
        annotations: The released file of a set, or the manifest.
        videos: Folder of the videos. Names are looked up there, then as paths relative to the annotations. If it is
            empty, the folder of the annotations is searched.
        split: Split of the set (`Item.split`) that clips are taken from. Empty takes all.
        crop: Smallest share of a real frame's area that training cuts out at random, the same for all frames of a clip.
            1 keeps whole frames.
        flip: Whether training mirrors half of the real clips, drawn at random, except those whose caption says left or
            right.
        nouns: How noun phrases of real captions are found: `rules`, `none`, or `module:function` of a function from a
            caption to its noun phrases. Those of shapes are known.
        cache: Folder in which finished frames and nouns are kept, so that later epochs and runs do not make them again.
            If it is empty, nothing is kept.
    """

    kind: str = "shapes"
    corpus: str = "pairs"
    world: dict[str, Any] = field(default_factory=dict)
    captions: Literal["events", "truth", "coarse", "fine", "fused", "concat", "random_choice"] = "events"
    caption_words: int = 20
    attribute_error: float = 0.0
    tag_error: float = 0.0
    first_seed: int = 0
    count: int = 0
    annotations: str = ""
    videos: str = ""
    split: str = ""
    crop: float = 1.0
    flip: bool = False
    nouns: str = RULES
    cache: str = ""

    def __post_init__(self) -> None:
        kinds = ("shapes", *BENCHMARKS)
        if self.kind not in kinds:
            raise SettingError(f"there is no data {self.kind!r}{did_you_mean(self.kind, kinds)}")
        if self.kind == "shapes":
            if not self.count:
                raise SettingError("kind = 'shapes' needs count, how many clips there are")
            corpus = self.shapes()
            if self.captions != "events" and (corpus.still or not corpus.acting):
                raise SettingError(
                    f"captions = {self.captions!r} needs a corpus in which something happens: take captions = 'events' "
                    "or another corpus"
                )
            self.scale()
        else:
            if not self.annotations:
                raise SettingError(f"kind = {self.kind!r} needs annotations: give {BENCHMARKS[self.kind].files}")
            if self.captions not in ("events", *SCALES):
                raise SettingError(
                    f"captions = {self.captions!r} are those of shapes: take {', '.join(SCALES)} of a file that "
                    "`whenwhere data caption` wrote, or leave captions out"
                )
            if not 0.05 <= self.crop <= 1:
                raise SettingError(f"crop is a share of a frame's area from 0.05 to 1, not {self.crop:g}")
            if self.nouns != "none":
                open_extractor(self.nouns)

    @property
    def names_of_clips(self) -> tuple[object, ...]:
        """What gives the clips their names: sets for which it is equal name the same clips alike."""
        return ("shapes", self.shapes()) if self.kind == "shapes" else (self.kind, self.annotations)

    @property
    def names_of_videos(self) -> tuple[object, ...]:
        """What gives the videos their names: sets for which it is equal name the same videos alike."""
        folder = self.videos or str(Path(self.annotations).parent)
        return self.names_of_clips if self.kind == "shapes" else ("videos", folder)

    def shapes(self) -> ShapesCorpus:
        """The corpus of shapes with its changed factors.

        Raises:
            SettingError: There is no such corpus or factor, or the factors contradict each other.
        """
        return checked(ShapesCorpus, asdict(shapes_corpus(self.corpus)) | self.world, "world")

    def scale(self) -> ScaleSettings | None:
        """How captions at several scales are written; None for `events`.

        Raises:
            SettingError: The number of words or a share is out of range.
        """
        if self.captions == "events":
            return None
        return ScaleSettings(self.captions, self.caption_words, self.attribute_error, self.tag_error)


@dataclass(frozen=True)
class PretrainDataSettings(CaptionedSetSettings):
    """The table [data] of a recipe for pre-training: which captioned clips the encoders learn from.

    Attributes:
        mix: Sets whose clips are put together, each a table [[data.mix]], in place of the other keys. Each clip occurs
            once in an epoch, so that a set's share is its number of clips.
    """

    mix: tuple[CaptionedSetSettings, ...] = ()

    def __post_init__(self) -> None:
        if not self.mix:
            CaptionedSetSettings.__post_init__(self)
        # the world is let be, because a preset that sets mix cannot take that of its recipe away
        elif given := [
            f.name for f in fields(self) if f.name not in ("mix", "world") and getattr(self, f.name) != f.default
        ]:
            raise SettingError(f"{given[0]} is set beside mix: write it into each table [[data.mix]]")


class JoinedClips:
    """The clips of several sources, one source after the other.

    Clips and videos of different sources often have the same name, such as a number. They get prefixes, because the
    contrastive loss takes clips of one name for the same sample, and clips of one video for related ones.

    Args:
        sources: The sources.
        prefixes: For each source what stands before the names of its clips and of its videos; the same for sources
            that hold the same clips or videos.

    Attributes:
        words: Every word that a caption can contain; empty where those of a source are not a closed list.
    """

    def __init__(self, sources: Sequence[ClipSource], prefixes: Sequence[tuple[str, str]]) -> None:
        self._sources, self._prefixes = sources, prefixes
        self._ends = list(itertools.accumulate(map(len, sources)))
        closed = all(source.words for source in sources)
        self.words = tuple(dict.fromkeys(word for source in sources for word in source.words)) if closed else ()

    def __len__(self) -> int:
        """Number of clips of all sources together."""
        return self._ends[-1]

    def __getitem__(self, number: int) -> CaptionedClip:
        """A clip of the source in whose range the number lies.

        Args:
            number: Index of the clip, plus the number of clips for every epoch before this one.
        """
        epoch, index = divmod(number, len(self))
        k = bisect_right(self._ends, index)
        source, (clips, videos) = self._sources[k], self._prefixes[k]
        clip = source[epoch * len(source) + index - (self._ends[k] - len(source))]
        return replace(clip, id=clips + clip.id, video=videos + clip.video)


def open_clips(
    settings: CaptionedSetSettings, frames: int, side: int, training: bool = True,
    tell: Callable[[str], None] | None = None, folder: Path | None = None,
) -> ClipSource:  # fmt: skip
    """The source of clips that a recipe asks for.

    Args:
        settings: The table [data], or one of its sets.
        frames: Number of frames of a clip.
        side: Width and height of a frame in pixels.
        training: Whether frames of real videos are drawn at random within their parts of the clip; otherwise the middle
            ones are taken.
        tell: Called with a sentence about what was left out.
        folder: Folder that relative paths in the table start from. None is the working folder.

    Raises:
        SettingError: The table asks for something that does not exist, or no clip is left.
        RecordError: Annotations cannot be read.
        OutputError: The cache cannot be written.
    """
    if isinstance(settings, PretrainDataSettings) and settings.mix:
        sources = [_open(one, frames, side, training, tell, folder or Path()) for one in settings.mix]
        clips, videos = ([getattr(one, key) for one in settings.mix] for key in ("names_of_clips", "names_of_videos"))
        return JoinedClips(
            sources, [(f"{clips.index(a)}/", f"{videos.index(b)}/") for a, b in zip(clips, videos, strict=True)]
        )
    return _open(settings, frames, side, training, tell, folder or Path())


def _open(
    settings: CaptionedSetSettings, frames: int, side: int, training: bool, tell: Callable[[str], None] | None,
    base: Path,
) -> ClipSource:  # fmt: skip
    """The source of one set."""
    cache = ArrayCache(base / settings.cache, CACHE_LIMIT) if settings.cache else None
    if settings.kind == "shapes":
        corpus = replace(settings.shapes(), frames=frames, side=side)
        if cache is not None and tell is not None and not cache.folder.is_dir():
            tell(
                f"clips are rendered when they are first asked for, and kept in {cache.folder}: the first updates take "
                "longer"
            )
        return ShapesSource(corpus, settings.first_seed, settings.count, settings.scale(), cache)
    annotations = base / settings.annotations
    items = read_items(BENCHMARKS[settings.kind], annotations)
    if settings.split:
        splits = {item.split for item in items if item.split}
        items = [item for item in items if item.split == settings.split]
        if not items:
            raise SettingError(
                f"{annotations} has no split {settings.split!r}{did_you_mean(settings.split, splits)}: leave split out"
            )
    videos = VideoFolder(base / settings.videos if settings.videos else annotations.parent, annotations)
    if settings.captions != "events":
        items = captioned(items, settings.captions, annotations, tell)
    nouns: dict[str, tuple[str, ...]] = {}
    if settings.nouns != "none":
        file = cache.folder / "nouns.jsonl" if cache is not None else None
        nouns = cached_nouns((item.query.strip() for item in items), settings.nouns, file)
    augmentation = Augmentation(settings.crop, settings.flip) if training else None
    return VideoClipSource(items, videos, frames, side, augmentation, FrameCache(cache), nouns, tell, settings.count)


def captioned(items: Sequence[Item], scale: str, file: Path, tell: Callable[[str], None] | None = None) -> list[Item]:
    """The items of a file of captions with the caption of one scale as their sentence.

    Items that lack a caption of some scale that others have are left out, whichever scale is asked for, so that the
    same clips are learned from at every scale.

    Args:
        items: The items.
        scale: `coarse`, `fine` or `fused`.
        file: The file, for messages.
        tell: Called with a sentence about what was left out.

    Raises:
        SettingError: No item has a caption of this scale, or of all scales.
    """
    there = [key for key in (f"caption_{one}" for one in SCALES) if any(item.extra.get(key) for item in items)]
    if f"caption_{scale}" not in there:
        has = ", ".join(key.removeprefix("caption_") for key in there)
        raise SettingError(
            f"{file} has no {scale} captions: ask for {has}" if has
            else f"{file} has no {scale} captions: make them with `whenwhere data caption`"
        )  # fmt: skip
    kept = [item for item in items if all(item.extra.get(key) for key in there)]
    if tell is not None and len(kept) < len(items):
        tell(f"{len(items) - len(kept)} clips are left out, because they lack a caption of one of the scales of {file}")
    if not kept:
        raise SettingError(f"no clip of {file} has captions of all its scales: caption the clips again")
    return [replace(item, query=item.extra[f"caption_{scale}"]) for item in kept]

"""What a recipe asks for, made: checkpoint, policy, samples, and the curriculum over them."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whenwhere.datasets import BENCHMARKS, read_items
from whenwhere.datasets.item import Item
from whenwhere.datasets.videos import VideoFolder
from whenwhere.errors import ModelError, SettingError
from whenwhere.training.data import difficulty
from whenwhere.training.data.curriculum import Curriculum
from whenwhere.training.data.difficulty import Difficulty, DifficultySampling
from whenwhere.training.data.samples import SampleSource
from whenwhere.training.recipe import Data, Recipe
from whenwhere.training.rl.settings import RLSettings

if TYPE_CHECKING:
    from whenwhere.models.vlm import Checkpoint
    from whenwhere.training.prefix.policy import Policy

#: Words of sentences about what is heard (TimeLens, training/data/grounding.py).
HEARD = frozenset(["hear", "heard", "hears", "hearing", "sound", "sounded", "sounds", "sounding", "audio"])


def checkpoint(recipe: Recipe, folder: Path, device: str | None = None) -> "Checkpoint":
    """The checkpoint that training begins with.

    Args:
        recipe: names it.
        folder: where an untrained one is made (`tiny-new`).
        device: where it runs.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        ModelError: it cannot be had.
        SettingError: sizes that do not fit together.
    """
    from whenwhere.models.vlm import Checkpoint, required

    required("training", "train")
    name = recipe.model.checkpoint
    if name == "tiny":
        from whenwhere.models.shipped import shipped

        name = str(shipped())
    elif name == "tiny-new":
        from whenwhere.models import tiny
        from whenwhere.stage.shapes import SHAPES_WORDS

        sizes: dict[str, Any] = {
            key: getattr(recipe.model.sizes, key) for key in recipe.model.sizes.__dataclass_fields__
        }
        made = folder / "config.json"
        if not made.is_file():
            tiny.build(folder, words=SHAPES_WORDS, **{key: value for key, value in sizes.items() if value is not None})
        name = str(folder)
    elif (Path(name) / "checkpoint" / "config.json").is_file():
        name = str(Path(name) / "checkpoint")
    elif not Path(name).is_dir() and _here(Path(name)):
        raise ModelError(f"there is no checkpoint or run {name}: {Path(name).parent} has no such folder")
    return Checkpoint(name, revision=recipe.model.revision, device=device)


def _here(path: Path) -> bool:
    """Whether a name is that of a folder and no hub id: more than owner and model, or beside other runs."""
    if path.is_absolute() or len(path.parts) != 2 or path.parts[0] in ("..", "~"):
        return len(path.parts) > 1
    return any(path.parent.glob("*/recipe.json"))


def label(recipe: Recipe, made: "Checkpoint") -> str:
    """A name for the policy that is measured: as typed, and the recipe that it was trained by, where that is known."""
    from whenwhere.models.trained import read

    trained = read(made.name)
    known = trained.recipe_hash if trained is not None else None
    return f"{recipe.model.checkpoint} ({known[:8]})" if known else recipe.model.checkpoint


def prompt(recipe: Recipe, made: "Checkpoint") -> str:
    """The question: the recipe's, or the one that the checkpoint's family is asked with.

    Raises:
        SettingError: that one asks for another form.
    """
    if recipe.model.prompt:
        return recipe.model.prompt
    if made.dialect.spans_form != recipe.model.form:
        raise SettingError(
            f"{made.name} is asked for answers in the form {made.dialect.spans_form!r}, not {recipe.model.form!r}: set "
            f"model.form={made.dialect.spans_form}, or say model.prompt"
        )
    return made.dialect.when


def policy(recipe: Recipe, made: "Checkpoint") -> "Policy":
    """What is trained.

    Args:
        recipe: how it is asked.
        made: the checkpoint.

    Raises:
        ModelError: weights that cannot be loaded, a family that training does not know.
        SettingError: a prompt or form that does not fit.
    """
    from whenwhere.training.prefix.policy import Policy

    own = recipe.model
    return Policy(
        made, form=own.form, prompt=prompt(recipe, made), frames=own.frames, long_side=own.long_side,
        rate=recipe.reward.rate,
    )  # fmt: skip


def source(recipe: Recipe, tell: Callable[[str], None] | None = None) -> SampleSource:
    """Samples.

    Args:
        recipe: says which.
        tell: told what was left out, and why.

    Raises:
        RecordError: annotations that cannot be read.
        SettingError: nothing is left.
    """
    from whenwhere.training.data.sources import GrowingSource, ItemSource, StageSource

    data, model = recipe.data, recipe.model
    if data.kind == "shapes":
        chapters = [(chapter.until, chapter.world) for chapter in data.grow]
        kind = partial(GrowingSource, chapters=chapters) if chapters else StageSource
        return kind(data.world, first_seed=data.first_seed, count=data.count)
    kept = items(data, tell)
    # a manifest's paths count from its folder
    own = data.kind.startswith("manifest") and not data.videos
    folder = Path(data.annotations).parent if own else Path(".")
    return ItemSource(
        kept, model.sample_fps, model.long_side, folder,
        max_frames=model.max_frames, total_pixels=model.total_pixels, min_pixels=model.min_pixels,
    )  # fmt: skip


def items(data: Data, tell: Callable[[str], None] | None = None) -> list[Item]:
    """The sentences of a released set or manifest that the recipe keeps, with paths of their videos.

    Args:
        data: the recipe's table.
        tell: told how many were left out for which reason.

    Raises:
        RecordError: annotations that cannot be read.
        SettingError: no annotations were named, or nothing is left.
    """
    if not data.annotations:
        wanted = BENCHMARKS[data.kind].files
        raise SettingError(f"the recipe needs annotations: add annotations=FILE ({wanted}) and videos=DIR")
    path = Path(data.annotations)
    if not path.exists():
        raise SettingError(f"there are no annotations at {path}: add annotations=FILE")
    there = None
    if data.videos:
        if not Path(data.videos).is_dir():
            raise SettingError(f"there is no folder of videos at {data.videos}: add videos=DIR")
        there = VideoFolder(Path(data.videos))
    found = read_items(BENCHMARKS[data.kind], path)
    kept: list[Item] = []
    left: Counter[str] = Counter()
    videos: set[str] = set()
    for item in found:
        reason = _unfit(item, data)
        if reason is None and data.one_per_video and item.video in videos:
            reason = "a further sentence of the same video"
        if reason is not None:
            left[reason] += 1
            continue
        videos.add(item.video)
        if there is not None:
            # a video that is not there stays: it is skipped, counted and named when its turn comes
            item.video = str(there.find(item.video) or Path(data.videos) / item.video)
        kept.append(item)
    if data.count and len(kept) > data.count:
        left["more than count"] = len(kept) - data.count
        kept = kept[: data.count]
    if tell is not None and left:
        said = ", ".join(f"{count} × {reason}" for reason, count in left.most_common())
        tell(f"{len(kept)} of {len(found)} sentences are kept; left out: {said}")
    if not kept:
        raise SettingError(f"no sentence of {path} is left to learn from: look at the filters in [data]")
    return kept


def _unfit(item: Item, data: Data) -> str | None:
    """Why an item is left out; None = it is not."""
    if item.status != "valid":
        return "invalid in the release"
    duration = item.duration
    if duration is not None and duration < data.min_duration:
        return "video too short"
    if duration is not None and data.max_duration is not None and duration > data.max_duration:
        return "video too long"
    words = item.query.lower().replace("?", " ").split()
    if data.max_words is not None and len(words) > data.max_words:
        return "too many words"
    if not data.audible and HEARD.intersection(words):
        return "about what is heard"
    if len(item.spans):
        if data.inside and (item.spans.min() < 0 or (duration is not None and item.spans.max() > duration)):
            return "span outside the video"
        if data.max_fraction < 1 and duration and item.span_set.duration > data.max_fraction * duration:
            return "event too long a part of the video"
    return None


def course(
    recipe: Recipe,
    made: SampleSource,
    asked: "Policy",
    folder: Path,
    *,
    skip: Callable[[str, str], None],
    tell: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> SampleSource:
    """The samples in the order of the recipe's curriculum; as they are where it has none.

    Args:
        recipe: says which curriculum.
        made: the samples.
        asked: whose difficulties are measured, where they are.
        folder: of the run: what is measured is kept in its `difficulty/`.
        skip: told of samples that cannot be measured.
        tell: told how many samples are measured, of how many.
        say: told of samples without a difficulty, which are left out.

    Raises:
        RecordError: a file of difficulties that cannot be used.
        SettingError: nothing is left, or difficulties of other data.
    """
    from whenwhere.training.data.sources import ItemSource

    own = recipe.curriculum
    if not own.needed:
        return made

    def measure(epoch: int) -> Mapping[str, Difficulty]:
        return difficulty.measure(
            asked, made, recipe.verifier, ask(recipe), folder / "difficulty" / f"{recipe.lasting[:8]}-{epoch}.jsonl",
            name=label(recipe, asked.checkpoint) + (f", epoch {epoch}" if epoch else ""),
            recipe=recipe.lasting, skip=skip, tell=tell,
        )  # fmt: skip

    if own.difficulty == "data":
        if not isinstance(made, ItemSource):
            raise SettingError("difficulty = 'data' is for manifests and released sets, whose items carry it")
        first = _numbered(difficulty.of_items(item for items in made.items for item in items), made)
    elif own.difficulty:
        first = _numbered(difficulty.read(Path(own.difficulty)), made)
        known = len({one.number for one in first.values()})
        if say is not None and known < len(made):
            say(f"{own.difficulty} knows the difficulty of {known} of {len(made)} samples: the others are left out")
    else:
        first = dict(measure(0))
    return Curriculum(made, own, first, recipe.train.seed, measure)


def _numbered(found: Mapping[str, Difficulty], made: SampleSource) -> dict[str, Difficulty]:
    """Difficulties of the sentences that these data have, each with its sample's number in them."""
    from whenwhere.training.data.sources import ItemSource

    if not isinstance(made, ItemSource):
        return {name: one for name, one in found.items() if one.number is not None and one.number < len(made)}
    numbers = {item.id: n for n, items in enumerate(made.items) for item in items}
    kept = {name: replace(one, number=numbers[name]) for name, one in found.items() if name in numbers}
    if not kept:
        raise SettingError("no sentence of these data has a difficulty in that file: it was measured on others")
    return kept


def ask(recipe: Recipe) -> DifficultySampling:
    """How the recipe's difficulties are measured."""
    train, draws = recipe.train, recipe.curriculum.draws
    if isinstance(train, RLSettings):
        return DifficultySampling(
            draws, train.temperature or 1.0, train.max_completion_length, train.max_prompt_length, train.seed
        )  # fmt: skip
    return DifficultySampling(
        draws, max_tokens=recipe.curriculum.answer_tokens, max_prompt=train.max_prompt_length, seed=train.seed
    )

"""Builds what a recipe for a policy asks for: checkpoint, policy, samples, and the curriculum over them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whenwhere.answers import FORMS
from whenwhere.array_cache import ArrayCache
from whenwhere.curate import difficulty as records
from whenwhere.curate.difficulty import Difficulty
from whenwhere.curate.filters import filter_items
from whenwhere.curate.trajectory_report import learned_text
from whenwhere.datasets import BENCHMARKS, read_items
from whenwhere.datasets.choices import with_options
from whenwhere.datasets.item import Item
from whenwhere.datasets.videos import VideoFolder
from whenwhere.errors import ModelError, RecordError, SettingError
from whenwhere.models.adapters import CONFIG
from whenwhere.models.runs import RESULT, resolve_run
from whenwhere.training.budget import parse_size
from whenwhere.training.data import difficulty
from whenwhere.training.data.curriculum import Curriculum, CurriculumSettings
from whenwhere.training.data.difficulty import DifficultySampling
from whenwhere.training.data.samples import SampleSource
from whenwhere.training.policy_tables import DataSettings, MixedDataSettings, MixedSetSettings, ModelSettings
from whenwhere.training.run_folder import RunFolder
from whenwhere.training.settings import TrainingSettings
from whenwhere.training.stages import Recipe
from whenwhere.video.frame_cache import FrameCache

if TYPE_CHECKING:
    from whenwhere.models.vlm import Checkpoint
    from whenwhere.training.prefix.policy import Policy


#: Bytes of frame times and sizes of videos that are kept where no frames are: enough for ten thousand and more.
PROBED = 1 << 30


def start_policy(
    recipe: Recipe, run: RunFolder, device: str | None, extend: "Callable[[Checkpoint], None] | None" = None
) -> "tuple[Policy, SampleSource]":
    """The policy that a run begins with, and its samples in the order of the recipe's curriculum.

    Args:
        recipe: The recipe.
        run: The run; what is measured for a curriculum is kept in its folder.
        device: Device of the policy. None is the best one.
        extend: Function that adds what an output head needs to the checkpoint, before a policy is made of it.

    Raises:
        MissingExtraError: A package that training needs is not installed.
        ModelError: The checkpoint cannot be loaded.
        RecordError: Annotations or difficulties cannot be read.
        SettingError: Settings contradict each other, or no sample is left.
    """
    quiet_transformers()
    samples = open_source(recipe, run.tell, frame_cache(recipe.train))
    with run.processes.first_process_first():
        made = open_checkpoint(recipe, run.folder / "start", device)
    model: ModelSettings = recipe.model
    sets: Sequence[DataSettings] = recipe.data.mix or (recipe.data,)
    worlds = [float(one.world.seconds[1]) for one in sets if one.kind == "shapes"]
    about = {
        "sample_fps": model.sample_fps, "long_side": model.long_side or made.dialect.side,
        "seconds": max(worlds) if len(worlds) == len(sets) else made.dialect.seconds,
    }  # fmt: skip
    run.about |= {key: value for key, value in about.items() if value is not None}
    if extend is not None:
        extend(made)
    learner = open_policy(recipe, made)
    curriculum: CurriculumSettings = recipe.curriculum
    if curriculum.schedule == "rescored" and run.processes.count > 1:
        raise SettingError("schedule = 'rescored' runs in one process: start it without accelerate launch")
    if curriculum.needed and not curriculum.difficulty:
        run.tell(f"difficulty is measured on {len(samples)} samples (data.count says how many there are)")
    with run.processes.first_process_first():
        return learner, ordered(recipe, samples, learner, run)


def quiet_transformers() -> None:
    """Turns off the progress bars of transformers.

    Raises:
        MissingExtraError: A package that training needs is not installed.
    """
    from whenwhere.models.vlm import require_packages

    require_packages("training", "train")
    from transformers.utils import logging

    logging.disable_progress_bar()


def open_checkpoint(recipe: Recipe, folder: Path, device: str | None = None) -> "Checkpoint":
    """The checkpoint that training begins with.

    Args:
        recipe: The recipe, which names it.
        folder: Folder in which an untrained one is made (`tiny-new`).
        device: Device of the model. None is the best one.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        ModelError: The checkpoint cannot be loaded.
        SettingError: Sizes that do not fit together.
    """
    from whenwhere.models.vlm import Checkpoint, require_packages

    require_packages("training", "train")
    name = resolve_run(recipe.model.checkpoint)
    if name == "tiny":
        from whenwhere.models.shipped import shipped_weights

        name = str(shipped_weights())
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
    elif any((Path(name) / RESULT / file).is_file() for file in ("config.json", CONFIG)):
        name = str(Path(name) / "checkpoint")
    elif not Path(name).is_dir() and _names_a_folder(Path(name)):
        raise ModelError(f"there is no checkpoint or run {name}: {Path(name).parent} has no such folder")
    return Checkpoint(name, revision=recipe.model.revision, device=device)


def _names_a_folder(path: Path) -> bool:
    """Whether a name means a folder and not a hub id: it has not two parts, or its parent folder holds runs."""
    if path.is_absolute() or len(path.parts) != 2 or path.parts[0] in ("..", "~"):
        return len(path.parts) > 1
    return any(path.parent.glob("*/recipe.json"))


def policy_name(recipe: Recipe, made: "Checkpoint") -> str:
    """A name for the policy whose difficulties are measured: as in the recipe, with its own recipe's hash if known.

    Args:
        recipe: The recipe.
        made: The checkpoint.
    """
    from whenwhere.models.trained import read

    trained = read(made.name)
    known = trained.recipe_hash if trained is not None else None
    return f"{recipe.model.checkpoint} ({known[:8]})" if known else recipe.model.checkpoint


def prompt(recipe: Recipe, made: "Checkpoint") -> str:
    """The prompt template of a run: the recipe's own, or that of the checkpoint's family.

    Args:
        recipe: The recipe.
        made: The checkpoint.

    Raises:
        SettingError: The family's template asks for another answer form than the recipe.
    """
    if recipe.model.prompt:
        return recipe.model.prompt
    if made.dialect.spans_form != recipe.model.form:
        raise SettingError(
            f"{made.name} is asked for answers in the form {made.dialect.spans_form!r}, not {recipe.model.form!r}: set "
            f"model.form={made.dialect.spans_form}, or say model.prompt"
        )
    return made.dialect.when


def open_policy(recipe: Recipe, made: "Checkpoint") -> "Policy":
    """The policy that is trained.

    Args:
        recipe: The recipe, which says how the policy is asked.
        made: The checkpoint.

    Raises:
        ModelError: Weights cannot be loaded, or training does not know the family.
        SettingError: The prompt or the answer form does not fit the checkpoint.
    """
    from whenwhere.training.prefix.policy import Policy

    own = recipe.model
    return Policy(
        made, form=own.form, prompt=prompt(recipe, made), frames=own.frames, long_side=own.long_side,
        rate=recipe.reward.rate,
    )  # fmt: skip


def frame_cache(train: TrainingSettings) -> FrameCache:
    """The cache of decoded frames that a table [train] asks for.

    Args:
        train: The settings.

    Raises:
        SettingError: There is no folder for it.
    """
    if train.frame_cache:
        return FrameCache(ArrayCache(train.cache_folder("frames"), parse_size(train.frame_cache, "frame_cache")))
    if getattr(train, "feature_cache", ""):
        # features are found by a video's content and frame times, without decoding
        return FrameCache(ArrayCache(train.cache_folder("videos"), PROBED), keeps_frames=False)
    return FrameCache()


def open_source(
    recipe: Recipe, tell: Callable[[str], None] | None = None, frames: FrameCache | None = None
) -> SampleSource:
    """The samples of a recipe.

    Args:
        recipe: The recipe.
        tell: Called with a message about what was left out, and why.
        frames: Cache of decoded frames. None keeps nothing.

    Raises:
        RecordError: Annotations cannot be read.
        SettingError: No sample is left.
    """
    data: MixedDataSettings = recipe.data
    if not data.mix:
        return source_of(data, recipe.model, tell, frames)
    from whenwhere.training.data.mix import MixedSource

    sources = {one.name: _source_of_mix(one, recipe.model, tell, frames) for one in data.mix}
    return MixedSource(sources, [one.weight for one in data.mix])


def _source_of_mix(
    one: MixedSetSettings, model: ModelSettings, tell: Callable[[str], None] | None, frames: FrameCache | None
) -> SampleSource:
    """The samples of one set of a mix; what is said of it begins with its name."""
    try:
        return source_of(one, model, None if tell is None else lambda text: tell(f"{one.name}: {text}"), frames)
    except (SettingError, RecordError) as e:
        raise type(e)(f"[[data.mix]] {one.name}: {e}") from e


def source_of(
    data: DataSettings,
    model: ModelSettings,
    tell: Callable[[str], None] | None = None,
    frames: FrameCache | None = None,
) -> SampleSource:
    """The samples that a table [data] describes, with frames sampled as a table [model] says.

    Args:
        data: Which clips and sentences.
        model: Rate and size of frames.
        tell: Called with a message about what was left out, and why.
        frames: Cache of decoded frames. None keeps nothing.

    Raises:
        RecordError: Annotations cannot be read.
        SettingError: No sample is left.
    """
    from whenwhere.training.data.sources import GrowingSource, ItemSource, StageSource

    if data.kind == "shapes":
        chapters = [(chapter.until, chapter.world) for chapter in data.grow]
        kind = partial(GrowingSource, chapters=chapters) if chapters else StageSource
        return kind(data.world, first_seed=data.first_seed, count=data.count)
    kept = items(data, tell)
    written: dict[str, str] = {}
    if data.trajectories != "answer":
        written = _trajectories(kept, data.trajectories, model.form, tell)
        kept = [item for item in kept if item.id in written]
    if "choice" in FORMS[model.form].holds:
        kept = [with_options(item) for item in kept]
    # a manifest's paths count from its folder
    own = data.kind.startswith("manifest") and not data.videos
    folder = Path(data.annotations).parent if own else Path(".")
    return ItemSource(
        kept, model.sample_fps, model.long_side, folder,
        max_frames=model.max_frames, total_pixels=model.total_pixels, min_pixels=model.min_pixels, frames=frames,
        written=written,
    )  # fmt: skip


def _trajectories(found: Iterable[Item], numbers: str, form: str, tell: Callable[[str], None] | None) -> dict[str, str]:
    """The reasoning to learn, by item id."""
    written, without = {}, list[str]()
    for item in found:
        try:
            written[item.id] = learned_text(item, numbers, form)
        except RecordError as e:
            without.append(str(e))
    if not written:
        raise SettingError(f"nothing is left to learn from: {without[0]}")
    if without and tell is not None:
        tell(f"left out, without a trajectory: {len(without)} sentences, such as: {without[0]}")
    return written


def items(data: DataSettings, tell: Callable[[str], None] | None = None) -> list[Item]:
    """The sentences of a released set or manifest that the filters keep, with paths of their videos.

    Args:
        data: The table [data].
        tell: Called with a message about how many were left out for which reason.

    Raises:
        RecordError: Annotations cannot be read.
        SettingError: No annotations were named, or nothing is left.
    """
    if not data.annotations:
        wanted = BENCHMARKS[data.kind].files
        raise SettingError(f"the recipe needs annotations: add annotations=FILE ({wanted}) and videos=DIR")
    path = Path(data.annotations)
    if not path.exists():
        raise SettingError(f"there are no annotations at {path}: add annotations=FILE")
    videos = None
    if data.videos:
        if not Path(data.videos).is_dir():
            raise SettingError(f"there is no folder of videos at {data.videos}: add videos=DIR")
        videos = VideoFolder(Path(data.videos), path)
    found = read_items(BENCHMARKS[data.kind], path)
    kept, left_out = filter_items(found, data)
    if data.count and len(kept) > data.count:
        left_out["more than count"] = len(kept) - data.count
        kept = kept[: data.count]
    if videos is not None:
        for item in kept:
            # a video that is not there stays: it is skipped, counted and named when its turn comes
            item.video = str(videos.find_item(item) or Path(data.videos) / item.video)
    if tell is not None and left_out:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in left_out.most_common())
        tell(f"{len(kept)} of {len(found)} sentences are kept; left out: {reasons}")
    if not kept:
        raise SettingError(f"no sentence of {path} is left to learn from: look at the filters in [data]")
    return kept


def ordered(recipe: Recipe, samples: SampleSource, learner: "Policy", run: RunFolder) -> SampleSource:
    """The samples in the order of the recipe's curriculum, or unchanged if it has no curriculum.

    Args:
        recipe: The recipe.
        samples: The samples.
        learner: The policy for which difficulties are measured, if the recipe needs them.
        run: The run; what is measured is kept in its folder's `difficulty/`, and what cannot be measured is skipped.

    Raises:
        RecordError: A file of difficulties cannot be used.
        SettingError: Nothing is left, or the difficulties are of other data.
    """
    from whenwhere.training.data.sources import ItemSource

    own: CurriculumSettings = recipe.curriculum
    if not own.needed:
        return samples

    def measure(epoch: int) -> Mapping[str, Difficulty]:
        return difficulty.measure(
            learner, samples, recipe.reward.verifier(recipe.model.form), difficulty_sampling(recipe),
            run.folder / "difficulty" / f"{recipe.resumable_hash[:8]}-{epoch}.jsonl",
            name=policy_name(recipe, learner.checkpoint) + (f", epoch {epoch}" if epoch else ""),
            recipe=recipe.resumable_hash, skip=run.leave_out,
            tell=lambda done, of: run.prepared("measuring difficulty", done, of),
        )  # fmt: skip

    if own.difficulty == "data":
        if not isinstance(samples, ItemSource):
            raise SettingError("difficulty = 'data' is for manifests and released sets, whose items carry it")
        first = _numbered(records.of_items(item for items in samples.items for item in items), samples)
    elif own.difficulty:
        first = _numbered(records.read(Path(own.difficulty)), samples)
        known = len({one.number for one in first.values()})
        if known < len(samples):
            run.warn(
                f"{own.difficulty} knows the difficulty of {known} of {len(samples)} samples: the others are left out"
            )
    else:
        first = dict(measure(0))
    made = Curriculum(samples, own, first, recipe.train.seed, measure)
    return made.static if own.schedule == "static" else made


def _numbered(found: Mapping[str, Difficulty], samples: SampleSource) -> dict[str, Difficulty]:
    """The difficulties of sentences that occur in the samples, each with the index of its sample."""
    from whenwhere.training.data.sources import ItemSource

    if not isinstance(samples, ItemSource):
        return {name: one for name, one in found.items() if one.number is not None and one.number < len(samples)}
    numbers = {item.id: n for n, items in enumerate(samples.items) for item in items}
    kept = {name: replace(one, number=numbers[name]) for name, one in found.items() if name in numbers}
    if not kept:
        raise SettingError("no sentence of these data has a difficulty in that file: it was measured on others")
    return kept


def difficulty_sampling(recipe: Recipe) -> DifficultySampling:
    """How a recipe's difficulties are measured.

    Args:
        recipe: The recipe.
    """
    temperature, longest = recipe.train.answer_sampling
    return DifficultySampling(
        recipe.curriculum.draws, temperature, longest or recipe.curriculum.answer_tokens,
        recipe.train.max_prompt_length, recipe.train.seed,
    )  # fmt: skip

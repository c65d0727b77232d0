"""A training run as a file: model, data, reward, settings, curriculum. TOML, checked to the last key.

    [model]       which checkpoint, how it is asked, how it sees a video
    [data]        which clips and sentences: a procedural world, or a released set with its videos
    [reward]      terms and weights (RL, and what difficulty is measured in)
    [train]       stage = "sft" or "rl", and its settings under TRL's names (`training.settings`)
    [curriculum]  which questions in which order (`data.curriculum`); may be left out

A recipe is found by its name among those that come with the package (`packaged`), or by its path. What was not said has
its default, so that `resolved` is all that a run depends on; `hash` names it and goes into the run and its checkpoint.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from whenwhere.answers import FORMS
from whenwhere.answers.dialects import FrameMode
from whenwhere.datasets import BENCHMARKS
from whenwhere.errors import SettingError
from whenwhere.stage.shapes.world import ShapesWorld
from whenwhere.training.data.curriculum import CurriculumSettings
from whenwhere.training.rl.settings import RLSettings
from whenwhere.training.sft.settings import SFTSettings
from whenwhere.training.tables import checked, near, parsed, types
from whenwhere.verify import Verifier

#: Keys that change what a run writes, and not what it learns.
FREE = ("train.logging_steps", "train.save_steps", "train.dataloader_prefetch", "train.report_to")
#: Keys that may be others when a run goes on.
OPEN = (*FREE, "train.max_steps", "train.vllm_server_base_url", "train.max_logp_gap")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of a fresh tiny policy (`models.tiny.build`); None = as there.

    Attributes:
        seed: of the weights.
        hidden: of the text tower.
        layers: of the text tower.
        mlp: inner size of its layers in multiples of `hidden`.
        vision_hidden: of the vision tower.
        vision_layers: of the vision tower.
        vision_mlp: inner size of its layers in multiples of `vision_hidden`.
        deepstack: layers of the vision tower that also go into the text tower's first layers.
        side: most pixels of a frame's side.
        patch: side of a patch.
    """

    seed: int = 0
    hidden: int | None = None
    layers: int | None = None
    mlp: int | None = None
    vision_hidden: int | None = None
    vision_layers: int | None = None
    vision_mlp: int | None = None
    deepstack: tuple[int, ...] | None = None
    side: int | None = None
    patch: int | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """The table [model].

    Attributes:
        checkpoint: hub id, folder (of a checkpoint, or of a run with one in it), `tiny` (comes with the package), or
            `tiny-new` (untrained, of `sizes`).
        revision: of a hub id: branch, tag or commit.
        form: that answers are written in (`whenwhere.answers.FORMS`).
        prompt: with {query} and, if wanted, {duration}; empty = as the family's dialect asks.
        frames: how frames are handed over; None = as the dialect says.
        sample_fps: frames per second that are looked at.
        max_frames: most of a video; a longer one is looked at less often.
        long_side: most pixels of a frame's longer side; None = any.
        total_pixels: most of all frames together; None = any.
        min_pixels: least of a frame, before the rest.
        sizes: of `tiny-new`.
    """

    checkpoint: str
    revision: str | None = None
    form: str = "second-level"
    prompt: str = ""
    frames: FrameMode | None = None
    sample_fps: float = 2.0
    max_frames: int = 768
    long_side: int | None = None
    total_pixels: int | None = None
    min_pixels: int = 0
    sizes: Sizes = field(default_factory=Sizes)

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise SettingError(f"there is no form {self.form!r}{near(self.form, FORMS)}")
        if self.prompt and "{query}" not in self.prompt:
            raise SettingError("the prompt has no {query}: say where the sentence goes")
        try:
            self.prompt.format(query="", duration="")
        except (KeyError, IndexError, ValueError) as e:
            raise SettingError(
                "the prompt has braces that are neither {query} nor {duration}: double them, as in {{start}}"
            ) from e
        if not self.sample_fps or not self.max_frames:
            raise SettingError("sample_fps and max_frames must be above 0")


@dataclass(frozen=True, slots=True)
class Chapter:
    """A table [[data.grow]]: what clips of `shapes` are like at first.

    Attributes:
        until: share of the updates.
        world: that clips are drawn from until then.
    """

    until: float
    world: ShapesWorld


@dataclass(frozen=True, slots=True)
class Data:
    """The table [data].

    Attributes:
        kind: `shapes` (the procedural world), `manifest`, or another of `whenwhere.datasets.BENCHMARKS`.
        annotations: that file, or the manifest.
        videos: folder that is put in front of the videos' names; empty = paths as they stand, a manifest's from its
            folder.
        world: factors of `shapes`.
        grow: how `shapes` begins smaller, in order; may be left out.
        first_seed: of the clips of `shapes`.
        count: clips of `shapes`; most questions of anything else, 0 = all.
        min_duration: shorter videos are left out, seconds.
        max_duration: longer ones too; None = none is.
        max_words: longer sentences are left out; None = none is.
        max_fraction: events that take a larger share of their video are left out.
        inside: spans that reach outside their video are left out.
        audible: sentences about what is heard are kept.
        one_per_video: only the first sentence of each video is kept.
    """

    kind: str = "shapes"
    annotations: str = ""
    videos: str = ""
    world: ShapesWorld = field(default_factory=ShapesWorld)
    grow: tuple[Chapter, ...] = ()
    first_seed: int = 0
    count: int = 0
    min_duration: float = 0.0
    max_duration: float | None = None
    max_words: int | None = None
    max_fraction: float = 1.0
    inside: bool = False
    audible: bool = True
    one_per_video: bool = False

    def __post_init__(self) -> None:
        kinds = ("shapes", *BENCHMARKS)
        if self.kind not in kinds:
            raise SettingError(f"there is no data {self.kind!r}{near(self.kind, kinds)}")
        if self.kind == "shapes" and not self.count:
            raise SettingError("kind = 'shapes' needs count, how many clips there are")


@dataclass(frozen=True)
class RewardSettings:
    """The table [reward]: `whenwhere.verify.Verifier`, whose form is the model's.

    Attributes:
        weights: term → weight.
        format: the term that stands for the form.
        format_weight: λ.
        rate: boxes per second that are asked for.
        gameable: allow a reward that can be had without finding the event.
    """

    weights: dict[str, float] = field(default_factory=lambda: {"t_iou": 0.5, "v_iou": 0.5})
    format: str = "format"
    format_weight: float = 0.1
    rate: float = 1.0
    gameable: bool = False

    def verifier(self, form: str) -> Verifier:
        """The verifier, for answers in a form.

        Raises:
            SettingError: terms or weights that cannot be.
        """
        return Verifier(
            self.weights, self.format, self.format_weight, form=form, rate=self.rate, gameable=self.gameable
        )  # fmt: skip

    def __post_init__(self) -> None:
        self.verifier("second-level")


_TABLES: dict[str, Any] = {"model": Model, "data": Data, "reward": RewardSettings, "curriculum": CurriculumSettings}
_STAGES: dict[str, type[SFTSettings] | type[RLSettings]] = {"sft": SFTSettings, "rl": RLSettings}


@dataclass(frozen=True)
class Recipe:
    """A recipe, checked and filled in.

    Attributes:
        name: the file's, without its ending.
        stage: what is done.
        model: the table of that name; so are the others.
        headline: first line of the file's comment.
        header: all of it.
    """

    name: str
    stage: Literal["sft", "rl"]
    model: Model
    data: Data
    reward: RewardSettings
    train: SFTSettings | RLSettings
    curriculum: CurriculumSettings
    headline: str = ""
    header: str = ""

    @property
    def resolved(self) -> dict[str, Any]:
        """All that a run depends on, as JSON values."""
        tables = {name: asdict(getattr(self, name)) for name in _TABLES}
        found: dict[str, Any] = json.loads(json.dumps({"stage": self.stage, **tables, "train": asdict(self.train)}))
        return found

    @property
    def hash(self) -> str:
        """SHA-256 of the resolved recipe without what does not change what is learned."""
        return self._hash(FREE)

    @property
    def lasting(self) -> str:
        """The same without what may be another when a run goes on: names what is measured on its way."""
        return self._hash(OPEN)

    def _hash(self, left_out: tuple[str, ...]) -> str:
        kept = {k: v for k, v in flat(self.resolved).items() if k not in left_out}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    @property
    def verifier(self) -> Verifier:
        """What scores answers."""
        return self.reward.verifier(self.model.form)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What two resolved recipes differ in that a run cannot go on with, as `key (was ..., is ...)`.

    A key that the version of whenwhere before did not have was as it is by default.

    >>> differences({"train": {"beta": 0.0, "max_steps": 5}}, {"train": {"beta": 0.1, "max_steps": 9}})
    ['train.beta (was 0.0, is 0.1)']
    >>> differences({"stage": "rl", "train": {}}, {"stage": "rl", "train": {"top_k": 0, "top_p": 0.5}})
    ['train.top_p (was 1.0, is 0.5)']
    """
    kinds = {**_TABLES, "train": _STAGES.get(before.get("stage", ""), RLSettings)}
    defaults = {
        f"{table}.{key}": value for table, kind in kinds.items() for key, value in _defaults(kind).items()
        if not key.startswith("weights.")  # which keys a table of weights has is up to the recipe
    }  # fmt: skip
    old, new = defaults | flat(before), defaults | flat(now)
    return [
        f"{key} (was {json.dumps(old.get(key))}, is {json.dumps(new.get(key))})"
        for key in sorted({*old, *new})
        if key not in OPEN and old.get(key) != new.get(key)
    ]


def _defaults(kind: Any) -> dict[str, Any]:
    """What the keys of a table are by default, as JSON values; keys that must be said are left out."""
    found: dict[str, Any] = {}
    for one in fields(kind):
        value = one.default if one.default_factory is MISSING else one.default_factory()
        if value is not MISSING:
            found[one.name] = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    return flat(json.loads(json.dumps(found)))


def flat(tables: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested tables as one, keys joined by points.

    >>> flat({"a": {"b": 1, "c": {}}, "d": 2})
    {'a.b': 1, 'd': 2}
    """
    found: dict[str, Any] = {}
    for key, value in tables.items():
        found |= flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return found


def packaged() -> dict[str, Path]:
    """The recipes that come with the package, name → file."""
    folder = Path(str(files("whenwhere") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load(name: str, changes: Iterable[str] = ()) -> Recipe:
    """A recipe, with what the command line changes in it.

    Args:
        name: of a packaged recipe, or a path that ends in .toml.
        changes: `table.key=value`; the table may be left out where only one has the key.

    Raises:
        SettingError: no such recipe, table or key, or a value that cannot be; names file and key, and the nearest.
    """
    file = _file(name)
    try:
        text = file.read_text(encoding="utf-8-sig")
        tables = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as e:
        raise SettingError(f"cannot read the recipe {file}: {getattr(e, 'strerror', None) or e}") from e
    except tomllib.TOMLDecodeError as e:
        raise SettingError(f"{file} is no TOML: {e}") from e
    place = file.name
    for key, value in tables.items():
        if key not in (*_TABLES, "train"):
            raise SettingError(f"{place} has no table [{key}]{near(key, (*_TABLES, 'train'))}")
        if not isinstance(value, dict):
            raise SettingError(f"{place}: {key} is a table, written [{key}]")
    for change in changes:
        _change(tables, change)
    return _recipe(file.stem, tables, place, _header(text))


def _file(name: str) -> Path:
    known = packaged()
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix == ".toml" or path.exists():
        if not path.is_file():
            raise SettingError(f"there is no recipe at {name}; `whenwhere train --list` shows those of the package")
        return path
    raise SettingError(f"there is no recipe {name!r}{near(name, known)}; your own is named by its path, NAME.toml")


def _header(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" ").rstrip())
    return "\n".join(lines).strip()


def _recipe(name: str, tables: dict[str, Any], place: str, header: str) -> Recipe:
    train = dict(tables.get("train", {}))
    stage = train.pop("stage", None)
    if stage not in _STAGES:
        raise SettingError(f"{place} [train] needs stage = 'sft' or stage = 'rl', not {stage!r}")
    parts = {}
    for key, kind in (*_TABLES.items(), ("train", _STAGES[stage])):
        table = train if key == "train" else tables.get(key, {})
        for k in table:
            _misplaced(k, key, stage, place)
        parts[key] = checked(kind, table, f"{place} [{key}]")
    if parts["curriculum"].difficulty and not parts["curriculum"].needed:
        raise SettingError(
            f"{place}: [curriculum] difficulty has no effect, for nothing is chosen or ordered by it: add a selector, "
            "low, high, count or schedule, or leave it out"
        )
    if parts["curriculum"].needed and parts["data"].grow:
        raise SettingError(f"{place}: [data] grow and [curriculum] are both an order of clips: leave one of them out")
    if parts["curriculum"].schedule == "rescored":
        # samples prepared ahead would be chosen by difficulties of a policy that is not there yet
        parts["train"] = replace(parts["train"], dataloader_prefetch=0)
    return Recipe(name, stage, **parts, headline=header.split("\n")[0], header=header)


def _misplaced(key: str, table: str, stage: str, place: str) -> None:
    """Says where a key belongs that stands in the wrong table, or in the other stage's settings."""
    kinds = {**_TABLES, "train": _STAGES[stage]}
    if key in types(kinds[table]):
        return
    for other, kind in kinds.items():
        if key in types(kind):
            raise SettingError(f"{place} [{table}] has no key {key!r}: it belongs into [{other}]")
    for other, kind in _STAGES.items():
        if table == "train" and key in types(kind):
            raise SettingError(f"{place} [train] has no key {key!r} for stage = {stage!r}: it is one of {other!r}")


def _change(tables: dict[str, Any], change: str) -> None:
    name, equals, text = change.partition("=")
    name = name.strip()
    if not equals or not name:
        raise SettingError(f"{change!r} changes nothing: write it as key=value, such as learning_rate=1e-4")
    known = _keys()
    if name not in known and not name.startswith("reward.weights."):
        found = [key for key in known if key.endswith(f".{name}")]
        if len(found) > 1:
            raise SettingError(f"{name} stands in more than one table: say {' or '.join(found)}")
        if not found:
            bare = {key.rsplit(".", 1)[1] for key in known} if "." not in name else known
            raise SettingError(f"there is no key {name!r} in a recipe{near(name, sorted(bare))}")
        name = found[0]
    *path, last = name.split(".")
    if path == ["reward", "weights"]:  # one weight is changed, the others stay
        tables.setdefault("reward", {}).setdefault("weights", dict(RewardSettings().weights))
    table = tables
    for part in path:
        table = table.setdefault(part, {})
    table[last] = parsed(text.strip())


def _keys() -> list[str]:
    """All keys of all tables, with their tables."""
    found = ["train.stage"]
    for name, kind in (*_TABLES.items(), *(("train", k) for k in _STAGES.values())):
        found += [f"{name}.{key}" for key in _nested(kind)]
    return list(dict.fromkeys(found))


def _nested(kind: Any) -> list[str]:
    """Keys of a table and of the tables in it; a table that may be left out is a key, too."""
    found: list[str] = []
    for key, annotation in types(kind).items():
        inner = [part for part in (annotation, *get_args(annotation)) if is_dataclass(part)]
        if inner and get_origin(annotation) is not tuple:
            found += [] if is_dataclass(annotation) else [key]
            found += [f"{key}.{k}" for k in _nested(inner[0])]
        else:
            found.append(key)
    return found

"""Manifests as the training data of other projects: TRL, ms-swift, LLaMA-Factory, EasyR1 and verl.

A row holds a prompt (the question as a dialect asks it), the right answer in one of our forms, and `target`, the truth
as the rewards of `whenwhere.verify.adapters` read it. So the same truth, parser and reward serve whoever trains there.
Where an item carries a trajectory (text under `extra.trajectory`), it is the answer to be learned instead.

What a project cannot hold is left out with its reason, never written wrongly: an item about a window of a longer video
where only whole files can be named, an absence or several spans in a form for exactly one, a truth without the frame's
size where boxes need it. TRL takes pictures and no videos, so frames are written for it as JPEG files.

`TRAINING_FORMATS` lists the projects; a new one is a function that makes a row, and an entry.
"""

import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers import FORMS
from whenwhere.answers.dialects import DIALECTS
from whenwhere.answers.dialects.prompt import check_prompt, fill_prompt
from whenwhere.curate.item_sets import read_set
from whenwhere.curate.teacher_prompt import question_of
from whenwhere.datasets.choices import right_letter
from whenwhere.datasets.item import Item, shifted
from whenwhere.datasets.videos import VideoFolder
from whenwhere.errors import (
    MediaError,
    MissingExtraError,
    RecordError,
    SettingError,
    WhenwhereError,
    did_you_mean,
)
from whenwhere.evaluate.constants import length
from whenwhere.readers import read_json
from whenwhere.store import atomic_path, content_hash, write_bytes, write_text
from whenwhere.verify import Truth

#: Where an item keeps a text to be learned instead of the bare answer.
TRAJECTORY = "trajectory"
#: Pixels of the widest pictures that are written.
WIDEST = 768
_PLACEHOLDER = "<video>"


@dataclass(frozen=True)
class TrainingRow:
    """One item as every project needs it.

    Attributes:
        id: Id of the item.
        video: Path of its video, absolute where the file is there.
        window: The window of the video that times count from, in seconds; None for the whole video.
        prompt: The question.
        answer: The text to be learned; empty for RL.
        target: The truth as JSON text, for rewards.
        source: Data set that the item comes from.
        split: Part of the data set.
        frames: Paths and times of pictures, where the project takes pictures.
    """

    id: str
    video: str
    window: tuple[float, float] | None
    prompt: str
    answer: str
    target: str
    source: str
    split: str
    frames: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class TrainingFormat:
    """How one project wants its data.

    Attributes:
        name: Name that is typed after `--to`.
        stages: Stages of training that it has data for.
        endings: Endings of files that it reads.
        row: Function from a row and the stage to the JSON object of that project.
        windows: Whether it can read a window of a longer video.
        pictures: Whether it takes pictures instead of videos.
        source: Version of the project whose reader the format was taken from.
        read_back: How far rows were read back by the project's own code.
    """

    name: str
    stages: tuple[str, ...]
    endings: tuple[str, ...]
    row: Callable[[TrainingRow, str], dict[str, Any]]
    windows: bool
    pictures: bool
    source: str
    read_back: str


@dataclass
class TrainingExport:
    """The result of `export`.

    Attributes:
        rows: Number of rows that were written.
        left_out: Number of items that were left out, by reason.
        examples: One id for each reason.
        files: The files that were written, pictures apart.
        faults: One sentence for each line that could not be read.
    """

    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def _messages(row: TrainingRow, stage: str) -> list[dict[str, str]]:
    asked = [{"role": "user", "content": f"{_PLACEHOLDER}{row.prompt}"}]
    return asked + ([{"role": "assistant", "content": row.answer}] if stage == "sft" else [])


def _trl(row: TrainingRow, stage: str) -> dict[str, Any]:
    parts: list[dict[str, str | None]] = []
    for _, time in row.frames:
        # Arrow gives every part every key, so both are written
        parts += [{"type": "text", "text": f"{time:.1f} s: "}, {"type": "image", "text": None}]
    parts.append({"type": "text", "text": row.prompt})
    out: dict[str, Any] = {"prompt": [{"role": "user", "content": parts}], "images": [path for path, _ in row.frames]}
    if stage == "sft":
        out["completion"] = [{"role": "assistant", "content": row.answer}]
    return out | {"target": row.target, "id": row.id}


def _ms_swift(row: TrainingRow, stage: str) -> dict[str, Any]:
    return {"messages": _messages(row, stage), "videos": [row.video], "target": row.target, "id": row.id}


def _llama_factory(row: TrainingRow, stage: str) -> dict[str, Any]:
    return {"messages": _messages(row, stage), "videos": [row.video], "id": row.id}


def _easyr1(row: TrainingRow, stage: str) -> dict[str, Any]:
    problem = f"{_PLACEHOLDER}{row.prompt}"
    return {"problem": problem, "answer": row.target, "videos": [row.video], "id": row.id}


def _verl(row: TrainingRow, stage: str) -> dict[str, Any]:
    start, end = row.window or (None, None)
    videos = [{"video": row.video, "video_start": start, "video_end": end}]
    if stage == "sft":
        return {"messages": _messages(row, stage), "videos": videos, "id": row.id}
    return {
        "data_source": row.source, "prompt": _messages(row, stage), "videos": videos, "ability": "video grounding",
        "reward_model": {"style": "rule", "ground_truth": row.target},
        "extra_info": {"id": row.id, "split": row.split},
    }  # fmt: skip


#: All projects by the name that is typed.
TRAINING_FORMATS: dict[str, TrainingFormat] = {
    one.name: one
    for one in (
        TrainingFormat(
            "trl",
            ("sft", "rl"),
            (".jsonl", ".parquet"),
            _trl,
            True,
            True,
            "TRL 1.16",
            "by `datasets` and TRL's `prepare_multimodal_messages` (in the tests)",
        ),
        TrainingFormat(
            "ms-swift",
            ("sft", "rl"),
            (".jsonl",),
            _ms_swift,
            False,
            False,
            "ms-swift 4.6.0",
            "by its documented keys (in the tests)",
        ),
        TrainingFormat(
            "llama-factory",
            ("sft",),
            (".json",),
            _llama_factory,
            False,
            False,
            "LLaMA-Factory 0.9.5",
            "by its list of data sets and its converter (`benchmarks/training_formats.py`)",
        ),
        TrainingFormat(
            "easyr1",
            ("rl",),
            (".jsonl", ".parquet"),
            _easyr1,
            False,
            False,
            "hiyouga/EasyR1@8700709",
            "by its documented keys (in the tests)",
        ),
        TrainingFormat(
            "verl",
            ("sft", "rl"),
            (".parquet",),
            _verl,
            True,
            False,
            "verl 0.9.1",
            "by its `RLHFDataset` (`benchmarks/training_formats.py`)",
        ),
    )
}


def export(
    given: str | Path,
    to: str,
    out: str | Path,
    *,
    stage: str = "sft",
    dialect: str = "qwen3-vl",
    form: str | None = None,
    prompt: str | None = None,
    videos: str | Path | None = None,
    frames: int = 16,
    rate: float = 1.0,
    tell: Callable[[], None] | None = None,
) -> TrainingExport:
    """Write a manifest, or a released file, as the training data of another project.

    Args:
        given: Path of the manifest, or `BENCHMARK=FILE`.
        to: A key of `TRAINING_FORMATS`.
        out: The file to write. LLaMA-Factory's `dataset_info.json` and TRL's pictures are written beside it.
        stage: `sft` (with the right answer) or `rl` (with the truth for the reward).
        dialect: Model family whose prompt and form of answer are taken.
        form: Form of answer instead, a key of `whenwhere.answers.FORMS`.
        prompt: Prompt instead, with {query} and optionally {duration}.
        videos: Folder of the videos. None takes paths from the manifest's folder.
        frames: Number of pictures of each video, where the project takes pictures.
        rate: Boxes per second in answers with boxes.
        tell: Called after each item.

    Raises:
        SettingError: A name is unknown, or options do not fit together.
        RecordError: The file has no line that can be read, or no item is left.
        OutputError: The file cannot be written, or the disk is full.
        MissingExtraError: A Parquet file is asked for and pyarrow is not installed.
    """
    project, target = _checked(to, Path(out), stage, frames), Path(out)
    asked, how = _asked(dialect, form, prompt)
    own = read_set(given)
    folder = Path(videos) if videos is not None else own.folder
    if videos is not None and not Path(videos).is_dir():
        raise SettingError(f"there is no folder of videos at {videos}: give the folder that holds them")
    there = None if folder is None else VideoFolder(folder, own.path)
    result, rows = TrainingExport(faults=own.faults), []
    pictures = target.with_name(f"{target.stem}-frames")
    for item in own.items:
        try:
            path = None if there is None else there.find_item(item)
            row = _row(item, project, stage, asked, how, path, rate)
            if project.pictures:
                row = _with_frames(row, path, frames, pictures)
            rows.append(project.row(row, stage))
        except _LeftOutError as e:
            result.left_out[str(e)] += 1
            result.examples.setdefault(str(e), item.id)
        if tell is not None:
            tell()
    if not rows:
        most = result.left_out.most_common(1)[0][0]
        raise RecordError(f"no item of {own.path} can be written for {project.name}: {most}")
    result.rows = len(rows)
    result.files = _write(rows, target, project)
    return result


class _LeftOutError(WhenwhereError):
    """An item cannot be written for a project; the message is the same for all items of its kind."""

    kind = "record"


def _checked(to: str, out: Path, stage: str, frames: int) -> TrainingFormat:
    project = TRAINING_FORMATS.get(to)
    if project is None:
        raise SettingError(f"there is no training format {to!r}{did_you_mean(to, TRAINING_FORMATS)}")
    if stage not in project.stages:
        raise SettingError(f"{project.name} has no data for the stage {stage!r}: choose {' or '.join(project.stages)}")
    if out.suffix.lower() not in project.endings:
        raise SettingError(f"{project.name} does not read {out.name}: give a name in {' or '.join(project.endings)}")
    if frames < 1:
        raise SettingError(f"at least 1 picture of each video is needed, not {frames}")
    return project


def _asked(dialect: str, form: str | None, prompt: str | None) -> tuple[str, str]:
    """The prompt, and the name of the form of the answer."""
    if dialect not in DIALECTS:
        raise SettingError(f"there is no dialect {dialect!r}{did_you_mean(dialect, DIALECTS)}")
    how = form or DIALECTS[dialect].spans_form
    if how not in FORMS:
        raise SettingError(f"there is no form {how!r}{did_you_mean(how, FORMS)}")
    if form is not None and prompt is None and form != DIALECTS[dialect].spans_form:
        raise SettingError(f"the prompt of {dialect} asks for another form than {form}: give a prompt too")
    if prompt is not None:
        check_prompt(prompt)
    return prompt or DIALECTS[dialect].when, how


def _row(
    item: Item, project: TrainingFormat, stage: str, prompt: str, form: str, path: Path | None, rate: float
) -> TrainingRow:
    if item.status != "valid":
        raise _LeftOutError("the release marks it as invalid")
    if item.window is not None and not project.windows:
        raise _LeftOutError(
            f"it is about a window of a longer video, which {project.name} cannot read: cut it out first"
        )
    # in the training data, times count from what the model is shown
    shown = item if item.window is None else shifted(item, item.offset - item.window.start)
    seconds = length(item) if item.window is None else item.window.end - item.window.start
    if seconds is None and "{duration}" in prompt:
        raise _LeftOutError("the prompt names the video's duration, which the item does not have")
    if len(shown.spans) and (shown.spans.min() < 0 or (seconds is not None and shown.spans.max() > seconds + 1.0)):
        raise _LeftOutError("its truth begins before its video or ends more than a second after it")
    truth = Truth(
        shown.span_set,
        shown.tubes[0] if len(shown.tubes) == 1 else None,
        duration=seconds,
        size=(float(item.width), float(item.height)) if item.width and item.height else None,
        choice=right_letter(item) if "choice" in FORMS[form].holds else None,
        fps=item.fps,
        query=item.query,
    )
    answer = item.extra.get(TRAJECTORY) if stage == "sft" else ""
    if not isinstance(answer, str):
        answer = _rendered(truth, form, rate)
    return TrainingRow(
        item.id, item.video if path is None else os.path.abspath(path),
        None if item.window is None else (item.window.start, item.window.end),
        fill_prompt(prompt, query=question_of(item, form), duration=f"{seconds or 0:.1f}"), answer,
        json.dumps(truth.target(), ensure_ascii=False), item.source or "manifest", item.split or "train",
    )  # fmt: skip


def _rendered(truth: Truth, form: str, rate: float) -> str:
    try:
        return FORMS[form].render(truth.answer(rate), truth.size, truth.shown)
    except WhenwhereError as e:
        count = len(truth.spans or ())
        if "choice" in FORMS[form].holds and truth.choice is None:
            raise _LeftOutError(f"the form {form} cannot hold a question without a right option") from e
        held = "a truth without its frame's size" if count == 1 else f"{count} spans" if count else "an absence"
        raise _LeftOutError(f"the form {form} cannot hold {held}") from e


def _with_frames(row: TrainingRow, path: Path | None, count: int, folder: Path) -> TrainingRow:
    """The row with pictures of its video or window, evenly apart, written as JPEG files; those there are used again."""
    from whenwhere.video import probe, read_frames

    if path is None:
        raise _LeftOutError("its video is not there, and pictures of it are needed")
    try:
        info = probe(path)
        start, end = row.window or (0.0, info.duration)
        times = start + (np.arange(count) + 0.5) / count * (min(end, info.duration) - start)
        name = hashlib.sha256(f"{content_hash(path)} {start:g} {end:g} {count}".encode()).hexdigest()[:16]
        files = [folder / name / f"{k:04}.jpg" for k in range(count)]
        if not all(file.exists() for file in files):
            for file, image in zip(files, read_frames(info, times, min(info.width, WIDEST)).images, strict=True):
                write_bytes(file, _jpeg(image))
    except MediaError as e:
        raise _LeftOutError("its video cannot be read, and pictures of it are needed") from e
    shown = [(os.path.abspath(file), float(time - start)) for file, time in zip(files, times, strict=True)]
    return replace(row, frames=tuple(shown))


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _write(rows: Sequence[dict[str, Any]], out: Path, project: TrainingFormat) -> list[Path]:
    if out.suffix.lower() == ".parquet":
        _write_parquet(rows, out)
    elif out.suffix.lower() == ".json":
        write_text(out, json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
    else:
        write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return [out, _write_info(out)] if project.name == "llama-factory" else [out]


def _write_parquet(rows: Sequence[dict[str, Any]], out: Path) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as e:
        raise MissingExtraError("pyarrow", "data", "writing Parquet files") from e
    with atomic_path(out) as temporary:
        parquet.write_table(pyarrow.Table.from_pylist(list(rows)), temporary)


def _write_info(out: Path) -> Path:
    """LLaMA-Factory's list of data sets, with this one; others in it stay."""
    path = out.with_name("dataset_info.json")
    known = read_json(path) if path.exists() else {}
    if not isinstance(known, dict):
        raise RecordError(f"{path} is not LLaMA-Factory's list of data sets: choose another --out")
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    known[out.stem] = {
        "file_name": out.name, "formatting": "sharegpt", "columns": {"messages": "messages", "videos": "videos"},
        "tags": tags,
    }  # fmt: skip
    return write_text(path, json.dumps(known, ensure_ascii=False, indent=1) + "\n")

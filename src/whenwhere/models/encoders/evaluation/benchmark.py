"""Answers of an encoder to a benchmark's released files: similarities for retrieval, class scores for recognition.

The answers are written as a file of `whenwhere.datasets.matrices`, which also carries the truth, so that scoring is a
step of its own and can be repeated under another protocol without a video. Beside it, `encoder.json` says how the
videos were seen. A video that is missing or cannot be read is told; its sentences and itself count as wrong.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.action_lists import class_names
from whenwhere.datasets.benchmark import Benchmark, read_items
from whenwhere.datasets.item import Item
from whenwhere.datasets.videos import VideoFolder, find_clip
from whenwhere.errors import MediaError, RecordError, SettingError
from whenwhere.evaluate.embeddings import Ensemble, class_prompts, class_similarities, cosine_similarities
from whenwhere.evaluate.formats.arrays import RECOGNITION, RETRIEVAL
from whenwhere.evaluate.names import find_benchmark
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.ragged import Floats
from whenwhere.models.encoders.encoder import Encoder
from whenwhere.models.encoders.evaluation.recognition import TEMPLATES
from whenwhere.spans import Span
from whenwhere.store import write_text
from whenwhere.video import VideoInfo, probe, read_frames

#: Frames of a clip for encoders of single images, as CLIP's and PE-Core's results on videos are reported.
IMAGE_FRAMES = 8


@dataclass(frozen=True)
class SamplingSettings:
    """How a benchmark's videos and classes are shown to an encoder.

    Attributes:
        frames: Frames of a clip: the middles of as many equal parts of the video. None takes as many as the encoder was
            made for, and `IMAGE_FRAMES` for encoders of single images.
        clips: Clips of each video, whose frames lie between each other's; their embeddings are averaged.
        templates: Prompts for recognition, with `{}` in the place of the class.
        ensemble: How the prompts of a class are combined.
    """

    frames: int | None = None
    clips: int = 1
    templates: tuple[str, ...] = TEMPLATES
    ensemble: Ensemble = "similarity"

    def __post_init__(self) -> None:
        if self.clips < 1 or (self.frames is not None and self.frames < 1):
            raise SettingError(f"{self.clips} clips of {self.frames} frames show nothing: both must be at least 1")


@dataclass(frozen=True)
class BenchmarkAnswers:
    """What an encoder answered.

    Attributes:
        benchmark: The benchmark.
        items: The items that were answered, in the order of the file's rows.
        path: The file of answers, to be scored by `whenwhere.evaluate(benchmark, items, path)`, or alone as benchmark
            `retrieval` or `recognition`.
        faults: One sentence for each video that could not be seen.
    """

    benchmark: Benchmark
    items: list[Item]
    path: Path
    faults: list[str]


def answer_benchmark(
    encoder: Encoder,
    benchmark: str | Benchmark,
    annotations: str | Path,
    videos: str | Path,
    out: str | Path,
    settings: SamplingSettings | None = None,
    told: Callable[[float], None] = lambda share: None,
) -> BenchmarkAnswers:
    """Let an encoder answer a benchmark of retrieval or recognition, and write the answers.

    If the released file holds several splits, those of the split `test` are answered.

    Args:
        encoder: The encoder (`models.encoders.resolve.open_encoder`).
        benchmark: The benchmark or its name.
        annotations: Its released file or folder.
        videos: Folder of the videos.
        out: Folder for `similarity.npz` or `scores.npz`, and `encoder.json`.
        settings: How videos and classes are shown.
        told: Called after each video with the share of the videos that were seen, 0-1.

    Raises:
        SettingError: The benchmark is neither retrieval nor recognition.
        RecordError: The released file cannot be read, or none of its videos can.
        ModelError: The encoder cannot take such clips.
    """
    how = settings or SamplingSettings()
    bench = find_benchmark(benchmark) if isinstance(benchmark, str) else benchmark
    if bench.task not in ("retrieval", "recognition"):
        raise SettingError(
            f"an encoder answers benchmarks of retrieval and recognition, and {bench.name} is of {bench.task}: let a "
            "grounder answer it with whenwhere batch"
        )
    every = read_items(bench, annotations)
    items = [item for item in every if item.split == "test"] if len({item.split for item in every}) > 1 else every
    items = items or every
    if not any(item.query for item in items):
        raise SettingError(f"{bench.name} is a file of scores without sentences or videos: name the set itself")
    if bench.task == "retrieval":
        _number_again(items)
    rows, faults = _embedded(encoder, items, VideoFolder(Path(videos), Path(annotations)), how, told)
    folder = Path(out)
    answer = _similarities if bench.task == "retrieval" else _class_scores
    scores = answer(encoder, items, class_names(every) if bench.task == "recognition" else [], rows, how)
    predictions = {item.id: Prediction(item.id, scores=row) for item, row in zip(items, scores, strict=True)}
    form, name = (RETRIEVAL, "similarity.npz") if bench.task == "retrieval" else (RECOGNITION, "scores.npz")
    folder.mkdir(parents=True, exist_ok=True)
    assert form.write is not None
    form.write(folder / name, predictions, items)
    about = {"encoder": encoder.name, "benchmark": bench.name, **asdict(how), "frames": clip_frames(encoder, how)}
    write_text(folder / "encoder.json", json.dumps(about | {"unseen": faults}, indent=2, ensure_ascii=False) + "\n")
    return BenchmarkAnswers(bench, items, folder / name, faults)


def _number_again(items: Sequence[Item]) -> None:
    """Number the videos of some of a set's items without gaps; one item stands for a video as before."""
    columns = {old: new for new, old in enumerate(dict.fromkeys(int(item.extra["video"]) for item in items))}
    for item in items:
        item.extra |= {"video": columns[int(item.extra["video"])], "videos": len(columns)}


def clip_frames(encoder: Encoder, settings: SamplingSettings) -> int:
    """Number of frames of a clip.

    Args:
        encoder: The encoder.
        settings: How videos are shown.
    """
    return settings.frames or (encoder.frames if encoder.frames > 1 else IMAGE_FRAMES)


def clip_times(start: float, end: float, frames: int, clips: int = 1) -> NDArray[np.float64]:
    """Times of the frames of clips that cover a stretch of video, shape (clips, frames).

    Args:
        start: Start in seconds.
        end: End in seconds.
        frames: Frames of a clip.
        clips: Number of clips; each takes another place within the equal parts.

    >>> clip_times(0.0, 8.0, 2).tolist(), clip_times(0.0, 8.0, 2, 2).tolist()
    ([[2.0, 6.0]], [[1.0, 5.0], [3.0, 7.0]])
    """
    place = (np.arange(clips)[:, None] + 0.5) / clips
    return np.asarray(start + (np.arange(frames) + place) * (end - start) / frames, np.float64)


def _embedded(
    encoder: Encoder,
    items: Sequence[Item],
    folder: VideoFolder,
    how: SamplingSettings,
    told: Callable[[float], None],
) -> tuple[dict[int, Floats], list[str]]:
    """Embeddings of the clips of each video, shape (clips, D), by the number of the video, and what was not seen."""
    found: dict[int, Floats] = {}
    faults: list[str] = []
    # several sentences may describe one video
    wanted = {_column(item, k): item for k, item in enumerate(items)}
    for number, (column, item) in enumerate(wanted.items(), 1):
        try:
            where = find_clip(folder, item)
            if where is None:
                raise RecordError(f"{folder.folder} holds no video {item.video}: it counts as wrong")
            info = probe(where[0])
            times = clip_times(*_stretch(info, where[1]), clip_frames(encoder, how), how.clips)
            images = read_frames(info, times.ravel()).images
            clips = images.reshape(*times.shape, *images.shape[1:])
        except (MediaError, RecordError) as error:
            faults.append(f"{item.video}: {error}" if item.video not in str(error) else str(error))
        else:
            found[column] = encoder.embed_clips(clips).pooled.astype(float)
        told(number / len(wanted))
    if not found:
        raise RecordError(f"none of the {len(wanted)} videos can be read; the first: {faults[0]}")
    return found, faults


def _column(item: Item, row: int) -> int:
    """Number of the item's video: its column in retrieval, its row in recognition."""
    return int(item.extra.get("video", row))


def _stretch(info: VideoInfo, window: Span | None) -> tuple[float, float]:
    if window is None:
        return 0.0, info.duration
    if window.start >= info.duration:
        raise RecordError(f"the clip begins at {window.start:g} s, but {info.path} lasts {info.duration:.2f} s")
    return window.start, min(window.end, info.duration)


def _similarities(
    encoder: Encoder, items: Sequence[Item], classes: Sequence[str], rows: dict[int, Floats], how: SamplingSettings
) -> Floats:
    """Similarities of sentences and videos; those of unseen videos are the lowest possible."""
    table = np.full((len(items), int(items[0].extra["videos"])), -1.0)
    texts = encoder.embed_texts([item.query for item in items])
    table[:, list(rows)] = cosine_similarities(texts, np.stack([row.mean(0) for row in rows.values()]))
    return table


def _class_scores(
    encoder: Encoder, items: Sequence[Item], classes: Sequence[str], rows: dict[int, Floats], how: SamplingSettings
) -> Floats:
    """Scores of the classes; NaN for unseen videos, and the lowest possible for classes without a name."""
    named = [k for k, name in enumerate(classes) if name]
    texts = encoder.embed_texts(class_prompts([classes[k] for k in named], how.templates))
    prompts = texts.reshape(len(named), len(how.templates), -1)
    table = np.full((len(items), len(classes)), np.nan)
    table[list(rows)] = -1.0
    table[np.ix_(list(rows), named)] = class_similarities(np.stack(list(rows.values())), prompts, how.ensemble)
    return table

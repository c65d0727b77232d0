"""Answers of an encoder to a benchmark's released files, written so that scoring is a step of its own.

Retrieval and recognition are answered from embeddings alone. With a training file recognition is answered by a linear
probe, and detection and open questions by heads that learn from frozen features; they cannot be answered without.
The files that hold similarities and class scores also carry the truth (`whenwhere.datasets.matrices`). Beside the
answers, `encoder.json` records the settings that they depend on and the videos that could not be seen. Whatever belongs
to such a video counts as wrong.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark, read_items
from whenwhere.datasets.item import Item
from whenwhere.datasets.videos import VideoFolder
from whenwhere.errors import SettingError
from whenwhere.evaluate.names import find_benchmark
from whenwhere.evaluate.tasks import TASKS
from whenwhere.models.encoders.encoder import Encoder
from whenwhere.models.encoders.evaluation.benchmark_tasks import ANSWERED, BenchmarkJob
from whenwhere.models.encoders.evaluation.benchmark_videos import BenchmarkVideos, SamplingSettings
from whenwhere.store import write_text


@dataclass(frozen=True)
class BenchmarkAnswers:
    """What an encoder answered.

    Attributes:
        benchmark: The benchmark.
        items: The items that were answered.
        path: The file of answers, to be scored by `whenwhere.evaluate(benchmark, items, path)`. That of retrieval and
            recognition can also be scored alone, as benchmark `retrieval` or `recognition`.
        faults: One sentence for each video that could not be seen.
        notes: Sentences that must stand beside the score, such as which head learned.
        train: The training file, where scoring fits constant answers on one; else None.
    """

    benchmark: Benchmark
    items: list[Item]
    path: Path
    faults: list[str]
    notes: list[str]
    train: Path | None


def answer_benchmark(
    encoder: Encoder,
    benchmark: str | Benchmark,
    annotations: str | Path,
    videos: str | Path,
    out: str | Path,
    settings: SamplingSettings | None = None,
    train: str | Path | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> BenchmarkAnswers:
    """Lets an encoder answer a benchmark, and writes the answers.

    If a released file holds several splits, those of the split `test` are answered, and those of `train` are learned
    from.

    Args:
        encoder: The encoder (`models.encoders.resolve.open_encoder`).
        benchmark: The benchmark or its name; its task is retrieval, recognition, detection or vqa.
        annotations: Its released file or folder.
        videos: Folder of the videos.
        out: Folder for the answers and `encoder.json`.
        settings: How videos and classes are shown.
        train: The benchmark's training file, whose videos are in the same folder. Heads learn from it; without it
            recognition is zero-shot.
        progress: Called with the share of the videos that were looked at so far, 0-1.

    Raises:
        SettingError: An encoder cannot answer this task, the task needs a training file, or it holds tested items.
        RecordError: A released file cannot be read, or none of its videos can.
        ModelError: The encoder cannot take such clips.
    """
    how = settings or SamplingSettings()
    bench = find_benchmark(benchmark) if isinstance(benchmark, str) else benchmark
    if bench.task not in ANSWERED:
        raise SettingError(
            f"an encoder answers benchmarks of {', '.join(ANSWERED)}, and {bench.name} is of {bench.task}: let a "
            "grounder answer it with whenwhere batch"
        )
    task = ANSWERED[bench.task]
    if task.learns == "always" and train is None:
        raise SettingError(f"{bench.name} is answered by a head that learns: give its training file too (--train FILE)")
    if task.learns == "never" and train is not None:
        raise SettingError(f"nothing is learned for {bench.name}: leave the training file out")
    every = read_items(bench, annotations)
    items = _split(every, "test")
    if not any(item.query for item in items):
        raise SettingError(f"{bench.name} is a file of answers without sentences or videos: name the set itself")
    learned = None if train is None else _split(read_items(bench, train), "train")
    if learned is not None:
        _refuse_tested(learned, items)
    count = len({item.video for item in [*items, *(learned or [])]})
    seen = BenchmarkVideos(encoder, VideoFolder(Path(videos), Path(annotations)), how, count, progress)
    job = BenchmarkJob(encoder, items, every, learned, seen, how)
    predictions = task.answer(job)
    path = Path(out) / task.file
    path.parent.mkdir(parents=True, exist_ok=True)
    task.format.write(path, predictions, items)
    about = {"encoder": encoder.name, "benchmark": bench.name, **job.used}
    about |= {"train": None if train is None else str(train), "notes": job.notes, "unseen": seen.faults}
    write_text(path.parent / "encoder.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    baselines = None if train is None or TASKS[bench.task].truth_in_predictions else Path(train)
    return BenchmarkAnswers(bench, items, path, seen.faults, job.notes, baselines)


def _split(items: list[Item], split: str) -> list[Item]:
    """The items of a split; all items if the file does not name this split."""
    chosen = [item for item in items if item.split == split]
    return chosen or items


def _refuse_tested(train: Sequence[Item], items: Sequence[Item]) -> None:
    """Refuses a training file that holds tested videos, because a head would know their answers."""
    if both := {item.video for item in train} & {item.video for item in items}:
        raise SettingError(
            f"{len(both)} videos are in the training file and in the annotations, such as {min(both)}: give files that "
            "hold different splits"
        )

"""How an encoder answers each task: retrieval, recognition, detection, and open questions (vqa).

A new task is one function from a `BenchmarkJob` to answers by id, and one line in `ANSWERED`.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from whenwhere.datasets.action_lists import class_names
from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError, SettingError
from whenwhere.evaluate.embeddings import class_prompts, class_similarities, cosine_similarities
from whenwhere.evaluate.formats import activitynet, answers, arrays
from whenwhere.evaluate.formats.format import Format
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.ragged import Floats
from whenwhere.models.encoders.encoder import Encoder
from whenwhere.models.encoders.evaluation.benchmark_videos import BenchmarkVideos, SamplingSettings, clip_frames
from whenwhere.models.heads.answer_head import fit_answer_head
from whenwhere.models.heads.linear_probe import fit_linear_probe
from whenwhere.models.heads.localizer import FeatureTrack, Segment, fit_localizer


@dataclass(frozen=True)
class BenchmarkJob:
    """What is asked of an encoder.

    Attributes:
        encoder: The encoder.
        items: The items to answer.
        every: All items of the file of annotations, with other splits; class names are taken from them.
        train: Items that heads learn from. None if there are none.
        videos: The videos.
        settings: How videos and classes are shown.
        notes: Sentences that must stand beside the score; answering adds to them.
        used: The settings that the answers depend on, by name and as JSON values; answering adds to them.
    """

    encoder: Encoder
    items: list[Item]
    every: list[Item]
    train: list[Item] | None
    videos: BenchmarkVideos
    settings: SamplingSettings
    notes: list[str] = field(default_factory=list)
    used: dict[str, Any] = field(default_factory=dict)


def answer_retrieval(job: BenchmarkJob) -> dict[str, Prediction]:
    """Similarities of each sentence with all videos; those of unseen videos are the lowest possible.

    Args:
        job: What is asked. The videos of its items are renumbered without gaps, in place.

    Raises:
        RecordError: None of the videos can be seen.
    """
    job.used.update(_clip_settings(job))
    columns = {old: k for k, old in enumerate(dict.fromkeys(int(item.extra["video"]) for item in job.items))}
    for item in job.items:
        item.extra |= {"video": columns[int(item.extra["video"])], "videos": len(columns)}
    rows: dict[int, Floats] = {}
    # one of the sentences stands for its video
    for column, item in {int(item.extra["video"]): item for item in job.items}.items():
        if (row := job.videos.embedding(item)) is not None:
            rows[column] = row.mean(0)
    if not rows:
        raise job.videos.none_seen(f"{len(columns)} videos")
    table = np.full((len(job.items), len(columns)), -1.0)
    texts = job.encoder.embed_texts([item.query for item in job.items])
    table[:, list(rows)] = cosine_similarities(texts, np.stack(list(rows.values())))
    return {item.id: Prediction(item.id, scores=row) for item, row in zip(job.items, table, strict=True)}


def answer_recognition(job: BenchmarkJob) -> dict[str, Prediction]:
    """Scores of all classes: zero-shot, or by a linear probe if there are training items.

    Scores of an unseen video are NaN, and those of classes without a name the lowest possible.

    Args:
        job: What is asked.

    Raises:
        RecordError: None of the videos can be seen.
        SettingError: The training items have other classes.
    """
    job.used.update(_clip_settings(job))
    names = class_names([*job.every, *(job.train or [])])
    kept, rows = _embedded(job, job.items, "videos")
    table = np.full((len(job.items), len(names)), np.nan)
    place = {item.id: k for k, item in enumerate(job.items)}
    seen = [place[item.id] for item in kept]
    if job.train is not None:
        numbers = {(str(item.answer), int(item.extra["label"])) for item in [*job.items, *job.train]}
        # each number must have one name, and each name one number
        if not len(numbers) == len({name for name, _ in numbers}) == len({label for _, label in numbers}):
            raise SettingError(
                "the classes of the training file are not those of the annotations: give both of one set"
            )
        learned, features = _embedded(job, job.train, "training videos")
        labels = [int(item.extra["label"]) for item in learned]
        probe = fit_linear_probe(features.mean(1), labels, len(names))
        table[seen] = probe.scores(rows.mean(1))
        job.notes.append(f"linear probe on {len(learned)} training videos, C = {probe.strength:g}")
    else:
        named = [k for k, name in enumerate(names) if name]
        how = job.settings
        job.used.update(templates=list(how.templates), ensemble=how.ensemble)
        texts = job.encoder.embed_texts(class_prompts([names[k] for k in named], how.templates))
        table[seen] = -1.0
        table[np.ix_(seen, named)] = class_similarities(
            rows, texts.reshape(len(named), len(how.templates), -1), how.ensemble
        )
    return {item.id: Prediction(item.id, scores=row) for item, row in zip(job.items, table, strict=True)}


def answer_detection(job: BenchmarkJob) -> dict[str, Prediction]:
    """Scored segments of each video, by a small head that learns from the training videos.

    Args:
        job: What is asked.

    Raises:
        RecordError: None of the videos, or of the training videos, can be seen.
        SettingError: The training videos hold no segment.
    """
    job.used.update(sample_fps=job.settings.sample_fps, localizer=asdict(job.settings.localizer))
    train = _tracks(job, job.train or [])
    if not train:
        raise job.videos.none_seen("training videos")
    head = fit_localizer(train, job.settings.localizer)
    tracks = _tracks(job, job.items)
    if not tracks:
        raise job.videos.none_seen("videos")
    job.notes.append(head.describe(job.encoder.name))
    return head.locate(tracks)


def answer_vqa(job: BenchmarkJob) -> dict[str, Prediction]:
    """Answers from the vocabulary of the training questions, by a head on frozen embeddings.

    Args:
        job: What is asked.

    Raises:
        RecordError: None of the videos, or of the training videos, can be seen, or no training question has an answer.
    """
    job.used.update(_clip_settings(job), answer_head=asdict(job.settings.answer_head))
    answered = [item for item in job.train or [] if item.extra["answers"]]
    if not answered:
        raise RecordError("no question of the training file has an answer: give a file with answers to learn from")
    train, seen = _embedded(job, answered, "training videos")
    right = [max(item.extra["answers"], key=item.extra["answers"].count) for item in train]
    questions = job.encoder.embed_texts([item.query for item in train])
    head = fit_answer_head(seen.mean(1), questions, right, job.settings.answer_head)
    asked, rows = _embedded(job, job.items, "videos")
    said = head.answers(rows.mean(1), job.encoder.embed_texts([item.query for item in asked]))
    job.notes.append(f"a head over the {len(head.vocabulary)} answers of {len(train)} training questions")
    return {item.id: Prediction(item.id, answer=answer) for item, answer in zip(asked, said, strict=True)}


def _clip_settings(job: BenchmarkJob) -> dict[str, int]:
    """The settings that embeddings of clips depend on."""
    return {"frames": clip_frames(job.encoder, job.settings), "clips": job.settings.clips}


def _embedded(job: BenchmarkJob, items: Sequence[Item], what: str) -> tuple[list[Item], Floats]:
    """The items whose videos can be seen, and the embeddings of their clips, shape (n, clips, D)."""
    rows: dict[str, Floats | None] = {}
    for item in items:
        if item.video not in rows:
            rows[item.video] = job.videos.embedding(item)
    found = [(item, row) for item in items if (row := rows[item.video]) is not None]
    if not found:
        raise job.videos.none_seen(f"{len(rows)} {what}")
    return [item for item, _ in found], np.stack([row for _, row in found])


def _tracks(job: BenchmarkJob, items: Sequence[Item]) -> list[FeatureTrack]:
    """Features along time of the videos that can be seen, with their segments."""
    videos: dict[str, list[Item]] = {}
    for item in items:
        videos.setdefault(item.video, []).append(item)
    tracks = []
    for video, own in videos.items():
        if (found := job.videos.track(own[0])) is not None:
            segments = [Segment(float(a), float(b), one.query) for one in own for a, b in one.spans if a < b]
            tracks.append(FeatureTrack(video, found[0], found[1], tuple(segments)))
    return tracks


@dataclass(frozen=True)
class AnsweredTask:
    """How a task is answered.

    Attributes:
        answer: Function from what is asked to answers by id.
        format: Format of the file of answers.
        file: Name of that file.
        learns: Whether a head learns from training items: `never`, if there are some, or `always`.
    """

    answer: Callable[[BenchmarkJob], dict[str, Prediction]]
    format: Format
    file: str
    learns: Literal["never", "if given", "always"]


#: Tasks that an encoder answers, by the names in `whenwhere.evaluate.tasks`.
ANSWERED = {
    "retrieval": AnsweredTask(answer_retrieval, arrays.RETRIEVAL, "similarity.npz", "never"),
    "recognition": AnsweredTask(answer_recognition, arrays.RECOGNITION, "scores.npz", "if given"),
    "detection": AnsweredTask(answer_detection, activitynet.FORMAT, "segments.json", "always"),
    "vqa": AnsweredTask(answer_vqa, answers.FORMAT, "answers.jsonl", "always"),
}

"""Actions and boundaries in time, found from an encoder's features of frames."""

from collections.abc import Sequence

import numpy as np

from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import SettingError
from whenwhere.evaluate import detection
from whenwhere.evaluate.boundaries import boundary_scores, novelty
from whenwhere.evaluate.ragged import Floats
from whenwhere.models.encoders.encoder import Encoder
from whenwhere.models.encoders.evaluation.examples import SegmentedFrames
from whenwhere.models.encoders.evaluation.features import frame_features
from whenwhere.models.heads.localizer import FeatureTrack, LocalizerSettings, fit_localizer

#: The measures of a localizer that are reported.
SHOWN = ("mAP@0.5", "mAP@0.75", "mAP@0.95", "mAP")


def feature_tracks(encoder: Encoder, videos: Sequence[SegmentedFrames]) -> list[FeatureTrack]:
    """Frozen features of each video along time, with its segments.

    Args:
        encoder: The encoder.
        videos: The videos.
    """
    tracks = []
    for video in videos:
        rows, covers = frame_features(encoder, video.frames)
        tracks.append(FeatureTrack(video.id, rows, covers / video.fps, video.segments))
    return tracks


def locate_actions(
    encoder: Encoder,
    train: Sequence[SegmentedFrames],
    test: Sequence[SegmentedFrames],
    settings: LocalizerSettings | None = None,
) -> dict[str, float]:
    """Mean average precision (mAP) of actions found by a small anchor-free head, as ActivityNet's evaluator counts.

    Args:
        encoder: The encoder, which stays frozen.
        train: Videos that the head learns from.
        test: Videos that it is tested on.
        settings: How the head is built and trained; `heads.localizer.Localizer.describe` says it in words.

    Returns:
        `mAP@0.5`, `mAP@0.75`, `mAP@0.95` and `mAP` (mean over 0.5:0.05:0.95) in 0-1; `feature-step`, the seconds
        between two features.

    Raises:
        SettingError: A set is empty or has no segments, or features are not finite.
    """
    items = segment_items(test)
    if not train or not items:
        raise SettingError("actions cannot be located without training videos and test segments: give one at least")
    head = fit_localizer(feature_tracks(encoder, train), settings)
    summary = detection.score(items, head.locate(feature_tracks(encoder, test))).summary
    return {name: summary[name] for name in SHOWN} | {"feature-step": head.step}


def segment_items(videos: Sequence[SegmentedFrames]) -> list[Item]:
    """The segments of videos as items of the task `detection`.

    Args:
        videos: The videos.
    """
    return [
        Item(f"{video.id}-{k}", video.id, segment.label, span_array([(segment.start, segment.end)]))
        for video in videos
        for k, segment in enumerate(video.segments)
    ]


def find_boundaries(
    encoder: Encoder, videos: Sequence[SegmentedFrames], tolerance: float = 0.5, width: int = 1, deviations: float = 1.0
) -> dict[str, float]:
    """F1 of boundaries taken from how much an encoder's features change, without any training.

    Args:
        encoder: The encoder.
        videos: Videos with their true boundaries.
        tolerance: Largest difference in seconds.
        width: Features on each side of a time whose means are compared.
        deviations: By how many standard deviations a peak must exceed the mean of the curve.

    Returns:
        The measures of `evaluate.boundaries.boundary_scores`.

    Raises:
        SettingError: There are no videos, or features are not finite.
    """
    curves: list[Floats] = []
    times: list[Floats] = []
    for track in feature_tracks(encoder, videos):
        curves.append(novelty(track.features, width))
        times.append(np.arange(1, len(track.features), dtype=np.float64) * track.step)
    durations = [len(video.frames) / video.fps for video in videos]
    true = [np.array(video.boundaries) for video in videos]
    return boundary_scores(curves, times, true, durations, tolerance, deviations)

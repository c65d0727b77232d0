"""The second-level benchmark's own parts: errors, the ceiling, and a long video that shows its truth."""

import sys
from pathlib import Path

import numpy as np
import pytest

# behind everything else: both folders have a module `clips`
sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
import box_noise
import ceiling
import cost
import long_video
import second_level_tables as tables

from whenwhere import SpanSet, Tube
from whenwhere.video import probe, read_frames


@pytest.mark.parametrize("memory", [0.0, 0.6, 0.9])
def test_measured_errors_are_those_that_were_drawn(memory: float) -> None:
    rng = np.random.default_rng(1)
    times = np.arange(40.0)
    truths, answers = {}, {}
    for k in range(150):
        boxes = np.array([300, 200, 400, 380.0]) + np.tile(np.cumsum(rng.normal(0, 5, (40, 2)), 0), 2)
        truths[str(k)] = Tube(SpanSet([(0, 40)]), times, boxes)
        given = box_noise.shaken(boxes, box_noise.drawn(times, 0.08, memory, rng))
        answers[str(k)] = Tube(SpanSet([(0, 40)]), times, given)
    found = box_noise.measure(truths, answers)
    assert found.size == pytest.approx(0.08, rel=0.08) and found.robust == pytest.approx(0.08, rel=0.08)
    assert found.memory_low - 0.01 <= memory <= found.memory_high + 0.01
    assert found.other < 0.05 and found.answers == 150


def test_errors_fade_with_the_seconds_between_boxes() -> None:
    rng = np.random.default_rng(2)
    dense = box_noise.drawn(np.arange(40_000) / 4, 1.0, 0.5, rng)
    assert (dense[4:] * dense[:-4]).mean() == pytest.approx(0.5, abs=0.05)
    assert (dense[1:] * dense[:-1]).mean() == pytest.approx(0.5**0.25, abs=0.05)


def track(speed: float, seconds: float = 8.0, sway: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    times = 3.3 + np.arange(int(seconds * 30)) / 30
    x = 50 * speed * times + sway * np.sin(2 * times)
    return times, np.stack([x, 0 * x, x + 50, 0 * x + 50], 1)


def test_the_ceiling_rises_with_the_rate_and_falls_with_errors() -> None:
    times, boxes = track(0.4)
    errors = [(0.0, 0.0), (0.05, 0.0), (0.1, 0.0)]
    score, shake = ceiling.score_all(times, boxes, ("linear", "pchip"), errors, np.random.default_rng(0))
    clean = [score[ceiling.key(r, "linear", "none", 0, 0)] for r in ceiling.RATES]
    assert clean == sorted(clean) and 98 < clean[-1] <= 100
    noisy = [score[ceiling.key(1, "linear", "none", s, 0)] for s in (0, 0.05, 0.1)]
    assert noisy == sorted(noisy, reverse=True) and noisy[2] < noisy[0] - 5
    assert set(score) == set(shake) and len(score) == 4 * 2 * 4 * 3
    assert score[ceiling.key(1, "linear", "hampel", 0, 0)] == score[ceiling.key(1, "linear", "none", 0, 0)]


@pytest.mark.parametrize(("rate", "quartile"), [(0.05, "slowest"), (0.2, "second"), (0.5, "third"), (3.0, "fastest")])
def test_motion_is_measured_in_box_sizes_per_second(rate: float, quartile: str) -> None:
    x = 50 * rate * np.arange(120) / 30
    speed = ceiling.speed(np.stack([x, 0 * x, x + 50, 0 * x + 50], 1), 30)
    assert speed == pytest.approx(rate, rel=1e-6) and ceiling.quartile(speed) == quartile


def test_tables_are_made_from_rows(tmp_path: Path) -> None:
    errors = ceiling.noises({"m": (0.03, 0.8)})
    rows = []
    for k, speed in enumerate((0.05, 0.2, 0.5, 1.5)):
        times, boxes = track(speed, 4 + k, sway=1.0)
        rows.append(ceiling.track_row(f"a/{k}", f"a{k}", times, boxes, errors, 7 * k))
    result = tables.ceiling_report(rows)
    text = "\n".join(tables.ceiling_markdown(result, {}, errors))
    assert result["tracks"]["n"]["all"] == 4 and "| 1 | linear |" in text and "nan" not in text


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    return path, long_video.write(path, 24, 10)


def test_what_is_true_of_the_long_video_is_to_be_seen_in_it(long_clip) -> None:
    path, truths = long_clip
    info = probe(path)
    assert len(info.times) == 240 and info.duration == pytest.approx(24, abs=0.11)
    pictures = read_frames(info, info.times).images
    moved = (np.abs(pictures.astype(np.int16) - np.median(pictures[::8], axis=0).astype(np.int16)) > 40).any(-1)
    there = np.zeros(240, bool)
    for truth, channel in zip(truths[:2], (0, 2), strict=True):
        here = truth.spans.index(info.times + 1e-6) >= 0
        there |= here
        for k in np.flatnonzero(here)[::7]:
            x1, y1, x2, y2 = truth.seen.boxes_at([info.times[k]])[0].astype(int)
            rows, columns = np.nonzero(moved[k])
            seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(np.array([x1, y1, x2, y2]) - seen).max() <= 5
            middle = pictures[k, (y1 + y2) // 2, (x1 + x2) // 2].astype(int)
            assert middle[channel] > middle[2 - channel] + 100
    assert ((moved.sum((1, 2)) > 400) == there).all()
    assert not truths[2].spans


def test_second_level_costs_a_tenth_of_framewise(long_clip) -> None:
    path, truths = long_clip
    info = probe(path)
    world = cost.World([truths[0]])
    ours = cost.asked(truths[0], info, world, cost.SecondLevel, 2.0, 1.0)
    every = cost.asked(truths[0], info, world, cost.Framewise, None, 10)
    # ten frames a second here; the benchmark's clips have 25
    assert every["calls"] == 240 > 10 * ours["calls"] and every["output_tokens"] > 3 * ours["output_tokens"]
    assert every["v"] > ours["v"] > 80 and ours["t"] > 98

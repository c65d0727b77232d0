"""The pipelines are correct: given answers computed from a staged clip's truth, they return that truth.

Only what the way of asking loses may be lost: a tenth of a second at each end, thousandths in the boxes, and what lies
between two seconds. The computed model is checked too: it must not know more than it was shown.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from world_server import NAMES, Asked, Faults, World, WorldBackend, known, world_model, world_server

from whenwhere import SpanSet, Tube, s_iou, t_iou, v_iou
from whenwhere.answers import FORMS, parse
from whenwhere.answers.dialects import DIALECTS
from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.framewise import Framewise
from whenwhere.grounders.second_level import SecondLevel
from whenwhere.grounders.uniform import Uniform
from whenwhere.stage import render_clip
from whenwhere.tracking import second_level_times
from whenwhere.video import probe

#: those that are asked for the time and for places one after the other
APART = [name for name, d in DIALECTS.items() if not d.joint]
BOXES = [name for name in APART if DIALECTS[name].coordinates and not DIALECTS[name].points]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("world") / "clip.mp4"
    scene = render_clip(path, 3, width=320, height=180, seconds=12, sound=False)
    assert sum(q.absent for q in scene.sentences) == 1 and len(scene.sentences) >= 5
    return path, probe(path), scene


def exact(truth) -> Tube:
    """The boxes of the sentence itself, inside its spans."""
    inside = truth.seen.times[truth.spans.index(truth.seen.times + 1e-9) >= 0]
    return Tube(truth.spans, inside, truth.seen.boxes_at(inside), rate=truth.seen.rate)


def oracle(truth, spans: SpanSet, rate: float, info) -> Tube:
    """The best boxes possible at the second-level times of these spans."""
    times = np.concatenate([second_level_times(s, rate, info.last_before(s.end)) for s in spans])
    boxes = truth.seen.boxes_at(info.times[info.shown(times)])
    keep = ~np.isnan(boxes[:, 0])
    return Tube(spans, times[keep], boxes[keep], rate=rate)


def scores(clip, faults: Faults, by=SecondLevel, dialect="qwen3-vl", most=9, **asked) -> tuple[float, float, float]:
    """Mean t_IoU, s and v_IoU over the sentences that are true somewhere."""
    _, info, scene = clip
    rows = []
    for truth in known(scene):
        if not truth.spans or len(rows) == most:
            continue
        found = by(WorldBackend(World([truth], faults), DIALECTS[dialect])).ground(
            info, GroundingRequest(truth.text, **asked)
        )
        tube = found.tubes[0] if found.tubes else Tube(SpanSet())
        t = t_iou(truth.spans, found.spans)
        rows.append(
            (t, s_iou(exact(truth), tube) if len(tube) else 0.0, v_iou(exact(truth), tube) if len(tube) else 0.0)
        )
    return tuple(np.mean(rows, 0))


# --- the pipeline


@pytest.mark.parametrize("dialect", APART)
def test_true_answers_give_the_truth_in_every_dialect(clip, dialect: str) -> None:
    _, info, scene = clip
    for truth in known(scene):
        backend = WorldBackend(World(known(scene)), DIALECTS[dialect])
        found = SecondLevel(backend).ground(info, GroundingRequest(truth.text))
        assert found.status == ("answered" if truth.spans else "absent")
        assert len(found.spans) == len(truth.spans)
        for true, said in zip(truth.spans, found.spans, strict=True):
            # a tenth of a second in text, and one frame of 15 a second that a look at 10 a second may miss
            assert abs(true.start - said.start) < 0.12 and abs(true.end - said.end) < 0.12
        if truth.spans and truth.spans.duration > 6:
            assert t_iou(truth.spans, found.spans) >= 0.98
        if truth.spans and dialect in BOXES:
            best = s_iou(exact(truth), oracle(truth, found.spans, 1.0, info))
            assert s_iou(exact(truth), found.tubes[0]) == pytest.approx(best, abs=0.06)
            assert not found.warnings
        elif truth.spans:
            # families with points, or without places, say so
            assert len(found.warnings) == 1 and (len(found.tubes) == 1) == DIALECTS[dialect].points


@pytest.mark.parametrize("rate", [0.5, 4.0])
def test_boxes_are_only_lost_between_the_seconds(clip, rate: float) -> None:
    _, info, scene = clip
    for truth in known(scene):
        found = SecondLevel(WorldBackend(World([truth]), DIALECTS["qwen2.5-vl"])).ground(
            info, GroundingRequest(truth.text, rate=rate)
        )
        if truth.spans:
            assert found.tubes[0].rate == rate
            best = s_iou(exact(truth), oracle(truth, found.spans, rate, info))
            # qwen2.5-vl answers in whole pixels of small frames
            assert s_iou(exact(truth), found.tubes[0]) == pytest.approx(best, abs=0.04)


def test_more_boxes_a_second_are_better_and_framewise_is_exact(clip) -> None:
    by_rate = [scores(clip, Faults(), rate=r)[1] for r in (0.5, 1.0, 4.0)]
    assert by_rate == sorted(by_rate) and by_rate[-1] > by_rate[0] + 0.03
    t, s, _ = scores(clip, Faults(), Framewise)
    assert t > 0.999 and s > 0.97 and s > by_rate[-1]


def test_uniform_sees_what_its_frames_show(clip) -> None:
    few, many = (scores(clip, Faults(), Uniform, sample_fps=n / 12)[0] for n in (6, 64))
    assert many > 0.95 and few < many - 0.05


@pytest.mark.parametrize(
    ("fault", "values", "score"),
    [
        ("ends", (0.0, 0.3, 3.0), 0), ("size", (0.0, 0.05, 0.3), 1), ("outliers", (0.0, 0.2, 0.6), 1),
        ("missed", (0.0, 0.3, 0.8), 1), ("blind", (0.0, 1.0), 0), ("cut", (0.0, 0.5, 1.0), 2),
    ],
)  # fmt: skip
def test_worse_answers_give_worse_scores(clip, fault: str, values: tuple[float, ...], score: int) -> None:
    got = [np.mean([scores(clip, Faults(seed=s, **{fault: v}), most=3)[score] for s in range(2)]) for v in values]
    assert got == sorted(got, reverse=True) and got[-1] < got[0] - 0.05


def test_samples_that_agree_are_confident(clip) -> None:
    _, info, scene = clip
    truth = next(t for t in known(scene) if t.spans)
    sure, vague = (
        SecondLevel(WorldBackend(World([truth], Faults(ends=e)), DIALECTS["qwen3-vl"])).ground(
            info, GroundingRequest(truth.text, samples=4)
        )
        for e in (0.0, 1.5)
    )
    assert sure.confidence == 1.0 and vague.confidence < 0.8


@pytest.mark.parametrize("dialect", ["qwen3-vl", "qwen2.5-vl"])
def test_the_command_line_over_the_protocol_gives_the_same(cli, clip, dialect: str, tmp_path: Path) -> None:
    path, info, scene = clip
    world = World(known(scene))
    sentences = [q.text for q in scene.sentences]
    with world_server(world) as server:
        done = cli(
            "ground", path, *sentences, "--model", f"{server.url}#{NAMES[dialect]}", "--json", "--fill", "linear",
            "--out", tmp_path / "out", "--cache", tmp_path / "cache",
        )  # fmt: skip
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["query"] for r in records] == sentences
    for truth, record in zip(known(scene), records, strict=True):
        here = SecondLevel(WorldBackend(world, DIALECTS[dialect])).ground(info, GroundingRequest(truth.text))
        assert record["status"] == here.status
        spans = SpanSet((s["start"], s["end"]) for s in record["spans"])
        # times go to a server in tenths of a second
        assert t_iou(spans, here.spans) > 0.93
        assert all(min(abs(x - y) for y in (*here.spans.starts, *here.spans.ends)) < 0.12
                   for x in (*spans.starts, *spans.ends))  # fmt: skip
        if truth.spans:
            boxes = record["tubes"][0]["boxes"]
            tube = Tube(spans, [b["t"] for b in boxes], [b["box"] for b in boxes])
            assert s_iou(here.tubes[0], tube) > 0.85
            assert record["cost"]["calls"] >= 4 and record["cost"]["output_tokens"] > 0


# --- the computed model itself


def test_it_knows_no_more_than_it_was_shown(clip) -> None:
    _, _, scene = clip
    truth = max(known(scene), key=lambda t: t.spans.duration)
    world, dialect = World([truth]), DIALECTS["qwen3-vl"]
    start, end = float(truth.spans.starts[0]), float(truth.spans.ends[-1])
    before = np.arange(0, start - 0.5, 0.5) if start > 1 else np.arange(end + 0.1, 12, 0.5)
    said = world.answer(Asked(dialect.ask_when(truth.text, 12.0), before, (320, 180)), dialect)
    assert parse(said, form="spans").status == "absent"
    middle = (start + end) / 2
    shown = np.array([middle, middle + 0.5])
    said = world.answer(Asked(dialect.ask_where(truth.text, "it", [middle, middle + 3]), shown, (320, 180)), dialect)
    assert [b.time for b in FORMS["qwen3-vl"].parse(said).boxes] == [pytest.approx(middle, abs=0.06)]


def test_errors_belong_to_times_not_to_calls(clip) -> None:
    _, _, scene = clip
    truth = max(known(scene), key=lambda t: t.spans.duration)
    dialect, times = DIALECTS["qwen3-vl"], np.arange(1.0, 7.0)

    def boxes(world, asked: np.ndarray) -> dict:
        said = world.answer(Asked(dialect.ask_where(truth.text, "it", asked.tolist()), asked, (320, 180)), dialect)
        return {b.time: b.box for b in FORMS["qwen3-vl"].parse(said).boxes}

    faults = Faults(size=0.1, memory=0.5, outliers=0.3)
    whole = boxes(World([truth], faults), times)
    parts = boxes(World([truth], faults), times[3:]) | boxes(World([truth], faults), times[:3])
    assert whole == parts and len(whole) == 6
    assert boxes(World([truth], Faults(size=0.1, memory=0.5, outliers=0.3, seed=1)), times) != whole


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_errors_have_the_size_and_memory_that_they_say(clip, memory: float) -> None:
    _, _, scene = clip
    truth = known(scene)[0]
    walk = World([truth], Faults(size=1.0, memory=memory))._walk("x", 60_000)
    assert walk[5000:].std() == pytest.approx(1, abs=0.06)
    correlation = (walk[5000:-10] * walk[5010:]).mean() / walk[5000:].var()
    assert correlation == pytest.approx(memory, abs=0.06)


def test_a_question_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="no question of the dialect"):
        world_model().question("hello", DIALECTS["qwen3-vl"])

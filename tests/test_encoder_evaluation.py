"""Each measure of an encoder, on an encoder that sees colours and nothing else, so that every result is known."""

import json
from dataclasses import replace

import numpy as np
import pretrain_runs
import pytest
from colour_encoder import COLOURS, NAMES, ColourEncoder, plain

pytest.importorskip("torch")

import torch

from whenwhere.errors import RecordError, SettingError
from whenwhere.evaluate.item_values import read_item_values
from whenwhere.models.encoders.config import EncoderConfig, TextConfig, VideoConfig
from whenwhere.models.encoders.evaluation import examples, localization, pointing, recognition, retrieval, shapes
from whenwhere.models.encoders.evaluation.features import embed_videos, frame_features
from whenwhere.models.encoders.evaluation.finetune import FinetuneSettings, finetune_questions, finetune_recognition
from whenwhere.models.encoders.evaluation.questions import answer_questions
from whenwhere.models.encoders.model import VideoTextModel
from whenwhere.models.heads.answer_head import AnswerHeadSettings
from whenwhere.models.heads.localizer import LocalizerSettings, Segment
from whenwhere.stage.shapes.corpus import shapes_corpus
from whenwhere.stage.shapes.scales import ScaleSettings
from whenwhere.training.evaluators import build_evaluators, find_evaluator, read_evaluators
from whenwhere.training.recipe import load
from whenwhere.training.remeasure import measure_run
from whenwhere.training.run import train
from whenwhere.video.write import FrameWriter

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]


def test_perfect_retrieval_and_pairs():
    pool = [examples.CaptionedFrames(plain(name), f"it is {name}") for name in NAMES]
    found = retrieval.score_retrieval(ColourEncoder(), pool)
    assert found["t2v-R@1"] == found["v2t-R@1"] == found["dual-softmax-t2v-R@1"] == found["ceiling-R@1"] == 1
    pairs = [examples.FramesPair(pool[0], pool[1], "colour"), examples.FramesPair(pool[2], pool[2], "same")]
    found = retrieval.score_pairs(ColourEncoder(), pairs)
    assert found["pair-both/colour"] == 1 and found["pair-both/same"] == 0 and found["pair-t2v"] == 0.5
    with pytest.raises(SettingError, match="pool of retrieval is empty"):
        retrieval.score_retrieval(ColourEncoder(), [])
    with pytest.raises(SettingError, match="hard pool is empty"):
        retrieval.score_pairs(ColourEncoder(), [])
    with pytest.raises(SettingError, match="8 of 8 embeddings of sentences are not finite"):
        retrieval.score_retrieval(ColourEncoder(broken=True), pool)


def test_several_sentences_of_one_clip():
    encoder = ColourEncoder()
    pool = [examples.CaptionedFrames(plain(n), f"{word} {n}", n) for n in NAMES[:3] for word in ("it is", "see")]
    found = retrieval.score_retrieval(encoder, pool)
    assert found["t2v-R@1"] == found["v2t-R@1"] == 1 and encoder.seen == 3
    # two clips share a sentence: one of its two queries must fail
    shared = [examples.CaptionedFrames(plain("red"), "it is red"), examples.CaptionedFrames(plain("pink"), "it is red")]
    found = retrieval.score_retrieval(encoder, shared)
    assert found["ceiling-R@1"] == found["t2v-R@1"] == 0.5


def test_clips_of_several_sizes_and_several_clips_of_a_video():
    encoder = ColourEncoder()
    small = np.full((4, 32, 16, 3), 255, np.uint8)
    assert embed_videos(encoder, [plain("white"), small, plain("white")]).shape == (3, 4)
    several = embed_videos(encoder, [np.stack([plain("red"), plain("blue")])] * 3)
    assert several.shape == (3, 2, 4) and np.allclose(several[1], embed_videos(encoder, [plain("red"), plain("blue")]))
    with pytest.raises(SettingError, match="1 and 2 clips cannot be compared"):
        embed_videos(encoder, [plain("red"), np.stack([plain("red")] * 2)])
    with pytest.raises(SettingError, match="no clips cannot be compared"):
        embed_videos(encoder, [])


def test_zero_shot_recognition_and_a_probe():
    videos = [examples.LabelledFrames(np.stack([plain(name)] * 2), name) for name in NAMES * 2]
    found = recognition.zero_shot(ColourEncoder(), videos, NAMES).measures()
    assert found["top-1"] == found["mean-top-1-5"] == found["mean-class-accuracy"] == 1 and found["chance"] == 1 / 8
    found = recognition.probe(ColourEncoder(), videos * 3, videos, NAMES).measures()
    assert found["top-1"] == 1 and "C" in found
    with pytest.raises(SettingError, match="not in the list of 2 classes"):
        recognition.zero_shot(ColourEncoder(), videos, NAMES[:2])
    with pytest.raises(SettingError, match="at least one"):
        recognition.zero_shot(ColourEncoder(), [], NAMES)
    with pytest.raises(SettingError, match="0 training and 16 test videos"):
        recognition.probe(ColourEncoder(), [], videos, NAMES)


def test_questions_that_need_the_picture_and_questions_that_do_not():
    asked = [examples.ClipQuestion(k, "what is it", name, "look") for k, name in enumerate(NAMES)]
    asked += [examples.ClipQuestion(k, "say red", "red", "word") for k in range(8)]
    clips = examples.QuestionSet([plain(name) for name in NAMES], asked)
    found = answer_questions(
        ColourEncoder(), clips, clips, AnswerHeadSettings(hidden=32, steps=100, batch=16, learning_rate=1e-2)
    )
    assert found["accuracy/look"] == found["accuracy/word"] == found["question-only-accuracy/word"] == 1
    assert found["question-only-accuracy/look"] <= 0.25 and found["chance-accuracy/look"] == 1 / 8
    assert found["constant-accuracy/look"] == 1 / 8 and found["constant-accuracy/word"] == 1
    with pytest.raises(SettingError, match="no questions to answer"):
        answer_questions(ColourEncoder(), clips, examples.QuestionSet([], []))


def coloured_video(number: int) -> examples.SegmentedFrames:
    """Black frames, two per second, with two coloured stretches on a black ground."""
    rng = np.random.default_rng(number)
    frames, found, at = np.zeros((32, 16, 16, 3), np.uint8), [], int(rng.integers(1, 5))
    for _ in range(2):
        end, name = at + 2 * int(rng.integers(2, 5)), NAMES[int(rng.integers(3))]
        frames[at:end] = plain(name, 1)
        found.append(Segment(at / 2, end / 2, name))
        at = end + int(rng.integers(4, 8))
    edges = sorted({t for s in found for t in (s.start, s.end)})
    return examples.SegmentedFrames(f"v{number}", frames, 2.0, tuple(found), tuple(edges))


def test_actions_and_boundaries_of_planted_stretches():
    videos = [coloured_video(k) for k in range(40)]
    quick = LocalizerSettings(width=16, depth=2, levels=2, steps=80, batch=8, learning_rate=1e-2, most=20)
    found = localization.locate_actions(ColourEncoder(frames=1), videos[:30], videos[30:], quick)
    assert found["mAP@0.5"] > 0.9 and found["feature-step"] == 0.5
    scores = localization.find_boundaries(ColourEncoder(frames=1), videos, tolerance=0.0)
    assert scores["boundary-F1"] == scores["boundary-F1-count"] == 1 > scores["boundary-F1-even"]
    still = replace(videos[0], boundaries=())
    assert list(localization.find_boundaries(ColourEncoder(frames=1), [still])) == ["boundary-F1"]
    with pytest.raises(SettingError, match="width is 0"):
        localization.find_boundaries(ColourEncoder(), videos, width=0)
    with pytest.raises(SettingError, match="without training videos"):
        localization.locate_actions(ColourEncoder(), [], videos)


@pytest.mark.parametrize("count", [1, 3, 4, 7, 9, 12])
def test_windows_cover_every_frame(count):
    """The colour of a step is the same however windows fall, and two frames make a step."""
    frames = np.repeat(np.arange(count) % 2 == 1, 16 * 16 * 3).reshape(count, 16, 16, 3).astype(np.uint8) * 255
    alone, covers = frame_features(ColourEncoder(frames=1), frames)
    assert covers == 1 and len(alone) == count
    rows, covers = frame_features(ColourEncoder(frames=4), frames)
    assert covers == 2 and rows.shape == (-(-count // 2), 4)
    if count % 2 == 0:
        assert np.allclose(rows, rows[0])
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)


def spot(name: str, x: int, y: int) -> examples.NamedBoxes:
    """A square of one cell in one of three colours, and one in the next colour below; the largest box is elsewhere."""
    frames = np.zeros((4, 16, 16, 3), np.uint8)
    frames[:, 12:, :4] = np.array(COLOURS[NAMES[(NAMES.index(name) + 1) % 3]]) * 255
    frames[:, y * 4 : y * 4 + 4, x * 4 : x * 4 + 4] = np.array(COLOURS[name]) * 255
    box = np.array([x, y, x + 1, y + 1]) / 4
    boxes = np.tile(box, (4, 1))
    boxes[2:] = np.nan
    big = np.array([0.0, 0.5, 0.5, 1.0])
    return examples.NamedBoxes(frames, f"{name} square", boxes, np.tile(big, (4, 1)))


def test_pointing_at_what_is_named():
    seen = [spot("red", 2, 0), spot("green", 3, 3), spot("blue", 2, 1)]
    found = pointing.score_pointing(ColourEncoder(), seen)
    assert found["patch-pointing"] == found["group-pointing"] == found["group-box-IoU"] == 1
    assert found["pointing-random"] == 1 / 16 and found["pointing-centre"] == found["pointing-largest"] == 0
    # two of the three groups hold a patch, and one of them is right
    assert found["group-pointing-random"] == 0.5
    # a clip in which three groups hold a patch, one of them the right one, counts as much as one with two
    third = replace(seen[0], frames=seen[0].frames.copy())
    third.frames[:, :4, :4] = np.array(COLOURS["blue"]) * 255
    random = pointing.score_pointing(ColourEncoder(), [seen[0], third])["group-pointing-random"]
    assert random == pytest.approx((1 / 2 + 1 / 3) / 2)
    without = pointing.score_pointing(ColourEncoder(groups=False), seen)
    assert without["patch-pointing"] == 1 and not [key for key in without if key.startswith("group")]
    short = replace(seen[1], frames=seen[1].frames[:2], boxes=seen[1].boxes[:2], largest=seen[1].largest[:2])
    assert pointing.score_pointing(ColourEncoder(), [seen[0], short])["patch-pointing"] == 1
    with pytest.raises(SettingError, match="level of a heat map's box is 2"):
        pointing.score_pointing(ColourEncoder(), seen, level=2.0)
    hidden = replace(seen[0], boxes=np.full((4, 4), np.nan))
    with pytest.raises(SettingError, match="none of what the 1 examples name is visible"):
        pointing.score_pointing(ColourEncoder(), [hidden])
    with pytest.raises(SettingError, match="nothing to point at"):
        pointing.score_pointing(ColourEncoder(), [])


def test_boxes_of_steps_that_do_not_divide_the_frames():
    boxes = np.tile([0.0, 0.0, 1.0, 1.0], (5, 1)) * np.arange(1, 6)[:, None]
    assert pointing.step_boxes(boxes, 2)[:, 2].tolist() == [2.0, 4.5]
    assert np.isnan(pointing.step_boxes(boxes[:1], 2)[1]).all()


def test_examples_of_shapes_are_true():
    """A box holds its shape's colour, boundaries are ends of actions, and a corpus of pairs names two shapes."""
    corpus = shapes_corpus("pairs", split="val")
    assert len({one.caption for one in shapes.captioned_pool(corpus, 6)}) == 6
    whole = shapes.captioned_pool(corpus, 2, scale=ScaleSettings("truth"))
    for one, own in zip(whole, shapes.captioned_pool(corpus, 2), strict=True):
        assert one.caption.startswith(own.caption) and len(one.caption) > len(own.caption)
    named = shapes.named_boxes(corpus, 3)
    assert len(named) == 6 and not any(one.noun.startswith("the ") for one in named)
    for one in named:
        area = [np.nanmax((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])) for b in (one.boxes, one.largest)]
        assert area[0] <= area[1] <= 1
    video = shapes.segmented_videos(shapes_corpus("varied"), 1)[0]
    ends = {t for segment in video.segments for t in (segment.start, segment.end)}
    assert set(video.boundaries) == ends - {0.0, len(video.frames) / video.fps}
    asked = shapes.question_set(corpus, 4)
    assert {question.clip for question in asked.questions} <= set(range(4)) and asked.questions
    assert {pair.kind for pair in shapes.pairs_pool(corpus, 3)} == {"colour", "texture", "action"}
    assert len({one.label for one in shapes.labelled_clips(corpus, 8)}) == 8


def small_model() -> VideoTextModel:
    torch.manual_seed(0)
    video = VideoConfig(image_size=16, frames=4, patch=8, tubelet=2, width=16, layers=1, heads=2, output=8)
    words = ["what is it say", *NAMES]
    return VideoTextModel.from_words(
        EncoderConfig(video, TextConfig(width=16, layers=1, heads=2, context=8, output=8)), words
    )


QUICK = FinetuneSettings(steps=40, batch=16, learning_rate=1e-2, head_learning_rate=3e-2, weight_decay=0.0)


def test_fine_tuning_learns_what_was_not_known_and_leaves_the_model_alone():
    model = small_model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    clips = [examples.LabelledFrames(plain(name), name) for name in NAMES * 2]
    first = finetune_recognition(model, clips, clips, NAMES, QUICK)
    assert first.measures()["top-1"] == 1
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert np.array_equal(finetune_recognition(model, clips, clips, NAMES, QUICK).scores, first.scores)
    with pytest.raises(SettingError, match="not in the list"):
        finetune_recognition(model, clips, clips, NAMES[:3], QUICK)


def test_fine_tuning_answers_questions():
    asked = [examples.ClipQuestion(k, "what is it", name, "look") for k, name in enumerate(NAMES)]
    asked += [examples.ClipQuestion(k, "say red", "red", "word") for k in range(8)]
    clips = examples.QuestionSet([plain(name) for name in NAMES], asked)
    found = finetune_questions(small_model(), clips, clips, QUICK)
    assert found["accuracy"] == 1 and found["chance-accuracy/look"] == 1 / 8
    with pytest.raises(SettingError, match="no questions"):
        finetune_questions(small_model(), clips, examples.QuestionSet([], []), QUICK)


TABLES = {
    "retrieval": {"metric": "t2v-R@1", "pairs": 3},
    "recognition": {"metric": "top-1"},
    "probe": {"metric": "mean-class-accuracy", "train": {"count": 8}},
    "qa": {"metric": "accuracy", "train": {"count": 4}, "head": {"steps": 2, "hidden": 4}},
    "localization": {"metric": "mAP", "train": {"count": 4}, "head": {"steps": 2, "width": 8}},
    "pointing": {"metric": "patch-pointing"},
    "boundaries": {"metric": "boundary-F1"},
}


@pytest.mark.parametrize("kind", TABLES)
def test_each_kind_of_evaluator_measures_the_encoder_of_an_objective(kind):
    table = {"name": "a", "kind": kind, "every": 1, "data": {"count": 8, "world": {"split": "val"}}} | TABLES[kind]

    class Objective:
        made = ColourEncoder()

        def encoder(self) -> ColourEncoder:
            return self.made

    (one,) = build_evaluators(read_evaluators([table], "recipe"), {}, Objective())  # type: ignore[arg-type]
    metrics, value = one.measure()
    assert 0 <= value <= 1 and all(np.isfinite(number) for number in metrics.values())
    assert one.measure()[0] == metrics
    values: dict[str, list[float]] = {}
    for item in one.item_values():
        values.setdefault(item.metric.removeprefix("a/"), []).append(item.value)
    assert bool(values) == (kind not in ("localization", "boundaries"))  # their metrics are no means over items
    for name, own in values.items():
        assert np.mean(own) == pytest.approx(metrics[name])
    settings = find_evaluator(kind).settings
    assert [name for name in settings.METRICS if name not in metrics] == []  # type: ignore[attr-defined]


def test_retrieval_of_real_videos_while_training(tmp_path):
    rows = ["key,vid_key,video_id,sentence"]
    for number, name in enumerate(NAMES):
        with FrameWriter(tmp_path / f"video{number}.mp4", 32, 32, 8) as writer:
            for image in plain(name, 8).repeat(2, 1).repeat(2, 2):
                writer.write(image)
        rows += [f"ret{number}{word},msr{number},video{number},it is {name} {word}" for word in ("now", "here")]
    (tmp_path / "video3.mp4").write_bytes(b"no video")
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")
    data = {"kind": "msrvtt", "annotations": str(tmp_path / "pairs.csv"), "nouns": "none"}
    table = {"name": "a", "kind": "retrieval", "every": 1, "metric": "t2v-R@1", "data": data}

    class Objective:
        def encoder(self) -> ColourEncoder:
            return ColourEncoder()

    (one,) = build_evaluators(read_evaluators([table], "recipe"), {}, Objective())  # type: ignore[arg-type]
    metrics, value = one.measure()
    assert value == metrics["v2t-R@1"] == 1 and metrics["unread_clips"] == 2


def test_a_run_of_pre_training_is_measured(tmp_path):
    """The stage hands its encoder out, and metrics of two kinds are written before and after the updates."""
    shape = 'every = 9\nat_start = true\ndata = { count = 6, world = { split = "val", frames = 4 } }\n'
    kinds = {"retrieval": "t2v-R@1", "pointing": "group-pointing"}
    tables = [f'[[evaluators]]\nname = "{k}"\nkind = "{k}"\nmetric = "{m}"\n{shape}' for k, m in kinds.items()]
    pretrain_runs.train(tmp_path, "train.max_steps=2", text=pretrain_runs.RECIPE + "".join(tables))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for kind, metric in kinds.items():
        assert [line["step"] for line in lines if f"eval/{kind}/{metric}" in line] == [0, 2]
        items = [one.value for one in read_item_values(tmp_path / "run" / "items" / f"{kind}.jsonl")
                 if one.metric == f"{kind}/{metric}"]  # fmt: skip
        assert np.mean(items) == pytest.approx(lines[-1].get(f"eval/{kind}/{metric}", np.mean(items)))


def test_a_finished_run_is_measured_again_without_training(tmp_path):
    """Evaluators that are added later find what they would have found in the run itself."""
    table = '[[evaluators]]\nname = "one"\nkind = "retrieval"\nmetric = "t2v-R@1"\nevery = 9\nat_start = false\n'
    table += 'data = { count = 6, world = { split = "val", frames = 4 } }\n'
    (tmp_path / "first.toml").write_text(pretrain_runs.RECIPE + table)
    train(load(str(tmp_path / "first.toml"), ["max_steps=2"]), tmp_path / "run", device="cpu")
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    (tmp_path / "again.toml").write_text(pretrain_runs.RECIPE + table.replace("one", "two"))
    recipe = load(str(tmp_path / "again.toml"), ["max_steps=2"])
    before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    found = measure_run(recipe, tmp_path / "run", device="cpu")
    assert {f"eval/{key.replace('two', 'one')}": value for key, value in found.metrics.items()}.items() <= last.items()
    assert {one.metric for one in found.items} >= {"two/t2v-R@1"}
    assert before == {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    (tmp_path / "run" / "checkpoint").rename(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match=r"has not finished, its last state is that of update 2: resume it"):
        measure_run(recipe, tmp_path / "run", device="cpu")
    with pytest.raises(RecordError, match="no run whose model"):
        measure_run(recipe, tmp_path / "other")
    with pytest.raises(SettingError, match=r"learning_rate"):
        measure_run(load(str(tmp_path / "again.toml"), ["max_steps=2", "learning_rate=1"]), tmp_path / "run")


def test_tables_of_evaluators_that_cannot_be():
    def read(kind: str, **changes: object) -> None:
        read_evaluators([{"name": "a", "kind": kind, "every": 1, "data": {"count": 8}} | TABLES[kind] | changes], "r")

    with pytest.raises(SettingError, match=r"has no metric 'top1'.*top-1"):
        read("recognition", metric="top1")
    with pytest.raises(SettingError, match="needs pairs"):
        read("retrieval", metric="pair-t2v", pairs=0)
    with pytest.raises(SettingError, match="needs the exact truth of shapes"):
        read("pointing", data={"kind": "msrvtt", "annotations": "x.csv"})
    with pytest.raises(SettingError, match="needs count"):
        read("pointing", data={})

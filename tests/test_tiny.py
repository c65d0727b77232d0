"""The tiny policy: a genuine checkpoint folder, exact patches, one token per time, and answers with time and places.

Most policies here are a few thousand random numbers: what they say means nothing; that they are built, loaded, asked,
read and packed is what is tested. What a policy that is right would give is tested with one that is told the truth. The
one of the package is asked about clips that it has never seen.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from forked import TORCH

import whenwhere
from whenwhere.answers import FORMS, ParsedAnswer, TimedBox, parse
from whenwhere.answers.dialects import DIALECTS
from whenwhere.errors import MissingExtraError, ModelError, SettingError
from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.joint import Joint
from whenwhere.grounders.pipelines import build_pipeline
from whenwhere.models import shipped as packing
from whenwhere.models import tiny
from whenwhere.models.backends.base import ModelBackend, ModelCall, ModelReply
from whenwhere.models.backends.local import LocalBackend
from whenwhere.models.trained import FILE, Trained, read
from whenwhere.models.vlm import Checkpoint
from whenwhere.overlap import t_iou
from whenwhere.records import Grounding
from whenwhere.settings import GroundingSettings
from whenwhere.spans import Span, SpanSet
from whenwhere.stage.shapes.words import SHAPES_WORDS
from whenwhere.training.recipe import load
from whenwhere.video import FrameWriter, probe

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]
SMALL: dict[str, Any] = {
    "hidden": 32, "layers": 1, "mlp": 1, "vision_hidden": 32, "vision_layers": 2, "vision_mlp": 1, "deepstack": (0,),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build(tmp_path_factory.mktemp("tiny") / "policy", seed=3, **SMALL)


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return Checkpoint(str(folder), device="cpu", offline=True)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 s of a white square that runs to the right on black, 96x64."""
    path = tmp_path_factory.mktemp("clips") / "runs.mp4"
    with FrameWriter(path, 96, 64, 10) as writer:
        for k in range(80):
            frame = np.zeros((64, 96, 3), np.uint8)
            frame[20:36, k : k + 16] = 255
            writer.write(frame)
    return path


def frames(n: int, height: int = 64, width: int = 64, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


# --- the checkpoint


def test_the_folder_is_a_checkpoint_of_the_family(folder: Path, checkpoint: Checkpoint) -> None:
    from transformers import (
        AutoModelForImageTextToText,
        AutoProcessor,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
    )

    assert isinstance(AutoModelForImageTextToText.from_pretrained(folder), Qwen3VLForConditionalGeneration)
    assert isinstance(AutoProcessor.from_pretrained(folder), Qwen3VLProcessor)
    assert checkpoint.config.model_type == "qwen3_vl" and checkpoint.dialect == DIALECTS["tiny"]
    assert checkpoint.ends == [checkpoint.tokenizer.convert_tokens_to_ids(tiny.END)]
    text = checkpoint.config.get_text_config()
    assert text.vocab_size == len(checkpoint.tokenizer) == len(tiny.vocabulary(SHAPES_WORDS))


def test_a_seed_is_a_seed(folder: Path, tmp_path: Path) -> None:
    import torch

    before = torch.get_rng_state()
    same, other = tiny.build(tmp_path / "a", 3, **SMALL), tiny.build(tmp_path / "b", 4, **SMALL)
    assert torch.equal(torch.get_rng_state(), before)
    weights = [(f / "model.safetensors").read_bytes() for f in (folder, same, other)]
    assert weights[0] == weights[1] != weights[2]


def test_sizes_that_do_not_fit_are_said(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="multiples of 32"):
        tiny.build(tmp_path / "x", hidden=100)
    with pytest.raises(SettingError, match="multiples of 32"):
        tiny.build(tmp_path / "x", side=72)
    with pytest.raises(SettingError, match="at most 4,000,000 parameters"):
        tiny.build(tmp_path / "x", hidden=256, layers=6)
    assert not (tmp_path / "x").exists()


# --- words


def test_times_coordinates_stamps_and_words_are_one_token_each(checkpoint: Checkpoint) -> None:
    tokenizer = checkpoint.tokenizer
    unknown = tokenizer.unk_token_id
    for piece in (*tiny.TIMES, *tiny.COORDINATES, tiny.NONE, *tiny.STAMPS, *SHAPES_WORDS):
        ids = tokenizer(piece)["input_ids"]
        assert len(ids) == 1 and ids[0] != unknown, piece
        assert tokenizer.decode(ids) == piece
    assert (tiny.TIMES[0], tiny.TIMES[-1], tiny.COORDINATES[-1]) == ("<0.0s>", "<64.0s>", "<1000>")


def test_words_are_read_whatever_case_and_punctuation(checkpoint: Checkpoint) -> None:
    tokenizer = checkpoint.tokenizer
    plain = tokenizer("the red circle moves left")["input_ids"]
    assert tokenizer(" The RED circle, moves--left!\n")["input_ids"] == plain
    mixed = tokenizer("the quick red fox")["input_ids"]
    assert [tokenizer.convert_ids_to_tokens(i) for i in mixed] == ["▁the", "<unk>", "▁red", "<unk>"]
    assert tokenizer.decode(plain) == "the red circle moves left"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_nothing_that_is_typed_is_refused(text: str) -> None:
    ids = tiny.tokenizer(("red",))(text)["input_ids"] if text else []
    assert all(0 <= i < len(tiny.vocabulary(("red",))) for i in ids)


# --- frames


@pytest.mark.parametrize(("n", "height", "width"), [(16, 64, 64), (2, 64, 64), (7, 64, 64), (4, 32, 64), (1, 16, 48)])
def test_patches_are_those_of_the_processor(checkpoint: Checkpoint, n: int, height: int, width: int) -> None:
    images = frames(n, height, width)
    call = ModelCall(images, np.arange(n) / 2, "the red circle")
    inputs = LocalBackend(checkpoint).prepare(call)
    patches, grid = tiny.patchify(images)
    assert np.array_equal(patches, inputs["pixel_values_videos"].numpy())
    assert np.array_equal(grid, inputs["video_grid_thw"].numpy())


def test_frames_that_cannot_be_cut_are_said() -> None:
    with pytest.raises(SettingError, match="60x64"):
        tiny.patchify(np.zeros((2, 64, 60, 3), np.uint8))
    with pytest.raises(SettingError, match="tokens of 16"):
        tiny.patchify(np.zeros((0, 64, 64, 3), np.uint8))


def test_a_prompt_holds_little_else_than_the_video(checkpoint: Checkpoint) -> None:
    """A stamp, two marks and 16 tokens a second; then the sentence and one token before the answer."""
    backend = LocalBackend(checkpoint)
    prepared = backend.prepared(ModelCall(frames(128), np.arange(128) / 2, "the red circle"))
    ids = prepared.inputs["input_ids"][0].tolist()
    assert len(ids) == 64 * 19 + 4
    tokens = checkpoint.tokenizer.convert_ids_to_tokens(ids)
    assert tokens[::19][:64] == [f"<{k + 0.25:.1f} seconds>" for k in range(64)]
    assert tokens[-4:] == ["▁the", "▁red", "▁circle", tiny.ANSWER] and tiny.UNKNOWN not in tokens
    # an odd last frame is shown twice; each frame twice; from the middle of a second on
    for times, how in ((np.arange(15) / 2, "pairs"), (np.arange(9) / 2, "repeat"), (np.arange(1, 9) / 2, "pairs")):
        made = LocalBackend(checkpoint, frames=how).prepare(ModelCall(frames(len(times)), times, "the red circle"))  # type: ignore[arg-type]
        assert checkpoint.tokenizer.unk_token_id not in made["input_ids"][0].tolist()


def test_stamps_outside_the_vocabulary_are_said_not_shown(checkpoint: Checkpoint) -> None:
    (reply,) = LocalBackend(checkpoint).ask([ModelCall(frames(2), np.array([0.3, 0.7]) + 0.1, "the red circle")])
    assert reply.finish == "error" and reply.error is not None and "dates 0 pieces" in reply.error


@pytest.mark.parametrize(("size", "shown"), [((640, 360), (64, 32)), ((90, 160), (32, 64)), ((48, 48), (48, 48))])
def test_frames_are_made_as_small_as_the_policy_knows_them(
    checkpoint: Checkpoint, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    width, height = size
    prepared = LocalBackend(checkpoint).prepared(ModelCall(frames(2, height, width), np.array([0.0, 0.5]), "red"))
    assert prepared.shown == shown


# --- how it is asked


def test_a_checkpoint_is_asked_as_it_was_trained(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "m")
    said = {
        "form": "second-level", "prompt": "{query} in {duration} s?", "frames": "repeat", "sample_fps": 1.0, "step": 7,
        "long_side": 48, "seconds": 30, "recipe": "rl-stvg", "recipe_hash": "00ff",
    }  # fmt: skip
    (tmp_path / "m" / FILE).write_text(json.dumps(said))
    backend = LocalBackend(str(tmp_path / "m"), device="cpu", offline=True)
    dialect = backend.dialect
    assert dialect.name == "qwen3-vl" and dialect.joint and dialect.coordinates == "thousand"
    assert dialect.ask_when("a dog", 9.5) == "a dog in 9.5 s?" and dialect.when_schema() is None
    assert (backend.frames, backend.long_side, dialect.fps, dialect.seconds) == ("repeat", 48, 1.0, 30)
    assert isinstance(build_pipeline("second-level", backend), Joint)
    # a form of time alone: places are asked for as the family is asked
    spans = Trained(form="time-r1").over(DIALECTS["qwen3-vl"])
    assert not spans.joint and (spans.spans_form, spans.boxes_form) == ("time-r1", "qwen3-vl")
    assert spans.when_schema() is None


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("{", "is not JSON and seems cut off"),
        ("[]", "does not hold a JSON object"),
        ('{"form": "prose"}', "a form that cannot be used, 'prose'"),
        ('{"dialect": "klingon"}', "a dialect"),
        ('{"prompt": "where?"}', "the prompt has no {query}"),
        ('{"frames": "backwards"}', "a frames"),
        ('{"sample_fps": -1}', "a sample_fps"),
        ('{"long_side": "64"}', "a long_side"),
    ],
)
def test_a_file_of_no_use_is_said(folder: Path, tmp_path: Path, said: str, fault: str) -> None:
    (tmp_path / FILE).write_text(said)
    with pytest.raises(ModelError, match=fault):
        read(tmp_path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    said = Trained(form="tokens", prompt="{query}", frames="pairs", sample_fps=2.0, recipe="sft-tiny", recipe_hash="ab")
    said.write(tmp_path)
    assert read(tmp_path) == said and read(tmp_path / "none") is None and read("Qwen/Qwen3-VL-8B") is None


# --- from a video to a record


def test_from_a_folder_to_a_record(folder: Path, clip: Path, tmp_path: Path) -> None:
    with whenwhere.open(clip, str(folder), cache=tmp_path, device="cpu") as video:
        planned = video.estimate(GroundingSettings(), "the red circle")
        record = video.ground("the red circle", trace=True).record
        boxes_only = video.ground("the red circle", span=(2, 5)).record
        drawn = video.ground("the zebra", samples=3, seed=5).record
    assert Grounding.from_json(record.to_json()) == record
    assert record.raw is not None and {call["step"] for call in record.raw} == {"answer"}
    first = record.raw[0]
    assert (first["frames"], first["prompt"]) == (16, "the red circle")
    assert planned["steps"]["answer"]["prompt_tokens"] == first["prompt_tokens"] == 8 * 15 + 4  # 64x48
    assert record.parse is not None and record.status in ("answered", "absent", "unsure")
    assert boxes_only.status == "answered" and [(s.start, s.end) for s in boxes_only.spans] == [(2, 5)]
    assert drawn.status in ("answered", "absent", "unsure")


def test_a_policy_is_asked_in_its_own_way_only(checkpoint: Checkpoint, clip: Path) -> None:
    backend = LocalBackend(checkpoint)
    for name in ("framewise", "uniform", "detector"):
        with pytest.raises(SettingError, match="time and places at once"):
            build_pipeline(name, backend)
    with pytest.raises(SettingError, match="2 frames per second"):
        build_pipeline("second-level", backend).ground(
            probe(str(clip)), GroundingRequest("the red circle", sample_fps=4)
        )


class Knowing(ModelBackend):
    """A policy that knows when and where, and writes it in its form, as times of the clip that it is shown."""

    name = "knowing"
    dialect = DIALECTS["tiny"]

    def __init__(self, spans: Sequence[tuple[float, float]]) -> None:
        self.spans, self.calls = spans, []  # type: ignore[var-annotated]

    def ask(self, calls: Sequence[ModelCall]) -> list[ModelReply]:
        self.calls += calls
        return [ModelReply(self.answer(call), shown=(64, 48)) for call in calls]

    def answer(self, call: ModelCall) -> str:
        assert call.times[0] == 0 and call.images.shape[2] == 64
        length = float(call.times[-1]) + 0.5
        here = [(max(s - call.clock, 0), min(e - call.clock, length)) for s, e in self.spans]
        here = [(s, e) for s, e in here if s < e]
        boxes = tuple(
            TimedBox(t, (10 * (t + call.clock), 20, 10 * (t + call.clock) + 16, 36))
            for s, e in here
            for t in sorted({s, *np.arange(np.ceil(s), e).tolist(), e - 0.5})
        )
        answer = ParsedAnswer("ok" if here else "absent", tuple(here), boxes, coordinates="displayed")
        return FORMS["tokens"].render(answer, (96, 64))

    def prompt_tokens(self, frames: int, width: int, height: int, prompt: str) -> int:
        return frames * 10


def test_true_answers_give_the_truth(clip: Path) -> None:
    info = probe(str(clip))
    backend = Knowing([(1.0, 3.5), (6.0, 8.0)])
    found = Joint(backend).ground(info, GroundingRequest("the white square"))
    assert found.status == "answered" and found.spans == SpanSet([(1.0, 3.5), (6.0, 8.0)]) and not found.warnings
    (tube,) = found.tubes
    assert tube.times.tolist() == [1.0, 2.0, 3.0, 6.0, 7.0, 7.5]
    assert np.abs(tube.boxes - [(10 * t, 20, 10 * t + 16, 36) for t in tube.times]).max() < 1  # a hundredth of 96
    assert len(backend.calls) == 1 and backend.calls[0].prompt == "the white square"
    # the time is given: its boxes alone
    given_time = Joint(backend).ground(info, GroundingRequest("the white square", span=Span(0.5, 2.8)))
    assert given_time.spans == SpanSet([(0.5, 2.8)]) and given_time.tubes[0].times.tolist() == [1.0, 2.0]
    # inside a part: a clip of its own
    part = Joint(backend).ground(info, GroundingRequest("the white square", within=Span(3, 8), rate=2.0))
    assert part.spans == SpanSet([(3.0, 3.5), (6.0, 8.0)]) and backend.calls[-1].clock == 3.0
    assert part.warnings == ["tiny answers with 1 box a second, whatever the rate"]


def test_absence_and_nonsense(clip: Path) -> None:
    info = probe(str(clip))
    assert Joint(Knowing([])).ground(info, GroundingRequest("the white square")).status == "absent"

    class Babbling(Knowing):
        def answer(self, call: ModelCall) -> str:
            return "<1.0s><2.0s><|red|> what" if call.seed else "red red red"

    found = Joint(Babbling([])).ground(info, GroundingRequest("the white square"))
    assert found.status == "unsure" and found.candidates is not None and found.candidates[0]["said"] == "red red red"

    class Wrong(Knowing):
        def answer(self, call: ModelCall) -> str:
            return "<1.0s><3.0s><1.0s><500><0><100><90><5.0s><0><0><90><90>"

    found = Joint(Wrong([])).ground(info, GroundingRequest("the white square"))
    assert found.status == "answered" and found.tubes == []
    assert [w.split()[0] for w in found.warnings] == ["1", "1", "the"]


def test_a_long_video_is_shown_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    with FrameWriter(path, 96, 64, 4) as writer:
        for _ in range(4 * 45):
            writer.write(np.zeros((64, 96, 3), np.uint8))
    info = probe(str(path))
    truth = SpanSet([(2.0, 6.5), (11.0, 29.0), (40.0, 45.0)])
    backend = Knowing([(s.start, s.end) for s in truth])
    grounder = Joint(backend)
    found = grounder.ground(info, GroundingRequest("the white square"))
    assert t_iou(found.spans, truth) > 0.999 and len(backend.calls) == 4
    assert all(len(call.times) <= 32 for call in backend.calls)
    times = found.tubes[0].times
    assert {2.0, 3.0, 6.0, 11.0, 28.5, 40.0, 44.5} <= set(times.tolist()) and len(times) >= 5 + 19 + 6
    assert np.abs(found.tubes[0].boxes[:, 0] - np.minimum(10 * times, 95)).max() < 2
    assert grounder.estimate(info, GroundingRequest("the white square"))["calls"] == 4
    # only what touches the given time is looked at
    before = len(backend.calls)
    grounder.ground(info, GroundingRequest("the white square", span=Span(41, 44)))
    assert len(backend.calls) - before == 1


# --- the package's own weights


def test_the_package_says_what_it_lacks(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from whenwhere.models.backends import local

    monkeypatch.setattr(packing, "FOLDER", tmp_path / "weights")
    with pytest.raises(ModelError, match="without the weights of its policy tiny"):
        whenwhere.open(clip, "tiny", cache=False)
    monkeypatch.setattr(local, "find_spec", lambda package: None if package == "transformers" else package)
    with pytest.raises(MissingExtraError, match=r"whenwhere\[vlm\]"):
        whenwhere.open(clip, "tiny", cache=False)


def test_weights_are_packed_and_loaded_again(
    folder: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from whenwhere.diagnosis import _tiny

    monkeypatch.setattr(packing, "FOLDER", tmp_path / "weights")
    assert _tiny().state == "missing"
    with pytest.raises(ModelError, match="names no recipe"):
        packing.pack(folder, tmp_path / "weights")
    trained = tmp_path / "trained"
    shutil.copytree(folder, trained)
    Trained(dialect="tiny", form="tokens", recipe="sft-tiny", recipe_hash="abc123").write(trained)
    packing.pack(trained, tmp_path / "weights")
    assert packing.shipped_weights() == tmp_path / "weights"
    assert "abc123" in _tiny().found and _tiny().state == "ok"
    whole, small = (Checkpoint(str(f), device="cpu", offline=True) for f in (trained, packing.shipped_weights()))
    assert small.model.dtype == torch.float32  # kept in bf16, computed in fp32
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(small.model.state_dict()[name], weight.bfloat16().float()), name
    half = (tmp_path / "weights" / "model.safetensors").stat().st_size / (trained / "model.safetensors").stat().st_size
    assert 0.5 < half < 0.7
    with whenwhere.open(clip, "tiny", cache=False, device="cpu") as video:
        record = video.ground("the red circle").record
    assert record.settings.model == "tiny" and record.cost.calls > 0
    monkeypatch.setattr(packing, "MOST", 1000)
    with pytest.raises(ModelError, match="MB and the package takes"):
        packing.pack(trained, tmp_path / "more")
    assert not (tmp_path / "more").exists()


def test_the_policy_of_the_package_is_what_its_recipe_says() -> None:
    known = read(packing.shipped_weights())
    assert known is not None and known.recipe == "tiny-sft" and known.recipe_hash == load("tiny-sft").hash
    assert sum(file.stat().st_size for file in packing.shipped_weights().iterdir()) <= packing.MOST


def test_words_that_a_policy_does_not_know_are_said(clip: Path) -> None:
    with whenwhere.open(clip, "tiny", cache=False, device="cpu") as video:
        assert not any("knows nothing" in w for w in video.ground("The red circle.").record.warnings)
        said = video.ground("a zebra dances wildly").record.warnings
    assert "the model knows nothing of these words, and did not read them: zebra, dances, wildly" in said


def test_the_policy_of_the_package_answers_held_out_clips(
    cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Rendered, encoded, asked and scored by the command line: far above every constant answer."""
    clips, asked, answers = tmp_path / "clips", tmp_path / "asked.jsonl", tmp_path / "answers.jsonl"
    world = ("--world", "shapes", "--domain", "still", "--split", "heldout")
    cli("stage", clips, *world, "--clips", 4, "--seed", 300)
    cli("data", "convert", "--benchmark", "stage", "--annotations", clips / "truth.jsonl", "--out", asked,
        "--videos", clips)  # fmt: skip
    batch = ("batch", asked, "--model", "tiny", "--device", "cpu", "--out", tmp_path / "out", "--json")
    answers.write_text(cli(*batch, imports=TORCH).stdout)
    done = cli("eval", "--benchmark", "manifest-tubes", "--annotations", asked, "--predictions", answers, "--json")
    rows = {row["name"]: row["summary"] for row in json.loads(done.stdout.splitlines()[0])["rows"]}
    own = rows.pop("these answers")
    assert own["m_tIoU"] > 0.4 > 0.25 > max(row["m_tIoU"] for name, row in rows.items() if "swapped" not in name)
    assert own["m_vIoU"] > 0.3 > 0.05 > max(row["m_vIoU"] for name, row in rows.items() if "swapped" not in name)


def test_the_form_reads_what_the_vocabulary_can_write() -> None:
    """Every time and coordinate of the vocabulary stands in an answer, and back."""
    for start, end in zip(tiny.TIMES, tiny.TIMES[1:], strict=False):
        found = parse(f"{start}{end}{start}<0><990><10><1000>", "strict", "tokens")
        assert found.status == "ok"
        assert FORMS["tokens"].render(found) == f"{start}{end}{start}<0><990><10><1000>"
    for side in tiny.COORDINATES[1:]:
        assert parse(f"<0.0s><1.0s><0.0s><0><0>{side}{side}", "strict", "tokens").status == "ok"

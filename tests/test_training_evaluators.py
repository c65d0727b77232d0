"""Evaluators of a policy: greedy answers while it trains, scored as elsewhere, and nothing that is learned changes."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_policies
from tiny_policies import Told, Two

from whenwhere.answers import ParsedAnswer
from whenwhere.answers.answer import TimedBox
from whenwhere.errors import SettingError
from whenwhere.models.backends.resolve import load_model
from whenwhere.training.builders import open_checkpoint
from whenwhere.training.policy_evaluator import GroundingEvaluator, item_of, prediction_of_answer
from whenwhere.training.recipe import load
from whenwhere.training.run import train

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

RECIPE = """# A micro policy.
[model]
checkpoint = "tiny-new"
form = "tokens"
[model.sizes]
hidden = 32
layers = 1
mlp = 1
vision_hidden = 32
vision_layers = 1
vision_mlp = 1
deepstack = []
[data]
count = 100
world = { seconds = [4, 4] }
[train]
stage = "sft"
max_steps = 3
samples_per_step = 2
learning_rate = 0.001
lr_scheduler_type = "constant"
logging_steps = 1
save_steps = 2
lora_r = 2
lora_dropout = 0.2
"""
EVALUATOR = """
[[evaluators]]
name = "val"
every = 1
metric = "m_tIoU"
keep_best = true
max_tokens = 8
data = { count = 2, first_seed = 50, world = { seconds = [4, 4], split = "val" } }
"""


def recipe(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def weights(folder: Path) -> bytes:
    return (folder / "checkpoint" / "model.safetensors").read_bytes()


def test_a_policy_is_evaluated_and_learns_the_same(tmp_path: Path) -> None:
    """With dropout, which draws from the random state, and a resumed run; the policy of the best step is kept."""
    plain = recipe(tmp_path, "plain.toml", RECIPE)
    evaluated = recipe(tmp_path, "evaluated.toml", RECIPE + EVALUATOR)
    train(plain, tmp_path / "plain", callbacks=[], device="cpu")
    whole = train(evaluated, tmp_path / "whole", callbacks=[], device="cpu")

    class Interrupted(Exception):
        pass

    def stop(progress: Any) -> None:
        if progress.step == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(evaluated, tmp_path / "torn", ["max_steps=4"], callbacks=[Told(update=stop)], device="cpu")
    train(evaluated, tmp_path / "torn", callbacks=[], device="cpu")
    assert weights(tmp_path / "plain") == weights(tmp_path / "whole") == weights(tmp_path / "torn")
    lines = [line for line in whole.metrics if "eval/val/m_tIoU" in line]
    assert [line["step"] for line in lines] == [0, 1, 2, 3]  # the untrained policy first
    assert {"eval/val/m_tIoU", "eval/val/m_vIoU", "eval/val/answered"} <= lines[0].keys()
    assert all(line["eval/val/unread_clips"] == 0 for line in lines)
    assert all(0 <= value <= 1 for line in lines for key, value in line.items() if key.startswith("eval/"))
    assert whole.best is not None and (whole.best / "config.json").exists()
    best = json.loads((whole.best / "whenwhere.json").read_text())
    assert best["step"] == max(lines, key=lambda line: (line["eval/val/m_tIoU"], -line["step"]))["step"]
    assert best["recipe_hash"] == whole.recipe_hash
    # every model of the run has a name that loads
    steps = {which: load_model(f"{whole.folder}@{which}", device="cpu").checkpoint.name for which in ("2", "3", "best")}
    assert steps == {
        "2": str(whole.folder / "checkpoints" / "step-000002"), "3": str(whole.folder / "checkpoints" / "step-000003"),
        "best": str(whole.best),
    }  # fmt: skip
    told = load(str(plain), [f"checkpoint={whole.folder}@2"])
    assert open_checkpoint(told, tmp_path, "cpu").name == steps["2"]
    assert (whole.folder / "checkpoints/step-000003/model.safetensors").samefile(whole.checkpoint / "model.safetensors")


def test_a_policy_that_knows_the_answers_scores_them(tmp_path: Path) -> None:
    """The half-taught policy says one of three things; whatever it says is scored as `whenwhere eval` would."""
    from whenwhere.training.sft.objective import SFTObjective
    from whenwhere.training.sft.settings import SFTSettings

    policy = tiny_policies.opened(tiny_policies.build(tmp_path / "taught"))
    objective = SFTObjective(policy, Two(), SFTSettings())
    evaluator = GroundingEvaluator(objective, Two(), "default-tubes", 8)
    found = evaluator.evaluate()
    said = [objective.answers(sample, 8)[0] for sample in Two().samples]
    truths = [sample.questions[0].truth.spans[0] for sample in Two().samples]
    ious = [0.0 if not a.spans else {2.0: 1.0, 1.0: 0.5}[a.spans[0][1] - a.spans[0][0]] for a in said]
    assert all(a.status == "absent" or a.spans[0][0] == t.start for a, t in zip(said, truths, strict=True))
    assert found["answered"] == 1.0 and found["m_tIoU"] == pytest.approx(np.mean(ious))


def test_answers_become_predictions() -> None:
    assert prediction_of_answer("a", ParsedAnswer("absent")).status == "absent"
    assert prediction_of_answer("a", ParsedAnswer("unparsed")).status == "unparsed"
    boxes = (TimedBox(1.0, (0, 0, 4, 4)), TimedBox(0.0, (1, 1, 4, 4)), TimedBox(None, (2, 2, 4, 4)))
    found = prediction_of_answer("a", ParsedAnswer("ok", spans=((0.0, 2.0),), boxes=boxes, coordinates="displayed"))
    assert found.status == "answered" and found.spans.tolist() == [[0.0, 2.0]]
    assert found.boxes[0].times.tolist() == [0.0, 1.0] and found.boxes[0].boxes[0].tolist() == [1, 1, 4, 4]
    # boxes that are not in the frame's pixels cannot be compared
    assert (
        prediction_of_answer("a", ParsedAnswer("ok", spans=((0.0, 2.0),), boxes=boxes, coordinates="unit")).boxes == []
    )
    sample = Two().samples[0]
    item = item_of(sample, sample.questions[0])
    assert (item.id, item.width, item.duration, item.spans.tolist()) == ("clip0/0", 32, 4.0, [[0.0, 2.0]])


@pytest.mark.parametrize("head", ["time-tokens", "start-end"])
def test_a_recipe_names_an_output_head(tmp_path: Path, head: str) -> None:
    """Trained, evaluated and written with its checkpoint, resumed to the same weights."""
    text = recipe(tmp_path, "head.toml", RECIPE.replace("lora_r = 2\nlora_dropout = 0.2\n", "") + EVALUATOR)
    whole = train(text, tmp_path / "whole", [f"head={head}"], callbacks=[], device="cpu")
    assert all(np.isfinite(line["loss"]) for line in whole.metrics if "loss" in line)
    assert [line["step"] for line in whole.metrics if "eval/val/m_tIoU" in line] == [0, 1, 2, 3]
    assert (whole.checkpoint / "start_end.pt").exists() == (head == "start-end")
    for steps in (2, 3):
        train(text, tmp_path / "parts", [f"head={head}", f"max_steps={steps}"], callbacks=[], device="cpu")
    assert weights(tmp_path / "whole") == weights(tmp_path / "parts")


def test_rl_has_no_other_head(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="RL trains answers as text"):
        train("tiny-rl", tmp_path, ["head=start-end"], callbacks=[])


def test_an_unknown_metric_is_refused_before_the_run(tmp_path: Path) -> None:
    text = recipe(tmp_path, "metric.toml", RECIPE + EVALUATOR.replace("m_tIoU", "m_tIou"))
    with pytest.raises(SettingError, match=r"'val' scores by default-tubes, which has no metric 'm_tIou' \(did"):
        train(text, tmp_path / "run", callbacks=[], device="cpu")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_the_command_line_says_what_evaluators_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from whenwhere.cli import main

    text = recipe(tmp_path, "mine.toml", RECIPE + EVALUATOR)
    arguments = ["train", str(text), "max_steps=2", "--out", str(tmp_path / "run"), "--device", "cpu", "--json"]
    monkeypatch.setattr(sys, "argv", ["whenwhere", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr()
    assert not left.value.code and re.search(r"mine 0: val m_tIoU 0\.\d{3} \(base\) .*\(best so far\)\n", said.err)
    assert re.search(r"mine 2: val m_tIoU 0\.\d{3} \(base 0\.\d{3}\) ", said.err)
    base, *lines, result = map(json.loads, said.out.splitlines())
    assert base["step"] == 0 and "eval/val/m_tIoU" in base
    assert [("loss" in line, "eval/val/m_tIoU" in line) for line in lines] == [(False, True), (True, False)] * 2
    assert result["best"] == str(tmp_path / "run" / "best")


def test_of_several_draws_the_least_risky_one_is_scored(tmp_path: Path) -> None:
    """The half-taught policy draws three answers; minimum-risk decoding is repeatable and takes one that it drew."""
    from whenwhere.training.prefix.greedy import drawn_answers
    from whenwhere.training.prefix.rollout import SamplingParams
    from whenwhere.training.sft.objective import SFTObjective
    from whenwhere.training.sft.settings import SFTSettings
    from whenwhere.verify import Verifier, least_risk

    policy, verifier = tiny_policies.opened(tiny_policies.build(tmp_path / "policy", steps=80)), Verifier({"t_iou": 1})
    sample = Two(questions=2).samples[1]
    params = SamplingParams(6, 1.0, stop=tuple(policy.end_ids), seed=3)
    drawn = drawn_answers(policy, sample, params, 12)
    assert [len(rows) for rows in drawn] == [12, 12]
    spans = [answer.spans for answer in drawn[0]]
    assert len(set(spans)) > 1
    truth = policy.truth(sample, sample.questions[0])
    commonest = max(set(spans), key=spans.count)
    if spans.count(commonest) > 6:
        assert spans[least_risk(drawn[0], verifier, truth)] == commonest
    objective = SFTObjective(policy, Two(), SFTSettings())
    one, again = (objective.least_risk_answers(sample, 6, 12, 1.0, verifier) for _ in range(2))
    assert one == again and len(one) == 2
    found = GroundingEvaluator(objective, Two(), "default-tubes", 6, 12, 1.0, verifier).evaluate()
    assert 0 < found["m_tIoU"] <= 1

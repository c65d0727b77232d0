"""Adapters called as each engine calls a reward, in the version that the adapter's docstring names.

TRL itself runs in tests/test_verify_trl.py; the other engines are not installed, so their calls are written out here.
"""

import json
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import verify_truths as made

from whenwhere import answers
from whenwhere.errors import RecordError, SettingError
from whenwhere.verify import Verifier
from whenwhere.verify.adapters import easyr1, ms_swift, openrlhf, scorer, trl, verl

VERIFIER = Verifier()
TRUTHS = made.world(3)
TARGETS = [json.dumps(t.target()) for t in TRUTHS]
RIGHT = [answers.FORMS["second-level"].render(t.answer(), t.size) for t in TRUTHS]
CEILINGS = [VERIFIER.ceiling(t) + 0.1 for t in TRUTHS]
KEYS = {"total", "reward", "format", "t_iou", "v_iou"}


def test_core() -> None:
    score = scorer(VERIFIER)
    for text, target, truth, ceiling in zip(RIGHT, TARGETS, TRUTHS, CEILINGS, strict=True):
        found = score(text, target, {})
        assert found.keys() == KEYS and found["total"] == ceiling
        assert score(text + "<|im_end|>\n<|endoftext|>", truth.target()) == found == score(text, truth)
        assert all(type(v) is float for v in found.values())
    assert score("nothing", TARGETS[0])["total"] == 0
    with pytest.raises(RecordError):
        score("x", "{")
    with pytest.raises(SettingError):
        scorer(Verifier({"v_iou": 1}))("x", {"spans": [[1, 2]]})


def test_terms_that_do_not_apply_keep_their_column() -> None:
    assert scorer(VERIFIER)("x", {"spans": [[1, 2]], "size": [4, 4]}).keys() == KEYS


def test_the_prefix_of_a_chat_template() -> None:
    assert scorer(VERIFIER)(RIGHT[0].removeprefix("<think>"), TARGETS[0])["total"] == 0
    assert scorer(VERIFIER, "<think>")(RIGHT[0].removeprefix("<think>"), TARGETS[0])["total"] == CEILINGS[0]


def test_progress_and_shuffled_frames() -> None:
    score = scorer(Verifier({"boundary_gauss": 1, "t_iou": 1, "order": 1}, form="answer"))
    target, text = {"spans": [[2, 4]]}, "<answer>2.0 to 6.0</answer>"
    early, late = (score(text, target, {"progress": p}) for p in (0.0, 1.0))
    assert early["boundary_gauss"] > late["boundary_gauss"] and early["t_iou"] == 0.5 and early["order"] == 0
    assert score(text, target, {"shuffled": "<answer>2.0 to 9.0</answer>"})["order"] == 0.5
    assert score(text, target, {"shuffled": text})["order"] == 0


def test_trl() -> None:
    logged: dict[str, float] = {}
    reward = trl(VERIFIER)
    assert reward.__name__ == "whenwhere"
    prompts = [[{"role": "user", "content": "When?"}]] * 3
    parts = [{"type": "text", "text": RIGHT[2]}]
    chat = [[{"role": "assistant", "content": c}] for c in (RIGHT[0], "no idea", parts)]
    columns: dict[str, Any] = {
        "prompts": prompts, "completion_ids": [[1]] * 3, "target": TARGETS, "other": [1, 2, 3],
        "trainer_state": SimpleNamespace(global_step=3, max_steps=6), "log_metric": logged.__setitem__,
        "log_extra": lambda *a: None,
    }  # fmt: skip
    assert reward(completions=chat, **columns) == [CEILINGS[0], 0, CEILINGS[2]]
    assert logged.keys() == {f"verify/{k}" for k in KEYS | {"bad_target"}}
    assert logged["verify/total"] == pytest.approx((CEILINGS[0] + CEILINGS[2]) / 3)
    assert reward(completions=RIGHT, **columns) == CEILINGS


def test_trl_leaves_out_what_has_a_wrong_target() -> None:
    reward = trl(VERIFIER)
    with pytest.warns(UserWarning, match="a question gets no reward: a target has the unknown key 'span'") as caught:
        found = reward(completions=RIGHT, target=[TARGETS[0], {"span": [1, 2]}, {"span": [1, 2]}])
    assert found == [CEILINGS[0], None, None] and len(caught) == 1


def test_progress_comes_from_the_trainer() -> None:
    reward = trl(Verifier({"boundary_gauss": 1}, form="answer", gameable=True))
    steps = [SimpleNamespace(global_step=k, max_steps=10) for k in (0, 5, 10)]
    found = [
        reward(completions=["<answer>2.0 to 6.0</answer>"], target=[{"spans": [[2, 4]]}], trainer_state=s)[0]
        for s in steps
    ]
    assert found[0] > found[1] > found[2]


def test_verl() -> None:
    """verl b178a3cd5: keywords, decoded with its marks, dicts collected in columns; targets are a table's rows."""
    compute = verl(VERIFIER)
    row = TRUTHS[0].target() | {"spans": np.array(TRUTHS[0].target()["spans"]), "choice": None}
    found = [
        compute(data_source="charades", solution_str=text, ground_truth=target, extra_info=extra)
        for text, target, extra in (
            (RIGHT[0] + "<|im_end|>", row, {"index": 0, "split": "train"}),
            ("no idea", TARGETS[1], None),
            (RIGHT[2], TARGETS[2], {}),
        )
    ]
    assert [f["score"] for f in found] == [CEILINGS[0], 0, CEILINGS[2]]
    assert len({tuple(f) for f in found}) == 1


def test_a_wrong_target_ends_no_run() -> None:
    with pytest.warns(UserWarning, match="not valid JSON"):
        found = verl(VERIFIER)(data_source="x", solution_str=RIGHT[0], ground_truth="{", extra_info=None)
    assert found == {"score": 0, "reward": 0, "format": 0, "t_iou": 0, "v_iou": 0, "bad_target": 1}


def test_ms_swift() -> None:
    """ms-swift 3602360a5: a class in `orms`, made with the run's arguments, called with completions and columns."""

    class ORM:
        def __init__(self, args: object = None, **kwargs: object) -> None:
            self.args = args

    orms = {"whenwhere": ms_swift(VERIFIER, ORM)}
    assert issubclass(orms["whenwhere"], ORM)
    reward = orms["whenwhere"](args=SimpleNamespace())
    found = reward(RIGHT, target=TARGETS, messages=[[]] * 3, solution=None, trainer_state=None)
    assert found == CEILINGS
    assert ms_swift(VERIFIER)()(completions=["no"], target=TARGETS[:1]) == [0]


def test_easyr1(tmp_path: Path) -> None:
    """EasyR1 b44b311: a file loaded by path, the function bound to its settings; dicts with `overall`."""
    import importlib.util

    file = tmp_path / "reward.py"
    file.write_text(
        "from whenwhere.verify import Verifier\nfrom whenwhere.verify.adapters import easyr1\n"
        "REWARD_NAME, REWARD_TYPE = 'whenwhere', 'batch'\ncompute_score = easyr1(Verifier())\n"
    )
    spec = importlib.util.spec_from_file_location("custom_reward_fn", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    inputs = [{"response": r, "response_length": 9, "ground_truth": t} for r, t in zip(RIGHT, TARGETS, strict=True)]
    compute = partial(module.compute_score, **{"format_weight": 0.1})
    assert [s["overall"] for s in compute(inputs)] == CEILINGS
    assert easyr1(VERIFIER)(inputs[1])["overall"] == CEILINGS[1]


@pytest.mark.torch
def test_openrlhf() -> None:
    """OpenRLHF 3c3be623: prompt and response in one text, labels as strings, tensors back."""
    import torch

    prompt = "<|im_start|>user\nWhen? <image><|im_end|>\n<|im_start|>assistant\n"
    grown = prompt.replace("<image>", "<|image_pad|>" * 3)  # pictures stand there in full
    queries = [prompt + RIGHT[0] + "<|im_end|>", grown + RIGHT[1], prompt + "no"]
    found = openrlhf(VERIFIER)(queries, [prompt] * 3, TARGETS, input_ids=None)
    assert found["rewards"].tolist() == pytest.approx([CEILINGS[0], CEILINGS[1], 0])
    assert found["scores"].tolist() == pytest.approx([CEILINGS[0] - 0.1, CEILINGS[1] - 0.1, 0])
    assert found["extra_logs"].keys() == {"reward", "format", "t_iou", "v_iou", "bad_target"}
    assert all(isinstance(v, torch.Tensor) and v.shape == (3,) for v in found["extra_logs"].values())
    one = openrlhf(VERIFIER)(queries[:1], [prompt], TARGETS[:1])
    assert float(one["rewards"]) == pytest.approx(CEILINGS[0])


def test_scoring_loads_nothing_heavy() -> None:
    """Engines import the reward in many workers."""
    import subprocess

    code = (
        "import sys\nfrom whenwhere.verify import Verifier\nfrom whenwhere.verify.adapters import scorer\n"
        "scorer(Verifier({'t_iou': 1}, form='answer'))('<answer>1.0 to 2.0</answer>', {'spans': [[1, 2]]})\n"
        "assert not {'torch', 'cv2', 'av', 'scipy', 'pyarrow', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("adapter", [trl, verl, ms_swift, easyr1, openrlhf])
def test_terms_that_an_engine_cannot_serve_are_refused(adapter: Any) -> None:
    with pytest.raises(SettingError, match="'order' needs inputs that no engine passes"):
        adapter(Verifier({"t_iou": 1, "order": 1}))

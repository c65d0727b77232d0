"""Three heads with one interface: each learns two clips by heart, and is saved and loaded with its checkpoint."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_models

from whenwhere.errors import ModelError, SettingError
from whenwhere.models import tiny
from whenwhere.models.vlm import Checkpoint
from whenwhere.spans import SpanSet
from whenwhere.training.data.samples import Question, Sample
from whenwhere.training.loop import TrainingRun
from whenwhere.training.prefix.group import completion_group
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.sft.head import OutputHead, require_trained
from whenwhere.training.sft.head_objective import HeadObjective
from whenwhere.training.sft.heads import HEADS
from whenwhere.training.sft.settings import SFTSettings
from whenwhere.training.sft.start_end import StartEndHead, best_pair, hidden_states, step_states
from whenwhere.training.sft.text_heads import TextHead, TimeTokensHead, add_tokens, time_tokens
from whenwhere.verify import Truth

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]
SMALL: dict[str, Any] = {
    "hidden": 32, "layers": 1, "mlp": 1, "vision_hidden": 32, "vision_layers": 1, "vision_mlp": 1, "deepstack": (0,),
}  # fmt: skip


def clip(name: str, light: list[int], spans: list[Any], queries: list[str]) -> Sample:
    """A clip of eight frames of 32 x 32, half a second each; the frames in `light` are white."""
    images = np.zeros((8, 32, 32, 3), np.uint8)
    images[light] = 255
    truths = [Truth(SpanSet(s), duration=4.0, size=(32, 32)) for s in spans]
    asked = tuple(Question(f"{name}-{k}", q, t) for k, (q, t) in enumerate(zip(queries, truths, strict=True)))
    return Sample(name, images, np.arange(8) / 2, asked)


TWO = [
    clip("a", [2, 3, 4], [[(1, 2.5)], []], ["white", "red"]),
    clip("b", [5, 6, 7], [[(2.5, 4)], [(0, 2.5)]], ["white", "black"]),
]


def spans(found: list[Any]) -> list[Any]:
    return [answer.spans if answer.valid else answer.status for answer in found]


RIGHT = [[((1.0, 2.5),), ()], [((2.5, 4.0),), ((0.0, 2.5),)]]


def learn(head: OutputHead, policy: Policy, steps: int, rate: float) -> None:
    import torch

    policy.prepare(SFTSettings())
    optimiser = torch.optim.AdamW(policy.model.parameters(), lr=rate, weight_decay=0.0)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = sum(head.loss(policy, sample) for sample in TWO)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
        optimiser.step()


def policy_of(folder: Path, head: OutputHead, form: str) -> Policy:
    checkpoint = Checkpoint(str(folder), device="cpu", offline=True)
    head.prepare(checkpoint)
    return Policy(checkpoint, form=form, prompt="{query}", frames="repeat")


CASES: dict[str, tuple[OutputHead, str, int, float]] = {
    "text": (TextHead(16), "tokens", 60, 1e-2),
    "time-tokens": (TimeTokensHead(4.0, soft=0.5, max_tokens=16), "tokens", 60, 5e-3),
    "start-end": (StartEndHead(soft=0.5), "tokens", 60, 1e-2),
}


@pytest.mark.parametrize("name", CASES)
def test_two_clips_by_heart_and_back_from_the_folder(name: str, tmp_path: Path) -> None:
    head, form, steps, rate = CASES[name]
    assert head.name == name and type(HEADS[name]()) is type(head)
    if name == "time-tokens":
        tiny_models.save("qwen3_vl", tmp_path / "start")
    else:
        tiny.build(tmp_path / "start", seed=1, side=32, **SMALL)
    policy = policy_of(tmp_path / "start", head, form)
    assert spans(head.decode(policy, TWO[0])) != RIGHT[0]
    learn(head, policy, steps, rate)
    assert [spans(head.decode(policy, sample)) for sample in TWO] == RIGHT
    policy.save(tmp_path / "end")
    again = policy_of(tmp_path / "end", head, form)
    assert [spans(head.decode(again, sample)) for sample in TWO] == RIGHT
    assert float(head.loss(again, TWO[0]).detach()) == pytest.approx(
        float(head.loss(policy, TWO[0]).detach()), abs=1e-4
    )


def test_a_learned_head_lies_beside_the_familys_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from safetensors import safe_open

    tiny.build(tmp_path / "start", seed=1, side=32, **SMALL)
    policy_of(tmp_path / "start", StartEndHead(), "tokens").save(tmp_path / "end")
    with safe_open(tmp_path / "end" / "model.safetensors", "pt") as file:
        assert file.keys() and not [name for name in file.keys() if "start_end" in name]  # noqa: SIM118
    caplog.clear()
    again = policy_of(tmp_path / "end", StartEndHead(), "tokens")
    assert "start_end" not in caplog.text
    assert sum(p.numel() for n, p in again.model.named_parameters() if n.startswith("start_end")) == 4288
    (tmp_path / "end" / "start_end.pt").write_bytes(b"torn")
    with pytest.raises(ModelError, match=r"start_end\.pt cannot be read"):
        policy_of(tmp_path / "end", StartEndHead(), "tokens")


@pytest.mark.parametrize("tied", [False, True])
def test_new_tokens_start_as_the_mean_of_what_they_were_written_in(tied: bool, tmp_path: Path) -> None:
    import torch

    tiny_models.save("qwen3_vl", tmp_path)
    checkpoint = Checkpoint(str(tmp_path), device="cpu", offline=True)
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    if tied:
        model.config.tie_word_embeddings = model.config.text_config.tie_word_embeddings = True
        model.tie_weights()
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    # more rows than tokens, as in large families
    spare = len(tokenizer) + 50
    model.resize_token_embeddings(spare)
    before = [m.weight.detach().clone() for m in (model.get_input_embeddings(), model.get_output_embeddings())]
    digits = tokenizer("12.5s", add_special_tokens=False)["input_ids"]
    assert len(digits) == 5
    assert add_tokens(checkpoint, ["<12.5s>", "<none>"]) == 2 and add_tokens(checkpoint, ["<none>"]) == 0
    assert model.get_input_embeddings().num_embeddings == spare
    assert add_tokens(checkpoint, time_tokens(20)) == 40 + 101
    grown = model.get_input_embeddings().num_embeddings
    assert grown == len(tokenizer) == model.config.text_config.vocab_size > spare
    place = tokenizer.convert_tokens_to_ids("<12.5s>")
    for old, new in zip(before, (model.get_input_embeddings(), model.get_output_embeddings()), strict=True):
        assert torch.allclose(new.weight[place], old[digits].mean(0), atol=1e-6)
        assert torch.equal(new.weight[: place - 1], old[: place - 1])
        # neighbouring times start with different embeddings
        assert not torch.allclose(new.weight[place], new.weight[tokenizer.convert_tokens_to_ids("<12.0s>")], atol=1e-6)
    text = "<12.5s><20.0s><12.5s><120><400><300><1000>"
    ids = tokenizer(f"a {text}", add_special_tokens=False)["input_ids"]
    assert len(ids) == 2 + 7 and tokenizer.decode(ids[2:], skip_special_tokens=True) == text


def test_states_are_those_of_every_back_end_with_their_gradients(tmp_path: Path) -> None:
    import torch

    tiny.build(tmp_path, seed=2, side=32, **SMALL)
    heads = {backend: StartEndHead(backend=backend) for backend in ("repeat", "shared_prefix", "packed4d", "fork")}
    policy = policy_of(tmp_path, heads["repeat"], "tokens")
    policy.prepare(SFTSettings())
    found = {}
    for backend, head in heads.items():
        policy.model.zero_grad()
        loss = head.loss(policy, TWO[1])
        loss.backward()
        found[backend] = [loss.detach(), *(p.grad.clone() for p in policy.model.parameters() if p.grad is not None)]
    assert len(found["repeat"]) > 20
    for parts in found.values():
        for one, other in zip(found["repeat"], parts, strict=True):
            assert torch.allclose(one, other, atol=1e-5)


def test_steps_are_the_means_of_their_own_tokens(tmp_path: Path) -> None:
    import torch

    tiny.build(tmp_path, side=32, **SMALL)
    policy = policy_of(tmp_path, StartEndHead(), "tokens")
    prompt, _ = policy.prompts(TWO[0], TWO[0].questions)
    marks = torch.zeros(len(prompt.ids), 1)
    places = (prompt.ids == policy.parts.config.video_token_id).nonzero()[:, 0]
    assert len(places) == 8 * 4  # a frame of 32 x 32 has four tokens
    marks[places, 0] = torch.arange(32.0)
    assert step_states(policy.parts, prompt, marks)[:, 0].tolist() == [1.5 + 4 * k for k in range(8)]


def test_the_best_pair_is_the_best_of_all() -> None:
    draw = np.random.default_rng(0)
    for steps in (1, 2, 7):
        edges = np.cumsum(draw.uniform(0.1, 1, steps + 1))
        for _ in range(50):
            starts, ends = np.log(draw.dirichlet(np.ones(steps + 1), 2))
            pairs = {(i, j): starts[i] + ends[j] for i in range(steps) for j in range(i, steps)}
            i, j = max(pairs, key=lambda p: pairs[p])
            gone = np.exp(starts[-1] + ends[-1]) > sum(np.exp(list(pairs.values())))
            wanted = () if gone else ((edges[i], edges[j + 1]),)
            assert best_pair(starts, ends, edges).spans == wanted


def test_targets_are_near_the_truth_and_sum_to_one(tmp_path: Path) -> None:
    tiny.build(tmp_path, side=32, **SMALL)
    head = StartEndHead(soft=1.0)
    policy = policy_of(tmp_path, head, "tokens")
    edges = head._edges(policy, TWO[0])
    assert edges.tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]
    wanted = head._target(SpanSet([(1, 2.4)]), edges, "q")
    assert wanted.sum(1) == pytest.approx([1, 1]) and wanted.argmax(1).tolist() == [2, 4]
    assert wanted[0, 1] == pytest.approx(wanted[0, 3]) and wanted[0, 2] / wanted[0, 3] == pytest.approx(np.exp(0.5))
    assert StartEndHead(soft=0)._target(SpanSet([(1, 2.4)]), edges, "q")[0].tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0]
    # far after the last step in time nothing overflows
    assert head._target(SpanSet([(900, 1000)]), edges, "q").sum(1) == pytest.approx([1, 1])
    assert head._target(SpanSet([]), edges, "q")[:, -1].tolist() == [1, 1]


def test_what_cannot_be_learned_is_refused(tmp_path: Path) -> None:
    tiny.build(tmp_path, side=32, **SMALL)
    bare = policy_of(tmp_path, TextHead(), "tokens")
    with pytest.raises(ModelError, match="no start/end head"):
        StartEndHead().decode(bare, TWO[0])
    policy = policy_of(tmp_path, StartEndHead(), "tokens")
    choice = Sample("c", TWO[0].images, TWO[0].times, (Question("c-0", "white", Truth(None, choice="A", duration=4)),))
    with pytest.raises(SettingError, match="c-0 does not ask when"):
        StartEndHead().loss(policy, choice)
    with pytest.raises(SettingError, match="in the form 'tokens', not 'timelens'"):
        TimeTokensHead(4).check(policy_of(tmp_path, TextHead(), "timelens"))
    with pytest.raises(SettingError, match="time above 0"):
        time_tokens(0)
    policy.prepare(SFTSettings(lora_r=2))
    for head in (StartEndHead(), TimeTokensHead(4)):
        with pytest.raises(ModelError, match="lora_r = 0"):
            head.check(policy)


class Clips:
    """A source of the two clips and a third one that asks for a letter."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Sample:
        if index < 2:
            return TWO[index]
        truth = Truth(None, choice="A", duration=4)
        return Sample("odd", TWO[0].images, TWO[0].times, (Question("odd-0", "white", truth),))


def test_a_head_is_trained_by_the_loop_and_goes_on_as_if_never_stopped(tmp_path: Path) -> None:
    import torch

    tiny.build(tmp_path / "start", seed=1, side=32, **SMALL)
    how: dict[str, Any] = {"samples_per_step": 3, "learning_rate": 5e-3, "logging_steps": 1, "save_steps": 2}

    def run(folder: str, steps: int) -> tuple[Path, list[dict[str, Any]]]:
        settings = SFTSettings(max_steps=steps, lr_scheduler_type="constant", **how)
        policy = policy_of(tmp_path / "start", StartEndHead(soft=0.5), "tokens")
        going = TrainingRun(tmp_path / folder, callbacks=[])
        result = going.train(HeadObjective(policy, Clips(), settings, StartEndHead(soft=0.5)))
        return result, [json.loads(line) for line in (tmp_path / folder / "metrics.jsonl").read_text().splitlines()]

    whole, lines = run("whole", 6)
    assert len(lines) == 6 and lines[-1]["loss"] < lines[0]["loss"]
    assert lines[-1]["clips"] == 12 and lines[-1]["sentences"] == 24 and lines[-1]["skipped"] == 6
    assert "does not ask when" in (tmp_path / "whole" / "skipped.jsonl").read_text()
    run("parts", 2)
    parts, _ = run("parts", 6)
    found = [policy_of(folder, StartEndHead(), "tokens").model.state_dict() for folder in (whole, parts)]
    assert found[0].keys() == found[1].keys() and "start_end.ask.weight" in found[0]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_head_learns_the_same_from_kept_features(tmp_path: Path) -> None:
    """With the vision tower frozen: it runs once for each clip, and the losses are those without a cache."""
    tiny.build(tmp_path / "start", side=32, **SMALL)
    kept: dict[str, Any] = {"cache_dir": str(tmp_path), "feature_cache": "1 MB"}
    found, towers = [], []
    for number, how in enumerate(({}, kept, kept)):
        policy = policy_of(tmp_path / "start", StartEndHead(), "tokens")
        passes: list[int] = []
        policy.parts.backbone.visual.register_forward_hook(lambda *_, passes=passes: passes.append(1))
        settings = SFTSettings(max_steps=3, samples_per_step=2, logging_steps=1, freeze_vision_tower=True, **how)
        going = TrainingRun(tmp_path / f"run{number}", callbacks=[])
        going.train(HeadObjective(policy, TWO, settings, StartEndHead()))
        lines = (tmp_path / f"run{number}" / "metrics.jsonl").read_text().splitlines()
        found.append([json.loads(line)["loss"] for line in lines])
        towers.append(len(passes))
    assert found[0] == found[1] == found[2] and len(found[0]) == 3
    assert towers[0] >= 6 and towers[1:] == [2, 0]


def test_the_loop_stops_at_once_where_a_head_cannot_learn(tmp_path: Path) -> None:
    tiny.build(tmp_path / "start", side=32, **SMALL)
    policy = policy_of(tmp_path / "start", StartEndHead(), "tokens")
    stage = HeadObjective(policy, Clips(), SFTSettings(max_steps=2, lora_r=2), StartEndHead())
    with pytest.raises(ModelError, match="lora_r = 0"):
        TrainingRun(tmp_path / "run", callbacks=[]).train(stage)
    assert not (tmp_path / "run" / "skipped.jsonl").exists()


def test_the_mean_over_questions_is_that_of_one_loss(tmp_path: Path) -> None:
    """Clips weigh by their number of questions, and gradients are those of the mean over all questions."""
    import torch

    tiny.build(tmp_path / "start", seed=1, side=32, **SMALL)
    one = Sample("one", TWO[1].images, TWO[1].times, TWO[1].questions[:1])

    class Uneven:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Sample:
            return (TWO[0], one)[index]

    head = StartEndHead()
    policy = policy_of(tmp_path / "start", head, "tokens")
    policy.prepare(SFTSettings())
    outcome = HeadObjective(policy, Uneven(), SFTSettings(samples_per_step=2), head).step(
        0, TrainingRun(tmp_path / "run")
    )
    found = {n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None}
    policy.model.zero_grad()
    wanted = (2 * head.loss(policy, TWO[0]) + head.loss(policy, one)) / 3
    wanted.backward()
    assert outcome.metrics["loss"] == pytest.approx(float(wanted.detach()), abs=1e-5)
    for name, weight in policy.model.named_parameters():
        if weight.grad is not None:
            assert torch.allclose(found[name], weight.grad, atol=1e-6), name


def test_a_head_is_one_class(tmp_path: Path) -> None:
    """A head that only tells whether anything happens learns it by the same objective."""
    import torch

    from whenwhere.answers import ParsedAnswer

    class Presence:
        name = "presence"

        def prepare(self, checkpoint: Checkpoint) -> None:
            hidden = checkpoint.model.config.text_config.hidden_size
            torch.manual_seed(0)
            checkpoint.model.add_module(self.name, torch.nn.Linear(hidden, 1))

        def check(self, policy: Policy) -> None:
            require_trained(policy.parts.model.presence.weight, "the weights of the presence head")

        def logits(self, policy: Policy, sample: Sample) -> Any:
            prompt, suffixes = policy.prompts(sample, sample.questions)
            group = completion_group(prompt, [torch.cat([s, torch.tensor([policy.end_id])]) for s in suffixes])
            _, states = hidden_states(policy.parts, group, "shared_prefix")
            asked = states[torch.arange(len(suffixes)), torch.tensor([len(s) for s in suffixes])]
            return policy.parts.model.presence(asked)[:, 0]

        def loss(self, policy: Policy, sample: Sample) -> Any:
            truth = torch.tensor([float(bool(q.truth.spans)) for q in sample.questions])
            return torch.nn.functional.binary_cross_entropy_with_logits(self.logits(policy, sample), truth)

        def decode(self, policy: Policy, sample: Sample) -> list[ParsedAnswer]:
            with torch.no_grad():
                return [ParsedAnswer("ok" if x > 0 else "absent") for x in self.logits(policy, sample).tolist()]

    tiny.build(tmp_path / "start", seed=1, side=32, **SMALL)
    policy = policy_of(tmp_path / "start", head := Presence(), "tokens")
    settings = SFTSettings(samples_per_step=2, max_steps=30, learning_rate=5e-3, lr_scheduler_type="constant")
    TrainingRun(tmp_path / "run", callbacks=[]).train(HeadObjective(policy, TWO, settings, head))
    assert [a.status for sample in TWO for a in head.decode(policy, sample)] == ["ok", "absent", "ok", "ok"]

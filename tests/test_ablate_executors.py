"""The same study by other executors: a Ray cluster of two workers, and submitit's local executor. And a real training.

Each starts processes of its own, so that there is one test for each, which looks at everything.
"""

from pathlib import Path

import pretrain_runs
import pytest
from ablation_studies import InlineExecutor, bindings, numbers, study

from whenwhere.ablate import executors
from whenwhere.ablate.cells import read_cells
from whenwhere.ablate.checking import check
from whenwhere.ablate.knobs import Knobs
from whenwhere.ablate.run import run
from whenwhere.errors import SettingError


def expected(folder: Path) -> tuple[dict[str, object], object]:
    """The study, and its numbers as the processes of this machine find them."""
    made = study(folder, {"no": {"signal": False}, "bad": {"crash": "exit"}}, seeds=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(executors.EXECUTORS, "local", InlineExecutor)
        run(made, folder / "local")
    return numbers(folder / "local", made), made


def test_a_ray_cluster_of_two_workers_gives_the_same_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    wanted, made = expected(tmp_path)
    # the shorter path is because sockets have one in their names
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for name in ("first", "second"):
            cluster.add_node(num_cpus=1, resources={name: 1})
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        result = run(made, tmp_path / "ray", "ray", jobs=2, options={"num_cpus": 1})  # type: ignore[arg-type]
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert result.done == 2 and {reason for *_, reason in result.failures} == {
        "the command ended with status 1: it broke on purpose"
    }
    assert numbers(tmp_path / "ray", made) == wanted  # type: ignore[arg-type]


def test_submitit_gives_the_same_cells(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed")
    wanted, made = expected(tmp_path)
    result = run(made, tmp_path / "slurm", "slurm", jobs=2)  # type: ignore[arg-type]
    assert result.done == 2 and len(result.failures) == 1
    assert numbers(tmp_path / "slurm", made) == wanted  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="does not take these parameters"):
        run(made, tmp_path / "slurm", "slurm", options={"no_such_parameter": 1})  # type: ignore[arg-type]
    assert {cell.state for cell in read_cells(tmp_path / "slurm", made)} == {"done", "failed"}  # type: ignore[arg-type]


RECIPE = """
[[evaluators]]
name = "retrieval"
kind = "retrieval"
every = 9
at_start = false
metric = "t2v-R@1"
data = { count = 6, world = { split = "val", frames = 4 } }
"""
MORE = {"name": "again", "kind": "retrieval", "every": 9, "at_start": False, "metric": "t2v-R@5",
        "data": {"count": 8, "world": {"split": "val", "frames": 4}}}  # fmt: skip
KNOBS = {
    "recipe": "small.toml", "fixed": {"train.max_steps": 2},
    "knobs": [
        {"id": "tokens", "key": "encoder.group_tokens", "type": "int", "base": 4},
        {"id": "measures", "key": "evaluators", "type": "list"},
        {"id": "logging", "key": "train.logging_steps", "type": "int", "base": 1},
        {"id": "length", "key": "train.max_steps", "type": "int", "base": 2},
        {"id": "masking", "key": "train.masking"},
        {"id": "phases", "key": "train.phases", "type": "list"},
    ],
    "metrics": [
        {"id": "r1", "key": "retrieval/t2v-R@1", "unit": "%", "primary": True, "items": "retrieval/t2v-R@1"},
        {"id": "time", "key": "train_seconds", "unit": "s", "higher": False},
        {"id": "gone", "key": "retrieval/t2v-R@2"},
    ],
}  # fmt: skip


@pytest.mark.torch
@pytest.mark.usefixtures("one_thread")
def test_arms_of_a_recipe_share_what_they_have_in_common(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checked and run: a dead knob and a double are found, sizes are compared, one training has two evaluations."""
    monkeypatch.setitem(executors.EXECUTORS, "local", InlineExecutor)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(pretrain_runs.RECIPE + RECIPE)
    items = [("tokens", [{"encoder.group_tokens": 6}, {"encoder.group_tokens": "many"}]),
             ("measures", [{"overrides": {"evaluators": [MORE]}, "label": "measured again"}]),
             ("logging", [{"train.logging_steps": 2}]), ("length", [{"train.max_steps": 3}]),
             ("masking", [{"train.masking": "tube"}]),
             ("phases", [{"train.phases": [{"share": 0.75, "batch": 8}, {"share": 0.25, "batch": 2}]}])]  # fmt: skip
    plan = bindings(*items, metrics=("r1", "time", "gone"))
    made = check(
        plan, knobs=Knobs.model_validate(KNOBS), seeds=1, budget=3600.0, work=tmp_path / "probes", device="cpu"
    )
    assert {(one.name, one.status) for one in made.not_run} == {
        ("encoder.group_tokens=many", "refused"), ("train.masking=tube", "dead"), ("gone", "missing"),
    }  # fmt: skip
    base, tokens, again, length, phases = made.arms
    assert "train.logging_steps=2" in [one.label for one in base.merged]
    assert again.stages[0] == base.stages[0] and again.stages[1] != base.stages[1]
    assert tokens.stages[0] != base.stages[0] and (tokens.differences.parameters or 0) > 0
    assert length.differences.steps == 1
    assert {one.kind for one in made.confounds if one.arm == tokens.id} >= {"parameters"}
    assert made.budget.estimated_seconds and base.cost_seconds and base.cost_seconds > 0
    result = run(made, tmp_path / "out", device="cpu")
    assert result.complete, result.failures
    trained = {path.parents[1] for path in (tmp_path / "out").glob("cells/*/*/work/run")}
    assert len(trained) == 4  # of five arms
    cells = {cell.arm: cell for cell in read_cells(tmp_path / "out", made)}
    found = cells["baseline"]
    values = [one.value for one in found.items("retrieval/t2v-R@1")]
    assert len(values) == 6 and sum(values) / 6 == pytest.approx(found.metrics["retrieval/t2v-R@1"])
    assert found.metrics["train_seconds"] > 0 and found.metrics["flops"] > 0 and found.metrics["peak_memory_gib"] > 0
    assert found.metrics["step_seconds"] > 0
    # a probe's three updates are two with the large batch and one with the small, those of the study one and one
    assert phases.differences.flops == pytest.approx(
        cells[phases.id].metrics["flops"] / found.metrics["flops"], rel=0.01
    )
    assert cells[again.id].metrics["loss"] == found.metrics["loss"] != cells[tokens.id].metrics["loss"]
    assert "again/t2v-R@5" in cells[again.id].metrics and "retrieval/t2v-R@1" not in cells[again.id].metrics

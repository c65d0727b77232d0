"""Both sides of benchmarks/shared_prefix.py do the same work, and its tables say what was measured."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

# last on the path, because both folders have a module `clips`
sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
import shared_prefix as benchmark
import trl_step

LAPS = {"step_cpu": 9.0, "step_wall": 10.0, "step_mb": 50.0}
SLOW = {"pass_cpu": 8.0, "pass_wall": 9.0, "pass_kernel": 1.0, "pass_mb": 600.0, "draw_cpu": 4.0, "draw_wall": 5.0,
        "draw_kernel": 0.0, "ran": 3}  # fmt: skip
FAST = {"pass_cpu": 2.0, "pass_wall": 3.0, "pass_kernel": 0.0, "pass_mb": 100.0, "draw_cpu": 1.0, "draw_wall": 1.0,
        "draw_kernel": 0.0, "ran": 3}  # fmt: skip


def row(cell: tuple[int, int, int], way: str, **more: Any) -> dict[str, Any]:
    return dict(zip("PCG", cell, strict=True)) | {"way": way, "device": "cpu"} | more


@pytest.mark.torch
def test_the_step_beside_trl_is_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import torch
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    from whenwhere.training.prefix.rollout import PrefilledPrompt

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    processor = trl_step.processor_of(benchmark.SMALL["text"]["vocab_size"])
    ids = trl_step.picture_ids(processor)
    length, width, branches = 260, 5, 3
    wanted = trl_step.laid(processor, *trl_step.asked(processor, length))
    assert wanted["input_ids"].shape == (1, length) and len(wanted["image_grid_thw"]) == 2
    begun: list[str] = []

    def begin() -> Any:
        begun.append("step")
        return lambda: False

    slopes: dict[str, dict[str, Any]] = {}
    seen: dict[str, Any] = {}
    for way, take in (("trl", trl_step.by_trl), ("here", trl_step.by_us)):
        model = benchmark.model_of(benchmark.SMALL, "cpu", ids)

        def look(_: Any, __: Any, given: dict[str, Any]) -> None:
            if "labels" in given:
                seen.update(given)

        def keep(*_: Any, way: str = way, model: Any = model) -> None:
            slopes[way] = {n: p.grad.clone() for n, p in model.named_parameters()}

        model.register_forward_pre_hook(look, with_kwargs=True)
        hook = register_optimizer_step_pre_hook(keep)
        if way == "here":  # both learn from the same completions
            monkeypatch.setattr(PrefilledPrompt, "sample", lambda *_: list(seen["input_ids"][:, length:]))
        take(model, processor, [length] * 3, width, branches, begin)
        hook.remove()
    torch.set_num_threads(threads)
    # the clock ends each side after one of three possible steps
    assert begun == ["step", "step"]
    # TRL repeats the tokens and frames that we compute once
    assert seen["input_ids"].shape == (branches, length + width)
    assert all(torch.equal(line[:length], wanted["input_ids"][0]) for line in seen["input_ids"])
    assert torch.equal(seen["pixel_values"], wanted["pixel_values"].repeat(branches, 1))
    assert not set(ids.values()) & {int(t) for t in seen["input_ids"][:, length:].flatten()}
    for name, slope in slopes["trl"].items():
        gap = float((slope - slopes["here"][name]).norm())
        assert float(slope.norm()) > 0 and gap <= 1e-3 * float(slope.norm()) + 1e-7, name


def test_laps_are_three_or_one_or_as_many_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: now[0])

    def laps(runs: int, seconds: list[float], warm: bool = False) -> tuple[int, dict[str, float]]:
        clock, count, more = benchmark.Clock("cpu", runs, warm), 0, True
        while more:
            stop = clock.begin()
            now[0] += seconds[count]
            more, count = stop(), count + 1
        return count, clock.row("pass")

    assert laps(0, [5, 3, 4])[0] == 3 and laps(0, [5, 3, 4])[1]["pass_wall"] == 3
    assert laps(0, [25])[0] == 1 and laps(2, [25, 30])[1]["ran"] == 2
    count, found = laps(0, [90, 2, 3, 4], warm=True)
    assert count == 4 and found["pass_wall"] == 2 and found["ran"] == 3


def test_cells_go_from_cheap_to_dear() -> None:
    found = benchmark.jobs(benchmark.CELLS, benchmark.STEP_CELLS)
    assert len(found) == 21 and found[0][1] == (1500, 64, 4) and found[-1][1] == (8000, 256, 16)
    assert [f[0] for f in found] == sorted(f[0] for f in found)
    # the more expensive way is measured first, because it decides how often both are run
    assert all(benchmark.planned(*cell, ways[0]) > benchmark.planned(*cell, ways[1]) for _, cell, ways in found)


def test_tables_say_what_was_and_what_was_not_measured() -> None:
    dear, small, gone = (4000, 64, 8), (1500, 64, 4), (8000, 256, 16)
    rows = [row(dear, "repeat", **SLOW), row(dear, "shared_prefix", **FAST), row(small, "repeat", **SLOW),
            row(small, "shared_prefix", **FAST), row(gone, "repeat", needs_mb=26_000),
            row(gone, "shared_prefix", **FAST), row(small, "trl", **LAPS, ran=1),
            row(small, "here", failed="no room")]  # fmt: skip
    cells = benchmark.compared(rows, benchmark.WAYS)
    assert [c["P"] for c in cells] == [1500, 4000, 8000]
    # 8 / 2 against bounds of 3.56 and 7.21
    assert cells[0]["pass_cpu_ratio"] == 4 and cells[0]["share_of_bound"] == 1.12
    assert cells[0]["goals"] == {"0.8 of the bound": True}
    assert cells[1]["goals"] == {"0.8 of the bound": False, "3 x time": True, "5 x memory": True}
    assert cells[1]["step_cpu_ratio"] == 4 and cells[1]["step_wall_ratio"] == 3.5 and "goals" not in cells[2]
    text = benchmark.written(cells, benchmark.WAYS) + benchmark.summary(cells)
    assert "| 4000 | 64 | 8 | 3 | 8.00 / 2.00 | 4.00 | 7.21 | 56% | 9.00 / 3.00 | 3.00 | 600 / 100 | 6.00 |" in text
    assert "would need 26000 MB" in text and "0.8 of the bound: 1 of 2 cells" in text and "5 x memory: 1 of 1" in text
    beside = benchmark.written(benchmark.compared(rows, benchmark.STEPS), benchmark.STEPS)
    assert "| 1500 | 64 | 4 | 0 | here: no room |" in beside
    # every row of a table has as many fields as its header
    for table in re.findall(r"(?:^\|.*\n)+", text + beside, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1

"""Reports of ablations whose truth is known: what is planted is found, nothing else is, and gaps are not filled."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import ablation_calibration
from simulated_study import ACCURACY, SimulatedArm, World, make_study, write_cells

from whenwhere.ablate.output import write_report
from whenwhere.ablate.plots import forest
from whenwhere.ablate.report import AblationReport, read_report, report
from whenwhere.ablate.study import Confound, MergedArm, NotRun, Study, StudyMetric, write_study
from whenwhere.ablate.tables import markdown_text, summary, tables
from whenwhere.cli.ablate_report import report as report_command
from whenwhere.errors import RecordError

RETRIEVAL = StudyMetric(
    id="r1", heading="R@1", key="retrieval/t2v-R@1", unit="%", items="retrieval/t2v-R@1", primary=True
)
POOLED = StudyMetric(id="map", heading="mAP", key="localization/mAP", unit="%")
TIME = StudyMetric(id="time", heading="training time", key="train_seconds", higher=False, unit="s")
QUICK = 200


def simulated(
    out: Path,
    arms: list[SimulatedArm],
    metrics: Any = (ACCURACY,),
    seed: int = 0,
    world: World | None = None,
    **more: Any,
) -> Study:
    study = make_study(arms, metrics, **more)
    costs = {"train_seconds": 61.0, "peak_memory_gib": 1.25}
    write_cells(out, study, arms, np.random.default_rng(seed), world or World(), costs)
    return study


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study, AblationReport]:
    """A study with a planted effect, a knob that does nothing, gaps, checks, and arms that were not run."""
    out = tmp_path_factory.mktemp("study")
    values = {"item": "tokens", "knob": "group_tokens"}
    arms = [
        SimulatedArm("base", more={"label": "baseline", "merged": [MergedArm(**values, label="tokens = 32", order=1)]}),
        SimulatedArm("t16", {"accuracy": -0.01}, more={"label": "tokens = 16", "order": 0, **values}),
        SimulatedArm("t64", {"accuracy": 0.01}, more={"label": "tokens = 64", "order": 2, **values}),
        SimulatedArm("blind", {"accuracy": -0.2}, more={"label": "no λ_t & <b>", "notes": ["time = 0 too."]}),
        SimulatedArm("knob", more={"label": "another order of keys"}),
        SimulatedArm("gap", {"accuracy": -0.2}, missing=[3], more={"label": "with a gap"}),
        SimulatedArm("screen", {"accuracy": -0.2}, seeds=range(5), more={"label": "five seeds"}),
        SimulatedArm("three", {"accuracy": -0.2}, seeds=range(3), more={"label": "three seeds"}),
        SimulatedArm("short", {"accuracy": -0.2}, seeds=range(3), missing=[2], more={"label": "two of three seeds"}),
        SimulatedArm("one", {"accuracy": -0.2}, seeds=[0], more={"label": "one seed"}),
        SimulatedArm("again", kind="a-a", seeds=range(50, 58), more={"label": "baseline again"}),
        SimulatedArm("null", kind="null", more={"label": "another log"}),
        SimulatedArm("dear", seeds=range(8), more={"label": "too dear", "funded": False}),
    ]
    study = simulated(
        out, arms, [ACCURACY.model_copy(update={"margin": 0.05}), RETRIEVAL, POOLED, TIME], seed=3,
        not_run=[NotRun(item="x", name="detectors", status="unbound", reason="The recipe has no such knob.")],
        confounds=[Confound(arm="t16", kind="parameters", text="It has 3 % fewer parameters.")],
    )  # fmt: skip
    return out, study, report(study, out, resamples=QUICK)


def test_a_planted_effect_is_found_and_a_knob_that_does_nothing_is_not(whole) -> None:
    found = whole[2]
    assert found.effect("blind", "accuracy").verdict == "worse"
    assert found.effect("blind", "accuracy").difference.high < 0
    for metric in ("accuracy", "r1"):
        nothing = found.effect("knob", metric)
        assert nothing.verdict in ("no detectable effect", "not worse")
        assert nothing.difference.low < 0 < nothing.difference.high
    assert {found.effect(arm, "accuracy").verdict for arm in ("again", "null")} <= {"no detectable effect", "not worse"}


def test_a_missing_seed_suppresses_the_test_and_says_so(whole) -> None:
    found = whole[2]
    for arm, text in (("gap", "7/8 seeds"), ("short", "2/3 seeds")):
        for metric in found.metrics:
            effect = found.effect(arm, metric.id)
            assert effect.standing == "incomplete" and not effect.verdict
            assert effect.mean is effect.difference is effect.p_value is effect.described is effect.inferior is None
        assert text in markdown_text(found)
    # the test that could not be made counts in the correction all the same
    family = [effect for effect in found.effects if effect.family == "primary"]
    assert len(family) == 2 * 5
    blind = found.effect("blind", "accuracy")
    assert blind.adjusted == pytest.approx(min(1, 10 * blind.p_value))
    assert found.partial == "partial (74 of 76 cells)"
    assert "partial (74 of 76 cells)" in summary(found)[0]


def test_seeds_decide_what_may_be_said(whole) -> None:
    found = whole[2]
    standing = {arm: found.effect(arm, "accuracy").standing for arm in ("blind", "screen", "three", "one")}
    assert standing == {"blind": "verdict", "screen": "screening", "three": "no test", "one": "checkpoint"}
    assert found.effect("screen", "accuracy").family == "screening"
    three, one = found.effect("three", "accuracy"), found.effect("one", "accuracy")
    assert three.p_value is None and three.described is not None and three.checkpoint is None and not three.verdict
    assert one.p_value is None and one.checkpoint is not None and one.described is None and not one.verdict
    assert found.effect("screen", "accuracy").flipped is None and found.effect("blind", "accuracy").flipped == 2 / 256
    text = markdown_text(found)
    for words in ("screening: ", "no test (3 seeds)", "no test (1 seed)"):
        assert words in text


def test_all_that_was_not_run_is_named_with_its_reason(whole) -> None:
    text = markdown_text(whole[2])
    assert "not run: detectors | unbound | The recipe has no such knob." in text
    assert "not run: too dear | not funded" in text
    assert "with a gap | 3 | not done (waiting)" in text


def test_numbers_are_those_of_an_independent_recomputation(whole) -> None:
    """From the lines of items.jsonl alone: values, differences, tests and corrections."""
    out, _, found = whole
    arms = json.loads((out / "study.json").read_text())["arms"]

    def mean(arm: dict[str, Any], seed: int, metric: str) -> float:
        lines = (out / "cells" / arm["stages"][0]["hash"] / str(seed) / "items.jsonl").read_text().splitlines()
        values = [one["value"] for one in map(json.loads, lines) if one["metric"] == metric]
        return sum(values) / len(values)

    p_values = {}
    for key, metric in (("qa/accuracy", "accuracy"), ("retrieval/t2v-R@1", "r1")):
        for arm in arms[1:5]:
            a = [mean(arm, seed, key) for seed in range(8)]
            b = [mean(arms[0], seed, key) for seed in range(8)]
            effect, test = found.effect(arm["id"], metric), scipy.stats.ttest_rel(a, b)
            assert found.arm(arm["id"]).values[metric].mean == pytest.approx(np.mean(a))
            assert found.arm(arm["id"]).values[metric].sd == pytest.approx(np.std(a, ddof=1))
            assert effect.p_value == pytest.approx(test.pvalue)
            assert effect.difference[1:] == pytest.approx(tuple(test.confidence_interval(0.95)))
            flip = scipy.stats.permutation_test((np.subtract(a, b),), np.mean, permutation_type="samples")
            assert effect.flipped == pytest.approx(flip.pvalue)
            p_values[arm["id"], metric] = test.pvalue
        short = found.effect("t16", "accuracy")
        margin = scipy.stats.ttest_1samp([d + 0.05 for d in short.deltas], 0, alternative="greater")
        assert short.bound == pytest.approx(margin.confidence_interval(0.975).low - 0.05)
    p = [*p_values.values(), 1.0, 1.0]
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(np.sort(p) * np.arange(len(p), 0, -1)))
    for (arm, metric), value in zip(p_values, adjusted, strict=False):
        assert found.effect(arm, metric).adjusted == pytest.approx(value)


def test_report_json_reproduces_all_files(whole, tmp_path: Path) -> None:
    first = write_report(whole[2], tmp_path / "first")
    again = write_report(read_report(tmp_path / "first"), tmp_path / "again")
    assert [file.name for file in first] == ["report.json", "report.md", "report.tex", "report.csv", "report.html"]
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
    # a report of the same cells is the same to the byte
    assert report(whole[1], whole[0], resamples=QUICK) == whole[2]


def test_the_csv_has_every_digit_of_every_arm_and_metric(whole, tmp_path: Path) -> None:
    write_report(whole[2], tmp_path)
    rows = list(csv.DictReader((tmp_path / "report.csv").open()))
    assert len(rows) == 12 * (4 + 1)
    row = next(row for row in rows if (row["arm"], row["metric"]) == ("blind", "accuracy"))
    assert float(row["p"]) == whole[2].effect("blind", "accuracy").p_value and row["verdict"] == "worse"


def test_less_is_better_for_time_and_memory(tmp_path: Path) -> None:
    time = TIME.model_copy(update={"key": "seconds_each", "primary": True, "margin": 0.3})
    arms = [SimulatedArm("base"), SimulatedArm("quick", {"time": -0.4}), SimulatedArm("slow", {"time": 0.4})]
    found = report(simulated(tmp_path, arms, [time]), tmp_path, resamples=QUICK)
    assert found.effect("quick", "time").verdict == "better" and found.effect("slow", "time").verdict == "worse"
    assert found.effect("quick", "time").bound > 0 > found.effect("slow", "time").bound
    text = markdown_text(found)
    assert "training time (s) ↓" in text and "memory (GiB) ↓" in text and "training (min) ↓" in text
    assert ">0</text>" in forest(found, time) and ">-0</text>" not in forest(found, time)


def test_not_worse_needs_the_margin_and_not_a_missing_difference(tmp_path: Path) -> None:
    metrics = [ACCURACY.model_copy(update={"margin": margin}) for margin in (0.2, 0.0005)]
    arms = [SimulatedArm("base"), SimulatedArm("same")]
    verdicts = []
    for k, metric in enumerate(metrics):
        verdicts.append(report(simulated(tmp_path / str(k), arms, [metric]), tmp_path / str(k)).effects[0].verdict)
    assert verdicts == ["not worse", "no detectable effect"]


def test_an_arm_that_helps_one_task_alone_interacts(tmp_path: Path) -> None:
    arms = [
        SimulatedArm("base"), SimulatedArm("one", {"accuracy": 0.2}), SimulatedArm("both", {"accuracy": 0.2, "r1": 0.2})
    ]  # fmt: skip
    found = report(simulated(tmp_path, arms, [ACCURACY, RETRIEVAL]), tmp_path, resamples=QUICK)
    p = {one.arm: one.adjusted for one in found.interactions}
    assert p["one"] < 0.05 < p["both"]
    # a metric that is not primary stands for its task where none is
    second = RETRIEVAL.model_copy(update={"primary": False})
    found = report(simulated(tmp_path / "c", arms, [second, ACCURACY]), tmp_path / "c", resamples=QUICK)
    assert [(one.arm, one.metrics) for one in found.interactions] == [(k, [ACCURACY.id, "r1"]) for k in ("one", "both")]
    # two metrics of one evaluator are one task, and seconds are not compared with shares
    more = [ACCURACY, RETRIEVAL.model_copy(update={"key": "qa/other"}), TIME.model_copy(update={"primary": True})]
    assert report(simulated(tmp_path / "b", arms, more), tmp_path / "b", resamples=QUICK).interactions == []


@pytest.mark.parametrize("what", ["code", "data"])
def test_other_code_or_data_is_refused_and_with_leave_flagged(tmp_path: Path, what: str) -> None:
    arms = [SimulatedArm("base"), SimulatedArm("arm", environment={what: "0ther"})]
    study = simulated(tmp_path, arms)
    with pytest.raises(RecordError, match=f"{what}.*--allow-mixed"):
        report(study, tmp_path)
    found = report(study, tmp_path, allow_mixed=True, resamples=QUICK)
    assert len(found.mixed) == 1 and "MIXED" in markdown_text(found)
    write_report(found, tmp_path / "report")
    for name in ("report.tex", "report.html"):
        assert "mixed" in (tmp_path / "report" / name).read_text().lower()


def test_several_versions_of_a_package_are_named(tmp_path: Path) -> None:
    study = simulated(tmp_path, [SimulatedArm("base"), SimulatedArm("arm")])
    env = tmp_path / "cells" / study.arms[0].stages[0].hash / "3" / "env.json"
    env.write_text(json.dumps(json.loads(env.read_text()) | {"python": "3.99"}))
    assert any("several versions of Python (, 3.99)" in text for text in report(study, tmp_path, resamples=9).remarks)


def test_data_that_the_arm_is_meant_to_change_is_no_mixture(tmp_path: Path) -> None:
    more = {"differences": {"data": ["captions (was coarse, is fine)"]}}
    arms = [SimulatedArm("base"), SimulatedArm("fine", environment={"data": "0ther"}, more=more)]
    assert report(simulated(tmp_path, arms), tmp_path, resamples=QUICK).mixed == []


def test_seeds_of_one_arm_on_other_data_are_a_mixture(tmp_path: Path) -> None:
    study = simulated(tmp_path, [SimulatedArm("base"), SimulatedArm("arm")])
    env = tmp_path / "cells" / study.arms[0].stages[0].hash / "3" / "env.json"
    env.write_text(env.read_text().replace("da7a", "0ther"))
    with pytest.raises(RecordError, match="states of the data"):
        report(study, tmp_path)


def change_items(study: Study, out: Path, arm: str, change: Callable[[str], str]) -> None:
    file = out / "cells" / study.arm(arm).stages[0].hash / "2" / "items.jsonl"
    file.write_text(change(file.read_text()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("q0003", "q9999"), "79 are the same"),
        (lambda text: text.replace('"v003"', '"v999"'), "other|different videos"),
        (lambda text: text + text.splitlines()[0] + "\n", "two values"),
        (lambda text: re.sub(r'("q0003".*"value": )\S+', r"\g<1>9.5}", text), "the mean of its 80 items"),
        (lambda text: text[:-20], "line 80"),
    ],
)
def test_items_that_do_not_fit_are_refused(tmp_path: Path, change: Callable[[str], str], message: str) -> None:
    study = simulated(tmp_path, [SimulatedArm("base"), SimulatedArm("arm")])
    change_items(study, tmp_path, "arm", change)
    with pytest.raises(RecordError, match=message):
        report(study, tmp_path)


def test_seeds_that_are_not_the_baselines_are_refused(tmp_path: Path) -> None:
    study = simulated(tmp_path, [SimulatedArm("base"), SimulatedArm("arm", seeds=range(1, 9))])
    with pytest.raises(RecordError, match="'arm' has the seeds"):
        report(study, tmp_path)


def test_seeds_that_do_not_reach_the_run_are_no_evidence(tmp_path: Path) -> None:
    world = World(seed_noise=0, item_noise=0)
    study = simulated(tmp_path, [SimulatedArm("base"), SimulatedArm("arm", {"accuracy": 0.1})], world=world)
    found = report(study, tmp_path, resamples=QUICK)
    assert found.effects[0].standing == "constant" and found.effects[0].p_value is None
    assert any("same with every seed" in text for text in found.remarks)


def test_a_change_that_does_not_reach_a_metric_is_no_finding(tmp_path: Path) -> None:
    margin = ACCURACY.model_copy(update={"margin": 0.02})
    study = simulated(tmp_path, [SimulatedArm("base"), SimulatedArm("arm")], metrics=[margin])
    for seed in study.baseline.seeds:
        base, arm = (tmp_path / "cells" / one.stages[-1].hash / str(seed) for one in study.arms)
        for name in ("metrics.json", "items.jsonl"):
            shutil.copy(base / name, arm / name)
    found = report(study, tmp_path, resamples=QUICK)
    (effect,) = found.effects
    assert effect.standing == "unchanged" and effect.verdict == "" and effect.p_value is None
    assert "not worse" not in markdown_text(found)
    assert any("the change does not reach it" in text for text in found.remarks)


def test_seeds_may_have_items_of_their_own_but_arms_may_not(tmp_path: Path) -> None:
    study = simulated(tmp_path, [SimulatedArm("base"), SimulatedArm("arm", {"accuracy": 0.1})])
    assert report(study, tmp_path, resamples=QUICK).effects[0].described is not None
    files = [(seed, tmp_path / "cells" / arm.stages[-1].hash / str(seed) / "items.jsonl")
             for arm in study.arms for seed in arm.seeds]  # fmt: skip
    for seed, file in files:
        file.write_text(file.read_text().replace('"item": "', f'"item": "{seed}-'))
    effect = report(study, tmp_path, resamples=QUICK).effects[0]
    assert effect.described is None and effect.p_value is not None
    files[0][1].write_text(files[0][1].read_text().replace('"item": "0-', '"item": "9-'))
    with pytest.raises(RecordError, match=r"of which 0 are the same .*; measure both on one set"):
        report(study, tmp_path)


def test_declared_items_that_are_not_there_are_named(tmp_path: Path) -> None:
    study = simulated(tmp_path, [SimulatedArm("base"), SimulatedArm("arm")])
    for file in sorted(tmp_path.glob("cells/*/*/items.jsonl"))[:2]:
        file.unlink()
    remarks = report(study, tmp_path, resamples=QUICK).remarks
    assert any(text.startswith("2 cells have no values of single items of") for text in remarks)


def test_a_folder_that_does_not_exist_is_not_an_empty_study(tmp_path: Path) -> None:
    study = simulated(tmp_path, [SimulatedArm("base")])
    with pytest.raises(RecordError, match=r"there is no folder .*: name the one"):
        report(study, tmp_path / "nodir")
    assert not (tmp_path / "nodir").exists()


def test_arms_of_unequal_seeds_are_compared_on_those_that_both_were_planned_with(tmp_path: Path) -> None:
    arms = [
        SimulatedArm("base"),
        SimulatedArm("control", kind="control", seeds=range(5)),
        SimulatedArm("arm", more={"against": "control"}),
        SimulatedArm("on nothing", more={"id": "on", "against": "unpaid"}),
        SimulatedArm("unpaid", more={"funded": False}),
    ]
    found = report(simulated(tmp_path, arms), tmp_path, resamples=QUICK)
    effect = found.effect("arm", "accuracy")
    assert effect.planned == 5 and effect.family == "screening" and effect.described is not None
    assert found.effect("on", "accuracy").standing == "incomplete"
    assert "0/8 seeds" in markdown_text(found)


def test_a_metric_that_one_cell_lacks_is_named_and_not_tested(tmp_path: Path) -> None:
    study = simulated(tmp_path, [SimulatedArm("base"), SimulatedArm("arm")], [ACCURACY, RETRIEVAL])
    file = tmp_path / "cells" / study.arms[1].stages[0].hash / "5" / "metrics.json"
    metrics = json.loads(file.read_text())
    del metrics["retrieval/t2v-R@1"]
    file.write_text(json.dumps(metrics))
    found = report(study, tmp_path, resamples=QUICK)
    assert found.effect("arm", "r1").standing == "incomplete" and found.effect("arm", "accuracy").tested
    assert any("arm is done with seed 5 and has no R@1" in text for text in found.remarks)


def test_a_check_that_fails_stands_on_top(tmp_path: Path) -> None:
    study = simulated(tmp_path, [SimulatedArm("base"), SimulatedArm("null", {"accuracy": 0.2}, kind="null")])
    assert summary(report(study, tmp_path, resamples=QUICK))[1].startswith("CHECK FAILED: null differs from base")


def test_a_failed_cell_is_named_with_its_reason(tmp_path: Path) -> None:
    study = simulated(tmp_path, [SimulatedArm("base"), SimulatedArm("arm")])
    status = tmp_path / "cells" / study.arms[1].stages[0].hash / "5" / "status.json"
    status.write_text(json.dumps({"state": "failed", "reason": "It ran out of memory."}))
    found = report(study, tmp_path, resamples=QUICK)
    assert found.failed == 1 and found.arm("arm").missing == {5: "failed: It ran out of memory."}
    assert "failed: It ran out of memory." in markdown_text(found)


def test_a_study_without_a_cell_has_a_report(tmp_path: Path) -> None:
    study = make_study([SimulatedArm("base"), SimulatedArm("arm")], [ACCURACY, POOLED])
    found = report(study, tmp_path)
    write_report(found, tmp_path / "report")
    assert found.partial == "partial (0 of 16 cells)" and found.effects[0].verdict == ""


# --- LaTeX


def columns_of(row: str) -> int:
    return len(re.findall(r"(?<!\\)&", row)) + 1


def check_latex(text: str) -> None:
    """What breaks a document: environments, braces and mathematics that do not close, and rows of another length."""
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") > 0
    for line in text.splitlines():
        assert len(re.findall(r"(?<!\\)\$", line)) % 2 == 0, line
    for table in re.findall(r"\\toprule\n(.*?)\\bottomrule", text, re.DOTALL):
        rows = [line for line in table.splitlines() if not line.startswith(r"\midrule")]
        assert len({columns_of(row) for row in rows}) == 1 and all(row.endswith(r" \\") for row in rows)


def test_latex_has_one_row_for_each_arm_in_percent_with_footnotes(whole, tmp_path: Path) -> None:
    write_report(whole[2], tmp_path)
    text = (tmp_path / "report.tex").read_text()
    check_latex(text)
    main = text.split(r"\end{table}")[0]
    assert main.count(r"\\") == 1 + 12 and r"\toprule" in main
    assert r"no $\lambda$\_t \& $<$b$>$\textsuperscript{b}" in main and r"\textsuperscript{b} time = 0 too." in main
    blind = whole[2].effect("blind", "accuracy")
    assert rf"\textbf{{$-${-100 * blind.mean:.1f} [" in main
    assert "not run: detectors" in main and "7/8 seeds" in main


def test_labels_may_hold_anything(tmp_path: Path) -> None:
    odd = ["[16]", "50 % & more_#1", "a\n\nb | c", "x^2 ~ {y} \\n $z$", "Ünïcode “quoted” – λ → ∞", "雪"]
    arms = [SimulatedArm("base"), *(SimulatedArm(f"a{k}", more={"label": label}) for k, label in enumerate(odd))]
    phrase = "zero-shot video retrieval R@1 on MSR-VTT/LSMDC/DiDeMo/MSVD/ANet"
    metrics = [POOLED.model_copy(update={"heading": phrase})]
    found = report(simulated(tmp_path, arms, metrics), tmp_path, resamples=QUICK)
    write_report(found, tmp_path / "report")
    text = (tmp_path / "report" / "report.tex").read_text()
    check_latex(text)
    assert r"\shortstack[r]{zero-shot video \\ " in text
    assert "% pdfLaTeX lacks 雪: use LuaLaTeX or XeLaTeX" in text
    table = markdown_text(found).split("\n\n")[3].splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1 and len(table) == 2 + 7
    if shutil.which("pdflatex"):
        (tmp_path / "report" / "report.tex").write_text(text.replace("雪", "snow"))
        compile_latex(tmp_path / "report")


def compile_latex(folder: Path) -> None:
    document = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{report.tex}\end{document}"
    (folder / "paper.tex").write_text(document)
    call = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(call, cwd=folder, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout[-1500:]
    assert (folder / "paper.pdf").stat().st_size > 10_000


def test_latex_compiles(whole, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        # CI has no LaTeX, and the test above reads the tables there.
        pytest.skip("system: there is no pdflatex (Debian: apt-get install texlive-latex-recommended)")
    write_report(whole[2], tmp_path)
    compile_latex(tmp_path)


# --- the page and the command


def test_the_page_is_readable_on_a_phone(whole, tmp_path: Path) -> None:
    from browser import browser, visit

    write_report(whole[2], tmp_path)
    with browser() as running:
        page, seen = visit(running, tmp_path / "report.html")
        # two forest plots, two plots over ordered values with the baseline's place marked
        assert page.locator("figure svg").count() == 4
        assert page.locator("figure svg rect").count() == 2
        assert page.locator("figure").nth(2).locator("text").all_text_contents()[-3:] == ["16", "32", "64"]
        assert "no λ_t & <b>" in page.locator("table").first.inner_text().replace("\xa0", " ")
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            heights = "[...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect().height)"
            assert min(page.evaluate(heights)) >= 10
        assert seen.errors == [] and seen.foreign == []


def test_the_command_writes_and_says_what_it_found(whole, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, study, found = whole
    write_study(study, tmp_path / "study.json")
    report_command(tmp_path / "study.json", out, to=tmp_path / "report", allow_mixed=False, json_=False)
    said = capsys.readouterr()
    assert "partial (74 of 76 cells)" in said.out and "worse" in said.out and "report.html" in said.err
    assert read_report(tmp_path / "report").effect("blind", "r1").deltas == found.effect("blind", "r1").deltas
    assert tables(found)[0].rows[0][0] == "baseline"


# --- how often the whole report is wrong


def test_the_committed_calibration_is_nominal_and_its_table_that_of_its_numbers() -> None:
    file = ablation_calibration.HERE / "results" / "ablation_calibration.json"
    content = json.loads(file.read_text("utf-8"))
    assert file.with_suffix(".md").read_text("utf-8") == ablation_calibration.tables(content)
    assert [row["ratio"] for row in content["rates"]] == [0.25, 1.0, 4.0] and content["trials"] >= 1000
    for row in content["rates"]:
        assert all(0.03 <= row[name] <= 0.07 for name in ablation_calibration.FALSE), row
        assert row["loss"] <= 0.035 and row["planted"] >= 0.75


def test_the_calibration_finds_what_is_planted() -> None:
    found = ablation_calibration.rates(1.0, trials=4)
    assert found["planted"] >= 0.5 and found["each p"] <= 0.3

"""The simulation behind the table of false positives, in small: what it must show, it shows."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import calibration


@pytest.mark.parametrize("ratio", [0.25, 1.0, 4.0])
def test_tests_of_seeds_are_nominal_at_every_ratio(ratio: float) -> None:
    found = calibration.rates(8, ratio, trials=800, resampled=1)
    for name in ("paired t", "sign flip", "non-inferiority", "Holm"):
        assert 0.025 <= found[name] <= 0.075, name
    assert found["family, uncorrected"] > 0.1


def test_the_bootstrap_over_items_takes_noise_of_seeds_for_an_effect() -> None:
    found = calibration.rates(5, 4.0, trials=60, resampled=60)
    assert found["items only"] > 0.4 > found["crossed"]


def test_the_committed_tables_are_those_of_the_committed_numbers() -> None:
    file = calibration.HERE / "results" / "calibration.json"
    content = json.loads(file.read_text("utf-8"))
    assert file.with_suffix(".md").read_text("utf-8") == calibration.report(content)
    for row in content["test set"]:
        assert all(0.03 <= row[name] <= 0.07 for name in ("paired t", "non-inferiority", "Holm"))

"""What each term says about gaming is measured on data.

Neither a constant answer nor an answer that hardly overlaps the truth may get as much as an answer with a t_IoU of one
half; terms for which one does are marked and refused alone.
"""

import sys
from pathlib import Path

import pytest

from whenwhere.errors import SettingError
from whenwhere.overlap import t_iou
from whenwhere.verify import TERMS, Verifier
from whenwhere.verify.gaming import Audit, audit, half_right, slips

sys.path.insert(0, str(Path(__file__).parent))
import verify_truths as made

MEASURED = [t for t in TERMS.values() if t.name != "semantic"]


def wrong(found: dict[str, Audit]) -> list[str]:
    """Names of terms whose statement about gaming is wrong."""
    return [f"{name}: {a}" for name, a in found.items() if a.gameable != bool(TERMS[name].gameable)]


def test_terms_are_what_they_say_on_generated_events() -> None:
    found = audit(MEASURED, made.world(20))
    assert found.keys() == {t.name for t in MEASURED}
    assert wrong(found) == []
    assert found["recall"].answer.startswith("[0, 1]")


@pytest.mark.parametrize("name", made.REAL)
def test_terms_are_what_they_say_on_real_annotations(real_data: Path, name: str) -> None:
    truths = made.benchmark(real_data, name, 25)
    found = audit(MEASURED, truths)
    boxes = truths[0].tube is not None
    assert found.keys() == {t.name for t in MEASURED if "choice" not in t.needs and (boxes or "tube" not in t.needs)}
    assert wrong(found) == []


def test_made_answers_overlap_as_they_should() -> None:
    for truth in made.world(10):
        assert truth.spans is not None
        for claim in half_right(truth):
            assert claim.spans is not None and t_iou(claim.spans, truth.spans) == pytest.approx(0.5)
        for claim in slips(truth).values():
            assert claim.spans is not None and t_iou(claim.spans, truth.spans) <= 0.1 + 1e-9


@pytest.mark.parametrize("name", [t.name for t in TERMS.values() if t.gameable and t.name != "semantic"])
def test_gameable_terms_are_refused_alone_unless_asked_for(name: str) -> None:
    with pytest.raises(SettingError, match="gameable=True"):
        Verifier({name: 1.0})
    with pytest.raises(SettingError, match="gameable=True"):
        Verifier({name: 1.0, "format": 0.5, "t_iou": 0})
    assert Verifier({name: 1.0}, gameable=True).terms[0].name == name
    assert Verifier({name: 0.9, "t_iou": 0.1}).terms[1].name == "t_iou"


@pytest.mark.parametrize("name", [t.name for t in TERMS.values() if not t.gameable and t.name != "semantic"])
def test_the_others_may_stand_alone(name: str) -> None:
    assert Verifier({name: 1.0}).terms[0].name == name

"""The detector of the extra by OpenVINO and by OpenCV, and parts of frozen graphs."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import whenwhere
from whenwhere.diagnosis import diagnose
from whenwhere.errors import ModelError
from whenwhere.models import classifier
from whenwhere.models.detectors.frozen_graph import cut_graph

PICTURES = np.random.default_rng(3).integers(0, 255, (6, 90, 160, 3), np.uint8)
PICTURES[:, 20:70, 40:80] = (200, 40, 40)


def field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer; all of these tests are shorter than 128 bytes."""
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def node(name: str, operation: str, *inputs: str) -> bytes:
    """A node of a graph."""
    own = field(1, name.encode()) + field(2, operation.encode())
    return field(1, own + b"".join(field(3, one.encode()) for one in inputs))


GRAPH = b"".join([
    node("image", "Placeholder"),
    node("scaled", "Mul", "image"),
    b"\x10\x07",  # a field that is a number
    node("weights", "Const"),
    node("conv", "Conv2D", "scaled:0", "weights"),
    node("scores", "Sigmoid", "conv:1", "^weights"),
    node("doubles", "NonMaxSuppression", "scores"),
    field(4, b"versions"),
])  # fmt: skip


def test_a_part_of_a_graph_is_what_its_ends_depend_on() -> None:
    part = cut_graph(GRAPH, "scaled", ["scores"])
    start = field(1, field(1, b"scaled") + field(2, b"Placeholder") + field(5, b"\x0a\x05dtype\x12\x02\x30\x01"))
    assert part.startswith(start)
    rest = part.removeprefix(start)
    kept = [node("weights", "Const"), node("conv", "Conv2D", "scaled:0", "weights")]
    kept.append(node("scores", "Sigmoid", "conv:1", "^weights"))
    assert sorted(rest) == sorted(b"".join(kept)) and all(one in rest for one in kept)


def test_a_node_that_is_missing() -> None:
    with pytest.raises(ModelError, match=r"my\.pb has no node 'concat', so it is no SSD detector"):
        cut_graph(GRAPH, "scaled", ["concat"], "my.pb")


@given(st.binary(max_size=60))
def test_bytes_that_are_no_graph(data: bytes) -> None:
    for cut in (data, GRAPH + data, GRAPH[: len(data)]):
        with suppress(ModelError):
            part = cut_graph(cut, "scaled", ["scores"])
            assert part[2:].startswith(field(1, b"scaled")) and field(1, b"scores") in part


def test_opencv_finds_the_same_where_openvino_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = whenwhere.open_detector("ssd")
    found = fast.detect(PICTURES, 0.02)
    monkeypatch.setitem(sys.modules, "openvino", None)
    slow = whenwhere.open_detector("ssd")
    assert (fast.runtime, slow.runtime) == ("OpenVINO", "OpenCV")  # type: ignore[attr-defined]
    assert fast.fingerprint == slow.fingerprint
    for a, b in zip(found, slow.detect(PICTURES, 0.02), strict=True):
        assert len(a) == len(b) > 0
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)
        # boxes of nearly the same score may be in another order
        for box, classes in zip(a.boxes, a.classes, strict=True):
            same = np.abs(b.boxes - box).max(1) < 0.01
            assert same.any() and np.abs(b.classes[same] - classes).max(1).min() < 1e-3


def test_a_second_batch_does_not_change_the_first() -> None:
    detector = whenwhere.open_detector("ssd")
    first = detector.detect(PICTURES[:4], 0.02)
    before = [(one.boxes.copy(), one.classes.copy()) for one in first]
    detector.detect(255 - PICTURES[:4], 0.02)
    for one, (boxes, classes) in zip(first, before, strict=True):
        assert (one.boxes == boxes).all() and (one.classes == classes).all()


def test_doctor_says_what_runs_it() -> None:
    found = {one.name: one for one in diagnose()}
    assert "on cpu by OpenVINO" in found["detector ssd"].found
    assert found["joints of people"].state == found["classifier of pictures"].state == "ok"
    assert "1000 classes" in found["classifier of pictures"].found


def test_doctor_says_how_to_mend_a_damaged_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "FILES", {classifier.NETWORK: "0" * 64})
    classifier.open_classifier.cache_clear()
    try:
        (found,) = [one for one in diagnose() if one.name == "networks of [objects]"]
    finally:
        classifier.open_classifier.cache_clear()
    assert found.state == "missing" and "damaged" in found.found and found.mend is not None
    assert found.mend.startswith("pip install --force-reinstall")


def test_openvino_does_not_report_its_use(tmp_path: Path) -> None:
    """Its package tells its makers over the network that it was imported, if the reporter can be imported."""
    (tmp_path / "openvino_telemetry.py").write_text("raise SystemExit('the reporter was imported')")
    code = "import whenwhere, numpy; d = whenwhere.open_detector('ssd'); d.detect(numpy.zeros((1, 9, 9, 3), 'u1'))"
    code += "; import sys; print(d.runtime, sys.modules.get('openvino_telemetry'))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == ["OpenVINO", "None"], done.stderr

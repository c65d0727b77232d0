"""Detectors in ONNX files: layouts inferred from shapes, and files that are no detectors.

The networks are written here, byte by byte as onnx.proto3 says: their outputs are constants, which encode boxes as the
projects do, so that what is read can be compared with what was meant.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import whenwhere
from whenwhere.errors import ModelError
from whenwhere.models.detectors.onnx import LAYOUTS, OnnxDetector, OutputLayout, find_layout
from whenwhere.models.detectors.onnx_file import read_onnx

#: The boxes that the networks give, in pixels of their input of 64 × 96, and their classes.
HEIGHT, WIDTH = 64, 96
TRUE = np.array([[10.0, 12, 42, 44], [50, 8, 90, 56]])
CLASSES, SCORE = [0, 2], 0.9
PICTURE = np.full((1, 128, 192, 3), 90, np.uint8)


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def value_info(name: str, shape: Sequence[int], kind: int = 1) -> bytes:
    dims = b"".join(field(1, field(1, d) if d else field(2, "n")) for d in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, dims)))


def node(kind: str, inputs: Sequence[str], output: str, attributes: bytes = b"", domain: str = "") -> bytes:
    out = b"".join(field(1, i) for i in inputs) + field(2, output) + field(4, kind) + attributes
    return field(1, out + (field(7, domain) if domain else b""))


def tensor(name: str, array: np.ndarray) -> bytes:
    dims = b"".join(field(1, d) for d in array.shape)
    return field(5, dims + field(2, 1) + field(8, name) + field(9, array.astype("<f4").tobytes()))


def write_onnx(
    path: Path,
    outputs: dict[str, np.ndarray],
    inputs: dict[str, tuple[int, ...]] | None = None,
    operator: str = "Add",
    domain: str = "",
) -> Path:
    """A network that gives constants, whatever it sees: each is added to the mean of the picture times zero."""
    inputs = inputs or {"images": (1, 3, HEIGHT, WIDTH)}
    first = next(iter(inputs))
    axes = field(5, field(1, "axes") + b"".join(field(8, a) for a in (1, 2, 3)) + field(20, 7))
    keep = field(5, field(1, "keepdims") + field(3, 0) + field(20, 2))
    graph = node("ReduceMean", [first], "mean", axes + keep) + node("Mul", ["mean", "zero"], "nothing")
    graph += tensor("zero", np.zeros(1))
    for k, (name, array) in enumerate(outputs.items()):
        graph += node(operator, ["nothing", f"c{k}"], name, domain=domain) + tensor(f"c{k}", array)
    graph += field(2, "g") + b"".join(field(11, value_info(n, s)) for n, s in inputs.items())
    graph += b"".join(field(12, value_info(n, a.shape)) for n, a in outputs.items())
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
    return path


def cells(strides: Sequence[int], shift: float) -> np.ndarray:
    return np.array([
        ((x + shift) * s, (y + shift) * s, s)
        for s in strides for y in range(-(-HEIGHT // s)) for x in range(-(-WIDTH // s))
    ])  # fmt: skip


def yolox(decoded: bool, count: int = 80) -> dict[str, np.ndarray]:
    grid = cells((8, 16, 32), 0.0)
    rows = np.zeros((len(grid), 5 + count))
    if decoded:
        rows[:, :2] = grid[:, :2]
    for box, k in zip(TRUE, CLASSES, strict=True):
        middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        cell = int(np.abs(grid[:, :2] - middle).sum(1).argmin())
        place = [middle, size] if decoded else [(middle - grid[cell, :2]) / grid[cell, 2], np.log(size / grid[cell, 2])]
        rows[cell, :4] = np.concatenate(place)
        rows[cell, 4], rows[cell, 5 + k], rows[cell, 5 + 1] = 1.0, SCORE, 0.3
    return {"output": rows[None]}


def nanodet(plus: bool) -> dict[str, np.ndarray]:
    grid = cells((8, 16, 32, 64) if plus else (8, 16, 32), 0.0 if plus else 0.5)
    rows = np.zeros((len(grid), 80 + 32))
    for box, k in zip(TRUE, CLASSES, strict=True):
        # a cell from which no side is further than seven strides
        near = np.abs(grid[:, :2] - (box[:2] + box[2:]) / 2).sum(1) + 1000 * (grid[:, 2] != 16)
        cell = int(near.argmin())
        x, y, s = grid[cell]
        reach = np.array([x - box[0], y - box[1], box[2] - x, box[3] - y]) / s
        bins = np.full((4, 8), -30.0)
        for side, r in enumerate(reach):
            low = int(r)
            bins[side, low], bins[side, low + 1] = np.log(max(1 - (r - low), 1e-9)), np.log(max(r - low, 1e-9))
        rows[cell, k], rows[cell, 1] = SCORE, 0.3
        rows[cell, 80:] = bins.ravel()
    return {"output": rows[None]}


def centred() -> np.ndarray:
    scale = [WIDTH, HEIGHT]
    return np.concatenate([(TRUE[:, :2] + TRUE[:, 2:]) / 2 / scale, (TRUE[:, 2:] - TRUE[:, :2]) / scale], 1)


def detr(columns: int) -> dict[str, np.ndarray]:
    """Logits of sigmoids; with COCO's 91 ids, or its 80 classes."""
    logits = np.full((1, 5, columns), -12.0)
    boxes = np.full((1, 5, 4), 0.5)
    first = 1 if columns == 91 else 0
    for q, k in enumerate(CLASSES):
        logits[0, q, first + k], logits[0, q, first + 1] = np.log(SCORE / (1 - SCORE)), np.log(0.3 / 0.7)
    boxes[0, :2] = centred()
    return {"logits": logits, "pred_boxes": boxes}


def detr_softmax() -> dict[str, np.ndarray]:
    odds = np.full((1, 5, 92), 1e-12)
    odds[..., -1] = 1.0
    boxes = np.full((1, 5, 4), 0.5)
    for q, k in enumerate(CLASSES):
        odds[0, q] = 1e-12
        odds[0, q, 1 + k], odds[0, q, -1] = SCORE, 1 - SCORE
    boxes[0, :2] = centred()
    return {"pred_boxes": boxes, "logits": np.log(odds)}


def final() -> dict[str, np.ndarray]:
    boxes = np.zeros((1, 4, 4))
    # RT-DETR's own export multiplies by the size that it is told: the longer side of the input, both times
    boxes[0, :2] = TRUE / [WIDTH, HEIGHT, WIDTH, HEIGHT] * max(WIDTH, HEIGHT)
    labels, scores = np.zeros((1, 4)), np.zeros((1, 4))
    labels[0, :2], scores[0, :2] = CLASSES, SCORE
    return {"labels": labels, "boxes": boxes, "scores": scores}


EXPORTS = {
    "YOLOX": (yolox(False), None), "YOLOX, decoded": (yolox(True), None), "NanoDet-Plus": (nanodet(True), None),
    "NanoDet": (nanodet(False), None), "RT-DETR": (detr(80), None), "RF-DETR": (detr(91), None),
    "DETR": (detr_softmax(), None),
    "own RT-DETR": (final(), {"images": (1, 3, HEIGHT, WIDTH), "orig_target_sizes": (1, 2)}),
}  # fmt: skip


@pytest.mark.parametrize("export", EXPORTS)
def test_boxes_of_a_layout_are_those_that_were_meant(export: str, tmp_path: Path) -> None:
    outputs, inputs = EXPORTS[export]
    detector = whenwhere.open_detector(str(write_onnx(tmp_path / "net.onnx", outputs, inputs)))
    assert isinstance(detector, OnnxDetector) and detector.labels[:3] == ("person", "bicycle", "car")
    (found,) = detector.detect(PICTURE, 0.5)
    assert len(found) == 2
    order = np.argsort(found.boxes[:, 0])
    # the picture is twice as large as the network's input
    np.testing.assert_allclose(found.boxes[order], 2 * TRUE, atol=0.05)
    np.testing.assert_allclose(found.scores, SCORE, atol=1e-3)
    np.testing.assert_allclose(found.classes.sum(1), 1)
    assert found.classes[order].argmax(1).tolist() == CLASSES
    if "own" not in export and export != "DETR":
        assert 0.02 < found.classes[0, 1] < 0.1  # the second class is kept in the distribution


def test_a_network_keeps_the_proportions_where_its_project_does(tmp_path: Path) -> None:
    detector = whenwhere.open_detector(str(write_onnx(tmp_path / "yolox.onnx", yolox(True))))
    (found,) = detector.detect(np.zeros((1, 64, 32, 3), np.uint8), 0.5)
    # 64 × 32 stays at its size in the upper left corner, and boxes are cut to it
    assert len(found) == 1 and found.boxes[0].tolist() == pytest.approx([10, 12, 32, 44], abs=0.05)


def test_labels_beside_a_network(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "mine.onnx", yolox(True, count=3))
    with pytest.raises(ModelError, match="put the names of its classes into a file of labels"):
        whenwhere.open_detector(str(path))
    (tmp_path / "mine.txt").write_text("cat\ndog\n")
    with pytest.raises(ModelError, match=r"with the 2 classes that .*mine\.txt names"):
        whenwhere.open_detector(str(path))
    (tmp_path / "mine.txt").write_text("cat\ndog\nowl\n")
    assert whenwhere.open_detector(str(path)).labels == ("cat", "dog", "owl")
    assert whenwhere.open_detector(str(path), labels=["a", "b", "c"]).labels == ("a", "b", "c")
    (tmp_path / "mine.txt").unlink()
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "ant", "1": "bee", "2": "N/A"}}))
    assert whenwhere.open_detector(str(path)).labels == ("ant", "bee")


def test_pictures_are_prepared_as_a_file_beside_the_network_says(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "rtdetr.onnx", detr(80))
    plain = whenwhere.open_detector(str(path))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    stated = whenwhere.open_detector(str(path))
    assert plain._prepare.mean == (0, 0, 0) and stated._prepare.mean == (127.5,) * 3  # type: ignore[attr-defined]
    assert plain.fingerprint != stated.fingerprint


def test_an_operator_that_opencv_does_not_know(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "net.onnx", detr(80), operator="Entangle", domain="com.example")
    with pytest.raises(ModelError, match=r"com\.example\.Entangle") as said:
        whenwhere.open_detector(str(path))
    assert "\n" not in str(said.value)


def damaged(data: bytes) -> dict[str, bytes]:
    return {
        "cut off": data[: len(data) // 2], "empty": b"", "text": b"not a network at all\n" * 9, "zeros": bytes(500),
        "claims more than there is": field(1, 8) + varint(7 << 3 | 2) + varint(1 << 62) + b"x",
        "a number without an end": b"\xff" * 64, "no graph": field(1, 8), "picture": b"\x89PNG\r\n\x1a\n" + bytes(99),
        "two graphs": data + data, "empty graph": field(1, 8) + field(7, b""),
        "weights elsewhere": field(7, field(5, field(8, "w") + field(13, b"x"))),
    }  # fmt: skip


@pytest.mark.parametrize("kind", damaged(b""))
def test_files_that_are_not_onnx(kind: str, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "net.onnx", detr(80))
    path.write_bytes(damaged(path.read_bytes())[kind])
    with pytest.raises(ModelError, match=r"net\.onnx") as said:
        whenwhere.open_detector(str(path))
    assert "\n" not in str(said.value)


def test_networks_that_are_no_detectors(tmp_path: Path) -> None:
    other = write_onnx(tmp_path / "classifier.onnx", {"logits": np.zeros((1, 1000))})
    with pytest.raises(ModelError, match=r"the outputs of .* \(1×1000\) are not those of"):
        whenwhere.open_detector(str(other))
    sound = write_onnx(tmp_path / "sound.onnx", {"y": np.zeros((1, 9))}, {"wave": (1, 1, 16000, 1)})
    with pytest.raises(ModelError, match="takes wave 1×1×16000×1, not one picture"):
        whenwhere.open_detector(str(sound))
    large = write_onnx(tmp_path / "large.onnx", detr(80), {"images": (1, 3, 1 << 20, 1 << 20)})
    with pytest.raises(ModelError, match="more than 2048: export it smaller"):
        whenwhere.open_detector(str(large))
    wrong = detr(80)
    wrong["logits"][0, 0, 0] = np.nan
    with pytest.raises(ModelError, match="not finite"):
        whenwhere.open_detector(str(write_onnx(tmp_path / "nan.onnx", wrong))).detect(PICTURE)
    wild = yolox(True)
    wild["output"][0, :, 4:] = 7.0
    with pytest.raises(ModelError, match="not between 0 and 1, so its layout is another one"):
        whenwhere.open_detector(str(write_onnx(tmp_path / "wild.onnx", wild))).detect(PICTURE)


def test_sizes_that_a_file_leaves_open(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "open.onnx", detr(80), {"pixel_values": (0, 3, 0, 0)})
    assert read_onnx(path).inputs == {"pixel_values": (0, 3, 0, 0)}
    detector = whenwhere.open_detector(str(path))
    (found,) = detector.detect(PICTURE, 0.5)
    np.testing.assert_allclose(found.boxes[np.argsort(found.boxes[:, 0])], 2 * TRUE, atol=0.05)


def test_a_layout_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = OutputLayout("mine", lambda shapes, size, labels: 2 if shapes == [(1, 2, 6)] else None, LAYOUTS[0].read,
                  LAYOUTS[0].prepare)  # fmt: skip
    monkeypatch.setattr("whenwhere.models.detectors.onnx.LAYOUTS", [*LAYOUTS, mine])
    assert find_layout([(1, 2, 6)], (64, 64), None, "x") == (mine, 2)

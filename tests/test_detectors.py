"""Object detectors by name: what they find, their distributions over classes, and files that are no detectors."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

import whenwhere
from whenwhere.errors import MissingExtraError, ModelError, SettingError
from whenwhere.models.detectors import package
from whenwhere.models.detectors.detector import SAME_CLASS, SAME_OBJECT, class_number, distribution, select
from whenwhere.models.detectors.labels import COCO, COCO_IDS, coco_labels, label_space, read_labels
from whenwhere.models.detectors.package import CONFIG, GRAPH, package_folder
from whenwhere.models.detectors.tensorflow import decode
from whenwhere.overlap import box_iou

#: Two pictures of noise and rectangles: nothing that has a name, but something for each layer to answer.
PICTURES = np.random.default_rng(3).integers(0, 255, (5, 90, 160, 3), np.uint8)
PICTURES[:, 20:70, 40:80] = (200, 40, 40)


def test_the_boxes_of_the_extra_are_those_of_the_whole_graph() -> None:
    """OpenCV runs the graph with its own last layer, which keeps one label a box; ours must agree with it."""
    import cv2

    folder = package_folder()
    net = cv2.dnn.readNetFromTensorflow(str(folder / GRAPH), str(folder / CONFIG))
    detector = whenwhere.open_detector("ssd")
    found = detector.detect(PICTURES, 0.02)
    assert len(found) == len(PICTURES) > detector.batch
    for picture, got in zip(PICTURES, found, strict=True):
        net.setInput(cv2.dnn.blobFromImage(picture, 1.0, (300, 300)))
        rows = net.forward()[0, 0]
        expected = (rows[:, 3:] * [160, 90, 160, 90]).clip(0, [160, 90, 160, 90])
        assert len(got) > 0 and got.classes.shape == (len(got), 80)
        np.testing.assert_allclose(got.classes.sum(1), 1)
        for box, score, classes in zip(got.boxes, got.scores, got.classes, strict=True):
            fits = np.abs(expected - box).max(1) < 0.01
            assert fits.any()
            best = rows[fits][rows[fits, 2].argmax()]
            assert best[1] == COCO_IDS[classes.argmax()] and best[2] == pytest.approx(score, abs=1e-4)


def test_a_batch_changes_nothing() -> None:
    detector = whenwhere.open_detector("ssd")
    together = detector.detect(PICTURES, 0.02)
    alone = [detector.detect(p[None], 0.02)[0] for p in PICTURES]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-3)
        np.testing.assert_allclose(a.classes, b.classes, atol=1e-5)
    assert detector.detect(PICTURES[:0]) == []


def test_a_detector_says_what_it_is() -> None:
    detector = whenwhere.open_detector("ssd")
    assert detector.labels == COCO and detector.device == "cpu" and "Apache-2.0" in detector.licence
    assert package.PACKAGE in detector.source and detector.fingerprint == whenwhere.open_detector("ssd").fingerprint


def test_a_class_that_nobody_knows() -> None:
    assert class_number(COCO, " Cell Phone", "ssd") == 67
    with pytest.raises(ModelError, match=r"ssd has no class 'cell fone' \(did you mean cell phone\?\)"):
        class_number(COCO, "cell fone", "ssd")


def fake_package(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: bytes) -> None:
    """Put a package of the extra's name before the real one on the path."""
    models = folder / package.MODULE / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").write_text("raise RuntimeError('it must not be imported')")
    for name, data in files.items():
        (models / {"graph": GRAPH, "config": CONFIG}[name]).write_bytes(data)
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()


def test_a_package_that_is_half_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_package(tmp_path, monkeypatch, config=b"node {}")
    with pytest.raises(ModelError, match=r"lacks its file frozen_inference_graph\.pb, so it is half installed: pip"):
        whenwhere.open_detector("ssd")


def test_a_package_whose_files_are_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_package(tmp_path, monkeypatch, graph=b"0" * 100, config=b"node {}")
    with pytest.raises(ModelError, match="is damaged or of another version: pip"):
        whenwhere.open_detector("ssd")


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package.MODULE, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'whenwhere\[objects\]'"):
        whenwhere.open_detector("ssd")


def test_names_that_open_nothing() -> None:
    with pytest.raises(SettingError, match="there is no detector 'sdd'"):
        whenwhere.open_detector("sdd")


SSD_END = """node {
  name: "image_tensor"
  op: "Placeholder"
}
node {
  name: "detection_out"
  op: "DetectionOutput"
  input: "boxes"
  input: "scores"
  input: "anchors"
}
"""


@pytest.mark.parametrize(
    ("graph", "config", "message"),
    [
        (b"", SSD_END, "has 0 bytes, so it is not a frozen graph"),
        (b"GIF89a" * 50, SSD_END, "cannot be read by OpenCV|is damaged or no network"),
        (b"\x0a\xff\xff\xff\xff\x07", SSD_END, "cannot be read by OpenCV|is damaged or no network"),
        (b"\x00" * 64, SSD_END, "cannot be read by OpenCV|is damaged or no network"),
        (b"x", "node {\n}\n", "has no layer DetectionOutput with three inputs"),
        (b"x", "PNG", "has no layer DetectionOutput with three inputs"),
        (b"x", SSD_END.replace('"Placeholder"', '"Placeholder"\n  size: -1\n  size: 99999\n  size: 9\n  size: 3'),
         "asks for pictures of 99999 pixels"),
        (b"x", None, "there is no file .*graph.pbtxt"),
        (None, SSD_END, "there is no file .*graph.pb:"),
    ],
)  # fmt: skip
def test_tensorflow_files_that_are_no_detector(
    graph: bytes | None, config: str | None, message: str, tmp_path: Path
) -> None:
    if graph is not None:
        (tmp_path / "graph.pb").write_bytes(graph)
    if config is not None:
        (tmp_path / "graph.pbtxt").write_text(config)
    with pytest.raises(ModelError, match=message) as said:
        whenwhere.open_detector(str(tmp_path / "graph.pb"))
    assert "\n" not in str(said.value)


def test_a_graph_with_labels_of_its_own(tmp_path: Path) -> None:
    folder = package_folder()
    (tmp_path / "mine.pb").symlink_to(folder / GRAPH)
    (tmp_path / "mine.pbtxt").symlink_to(folder / CONFIG)
    names = ["N/A"] * 91
    names[1], names[3] = "someone", "Wagon"
    (tmp_path / "labels.txt").write_text("\n".join(names) + "\n")
    detector = whenwhere.open_detector(str(tmp_path / "mine.pb"))
    assert detector.labels == ("someone", "wagon")
    (tmp_path / "mine.txt").write_text("cat\ndog\n")
    with pytest.raises(ModelError, match=r"mine.txt names 2 classes but .* has 91: give the label file"):
        whenwhere.open_detector(str(tmp_path / "mine.pb"))


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"", "names no class"), (b"N/A\n???\n", "names no class"), (b"cat\ndog\nCat\n", "names the class 'cat' twice"),
     (b"\xff\xfe\x00c", "not text|UTF-8"), (b"a\n" * 600_000, "larger than 1 MiB")],
)  # fmt: skip
def test_files_that_are_not_labels(text: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(text)
    with pytest.raises(ModelError, match=message):
        read_labels(tmp_path / "labels.txt")


def test_label_spaces_of_coco() -> None:
    for width in (80, 90, 91):
        space = coco_labels(width)
        assert space is not None and space.labels == COCO and space.columns.max() < width
        assert len(set(space.columns.tolist())) == 80
    assert label_space(["cat"], "x").fitted(2, "y").columns.tolist() == [1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=6))
def test_a_distribution_keeps_the_order_of_scores(scores: list[list[float]]) -> None:
    given_ = np.array(scores)
    made = distribution(given_)
    np.testing.assert_allclose(made.sum(1), 1)
    assert (np.take_along_axis(made, given_.argmax(1)[:, None], 1)[:, 0] >= made.max(1) - 1e-9).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.floats(0, 100)] * 4, st.floats(0, 1), st.integers(0, 2)), max_size=12))
def test_selected_boxes_are_different_objects(rows: list[tuple[float, ...]]) -> None:
    table = np.array(rows, float).reshape(-1, 6)
    boxes = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], 1)
    found = select(boxes, table[:, 4], np.eye(3)[table[:, 5].astype(int)], (80, 90), 0.3)
    assert (found.scores >= 0.3).all() and (np.diff(found.scores) <= 0).all()
    assert (found.boxes >= 0).all() and (found.boxes <= [90, 80, 90, 80]).all()
    for i in range(len(found)):
        for k in range(i):
            same = found.classes[i].argmax() == found.classes[k].argmax()
            assert box_iou(found.boxes[i], found.boxes[k]) <= (SAME_CLASS if same else SAME_OBJECT)


def test_codes_that_no_picture_has_stay_finite() -> None:
    anchors = np.array([[0.0, 0, 1, 1]])
    assert np.isfinite(decode(np.array([[1e30, -1e30, 1e30, 1e30]]), anchors, np.full((1, 4), 0.1))).all()


def tiny_detr(folder: Path, kind: str) -> None:
    """A small, random detector of a real class of transformers, as `from_pretrained` wants it."""
    import torch
    from transformers import (
        DetrConfig,
        DetrForObjectDetection,
        DetrImageProcessor,
        DFineConfig,
        DFineForObjectDetection,
        HGNetV2Config,
        ResNetConfig,
        RTDetrConfig,
        RTDetrForObjectDetection,
        RTDetrImageProcessor,
        RTDetrResNetConfig,
    )

    torch.manual_seed(0)
    labels = {"id2label": {0: "person", 1: "dog", 2: "Sofa"}, "label2id": {"person": 0, "dog": 1, "Sofa": 2}}
    small = {
        "d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "encoder_attention_heads": 2, "num_queries": 8,
        "decoder_attention_heads": 2, "encoder_layers": 1, "decoder_layers": 2,
    }  # fmt: skip
    if kind == "detr":
        backbone: object = ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1], out_features=["stage4"]
        )
        config = DetrConfig(use_timm_backbone=False, use_pretrained_backbone=False, backbone=None,
                            backbone_config=backbone, **small, **labels)  # fmt: skip
        model, processor = DetrForObjectDetection(config), DetrImageProcessor(size={"height": 64, "width": 64})
    else:
        shared = {
            "encoder_hidden_dim": 16, "num_feature_levels": 3, "encoder_in_channels": [16, 16, 16], "num_denoising": 0,
            "decoder_in_channels": [16, 16, 16], "anchor_image_size": [64, 64], **small, **labels,
        }  # fmt: skip
        if kind == "rt_detr":
            backbone = RTDetrResNetConfig(
                embedding_size=8, hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
                out_features=["stage2", "stage3", "stage4"],
            )  # fmt: skip
            model = RTDetrForObjectDetection(RTDetrConfig(backbone_config=backbone, **shared))
        else:
            backbone = HGNetV2Config(
                stage_in_channels=[16, 16, 16, 16], stage_mid_channels=[8, 8, 8, 8], stage_out_channels=[16] * 4,
                stage_num_blocks=[1, 1, 1, 1], stage_numb_of_layers=[1, 1, 1, 1], stem_channels=[3, 8, 16],
                hidden_sizes=[16, 16, 16, 16],
                out_features=["stage2", "stage3", "stage4"],
            )  # fmt: skip
            model = DFineForObjectDetection(DFineConfig(backbone_config=backbone, **shared))
        processor = RTDetrImageProcessor(size={"height": 64, "width": 64})
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["detr", "rt_detr", "d_fine"])
def test_detectors_of_transformers_give_what_their_own_code_gives(kind: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoImageProcessor, AutoModelForObjectDetection

    tiny_detr(tmp_path, kind)
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    detector = whenwhere.open_detector(str(tmp_path), device="cpu")
    assert (
        detector.labels == ("person", "dog", "couch") and detector.licence == "apache-2.0" and detector.device == "cpu"
    )
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    model = AutoModelForObjectDetection.from_pretrained(tmp_path).eval()
    for picture, found in zip(PICTURES, detector.detect(PICTURES, 0.01), strict=True):
        with torch.no_grad():
            out = model(**processor(images=picture, return_tensors="pt"))
        (by_hand,) = processor.post_process_object_detection(out, threshold=0.0, target_sizes=[(90, 160)])
        boxes = by_hand["boxes"].numpy().clip(0, [160, 90, 160, 90])
        assert len(found) > 0
        np.testing.assert_allclose(found.classes.sum(1), 1)
        # transformers keeps as many pairs of box and class as there are queries, not the best class of each query
        kept = found.scores >= float(by_hand["scores"].min()) - 1e-6
        assert kept.any()
        for box, score, classes in zip(found.boxes[kept], found.scores[kept], found.classes[kept], strict=True):
            same = np.abs(boxes - box).max(1) < 0.01
            named = same & (by_hand["labels"].numpy() == classes.argmax())
            assert np.abs(by_hand["scores"].numpy()[named] - score).min() < 1e-4
    assert detector.detect(PICTURES[:0]) == []


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["grounding_dino", "sam3"])
def test_open_vocabularies_have_the_labels_that_are_asked_for(kind: str, tmp_path: Path) -> None:
    import tiny_trackers

    tiny_trackers.save(kind, tmp_path)
    detector = whenwhere.open_detector(str(tmp_path), labels=["Red car", "man."], device="cpu")
    assert detector.labels == ("red car", "man")
    found = detector.detect(PICTURES, 0.0)
    assert len(found) == len(PICTURES) and sum(map(len, found)) > 0
    for one in found:
        assert one.classes.shape == (len(one), 2)
        np.testing.assert_allclose(one.classes.sum(1), 1)
    other = detector.for_labels(["dog"])  # type: ignore[attr-defined]
    assert other.labels == ("dog",) and detector.labels == ("red car", "man") and other.model is detector.model  # type: ignore[attr-defined]
    with pytest.raises(SettingError, match="name at least one"):
        whenwhere.open_detector(str(tmp_path), labels=[" "])


@pytest.mark.parametrize(
    ("name", "message"),
    [("http://localhost:8000/v1", "a detector runs in this process"), ("", "there is no detector"),
     ("yolov8n.pt", "is a pickle, which may run any code"), (__file__, "is not a network that can be read")],
)  # fmt: skip
def test_names_of_something_else(name: str, message: str) -> None:
    with pytest.raises((ModelError, SettingError), match=message):
        whenwhere.open_detector(name)


def test_a_pipeline_looks_for_the_class_that_a_phrase_names() -> None:
    from whenwhere.grounders.detector.finding import finder

    detector = whenwhere.open_detector("ssd")
    every = finder(detector, "zebrafish")(PICTURES[:1])[0]
    persons = finder(detector, "tall person in red")(PICTURES[:1])[0]
    assert len(persons) <= len(every) and (persons.classes[:, 0] >= 0.05).all()


def test_doctor_tries_the_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from whenwhere.diagnosis import _detector

    found = _detector()
    assert found.state == "ok" and "80 classes, on cpu" in found.found and "Apache-2.0" in found.found
    fake_package(tmp_path, monkeypatch, config=b"node {}")
    found = _detector()
    assert found.state == "missing" and "half installed" in found.found and (found.mend or "").startswith("pip")

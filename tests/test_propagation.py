"""Following things through a video, on tiny, random checkpoints of the real classes loaded by `from_pretrained`.

Proved here: what is streamed and forgotten changes nothing of what the models compute, and what is held does not grow;
boxes are those of the masks; one sentence for each checkpoint that cannot be used.
"""

import sys
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_trackers

from whenwhere.errors import ModelError
from whenwhere.models import propagation
from whenwhere.models.propagation import BoxTracking, ConceptTracker, Propagator, mask_box

IMAGES = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), dtype=np.uint8)
#: What is shown at which frame: a new thing, a new one while another is followed, and one that is followed already.
SHOWN = {
    0: {1: np.array([5.0, 5, 20, 20])},
    8: {2: np.array([30.0, 10, 60, 40]), 3: np.array([2.0, 30, 12, 46])},
    16: {1: np.array([8.0, 6, 25, 22])},
}
KINDS = ["sam2", "sam3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    import torch

    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("trackers")
    for kind in KINDS:
        tiny_trackers.save(kind, root / kind)
    yield root


@pytest.fixture(scope="module")
def propagators(folder: Path) -> dict[str, Propagator]:
    return {kind: Propagator(str(folder / kind), device="cpu") for kind in KINDS}


@pytest.fixture(scope="module")
def expected(propagators: dict[str, Propagator]) -> dict[str, list[Any]]:
    """The masks of a session that keeps everything."""
    return {kind: by_hand(propagators[kind]) for kind in KINDS}


@pytest.fixture(scope="module")
def streamed(propagators: dict[str, Propagator]) -> dict[str, tuple[list[Any], list[dict[int, np.ndarray]]]]:
    """Masks and boxes of a session that forgets."""
    found = {}
    for kind in KINDS:
        with Hooked(propagators[kind].model) as masks:
            found[kind] = masks, run(propagators[kind].follow())
    return found


@pytest.fixture(scope="module")
def concept(folder: Path) -> ConceptTracker:
    return ConceptTracker(str(folder / "sam3"), device="cpu")


class Hooked:
    """Every mask that a model makes, in order."""

    def __init__(self, model: Any) -> None:
        self.masks: list[Any] = []
        self._handle = model.register_forward_hook(self._keep)

    def _keep(self, model: Any, inputs: Any, out: Any) -> None:
        masks = out.pred_masks if hasattr(out, "pred_masks") else [*sorted(out.obj_id_to_mask.items())]
        self.masks.append(masks.clone() if hasattr(masks, "clone") else [(k, m.clone()) for k, m in masks])

    def __enter__(self) -> list[Any]:
        return self.masks

    def __exit__(self, *error: object) -> None:
        self._handle.remove()


def run(following: BoxTracking) -> list[dict[int, np.ndarray]]:
    out = []
    for k, image in enumerate(IMAGES):
        boxes = following.step(image)
        out.append(following.show(SHOWN[k]) if k in SHOWN else boxes)
    return out


def by_hand(model: Propagator) -> list[Any]:
    """The same in transformers' own words: one session that keeps everything."""
    import torch

    session = model.processor.init_video_session(dtype=torch.float32)
    masks = []
    for k, image in enumerate(IMAGES):
        inputs = model.processor(images=image, return_tensors="pt")
        with torch.inference_mode():
            if session.get_obj_num():
                out = model.model(inference_session=session, frame=inputs.pixel_values[0], frame_idx=k)
                masks.append(out.pred_masks)
            if k in SHOWN:
                model.processor.add_inputs_to_inference_session(
                    inference_session=session, frame_idx=k, obj_ids=list(SHOWN[k]),
                    input_boxes=[[b.tolist() for b in SHOWN[k].values()]], original_size=inputs.original_sizes[0],
                )  # fmt: skip
                out = model.model(inference_session=session, frame=inputs.pixel_values[0], frame_idx=k)
                masks.append(out.pred_masks)
    return masks


def held(thing: Any, seen: set[int] | None = None) -> int:
    """Bytes of all tensors that can be reached from a session."""
    import torch

    seen = set() if seen is None else seen
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor):
        return thing.numel() * thing.element_size()
    if isinstance(thing, dict):
        return sum(held(v, seen) for v in thing.values())
    if isinstance(thing, list | tuple | set):
        return sum(held(v, seen) for v in thing)
    return sum(held(v, seen) for v in vars(thing).values()) if hasattr(thing, "__dict__") else 0


@pytest.mark.torch
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_forgotten_changes_nothing(streamed: dict[str, Any], expected: dict[str, Any], kind: str) -> None:
    import torch

    got, _ = streamed[kind]
    assert len(got) == len(expected[kind]) == 39 + 3
    for a, b in zip(got, expected[kind], strict=True):
        assert torch.equal(a, b)


@pytest.mark.torch
@pytest.mark.parametrize("kind", KINDS)
def test_forgetting_too_early_would_be_seen(
    propagators: dict[str, Propagator], expected: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny models' masks depend on frames as far back as real ones look: the test above can fail."""
    import torch

    model = propagators[kind]
    real = propagation.drop_old_frames
    for short in ({"num_maskmem": 5, "max_object_pointers_in_encoder": 5}, {"max_object_pointers_in_encoder": 14}):

        def early(session: Any, frame: int, config: Any, short: dict[str, int] = short) -> None:
            config = copy(config)
            for name, value in short.items():
                setattr(config, name, value)
            real(session, frame, config)

        monkeypatch.setattr(propagation, "drop_old_frames", early)
        with Hooked(model.model) as got:
            run(model.follow())
        assert not all(torch.equal(a, b) for a, b in zip(got, expected[kind], strict=True))


@pytest.mark.torch
@pytest.mark.parametrize("kind", KINDS)
def test_memory_does_not_grow(propagators: dict[str, Propagator], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def bytes_at(following: BoxTracking) -> list[int]:
        out = []
        for k, image in enumerate(IMAGES):
            following.step(image)
            if k == 0:
                following.show(SHOWN[0])
            out.append(held(following._session))
        return out

    kept = bytes_at(propagators[kind].follow())
    assert kept[39] == kept[20] > 0
    monkeypatch.setattr(propagation, "drop_old_frames", lambda *given: None)
    everything = bytes_at(propagators[kind].follow())
    assert everything[39] > 1.5 * everything[20] > 1.5 * kept[20]


@pytest.mark.torch
def test_a_concept_is_followed_as_transformers_does_it(concept: ConceptTracker) -> None:
    import torch

    following = concept.follow("red car")
    boxes = []
    with Hooked(concept.model) as got:
        for image in IMAGES:
            boxes.append(following.step(image))
    model, processor = concept.model, concept.processor
    session = processor.init_video_session(dtype=torch.float32)
    processor.add_text_prompt(session, "red car")
    found_any = 0
    with Hooked(model) as expected:
        for k, image in enumerate(IMAGES):
            inputs = processor(images=image, return_tensors="pt")
            with torch.inference_mode():
                out = model(inference_session=session, frame=inputs.pixel_values[0])
            found = processor.postprocess_outputs(session, out, original_sizes=inputs.original_sizes)
            found_any += len(found["object_ids"])
            extents = {
                n: mask_box(m.numpy()) for n, m in zip(found["object_ids"].tolist(), found["masks"], strict=True)
            }
            assert {n: b.tolist() for n, b in boxes[k].items()} == {
                n: b.tolist() for n, b in extents.items() if b is not None
            }
    assert found_any > len(IMAGES)
    for a, b in zip(got, expected, strict=True):
        assert [n for n, _ in a] == [n for n, _ in b]
        assert all(torch.equal(x, y) for (_, x), (_, y) in zip(a, b, strict=True))
    assert set(following.scores) >= {n for at in boxes for n in at}
    assert all(0 <= score <= 1 for score in following.scores.values())
    # the pointers of frames on which it looked anew are all that stays
    pointers = 2 * 128 * 4 * len(IMAGES)
    assert held(following._session) < held(session) / 2
    size = held(following._session)
    for image in IMAGES:
        following.step(image)
    assert held(following._session) < size + pointers


@pytest.mark.torch
@pytest.mark.parametrize("kind", KINDS)
def test_boxes_are_the_extent_of_the_masks(streamed: dict[str, Any], kind: str) -> None:
    import torch

    masks, boxes = streamed[kind]
    assert all(set(at) <= {1, 2, 3} for at in boxes)
    assert [sorted(at) for at in (boxes[0], boxes[7], boxes[8])] == [[1], [1], [1, 2, 3]]
    last = torch.nn.functional.interpolate(masks[-1], (48, 64), mode="bilinear", align_corners=False)[:, 0] > 0
    for n, mask in enumerate(last, start=1):
        rows, columns = np.nonzero(mask.numpy())
        x1, y1, x2, y2 = boxes[-1][n]
        # without specks, never larger
        assert columns.min() <= x1 < x2 <= columns.max() + 1
        assert rows.min() <= y1 < y2 <= rows.max() + 1


def test_box_of_a_mask() -> None:
    mask = np.zeros((48, 64), bool)
    mask[:, :] = True
    assert mask_box(mask) is not None
    np.testing.assert_array_equal(mask_box(mask), [0, 0, 64, 48])  # edges, not pixel numbers
    mask[:] = False
    mask[10:20, 10:20] = True
    mask[30:32, 60:62] = True  # 4 % of it: a speck
    np.testing.assert_array_equal(mask_box(mask), [10, 10, 20, 20])
    mask[30:33, 60:62] = True  # 6 %: a part seen behind a pole
    np.testing.assert_array_equal(mask_box(mask), [10, 10, 62, 33])


@pytest.mark.torch
def test_checkpoints_of_no_use_are_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"is of the kind sam2_video, not a model that finds and follows things by name"
    ):
        ConceptTracker(str(folder / "sam2"))
    with pytest.raises(ModelError, match="holds no checkpoint"):
        Propagator(str(tmp_path))
    with pytest.raises(ModelError, match="owner/nothing-of-that-name is not in the local cache"):
        Propagator("owner/nothing-of-that-name", offline=True)
    import shutil

    from safetensors.torch import load_file, save_file

    lame = tmp_path / "lame"
    shutil.copytree(folder / "sam2", lame)
    weights = load_file(lame / "model.safetensors")
    weights.pop("memory_attention.layer_norm.weight")
    save_file(weights, lame / "model.safetensors", metadata={"format": "pt"})
    model = Propagator(str(lame))
    with pytest.raises(ModelError, match=r"lacks 1 weights, memory_attention.layer_norm.weight among them"):
        model.follow()
    (lame / "model.safetensors").write_bytes((folder / "sam2" / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(ModelError, match="are damaged"):
        Propagator(str(lame)).follow()

"""Networks that OpenVINO runs, among them that of an SSD detector: OpenCV's numbers in less than half of the time.

OpenVINO is optional; where it is not installed or cannot run, OpenCV does the work of the detector. Only files that are
known by their checksum are given to it.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.models.detectors.frozen_graph import cut_graph

#: Nodes of the graphs of TensorFlow's detection model zoo: the scaled pictures, the codes of boxes, and the logits.
PICTURES, CODES, LOGITS = "Preprocessor/sub", "concat", "concat_1"
#: Codes are in the order (y, x, height, width); ours are in that of OpenCV.
_ORDER = [1, 0, 3, 2]

Network = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]


def load_openvino() -> ModuleType | None:
    """OpenVINO, without what it tells its makers; None if it is not installed or cannot be loaded here.

    When it is imported it reports so over the network, unless its own reporter is missing.
    """
    reporter = "openvino_telemetry"
    before = sys.modules.get(reporter)
    try:
        sys.modules[reporter] = None  # type: ignore[assignment]
        import openvino

        return openvino if hasattr(openvino, "Core") else None
    except (ImportError, OSError):
        return None
    finally:
        sys.modules.pop(reporter, None)
        if before is not None:
            sys.modules[reporter] = before


#: In 32 bits everywhere, so that answers do not depend on what the processor has.
_SETTINGS = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}


def compile_file(openvino: ModuleType, path: str | Path, threads: int) -> Callable[[list[Any]], Any]:
    """A network of a file that OpenVINO reads, ready to run on the CPU.

    Args:
        openvino: The module, from `load_openvino`.
        path: The file; it must be known to be whole.
        threads: Number of threads that it uses.

    Raises:
        RuntimeError: OpenVINO cannot read or run it.
    """
    core = openvino.Core()
    compiled: Callable[[list[Any]], Any] = core.compile_model(
        core.read_model(str(path)), "CPU", {"INFERENCE_NUM_THREADS": threads, **_SETTINGS}
    )
    return compiled


def _threads() -> int:
    """The number of cores that this process may use; 1 where PyAV is broken, which is no reason to open no detector."""
    try:
        from whenwhere.video.read import cores
    except ImportError:
        return 1
    return cores()


def ssd_network(graph: Path, name: str) -> Network | None:
    """A function from pictures to the codes of boxes and the scores of classes; None if OpenVINO is not there.

    The function takes RGB values from 0 to 255 in the shape (n, 3, side, side). It returns codes, shape (n, anchors,
    4), and scores from 0 to 1, shape (n, anchors, columns).

    Args:
        graph: The frozen graph.
        name: Name of the detector, for messages.

    Raises:
        ModelError: The file is no frozen graph of an SSD detector.
    """
    openvino = load_openvino()
    if openvino is None:
        return None
    part = cut_graph(graph.read_bytes(), PICTURES, (CODES, LOGITS), name)
    # It reads graphs of TensorFlow from files alone.
    handle, path = tempfile.mkstemp(".pb")
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(part)
        compiled = compile_file(openvino, path, _threads())
    except RuntimeError:
        return None
    finally:
        Path(path).unlink(missing_ok=True)

    def run(pictures: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        out = compiled([np.ascontiguousarray(pictures.transpose(0, 2, 3, 1)) * np.float32(2 / 255) - np.float32(1)])
        count = len(pictures)
        codes = out[f"{CODES}:0"].reshape(count, -1, 4)[..., _ORDER]
        logits = out[f"{LOGITS}:0"].reshape(count, codes.shape[1], -1)
        return codes, 1 / (1 + np.exp(-logits))

    return run

"""Networks that OpenCV runs (`cv2.dnn`): no dependency beyond the core, on the CPU.

OpenCV's readers trust what a file claims: a damaged one may end the process, or fill its memory. A file that is not
known by its checksum is therefore first read and run once by a process of its own, with limited memory and time.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import ModelError
from whenwhere.readers import visible

Shapes = list[tuple[int, ...]]

#: Largest file of a network in bytes: protocol buffers end at 2 GiB.
LARGEST = 2 << 30
#: Bytes of memory that a network may take besides a few times the size of its file, and seconds of the first run.
ROOM, SECONDS = 2 << 30, 120.0
#: What was tried is not tried again by this process.
_TRIED: dict[str, list[tuple[int, ...]]] = {}

#: Python expressions that read a network from the file `sys.argv[3]` and the text on the standard input.
READERS = {
    "tensorflow": "cv2.dnn.readNetFromTensorflow("
    "numpy.fromfile(sys.argv[3], 'u1'), numpy.frombuffer(sys.stdin.buffer.read(), 'u1'))",
    "onnx": "cv2.dnn.readNetFromONNX(sys.argv[3])",
}
_TRIAL = """
import json, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):
    pass
import cv2, numpy
cv2.setNumThreads(1)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
try:
    net = READ
    for name, shape, value in json.loads(sys.argv[2]):
        net.setInput(numpy.full(shape, value, numpy.float32), name)
    print(json.dumps([numpy.shape(o) for o in net.forward(net.getUnconnectedOutLayersNames())]))
except (cv2.error, MemoryError) as e:
    print(type(e).__name__, e)
    sys.exit(1)
"""


def network_file(path: str | os.PathLike[str], what: str) -> Path:
    """The path of a file that may hold a network.

    Args:
        path: The file.
        what: What it should be, for messages.

    Raises:
        ModelError: It is missing, empty, not a regular file, or too large.
    """
    file = Path(path).expanduser()
    shown = visible(str(file))
    try:
        if not file.is_file():
            raise ModelError(f"there is no file {shown}: name {what}")
        size = file.stat().st_size
    except OSError as e:
        raise ModelError(f"cannot read {shown}: {e.strerror or e}; name {what}") from e
    if not size or size > LARGEST:
        raise ModelError(f"{shown} has {size} bytes, so it is not {what}")
    return file


@lru_cache(maxsize=16)
def _sha256(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def sha256(path: Path) -> str:
    """The SHA-256 of a file, computed once for each state of it."""
    state = path.stat()
    return _sha256(str(path), state.st_size, state.st_mtime_ns)


def try_network(
    name: str, reader: str, file: Path, inputs: Mapping[str, NDArray[np.float32]], text: str = ""
) -> Shapes:
    """Let a process of its own read a network and run it once.

    Args:
        name: Name of the detector.
        reader: The format, a key of `READERS`.
        file: The network's file.
        inputs: The inputs by name; all numbers of one are equal.
        text: Text graph of the network, where its format has one.

    Returns:
        The shapes of the outputs, in the order of `getUnconnectedOutLayersNames`.

    Raises:
        ModelError: OpenCV cannot read or run the network, crashes, or takes too long or too much memory.
    """
    import cv2

    given = json.dumps([(n, v.shape, float(v.flat[0])) for n, v in inputs.items()])
    key = "|".join([reader, text, given, sha256(file)])
    if key in _TRIED:
        return _TRIED[key]
    most = 6 * file.stat().st_size + ROOM
    command = [sys.executable, "-c", _TRIAL.replace("READ", READERS[reader]), str(most), given, str(file)]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, errors="replace", timeout=SECONDS)
    except subprocess.TimeoutExpired as e:
        raise ModelError(f"{name} takes OpenCV more than {SECONDS:g} s for one picture: name a smaller network") from e
    if done.returncode == 1 and done.stdout:
        raise ModelError(f"{name} cannot be read by OpenCV {cv2.__version__}: {_reason(done.stdout)}")
    if done.returncode:
        raise ModelError(f"{name} is damaged or no network: OpenCV {cv2.__version__} crashes when it reads the file")
    try:
        _TRIED[key] = [tuple(map(int, shape)) for shape in json.loads(done.stdout)]
    except (ValueError, TypeError) as e:
        raise ModelError(f"{name} gives outputs that OpenCV {cv2.__version__} cannot hand on") from e
    return _TRIED[key]


@contextmanager
def opencv_errors(name: str) -> Iterator[None]:
    """Turns what OpenCV raises into a `ModelError` of one sentence; what it would print is left out.

    Args:
        name: Name of the detector.
    """
    import cv2

    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    except (cv2.error, MemoryError) as e:
        raise ModelError(f"{name} cannot be run by OpenCV {cv2.__version__}: {_reason(str(e))}") from e
    finally:
        cv2.utils.logging.setLogLevel(before)


def _reason(text: str) -> str:
    """What an error of OpenCV says, without the place in its source."""
    text = " ".join(text.split())
    if text.startswith("MemoryError") or "Insufficient memory" in text or "bad_alloc" in text:
        return "it takes more memory than a network of its size needs"
    text = re.sub(r"(error )?OpenCV\([^)]*\) \S+:\d+: error: \([^)]*\) ", "", text)
    return visible(re.sub(r" in function '.*", "", text))[:200] or "its file is damaged"

"""Networks that OpenCV runs (`cv2.dnn`): no dependency beyond the core, on the CPU.

OpenCV's readers trust what a file claims: a damaged one may end the process, or fill its memory. A file that is not
known by its checksum is therefore first read and run once by a process of its own, with limited memory and time.
"""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from whenwhere.errors import ModelError
from whenwhere.readers import visible

#: Largest file of a network in bytes: protocol buffers end at 2 GiB.
LARGEST = 2 << 30
#: Bytes of memory that a network may take besides a few times the size of its file, and seconds of the first run.
ROOM, SECONDS = 2 << 30, 120.0
#: What was tried is not tried again by this process.
_TRIED: set[str] = set()

_TRIAL = """
import sys
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
    net.setInput(numpy.zeros([int(n) for n in sys.argv[2].split(",")], numpy.float32))
    net.forward(net.getUnconnectedOutLayersNames())
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


def try_network(name: str, read: str, files: Sequence[Path], shape: Sequence[int], text: str = "") -> None:
    """Let a process of its own read a network and run it once.

    Args:
        name: Name of the detector.
        read: Python expression of `cv2` that reads the files from `sys.argv[3]` on and the text from `sys.stdin`.
        files: The network's files.
        shape: Shape of the network's input.
        text: Text for the standard input.

    Raises:
        ModelError: OpenCV cannot read or run the network, crashes, or takes too long or too much memory.
    """
    import cv2

    key = "|".join([read, text, str(shape), *(sha256(f) for f in files)])
    if key in _TRIED:
        return
    most = 6 * sum(f.stat().st_size for f in files) + ROOM
    command = [sys.executable, "-c", _TRIAL.replace("READ", read), str(most), ",".join(map(str, shape))]
    try:
        done = subprocess.run(
            [*command, *map(str, files)], input=text, capture_output=True, text=True, errors="replace", timeout=SECONDS
        )
    except subprocess.TimeoutExpired as e:
        raise ModelError(f"{name} takes OpenCV more than {SECONDS:g} s for one picture: name a smaller network") from e
    if done.returncode == 1 and done.stdout:
        raise ModelError(f"{name} cannot be read by OpenCV {cv2.__version__}: {_reason(done.stdout)}")
    if done.returncode:
        raise ModelError(f"{name} is damaged or no network: OpenCV {cv2.__version__} crashes when it reads the file")
    _TRIED.add(key)


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

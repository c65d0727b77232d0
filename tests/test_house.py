"""The house rules of CONTRIBUTING.md: floors, a light import, examples in every --help, small files."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import whenwhere
from whenwhere.cli import app

SRC = Path(whenwhere.__file__).parent

# Rooms from the ground up; on one floor a room may import only from rooms to its left.
FLOORS = [
    ["errors", "spans", "boxes", "tubes", "overlap", "records", "stats", "store"],
    ["video", "tracking", "answers", "chat", "verify", "datasets", "evaluate"],
    ["stage", "models", "export"],
    ["grounders", "curate", "training", "settings", "card", "session"],
    ["ablate", "serve", "cli"],
]
PLACE = {room: (floor, i) for floor, rooms in enumerate(FLOORS) for i, room in enumerate(rooms)}
HEAVY = ["torch", "transformers", "cv2", "av", "scipy", "pyarrow", "PIL", "typer", "fastapi", "ray"]


def rooms() -> list[str]:
    # a folder without an __init__ holds data (recipes, weights)
    found = {p.stem for p in SRC.glob("*.py")} | {p.parent.name for p in SRC.glob("*/__init__.py")}
    return sorted(found - {"__init__", "__main__", "__pycache__"})


def imported_rooms(file: Path) -> set[str]:
    """Rooms a file imports, wherever in it the import stands, also those only for types."""
    names: list[str] = []
    package = ["whenwhere", *file.relative_to(SRC).parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            names += [f"{module}.{alias.name}" for alias in node.names] if module == "whenwhere" else [module]
    return {name.split(".")[1] for name in names if name.startswith("whenwhere.")} & PLACE.keys()


def breaches(files: dict[str, set[str]]) -> list[str]:
    """Imports that go up, or to the right on one floor."""
    return [
        f"{file} imports {other}"
        for file, others in sorted(files.items())
        for room in [file.split("/")[0].removesuffix(".py")]
        for other in sorted(others)
        if other != room and not PLACE[other] < PLACE[room]
    ]


def house() -> dict[str, set[str]]:
    files = [p for p in SRC.rglob("*.py") if p.parent != SRC or p.stem not in ("__init__", "__main__")]
    return {p.relative_to(SRC).as_posix(): imported_rooms(p) for p in files}


def test_every_room_has_a_place() -> None:
    assert [room for room in rooms() if room not in PLACE] == []


def test_rooms_import_only_downwards() -> None:
    found = house()
    assert breaches(found) == []
    # that the reading of imports works at all: what these rooms surely import was seen
    assert {"records", "spans", "tracking", "video"} <= found["session.py"]
    assert "errors" in found["spans.py"]


def test_a_breach_is_found() -> None:
    assert breaches({"spans.py": {"tubes"}}) == ["spans.py imports tubes"]
    assert breaches({"video/read.py": {"tracking", "spans"}}) == ["video/read.py imports tracking"]
    assert breaches({"tracking/fill.py": {"video", "tracking"}}) == []


def test_import_is_light_and_quick() -> None:
    code = (
        "import sys, time\nbegan = time.perf_counter()\nimport whenwhere\nseconds = time.perf_counter() - began\n"
        f"import json; print(json.dumps([seconds, [m for m in {HEAVY} if m in sys.modules]]))"
    )
    best = 9.0
    for _ in range(5):
        seconds, heavy = json.loads(subprocess.check_output([sys.executable, "-c", code]))
        assert heavy == []
        best = min(best, seconds)
    assert best < 0.3


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nimport whenwhere.cli\nsys.argv = ['whenwhere', 'ground', '--help']\n"
        "try: whenwhere.cli.main()\nexcept SystemExit: pass\n"
        f"assert not [m for m in {sorted(set(HEAVY) - {'typer'})} if m in sys.modules], sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_core_needs_no_torch() -> None:
    """The whole of the core, every module of it, imports in a process where torch cannot be had."""
    modules = [
        ".".join(["whenwhere", *p.relative_to(SRC).with_suffix("").parts]).removesuffix(".__init__")
        for p in sorted(SRC.rglob("*.py"))
        if p.stem != "__main__"
    ]
    code = (
        "import sys, importlib\n"
        "for name in ('torch', 'transformers', 'pyarrow', 'fastapi', 'ray'): sys.modules[name] = None\n"
        f"for name in {modules}: importlib.import_module(name)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def commands() -> dict[str, str]:
    """Each command's --help as it is printed, those of groups (`data convert`) too."""
    environment = os.environ | {"COLUMNS": "200"}

    def names(group: Any, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        found = []
        for name, command in group.commands.items():
            found += [(*before, name), *(names(command, (*before, name)) if hasattr(command, "commands") else [])]
        return found

    return {
        " ".join(name): subprocess.check_output(
            [sys.executable, "-m", "whenwhere", *name, "--help"], text=True, encoding="utf-8", env=environment
        )
        for name in names(typer.main.get_command(app))
    }


def test_help_of_each_command_has_an_example() -> None:
    found = commands()
    assert {"ground", "batch", "stage", "demo", "doctor", "data", "data convert"} <= found.keys()
    assert [name for name, text in found.items() if f"Example: whenwhere {name}" not in text] == []


@pytest.mark.parametrize("file", [p.relative_to(SRC).as_posix() for p in sorted(SRC.rglob("*.py"))])
def test_files_are_small(file: str) -> None:
    assert len((SRC / file).read_text(encoding="utf-8").splitlines()) <= 500

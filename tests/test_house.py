"""The house rules of CONTRIBUTING.md: floors, a light import, examples in every --help, small files."""

import doctest
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import whenwhere
from whenwhere.cli import app

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs"))
import house

SRC = Path(whenwhere.__file__).parent
HEAVY = ["torch", "transformers", "cv2", "av", "scipy", "pyarrow", "PIL", "typer", "fastapi", "ray"]


@pytest.fixture(scope="module")
def files() -> dict[str, house.SourceFile]:
    return house.read_house(SRC)


def made_up(imports: dict[str, list[str]], classes: dict[str, tuple[str, ...]] | None = None) -> dict[str, Any]:
    return {
        name: house.SourceFile(name, house.room_of(name), 1, frozenset(others), (classes or {}).get(name, ()), (), 0)
        for name, others in imports.items()
    }


def test_every_room_has_a_place(files: dict[str, house.SourceFile]) -> None:
    assert house.unplaced_rooms(files) == []
    assert house.unplaced_rooms(made_up({"attic/box.py": []})) == ["attic"]


def test_rooms_import_only_downwards(files: dict[str, house.SourceFile]) -> None:
    assert house.breaches(files) == []
    # that the reading of imports works at all: what these rooms surely import was seen
    assert {"records", "spans", "tracking", "video"} <= house.room_imports(files)["session"]
    assert "errors.py" in files["spans.py"].imports


def test_a_breach_is_found() -> None:
    assert house.breaches(made_up({"spans.py": ["tubes.py"], "tubes.py": []})) == ["spans.py imports tubes"]
    up = {"video/read.py": ["tracking/fill.py", "spans.py"], "tracking/fill.py": ["video/read.py"], "spans.py": []}
    assert house.breaches(made_up(up)) == ["video/read.py imports tracking"]


def test_no_files_import_each_other_in_a_circle(files: dict[str, house.SourceFile]) -> None:
    assert house.file_circles(files) == []
    assert house.file_circles(made_up({"a.py": ["b.py"], "b.py": ["c.py"], "c.py": ["b.py"]})) == [["b.py", "c.py"]]


def test_no_public_class_is_defined_twice(files: dict[str, house.SourceFile]) -> None:
    assert house.repeated_classes(files) == {}
    twice = made_up({"spans.py": [], "video/read.py": []}, {"spans.py": ("Clip",), "video/read.py": ("Clip",)})
    assert house.repeated_classes(twice) == {"Clip": ["spans.py", "video/read.py"]}


def test_imports_are_seen_wherever_they_stand(tmp_path: Path) -> None:
    package = tmp_path / "whenwhere"
    (package / "video").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "video" / "__init__.py").write_text("from whenwhere.video.read import frames\n")
    (package / "video" / "read.py").write_text("def frames():\n    from . import probe\n")
    (package / "video" / "probe.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from whenwhere.video import frames\n"
        "import whenwhere.video.read\nfrom ..spans import Span\n"
    )
    (package / "spans.py").write_text("class Span: ...\nclass _Hidden: ...\n")
    found = house.read_house(package)
    assert found["video/read.py"].imports == {"video/probe.py"}
    assert found["video/probe.py"].imports == {"video/__init__.py", "video/read.py", "spans.py"}
    assert found["spans.py"].classes == ("Span",)
    assert house.file_circles(found) == [["video/__init__.py", "video/probe.py", "video/read.py"]]


def test_the_picture_shows_each_room(files: dict[str, house.SourceFile]) -> None:
    lines = house.picture(files).splitlines()
    rooms = [line.split()[0] for line in lines]
    assert lines[rooms.index("spans")].endswith("imports errors")
    assert rooms.index("cli") < rooms.index("session") < rooms.index("errors")


def test_examples_of_the_house_hold() -> None:
    failed, attempted = doctest.testmod(house)
    assert failed == 0 and attempted >= 3


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
    """The whole of the core, every module of it, imports in a process where torch cannot be had.

    Left out are files that define networks; they import torch at their top and stand in few folders.
    """
    networks = {p for p in SRC.rglob("*.py") if re.search(r"^(import|from) torch\b", p.read_text(), re.MULTILINE)}
    folders = {p.parent.relative_to(SRC).as_posix() for p in networks}
    assert folders <= {"models/encoders", "models/encoders/evaluation", "models/heads", "training/pretrain"}
    modules = [
        ".".join(["whenwhere", *p.relative_to(SRC).with_suffix("").parts]).removesuffix(".__init__")
        for p in sorted(SRC.rglob("*.py"))
        if p.stem != "__main__" and p not in networks
    ]
    code = (
        "import sys, importlib\n"
        "for name in ('torch', 'transformers', 'pyarrow', 'fastapi', 'ray'): sys.modules[name] = None\n"
        f"for name in {modules}: importlib.import_module(name)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def commands(cli: Any) -> dict[str, str]:
    """Each command's --help as it is printed, those of groups (`data convert`) too."""
    environment = os.environ | {"COLUMNS": "200"}

    def names(group: Any, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        found = []
        for name, command in group.commands.items():
            found += [(*before, name), *(names(command, (*before, name)) if hasattr(command, "commands") else [])]
        return found

    return {" ".join(name): cli(*name, "--help", env=environment).stdout for name in names(typer.main.get_command(app))}


def test_help_of_each_command_has_an_example(cli: Any) -> None:
    found = commands(cli)
    assert {"ground", "batch", "stage", "demo", "doctor", "data", "data convert"} <= found.keys()
    assert [name for name, text in found.items() if f"Example: whenwhere {name}" not in text] == []


@pytest.mark.parametrize("file", [p.relative_to(SRC).as_posix() for p in sorted(SRC.rglob("*.py"))])
def test_files_are_small(file: str) -> None:
    assert len((SRC / file).read_text(encoding="utf-8").splitlines()) <= 500

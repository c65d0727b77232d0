"""What of a user's command counts as its code and as its data, so that changed ones are not compared."""

import sys
from pathlib import Path

import pytest

from whenwhere.ablate.cells import CellSpec
from whenwhere.ablate.environment import command_programs, describe_environment


def prints(words: list[str]) -> tuple[str, str]:
    """Hashes of the code and data of a command."""
    spec = CellSpec(stage="command", kind="command", hash="1" * 8, seed=0, command=words)
    found = describe_environment(spec)
    return found.code, found.data


def test_a_module_that_is_run_by_its_name_is_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    program, package = tmp_path / "own_train.py", tmp_path / "own_package"
    program.write_text("print(1)\n")
    package.mkdir()
    (package / "__main__.py").write_text("print(1)\n")
    for words, file in ((["-m", "own_train"], program), (["-m", "own_package"], package / "__main__.py")):
        command = [sys.executable, *words, "steps=3"]
        assert command_programs(command) == [file]
        before = prints(command)
        file.write_text("# a comment\nprint(1)\n")
        assert prints(command) == before
        file.write_text("print(2)\n")
        assert prints(command)[0] != before[0]
    # what is installed is known by its version
    assert command_programs([sys.executable, "-m", "pytest"]) == []
    assert command_programs([sys.executable, "-m", "no.such.module", "-m"]) == []


def test_packages_that_a_program_imports_are_code(tmp_path: Path) -> None:
    program, inner, unused = tmp_path / "train.py", tmp_path / "lib" / "deep" / "part.py", tmp_path / "other" / "x.py"
    for file in (inner, unused):
        file.parent.mkdir(parents=True)
        file.write_text("x = 1\n")
    program.write_text("import os\nfrom lib.deep import part\n")
    command = [sys.executable, str(program)]
    before = prints(command)
    unused.write_text("x = 2\n")
    assert prints(command) == before
    inner.write_text("x = 2\n")
    assert prints(command)[0] != before[0]
    program.write_text("def broken(:\n")
    assert prints(command)[0] != before[0]


def test_a_file_of_data_in_a_command_is_data(tmp_path: Path) -> None:
    program, data = tmp_path / "train.py", tmp_path / "d.npy"
    program.write_text("print(1)\n")
    data.write_bytes(b"\0\1\2")
    command = [sys.executable, str(program), str(data), str(tmp_path)]
    code, before = prints(command)
    data.write_bytes(b"\0\1\3")
    assert prints(command)[0] == code and prints(command)[1] != before
    # the interpreter is neither
    assert prints([sys.executable]) == prints(["python"])

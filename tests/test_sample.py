"""The draw of docstrings and command outputs that a stranger reads: the same for a seed, and without its context."""

import doctest
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs"))
import sample


def test_examples_of_the_sampler_hold() -> None:
    assert doctest.testmod(sample).failed == 0


def test_only_public_docstrings_are_drawn(tmp_path: Path) -> None:
    package = tmp_path / "house"
    package.mkdir()
    (package / "door.py").write_text(
        '"""A door."""\n\n\nclass Door:\n    """Opens."""\n\n    def open(self, wide: bool = False) -> None:\n'
        '        """Open it."""\n\n    def _hinge(self):\n        """Hidden."""\n\n\nclass _Lock:\n'
        '    """Hidden too."""\n\n    def turn(self):\n        """And this."""\n\n\ndef undocumented():\n    pass\n'
    )
    assert sample.docstrings(package) == [
        sample.Docstring("house/door.py:1", "module door", "A door."),
        sample.Docstring("house/door.py:4", "class Door", "Opens."),
        sample.Docstring("house/door.py:7", "def open(self, wide: bool=False) -> None", "Open it."),
    ]


def test_a_seed_draws_the_same_and_runs_only_what_it_drew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(sample, "output", lambda arguments, folder: ran.append(arguments) or "said")
    monkeypatch.setattr(sample, "make_inputs", lambda folder: None)
    found, helps = sample.docstrings(), sample.help_commands()
    assert len(found) > 1000 and ("data", "convert", "--help") in helps
    monkeypatch.setattr(sample, "docstrings", lambda: found)
    monkeypatch.setattr(sample, "help_commands", lambda: helps)
    printed = []
    for seed in ("4", "4", "5"):
        monkeypatch.setattr(sys, "argv", ["sample.py", "--seed", seed])
        assert sample.main() == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != printed[2]
    assert len(ran) == 30 and len(set(ran[:10])) == 10
    assert printed[0].count("--- docstring") == printed[0].count("--- command") == 10


def test_a_command_is_shown_with_its_exit_status(tmp_path: Path) -> None:
    sample.make_inputs(tmp_path)
    assert (tmp_path / "clip.mp4").stat().st_size > 1000
    found = sample.output(("ground", "missing.mp4", "a dog"), tmp_path)
    assert "missing.mp4" in found and str(tmp_path) not in found
    assert found.endswith("(exit status 1)")

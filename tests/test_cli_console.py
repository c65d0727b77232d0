"""The moving line: late, on a terminal only, and out of the way of what is printed."""

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from whenwhere.cli import console
from whenwhere.cli.answers import ConsoleCallback, print_answer
from whenwhere.cli.console import Waiting
from whenwhere.records import Grounding


def screen(monkeypatch: pytest.MonkeyPatch, terminal: bool, patience: float) -> io.StringIO:
    seen = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=seen, force_terminal=terminal, width=80))
    monkeypatch.setattr(console, "PATIENCE", patience)
    return seen


def test_a_bar_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = screen(monkeypatch, True, 0.01)
    with Waiting("looking at a[b].mp4") as waiting:
        waiting.share(0.25)
        time.sleep(0.3)
    assert "looking at a[b].mp4" in seen.getvalue() and "25%" in seen.getvalue()


def test_questions_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = screen(monkeypatch, True, 0.01)
    with Waiting("7 questions", total=7) as waiting:
        waiting.step()
        waiting.step()
        time.sleep(0.3)
    assert "2/7" in seen.getvalue()


@pytest.mark.parametrize(("terminal", "patience"), [(False, 0.0), (True, 5.0)])
def test_nothing_in_a_pipe_and_nothing_when_quick(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, patience: float
) -> None:
    seen = screen(monkeypatch, terminal, patience)
    with Waiting("looking") as waiting:
        time.sleep(0.05)
        with waiting.hidden():
            pass
    assert "looking" not in seen.getvalue()


def test_one_reason_is_said_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen = screen(monkeypatch, False, 5.0)
    failed = Grounding.model_validate(
        {"id": "1", "query": "a dog", "status": "failed", "error": {"kind": "media", "message": "a.mp4 is empty"}}
    )
    with Waiting("looking") as waiting:
        say = ConsoleCallback(json=True, brief=True, waiting=waiting)
        for _ in range(3):
            say.on_answer("a.mp4", failed, [Path("x")])
    assert seen.getvalue() == "a.mp4 is empty\n"
    assert capsys.readouterr().out.splitlines() == [failed.to_json()] * 3


def test_an_answer_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=seen, soft_wrap=True, highlight=False, width=80))
    unsure = Grounding.model_validate(
        {
            "id": "1",
            "query": "it [sings]",
            "status": "unsure",
            "confidence": 0.1,
            "warnings": ["3 frames are damaged"],
            "reading": {"thing": "it", "margin": 0.25, "runner_up": [1, 2], "doubts": ["two fit alike"]},
            "candidates": [
                {"start": 1.0, "end": 2.0, "box": [1, 2, 3, 4], "colours": ["red", "grey"], "why": {"seen": 1}}
            ]
            * 7,
        }
    )
    print_answer(unsure, [Path("out/01-it.srt")])
    assert seen.getvalue().splitlines() == [
        "it [sings]",
        "  unsure  confidence 0.10",
        "  read as: thing it",
        "  margin: 0.25 over the runner-up at 1.0–2.0 s",
        "  doubt: two fit alike",
        "  what was seen:",
        *["    1.0–2.0 s  x 1–3, y 2–4  colours red, grey"] * 5,
        "    and 2 more (--json lists them)",
        "  warning: 3 frames are damaged",
        "  wrote out/01-it.srt",
    ]

"""The examples do what they say: each script and the notebook is run in a folder of its own."""

import json
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

sys.path.insert(0, str(Path(__file__).parent))

from forked import TORCH, Forker

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("01_ask.py", ["the red car drives from left to right: ", "it is at Box("]),
        ("02_many_questions.py", ["a dog runs", "qwertyuiop: unsure", "v_IoU 0."]),
        ("03_export.py", ["red-car.cvat.xml", "red-car.html", "SpanSet("]),
    ],
)
def test_scripts(forker: Forker, tmp_path: Path, script: str, said: list[str]) -> None:
    done = forker.run([str(EXAMPLES / script)], cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    for part in said:
        assert part in done.stdout.decode()
    assert len((EXAMPLES / script).read_text("utf-8").splitlines()) <= 25


@pytest.mark.torch
def test_workbench(forker: Forker, tmp_path: Path) -> None:
    """Stage, train with an evaluator, batch, evaluate, a table: in ten lines."""
    done = forker.run([str(EXAMPLES / "04_workbench.py")], cwd=tmp_path, imports=[*TORCH, "peft"])
    assert done.returncode == 0, done.stderr.decode()
    said = done.stdout.decode()
    first = said.splitlines()[0]
    assert "failed" not in first and any(word in first for word in ("answered", "absent", "unsure"))
    assert "| m_vIoU " in said
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert [line["step"] for line in lines if "eval/held-out/mIoU" in line] == [0, 10, 20]
    code = (EXAMPLES / "04_workbench.py").read_text("utf-8").partition("import whenwhere\n")[2]
    assert len([line for line in code.splitlines() if line]) <= 12


def test_notebook(tmp_path: Path) -> None:
    notebook = nbformat.read(EXAMPLES / "tour.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "store the notebook without outputs"
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    html = [output.data["text/html"] for output in shown if "text/html" in output.get("data", {})]
    assert len(html) == 2 and all("data:image/jpeg;base64," in h for h in html)
    assert (tmp_path / "answer.html").exists()

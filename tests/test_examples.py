"""The examples do what they say: each script and the notebook is run in a folder of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("01_ask.py", ["the red car drives from left to right: ", "it is at Box("]),
        ("02_many_questions.py", ["a dog runs", "qwertyuiop: unsure", "v_IoU 0."]),
        ("03_export.py", ["red-car.cvat.xml", "red-car.html", "SpanSet("]),
    ],
)
def test_scripts(tmp_path: Path, script: str, said: list[str]) -> None:
    done = subprocess.run([sys.executable, EXAMPLES / script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for part in said:
        assert part in done.stdout
    assert len((EXAMPLES / script).read_text("utf-8").splitlines()) <= 25


@pytest.mark.torch
def test_workbench(tmp_path: Path) -> None:
    """Stage, train with an evaluator, batch, evaluate, a table: in ten lines."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, EXAMPLES / "04_workbench.py"], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert "failed" not in first and any(word in first for word in ("answered", "absent", "unsure"))
    assert "| m_vIoU " in done.stdout
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert [line["step"] for line in lines if "eval/held-out/mIoU" in line] == [10, 20]
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

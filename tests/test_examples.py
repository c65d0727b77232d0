"""The examples do what they say: each script and the notebook is run in a folder of its own."""

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


def test_notebook(tmp_path: Path) -> None:
    notebook = nbformat.read(EXAMPLES / "tour.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "store the notebook without outputs"
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    html = [output.data["text/html"] for output in shown if "text/html" in output.get("data", {})]
    assert len(html) == 2 and all("data:image/jpeg;base64," in h for h in html)
    assert (tmp_path / "answer.html").exists()

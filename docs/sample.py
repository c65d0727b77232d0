"""Draw ten public docstrings and ten command outputs at random, for a reader who has not seen the code.

    python docs/sample.py [--seed 0] [--count 10] [--where]

The reader says of each whether it can be understood as it stands: the prose is good enough when every one can. So the
docstrings are printed under their signature and nothing else, without file, class or neighbours. `--where` prints at
the end where each of them stands, for whoever mends them.

The commands are each one's `--help` and the ones in `COMMANDS`, which run on tiny inputs made here: answers, refusals
and misspellings. Only what is drawn is run. The same seed draws the same from the same source tree.
"""

import argparse
import ast
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = Path(__file__).resolve().parent.parent / "src" / "whenwhere"

#: Arguments of commands that say something worth reading; the files are those of `make_inputs`.
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("batch", "broken.jsonl", "--out", "answers"),
    ("batch", "missing.csv", "--out", "answers"),
    ("batch", "questions.jsonl", "--out", "answers"),
    ("batch", "questions.jsonl", "--out", "answers", "--export", "docx"),
    ("data", "stats", "truth.jsonl"),
    ("data", "validate", "broken.jsonl"),
    ("data", "validate", "truth.jsonl"),
    ("data", "validate", "truth.jsonl", "--videos", "nowhere"),
    ("eval", "--benchmark", "charades", "--annotations", "missing.txt", "--predictions", "answers.jsonl"),
    ("eval", "--benchmark", "charades-sta", "--annotations", "charades.txt", "--predictions", "answers.jsonl"),
    ("eval", "--benchmark", "charades-sta", "--annotations", "charades.txt", "--predictions", "wrong.jsonl"),
    (
        "eval",
        "--benchmark",
        "charades-sta",
        "--annotations",
        "charades.txt",
        "--predictions",
        "wrong.jsonl",
        "--strict",
    ),
    ("eval", "--list"),
    ("ground", "clip.mp4", ""),
    ("ground", "clip.mp4", "a red square moves to the right"),
    ("ground", "clip.mp4", "a red square moves to the right", "--dry-run"),
    ("ground", "clip.mp4", "a dog", "--export", "avi"),
    ("ground", "clip.mp4", "a dog", "--fill", "spline"),
    ("ground", "clip.mp4", "a dog", "--model", "nothing"),
    ("ground", "clip.mp4", "a dog", "--pipeline", "frame"),
    ("ground", "clip.mp4", "a dog", "--within", "9-4"),
    ("ground", "clip.mp4", "gravity"),
    ("ground", "missing.mp4", "a dog"),
    ("ground", "notes.txt", "a dog"),
    ("predict", "clip.mp4", "a dog"),
    ("stage", "clips", "--clips", "1", "--world", "moon"),
    ("stage", "clips", "--clips", "2", "--world", "shapes"),
    ("train", "--list"),
    ("train", "sfft", "--out", "run"),
    ("train", "tiny-sft", "train.learning_rat=1", "--out", "run"),
    ("train", "tiny-sft", "train.max_steps=none", "--out", "run"),
)

#: Lines of a command's output that are printed.
MOST_LINES = 80


@dataclass(frozen=True)
class Docstring:
    """One public docstring.

    Attributes:
        where: File and line of what it documents.
        signature: The line that a reader of the source would see above it, without decorators.
        text: The docstring, dedented.
    """

    where: str
    signature: str
    text: str


def docstrings(source: Path = SOURCE) -> list[Docstring]:
    """All docstrings of public modules, classes, methods and functions of a package, in order of file and line."""
    found = []
    for path in sorted(source.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = path.relative_to(source.parent).as_posix()
        if text := ast.get_docstring(tree):
            found.append(Docstring(f"{name}:1", f"module {path.stem}" if path.stem != "__init__" else "package", text))
        found += [
            Docstring(f"{name}:{node.lineno}", signature(node), text)
            for node in public_definitions(tree)
            if (text := ast.get_docstring(node))
        ]
    return found


Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public_definitions(tree: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    """Classes and functions whose names, and those of the classes around them, do not begin with an underscore."""
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node)


def signature(node: Definition) -> str:
    r"""The first line of a definition as Python prints it.

    >>> signature(ast.parse("def f(a: int, *, b=2) -> str:\n    return 'x'").body[0])
    'def f(a: int, *, b=2) -> str'
    """
    if isinstance(node, ast.ClassDef):
        return f"class {node.name}"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"def {node.name}({ast.unparse(node.args)}){returns}"


def help_commands() -> list[tuple[str, ...]]:
    """`--help` of the program and of each of its commands, those of groups included."""
    import typer

    from whenwhere.cli import app

    def names(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        yield (*before, "--help")
        for name, command in sorted(group.commands.items()):
            yield from names(command, (*before, name)) if hasattr(command, "commands") else [(*before, name, "--help")]

    return list(names(typer.main.get_command(app)))


def make_inputs(folder: Path) -> None:
    """Write the small files that the commands of `COMMANDS` read."""
    from whenwhere.video import FrameWriter

    ground = np.kron(np.random.default_rng(0).integers(60, 190, (15, 20, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    with FrameWriter(folder / "clip.mp4", 160, 120, 10) as writer:
        for i in range(50):
            frame, x = ground.copy(), 4 * (i - 10)
            if 10 <= i < 40:
                frame[60:84, x : x + 24] = (220, 30, 30)
            writer.write(frame, i / 10)
    (folder / "notes.txt").write_text("not a video\n", encoding="utf-8")
    lines = {
        "questions.jsonl": [
            {"video": "clip.mp4", "query": "a red square moves to the right"},
            {"video": "missing.mp4", "query": "a dog runs"},
        ],
        "truth.jsonl": [
            {"id": "a", "video": "clip.mp4", "query": "a red square moves to the right", "spans": [[1.0, 4.0]]}
        ],
        "broken.jsonl": [
            {"id": "a", "video": "clip.mp4"},
            {"id": "b", "video": "clip.mp4", "query": "a dog", "spans": [[4, 1]]},
        ],
        "answers.jsonl": [{"id": "AB12C#0", "spans": [[0.5, 5.0]]}, {"id": "AB12C#1", "spans": [[3.0, 6.0]]}],
        "wrong.jsonl": [{"id": "AB12C#0", "spans": [[5.0, 0.5]]}, {"id": "nobody", "spans": [[3.0, 6.0]]}],
    }
    for name, values in lines.items():
        (folder / name).write_text("".join(f"{json.dumps(value)}\n" for value in values), encoding="utf-8")
    sentences = ("AB12C 0.0 5.0##a person opens a door.", "AB12C 4.0 9.5##a person sits down.")
    (folder / "charades.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")


def output(arguments: tuple[str, ...], folder: Path) -> str:
    """What a command prints when it runs in a folder, cut to `MOST_LINES`, and its exit status."""
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "WHENWHERE_CACHE": str(folder / "cache")}
    ran = subprocess.run(
        [sys.executable, "-m", "whenwhere", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    text = ran.stdout.replace(f"{folder}/", "").replace("python -m whenwhere", "whenwhere").strip()
    lines = [line.rstrip() for line in text.splitlines()]
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"({len(lines) - MOST_LINES} more lines)"]
    return "\n".join([*lines, f"(exit status {ran.returncode})"])


def main() -> int:
    """Draw, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10, help="how many of each kind")
    parser.add_argument("--where", action="store_true", help="print at the end where each docstring stands")
    chosen = parser.parse_args()
    rng = random.Random(chosen.seed)
    drawn = rng.sample(docstrings(), chosen.count)
    commands = rng.sample([*help_commands(), *COMMANDS], chosen.count)
    say = sys.stdout.write
    for i, docstring in enumerate(drawn, 1):
        say(f"--- docstring {i}\n{docstring.signature}\n\n{docstring.text}\n\n")
    with tempfile.TemporaryDirectory() as name:
        make_inputs(Path(name))
        for i, arguments in enumerate(commands, 1):
            line = " ".join(json.dumps(a) if not re.fullmatch(r"[\w./=-]+", a) else a for a in arguments)
            say(f"--- command {i}\n$ whenwhere {line}\n{output(arguments, Path(name))}\n\n")
    if chosen.where:
        say("--- where\n" + "".join(f"{i}. {docstring.where}\n" for i, docstring in enumerate(drawn, 1)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

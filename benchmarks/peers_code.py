"""Functions of other people's files, without running the rest of those files. Used by `peers_beside.py`."""

import ast
import contextlib
import copy
import io
import json
import math
import re
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

#: (measure, ours, theirs)
Pairs = Iterator[tuple[str, float, float]]
#: (folder of checkouts, randomness, protocol) → pairs; its docstring says what is run.
Check = Callable[[Path, np.random.Generator, str], Pairs]


def functions(path: Path, *names: str, text: Callable[[str], str] = lambda t: t, **known: Any) -> types.SimpleNamespace:
    """Functions and classes of a file by name, without running the rest of the file.

    Args:
        path: the file.
        names: of its functions and classes.
        text: rewrites the file's text before it is read.
        known: what the functions find as global names, beside each other and numpy.
    """
    tree = ast.parse(text(path.read_text(encoding="utf-8")))
    space: dict[str, Any] = vars(typing) | {"np": np, "copy": copy, "re": re, "json": json, "math": math} | known
    wanted = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name in names]
    assert len(wanted) == len(names), (path, names)
    exec(compile(ast.Module(list(wanted), []), str(path), "exec"), space)
    return types.SimpleNamespace(**{name: space[name] for name in names}, space=space)


def quiet(call: Callable[[], Any]) -> tuple[Any, str]:
    """What a call gives, and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        return call(), out.getvalue()

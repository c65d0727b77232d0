"""What an ONNX file says about itself: inputs, outputs, operators, and the names of classes in its metadata.

OpenCV does not tell the shapes of a network's inputs, and it fails on some files in ways that explain nothing. This
reads the few fields that are needed from the protocol buffer (onnx.proto3: ModelProto, GraphProto, NodeProto,
ValueInfoProto), without its weights, and never goes beyond the bytes that are there.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from whenwhere.errors import ModelError
from whenwhere.readers import visible

#: Largest number of nodes of a graph; the largest detectors have some thousands.
MOST_NODES = 100_000
_REMEDY = "export or fetch it again"


class _DamagedError(ValueError):
    """The bytes are not a protocol buffer of this form."""


@dataclass
class OnnxFile:
    """The parts of an ONNX file that say what it takes and gives.

    Attributes:
        inputs: Shape of each input by its name; 0 stands for a size that the file leaves open.
        outputs: Names of the outputs.
        operators: Names of the operators that it uses, with the domain where it is not ONNX's own.
        metadata: Texts by name.
    """

    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    operators: set[str] = field(default_factory=set)
    metadata: dict[str, str] = field(default_factory=dict)


def read_onnx(path: Path) -> OnnxFile:
    """Read what an ONNX file says about itself.

    Raises:
        ModelError: The file is not ONNX, cut off, or keeps its weights in other files.
    """
    shown, out = visible(str(path)), OnnxFile()
    try:
        with path.open("rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
            graphs = 0
            for number, start, end in _fields(data, 0, len(data)):
                if number == 7:
                    graphs += 1
                    _read_graph(data, start, end, out)
                elif number == 14:
                    entry = {n: _text(data, a, b) for n, a, b in _fields(data, start, end) if n in (1, 2)}
                    out.metadata[entry.get(1, "")] = entry.get(2, "")
    except _DamagedError as e:
        raise ModelError(f"{shown} is not an ONNX file, or cut off ({e}): {_REMEDY}") from e
    except (OSError, ValueError) as e:
        raise ModelError(f"cannot read {shown}: {getattr(e, 'strerror', None) or e}; {_REMEDY}") from e
    if graphs != 1 or not out.operators or not out.inputs or not out.outputs:
        raise ModelError(f"{shown} holds no network of ONNX: {_REMEDY}")
    return out


def _read_graph(data: mmap.mmap, start: int, end: int, out: OnnxFile) -> None:
    nodes, weights = 0, set()
    for number, a, b in _fields(data, start, end):
        if number == 1:
            nodes += 1
            if nodes > MOST_NODES:
                raise _DamagedError(f"more than {MOST_NODES} nodes")
            said = {n: _text(data, x, y) for n, x, y in _fields(data, a, b) if n in (4, 7)}
            domain = said.get(7, "")
            out.operators.add(said.get(4, "") if domain in ("", "ai.onnx") else f"{domain}.{said.get(4, '')}")
        elif number == 5:
            for n, x, y in _fields(data, a, b):
                if n == 8:
                    weights.add(_text(data, x, y))
                elif n == 13:
                    raise _DamagedError("its weights are in other files; put them into it")
        elif number == 11:
            name, shape = _read_value(data, a, b)
            out.inputs[name] = shape
        elif number == 12:
            out.outputs.append(_read_value(data, a, b)[0])
    for name in weights:
        out.inputs.pop(name, None)


def _read_value(data: mmap.mmap, start: int, end: int) -> tuple[str, tuple[int, ...]]:
    """Name and shape of an input or output."""
    name, shape = "", []
    for number, a, b in _fields(data, start, end):
        if number == 1:
            name = _text(data, a, b)
        elif number == 2:
            # TypeProto.tensor_type.shape.dim.dim_value
            for _, c, d in (f for f in _fields(data, a, b) if f[0] == 1):
                for _, e, g in (f for f in _fields(data, c, d) if f[0] == 2):
                    for _, h, i in (f for f in _fields(data, e, g) if f[0] == 1):
                        sizes = [x for n, x, y in _fields(data, h, i) if n == 1 and y < 0]
                        shape.append(sizes[0] if sizes else 0)
    return name, tuple(shape)


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a message: (number, first byte, byte after the last); of a number (number, value, -1)."""
    at = start
    while at < end:
        key, at = _varint(data, at, end)
        number, kind = key >> 3, key & 7
        if not number:
            raise _DamagedError("a field has no number")
        if kind == 0:
            value, at = _varint(data, at, end)
            yield number, value, -1
            continue
        if kind == 2:
            size, at = _varint(data, at, end)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise _DamagedError(f"a field of the unknown kind {kind}")
        if size > end - at:
            raise _DamagedError(f"a field of {size} bytes where {end - at} are left")
        yield number, at, at + size
        at += size


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise _DamagedError("it ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _DamagedError("a number is longer than ten bytes")


def _text(data: mmap.mmap, start: int, end: int) -> str:
    if end < 0:
        raise _DamagedError("a number stands where a text should")
    if end - start > 1 << 20:
        raise _DamagedError("a name is longer than 1 MiB")
    return data[start:end].decode("utf-8", "replace")

"""Part of a frozen TensorFlow graph (`.pb`), cut out without TensorFlow.

The graphs of TensorFlow's detection model zoo hold thousands of nodes around the network, which scale pictures and
suppress doubles one by one. A runtime translates the network in a second and the rest in twenty. Only the wire format
of protocol buffers is read here; nodes are copied byte by byte.
"""

from collections.abc import Iterator, Sequence

from whenwhere.errors import ModelError

#: Numbers of the fields that are read: nodes of a GraphDef; name, operation, inputs and attributes of a NodeDef.
_NODE, _NAME, _OPERATION, _INPUT, _ATTRIBUTE = 1, 1, 2, 3, 5
#: Bytes that fields of a fixed size take, by their wire type.
_FIXED = {1: 8, 5: 4}
#: `DT_FLOAT` as an attribute of a node: map entry with the key `dtype` and the value {type: 1}.
_FLOAT = b"\x0a\x05dtype\x12\x02\x30\x01"


def cut_graph(graph: bytes, start: str, ends: Sequence[str], name: str = "the graph") -> bytes:
    """The nodes of a graph from one node to some others.

    Args:
        graph: A serialised GraphDef.
        start: Node that becomes the input of the part, a placeholder of floats of any shape.
        ends: Nodes whose outputs are wanted.
        name: Name of the graph, for messages.

    Returns:
        A serialised GraphDef with the placeholder and all nodes that `ends` depend on.

    Raises:
        ModelError: The bytes are no graph, or a node is missing.
    """
    nodes: dict[str, tuple[bytes, list[str]]] = {}
    try:
        for field, node in _fields(graph):
            if field == _NODE:
                own = [(key, value.decode()) for key, value in _fields(node) if key in (_NAME, _INPUT)]
                title = next(value for key, value in own if key == _NAME)
                # `node:1` is the second output of a node, and `^node` only has to run before
                nodes[title] = node, [v.lstrip("^").partition(":")[0] for key, v in own if key == _INPUT]
    except (IndexError, KeyError, StopIteration, UnicodeDecodeError) as e:
        raise ModelError(f"{name} is damaged or no frozen graph of TensorFlow") from e
    needed: list[str] = []
    waiting, seen = list(ends), {start}
    while waiting:
        title = waiting.pop()
        if title in seen:
            continue
        seen.add(title)
        if title not in nodes:
            raise ModelError(f"{name} has no node {title!r}, so it is no SSD detector of TensorFlow's model zoo")
        needed.append(title)
        waiting.extend(nodes[title][1])
    placeholder = _written(_NAME, start.encode()) + _written(_OPERATION, b"Placeholder") + _written(_ATTRIBUTE, _FLOAT)
    return b"".join(_written(_NODE, node) for node in (placeholder, *(nodes[title][0] for title in reversed(needed))))


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, content) of each field that has a length; the others are skipped."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            _, at = _varint(data, at)
        elif key & 7 == 2:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise IndexError(at)
            yield key >> 3, data[at : at + size]
            at += size
        else:
            at += _FIXED[key & 7]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place after it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _written(field: int, content: bytes) -> bytes:
    """A field that has a length."""
    size, head = len(content), bytearray([field << 3 | 2])
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    return bytes([*head, size]) + content

"""Manifests as Parquet: the fields of JSON Lines as typed columns.

Items are written and read in groups of `ROWS`, so that the file never has to fit into memory. Nested values (spans,
tubes) go through Arrow's offsets and flat arrays instead of Python lists of floats: a tube of a thousand boxes costs
five array slices. `provenance` and `extra` are JSON text, because every set has keys of its own.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from whenwhere.datasets.item import Item
from whenwhere.datasets.schema import SIDES, VERSION, FormatFault, check_finite
from whenwhere.errors import MissingExtraError, RecordError
from whenwhere.readers import parse_json
from whenwhere.store import atomic_path
from whenwhere.tubes import Tube

if TYPE_CHECKING:
    import pyarrow

#: Number of items in a group.
ROWS = 2048
_TEXT = ("status", "fault", "type", "split", "source", "licence", "answer", "difficulty_of")
_REAL = ("duration", "offset", "fps", "difficulty")
_WHOLE = ("frames", "width", "height")
_LISTS = ("captions", "options")
_JSON = ("provenance", "extra")


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as e:
        raise MissingExtraError("pyarrow", "data", "Parquet manifests") from e
    return pyarrow


def arrow_schema() -> "pyarrow.Schema":
    """The columns of a manifest.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    pa = _arrow()
    span = pa.struct([("start", pa.float64()), ("end", pa.float64())])
    spans = pa.list_(span)
    reals = pa.list_(pa.float64())
    tube = pa.struct(
        [("id", pa.string()), ("label", pa.string()), ("score", pa.float64()), ("rate", pa.float64()), ("spans", spans)]
        + [(name, reals) for name in ("times", *SIDES)]
        + [("sources", pa.list_(pa.string()))]
    )
    columns = [(name, pa.string()) for name in ("id", "video", "query")]
    columns += [("spans", spans), ("tubes", pa.list_(tube)), ("window", span)]
    columns += [(name, pa.float64()) for name in _REAL] + [(name, pa.int64()) for name in _WHOLE]
    columns += [(name, pa.string()) for name in (*_TEXT, *_JSON)]
    columns += [(name, pa.list_(pa.string())) for name in _LISTS]
    return pa.schema(columns, metadata={"whenwhere.manifest": str(VERSION)})


def write_rows(items: Iterable[Item], path: Path) -> int:
    """Write items as Parquet; the file is written whole or not at all.

    Returns:
        The number of items.

    Raises:
        RecordError: An item cannot be written.
        OutputError: The file cannot be written.
        MissingExtraError: pyarrow is not installed.
    """
    pa = _arrow()
    count = 0
    rest = iter(items)
    with atomic_path(path) as temporary, pa.parquet.ParquetWriter(temporary, arrow_schema()) as writer:
        while group := list(itertools.islice(rest, ROWS)):
            for item in group:
                check_finite(item)
            try:
                writer.write_batch(_batch(pa, group))
            except (pa.ArrowException, ValueError, TypeError) as e:
                ids = f"{group[0].id!r} to {group[-1].id!r}"
                raise RecordError(f"items {ids} cannot be written as Parquet: {e}; correct or remove them") from e
            count += len(group)
    return count


def _batch(pa: Any, items: Sequence[Item]) -> "pyarrow.RecordBatch":
    columns: dict[str, Any] = {}
    for field in arrow_schema():
        name = field.name
        if name == "spans":
            columns[name] = _span_lists(pa, [i.spans for i in items])
        elif name == "tubes":
            columns[name] = _tube_lists(pa, [i.tubes for i in items], field.type.value_type)
        elif name == "window":
            ends = [i.window and {"start": i.window.start, "end": i.window.end} for i in items]
            columns[name] = pa.array(ends, field.type)
        elif name in _JSON:
            texts = [
                json.dumps(v, ensure_ascii=False, allow_nan=False) if (v := getattr(i, name)) else None for i in items
            ]
            columns[name] = pa.array(texts, pa.string())
        else:
            columns[name] = pa.array([getattr(i, name) for i in items], field.type)
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=arrow_schema())


def _offsets(lengths: Iterable[int]) -> "np.ndarray[Any, np.dtype[np.int32]]":
    return np.concatenate([[0], np.cumsum(list(lengths), dtype=np.int64)]).astype(np.int32)


def _span_lists(pa: Any, spans: Sequence[ArrayLike]) -> Any:
    rows = [np.asarray(s, np.float64).reshape(-1, 2) for s in spans]
    flat = np.concatenate(rows) if rows else np.zeros((0, 2))
    pairs = pa.StructArray.from_arrays([pa.array(flat[:, 0]), pa.array(flat[:, 1])], ["start", "end"])
    return pa.ListArray.from_arrays(_offsets(map(len, rows)), pairs)


def _tube_lists(pa: Any, tubes: Sequence[Sequence[Tube]], kind: Any) -> Any:
    flat = [t for some in tubes for t in some]
    boxes = np.concatenate([t.boxes for t in flat]) if flat else np.zeros((0, 4))
    times = np.concatenate([t.times for t in flat]) if flat else np.zeros(0)
    ends = _offsets(map(len, flat))
    reals = [pa.ListArray.from_arrays(ends, pa.array(np.ascontiguousarray(c))) for c in (times, *boxes.T)]
    parts = [
        pa.array([t.id for t in flat], pa.string()),
        pa.array([t.label for t in flat], pa.string()),
        pa.array([t.score for t in flat], pa.float64()),
        pa.array([t.rate for t in flat], pa.float64()),
        _span_lists(pa, [np.stack([t.spans.starts, t.spans.ends], axis=1) for t in flat]),
        *reals,
        pa.array([list(t.sources) for t in flat], pa.list_(pa.string())),
    ]
    struct = pa.StructArray.from_arrays(parts, fields=list(kind))
    return pa.ListArray.from_arrays(_offsets(map(len, tubes)), struct)


def entries(path: Path) -> Iterator[tuple[int, Any]]:
    """Streams the rows of a Parquet manifest as (row number from 1, object as in the JSON Lines form).

    Files that other programs wrote are read too, if all their columns are keys of the schema.

    Raises:
        RecordError: The file is missing or is not Parquet.
        MissingExtraError: pyarrow is not installed.
    """
    number = 0
    with _open(path) as file:
        version = (file.schema_arrow.metadata or {}).get(b"whenwhere.manifest")
        for batch in file.iter_batches(ROWS):
            names = batch.schema.names
            for row in zip(*map(_values, names, batch.columns), strict=True):
                number += 1
                entry = {k: v for k, v in zip(names, row, strict=True) if v is not None}
                if version is not None:
                    entry["version"] = int(version) if version.isdigit() else version.decode(errors="replace")
                bad = next((k for k, v in entry.items() if isinstance(v, UnicodeDecodeError)), None)
                yield number, entry if bad is None else FormatFault("not UTF-8", f"{bad!r} is not UTF-8")


def read_columns(
    path: Path, wanted: Sequence[str], check: Callable[[Path, Sequence[str]], None]
) -> Iterator[dict[str, Any]]:
    """The rows of any Parquet file, so far as it has these columns, in a stream. Bytes that are not UTF-8 are kept.

    Args:
        path: The file.
        wanted: Names of the columns.
        check: Called once with the path and the names of all columns; may raise.

    Raises:
        RecordError: The file is missing or is not Parquet.
        MissingExtraError: pyarrow is not installed.
    """
    with _open(path) as file:
        columns = file.schema_arrow.names
        check(path, columns)
        names = [name for name in wanted if name in columns]
        for batch in file.iter_batches(ROWS, columns=names):
            for row in zip(*(_as_python(batch[name], keep=True) for name in names), strict=True):
                yield dict(zip(names, row, strict=True))


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """The opened Parquet file; what its reader raises becomes a sentence."""
    pa = _arrow()
    try:
        with pa.parquet.ParquetFile(path) as file:
            yield file
    except pa.ArrowException as e:
        raise RecordError(f"{path} is not Parquet: {str(e).splitlines()[0]}") from e
    except OSError as e:
        raise RecordError(f"cannot read {path}: {e.strerror or e}") from e
    except UnicodeDecodeError as e:
        raise RecordError(f"{path} has a column whose name is not UTF-8: give it another name") from e


def _as_python(column: Any, keep: bool = False) -> list[Any]:
    """The values of a column. One that holds text which is not UTF-8 becomes the error that says so.

    Args:
        column: The column.
        keep: Whether such a text is kept instead, as Python keeps names of files (`surrogateescape`).
    """
    with suppress(UnicodeDecodeError):
        found: list[Any] = column.to_pylist()
        return found
    return [_scalar(value, keep) for value in column]


def _scalar(value: Any, keep: bool) -> Any:
    try:
        return value.as_py()
    except UnicodeDecodeError as e:
        return value.as_buffer().to_pybytes().decode("utf-8", "surrogateescape") if keep and _is_text(value) else e


def _is_text(value: Any) -> bool:
    return hasattr(value, "as_buffer")


def _values(name: str, column: Any) -> list[Any]:
    """The values of a column as in the JSON Lines form; spans and tubes with the package's own types become arrays."""
    if name == "spans" and _is_spans(column.type):
        return _span_arrays(column)
    if name == "tubes" and column.type == arrow_schema().field("tubes").type:
        return _tube_entries(column)
    values = _as_python(column)
    if name == "window":
        return [[v["start"], v["end"]] if isinstance(v, dict) and len(v) == 2 else v for v in values]
    return [_loaded(v) for v in values] if name in _JSON else values


def _is_spans(kind: Any) -> bool:
    return bool(kind == arrow_schema().field("spans").type)


def _cut(values: Any, column: Any) -> list[Any]:
    """Splits the flat values of a list column into its rows; a null row is None."""
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    rows = zip(ends - lengths, ends, valid, strict=True)
    return [values[a:b] if there else None for a, b, there in rows]


def _span_arrays(column: Any) -> list[Any]:
    """The spans of each row, shape (k, 2)."""
    start, end = (c.to_numpy(zero_copy_only=False) for c in column.flatten().flatten())
    return _cut(np.stack([start, end], axis=1), column)


def _tube_entries(column: Any) -> list[Any]:
    """The tubes of each row as objects like those of the JSON Lines form."""
    tubes = column.flatten()
    children = {}
    for field, child in zip(tubes.type, tubes.flatten(), strict=True):
        if field.name == "spans":
            children[field.name] = _span_arrays(child)
        elif field.name in ("times", *SIDES):
            children[field.name] = _cut(child.flatten().to_numpy(zero_copy_only=False), child)
        else:
            children[field.name] = _as_python(child)
    names = list(children)
    entries = [
        {k: v for k, v in zip(names, row, strict=True) if v is not None} for row in zip(*children.values(), strict=True)
    ]
    return _cut(entries, column)


def _loaded(value: Any) -> Any:
    try:
        return parse_json(value, "") if isinstance(value, str) else value
    except RecordError:
        return value

"""One safe reader for each format of files that somebody else may have written: JSON, JSON Lines, TOML, CSV and npz.

The libraries below fail in many ways on damaged or hostile input: `RecursionError` on deep nesting, `csv.Error` on a
long field, `zlib.error` or `NotImplementedError` inside an npz, and gigabytes of memory where a header claims them.
Every reader here raises one kind of error instead, the one that the caller names, as one sentence with the file and,
where there is one, the line. What a message quotes is cut short and shown without control characters (`quoted`).

A claimed size is compared with the bytes that are there before memory is taken for it. What a value means is left to
the caller: the readers of single formats check keys and types.
"""

import csv
import io
import itertools
import json
import math
import os
import re
import reprlib
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.errors import RecordError, WhenwhereError

#: Deepest nesting of a JSON or TOML value. Real files stay below 20; code that walks a value must not run out of stack.
DEEPEST = 100
#: Longest TOML text in characters, and most dots in one of its lines: `tomllib` takes memory with the square of the
#: number of parts of a dotted key.
LONGEST_TOML, MOST_DOTS = 1 << 17, 100
#: Most bytes that the arrays of one npz file may unpack to.
LARGEST_ARRAYS = 2 << 30
#: Most bytes of one line of a file of lines. The longest real ones, with a box for every frame, have a few million.
LONGEST_LINE = 256 << 20

# An integer of this many digits may be too large for a float, so it is read as a float (infinite, where it is).
_MANY_DIGITS = 300
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_CONTROL = {c: chr(0x2400 + c) for c in range(32) if chr(c) not in "\n\t"}
_CONTROL |= {0x7F: "\u2421", **dict.fromkeys([*range(0x80, 0xA0), 0x2028, 0x2029], "\ufffd")}
# Marks that change the direction of the text after them, with which a name can be made to look like another.
_CONTROL |= dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
_short.maxlong = 30


def visible(text: str) -> str:
    r"""The text with control characters shown instead of sent: a terminal would obey them. Its length stays the same.

    Line feeds and tabs are kept.

    >>> visible("a\x1b[31m red\x07 word")
    'a␛[31m red␇ word'
    """
    return text.translate(_CONTROL)


def printable(text: str) -> str:
    r"""Text that UTF-8 can hold: bytes of a file name that were not UTF-8 become question marks.

    >>> printable("caf\udce9.mp4")
    'caf?.mp4'
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def quoted(value: object, longest: int = 80) -> str:
    r"""A value as an error message quotes it: on one line, without control characters, cut to a length.

    Args:
        value: Any value, of any size.
        longest: Largest number of characters.

    >>> quoted("a\nb\x1b[0m"), quoted(1.5), quoted([[1, 2]] * 1000)
    ("'a\\nb\\x1b[0m'", '1.5', '[[1, 2], [1, 2], [1, 2], [1, 2], [1, 2], [1, 2], ...]')
    >>> len(quoted("x" * 10**6)), quoted(10**6000)
    (60, 'a number of about 6000 digits')
    """
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"a number of about {int(value.bit_length() * math.log10(2))} digits"
    try:
        text = visible(_short.repr(value))
    except (ValueError, RecursionError):
        text = f"a value of type {type(value).__name__}"
    text = " ".join(text.split("\n"))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def read_text(
    path: str | os.PathLike[str], error: type[WhenwhereError] = RecordError, remedy: str = "fetch or write it again"
) -> str:
    """The whole text of a regular file, without a byte-order mark.

    Args:
        path: The file.
        error: Kind of the error that is raised.
        remedy: How to mend it, as the end of the sentence.

    Raises:
        WhenwhereError: The file is missing, not a regular file, or not UTF-8 text.
    """
    name = visible(os.fspath(path))
    try:
        # Anything else could block for ever when it is opened (a pipe) or have no end (a device).
        if Path(path).exists() and not Path(path).is_file():
            raise error(f"{name} is not a regular file; {remedy}")
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as e:
        if isinstance(e, UnicodeDecodeError):
            raise error(f"{name} is not text (byte {e.start} is not UTF-8); {remedy}") from e
        raise error(f"cannot read {name}: {getattr(e, 'strerror', None) or e}; {remedy}") from e


def read_lines(
    path: str | os.PathLike[str], error: type[WhenwhereError] = RecordError, remedy: str = "fetch or write it again"
) -> Iterator[tuple[int, bytes]]:
    r"""(number from 1, bytes) of each line of a regular file that is not blank, in a stream.

    White space and byte-order marks around a line are removed.

    Args:
        path: The file.
        error: Kind of the error that is raised.
        remedy: How to mend it, as the end of the sentence.

    Raises:
        WhenwhereError: The file cannot be read, is not a regular file, or a line is longer than `LONGEST_LINE`.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "a.jsonl")
    >>> _ = path.write_bytes(b"\xef\xbb\xbf{}\r\n\n 5")
    >>> list(read_lines(path))
    [(1, b'{}'), (3, b'5')]
    """
    name = visible(os.fspath(path))
    try:
        # Anything else could block for ever when it is opened (a pipe) or have no end (a device).
        if Path(path).exists() and not Path(path).is_file():
            raise error(f"{name} is not a regular file; {remedy}")
        with open(path, "rb") as f:
            for number in itertools.count(1):
                line = f.readline(LONGEST_LINE + 1)
                if not line:
                    return
                if len(line) > LONGEST_LINE:
                    raise error(f"{name}, line {number} is longer than {LONGEST_LINE >> 20} MiB; {remedy}")
                if text := line.strip().removeprefix(b"\xef\xbb\xbf").strip():
                    yield number, text
    except (OSError, ValueError) as e:
        raise error(f"cannot read {name}: {getattr(e, 'strerror', None) or e}; {remedy}") from e


def parse_json(
    text: str | bytes,
    place: str,
    error: type[WhenwhereError] = RecordError,
    remedy: str = "fetch or write it again",
) -> Any:
    r"""The value of a JSON text.

    Integers too large for a float become infinite floats, and halves of characters (lone surrogates), which UTF-8
    cannot hold, become U+FFFD.

    Args:
        text: The text, or its bytes in UTF-8.
        place: File and line for messages.
        error: Kind of the error that is raised.
        remedy: How to mend it, as the end of the sentence.

    Raises:
        WhenwhereError: The text is not JSON, not UTF-8, or nested more than `DEEPEST` levels deep.

    >>> parse_json('{"a": ["\\ud83d", 1]}', "x.json")
    {'a': ['�', 1]}
    >>> parse_json("[" * 5000, "x.jsonl, line 3")
    Traceback (most recent call last):
    ...
    whenwhere.errors.RecordError: x.jsonl, line 3 is nested more than 100 levels deep; fetch or write it again
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        # A run of that many digits fills one of these pieces, wherever it begins.
        piece = _MANY_DIGITS // 2
        many = len(text) >= _MANY_DIGITS and any(
            text[i : i + piece].isdigit() for i in range(0, len(text) - piece + 1, piece)
        )
        value = json.loads(text, parse_int=_whole) if many else json.loads(text)
    except RecursionError as e:
        raise error(f"{place} is nested more than {DEEPEST} levels deep; {remedy}") from e
    except UnicodeDecodeError as e:
        raise error(f"{place} is not text (byte {e.start} is not UTF-8); {remedy}") from e
    except ValueError as e:
        raise error(f"{place}{_line_of(e, str(text))} is not JSON{_cut_off(e)}: {_reason(e)}; {remedy}") from e
    if text.count("[") + text.count("{") > DEEPEST and _depth(value) > DEEPEST:
        raise error(f"{place} is nested more than {DEEPEST} levels deep; {remedy}")
    return _mended(value) if _SURROGATE.search(text) else value


def read_json(
    path: str | os.PathLike[str], error: type[WhenwhereError] = RecordError, remedy: str = "fetch or write it again"
) -> Any:
    """The value of a JSON file; see `parse_json`.

    Raises:
        WhenwhereError: The file cannot be read, or does not hold one JSON value; the message names file and line.
    """
    return parse_json(read_text(path, error, remedy), visible(os.fspath(path)), error, remedy)


def parse_toml(text: str, place: str, error: type[WhenwhereError] = RecordError) -> dict[str, Any]:
    """The tables of a TOML text.

    Args:
        text: The text.
        place: File for messages.
        error: Kind of the error that is raised.

    Raises:
        WhenwhereError: The text is not TOML, longer than `LONGEST_TOML`, nested more than `DEEPEST` levels deep, or has
            a key of more than `MOST_DOTS` parts.

    >>> parse_toml("a." * 300 + "a = 1", "run.toml")
    Traceback (most recent call last):
    ...
    whenwhere.errors.RecordError: run.toml, line 1 has 300 dots, more than 100: shorten that key
    """
    if len(text) > LONGEST_TOML:
        raise error(f"{place} has {len(text)} characters, more than {LONGEST_TOML}: it is not a settings file")
    for number, line in enumerate(text.split("\n"), 1):
        if (dots := line.count(".")) > MOST_DOTS:
            raise error(f"{place}, line {number} has {dots} dots, more than {MOST_DOTS}: shorten that key")
    try:
        tables = tomllib.loads(text)
    except RecursionError as e:
        raise error(f"{place} is nested more than {DEEPEST} levels deep: write it again") from e
    except ValueError as e:
        raise error(f"{place} is not TOML: {visible(str(e))[:200]}") from e
    if _depth(tables) > DEEPEST:
        raise error(f"{place} is nested more than {DEEPEST} levels deep: write it again")
    return tables


def parse_csv(
    text: str, place: str, error: type[WhenwhereError] = RecordError, remedy: str = "mend or remove that row"
) -> Iterator[tuple[int, list[str]]]:
    r"""(number of the row's last line, fields) of each row of a CSV text, the header included.

    Args:
        text: The text, with its own line ends.
        place: File for messages.
        error: Kind of the error that is raised.
        remedy: How to mend it, as the end of the sentence.

    Raises:
        WhenwhereError: A row cannot be read, for example because a field is longer than 131 072 characters.

    >>> list(parse_csv('a,b\n1,"2\n3"\n', "x.csv"))
    [(1, ['a', 'b']), (3, ['1', '2\n3'])]
    """
    reader = csv.reader(io.StringIO(text, newline=""))
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as e:
            raise error(f"{place}, line {reader.line_num} is not CSV ({e}); {remedy}") from e
        yield reader.line_num, row


def parse_table(
    text: str, place: str, error: type[WhenwhereError] = RecordError, remedy: str = "mend or remove that row"
) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    r"""The columns of a CSV text with a header, and (line, row by column) of each row; empty lines are passed over.

    Args:
        text: The text, with its own line ends.
        place: File for messages.
        error: Kind of the error that is raised.
        remedy: How to mend it, as the end of the sentence.

    Raises:
        WhenwhereError: A row cannot be read or has fewer fields than the header; raised when its turn comes.

    >>> columns, rows = parse_table("a,b\n1,2\n", "x.csv")
    >>> columns, list(rows)
    (['a', 'b'], [(2, {'a': '1', 'b': '2'})])
    """
    lines = parse_csv(text, place, error, remedy)
    _, columns = next(lines, (0, []))

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        for number, row in lines:
            if row and len(row) < len(columns):
                raise error(f"{place}, line {number} is cut off: it has {len(row)} of {len(columns)} fields; {remedy}")
            if row:
                yield number, dict(zip(columns, row, strict=False))

    return columns, rows()


def read_arrays(
    path: str | os.PathLike[str],
    error: type[WhenwhereError] = RecordError,
    remedy: str = "write it with numpy.savez",
    name: str = "array",
) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name; the one array of an .npy file stands under `name`.

    Nothing is unpickled. The sizes that the file claims are compared with the bytes that are there before an array is
    made.

    Args:
        path: The file.
        error: Kind of the error that is raised.
        remedy: How to mend it, as the end of the sentence.
        name: Name of an .npy file's array.

    Raises:
        WhenwhereError: The file cannot be read, is damaged, holds objects, or would unpack to more than
            `LARGEST_ARRAYS` bytes.
    """
    shown = visible(os.fspath(path))
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise error(f"{shown} is not a regular file; {remedy}")
        with open(path, "rb") as f:
            if f.read(6) == b"\x93NUMPY":
                f.seek(0)
                return {name: _array(f, os.fstat(f.fileno()).st_size)}
            f.seek(0)
            with zipfile.ZipFile(f) as archive:
                entries = archive.infolist()
                # Deflate cannot pack more than 1032 bytes into one.
                if any(entry.file_size > 1032 * entry.compress_size + 1024 for entry in entries):
                    raise ValueError("a size is claimed that cannot be right")
                if sum(entry.file_size for entry in entries) > LARGEST_ARRAYS:
                    raise error(f"{shown} unpacks to more than {LARGEST_ARRAYS >> 30} GiB; {remedy}")
                found = {}
                for entry in entries:
                    with archive.open(entry) as member:
                        found[entry.filename.removesuffix(".npy")] = _array(member, entry.file_size)
                return found
    except OSError as e:
        raise error(f"cannot read {shown}: {e.strerror or e}; {remedy}") from e
    except WhenwhereError:
        raise
    except MemoryError as e:
        raise error(f"the arrays of {shown} do not fit into memory; {remedy}") from e
    except Exception as e:
        # A damaged archive fails in the parser of any of its layers (zlib.error, NotImplementedError, RuntimeError,
        # KeyError, struct.error, SyntaxError, UnicodeDecodeError, BadZipFile ...), and all of it means the same.
        raise error(f"{shown} is not a whole .npz or .npy file of plain arrays; {remedy}") from e


def _array(file: Any, size: int) -> np.ndarray:
    """The array of an .npy stream of `size` bytes.

    Raises:
        ValueError: It holds objects, or another number of bytes than its header says.
    """
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(file)
    head = file.tell()
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != size - head or min(shape, default=0) < 0:
        raise ValueError("the header does not fit the data")
    array = np.zeros(math.prod(shape), dtype)
    data, filled = array.view(np.uint8).data if array.nbytes else memoryview(b""), 0
    while filled < array.nbytes:
        if not (count := file.readinto(data[filled:])):
            raise ValueError("the data are cut off")
        filled += count
    return array.reshape(shape, order="F" if fortran else "C")


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < _MANY_DIGITS else float(digits)


def _depth(value: Any) -> int:
    """How deep a value is nested, counted no further than `DEEPEST` + 1; a number or a text has depth 0."""
    level, depth = [value] if isinstance(value, dict | list) else [], 0
    while level and depth <= DEEPEST:
        depth += 1
        level = [
            child
            for one in level
            for child in (one.values() if isinstance(one, dict) else one)
            if isinstance(child, dict | list)
        ]
    return depth


def _mended(value: Any) -> Any:
    """The value with lone surrogates in its texts and keys replaced by U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_mended(one) for one in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(one) for key, one in value.items()}
    return value


def _line_of(e: ValueError, text: str) -> str:
    """The line of a fault in a text of several lines."""
    return f", line {e.lineno}," if isinstance(e, json.JSONDecodeError) and "\n" in text.strip() else ""


def _cut_off(e: ValueError) -> str:
    """Says so where the text ends too early."""
    torn = isinstance(e, json.JSONDecodeError) and e.pos >= len(e.doc.rstrip()) - 1
    return " and seems cut off" if torn or "Unterminated string" in str(e) else ""


def _reason(e: ValueError) -> str:
    """What the JSON parser says, without its position."""
    return e.msg if isinstance(e, json.JSONDecodeError) else visible(str(e))[:200]

"""The files of a report; each is written whole or not at all."""

import csv
import importlib.util
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from whenwhere.errors import MissingExtraError, SettingError
from whenwhere.evaluate.compare import Comparison
from whenwhere.evaluate.evaluation import Report
from whenwhere.evaluate.page import write_comparison_page, write_report_page
from whenwhere.evaluate.report import comparison_rows, comparison_tables, method_table, tables
from whenwhere.evaluate.table import comma_separated, latex, markdown
from whenwhere.store import atomic_path, write_text


def _json(report: Report, folder: Path) -> Path:
    return write_text(folder / "report.json", json.dumps(report.data(), ensure_ascii=False, indent=1) + "\n")


def _items(report: Report, folder: Path) -> Path:
    rows = (json.dumps(row, ensure_ascii=False) for row in report.item_rows())
    return write_text(folder / "items.jsonl", "".join(f"{row}\n" for row in rows))


def _parquet(report: Report, folder: Path) -> Path:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as e:
        raise MissingExtraError("pyarrow", "data", "writing items.parquet") from e
    rows = report.item_rows()
    # a column that the first item lacks is a column all the same
    names = dict.fromkeys(name for row in rows for name in row)
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in names})
    with atomic_path(folder / "items.parquet") as temporary:
        parquet.write_table(table, temporary)
    return folder / "items.parquet"


def _html(report: Report, folder: Path) -> Path:
    return write_report_page(report, tables(report), folder / "report.html")


#: Name of a file → how it is written into a folder.
FILES: dict[str, Callable[[Report, Path], Path]] = {
    "json": _json,
    "items": _items,
    "parquet": _parquet,
    "md": lambda r, folder: write_text(folder / "report.md", f"# {r.benchmark.title}\n\n" + markdown(tables(r))),
    "tex": lambda r, folder: write_text(folder / "report.tex", latex([method_table([r])])),
    "csv": lambda r, folder: write_text(folder / "report.csv", comma_separated(tables(r))),
    "html": _html,
}
#: Files that are written if none are chosen; the page joins them if matplotlib (extra `report`) is installed.
DEFAULT = ("json", "items", "md", "tex", "csv")
#: Name of a file → the package it needs, the extra that brings it, and the file.
_NEEDS = {"html": ("matplotlib", "report", "report.html"), "parquet": ("pyarrow", "data", "items.parquet")}


def chosen_files(export: str | Sequence[str] | None) -> tuple[str, ...]:
    """The names of the files to write, checked before any work.

    Args:
        export: Names of `FILES`, as a sequence or comma-separated; None takes `DEFAULT`, and the page if
            matplotlib is installed.

    Raises:
        SettingError: A name is not one of `FILES`.
        MissingExtraError: A file needs a package that is not installed.

    >>> chosen_files("md, csv")
    ('md', 'csv')
    """
    if export is None:
        return (*DEFAULT, *(["html"] if importlib.util.find_spec("matplotlib") else []))
    asked = export.split(",") if isinstance(export, str) else export
    names = tuple(dict.fromkeys(name.strip().lower() for name in asked if name.strip()))
    for name in names:
        if name not in FILES:
            raise SettingError(f"there is no report file {name!r}; choose from {', '.join(FILES)}")
        if name in _NEEDS and not importlib.util.find_spec(_NEEDS[name][0]):
            raise MissingExtraError(_NEEDS[name][0], _NEEDS[name][1], f"writing {_NEEDS[name][2]}")
    return names


def _comparison_csv(reports: Sequence[Report], found: Sequence[Comparison], folder: Path) -> Path:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(comparison_rows(reports, found))
    return write_text(folder / "comparison.csv", out.getvalue())


def _comparison_json(reports: Sequence[Report], found: Sequence[Comparison], folder: Path) -> Path:
    # of two files the one comparison, as it always was; of more a list of them
    value = found[0].data() if len(found) == 1 else [comparison.data() for comparison in found]
    return write_text(folder / "comparison.json", json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def _comparison_md(reports: Sequence[Report], found: Sequence[Comparison], folder: Path) -> Path:
    return write_text(folder / "comparison.md", markdown(comparison_tables(reports, found)))


#: Name of a file → how the comparison of several files of answers is written into a folder.
COMPARISON_FILES: dict[str, Callable[[Sequence[Report], Sequence[Comparison], Path], Path]] = {
    "json": _comparison_json,
    "md": _comparison_md,
    "tex": lambda r, _, folder: write_text(folder / "comparison.tex", latex([method_table(r)])),
    "csv": _comparison_csv,
    "html": lambda r, found, folder: write_comparison_page(r, comparison_tables(r, found), folder / "comparison.html"),
}
#: Names of the folders of the first files; the others are numbered.
_ORDER = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def write_reports(
    reports: Sequence[Report], comparisons: Sequence[Comparison], folder: Path, names: Sequence[str]
) -> list[Path]:
    """Write one report into a folder, or several into folders of their own inside it with their comparison beside.

    Args:
        reports: The reports.
        comparisons: The comparison of the first report with each other one.
        folder: The folder; it is made if it does not exist.
        names: Names of `FILES`, as `chosen_files` checked them.

    Raises:
        OutputError: The folder cannot be written.
        MissingExtraError: A file needs a package that is not installed.
    """
    if len(reports) == 1:
        return [FILES[name](reports[0], folder) for name in names]
    files = []
    for k, report in enumerate(reports):
        part = folder / (_ORDER[k] if k < len(_ORDER) else f"file-{k + 1}")
        files += [FILES[name](report, part) for name in names]
    return files + [COMPARISON_FILES[name](reports, comparisons, folder) for name in names if name in COMPARISON_FILES]

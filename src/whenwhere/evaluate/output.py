"""The files of a report; each is written whole or not at all."""

import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from whenwhere.errors import MissingExtraError, SettingError
from whenwhere.evaluate.compare import Comparison
from whenwhere.evaluate.evaluation import Report
from whenwhere.evaluate.page import write_report_page
from whenwhere.evaluate.report import comparison_tables, tables
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
    "tex": lambda r, folder: write_text(folder / "report.tex", latex(tables(r))),
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


def write_reports(
    reports: Sequence[Report], comparison: Comparison | None, folder: Path, names: Sequence[str]
) -> list[Path]:
    """Write the files of one report into a folder, or of two reports into a folder each with the comparison beside.

    Args:
        reports: One or two reports.
        comparison: The comparison of two reports.
        folder: The folder; it is made if it does not exist.
        names: Names of `FILES`, as `chosen_files` checked them.

    Raises:
        OutputError: The folder cannot be written.
        MissingExtraError: A file needs a package that is not installed.
    """
    if comparison is None:
        return [FILES[name](report, folder) for report in reports for name in names]
    folders = (folder / "first", folder / "second")
    files = [FILES[name](report, part) for report, part in zip(reports, folders, strict=True) for name in names]
    text = json.dumps(comparison.data(), ensure_ascii=False, indent=1) + "\n"
    return [
        *files,
        write_text(folder / "comparison.json", text),
        write_text(folder / "comparison.md", markdown(comparison_tables(comparison))),
    ]

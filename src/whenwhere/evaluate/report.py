"""A report as tables, and the tables as text: for a terminal, Markdown, LaTeX, CSV.

A `Table` holds values, not words, so that a CSV keeps every digit that a terminal rounds. All numbers are fractions
in 0-1 unless a name says otherwise (seconds, ranks, counts); what the original prints stands in a column of its own.
The files beside are written whole or not at all.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.errors import MissingExtraError, SettingError
from whenwhere.evaluate.compare import Comparison
from whenwhere.evaluate.diagnostics import COUNTS
from whenwhere.evaluate.evaluation import Report
from whenwhere.evaluate.scores import fraction
from whenwhere.stats import Interval
from whenwhere.store import atomic_path, write_text

if TYPE_CHECKING:
    from rich.table import Table as RichTable

#: A cell: text, a number, an interval, or nothing.
Cell = str | int | float | Interval | None
#: Letters of a row's name that are never folded on a terminal.
NAME = 40
#: Letters between two columns on a terminal.
GAP = 3
#: Column of sentences in LaTeX, which must break their lines.
PARAGRAPH = r"p{0.6\linewidth}"
#: Columns of a result.
RESULT = ["measure", "value", "95 % interval", "as the original prints it"]
#: Columns of groups on a terminal, where a protocol's groups have other measures than its headline.
WIDE = 8
#: Groups that a terminal shows; of more (classes of a detection set) the files tell.
MANY = 24
#: Query types that a terminal shows failure modes of.
TYPES = 3
#: Faults listed of each kind; the JSON file has all of them.
FAULTS = 5


@dataclass(slots=True)
class Table:
    """Rows under a title.

    Attributes:
        title: what it shows.
        columns: names.
        rows: one cell for each column.
        note: what must be read with it; may have several lines.
        kinds: of the rows, for a page that marks them.
    """

    title: str
    columns: list[str]
    rows: list[list[Cell]]
    note: str = ""
    kinds: list[str] = field(default_factory=list)

    def without(self, *columns: str) -> "Table":
        """The table with fewer columns."""
        keep = [k for k, name in enumerate(self.columns) if name not in columns]
        rows = [[row[k] for k in keep] for row in self.rows]
        return replace(self, columns=[self.columns[k] for k in keep], rows=rows)

    def within(self, width: int) -> "list[Table]":
        """The table in parts that fit a terminal, so that no number and no name is broken.

        Columns that do not fit stand below, beside the rows' names again. A table of sentences stays whole and folds.

        >>> wide = Table("t", ["name", "a", "b"], [["x", 0.25, 0.5]], "note")
        >>> [(t.title, t.columns, t.note) for t in wide.within(20)]
        [('t', ['name', 'a'], ''), ('', ['name', 'b'], 'note')]
        >>> len(wide.within(40))
        1
        """
        widths = [max([len(c), *(len(show(row[k])) for row in self.rows)]) for k, c in enumerate(self.columns)]
        if not self.rows or max(widths) > NAME or sum(widths) + GAP * len(widths) <= width:
            return [self]
        parts: list[list[int]] = [[]]
        room = width - widths[0] - GAP
        for k in range(1, len(widths)):
            if parts[-1] and sum(widths[j] + GAP for j in [*parts[-1], k]) > room:
                parts.append([])
            parts[-1].append(k)
        return [
            replace(
                self,
                title="" if n else self.title,
                columns=[self.columns[k] for k in (0, *part)],
                rows=[[row[k] for k in (0, *part)] for row in self.rows],
                note=self.note if n == len(parts) - 1 else "",
            )
            for n, part in enumerate(parts)
        ]


def show(cell: Cell) -> str:
    """A cell for a reader: numbers to four decimals, counts whole, nothing for nothing.

    >>> show(0.531862), show(1550), show(Interval(0.5, 0.41234, 0.6)), show(None), show(float("nan")), show("x")
    ('0.5319', '1550', '0.4123 – 0.6000', '', '–', 'x')
    """
    if cell is None:
        return ""
    if isinstance(cell, str | int):
        return str(cell)
    if isinstance(cell, Interval):
        if math.isnan(cell.low):
            return "–"
        return f"{cell.low:.4f} – {cell.high:.4f}"
    if not math.isfinite(cell):
        return "–" if math.isnan(cell) else str(cell)
    return f"{cell:.4f}"


def tables(report: Report, brief: bool = False) -> list[Table]:
    """All tables of a report, the most asked for first.

    Args:
        report: the outcome.
        brief: headline measures only, for a terminal.
    """
    return [
        t
        for t in (
            _result(report, brief),
            _beside(report),
            _groups(report, brief),
            _decomposition(report),
            _diagnostics(report, brief),
            _faults(report),
            None if brief else _further(report),
            _protocol(report),
        )
        if t is not None and t.rows
    ]


def _result(report: Report, brief: bool) -> Table:
    further = [name for name in report.scores.summary if name not in report.headline]
    rows = _values(report, report.headline)
    counted = f"{report.counted} of {report.videos} videos"
    sure = f"95 % intervals: bootstrap over videos, {report.resamples} resamples, seed {report.seed}"
    if report.without:
        names = ", ".join(report.without)
        sure += f"; of {names}: jackknife, {report.groups} groups of videos left out in turn"
    return _lean(
        f"{report.benchmark.title} under {report.protocol.name}",
        rows,
        ". ".join([counted, sure if report.intervals else "No measure is a mean over items, so none has an interval"])
        + "."
        + (f" {len(further)} further measures: {'--out or --json' if brief else 'below'}." if further else ""),
    )


def _further(report: Report) -> Table | None:
    """What is seldom asked for: of some protocols a hundred numbers, which must not stand before the constants."""
    further = [name for name in report.scores.summary if name not in report.headline]
    return _lean("Further measures", _values(report, further)) if further else None


def _lean(title: str, rows: list[list[Cell]], note: str = "") -> Table:
    """A table of results without columns that hold nothing."""
    empty = [name for k, name in enumerate(RESULT) if k > 1 and all(row[k] is None for row in rows)]
    return Table(title, RESULT, rows, note).without(*empty)


def _values(report: Report, names: Sequence[str]) -> list[list[Cell]]:
    """Rows of measures; the last cell stays empty where the original prints fractions as they are."""
    asis, given = report.protocol.printed is fraction, report.scores.summary
    return [
        [n, given[n], report.intervals.get(n), None if asis else f"{report.protocol.printed(n, given[n]):.10g}"]
        for n in names
    ]


def _beside(report: Report) -> Table:
    names = report.headline
    rows: list[list[Cell]] = [[row.name, *(row.summary.get(name) for name in names), row.items] for row in report.rows]
    return Table(
        "What stands beside it",
        ["answers", *names, "items"],
        rows,
        "The same protocol on other answers.\n" + "\n".join(f"{row.name}: {row.how}" for row in report.rows[1:]),
        kinds=[row.kind for row in report.rows],
    )


def _groups(report: Report, brief: bool) -> Table | None:
    if not report.scores.groups or (brief and len(report.scores.groups) > MANY):
        return None
    first = next(iter(report.scores.groups.values()))
    names = [n for n in ("n", *report.headline) if n in first] or list(first)
    if names == ["n"]:
        # measures of a group that are called like those of the whole
        asked = {name.rsplit("-", 1)[-1] for name in report.headline}
        alike = [n for n in first if n == "n" or n.rsplit("-", 1)[-1] in asked]
        names = (alike if len(alike) > 1 else list(first)[:WIDE]) if brief else list(first)
    rows: list[list[Cell]] = [
        [group, *(_counted(n, s.get(n)) for n in names)] for group, s in report.scores.groups.items()
    ]
    return Table("By group", ["group", *names], rows)


def _decomposition(report: Report) -> Table | None:
    if report.decomposition is None:
        return None
    groups = {"all": report.decomposition.summary, **report.decomposition.groups}
    names = list(report.decomposition.summary)
    return Table(
        "In time or in space",
        ["", *groups],
        [[name, *(values.get(name) for values in groups.values())] for name in names],
        "By this project's definitions (v = t · s), whatever the protocol. oracle-time: v with the true time; "
        "oracle-space: v with true boxes;\nwrong-object: t ≥ 0.5 and s < 0.1.",
    )


def _diagnostics(report: Report, brief: bool) -> Table | None:
    if not report.diagnostics:
        return None
    types = {} if brief and len(report.types) > TYPES else report.types
    rows: list[list[Cell]] = [
        [name, *(_counted(name, column.get(name)) for column in (report.diagnostics, *types.values()))]
        for name in report.diagnostics
    ]
    more = "" if types or not report.types else f" By {len(report.types)} types: --out or --json."
    note = f"Of first choices; seconds are signed, negative is too early.{more}"
    return Table("Failure modes", ["", "all", *types], rows, note)


def _counted(name: str, value: float | None) -> Cell:
    """Counts as whole numbers."""
    return int(value) if value is not None and name in ("n", *COUNTS) else value


def _faults(report: Report) -> Table | None:
    rows: list[list[Cell]] = []
    kinds = list(dict.fromkeys(f.kind for f in report.faults))
    for kind in kinds:
        of_kind = [f for f in report.faults if f.kind == kind]
        rows += [[kind, f.message] for f in of_kind[:FAULTS]]
        if len(of_kind) > FAULTS:
            rows.append([kind, f"and {len(of_kind) - FAULTS} more like these"])
    rows += [["note", note] for note in report.notes]
    return Table("What must be said", ["", ""], rows)


def _protocol(report: Report) -> Table:
    p = report.protocol
    said = {"standing": p.standing, "source": p.source, **p.counts, **report.files}
    rows: list[list[Cell]] = [[name, value] for name, value in said.items()]
    return Table(f"How {p.name} counts", ["switch", "setting"], rows)


def comparison_tables(found: Comparison, brief: bool = False) -> list[Table]:
    """The table of two files of answers, headline measures first.

    Args:
        found: the outcome.
        brief: headline measures only, for a terminal.
    """
    rows: list[list[Cell]] = []
    first = [name for name in found.headline if name in found.values]
    further = [name for name in found.values if name not in first]
    for name in first if brief else [*first, *further]:
        a, b = found.values[name]
        gap = found.differences.get(name)
        sure = "" if gap is None else "yes" if gap.low > 0 or gap.high < 0 else "no"
        rows.append([name, a, b, a - b, gap, sure])
    return [
        Table(
            "First minus second",
            ["measure", "first", "second", "difference", "95 % interval", "excludes 0"],
            rows,
            f"first: {found.first}; second: {found.second}; {found.items} items of {found.videos} videos, paired "
            f"bootstrap over videos, {found.resamples} resamples, seed {found.seed}."
            + (f" {len(further)} further measures: --out or --json." if brief and further else ""),
        )
    ]


def markdown(found: Sequence[Table]) -> str:
    """Tables as Markdown."""
    parts = []
    for t in found:
        lines = [f"## {t.title}", ""] if t.title else []
        lines += [_bar(t.columns), _bar(["---"] * len(t.columns)), *(_bar([show(c) for c in row]) for row in t.rows)]
        lines += ["", *(f"{line}\\" for line in t.note.split("\n")[:-1]), t.note.split("\n")[-1]] if t.note else []
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _bar(cells: Sequence[str]) -> str:
    return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"


_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "≥": r"$\geq$", "≤": r"$\leq$", "×": r"$\times$",
    "<": r"$<$", ">": r"$>$", "−": r"$-$", "|": r"$|$", "∩": r"$\cap$", "∪": r"$\cup$", "·": r"$\cdot$", "½": r"$1/2$",
}  # fmt: skip


def tex(text: str) -> str:
    r"""Text as LaTeX shows it.

    >>> tex("R1@0.5 of a_b, 95 %")
    'R1@0.5 of a\\_b, 95 \\%'
    """
    return "".join(_TEX.get(c, c) for c in text)


def _sentences(note: str) -> str:
    r"""The lines of a note in one, each ended.

    >>> _sentences("One; two.\nb: c")
    'One; two. b: c.'
    """
    return " ".join(line if line.endswith((".", ";", ":")) else f"{line}." for line in note.splitlines())


def latex(found: Sequence[Table]) -> str:
    """Tables as LaTeX, with booktabs; each a `table` of its own."""
    parts = []
    for t in found:
        numeric = [any(isinstance(r[k], int | float | Interval) for r in t.rows) for k in range(len(t.columns))]
        wide = [max(len(show(r[k])) for r in t.rows) > NAME for k in range(len(t.columns))]
        align = "".join("r" if n else PARAGRAPH if w else "l" for n, w in zip(numeric, wide, strict=True))
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{tex(t.title)}{'. ' + tex(_sentences(t.note)) if t.note else ''}}}",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            " & ".join(map(tex, t.columns)) + r" \\",
            r"\midrule",
            *(" & ".join(tex(show(c)) for c in row) + r" \\" for row in t.rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        parts.append("\n".join(lines))
    return "% needs \\usepackage{booktabs}\n" + "\n\n".join(parts) + "\n"


def comma_separated(found: Sequence[Table]) -> str:
    """All tables in one long table (table, row, column, value) with every digit; an interval takes two rows."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["table", "row", "column", "value"])
    for t in found:
        for row in t.rows:
            name = show(row[0])
            for column, cell in zip(t.columns[1:], row[1:], strict=True):
                if isinstance(cell, Interval):
                    writer.writerow([t.title, name, f"{column}, low", repr(cell.low)])
                    writer.writerow([t.title, name, f"{column}, high", repr(cell.high)])
                elif cell is not None:
                    writer.writerow([t.title, name, column, repr(cell) if isinstance(cell, int | float) else cell])
    return out.getvalue()


def rich_table(t: Table) -> "RichTable":
    """A table for the terminal, without its note: a narrow table would fold that."""
    from rich import box
    from rich.table import Table as Rich
    from rich.text import Text

    shown = Rich(title=Text(t.title, "bold") if t.title else None, box=box.SIMPLE, title_justify="left")
    for k, column in enumerate(t.columns):
        numeric = any(isinstance(row[k], int | float | Interval) for row in t.rows)
        widest = max(len(show(row[k])) for row in t.rows)
        # numbers and names are never cut; words fold
        fixed = widest if numeric or (k == 0 and widest <= NAME) else None
        shown.add_column(Text(column), justify="right" if numeric else "left", overflow="fold", min_width=fixed)
    for row in t.rows:
        shown.add_row(*(Text(show(cell)) for cell in row))
    return shown


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
    from whenwhere.evaluate.page import write_page

    return write_page(report, tables(report), folder / "report.html")


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
#: What a folder gets where nothing is chosen; the page needs the extra `report` and comes where that is installed.
DEFAULT = ("json", "items", "md", "tex", "csv")


def write(report: Report, folder: Path, names: Sequence[str]) -> list[Path]:
    """Write the files of a report.

    Args:
        report: the outcome.
        folder: made where it is not there.
        names: of `FILES`.

    Raises:
        SettingError: a name that is none of them.
        OutputError: the folder cannot be written.
        MissingExtraError: the page without matplotlib, Parquet without pyarrow.
    """
    for name in names:
        if name not in FILES:
            raise SettingError(f"there is no report file {name!r}; choose from {', '.join(FILES)}")
    return [FILES[name](report, folder) for name in names]

"""A table as values, and as text: for a terminal, Markdown, LaTeX, CSV.

A `Table` holds values, not words, so that a CSV keeps every digit that a terminal rounds. Shares are shown as
percentages with a fixed number of decimals, as papers print them; a CSV has them as fractions.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from whenwhere.stats import Interval

if TYPE_CHECKING:
    from rich.table import Table as RichTable


@dataclass(frozen=True, slots=True)
class Share:
    """A number that is shown as a percentage.

    Attributes:
        value: The fraction, or an interval of fractions.
        decimals: Digits after the point of the percentage.
    """

    value: float | Interval
    decimals: int = 2


#: A cell: text, a number, a percentage, an interval, or nothing.
Cell = str | int | float | Share | Interval | None
#: Longest name of a row, in letters, that is never folded on a terminal.
LONGEST_NAME = 40
#: Letters between two columns on a terminal.
GAP = 3
#: LaTeX column for sentences, which must break their lines.
PARAGRAPH = r"p{0.6\linewidth}"


@dataclass(slots=True)
class Table:
    """Rows under a title.

    Attributes:
        title: What the table shows.
        columns: Names of the columns.
        rows: The rows, each with one cell for each column.
        note: What must be read with the table; it may have several lines.
        kinds: Kind of each row, for a page that marks them; empty without kinds.
    """

    title: str
    columns: list[str]
    rows: list[list[Cell]]
    note: str = ""
    kinds: list[str] = field(default_factory=list)

    def without(self, *columns: str) -> "Table":
        """The table without these columns."""
        keep = [k for k, name in enumerate(self.columns) if name not in columns]
        rows = [[row[k] for k in keep] for row in self.rows]
        return replace(self, columns=[self.columns[k] for k in keep], rows=rows)

    def within(self, width: int) -> "list[Table]":
        """The table in parts that fit a terminal, so that no number and no name is broken.

        Columns that do not fit form a further table with the rows' names again. A table of sentences stays whole and
        folds.

        >>> wide = Table("t", ["name", "a", "b"], [["x", 0.25, 0.5]], "note")
        >>> [(t.title, t.columns, t.note) for t in wide.within(20)]
        [('t', ['name', 'a'], ''), ('', ['name', 'b'], 'note')]
        >>> len(wide.within(40))
        1
        """
        widths = [max([len(c), *(len(cell_text(row[k])) for row in self.rows)]) for k, c in enumerate(self.columns)]
        if not self.rows or max(widths) > LONGEST_NAME or sum(widths) + GAP * len(widths) <= width:
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


def cell_text(cell: Cell) -> str:
    """The text of a cell: shares in percent, other numbers with four decimals, counts as whole numbers.

    An empty cell is empty, and a number without meaning is a dash.

    >>> [cell_text(cell) for cell in (Share(0.531862), 0.531862, 1550, None, float("nan"), "x")]
    ['53.19', '0.5319', '1550', '', '–', 'x']
    >>> cell_text(Share(Interval(0.5, 0.41234, 0.6), 1)), cell_text(Share(-0.00001))
    ('41.2 – 60.0', '0.00')
    """
    if cell is None:
        return ""
    if isinstance(cell, str | int):
        return str(cell)
    if isinstance(cell, Share):
        ends = (cell.value.low, cell.value.high) if isinstance(cell.value, Interval) else (cell.value,)
        return "–" if math.isnan(ends[0]) else " – ".join(_percentage(end, cell.decimals) for end in ends)
    if isinstance(cell, Interval):
        if math.isnan(cell.low):
            return "–"
        return f"{cell.low:.4f} – {cell.high:.4f}"
    if not math.isfinite(cell):
        return "–" if math.isnan(cell) else str(cell)
    return f"{cell:.4f}"


def _percentage(value: float, decimals: int) -> str:
    text = f"{100 * value:.{decimals}f}"
    # no "-0.00" for a number that rounds to zero
    return text.removeprefix("-") if not text.strip("-0.") else text


def is_number(cell: Cell) -> bool:
    """Whether a column with this cell is aligned as numbers are."""
    return isinstance(cell, int | float | Share | Interval)


def markdown(found: Sequence[Table]) -> str:
    """The tables as Markdown."""
    parts = []
    for t in found:
        lines = [f"## {t.title}", ""] if t.title else []
        lines += [
            _bar(t.columns),
            _bar(["---"] * len(t.columns)),
            *(_bar([cell_text(c) for c in row]) for row in t.rows),
        ]
        lines += ["", *(f"{line}\\" for line in t.note.split("\n")[:-1]), t.note.split("\n")[-1]] if t.note else []
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _bar(cells: Sequence[str]) -> str:
    return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"


_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "≥": r"$\geq$", "≤": r"$\leq$", "×": r"$\times$",
    "<": r"$<$", ">": r"$>$", "−": r"$-$", "|": r"$|$", "∩": r"$\cap$", "∪": r"$\cup$", "·": r"$\cdot$", "½": r"$1/2$",
    "±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\rightarrow$", "²": r"$^2$", "≈": r"$\approx$",
    "∞": r"$\infty$",
}  # fmt: skip

#: Greek letters and their commands; those that look like Latin letters have none.
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma",
    "τ": "tau", "υ": "upsilon", "φ": "varphi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta",
    "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip


def tex(text: str) -> str:
    r"""The text with LaTeX's special characters escaped, and Greek letters as mathematics.

    >>> tex("R1@0.5 of a_b, 95 %"), tex("Δ of λ ± 1")
    ('R1@0.5 of a\\_b, 95 \\%', '$\\Delta$ of $\\lambda$ $\\pm$ 1')
    """
    return "".join(rf"$\{_GREEK[c]}$" if c in _GREEK else _TEX.get(c, c) for c in text)


def _sentences(note: str) -> str:
    r"""The lines of a note as sentences in one line.

    >>> _sentences("One; two.\nb: c")
    'One; two. b: c.'
    """
    return " ".join(line if line.endswith((".", ";", ":")) else f"{line}." for line in note.splitlines())


def latex(found: Sequence[Table]) -> str:
    """The tables as LaTeX with booktabs, each a `table` of its own."""
    parts = []
    for t in found:
        numeric = [any(is_number(r[k]) for r in t.rows) for k in range(len(t.columns))]
        wide = [max(len(cell_text(r[k])) for r in t.rows) > LONGEST_NAME for k in range(len(t.columns))]
        align = "".join("r" if n else PARAGRAPH if w else "l" for n, w in zip(numeric, wide, strict=True))
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{tex(t.title)}{'. ' + tex(_sentences(t.note)) if t.note else ''}}}",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            " & ".join(map(tex, t.columns)) + r" \\",
            r"\midrule",
            *(" & ".join(tex(cell_text(c)) for c in row) + r" \\" for row in t.rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        parts.append("\n".join(lines))
    return "% needs \\usepackage{booktabs}\n" + "\n\n".join(parts) + "\n"


def comma_separated(found: Sequence[Table]) -> str:
    """All tables as one CSV of (table, row, column, value) with every digit; an interval takes two rows."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["table", "row", "column", "value"])
    for t in found:
        for row in t.rows:
            name = cell_text(row[0])
            for column, cell in zip(t.columns[1:], row[1:], strict=True):
                if isinstance(cell, Share):
                    cell = cell.value
                if isinstance(cell, Interval):
                    writer.writerow([t.title, name, f"{column}, low", repr(cell.low)])
                    writer.writerow([t.title, name, f"{column}, high", repr(cell.high)])
                elif cell is not None:
                    writer.writerow([t.title, name, column, repr(cell) if isinstance(cell, int | float) else cell])
    return out.getvalue()


def rich_table(t: Table) -> "RichTable":
    """The table for a terminal, without its note, which a narrow table would fold."""
    from rich import box
    from rich.table import Table as Rich
    from rich.text import Text

    shown = Rich(title=Text(t.title, "bold") if t.title else None, box=box.SIMPLE, title_justify="left")
    for k, column in enumerate(t.columns):
        numeric = any(is_number(row[k]) for row in t.rows)
        widest = max(len(cell_text(row[k])) for row in t.rows)
        # numbers and names are never cut, sentences fold
        fixed = widest if numeric or (k == 0 and widest <= LONGEST_NAME) else None
        shown.add_column(Text(column), justify="right" if numeric else "left", overflow="fold", min_width=fixed)
    for row in t.rows:
        shown.add_row(*(Text(cell_text(cell)) for cell in row))
    return shown

r"""A report as LaTeX: tables with booktabs, groups of rows and footnotes.

It needs the package booktabs alone. Text is escaped, so that a label of a plan cannot break the document. Marks of
footnotes are set by `\textsuperscript` and the notes stand below the table, because `\footnote` does not work there.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from whenwhere.ablate.effects import CLAIMED
from whenwhere.ablate.evidence import COSTS
from whenwhere.ablate.report import AblationReport
from whenwhere.ablate.study import StudyMetric
from whenwhere.ablate.tables import cost_keys, footnotes, seeds_text
from whenwhere.ablate.wording import cost, difference, heading, spread
from whenwhere.evaluate.table import LONGEST_NAME, tex

#: Most metrics of one table besides the primary ones.
WIDE = 6
#: Last character of the Latin letters that pdfLaTeX can print, and the punctuation beyond them that it can.
LAST_LATIN, PUNCTUATION = 0x17F, "–—‘’“”„…•†‡€™"
#: Longest line of a column's heading, in characters.
HEADING = 18
#: Most columns of a table in the ordinary size of letters.
NARROW = 5


@dataclass(frozen=True)
class LatexRow:
    """A row of a LaTeX table.

    Attributes:
        label: Text of the first column.
        cells: Text of each further column.
        marks: Marks of the footnotes that belong to the row.
        bold: Indices of the cells that are set in bold.
        group: Name of its group; a rule parts rows of different groups.
    """

    label: str
    cells: Sequence[str]
    marks: Sequence[str] = ()
    bold: Sequence[int] = ()
    group: str = ""


def latex_table(
    columns: Sequence[str], rows: Sequence[LatexRow], caption: str, notes: Sequence[tuple[str, str]] = ()
) -> str:
    r"""A table in LaTeX, as a float of its own that ends with a newline.

    Args:
        columns: Headings of all columns.
        rows: The rows.
        caption: The caption.
        notes: Mark and text of each footnote; an empty mark gives a note without one.

    >>> row = LatexRow("no_blend", ["41.2 ± 1.1"], marks=["a"], bold=[0])
    >>> print(latex_table(["", "R@1 (%)"], [row], "Ablation.", [("a", "entails x = 0")]))
    \begin{table}
    \centering
    \small
    \caption{Ablation.}
    \begin{tabular}{lr}
    \toprule
     & R@1 (\%) \\
    \midrule
    no\_blend\textsuperscript{a} & \textbf{41.2 $\pm$ 1.1} \\
    \bottomrule
    \end{tabular}
    <BLANKLINE>
    \vspace{2pt}
    \parbox{0.95\linewidth}{\footnotesize \raggedright
    \textsuperscript{a} entails x = 0\par
    }
    \end{table}
    <BLANKLINE>
    """
    # A column of labels that are sentences must break its lines, and many columns need a smaller size.
    narrow = len(columns) > NARROW
    width = 0.24 if narrow else 0.34
    long = any(len(row.label) > (LONGEST_NAME if not narrow else LONGEST_NAME // 2) for row in rows)
    first = rf"p{{{width}\linewidth}}" if long else "l"
    lines = [
        r"\begin{table}",
        r"\centering",
        *([r"\footnotesize", r"\setlength{\tabcolsep}{3pt}"] if narrow else [r"\small"]),
        rf"\caption{{{_text(caption)}}}",
        rf"\begin{{tabular}}{{{first}{'r' * (len(columns) - 1)}}}",
        r"\toprule",
        " & ".join(map(_heading, columns)) + r" \\",
    ]
    group = None
    for row in rows:
        if row.group != group:
            lines.append(r"\midrule")
            group = row.group
        label = _text(row.label) + (rf"\textsuperscript{{{', '.join(row.marks)}}}" if row.marks else "")
        cells = [rf"\textbf{{{_text(cell)}}}" if k in row.bold else _text(cell) for k, cell in enumerate(row.cells)]
        # A row that begins with "[" would be read as an argument of the \\ before it.
        lines.append(" & ".join([f"{{{label}}}" if label.startswith("[") else label, *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if notes:
        lines += ["", r"\vspace{2pt}", r"\parbox{0.95\linewidth}{\footnotesize \raggedright"]
        lines += [(rf"\textsuperscript{{{mark}}} " if mark else "") + _text(text) + r"\par" for mark, text in notes]
        lines.append("}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _heading(text: str) -> str:
    """The heading of a column, broken into lines where it is long: a plan may name a metric by a whole phrase."""
    # The arrow stays with what it belongs to.
    parts = text.replace("/", "/ ").replace(" ↑", "\u00a0↑").replace(" ↓", "\u00a0↓")
    lines = textwrap.wrap(parts, HEADING, break_long_words=False, break_on_hyphens=False)
    if len(lines) < 2:
        return _text(text)
    stacked = r" \\ ".join(_text(line.replace("/ ", "/")) for line in lines)
    return rf"\shortstack[r]{{{stacked}}}"


def _text(text: str) -> str:
    """The text escaped and on one line: an empty line would end a cell of the table."""
    return tex(" ".join(text.split()))


def latex_text(found: AblationReport) -> str:
    """The report as LaTeX for a paper: the primary metrics with one row for each arm, and tables of the others.

    Args:
        found: The report.
    """
    primary = [metric for metric in found.metrics if metric.primary]
    others = [metric for metric in found.metrics if not metric.primary]
    parts = [_latex(found, primary or others[:WIDE], "Ablation", bool(primary))]
    rest = others if primary else others[WIDE:]
    for first in range(0, len(rest), WIDE):
        parts.append(_latex(found, rest[first : first + WIDE], "Further metrics of the ablation", False))
    text = "\n".join(parts)
    lacking = sorted({c for c in text if ord(c) > LAST_LATIN and c not in PUNCTUATION})
    remark = f"% pdfLaTeX lacks {' '.join(lacking)}: use LuaLaTeX or XeLaTeX\n" if lacking else ""
    return f"% needs \\usepackage{{booktabs}}\n{remark}{text}"


def _latex(found: AblationReport, metrics: Sequence[StudyMetric], title: str, compared: bool) -> str:
    """One table of the report: arms by metrics, with differences, costs and notes where arms are compared."""
    marks = footnotes(found)
    keys = [key for key in cost_keys(found) if key in ("train_seconds", "peak_memory_gib")] if compared else []
    columns = ["", "seeds"]
    for metric in metrics:
        columns += [heading(metric), "Δ [95 %]"] if compared else [heading(metric)]
    columns += [f"{COSTS[key][0]} ({COSTS[key][1]}) ↓" for key in keys]
    rows = []
    for arm in found.arms:
        cells, bold = [seeds_text(arm)], []
        for metric in metrics:
            cells.append(spread(metric, arm.values[metric.id]))
            if compared:
                effect = None if arm.against is None else found.effect(arm.id, metric.id)
                if effect is not None and effect.family == "primary" and effect.verdict in ("better", "worse"):
                    bold.append(len(cells))
                cells.append("" if effect is None else difference(metric, effect))
        cells += [cost(key, arm.costs.get(key)) for key in keys]
        group = "baseline" if arm.kind == "baseline" else "claimed" if arm.kind in CLAIMED else "checks"
        rows.append(LatexRow(arm.label, cells, [marks[text] for text in arm.remarks], bold, group))
    caption = f"{title} of {found.title}{f', {found.partial}' if found.partial else ''}. "
    caption += "Mean ± standard deviation between seeds."
    notes = [(mark, text) for text, mark in marks.items()]
    if compared:
        caption += (
            " Δ: difference from the baseline or the arm that a note names, with the 95 % interval of the paired t "
            "test over seeds; bold: found at 5 % after Holm's correction, with at least 8 seeds."
        )
        notes += [
            ("", f"{arm.label} is compared with {found.label(arm.against)}.")
            for arm in found.arms
            if arm.against not in (None, found.arms[0].id)
        ]
        notes += [("", f"not run: {one.name}. {one.reason}") for one in found.not_run]
    notes += [("", metric.measured) for metric in metrics if metric.measured]
    if found.mixed:
        caption += f" Mixed: {'; '.join(found.mixed)}."
    return latex_table(columns, rows, caption, notes)

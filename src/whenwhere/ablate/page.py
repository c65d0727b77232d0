"""An ablation report as one HTML page.

It has a summary, a forest plot of each primary metric, lines over ordered values, and all tables. Like the pages of
`whenwhere eval` it needs no scripts and no network, follows the light or dark setting, and can be read on a phone.
"""

import html
from dataclasses import replace
from pathlib import Path

from whenwhere.ablate.plots import forest, lines, ordered_values
from whenwhere.ablate.report import AblationReport
from whenwhere.ablate.tables import summary, tables
from whenwhere.ablate.wording import heading
from whenwhere.evaluate.page import write_page_of_tables
from whenwhere.evaluate.table import Cell

#: Plots: their text, and labels in the colour of text. Tables on a phone: long names of arms break their lines.
_STYLE = """
figure svg { font-size: 11px; fill: var(--soft); } figure svg .label { fill: var(--ink); }
.plots { grid-template-columns: repeat(auto-fill, minmax(min(330px, 100%), 1fr)); align-items: start; }
.tables { columns: 1; }
td:first-child { white-space: normal; min-width: 14ch; max-width: 34ch; }
.t { overflow-wrap: normal; min-width: 0; } th { max-width: 24ch; overflow-wrap: break-word; }
.mixed { color: var(--second); font-weight: 650; }
"""
#: Longest cell that stays on one line: a difference with its interval, or a verdict.
_SHORT = 26
#: Most metrics that are drawn if a study has no primary one.
_MOST = 4


def write_ablation_page(found: AblationReport, path: Path) -> Path:
    """Write the page, and return its path.

    Args:
        found: The report.
        path: The HTML file.

    Raises:
        OutputError: The page cannot be written.
    """
    drawn = [metric for metric in found.metrics if metric.primary] or found.metrics[:_MOST]
    pictures = [(f"Difference in {heading(metric)}, better to the right", forest(found, metric)) for metric in drawn]
    pictures += [
        (f"{heading(metric)} over {series.title}", lines(found, series, metric))
        for series in ordered_values(found)
        for metric in drawn
    ]
    first, *rest = summary(found)
    shown = tables(found)
    return write_page_of_tables(
        path,
        title=f"Ablation of {found.title}",
        heading=f"Ablation of {found.title}",
        facts=first,
        headline="",
        plots="".join(f"<figure><figcaption>{html.escape(t)}</figcaption>{svg}</figure>" for t, svg in pictures),
        tables=[replace(table, rows=[[_unbroken(cell) for cell in row] for row in table.rows]) for table in shown],
        intro="".join(f'<p class="{_kind(line)}">{html.escape(line)}</p>' for line in rest),
        style=_STYLE,
    )


def _unbroken(cell: Cell) -> Cell:
    """A short text with spaces that do not break its line, so that an interval stays whole."""
    return cell.replace(" ", "\u00a0") if isinstance(cell, str) and len(cell) <= _SHORT else cell


def _kind(line: str) -> str:
    """Class of a line of the summary: `mixed` for what puts the whole report in doubt."""
    return "mixed" if line.startswith(("MIXED", "CHECK")) else "said"

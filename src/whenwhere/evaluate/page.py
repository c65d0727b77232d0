"""The report as one HTML page: tables and three plots, without scripts and network access, light and dark.

A content security policy forbids the page to run or to load anything; ids and paths are escaped.
"""

import html
import string
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from whenwhere.evaluate.evaluation import Report
from whenwhere.evaluate.plots import draw
from whenwhere.evaluate.table import Table, cell_text
from whenwhere.stats import Interval
from whenwhere.store import write_text
from whenwhere.version import __version__


def write_report_page(report: Report, tables: Sequence[Table], path: Path) -> Path:
    """Write the page.

    Args:
        report: The report; its first choices are plotted.
        tables: The tables to show.
        path: The file to write.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: The page cannot be written.
    """
    room = files("whenwhere.evaluate")
    style = (room / "page.css").read_text(encoding="utf-8")
    pictures = {} if report.choices is None else draw(report.choices)
    # Scripts are forbidden; the plots carry their looks in style attributes, so styles may be inline.
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    page = string.Template((room / "page.html").read_text(encoding="utf-8")).substitute(
        policy=policy,
        style=style,
        title=html.escape(f"{report.benchmark.title}: {Path(report.files['predictions']).name}"),
        heading=html.escape(report.benchmark.title),
        facts=html.escape(
            f"{report.files['predictions']} · {report.protocol.name} ({report.protocol.standing}) · {report.counted}"
        ),
        headline="".join(_tile(report, name) for name in report.headline[:6]),
        plots="".join(
            f"<figure><figcaption>{html.escape(t)}</figcaption>{svg}</figure>" for t, svg in pictures.items()
        ),
        tables="".join(map(_table, tables)),
        version=html.escape(__version__),
    )
    return write_text(path, page)


def _tile(report: Report, name: str) -> str:
    interval = report.intervals.get(name)
    sure = f"<small>{cell_text(interval)}</small>" if interval else ""
    return f"<div><dt>{html.escape(name)}</dt><dd>{cell_text(report.scores.summary[name])}{sure}</dd></div>"


def _table(table: Table) -> str:
    numeric = [any(isinstance(row[k], int | float | Interval) for row in table.rows) for k in range(len(table.columns))]
    sides = ["n" if number else "t" for number in numeric]
    head = "".join(
        f'<th class="{s}" scope="col">{html.escape(c)}</th>' for c, s in zip(table.columns, sides, strict=True)
    )
    kinds = table.kinds or [""] * len(table.rows)
    body = "".join(
        f'<tr data-kind="{html.escape(kind)}">'
        + "".join(f'<td class="{s}">{html.escape(cell_text(c))}</td>' for c, s in zip(row, sides, strict=True))
        + "</tr>"
        for row, kind in zip(table.rows, kinds, strict=True)
    )
    full = ' class="full"' if len(table.columns) > 7 else ""
    note = "".join(f"<p>{html.escape(line)}</p>" for line in table.note.splitlines())
    return (
        f'<section{full}><h2>{html.escape(table.title)}</h2><div class="wide" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}</section>"
    )

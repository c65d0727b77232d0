"""An evaluation report as one HTML page: its tables, its plots, and the worst items with their videos.

The page needs no scripts and no network, and follows the reader's light or dark mode. Its content security policy
blocks all scripts, and lets it load nothing but videos from the disk or its own site. Ids and paths are escaped,
because they come from files that others may have written.
"""

import html
import string
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from whenwhere.evaluate.evaluation import Report
from whenwhere.evaluate.plots import draw
from whenwhere.evaluate.report import measured
from whenwhere.evaluate.table import Share, Table, cell_text, is_number
from whenwhere.evaluate.worst_items import worst_items
from whenwhere.store import write_text
from whenwhere.version import __version__


def write_report_page(report: Report, tables: Sequence[Table], path: Path) -> Path:
    """Write the page of one report and return its path.

    Args:
        report: The report. If it has first choices (the best-ranked answer to each item), they are plotted.
        tables: The tables to show, in this order.
        path: The HTML file to write.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: The page cannot be written.
    """
    pictures = {} if report.choices is None else draw(report.choices)
    return write_page_of_tables(
        path,
        title=f"{report.benchmark.title}: {Path(report.files['predictions']).name}",
        heading=report.benchmark.title,
        facts=f"{report.files['predictions']} · {report.protocol.name} ({report.protocol.standing}) · {report.counted}",
        headline="".join(_tile(report, name) for name in report.headline[:6]),
        plots="".join(
            f"<figure><figcaption>{html.escape(t)}</figcaption>{svg}</figure>" for t, svg in pictures.items()
        ),
        tables=tables,
        worst=worst_items(report, path),
    )


def write_comparison_page(reports: Sequence[Report], tables: Sequence[Table], path: Path) -> Path:
    """Write the page that compares several predictions files, and return its path.

    Args:
        reports: The report of each file.
        tables: The tables to show, in this order.
        path: The HTML file to write.

    Raises:
        OutputError: The page cannot be written.
    """
    first = reports[0]
    return write_page_of_tables(
        path,
        title=f"{first.benchmark.title}: {len(reports)} files compared",
        heading=f"{first.benchmark.title}: {len(reports)} files compared",
        facts=f"{first.protocol.name} ({first.protocol.standing}) · {first.counted}",
        headline="",
        plots="",
        tables=tables,
    )


def write_page_of_tables(
    path: Path,
    title: str,
    heading: str,
    facts: str,
    headline: str,
    plots: str,
    tables: Sequence[Table],
    worst: str = "",
    intro: str = "",
    style: str = "",
) -> Path:
    """Write a page with plots and tables, which needs no scripts and no network, and return its path.

    Args:
        path: The HTML file to write.
        title: Title of the window, as plain text.
        heading: Heading of the page, as plain text.
        facts: What stands below the heading, as plain text.
        headline: Tiles with numbers, as HTML.
        plots: Figures, as HTML.
        tables: The tables to show, in this order.
        worst: What stands below the tables, as HTML.
        intro: Paragraphs below the facts, as HTML.
        style: Rules of CSS that are added to those of all such pages.

    Raises:
        OutputError: The page cannot be written.
    """
    room = files("whenwhere.evaluate")
    # Scripts are forbidden; the plots carry their looks in style attributes, so styles may be inline.
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src 'self' file:; base-uri 'none'; "
        "form-action 'none'"
    )
    page = string.Template((room / "page.html").read_text(encoding="utf-8")).substitute(
        policy=policy,
        style=(room / "page.css").read_text(encoding="utf-8") + style,
        title=html.escape(title),
        heading=html.escape(heading),
        facts=html.escape(facts),
        intro=intro,
        headline=headline,
        plots=plots,
        tables="".join(map(_table, tables)),
        worst=worst,
        version=html.escape(__version__),
    )
    return write_text(path, page)


def _tile(report: Report, name: str) -> str:
    interval = report.intervals.get(name)
    sure = f"<small>{cell_text(measured(report, name, interval))}</small>" if interval else ""
    cell = measured(report, name, report.scores.summary[name])
    unit = " %" if isinstance(cell, Share) else ""
    return f"<div><dt>{html.escape(name)}</dt><dd>{cell_text(cell)}{unit}{sure}</dd></div>"


def _table(table: Table) -> str:
    numeric = [any(is_number(row[k]) for row in table.rows) for k in range(len(table.columns))]
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

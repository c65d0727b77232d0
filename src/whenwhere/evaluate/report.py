"""A report as tables.

All numbers are fractions in 0-1 unless a name says otherwise (seconds, ranks, counts); what the original prints has a
column of its own.
"""

from collections.abc import Sequence

from whenwhere.evaluate.compare import Comparison
from whenwhere.evaluate.diagnostics import COUNTS
from whenwhere.evaluate.evaluation import Report
from whenwhere.evaluate.protocol import STANDINGS, fraction
from whenwhere.evaluate.table import Cell, Table

#: Columns of groups on a terminal, if a protocol's groups have other measures than its headline.
WIDE = 8
#: Largest number of groups on a terminal; more of them (classes of a detection set) are left to the files.
MOST_GROUPS = 24
#: Largest number of query types whose failure modes a terminal shows.
MOST_TYPES = 3
#: Faults listed of each kind; the JSON file has all of them.
FAULTS = 5


def tables(report: Report, brief: bool = False, faults: bool = True) -> list[Table]:
    """All tables of a report, the most important first.

    Args:
        report: The report.
        brief: Whether to show headline measures only, for a terminal.
        faults: Whether to list the faults of the file and the notes.
    """
    return [
        t
        for t in (
            _result(report, brief),
            _baselines(report),
            _groups(report, brief),
            _decomposition(report),
            _diagnostics(report, brief),
            _faults(report) if faults else None,
            None if brief else _further(report),
            _protocol(report),
        )
        if t is not None and t.rows
    ]


def _result(report: Report, brief: bool) -> Table:
    further = [name for name in report.scores.summary if name not in report.headline]
    rows = _values(report, report.headline)
    sure = f"95 % intervals: bootstrap over videos, {report.resamples} resamples, seed {report.seed}"
    if report.without:
        names = ", ".join(report.without)
        sure += f"; of {names}: jackknife, {report.groups} groups of videos left out in turn"
    if not report.intervals:
        sure = "No measure has an interval, because none is a mean over items"
    return _lean(
        report,
        f"{report.benchmark.title}, scored by the protocol {report.protocol.name}",
        rows,
        f"{report.counted}. {sure}."
        + (f" {len(further)} further measures: {'--out or --json' if brief else 'below'}." if further else ""),
    )


def _further(report: Report) -> Table | None:
    """The other measures; some protocols have a hundred, which must not hide the baselines."""
    further = [name for name in report.scores.summary if name not in report.headline]
    return _lean(report, "Further measures", _values(report, further)) if further else None


def _lean(report: Report, title: str, rows: list[list[Cell]], note: str = "") -> Table:
    """A table of results without the columns in which every cell is empty."""
    percent = all(report.protocol.printed(str(row[0]), 1.0) == 100 for row in rows)
    columns = ["measure", "value", "95 % interval", "official format" + " (%)" * percent]
    empty = [name for k, name in enumerate(columns) if k > 1 and all(row[k] is None for row in rows)]
    return Table(title, columns, rows, note).without(*empty)


def _values(report: Report, names: Sequence[str]) -> list[list[Cell]]:
    """Rows of measures; the last cell is empty if the original prints fractions as they are."""
    asis, given = report.protocol.printed is fraction, report.scores.summary
    return [
        [n, given[n], report.intervals.get(n), None if asis else f"{report.protocol.printed(n, given[n]):.10g}"]
        for n in names
    ]


def _baselines(report: Report) -> Table:
    names = report.headline
    rows: list[list[Cell]] = [[row.name, *(row.summary.get(name) for name in names), row.items] for row in report.rows]
    return Table(
        "Baselines and controls",
        ["answers", *names, "items"],
        rows,
        "Other answers, scored by the same protocol.\n"
        + "\n".join(f"{row.name}: {row.how}" for row in report.rows[1:]),
        kinds=[row.kind for row in report.rows],
    )


def _groups(report: Report, brief: bool) -> Table | None:
    if not report.scores.groups or (brief and len(report.scores.groups) > MOST_GROUPS):
        return None
    first = next(iter(report.scores.groups.values()))
    names = [n for n in ("n", *report.headline) if n in first] or list(first)
    if names == ["n"]:
        # measures of a group whose names end like those of the headline
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
        "Loss in time and in space",
        ["", *groups],
        [[name, *(values.get(name) for values in groups.values())] for name in names],
        "By this project's definitions (v = t · s), whatever the protocol is. oracle-time: v with the true time; "
        "oracle-space: v with true boxes;\nwrong-object: t ≥ 0.5 and s < 0.1.",
    )


def _diagnostics(report: Report, brief: bool) -> Table | None:
    if not report.diagnostics:
        return None
    types = {} if brief and len(report.types) > MOST_TYPES else report.types
    rows: list[list[Cell]] = [
        [name, *(_counted(name, column.get(name)) for column in (report.diagnostics, *types.values()))]
        for name in report.diagnostics
    ]
    more = "" if types or not report.types else f" By {len(report.types)} types: --out or --json."
    note = f"Counted over first choices; seconds are signed, negative means too early.{more}"
    return Table("Failure modes", ["", "all", *types], rows, note)


def _counted(name: str, value: float | None) -> Cell:
    """The value, as a whole number if it is a count."""
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
    return Table("Faults and notes", ["", ""], rows)


def _protocol(report: Report) -> Table:
    p = report.protocol
    said = {"standing": f"{p.standing}: {STANDINGS[p.standing]}", "source": p.source, **p.counts, **report.files}
    rows: list[list[Cell]] = [[name, value] for name, value in said.items()]
    return Table(f"How {p.name} counts", ["switch", "setting"], rows)


def comparison_tables(found: Comparison, brief: bool = False) -> list[Table]:
    """The table of a comparison, headline measures first.

    Args:
        found: The comparison.
        brief: Whether to show headline measures only, for a terminal.
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
            "Difference (A − B)",
            ["measure", "A", "B", "difference", "95 % interval", "excludes 0"],
            rows,
            f"A: {found.first}; B: {found.second}; {found.items} items of {found.videos} videos, paired "
            f"bootstrap over videos, {found.resamples} resamples, seed {found.seed}."
            + (f" {len(further)} further measures: --out or --json." if brief and further else ""),
        )
    ]

"""The tables of an evaluation report, for a terminal, a file or a page.

Fractions are shown in percent, with as many decimals as papers that use the protocol print; seconds, ranks and counts
are shown as they are. `method_table` is laid out like the main table of a paper: one row for each file of answers, and
one for each baseline that gives every item the same answer.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from whenwhere.evaluate.compare import Comparison
from whenwhere.evaluate.diagnostics import COUNTS
from whenwhere.evaluate.evaluation import Report
from whenwhere.evaluate.protocol import STANDINGS
from whenwhere.evaluate.table import Cell, Share, Table
from whenwhere.stats import Interval

#: Number of columns that a terminal shows by group, if a protocol's groups have other measures than its headline.
WIDE = 8
#: Largest number of groups that a terminal shows; more (such as the classes of a detection set) are only in the files.
MOST_GROUPS = 24
#: Largest number of query types whose failure modes a terminal shows.
MOST_TYPES = 3
#: Number of faults of each kind that are listed; the JSON file has all of them.
FAULTS = 5
#: Suffixes in the names of measures that are ranks, not fractions.
_PLAIN = ("MdR", "MnR")
#: What the notes of tables with shares begin with.
PERCENT = "In percent"


def measured(report: Report, name: str, value: float | Interval | None) -> Cell:
    """The value of a measure as a table cell: a percentage, unless the measure is a rank or a count.

    Args:
        report: The report that the measure is from; its protocol fixes the number of decimals.
        name: Name of the measure.
        value: Its value or confidence interval; None gives an empty cell.
    """
    if value is None or name == "n" or name.endswith(_PLAIN):
        return int(value) if name == "n" and isinstance(value, float) else value
    return Share(value, report.protocol.decimals)


def method_table(reports: Sequence[Report], constants: bool = True) -> Table:
    """The main table of a paper: one row for each report, one column for each headline measure.

    Args:
        reports: Reports made with the same protocol on the same items.
        constants: Whether to add a row for each baseline of the first report that did not see the video: constant
            answers, and answers of a model without frames.
    """
    first = reports[0]
    names = [name for name in first.protocol.headline if any(name in r.scores.summary for r in reports)]
    names = names or first.headline
    rows: list[list[Cell]] = []
    kinds: list[str] = []
    for title, report in zip(method_names(reports), reports, strict=True):
        rows.append([title, *(measured(report, n, report.scores.summary.get(n, math.nan)) for n in names)])
        kinds.append("answers")
    for row in first.rows if constants else ():
        if row.kind in ("constant", "blind"):
            rows.append([row.name, *(measured(first, n, row.summary.get(n, math.nan)) for n in names)])
            kinds.append(row.kind)
    note = f"{PERCENT}; {first.counted}, counted by the protocol {first.protocol.name}."
    return Table(first.benchmark.title, ["method", *names], rows, note, kinds)


def method_names(reports: Sequence[Report]) -> list[str]:
    """The name under which each report appears in a table of methods.

    It is the name of its predictions file without folder and extension, or the whole path as it was given if several
    reports would have the same name.
    """
    files = [Path(report.files["predictions"]) for report in reports]
    stems = [file.stem or str(file) for file in files]
    return [stem if stems.count(stem) == 1 else str(file) for stem, file in zip(stems, files, strict=True)]


def tables(report: Report, brief: bool = False, faults: bool = True) -> list[Table]:
    """The tables of a report, the most important first; empty ones are left out.

    Args:
        report: The report.
        brief: Whether to show only what fits a terminal: headline measures and small groups.
        faults: Whether to list the notes and what was wrong in the predictions file.
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
        f"{PERCENT}; {report.counted}. {sure}."
        + (f" {len(further)} further measures: {'--out or --json' if brief else 'below'}." if further else ""),
    )


def _further(report: Report) -> Table | None:
    """The other measures; some protocols have a hundred, which must not hide the baselines."""
    further = [name for name in report.scores.summary if name not in report.headline]
    return _lean(report, "Further measures", _values(report, further)) if further else None


def _lean(report: Report, title: str, rows: list[list[Cell]], note: str = "") -> Table:
    """A table of results, without the column of intervals if it is empty."""
    table = Table(title, ["measure", "value", "95 % interval"], rows, note)
    return table if any(row[2] is not None for row in rows) else table.without("95 % interval")


def _values(report: Report, names: Sequence[str]) -> list[list[Cell]]:
    """Rows of measures: name, value, interval."""
    given, sure = report.scores.summary, report.intervals
    return [[n, measured(report, n, given[n]), measured(report, n, sure.get(n))] for n in names]


def _baselines(report: Report) -> Table:
    names = report.headline
    rows: list[list[Cell]] = [
        [row.name, *(measured(report, name, row.summary.get(name)) for name in names), row.items] for row in report.rows
    ]
    return Table(
        "Baselines and controls",
        ["answers", *names, "items"],
        rows,
        f"{PERCENT}. Other answers, scored by the same protocol.\n"
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
        [group, *(measured(report, n, s.get(n)) for n in names)] for group, s in report.scores.groups.items()
    ]
    return Table("By group", ["group", *names], rows, f"{PERCENT}; n is the number of items.")


def _decomposition(report: Report) -> Table | None:
    if report.decomposition is None:
        return None
    groups = {"all": report.decomposition.summary, **report.decomposition.groups}
    names = list(report.decomposition.summary)
    return Table(
        "Loss in time and in space",
        ["", *groups],
        [[name, *(measured(report, name, values.get(name)) for values in groups.values())] for name in names],
        f"{PERCENT}. By this project's definitions, whatever the protocol is: means over all items of their t, s and "
        "v = t · s. oracle-time: v with the true time; oracle-space: v with true boxes;\n"
        "wrong-object: t ≥ 0.5 and s < 0.1.",
    )


def _diagnostics(report: Report, brief: bool) -> Table | None:
    if not report.diagnostics:
        return None
    types = {} if brief and len(report.types) > MOST_TYPES else report.types
    rows: list[list[Cell]] = [
        [_unit(name), *(_mode(name, column.get(name)) for column in (report.diagnostics, *types.values()))]
        for name in report.diagnostics
    ]
    more = "" if types or not report.types else f" By {len(report.types)} types: --out or --json."
    note = f"Counted over first choices; seconds are signed, negative means too early.{more}"
    return Table("Failure modes", ["", "all", *types], rows, note)


def _is_share(name: str) -> bool:
    """Whether a failure mode is a share, and not a count, seconds or a slope."""
    return name not in COUNTS and not name.endswith("(s)") and not name.startswith("slope")


def _unit(name: str) -> str:
    """The name of a failure mode with its unit."""
    return f"{name} (%)" if _is_share(name) else name


def _mode(name: str, value: float | None) -> Cell:
    """The value of a failure mode: a whole number if it is a count, a percentage if it is a share."""
    if value is None or math.isnan(value):
        return value
    return int(value) if name in COUNTS else Share(value, 1) if _is_share(name) else value


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


def comparison_tables(reports: Sequence[Report], found: Sequence[Comparison], brief: bool = False) -> list[Table]:
    """The tables of a comparison: one with a row for each file, then the differences between the first and each other.

    Args:
        reports: The report of each file.
        found: The comparison of the first file with each of the others, in the order of `reports`.
        brief: Whether to show only the headline measures, for a terminal.
    """
    return [method_table(reports)] + [
        _differences(reports[0], comparison, brief, chr(ord("B") + k) if k < 25 else f"file {k + 2}")
        for k, comparison in enumerate(found)
    ]


def _differences(first: Report, found: Comparison, brief: bool, letter: str) -> Table:
    rows: list[list[Cell]] = []
    head = [name for name in found.headline if name in found.values]
    further = [name for name in found.values if name not in head]
    for name in head if brief else [*head, *further]:
        a, b = found.values[name]
        gap = found.differences.get(name)
        sure = "" if gap is None else "yes" if gap.low > 0 or gap.high < 0 else "no"
        rows.append([name, *(measured(first, name, value) for value in (a, b, a - b, gap)), sure])
    return Table(
        f"Difference (A − {letter})",
        ["measure", "A", letter, "difference", "95 % interval", "excludes 0"],
        rows,
        f"{PERCENT}. A: {found.first}; {letter}: {found.second}; {found.items} items of {found.videos} videos, paired "
        f"bootstrap over videos, {found.resamples} resamples, seed {found.seed}."
        + (f" {len(further)} further measures: --out or --json." if brief and further else ""),
    )


def comparison_rows(reports: Sequence[Report], found: Sequence[Comparison]) -> list[list[str]]:
    """A comparison as the rows of a CSV file: a header, then one row for each predictions file, at full precision.

    For each headline measure a row has its value and confidence interval. From the second file on it also has the
    value of the first file minus that of this one, with the interval of the difference.

    Args:
        reports: The report of each file.
        found: The comparison of the first file with each of the others, in the order of `reports`.
    """
    table = method_table(reports, constants=False)
    parts = ("", ", low", ", high", ", first minus this", ", first minus this, low", ", first minus this, high")
    out = [["file", "items", *(f"{name}{part}" for name in table.columns[1:] for part in parts)]]
    for k, report in enumerate(reports):
        row = [report.files["predictions"], str(len(report.scores.ids))]
        for name in table.columns[1:]:
            sure = report.intervals.get(name)
            gap = found[k - 1].differences.get(name) if k else None
            values = [report.scores.summary.get(name)]
            values += [None, None] if sure is None else [sure.low, sure.high]
            values += [None, None, None] if gap is None else [gap.mean, gap.low, gap.high]
            row += ["" if value is None or math.isnan(value) else repr(float(value)) for value in values]
        out.append(row)
    return out

"""What can be evaluated, and how each protocol counts: the tables of `--list` and of docs/evaluation.md.

Made from the benchmarks, protocols and formats themselves, so they cannot be out of date.
"""

from whenwhere.datasets import BENCHMARKS
from whenwhere.evaluate.formats import FORMATS
from whenwhere.evaluate.matrices import MATRICES
from whenwhere.evaluate.matrices import PROTOCOLS as MATRIX_PROTOCOLS
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.report import Table
from whenwhere.evaluate.scores import Protocol


def benchmark_table() -> Table:
    """Every benchmark: its kind of answer, default protocol, file, and whether a released file was at hand."""
    return Table(
        "Benchmarks",
        ["benchmark", "title", "answers", "protocol", "--annotations", "reader from", "licence"],
        [
            [b.name, b.title, b.task, b.protocol, b.files, b.standing, b.licence]
            for b in sorted([*BENCHMARKS.values(), *MATRICES.values()], key=lambda b: b.task)
        ],
    )


def protocol_tables() -> list[Table]:
    """Protocols with all their switches, one table for each set of switches."""
    families: dict[tuple[str, ...], list[Protocol]] = {}
    for protocol in (*PROTOCOLS.values(), *MATRIX_PROTOCOLS.values()):
        families.setdefault(tuple(protocol.counts), []).append(protocol)
    return [
        Table(
            f"Protocols for {', '.join(dict.fromkeys(task for p in family for task in p.tasks))}",
            ["protocol", "standing", *switches, "measures", "source"],
            [[p.name, p.standing, *(p.counts[s] for s in switches), ", ".join(p.headline), p.source] for p in family],
        )
        for switches, family in families.items()
    ]


def format_table() -> Table:
    """Formats of files of answers; all are read and written."""
    return Table(
        "Formats of answers",
        ["--format", "what it is", "cannot hold", "source"],
        [[f.name, f.title, f.loses, f.source] for f in FORMATS.values()],
    )

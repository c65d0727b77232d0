"""What can be evaluated, and how each protocol counts: the tables of `--list` and of docs/evaluation.md.

They are made from the tasks, benchmarks, protocols and formats themselves, so they cannot be out of date.
"""

from whenwhere.datasets import BENCHMARKS
from whenwhere.evaluate.formats import FORMATS
from whenwhere.evaluate.protocol import Protocol
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.table import Table
from whenwhere.evaluate.tasks import TASKS


def task_table() -> Table:
    """Every task: what an answer is, and the protocols that score it."""
    return Table(
        "Tasks",
        ["task", "an answer is", "protocols"],
        [[task.name, task.title, ", ".join(p.name for p in task.protocols)] for task in TASKS.values()],
    )


def benchmark_table() -> Table:
    """Every benchmark: its task, default protocol and file, and whether a released file was read."""
    return Table(
        "Benchmarks",
        ["benchmark", "title", "task", "protocol", "--annotations", "reader from", "licence"],
        [
            [b.name, b.title, b.task, b.protocol, b.files, b.standing, b.licence]
            for b in sorted(BENCHMARKS.values(), key=lambda b: b.task)
        ],
    )


def protocol_tables() -> list[Table]:
    """Protocols with all their switches, one table for each set of switches."""
    families: dict[tuple[str, ...], list[Protocol]] = {}
    for protocol in PROTOCOLS.values():
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
    """Formats of prediction files; all are read and written."""
    return Table(
        "Formats of predictions",
        ["--format", "what it is", "cannot hold", "source"],
        [[f.name, f.title, f.loses, f.source] for f in FORMATS.values()],
    )

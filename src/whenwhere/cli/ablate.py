"""`whenwhere ablate`: turns a written ablation plan into runs and a table (`whenwhere.ablate`).

Each command reads and writes one file that a person may edit before the next command reads it. Commands are in
`ablate_plan`, `ablate_run`, `ablate_report` and `ablate_bench`.
"""

import typer

from whenwhere.cli.ablate_bench import bench, judge
from whenwhere.cli.ablate_plan import bind, plan
from whenwhere.cli.ablate_report import report
from whenwhere.cli.ablate_run import check, run
from whenwhere.cli.misspelt import SuggestingGroup

ablate = typer.Typer(
    name="ablate",
    cls=SuggestingGroup,
    help="Ablation studies: from a written plan to runs and a table.",
    epilog="Example: whenwhere ablate bind plan.md --knobs tiny-svilm --out bindings.toml",
    no_args_is_help=True,
)

for command, example in (
    (plan, "whenwhere ablate plan planner.md reviewer.jsonl --out plan.json"),
    (bind, "whenwhere ablate bind plan.json --knobs tiny-svilm --out bindings.toml"),
    (check, "whenwhere ablate check bindings.toml --out study.json"),
    (run, "whenwhere ablate run study.json --out study"),
    (report, "whenwhere ablate report study.json study"),
    (judge, "whenwhere ablate judge plan.json --gold reported.jsonl --judge http://localhost:8000/v1"),
    (
        bench,
        "whenwhere ablate bench --data dev.jsonl --plans plans --judge http://localhost:8000/v1 --out bench",
    ),
):
    ablate.command(command.__name__, epilog=f"Example: {example}")(command)

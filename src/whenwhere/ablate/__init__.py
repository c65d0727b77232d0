"""Ablation studies, from a written plan to runs and tables: `plan`, `bind`, `check`, `run`, `report`, `judge`, `bench`.

Every stage reads and writes one file that a person may edit before the next stage reads it:

    plan.md / .jsonl / .json   what to ablate, in words                          `plan`, `markdown`
    knobs .toml                what can be changed and what is measured          `knobs`
    bindings.toml              which knob each item turns, and to which values   `binding`
    study.json                 arms, seeds, budget, checked before any run       `checking`
    cells/                     one folder for each configuration and seed        `run`
    report                     tables, plots, and the page                       `report`
"""

from whenwhere.ablate.ablation import Ablation
from whenwhere.ablate.binding import Arm, Bindings, bind, read_bindings, write_bindings
from whenwhere.ablate.knobs import Knob, Knobs, MetricDefinition, read_knobs
from whenwhere.ablate.plan import Plan, PlanItem, PlanSource, make_plan, merge_plans, read_plan, write_plan

__all__ = [
    "Ablation",
    "Arm",
    "Bindings",
    "Knob",
    "Knobs",
    "MetricDefinition",
    "Plan",
    "PlanItem",
    "PlanSource",
    "bind",
    "make_plan",
    "merge_plans",
    "read_bindings",
    "read_knobs",
    "read_plan",
    "write_bindings",
    "write_plan",
]

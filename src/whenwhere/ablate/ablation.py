"""One ablation, as a plan states it: what is ablated, how, by what it is replaced, and what is measured.

The five fields are exactly those of AblationBench (arXiv 2507.08038), so that its files are read and written as they
are. Nothing else is added here; rank, origin and the original text are in `plan.PlanItem`.
"""

from typing import Any, Literal

from pydantic import ConfigDict

from whenwhere.ablate.documents import Document

#: What is done to the ablated part.
Action = Literal["REPLACE", "REMOVE", "ADD"]


class Ablation(Document):
    """One ablation in the five fields of AblationBench.

    Attributes:
        name: Title of the ablation.
        ablated_part: Words for the part of the method that is changed.
        action: What is done to that part.
        replacement: What the part is replaced by, one option after the other, or options by the name of a parameter.
            None if the part is removed.
        metrics: Words for what is measured.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    ablated_part: str
    action: Action
    replacement: list[Any] | dict[str, Any] | None = None
    metrics: list[str] = []

    @property
    def options(self) -> list[tuple[str, Any]]:
        """The replacements as (parameter, value); the parameter is "" where the replacement is a list.

        >>> Ablation(name="a", ablated_part="loss", action="REPLACE", replacement={"beta": [0, 1]}).options
        [('beta', 0), ('beta', 1)]
        """
        if isinstance(self.replacement, dict):
            return [
                (key, one)
                for key, value in self.replacement.items()
                for one in (value if isinstance(value, list) else [value])
            ]
        return [("", one) for one in self.replacement or []]

    def faults(self) -> list[str]:
        """Why the ablation cannot be run as it is written, one sentence for each reason; empty if it can."""
        found = []
        if not self.name.strip():
            found.append("the name is empty: give the ablation a title")
        if not self.ablated_part.strip():
            found.append("the ablated part is empty: say what is ablated")
        if self.action == "REMOVE" and self.options:
            found.append("REMOVE takes no replacement: write REPLACE, or leave the replacement out")
        if self.action != "REMOVE" and not self.options:
            found.append(f"{self.action} needs at least one replacement: list what takes the part's place")
        if not [metric for metric in self.metrics if metric.strip()]:
            found.append("there is no metric: name at least one")
        return found

"""The files of an ablation report; each is written whole or not at all, and the same report gives the same bytes."""

import csv
import io
import os
from pathlib import Path

from whenwhere.ablate.effects import Effect
from whenwhere.ablate.latex import latex_text
from whenwhere.ablate.page import write_ablation_page
from whenwhere.ablate.report import AblationReport
from whenwhere.ablate.study import StudyMetric
from whenwhere.ablate.tables import markdown_text
from whenwhere.store import write_text


def write_report(found: AblationReport, folder: str | os.PathLike[str]) -> list[Path]:
    """Write report.json, report.md, report.tex, report.csv and report.html, and return their paths.

    The other files can be written again from report.json, which `read_report` reads.

    Args:
        found: The report.
        folder: The folder; it is made if it does not exist.

    Raises:
        OutputError: A file cannot be written.
    """
    folder = Path(folder)
    return [
        write_text(folder / "report.json", found.model_dump_json(indent=1) + "\n"),
        write_text(folder / "report.md", markdown_text(found)),
        write_text(folder / "report.tex", latex_text(found)),
        write_text(folder / "report.csv", csv_text(found)),
        write_ablation_page(found, folder / "report.html"),
    ]


#: Columns of the CSV, one row for each arm and metric.
CSV_COLUMNS = (
    "arm", "label", "kind", "item", "knob", "against", "metric", "key", "unit", "higher", "primary", "planned", "seeds",
    "mean", "sd", "difference", "low", "high", "p", "p_holm", "sign_flip", "margin", "bound", "p_inferior",
    "described_low", "described_high", "checkpoint_low", "checkpoint_high", "standing", "family", "verdict",
)  # fmt: skip


def csv_text(found: AblationReport) -> str:
    """A report as CSV: one row for each arm and metric or cost, every number with all its digits.

    Args:
        found: The report.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for arm in found.arms:
        start = [arm.id, arm.label, arm.kind, arm.item, arm.knob, arm.against]
        for metric in found.metrics:
            values = arm.values[metric.id]
            row = [metric.id, metric.key, metric.unit, metric.higher, metric.primary]
            row += [values.planned, len(values.by_seed), values.mean, values.sd]
            effect = None if arm.against is None else found.effect(arm.id, metric.id)
            writer.writerow([_digits(value) for value in (*start, *row, *_csv_effect(metric, effect))])
        for key, values in arm.costs.items():
            row = ["", key, "", False, False, values.planned, len(values.by_seed), values.mean, values.sd]
            writer.writerow([_digits(value) for value in (*start, *row, *_csv_effect(None, None))])
    return out.getvalue()


def _csv_effect(metric: StudyMetric | None, effect: Effect | None) -> list[object]:
    if metric is None or effect is None:
        return [None] * (len(CSV_COLUMNS) - CSV_COLUMNS.index("difference"))
    low, high = effect.difference[1:] if effect.difference else (None, None)
    ends = [end for found in (effect.described, effect.checkpoint) for end in (found[1:] if found else (None, None))]
    return [
        effect.mean, low, high, effect.p_value, effect.adjusted, effect.flipped, metric.margin, effect.bound,
        effect.inferior, *ends, effect.standing, effect.family, effect.verdict,
    ]  # fmt: skip


def _digits(value: object) -> object:
    return "" if value is None else repr(value) if isinstance(value, float) else value

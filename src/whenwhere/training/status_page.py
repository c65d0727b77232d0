"""The status of a run as one page without scripts: numbers, warnings, and a picture of each group of curves.

The curves are drawn here and not by matplotlib, which a machine that trains need not have.
"""

import html
import math
from collections.abc import Mapping
from pathlib import Path

from whenwhere.store import write_text
from whenwhere.training.status import TrainingStatus, summary

#: Curves that are drawn together, by the title of their picture. A name that ends in / stands for all that begin so.
PICTURES: dict[str, tuple[str, ...]] = {
    "Loss": ("loss", "nll"),
    "Reward and its terms": ("reward", "reward/", "format"),
    "Groups of equal reward": ("zero_variance", "all_wrong", "all_right", "kept"),
    "Length of completions (tokens)": ("length",),
    "Entropy": ("entropy",),
    "KL divergence": ("kl",),
    "Shares of completions": ("parse_rate", "truncated", "absent", "fault"),
    "Gradient norm": ("grad_norm",),
    "Learning rate": ("lr",),
    "Samples by source": ("clips/",),
}
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 460, 210, 52, 12, 10, 26
#: Most points of a curve; more are averaged.
_POINTS = 300
_COLOURS = 8
#: Larger values are not drawn.
_LARGEST = 1e100
_STYLE = """:root {
  color-scheme: light dark;
  --ground: light-dark(#f5f5f3, #131416); --panel: light-dark(#fff, #1b1d20); --line: light-dark(#dfdfda, #2f3338);
  --ink: light-dark(#1b1c1f, #ececea); --soft: light-dark(#5b5e66, #a3a7ae); --bad: light-dark(#a82020, #ff9a92);
  --c0: light-dark(#1f66b5, #7db8ff); --c1: light-dark(#b5591f, #ffb27d); --c2: light-dark(#2a7d46, #7fd69b);
  --c3: light-dark(#8a3ab0, #d59cf2); --c4: light-dark(#a82060, #ff94bf); --c5: light-dark(#5c6a00, #cfdc6a);
  --c6: light-dark(#007a80, #6fd6da); --c7: light-dark(#6b5b4a, #cdbba5);
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 24px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0; font-size: 24px; line-height: 1.25; overflow-wrap: anywhere; }
p, ul { margin: 4px 0 0; color: var(--soft); font-size: 14px; }
.bar { height: 8px; margin: 14px 0; border-radius: 4px; background: var(--line); overflow: hidden; }
.bar div { height: 100%; background: var(--c0); }
.warnings { margin: 14px 0; padding: 10px 14px 10px 30px; color: var(--bad); background: var(--panel);
  border: 1px solid var(--line); border-radius: 12px; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(340px, 100%), 1fr)); gap: 10px;
  margin-top: 14px; }
figure { margin: 0; padding: 14px 16px 10px; background: var(--panel); border: 1px solid var(--line);
  border-radius: 12px; }
figcaption { font-size: 14px; font-weight: 600; margin-bottom: 6px; }
svg { display: block; width: 100%; height: auto; font-size: 11px; fill: var(--soft); }
svg path { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
svg line { stroke: var(--line); }
svg .base { stroke: var(--soft); stroke-dasharray: 4 3; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: 12.5px; font-variant-numeric: tabular-nums; }
.legend i { display: inline-block; width: 10px; height: 10px; margin-right: 5px; border-radius: 2px; }
.legend .base { height: 0; vertical-align: 4px; border-top: 2px dashed var(--soft); border-radius: 0; }
"""


def write_status_page(status: TrainingStatus, path: str | Path | None = None) -> Path:
    """Writes the page.

    Args:
        status: The status of the run.
        path: The file. None is status.html in the run's folder.

    Raises:
        OutputError: The file cannot be written.
    """
    title = html.escape(f"{status.folder.resolve().name}: {status.recipe or 'a run'}")
    done = 0.0 if not status.of else min(status.step / status.of, 1.0)
    bar = f'<div class="bar"><div style="width: {done:.1%}"></div></div>' if status.of else ""
    warned = "".join(f"<li>{html.escape(text)}</li>" for text in status.warnings)
    body = "".join(f"<p>{html.escape(text)}</p>" for text in summary(status))
    pictures = "".join(
        f"<figure><figcaption>{html.escape(name)}</figcaption>{chart(curves, base)}{_legend(curves, base)}</figure>"
        for name, curves, base in _pictures(status)
    )
    return write_text(
        status.folder / "status.html" if path is None else path,
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{body}{bar}"
        + (f'<ul class="warnings">{warned}</ul>' if warned else "")
        + f'<main class="pictures">{pictures}</main></body></html>\n',
    )


def _pictures(status: TrainingStatus) -> list[tuple[str, dict[str, dict[int, float]], float | None]]:
    """Title, curves, and value before training of each picture; evaluators come first."""
    found: list[tuple[str, dict[str, dict[int, float]], float | None]] = []
    for one in status.evaluators:
        found.append(
            (f"{one.name} {one.metric}", {one.metric: status.curves[f"eval/{one.name}/{one.metric}"]}, one.base)
        )
    for title, names in PICTURES.items():
        curves = {
            key: curve for name in names for key, curve in status.curves.items()
            if key == name or (name.endswith("/") and key.startswith(name))
        }  # fmt: skip
        if curves:
            found.append((title, dict(list(curves.items())[:_COLOURS]), None))
    return found


def _legend(curves: Mapping[str, Mapping[int, float]], base: float | None) -> str:
    parts = [
        f'<span><i style="background: var(--c{k})"></i>{html.escape(name)} {curve[max(curve)]:.4g}</span>'
        for k, (name, curve) in enumerate(curves.items())
    ]
    if base is not None:
        parts.append(f'<span><i class="base"></i>before training {base:.4g}</span>')
    return f'<div class="legend">{"".join(parts)}</div>'


def chart(curves: Mapping[str, Mapping[int, float]], base: float | None = None) -> str:
    """Curves over the number of updates, as SVG in the page's colours.

    Args:
        curves: Values of each curve by number of updates; values that are not finite are not drawn.
        base: A value that is drawn as a dashed line.
    """
    drawn = [_thinned({s: v for s, v in curve.items() if abs(v) < _LARGEST}) for curve in curves.values()]
    steps = [s for curve in drawn for s in curve]
    values = [v for curve in drawn for v in curve.values()] + ([base] if base is not None and steps else [])
    if not steps:
        return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}"></svg>'
    rows, columns = ticks(min(values), max(values)), ticks(0, max(steps), whole=True)
    low, high, end = min(rows[0], *values), max(rows[-1], *values), max(columns[-1], *steps, 1)

    def x(step: float) -> str:
        return f"{_LEFT + (_WIDTH - _LEFT - _RIGHT) * step / end:.1f}"

    def y(value: float) -> str:
        return f"{_TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / ((high - low) or 1):.1f}"

    parts = [
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(v)}" y2="{y(v)}"/>'
        f'<text x="{_LEFT - 6}" y="{y(v)}" dy="4" text-anchor="end">{v:.4g}</text>'
        for v in rows
    ]
    parts += [f'<text x="{x(s)}" y="{_HEIGHT - 8}" text-anchor="middle">{s:.12g}</text>' for s in columns]
    if base is not None:
        parts.append(f'<line class="base" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(base)}" y2="{y(base)}"/>')
    for k, curve in enumerate(drawn):
        if len(curve) == 1:
            ((step, value),) = curve.items()
            parts.append(f'<circle cx="{x(step)}" cy="{y(value)}" r="3" style="fill: var(--c{k})"/>')
        elif curve:
            points = " L".join(f"{x(s)} {y(v)}" for s, v in curve.items())
            parts.append(f'<path d="M{points}" style="stroke: var(--c{k})"/>')
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(parts)}</svg>'


def _thinned(curve: Mapping[int, float]) -> dict[float, float]:
    """A curve with fewer points: means of neighbours."""
    steps, values = list(curve), list(curve.values())
    each = math.ceil(len(steps) / _POINTS) or 1
    return {
        sum(steps[k : k + each]) / len(steps[k : k + each]): sum(values[k : k + each]) / len(values[k : k + each])
        for k in range(0, len(steps), each)
    }


def ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Three to six round numbers that span a range.

    Args:
        low: Start of the range.
        high: End of the range.
        whole: Whether only whole numbers are wanted, none above the range.

    >>> ticks(0.13, 0.87), ticks(0, 350, whole=True), ticks(5, 5)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0, 100, 200, 300], [4.0, 4.5, 5.0, 5.5, 6.0])
    """
    if not high > low:
        pad = abs(low) * 0.2 or 1.0
        low, high = low - pad, high + pad
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= rough * 0.999)
    if whole:
        step = max(round(step), 1)
        return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return [float(f"{k * step:.10g}") for k in range(math.floor(low / step), math.ceil(high / step) + 1)]

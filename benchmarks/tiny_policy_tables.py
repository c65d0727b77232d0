"""The tables and the picture of `tiny_policy.py`, from its rows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.store import write_text

RESULTS = Path(__file__).parent / "results"
#: Heading of the mean box IoU over answers whose time meets the true one; m_sIoU of `whenwhere eval` is over all.
MEET = "s where times meet"
OOD = ("ood-longer", "ood-later", "ood-faster", "ood-look")

#: What is compared, and the columns of tables: name → of a row.
WHAT = {
    "m_tIoU": lambda row: row["t"][0],
    "s": lambda row: row["s"][0],
    "m_vIoU": lambda row: row["v"][0],
    "there": lambda row: row["kinds"]["there"]["t"][0],
    "texture": lambda row: row["kinds"]["texture"]["t"][0],
    "action": lambda row: row["kinds"]["action"]["t"][0],
    "absent": lambda row: row["t_absent"][0],
    "drawn m_tIoU": lambda row: row["drawn"]["t"][0],
    "drawn m_vIoU": lambda row: row["drawn"]["v"][0],
}
#: Of these, the kinds of sentence.
KINDS = ("there", "texture", "action", "absent")


def paired(found: Mapping[str, Mapping[str, Any]], what: str) -> dict[str, Any]:
    """RL minus SFT continued over pairs of seeds: mean and 95 % interval of a paired t."""
    from scipy.stats import t as student

    of = WHAT[what]
    both = np.array(
        [
            (of(found[f"rl {k} heldout"]), of(found[f"sft continued {k} heldout"]))
            for k in range(100)
            if f"rl {k} heldout" in found and f"sft continued {k} heldout" in found
        ]
    )
    if len(both) < 2:
        return {"pairs": len(both)}
    gain = both[:, 0] - both[:, 1]
    half = float(student.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / len(gain) ** 0.5)
    mean = float(gain.mean())
    rl, sft = both.mean(0).tolist()
    return {"pairs": len(gain), "rl": rl, "sft": sft, "mean": mean, "low": mean - half, "high": mean + half,
            "sd": float(gain.std(ddof=1))}  # fmt: skip


def picture(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Draws the learning curve: results/tiny_policy.svg."""
    import matplotlib
    from matplotlib.figure import Figure

    from whenwhere.training.recipe import load

    rows = sorted((r for r in found.values() if r["name"].startswith("curve ")), key=lambda r: r["step"])
    seen = [row["seen"]["clips"] / 1000 for row in rows]
    looks = {"svg.fonttype": "none", "svg.hashsalt": "whenwhere", "font.family": "sans-serif", "font.size": 10,
             "axes.spines.top": False, "axes.spines.right": False}  # fmt: skip
    with matplotlib.rc_context(looks):
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        axes = figure.add_subplot(xlabel="thousand clips seen", ylabel="mean IoU, %", ylim=(0, 75), xlim=(0, 100))
        axes.grid(alpha=0.25, linewidth=0.6)
        for name, what, colour in (("m_tIoU", "t", "#1f6feb"), ("m_vIoU", "v", "#d1571b")):
            low, mean, high = (np.array([100 * row[what][k] for row in rows]) for k in (1, 0, 2))
            axes.fill_between(seen, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(seen, mean, color=colour, marker="o", markersize=3, label=f"{name}, 4-8 s, all sentences")
            short = [100 * found[f"short {row['step']}"][what][0] for row in rows]
            axes.plot(
                seen, short, color=colour, linestyle="--", linewidth=1, label=f"{name}, 2-4 s, the chapter before"
            )
        constant = [
            r for r in found.values() if r["name"].startswith("best constant") and r["name"].endswith("heldout")
        ]
        for row in constant:
            axes.axhline(
                100 * row["t"][0], color="#555555", linewidth=1, linestyle=":", label="m_tIoU of the best constant"
            )
        recipe = load("tiny-sft")
        last = recipe.data.grow[-1].until * recipe.train.max_steps * recipe.train.samples_per_step / 1000
        axes.axvline(last, color="#999999", linewidth=0.8)
        axes.text(last + 0.4, 1, "clips of 4-8 s begin", fontsize=8, color="#777777")
        axes.legend(frameon=False, fontsize=8, loc="upper left")
        figure.savefig(RESULTS / "tiny_policy.svg", metadata={"Date": None, "Creator": None})


def report(found: Mapping[str, Mapping[str, Any]], read: int) -> None:
    """Writes results/tiny_policy.json, .md and .svg; `read`: updates on one shape before those at two rates."""
    gains = {what: paired(found, what) for what in WHAT}
    write_text(
        RESULTS / "tiny_policy.json",
        json.dumps({"rows": list(found.values()), "rl minus sft continued": gains}, indent=1) + "\n",
    )

    picture(found)

    def cell(value: list[float]) -> str:
        return f"{100 * value[0]:.1f} [{100 * value[1]:.1f}, {100 * value[2]:.1f}]" if value else "-"

    def kinds(row: Mapping[str, Any]) -> list[str]:
        return [f"{100 * WHAT[kind](row):.1f}" for kind in KINDS]

    def table(columns: list[str], rows: list[list[str]]) -> list[str]:
        return [f"| {' | '.join(line)} |" for line in (columns, ["---"] * len(columns), *rows)]

    lines = ["# The tiny policy on the world of shapes", "", "Made by `python benchmarks/tiny_policy.py`.", ""]
    lines += ["Columns of a single kind of sentence (there, texture, action, absent) are m_tIoU.", ""]
    lines += ["Drawn: answers at temperature 1; all else is greedy.", ""]
    lines += ["## Learning curve of SFT (validation clips)", ""]
    lines += ["Short: clips of 2-4 s without actions or absent sentences, the chapter before the last.", ""]
    rows = []
    for row in sorted((r for r in found.values() if r["name"].startswith("curve ")), key=lambda r: r["step"]):
        seen, short = row["seen"], found.get(f"short {row['step']}", {"t": [], "v": []})
        counts = [f"{row['step']}", f"{seen['clips']:.0f}", f"{seen['sentences']:.0f}", f"{seen['seconds'] / 60:.0f}"]
        cells = [cell(row[name]) for name in "tsv"]
        rows.append([*counts, *cells, *kinds(row), cell(short["t"]), cell(short["v"])])
    lines += table(
        ["updates", "clips seen", "sentences seen", "minutes", "m_tIoU", MEET, "m_vIoU", *KINDS, "short m_tIoU",
         "short m_vIoU"], rows,
    )  # fmt: skip
    seeds = ("rl ", "sft continued ")
    for split in ("heldout", *OOD, "val"):
        own = [r for r in found.values() if r["name"].endswith(f" {split}")]
        own = [r for r in own if split == "val" or not r["name"].startswith(seeds)]
        if not own:
            continue
        title = "Settings of RL and of SFT continued, by validation clips" if split == "val" else split
        lines += ["", f"## {title} ({own[0]['clips']} clips, {own[0]['sentences']} sentences)", ""]
        order = ("whole", "best", "sentence", "video", "start", "sft", "--model", "rl")
        own.sort(key=lambda r: next(k for k, begin in enumerate(order) if r["name"].startswith(begin)))
        more = ["t", "v"] if split == "val" else []
        rows = [
            [r["name"].removesuffix(f" {split}"), *(cell(r[name]) for name in "tsv"), *kinds(r),
             f"{100 * r['parsed']:.0f} %", *(cell(r["drawn"][name]) for name in more)] for r in own
        ]  # fmt: skip
        drawn_too = [f"drawn m_{name}IoU" for name in more]
        lines += table(["answers", "m_tIoU", MEET, "m_vIoU", *KINDS, "read", *drawn_too], rows)
        if split == "heldout" and all("mean" in gain for gain in gains.values()):
            pairs = gains["m_tIoU"]["pairs"]
            lines += ["", f"## RL against SFT continued at equal analytic FLOPs ({pairs} pairs of seeds)", ""]
            lines += ["Held-out clips as above; means over seeds, and their difference with a paired t's interval.", ""]
            start = [f"{100 * of(found['sft heldout']):.1f}" for of in WHAT.values()]
            arms = [[name, *(f"{100 * gain[key]:.1f}" for gain in gains.values())]
                    for name, key in (("RL", "rl"), ("SFT continued", "sft"))]  # fmt: skip
            gain = [cell([gain["mean"], gain["low"], gain["high"]]) for gain in gains.values()]
            lines += table(["", *WHAT], [["SFT, which both begin with", *start], *arms, ["RL - SFT continued", *gain]])
    rates = [r for r in found.values() if r["name"].startswith("rate ")]
    if rates:
        lines += ["", f"## Which shape is meant, at two rates ({rates[0]['clips']} short validation clips)", ""]
        lines += [f"{read} updates on one shape at the recipe's rate, then among several, at a constant rate.", ""]
        rates.sort(key=lambda r: [float(word) for word in r["name"].split()[1::2]])
        rows = [[*r["name"].split()[1::2], *(cell(r[name]) for name in "tsv")] for r in rates]
        lines += table(["rate", "updates among several", "m_tIoU", MEET, "m_vIoU"], rows)
    each = [r for r in found.values() if r["name"].startswith(("rl ", "sft continued ")) and "heldout" in r["name"]]
    if each:
        each.sort(key=lambda r: (r["name"].split()[-2], r["name"]))
        lines += ["", f"## RL and SFT continued, each seed on held-out clips ({each[0]['clips']} clips)", ""]
        rows = [
            [r["name"].removesuffix(" heldout"), *(cell(r[name]) for name in "tsv"), *kinds(r),
             *(cell(r["drawn"][name]) for name in "tv"), f"{r['flops']:.2e}"] for r in each
        ]  # fmt: skip
        lines += table(["run and seed", *WHAT, "FLOPs"], rows)
    write_text(RESULTS / "tiny_policy.md", "\n".join(lines) + "\n")
    print("\n".join(lines))

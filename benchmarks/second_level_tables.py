"""The two tables of `second_level.py` from their rows: aggregates for JSON, and Markdown."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import ceiling
import cost
import numpy as np
from box_noise import Measured

from whenwhere.stats import Interval, bootstrap_means

#: Mean IoU × 100 as it was measured before with other code on 1 400 sequences (4 200 clips; with errors 600): a grid
#: of whole steps, no boxes at the ends. `as_published` in the rows is the same on the 280 sequences at hand.
EARLIER = {
    "0.5 hold": 50.2, "0.5 linear": 58.2, "0.5 pchip": 58.1, "1 hold": 59.1, "1 linear": 69.5, "1 pchip": 69.7,
    "2 hold": 68.7, "2 linear": 79.6, "2 pchip": 80.2, "4 hold": 78.2, "4 linear": 87.8, "4 pchip": 88.4,
    "1 hampel": 68.88, "2 hampel": 79.07, "4 hampel": 87.52,
    "1 linear noise 0.02": 68.6, "1 linear noise 0.05": 65.7, "1 linear noise 0.1": 60.1,
    "2 linear noise 0.02": 78.2, "2 linear noise 0.05": 74.4, "2 linear noise 0.1": 67.3,
    "4 linear noise 0.02": 85.7, "4 linear noise 0.05": 80.9, "4 linear noise 0.1": 72.6,
    "1 pchip noise 0.1": 59.4, "2 pchip noise 0.1": 66.7, "4 pchip noise 0.1": 71.6,
    "1 rts noise 0.1": 59.3, "2 rts noise 0.1": 66.9, "4 rts noise 0.1": 73.1,
    "1 gauss noise 0.1": 59.3, "2 gauss noise 0.1": 67.0, "4 gauss noise 0.1": 73.3,
    "1 linear jumps": 64.1, "1 hampel jumps": 65.2, "2 linear jumps": 72.6, "2 hampel jumps": 74.9,
    "4 linear jumps": 79.5, "4 hampel jumps": 83.0,
}  # fmt: skip
EARLIER_QUARTILES = {1.0: (91.1, 81.1, 67.6, 38.1), 2.0: (94.7, 88.7, 79.6, 55.5), 4.0: (96.9, 93.5, 88.1, 72.5)}


def table(header: str, rows: Iterable[Iterable[object]]) -> list[str]:
    """Lines of a Markdown table; the header's cells are divided by |."""
    names = [name.strip() for name in header.split("|")]
    return ["", *(f"| {' | '.join(map(str, row))} |" for row in (names, ["---"] * len(names), *rows)), ""]


def mean(values: Iterable[float]) -> float:
    """NaN where there are none."""
    kept = list(values)
    return float(np.mean(kept)) if kept else float("nan")


# --- ceiling


def ceiling_report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Aggregates of the ceiling by world: every setting by quartile and by length."""
    out: dict[str, Any] = {}
    for world in ("tracks", "clips"):
        some = [r for r in rows if r["world"] == world]
        if not some:
            continue
        parts = {q: [r for r in some if q in ("all", ceiling.quartile(r["speed"]))] for q in ceiling.QUARTILES}
        for name, (low, high) in ceiling.LENGTHS.items():
            parts[name] = [r for r in some if low <= r["length"] < high]
        noisy = {q: [r for r in part if len(r["score"]) > 100] for q, part in parts.items()}
        entry: dict[str, Any] = {
            "clips": len(some), "groups": len({r["group"] for r in some}),
            "n": {q: len(p) for q, p in parts.items()}, "n_with_errors": {q: len(p) for q, p in noisy.items()},
            "truth_unsteadiness": {q: mean(r["truth_shake"] for r in p) for q, p in parts.items()},
            "clean": {}, "score": {}, "unsteadiness": {}, "interval": {}, "gain_of_smoothing": {},
        }  # fmt: skip
        keys = sorted({k for r in some for k in r["score"]})
        clean = [k for k in keys if k.endswith(" none 0 0")]
        for q, part in parts.items():
            # all clips where boxes are exact; settings with errors are compared on the clips that have them
            entry["clean"][q] = {k: mean(r["score"][k] for r in part) for k in clean} if part else {}
            entry["score"][q] = {k: mean(r["score"][k] for r in noisy[q]) for k in keys} if noisy[q] else {}
            entry["unsteadiness"][q] = {k: mean(r["shake"][k] for r in noisy[q]) for k in keys} if noisy[q] else {}
            for kind, group, columns in (("interval", part, clean), ("gain_of_smoothing", noisy[q], keys)):
                if not group:
                    continue
                if kind == "interval":
                    names, x = columns, [[r["score"][k] for k in columns] for r in group]
                else:
                    names = [k for k in columns if " none " not in k]
                    x = [[r["score"][k] - r["score"][_plain(k)] for k in names] for r in group]
                found = _means(x, group)
                entry[kind][q] = dict(zip(names, (dict(i._asdict()) for i in found), strict=True))
        if world == "tracks":
            names = sorted({k for r in some for k in r["as_published"]})
            entry["as_before"] = {k: mean(r["as_published"][k] for r in some if k in r["as_published"]) for k in names}
            linear = [k for k in names if k.endswith(" linear")]
            entry["as_before_by_quartile"] = {
                q: dict(zip(linear, (dict(i._asdict()) for i in found), strict=True))
                for q in ceiling.QUARTILES
                if parts[q]
                for found in [_means([[r["as_published"][k] for k in linear] for r in parts[q]], parts[q])]
            }
        out[world] = entry
    return out


def _means(columns: list[list[float]], rows: list[dict[str, Any]]) -> list[Interval]:
    """Means with intervals over sequences or clips."""
    return bootstrap_means(columns, [r["group"] for r in rows], n=1000)


def _plain(key: str) -> str:
    """The setting without smoothing."""
    rate, fill, _, size, memory = key.split()
    return f"{rate} {fill} none {size} {memory}"


def ceiling_markdown(
    result: dict[str, Any], measured: dict[str, Measured], errors: list[tuple[float, float]]
) -> list[str]:
    """The ceiling's tables."""
    marks = {(round(m.robust, 3), round(m.memory, 3)): name for name, m in measured.items()}
    titles = {"tracks": "Real tracks (LaSOT)", "clips": "Procedural clips"}
    lines = ["## Ceiling: oracle boxes, no model", ""]
    lines.append(
        "Mean IoU × 100 over all frames of exact spans, one true box at every second-level time (both ends included). "
        "Motion quartiles: edges .136, .301, .752 box sizes per second. Intervals: 95 %, over sequences or clips."
    )
    for world, entry in result.items():
        fills = ("linear", "pchip", "flow") if world == "clips" else ("linear", "pchip")
        n = entry["n"]
        lines += ["", f"### {titles[world]}: {entry['clips']} clips of {entry['groups']}, boxes exact"]
        head = " | ".join(f"{q} ({n[q]})" for q in (*ceiling.QUARTILES, *ceiling.LENGTHS))
        rows = []
        for rate in ceiling.RATES:
            for fill in fills:
                k = ceiling.key(rate, fill, "none", 0, 0)
                low, high = (entry["interval"]["all"][k][x] for x in ("low", "high"))
                cells = [_cell(entry["clean"][q].get(k)) for q in (*ceiling.QUARTILES, *ceiling.LENGTHS)]
                cells[4] += f" [{low:.1f}, {high:.1f}]"
                rows.append([f"{rate:g}", fill, *cells])
        lines += table(f"boxes/s | fill | {head}", rows)
        n = entry["n_with_errors"]
        for fill in ("linear", "flow") if world == "clips" else ("linear",):
            lines += [
                f"### {titles[world]}: {n['all']} clips, boxes with errors, {fill} fill: what smoothing gains",
                "",
                "Size: standard deviation of each side in box sizes; memory: correlation of errors one second apart. "
                "Left: score without smoothing and, in brackets, its unsteadiness (box sizes/s²; the truth's "
                f"{entry['truth_unsteadiness']['all']:.1f}). Right: gain in score, and the smoothed unsteadiness.",
            ]
            for rate in (1.0, 4.0):
                rows = []
                for size, memory in errors:
                    plain = ceiling.key(rate, fill, "none", size, memory)
                    if plain not in entry["score"]["all"]:
                        continue
                    mark = marks.get((size, memory))
                    row = [f"{100 * size:g} %", f"{memory:g}" + (f" **{mark}**" if mark else "")]
                    for q in ("all", "slowest"):
                        if plain not in entry["score"][q]:
                            row += ["", "", "", ""] if q == "all" else ["", "", ""]
                            continue
                        row.append(_cell(entry["score"][q][plain]))
                        if q == "all":
                            row[-1] += f" ({entry['unsteadiness'][q][plain]:.1f})"
                        for smoother in ("gauss", "rts", "hampel") if q == "all" else ("gauss", "rts"):
                            k = ceiling.key(rate, fill, smoother, size, memory)
                            g = entry["gain_of_smoothing"][q][k]
                            row.append(f"{g['mean']:+.1f} [{g['low']:+.1f}, {g['high']:+.1f}]")
                            if q == "all" and smoother != "hampel":
                                row[-1] += f" ({entry['unsteadiness'][q][k]:.1f})"
                    rows.append(row)
                lines += table(
                    f"size, {rate:g} box/s | memory | none | gauss | rts | hampel | slowest quartile ({n['slowest']}): "
                    "none | gauss | rts",
                    rows,
                )
        if "as_before" in entry:
            lines += [
                "### Beside the earlier measurement (1 400 sequences, other code; grid without the span's ends)",
                "",
                "`hampel jumps`: 5 % of the boxes moved by 1.5 widths. Ours gates the Gaussian where neighbours "
                "overlap less than one half, and RTS has one setting for all tubes; the earlier ones were ungated "
                "and tuned.",
            ]
            rows = [
                [k, f"{v:.1f}", _cell(entry["as_before"].get(k)), f"{entry['as_before'][k] - v:+.1f}"]
                for k, v in EARLIER.items() if k in entry["as_before"]
            ]  # fmt: skip
            for rate, values in EARLIER_QUARTILES.items():
                for q, v in zip(ceiling.QUARTILES, values, strict=False):
                    if q not in entry["as_before_by_quartile"]:
                        continue
                    now = entry["as_before_by_quartile"][q][f"{rate:g} linear"]
                    cell = "{mean:.1f} [{low:.1f}, {high:.1f}]".format(**now)
                    rows.append([f"{rate:g} linear, {q}", f"{v:.1f}", cell, f"{now['mean'] - v:+.1f}"])
            lines += table("setting | before | now | difference", rows)
    if measured:
        lines += [
            "### Errors of real models' boxes (VUE-STG, one box per second)", "",
            "Over seconds in which answer and truth have a box of the same thing (IoU ≥ .3). Size: standard deviation "
            "of a side in box sizes, in brackets from the median absolute error, which the tables use: tails are "
            "heavy. "
            "Memory within an answer: without each answer's own mean; beside it what it would be, in runs as short as "
            "these, for errors that fade as drawn here, and for a constant offset of each answer plus fresh errors. "
            "Real errors lie between the two: part of what persists is an offset that no smoother can see.",
        ]  # fmt: skip
        rows = [
            [name, f"{m.size:.3f} ({m.robust:.3f})", f"{m.memory:.2f} [{m.memory_low:.2f}, {m.memory_high:.2f}]",
             f"{m.memory_within:.2f}", f"{m.within_if_fading:.2f}, {m.within_if_constant:.2f}",
             f"{100 * m.other:.0f} %", m.seconds, m.answers]
            for name, m in measured.items()
        ]  # fmt: skip
        head = "model | size | memory | memory within an answer | if fading, if constant | of another thing"
        lines += table(f"{head} | seconds | answers", rows)
    return lines


def _cell(x: float | None) -> str:
    return "" if x is None or np.isnan(x) else f"{x:.1f}"


# --- cost

COUNTS = ("calls", "prompt_tokens", "output_tokens", "frames_decoded", "seconds")


def cost_report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Aggregates of the cost: staged clips by noise and way, lengths by way."""
    out: dict[str, Any] = {"stage": {}, "lengths": {}, "clips": sorted({r["seed"] for r in rows if r["set"] == "done"})}
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for r in rows:
        # a clip that is not finished would count some ways more often than others
        if r["set"] == "stage" and r["seed"] in out["clips"]:
            groups["stage", r["noise"], r["way"]].append(r)
        elif r["set"] == "lengths":
            groups["lengths", r["length"], r["way"]].append(r)
    for (kind, first, way), some in groups.items():
        entry: dict[str, Any] = {"sentences": len(some), "planned": any(r.get("planned") for r in some)}
        for name in COUNTS:
            entry[name] = mean(r[name] for r in some if name in r)
        entry["t"], entry["v"] = (mean(r[k] for r in some if k in r) for k in ("t", "v"))
        entry["s"] = mean(r["s"] for r in some if "s" in r)
        entry["absent_right"] = mean(float(r["t"] == 100) for r in some if r["absent"] and "t" in r)
        filled = [r for r in some if "flow s" in r]
        if filled:
            for name in ("linear s", "flow s", "linear shake", "flow shake", "truth shake"):
                entry[name] = mean(r[name] for r in filled)
            entry["flow seconds"] = mean(r["flow seconds"] for r in filled)
            gains = bootstrap_means(
                [[r["flow s"] - r["linear s"]] for r in filled], [r["seed"] for r in filled], n=2000
            )
            entry["flow gain"] = dict(gains[0]._asdict())
        out[kind].setdefault(first, {})[way] = entry
    return out


def cost_markdown(result: dict[str, Any]) -> list[str]:
    """The cost's tables."""
    every = f"framewise {cost.FPS} fps"
    lines = ["## Cost: the pipeline beside framewise and uniform-N, answers computed from the truth", ""]
    lines.append(
        "Means a sentence, absent ones included in m_tIoU and m_vIoU; s over sentences that are true somewhere. The "
        "answering model is the same for all and sees only the frames shown; its scores are no model's. Seconds: "
        "decoding, encoding nothing, computing answers; flow is extra. Tokens: Qwen3-VL's picture grid (32 pixels) and "
        "pre-tokenizer. `fps` = frames shown a second when looking for the time; `/s` = boxes a second. "
        "Frames go as single pictures (`images`; each one twice, `repeat`, costs and tells the same); `pairs`: two "
        "under one stamp, so that a model knows one time and one place for both."
    )
    for noise, ways in result["stage"].items():
        base = ways.get(every)
        rows = []
        for way, e in ways.items():
            less = [f"{base[k] / e[k]:.1f}×" if base else "" for k in ("calls", "prompt_tokens", "output_tokens")]
            rows.append(
                [way, f"{e['calls']:.1f}", f"{e['prompt_tokens']:.0f}", f"{e['output_tokens']:.0f}", *less,
                 f"{e['frames_decoded']:.0f}", f"{e['seconds']:.2f}", f"{e['t']:.1f}", f"{e['s']:.1f}", f"{e['v']:.1f}"]
            )  # fmt: skip
        lines += ["", f"### Staged clips of 9-18 s at {cost.FPS} frames a second, answers {noise}: "
                  f"{next(iter(ways.values()))['sentences']} sentences, {len(result['clips'])} clips"]  # fmt: skip
        lines += table(
            f"way | calls | prompt tokens | output tokens | fewer calls than {every} | fewer prompt tokens | "
            "fewer output tokens | frames decoded | seconds | m_tIoU | m_sIoU of those there | m_vIoU",
            rows,
        )
        filled = {w: e for w, e in ways.items() if "flow s" in e}
        rows = [
            [w, f"{e['linear s']:.1f}", f"{e['flow s']:.1f}",
             "{mean:+.1f} [{low:+.1f}, {high:+.1f}]".format(**e["flow gain"]), f"{e['linear shake']:.2f}",
             f"{e['flow shake']:.2f}", f"{e['truth shake']:.2f}", f"{e['flow seconds']:.2f}"]
            for w, e in filled.items()
        ]  # fmt: skip
        if rows:
            lines += ["Filled to every frame of the answered spans (jerk: mean second difference, box sizes/s²):"]
            lines += table(
                "way | linear s | flow s | flow − linear | jerk linear | jerk flow | jerk truth | flow seconds", rows
            )
    if result["lengths"]:
        rows = []
        for length, ways in result["lengths"].items():
            base = ways.get(every)
            for way, e in ways.items():
                less = [f"{base[k] / e[k]:.0f}×" if base and base is not e else "" for k in ("calls", "output_tokens")]
                done = ["", "", ""] if e["planned"] else [f"{e['seconds']:.1f}", f"{e['t']:.1f}", f"{e['v']:.1f}"]
                rows.append([length, way + (" (planned)" if e["planned"] else ""), f"{e['calls']:.0f}",
                             f"{e['prompt_tokens']:.0f}", f"{e['output_tokens']:.0f}", *less, *done])  # fmt: skip
        lines += ["", f"### By length: one procedural video each at {cost.FPS} frames a second, three sentences "
                  "(one event, two, none; events of at most 9 s), answers as vidi2"]  # fmt: skip
        lines += table(
            f"video | way | calls | prompt tokens | output tokens | fewer calls than {every} | fewer output tokens | "
            "seconds | m_tIoU | m_vIoU",
            rows,
        )
    return lines


def goals(result: dict[str, Any]) -> list[str]:
    """What was to be shown."""
    rows = []
    for noise, ways in result.get("cost", {}).get("stage", {}).items():
        ours, base = ways.get("second-level 2 fps 1/s"), ways.get(f"framewise {cost.FPS} fps")
        if ours and base:
            for what in ("calls", "output_tokens"):
                times = base[what] / ours[what]
                rows.append([f"staged clips, answers {noise}: ≥ 10× fewer {what.replace('_', ' ')} than framewise",
                             f"{times:.1f}×", "yes" if times >= 10 else "**no**"])  # fmt: skip
            by_rate = [ways.get(f"second-level 2 fps {rate:g}/s") for rate in cost.RATES[1:]]
            said = ", ".join(f"{e['v']:.1f}" for e in by_rate if e)
            rates = ", ".join(f"{rate:g}" for rate, e in zip(cost.RATES[1:], by_rate, strict=True) if e)
            rows.append([f"staged clips, answers {noise}: m_vIoU at {rates} boxes/s, linear; framewise", f"{said}; "
                         f"{base['v']:.1f}", "shown"])  # fmt: skip
    for length, ways in result.get("cost", {}).get("lengths", {}).items():
        ours, base = ways.get("second-level 2 fps 1/s"), ways.get(f"framewise {cost.FPS} fps")
        if ours and base:
            times = [base[k] / ours[k] for k in ("calls", "output_tokens")]
            rows.append([f"{length} of video: ≥ 10× fewer calls and output tokens", f"{times[0]:.0f}×, {times[1]:.0f}×",
                         "yes" if min(times) >= 10 else "**no**"])  # fmt: skip
    tracks = result.get("ceiling", {}).get("tracks")
    if tracks:
        apart = [
            f"{rate:g}/s {q} {now['mean'] - v:+.1f}"
            for rate, values in EARLIER_QUARTILES.items()
            for q, v in zip(ceiling.QUARTILES, values, strict=False)
            for now in [tracks["as_before_by_quartile"][q][f"{rate:g} linear"]]
            if not now["low"] <= v <= now["high"]
        ]
        said = "all twelve" if not apart else "but for " + ", ".join(apart)
        rows.append(["ceiling by motion quartile as measured before, within the 95 % interval", said,
                     "**no**" if apart else "yes"])  # fmt: skip
        for name, m in result.get("errors", {}).items():
            keys = [
                ceiling.key(1, "linear", k, round(m["robust"], 3), round(m["memory"], 3)) for k in ceiling.SMOOTHERS[1:]
            ]
            gains = [(tracks["gain_of_smoothing"]["all"][k], k.split()[2]) for k in keys]
            best, smoother = max(gains, key=lambda g: g[0]["mean"])
            said = "{mean:+.1f} [{low:+.1f}, {high:+.1f}] ".format(**best) + f"({smoother})"
            rows.append([f"real tracks, 1 box/s, errors as {name}'s: the best smoother's gain", said, "shown"])
    return table("goal | measured | met", rows) if rows else []

"""Fitting the confidence of the motion grounder on Stage's worlds, and measuring what it is worth.

    python benchmarks/fit_confidence.py [--clips 320] [--jobs 2] [--folder KEPT] [--fresh]

Clips of two worlds (Stage's splits `dev` and `val`) are rendered, of seeds that nothing else uses, and every sentence
is asked. Two small models are fitted: which family a moving thing belongs to (`kind_model.WEIGHTS`), and a logistic
model with few weights of fixed sign (L2 penalty) of whether the best candidate reaches t_IoU 0.5 (`abstention.FITTED`).
Besides Stage's own sentences, each clip is asked one invented sentence for each family of things that it does not
contain ("the dog barks" on a road), to which every answer is wrong. Invented sentences count `EXTRA` each, so that the
share of sentences about nothing stays natural. One feature of the second model comes from the first as committed: after
changing `kind_model.WEIGHTS`, run again.

Quality is measured on sentences whose clip, whose whole domain, whose whole world (other looks, motion and wording), or
whose kind of sentence had no part in the fit; and by world. The held-out split is not touched here. The script prints
the weights to put into the two files; the result files hold risk and coverage, calibration, and the precision of
`absent`. Cost: about fifteen minutes on two cores, most of it indexing.
"""

import argparse
import json
import pickle
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from whenwhere.grounders.motion import MotionGrounder, abstention, kind_model
from whenwhere.grounders.motion.absence import likeness
from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.grounders.motion.candidates import ObservedScene
from whenwhere.grounders.motion.confidence_features import ClipConditions, confidence_features
from whenwhere.grounders.motion.ranking import rank_candidates
from whenwhere.grounders.motion.reading import read_query
from whenwhere.overlap import box_iou, t_iou
from whenwhere.spans import SpanSet
from whenwhere.stage import Scene, render_clip
from whenwhere.store import Cache, append_line, read_lines, write_text
from whenwhere.video import probe

HERE = Path(__file__).parent
ROWS = HERE / "cache" / "fit_confidence.jsonl"
#: First seed.
SEED = 7000
#: Weight of an invented sentence.
EXTRA = 0.25
#: Strength of the penalties on the weights of standardised features.
PENALTY = {"confidence": 10.0, "kinds": 15.0}
#: The allowed sign of each weight: a feature that points the other way in these clips gets 0.
SIGNS = {
    "lead": 1, "agreement": 1, "against": 1, "family": 1, "colour": 1, "direction": 1, "event": 1, "brief": -1,
    "seen": 1,
}  # fmt: skip
#: Sentences about absent things, by the family of the thing.
INVENTED = {
    "vehicle": (
        "a red car drives past", "the bus", "a white van parks", "the truck drives to the left", "a car stops",
        "the blue car leaves", "a yellow taxi", "the lorry goes by",
    ),
    "person": (
        "a person crosses", "the woman in the red coat", "a man walks to the right", "someone enters", "the child runs",
        "a man in a blue jacket stands still", "a girl", "the tall man leaves",
    ),
    "animal": (
        "the dog barks", "a cat", "a brown dog runs to the left", "the white cat walks past", "a dog runs by",
        "the black dog", "a bird", "the horse trots",
    ),
}  # fmt: skip


#: Splits of Stage that development may use.
WORLDS = ("dev", "val")


def clip_rows(name: tuple[str, int], folder: str | None = None) -> dict:
    """One clip's sentences with the features of their best candidates, and its actors with their true family.

    Args:
        name: Split and seed of the clip.
        folder: The folder where clips and indices are kept for the next fit; None keeps nothing.
    """
    world, seed = name
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(folder or temporary)
        place.mkdir(parents=True, exist_ok=True)
        path, kept = place / f"{world}-{seed}.mp4", place / f"{world}-{seed}.scene"
        if kept.exists():
            scene = pickle.loads(kept.read_bytes())
        else:
            scene = render_clip(path, seed, world, width=320, height=180, sound=False)
            kept.write_bytes(pickle.dumps(scene))
        info = probe(path)
        index, everyone, _ = MotionGrounder(Cache(Path(folder) / "cache") if folder else None).observe(info)
    asked = [(q.text, q.kind, q.spans) for q in scene.sentences]
    asked += [(text, "invented", SpanSet()) for text in _invented(scene, seed)]
    around = ClipConditions(index.unsteady, index.moving, index.flood, everyone, index.duration)
    rows = []
    for text, kind, spans in asked:
        reading = read_query(text)
        made = rank_candidates(reading, ObservedScene.of(index, everyone))
        if made:
            full = SpanSet([(0.0, info.duration)])
            rows.append(
                {
                    "clip": seed, "world": world, "domain": scene.world.domain, "kind": kind,
                    "t": t_iou(made[0].spans, spans),
                    "whole": t_iou(full, spans), "like": likeness(reading, around),
                    "facts": {
                        **confidence_features(text, reading, made, around), "unusable": float(not reading.usable),
                    },
                }
            )  # fmt: skip
    things = [
        {
            "domain": scene.world.domain,
            "family": kind_model.FAMILIES.index(family),
            "facts": kind_model.kind_features(actor),
        }
        for actor in everyone
        if actor.span.duration > 1 and (family := _family(actor, scene)) in kind_model.FAMILIES
    ]
    return {"clip": f"{world} {seed}", "rows": rows, "things": things}


def _family(actor: TrackedActor, scene: Scene) -> str | None:
    """The true family of what a track follows; None if it follows nothing well."""
    frames = np.clip(np.round(actor.times * scene.fps).astype(int), 0, scene.boxes.shape[1] - 1)
    overlap = [
        np.mean(
            [0.0 if np.isnan(b[0]) else float(box_iou(a, b)) for a, b in zip(actor.boxes, truth[frames], strict=True)]
        )
        for truth in scene.boxes
    ]
    best = int(np.argmax(overlap))
    return scene.world.actors[best].family if overlap[best] > 0.45 else None


def _invented(scene: Scene, seed: int) -> list[str]:
    there = {a.family for a in scene.world.actors}
    rng = np.random.default_rng(seed)
    return [texts[int(rng.integers(len(texts)))] for family, texts in INVENTED.items() if family not in there]


def fit_kinds(things: list[dict]) -> dict[str, list[float]]:
    """Softmax weights by feature, with balanced families."""
    names = list(things[0]["facts"])
    x = np.array([[t["facts"][n] for n in names] for t in things])
    family = np.array([t["family"] for t in things])
    mean, scale = x[:, 1:].mean(0), x[:, 1:].std(0) + 1e-9
    z = np.concatenate([np.ones((len(x), 1)), (x[:, 1:] - mean) / scale], 1)
    truth = np.eye(3)[family]
    weight = (len(x) / 3 / np.bincount(family, minlength=3).clip(1))[family]

    def loss(flat: NDArray) -> tuple[float, NDArray]:
        w = flat.reshape(-1, 3)
        p = _softmax(z @ w)
        kept = np.concatenate([np.zeros((1, 3)), w[1:]])
        value = -(weight * np.log((p * truth).sum(1) + 1e-12)).sum() + PENALTY["kinds"] / 2 * (kept**2).sum()
        return value, (z.T @ (weight[:, None] * (p - truth)) + PENALTY["kinds"] * kept).ravel()

    w = minimize(loss, np.zeros(z.shape[1] * 3), jac=True, method="L-BFGS-B").x.reshape(-1, 3)
    raw = w[1:] / scale[:, None]
    return dict(zip(names, [(w[0] - mean @ raw).tolist(), *raw.tolist()], strict=True))


def _softmax(z: NDArray) -> NDArray:
    p = np.exp(z - z.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def kinds_right(things: list[dict]) -> dict[str, float]:
    """By domain, the share of things whose family is right under weights fitted without that domain."""
    out = {}
    for domain in sorted({t["domain"] for t in things}):
        weights = fit_kinds([t for t in things if t["domain"] != domain])
        own = [t for t in things if t["domain"] == domain]
        z = np.array([np.sum([np.multiply(weights[n], v) for n, v in t["facts"].items()], axis=0) for t in own])
        out[domain] = float(np.mean(z.argmax(1) == [t["family"] for t in own]))
    return out


class Table:
    """The rows of all sentences as arrays."""

    def __init__(self, rows: list[dict]) -> None:
        self.rows = rows
        self.x = np.array([[r["facts"][n] for n in SIGNS] for r in rows])
        self.set = np.array([sum(w * r["facts"].get(n, 0.0) for n, w in abstention.SET.items()) for r in rows])
        self.t = np.array([r["t"] for r in rows])
        self.right = (self.t >= 0.5).astype(float)
        self.kind = np.array([r["kind"] for r in rows])
        self.weight = np.where(self.kind == "invented", EXTRA, 1.0)
        self.absent = np.isin(self.kind, ("absent", "invented"))

    def fit(self, keep: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(1 + features,) constant and raw weights, fitted on the rows of `keep`."""
        x, y, w, base = self.x[keep], self.right[keep], self.weight[keep], self.set[keep]
        mean, scale = x.mean(0), x.std(0) + 1e-9
        z = (x - mean) / scale

        def loss(b: NDArray) -> tuple[float, NDArray]:
            logit = b[0] + z @ b[1:] + base
            value = (w * np.logaddexp(0, -logit * (2 * y - 1))).sum() + PENALTY["confidence"] / 2 * (b[1:] ** 2).sum()
            slope = w * (1 / (1 + np.exp(-logit)) - y)
            return value, np.concatenate([[slope.sum()], z.T @ slope + PENALTY["confidence"] * b[1:]])

        bounds = [(None, None), *[(0, None) if s > 0 else (None, 0) for s in SIGNS.values()]]
        b = minimize(loss, np.zeros(len(bounds)), jac=True, bounds=bounds, method="L-BFGS-B").x
        raw = b[1:] / scale
        return np.concatenate([[b[0] - raw @ mean], raw])

    def chance(self, b: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows,) confidence under weights `b`."""
        return 1 / (1 + np.exp(-(b[0] + self.x @ b[1:] + self.set)))

    def crossed(self, group: NDArray, always: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """(rows,) confidence of each row from a fit without its group; rows of `always` without their clips."""
        out = np.zeros(len(self.rows))
        for g in np.unique(group):
            out[group == g] = self.chance(self.fit(group != g))[group == g]
        if always is not None:
            clip = np.array([r["clip"] % 8 for r in self.rows])
            for g in range(8):
                part = always & (clip == g)
                out[part] = self.chance(self.fit(clip != g))[part]
        return out

    def risk(self, chance: NDArray[np.float64]) -> dict:
        """Share of right answers by coverage and at both thresholds, calibration by tenths, and cost of `unsure`."""
        order = np.argsort(-chance)
        w = self.weight[order]
        covered = w.cumsum() / w.sum()
        right = (w * self.right[order]).cumsum() / w.cumsum()
        at = {f"{c:.1f}": float(right[np.searchsorted(covered, c - 1e-9)]) for c in np.arange(0.1, 1.01, 0.1)}
        bins = []
        for low in np.arange(0, 1, 0.1):
            inside = (chance >= low) & (chance < low + 0.1)
            if inside.any():
                said, was = (float(np.average(v[inside], weights=self.weight[inside])) for v in (chance, self.right))
                bins.append({"n": int(inside.sum()), "said": said, "was": was})
        there = ~self.absent
        answered = chance >= abstention.THRESHOLD
        sure = chance >= abstention.CONFIDENT
        return {
            "right at coverage": at,
            "confident": {
                "coverage": float(np.average(sure, weights=self.weight)),
                "right": float(np.average(self.right[sure], weights=self.weight[sure])) if sure.any() else 0.0,
            },
            "calibration": bins,
            "calibration error": float(
                sum(b["n"] * abs(b["said"] - b["was"]) for b in bins) / sum(b["n"] for b in bins)
            ),
            "t, all answered": float(self.t[there].mean()),
            "t, unsure 0": float((self.t * answered)[there].mean()),
            "answered": float(answered[there].mean()),
            "absent answered": float(answered[self.kind == "absent"].mean()),
            "invented answered": float(answered[self.kind == "invented"].mean()),
        }


def worlds(table: Table, chance: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """Totals of the sentences of each world, with the confidence of a fit on the other world."""
    out = {}
    world = np.array([r["world"] for r in table.rows])
    whole = np.array([r["whole"] for r in table.rows])
    own = table.kind != "invented"
    for name in WORLDS:
        rows, there = own & (world == name), own & (world == name) & ~table.absent

        def right(mask: NDArray[np.bool_]) -> float:
            order = np.flatnonzero(mask)[np.argsort(-chance[mask])]
            return float(table.right[order[: round(0.3 * len(order))]].mean())

        sure = rows & (chance >= abstention.CONFIDENT)
        out[name] = {
            "t": float(table.t[there].mean()),
            "unsure 0": float((table.t * (chance >= abstention.THRESHOLD))[there].mean()),
            "whole": float(whole[there].mean()), "right 30": right(rows), "right 30 true": right(there),
            "sure": float(sure.sum() / rows.sum()), "sure right": float(table.right[sure].mean()),
        }  # fmt: skip
    return out


def absent_worth(table: Table) -> list[dict]:
    """Precision and recall of `absent` around its threshold."""
    like = np.array([np.inf if r["like"] is None else r["like"] for r in table.rows])
    out = []
    for at in sorted({-1.8, -1.6, -1.4, -1.2, -1.0, abstention.ABSENT}):
        claim = like < at
        own = claim & (table.kind != "invented")
        out.append(
            {
                "threshold": at, "claims": int(claim.sum()),
                "precision": float(np.average(table.absent[claim], weights=table.weight[claim])) if claim.any() else 0,
                "Stage's own": [int((table.kind[own] == "absent").sum()), int(own.sum())],
                "recall absent": float(claim[table.kind == "absent"].mean()),
                "recall invented": float(claim[table.kind == "invented"].mean()),
            }
        )  # fmt: skip
    return out


def report(result: dict) -> str:
    """The result as Markdown."""
    lines = [
        "# What the motion grounder's confidence is worth, Stage worlds `dev` and `val`", "",
        f"{result['sentences']} sentences on {result['clips']} clips; x 100.", "",
        *(
            f"World {w}: t_IoU {100 * v['t']:.1f} if all is answered, {100 * v['unsure 0']:.1f} with unsure = 0, whole "
            f"clip {100 * v['whole']:.1f}; at 30 % coverage {100 * v['right 30']:.0f} % right "
            f"({100 * v['right 30 true']:.0f} % "
            "among true sentences), fitted on the other world. At the committed threshold "
            f"{100 * v['sure right']:.0f} % right at {100 * v['sure']:.0f} % coverage.\n"
            for w, v in result["worlds"].items()
        ),
        "Share of best candidates with t_IoU >= 0.5, surest first; the model never saw the clip, domain or kind:", "",
        "| left out | " + " | ".join(result["by"]["clip"]["right at coverage"]) + " | confident | calibration error |",
        "|---" * 13 + "|",
    ]  # fmt: skip
    for name, v in result["by"].items():
        cells = " | ".join(f"{100 * x:.0f}" for x in v["right at coverage"].values())
        c = v["confident"]
        lines.append(
            f"| {name} | {cells} | {100 * c['right']:.0f} at {100 * c['coverage']:.0f} % "
            f"| {100 * v['calibration error']:.1f} |"
        )
    v = result["by"]["domain"]
    lines += [
        "",
        f"Threshold for an answer: {abstention.THRESHOLD}; mean t_IoU {100 * v['t, all answered']:.1f} if all is "
        f"answered, {100 * v['t, unsure 0']:.1f} with unsure = 0; answered are {100 * v['answered']:.0f} % of the "
        f"true sentences, {100 * v['absent answered']:.0f} % of the absent, {100 * v['invented answered']:.0f} % of "
        "the invented (the last before `absent`).", "",
        "Calibration, domain left out:", "", "| n | said | was |", "|---|---|---|",
        *(f"| {b['n']} | {100 * b['said']:.0f} | {100 * b['was']:.0f} |" for b in v["calibration"]),
        "", "`absent`:", "", "| likeness below | claims | precision | Stage's own | recall absent | recall invented |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for a in result["absent"]:
        own = "/".join(map(str, a["Stage's own"]))
        lines.append(
            f"| {a['threshold']} | {a['claims']} | {100 * a['precision']:.0f} | {own} "
            f"| {100 * a['recall absent']:.0f} | {100 * a['recall invented']:.0f} |"
        )
    share = ", ".join(f"{d} {100 * v:.0f} %" for d, v in result["kinds right"].items())
    lines += ["", f"Family of a thing told right, domain left out: {share}."]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the missing clips, fit, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=320)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", help="keep clips and indices here for the next fit")
    parser.add_argument("--fresh", action="store_true", help="forget earlier rows")
    args = parser.parse_args()
    if args.fresh:
        ROWS.unlink(missing_ok=True)
    done = {entry["clip"]: entry for entry in read_lines(ROWS)}
    seeds = [(w, s) for s in range(SEED, SEED + args.clips // 2) for w in WORLDS]
    with ProcessPoolExecutor(args.jobs) as pool:
        missing = [s for s in seeds if f"{s[0]} {s[1]}" not in done]
        for entry in pool.map(partial(clip_rows, folder=args.folder), missing):
            done[entry["clip"]] = entry
            append_line(ROWS, json.dumps(entry))
            print(f"clip {entry['clip']}", file=sys.stderr)
    entries = [done[f"{w} {s}"] for w, s in seeds]
    table = Table([r for e in entries for r in e["rows"]])
    things = [t for e in entries for t in e["things"]]
    weights = table.fit(np.ones(len(table.rows), bool))
    groups = {
        "clip": (np.array([r["clip"] % 8 for r in table.rows]), None),
        "domain": (np.array([r["domain"] for r in table.rows]), None),
        "world": (np.array([r["world"] for r in table.rows]), None),
        "kind": (np.where(table.absent, "absent", table.kind), table.absent),
    }
    frozen = np.array([abstention.FITTED["constant"], *(abstention.FITTED[n] for n in SIGNS)])
    result = {
        "sentences": len(table.rows), "clips": args.clips,
        "fitted": dict(zip(["constant", *SIGNS], np.round(weights, 2).tolist(), strict=True)),
        "by": {
            **{n: table.risk(table.crossed(*g)) for n, g in groups.items()},
            "nothing (as committed)": table.risk(table.chance(frozen)),
        },
        "worlds": worlds(table, table.crossed(*groups["world"])),
        "absent": absent_worth(table), "kinds right": kinds_right(things),
        "kinds fitted": {n: np.round(w, 2).tolist() for n, w in fit_kinds(things).items()},
    }  # fmt: skip
    write_text(HERE / "results" / "fit_confidence.json", json.dumps(result, indent=1) + "\n")
    text = report(result)
    write_text(HERE / "results" / "fit_confidence.md", text)
    print(text)
    print("abstention.FITTED =", json.dumps(result["fitted"], indent=4))
    print("kind_model.WEIGHTS =", json.dumps(result["kinds fitted"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

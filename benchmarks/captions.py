"""Does the check of claims find what a captioner said wrongly? Captions of shapes with planted errors, counted.

    python benchmarks/captions.py [--clips 60]

Two minutes on one core; no network, no weights. Clips of the corpora `pairs` and `varied` are written as files and
captioned by `whenwhere data caption`'s own function with oracles: a coarse one that describes the middle frame, a fine
one that tags each frame with what is in it and where it moves, both with errors that are planted at a known rate, and a
summariser behind a local server that speaks the real protocol and joins what both said. The check sees the captions and
the complete tracks, and not what was planted.

A claim is planted wrong if no shape of the clip bears it out by the plan of the clip, from which the pixels were
painted. Precision of the check: the share of the claims it calls wrong that were planted. Its recall: the share of the
planted ones that it calls wrong. The captions' own precision and recall, as the records have them, stand beside the
planted rate. Writes results/captions.{json,md}.

Expected: objects and their colours exactly; directions nearly so, since a shape that leaves the frame, or is hidden for
most of its way, does what the plan says without moving a tenth of the frame in its visible boxes.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from whenwhere.chat import Client
from whenwhere.curate.captioning import caption_videos
from whenwhere.curate.captions import CaptionJob, CaptionModels, ChatSummariser
from whenwhere.curate.claims import Claim, read_claims
from whenwhere.curate.clip_tracks import TruthTracks
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item, span_array
from whenwhere.models.captioners import ClipFrames
from whenwhere.spans import SpanSet
from whenwhere.stage.shapes.captioned import CaptionedShapes, make_captioned, phrase
from whenwhere.stage.shapes.corpus import CORPORA
from whenwhere.stage.shapes.words import SHAPE_COLOURS, SHAPE_VERBS, SHAPES
from whenwhere.stage.streams import random_stream
from whenwhere.store import Cache, read_lines, write_text
from whenwhere.tubes import Tube
from whenwhere.video import FrameWriter

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))
from chat_server import ChatServer, Request  # noqa: E402

SIDE, FPS = 96, 8
WAYS = ("left", "right", "up", "down")
RATES = (0.0, 0.1, 0.3)
SENTENCES = (
    "{0} moves {1}", "a {0} drifts {1}", "the {0} is moving {1}", "the {0} slides slowly {1}",
    "there is a {0} that goes {1}",
)  # fmt: skip


@lru_cache(maxsize=256)
def clip_of(name: str) -> CaptionedShapes:
    """The clip that a file's name means: corpus and seed."""
    corpus, _, seed = name.rpartition("-")
    return make_captioned(replace(CORPORA[corpus], side=SIDE, frames=32), int(seed))


def label(clip: CaptionedShapes, k: int) -> str:
    """The noun phrase of a shape of a clip."""
    return phrase(clip.plan.things[k]).removeprefix("the ")


def write_clips(folder: Path, corpus: str, count: int) -> Path:
    """Clips of a corpus, and their complete tracks."""
    items = []
    for seed in range(count):
        clip = clip_of(f"{corpus}-{seed}")
        path = folder / f"{corpus}-{seed}.mp4"
        with FrameWriter(path, SIDE, SIDE, FPS, crf=12) as video:
            for image in clip.images:
                video.write(image)
        n = len(clip.images)
        whole = SpanSet([(0.0, n / FPS)])
        tubes = []
        for k in range(len(clip.boxes)):
            good = np.isfinite(clip.boxes[k]).all(axis=1)
            if good.any():
                tubes.append(Tube(whole, np.arange(n)[good] / FPS, clip.boxes[k][good], rate=FPS, label=label(clip, k)))
        items.append(Item(path.stem, path.name, spans=span_array([(0.0, n / FPS)]), tubes=tubes, width=SIDE,
                          height=SIDE))  # fmt: skip
    manifest.write(items, folder / "tracks.jsonl")
    return folder / "tracks.jsonl"


class Oracle:
    """Says what a frame shows, with errors at a known rate, and remembers what it planted.

    Args:
        rate: Share of the names and directions that are wrong.
        moves: Whether it also says where things move.
        planted: Claims that were planted, by clip.
    """

    concurrency, priced, name = 1, False, "oracle"

    def __init__(self, rate: float, moves: bool, planted: dict[str, set[Claim]]) -> None:
        self.rate, self.moves, self.planted = rate, moves, planted

    def caption(self, frames: ClipFrames) -> list[str]:
        """One list of tags for each frame."""
        name = Path(frames.video).stem
        clip = clip_of(name)
        rows = np.clip(np.round(frames.times * FPS).astype(int), 0, len(clip.images) - 1)
        return [self._tags(name, clip, int(row)) for row in rows]

    def prompt_tokens(self, width: int, height: int) -> int:
        """It costs nothing."""
        return 0

    def close(self) -> None:
        """It holds nothing."""

    def _tags(self, name: str, clip: CaptionedShapes, row: int) -> str:
        there = {(thing.colour, thing.shape) for thing in clip.plan.things}
        said = []
        for k, thing in enumerate(clip.plan.things):
            if clip.seen[k, row] < 0.5:
                continue
            # an error is made about a shape of a clip once and for all, as a tagger errs
            rng = random_stream(thing.number, "caption errors", name, str(self.moves))
            u, v, pick, way = rng.random(), rng.random(), rng.integers(1 << 20), int(rng.integers(3))
            words = label(clip, k)
            if u < self.rate:
                others = [
                    f"{colour} {shape}"
                    for c, colour in enumerate(SHAPE_COLOURS)
                    for s, shape in enumerate(SHAPES)
                    if (c, s) not in there
                ]
                words = others[int(pick) % len(others)]
                self.planted[name].add(Claim(words))
            acts = [a for a in thing.acts if a.start <= row < a.end and SHAPE_VERBS[a.verb].startswith("moves ")]
            if not (self.moves and acts):
                said.append(("a {0}", "the {0}", "{0}")[int(pick) % 3].format(words))
                continue
            true = SHAPE_VERBS[acts[0].verb].split()[1]
            told = [w for w in WAYS if w != true][way] if v < self.rate else true
            if told != true or u < self.rate:
                self.planted[name].add(Claim(words, told))
            said.append(SENTENCES[int(pick) % len(SENTENCES)].format(words, told))
        return ", ".join(dict.fromkeys(said))


def fused(request: Request) -> str:
    """Joins what both scales said, each thing once."""
    lines = [line.split(": ", 1)[1] for line in request.text().splitlines() if line.startswith("The ")]
    return "; ".join(dict.fromkeys(part for line in lines for part in line.split(", ")))


def measured(folder: Path, tracks: Path, rate: float) -> dict[str, object]:
    """The check against what was planted, at one rate of errors."""
    planted: dict[str, dict[str, set[Claim]]] = {scale: {} for scale in ("coarse", "fine")}
    for path in folder.glob("*.mp4"):
        for known in planted.values():
            known[path.stem] = set()
    job = CaptionJob(
        coarse="oracle", fine="oracle", fused="oracle", fps=4.0, frames=64, width=SIDE, words=300, shots="whole"
    )
    out = folder / f"captions-{rate:g}.jsonl"
    with ChatServer(fused) as server, Client(f"{server.url}#test-model", cache=Cache(enabled=False)) as client:
        models = CaptionModels(
            Oracle(rate, False, planted["coarse"]), Oracle(rate, True, planted["fine"]), ChatSummariser(client),
            tracks=TruthTracks(tracks),
        )  # fmt: skip
        report = caption_videos([folder], out, models, job)
    assert not report.faults, report.faults
    found: dict[str, object] = {"clips": report.written, "captions": report.claims}
    for scale in ("coarse", "fine", "fused"):
        n: dict[str, Counter[str]] = {"objects": Counter(), "directions": Counter()}
        for line in read_lines(out):
            name = Path(line["video"]).stem
            known = planted["coarse"][name] | planted["fine"][name] if scale == "fused" else planted[scale][name]
            called = set(line["extra"]["claims"][scale]["wrong"])
            for claim in read_claims(line["extra"][f"caption_{scale}"]):
                kind = "objects" if claim.direction is None else "directions"
                right = true_by_plan(name, claim)
                assert right or claim in known, (name, claim)
                n[kind].update(claims=1, planted=not right, called=str(claim) in called,
                               both=not right and str(claim) in called)  # fmt: skip
        found[scale] = {
            kind: {
                **count,
                "precision": round(count["both"] / count["called"], 4) if count["called"] else None,
                "recall": round(count["both"] / count["planted"], 4) if count["planted"] else None,
            }
            for kind, count in n.items()
        }
    return found


def true_by_plan(name: str, claim: Claim) -> bool:
    """Whether the plan of a clip bears a claim out."""
    clip = clip_of(name)
    for k, thing in enumerate(clip.plan.things):
        if label(clip, k) == claim.phrase:
            verbs = {SHAPE_VERBS[a.verb] for a in thing.acts}
            if claim.direction is None or f"moves {claim.direction}" in verbs:
                return True
    return False


def main() -> None:
    """Writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=60)
    count = parser.parse_args().clips
    results: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for corpus in ("pairs", "varied"):
            place = Path(folder) / corpus
            place.mkdir()
            tracks = write_clips(place, corpus, count)
            results[corpus] = {f"{rate:g}": measured(place, tracks, rate) for rate in RATES}
    heads = ("corpus", "planted rate", "captions", "claims", "planted", "called wrong", "precision of the check",
             "its recall", "captions' precision", "their recall")  # fmt: skip
    rows = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for corpus, by_rate in results.items():
        for rate, one in by_rate.items():
            for kind in ("objects", "directions"):
                for scale in ("coarse", "fine", "fused"):
                    n, own = one[scale][kind], one["captions"].get(scale, {}).get(kind, {})  # type: ignore[index,attr-defined]
                    if n.get("claims"):
                        cells = [corpus, rate, f"{scale}, {kind}", n["claims"], n["planted"], n["called"],
                                 n["precision"], n["recall"], own.get("precision"), own.get("recall")]  # fmt: skip
                        rows.append("| " + " | ".join("–" if c is None else str(c) for c in cells) + " |")
    text = "\n".join(
        ["# The check of claims against planted errors", "", f"{count} clips of each corpus.", "", *rows, ""]
    )
    print(text)
    (HERE / "results").mkdir(exist_ok=True)
    write_text(HERE / "results" / "captions.md", text)
    write_text(HERE / "results" / "captions.json", json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""The validation split renders, is true and repeatable, and shares no place, look, law or word with other splits."""

import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whenwhere.errors import SettingError
from whenwhere.stage import Scene, Stage, build_world, render_clip
from whenwhere.stage.casting import SPLIT_TEXTURES
from whenwhere.stage.compose import Compositor
from whenwhere.stage.domains import DEV_DOMAINS
from whenwhere.stage.palette import HAIR, PAINTS
from whenwhere.stage.plots import PACE
from whenwhere.stage.script import LAWS, walk
from whenwhere.stage.splits import PLACES, SPLIT_SEEDS
from whenwhere.stage.val import VAL
from whenwhere.stage.valplaces import VAL_BACKGROUNDS, VAL_DOMAINS
from whenwhere.stage.wordings import DEV, Words
from whenwhere.video import probe

SMALL: dict[str, Any] = {"width": 128, "height": 72, "fps": 8.0}
SEEDS = range(30)


@cache
def staged(seed: int, domain: str | None = None) -> Scene:
    stage = Stage(build_world(seed, "val", domain, **SMALL))
    for _ in stage.frames():
        pass
    return stage.scene()


def test_a_validation_clip_is_written_with_its_truth(tmp_path: Path) -> None:
    scene = render_clip(tmp_path / "a.mp4", 5, "val", **SMALL)
    info = probe(tmp_path / "a.mp4")
    assert (info.width, info.height) == (128, 72) and info.duration == pytest.approx(scene.duration, abs=1e-3)
    assert scene.world.split == "val" and scene.world.domain in VAL_DOMAINS and len(scene.sentences) >= 3
    again = render_clip(tmp_path / "b.mp4", 5, "val", **SMALL)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert np.array_equal(scene.boxes, again.boxes, equal_nan=True)
    assert [(q.text, q.kind, q.actor, q.spans) for q in scene.sentences] == [
        (q.text, q.kind, q.actor, q.spans) for q in again.sentences
    ]


@pytest.mark.parametrize("domain", list(VAL_DOMAINS))
def test_every_validation_place_is_painted_and_peopled(domain: str) -> None:
    world = build_world(3, "val", domain, cuts=False, seconds=8.0, **SMALL)
    compositor = Compositor(world)
    frames, boxes = zip(*compositor.frames(), strict=True)
    assert np.std(frames[0].astype(float).mean(2)) > 8  # a picture, not a wall
    assert np.isfinite(np.stack(boxes)).any()
    for i in range(0, world.frames, 8):
        for actor in world.actors:
            if np.isfinite(boxes[i][actor.id, 0]):
                mask = compositor.silhouette(actor, i)
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                assert boxes[i][actor.id].tolist() == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def test_a_place_belongs_to_its_split() -> None:
    for split, other in (("val", "street"), ("dev", "beach")):
        with pytest.raises(SettingError, match="domain"):
            build_world(0, split, other, **SMALL)


def test_events_are_what_validation_boxes_do() -> None:
    seen: set[str] = set()
    for seed in SEEDS:
        scene = staged(seed)
        for e in scene.events:
            seen.add(e.what)
            first, last = round(e.start * scene.fps), round(e.end * scene.fps)
            boxes = scene.boxes[e.actor, first:last]
            boxes = boxes[~np.isnan(boxes[:, 0])]
            if e.what == "cross" and e.direction in ("left", "right"):
                centre = (boxes[:, 0] + boxes[:, 2]) / 2
                assert (centre[-1] > centre[0]) == (e.direction == "right")
            if e.what in ("stand", "rest") and not scene.moving:
                assert np.ptp(boxes[:, 3]) <= 2
            if e.what in ("leave", "cross", "taken", "vanish"):
                assert np.isnan(scene.boxes[e.actor, last : last + 2, 0]).all()
    assert seen >= {"there", "cross", "enter", "leave", "stand", "turn", "put", "taken", "rest", "appear", "vanish"}


def test_every_kind_of_sentence_comes_up_and_is_whole() -> None:
    kinds: dict[str, int] = {}
    for seed in SEEDS:
        for q in staged(seed).sentences:
            kinds[q.kind] = kinds.get(q.kind, 0) + 1
            assert q.absent == (q.kind == "absent") == (len(q.tube) == 0)
            assert q.text == " ".join(q.text.split()) and not re.search(r"[{}~]", q.text), q.text
            assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", q.text), q.text
            assert not re.search(r"\b(the|a|an|this) (someone|somebody|the|a|this)\b", q.text), q.text
    wanted = (
        "appearance clothing direction order enter leave return stand turn while after before side size put taken rest "
        "appear vanish absent"
    )
    assert set(kinds) == set(wanted.split()), set(wanted.split()) ^ set(kinds)


def unframed(text: str) -> str:
    """The clause inside a question or a request."""
    for frame in sorted(VAL.frames, key=len, reverse=True):
        found = re.fullmatch(re.escape(frame).replace(r"\{s\}", "(.+)"), text)
        if found:
            return str(found[1])
    return text


def test_what_is_asked_for_and_absent_is_not_there() -> None:
    patterns = [re.escape(t.removeprefix("~")).replace(r"\{np\}", "(.+)") for t in VAL.templates["there"]]
    asked = 0
    for seed in SEEDS:
        scene = staged(seed)
        for q in scene.sentences:
            text = unframed(q.text)
            if q.kind != "absent" or not any(re.fullmatch(p, text) for p in patterns):
                continue
            asked += 1
            nouns = [(n, k) for k, names in VAL.nouns.items() for n in names if re.search(rf"\b{n}\b", text)]
            kind = max(nouns)[1] if len(nouns) == 1 else max(nouns, key=lambda n: len(n[0]))[1]
            hair = "hair" in text
            paints = (HAIR if hair else PAINTS)["val"]
            (family,) = {p.family for p in paints if any(re.search(rf"(?<![\w-]){w}(?![\w-])", text) for w in p.words)}
            for a in scene.world.actors:
                if a.kind == kind and np.isfinite(scene.boxes[a.id, :, 0]).any():
                    worn = [p.family for n, p in a.paints.items() if (n == "hair") == hair]
                    assert family not in worn, (seed, q.text)
    assert asked > 4


def test_nothing_of_development_is_in_validation() -> None:
    def flat(value: object) -> set[str]:
        if isinstance(value, str):
            return {value}
        if isinstance(value, dict):
            return set().union(*map(flat, value.values()))
        return set().union(*map(flat, value)) if isinstance(value, tuple) else set()

    for field in fields(Words):
        if field.name not in ("articles", "forms"):
            assert not flat(getattr(DEV, field.name)) & flat(getattr(VAL, field.name)), field.name

    mine, theirs = ([p for table in (PAINTS, HAIR) for p in table[split]] for split in ("val", "dev"))
    assert not {w for p in mine for w in p.words} & {w for p in theirs for w in p.words}
    assert not {p.rgb for p in mine} & {p.rgb for p in theirs}
    assert not set(VAL_DOMAINS) & set(DEV_DOMAINS) and set(VAL_BACKGROUNDS) == {
        d.background for d in VAL_DOMAINS.values()
    }
    assert not {d.background for d in VAL_DOMAINS.values()} & {d.background for d in DEV_DOMAINS.values()}
    assert not set(LAWS["val"]) & set(LAWS["dev"]) and not set(SPLIT_TEXTURES["val"]) & set(SPLIT_TEXTURES["dev"])
    for family, pace in PACE["val"].items():
        assert not set(pace) & set(PACE["dev"][family])
    assert len(set(SPLIT_SEEDS.values())) == len(SPLIT_SEEDS) and set(PLACES) == set(SPLIT_SEEDS)


def test_validation_has_words_for_all_it_shows_and_many_of_them() -> None:
    assert DEV.templates.keys() <= VAL.templates.keys() and DEV.nouns.keys() <= VAL.nouns.keys()
    assert min(len(set(t)) for t in VAL.templates.values()) >= 10 and min(map(len, VAL.links.values())) >= 10
    kinds = {k for d in VAL_DOMAINS.values() for k in (*d.sizes, *d.cast)}
    assert kinds <= VAL.nouns.keys() and all(set(d.cast) <= set(d.sizes) for d in VAL_DOMAINS.values())
    assert {p for d in VAL_DOMAINS.values() for p in (d.table, d.floor) if p} <= VAL.places.keys()
    verbs = {v for pair in VAL.moves.values() for some in pair for v in some}
    assert verbs == VAL.forms.keys()
    assert all(v.startswith(base[:-1]) and part.endswith("ing") for v, (part, base) in VAL.forms.items())


def test_a_bow_stays_between_its_ends() -> None:
    world = next(w for s in range(60) if (w := build_world(s, "val", "beach", cuts=False, **SMALL)) and any(
        leg.law == "bowed" and leg.act == "go" for a in w.actors for leg in a.legs))  # fmt: skip
    actor = next(a for a in world.actors if any(leg.law == "bowed" and leg.act == "go" for leg in a.legs))
    leg = next(leg for leg in actor.legs if leg.law == "bowed" and leg.act == "go")
    path = walk(actor.legs, max(leg.end + 1, world.frames))
    y = path.y[leg.start : leg.end]
    straight = np.linspace(leg.a[1], leg.b[1], len(y))
    assert y[0] == pytest.approx(leg.a[1], abs=1e-6) and 0.01 < np.nanmax(np.abs(y - straight)) < 0.15

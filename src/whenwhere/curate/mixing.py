"""Several sets mixed to one manifest: by weights, with caps, the same result every time, each item with its origin.

    from whenwhere.curate.mixing import MixPart, mix

    result = mix([MixPart("sta", sta_items, weight=2), MixPart("didemo", didemo_items, cap=500)], count=3000)

Which items of a set are taken follows from the seed and their ids alone. So a set gives the same items whatever else is
in the mix, and a larger share of it contains the smaller one. No item is taken twice: where a set has too few for its
share, the mix is smaller, and the report says which set decided. (A recipe mixes while it trains, `[[data.mix]]`, and
reads small sets several times. A mixed manifest is for everything else, and for other trainers.)
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from whenwhere.curate.item_sets import ItemSet, moved, read_set
from whenwhere.curate.names import video_key
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item
from whenwhere.errors import SettingError, did_you_mean


@dataclass
class MixPart:
    """One set of a mix.

    Attributes:
        name: Name of the set, which its items' ids begin with.
        items: Its items.
        weight: Its share of the mix, before division by the sum of the weights. None takes all its items, up to `cap`.
        cap: Most items of it. None: no limit.
        file: Where it was read from, for the provenance.
    """

    name: str
    items: Sequence[Item]
    weight: float | None = None
    cap: int | None = None
    file: str = ""


@dataclass
class Mix:
    """The result of `mix`.

    Attributes:
        items: The mixed items, in an order that follows from the seed.
        taken: Number of items of each set.
        had: Number of items that each set has.
        short: The set that had too few for its share and so made the mix smaller; None if there was none.
        shared: Number of videos that are in more than one set, by their names' keys.
        faults: One sentence for each line that could not be read.
    """

    items: list[Item]
    taken: dict[str, int]
    had: dict[str, int]
    short: str | None = None
    shared: int = 0
    faults: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The counts as JSON values."""
        return {
            "items": len(self.items), "taken": self.taken, "had": self.had, "short": self.short,
            "videos_in_several_sets": self.shared, "unreadable_lines": len(self.faults), "faults": self.faults,
        }  # fmt: skip


def mix(parts: Sequence[MixPart], count: int | None = None, seed: int = 0) -> Mix:
    """Mix sets by weight.

    Args:
        parts: The sets. Either all have weights or none; without weights all items are taken, up to the caps.
        count: Number of items of the mix. None takes as many as the weights allow.
        seed: Seed of the choice and of the order.

    Raises:
        SettingError: Sets share a name, weights or caps make no sense, or nothing would be left.

    >>> items = [Item(str(k), "v") for k in range(100)]
    >>> found = mix([MixPart("a", items, weight=3), MixPart("b", items[:10], weight=1)])
    >>> found.taken, found.short, found.items[0].id[:2] in ("a/", "b/")
    ({'a': 30, 'b': 10}, 'b', True)
    """
    _check(parts, count)
    has = [len(part.items) if part.cap is None else min(part.cap, len(part.items)) for part in parts]
    taken, short = _quotas(parts, has, count)
    chosen: list[tuple[str, Item]] = []
    videos: Counter[str] = Counter()
    for part, quota in zip(parts, taken, strict=True):
        videos.update({video_key(item.video) for item in part.items})
        ranked = sorted(range(len(part.items)), key=lambda k: (_draw(seed, part, k), k))
        for k in ranked[:quota]:
            item = part.items[k]
            origin = {"set": part.name, "id": item.id} | ({"file": part.file} if part.file else {})
            name = f"{part.name}/{item.id}"
            mixed = replace(item, id=name, provenance=item.provenance | {"mix": origin})
            chosen.append((_hash(seed, "order", name, k), mixed))
    chosen.sort(key=lambda pair: pair[0])
    return Mix(
        [item for _, item in chosen],
        {part.name: quota for part, quota in zip(parts, taken, strict=True)},
        {part.name: len(part.items) for part in parts},
        None if short is None else parts[short].name,
        sum(number > 1 for number in videos.values()),
    )


def mix_files(
    given: Sequence[str | Path],
    out: str | Path,
    *,
    weights: Mapping[str, float] | None = None,
    caps: Mapping[str, int] | None = None,
    count: int | None = None,
    seed: int = 0,
) -> Mix:
    """Mix manifests and released files into one manifest.

    Args:
        given: The sets: paths of manifests, or `BENCHMARK=FILE`.
        out: The manifest to write.
        weights: Weight of each set by its name: the manifest's stem, or `benchmark:stem`. Empty takes all items.
        caps: Most items of sets by their names.
        count: Number of items of the mix. None takes as many as the weights allow.
        seed: Seed of the choice and of the order.

    Raises:
        RecordError: A file is missing or has no line that can be read.
        SettingError: A name is unknown, weights or caps make no sense, or nothing would be left.
        OutputError: The file cannot be written, or the disk is full.
    """
    sets = [read_set(one) for one in given]
    names = [one.name for one in sets]
    target = Path(out)
    for one in sets:
        if target.exists() and target.samefile(one.path):
            raise SettingError(f"{target} is one of the sets that are mixed: choose another --out")
    for option, table in (("--weight", weights or {}), ("--cap", caps or {})):
        for name in table:
            if name not in names:
                raise SettingError(f"{option} names {name!r}, which is not mixed{did_you_mean(name, names)}")
    weighted = bool(weights)
    parts = [
        MixPart(
            one.name, one.items, (weights or {}).get(one.name, 1.0) if weighted else None,
            (caps or {}).get(one.name), one.path.name,
        )
        for one in sets
    ]  # fmt: skip
    result = mix(parts, count, seed)
    result.faults = [fault for one in sets for fault in one.faults]
    by_name: dict[str, ItemSet] = {one.name: one for one in sets}

    def located(item: Item) -> Item:
        return moved(item, by_name[item.provenance["mix"]["set"]].path_of(item), target.parent)

    manifest.write(map(located, result.items), target)
    return result


def _check(parts: Sequence[MixPart], count: int | None) -> None:
    if not parts:
        raise SettingError("a mix needs at least one set")
    repeated = [name for name, number in Counter(part.name for part in parts).items() if number > 1]
    if repeated:
        raise SettingError(
            f"two sets are called {repeated[0]!r}, so their items would have the same ids: rename a file"
        )
    given = [part.weight for part in parts if part.weight is not None]
    if given and len(given) < len(parts):
        raise SettingError("some sets of the mix have a weight and some have none: give all of them one, or none")
    for part in parts:
        if part.weight is not None and not (math.isfinite(part.weight) and part.weight > 0):
            raise SettingError(f"the weight of {part.name!r} is {part.weight:g}, not above 0: leave the set out")
        if part.cap is not None and part.cap < 1:
            raise SettingError(f"the cap of {part.name!r} is {part.cap}, not at least 1: leave the set out")
        if not part.items:
            raise SettingError(f"the set {part.name!r} has no items: leave it out")
    if count is not None and count < 1:
        raise SettingError(f"a mix has at least 1 item, not {count}")


def _quotas(parts: Sequence[MixPart], has: Sequence[int], count: int | None) -> tuple[list[int], int | None]:
    """How many items of each set are taken, and the set that was too small for its share."""
    if parts[0].weight is None:
        if count is None or count >= sum(has):
            return list(has), None
        shares = [size / sum(has) for size in has]
    else:
        total = sum(part.weight or 0.0 for part in parts)
        shares = [(part.weight or 0.0) / total for part in parts]
    most = min(size / share for size, share in zip(has, shares, strict=True))
    wanted = most if count is None else min(float(count), most)
    short = None
    if parts[0].weight is not None and (count is None or count > most):
        short = min(range(len(parts)), key=lambda k: has[k] / shares[k])
    exact = [wanted * share for share in shares]
    taken = [min(math.floor(value + 1e-9), size) for value, size in zip(exact, has, strict=True)]
    # what rounding lost goes to those that lost most, the first of equals first
    rest = math.floor(sum(exact) + 1e-9) - sum(taken)
    for k in sorted(range(len(parts)), key=lambda k: (taken[k] - exact[k], k)):
        if rest > 0 and taken[k] < has[k]:
            taken[k] += 1
            rest -= 1
    return taken, short


def _draw(seed: int, part: MixPart, k: int) -> str:
    return _hash(seed, "draw", part.items[k].id, 0)


def _hash(seed: int, *about: object) -> str:
    return hashlib.blake2b(json.dumps([seed, *about]).encode(), digest_size=16).hexdigest()

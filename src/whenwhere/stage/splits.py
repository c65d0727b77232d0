"""The three splits and their places.

`dev` is what the built-in grounder was developed on. `val` is a second world for measuring what development did to an
unseen one: its places, looks, builds, laws of motion and words are its own (`val`, `valplaces`), so that a grounder
may be tuned against it without spending `heldout`. `heldout` has the places of `dev` in another dress.
"""

from whenwhere.stage.domains import DEV_DOMAINS, Domain
from whenwhere.stage.valplaces import VAL_DOMAINS

#: Split → what is added to a seed: no script of one split is a script of another.
SPLIT_SEEDS = {"dev": 0, "val": 2 << 32, "heldout": 1 << 32}
#: Split → its places by name.
PLACES: dict[str, dict[str, Domain]] = {"dev": DEV_DOMAINS, "val": VAL_DOMAINS, "heldout": DEV_DOMAINS}
#: Every place by name; no name is in two splits that differ in places.
EVERY_PLACE = DEV_DOMAINS | VAL_DOMAINS

"""The three splits and their places.

The built-in grounder was developed on `dev`. `val` is a second world that measures how well that development carries
over to an unseen one: its places, looks, builds, laws of motion and words are its own (`val`, `valplaces`), so that a
grounder may be tuned on it without spending `heldout`. `heldout` has the places of `dev` with another look.
"""

from whenwhere.stage.domains import DEV_DOMAINS, Domain
from whenwhere.stage.valplaces import VAL_DOMAINS

#: Offset that each split adds to a seed, so that no script of one split is a script of another.
SPLIT_SEEDS = {"dev": 0, "val": 2 << 32, "heldout": 1 << 32}
#: Places of each split by name.
PLACES: dict[str, dict[str, Domain]] = {"dev": DEV_DOMAINS, "val": VAL_DOMAINS, "heldout": DEV_DOMAINS}
#: Every place by name. A name shared by two splits means the same place.
EVERY_PLACE = DEV_DOMAINS | VAL_DOMAINS

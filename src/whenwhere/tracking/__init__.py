"""Second-level boxes: at which seconds they are asked for, and how they become boxes of every frame.

- `second_level_times` — the instants of a span at a rate;
- `repair` — what a model printed and no box can be made of, taken out;
- `smooth` — second-level boxes to steadier second-level boxes;
- `fill`, `fill_all` — boxes at any time in between: `linear`, `pchip`, `hold`, and `flow`, which looks at the pixels;
- `find_cuts`, `anchor_cuts` — shot cuts, which nothing is interpolated across.
"""

from whenwhere.tracking.cuts import anchor_cuts, find_cuts
from whenwhere.tracking.fill import fill, fill_all
from whenwhere.tracking.rate import second_level_times
from whenwhere.tracking.repair import repair
from whenwhere.tracking.smooth import smooth

__all__ = ["anchor_cuts", "fill", "fill_all", "find_cuts", "repair", "second_level_times", "smooth"]

"""Second-level boxes: at which seconds they are asked for, and how they become boxes of every frame.

- `second_level_times`: the instants of a span at a rate;
- `repair`: drops the printed rows that are not boxes;
- `smooth`: second-level boxes to steadier second-level boxes;
- `fill_tube`, `fill_tubes`: boxes at any time in between: `linear`, `pchip`, `hold`, and `flow`, which uses the pixels;
- `find_cuts`, `JumpFinder`, `anchor_cuts`: shot cuts, across which nothing is interpolated.
"""

from whenwhere.tracking.cuts import JumpFinder, anchor_cuts, find_cuts
from whenwhere.tracking.fill import fill_tube, fill_tubes
from whenwhere.tracking.rate import second_level_times
from whenwhere.tracking.repair import repair
from whenwhere.tracking.smooth import smooth

__all__ = [
    "JumpFinder",
    "anchor_cuts",
    "fill_tube",
    "fill_tubes",
    "find_cuts",
    "repair",
    "second_level_times",
    "smooth",
]

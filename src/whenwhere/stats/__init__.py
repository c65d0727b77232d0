"""Intervals, tests and sample sizes for comparing two systems on the same items.

Which one to use depends on what is claimed:

- *This component helps* (a claim about training): train both arms with the same seeds and apply `paired_t` to the
  difference of each seed. From six seeds on `sign_flip` makes the same claim without assuming a normal distribution.
  Plan with at least eight seeds (`minimum_detectable_effect` says what they can show), correct several primary
  metrics with `holm`, and show that a cheaper variant is not worse with `noninferiority`. That it helps one task more
  than another is a claim of its own: `interaction`.
- *This checkpoint beats that one* (a claim about two fixed sets of answers): `paired_difference`, a bootstrap over
  videos. It ignores how much training varies between seeds and must not be used for the first kind of claim.
- *How large is the difference, over seeds and items together* (a description, not a test): `crossed_bootstrap`.

`benchmarks/calibration.py` measures how often each of them finds a difference where there is none.

Importing this package loads numpy alone; the functions that need SciPy's distributions import it when called.
"""

from whenwhere.stats.bootstrap import bootstrap_mean, bootstrap_means, crossed_bootstrap, paired_difference
from whenwhere.stats.interaction import InteractionTest, interaction
from whenwhere.stats.interval import Interval
from whenwhere.stats.jackknife import jackknife
from whenwhere.stats.multiplicity import holm
from whenwhere.stats.noninferiority import Noninferiority, noninferiority
from whenwhere.stats.paired import PairedTest, paired_t, sign_flip
from whenwhere.stats.power import minimum_detectable_effect, paired_t_power

__all__ = [
    "InteractionTest",
    "Interval",
    "Noninferiority",
    "PairedTest",
    "bootstrap_mean",
    "bootstrap_means",
    "crossed_bootstrap",
    "holm",
    "interaction",
    "jackknife",
    "minimum_detectable_effect",
    "noninferiority",
    "paired_difference",
    "paired_t",
    "paired_t_power",
    "sign_flip",
]

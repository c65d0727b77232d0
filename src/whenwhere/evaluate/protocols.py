"""All protocols by name. Each file of a task exports its own tuple; this is the one list of them.

Importing it is light (numpy only): what needs SciPy imports it where it is used.
"""

from whenwhere.evaluate import absence, detection, didemo, multispan, qa, qvhighlights, temporal, tubes
from whenwhere.evaluate.scores import Protocol

#: Name → protocol, in the order they are listed to a reader.
PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        *temporal.PROTOCOLS,
        *multispan.PROTOCOLS,
        *qvhighlights.PROTOCOLS,
        *didemo.PROTOCOLS,
        *qa.PROTOCOLS,
        *absence.PROTOCOLS,
        *detection.PROTOCOLS,
        *tubes.PROTOCOLS,
    )
}

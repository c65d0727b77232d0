"""All protocols by name; each file exports its own tuple `PROTOCOLS`, and this is the one list of them.

Importing it is light (numpy only): functions that need SciPy import it when they are called.
"""

from whenwhere.evaluate import (
    absence,
    detection,
    didemo,
    multispan,
    qa,
    qvhighlights,
    recognition,
    retrieval,
    temporal,
    tubes,
    vqa,
)
from whenwhere.evaluate.protocol import Protocol

#: Name → protocol, in the order in which they are listed.
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
        *retrieval.PROTOCOLS,
        *recognition.PROTOCOLS,
        *vqa.PROTOCOLS,
    )
}

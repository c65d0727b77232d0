"""Decomposition of v = t · s: what an answer loses in time and in space, with the truth in place of one at a time.

- `m_tIoU`, `m_sIoU`, `m_vIoU`: the means over all items of t, s and v, as in `default-tubes`.
- `oracle-time`: the true spans with the answered boxes (held and filled inside them as in any tube): the v that the
  right time would give. Boxes that were answered outside the true time cannot help.
- `oracle-space`: the answered spans with the true boxes: the v that right boxes would give, which is t.
- `wrong-object`: share of items answered at the right time with the wrong object (t >= 0.5 and s < 0.1).

The true time can lower v of a single item (a short answer with its best box only, held over the whole span), so the
rows do not bound each other.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from whenwhere.datasets.item import Item
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Scores
from whenwhere.evaluate.temporal import look_up, means
from whenwhere.evaluate.tubes.continuous import gather

#: Least t of a right time, and the s below which the object counts as wrong.
RIGHT_TIME, WRONG_PLACE = 0.5, 0.1


def decomposition(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score m_tIoU, m_sIoU, m_vIoU, oracle-time, oracle-space and wrong-object, per item and per type of query.

    Args:
        items: The questions with true tubes.
        by_id: The answers by item id.

    Returns:
        Scores with one column for each measure; a missing answer counts 0 in all of them.

    >>> from whenwhere.datasets.item import span_array
    >>> from whenwhere.evaluate.prediction import Boxes
    >>> from whenwhere.spans import SpanSet
    >>> from whenwhere.tubes import Tube
    >>> box, times = np.array([[0.0, 0, 2, 2]] * 4), np.arange(4.0)
    >>> item = Item("a", "v", spans=span_array([(0, 4)]), tubes=[Tube(SpanSet([(0, 4)]), times, box)])
    >>> given = Prediction("a", spans=span_array([(0, 2)]), boxes=[Boxes(times[:2], box[:2])])
    >>> {k: round(v, 3) for k, v in decomposition([item], {"a": given}).summary.items()}
    {'m_tIoU': 0.5, 'm_sIoU': 1.0, 'm_vIoU': 0.5, 'oracle-time': 1.0, 'oracle-space': 0.5, 'wrong-object': 0.0}
    """
    kept, predictions, notes = look_up(items, by_id)
    found = gather(kept, predictions, oracle=True)
    t, s = found["m_tIoU"], found["m_sIoU"]
    columns = {
        "m_tIoU": t,
        "m_sIoU": s,
        "m_vIoU": found["m_vIoU"],
        "oracle-time": found["oracle-time"],
        "oracle-space": t.copy(),
        "wrong-object": ((t >= RIGHT_TIME) & (s < WRONG_PLACE)).astype(np.float64),
    }
    return means(kept, columns, notes)

"""Where an answer loses: in time or in space. v = t · s, and one of the two at a time replaced by the truth.

- `t`, `s`, `v`: means as in `default-tubes`.
- `oracle-time`: the true spans with the answered boxes (held and filled inside them as in any tube): what v would be if
  the time had been right. Boxes that were answered outside the true time cannot help.
- `oracle-space`: the answered spans with the true boxes: what v would be if every box had been right; it is t.
- `wrong-object`: share of items answered at the right time with the wrong thing (t >= 0.5 and s < 0.1).

Taking the true time can lower v of a single item (a short answer with its best box only, held over the whole span), so
the rows are not bounds of each other.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from whenwhere.datasets.item import Item
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Scores
from whenwhere.evaluate.temporal import look_up, means
from whenwhere.evaluate.tubes.continuous import gather

#: At or above this t the time counts as right, and below this s the object as wrong.
RIGHT_TIME, WRONG_PLACE = 0.5, 0.1


def decomposition(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Means of t, s, v, oracle-time, oracle-space and wrong-object, per item and per kind of query.

    Args:
        items: with tubes.
        by_id: answers.

    Returns:
        Scores with one column per measure; missing answers count 0 in all of them.

    >>> from whenwhere.datasets.item import span_array
    >>> from whenwhere.evaluate.prediction import Boxes
    >>> from whenwhere.spans import SpanSet
    >>> from whenwhere.tubes import Tube
    >>> box, times = np.array([[0.0, 0, 2, 2]] * 4), np.arange(4.0)
    >>> item = Item("a", "v", spans=span_array([(0, 4)]), tubes=[Tube(SpanSet([(0, 4)]), times, box)])
    >>> given = Prediction("a", spans=span_array([(0, 2)]), boxes=[Boxes(times[:2], box[:2])])
    >>> {k: round(v, 3) for k, v in decomposition([item], {"a": given}).summary.items()}
    {'t': 0.5, 's': 1.0, 'v': 0.5, 'oracle-time': 1.0, 'oracle-space': 0.5, 'wrong-object': 0.0}
    """
    kept, predictions, notes = look_up(items, by_id)
    found = gather(kept, predictions, oracle=True)
    t, s = found["m_tIoU"], found["m_sIoU"]
    columns = {
        "t": t,
        "s": s,
        "v": found["m_vIoU"],
        "oracle-time": found["oracle-time"],
        "oracle-space": t.copy(),
        "wrong-object": ((t >= RIGHT_TIME) & (s < WRONG_PLACE)).astype(np.float64),
    }
    return means(kept, columns, notes)

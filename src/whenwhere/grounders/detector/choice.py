"""Asks a vision-language model which of the detected objects a sentence is about.

The boxes of the candidates are drawn on a few frames, each with a number that is the same in all frames. The answer is
"Target ID: 3" (the form of STVG-R1), or 0 if it is none of them. Frames are chosen so that every candidate is seen.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers import ParsedAnswer
from whenwhere.grounders.detector.tracks import Track
from whenwhere.video.draw import COLOURS, draw_box

#: Largest number of candidates and of frames in one question.
CANDIDATES, FRAMES = 9, 8
#: Largest number of tokens of the answer, and the usual number, with which costs are estimated.
MOST_TOKENS, TOKENS = 64, 6
#: Largest share of a box that the number drawn into it may cover.
_HIDDEN = 0.1

CHOOSE = (
    "In these frames {count} candidates are boxed and numbered; a number is the same thing in every frame. Which of "
    'them is meant by "{query}"?{target} Output Format: "Target ID: 1", with the number of the candidate, or '
    '"Target ID: 0" if none of them is meant.'
)


def choice_question(query: str, target: str, count: int) -> str:
    """The prompt that asks the model for the number of the object that the query describes."""
    said = f" It was described as: {target}" if target else ""
    return CHOOSE.format(count=count, query=query, target=said)


def choice_schema(count: int) -> dict[str, Any]:
    """JSON schema of the model's answer, `"Target ID: n"` with n up to `count`, for back ends that enforce a schema."""
    return {"type": "string", "enum": [f"Target ID: {n}" for n in range(count + 1)]}


def chosen_number(answer: ParsedAnswer, count: int) -> int | None:
    """The number of the candidate that an answer names.

    It is 0 if the answer says that none of the candidates is meant, and None if it names a candidate that does not
    exist, or none at all.

    >>> from whenwhere.answers import parse
    >>> [chosen_number(parse(text), 3) for text in ("<answer>Target ID: 2</answer>", "Target ID: 7", "2")]
    [2, None, None]
    """
    if answer.target is None or not answer.target.isdecimal():
        return 0 if answer.status == "absent" else None
    number = int(answer.target)
    return number if number <= count else None


def strongest_tracks(tracks: Sequence[Track], most: int = CANDIDATES) -> list[Track]:
    """The tracks with the largest weights, numbered from 1 in order of appearance."""
    best = sorted(tracks, key=lambda t: -t.weight)[:most]
    best.sort(key=lambda t: (t.times[0], t.boxes[0][0]))
    for number, track in enumerate(best, start=1):
        track.number = number
    return best


def telling_times(tracks: Sequence[Track], times: NDArray[np.float64], most: int = FRAMES) -> NDArray[np.float64]:
    """Chooses the times of the frames that are shown to the model.

    Every candidate is seen at least once if `most` allows it, frames with many candidates come first, and the times are
    spread out.

    Args:
        tracks: The candidates.
        times: Increasing seconds to choose from, shape (n,).
        most: Largest number of times to choose.

    Returns:
        The chosen times, increasing, shape (m,) with m <= most.

    >>> one, two = Track(1), Track(2)
    >>> for t in range(6): one.add(float(t), np.array([0.0, 0, 9, 9]), "model", 0.5)
    >>> two.add(5.0, np.array([9.0, 0, 19, 9]), "model", 0.5)
    >>> telling_times([one, two], np.arange(6.0), 2).tolist()
    [0.0, 5.0]
    """
    seen = np.array([[track.at(t) is not None for t in times] for track in tracks]).reshape(len(tracks), len(times))
    picked: list[int] = []
    missing = np.ones(len(tracks), bool)
    while len(picked) < most and (seen[missing].sum(0) > 0).any():
        k = int(seen[missing].sum(0).argmax())
        picked.append(k)
        missing &= ~seen[:, k]
    usable = [k for k in range(len(times)) if seen[:, k].any() and k not in picked]
    while usable and len(picked) < most:
        # the time farthest from all chosen ones; of several the one at which most candidates are seen
        distance = [min(abs(times[k] - times[p]) for p in picked) for k in usable]
        k = max(zip(distance, [int(seen[:, k].sum()) for k in usable], [-k for k in usable], usable, strict=True))[-1]
        usable.remove(k)
        picked.append(k)
    return times[sorted(picked)] if picked else times[:0]


def draw_candidates(image: NDArray[np.uint8], boxes: dict[int, NDArray[np.float64]]) -> NDArray[np.uint8]:
    """A copy of a frame with numbered boxes drawn on it.

    Args:
        image: RGB frame, shape (h, w, 3), uint8.
        boxes: Candidate number → box in xyxy pixels of this frame.
    """
    out = image.copy()
    for number, box in boxes.items():
        draw_box(out, box, COLOURS[(number - 1) % len(COLOURS)])
    tags: list[tuple[int, int, int, int]] = []
    for number, box in boxes.items():
        tags.append(_tag(out, str(number), box, COLOURS[(number - 1) % len(COLOURS)], tags))
    return out


def _tag(
    image: NDArray[np.uint8], text: str, box: NDArray[np.float64], colour: tuple[int, int, int],
    taken: Sequence[tuple[int, int, int, int]],
) -> tuple[int, int, int, int]:  # fmt: skip
    """Draw a number in a corner of its box, or beside a small box, away from other numbers if possible."""
    import cv2

    height, width = image.shape[:2]
    font, size = cv2.FONT_HERSHEY_SIMPLEX, max(min(width, height) / 480, 0.45)
    thick = max(round(1.6 * size), 1)
    (w, h), _ = cv2.getTextSize(text, font, size, thick)
    w, h = w + 6, h + 6
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    inside = [(x1, y1), (x2 - w, y1), (x1, y2 - h), (x2 - w, y2 - h)]
    outside = [(x1, y1 - h), (x1, y2), (x2, y1), (x1 - w, y1)]
    # a number must not hide the object
    small = w * h > _HIDDEN * max(x2 - x1, 1) * max(y2 - y1, 1)
    corners = outside + inside if small else inside + outside
    places = [(min(max(x, 0), max(width - w, 0)), min(max(y, 0), max(height - h, 0))) for x, y in corners]
    free = [(x, y) for x, y in places if all(x + w <= a or c <= x or y + h <= b or d <= y for a, b, c, d in taken)]
    x, y = (free or places)[0]
    image[y : y + h, x : x + w] = colour
    cv2.putText(image, text, (x + 3, y + h - 3), font, size, (0, 0, 0), thick, cv2.LINE_AA)
    return x, y, x + w, y + h

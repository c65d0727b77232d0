"""Prompts shared by several families, each defined once.

`WHEN` is our own. `WHERE` is the Qwen3-VL cookbook's prompt for one box per frame, extended by the seconds and the
coordinates, so that a family never trained on it is still told what is wanted.
"""

WHEN = (
    'Find when this happens in the video: "{query}". The video is {duration} seconds long. '
    'Output Format: [{{"start": 1.0, "end": 2.0}}, ...], one entry for each time it happens, in seconds with one '
    "decimal. If it does not happen in the video, output []."
)

WHERE = (
    'Given the query "{query}", for each frame, detect and localize the visual content described by the given textual '
    "query in JSON format: {target}. The frames are at these seconds: {times}. "
    "If the visual content does not exist in a frame, skip that frame. "
    'Output Format: [{{"time": 1.0, "bbox_2d": [x_min, y_min, x_max, y_max], "label": ""}}, '
    '{{"time": 2.0, "bbox_2d": [x_min, y_min, x_max, y_max], "label": ""}}, ...].'
)

IN_THOUSANDTHS = " Coordinates are whole numbers from 0 to 1000: thousandths of the picture's width and height."
IN_PIXELS = " Coordinates are whole numbers: pixels of the picture as it is shown."

WHICH = (
    'Which one thing or person is meant by "{query}"? Describe in one short sentence what it looks like and where it '
    "is, so that it cannot be mistaken for anything else in the video. Output only the sentence."
)

"""TACoS: cooking videos of several minutes, each with a hundred sentences at several levels of detail.

Released (in the form that moment retrieval uses since 2D-TAN) as video → `timestamps` in *frames*, `sentences`, `fps`,
`num_frames`. Spans are frames / fps, as in every public loader of that file; the frame numbers are in
`Item.extra["frames"]`. A few spans end after the last frame (43 in train, 5 in test); they are kept as they are.
"""

from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import dense, fault_of, positive


def read(path: Path) -> list[Item]:
    """Items of `train.json`, `val.json` or `test.json`.

    Ids are `<video>#<n>`, where n is the sentence's index in the list of its video, from 0.

    Raises:
        RecordError: The file is not that release; the message names the video and key.
    """
    items = []
    for place, video, entry, n, frames, sentence in dense(
        path, "TACoS", "timestamps", "sentences", "fps", "num_frames"
    ):
        fps = positive(entry["fps"], f"{place}: fps")
        count = int(positive(entry["num_frames"], f"{place}: num_frames"))
        span = (frames[0] / fps, frames[1] / fps)
        fault = fault_of([span])
        items.append(
            Item(
                f"{video}#{n}",
                video,
                sentence,
                span_array([span]),
                duration=count / fps,
                fps=fps,
                frames=count,
                status="invalid" if fault else "valid",
                fault=fault,
                split=path.stem,
                source="tacos",
                licence=BENCHMARK.licence,
                provenance={"file": path.name, "key": video, "index": n},
                extra={"frames": [int(frames[0]), int(frames[1])]},
            )
        )
    return items


BENCHMARK = Benchmark(
    name="tacos",
    title="TACoS",
    task="spans",
    read=read,
    protocol="tacos",
    files="test.json, val.json or train.json, in the form of 2D-TAN",
    source="TACL 2013 (Regneri et al.); files as in microsoft/2D-TAN@2f7410f",
    licence="not stated",
    standing="released file",
)

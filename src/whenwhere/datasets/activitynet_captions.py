"""ActivityNet Captions: every sentence of a dense caption, with its seconds.

Released as one object: video → `duration`, `timestamps`, `sentences`. There are three files and more than three names:

- `train.json`: 37421 sentences;
- `val_1.json`: 17505 sentences. Moment retrieval calls it *validation*; papers on video language models that say
  "ActivityNet" often mean it, or a list of 15933 of its sentences;
- `val_2.json`: 17031 sentences, the other annotators' captions of nearly the same videos. Moment retrieval since
  2D-TAN calls it *test*, because the true test set was never published.

So `split` says `train`, `val_1` or `val_2`, and 17031 is the "test" of most tables. Four train sentences do not end
after their start (kept as invalid items); some ends lie a little after the video's end (kept).
"""

from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import dense, fault_of, positive


def read(path: Path) -> list[Item]:
    """Items of `train.json`, `val_1.json` or `val_2.json`.

    Ids are `<video>#<n>`, where n is the sentence's index in the list of its video, from 0.

    Raises:
        RecordError: The file is not that release; the message names the video and key.
    """
    items = []
    for place, video, entry, n, span, sentence in dense(
        path, "ActivityNet Captions", "timestamps", "sentences", "duration"
    ):
        fault = fault_of([span])
        items.append(
            Item(
                f"{video}#{n}",
                video,
                sentence,
                span_array([span]),
                duration=positive(entry["duration"], f"{place}: duration"),
                status="invalid" if fault else "valid",
                fault=fault,
                split=path.stem,
                source="activitynet-captions",
                licence=BENCHMARK.licence,
                provenance={"file": path.name, "key": video, "index": n},
            )
        )
    return items


BENCHMARK = Benchmark(
    name="activitynet-captions",
    title="ActivityNet Captions",
    task="spans",
    read=read,
    protocol="activitynet-captions",
    files="val_2.json (the “test” of moment retrieval, 17031), val_1.json (17505) or train.json",
    source="arXiv 1705.00754; files as in microsoft/2D-TAN@2f7410f",
    licence="not stated; annotations of ActivityNet",
    standing="released file",
)

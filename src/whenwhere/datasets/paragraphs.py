"""Paragraph-to-video retrieval on DiDeMo and ActivityNet Captions: all sentences of a video, joined to one paragraph.

The files are those of the sets' own readers, and a video's sentences are joined in the order of the file. Papers use
`val_1.json` of ActivityNet for retrieval (4917 videos).
"""

from collections.abc import Callable
from pathlib import Path

from whenwhere.datasets import activitynet_captions, didemo
from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.datasets.paired import number_videos


def join_sentences(items: list[Item], source: str) -> list[Item]:
    """One item for each video, whose query is the paragraph of all its sentences; ids are the videos' names.

    Args:
        items: One item for each sentence.
        source: Name of the new set.
    """
    videos: dict[str, list[Item]] = {}
    for item in items:
        videos.setdefault(item.video, []).append(item)
    out = []
    for video, own in videos.items():
        first = own[0]
        out.append(
            Item(
                video,
                video,
                " ".join(sentence for item in own if (sentence := item.query.strip())),
                duration=first.duration,
                split=first.split,
                source=source,
                licence=first.licence,
                provenance={**first.provenance, "sentences": len(own)},
            )
        )
    return number_videos(out)


def _reader(read: Callable[[Path], list[Item]], source: str) -> Callable[[Path], list[Item]]:
    def paragraphs(path: Path) -> list[Item]:
        return join_sentences(read(path), source)

    return paragraphs


DIDEMO = Benchmark(
    name="didemo-retrieval",
    title="DiDeMo (paragraph retrieval)",
    task="retrieval",
    read=_reader(didemo.read, "didemo-retrieval"),
    protocol="retrieval",
    files=didemo.BENCHMARK.files,
    source="arXiv 1708.01641; joined as in ArrowLuo/CLIP4Clip",
    licence=didemo.BENCHMARK.licence,
    standing="released file",
)
ACTIVITYNET = Benchmark(
    name="activitynet-retrieval",
    title="ActivityNet Captions (paragraph retrieval)",
    task="retrieval",
    read=_reader(activitynet_captions.read, "activitynet-retrieval"),
    protocol="retrieval",
    files="val_1.json or train.json",
    source="arXiv 1705.00754; joined as in ArrowLuo/CLIP4Clip",
    licence=activitynet_captions.BENCHMARK.licence,
    standing="released file",
)

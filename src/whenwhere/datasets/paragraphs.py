"""Paragraph-to-video retrieval on DiDeMo and ActivityNet Captions: all sentences of a video, joined to one paragraph.

The files are those of the sets' own readers. A video's sentences are joined in the order of the file for DiDeMo and of
their start for ActivityNet, as CLIP4Clip does. Papers use `val_1.json` of ActivityNet for retrieval (4917 videos).
"""

from collections.abc import Callable
from pathlib import Path

from whenwhere.datasets import activitynet_captions, didemo
from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.datasets.paired import number_videos


def join_sentences(items: list[Item], source: str, in_time: bool) -> list[Item]:
    """One item for each video, whose query is the paragraph of all its sentences; ids are the videos' names.

    Args:
        items: One item for each sentence.
        source: Name of the new set.
        in_time: Whether sentences are ordered by their start instead of their place in the file.
    """
    videos: dict[str, list[Item]] = {}
    for item in items:
        videos.setdefault(item.video, []).append(item)
    out = []
    for video, own in videos.items():
        if in_time:
            own = sorted(own, key=lambda item: float(item.spans[0, 0]))
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


def _reader(read: Callable[[Path], list[Item]], source: str, in_time: bool) -> Callable[[Path], list[Item]]:
    def paragraphs(path: Path) -> list[Item]:
        return join_sentences(read(path), source, in_time)

    return paragraphs


DIDEMO = Benchmark(
    name="didemo-retrieval",
    title="DiDeMo (paragraph retrieval)",
    task="retrieval",
    read=_reader(didemo.read, "didemo-retrieval", in_time=False),
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
    read=_reader(activitynet_captions.read, "activitynet-retrieval", in_time=True),
    protocol="retrieval",
    files="val_1.json or train.json",
    source="arXiv 1705.00754; joined as in ArrowLuo/CLIP4Clip",
    licence=activitynet_captions.BENCHMARK.licence,
    standing="released file",
)

"""Manifests as benchmarks: any set of one's own is evaluated like a published one.

`manifest` scores the answered time, `manifest-tubes` also the boxes; both under this project's own definition unless a
protocol is named.
"""

from pathlib import Path

from whenwhere.datasets import manifest
from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item


def read(path: Path) -> list[Item]:
    """All items of a manifest.

    Raises:
        RecordError: no manifest, or a line that does not follow the schema; names file and line.
        MissingExtraError: Parquet without pyarrow.
    """
    return list(manifest.read(path))


SPANS = Benchmark(
    name="manifest",
    title="Manifest, times",
    task="spans",
    read=read,
    protocol="default",
    files="a manifest: .jsonl or .parquet (`whenwhere data`)",
    source="whenwhere.datasets.manifest",
    licence="that of its sources",
    standing="released file",
)
TUBES = Benchmark(
    name="manifest-tubes",
    title="Manifest, times and boxes",
    task="tubes",
    read=read,
    protocol="default-tubes",
    files=SPANS.files,
    source=SPANS.source,
    licence=SPANS.licence,
    standing="released file",
)

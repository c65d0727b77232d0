"""Manifests as benchmarks, so that your own data can be evaluated like a published benchmark.

`manifest` scores the answered spans, `manifest-tubes` the boxes as well; both by the package's own protocol (`default`,
`default-tubes`) unless another one is named.
"""

from pathlib import Path

from whenwhere.datasets import manifest
from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item


def read(path: Path) -> list[Item]:
    """All items of a manifest.

    Raises:
        RecordError: The file is not a manifest, or a line does not follow the schema; the message names file and line.
        MissingExtraError: The file is Parquet and pyarrow is not installed.
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

"""LSMDC: one sentence for each short clip of a film.

Released as text with tabs and no header: clip, aligned start and end, extracted start and end, sentence. The test set
of retrieval is `LSMDC16_challenge_1000_publictect.csv` (spelt so), with a thousand clips. A clip is named
`<number>_<film>_<start>-<end>`; its file lies in a folder with the film's name, or beside all others.
"""

from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.datasets.paired import number_videos, unique
from whenwhere.datasets.release import read_text
from whenwhere.errors import RecordError

_SPLITS = {"training": "train", "val": "val", "public": "test", "1000": "test", "blindtest": "test"}


def read(path: Path) -> list[Item]:
    """Items of a file of LSMDC16, one for each clip; ids are the names of the clips.

    Raises:
        RecordError: A line does not have six fields; the message names it.
    """
    split = next((split for word, split in _SPLITS.items() if word in path.stem), None)
    items = []
    for line, content in enumerate(read_text(path).splitlines(), 1):
        if not content.strip():
            continue
        fields = content.rstrip("\r\n").split("\t")
        if len(fields) != 6 or not fields[0].strip():
            raise RecordError(
                f"{path}, line {line} has {len(fields)} fields with tabs between them where LSMDC has six: give "
                "LSMDC16_challenge_1000_publictect.csv or LSMDC16_annos_training.csv as released"
            )
        clip = fields[0].strip()
        items.append(
            Item(
                clip,
                clip,
                fields[5].strip(),
                split=split,
                source="lsmdc",
                licence=BENCHMARK.licence,
                provenance={"file": path.name, "line": line},
                extra={"names": [f"{clip.rpartition('_')[0]}/{clip}"]},
            )
        )
    return number_videos(unique(items, path))


BENCHMARK = Benchmark(
    name="lsmdc",
    title="LSMDC",
    task="retrieval",
    read=read,
    protocol="retrieval",
    files="LSMDC16_challenge_1000_publictect.csv, LSMDC16_annos_val.csv or LSMDC16_annos_training.csv",
    source="arXiv 1605.03705; files as in ArrowLuo/CLIP4Clip",
    licence="agreement with MPII, non-commercial",
    standing="from public code",
)

"""MSVD: about forty sentences for each of 1970 short clips of YouTube videos.

Two releases are read: the corpus as CSV (`VideoID`, `Start`, `End`, `Language`, `Description`; only English sentences
are taken), and `AllVideoDescriptions.txt` (`<clip> sentence`, with comments after #). Clips are named
`<VideoID>_<start>_<end>`. If a list of clips (`test_list.txt`, `val_list.txt`, `train_list.txt`) is given in place of
the sentences, those are taken from either release in the same folder, and `Item.split` is the name of the list.
"""

from collections import Counter
from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.datasets.paired import listed, number_videos, read_table
from whenwhere.datasets.release import filled, number, read_text, text
from whenwhere.errors import RecordError

_TITLE = "MSVD"
_LISTS = ("train_list", "val_list", "test_list")
#: Names under which the two releases are looked for beside a list of clips.
_BESIDE = ("AllVideoDescriptions.txt", "video_corpus.csv", "MSR Video Description Corpus.csv")


def read(path: Path) -> list[Item]:
    """Items of a release of MSVD, one for each sentence, or of the clips in one of its lists; ids are `<clip>#<n>`.

    Raises:
        RecordError: The file is not one of MSVD, or the sentences are not beside the list.
    """
    split, wanted, source = None, None, path
    if path.stem in _LISTS:
        split, wanted = path.stem.removesuffix("_list"), listed(path)
        found = next((path.with_name(name) for name in _BESIDE if path.with_name(name).is_file()), None)
        if found is None:
            raise RecordError(f"{path} lists clips without sentences: put {_BESIDE[0]} in the same folder")
        source = found
    said = _corpus(source) if source.suffix.lower() == ".csv" else _lines(source)
    count: Counter[str] = Counter()
    items = []
    for clip, sentence, line in said:
        if wanted is None or clip in wanted:
            items.append(
                Item(
                    f"{clip}#{count[clip]}",
                    clip,
                    sentence,
                    split=split,
                    source="msvd",
                    licence=BENCHMARK.licence,
                    provenance={"file": source.name, "line": line},
                )
            )
        count[clip] += 1
    return number_videos(items)


def _corpus(path: Path) -> list[tuple[str, str, int]]:
    """Clip, sentence and line of the English rows of the corpus."""
    out = []
    for place, row in read_table(path, ("VideoID", "Start", "End", "Language", "Description"), _TITLE):
        if str(row["Language"]).strip() == "English":
            video = filled(row["VideoID"], f"{place}: VideoID")
            start, end = (round(number(row[key], f"{place}: {key}")) for key in ("Start", "End"))
            sentence = text(row["Description"], f"{place}: Description").strip()
            out.append((f"{video}_{start}_{end}", sentence, int(place.rsplit(" ", 1)[1])))
    return out


def _lines(path: Path) -> list[tuple[str, str, int]]:
    """Clip, sentence and line of `AllVideoDescriptions.txt`."""
    out = []
    for line, content in enumerate(read_text(path).splitlines(), 1):
        if not content.strip() or content.startswith("#"):
            continue
        clip, _, sentence = content.strip().partition(" ")
        if not sentence or clip.count("_") < 2:
            raise RecordError(
                f"{path}, line {line} is not `<video>_<start>_<end> sentence`, so this is no {_TITLE} file: give "
                "AllVideoDescriptions.txt, the corpus as CSV, or test_list.txt beside one of them"
            )
        out.append((clip, sentence.strip(), line))
    return out


BENCHMARK = Benchmark(
    name="msvd",
    title="MSVD",
    task="retrieval",
    read=read,
    protocol="retrieval",
    files="test_list.txt (or train, val) with AllVideoDescriptions.txt or the corpus as CSV beside it, or one of these",
    source="ACL 2011; lists as in ArrowLuo/CLIP4Clip",
    licence="not stated; research only",
    standing="from public code",
)

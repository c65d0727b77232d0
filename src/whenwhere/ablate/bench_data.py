"""AblationBench's data: papers with the ablations that their authors reported or their reviewers asked for.

The released sets (Abramovich and Chechik 2025, arXiv 2507.08038; on the hub `ai-coscientist/researcher-ablation-bench`
and `ai-coscientist/reviewer-ablation-bench`) are rows with `id`, `paper_title`, `paper_abstract`, `paper_path`, and
either `ablations_in_paper` (a JSON text: a list of ablations) or `review_text` (a JSON text: a list of reviews) with
`num_ablation_suggestions`. They are read from Parquet or JSON Lines, from a folder of such files with one split, or
from the hub. The papers themselves are in the benchmark's Git repository, as LFS files.

A row that does not follow this form is an error that names the file and the row, as everywhere: a set of which some
rows are silently missing gives other scores.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from whenwhere.ablate.ablation import Ablation
from whenwhere.datasets.parquet import read_columns
from whenwhere.errors import MissingExtraError, OutputError, RecordError, SettingError
from whenwhere.readers import parse_json, quoted, read_lines, visible
from whenwhere.store import atomic_path, write_text

#: Prefix of the name of a data set on the hub.
HUB = "hf:"
_FIELDS = (
    "id", "paper_title", "paper_abstract", "paper_path", "ablations_in_paper", "review_text",
    "num_ablation_suggestions",
)  # fmt: skip
_ABLATION_FIELDS = ("name", "ablated_part", "action", "replacement", "metrics")


@dataclass(frozen=True)
class BenchPaper:
    """One paper of the benchmark.

    Attributes:
        id: Name of the paper, from which names of files are made.
        title: Its title.
        abstract: Its abstract.
        source: The file or folder of the paper, as the set names it; relative to the folder of the papers.
        gold: The ablations that the authors reported; empty in a set of reviews.
        reviews: The reviews; empty in a set of authors' ablations.
        wanted: Number of ablations that were reported or asked for.
    """

    id: str
    title: str
    abstract: str
    source: str
    gold: tuple[Ablation, ...] = ()
    reviews: tuple[str, ...] = ()
    wanted: int = 0

    def find_source(self, root: str | os.PathLike[str]) -> Path:
        """The file or folder of the paper below a folder.

        Args:
            root: The root of the benchmark's repository, or the folder that holds the papers.

        Raises:
            RecordError: The paper does not exist below that folder.
        """
        name = Path(self.source or self.id)
        for tried in (name, Path(name.name), Path(self.id)):
            if not tried.is_absolute() and ".." not in tried.parts:
                for path in (Path(root) / tried, *(Path(root) / f"{tried}{ending}" for ending in (".md", ".pdf"))):
                    if path.exists():
                        return path
        raise RecordError(
            f"the paper {visible(self.source or self.id)} is not in {root}: name its folder with --papers"
        )


def read_bench(data: str | os.PathLike[str], split: str = "dev") -> list[BenchPaper]:
    """The papers of a set.

    Args:
        data: A Parquet or JSON Lines file; a folder of such files, of which those of the split are read; or
            `hf:owner/name`, a data set on the hub.
        split: The split, in a folder or on the hub.

    Raises:
        SettingError: The name has an ending other than .jsonl or .parquet.
        RecordError: There is no such file or split, a row does not follow the form, or two rows have the same id.
        MissingExtraError: A package that reads the file or the hub is not installed.
    """
    name = os.fspath(data)
    files = _hub_files(name.removeprefix(HUB), split) if name.startswith(HUB) else _files(Path(name), split)
    papers: dict[str, BenchPaper] = {}
    for file in files:
        for place, row in _rows(file):
            paper = _paper(row, place)
            if paper.id in papers:
                raise RecordError(
                    f"{place} has the id {quoted(paper.id)} of an earlier row: give each paper an id of its own"
                )
            papers[paper.id] = paper
    if not papers:
        raise RecordError(f"{visible(name)} holds no papers: name another file or split")
    if len({bool(p.reviews) for p in papers.values()}) > 1:
        raise RecordError(
            f"{visible(name)} mixes authors' ablations and reviews: they are scored apart, split the file"
        )
    return list(papers.values())


def write_bench(papers: Sequence[BenchPaper], path: str | os.PathLike[str]) -> Path:
    """Write papers in AblationBench's form, as JSON Lines or Parquet by the file's ending.

    Args:
        papers: The papers, all of authors' ablations or all of reviews.
        path: The file, .jsonl or .parquet.

    Raises:
        OutputError: The ending is another one, or the file cannot be written.
        MissingExtraError: The file is Parquet and pyarrow is not installed.
    """
    target = Path(path)
    rows = [_row(paper) for paper in papers]
    if target.suffix == ".jsonl":
        return write_text(target, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    if target.suffix != ".parquet":
        raise OutputError(f"{visible(target.name)} is neither .jsonl nor .parquet: choose one of these endings")
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as e:
        raise MissingExtraError("pyarrow", "data", "writing Parquet") from e
    with atomic_path(target) as temporary:
        parquet.write_table(pyarrow.Table.from_pylist(rows), temporary)
    return target


def _row(paper: BenchPaper) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": paper.id, "paper_title": paper.title, "paper_abstract": paper.abstract, "paper_path": paper.source,
    }  # fmt: skip
    if paper.reviews:
        row["review_text"] = json.dumps(list(paper.reviews), ensure_ascii=False)
        row["num_ablation_suggestions"] = paper.wanted
    else:
        gold = [{name: getattr(one, name) for name in _ABLATION_FIELDS} for one in paper.gold]
        row["ablations_in_paper"] = json.dumps(gold, ensure_ascii=False)
    return row


def _files(path: Path, split: str) -> list[Path]:
    shown = visible(os.fspath(path))
    if path.is_file():
        if path.suffix not in (".jsonl", ".parquet"):
            raise SettingError(f"{shown} is neither .jsonl nor .parquet: give AblationBench's data in one of these")
        return [path]
    if not path.is_dir():
        raise RecordError(f"there is no data {shown}: name a file, a folder, or hf:owner/name on the hub")
    found = sorted(
        p
        for p in path.rglob("*")
        if p.suffix in (".jsonl", ".parquet")
        and (p.stem == split or p.stem.startswith(f"{split}-") or p.parent.name == split)
    )
    if not found:
        raise RecordError(
            f"{shown} has no split {quoted(split)}: name a split that it has, or add {split}.jsonl or {split}-*.parquet"
        )
    return found


def _hub_files(name: str, split: str) -> list[Path]:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as e:
        raise MissingExtraError("huggingface_hub", "train", f"the data set {name} on the hub") from e
    try:
        folder = snapshot_download(name, repo_type="dataset", allow_patterns=["*.parquet", "*.jsonl"])
    except Exception as e:
        # The hub's client, its HTTP library and the operating system each raise errors of their own.
        said = " ".join(str(e).split())[:160] or type(e).__name__
        raise RecordError(
            f"the data set {visible(name)} cannot be fetched from the hub: {said}; name a local file"
        ) from e
    return _files(Path(folder), split)


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    shown = visible(os.fspath(file))
    if file.suffix == ".parquet":
        for number, row in enumerate(read_columns(file, _FIELDS, lambda path, columns: None), 1):
            yield f"{shown}, row {number}", row
        return
    for number, line in read_lines(file):
        row = parse_json(line, f"{shown}, line {number}")
        if not isinstance(row, dict):
            raise RecordError(f"{shown}, line {number} is {quoted(row)} and not an object: give one paper per line")
        yield f"{shown}, line {number}", row


def _paper(row: dict[str, Any], place: str) -> BenchPaper:
    key = _text(row, "id", place)
    if not key or key in (".", "..") or any(c in key for c in "/\\\0") or len(key.encode()) > 200:
        raise RecordError(f"{place}: the id is {quoted(key)}: give a short one without slashes")
    title, abstract, source = (_text(row, name, place, "") for name in ("paper_title", "paper_abstract", "paper_path"))
    if row.get("ablations_in_paper") is not None:
        values = _list(row, "ablations_in_paper", place)
        gold = tuple(_ablation(value, f"{place}, ablation {number}") for number, value in enumerate(values, 1))
        return BenchPaper(key, title, abstract, source, gold=gold, wanted=len(gold))
    if row.get("review_text") is None:
        raise RecordError(f"{place} has neither ablations_in_paper nor review_text: one of them is needed")
    reviews = _list(row, "review_text", place)
    if not all(isinstance(review, str) and review.strip() for review in reviews):
        raise RecordError(f"{place}: review_text is not a list of texts: write one text for each review")
    wanted = row.get("num_ablation_suggestions")
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        raise RecordError(f"{place}: num_ablation_suggestions is {quoted(wanted)} and must be 1 or more")
    return BenchPaper(key, title, abstract, source, reviews=tuple(reviews), wanted=wanted)


def _text(row: dict[str, Any], key: str, place: str, default: str | None = None) -> str:
    value = row.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise RecordError(f"{place}: {key} is {quoted(value)} and must be a text")
    return value


def _list(row: dict[str, Any], key: str, place: str) -> list[Any]:
    value = row[key]
    if isinstance(value, str):
        value = parse_json(value, f"{place}: {key}")
    if not isinstance(value, list) or not value:
        raise RecordError(f"{place}: {key} is {quoted(value)} and must be a list with at least one entry")
    return value


def _ablation(value: Any, place: str) -> Ablation:
    if not isinstance(value, dict):
        raise RecordError(f"{place} is {quoted(value)} and must be an object with the fields of an ablation")
    try:
        # Annotators' further fields do not matter for scores.
        return Ablation.model_validate({name: value[name] for name in _ABLATION_FIELDS if name in value})
    except ValidationError as e:
        first = e.errors()[0]
        raise RecordError(f"{place}: {'.'.join(map(str, first['loc']))} is {quoted(first.get('input'))}") from e

"""Difficulties of a manifest: from files of answers, or those that the manifest holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whenwhere.curate.difficulty import Difficulty, of_items
from whenwhere.curate.item_sets import moved, read_set
from whenwhere.curate.measured_difficulty import SCORE_NAMES, ScoreKind, of_answers, with_difficulty
from whenwhere.datasets import manifest
from whenwhere.errors import SettingError, did_you_mean
from whenwhere.evaluate.formats import read_predictions
from whenwhere.store import write_text


@dataclass
class ManifestDifficulty:
    """The difficulties of a manifest.

    Attributes:
        found: Difficulties by item id.
        missing: Number of items without an answer.
        faults: One sentence for each line of the manifest that could not be read.
    """

    found: dict[str, Difficulty]
    missing: int
    faults: list[str]


def measure_manifest(
    file: str | Path,
    answers: Sequence[str | Path] = (),
    *,
    policy: str = "",
    score: ScoreKind = "t_iou",
    out: str | Path | None = None,
    annotated: str | Path | None = None,
) -> ManifestDifficulty:
    """Measure how hard the sentences of a manifest are for whatever answered them: 1 - the mean score of its answers.

    Args:
        file: The manifest.
        answers: Files of answers in any format that evaluation reads, or folders of batches; one for each answer per
            sentence. Without any, the difficulties that the manifest itself holds are taken.
        policy: Name of whatever answered; by default the names of the files.
        score: What an answer is scored with.
        out: JSON Lines file for the difficulties; None writes none.
        annotated: File for the manifest with its difficulties; None writes none.

    Raises:
        SettingError: There is no such score.
        RecordError: A file cannot be read, no item has an answer, or the manifest holds no difficulty.
        OutputError: A file cannot be written, or the disk is full.
    """
    if score not in SCORE_NAMES:
        raise SettingError(f"there is no score {score!r}{did_you_mean(score, SCORE_NAMES)}")
    own = read_set(file)
    if answers:
        read = [read_predictions(Path(one), own.items).by_id for one in answers]
        names = dict.fromkeys(Path(one).stem for one in answers)
        found = of_answers(own.items, read, policy or ", ".join(names), score)
    else:
        found = of_items(own.items)
    if out is not None:
        write_text(Path(out), "".join(f"{one.line()}\n" for one in found.values()))
    if annotated is not None:
        to = Path(annotated)
        # relative paths of videos count from the folder of the new file
        manifest.write((moved(item, own.path_of(item), to.parent) for item in with_difficulty(own.items, found)), to)
    return ManifestDifficulty(found, len(own.items) - len(found), own.faults)

"""The reference tubes (LaSOT boxes in HC-STVG's and VidSTG's clothing) as files that the peers' codes write.

`reference-scores/stvg` holds annotations in TubeDETR's preprocessed form and predictions in a form of its own
(`{number: {"sted", "boxes"}}`, frames as the annotations count them). These functions write them as result files of
TubeDETR, STCAT and the HC-STVG challenge, so that tests go the way a user's file goes.
"""

import json
from pathlib import Path
from typing import Any


def _load(folder: Path, name: str) -> Any:
    return json.loads((folder / "reference-scores" / "stvg" / name).read_text())


def _boxes(folder: Path, style: str) -> dict[str, tuple[dict[str, Any], dict[int, list[float]]]]:
    """Number → entry of the prediction file, and its boxes by frame."""
    items = _load(folder, f"{style}_style_pred.json")["items"]
    if style == "vidstg":
        return {n: (p, {int(f): b for f, b in p["boxes"].items()}) for n, p in items.items()}
    starts = {str(v["video_id"]): v["tube_start_frame"] for v in _load(folder, "hcstvg_style_test_proc.json")}
    return {n: (p, {starts[n] + i: b for i, b in enumerate(p["boxes"])}) for n, p in items.items()}


def annotations(folder: Path, style: str) -> Path:
    """The annotation file of a style, `hcstvg` or `vidstg`."""
    name = "hcstvg_style_test_proc.json" if style == "hcstvg" else "vidstg_style_test.json"
    return folder / "reference-scores" / "stvg" / name


def write_tubedetr(folder: Path, style: str, path: Path) -> Path:
    """Predictions as TubeDETR's log_stats.json."""
    found = _boxes(folder, style)
    keep = ("sted", "qtype")
    dump = {
        f"test_{style}_predictions": {
            f"{n}_{f}": {"boxes": [b]} for n, (_, by) in found.items() for f, b in by.items()
        },
        f"test_{style}_video_predictions": {n: {k: p[k] for k in keep if k in p} for n, (p, _) in found.items()},
    }
    path.write_text(json.dumps(dump))
    return path


def write_stcat(folder: Path, style: str, path: Path) -> Path:
    """Predictions as STCAT's results in JSON; its frames count from 0, HC-STVG's annotations from 1."""
    found = _boxes(folder, style)
    first = 1 if style == "hcstvg" else 0
    dump = {
        "predictions": {n: {f - first: [b] for f, b in by.items()} for n, (_, by) in found.items()},
        "video_predictions": {
            n: {"sted": [f - first for f in p["sted"]]} | ({"qtype": p["qtype"]} if "qtype" in p else {})
            for n, (p, _) in found.items()
        },
    }
    path.write_text(json.dumps(dump))
    return path


def write_hcstvg(folder: Path, path: Path) -> Path:
    """Predictions as a result file of the HC-STVG challenge; the last frame is inside there."""
    names = {str(v["video_id"]): v["original_video_id"] for v in _load(folder, "hcstvg_style_test_proc.json")}
    dump = {
        names[n]: {"st_frame": p["sted"][0], "ed_frame": p["sted"][1] - 1, "bbox": by}
        for n, (p, by) in _boxes(folder, "hcstvg").items()
    }
    path.write_text(json.dumps(dump))
    return path

"""Small files in the form of each benchmark's release, made here; nothing in them is anybody's data."""

import json
from pathlib import Path
from typing import Any


def _json(value: Any) -> str:
    return json.dumps(value)


def _lines(*values: Any) -> str:
    return "".join(json.dumps(v) + "\n" for v in values)


QVH = {
    "qid": 7,
    "query": "a kite is flown",
    "duration": 12,
    "vid": "k_0.0_12.0",
    "relevant_windows": [[0, 4], [8, 12]],
    "relevant_clip_ids": [0, 1, 4, 5],
    "saliency_scores": [[1, 2, 4], [0, 0, 1], [3, 3, 3], [2, 2, 2]],
}
DENSE = {"timestamps": [[0.5, 4.25], [7, 7]], "sentences": [" A pot boils.", "It is taken off."]}
RF = {"sentence": "a door opens", "id": "K-0", "timestamp": [1.5, 3.0], "no_answer": False}
TUNE = {
    "qid": "my|didemo|K|a kite",
    "video": "./far/away/K.mp4",
    "duration": 30.0,
    "timestamp": [2.0, 5.0],
    "sentence": "a kite",
    "difficulty": 25.0,
    "pred": [2.0, 14.0],
    "video_start": None,
    "video_end": None,
}
TVG = {
    "path": "./far/away/K.mp4",
    "question": "where was the kite?",
    "answer": "1.5-4.25",
    "start": 10.0,
    "end": 30.0,
    "duration": 20.0,
    "qsemtype": "Object Existence (Simple)",
    "bins": {"dataset": "egonlq"},
}
VUE = {
    "query_id": 3,
    "video_id": "kkk",
    "duration": 60.5,
    "query": "kites",
    "gt": [[1, 4], [10, 12]],
    "task": "temporal_retrieval",
    "duration_category": "ultra-short",
    "query_format": "keyword",
    "query_modality": "vision",
}
DIDEMO = {
    "annotation_id": 11,
    "description": "a kite falls",
    "video": "u_1.mov",
    "num_segments": 6,
    "times": [[1, 1], [1, 1], [1, 2], [5, 5]],
    "dl_link": "",
}
GQA_TABLE = (
    "video_id,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4\n"
    "123,300,640,480,why does it fall,no wind,0,CW,rain,no wind,a tree,a dog,anger\n"
    "123,300,640,480,what falls,a kite,4,TN,a kite,a leaf,a cup,a cat,snow\n"
)

#: benchmark → (file name → content, name of the file that is given to the reader).
RELEASES: dict[str, tuple[dict[str, str], str]] = {
    "charades-sta": (
        {
            "charades_sta_test.txt": "KITE1 0.5 4.25##a kite is flown.\nKITE1 8.0 13.5##it falls.\n"
            "ABCDE 7.0 6.0##he sits.\n",
            "Charades_v1_test.csv": 'id,script,length\nKITE1,"A kite, then rain.",12.5\n',
        },
        "charades_sta_test.txt",
    ),
    "charades-cd": (
        {"charades_test_ood.json": _json({"KITE1": {**DENSE, "video_duration": 9.5}})},
        "charades_test_ood.json",
    ),
    "activitynet-captions": ({"val_2.json": _json({"v_kite": {**DENSE, "duration": 9.5}})}, "val_2.json"),
    "tacos": (
        {"test.json": _json({"s1.avi": {**DENSE, "timestamps": [[10, 35], [7, 7]], "fps": 25.0, "num_frames": 100}})},
        "test.json",
    ),
    "didemo": ({"val_data.json": _json([DIDEMO])}, "val_data.json"),
    "qvhighlights": ({"highlight_val_release.jsonl": _lines(QVH)}, "highlight_val_release.jsonl"),
    "qv-m2": (
        {"val.jsonl": _lines(QVH, {k: v for k, v in QVH.items() if k != "saliency_scores"} | {"qid": 8})},
        "val.jsonl",
    ),
    "tvgbench": (
        {"tvgbench.json": _json([TVG, TVG | {"answer": "3.0-3.0", "start": None, "end": None}])},
        "tvgbench.json",
    ),
    "timelens-bench": (
        {"charades-timelens.json": _json({"KITE1": {"duration": 9.5, "spans": [[0.5, 4.25]], "queries": ["a kite"]}})},
        "charades-timelens.json",
    ),
    "vue-tr": ({"VUE-TR_ground_truth.json": _json([VUE])}, "VUE-TR_ground_truth.json"),
    "null-query": (
        {"test.jsonl": _lines(QVH | {"action_type": "kite"}, QVH | {"qid": 8, "relevant_windows": []})},
        "test.jsonl",
    ),
    "rextime": (
        {
            "rextime_val.json": _json(
                [
                    {
                        "qid": "anet_val1",
                        "vid": "v_kite",
                        "question": "why does it fall?",
                        "options": ["rain", "no wind", "a tree", "a dog"],
                        "ans": "B",
                        "span": [3.0, 9.5],
                        "category": "cause",
                    }
                ]
            )
        },
        "rextime_val.json",
    ),
    "next-gqa": (
        {
            "gsub_val.json": _json(
                {"123": {"duration": 12, "fps": 25, "location": {"0": [[1.5, 3.0]], "4": [[0.0, 2.0], [5.0, 6.5]]}}}
            ),
            "val.csv": GQA_TABLE,
        },
        "gsub_val.json",
    ),
    "time-r1": (
        {"train_2k5.json": _json([TUNE, TUNE | {"qid": "my|x|L|b", "video_start": 4.0, "video_end": 34.0}])},
        "train_2k5.json",
    ),
}

#: A second released form of two sets.
RF_RELEASE = _json(
    {"KITE1": {"duration": 9.5, "sts": [RF, RF | {"sentence": " nobody sits", "timestamp": [], "no_answer": True}]}}
)
REXTIME_LINES = _lines(
    {
        "qid": "qvh_val1",
        "query": "why?",
        "duration": 150,
        "vid": "k_0.0_150.0",
        "relevant_windows": [[0, 28]],
        "ans": "A",
    }
)


def write_release(name: str, folder: Path) -> Path:
    """Write the small files of a benchmark; the path for its reader."""
    files, main = RELEASES[name]
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / file).write_text(content, encoding="utf-8")
    return folder / main

"""Reads what `whenwhere data export` writes with the other projects' own loaders.

    python benchmarks/training_formats.py [verl] [llama-factory]

Two minutes and about 5 MB from the package registry. Each project's wheel is unpacked into a temporary folder without
its dependencies, which would be gigabytes; modules that its loader imports but does not use to read rows (ray,
torchaudio) are empty stand-ins, as the output says. TRL is read in tests/test_training_formats.py.

Expected: verl's `RLHFDataset` loads the RL file and puts the video into the user's message; LLaMA-Factory's parser
finds the set in dataset_info.json, and its converter gives one prompt, one response and one video for each row.
"""

import subprocess
import sys
import tempfile
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from whenwhere.curate.training_formats import export
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item, span_array

PACKAGES = {
    "verl": ("verl==0.9.1", "tensordict", "pyvers", "omegaconf", "antlr4-python3-runtime==4.9.3", "codetiming",
             "hydra-core", "orjson", "cloudpickle"),
    "llama-factory": ("llamafactory==0.9.5",),
}  # fmt: skip


def stand_in(name: str) -> None:
    """An empty module that gives back functions unchanged where it is used as a decorator."""
    module: Any = types.ModuleType(name)
    module.__spec__, module.__path__ = ModuleSpec(name, None), []

    def missing(key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        return lambda *given, **_: given[0] if given and callable(given[0]) else lambda function: function

    module.__getattr__ = missing
    sys.modules[name] = module


def read_verl(folder: Path) -> str:
    """Verl's own data set on our file."""
    stand_in("ray")
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset

    export(folder / "m.jsonl", "verl", folder / "rl.parquet", stage="rl")
    config = OmegaConf.create({"cache_dir": str(folder / "cache"), "filter_overlong_prompts": False})
    # a processor is only asked whether it is there while messages are built
    rows = RLHFDataset(str(folder / "rl.parquet"), None, config, processor=object())
    messages = rows._build_messages(rows.dataframe[0], key="prompt")
    parts = [part["type"] for part in messages[0]["content"]]
    assert len(rows) == 3 and parts == ["video", "text"], parts
    assert rows.dataframe[0]["reward_model"]["ground_truth"].startswith('{"spans"')
    return (
        f"verl {version('verl')}: RLHFDataset read {len(rows)} rows, parts of the first prompt {parts} (stand-in: ray)"
    )


def read_llama_factory(folder: Path) -> str:
    """LLaMA-Factory's list of data sets and converter on our file."""
    stand_in("torchaudio")
    from datasets import load_dataset
    from llamafactory.data.converter import SharegptDatasetConverter
    from llamafactory.data.parser import get_dataset_list

    export(folder / "m.jsonl", "llama-factory", folder / "mine.json")
    (attr,) = get_dataset_list(["mine"], str(folder))
    rows = load_dataset("json", data_files=str(folder / attr.dataset_name), split="train", cache_dir=str(folder / "c"))
    convert = SharegptDatasetConverter(attr, types.SimpleNamespace(media_dir=str(folder)))
    found = [convert(row) for row in rows]
    assert all(len(f["_prompt"]) == len(f["_response"]) == len(f["_videos"]) == 1 for f in found), found
    assert all(f["_prompt"][0]["content"].count("<video>") == 1 for f in found)
    name = f"LLaMA-Factory {version('llamafactory')}"
    return f"{name}: its converter read {len(found)} rows with a prompt, an answer and a video (stand-in: torchaudio)"


def version(package: str) -> str:
    """The version of an unpacked package."""
    from importlib.metadata import version as installed

    return installed(package)


READERS = {"verl": read_verl, "llama-factory": read_llama_factory}


def main() -> int:
    """Unpack, export, read, print."""
    if sys.argv[1:2] == ["--read"]:
        print(READERS[sys.argv[2]](Path(sys.argv[3])))
        return 0
    failed = 0
    for name in sys.argv[1:] or READERS:
        with tempfile.TemporaryDirectory() as temporary:
            folder, wheels = Path(temporary) / "data", Path(temporary) / "wheels"
            folder.mkdir()
            items = [
                Item(f"{k}", "a.mp4", f"event {k}", span_array([(k, k + 2)]), duration=9.0, source="own")
                for k in range(3)
            ]
            (folder / "a.mp4").write_bytes(b"a name is all that is read of it")
            manifest.write(items, folder / "m.jsonl")
            pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(wheels), *PACKAGES[name]]
            subprocess.run(pip, check=True)
            # the unpacked packages come last, so that they cannot replace what is installed
            code = f"import sys; sys.path.append({str(wheels)!r}); import runpy; sys.argv = [{__file__!r}, '--read', "
            code += f"{name!r}, {str(folder)!r}]; runpy.run_path({__file__!r}, run_name='__main__')"
            failed += subprocess.run([sys.executable, "-c", code]).returncode != 0
    return min(1, failed)


if __name__ == "__main__":
    sys.exit(main())

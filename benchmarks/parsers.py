"""Parsers of grounding answers side by side: ours and the ones that peers ship, on one corpus.

    python benchmarks/parsers.py --peers DIR     # DIR/<name>: checkouts named as in PEERS
    python benchmarks/parsers.py                 # ours alone; nothing is written

Cost: a minute. Expected: ours reads every text rightly; each peer reads its own form and fails on others', and several
read numbers out of thoughts.

The corpus is `benchmarks/answer_corpus.py`: written for this project, in the forms of all families, each inside nine
surroundings; ours was developed on it, so its row says that nothing regressed, not how it does on unseen text. The
second table is on `benchmarks/answer_probes.py`, texts written without a look at the parser or the corpus: its first
row is what ours read before it was mended with their help, and is kept; its own row since then is no longer unseen. The
corpus asks
more than any single peer promises, so the table also gives each peer's share on its own family's texts, bare or after
a thought, whichever suits it.

Peers' functions run as they are: their source is cut out of the checkout (the modules around them import torch and
more) and executed with `re`, `json` and `ast`. A reading is `right` (all spans, as written), `part` (one of several
spans, from a function that gives only one), `wrong` (anything else that was read, also from a text that holds no span)
or `nothing`. Where nothing may be read, nothing is right.

Written: benchmarks/results/parsers.json and parsers.md.
"""

import argparse
import ast
import contextlib
import io
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from answer_corpus import Case, cases
from answer_probes import FIRST, probes

from whenwhere.answers import parse
from whenwhere.store import write_text

HERE = Path(__file__).resolve().parent
Reading = tuple[tuple[float, float], ...]
Reader = Callable[[Case], str]


def functions(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """The functions of a file, executed without the imports around them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in names]
    for node in ast.walk(tree):  # methods
        if isinstance(node, ast.FunctionDef) and node.name in names and node not in found:
            node.decorator_list = []
            found.append(node)
    space: dict[str, Any] = {"re": re, "json": json, "ast": ast}
    exec(compile(ast.Module(found, []), str(path), "exec"), space)
    return space


def first(value: Any) -> Reading:
    """One span of a peer's answer: a pair, or the first of a list of pairs."""
    if not value or value[0] is None:
        return ()
    pair = value[0] if isinstance(value[0], (list, tuple)) else value
    return ((float(pair[0]), float(pair[1])),)


def every(value: Any) -> Reading:
    """All spans of a list of pairs."""
    return tuple((float(a), float(b)) for a, b in value)


def dashed(value: Any) -> Reading:
    """A list of "a - b", or one such text; Temporal-R1 writes 0.0-0.0 for no event."""
    texts = [value] if isinstance(value, str) else value
    pairs = [re.findall(r"\d+\.?\d*", t) for t in texts if t != "0.0-0.0"]
    return tuple((float(p[0]), float(p[1])) for p in pairs if len(p) == 2)


#: name → folder, file, functions (the first is called), what comes back, further arguments, family, gives several
PEERS: dict[str, tuple[str, str, tuple[str, ...], Callable[[Any], Reading], tuple[Any, ...], str, bool]] = {
    "lmms-eval, Charades-STA": (
        "lmms-eval", "lmms_eval/tasks/charades_sta/eval_tvg.py", ("extract_time",), first, (), "TimeLens", False,
    ),
    "Time-R1, reward": ("time-r1", "main.py", ("parse_timestamp_output",), first, (), "Time-R1", False),
    "Time-R1, evaluation": ("time-r1", "evaluate.py", ("extract_answer",), first, ("tg",), "Time-R1", False),
    "Time-R1, difficulty": (
        "time-r1", "src/vllm_inference/calc_difficulty.py", ("extract_answer_force",), first, (), "Time-R1", False,
    ),
    "TimeLens": ("TimeLens", "timelens/utils.py", ("extract_time",), every, (), "TimeLens", True),
    "TaRO, reward": ("TaRO", "src/rewards.py", ("parse_timestamp_output",), first, (), "TaRO", False),
    "TaRO, evaluation": ("TaRO", "standalone_eval/evaluate_vtg.py", ("extract_time",), first, (), "TaRO", False),
    "MUSEG, evaluation": (
        "MUSEG", "data/eval/et_bench/compute_metrics.py", ("extract_time_part",), dashed, (), "MUSEG", True,
    ),
    "Temporal-R1, evaluation": (
        "Temporal-R1", "third_party/lmms-eval/lmms_eval/models/qwen2_5_vl_r1.py", ("extract_timestamps",), dashed, (),
        "Temporal-R1", False,
    ),
    "VideoChat-R1, evaluation": (
        "VideoChat-R1", "src_eval/evaluate_grounding.py", ("parse_timestamp_output",), first, (), "Time-R1", False,
    ),
    "Open-o3-Video, evaluation": (
        "Open-o3-Video", "eval/test/test_vstar_multi_images.py", ("extract_timestamps",), first, (), "Open-o3-Video",
        False,
    ),
    "STVG-R1, evaluation": ("stvg-r1", "evaluate.py", ("parse_timestamp_output",), first, (), "STVG-R1", False),
}  # fmt: skip


def verdict(case: Case, found: Reading, several: bool) -> str:
    """The verdict on a reading: `right`, `part`, `wrong` or `nothing`."""
    if not found:
        return "right" if not case.spans else "nothing"
    if not case.spans:
        return "wrong"

    def same(a: tuple[float, float], b: tuple[float, float]) -> bool:
        return abs(a[0] - b[0]) < 1e-6 and abs(a[1] - b[1]) < 1e-6

    if len(found) == len(case.spans) and all(map(same, found, case.spans)):
        return "right"
    if len(case.spans) == 1 and several and same(found[0], case.spans[0]):
        return "right"  # the first is the one that its evaluation uses
    if not several and any(same(found[0], s) for s in case.spans):
        return "part"
    return "wrong"


def peer(folder: Path, name: str) -> Reader:
    """A peer's parser as a reader."""
    where, file, names, take, more, _, several = PEERS[name]
    call = functions(folder / where / file, names)[names[0]]

    def read(case: Case) -> str:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                value = call(case.text, *more)
            if name.startswith("STVG-R1") and value is not None:
                value = None if value[1] is None else value[1:]
            found = take(value) if value else ()
        except (ValueError, IndexError, TypeError, KeyError, SyntaxError, AssertionError):
            found = ()  # an exception is an unread answer
        return verdict(case, found, several)

    return read


def tvg_r1(folder: Path) -> Reader:
    """TVG-R1's training parser, which is part of its reward: it is asked for the right span, and for any span."""
    space = functions(folder / "TVG-R1/EasyR1/verl/utils/reward_score/tvg.py", ("temporal_iou", "tvg_accuracy_reward"))
    reward = space["tvg_accuracy_reward"]

    def read(case: Case) -> str:
        with contextlib.redirect_stdout(io.StringIO()):
            if not reward(case.text, [-1e9, 1e9], 1.0):
                return "right" if not case.spans else "nothing"
            hit = any(abs(reward(case.text, list(s), 1.0) - 1) < 1e-9 for s in case.spans)
        return ("right" if len(case.spans) == 1 else "part") if hit else "wrong"

    return read


def ours(case: Case) -> str:
    """Our parser; an ambiguous reading counts as nothing read, a wrong status word as wrong."""
    found = parse(case.text)
    said = verdict(case, () if found.status == "ambiguous" else found.spans, False)
    if said == "right" and case.status and found.status != case.status:
        return "wrong"
    return said


def measure(readers: dict[str, Reader], corpus: Sequence[Case]) -> dict[str, Any]:
    """Verdicts by reader and group, on plain texts of the reader's own family, and where each errs most."""
    out: dict[str, Any] = {}
    for name, read in readers.items():
        began = time.process_time()
        verdicts = [read(case) for case in corpus]
        seconds = time.process_time() - began
        by_group: dict[str, Counter[str]] = {}
        for case, said in zip(corpus, verdicts, strict=True):
            for group in (case.group, "all", *(["in thoughts"] if "thought" in case.decoration else [])):
                by_group.setdefault(group, Counter())[said] += 1
        row: dict[str, Any] = {"groups": {g: dict(c) for g, c in by_group.items()}, "cpu_ms_a_text": None}
        row["cpu_ms_a_text"] = round(1e3 * seconds / len(corpus), 3)
        family = PEERS[name][5] if name in PEERS else {"TVG-R1, reward": "TVG-R1"}.get(name)
        # some want a thought before the answer, some want none: the better of the two
        own = [
            Counter(
                said
                for case, said in zip(corpus, verdicts, strict=True)
                if case.family == family and case.decoration == decoration and case.group in ("one span", *also)
            )
            for decoration in ("plain", "thought")
            for also in ([("several spans",)] if name in PEERS and PEERS[name][6] else [()])
        ]
        if any(own):
            row["own family"] = {"family": family, **max(own, key=lambda c: c["right"])}
        out[name] = row
    return out


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""

    def cell(c: dict[str, int] | None) -> str:
        if not c:
            return "–"
        n = sum(v for k, v in c.items() if k != "family")
        return f"{100 * c.get('right', 0) / n:.1f} / {100 * c.get('wrong', 0) / n:.1f}"

    sizes = result["sizes"]
    groups = list(sizes)
    lines = [
        f"Right / wrong, in per cent of {result['texts']} texts; the rest was not read, or in part.",
        "",
        "| parser | " + " | ".join(f"{g} ({sizes[g]})" for g in groups) + " | own family | after a thought |",
        "| --- |" + " --- |" * (len(groups) + 2),
    ]
    for name, row in result["parsers"].items():
        cells = [cell(row["groups"].get(g)) for g in groups]
        own = cell(row.get("own family"))
        lines.append(f"| {name} | {' | '.join(cells)} | {own} | {cell(row['groups'].get('in thoughts'))} |")
    return "\n".join(lines) + "\n"


def result_of(readers: dict[str, Reader], corpus: Sequence[Case]) -> dict[str, Any]:
    """Sizes and verdicts on one collection of texts."""
    sizes = dict(Counter([c.group for c in corpus])) | {"all": len(corpus)}
    return {"texts": len(corpus), "sizes": sizes, "parsers": measure(readers, corpus)}


def unseen(result: dict[str, Any]) -> str:
    """The table of the probes, and what our parser first read of them."""
    n = FIRST["texts"]
    return (
        "## Texts that our parser was not developed on\n\n"
        f"Before anything was mended with their help, ours read {FIRST['right']} of {n} rightly "
        f"({100 * FIRST['right'] / n:.1f} %), {FIRST['wrong']} wrongly, {FIRST['part']} in part and "
        f"{FIRST['nothing']} not at all; that is the figure for unseen text. Its row below was measured after.\n\n"
        + table(result)
    )


def main() -> None:
    """Reads the corpus with every parser and writes the table."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--peers", type=Path, help="folder with the peers' checkouts")
    args = asked.parse_args()
    corpus = list(cases())
    readers: dict[str, Reader] = {"whenwhere": ours}
    missing = []
    if args.peers:
        for name, (where, file, *_) in PEERS.items():
            if (args.peers / where / file).exists():
                readers[name] = peer(args.peers, name)
            else:
                missing.append(name)
        if (args.peers / "TVG-R1").exists():
            readers["TVG-R1, reward"] = tvg_r1(args.peers)
    result = result_of(readers, corpus) | {"missing": missing}
    result["probes"] = result_of(readers, list(probes())) | {"first": FIRST}
    text = table(result) + "\n" + unseen(result["probes"])
    print(text)
    if args.peers:
        write_text(HERE / "results" / "parsers.json", json.dumps(result, indent=1) + "\n")
        write_text(HERE / "results" / "parsers.md", text)


if __name__ == "__main__":
    main()

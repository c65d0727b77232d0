"""One reward in five trainers: a core signature, and for each engine a function that it accepts unchanged.

The core signature is `score(text, target, meta) -> {"total", "reward", "format", <term>...}`. `target` is the plain
form of a `Truth` (a mapping or its JSON string). `meta` may hold `progress` (0-1), `shuffled` (the model's text for
shuffled frames) and `view` (a `VideoView`). The numbers always have the same keys, because engines collect them in
columns; a term that does not apply to a question is 0 there.

    # reward.py, for verl: custom_reward_function.path=reward.py
    from whenwhere.verify import Verifier
    from whenwhere.verify.adapters import verl
    compute_score = verl(Verifier())

Known traps are handled once, here. End-of-turn marks that engines leave in decoded text are cut off. Where the chat
template itself opens `<think>`, `prefix` says so. A wrong target never ends a run: its answers get 0 (None in TRL,
which then leaves them out), `bad_target` counts them, and a warning names each fault once.

TRL 1.16 has trained with its adapter (tests/test_verify_trl.py). The other adapters are `signature-tested`: they were
called the way the named version calls a reward, without that engine.
"""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from whenwhere.errors import SettingError, WhenwhereError
from whenwhere.verify.term import RewardContext
from whenwhere.verify.truth import Truth
from whenwhere.verify.verifier import Verifier

Numbers = dict[str, float]
Core = Callable[..., Numbers]

_MARKS = re.compile(r"(?:\s*(?:<\|(?:im_end|endoftext|eot_id|end|return|end_of_text)\|>|</s>|<eos>))+\s*\Z")
_ASSISTANT = re.compile(r"<\|im_start\|>assistant\n|<\|start_header_id\|>assistant<\|end_header_id\|>\n\n")


def scorer(verifier: Verifier, prefix: str = "") -> Core:
    """The core signature, `score(text, target, meta=None) -> dict[str, float]`.

    Args:
        verifier: The declared reward.
        prefix: Text that the chat template wrote before the completion and that belongs to the answer, such as
            `<think>`.

    Raises (when called):
        RecordError, SettingError: The target is wrong, or does not fit the reward.

    >>> score = scorer(Verifier({"t_iou": 1}, form="answer"))
    >>> score("<answer>2.00 to 6.00</answer><|im_end|>", {"spans": [[2, 4]]}, {})
    {'total': 0.6, 'reward': 0.5, 'format': 1.0, 't_iou': 0.5}
    """
    names = [term.name for term in verifier.terms]
    # The completions of one group share their target, and parsing it costs as much as computing a term.
    last: list[tuple[str, Truth]] = []

    def truth_of(target: Any) -> Truth:
        if not isinstance(target, str):
            return Truth.of(target)
        if not last or last[0][0] != target:
            last[:] = [(target, Truth.of(target))]
        return last[0][1]

    def score(text: object, target: Any, meta: Mapping[str, Any] | None = None) -> Numbers:
        truth = truth_of(target)
        meta = meta or {}
        shuffled = meta.get("shuffled")
        context = RewardContext(
            progress=float(meta.get("progress", 1.0)),
            shuffled=None if shuffled is None else verifier.read(_plain(shuffled, prefix), truth),
            view=meta.get("view"),
        )
        got = verifier.score(_plain(text, prefix), truth, context)
        rest = {name: got.terms.get(name, 0.0) for name in names}
        return {"total": got.total, "reward": got.reward, "format": got.format, **rest}

    return score


def _plain(text: object, prefix: str) -> object:
    return prefix + _MARKS.sub("", text) if isinstance(text, str) else text


def _safe(verifier: Verifier, prefix: str) -> Core:
    """The core signature for use in a run: a wrong target gives a warning and zeros instead of an error."""
    unseen = [term.name for term in verifier.terms if {"shuffled", "view"} & set(term.needs)]
    if unseen:
        raise SettingError(
            f"the term {unseen[0]!r} needs inputs that no engine passes to a reward: leave it out, or wrap "
            "adapters.scorer in a function of your own that puts them into meta"
        )
    score = scorer(verifier, prefix)
    nothing = dict.fromkeys(["total", "reward", "format", *(t.name for t in verifier.terms)], 0.0)
    said: set[str] = set()

    def safe(text: object, target: Any, meta: Mapping[str, Any] | None = None) -> Numbers:
        try:
            return score(text, target, meta) | {"bad_target": 0.0}
        except WhenwhereError as e:
            if str(e) not in said:
                said.add(str(e))
                warnings.warn(f"a question gets no reward: {e}", stacklevel=3)
            return nothing | {"bad_target": 1.0}

    return safe


def _last_text(completion: Any) -> object:
    """The text of a completion: a string as it is, or the content of the last message with its parts joined."""
    if isinstance(completion, str) or not isinstance(completion, Sequence) or not completion:
        return completion
    content = completion[-1].get("content") if isinstance(completion[-1], Mapping) else None
    if isinstance(content, Sequence) and not isinstance(content, str):
        return "".join(part.get("text") or "" for part in content if isinstance(part, Mapping))
    return content


def _progress(state: Any) -> float:
    """Share of the training that is done, read from the state object of transformers' trainers."""
    if state is None or not state.max_steps or state.max_steps < 0:
        return 1.0
    return float(min(1.0, state.global_step / state.max_steps))


def trl(verifier: Verifier, column: str = "target", prefix: str = "") -> Callable[..., list[float | None]]:
    """A reward function for `trl.GRPOTrainer(reward_funcs=...)`. TRL 1.16 has trained with it.

    Args:
        verifier: The declared reward.
        column: Name of the data set's column with the target. JSON strings work best, because tables give every row
            every key.
        prefix: See `scorer`.

    Returns:
        `f(prompts, completions, completion_ids, <column>=[...], **columns) -> [total or None]`. Each term is logged
        through TRL's `log_metric`.
    """
    safe = _safe(verifier, prefix)

    def whenwhere(completions: Sequence[Any], **columns: Any) -> list[float | None]:
        meta = {"progress": _progress(columns.get("trainer_state"))}
        found = [safe(_last_text(c), t, meta) for c, t in zip(completions, columns[column], strict=True)]
        log = columns.get("log_metric")
        if log is not None:
            for name in found[0] if found else ():
                log(f"verify/{name}", sum(f[name] for f in found) / len(found))
        return [None if f["bad_target"] else f["total"] for f in found]

    return whenwhere


def verl(verifier: Verifier, prefix: str = "") -> Callable[..., Numbers]:
    """A function for verl's `custom_reward_function`. Signature-tested with verl b178a3cd5 (2026-01-29).

    `ground_truth` is the target. The function returns all numbers, with the total named `score`: verl trains on it and
    logs the rest.
    """
    safe = _safe(verifier, prefix)

    def compute_score(
        data_source: str, solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None = None, **_: Any
    ) -> Numbers:
        found = safe(solution_str, ground_truth, extra_info)
        return {"score": found.pop("total"), **found}

    return compute_score


def ms_swift(verifier: Verifier, base: type = object, column: str = "target", prefix: str = "") -> type:
    """A class for ms-swift's `orms`. Signature-tested with ms-swift 4.6.0.dev0 (3602360a5).

    Args:
        verifier: The declared reward.
        base: The class `swift.rewards.ORM`.
        column: Name of the data set's column with the target.
        prefix: See `scorer`.

    Use it in a file given to `--external_plugins`: `orms["whenwhere"] = ms_swift(Verifier(), ORM)`.
    """
    safe = _safe(verifier, prefix)

    class WhenwhereReward(base):
        """Total reward of each completion."""

        def __init__(self, args: Any = None, **_: Any) -> None:
            self.args = args

        def __call__(self, completions: Sequence[str], **columns: Any) -> list[float]:
            meta = {"progress": _progress(columns.get("trainer_state"))}
            pairs = zip(completions, columns[column], strict=True)
            return [safe(_last_text(text), target, meta)["total"] for text, target in pairs]

    return WhenwhereReward


def easyr1(verifier: Verifier, prefix: str = "") -> Callable[..., Numbers | list[Numbers]]:
    """A function for EasyR1's `worker.reward.reward_function`. Signature-tested with EasyR1 0.3.3.dev0 (b44b311).

    EasyR1 passes only `ground_truth`: the target as a JSON string. The function serves both kinds of reward files,
    which must also define `REWARD_NAME = "whenwhere"` and `REWARD_TYPE = "batch"` (or "sequential"). The total is named
    `overall`.
    """
    safe = _safe(verifier, prefix)

    def one(entry: Mapping[str, Any]) -> Numbers:
        found = safe(entry["response"], entry["ground_truth"])
        return {"overall": found.pop("total"), **found}

    def compute_score(
        reward_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]], **_: Any
    ) -> Numbers | list[Numbers]:
        return one(reward_inputs) if isinstance(reward_inputs, Mapping) else [one(entry) for entry in reward_inputs]

    return compute_score


def openrlhf(verifier: Verifier, prefix: str = "") -> Callable[..., dict[str, Any]]:
    """A function for OpenRLHF's `--remote_rm_url reward.py`. Signature-tested with OpenRLHF 0.11.0 (3c3be623).

    The file must name it `reward_func`. Labels are targets as JSON strings. Queries contain the prompt, which is cut
    off; where the prompt cannot be found because pictures changed it, everything up to the assistant's last turn is cut
    off. `scores` is R, in 0-1, for dynamic filtering.
    """
    safe = _safe(verifier, prefix)

    def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any], **_: Any) -> dict[str, Any]:
        import torch

        found = [safe(_after(q, p), label) for q, p, label in zip(queries, prompts, labels, strict=True)]
        columns = {k: torch.tensor([f[k] for f in found], dtype=torch.float32) for k in found[0]} if found else {}
        empty = torch.zeros(0)
        return {"rewards": columns.pop("total", empty), "scores": columns.get("reward", empty), "extra_logs": columns}

    return reward_func


def _after(query: str, prompt: str) -> str:
    if query.startswith(prompt):
        return query[len(prompt) :]
    turns = list(_ASSISTANT.finditer(query))
    return query[turns[-1].end() :] if turns else query

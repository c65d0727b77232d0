"""Log-probabilities of a group's branches from one forward of the prompt they share.

A group of G completions to one video prompt of P tokens costs G (P + C) tokens when the prompt is repeated, as trainers
do, and P + G C here; the vision tower runs once instead of G times. Gradients are the same, on every parameter (Prefix
Grouper, arXiv 2506.05433). Back ends:

- `repeat`: the prompt and its pictures G times, through the model's own forward. The oracle.
- `packed4d`: one row, a dense mask. Costs the square of the row in memory.
- `shared_prefix`: one row, `prefix.attention`. The default where layers are attention.
- `fork`: the prompt once with its states kept, which then fork into G rows. The default where layers carry a recurrent
  state (Qwen3.5): attention alone cannot share that, and the two back ends above are refused there. Caches do not
  outlive gradient checkpointing, so under it such a model can only repeat.

`Scorer` compares the back end with `repeat` on its first group, log-probabilities and gradients, and falls back loudly.

What differs from repeating, and is not mended here: a mixture-of-experts' load-balancing loss counts the prompt once;
dropout (LoRA's too) draws one mask for the prompt instead of G. Branches are padded inside the attention alone by
`shared_prefix`; the others compute their padding all the way and throw it away.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from whenwhere.errors import ModelError, SettingError
from whenwhere.training.prefix.attention import Packed, attach
from whenwhere.training.prefix.group import Branch, Group, Pictures, Tokens
from whenwhere.training.prefix.logprobs import Entropies, Scale, Scores, scored
from whenwhere.training.prefix.positions import Rule
from whenwhere.training.prefix.states import cache_inputs, kept_states
from whenwhere.training.prefix.vlm_parts import Tower

Backend = Literal["repeat", "packed4d", "shared_prefix", "fork"]


def padded(tower: Tower, group: Group) -> tuple[Any, Any, Any, Any]:
    """Branches padded on the right: (G, W) tokens, (G, W) where they count, (3, P) and (3, G, W) positions."""
    import torch

    ahead, following = tower.positions(group.prompt)
    rows, width = len(group.branches), group.width
    # any word will do: what follows a branch's end is seen by nothing that counts
    ids = torch.zeros(rows, width, dtype=torch.long, device=tower.device)
    mask = torch.zeros(rows, width, dtype=torch.bool, device=tower.device)
    places = torch.zeros(3, rows, width, dtype=torch.long, device=tower.device)
    for k, branch in enumerate(group.branches):
        length = len(branch.ids)
        ids[k, :length] = torch.as_tensor(branch.ids, device=tower.device)
        mask[k, :length] = True if branch.scored is None else torch.as_tensor(branch.scored, device=tower.device)
        places[:, k, :length], _ = tower.positions(branch, following)
    return ids, mask, ahead, places


def repeat(tower: Tower, group: Group) -> Any:
    """(G, W, D) hidden states that predict the branches' tokens: the prompt once for each."""
    import torch

    ids, _, ahead, places = padded(tower, group)
    rows, cut = len(group.branches), len(group.prompt.ids)
    whole = torch.cat([_row(tower, group).expand(rows, -1), ids], 1)
    where = torch.cat([ahead[:, None].expand(-1, rows, -1), places], 2)
    stretches = [s for branch in group.branches for s in (group.prompt, branch)]
    hidden = _stock(tower, whole, where, stretches)
    return hidden[:, cut - 1 : -1]


def _stock(tower: Tower, ids: Any, places: Any, stretches: list[Tokens]) -> Any:
    """Hidden states by the model's own forward, pictures and all; by the text tower alone where features are given."""
    import torch

    parts = {
        "": [s.images for s in stretches if s.images is not None],
        "_videos": [s.videos for s in stretches if s.videos is not None],
    }
    every: list[Pictures] = parts[""] + parts["_videos"]
    if any(p.features is not None for p in every):
        return tower.text(**tower.inputs(ids, stretches), position_ids=places, use_cache=False).last_hidden_state
    pictures: dict[str, Any] = {}
    for ending, found in parts.items():
        if found:
            grid = "video_grid_thw" if ending else "image_grid_thw"
            pictures[f"pixel_values{ending}"] = torch.cat([p.patches.to(tower.device) for p in found])
            pictures[grid] = torch.cat([torch.as_tensor(p.grids, device=tower.device) for p in found])
    return tower.inner(input_ids=ids, position_ids=places, use_cache=False, **pictures).last_hidden_state


def _row(tower: Tower, group: Group) -> Any:
    import torch

    return torch.as_tensor(group.prompt.ids, device=tower.device)[None]


def _packed(tower: Tower, group: Group, **how: Any) -> Any:
    """Hidden states of one row: the prompt, then its branches side by side."""
    import torch

    ids, _, ahead, places = padded(tower, group)
    row = torch.cat([_row(tower, group), ids.flatten()[None]], 1)
    where = torch.cat([ahead, places.flatten(1)], 1)[:, None]
    inputs = tower.inputs(row, [group.prompt, *group.branches])
    hidden = tower.text(**inputs, position_ids=where, use_cache=False, **how).last_hidden_state
    cut = len(group.prompt.ids)
    # the first token of each branch is predicted by the prompt's last
    first = hidden[:, cut - 1 : cut].expand(len(ids), -1, -1)
    return torch.cat([first, hidden[0, cut:].unflatten(0, ids.shape)[:, :-1]], 1)


def packed4d(tower: Tower, group: Group) -> Any:
    """(G, W, D) as `repeat`: one row, a mask of the whole row."""
    import torch

    rows, width, cut = len(group.branches), group.width, len(group.prompt.ids)
    branch = torch.arange(1, rows + 1, device=tower.device).repeat_interleave(width)
    of = torch.cat([branch.new_zeros(cut), branch])
    mask = torch.ones(len(of), len(of), dtype=torch.bool, device=tower.device).tril()
    mask &= (of[:, None] == of[None]) | (of[None] == 0)
    attach(tower.text)
    return _packed(tower, group, attention_mask=mask[None, None])


def shared_prefix(tower: Tower, group: Group) -> Any:
    """(G, W, D) as `repeat`: one row, each branch sees the prompt and itself."""
    return side_by_side(tower, [group])[0]


def side_by_side(tower: Tower, groups: Sequence[Group]) -> list[Any]:
    """(G, W, D) as `repeat`, of each of several groups, by one forward pass of one row.

    Small models gain by it, whose passes cost more calls than arithmetic.

    Args:
        tower: of the model.
        groups: that do not see one another.
    """
    import torch

    attach(tower.text)
    row, where, plans = [], [], []
    for group in groups:
        ahead, following = tower.positions(group.prompt)
        row += [torch.as_tensor(t.ids, device=tower.device) for t in (group.prompt, *group.branches)]
        where += [ahead, *(tower.positions(b, following)[0] for b in group.branches)]
        width, lengths = group.width, [len(b.ids) for b in group.branches]
        places = None
        if min(lengths) < width:
            places = torch.cat([torch.arange(n) + k * width for k, n in enumerate(lengths)]).to(tower.device)
        plans.append(Packed(len(group.prompt.ids), len(lengths), width, places))
    inputs = tower.inputs(torch.cat(row)[None], [s for g in groups for s in (g.prompt, *g.branches)])
    hidden = tower.text(
        **inputs, position_ids=torch.cat(where, 1)[:, None], use_cache=False, prefix_plan=tuple(plans)
    ).last_hidden_state[0]  # fmt: skip
    return [_predicting(h, p) for h, p in zip(hidden.split([p.length for p in plans]), plans, strict=True)]


def _predicting(hidden: Any, plan: Packed) -> Any:
    """(length, D) of a stretch → (G, W, D): the first token of each branch is predicted by the prompt's last."""
    import torch

    first, own = hidden[plan.prompt - 1], hidden[plan.prompt :]
    if plan.places is not None:
        own = own.new_zeros(plan.branches * plan.width, own.shape[-1]).index_copy(0, plan.places, own)
    own = own.unflatten(0, (plan.branches, plan.width))
    return torch.cat([first.expand(plan.branches, 1, -1), own[:, :-1]], 1)


def fork(tower: Tower, group: Group) -> Any:
    """(G, W, D) as `repeat`: the prompt's states, keys and values fork into G rows."""
    import torch

    ids, _, ahead, places = padded(tower, group)
    states = kept_states(tower)
    ahead_of = tower.text(
        **tower.inputs(_row(tower, group), [group.prompt]), position_ids=ahead[:, None],
        **cache_inputs(tower.text, states),
    ).last_hidden_state  # fmt: skip
    first = ahead_of[:, -1:].expand(len(ids), -1, -1)
    states.reorder_cache(torch.zeros(len(ids), dtype=torch.long, device=tower.device))
    behind = tower.text(
        **tower.inputs(ids, group.branches),
        position_ids=places,
        **cache_inputs(tower.text, states),
    ).last_hidden_state
    return torch.cat([first, behind[:, :-1]], 1)


BACKENDS: dict[str, Callable[[Tower, Group], Any]] = {
    "shared_prefix": shared_prefix, "packed4d": packed4d, "fork": fork, "repeat": repeat,
}  # fmt: skip


def refusal(tower: Tower, backend: Backend) -> str | None:
    """Why a back end would be wrong for a model, in a sentence; None where it is right."""
    if backend in ("shared_prefix", "packed4d"):
        if tower.recurrent:
            return f"layers with a recurrent state cannot share a prompt by attention ({backend}): take fork or repeat"
        if "sliding_attention" in (getattr(tower.settings, "layer_types", None) or ()):
            return f"layers with a sliding window count tokens along the row, which {backend} breaks: take repeat"
        if tower.core.training and getattr(tower.settings, "attention_dropout", 0.0):
            return f"{backend} needs attention_dropout = 0"
    if backend == "fork" and tower.checkpointed:
        return "gradient checkpointing drops the states that fork hands on: switch it off, or take repeat"
    return None


def scores(tower: Tower, group: Group, backend: Backend = "shared_prefix", temperature: float = 1.0,
           entropies: Entropies = False) -> Scores:  # fmt: skip
    """Log-probabilities, and entropies, of a group's branches by one back end.

    Several groups: one after another, each with its own backward pass, so that only one is in memory.

    Args:
        tower: of the model.
        group: prompt and branches.
        backend: how.
        temperature: that logits are divided by.
        entropies: wanted too; `trained` = with their gradient.

    Raises:
        ModelError: the back end would be wrong for the model, or the sample is torn.
        SettingError: an unknown back end.
    """
    if backend not in BACKENDS:
        raise SettingError(f"back ends are {', '.join(BACKENDS)}, not {backend!r}")
    if reason := refusal(tower, backend):
        raise ModelError(reason)
    ids, mask, _, _ = padded(tower, group)
    return scored(BACKENDS[backend](tower, group), tower.head, ids, mask, temperature, entropies)


@contextmanager
def _no_dropout(model: Any) -> Iterator[None]:
    """Layers of dropout let everything through."""
    import torch

    layers = [m for m in model.modules() if isinstance(m, torch.nn.Dropout) and m.training]
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer in layers:
            layer.training = True


def _half() -> bool:
    """Whether computation runs in half precision, whatever the weights are in."""
    import torch

    return any(torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda"))


def _counted(branch: Branch) -> int:
    """Tokens of a branch that count."""
    return len(branch.ids) if branch.scored is None else int(sum(branch.scored))


class FallbackWarning(UserWarning):
    """A back end was not equal to repeating the prompt and is not used."""


class Scorer:
    """Scores groups by a back end that was seen to equal `repeat` on the first of them.

    Args:
        model: of a known family.
        backend: None = what suits the model.
        rule: of positions behind a video.
        temperature: that logits are divided by.

    Attributes:
        tower: the model's parts.
        backend: the one in use.
        reasons: why others are not, in order.

    Raises:
        ModelError: the back end asked for is wrong for the model.
    """

    def __init__(
        self, model: Any, backend: Backend | None = None, rule: Rule = "original", temperature: float = 1.0
    ) -> None:
        if backend is not None and backend not in BACKENDS:
            raise SettingError(f"back ends are {', '.join(BACKENDS)}, not {backend!r}")
        self.tower, self.temperature = Tower(model, rule), temperature
        if backend is not None and (reason := refusal(self.tower, backend)):
            raise ModelError(reason)
        self.backend: Backend = backend or ("fork" if self.tower.recurrent else "shared_prefix")
        self.reasons: list[str] = []
        self._checked = False

    def __call__(self, group: Group, entropies: Entropies = False) -> Scores:
        """Scores of a group; the first call checks the back end.

        Args:
            group: prompt and branches.
            entropies: wanted too; `trained` = with their gradient.
        """
        if not self._checked:
            self._settle(group)
        return scores(self.tower, group, self.backend, self.temperature, entropies)

    def many(self, groups: Sequence[Group], scales: Sequence[Scale] = (), entropies: Entropies = False) -> list[Scores]:
        """Scores of several groups: by one forward pass where the back end can, for their sum's backward pass.

        Args:
            groups: at least one.
            scales: of soft targets.
            entropies: wanted too; `trained` = with their gradient.
        """
        import torch

        if not self._checked:
            self._settle(groups[0])
        tower = self.tower
        if self.backend == "shared_prefix":
            hidden = side_by_side(tower, groups)
        else:
            hidden = [BACKENDS[self.backend](tower, group) for group in groups]
        parts = [padded(tower, group)[:2] for group in groups]
        shapes = [mask.shape for _, mask in parts]
        # one matrix of logits: rows of all groups, one behind the other
        ids, mask = (torch.cat([t.flatten() for t in part])[None] for part in zip(*parts, strict=True))
        states = torch.cat([h.flatten(0, 1) for h in hidden])[None]
        flat = scored(states, tower.head, ids, mask, self.temperature, entropies, scales=scales)
        sizes = [rows * width for rows, width in shapes]

        def apart(whole: Any) -> list[Any]:
            return [part.view(shape) for part, shape in zip(whole[0].split(sizes), shapes, strict=True)]

        logps, masks = apart(flat.logps), apart(flat.mask)
        spread, losses = ([None] * len(sizes) if t is None else apart(t) for t in (flat.entropies, flat.losses))
        return [Scores(*made) for made in zip(logps, spread, masks, losses, strict=True)]

    def _settle(self, group: Group) -> None:
        """Falls back until what is left is equal to repeating."""
        # two branches show whether siblings see each other, and keep the oracle affordable
        small = Group(group.prompt, group.branches[:2])
        while self.backend != "repeat":
            reason = self._fault(small)
            if reason is None:
                break
            following: Backend = "packed4d" if self.backend == "shared_prefix" else "repeat"
            self.reasons.append(f"{self.backend}: {reason}")
            warnings.warn(
                f"the back end {self.backend} is not used: {reason}; going on with {following}, which costs more",
                FallbackWarning,
                stacklevel=3,
            )
            self.backend = following
        self._checked = True

    def _fault(self, group: Group) -> str | None:
        """What is wrong with the back end; None if nothing."""
        if reason := refusal(self.tower, self.backend):
            return reason
        try:
            wanted, slopes = self._probe(group, "repeat")
        except RuntimeError as e:
            if "use_reentrant" not in str(e):
                raise
            raise ModelError("back ends can only be checked under checkpointing that is not reentrant: "
                             "set use_reentrant to False") from e  # fmt: skip
        try:
            found, others = self._probe(group, self.backend)
        except (RuntimeError, TypeError, ValueError, ModelError) as e:
            return f"it fails ({type(e).__name__}: {' '.join(str(e).split())[:200]})"
        exact = self.tower.head.weight.dtype.itemsize >= 4 and not _half()
        off = float((found - wanted).abs().sum()) / max(sum(_counted(b) for b in group.branches), 1)
        if not off <= (1e-4 if exact else 0.05):
            return f"log-probabilities are off by {off:.3g} on average"
        for name in slopes:
            size = float(slopes[name].norm())
            gap = float((others[name] - slopes[name]).norm()) / max(size, 1e-12)
            if size > 1e-9 and not gap <= (1e-3 if exact else 0.1):
                return f"the gradient of {name} is off by {100 * gap:.3g} %"
        return None

    def _probe(self, group: Group, backend: Backend) -> tuple[Any, dict[str, Any]]:
        """Log-probabilities, and gradients of the first trained weight and the last: the longest and shortest way."""
        import torch

        trained = [(n, p) for n, p in self.tower.core.named_parameters() if p.requires_grad and p.ndim > 1]
        ends = dict(trained[:1] + trained[-1:]) if torch.is_grad_enabled() else {}
        device = self.tower.device
        # dropout (LoRA's) draws other masks for every back end, and must not move the run's own random numbers
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), _no_dropout(self.tower.core):
            made = scores(self.tower, group, backend, self.temperature)
            slopes: tuple[Any, ...] = ()
            if ends:
                # branches weigh differently, or errors that swap them would cancel
                weights = torch.arange(1, len(made.logps) + 1, device=made.logps.device)[:, None]
                slopes = torch.autograd.grad(
                    (made.logps * weights).sum() / made.mask.sum(), list(ends.values()), allow_unused=True
                )
        whole = [torch.zeros_like(p) if s is None else s for s, p in zip(slopes, ends.values(), strict=True)]
        return made.logps.detach(), dict(zip(ends, whole, strict=True))

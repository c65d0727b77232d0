"""Completions from a server, vLLM above all: drawn there, learned from here.

The server gets what inference gives it (`models.backends.endpoint`): frames and words. It answers with the numbers of
its tokens and their log-probabilities, so nothing is tokenised twice.

Two programs are never quite the same policy. Their kernels differ, pictures travel as JPEG, the server's weights may be
older, and positions behind a video may be counted differently (`prefix.positions`). Two guards stand in the loss
(`rl.objective`): truncated importance weights, min(policy / server, c), token by token; and a run that stops, in a
sentence, where the log-probabilities differ by more than `max_logp_gap` on average.

What a vLLM server needs:

- A version that knows `return_token_ids` in chat completions (0.10.2 or later).
- `--logprobs-mode processed_logprobs` where the temperature is not 1: by default it tells log-probabilities before the
  temperature. Drawing with top_p or top_k makes the gap wider.
- The weights that are being trained. They are yours to bring there, or: have it serve the folder `vllm_sync_folder`
  (`VLLM_SERVER_DEV_MODE=1 vllm serve FOLDER`), which then gets a checkpoint before each set of completions, and the
  server is told to read it again (`/collective_rpc` with `reload_weights`, then `/reset_prefix_cache`).

Not verified against vLLM itself, for want of one: written to its documentation and tested against a server of our own
that speaks its protocol. Not here: weights sent over NCCL, which need the server's process group.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from whenwhere.chat import Patience, Question
from whenwhere.errors import ChatError, ModelError
from whenwhere.models.backends.base import ModelCall
from whenwhere.models.backends.endpoint import EndpointBackend
from whenwhere.store import Cache
from whenwhere.training.data.samples import Question as Asked
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.rollout import SamplingParams
from whenwhere.training.rl.completions import Attempt, Clip, parted

#: Pictures are sent nearly as they are: what JPEG takes away, the policy that learns still sees.
QUALITY = 100


class Server:
    """Draws completions from a server (`training.rl.completions.Drawer`).

    Args:
        address: `http://host:8000/v1#model-name`.
        folder: that the server serves: the policy is saved there before each set of completions; None = the server's
            weights are somebody else's business.
        patience: time-outs and further tries.
    """

    def __init__(self, address: str, folder: str | Path | None = None, patience: Patience | None = None) -> None:
        self.address, self.folder, self._patience = address, folder, patience
        self._endpoint: EndpointBackend | None = None

    def ready(self, policy: Policy) -> None:
        """Brings the policy's weights to the server.

        Raises:
            ModelError: it does not read them.
        """
        if self.folder is not None:
            folder = Path(self.folder)
            if folder.is_dir() and any(folder.iterdir()) and not (folder / "config.json").exists():
                raise ModelError(f"{folder} would be replaced by the policy, and holds no checkpoint: name another one")
            policy.save(Path(self.folder))
            self._tell("collective_rpc", {"method": "reload_weights"})
            self._tell("reset_prefix_cache", {})

    def draw(self, policy: Policy, clips: Sequence[Clip], count: int, sampling: SamplingParams) -> list[Attempt]:
        """Completions of each question about some clips.

        Raises:
            ChatError: the server gives none.
            ModelError: it does not tell their tokens and log-probabilities.
        """
        import torch

        asked = [(clip, question) for clip in clips for question in clip.questions]
        answers = self._connected(policy).client.complete_all(
            [self._question(policy, clip, q, count, replace(sampling, seed=(sampling.seed + k) % 2**31))
             for k, (clip, q) in enumerate(asked)]
        )  # fmt: skip
        ids, logps = [], []
        for answer in answers:
            if isinstance(answer, ChatError):
                raise answer
            if len(answer.choices) != count:
                raise ModelError(f"{self.address} was asked for {count} completions and gave {len(answer.choices)}")
            for choice in answer.choices:
                if not choice.tokens or len(choice.tokens) != len(choice.logps):
                    raise ModelError(
                        f"{self.address} gives {len(choice.tokens)} tokens and {len(choice.logps)} log-probabilities "
                        "for a completion: training needs one of each, as vLLM 0.10.2 and later tell them"
                    )
                ids.append(torch.tensor(choice.tokens))
                logps.append(torch.tensor(choice.logps))
        made: list[Attempt] = []
        for clip in clips:
            n = count * len(clip.questions)
            made += parted(clip, ids[:n], sampling, logps[:n])
            ids, logps = ids[n:], logps[n:]
        return made

    def _connected(self, policy: Policy) -> EndpointBackend:
        if self._endpoint is None:
            backend = policy.backend
            self._endpoint = EndpointBackend(
                self.address, dialect=policy.checkpoint.dialect, frames=backend.frames, long_side=backend.long_side,
                pixels=None, quality=QUALITY, cache=Cache(enabled=False), patience=self._patience,
            )  # fmt: skip
        return self._endpoint

    def _question(self, policy: Policy, clip: Clip, question: Asked, count: int, sampling: SamplingParams) -> Question:
        sample = clip.sample
        call = ModelCall(
            sample.images, sample.times, policy.question_text(sample, question), max_tokens=sampling.max_tokens,
            temperature=sampling.temperature, seed=sampling.seed,
        )  # fmt: skip
        asked = self._connected(policy).question(call)
        more: dict[str, Any] = {"logprobs": True, "return_token_ids": True}
        if sampling.top_p < 1:
            more["top_p"] = sampling.top_p
        if sampling.top_k:
            more["top_k"] = sampling.top_k
        return replace(asked, n=count, extra={**asked.extra, **more})

    def _tell(self, path: str, body: dict[str, Any]) -> None:
        """Posts to one of vLLM's own addresses, which lie beside /v1."""
        import httpx2

        root = self.address.partition("#")[0].rstrip("/").removesuffix("/v1")
        try:
            answer = httpx2.post(f"{root}/{path}", json=body, timeout=600)
        except httpx2.HTTPError as e:
            raise ModelError(f"{root} cannot be told to {path} ({type(e).__name__}): is the server running?") from e
        if answer.status_code != 200:
            raise ModelError(
                f"{root} declines {path} ({answer.status_code}): start it with VLLM_SERVER_DEV_MODE=1, or leave "
                "vllm_sync_folder out and bring the weights there yourself"
            )

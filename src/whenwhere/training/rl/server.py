"""Completions from servers, vLLM above all: sampled there, learned from here.

The server gets what inference gives it (`models.backends.endpoint`): frames and words. It answers with token ids and
their log-probabilities, so nothing is tokenised twice.

Two programs are never quite the same policy. Their kernels differ, pictures travel as JPEG, the server's weights may be
older, and positions after a video may be counted differently (`prefix.positions`). Two guards in the objective
(`rl.objective`) deal with that: truncated importance weights, min(policy / server, c), for each token; and an error
that ends the run where the log-probabilities differ by more than `max_logp_gap` on average.

What a vLLM server needs:

- A version that supports `return_token_ids` in chat completions (0.10.2 or later).
- `--logprobs-mode processed_logprobs` where the temperature is not 1: by default the server reports log-probabilities
  before the temperature. Sampling with top_p or top_k makes the gap wider.
- The weights that are being trained. You bring them there yourself; or the server serves the folder `vllm_sync_folder`
  (`VLLM_SERVER_DEV_MODE=1 vllm serve FOLDER`), which then gets a checkpoint before each set of completions, and the
  server is told to read it again (`/collective_rpc` with `reload_weights`, then `/reset_prefix_cache`).

Not verified against vLLM itself, which was not available: written to its documentation and tested against a server of
our own that speaks its protocol. Left out: weights sent over NCCL, which need the server's process group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whenwhere.chat import ChatRequest, Completion, RetryPolicy
from whenwhere.errors import ChatError, ModelError
from whenwhere.models.backends.base import ModelCall
from whenwhere.models.backends.endpoint import EndpointBackend
from whenwhere.store import Cache
from whenwhere.training.data.samples import Question as TrainingQuestion
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.rollout import SamplingParams, visual_token_ids
from whenwhere.training.rl.completions import CompletionGroup, PromptedClip, split_completions

if TYPE_CHECKING:
    from torch import Tensor

#: Pictures are sent almost unchanged, because the policy that learns sees what JPEG would take away.
JPEG_QUALITY = 100


class ServerSampler:
    """Samples completions on servers, which take the questions in turn (`rl.sampler.Sampler`).

    Args:
        addresses: Addresses with the model, as in `http://host:8000/v1#model-name`, separated by spaces.
        folder: The folder that the servers serve; the policy is saved there before each set of completions. None means
            that somebody else keeps the servers' weights up to date.
        retry: Time-outs and retries. None means the defaults.
    """

    def __init__(self, addresses: str, folder: str | Path | None = None, retry: RetryPolicy | None = None) -> None:
        self.addresses, self.folder, self._retry = addresses.split(), folder, retry
        self._endpoints: dict[str, EndpointBackend] = {}

    def prepare(self, policy: Policy) -> None:
        """Brings the policy's weights to the servers.

        Args:
            policy: The policy that answers.

        Raises:
            ModelError: The folder holds something else, or the server does not read the weights.
        """
        if self.folder is not None:
            folder = Path(self.folder)
            if folder.is_dir() and any(folder.iterdir()) and not (folder / "config.json").exists():
                raise ModelError(
                    f"{folder} is not empty and holds no checkpoint, so the policy will not replace it: name another "
                    "folder"
                )
            policy.save(Path(self.folder))
            if not policy.writes:
                return
            for address in self.addresses:
                _post(address, "collective_rpc", {"method": "reload_weights"})
                _post(address, "reset_prefix_cache", {})

    def sample(
        self, policy: Policy, clips: Sequence[PromptedClip], count: int, params: SamplingParams
    ) -> list[CompletionGroup]:
        """Completions of each question about some clips; see `Sampler.sample`.

        Raises:
            ChatError: The server gives no completions.
            ModelError: The server does not report their token ids and log-probabilities.
        """
        import torch

        asked = [(clip, question) for clip in clips for question in clip.questions]
        requests = [
            self._request(policy, clip, question, count, replace(params, seed=(params.seed + k) % 2**31))
            for k, (clip, question) in enumerate(asked)
        ]
        ids: list[Tensor] = []
        logps: list[Tensor] = []
        for address, answer in self._complete(policy, requests):
            if isinstance(answer, ChatError):
                raise answer
            if len(answer.choices) != count:
                raise ModelError(f"{address} was asked for {count} completions and gave {len(answer.choices)}")
            for choice in answer.choices:
                if not choice.tokens or len(choice.tokens) != len(choice.logps):
                    raise ModelError(
                        f"{address} gives {len(choice.tokens)} tokens and {len(choice.logps)} log-probabilities "
                        "for a completion: training needs both for every token, as vLLM reports them from 0.10.2 on"
                    )
                ids.append(torch.tensor(choice.tokens))
                logps.append(torch.tensor(choice.logps))
        groups: list[CompletionGroup] = []
        for clip in clips:
            n = count * len(clip.questions)
            groups += split_completions(clip, ids[:n], params, logps[:n])
            ids, logps = ids[n:], logps[n:]
        return groups

    def _complete(
        self, policy: Policy, requests: Sequence[ChatRequest]
    ) -> Iterator[tuple[str, Completion | ChatError]]:
        """The answers in the order of the requests, each with the address that gave it."""

        def ask(address: str, share: Sequence[ChatRequest]) -> list[Completion | ChatError]:
            return self._connected(address, policy).client.complete_all(share)

        shares = [requests[k :: len(self.addresses)] for k in range(len(self.addresses))]
        with ThreadPoolExecutor(len(self.addresses)) as pool:
            told = list(pool.map(ask, self.addresses, shares))
        for k in range(len(requests)):
            server, place = k % len(self.addresses), k // len(self.addresses)
            yield self.addresses[server], told[server][place]

    def _connected(self, address: str, policy: Policy) -> EndpointBackend:
        if address not in self._endpoints:
            backend = policy.backend
            self._endpoints[address] = EndpointBackend(
                address, dialect=policy.checkpoint.dialect, frames=backend.frames, long_side=backend.long_side,
                pixels=None, quality=JPEG_QUALITY, cache=Cache(enabled=False), retry=self._retry,
            )  # fmt: skip
        return self._endpoints[address]

    def _request(
        self, policy: Policy, clip: PromptedClip, question: TrainingQuestion, count: int, params: SamplingParams
    ) -> ChatRequest:
        sample = clip.sample
        call = ModelCall(
            sample.images, sample.times, policy.question_text(sample, question), max_tokens=params.max_tokens,
            temperature=params.temperature, seed=params.seed,
        )  # fmt: skip
        asked = self._connected(self.addresses[0], policy).question(call)
        # the policy never draws a token that stands for a picture: it could not be learned from
        banned = {str(token): -100 for token in visual_token_ids(policy.parts)}
        more: dict[str, Any] = {"logprobs": True, "return_token_ids": True, "logit_bias": banned}
        if params.top_p < 1:
            more["top_p"] = params.top_p
        if params.top_k:
            more["top_k"] = params.top_k
        return replace(asked, n=count, extra={**asked.extra, **more})


def _post(address: str, path: str, body: dict[str, str]) -> None:
    """Posts to one of vLLM's own addresses, which are not under /v1."""
    import httpx2

    root = address.partition("#")[0].rstrip("/").removesuffix("/v1")
    try:
        answer = httpx2.post(f"{root}/{path}", json=body, timeout=600)
    except httpx2.HTTPError as e:
        raise ModelError(f"{root} did not answer {path} ({type(e).__name__}): is the server running?") from e
    if answer.status_code != 200:
        raise ModelError(
            f"{root} declines {path} ({answer.status_code}): start it with VLLM_SERVER_DEV_MODE=1, or leave "
            "vllm_sync_folder empty and bring the weights there yourself"
        )

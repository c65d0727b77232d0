"""Completions from servers (vLLM or SGLang): sampled there, learned from here.

A server gets a question's frames and words, or the policy's own tokens (`rl.rollout_servers` knows both servers), and
answers with token ids and their log-probabilities, so nothing is tokenised twice.

Two programs are never quite the same policy. Their kernels differ, pictures travel as JPEG, the server's weights may be
older, and positions after a video may be counted differently (`prefix.positions`). Two guards in the objective
(`rl.objective`) deal with that: truncated importance weights, min(policy / server, c), for each token; and an error
that ends the run where the log-probabilities differ by more than `max_logp_gap` on average.

A server needs the weights that are being trained. You bring them there yourself; or `vllm_sync_folder` gets a
checkpoint before each set of completions, and each server is told to read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.chat import CompletionChoice, RetryPolicy
from whenwhere.errors import ModelError
from whenwhere.models.backends.base import ModelCall
from whenwhere.models.backends.endpoint import EndpointBackend
from whenwhere.store import Cache
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.rollout import SamplingParams, visual_token_ids
from whenwhere.training.rl.completions import CompletionGroup, PromptedClip, split_completions
from whenwhere.training.rl.rollout_servers import RolloutRequest, RolloutServer, rollout_server

if TYPE_CHECKING:
    from torch import Tensor

#: Pictures are sent almost unchanged, because the policy that learns sees what JPEG would take away.
JPEG_QUALITY = 100
#: Longest silence of a server in seconds: it says nothing while it reads weights or samples all of a question's
#: completions.
PATIENCE = 900.0


class ServerSampler:
    """Samples completions on servers, which take the questions in turn (`rl.sampler.Sampler`).

    Args:
        addresses: Addresses with the model, as in `http://host:8000/v1#model-name`, separated by spaces.
        folder: Folder of which the servers read the weights; the policy is saved there before each set of completions.
            None means that somebody else keeps the servers' weights up to date.
        retry: Time-outs and retries. None means the defaults, with more patience.
    """

    def __init__(self, addresses: str, folder: str | Path | None = None, retry: RetryPolicy | None = None) -> None:
        self.addresses, self.folder = addresses.split(), folder
        self._retry = retry or RetryPolicy(read=PATIENCE)
        self._backends: list[EndpointBackend] = []
        self._servers: list[RolloutServer] = []

    def prepare(self, policy: Policy) -> None:
        """Brings the policy's weights to the servers.

        Args:
            policy: The policy that answers.

        Raises:
            ChatError: A server cannot be reached.
            ModelError: The folder holds something else, or a server does not read the weights.
        """
        if self.folder is None:
            return
        folder = Path(self.folder)
        if folder.is_dir() and any(folder.iterdir()) and not (folder / "config.json").exists():
            raise ModelError(
                f"{folder} is not empty and holds no checkpoint, so the policy will not replace it: name another folder"
            )
        policy.save(folder)
        if not policy.writes:
            return
        vision = any(weight.requires_grad for weight in policy.parts.model.model.visual.parameters())
        self._connect(policy)
        for server in self._servers:
            server.load(folder, vision)

    def sample(
        self, policy: Policy, clips: Sequence[PromptedClip], count: int, params: SamplingParams
    ) -> list[CompletionGroup]:
        """Completions of each question about some clips; see `Sampler.sample`.

        Raises:
            ChatError: A server gives no completions.
            ModelError: A server does not report their token ids and log-probabilities.
        """
        import torch

        self._connect(policy)
        asked = [(clip, k) for clip in clips for k in range(len(clip.questions))]
        requests = [
            self._request(policy, clip, k, count, replace(params, seed=(params.seed + number) % 2**31))
            for number, (clip, k) in enumerate(asked)
        ]
        ids: list[Tensor] = []
        logps: list[Tensor] = []
        for choice in self._complete(requests):
            ids.append(torch.tensor(choice.tokens))
            logps.append(torch.tensor(choice.logps))
        groups: list[CompletionGroup] = []
        for clip in clips:
            n = count * len(clip.questions)
            groups += split_completions(clip, ids[:n], params, logps[:n])
            ids, logps = ids[n:], logps[n:]
        return groups

    def _complete(self, requests: Sequence[RolloutRequest]) -> list[CompletionChoice]:
        """The completions of all requests, in their order; the servers take them in turn."""
        count = len(self._servers)
        shares = [requests[k::count] for k in range(count)]
        with ThreadPoolExecutor(count) as pool:
            told = list(pool.map(lambda server, share: server.completions(share), self._servers, shares))
        return [choice for k in range(len(requests)) for choice in told[k % count][k // count]]

    def _connect(self, policy: Policy) -> None:
        """Asks each server once what it is."""
        for address in self.addresses[len(self._servers) :]:
            backend = EndpointBackend(
                address, dialect=policy.checkpoint.dialect, frames=policy.backend.frames,
                long_side=policy.backend.long_side, pixels=None, quality=JPEG_QUALITY, cache=Cache(enabled=False),
                retry=self._retry,
            )  # fmt: skip
            self._servers.append(rollout_server(backend.client, backend.frames))
            self._backends.append(backend)

    def _request(
        self, policy: Policy, clip: PromptedClip, question_index: int, count: int, params: SamplingParams
    ) -> RolloutRequest:
        sample, question = clip.sample, clip.questions[question_index]
        call = ModelCall(
            sample.images, sample.times, policy.question_text(sample, question), max_tokens=params.max_tokens,
            temperature=params.temperature, seed=params.seed,
        )  # fmt: skip
        ids = [*clip.prompt.ids.tolist(), *clip.suffixes[question_index].tolist()]
        # the policy never draws a token that stands for a picture: it could not be learned from
        banned = visual_token_ids(policy.parts)
        return RolloutRequest(self._backends[0].question(call), ids, count, params, banned)

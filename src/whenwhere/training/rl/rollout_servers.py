"""Servers that sample completions: how vLLM and SGLang are handed weights, and how they are asked.

Which of the two is behind an address is told by its list of models (`owned_by` in `/v1/models`); whatever is not SGLang
is asked as vLLM is.

vLLM gets frames and words (`models.backends.endpoint`), and renders the prompt itself. It needs:

- A version that supports `return_token_ids` in chat completions (0.10.2 or later).
- `--logprobs-mode processed_logprobs` where the temperature is not 1: by default the server reports log-probabilities
  before the temperature. Sampling with top_p or top_k makes the gap wider.
- `VLLM_SERVER_DEV_MODE=1 vllm serve FOLDER` where weights are sent: the folder is read again by `/collective_rpc` with
  `reload_weights`, then `/reset_prefix_cache`, and `/reset_encoder_cache` where the vision tower is trained: features
  of pictures that come back would otherwise be those of the old weights (vllm-project/vllm issue 44910).

SGLang gets the policy's own tokens and the frames as pictures (`/generate`). It needs:

- Frames as single pictures (`frames=images`): a video it would sample and time by itself. The number of tokens that it
  counts must be the policy's.
- Nothing for a temperature: the log-probabilities that it reports are those after it, before top_p and top_k. The
  variable SGLANG_RETURN_ORIGINAL_LOGPROB must not be set.
- `/pause_generation`, `/update_weights_from_disk`, `/continue_generation` where weights are sent, in this order, as its
  guide for RL says. It keeps features of pictures until its cache of them is full: where the vision tower is trained,
  SGLANG_VLM_CACHE_SIZE_MB=0 switches that off (sgl-project/sglang pull request 36468).

Neither was available: both clients are written to the documentation and the sources, and tested against servers of our
own that speak these protocols. Left out: weights sent over a process group. vLLM joins one by NCCL alone, which no CPU
can test; SGLang also by gloo, but the group is made by functions that PyTorch keeps private.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from whenwhere.chat import ChatRequest, Client, CompletionChoice, PicturePart, ServerReply
from whenwhere.errors import ChatError, ModelError, SettingError
from whenwhere.training.prefix.rollout import SamplingParams

#: Added to the logits of tokens that must not be drawn; vLLM allows no more.
BAN = -100


@dataclass(frozen=True, eq=False)
class RolloutRequest:
    """One question, and how its completions are sampled.

    Attributes:
        chat: The question as a chat request, with its frames.
        ids: The policy's tokens of the whole prompt, pictures included.
        count: Number of completions.
        params: How tokens are sampled.
        banned: Token ids that must not be drawn.
    """

    chat: ChatRequest
    ids: Sequence[int]
    count: int
    params: SamplingParams
    banned: Sequence[int]


class RolloutServer(ABC):
    """A server that samples completions.

    Args:
        client: The connections to the server.
    """

    #: From which version on the server reports a token and a log-probability for each token.
    reports: ClassVar[str]

    def __init__(self, client: Client) -> None:
        self.client = client

    @property
    def name(self) -> str:
        """The address, as messages name it."""
        return self.client.address.root

    @abstractmethod
    def load(self, folder: Path, vision: bool) -> None:
        """Makes the server read its weights from a folder.

        Args:
            folder: A checkpoint, which the server sees under the same path.
            vision: Whether weights of the vision tower have changed.

        Raises:
            ChatError: The server cannot be reached.
            ModelError: It does not read the weights.
        """

    @abstractmethod
    def complete(self, requests: Sequence[RolloutRequest]) -> list[list[CompletionChoice]]:
        """The completions of each request.

        Raises:
            ChatError: The server gives no completions.
            ModelError: They are not the completions that were asked for.
        """

    def _control(self, path: str, body: dict[str, Any], missing: str) -> None:
        """Calls one of the server's own addresses.

        Args:
            path: The path.
            body: What is posted.
            missing: What to do if the server does not know the path.
        """
        reply = self.client.call(path, body)
        if reply.status != 200:
            raise self._declined(path, reply, missing)

    def _declined(self, path: str, reply: ServerReply, missing: str) -> ModelError:
        remedy = missing if reply.status in (404, 405) else "look into its log"
        return ModelError(
            f"{self.name} declines {path} ({_told(reply)}): {remedy}, or leave vllm_sync_folder empty and bring the "
            "weights there yourself"
        )

    def completions(self, requests: Sequence[RolloutRequest]) -> list[list[CompletionChoice]]:
        """The completions of each request, each with a log-probability for every token.

        Raises:
            ChatError: The server gives no completions.
            ModelError: They are not the completions that were asked for.
        """
        found = self.complete(requests)
        for request, choices in zip(requests, found, strict=True):
            if len(choices) != request.count:
                raise ModelError(f"{self.name} was asked for {request.count} completions and gave {len(choices)}")
            for choice in choices:
                if not choice.tokens or len(choice.tokens) != len(choice.logps):
                    raise ModelError(
                        f"{self.name} gives {len(choice.tokens)} tokens and {len(choice.logps)} log-probabilities "
                        f"for a completion: training needs both for every token, as {self.reports}"
                    )
                if drawn := set(choice.tokens) & set(request.banned):
                    raise ModelError(
                        f"{self.name} drew the token {min(drawn)}, which stands for a picture, although logit_bias "
                        "rules it out: use a version of the server that knows logit_bias"
                    )
        return found


class VLLMServer(RolloutServer):
    """vLLM, or another server that speaks its dialect of the OpenAI protocol."""

    reports = "vLLM reports them from 0.10.2 on"

    def load(self, folder: Path, vision: bool) -> None:
        """Makes the server read the folder that it serves again; see `RolloutServer.load`."""
        self._control("/collective_rpc", {"method": "reload_weights"}, "start it with VLLM_SERVER_DEV_MODE=1")
        self._control("/reset_prefix_cache", {}, "start it with VLLM_SERVER_DEV_MODE=1")
        if vision:
            self._control("/reset_encoder_cache", {}, "use a newer vLLM or freeze_vision_tower=true")

    def complete(self, requests: Sequence[RolloutRequest]) -> list[list[CompletionChoice]]:
        """The completions of each request; see `RolloutServer.complete`."""
        found = []
        for answer in self.client.complete_all([_with_tokens(request) for request in requests]):
            if isinstance(answer, ChatError):
                raise answer
            found.append(list(answer.choices))
        return found


class SGLangServer(RolloutServer):
    """SGLang, asked by its own protocol: tokens go in, tokens come back."""

    reports = "SGLang reports them for return_logprob"

    def load(self, folder: Path, vision: bool) -> None:
        """Pauses the server while it reads the weights; see `RolloutServer.load`."""
        self._control("/pause_generation", {"mode": "abort"}, "use a newer SGLang")
        try:
            self._read(folder)
        except BaseException:
            # a server that stays paused would answer nobody; what went wrong first is what counts
            with suppress(ChatError, ModelError):
                self._continue()
            raise
        self._continue()

    def _read(self, folder: Path) -> None:
        path, body = "/update_weights_from_disk", {"model_path": str(folder.resolve()), "flush_cache": True}
        reply = self.client.call(path, body)
        success = reply.value.get("success") if isinstance(reply.value, dict) else None
        if success is False:
            raise ModelError(
                f"{self.name} did not load the weights of {folder} ({_told(reply)}): it must see the folder under the "
                "same path and serve a model of the same shape"
            )
        if reply.status != 200 or success is not True:
            raise self._declined(path, reply, "use a newer SGLang")

    def _continue(self) -> None:
        self._control("/continue_generation", {}, "use a newer SGLang")

    def complete(self, requests: Sequence[RolloutRequest]) -> list[list[CompletionChoice]]:
        """The completions of each request; see `RolloutServer.complete`."""
        found = []
        bodies = [_generate_body(request) for request in requests]
        for request, reply in zip(requests, self.client.call_all("/generate", bodies), strict=True):
            if isinstance(reply, ChatError):
                raise reply
            if reply.status != 200 or not isinstance(reply.value, list):
                raise ModelError(
                    f"{self.name} declines /generate ({_told(reply)}): use a newer SGLang, and look into its log"
                )
            found.append([self._choice(row, len(request.ids)) for row in reply.value])
        return found

    def _choice(self, row: Any, prompt: int) -> CompletionChoice:
        """One completion of a response.

        Args:
            row: What the server says about it.
            prompt: Number of tokens of the prompt.
        """
        about = row.get("meta_info") if isinstance(row, dict) else None
        if not isinstance(about, dict):
            raise ModelError(f"{self.name} answers /generate with something that is no completion: is it SGLang?")
        counted = about.get("prompt_tokens")
        if counted != prompt:
            raise ModelError(
                f"{self.name} counts {counted} tokens in a prompt that has {prompt} here: let it serve the checkpoint "
                "that is trained, with its processor's own limits of pixels"
            )
        reason = about.get("finish_reason")
        if isinstance(reason, dict) and reason.get("type") == "abort":
            raise ModelError(
                f"{self.name} broke off a completion ({reason.get('message') or 'it does not say why'}): look into its "
                "log, and let nobody else pause it"
            )
        triples = about.get("output_token_logprobs")
        triples = [t for t in triples if _is_token(t)] if isinstance(triples, list) else []
        return CompletionChoice(
            str(row.get("text", "")), tokens=tuple(t[1] for t in triples), logps=tuple(float(t[0]) for t in triples)
        )


def rollout_server(client: Client, frames: str) -> RolloutServer:
    """The server behind an address.

    Args:
        client: The connections to it.
        frames: How the policy takes its frames.

    Raises:
        ChatError: The server cannot be reached.
        SettingError: It is SGLang, which takes frames as pictures alone, and the policy takes them as a video.
    """
    value = client.call("/v1/models").value
    listed = value.get("data") if isinstance(value, dict) else None
    if not any(isinstance(m, dict) and m.get("owned_by") == "sglang" for m in listed or ()):
        return VLLMServer(client)
    if frames != "images":
        raise SettingError(
            f"{client.address.root} is SGLang, which samples and times the frames of a video by itself: give them as "
            "single pictures, frames=images"
        )
    return SGLangServer(client)


def _with_tokens(request: RolloutRequest) -> ChatRequest:
    """The chat request that vLLM answers with token ids and log-probabilities."""
    params = request.params
    more: dict[str, Any] = {
        "logprobs": True, "return_token_ids": True, "logit_bias": {str(token): BAN for token in request.banned},
    }  # fmt: skip
    if params.top_p < 1:
        more["top_p"] = params.top_p
    if params.top_k:
        more["top_k"] = params.top_k
    return replace(request.chat, n=request.count, extra={**request.chat.extra, **more})


def _generate_body(request: RolloutRequest) -> dict[str, Any]:
    """The body for SGLang's `/generate`: a batch of one prompt, since only batches may have several pictures and n."""
    params = request.params
    parts = [part for message in request.chat.messages for part in message.content()]
    return {
        "input_ids": [list(request.ids)],
        "image_data": [[part.payload()["image_url"]["url"] for part in parts if isinstance(part, PicturePart)]],
        # no seed: it would be the same for all completions of a question
        "sampling_params": {
            "n": request.count, "max_new_tokens": params.max_tokens, "temperature": params.temperature,
            "top_p": params.top_p, "top_k": params.top_k or -1, "stop_token_ids": list(params.stop),
            "logit_bias": {str(token): BAN for token in request.banned},
        },
        "return_logprob": True,
        "logprob_start_len": -1,
    }  # fmt: skip


def _is_token(triple: Any) -> bool:
    """Whether a value is a log-probability with its token, as in `output_token_logprobs`."""
    if not isinstance(triple, list) or len(triple) < 2:
        return False
    logp, token = triple[:2]
    return isinstance(logp, int | float) and math.isfinite(logp) and isinstance(token, int)


def _told(reply: ServerReply) -> str:
    """A status with the server's words."""
    return f"{reply.status}: {reply.message}" if reply.message else str(reply.status)

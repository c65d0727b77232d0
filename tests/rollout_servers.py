"""Small servers that sample completions for RL: vLLM and SGLang, with a real tiny model behind each.

    with SmallSGLang(opened(taught, frames="images")).start() as server:
        trained(..., replace(BASE, vllm_server_base_url=f"{server.url}#policy"))

Each speaks the protocol of its program, as far as a trainer uses it: names and types of the fields, what is declined,
what an answer holds, and how weights are read again. Real log-probabilities come with the tokens. The vLLM samples with
our own rollouts; the SGLang runs the checkpoint's processor and the model's own forward, so that nothing of ours is
between the tokens that go in and those that come back.
"""

import re
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from chat_server import ChatServer, Declined, Request, Said, decoded
from tiny_policies import Two
from world_server import times_of

#: Sampling parameters that SGLang knows; it declines others.
SAMPLING = {
    "n", "max_new_tokens", "temperature", "top_p", "top_k", "min_p", "stop_token_ids", "logit_bias", "sampling_seed",
}  # fmt: skip


class Served:
    """What both servers have: a policy, and the weights that it was last told to read.

    Args:
        policy: The policy that samples.

    Attributes:
        policy: As given.
        calls: Names of the control calls that came in, in order.
        shown: Questions that came in.
        fails: Name of the control call that fails.
        loaded: How often the weights were read.
    """

    OWNER = "test"

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.lock = threading.Lock()
        self.calls: list[str] = []
        self.shown: list[Request] = []
        self.fails = ""
        self.loaded = 0

    def start(self, **settings: Any) -> ChatServer:
        """The server, a context manager; further settings as of `ChatServer`."""
        return ChatServer(self, models=["policy"], owner=self.OWNER, routes=self.routes(), **settings)

    def routes(self) -> dict[str, Any]:
        """Its addresses outside of the OpenAI protocol."""
        return {}

    def __call__(self, request: Request) -> Said:
        raise Declined("not served")

    def read(self, folder: str | Path) -> None:
        """Reads the weights of a folder."""
        from safetensors.torch import load_file

        with self.lock:
            weights = load_file(Path(folder) / "model.safetensors")
            left = self.policy.model.load_state_dict(weights, strict=False)
            assert not left.unexpected_keys
            self.loaded += 1


class SmallVLLM(Served):
    """A small vLLM.

    Args:
        policy: The policy that samples.
        folder: The folder that is served; None for a server that is not in its dev mode.
        encoder_cache: Whether the version knows `/reset_encoder_cache`.
    """

    OWNER = "vllm"

    def __init__(self, policy: Any, folder: Path | None = None, encoder_cache: bool = True) -> None:
        super().__init__(policy)
        self.folder, self.encoder_cache = folder, encoder_cache

    def routes(self) -> dict[str, Any]:
        if self.folder is None:
            return {}
        known = {"/collective_rpc": self._rpc, "/reset_prefix_cache": self._reset}
        return known | ({"/reset_encoder_cache": self._reset} if self.encoder_cache else {})

    def _rpc(self, request: Request) -> tuple[int, Any]:
        self.calls.append(request.body["method"])
        if self.fails == request.body["method"]:
            return 500, {"error": {"message": "size mismatch for lm_head.weight", "code": 500}}
        assert request.body["method"] == "reload_weights" and self.folder is not None
        self.read(self.folder)
        return 200, {"results": [None]}

    def _reset(self, request: Request) -> tuple[int, Any]:
        assert request.body == {}
        self.calls.append(request.path.strip("/"))
        return 200, None

    def __call__(self, request: Request) -> Said:
        import torch

        from whenwhere.training.data.samples import Question, Sample
        from whenwhere.training.prefix.group import completion_group
        from whenwhere.training.prefix.rollout import PrefilledPrompt, SamplingParams
        from whenwhere.training.prefix.shared_prefix import score_branches

        body, policy = request.body, self.policy
        words = [*request.parts()][-1]["text"].removeprefix("when ").strip()
        question = Question("q", words, Two().samples[0].questions[0].truth)
        sample = Sample("s", np.stack(request.pictures()), times_of(request), (question,))
        with self.lock, torch.no_grad():
            self.shown.append(request)
            prompt, (rest,) = policy.prompts(sample, [question])
            whole = replace(prompt, ids=torch.cat([prompt.ids, rest]))
            how = SamplingParams(
                body["max_tokens"], body["temperature"], stop=tuple(policy.end_ids), seed=body["seed"] + request.index
            )
            (ids,) = PrefilledPrompt(policy.parts, whole).sample(1, how)
            group = completion_group(whole, [ids])
            logps = score_branches(policy.parts, group, temperature=body["temperature"]).logps[0]
        ended = int(ids[-1]) in policy.end_ids
        return Said(policy.decode(ids), "stop" if ended else "length", token_ids=ids.tolist(), logprobs=logps.tolist())


class SmallSGLang(Served):
    """A small SGLang.

    Args:
        policy: The policy that samples.
        lacks: Addresses that the version does not know.
        knows_bias: Whether the version obeys `logit_bias`.
        picture_bias: Added to the logit of the token that ends a picture, for a model that likes to draw it.
    """

    OWNER = "sglang"

    def __init__(
        self, policy: Any, lacks: tuple[str, ...] = (), knows_bias: bool = True, picture_bias: float = 0.0
    ) -> None:
        super().__init__(policy)
        self.lacks, self.knows_bias, self.picture_bias = lacks, knows_bias, picture_bias
        self.paused = False
        self.generator: Any = None

    def routes(self) -> dict[str, Any]:
        known = {
            "/generate": self._generate, "/pause_generation": self._pause, "/continue_generation": self._continue,
            "/update_weights_from_disk": self._update,
        }  # fmt: skip
        return {path: answer for path, answer in known.items() if path not in self.lacks}

    def _pause(self, request: Request) -> tuple[int, Any]:
        assert request.body.get("mode", "abort") in ("abort", "retract", "in_place")
        self.calls.append("pause")
        self.paused = True
        return 200, {"message": "Generation paused successfully.", "status": "ok"}

    def _continue(self, request: Request) -> tuple[int, Any]:
        self.calls.append("continue")
        self.paused = False
        return 200, {"message": "Generation continued successfully.", "status": "ok"}

    def _update(self, request: Request) -> tuple[int, Any]:
        assert self.paused
        self.calls.append("update")
        try:
            if self.fails == "update":
                raise RuntimeError("size mismatch for lm_head.weight")
            self.read(request.body["model_path"])
        except (OSError, RuntimeError) as e:
            said = f"Failed to update weights: {e}. Rolling back to original weights."
            return 400, {"success": False, "message": said, "num_paused_requests": 0}
        return 200, {"success": True, "message": "Succeeded to update model weights.", "num_paused_requests": 0}

    def _generate(self, request: Request) -> tuple[int, Any]:
        body = request.body
        params = body["sampling_params"]
        ids, images, n = body["input_ids"], body["image_data"], params.get("n", 1)
        try:
            if unknown := params.keys() - SAMPLING:
                raise ValueError(f"Unexpected keyword argument '{min(unknown)}'")
            single = isinstance(ids[0], int)
            if single and n == 1:
                return 200, self._sampled(request, ids, images, params, 1)[0]
            if single:
                ids = [ids]
            if len(images) != len(ids):
                raise ValueError("The length of image_data should be equal to the batch size.")
            return 200, [
                row for i, x in zip(ids, images, strict=True) for row in self._sampled(request, i, x, params, n)
            ]
        except ValueError as e:
            return 400, {"error": {"message": str(e)}}

    def _sampled(
        self, request: Request, ids: list[int], images: list[str], params: dict[str, Any], n: int
    ) -> list[dict[str, Any]]:
        """Completions of one prompt, each as the server reports it."""
        import torch
        from transformers import DynamicCache

        from whenwhere.training.prefix.caches import cache_inputs

        policy, processor = self.policy, self.policy.checkpoint.processor
        assert not self.paused and request.body["return_logprob"] is True
        # as SGLang does: tokens become words again, and its own processor decides how many tokens a picture has
        words = re.sub(r"(<\|image_pad\|>)+", r"\1", processor.tokenizer.decode(ids))
        shown = [Image.fromarray(picture) for url in images for picture in decoded(url)]
        inputs = dict(processor(text=[words], images=shown, return_tensors="pt", return_mm_token_type_ids=True))
        length = inputs["input_ids"].shape[1]
        bias = torch.zeros(policy.parts.lm_head.out_features)
        bias[policy.parts.config.vision_end_token_id] = self.picture_bias
        for token, value in params["logit_bias"].items() if self.knows_bias else ():
            bias[int(token)] += value
        drawn: list[Any] = []
        told: list[Any] = []
        with self.lock, torch.no_grad():
            self.shown.append(request)
            if self.generator is None:
                self.generator = torch.Generator().manual_seed(0)
            policy.model.eval()
            states = DynamicCache()
            cache = cache_inputs(policy.model, states)
            logits = policy.model(**inputs, **cache).logits[:, -1].expand(n, -1)
            states.batch_repeat_interleave(n)
            for _ in range(params["max_new_tokens"]):
                logps = ((logits + bias) / params["temperature"]).log_softmax(-1)
                token = torch.multinomial(logps.exp(), 1, generator=self.generator)
                drawn.append(token)
                told.append(logps.gather(1, token))
                logits = policy.model(input_ids=token, **cache).logits[:, -1]
        found = []
        for row, each in zip(torch.cat(drawn, 1).tolist(), torch.cat(told, 1).tolist(), strict=True):
            ends = [k for k, token in enumerate(row) if token in params["stop_token_ids"]]
            kept = row[: ends[0] + 1] if ends else row
            reason = {"type": "stop", "matched": kept[-1]} if ends else {"type": "length", "length": len(kept)}
            triples = [[logp, token, None] for logp, token in zip(each, kept, strict=False)]
            about = {
                "id": "1", "finish_reason": reason, "prompt_tokens": length, "completion_tokens": len(kept),
                "cached_tokens": 0, "weight_version": "default", "output_token_logprobs": triples,
            }  # fmt: skip
            found.append({"text": policy.decode(kept), "output_ids": kept, "meta_info": about})
        return found

"""Judges of ablation plans that a chat server plays by a rule, and the ablations that they judge."""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from chat_server import ChatServer, Request, Said

from whenwhere.ablate.ablation import Ablation
from whenwhere.chat import RetryPolicy
from whenwhere.models.backends.endpoint import EndpointBackend
from whenwhere.store import Cache


def ablation(name: str, part: str = "", action: Any = "REMOVE", *new: str) -> Ablation:
    return Ablation(
        name=name, ablated_part=part or f"the {name}", action=action, replacement=list(new) or None, metrics=["mAP"]
    )


def backend_of(server: ChatServer) -> EndpointBackend:
    """The model of a server, whose answers are not kept and which is asked again without waiting."""
    return EndpointBackend(server.url, cache=Cache(enabled=False), retry=RetryPolicy(sleep=lambda seconds: None))


def lists(request: Request) -> dict[str, list[tuple[str, str]]]:
    """The lists as a judge sees them: (label, name)."""
    found = re.findall(r"^([ABP]\d+)\. (.*?); part:", request.text(), re.M)
    return {side: [(label, name) for label, name in found if label[0] == side] for side in "ABP"}


def same_name(request: Request) -> str:
    """A judge that matches equal names."""
    shown = lists(request)
    pairs = [{"a": a, "b": b, "why": "name"} for a, first in shown["A"] for b, second in shown["B"] if first == second]
    return json.dumps({"discussion": "", "matches": pairs})


def everything(request: Request) -> str:
    shown = lists(request)
    pairs = [{"a": a, "b": b, "why": ""} for a, _ in shown["A"] for b, _ in shown["B"]]
    return json.dumps({"discussion": "", "matches": pairs})


def nothing(request: Request) -> str:
    return '{"discussion": "nothing is the same", "matches": []}'


def quoting(request: Request, quotes: dict[str, str | None]) -> str:
    rows = [{"item": label, "quote": quotes.get(name)} for label, name in lists(request)["P"]]
    return json.dumps({"discussion": "", "items": rows})


Say = Callable[[Request], "str | Said"]


class Judges:
    """Chat servers as judges, each with what it says; a context manager."""

    def __init__(self, *says: Say, names: Sequence[str] = ()) -> None:
        self.servers = [
            ChatServer(say, models=[name]) for say, name in zip(says, names or ["judge"] * len(says), strict=True)
        ]

    def __enter__(self) -> list[EndpointBackend]:
        self.stack = ExitStack()
        return [self.stack.enter_context(backend_of(self.stack.enter_context(server))) for server in self.servers]

    def __exit__(self, *_: object) -> None:
        self.stack.close()

"""What a server answers to a request: the texts, how each ended, and what they cost.

An answer that was cut off or refused is still an answer and not an error: it was paid for, and the caller decides what
it is worth.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Finish = Literal["stop", "length", "refused"]


@dataclass(frozen=True)
class CompletionChoice:
    """One answer of a completion.

    Attributes:
        text: The answer as the model wrote it; the words of the refusal if it declined.
        finish: How the answer ended: `stop` is whole, `length` was cut off, `refused` was declined by the model or a
            filter.
        thought: The model's thinking, where the server keeps it apart from the answer.
        tokens: Token ids of the answer, if the request's `extra` asked for them (vLLM: `return_token_ids`).
        logps: Log-probability of each token, if `extra` asked for them (`logprobs`); NaN where one is not given.
    """

    text: str
    finish: Finish = "stop"
    thought: str = ""
    tokens: tuple[int, ...] = ()
    logps: tuple[float, ...] = ()


@dataclass(frozen=True)
class Completion:
    """The answers to one request.

    Attributes:
        choices: The answers, at least one; fewer than asked for if the server does not know `n`.
        prompt_tokens: Tokens of the prompt: the server's count, or our estimate if it gives none.
        output_tokens: Tokens of all answers, counted in the same way.
        cached_tokens: Tokens of the prompt that the server had ready and charges less for.
        counted: Whether the server counted the tokens; False means that they are estimates.
        seconds: Seconds from sending to the last byte, with the waiting between attempts.
        attempts: How many times the request was sent.
        conceded: Features that the server does not have and that were left out (`protocol` lists them).
        model: The name that the server gives to the model.
        stored: Whether the answer comes from the response cache and cost nothing now.
    """

    choices: tuple[CompletionChoice, ...]
    prompt_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    counted: bool = True
    seconds: float = 0.0
    attempts: int = 1
    conceded: tuple[str, ...] = ()
    model: str = ""
    stored: bool = False

    @property
    def text(self) -> str:
        """Text of the first answer."""
        return self.choices[0].text

    @property
    def finish(self) -> Finish:
        """How the first answer ended."""
        return self.choices[0].finish

    def to_json(self) -> dict[str, Any]:
        """The completion as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Completion":
        """The completion that `to_json` wrote.

        Raises:
            TypeError, KeyError, ValueError: the value is not a completion.
        """
        rows = [{**c, **{k: tuple(c[k]) for k in ("tokens", "logps") if k in c}} for c in value["choices"]]
        choices = tuple(CompletionChoice(**c) for c in rows)
        ends = ("stop", "length", "refused")
        if not choices or not all(isinstance(c.text, str) and c.finish in ends for c in choices):
            raise ValueError("the value holds no answers")
        return cls(**{**value, "choices": choices, "conceded": tuple(value["conceded"])})

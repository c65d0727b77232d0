"""What comes back: the answers' texts, how each ended, and what they cost.

An answer that was cut off or refused is an answer, not an error: it was paid for, and whoever asked decides what it is
worth.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Finish = Literal["stop", "length", "refused"]


@dataclass(frozen=True)
class Choice:
    """One answer.

    Attributes:
        text: as written; of a refusal, the words of the refusal.
        finish: `stop`: whole; `length`: cut off; `refused`: the model or a filter declined.
        thought: thinking that the server keeps apart from the answer.
        tokens: numbers of its tokens, where the question's `extra` asked for them (vLLM: `return_token_ids`).
        logps: log-probability of each token, where `extra` asked for them (`logprobs`); NaN = not given.
    """

    text: str
    finish: Finish = "stop"
    thought: str = ""
    tokens: tuple[int, ...] = ()
    logps: tuple[float, ...] = ()


@dataclass(frozen=True)
class Completion:
    """The answers to one question.

    Attributes:
        choices: at least one; fewer than asked for where the server does not know `n`.
        prompt_tokens: as the server counted them, or our estimate.
        output_tokens: likewise.
        cached_tokens: of the prompt's, those that the server had ready and charges less for.
        counted: the server counted; False = estimates.
        seconds: from sending to the last byte, waiting between attempts included.
        attempts: requests that it took.
        conceded: what the server cannot do and was not asked for (see `wire`).
        model: the name that the server gives itself.
        stored: it was answered before and cost nothing now.
    """

    choices: tuple[Choice, ...]
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
        """The first answer."""
        return self.choices[0].text

    @property
    def finish(self) -> Finish:
        """How the first answer ended."""
        return self.choices[0].finish

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Completion":
        """Read what `to_json` gave.

        Raises:
            TypeError, KeyError, ValueError: it is something else.
        """
        rows = [{**c, **{k: tuple(c[k]) for k in ("tokens", "logps") if k in c}} for c in value["choices"]]
        choices = tuple(Choice(**c) for c in rows)
        ends = ("stop", "length", "refused")
        if not choices or not all(isinstance(c.text, str) and c.finish in ends for c in choices):
            raise ValueError("no answers in it")
        return cls(**{**value, "choices": choices, "conceded": tuple(value["conceded"])})

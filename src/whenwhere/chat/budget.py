"""How much may be spent, and how much was.

A budget is asked *before* each call, with the most that the call may cost: it refuses the call that could pass the
limit, so that what is spent never does (as far as the estimate of the prompt is right).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from whenwhere.errors import BudgetError


@dataclass
class Usage:
    """What a client has spent.

    Attributes:
        calls: questions that a server answered.
        prompt_tokens, cached_tokens, output_tokens: see `Completion`.
        stored: questions answered from the store, for nothing.
        retries: requests that were sent again.
        failures: questions without an answer.
        seconds: the calls' seconds, added up.
    """

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    stored: int = 0
    retries: int = 0
    failures: int = 0
    seconds: float = 0.0


class Hold:
    """What one call may cost, until it is known what it did cost."""

    def __init__(self) -> None:
        self.spent: int | None = None


class Budget:
    """A limit that several clients and threads may share.

    Args:
        calls: most answered calls; None = no limit.
        tokens: most tokens, prompts and answers together; None = no limit.

    >>> budget = Budget(tokens=100)
    >>> with budget.hold(60) as hold:
    ...     hold.spent = 50
    >>> with budget.hold(60) as hold:
    ...     pass
    Traceback (most recent call last):
    ...
    whenwhere.errors.BudgetError: the next call may cost 60 tokens, and 50 of 100 are left: allow more tokens
    """

    def __init__(self, calls: int | None = None, tokens: int | None = None) -> None:
        self.calls, self.tokens = calls, tokens
        self.spent_calls = self.spent_tokens = 0
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, tokens: int) -> Iterator[Hold]:
        """Set aside what a call may cost; afterwards what `spent` says is spent, nothing where it says None.

        Raises:
            BudgetError: there is not enough left.
        """
        with self._lock:
            if self.calls is not None and self.spent_calls + 1 > self.calls:
                raise BudgetError(f"all {self.calls} calls that were allowed are spent: allow more calls")
            if self.tokens is not None and self.spent_tokens + tokens > self.tokens:
                left = max(self.tokens - self.spent_tokens, 0)
                raise BudgetError(
                    f"the next call may cost {tokens} tokens, and {left} of {self.tokens} are left: allow more tokens"
                )
            self.spent_calls += 1
            self.spent_tokens += tokens
        held = Hold()
        try:
            yield held
        finally:
            with self._lock:
                self.spent_calls -= held.spent is None
                self.spent_tokens += (held.spent or 0) - tokens

"""Scoring: every protocol by its name, equal to the original's digits, with constant answers beside it.

The package is also the function that does it: `whenwhere.evaluate(benchmark, annotations, predictions, ...)` calls
`whenwhere.evaluate.run.evaluate`, whose docstring describes the arguments. Nothing is imported before the call, so
`import whenwhere.evaluate` stays light, and its modules (`whenwhere.evaluate.report`, ...) are imported as usual.
"""

import inspect
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whenwhere.evaluate.run import EvaluationResult


class _CallableModule(ModuleType):
    """This package, which can be called."""

    def __call__(self, *args: Any, **kwargs: Any) -> "EvaluationResult":
        from whenwhere.evaluate.run import evaluate

        return evaluate(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        from whenwhere.evaluate.run import evaluate

        return inspect.signature(evaluate)


sys.modules[__name__].__class__ = _CallableModule

"""A limit on what a checkpoint's chat template may do.

A template is a program in the checkpoint's folder. transformers runs it in a sandbox, from which it cannot reach
objects or files, but it may loop for ever or fill the memory. Under `limited_template` it is stopped after a number of
steps, which a whole conversation with a thousand pictures needs a small part of, or after `SECONDS`, and may take no
more memory than `MEMORY` beyond what the process has. A single step cannot be stopped; of those that may take hours,
powers of numbers are refused, and others (such as a sum of many lists) are left.
"""

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

#: Most lines of a template and calls of functions in one rendering.
STEPS = 1_000_000
#: Longest time of one rendering in seconds, and most characters of the prompt that it makes.
SECONDS, LONGEST_PROMPT = 10.0, 250_000
#: Most bytes of memory that a rendering may add to the process, where the system can limit it.
MEMORY = 2 << 30


class TemplateLimitError(Exception):
    """A chat template does more than any conversation needs."""


class _StopRendering(BaseException):
    """Ends a rendering. It is no `Exception`, which jinja2 catches when it computes constants, to go on unlimited."""


@contextmanager
def limited_template(template: str) -> Iterator[None]:
    """Stop a chat template that is rendered in the block when it takes too many steps, too long or too much memory.

    Args:
        template: Text of the template.

    Raises:
        TemplateLimitError: The template does more than it may.
    """
    if _has_powers(template):
        raise TemplateLimitError("it raises numbers to powers, which may take for ever")
    steps, end = 0, time.monotonic() + SECONDS

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > STEPS:
            raise _StopRendering(f"it takes more than {STEPS} steps")
        # jinja2 compiles templates to code of these names; only their lines are counted, and calls of all functions.
        return watch(frame, event, argument) and (count if "template" in frame.f_code.co_filename else watch)

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        if time.monotonic() > end:
            raise _StopRendering(f"it takes more than {SECONDS:g} s")
        return watch

    before = sys.gettrace()
    with _no_collection(), _limited_memory():
        sys.settrace(count)
        try:
            yield
        except _StopRendering as e:
            raise TemplateLimitError(str(e)) from e
        except MemoryError as e:
            raise TemplateLimitError(f"it takes more than {MEMORY >> 20} MiB of memory") from e
        finally:
            sys.settrace(before)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keeps the garbage of others alive: what stops a rendering would be lost if it were raised in their clean-up."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def _has_powers(template: str) -> bool:
    """Whether `**` stands between two values, and not before named arguments."""
    import jinja2

    before = ""
    try:
        for _, kind, text in jinja2.Environment().lex(template):
            if kind == "operator" and text == "**" and before not in ("(", ","):
                return True
            before = before if kind == "whitespace" else text
    except jinja2.TemplateSyntaxError:
        # What cannot be read is not run; rendering says what is wrong with it.
        pass
    return False


@contextmanager
def _limited_memory() -> Iterator[None]:
    """Lets the process take at most `MEMORY` more; does nothing where the system has no such limit."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = pages * resource.getpagesize() + MEMORY
    except (ImportError, OSError, ValueError):
        yield
        return
    if soft != resource.RLIM_INFINITY and soft <= wanted:
        yield
        return
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

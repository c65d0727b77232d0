"""A limit on what a checkpoint's chat template may do.

A template is a program in the checkpoint's folder. transformers runs it in a sandbox, from which it cannot reach
objects or files, but it may loop for ever or fill the memory. Under `limited_template` it is stopped after a number of
steps, which a whole conversation with a thousand pictures needs a small part of, and may take no more memory than
`MEMORY` beyond what the process has.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

#: Most lines of a template and calls of functions in one rendering.
STEPS = 1_000_000
#: Most bytes of memory that a rendering may add to the process, where the system can limit it.
MEMORY = 2 << 30


class TemplateLimitError(Exception):
    """A chat template does more than any conversation needs."""


@contextmanager
def limited_template() -> Iterator[None]:
    """Stop a chat template that is rendered in the block after `STEPS` steps, or when it takes too much memory.

    Raises:
        TemplateLimitError: The template takes too many steps.
        MemoryError: It takes too much memory.
    """
    steps = 0

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > STEPS:
            raise TemplateLimitError(f"it takes more than {STEPS} steps")
        # jinja2 compiles templates to code of these names; only their lines are counted, and calls of all functions.
        return count if "template" in frame.f_code.co_filename or event != "call" else None

    before = sys.gettrace()
    with _limited_memory():
        sys.settrace(count)
        try:
            yield
        finally:
            sys.settrace(before)


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

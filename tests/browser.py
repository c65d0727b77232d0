"""A headless Chromium for tests of the page and of what browsers play.

Debian's chromium through playwright's `executable_path`; nothing is installed or fetched. Outside CI a machine
without it skips those tests; in CI that is a failure.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]
#: What a page may load: itself and what it carries.
OWN = ("file:", "blob:", "data:", "about:")


@dataclass
class Seen:
    """What went wrong in a page, and what it asked for."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def foreign(self) -> list[str]:
        return [url for url in self.requests if not url.startswith(OWN)]


@contextmanager
def browser() -> Iterator:
    chromium = shutil.which("chromium")
    if chromium is None:
        sentence = "chromium is not installed: the page cannot be tried (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=chromium, args=FLAGS)
        try:
            yield running
        finally:
            running.close()


def visit(
    running, address: str | Path, width: int = 1280, height: int = 800, scheme: str = "light", touch: bool = False
) -> tuple[Page, Seen]:
    """Open a page in a fresh window; what it does wrong is collected."""
    context = running.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        has_touch=touch,
        is_mobile=touch,
        accept_downloads=True,
    )
    page = context.new_page()
    page.set_default_timeout(15_000)
    seen = Seen()
    page.on("console", lambda m: seen.errors.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: seen.errors.append(str(e)))
    page.on("request", lambda r: seen.requests.append(r.url))
    page.goto(address.as_uri() if isinstance(address, Path) else address)
    return page, seen

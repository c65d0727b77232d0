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
from playwright.sync_api import Browser, Page, sync_playwright

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


@dataclass
class Windows:
    """A running browser, and its window (and its touch screen) that is used again: a new one takes a second."""

    running: Browser
    kept: dict[bool, tuple[Page, Seen]] = field(default_factory=dict)


@contextmanager
def browser() -> Iterator[Windows]:
    chromium = shutil.which("chromium")
    if chromium is None:
        sentence = "chromium is not installed: the page cannot be tried (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=chromium, args=FLAGS)
        try:
            yield Windows(running)
        finally:
            running.close()


def visit(
    windows: Windows,
    address: str | Path,
    width: int = 1280,
    height: int = 800,
    scheme: str = "light",
    touch: bool = False,
    own: bool = False,
) -> tuple[Page, Seen]:
    """Open a page; what it does wrong is collected.

    It takes the place of the page that was opened before and finds nothing stored by that one. With `own` it stays
    open in a window of its own.
    """
    if own or touch not in windows.kept:
        made = new_window(windows.running, touch)
        if not own:
            windows.kept[touch] = made
    else:
        made = windows.kept[touch]
    page, seen = made
    if page.url != "about:blank":
        page.evaluate("localStorage.clear()")
        page.goto("about:blank")
    seen.errors.clear()
    seen.requests.clear()
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(address.as_uri() if isinstance(address, Path) else address)
    return page, seen


def new_window(running: Browser, touch: bool) -> tuple[Page, Seen]:
    context = running.new_context(has_touch=touch, is_mobile=touch, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(15_000)
    seen = Seen()
    page.on("console", lambda m: seen.errors.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: seen.errors.append(str(e)))
    page.on("request", lambda r: seen.requests.append(r.url))
    return page, seen

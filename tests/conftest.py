"""Fixtures and rules shared by all tests.

Real data is found through `WHENWHERE_DATA` alone (fixture `real_data`). In CI every skip must begin with `data:`,
`gpu:` or `system:` (what a machine without LaTeX lacks); anything else that was skipped fails the run, because a
skipped test shows nothing.

Tests marked `torch` are left out where torch is not installed, but in CI they run and fail there.
"""

import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))

from forked import Forker

# Two workers of pytest-xdist with two computing threads each wait for one another on two cores: a test that takes 27 s
# alone took over 120 s. The variable is set before torch is loaded and reaches subprocesses too.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Ray reads this when it is imported, by whichever test is first: a cluster of this machine listens on the loopback.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

# Each run draws other examples than the last, so that fewer in each cost little. How long drawing them takes says more
# of the machine's load than of a test.
settings.register_profile("suite", max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = os.environ.get("WHENWHERE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("data: set WHENWHERE_DATA to the folder with the real clips and annotations")
    return Path(folder)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    # Tests must neither read nor fill the user's cache; an environment variable reaches subprocesses too.
    os.environ["WHENWHERE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def _fast_model() -> None:
    # Most tests are about files and exports and would only wait for a detector; those about `auto` take this away.
    os.environ["WHENWHERE_MODEL"] = "motion"


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch computes on one thread: a micro model is slower on two, and sums are the same from run to run."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def moving_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of 160 x 120: a red thing crosses to the right from 1 to 4 s, a blue one comes down from 3 s on."""
    import numpy as np

    from whenwhere.video import FrameWriter

    path = tmp_path_factory.mktemp("clips") / "moving.mp4"
    tiles = np.random.default_rng(0).integers(60, 190, (15, 20, 3))
    ground = np.kron(tiles, np.ones((8, 8, 1))).astype(np.uint8)
    with FrameWriter(path, 160, 120, 10) as writer:
        for i in range(60):
            t, frame = i / 10, ground.copy()
            if 1 <= t < 4:
                x = int((t - 1) / 3 * 190) - 30
                frame[60:84, max(0, x) : max(0, x + 30)] = (220, 30, 30)
            if t >= 3:
                y = int((t - 3) / 3 * 120) - 20
                frame[max(0, y) : max(0, y + 20), 110:130] = (30, 40, 220)
            writer.write(frame)
    return path


@pytest.fixture(scope="session")
def forker() -> Iterator[Forker]:
    forker = Forker()
    yield forker
    forker.close()


@pytest.fixture(scope="session")
def cli(forker: Forker) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line in a process of its own; `status=None` accepts any exit status.

    The process is forked (tests/forked.py); with `preexec_fn` it is started anew.
    """

    def run(*arguments: object, status: int | None = 0, **options: Any) -> subprocess.CompletedProcess[str]:
        call = ["-m", "whenwhere", *(os.fsdecode(a if isinstance(a, bytes) else str(a)) for a in arguments)]
        if "preexec_fn" in options:
            # Python would leave half a compiled module where files may not grow.
            environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
            done = subprocess.run([sys.executable, *call], capture_output=True, timeout=120, env=environment, **options)
        else:
            done = forker.run(call, **options)
        out, err = (said.decode("utf-8", "surrogateescape") for said in (done.stdout, done.stderr))
        assert status is None or done.returncode == status, (done.returncode, out, err)
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return run


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("CI") or importlib.util.find_spec("torch"):
        return
    without = [item for item in items if item.get_closest_marker("torch")]
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if not item.get_closest_marker("torch")]


#: A report begins with "file:line: Category: text"; the text alone tells two of them apart.
DEPRECATION = re.compile(r": (\w*Deprecat\w*: .*|\w*Warning: .*\bdeprecated\b.*)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """In CI, say how often each deprecation was met: what dependencies are about to take away."""
    if not os.environ.get("CI"):
        return
    warned = [str(report.message) for report in terminalreporter.stats.get("warnings", [])]
    texts = [found[1].strip() for text in warned if (found := DEPRECATION.search(text))]
    terminalreporter.section(f"deprecation warnings: {len(texts)} of {len(warned)} warnings")
    for text, times in Counter(texts).most_common():
        terminalreporter.write_line(f"{times:>5} × {text}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("CI"):
        return
    reasons = {
        str(r.longrepr[2] if isinstance(r.longrepr, tuple) else r.longrepr) for r in reporter.stats.get("skipped", [])
    }
    bad = sorted(r for r in reasons if not r.removeprefix("Skipped: ").startswith(("data:", "gpu:", "system:")))
    if bad:
        reporter.write_line(f"skipped for other reasons than data, gpu or system: {bad}", red=True)
        session.exitstatus = 1

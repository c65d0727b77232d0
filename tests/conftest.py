"""Fixtures and rules shared by all tests.

Real data is found through `WHENWHERE_DATA` alone (fixture `real_data`). In CI every skip must begin with `data:` or
`gpu:`; anything else that was skipped fails the run, because a skipped test shows nothing.
"""

import os
from pathlib import Path

import pytest


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


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("CI"):
        return
    reasons = {
        str(r.longrepr[2] if isinstance(r.longrepr, tuple) else r.longrepr) for r in reporter.stats.get("skipped", [])
    }
    bad = sorted(r for r in reasons if not r.removeprefix("Skipped: ").startswith(("data:", "gpu:")))
    if bad:
        reporter.write_line(f"skipped for other reasons than data or gpu: {bad}", red=True)
        session.exitstatus = 1

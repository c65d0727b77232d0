"""The half-taught policy of `tiny_policies`, as a fixture of the tests of RL."""

from pathlib import Path

import pytest
import tiny_policies


@pytest.fixture(scope="module")
def taught(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_policies.build(tmp_path_factory.mktemp("taught") / "policy", steps=80)

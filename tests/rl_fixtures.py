"""The half-taught policy of `tiny_policies`, as a fixture of the tests of RL."""

from pathlib import Path

import pytest
import tiny_policies


@pytest.fixture(scope="session")
def taught_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    policy = tiny_policies.build(tmp_path_factory.mktemp("taught") / "policy", steps=80)
    torch.set_num_threads(before)
    return policy


@pytest.fixture(scope="module")
def taught(one_thread: None, taught_once: Path) -> Path:
    return taught_once

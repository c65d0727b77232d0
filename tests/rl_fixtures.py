"""Fixtures of the tests of RL: one thread, and the half-taught policy of `tiny_policies`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_policies


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def taught(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_policies.build(tmp_path_factory.mktemp("taught") / "policy", steps=80)

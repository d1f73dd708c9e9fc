"""What all tests share: quick and repeatable property tests, GPU tests only where there is a GPU, bounded waiting."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable

import hypothesis
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

if "PYTEST_XDIST_WORKER" not in os.environ:  # workers, and what they start, share it
    _CACHE = tempfile.TemporaryDirectory(prefix="tspmz-tests-")
    os.environ["XDG_CACHE_HOME"] = _CACHE.name

hypothesis.settings.register_profile("tspmz", deadline=None, derandomize=True, database=None, max_examples=50)
hypothesis.settings.load_profile("tspmz")


_REAL_RUNS = ("integration", "benchmarks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none; real runs one after the other, for each starts several processes."""
    for item in items:
        if item.path.parent.name in _REAL_RUNS:
            item.add_marker(pytest.mark.xdist_group("real runs"))
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if not wanting:
        return
    import torch

    if not torch.cuda.is_available():
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Waits for a condition, at most `timeout` seconds, and fails the test after that."""

    def wait(condition: Callable[[], bool], timeout: float = 60.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"nothing after {timeout} s"
            time.sleep(0.005)

    return wait

"""torchrl's prioritized sampler, without a storage to gather from.

Its compiled segment tree 0.14.1 asks torch 2.13 for a symbol that is gone, of a function that is not used here: it
loads where symbols are looked up when they are first called.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.peers.worker import seconds_of, serve


def load() -> tuple[str, Mapping[str, Callable[..., Any]]]:
    """Version and handlers."""
    sys.setdlopenflags(os.RTLD_LAZY)
    os.environ.setdefault("RL_LOGGING_LEVEL", "WARNING")
    import torch
    import torchrl
    from torchrl._torchrl import SumSegmentTreeFp32  # noqa: F401  # says why, where it does not load
    from torchrl.data import LazyTensorStorage
    from torchrl.data.replay_buffers.samplers import PrioritizedSampler

    torch.set_num_threads(1)
    state: dict[str, Any] = {}

    def setup(size: int, batch: int, alpha: float, beta: float) -> None:
        """Fill a sampler."""
        torch.manual_seed(0)
        sampler = PrioritizedSampler(size, alpha, beta)
        storage = LazyTensorStorage(size)
        index = torch.arange(size)
        storage.set(index, torch.zeros(size, 1))
        sampler.extend(index)
        sampler.update_priority(index, torch.rand(size))
        drawn, _ = sampler.sample(storage, batch)
        state.update(sampler=sampler, storage=storage, batch=batch, drawn=torch.as_tensor(drawn), new=torch.rand(batch))

    def sample(calls: int) -> float:
        """Draw so many batches."""
        sampler, storage, batch = state["sampler"], state["storage"], state["batch"]
        return seconds_of(calls, lambda: sampler.sample(storage, batch))

    def update(calls: int) -> float:
        """Set the priorities of a batch so many times."""
        sampler, drawn, new = state["sampler"], state["drawn"], state["new"]
        return seconds_of(calls, lambda: sampler.update_priority(drawn, new))

    def cycle(calls: int) -> float:
        """Draw a batch and set its priorities, so many times."""
        sampler, storage, batch, new = (state[name] for name in ("sampler", "storage", "batch", "new"))

        def once() -> None:
            drawn, _ = sampler.sample(storage, batch)
            sampler.update_priority(torch.as_tensor(drawn), new)

        return seconds_of(calls, once)

    return f"{torchrl.__version__} with torch {torch.__version__}", {
        "setup": setup, "sample": sample, "update": update, "cycle": cycle
    }  # fmt: skip


if __name__ == "__main__":
    serve(load)

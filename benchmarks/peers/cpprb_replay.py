"""cpprb's prioritized buffer, with one number per entry to gather."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

from benchmarks.peers.worker import seconds_of, serve


def load() -> tuple[str, Mapping[str, Callable[..., Any]]]:
    """Version and handlers."""
    import numpy as np
    from cpprb import PrioritizedReplayBuffer

    state: dict[str, Any] = {}

    def setup(size: int, batch: int, alpha: float, beta: float) -> None:
        """Fill a buffer."""
        rng = np.random.default_rng(0)
        buffer = PrioritizedReplayBuffer(size, {"number": {"dtype": np.float32}}, alpha=alpha)
        buffer.add(number=np.zeros(size, np.float32), priorities=rng.random(size, dtype=np.float32))
        drawn = buffer.sample(batch, beta)["indexes"]
        state.update(buffer=buffer, batch=batch, beta=beta, drawn=drawn, new=rng.random(batch, dtype=np.float32))

    def sample(calls: int) -> float:
        """Draw so many batches."""
        buffer, batch, beta = state["buffer"], state["batch"], state["beta"]
        return seconds_of(calls, lambda: buffer.sample(batch, beta))

    def update(calls: int) -> float:
        """Set the priorities of a batch so many times."""
        buffer, drawn, new = state["buffer"], state["drawn"], state["new"]
        return seconds_of(calls, lambda: buffer.update_priorities(drawn, new))

    def cycle(calls: int) -> float:
        """Draw a batch and set its priorities, so many times."""
        buffer, batch, beta, new = (state[name] for name in ("buffer", "batch", "beta", "new"))
        return seconds_of(calls, lambda: buffer.update_priorities(buffer.sample(batch, beta)["indexes"], new))

    return metadata.version("cpprb"), {"setup": setup, "sample": sample, "update": update, "cycle": cycle}


if __name__ == "__main__":
    serve(load)

"""Our own train step in a process that frees memory as the C library does by default."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.peers.worker import seconds_of, serve


def load() -> tuple[str, Mapping[str, Callable[..., Any]]]:
    """Version and handlers."""
    import torch

    from benchmarks.learner import Turns
    from tspmz import __version__

    torch.set_num_threads(1)
    state: dict[str, Any] = {}

    def setup(cities: int) -> None:
        """Make a learner with a full window."""
        folder = tempfile.TemporaryDirectory(prefix="tspmz-malloc-")
        state.update(folder=folder, turns=Turns(cities, Path(folder.name)))

    def step(calls: int) -> float:
        """Make so many steps on one batch."""
        return seconds_of(calls, state["turns"].step)

    return __version__, {"setup": setup, "step": step}


if __name__ == "__main__":
    serve(load)

"""Batches that fit into memory: what is free on a device, and work in parts where the whole does not fit."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import TypeVar

import torch

_LOG = logging.getLogger(__name__)
_NO_MEMORY = "DefaultCPUAllocator: can't allocate memory"
R = TypeVar("R")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that something found no room: a tensor on a GPU or on the CPU, or an array."""
    if isinstance(error, RuntimeError):
        return isinstance(error, torch.OutOfMemoryError) or _NO_MEMORY in str(error)
    return isinstance(error, MemoryError)


def reason_of(error: BaseException) -> str:
    """The first line of its text, or what it is."""
    return (str(error) or type(error).__name__).splitlines()[0]


def batch_bytes(device: torch.device | str, on_cpu: int) -> int:
    """Bytes that a batch of decoding may take: a quarter of what is free on a GPU, `on_cpu` elsewhere.

    A quarter: others may use the GPU, too, and what is counted is what is kept, not what an operation needs for itself.
    """
    if torch.device(device).type != "cuda":
        return on_cpu
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch's own, to be used again
    return max(on_cpu, (torch.cuda.mem_get_info(device)[0] + unused) // 4)


class Parts:
    """Work on a batch in one part; in twice as many from then on whenever memory was not enough.

    Args:
        setting: that says how large a batch is, for the log.

    Attributes:
        count: parts of a batch.
    """

    def __init__(self, setting: str) -> None:
        self.count = 1
        self._setting = setting

    def run(self, size: int, work: Callable[[list[slice]], R], tidy: Callable[[], object] = lambda: None) -> R:
        """What `work` gives for the parts of a batch of `size`; it is called anew with more and smaller ones.

        Args:
            size: of the batch.
            work: told which parts.
            tidy: gives back what was kept for larger parts.

        Raises:
            RuntimeError, MemoryError: not enough for one at a time either, or something else is wrong.
        """
        while True:
            try:
                return work(self.slices(size))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self.count >= size:
                    raise
                reason = reason_of(error)
            # only here, when the traceback no longer holds what failed
            self.count = min(2 * self.count, size)
            _LOG.warning(
                "%s = %d: not enough memory, goes on in %d parts (%s)", self._setting, size, self.count, reason
            )
            tidy()
            gc.collect()  # an error that came from another thread is held by what waited for it, and holds it, too
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def slices(self, size: int) -> list[slice]:
        """`size` in `count` parts that differ by one at most; fewer where there are not so many to divide."""
        count = min(self.count, size)
        return [slice(size * part // count, size * (part + 1) // count) for part in range(count)]

"""Freed memory stays with the process: a train step, or a batch of tours, takes the same blocks as the last one did."""

from __future__ import annotations

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1
_LARGEST_MMAP_THRESHOLD = 2**25  # glibc refuses more


def keep_freed_memory() -> bool:
    """Tell glibc's malloc to keep what this process frees, for what it takes next.

    By default blocks of some size go back to the system, which hands out fresh pages for the next ones and zeroes each
    at its first touch: thousands of page faults in every train step. The process holds on to its peak instead, which
    it would soon take again. Blocks of 32 MiB and more still come and go.

    Where the user has set glibc's own variables (`MALLOC_...`, `GLIBC_TUNABLES`), these hold. Other allocators have no
    such knobs, or are not asked.

    Returns:
        Whether it took effect.
    """
    if any(name.startswith("MALLOC_") for name in os.environ) or "GLIBC_TUNABLES" in os.environ:
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD), (_M_TRIM_THRESHOLD, _NEVER))
    return all(mallopt(name, value) == 1 for name, value in settings)

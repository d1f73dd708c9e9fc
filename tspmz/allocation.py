"""Freed memory stays with the process: a train step, or a batch of tours, takes the same blocks as the last one did."""

from __future__ import annotations

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NEVER = -1
_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_")
_LARGEST_MMAP_THRESHOLD = 2**25  # glibc refuses more


def keep_freed_memory() -> bool:
    """Tell glibc's malloc to keep what this process frees, for what it takes next.

    By default blocks of some size go back to the system, which hands out fresh pages for the next ones and zeroes each
    at its first touch: thousands of page faults in every train step. The process holds on to its peak instead, which
    it would soon take again. Blocks of 32 MiB and more still come and go.

    Where the user has set glibc's own variables for this (`MALLOC_TRIM_THRESHOLD_`, `GLIBC_TUNABLES=glibc.malloc...`
    and so on), these hold. Other allocators have no such knobs, or take no notice of them; and what threads other than
    the main one free, glibc still gives back in part.

    Returns:
        Whether glibc was told so.
    """
    if any(name in os.environ for name in _VARIABLES) or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD), (_M_TRIM_THRESHOLD, _NEVER))
    return all(mallopt(name, value) == 1 for name, value in settings)

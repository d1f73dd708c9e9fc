"""Compiled functions whose machine code, kept on disk, never outlives what they call."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from numba import njit


def kernels_of(files: Iterable[Path], **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that compiles functions with numba and keeps the machine code in numba's cache.

    The machine code of a function contains that of all it calls, yet numba looks at the function's own file alone to
    see whether it is out of date. These are out of date when any of `files` has changed.

    Args:
        files: sources of the function and of what it calls.
        options: of `numba.njit`.
    """
    stamp = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()
    # a function that does not say "fastmath" takes it from whoever happens to compile it first
    chosen = {"cache": True, "fastmath": False, **options}

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = njit(**chosen)(function)
        dispatcher._cache._cache_file._source_stamp = stamp
        return dispatcher

    return decorate

"""How this room compiles its functions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

# Without NRT, numba's reference counting. With it, each access to an array of a tree, and each call that passes a tree
# on, costs atomic operations for all its arrays, which made the search six times slower. It is not needed: the caller
# holds all arrays, and nothing here allocates or returns one.
# "fastmath" is said everywhere: a function that does not say it takes it from whoever happens to compile it first.
_OPTIONS: dict[str, Any] = {"cache": True, "_nrt": False, "error_model": "numpy", "fastmath": False}

# A call would copy the description of every array of the tree: inlining makes the search half again as fast.
_INLINED = {**_OPTIONS, "forceinline": True}
_INNER = {**_INLINED, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

# The stored machine code of a function contains that of all it calls, yet numba looks at the function's own file alone
# to see whether it is out of date. Here it looks at the sources of the whole room.
_FILES = sorted(Path(__file__).parent.glob("*.py"))
_SOURCES = hashlib.sha256(b"".join(path.read_bytes() for path in _FILES)).hexdigest()


def _compiler(options: dict[str, Any]) -> Callable[[Callable[..., Any]], Any]:
    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = njit(**options)(function)
        dispatcher._cache._cache_file._source_stamp = _SOURCES
        return dispatcher

    return decorate


kernel = _compiler(_OPTIONS)
"""Decorator of the passes over a batch, called from Python."""

formula = _compiler(_INLINED)
"""Decorator of functions of numbers, called from compiled code and from Python."""

inner = _compiler(_INNER)
"""Decorator of functions that only compiled code calls."""

inner_finite = _compiler({**_INNER, "fastmath": {"reassoc", "nnan", "nsz", "contract"}})
"""As `inner`, for rows known to be finite; without these freedoms sums and maxima are not vectorized."""

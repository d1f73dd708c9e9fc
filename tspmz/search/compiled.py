"""How this room compiles its functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tspmz.compiled import kernels_of

# Without NRT, numba's reference counting. With it, each access to an array of a tree, and each call that passes a tree
# on, costs atomic operations for all its arrays, which made the search six times slower. It is not needed: the caller
# holds all arrays, and nothing here allocates or returns one.
_OPTIONS: dict[str, Any] = {"_nrt": False, "error_model": "numpy"}

# A call would copy the description of every array of the tree: inlining makes the search half again as fast.
_INLINED = {**_OPTIONS, "forceinline": True}
_INNER = {**_INLINED, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

_FILES = sorted(Path(__file__).parent.glob("*.py"))

kernel = kernels_of(_FILES, **_OPTIONS)
"""Decorator of the passes over a batch, called from Python."""

formula = kernels_of(_FILES, **_INLINED)
"""Decorator of functions of numbers, called from compiled code and from Python."""

inner = kernels_of(_FILES, **_INNER)
"""Decorator of functions that only compiled code calls."""

inner_finite = kernels_of(_FILES, **{**_INNER, "fastmath": {"reassoc", "nnan", "nsz", "contract"}})
"""As `inner`, for rows known to be finite; without these freedoms sums and maxima are not vectorized."""

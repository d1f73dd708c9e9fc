"""How this room compiles its functions."""

from __future__ import annotations

from pathlib import Path

from tspmz import checksum
from tspmz.compiled import kernels_of

_FILES = [*Path(__file__).parent.glob("*.py"), Path(checksum.__file__)]

kernel = kernels_of(_FILES, nogil=True)
"""Decorator of loops over stored groups."""

kernel_reordered = kernels_of(_FILES, nogil=True, fastmath={"reassoc"})
"""As `kernel`, for sums whose order does not matter: several partial sums at a time."""

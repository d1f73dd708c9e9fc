"""How this room compiles its functions."""

from __future__ import annotations

from pathlib import Path

from tspmz.compiled import kernels_of

kernel = kernels_of(Path(__file__).parent.glob("*.py"))
"""Decorator of loops over cities and tours."""

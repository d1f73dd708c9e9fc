"""Arithmetic on rows of logits, in a form that compiles to vector instructions."""

from __future__ import annotations

import math

import numpy as np

from tspmz.search.compiled import formula, inner_finite
from tspmz.search.tree import LANES, LOGIT_LIMIT
from tspmz.types import Float32

_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_EXP_MIN = np.float32(-87.0)
_EXP_MAX = np.float32(88.0)
_LOGIT_LIMIT = np.float32(LOGIT_LIMIT)
_C5 = np.float32(1.9875691500e-4)
_C4 = np.float32(1.3981999507e-3)
_C3 = np.float32(8.3334519073e-3)
_C2 = np.float32(4.1665795894e-2)
_C1 = np.float32(1.6666665459e-1)
_C0 = np.float32(5.0000001201e-1)


@formula
def exp32(x: np.float32) -> np.float32:
    """Exponential in float32 to 2 units in the last place; the argument is clipped to [-87, 88].

    The library's `expf` is a call per number; this is straight-line code, so that a loop over it is vectorized.
    Polynomial: Cephes Mathematical Library, expf.
    """
    x = min(max(x, _EXP_MIN), _EXP_MAX)
    n = np.float32(math.floor(x * _LOG2_E + _HALF))
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    poly = ((((_C5 * r + _C4) * r + _C3) * r + _C2) * r + _C1) * r + _C0
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23))
    return np.float32((poly * r * r + r + _ONE) * power.view(np.float32))


@formula
def clip_logit(x: np.float32) -> np.float32:
    """The logit within +-`LOGIT_LIMIT`, so that no sum overflows; NaN counts as the lowest."""
    x = x if x > -_LOGIT_LIMIT else -_LOGIT_LIMIT
    return x if x < _LOGIT_LIMIT else _LOGIT_LIMIT


@inner_finite
def row_argmax(rows: Float32, i: int, j: int) -> int:
    """Lowest index of the largest number in `rows[i, j]`: float32, finite, a multiple of `LANES` long."""
    best = rows[i, j, 0]
    best_start = 0
    for start in range(0, rows.shape[2], LANES):
        top = rows[i, j, start]
        for k in range(LANES):
            x = rows[i, j, start + k]
            top = x if x > top else top
        if top > best:
            best = top
            best_start = start
    index = best_start
    while rows[i, j, index] < best:
        index += 1
    return index


@inner_finite
def row_logsumexp(rows: Float32, i: int, j: int, largest: np.float32) -> np.float32:
    """log sum exp of `rows[i, j]`, whose largest number is `largest`."""
    total = np.float32(0.0)
    for k in range(rows.shape[2]):
        total += exp32(rows[i, j, k] - largest)
    return np.float32(largest + math.log(total))

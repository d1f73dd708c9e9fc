"""Local search on a finished tour: 2-opt and Or-opt, until neither finds anything.

What it gains is not the network's: who uses it says so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tspmz.tsp.compiled import kernel
from tspmz.types import Float64, Int64

LONGEST_SEGMENT = 3
"""Cities that Or-opt moves at a time (Or 1976)."""

_LEAST_GAIN = 1e-9
"""Of the mean weight: smaller gains are rounding, and could go round in a circle."""


@kernel
def _two_opt(weights, tour, least):  # type: ignore[no-untyped-def]
    """Reverse stretches of `tour` while one makes it shorter by more than `least`; whether any did."""
    n = len(tour)
    found = False
    for i in range(n - 2):
        for j in range(i + 2, n if i > 0 else n - 1):
            a, b, c, d = tour[i], tour[i + 1], tour[j], tour[(j + 1) % n]
            if weights[a, b] + weights[c, d] - weights[a, c] - weights[b, d] > least:
                tour[i + 1 : j + 1] = tour[i + 1 : j + 1][::-1].copy()
                found = True
    return found


@kernel
def _or_opt(weights, tour, longest, least):  # type: ignore[no-untyped-def]
    """Move short stretches of `tour` elsewhere, as they are or reversed, while that gains; whether any did."""
    n = len(tour)
    found = False
    for length in range(1, min(longest, n - 2) + 1):
        for start in range(n):
            turned = np.concatenate((tour[start:], tour[:start]))  # the stretch is turned[:length]
            first, last = turned[0], turned[length - 1]
            before, after = turned[n - 1], turned[length]
            gain = weights[before, first] + weights[last, after] - weights[before, after]
            best, place, reverse = least, -1, False
            for j in range(length, n - 1):
                p, q = turned[j], turned[j + 1]
                straight = gain + weights[p, q] - weights[p, first] - weights[last, q]
                turned_over = gain + weights[p, q] - weights[p, last] - weights[first, q]
                if straight > best:
                    best, place, reverse = straight, j, False
                if turned_over > best:
                    best, place, reverse = turned_over, j, True
            if place >= 0:
                segment = turned[:length][::-1] if reverse else turned[:length]
                tour[: place + 1 - length] = turned[length : place + 1]
                tour[place + 1 - length : place + 1] = segment
                tour[place + 1 :] = turned[place + 1 :]
                found = True
    return found


def polish(weights: Float64, tour: NDArray[np.integer]) -> Int64:
    """The tour `[N]` after 2-opt (Croes 1958) and Or-opt moves, as long as one makes it shorter.

    Args:
        weights: `[N, N]` float64, symmetric.
        tour: `[N]`, a permutation; not changed.
    """
    better = np.array(tour, np.int64)
    if len(better) < 4:
        return better
    matrix = np.ascontiguousarray(weights, np.float64)
    least = _LEAST_GAIN * float(matrix.mean())
    while _two_opt(matrix, better, least) or _or_opt(matrix, better, LONGEST_SEGMENT, least):
        pass
    return better

"""Priorities of the positions within each group: the second step of drawing a group, then positions of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tspmz.replay.sumtree import SMALLEST_PRIORITY
from tspmz.types import Float32, Float64, Int64


class PositionPriorities:
    """Priorities of T positions for each slot; owned by the replay buffer.

    Args:
        num_slots: slots of the ring.
        num_moves: T.
        count: positions P of a group that are drawn, with replacement, so that their probabilities are exact.
        priority_exponent: alpha (PER, eq. 1).
        importance_exponent: beta (PER, section 3.4).

    Raises:
        ValueError: nothing to be drawn.
    """

    def __init__(
        self, num_slots: int, num_moves: int, count: int, priority_exponent: float, importance_exponent: float
    ) -> None:
        if count < 1:
            raise ValueError(f"positions = {count}: must be at least 1 where they are drawn by priority")
        self._priorities = np.ones((num_slots, num_moves), np.float32)
        self._count = count
        self._priority_exponent = priority_exponent
        self._importance_exponent = importance_exponent

    def get(self, slots: Int64) -> Float32:
        """`[M, T]` float32 of `slots [M]`, copied."""
        return self._priorities[slots]

    def set(self, slots: Int64, errors: NDArray[np.floating[Any]]) -> None:
        """Take `errors [M, T]`, >= 0, as priorities of `slots [M]`; NaN leaves a position's as it is."""
        known = np.isfinite(errors)
        rows, places = np.nonzero(known)
        self._priorities[slots[rows], places] = errors[known]

    def sample(self, rng: np.random.Generator, slots: Int64) -> tuple[Int64, Float64]:
        """Draw positions with probability proportional to `(priority + 1e-6) ** alpha`.

        Returns:
            `[M, P]` int64 positions of `slots [M]`, and `[M, P]` float64 `(T * probability) ** -beta`.
        """
        weights = (self._priorities[slots].astype(np.float64) + SMALLEST_PRIORITY) ** self._priority_exponent
        sums = np.cumsum(weights, axis=1)
        points = rng.random((len(slots), self._count)) * sums[:, -1:]
        positions = (points[:, :, None] >= sums[:, None, :-1]).sum(axis=2)
        probabilities = np.take_along_axis(weights, positions, axis=1) / sums[:, -1:]
        return positions, (weights.shape[1] * probabilities) ** -self._importance_exponent

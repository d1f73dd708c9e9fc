"""Sum tree for drawing slots in proportion to their priorities, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tspmz.replay.compiled import kernel

LARGEST_PRIORITY = 1e280
SMALLEST_PRIORITY = 1e-6
"""Added to every priority before the exponent, so that nothing is never drawn again (PER, section 3.3)."""


@kernel
def _set(tree, num_leaves, indices, priorities):  # type: ignore[no-untyped-def]
    """Write leaves, then recompute their ancestors level by level (the last of equal indices wins)."""
    count = indices.shape[0]
    nodes = np.empty(count, np.int64)
    for i in range(count):
        nodes[i] = indices[i] + num_leaves
        tree[nodes[i]] = priorities[i]
    width = num_leaves
    while width > 1:
        width >>= 1
        for i in range(count):
            node = nodes[i] >> 1
            nodes[i] = node
            tree[node] = tree[2 * node] + tree[2 * node + 1]


@kernel
def _find(tree, num_leaves, points, stratified, indices, probabilities):  # type: ignore[no-untyped-def]
    """Leaf that each of `points` in [0, 1) falls on, as a share of the total, or of its own of as many equal parts.

    Level by level, so that the cache misses of all points overlap.
    """
    count = points.shape[0]
    for i in range(count):
        points[i] = tree[1] * ((i + points[i]) / count if stratified else points[i])
        indices[i] = 1
    width = 1
    while width < num_leaves:
        width *= 2
        for i in range(count):
            left = 2 * indices[i]
            left_sum = tree[left]
            # rounding may leave a point at or past the end of a sum: never step onto a side that is empty
            if points[i] < left_sum or tree[left + 1] <= 0.0:
                indices[i] = left
            else:
                points[i] -= left_sum
                indices[i] = left + 1
    for i in range(count):
        probabilities[i] = tree[indices[i]] / tree[1]
        indices[i] -= num_leaves


class SumTree:
    """Priorities of `capacity` slots with sums over halves, quarters and so on.

    A parent is always recomputed as left + right, so rounding errors do not pile up and the tree is a function of
    its leaves alone, whatever their history. Slots that were never set, or were cleared, are never drawn.

    Args:
        capacity: slots, >= 1.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a sum tree needs at least 1 slot, not {capacity}")
        self.capacity = capacity
        self._num_leaves = 1 << (capacity - 1).bit_length()
        self._tree = np.zeros(2 * self._num_leaves, np.float64)
        self._filled = np.zeros(capacity, np.bool_)

    @property
    def total(self) -> float:
        """Sum of all priorities."""
        return float(self._tree[1])

    @property
    def size(self) -> int:
        """Filled slots."""
        return int(np.count_nonzero(self._filled))

    def priorities(self) -> NDArray[np.float64]:
        """`[capacity]` float64, copied."""
        return self._tree[self._num_leaves : self._num_leaves + self.capacity].copy()

    def set(self, indices: NDArray[np.int64], priorities: NDArray[np.float64]) -> None:
        """Set priorities; of equal indices the last one counts.

        Args:
            indices: `[M]` int64 slots; they count as filled from now on.
            priorities: `[M]` float64, finite, >= 0.

        Raises:
            ValueError: a priority is negative or not finite, a slot does not exist; nothing is changed.
        """
        slots = np.ascontiguousarray(indices, np.int64)
        values = np.ascontiguousarray(priorities, np.float64)
        if slots.shape != values.shape or slots.ndim != 1:
            raise ValueError(f"indices {slots.shape} and priorities {values.shape} must be two vectors of one length")
        if not np.all((values >= 0.0) & (values <= LARGEST_PRIORITY)):
            raise ValueError(f"priorities must be finite and >= 0, not {values[~(values >= 0) | np.isinf(values)]}")
        if np.any((slots < 0) | (slots >= self.capacity)):
            raise ValueError(f"slots must be 0 to {self.capacity - 1}")
        _set(self._tree, self._num_leaves, slots, values)
        self._filled[slots] = True

    def clear(self, indices: NDArray[np.int64]) -> None:
        """Empty slots: they are not drawn until set again."""
        self.set(indices, np.zeros(len(indices)))
        self._filled[indices] = False

    def sample(
        self, rng: np.random.Generator, count: int, stratified: bool = True
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Draw slots with probability priority / total; uniformly over the filled ones where the total is 0.

        Args:
            rng: source of `count` uniform numbers.
            count: draws, with replacement.
            stratified: one draw in each of `count` equal parts of the total (less variance), else independent.

        Returns:
            `[count]` int64 slots and `[count]` float64 probabilities.

        Raises:
            ValueError: no slot is filled.
        """
        numbers = rng.random(count)
        if self.total > 0.0:
            indices = np.empty(count, np.int64)
            probabilities = np.empty(count, np.float64)
            _find(self._tree, self._num_leaves, numbers, stratified, indices, probabilities)
            return indices, probabilities
        filled = np.flatnonzero(self._filled)
        if len(filled) == 0:
            raise ValueError("no slot is filled, so none can be drawn")
        if stratified:
            numbers = (np.arange(count) + numbers) / count
        picks = np.minimum((numbers * len(filled)).astype(np.int64), len(filled) - 1)
        return filled[picks], np.full(count, 1.0 / len(filled))

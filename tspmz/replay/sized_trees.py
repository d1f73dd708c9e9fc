"""Drawing slots by priority where groups have different numbers of cities: what is drawn together has one size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tspmz.replay.sumtree import SumTree
from tspmz.types import Bool, Float64, Int64


class SizedTrees:
    """A sum tree over the same slots for each size; a slot is filled in that of its group.

    A batch has one size, so that nothing is padded. The size is drawn in proportion to the sum of its priorities, then
    slots in proportion to their own: each slot is drawn as often as from one tree.

    Args:
        capacity: slots, >= 1.
        sizes: numbers of cities that groups may have, at least one.
    """

    def __init__(self, capacity: int, sizes: Sequence[int]) -> None:
        self._trees = {size: SumTree(capacity) for size in sizes}
        self._sizes = np.full(capacity, sizes[0], np.int64)

    def known(self, sizes: Int64) -> Bool:
        """Which of `sizes [M]` groups may have."""
        return np.isin(sizes, list(self._trees))

    def place(self, slots: Int64, sizes: Int64) -> None:
        """`slots [M]` hold groups of known `sizes [M]` from now on; where another size was, they are emptied."""
        self.clear(slots[self._sizes[slots] != sizes])
        self._sizes[slots] = sizes

    def set(self, slots: Int64, priorities: Float64) -> None:
        """Set priorities, as `SumTree.set` does."""
        for tree, own in self._parts(slots):
            tree.set(slots[own], priorities[own])

    def clear(self, slots: Int64) -> None:
        """Empty slots: they are not drawn until set again."""
        for tree, own in self._parts(slots):
            tree.clear(slots[own])

    def _parts(self, slots: Int64) -> Iterator[tuple[SumTree, Bool | slice]]:
        """Each tree, and which of `slots [M]` are its own."""
        for size, tree in self._trees.items():
            yield tree, (self._sizes[slots] == size if len(self._trees) > 1 else slice(None))

    def draw_size(self, rng: np.random.Generator) -> int:
        """A size, in proportion to the priorities of its groups; without randomness where there is but one."""
        sizes = list(self._trees)
        if len(sizes) == 1:
            return sizes[0]  # at once: looking whether a tree is empty counts its slots
        sizes = [size for size in sizes if self.holds(size)] or sizes
        totals = np.cumsum([self._trees[size].total for size in sizes])
        return sizes[min(int(np.searchsorted(totals, rng.random() * totals[-1], side="right")), len(sizes) - 1)]

    def holds(self, size: int) -> bool:
        """Whether there are groups of that size."""
        return self._trees[size].size > 0

    def sample(
        self, rng: np.random.Generator, size: int, count: int, stratified: bool = True
    ) -> tuple[Int64, Float64]:
        """Draw slots of one size, as `SumTree.sample` does; probabilities are those among the slots of all sizes.

        Raises:
            ValueError: no slot is filled.
        """
        tree = self._trees[size]
        slots, probabilities = tree.sample(rng, count, stratified)
        if len(self._trees) > 1:
            probabilities = probabilities * (tree.total / sum(other.total for other in self._trees.values()))
        return slots, probabilities

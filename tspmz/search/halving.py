"""Sequential halving as a table: how often an action must have been visited to be considered next."""

from __future__ import annotations

import math

import numpy as np

from tspmz.types import Int32


def considered_visits(num_considered: int, num_simulations: int) -> Int32:
    """Visit count that an action must have to be eligible, for each simulation.

    The budget is split evenly over the `ceil(log2(num_considered))` phases. In a phase each remaining action gets the
    same number of visits, at least one; then the better half stays, never fewer than two. The first actions of every
    round are those that stay, so that counts alone say which actions are still in.

    Source: Gumbel MuZero (Danihelka et al. 2022), section 3.3 and figure 1; Karnin et al. 2013, algorithm 1.

    Args:
        num_considered: actions at the start, >= 0.
        num_simulations: S, length of the sequence.

    Returns:
        `[S]` int32.
    """
    if num_considered <= 1:
        return np.arange(num_simulations, dtype=np.int32)
    phases = math.ceil(math.log2(num_considered))
    sequence: list[int] = []
    remaining = num_considered
    visits = 0
    while len(sequence) < num_simulations:
        rounds = max(1, num_simulations // (phases * remaining))
        for count in range(visits, visits + rounds):
            sequence += [count] * remaining
        visits += rounds
        remaining = max(2, remaining // 2)
    return np.array(sequence[:num_simulations], dtype=np.int32)


def considered_visits_table(max_considered_actions: int, num_simulations: int) -> Int32:
    """`considered_visits` for 0 to `max_considered_actions` actions: `[max_considered_actions + 1, S]` int32."""
    rows = [considered_visits(count, num_simulations) for count in range(max_considered_actions + 1)]
    return np.stack(rows)

"""A tour is a cycle: the best one of a group is as good an example from every start, in both directions."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from tspmz.types import Bool, Float32, Float64, Int64


@njit(cache=True, nogil=True)
def _walk(coordinates, best, worst, first, direction, tours, rewards):  # type: ignore[no-untyped-def]
    """Write the walk of the tour `best [M, N]` from place `first [M, R]` over each episode in `worst [M, R]`."""
    last = best.shape[1] - 1
    for i in range(worst.shape[0]):
        points = coordinates[i]
        for r in range(worst.shape[1]):
            tour, reward = tours[i, worst[i, r]], rewards[i, worst[i, r]]
            place = first[i, r]
            city, before = best[i, place], 0.0
            for k in range(last + 1):
                tour[k] = city
                place += direction[i, r]
                place = 0 if place > last else last if place < 0 else place
                following = best[i, place]
                x = np.float64(points[following, 0]) - np.float64(points[city, 0])
                y = np.float64(points[following, 1]) - np.float64(points[city, 1])
                edge = math.sqrt(x * x + y * y)
                if k < last:
                    reward[k] = -edge
                else:
                    reward[last - 1] = -(before + edge)  # the last move closes the tour
                city, before = following, edge


def reroot_best(
    coordinates: Float32, tours: Int64, rewards: Float32, lengths: Float64, count: int, rng: np.random.Generator
) -> tuple[Int64, Float32, Bool]:
    """The worst episodes of each group give way to its best tour, walked from their own starts.

    Args:
        coordinates: `[M, N, 2]` float32.
        tours: `[M, G, N]` int64.
        rewards: `[M, G, T]` float32, minus the added edges.
        lengths: `[M, G]` float64, of the tours.
        count: R, episodes of each group that give way; below G.
        rng: draws the direction of each.

    Returns:
        Tours and rewards of the groups as they are learned from, and which episodes `[M, G]` are such walks.
    """
    num_groups, group_size, _ = tours.shape
    rows = np.arange(num_groups)[:, None]
    order = np.argsort(lengths, axis=1, kind="stable")
    worst = np.ascontiguousarray(order[:, group_size - count :])
    best = tours[rows[:, 0], order[:, 0]]
    place_of = np.argsort(best, axis=1)
    first = place_of[rows, tours[rows, worst, 0]]
    direction = 2 * rng.integers(2, size=worst.shape) - 1
    new_tours, new_rewards = tours.copy(), rewards.copy()
    _walk(coordinates, best, worst, first, direction, new_tours, new_rewards)
    replaced = np.zeros((num_groups, group_size), np.bool_)
    replaced[rows, worst] = True
    return new_tours, new_rewards, replaced

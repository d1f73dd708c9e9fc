"""A tour is a cycle: the best one of a group is as good an example from every start, in both directions."""

from __future__ import annotations

import math

import numpy as np

from tspmz.replay.compiled import kernel


@kernel
def walk_best(coordinates, lengths, coins, tours, rewards, walks):  # type: ignore[no-untyped-def]
    """The worst episodes of a group give way, in place, to its best tour, walked from their own starts.

    Args:
        coordinates: `[N, 2]` float32.
        lengths: `[G]` float64, of the tours.
        coins: `[R]` in [0, 1) for each that gives way, R < G: below a half it goes along the best tour, else back.
        tours: `[G, N]` int64.
        rewards: `[G, T]` float32, minus the added edges.
        walks: `[G]` bool, filled: which episodes are such walks now.
    """
    group_size, num_cities = tours.shape
    order = _ascending(lengths)
    best, place_of = tours[order[0]], np.empty(num_cities, np.int64)
    # twice around, either way, so that a walk is a copy from where it begins: cities, and the edges after them
    cities, edges = np.empty((2, 2 * num_cities), np.int64), np.empty((2, 2 * num_cities))
    for k in range(num_cities):
        city, following = best[k], best[k + 1 if k + 1 < num_cities else 0]
        x = np.float64(coordinates[following, 0]) - np.float64(coordinates[city, 0])
        y = np.float64(coordinates[following, 1]) - np.float64(coordinates[city, 1])
        edge = math.sqrt(x * x + y * y)
        place_of[city] = k
        back = num_cities - 1 - k
        for turn in (0, num_cities):
            cities[0, turn + k] = cities[1, turn + back] = city
            edges[0, turn + k] = edge
            edges[1, turn + (back - 1 if back > 0 else num_cities - 1)] = edge
    walks[:] = False
    for r in range(coins.shape[0]):
        episode = order[group_size - coins.shape[0] + r]
        walks[episode] = True
        tour, reward, place = tours[episode], rewards[episode], place_of[tours[episode, 0]]
        way = 0 if coins[r] < 0.5 else 1
        start = place if way == 0 else num_cities - 1 - place
        walked, lengths_walked = cities[way, start : start + num_cities], edges[way, start : start + num_cities]
        for k in range(num_cities):
            tour[k] = walked[k]
        for k in range(num_cities - 1):
            reward[k] = -lengths_walked[k]
        # the last move closes the tour
        reward[num_cities - 2] = -(lengths_walked[num_cities - 2] + lengths_walked[num_cities - 1])


@kernel
def _ascending(lengths):  # type: ignore[no-untyped-def]
    """Places of `lengths [G]` by size, equal ones in their order: by insertion, since there are few."""
    order = np.empty(lengths.shape[0], np.int64)
    for g in range(lengths.shape[0]):
        k = g
        while k > 0 and lengths[order[k - 1]] > lengths[g]:
            order[k] = order[k - 1]
            k -= 1
        order[k] = g
    return order

"""Completing a partial tour by a rule, which says what a state is worth and finds a tour; callable from numba only.

A partial tour begins at `first`, stands at `current` and has visited the cities that are `seen`, `size` of them. A rule
marks the others as seen and writes them into `tour` from place `size` on, in the order in which they follow.
"""

from __future__ import annotations

import numpy as np

from tspmz.tsp.compiled import kernel
from tspmz.tsp.tours import edge_length


@kernel
def finish_nearest(points, neighbors, first, current, seen, size, tour):  # type: ignore[no-untyped-def]
    """Length from `current` home over the unseen cities, each time to the nearest.

    Args:
        points: `[N, 2]` float32.
        neighbors: `[N, N]`, of `tours.neighbor_lists`.
    """
    length = 0.0
    for t in range(size, len(seen)):
        place = 0
        while seen[neighbors[current, place]]:
            place += 1
        city = neighbors[current, place]
        length += edge_length(points, current, city)
        seen[city] = True
        tour[t] = city
        current = city
    return length + edge_length(points, current, first)


@kernel
def finish_insertion(distances, first, current, seen, size, tour):  # type: ignore[no-untyped-def]
    """Length from `current` home over the unseen cities: the farthest from the way is inserted where it costs least.

    The way is at first the edge from `current` to `first`. Source: Rosenkrantz, Stearns, Lewis 1977, section 3, with
    two fixed ends.

    Args:
        distances: `[N, N]` float64.
    """
    successor = np.empty(len(seen), np.int64)
    successor[current] = first
    left = np.empty(len(seen) - size, np.int64)
    to_way = np.empty(len(seen) - size, np.float64)
    count = 0
    for city in range(len(seen)):
        if not seen[city]:
            left[count] = city
            to_way[count] = min(distances[current, city], distances[first, city])
            seen[city] = True
            count += 1
    inserted = 0
    while count:
        farthest = 0
        for k in range(1, count):
            if to_way[k] > to_way[farthest]:
                farthest = k
        chosen = left[farthest]
        count -= 1
        left[farthest], to_way[farthest] = left[count], to_way[count]
        place, smallest, a = current, np.inf, current
        for _ in range(inserted + 1):
            b = successor[a]
            detour = distances[a, chosen] + distances[chosen, b] - distances[a, b]
            if detour < smallest:
                place, smallest = a, detour
            a = b
        successor[chosen] = successor[place]
        successor[place] = chosen
        inserted += 1
        for k in range(count):
            to_way[k] = min(to_way[k], distances[chosen, left[k]])
    length, city = 0.0, current
    for t in range(size, len(seen)):
        length += distances[city, successor[city]]
        city = successor[city]
        tour[t] = city
    return length + distances[city, first]

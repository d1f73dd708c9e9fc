"""Tours: their lengths, whether they are permutations, and the classical constructions to compare with.

Axes: I instances, G tours per instance, N cities. All distances are euclidean, computed in float64 from the float32
coordinates, and a tour always closes: its last city is joined to its first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tspmz.tsp.compiled import kernel
from tspmz.types import Bool, Float64, Int64


@kernel
def edge_length(coordinates, a, b):  # type: ignore[no-untyped-def]
    """Distance between cities `a` and `b` of `coordinates` `[N, 2]`, float64; callable from numba only, unchecked."""
    dx = np.float64(coordinates[a, 0]) - np.float64(coordinates[b, 0])
    dy = np.float64(coordinates[a, 1]) - np.float64(coordinates[b, 1])
    return np.sqrt(dx * dx + dy * dy)


@kernel
def _is_permutation(tours, out):  # type: ignore[no-untyped-def]
    count, num_cities = tours.shape
    seen_by = np.full(num_cities, -1, np.int64)
    for m in range(count):
        out[m] = True
        for t in range(num_cities):
            city = tours[m, t]
            if city < 0 or city >= num_cities or seen_by[city] == m:
                out[m] = False
                break
            seen_by[city] = m


@kernel
def _tour_lengths(coordinates, tours, out):  # type: ignore[no-untyped-def]
    num_instances, num_tours, num_cities = tours.shape
    for i in range(num_instances):
        for g in range(num_tours):
            previous = tours[i, g, num_cities - 1]
            length = 0.0
            for t in range(num_cities):
                length += edge_length(coordinates[i], previous, tours[i, g, t])
                previous = tours[i, g, t]
            out[i, g] = length


@kernel
def nearest_unvisited(coordinates, visited, current):  # type: ignore[no-untyped-def]
    """The city nearest to `current` among those not `visited` (the lowest index of equals), -1 if none; numba only."""
    nearest = -1
    shortest = np.inf
    for city in range(len(visited)):
        if not visited[city]:
            length = edge_length(coordinates, current, city)
            if length < shortest:
                nearest, shortest = city, length
    return nearest


@kernel
def neighbor_lists(coordinates):  # type: ignore[no-untyped-def]
    """All cities of each of the instances `[I, N, 2]` by their distance from each city, `[I, N, N]` int32.

    Of equals the lowest index comes first, so that the first one not yet visited is that of `nearest_unvisited`.
    """
    num_instances, num_cities, _ = coordinates.shape
    lists = np.empty((num_instances, num_cities, num_cities), np.int32)
    lengths = np.empty(num_cities, np.float64)
    for i in range(num_instances):
        for city in range(num_cities):
            for other in range(num_cities):
                lengths[other] = edge_length(coordinates[i], city, other)
            lists[i, city] = np.argsort(lengths, kind="mergesort")
    return lists


@kernel
def distance_matrices(coordinates):  # type: ignore[no-untyped-def]
    """Distances between the cities of each of the instances `[I, N, 2]`, `[I, N, N]` float64."""
    num_instances, num_cities, _ = coordinates.shape
    distances = np.empty((num_instances, num_cities, num_cities), np.float64)
    for i in range(num_instances):
        for city in range(num_cities):
            for other in range(num_cities):
                distances[i, city, other] = edge_length(coordinates[i], city, other)
    return distances


@kernel
def _nearest_neighbor(coordinates, starts, out):  # type: ignore[no-untyped-def]
    num_instances, num_tours, num_cities = out.shape
    for i in range(num_instances):
        for g in range(num_tours):
            visited = np.zeros(num_cities, np.bool_)
            current = starts[i, g]
            for t in range(num_cities):
                out[i, g, t] = current
                visited[current] = True
                current = nearest_unvisited(coordinates[i], visited, current)


@kernel
def _most_distant_pair_city(coordinates):  # type: ignore[no-untyped-def]
    num_cities = coordinates.shape[0]
    best, longest = 0, -1.0
    for a in range(num_cities):
        for b in range(num_cities):
            length = edge_length(coordinates, a, b)
            if length > longest:
                best, longest = a, length
    return best


@kernel
def _farthest_insertion(coordinates, out):  # type: ignore[no-untyped-def]
    num_instances, num_cities = out.shape
    for i in range(num_instances):
        first = _most_distant_pair_city(coordinates[i])
        successor = np.full(num_cities, -1, np.int64)
        successor[first] = first
        to_tour = np.empty(num_cities, np.float64)
        for city in range(num_cities):
            to_tour[city] = edge_length(coordinates[i], first, city)
        for size in range(1, num_cities):
            chosen = -1
            for city in range(num_cities):
                if successor[city] < 0 and (chosen < 0 or to_tour[city] > to_tour[chosen]):
                    chosen = city
            place, smallest, a = first, np.inf, first
            for _ in range(size):
                b = successor[a]
                detour = (
                    edge_length(coordinates[i], a, chosen)
                    + edge_length(coordinates[i], chosen, b)
                    - edge_length(coordinates[i], a, b)
                )
                if detour < smallest:
                    place, smallest = a, detour
                a = b
            successor[chosen] = successor[place]
            successor[place] = chosen
            for city in range(num_cities):
                to_tour[city] = min(to_tour[city], edge_length(coordinates[i], chosen, city))
        city = first
        for t in range(num_cities):
            out[i, t] = city
            city = successor[city]


def is_permutation(tours: NDArray[Any]) -> Bool:
    """Whether each tour visits every city once.

    Args:
        tours: `[..., N]` integers.

    Returns:
        `[...]` bool, True where the N entries are 0..N-1 in some order.
    """
    flat = np.ascontiguousarray(tours, np.int64).reshape(-1, tours.shape[-1])
    out = np.empty(len(flat), np.bool_)
    _is_permutation(flat, out)
    return out.reshape(tours.shape[:-1])


def tour_lengths(coordinates: NDArray[Any], tours: NDArray[Any]) -> Float64:
    """Lengths of closed tours.

    Args:
        coordinates: `[I, N, 2]` float32 (or float64).
        tours: `[I, G, N]` integers, permutations.

    Returns:
        `[I, G]` float64, in the unit of the coordinates.

    Raises:
        ValueError: a tour is no permutation, or shapes do not agree.
    """
    num_instances, num_tours, num_cities = tours.shape
    if coordinates.shape != (num_instances, num_cities, 2):
        raise ValueError(f"tours {tours.shape} do not fit {coordinates.shape}: want [I, G, N] and [I, N, 2]")
    valid = is_permutation(tours)
    if not valid.all():
        i, g = np.argwhere(~valid)[0]
        raise ValueError(f"tour {g} of instance {i} does not visit every one of its {num_cities} cities once")
    out = np.empty((num_instances, num_tours), np.float64)
    _tour_lengths(np.ascontiguousarray(coordinates), np.ascontiguousarray(tours, np.int64), out)
    return out


def tour_length(coordinates: NDArray[Any], tour: NDArray[Any]) -> float:
    """Length of one closed tour `[N]` over `coordinates` `[N, 2]`; errors as `tour_lengths`."""
    return float(tour_lengths(coordinates[None], tour[None, None])[0, 0])


def past_cities(tours: Int64, step: int, count: int) -> Int64:
    """The cities visited before the one that an episode stands on.

    Args:
        tours: `[..., N]` int64, filled at least up to `step`.
        step: moves made; the episode stands on `tours[..., step]`.
        count: how many, k.

    Returns:
        `[..., k]` int64, the latest first; -1 before the start.
    """
    past = np.full((*tours.shape[:-1], count), -1, np.int64)
    known = min(step, count)
    past[..., :known] = tours[..., step - known : step][..., ::-1]
    return past


def nearest_neighbor(coordinates: NDArray[Any], starts: NDArray[Any]) -> Int64:
    """Tours that always go to the nearest city not yet visited (the lowest index among equals).

    Args:
        coordinates: `[I, N, 2]`.
        starts: `[I, G]` integers, the first city of each tour.

    Returns:
        `[I, G, N]` int64.

    Raises:
        ValueError: a start that is no city, or shapes do not agree.
    """
    num_instances, num_cities, _ = coordinates.shape
    if starts.ndim != 2 or len(starts) != num_instances:
        raise ValueError(f"starts {starts.shape} do not fit coordinates {coordinates.shape}: want [I, G]")
    if starts.size and not (starts.min() >= 0 and starts.max() < num_cities):
        raise ValueError(f"starts must lie in 0..{num_cities - 1}, got {starts.min()}..{starts.max()}")
    out = np.empty((*starts.shape, num_cities), np.int64)
    _nearest_neighbor(np.ascontiguousarray(coordinates), np.ascontiguousarray(starts, np.int64), out)
    return out


def farthest_insertion(coordinates: NDArray[Any]) -> Int64:
    """Tours grown by inserting, where it costs least, the city farthest from the tour so far.

    The first city is one of the most distant pair. Source: Rosenkrantz, Stearns, Lewis 1977, section 3; the same
    variant is the farthest insertion baseline of Kool et al. 2019, table 1.

    Args:
        coordinates: `[I, N, 2]`, N >= 1.

    Returns:
        `[I, N]` int64.
    """
    out = np.empty(coordinates.shape[:2], np.int64)
    _farthest_insertion(np.ascontiguousarray(coordinates), out)
    return out


def random_tours(rng: np.random.Generator, count: int, num_cities: int) -> Int64:
    """`[count, num_cities]` int64, independent uniformly random permutations."""
    return rng.permuted(np.tile(np.arange(num_cities, dtype=np.int64), (count, 1)), axis=1)

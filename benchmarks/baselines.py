"""Tours of classical methods, each as a function from instances to lengths, for `benchmarks/tables.py`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tspmz.tsp import reference, tours
from tspmz.types import Float32, Float64

Lengths = Float64


def random_tour(coordinates: Float32) -> Lengths:
    """One random tour each."""
    count, num_cities, _ = coordinates.shape
    drawn = tours.random_tours(np.random.default_rng(0), count, num_cities)
    return tours.tour_lengths(coordinates, drawn[:, None])[:, 0]


def nearest_neighbor(coordinates: Float32) -> Lengths:
    """From city 0."""
    found = tours.nearest_neighbor(coordinates, np.zeros((len(coordinates), 1), np.int64))
    return tours.tour_lengths(coordinates, found)[:, 0]


def farthest_insertion(coordinates: Float32) -> Lengths:
    """One tour each."""
    return tours.tour_lengths(coordinates, tours.farthest_insertion(coordinates)[:, None])[:, 0]


def lkh(coordinates: Float32) -> Lengths:
    """The reference of all gaps."""
    return reference.solve_lkh(coordinates)[1]


def pyvrp(seconds: float) -> Callable[[Float32], Lengths]:
    """PyVRP's iterated local search, so many seconds per instance, one core (needs `pip install pyvrp`)."""

    def solve(coordinates: Float32) -> Lengths:
        import pyvrp
        from pyvrp.stop import MaxRuntime

        found = np.empty(coordinates.shape[:2], np.int64)
        for i, points in enumerate(np.rint(1e6 * coordinates.astype(np.float64)).astype(int)):
            model = pyvrp.Model()
            places = [model.add_location(x=int(x), y=int(y)) for x, y in points]
            model.add_depot(places[0])
            for place in places[1:]:
                model.add_client(place)
            model.add_vehicle_type()
            for a in model.locations:
                for b in model.locations:
                    model.add_edge(a, b, distance=round(float(np.hypot(a.x - b.x, a.y - b.y))))
            best = model.solve(MaxRuntime(seconds), seed=0, collect_stats=False, display=False).best
            found[i] = [0, *(stop.idx + 1 for route in best.routes() for stop in route if stop.is_client())]
        return tours.tour_lengths(coordinates, found[:, None])[:, 0]

    return solve

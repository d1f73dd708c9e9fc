"""Tours against slow plain Python and numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tspmz.tsp import tours
from tspmz.tsp.generators import uniform_instances


def _slow_length(points, tour):
    return math.fsum(math.dist(points[a], points[b]) for a, b in zip(tour, [*tour[1:], tour[0]], strict=True))


def _slow_nearest_neighbor(points, start):
    tour, rest = [start], set(range(len(points))) - {start}
    while rest:
        tour.append(min(rest, key=lambda city: (math.dist(points[tour[-1]], points[city]), city)))
        rest.remove(tour[-1])
    return tour


def _slow_farthest_insertion(points):
    n = len(points)
    tour = [max(range(n), key=lambda a: max(math.dist(points[a], points[b]) for b in range(n)))]
    while len(tour) < n:
        outside = [city for city in range(n) if city not in tour]
        city = max(outside, key=lambda c: min(math.dist(points[c], points[t]) for t in tour))
        candidates = [[*tour[: k + 1], city, *tour[k + 1 :]] for k in range(len(tour))]
        tour = min(candidates, key=lambda candidate: _slow_length(points, candidate))
    return tour


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 25))
def test_tour_lengths_equal_plain_python(seed, n):
    rng = np.random.default_rng(seed)
    coordinates = uniform_instances(rng, 2, n)
    some = tours.random_tours(rng, 6, n).reshape(2, 3, n)
    lengths = tours.tour_lengths(coordinates, some)
    assert lengths.dtype == np.float64
    for i in range(2):
        points = coordinates[i].astype(float).tolist()
        for g in range(3):
            slow = _slow_length(points, some[i, g].tolist())
            assert lengths[i, g] == pytest.approx(slow, rel=1e-12, abs=1e-12)
            assert tours.tour_length(coordinates[i], some[i, g]) == lengths[i, g]


def test_tour_length_of_the_square_is_four():
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    assert tours.tour_length(square, np.array([0, 1, 2, 3])) == 4.0
    assert tours.tour_length(square, np.array([0, 2, 1, 3])) == pytest.approx(2 + 2 * math.sqrt(2))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 15), shift=st.integers(0, 14))
def test_tour_length_ignores_start_and_direction(seed, n, shift):
    rng = np.random.default_rng(seed)
    points, tour = uniform_instances(rng, 1, n)[0], tours.random_tours(rng, 1, n)[0]
    length = tours.tour_length(points, tour)
    assert tours.tour_length(points, np.roll(tour, shift)) == pytest.approx(length, rel=1e-12, abs=1e-12)
    assert tours.tour_length(points, tour[::-1]) == pytest.approx(length, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("tour", [[0, 1, 1, 3], [0, 1, 2, 4], [-1, 0, 1, 2]])
def test_tour_lengths_refuse_what_is_no_permutation(tour):
    coordinates = np.zeros((2, 4, 2), np.float32)
    some = np.tile(np.arange(4), (2, 3, 1))
    some[1, 2] = tour
    with pytest.raises(ValueError, match="tour 2 of instance 1"):
        tours.tour_lengths(coordinates, some)


def test_tour_lengths_refuse_shapes_that_do_not_agree():
    with pytest.raises(ValueError, match="do not fit"):
        tours.tour_lengths(np.zeros((2, 4, 2), np.float32), np.tile(np.arange(4), (3, 1, 1)))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(-2, 4), min_size=4, max_size=4), min_size=1, max_size=8))
def test_is_permutation_equals_sorting(rows):
    expected = [sorted(row) == [0, 1, 2, 3] for row in rows]
    assert tours.is_permutation(np.array(rows)).tolist() == expected


def test_is_permutation_keeps_leading_axes_and_takes_small_integers():
    some = np.tile(np.arange(5, dtype=np.int16), (2, 3, 1))
    some[1, 0, 0] = 4
    assert tours.is_permutation(some).tolist() == [[True, True, True], [False, True, True]]
    assert tours.is_permutation(np.arange(3)).item() is True


def test_nearest_neighbor_walks_a_line_as_worked_by_hand():
    # Cities at 0, 1, 3, 7 (tenths). From 1 the nearest is 0, then 3, then 7; from 7 the way is 3, 1, 0.
    line = np.array([[[0.0, 0.5], [0.1, 0.5], [0.3, 0.5], [0.7, 0.5]]], np.float32)
    assert tours.nearest_neighbor(line, np.array([[1, 3]])).tolist() == [[[1, 0, 2, 3], [3, 2, 1, 0]]]


def test_nearest_neighbor_takes_the_lowest_index_among_equals():
    cross = np.array([[[0.5, 0.5], [0.5, 1.0], [1.0, 0.5], [0.0, 0.5]]], np.float32)
    assert tours.nearest_neighbor(cross, np.array([[0]]))[0, 0, 1] == 1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 15))
def test_constructions_equal_plain_python(seed, n):
    coordinates = uniform_instances(np.random.default_rng(seed), 2, n)
    starts = np.array([[0, n - 1], [n // 2, 0]])
    near, far = tours.nearest_neighbor(coordinates, starts), tours.farthest_insertion(coordinates)
    for i in range(2):
        points = coordinates[i].astype(float).tolist()
        assert near[i].tolist() == [_slow_nearest_neighbor(points, start) for start in starts[i]]
        slow = _slow_farthest_insertion(points)
        assert far[i, 0] == slow[0]
        assert tours.tour_length(coordinates[i], far[i]) == pytest.approx(_slow_length(points, slow), abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_neighbor_lists_have_the_nearest_unvisited_city_first_also_among_equals(seed, num_cities):
    rng = np.random.default_rng(seed)
    grid = rng.integers(0, 3, (2, num_cities, 2)).astype(np.float32) / 2  # many cities are equally far, or the same
    lists = tours.neighbor_lists(grid)
    assert (np.sort(lists, axis=2) == np.arange(num_cities)).all()
    visited = rng.random(num_cities) < 0.5
    visited[rng.integers(num_cities)] = False
    for i in range(2):
        for city in range(num_cities):
            first = next(other for other in lists[i, city] if not visited[other])
            assert first == tours.nearest_unvisited(grid[i], visited, city)


@pytest.mark.parametrize("start", [-1, 4])
def test_nearest_neighbor_refuses_a_start_outside_the_cities(start):
    with pytest.raises(ValueError, match=r"starts must lie in 0\.\.3"):
        tours.nearest_neighbor(np.zeros((1, 4, 2), np.float32), np.array([[start]]))


def test_constructions_give_permutations_where_all_cities_coincide():
    coordinates = np.full((1, 6, 2), 0.5, np.float32)
    assert tours.is_permutation(tours.nearest_neighbor(coordinates, np.array([[2]]))).all()
    assert tours.is_permutation(tours.farthest_insertion(coordinates)).all()


def test_random_tours_are_permutations_and_repeatable():
    first = tours.random_tours(np.random.default_rng(1), 500, 4)
    assert first.shape == (500, 4)
    assert tours.is_permutation(first).all()
    assert len(np.unique(first, axis=0)) == 24  # each of 24 is missed with chance (23/24)**500 < 1e-9
    np.testing.assert_array_equal(first, tours.random_tours(np.random.default_rng(1), 500, 4))

"""Search with the true rules: tours, and the record of them, with and without a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from model_helpers import KINDS, random_coordinates, tiny_network

from tspmz.network.inference import SearchModel
from tspmz.planning import UNGUIDED, Record, merged, plan
from tspmz.search import BatchedSearch
from tspmz.selfplay import play
from tspmz.tsp.reference import solve_exact
from tspmz.tsp.tours import is_permutation, nearest_neighbor, tour_lengths

INSTANCES, N = 7, 6
STARTS = np.tile(np.arange(2), (INSTANCES, 1))


def make_search(simulations: int = 20, **settings: Any) -> Any:
    return lambda batch, cities: BatchedSearch(batch, cities, num_simulations=simulations, **(UNGUIDED | settings))


def test_tours_start_where_they_should_and_fit_their_lengths() -> None:
    points = random_coordinates(INSTANCES, N)
    found = plan(make_search(), points, STARTS)
    assert is_permutation(found.tours).all()
    np.testing.assert_array_equal(found.tours[:, :, 0], STARTS)
    np.testing.assert_array_equal(found.lengths, tour_lengths(points, found.tours))
    assert (found.lengths <= found.played_lengths).all()


def test_more_simulations_find_shorter_tours_up_to_the_optimum() -> None:
    points = random_coordinates(20, 9)
    starts = np.zeros((20, 1), np.int64)
    means = [plan(make_search(count), points, starts).lengths.mean() for count in (2, 50, 3000)]
    nearest = tour_lengths(points, nearest_neighbor(points, starts)).mean()
    optimum = solve_exact(points)[1].mean()
    assert optimum <= means[2] * (1 + 1e-9)
    assert means[2] < means[1] < means[0] <= nearest
    assert means[2] < 1.005 * optimum


def test_record_of_two_parts_is_the_best_of_both() -> None:
    simulations = np.array([1, 5])
    one = Record(simulations, np.array([[np.inf, 3.0], [2.0, 3.0]]), np.array([2.5, 3.0]))
    other = Record(simulations, np.array([[4.0, 5.0], [4.0, 1.0]]), np.array([4.0, 1.5]))
    both = merged([one, other])
    np.testing.assert_array_equal(both.simulations, simulations)
    np.testing.assert_array_equal(both.best_lengths, [[4.0, 3.0], [2.0, 1.0]])
    np.testing.assert_array_equal(both.played_lengths, [2.5, 1.5])


@pytest.mark.parametrize("kind", KINDS)
def test_network_guides_the_search(kind: str) -> None:
    network, points = tiny_network(kind, N), random_coordinates(INSTANCES, N)
    found = plan(make_search(algorithm="gumbel"), points, STARTS, network=network, leaf_values="network")
    assert is_permutation(found.tours).all()
    again = plan(make_search(algorithm="gumbel"), points, STARTS, network=network, leaf_values="network")
    np.testing.assert_array_equal(found.tours, again.tours)


def test_one_simulation_with_a_network_is_the_same_move_under_true_and_learned_dynamics() -> None:
    # Gumbel search without noise tries the action with the largest logit first; with one simulation it is taken.
    network, points = tiny_network("attention", N), random_coordinates(INSTANCES, N)
    make = make_search(1, algorithm="gumbel", backup="mean")
    found = plan(make, points, STARTS, network=network, leaf_values="network")
    model = SearchModel(network, 2)
    rng = np.random.default_rng(0)
    learned = play(model, make(STARTS.size, N), points, STARTS, rng, temperature=0.0, noise=False)
    np.testing.assert_array_equal(found.played_lengths, tour_lengths(points, learned.tours))


def test_values_of_the_network_need_a_network() -> None:
    with pytest.raises(ValueError, match="needs a network"):
        plan(make_search(), random_coordinates(1, N), np.zeros((1, 1), np.int64), leaf_values="network")

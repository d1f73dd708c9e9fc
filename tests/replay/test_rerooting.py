"""Walks of a group's best tour: the same cycle, other starts, both directions, exact rewards."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tspmz.replay.rerooting import walk_best
from tspmz.tsp import env


def played(groups: int, episodes: int, cities: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates, random tours from different starts, and the environment's rewards."""
    rng = np.random.default_rng(seed)
    coordinates = rng.random((groups, cities, 2)).astype(np.float32)
    tours = np.stack([[np.roll(rng.permutation(cities), k) for k in range(episodes)] for _ in range(groups)])
    return coordinates, tours, rewards_of(coordinates, tours)


def rewards_of(coordinates: np.ndarray, tours: np.ndarray) -> np.ndarray:
    """Of every move, from the environment."""
    state = env.reset(coordinates, tours[..., 0])
    rewards = np.empty((*tours.shape[:2], tours.shape[2] - 1), np.float32)
    for t in range(1, tours.shape[2]):
        state, time_step = env.step(state, tours[..., t])
        rewards[..., t - 1] = time_step.rewards
    return rewards


def walked(
    coordinates: np.ndarray, tours: np.ndarray, rewards: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tours and rewards of the groups after it, and which are walks."""
    new_tours, new_rewards, walks = tours.copy(), rewards.copy(), np.ones(tours.shape[:2], np.bool_)
    lengths = -rewards.sum(axis=-1, dtype=np.float64)
    for m, coins in enumerate(rng.random((len(tours), count))):
        walk_best(coordinates[m], lengths[m], coins, new_tours[m], new_rewards[m], walks[m])
    return new_tours, new_rewards, walks


def edges(tour: np.ndarray) -> set[frozenset[int]]:
    return {frozenset((int(a), int(b))) for a, b in zip(tour, np.roll(tour, -1), strict=True)}


def test_worst_of_three_walks_the_square() -> None:
    # the square's corners in order; the best tour goes around, from corner 0
    coordinates = np.array([[[0, 0], [0, 1], [1, 1], [1, 0]]], np.float32)
    tours = np.array([[[0, 1, 2, 3], [1, 0, 2, 3], [2, 0, 1, 3]]])
    diagonal = np.float32(np.sqrt(2))
    rewards = -np.array([[[1, 1, 2], [1, diagonal, 1 + diagonal], [diagonal, 1, diagonal + 1 + 1]]], np.float32)
    new_tours, new_rewards, walks = walked(coordinates, tours, rewards, 1, np.random.default_rng(0))
    assert walks.tolist() == [[False, False, True]]
    assert new_tours[0, 2].tolist() in ([2, 3, 0, 1], [2, 1, 0, 3])
    assert new_rewards[0, 2].tolist() == [-1, -1, -2]  # the last move closes the tour
    assert np.array_equal(new_tours[0, :2], tours[0, :2])
    assert np.array_equal(new_rewards[0, :2], rewards[0, :2])


@given(st.integers(1, 3), st.integers(2, 6), st.integers(6, 9), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_walks_are_the_best_cycle_from_the_start_of_those_that_gave_way(
    groups: int, episodes: int, cities: int, count: int, seed: int
) -> None:
    count = min(count, episodes - 1)
    coordinates, tours, rewards = played(groups, episodes, cities, seed)
    before = tours.copy(), rewards.copy()
    new_tours, new_rewards, walks = walked(coordinates, tours, rewards, count, np.random.default_rng(seed))
    assert np.array_equal(tours, before[0])
    assert np.array_equal(rewards, before[1])
    lengths = -rewards.sum(axis=-1)
    np.testing.assert_allclose(new_rewards, rewards_of(coordinates, new_tours), rtol=1e-6)
    assert np.array_equal(new_tours[..., 0], tours[..., 0])
    assert np.array_equal(new_tours[~walks], tours[~walks])
    for m in range(groups):
        assert walks[m].sum() == count
        assert lengths[m, walks[m]].min() >= lengths[m, ~walks[m]].max() - 1e-6
        best = edges(tours[m, lengths[m].argmin()])
        assert all(edges(tour) == best for tour in new_tours[m, walks[m]])


def test_both_directions_are_walked() -> None:
    coordinates, tours, rewards = played(1, 2, 8, 3)
    rng = np.random.default_rng(0)
    seconds = {int(walked(coordinates, tours, rewards, 1, rng)[0][0, :, 1][w]) for _ in range(20)
               for w in [int((-rewards.sum(-1))[0].argmax())]}  # fmt: skip
    assert len(seconds) == 2

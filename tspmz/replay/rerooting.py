"""A tour is a cycle: the best one of a group is as good an example from every start, in both directions."""

from __future__ import annotations

import numpy as np

from tspmz.types import Bool, Float32, Int64


def reroot_best(
    coordinates: Float32, tours: Int64, rewards: Float32, count: int, rng: np.random.Generator
) -> tuple[Int64, Float32, Bool]:
    """The worst episodes of each group give way to its best tour, walked from their own starts.

    Args:
        coordinates: `[M, N, 2]` float32.
        tours: `[M, G, N]` int64.
        rewards: `[M, G, T]` float32, minus the added edges.
        count: R, episodes of each group that give way; below G.
        rng: draws the direction of each.

    Returns:
        Tours and rewards of the groups as they are learned from, and which episodes `[M, G]` are such walks.
    """
    num_groups, group_size, num_cities = tours.shape
    rows = np.arange(num_groups)[:, None]
    order = np.argsort(-rewards.sum(axis=-1, dtype=np.float64), axis=1, kind="stable")
    worst = order[:, group_size - count :]
    best = tours[rows[:, 0], order[:, 0]]
    place_of = np.argsort(best, axis=1)
    first = place_of[rows, tours[rows, worst, 0]]
    direction = rng.choice((-1, 1), size=worst.shape)
    places = (first[..., None] + direction[..., None] * np.arange(num_cities)) % num_cities
    walks = best[rows[..., None], places]
    points = coordinates[rows[..., None], walks].astype(np.float64)
    steps = np.roll(points, -1, axis=2) - points
    edges = np.sqrt(steps[..., 0] ** 2 + steps[..., 1] ** 2)  # np.linalg.norm takes four times as long over two numbers
    edges[..., -2] += edges[..., -1]  # the last move closes the tour
    new_tours, new_rewards = tours.copy(), rewards.copy()
    new_tours[rows, worst] = walks
    new_rewards[rows, worst] = -edges[..., :-1]
    replaced = np.zeros((num_groups, group_size), np.bool_)
    replaced[rows, worst] = True
    return new_tours, new_rewards, replaced

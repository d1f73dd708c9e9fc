"""Groups for replay tests: random but valid, and recognisable by actor and number."""

from __future__ import annotations

import numpy as np

from tspmz.types import Group


def make_group(
    actor: int, group_id: int, *, num_cities: int = 6, group_size: int = 3, seed: int = 7, weights_version: int = 0
) -> Group:
    """A valid group that is a function of its arguments: a reader can make it again and compare."""
    rng = np.random.default_rng([seed, actor, group_id])
    coordinates = rng.random((num_cities, 2)).astype(np.float32)
    tours = np.stack([rng.permutation(num_cities) for _ in range(group_size)])
    stops = coordinates.astype(np.float64)[tours]
    edges = np.linalg.norm(stops - np.roll(stops, -1, axis=1), axis=-1)
    rewards = -edges[:, :-1]
    rewards[:, -1] -= edges[:, -1]
    weights = rng.random((group_size, num_cities - 1, num_cities)).astype(np.float32)
    return Group(
        coordinates=coordinates,
        tours=tours,
        rewards=rewards.astype(np.float32),
        root_values=rng.normal(size=rewards.shape).astype(np.float32),
        prior_log_probs=-rng.random(rewards.shape).astype(np.float32),
        visit_counts=rng.integers(1, 100, weights.shape).astype(np.int32),
        action_weights=weights / weights.sum(axis=-1, keepdims=True),
        actor=actor,
        group_id=group_id,
        seed=seed,
        weights_version=weights_version,
    )


def same_group(first: Group, second: Group, ignore: tuple[str, ...] = ()) -> bool:
    """Whether all fields but `ignore` are equal, bit by bit."""
    return all(
        np.array_equal(getattr(first, name), getattr(second, name)) for name in Group._fields if name not in ignore
    )


RUN = "run"
"""Identity of the run that the folders of the corruption tests belong to."""

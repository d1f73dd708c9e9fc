"""Groups to write, read and seal: valid ones on random instances, with random tours and random targets."""

from __future__ import annotations

import numpy as np

from tspmz.tsp.tours import tour_lengths
from tspmz.types import Group


def random_group(actor: int, group_id: int, num_cities: int, group_size: int) -> Group:
    """One that every check of the replay accepts; a function of its arguments."""
    rng = np.random.default_rng([actor, group_id])
    shape = (group_size, num_cities - 1)
    coordinates = rng.random((num_cities, 2), dtype=np.float32)
    tours = rng.permuted(np.tile(np.arange(num_cities), (group_size, 1)), axis=1)
    lengths = tour_lengths(coordinates[None], tours[None])[0]
    rewards = rng.random(shape)
    rewards *= -(lengths / rewards.sum(axis=1))[:, None]  # not the edges, but they add up to the length
    weights = rng.random((*shape, num_cities), dtype=np.float32)
    return Group(
        coordinates=coordinates,
        tours=tours,
        rewards=rewards.astype(np.float32),
        root_values=-rng.random(shape, dtype=np.float32),
        prior_log_probs=-rng.random(shape, dtype=np.float32),
        visit_counts=rng.integers(0, 50, weights.shape, dtype=np.int32),
        action_weights=weights / weights.sum(axis=-1, keepdims=True),
        actor=actor,
        group_id=group_id,
        seed=0,
        weights_version=0,
    )

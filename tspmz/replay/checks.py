"""What makes stored groups fit to learn from: finite numbers, true permutations, rewards that add up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tspmz.replay.fields import Records, by_size, part
from tspmz.types import Bool, Float32, Float64

LENGTH_TOLERANCE = 1e-4


def valid_groups(records: Records) -> Bool:
    """Which records can be learned from.

    A record is refused where its number of cities cannot be, a coordinate, reward, root value, prior or action weight
    is not finite, an action weight is negative, or a tour is no permutation of the cities.

    Args:
        records: `[M]` records of `fields.record_dtype`.

    Returns:
        `[M]` bool.
    """
    valid = np.zeros(len(records), np.bool_)
    for num_cities, rows in by_size(records):
        valid[rows] = _valid_of_size(records[rows], num_cities)
    return valid


def _valid_of_size(records: Records, num_cities: int) -> Bool:
    valid = sound_targets(records, num_cities)
    valid &= is_permutation(part(records, "tours", num_cities)).all(axis=-1)
    for name in ("coordinates", "rewards", "prior_log_probs"):
        valid &= np.isfinite(part(records, name, num_cities)).all(axis=(1, 2))
    return valid


def sound_targets(records: Records, num_cities: int) -> Bool:
    """Which of `records [M]`, of groups or of what newer weights make of them, hold finite targets, no weight negative.

    Args:
        records: of groups on as many cities.
        num_cities: N.

    Returns:
        `[M]` bool.
    """
    sound: Bool = np.isfinite(part(records, "root_values", num_cities)).all(axis=(1, 2))
    if "action_weights" in (records.dtype.names or ()):
        weights = part(records, "action_weights", num_cities)
        sound &= (np.isfinite(weights) & (weights >= 0.0)).all(axis=(1, 2, 3))
    return sound


def is_permutation(tours: NDArray[np.integer]) -> Bool:
    """Which rows of `[..., N]` hold every city 0..N-1 once; `[...]` bool."""
    cities = np.arange(tours.shape[-1])
    return (np.sort(tours, axis=-1) == cities).all(axis=-1)  # type: ignore[no-any-return]


def closed_lengths(coordinates: Float32, tours: NDArray[np.integer]) -> Float64:
    """Length of each tour with its closing edge.

    Args:
        coordinates: `[M, N, 2]` float32.
        tours: `[M, G, N]` integers, permutations.

    Returns:
        `[M, G]` float64.
    """
    groups = np.arange(len(coordinates))[:, None, None]
    stops = coordinates.astype(np.float64)[groups, tours]
    edges = stops - np.roll(stops, -1, axis=2)
    return np.sqrt((edges**2).sum(axis=-1)).sum(axis=-1)  # type: ignore[no-any-return]


def stored_lengths(records: Records) -> Float64:
    """Length `[M, G]` of each stored tour, computed from the coordinates.

    Args:
        records: `[M]` records that `valid_groups` has accepted.
    """
    lengths = np.empty(records["tours"].shape[:2], np.float64)
    for num_cities, rows in by_size(records):
        of_size = records[rows]
        lengths[rows] = closed_lengths(part(of_size, "coordinates", num_cities), part(of_size, "tours", num_cities))
    return lengths


def rewards_add_up(coordinates: Float32, tours: NDArray[np.integer], rewards: Float32) -> Bool:
    """Whether the rewards of each group sum to minus its tour lengths, within 1e-4.

    Args:
        coordinates: `[M, N, 2]` float32.
        tours: `[M, G, N]` integers, permutations.
        rewards: `[M, G, T]` float32.

    Returns:
        `[M]` bool.
    """
    error = rewards.sum(axis=-1, dtype=np.float64) + closed_lengths(coordinates, tours)
    return (np.abs(error) <= LENGTH_TOLERANCE).all(axis=-1)  # type: ignore[no-any-return]


def stored_rewards_add_up(records: Records) -> Bool:
    """`rewards_add_up` for stored groups, `[M]` bool.

    Args:
        records: `[M]` records that `valid_groups` has accepted.
    """
    fine = np.zeros(len(records), np.bool_)
    for num_cities, rows in by_size(records):
        of_size = records[rows]
        fine[rows] = rewards_add_up(*(part(of_size, name, num_cities) for name in ("coordinates", "tours", "rewards")))
    return fine

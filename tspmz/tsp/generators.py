"""Random instances in the unit square: uniform, clustered, and the published uniform test sets."""

from __future__ import annotations

import numpy as np

from tspmz.rng import generator_for
from tspmz.types import Float32

CLUSTER_SIGMA = 0.05
"""Standard deviation of a city around the center of its cluster, per coordinate, in units of the square's side."""

PUBLISHED_COUNT = 10_000
"""Instances in a published test set."""


def uniform_instances(rng: np.random.Generator, count: int, num_cities: int) -> Float32:
    """`[count, num_cities, 2]` float32, each coordinate uniform in [0, 1)."""
    return rng.random((count, num_cities, 2), dtype=np.float32)


def clustered_instances(rng: np.random.Generator, count: int, num_cities: int, num_clusters: int) -> Float32:
    """Cities scattered around uniformly random centers.

    Each city picks one of the centers with equal chance and lies around it with a Gaussian of standard deviation
    `CLUSTER_SIGMA`. What falls outside the square is reflected at its side: clipping would put cities on top of each
    other in the corners.

    Args:
        rng: the only source of randomness.
        count: instances I.
        num_cities: N.
        num_clusters: centers per instance, >= 1.

    Returns:
        `[I, N, 2]` float32 in [0, 1].
    """
    centers = rng.random((count, num_clusters, 2))
    cluster = rng.integers(num_clusters, size=(count, num_cities, 1))
    points = np.take_along_axis(centers, cluster, axis=1)
    points += CLUSTER_SIGMA * rng.standard_normal(points.shape)
    return (1.0 - np.abs(1.0 - np.abs(points))).astype(np.float32)


def generate(distribution: str, rng: np.random.Generator, count: int, num_cities: int, num_clusters: int) -> Float32:
    """`[count, num_cities, 2]` float32 instances of a named distribution.

    Args:
        distribution: "uniform" or "clustered".
        rng: the only source of randomness.
        count: instances I.
        num_cities: N.
        num_clusters: used by "clustered" only.

    Raises:
        ValueError: unknown distribution.
    """
    if distribution == "uniform":
        return uniform_instances(rng, count, num_cities)
    if distribution == "clustered":
        return clustered_instances(rng, count, num_cities, num_clusters)
    raise ValueError(f"unknown distribution {distribution!r}: want uniform or clustered")


def fixed_graph(distribution: str, seed: int, num_cities: int, num_clusters: int) -> Float32:
    """The one instance `[N, 2]` float32 of a run with `problem.fixed_graph`: a function of the run's seed.

    Args:
        distribution, num_cities, num_clusters: as for `generate`.
        seed: the run's seed.
    """
    rng = generator_for(seed, "graph")
    return generate(distribution, rng, 1, num_cities, num_clusters)[0]  # type: ignore[no-any-return]


def published_uniform(num_cities: int, count: int, seed: int) -> Float32:
    """The first `count` instances of the test set that the literature shares (seed 1234).

    It is Kool et al.'s generator (ICLR 2019, attention-learn-to-route): `numpy.random.seed(seed)`, then
    `numpy.random.uniform(size=(10000, num_cities, 2))`. The numbers come from a private legacy generator, in the same
    order, so the global one is not touched and later instances need not be drawn.

    Args:
        num_cities: N.
        count: instances I, at most `PUBLISHED_COUNT`.
        seed: of the legacy generator, 0..2**32-1.

    Returns:
        `[I, N, 2]` float32.

    Raises:
        ValueError: count too large, or a seed out of range.
    """
    if not 0 <= count <= PUBLISHED_COUNT:
        raise ValueError(f"count is {count}: a published test set has {PUBLISHED_COUNT} instances")
    legacy = np.random.RandomState(seed)
    return legacy.uniform(size=(count, num_cities, 2)).astype(np.float32)

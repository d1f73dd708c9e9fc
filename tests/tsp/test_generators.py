"""Generated instances: bounds, repeatability, and the published recipe."""

# ruff: noqa: NPY002 - the published recipe is one of the legacy global generator

from __future__ import annotations

import numpy as np
import pytest

from tspmz.tsp import generators


@pytest.mark.parametrize(("num_cities", "seed"), [(20, 1234), (50, 7)])
def test_published_uniform_equals_the_global_recipe(num_cities, seed):
    kept = np.random.get_state()
    try:
        np.random.seed(seed)
        expected = np.random.uniform(size=(10000, num_cities, 2)).astype(np.float32)
    finally:
        np.random.set_state(kept)
    np.testing.assert_array_equal(generators.published_uniform(num_cities, 10000, seed), expected)
    np.testing.assert_array_equal(generators.published_uniform(num_cities, 3, seed), expected[:3])


def test_published_uniform_starts_with_the_known_numbers():
    # The first three doubles of numpy's legacy generator at seed 1234.
    found = generators.published_uniform(20, 1, 1234)[0].ravel()[:3]
    np.testing.assert_allclose(found, [0.1915194503788923, 0.6221087710398319, 0.4377277390071145], rtol=1e-7)


def test_generators_leave_the_global_stream_alone():
    before = np.random.get_state()[1].copy()
    generators.published_uniform(5, 2, 1)
    generators.generate("clustered", np.random.default_rng(0), 2, 5, 2)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("count", [-1, 10001])
def test_published_uniform_refuses_other_counts(count):
    with pytest.raises(ValueError, match="10000 instances"):
        generators.published_uniform(20, count, 1234)


@pytest.mark.parametrize("distribution", ["uniform", "clustered"])
def test_generate_stays_in_the_unit_square_and_repeats(distribution):
    first = generators.generate(distribution, np.random.default_rng(5), 300, 40, 3)
    again = generators.generate(distribution, np.random.default_rng(5), 300, 40, 3)
    assert first.shape == (300, 40, 2)
    assert first.dtype == np.float32
    assert first.min() >= 0.0
    assert first.max() <= 1.0
    np.testing.assert_array_equal(first, again)


def test_generate_refuses_an_unknown_distribution():
    with pytest.raises(ValueError, match="'grid'"):
        generators.generate("grid", np.random.default_rng(0), 1, 5, 1)


def test_uniform_coordinates_have_the_moments_of_the_uniform_distribution():
    x = generators.uniform_instances(np.random.default_rng(0), 2000, 50)
    # 200,000 numbers: the standard error of the mean is 0.289 / 447 = 0.00065.
    assert abs(x.mean() - 0.5) < 0.004
    assert abs(x.var() - 1 / 12) < 0.002


def test_clustered_cities_do_not_pile_up():
    for points in generators.clustered_instances(np.random.default_rng(1), 200, 50, 2):
        assert len(np.unique(points, axis=0)) == 50


def test_one_cluster_has_the_stated_spread():
    points = generators.clustered_instances(np.random.default_rng(2), 400, 200, 1).astype(np.float64)
    inside = (points > 0.2).all(axis=(1, 2)) & (points < 0.8).all(axis=(1, 2))
    spread = points[inside].std(axis=1).mean()
    assert inside.sum() > 10
    assert spread == pytest.approx(generators.CLUSTER_SIGMA, rel=0.05)


def test_more_clusters_than_cities_is_allowed():
    assert generators.clustered_instances(np.random.default_rng(0), 2, 3, 50).shape == (2, 3, 2)

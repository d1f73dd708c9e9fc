"""The symmetries: a group of eight maps that keep all distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tspmz.tsp import symmetry
from tspmz.tsp.generators import uniform_instances
from tspmz.tsp.tours import random_tours, tour_lengths

POINT = np.array([[[0.25, 0.125]]], np.float32)


def test_images_of_a_point_equal_those_worked_by_hand():
    expected = [
        (0.25, 0.125), (0.75, 0.125), (0.25, 0.875), (0.75, 0.875),
        (0.125, 0.25), (0.875, 0.25), (0.125, 0.75), (0.875, 0.75),
    ]  # fmt: skip
    assert [tuple(image.ravel().tolist()) for image in symmetry.all_symmetries(POINT)] == expected


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 20))
def test_lengths_are_preserved(seed, n):
    rng = np.random.default_rng(seed)
    coordinates, some = uniform_instances(rng, 2, n), random_tours(rng, 6, n).reshape(2, 3, n)
    lengths = tour_lengths(coordinates, some)
    for image in symmetry.all_symmetries(coordinates):
        assert image.min() >= 0.0
        assert image.max() <= 1.0
        np.testing.assert_allclose(tour_lengths(image, some), lengths, rtol=1e-6)


def test_compositions_are_symmetries_and_every_one_has_an_inverse():
    images = symmetry.all_symmetries(POINT)
    table = np.array([
        [[np.array_equal(symmetry.apply(symmetry.apply(POINT, a), b), image) for image in images].index(True)
         for b in range(8)]
        for a in range(8)
    ])  # fmt: skip
    for row in (*table, *table.T):
        assert sorted(row) == list(range(8))
    assert (table[0] == np.arange(8)).all()


def test_index_zero_is_the_identity_and_a_copy():
    image = symmetry.apply(POINT, 0)
    np.testing.assert_array_equal(image, POINT)
    assert not np.shares_memory(image, POINT)


def test_apply_each_equals_apply_one_by_one():
    coordinates = uniform_instances(np.random.default_rng(0), 16, 5)
    indices = np.arange(16) % 8
    kept = coordinates.copy()
    images = symmetry.apply_each(coordinates, indices)
    assert images.dtype == np.float32
    for i, index in enumerate(indices):
        np.testing.assert_array_equal(images[i], symmetry.apply(coordinates[i], int(index)))
    np.testing.assert_array_equal(coordinates, kept)


def test_all_symmetries_has_one_leading_axis_more():
    coordinates = uniform_instances(np.random.default_rng(0), 3, 5)
    images = symmetry.all_symmetries(coordinates)
    assert images.shape == (8, 3, 5, 2)
    assert images.dtype == np.float32


@pytest.mark.parametrize("index", [-1, 8])
def test_unknown_symmetry_is_refused(index):
    with pytest.raises(ValueError, match=r"0\.\.7"):
        symmetry.apply(POINT, index)
    with pytest.raises(ValueError, match=r"0\.\.7"):
        symmetry.apply_each(POINT, np.array([index]))


def test_apply_each_refuses_another_count_of_indices():
    with pytest.raises(ValueError, match="one per instance"):
        symmetry.apply_each(POINT, np.array([0, 1]))

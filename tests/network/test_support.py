"""The value support: the transform h by hand, its inverse, two-hot targets and their cross entropy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tspmz.network.support import Support, inverse_transform, transform


@pytest.mark.parametrize(
    ("scalar", "scaled"),
    [(0.0, 0.0), (3.0, 1.003), (-3.0, -1.003), (8.0, 2.008), (-99.0, -9.099), (0.44, 0.20044)],
)
def test_transform_and_inverse_have_the_values_by_hand(scalar: float, scaled: float) -> None:
    assert transform(torch.tensor(scalar)).item() == pytest.approx(scaled, abs=1e-6)
    assert inverse_transform(torch.tensor(scaled, dtype=torch.float64)).item() == pytest.approx(scalar, abs=1e-6)


@given(st.floats(-1000.0, 1000.0))
def test_inverse_undoes_the_transform(scalar: float) -> None:
    back = inverse_transform(transform(torch.tensor(scalar, dtype=torch.float64))).item()
    assert back == pytest.approx(scalar, abs=1e-6)


@given(st.floats(-30.0, 30.0))
def test_inverse_undoes_the_transform_in_float32(scalar: float) -> None:
    back = inverse_transform(transform(torch.tensor(scalar, dtype=torch.float32))).item()
    assert back == pytest.approx(scalar, rel=5e-6, abs=1e-6)


@pytest.mark.parametrize("scalar", [0.0, -0.0, 1e-30, 1e-7, -1e-7, 1e4, -1e6])
def test_transform_and_inverse_keep_sign_and_size_at_the_ends_of_the_scale(scalar: float) -> None:
    scaled = transform(torch.tensor(scalar, dtype=torch.float32))
    assert np.sign(scaled.item()) in (np.sign(scalar), 0.0)
    back = inverse_transform(scaled).item()
    assert back == pytest.approx(scalar, rel=1e-5, abs=3e-7)


@given(st.floats(-1e4, 1e4, width=32), st.floats(-1e4, 1e4, width=32))
def test_transform_and_inverse_are_monotone_and_odd(one: float, other: float) -> None:
    low, high = sorted((one, other))
    for function in (transform, inverse_transform):
        at_low, at_high = function(torch.tensor([low, high], dtype=torch.float64)).tolist()
        assert at_low <= at_high
        assert function(torch.tensor(-low, dtype=torch.float64)).item() == -at_low


def test_ends_of_the_support_are_clipped_and_what_is_not_finite_spoils_no_index() -> None:
    support = Support(10, 1.0)
    end = inverse_transform(torch.tensor(10.0)).item()  # about 120
    lower, upper = support.two_hot(torch.tensor([end, 1e9, -end, -1e9, math.nan, math.inf]))
    assert lower.tolist() == [19, 19, 0, 0, 0, 19]
    assert upper[:4].numpy() == pytest.approx(np.array([1.0, 1.0, 0.0, 0.0]), abs=1e-5)
    assert upper[4].isnan()
    assert support.to_scalar(torch.nn.functional.one_hot(torch.tensor(20), 21) * 1e4).item() == pytest.approx(end)


@given(st.floats(-100.0, 100.0), st.sampled_from([(10, 1.0), (32, 0.2), (300, 0.1)]))
def test_scalar_survives_two_hot_and_back(scalar: float, shape: tuple[int, float]) -> None:
    support = Support(*shape)
    end = inverse_transform(torch.tensor(shape[0] * shape[1])).item()
    lower, upper = support.two_hot(torch.tensor(scalar))
    probabilities = torch.zeros(support.num_atoms)
    probabilities[lower] += 1 - upper
    probabilities[lower + 1] += upper
    clipped = min(max(scalar, -end), end)
    assert support.to_scalar(torch.log(probabilities)).item() == pytest.approx(clipped, rel=1e-4, abs=1e-5)

def test_two_hot_splits_between_the_neighboring_atoms() -> None:
    # atoms -1, -0.5, 0, 0.5, 1; h(3) = 1.003 is clipped; h(-0.44) = -0.20044 lies at position 1.59912
    lower, upper = Support(2, 0.5).two_hot(torch.tensor([0.0, 3.0, -100.0, -0.44]))
    assert lower.tolist() == [2, 3, 0, 1]
    assert upper.numpy() == pytest.approx(np.array([0.0, 1.0, 0.0, 0.59912]), abs=1e-5)


@given(st.floats(-10.0, 10.0))
def test_two_hot_has_the_scalar_as_its_mean(scalar: float) -> None:
    support = Support(32, 0.2)
    lower, upper = support.two_hot(torch.tensor(scalar))
    mean = support.atoms[lower] * (1 - upper) + support.atoms[lower + 1] * upper
    assert mean.item() == pytest.approx(transform(torch.tensor(scalar)).item(), abs=1e-5)


@given(st.floats(-2.0, 2.0), st.integers(0, 2**31))
def test_cross_entropy_equals_that_of_the_dense_target(scalar: float, seed: int) -> None:
    support = Support(4, 0.3)
    logits = np.random.default_rng(seed).normal(size=9)
    position = (math.copysign(math.sqrt(abs(scalar) + 1) - 1, scalar) + 0.001 * scalar) / 0.3 + 4
    position = min(max(position, 0.0), 8.0)
    dense = np.maximum(0.0, 1 - np.abs(np.arange(9) - position))
    expected = -(dense * (logits - np.log(np.exp(logits).sum()))).sum()
    found = support.cross_entropy(torch.from_numpy(logits), torch.tensor(scalar, dtype=torch.float64)).item()
    assert found == pytest.approx(expected, abs=1e-5)


def test_scalar_is_the_mean_of_the_atoms_mapped_back() -> None:
    support = Support(1, 1.003)
    probabilities = torch.tensor([[0.0, 0.0, 1.0], [0.5, 0.0, 0.5], [1.0, 0.0, 0.0]])
    assert support.to_scalar(torch.log(probabilities)).numpy() == pytest.approx(np.array([3.0, 0.0, -3.0]), abs=1e-3)


def test_support_is_no_part_of_the_weights() -> None:
    assert Support(3, 0.1).state_dict() == {}


def test_expectation_is_as_exact_under_autocast() -> None:
    support = Support(32, 0.2)
    scalars = torch.linspace(-4.0, 0.0, 41)
    lower, upper_probability = support.two_hot(scalars)
    probabilities = torch.zeros(41, support.num_atoms)
    probabilities[torch.arange(41), lower] = 1 - upper_probability
    probabilities[torch.arange(41), lower + 1] = upper_probability
    with torch.autocast("cpu", torch.bfloat16):
        found = support.to_scalar((probabilities + 1e-30).log())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, scalars, atol=1e-5, rtol=1e-5)

"""Targets: numbers worked out by hand, and a literal oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tspmz.replay.targets import (
    fill_advantages,
    fill_lengths,
    fill_policy_weights,
    importance_weights,
    policy_targets,
    returns,
    shaped_rewards,
    value_targets,
)

REWARDS = np.array([-1.0, -2.0, -4.0], np.float32)
VALUES = np.array([-10.0, -20.0, -40.0], np.float32)


def policy_weights(advantages: list[float], cap: float = 20.0, baseline: float = 0.0) -> np.ndarray:
    """Of one group, at a temperature of 0.02."""
    weights = np.empty(len(advantages), np.float32)
    fill_policy_weights(np.array(advantages, np.float32), 0.02, cap, baseline, weights)
    return weights


def test_returns_by_hand() -> None:
    assert returns(REWARDS, 1.0).tolist() == [-7.0, -6.0, -4.0]
    # -4;  -2 + 0.5 * -4 = -4;  -1 + 0.5 * -4 = -3
    assert returns(REWARDS, 0.5).tolist() == [-3.0, -4.0, -4.0]


def test_value_targets_by_hand() -> None:
    assert value_targets(REWARDS, VALUES, 0, 1.0).tolist() == [-7.0, -6.0, -4.0, 0.0]
    # n = 1: -1 + -20, -2 + -40, -4
    assert value_targets(REWARDS, VALUES, 1, 1.0).tolist() == [-21.0, -42.0, -4.0, 0.0]
    # n = 2, discount 0.5: -1 + 0.5 * -2 + 0.25 * -40 = -12; then the returns -4 and -4
    assert value_targets(REWARDS, VALUES, 2, 0.5).tolist() == [-12.0, -4.0, -4.0, 0.0]


@pytest.mark.parametrize("td_steps", [3, 4, 100])
def test_value_targets_with_steps_past_the_end_are_monte_carlo(td_steps: int) -> None:
    assert np.array_equal(value_targets(REWARDS, VALUES, td_steps, 0.9), value_targets(REWARDS, VALUES, 0, 0.9))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 8), st.integers(0, 10), st.floats(0.0, 1.0))
def test_value_targets_agree_with_the_literal_sum(seed: int, num_moves: int, td_steps: int, discount: float) -> None:
    rng = np.random.default_rng(seed)
    rewards, values = rng.normal(size=(2, 2, num_moves)).astype(np.float32)
    targets = value_targets(rewards, values, td_steps, discount)
    for g in range(2):
        for t in range(num_moves + 1):
            steps = td_steps if td_steps > 0 and t + td_steps < num_moves else num_moves - t
            expected = sum(discount**i * rewards[g, t + i] for i in range(steps))
            if t + steps < num_moves:
                expected += discount**steps * values[g, t + steps]
            assert targets[g, t] == pytest.approx(expected, abs=1e-5)


def test_advantages_by_hand() -> None:
    # lengths 4, 6, 8: mean 6
    lengths, advantages = np.empty(3), np.empty(3, np.float32)
    fill_lengths(-np.array([[1, 3], [3, 3], [1, 7]], np.float32), lengths)
    assert lengths.tolist() == [4.0, 6.0, 8.0]
    fill_advantages(lengths, advantages)
    assert advantages == pytest.approx([1 / 3, 0.0, -1 / 3])


def test_advantages_of_a_group_of_zero_length_are_zero() -> None:
    advantages = np.empty(2, np.float32)
    fill_advantages(np.zeros(2), advantages)
    assert advantages.tolist() == [0.0, 0.0]


def test_advantage_weights_are_exponential_up_to_the_cap() -> None:
    # the spread of the first group is 0.01, below the temperature; of the second 1; of the third 1/7
    assert policy_weights([0.01, -0.01]) == pytest.approx(np.exp([0.5, -0.5]), rel=1e-5)
    assert policy_weights([1.0, -1.0]) == pytest.approx(np.exp([1.0, -1.0]), rel=1e-5)
    outlier = policy_weights([1.0] + 49 * [-1 / 49])
    assert outlier == pytest.approx([20.0] + 49 * [np.exp(-1 / 7)], rel=1e-5)


def test_advantage_weights_without_their_mean_sum_to_zero() -> None:
    assert policy_weights([0.01, -0.01], baseline=1.0) == pytest.approx([np.sinh(0.5), -np.sinh(0.5)], rel=1e-5)
    assert policy_weights([0.0, 0.0], baseline=1.0) == pytest.approx([0.0, 0.0], abs=1e-6)
    half = policy_weights([0.01, -0.01], baseline=0.5)
    assert half == pytest.approx(np.exp([0.5, -0.5]) - np.cosh(0.5) / 2, rel=1e-5)


def test_policy_targets_are_normalized_and_unsearched_moves_are_the_one_played() -> None:
    counts = np.array([[[0, 1, 3], [0, 0, 0]]], np.uint16)
    tours = np.array([[0, 2, 1]])
    assert policy_targets(counts, tours).tolist() == [[[0.0, 0.25, 0.75], [0.0, 1.0, 0.0]]]


def test_importance_weights_by_hand() -> None:
    # (4 * [1/2, 1/8]) ** -1/2 = [1/sqrt 2, sqrt 2], divided by sqrt 2
    assert importance_weights(np.array([0.5, 0.125]), 4, 0.5) == pytest.approx(np.array([0.5, 1.0]))
    assert importance_weights(np.array([0.5, 0.125]), 4, 0.0).tolist() == [1.0, 1.0]


def test_shaped_rewards_give_every_edge_its_worth_and_the_last_move_two() -> None:
    # lengths 1 and 2, and 4 for the last move's two edges
    assert shaped_rewards(REWARDS, 1.0).tolist() == [0.0, -1.0, -2.0]
    assert shaped_rewards(REWARDS, 0.0) is REWARDS
    assert REWARDS.tolist() == [-1.0, -2.0, -4.0]


@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_shaped_rewards_sum_to_the_number_of_cities_less_the_length(moves: int, seed: int) -> None:
    stored = -np.random.default_rng(seed).random((2, 3, moves)).astype(np.float32)
    np.testing.assert_allclose(shaped_rewards(stored, 1.0).sum(-1), moves + 1 + stored.sum(-1), atol=1e-5)

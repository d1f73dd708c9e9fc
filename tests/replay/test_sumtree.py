"""The sum tree against an O(n) oracle, and its frequencies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tspmz.replay.sumtree import SumTree


class FixedNumbers(np.random.Generator):
    """A generator whose uniform numbers are given."""

    def __init__(self, numbers: list[float]) -> None:
        super().__init__(np.random.PCG64(0))
        self._numbers = np.array(numbers)

    def random(self, size: int) -> np.ndarray:  # type: ignore[override]
        return self._numbers[:size]


priorities = st.one_of(st.just(0.0), st.floats(1e-9, 1e9))


@settings(max_examples=200, deadline=None)
@given(data=st.data(), capacity=st.integers(1, 40))
def test_sample_agrees_with_the_cumulative_sum(data: st.DataObject, capacity: int) -> None:
    tree = SumTree(capacity)
    oracle = np.zeros(capacity)
    for _ in range(data.draw(st.integers(1, 3))):
        indices = data.draw(st.lists(st.integers(0, capacity - 1), min_size=1, max_size=20))
        values = data.draw(st.lists(priorities, min_size=len(indices), max_size=len(indices)))
        tree.set(np.array(indices), np.array(values))
        for index, value in zip(indices, values, strict=True):
            oracle[index] = value
    assert np.array_equal(tree.priorities(), oracle)
    assert tree.total == pytest.approx(oracle.sum(), rel=1e-12)
    if oracle.sum() == 0.0:
        return
    number = data.draw(st.floats(0.0, 1.0))
    drawn, probabilities = tree.sample(FixedNumbers([number]), 1, stratified=False)
    index = drawn[0]
    assert oracle[index] > 0.0
    assert probabilities[0] == pytest.approx(oracle[index] / oracle.sum(), rel=1e-12)
    ends = np.cumsum(oracle)
    slack = 1e-9 * ends[-1]
    point = number * ends[-1]
    assert ends[index] - oracle[index] - slack <= point <= ends[index] + slack


def test_total_depends_on_the_leaves_alone_whatever_their_history() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(1000) * 10.0 ** rng.integers(-8, 8, 1000)
    fresh, worn = SumTree(1000), SumTree(1000)
    for _ in range(50):
        worn.set(rng.integers(0, 1000, 200), rng.random(200) * 1e12)
    worn.set(np.arange(1000), values)
    for start in range(0, 1000, 7):
        fresh.set(np.arange(start, min(start + 7, 1000)), values[start : start + 7])
    assert np.array_equal(fresh._tree, worn._tree)


def test_frequencies_are_the_probabilities_within_five_sigma() -> None:
    weights = np.array([0.0, 1.0, 2.0, 4.0, 0.0, 8.0, 0.5])
    tree = SumTree(7)
    tree.set(np.arange(7), weights)
    draws = 100_000
    for stratified in (False, True):
        indices, _ = tree.sample(np.random.default_rng(3), draws, stratified=stratified)
        counts = np.bincount(indices, minlength=7)
        expected = weights / weights.sum()
        sigma = np.sqrt(draws * expected * (1 - expected))
        assert (np.abs(counts - draws * expected) <= 5 * sigma).all()
        assert counts[0] == counts[4] == 0


def test_stratified_draws_take_one_from_each_part() -> None:
    tree = SumTree(4)
    tree.set(np.arange(4), np.ones(4))
    assert tree.sample(np.random.default_rng(1), 4)[0].tolist() == [0, 1, 2, 3]


def test_zero_total_draws_uniformly_from_filled_slots() -> None:
    tree = SumTree(8)
    tree.set(np.array([2, 5]), np.zeros(2))
    indices, probabilities = tree.sample(np.random.default_rng(0), 1000)
    assert np.bincount(indices, minlength=8).tolist() == [0, 0, 500, 0, 0, 500, 0, 0]
    assert (probabilities == 0.5).all()


def test_cleared_slots_are_never_drawn() -> None:
    tree = SumTree(4)
    tree.set(np.arange(4), np.ones(4))
    tree.clear(np.array([0, 3]))
    assert set(tree.sample(np.random.default_rng(0), 500)[0]) == {1, 2}
    assert tree.size == 2
    tree.clear(np.array([1, 2]))
    with pytest.raises(ValueError, match="no slot is filled"):
        tree.sample(np.random.default_rng(0), 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, -np.inf, 1e300])
def test_set_refuses_what_is_no_priority_and_changes_nothing(bad: float) -> None:
    tree = SumTree(4)
    tree.set(np.arange(4), np.ones(4))
    with pytest.raises(ValueError, match="finite and >= 0"):
        tree.set(np.array([0, 1]), np.array([5.0, bad]))
    assert tree.priorities().tolist() == [1.0] * 4


def test_set_refuses_slots_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="slots must be 0 to 4"):
        SumTree(5).set(np.array([5]), np.ones(1))


def test_last_of_equal_indices_counts() -> None:
    tree = SumTree(3)
    tree.set(np.array([1, 1, 1]), np.array([5.0, 7.0, 2.0]))
    assert tree.priorities().tolist() == [0.0, 2.0, 0.0]
    assert tree.total == 2.0

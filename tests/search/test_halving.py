"""The table of sequential halving."""

import math

import numpy as np
import pytest
from reference_search import halving_sequence

from tspmz.search import considered_visits, considered_visits_table


def test_considered_visits_of_four_actions_and_sixteen_simulations() -> None:
    # Two phases of eight simulations: four actions twice each, then the better two four times each.
    expected = [0] * 4 + [1] * 4 + [2, 2, 3, 3, 4, 4, 5, 5]
    np.testing.assert_array_equal(considered_visits(4, 16), expected)


def test_considered_visits_of_three_actions_keeps_two() -> None:
    # ceil(log2(3)) = 2 phases; int(7 / (2 * 3)) = 1 round of three, then rounds of int(7 / (2 * 2)) = 1 over two.
    np.testing.assert_array_equal(considered_visits(3, 7), [0, 0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize("count", [0, 1])
def test_considered_visits_of_one_action_counts_up(count: int) -> None:
    np.testing.assert_array_equal(considered_visits(count, 5), [0, 1, 2, 3, 4])


def test_considered_visits_with_fewer_simulations_than_actions_are_zero() -> None:
    np.testing.assert_array_equal(considered_visits(16, 10), np.zeros(10))


@pytest.mark.parametrize("simulations", [1, 2, 7, 16, 50, 200])
@pytest.mark.parametrize("considered", [1, 2, 3, 4, 5, 7, 8, 16, 31])
def test_considered_visits_equals_reference(considered: int, simulations: int) -> None:
    np.testing.assert_array_equal(considered_visits(considered, simulations), halving_sequence(considered, simulations))


def test_considered_visits_table_has_a_row_per_number_of_actions() -> None:
    table = considered_visits_table(6, 9)
    assert table.shape == (7, 9)
    assert table.dtype == np.int32
    for count, row in enumerate(table):
        np.testing.assert_array_equal(row, considered_visits(count, 9))
        if count > 1:
            assert math.ceil(9 / count) > row[0] == 0

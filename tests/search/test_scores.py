"""The formulas of selection on numbers worked out by hand."""

import math
from typing import Any

import numpy as np
import pytest
from search_fakes import DEFAULTS, PathModel

from tspmz.search import BatchedSearch
from tspmz.search.numerics import exp32
from tspmz.search.qtransforms import mixed_value, normalize
from tspmz.search.selection import puct_score
from tspmz.search.settings import exploration_table


def test_mixed_value_weighs_the_raw_value_as_one_visit() -> None:
    # Visited: prior 0.5 with Q 1 and prior 0.25 with Q 4; mean (0.5 + 1) / 0.75 = 2. Five visits, raw value -4:
    # (-4 + 5 * 2) / 6 = 1.
    assert mixed_value(np.float32(-4), np.float32(5), np.float32(0.75), np.float32(1.5)) == pytest.approx(1.0)


def test_mixed_value_without_visits_is_the_raw_value() -> None:
    assert mixed_value(np.float32(-4), np.float32(0), np.float32(0), np.float32(0)) == -4


def test_exploration_table_is_equation_2() -> None:
    table = exploration_table(3, 1.25, 19.0)
    assert table.shape == (5,)
    assert table[0] == 0
    assert table[4] == pytest.approx(2 * (1.25 + math.log(24 / 19)))


def test_puct_score_adds_the_bonus() -> None:
    # 0.5 + 6 * 0.25 / (2 + 1) = 1
    assert puct_score(np.float32(0.5), np.float32(0.25), 2, np.float32(6)) == pytest.approx(1.0)


def test_normalize_maps_the_range_to_unit_length() -> None:
    assert normalize(np.float32(-2), np.float32(-4), np.float32(0)) == pytest.approx(0.5)
    assert normalize(np.float32(-2), np.float32(-2), np.float32(-2)) == 0


def test_exp32_is_good_to_two_units_in_the_last_place() -> None:
    x = np.linspace(-87, 88, 5001, dtype=np.float32)
    y = np.array([exp32(value) for value in x])
    np.testing.assert_allclose(y, np.exp(x.astype(np.float64)), rtol=2 * np.finfo(np.float32).eps)
    assert exp32(np.float32(-1e30)) < 1e-37
    assert np.isfinite(exp32(np.float32(1e30)))


def test_gumbel_improved_policy_of_one_simulation() -> None:
    # Logits 0, 0, 0 and noise 0: action 0 is tried (lowest index). Its Q is 1 + 2 = 3, the root's raw value 1. Mixed
    # value: (1 + 1 * 3) / 2 = 2. Scale (1 + 1) * 0.5 = 1. Weights: softmax(3, 2, 2).
    def model(path: tuple[int, ...]) -> tuple[float, float, np.ndarray]:
        return (1.0, 2.0, np.zeros(3)) if path else (0.0, 1.0, np.zeros(3))

    options = DEFAULTS | {"num_simulations": 1, "maxvisit_init": 1.0, "value_scale": 0.5}
    fake = PathModel([model], np.ones((1, 3), bool))
    result = BatchedSearch(1, 3, **options).run_with_noise(fake.root(), fake.recurrent, np.zeros((1, 3)))
    weights = np.exp([3.0, 2.0, 2.0])
    np.testing.assert_allclose(result.action_weights[0], weights / weights.sum(), rtol=1e-5)
    np.testing.assert_array_equal(result.visit_counts, [[1, 0, 0]])
    assert result.actions[0] == 0
    assert result.root_values[0] == 2.0
    assert result.qvalues[0, 0] == 3.0
    assert result.depths[0] == 1.0


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_discount_of_minus_one_finds_the_winning_move(algorithm: str) -> None:
    # Nim with one heap: take 1 or 2, who takes the last wins. 5 and 4 are won by leaving 3, 2 by taking both.
    def nim(heap: int) -> Any:
        def model(path: tuple[int, ...]) -> tuple[float, float, np.ndarray]:
            left = heap
            for position, action in enumerate(path):
                left -= action + 1
                if left <= 0:
                    won = left == 0 and position == len(path) - 1
                    return (1.0 if won else 0.0), 0.0, np.zeros(2)
            return 0.0, 0.0, np.zeros(2)

        return model

    options = DEFAULTS | {"algorithm": algorithm, "discount": -1.0, "mask_interior": False, "num_simulations": 200}
    fake = PathModel([nim(5), nim(4), nim(2)], np.ones((3, 2), bool))
    result = BatchedSearch(3, 2, **options).run_with_noise(fake.root(), fake.recurrent, np.zeros((3, 2)))
    np.testing.assert_array_equal(result.actions, [1, 0, 1])
    assert (result.qvalues[np.arange(3), result.actions] > 0).all()
    assert (result.qvalues[np.arange(3), 1 - result.actions] < 0).all()
    assert result.qvalues[2, 1] == 1.0


def test_discount_of_minus_one_flips_the_sign_at_every_move() -> None:
    # One action, values 0 but for the third state (depth 2): 1 there is -1 at depth 1 and +1 at the root.
    def model(path: tuple[int, ...]) -> tuple[float, float, np.ndarray]:
        return 0.0, float(len(path) == 2), np.zeros(1)

    options = DEFAULTS | {"discount": -1.0, "mask_interior": False, "num_simulations": 2}
    fake = PathModel([model], np.ones((1, 1), bool))
    result = BatchedSearch(1, 1, **options).run_with_noise(fake.root(), fake.recurrent, np.zeros((1, 1)))
    assert result.root_values[0] == pytest.approx(1 / 3)
    assert result.qvalues[0, 0] == pytest.approx(0.5)

"""2-opt and Or-opt: never longer, and no move of either kind is left that gains."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from tspmz.tsp.polish import LONGEST_SEGMENT, polish


def length(weights: np.ndarray, tour: list[int] | np.ndarray) -> float:
    return float(sum(weights[a, b] for a, b in zip(tour, [*tour[1:], tour[0]], strict=True)))


def neighbors(tour: list[int]) -> list[list[int]]:
    """Every tour that one 2-opt or Or-opt move leads to, by cutting and joining lists."""
    n = len(tour)
    found = [tour[:i] + tour[i:j][::-1] + tour[j:] for i in range(n) for j in range(i + 2, n + 1)]
    for start in range(n):
        turned = tour[start:] + tour[:start]
        for size in range(1, min(LONGEST_SEGMENT, n - 2) + 1):
            segment, rest = turned[:size], turned[size:]
            found += [rest[:k] + part + rest[k:] for k in range(1, len(rest)) for part in (segment, segment[::-1])]
    return found


@given(st.integers(3, 12), st.integers(0, 10_000), st.booleans())
def test_polished_tour_has_no_better_neighbor(n: int, seed: int, whole: bool) -> None:
    rng = np.random.default_rng(seed)
    points = rng.random((n, 2))
    weights = np.hypot(*(points[:, None] - points).transpose(2, 0, 1))
    if whole:  # many ties
        weights = np.rint(5 * weights)
    tour = rng.permutation(n)
    before = tour.copy()
    better = polish(weights, tour)
    assert np.array_equal(tour, before)
    assert sorted(better) == list(range(n))
    assert length(weights, better) <= length(weights, tour) + 1e-9
    assert min(length(weights, other) for other in neighbors(better.tolist())) >= length(weights, better) - 1e-6


@pytest.mark.parametrize(
    "tour",
    [
        [0, 2, 1, 3, 4, 5],  # two edges cross: 2-opt
        [0, 1, 2, 4, 5, 3],  # a city out of place: Or-opt
    ],
)
def test_hexagon_is_walked_around(tour: list[int]) -> None:
    angles = np.pi * np.arange(6) / 3
    points = np.stack((np.cos(angles), np.sin(angles)), axis=-1)
    weights = np.hypot(*(points[:, None] - points).transpose(2, 0, 1))
    assert length(weights, polish(weights, np.array(tour))) == pytest.approx(6.0)

"""Pair scores: features by hand, and what they must not depend on."""

from __future__ import annotations

import math

import pytest
import torch
from model_helpers import random_coordinates

from tspmz.network.pairs import PairScores, pair_features


def distances_of(points: torch.Tensor) -> torch.Tensor:
    return torch.cdist(points, points)


def test_features_of_three_cities_on_a_line_are_those_by_hand() -> None:
    # at 0, 1 and 3: city 1 is the nearest of both others, city 0 the nearest of city 1
    features = pair_features(torch.tensor([[[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]]]))[:, 0]
    from_2_to_0 = [3 * math.sqrt(3), math.log(3), math.log(3), math.log(1 + 3 / 2), math.log(1 + 3 / 1)]
    from_0_to_1 = [math.sqrt(3), math.log(2), math.log(2), math.log(2), math.log(2)]
    from_2_to_1 = [2 * math.sqrt(3), math.log(2), math.log(3), math.log(2), math.log(1 + 2 / 1)]
    for (i, j), expected in {(2, 0): from_2_to_0, (0, 1): from_0_to_1, (2, 1): from_2_to_1}.items():
        assert features[:, i, j].tolist() == pytest.approx(expected, rel=1e-6)


def test_features_are_finite_where_cities_coincide() -> None:
    assert pair_features(torch.zeros(1, 4, 4)).isfinite().all()


def test_scores_start_at_zero() -> None:
    assert not PairScores(5)(distances_of(torch.from_numpy(random_coordinates(2, 6)))).any()


def test_scores_follow_the_cities_when_these_are_numbered_anew() -> None:
    module = PairScores(3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    points = torch.from_numpy(random_coordinates(2, 7))
    order = torch.randperm(7, generator=generator)
    scores = module(distances_of(points))
    assert scores.std() > 0.1
    torch.testing.assert_close(module(distances_of(points[:, order])), scores[:, :, order][..., order])
